//! Anchors: where checkpoints of the audit log are kept outside of the database.
//!
//! They are made from the configuration at the start, and from nothing else. Who has the database alone cannot
//! change what a file of another owner, a receiver of webhooks or a log host has seen.

mod file;
mod syslog;
mod webhook;

use std::{path::PathBuf, sync::Arc};

use domain::Secret;
use ops::ports::Anchor;
use url::Url;

pub use file::{FileAnchor, tail};
pub use syslog::SyslogAnchor;
pub use webhook::WebhookAnchor;

use super::{egress::Egress, syslog::SyslogTarget};

/// How the audit log is proven, as the configuration says.
#[derive(Default)]
pub struct AuditSettings {
    /// The name of the log; without one it is named after the master key.
    pub origin: Option<String>,
    /// The file that checkpoints are appended to.
    pub file: Option<PathBuf>,
    /// The webhook that is told of them, and the secret that signs its calls.
    pub webhook: Option<(Url, Secret)>,
    /// The log host that is told of them.
    pub syslog: Option<SyslogTarget>,
    /// Whether the server starts when an anchor has seen more than the database holds.
    pub serves_after_rollback: bool,
}

/// The anchors of a configuration.
///
/// # Errors
/// A sentence when one of them cannot be used: it would be a protection that is not there.
pub fn of(settings: AuditSettings, egress: &Egress) -> Result<Vec<Arc<dyn Anchor>>, String> {
    let AuditSettings { origin: _, file, webhook, syslog, serves_after_rollback: _ } = settings;
    let mut anchors: Vec<Arc<dyn Anchor>> = Vec::new();
    if let Some(path) = file {
        anchors.push(Arc::new(FileAnchor::open(path)?));
    }
    if let Some((url, secret)) = webhook {
        anchors.push(Arc::new(WebhookAnchor::new(url, secret, egress)?));
    }
    if let Some(target) = syslog {
        anchors.push(Arc::new(SyslogAnchor::new(target)?));
    }
    Ok(anchors)
}
