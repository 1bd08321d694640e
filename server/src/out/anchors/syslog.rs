//! A log host that is told by syslog (RFC 5424): one line a checkpoint, the note in base64.
//!
//! Over UDP (RFC 5426) and a datagram socket nobody says that it arrived; over TCP (RFC 6587, octet counting) the
//! connection says that it was taken.

use std::{net::SocketAddr, path::PathBuf, pin::Pin, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use ops::ports::{Anchor, Anchoring};
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpStream, UdpSocket, UnixDatagram, UnixStream, lookup_host},
    time::timeout,
};

use crate::out::egress::{embedded_v4, hands_out_credentials};

/// How long a log host may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Facility 13, log audit; severity 5, notice.
const PRIORITY: u8 = 13 * 8 + 5;

/// Where a log host listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SyslogTarget {
    /// Host and port, by datagrams.
    Udp(String),
    /// Host and port, by a connection.
    Tcp(String),
    /// A socket on this machine.
    Unix(PathBuf),
}

impl SyslogTarget {
    /// Reads `udp://host:514`, `tcp://host:601` or `unix:///dev/log`.
    ///
    /// # Errors
    /// What was expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        let expected = || "udp://HOST:PORT, tcp://HOST:PORT or unix:///PATH".to_owned();
        let (scheme, rest) = text.trim().split_once("://").ok_or_else(expected)?;
        if scheme == "unix" {
            return if rest.starts_with('/') { Ok(Self::Unix(PathBuf::from(rest))) } else { Err(expected()) };
        }
        let (host, port) = rest.rsplit_once(':').ok_or_else(expected)?;
        let is_port = port.parse::<u16>().is_ok_and(|port| port > 0);
        if host.is_empty() || !is_port || rest.contains('/') || rest.contains(char::is_whitespace) {
            return Err(expected());
        }
        match scheme {
            "udp" => Ok(Self::Udp(rest.to_owned())),
            "tcp" => Ok(Self::Tcp(rest.to_owned())),
            _ => Err(expected()),
        }
    }
}

/// A log host.
pub struct SyslogAnchor {
    target: SyslogTarget,
}

impl SyslogAnchor {
    /// A log host.
    pub const fn new(target: SyslogTarget) -> Self {
        Self { target }
    }

    async fn send(&self, message: &str) -> Result<(), String> {
        let told = |error: std::io::Error| format!("the log host did not take it: {error}");
        match &self.target {
            SyslogTarget::Udp(host) => {
                let address = resolve(host).await?;
                let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
                let socket = UdpSocket::bind(any).await.map_err(told)?;
                socket.connect(address).await.map_err(told)?;
                socket.send(message.as_bytes()).await.map(drop).map_err(told)
            }
            SyslogTarget::Tcp(host) => {
                let address = resolve(host).await?;
                let mut stream = TcpStream::connect(address).await.map_err(told)?;
                let frame = format!("{} {message}", message.len());
                stream.write_all(frame.as_bytes()).await.map_err(told)?;
                // What was not taken is told by the end of the connection.
                stream.shutdown().await.map_err(told)
            }
            SyslogTarget::Unix(path) => {
                let socket = UnixDatagram::unbound().map_err(told)?;
                match socket.connect(path) {
                    Ok(()) => socket.send(message.as_bytes()).await.map(drop).map_err(told),
                    // Some daemons listen for connections; a line is a message then.
                    Err(error) if error.raw_os_error() == Some(nix::errno::Errno::EPROTOTYPE as i32) => {
                        let mut stream = UnixStream::connect(path).await.map_err(told)?;
                        stream.write_all(format!("{message}\n").as_bytes()).await.map_err(told)?;
                        stream.shutdown().await.map_err(told)
                    }
                    Err(error) => Err(told(error)),
                }
            }
        }
    }
}

/// The operator names the host, so it may be in a private network; addresses that hand out credentials are
/// called by nobody.
async fn resolve(host: &str) -> Result<SocketAddr, String> {
    let found = lookup_host(host).await.map_err(|error| format!("the log host was not found: {error}"))?;
    let mut admitted = found.filter(|address| !hands_out_credentials(embedded_v4(address.ip())));
    admitted.next().ok_or_else(|| "the log host is at an address that is never called".to_owned())
}

/// A message of RFC 5424; the note is on one line, and is found again by `keyward audit verify --anchor`.
fn message(checkpoint: &Anchoring) -> String {
    let Anchoring { size, root, at_ms, note } = checkpoint;
    format!(
        "<{PRIORITY}>1 {} - keyward {} checkpoint - audit log: {size} records, root={root} note={}",
        ops::rfc3339(*at_ms),
        std::process::id(),
        BASE64.encode(note)
    )
}

impl Anchor for SyslogAnchor {
    fn name(&self) -> &'static str {
        "syslog"
    }

    fn place(&self) -> String {
        match &self.target {
            SyslogTarget::Udp(host) => format!("udp://{host}"),
            SyslogTarget::Tcp(host) => format!("tcp://{host}"),
            SyslogTarget::Unix(path) => format!("unix://{}", path.display()),
        }
    }

    fn last(&self) -> Option<i64> {
        None
    }

    fn tell<'a>(
        &'a self,
        checkpoint: &'a Anchoring,
    ) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send + 'a>> {
        Box::pin(async move {
            let message = message(checkpoint);
            let sent = timeout(PATIENCE, self.send(&message)).await;
            sent.map_err(|_| format!("the log host did not answer within {} s", PATIENCE.as_secs()))?
        })
    }
}

#[cfg(test)]
mod tests {
    use tokio::{io::AsyncReadExt as _, net::TcpListener};

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

    #[test]
    fn targets_are_udp_tcp_and_sockets() {
        assert_eq!(SyslogTarget::parse("udp://log:514"), Ok(SyslogTarget::Udp("log:514".to_owned())));
        assert_eq!(SyslogTarget::parse("tcp://[::1]:601"), Ok(SyslogTarget::Tcp("[::1]:601".to_owned())));
        assert_eq!(SyslogTarget::parse("unix:///dev/log"), Ok(SyslogTarget::Unix("/dev/log".into())));
        for text in [
            "",
            "log:514",
            "udp://log",
            "udp://:514",
            "tcp://log:0",
            "unix://dev",
            "http://log:1",
            "udp://log:514/x",
        ] {
            assert!(SyslogTarget::parse(text).is_err(), "{text}");
        }
    }

    #[tokio::test]
    async fn a_checkpoint_arrives_over_udp_tcp_and_a_socket() {
        let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let target = SyslogTarget::Udp(udp.local_addr().unwrap().to_string());
        SyslogAnchor::new(target).tell(&checkpoint()).await.unwrap();
        let mut bytes = [0; 4096];
        let length = udp.recv(&mut bytes).await.unwrap();
        check(std::str::from_utf8(&bytes[..length]).unwrap());

        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = SyslogTarget::Tcp(tcp.local_addr().unwrap().to_string());
        SyslogAnchor::new(target).tell(&checkpoint()).await.unwrap();
        let mut text = String::new();
        tcp.accept().await.unwrap().0.read_to_string(&mut text).await.unwrap();
        let (length, message) = text.split_once(' ').unwrap();
        assert_eq!(length.parse::<usize>().unwrap(), message.len(), "octet counting");
        check(message);

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let unix = UnixDatagram::bind(&path).unwrap();
        SyslogAnchor::new(SyslogTarget::Unix(path)).tell(&checkpoint()).await.unwrap();
        let length = unix.recv(&mut bytes).await.unwrap();
        check(std::str::from_utf8(&bytes[..length]).unwrap());

        let path = folder.path().join("stream");
        let unix = tokio::net::UnixListener::bind(&path).unwrap();
        SyslogAnchor::new(SyslogTarget::Unix(path)).tell(&checkpoint()).await.unwrap();
        let mut text = String::new();
        unix.accept().await.unwrap().0.read_to_string(&mut text).await.unwrap();
        check(text.trim_end());
    }

    #[tokio::test]
    async fn a_log_host_that_is_not_there_and_one_that_hands_out_credentials_are_told_apart() {
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let gone = SyslogAnchor::new(SyslogTarget::Tcp(closed.to_string())).tell(&checkpoint()).await;
        assert!(gone.unwrap_err().contains("did not take it"));
        let barred =
            SyslogAnchor::new(SyslogTarget::Udp("169.254.169.254:514".to_owned())).tell(&checkpoint()).await;
        assert!(barred.unwrap_err().contains("never called"));
    }
}
