//! Streams: where records go as they come. They are made from the configuration at the start, and from nothing else.

mod syslog;
mod webhook;

use std::sync::Arc;

use domain::{
    Millis, Secret,
    exports::{Format, stream::Carried},
};
use ops::{ports::Stream, streams::StreamSettings};
use url::Url;

pub use syslog::SyslogStream;
pub use webhook::WebhookStream;

use super::{egress::Egress, syslog::SyslogTarget};

/// Where records go, as the configuration says.
#[derive(Default)]
pub struct StreamsConfig {
    /// The webhook, the secret that signs its calls, and the form of its records.
    pub webhook: Option<(Url, Secret, Format)>,
    /// The log host, the certificates in PEM that are trusted for it beside those of the operating system, and the
    /// form of its records.
    pub syslog: Option<(SyslogTarget, Option<String>, Format)>,
    /// Which records.
    pub carried: Vec<Carried>,
    /// For how long a record may wait before it is told.
    pub behind_ms: Millis,
    /// For how long beyond retention what was not sent is kept.
    pub hold_ms: Millis,
    /// How many records that were not sent are kept beyond retention.
    pub hold_records: i64,
}

/// The streams of a configuration; `None` when it has none. `host` is the name of the installation in messages.
///
/// # Errors
/// A sentence when one of them cannot be used.
pub fn of(config: StreamsConfig, egress: &Egress, host: &str) -> Result<Option<StreamSettings>, String> {
    let StreamsConfig { webhook, syslog, carried, behind_ms, hold_ms, hold_records } = config;
    let mut streams: Vec<Arc<dyn Stream>> = Vec::new();
    if let Some((url, secret, format)) = webhook {
        streams.push(Arc::new(WebhookStream::new(url, secret, format, egress)?));
    }
    if let Some((target, trusted_ca, format)) = syslog {
        streams.push(Arc::new(SyslogStream::new(target, trusted_ca.as_deref(), format, host)?));
    }
    if streams.is_empty() {
        return Ok(None);
    }
    Ok(Some(StreamSettings { streams, carried, behind_ms, hold_ms, hold_records }))
}
