//! Where records go as they come: a webhook, a log host.

use domain::{
    DAY_MS,
    exports::{Format, stream::Carried},
};

use super::super::{problem::Fault, public_url::web_address, reader::Reader};
use crate::out::{standard_webhooks::check_secret, streams::StreamsConfig, syslog::SyslogTarget};

const WEBHOOK: &str = "stream.webhook";
const SECRET: &str = "stream.webhook_secret";
const SECRET_FILE: &str = "stream.webhook_secret_file";
const SYSLOG: &str = "stream.syslog";
const CA_FILE: &str = "stream.syslog_ca_file";

const FORMATS: [(&str, Format); 2] = [("jsonl", Format::Jsonl), ("ocsf", Format::Ocsf)];

pub(super) fn streams(reader: &mut Reader) -> Option<StreamsConfig> {
    let before = reader.problems.len();
    let webhook_format = reader.choice("stream.webhook_format", &FORMATS);
    let syslog_format = reader.choice("stream.syslog_format", &FORMATS);
    let carried = carried(reader);
    let behind = reader.number("stream.behind_minutes", 5, 1_440);
    let hold_days = reader.number("stream.hold_days", 0, 3_650);
    let hold_records = reader.number("stream.hold_records", 0, 1_000_000_000);
    let webhook = webhook(reader);
    let syslog = syslog(reader);
    if reader.problems.len() > before {
        return None;
    }
    let (webhook_format, syslog_format) = (webhook_format?, syslog_format?);
    Some(StreamsConfig {
        webhook: webhook.map(|(url, secret)| (url, secret, webhook_format)),
        syslog: syslog.map(|(target, trusted_ca)| (target, trusted_ca, syslog_format)),
        carried: carried?,
        behind_ms: i64::try_from(behind?).ok()? * 60_000,
        hold_ms: i64::try_from(hold_days?).ok()? * DAY_MS,
        hold_records: i64::try_from(hold_records?).ok()?,
    })
}

fn carried(reader: &mut Reader) -> Option<Vec<Carried>> {
    let key = "stream.records";
    let texts = reader.list(key)?;
    let mut carried = Vec::new();
    for text in &texts {
        match Carried::parse(text.trim()) {
            Some(one) if !carried.contains(&one) => carried.push(one),
            Some(_) => {}
            None => {
                let fix = format!("correct or remove {text:?}");
                reader.refuse(key, Fault::new("a list of audit and usage", fix));
                return None;
            }
        }
    }
    if carried.is_empty() {
        let fix = "write [\"audit\", \"usage\"], or remove it";
        reader.refuse(key, Fault::new("at least one of audit and usage", fix));
        return None;
    }
    Some(carried)
}

fn webhook(reader: &mut Reader) -> Option<(url::Url, domain::Secret)> {
    let key = if reader.is_set(SECRET) { SECRET } else { SECRET_FILE };
    match (reader.is_set(WEBHOOK), reader.is_set(SECRET) || reader.is_set(SECRET_FILE)) {
        (false, false) => None,
        (true, false) => {
            let fix =
                "set stream.webhook_secret_file to a file that holds whsec_ and 24 to 64 bytes in base64";
            reader.refuse(WEBHOOK, Fault::new("stream.webhook_secret beside it", fix));
            None
        }
        (false, true) => {
            reader.refuse(key, Fault::new("stream.webhook beside it", "set it, or remove the secret"));
            None
        }
        (true, true) => {
            let url = reader.parse(WEBHOOK, web_address);
            let (secret, _) = reader.secret(SECRET, SECRET_FILE)?;
            if let Err(bad) = check_secret(&secret) {
                reader.refuse(key, Fault::new("whsec_ and 24 to 64 bytes in base64", bad.to_string()));
                return None;
            }
            Some((url?, secret))
        }
    }
}

fn syslog(reader: &mut Reader) -> Option<(SyslogTarget, Option<String>)> {
    let target = if reader.is_set(SYSLOG) {
        reader.parse(SYSLOG, |text| {
            let fix = "write it like tls://logs.internal:6514";
            SyslogTarget::parse(text).map_err(|expected| Fault::new(expected, fix))
        })
    } else {
        None
    };
    if !reader.is_set(CA_FILE) {
        return target.map(|target| (target, None));
    }
    match target {
        Some(target @ SyslogTarget::Tls(_)) => {
            super::telling::file(reader, CA_FILE).map(|pem| (target, Some(pem)))
        }
        Some(SyslogTarget::Udp(_) | SyslogTarget::Tcp(_) | SyslogTarget::Unix(_)) | None => {
            let fix = "write stream.syslog = \"tls://HOST:PORT\", or remove this setting";
            reader.refuse(CA_FILE, Fault::new("a stream.syslog that begins with tls:// beside it", fix));
            None
        }
    }
}
