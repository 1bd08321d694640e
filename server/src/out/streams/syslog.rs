//! A log host that takes records: one message a record, the record as JSON in it.

use std::pin::Pin;

use domain::exports::{Format, rfc3339, stream::Streamed};
use ops::ports::{Stream, Streaming};
use serde_json::json;

use crate::out::syslog::{DATAGRAM, End, LogHost, SyslogTarget, message};

/// Facility 13, log audit.
const FACILITY: u8 = 13;

/// Severities 4, warning, and 6, informational.
const WARNING: u8 = 4;
const INFORMATIONAL: u8 = 6;

/// A log host.
pub struct SyslogStream {
    host: LogHost,
    format: Format,
    /// The name of the installation.
    own: String,
}

impl SyslogStream {
    /// A log host; see [`LogHost::new`].
    ///
    /// # Errors
    /// A sentence when TLS cannot be set up for it.
    pub fn new(
        target: SyslogTarget,
        trusted_ca: Option<&str>,
        format: Format,
        own: &str,
    ) -> Result<Self, String> {
        // RFC 5424, 6.2.4: printable ASCII, 255 at most.
        let own: String = own.chars().filter(char::is_ascii_graphic).take(255).collect();
        let own = if own.is_empty() { "-".to_owned() } else { own };
        Ok(Self { host: LogHost::new(target, trusted_ca)?, format, own })
    }

    fn message(&self, record: &Streamed) -> String {
        let severity = if record.is_warning { WARNING } else { INFORMATIONAL };
        let data = concat!("[origin software=\"Keyward\" swVersion=\"", env!("CARGO_PKG_VERSION"), "\"]");
        let kind = record.kind.as_str();
        let written = |text: &str| {
            message(FACILITY * 8 + severity, &rfc3339(record.at_ms), &self.own, kind, data, text)
        };
        let whole = written(&record.json);
        if self.host.has_datagrams() && whole.len() > DATAGRAM {
            // It would never arrive, and nothing behind it either.
            let short = json!({ "id": record.id, "kind": kind, "is_too_large": true, "bytes": whole.len() });
            return written(&short.to_string());
        }
        whole
    }
}

impl Stream for SyslogStream {
    fn name(&self) -> &'static str {
        "syslog"
    }

    fn place(&self) -> String {
        self.host.target().place()
    }

    fn format(&self) -> Format {
        self.format
    }

    fn send<'a>(
        &'a self,
        batch: &'a Streaming,
    ) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send + 'a>> {
        Box::pin(async move {
            let messages: Vec<String> = batch.records.iter().map(|record| self.message(record)).collect();
            self.host.send(&messages, End::Read).await
        })
    }
}
