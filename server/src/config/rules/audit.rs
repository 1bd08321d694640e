//! How the audit log is proven: its name, and the anchors.

use std::path::PathBuf;

use super::super::{problem::Fault, public_url::web_address, reader::Reader};
use crate::out::{anchors::AuditSettings, standard_webhooks::check_secret, syslog::SyslogTarget};

const WEBHOOK: &str = "audit.anchor_webhook";
const SECRET: &str = "audit.anchor_webhook_secret";
const SECRET_FILE: &str = "audit.anchor_webhook_secret_file";

pub(super) fn audit(reader: &mut Reader) -> Option<AuditSettings> {
    let serves_after_rollback = reader.choice("audit.on_rollback", &[("refuse", false), ("warn", true)]);
    let before = reader.problems.len();
    let mut settings = AuditSettings::default();
    if reader.is_set("audit.origin") {
        settings.origin = reader.parse("audit.origin", |text| {
            if domain::audit::note::is_name(text) {
                return Ok(text.to_owned());
            }
            let fix = "write it like keyward.example.com/audit";
            Err(Fault::new("a name without a space and without a plus, up to 200 bytes", fix))
        });
    }
    if reader.is_set("audit.anchor_file") {
        settings.file = reader.parse("audit.anchor_file", |text| {
            let path = PathBuf::from(text);
            if path.is_dir() {
                return Err(Fault::new(
                    "a file, or a path where one can be made",
                    "name a file in that folder",
                ));
            }
            Ok(path)
        });
    }
    if reader.is_set("audit.anchor_syslog") {
        settings.syslog = reader.parse("audit.anchor_syslog", |text| {
            let fix = "write it like udp://logs.internal:514";
            SyslogTarget::parse(text).map_err(|expected| Fault::new(expected, fix))
        });
    }
    let has_secret = reader.is_set(SECRET) || reader.is_set(SECRET_FILE);
    match (reader.is_set(WEBHOOK), has_secret) {
        (false, false) => {}
        (true, false) => {
            let fix = "set audit.anchor_webhook_secret_file to a file that holds whsec_ and 24 to 64 bytes in base64";
            reader.refuse(WEBHOOK, Fault::new("audit.anchor_webhook_secret beside it", fix));
        }
        (false, true) => {
            let key = if reader.is_set(SECRET) { SECRET } else { SECRET_FILE };
            reader.refuse(key, Fault::new("audit.anchor_webhook beside it", "set it, or remove the secret"));
        }
        (true, true) => {
            let url = reader.parse(WEBHOOK, web_address);
            let secret = reader.secret(SECRET, SECRET_FILE).map(|(secret, _)| secret);
            if let Some(secret) = &secret
                && let Err(bad) = check_secret(secret)
            {
                let key = if reader.is_set(SECRET) { SECRET } else { SECRET_FILE };
                reader.refuse(key, Fault::new("whsec_ and 24 to 64 bytes in base64", bad.to_string()));
            }
            settings.webhook = url.zip(secret);
        }
    }
    settings.serves_after_rollback = serves_after_rollback?;
    (reader.problems.len() == before).then_some(settings)
}
