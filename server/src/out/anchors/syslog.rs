//! A log host that is told by syslog (RFC 5424): one line a checkpoint, the note in base64. See
//! [`crate::out::syslog`] for what its transports say of what arrived.

use std::pin::Pin;

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use ops::ports::{Anchor, Anchoring};

use crate::out::syslog::{End, LogHost, SyslogTarget, message as syslog_message};

/// Facility 13, log audit; severity 5, notice.
const PRIORITY: u8 = 13 * 8 + 5;

/// A log host.
pub struct SyslogAnchor {
    host: LogHost,
}

impl SyslogAnchor {
    /// A log host.
    ///
    /// # Errors
    /// A sentence when TLS cannot be set up for it.
    pub fn new(target: SyslogTarget) -> Result<Self, String> {
        Ok(Self { host: LogHost::new(target, None)? })
    }
}

/// A message of RFC 5424; the note is on one line, and is found again by `keyward audit verify --anchor`.
fn message(checkpoint: &Anchoring) -> String {
    let Anchoring { size, root, at_ms, note } = checkpoint;
    let text = format!("audit log: {size} records, root={root} note={}", BASE64.encode(note));
    syslog_message(PRIORITY, &ops::rfc3339(*at_ms), "-", "checkpoint", "-", &text)
}

impl Anchor for SyslogAnchor {
    fn name(&self) -> &'static str {
        "syslog"
    }

    fn place(&self) -> String {
        self.host.target().place()
    }

    fn last(&self) -> Option<i64> {
        None
    }

    fn tell<'a>(
        &'a self,
        checkpoint: &'a Anchoring,
    ) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send + 'a>> {
        Box::pin(async move {
            // A log host may keep a connection open: one that refuses has said so before its end.
            self.host.send(&[message(checkpoint)], End::Written).await
        })
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::AsyncReadExt as _,
        net::{TcpListener, UdpSocket, UnixDatagram},
    };

    use super::*;

    fn checkpoint() -> Anchoring {
        let note =
            "keyward/test\n7\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n— keyward/test AAAAAAAA\n";
        Anchoring { size: 7, root: "ab".to_owned(), at_ms: 1_767_225_600_000, note: note.to_owned() }
    }

    fn check(text: &str) {
        assert!(text.starts_with("<109>1 2026-01-01T00:00:00"), "{text}");
        assert_eq!(domain::audit::checkpoint::found_in(text), [checkpoint().note]);
    }

    #[tokio::test]
    async fn a_checkpoint_arrives_over_udp_tcp_and_a_socket() {
        let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let target = SyslogTarget::Udp(udp.local_addr().unwrap().to_string());
        SyslogAnchor::new(target).unwrap().tell(&checkpoint()).await.unwrap();
        let mut bytes = [0; 4096];
        let length = udp.recv(&mut bytes).await.unwrap();
        check(std::str::from_utf8(&bytes[..length]).unwrap());

        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = SyslogTarget::Tcp(tcp.local_addr().unwrap().to_string());
        SyslogAnchor::new(target).unwrap().tell(&checkpoint()).await.unwrap();
        let mut text = String::new();
        tcp.accept().await.unwrap().0.read_to_string(&mut text).await.unwrap();
        let (length, message) = text.split_once(' ').unwrap();
        assert_eq!(length.parse::<usize>().unwrap(), message.len(), "octet counting");
        check(message);

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let unix = UnixDatagram::bind(&path).unwrap();
        SyslogAnchor::new(SyslogTarget::Unix(path)).unwrap().tell(&checkpoint()).await.unwrap();
        let length = unix.recv(&mut bytes).await.unwrap();
        check(std::str::from_utf8(&bytes[..length]).unwrap());

        let path = folder.path().join("stream");
        let unix = tokio::net::UnixListener::bind(&path).unwrap();
        SyslogAnchor::new(SyslogTarget::Unix(path)).unwrap().tell(&checkpoint()).await.unwrap();
        let mut text = String::new();
        unix.accept().await.unwrap().0.read_to_string(&mut text).await.unwrap();
        check(text.trim_end());
    }

    #[tokio::test]
    async fn a_log_host_that_is_not_there_and_one_that_hands_out_credentials_are_told_apart() {
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let gone =
            SyslogAnchor::new(SyslogTarget::Tcp(closed.to_string())).unwrap().tell(&checkpoint()).await;
        assert!(gone.unwrap_err().contains("did not take it"));
        let barred = SyslogAnchor::new(SyslogTarget::Udp("169.254.169.254:514".to_owned()))
            .unwrap()
            .tell(&checkpoint())
            .await;
        assert!(barred.unwrap_err().contains("never called"));
    }
}
