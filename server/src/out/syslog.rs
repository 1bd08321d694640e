//! A log host, by syslog (RFC 5424).
//!
//! Over UDP (RFC 5426) and a datagram socket nobody says that a message arrived. Over TCP (RFC 6587, octet counting)
//! and TLS (RFC 5425) nobody says so either, but the end of the connection does: who ends it in order after the last
//! message has read everything before, and a host that dies with unread messages resets it.

use std::{
    io::{self, ErrorKind},
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use futures::FutureExt as _;
use rustls::{
    ClientConfig,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use rustls_platform_verifier::Verifier;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpStream, UdpSocket, UnixDatagram, UnixStream, lookup_host},
    time::{sleep, timeout},
};
use tokio_rustls::TlsConnector;

use super::egress::{embedded_v4, hands_out_credentials};

/// How long a log host may take for what it is sent at once.
const PATIENCE: Duration = Duration::from_secs(15);

/// How long bytes may be on their way to a log host and back.
const ON_ITS_WAY: Duration = Duration::from_millis(50);

/// The most bytes of a datagram, less some for the headers below it.
pub const DATAGRAM: usize = 60_000;

/// Where a log host listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SyslogTarget {
    /// Host and port, by datagrams.
    Udp(String),
    /// Host and port, by a connection.
    Tcp(String),
    /// Host and port, by a connection under TLS.
    Tls(String),
    /// A socket on this machine.
    Unix(PathBuf),
}

impl SyslogTarget {
    /// Reads `udp://host:514`, `tcp://host:601`, `tls://host:6514` or `unix:///dev/log`.
    ///
    /// # Errors
    /// What was expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        let expected = || "udp://HOST:PORT, tcp://HOST:PORT, tls://HOST:PORT or unix:///PATH".to_owned();
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
            "tls" => Ok(Self::Tls(rest.to_owned())),
            _ => Err(expected()),
        }
    }

    /// Where it is, for people.
    pub fn place(&self) -> String {
        match self {
            Self::Udp(host) => format!("udp://{host}"),
            Self::Tcp(host) => format!("tcp://{host}"),
            Self::Tls(host) => format!("tls://{host}"),
            Self::Unix(path) => format!("unix://{}", path.display()),
        }
    }
}

/// Whether a log host is waited for at the end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// What was written counts.
    Written,
    /// What the host has read counts.
    Read,
}

/// A log host.
pub struct LogHost {
    target: SyslogTarget,
    /// For TLS: how the host proves itself, and as whom.
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl LogHost {
    /// A log host. Under TLS it proves itself by the certificates of the operating system, and those in `trusted_ca`
    /// (PEM).
    ///
    /// # Errors
    /// A sentence when the certificates or the name of the host cannot be used.
    pub fn new(target: SyslogTarget, trusted_ca: Option<&str>) -> Result<Self, String> {
        let tls = match &target {
            SyslogTarget::Tls(host) => {
                let name = host.rsplit_once(':').map_or(host.as_str(), |(name, _)| name);
                let name = ServerName::try_from(name.trim_matches(['[', ']']).to_owned())
                    .map_err(|_| format!("{name} is no name of a host under TLS"))?;
                Some((TlsConnector::from(Arc::new(tls(trusted_ca.unwrap_or_default())?)), name))
            }
            SyslogTarget::Udp(_) | SyslogTarget::Tcp(_) | SyslogTarget::Unix(_) => None,
        };
        Ok(Self { target, tls })
    }

    /// Where it is.
    pub const fn target(&self) -> &SyslogTarget {
        &self.target
    }

    /// Whether each message is a datagram of its own, which has a largest size.
    pub const fn has_datagrams(&self) -> bool {
        match self.target {
            SyslogTarget::Udp(_) | SyslogTarget::Unix(_) => true,
            SyslogTarget::Tcp(_) | SyslogTarget::Tls(_) => false,
        }
    }

    /// Sends messages in order, over one connection where there are connections.
    ///
    /// # Errors
    /// A sentence when one was not taken, or nobody knows.
    pub async fn send(&self, messages: &[String], end: End) -> Result<(), String> {
        let sent = timeout(PATIENCE, self.try_send(messages, end)).await;
        sent.map_err(|_| format!("the log host did not take it within {} s", PATIENCE.as_secs()))?
    }

    async fn try_send(&self, messages: &[String], end: End) -> Result<(), String> {
        match (&self.target, &self.tls) {
            (SyslogTarget::Udp(host), _) => {
                let address = resolve(host).await?;
                let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
                let socket = UdpSocket::bind(any).await.map_err(told)?;
                socket.connect(address).await.map_err(told)?;
                for message in messages {
                    socket.send(message.as_bytes()).await.map_err(told)?;
                }
                Ok(())
            }
            (SyslogTarget::Tcp(host), _) => {
                let mut stream = TcpStream::connect(resolve(host).await?).await.map_err(told)?;
                over(&mut stream, messages, counted, end).await.map_err(told)?;
                ended(&stream, end).await.map_err(told)
            }
            (SyslogTarget::Tls(host), Some((connector, name))) => {
                let stream = TcpStream::connect(resolve(host).await?).await.map_err(told)?;
                let mut stream = connector.connect(name.clone(), stream).await.map_err(told)?;
                over(&mut stream, messages, counted, end).await.map_err(told)?;
                ended(stream.get_ref().0, end).await.map_err(told)
            }
            (SyslogTarget::Tls(_), None) => Err("TLS is not set up".to_owned()),
            (SyslogTarget::Unix(path), _) => {
                let socket = UnixDatagram::unbound().map_err(told)?;
                match socket.connect(path) {
                    Ok(()) => {
                        for message in messages {
                            socket.send(message.as_bytes()).await.map_err(told)?;
                        }
                        Ok(())
                    }
                    // Some daemons listen for connections; a line is a message then.
                    Err(error) if error.raw_os_error() == Some(nix::errno::Errno::EPROTOTYPE as i32) => {
                        let mut stream = UnixStream::connect(path).await.map_err(told)?;
                        over(&mut stream, messages, |message| format!("{message}\n"), end).await.map_err(told)
                    }
                    Err(error) => Err(told(error)),
                }
            }
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it stands where errors are mapped")]
fn told(error: io::Error) -> String {
    format!("the log host did not take it: {error}")
}

/// Octet counting (RFC 6587, 3.4.1).
fn counted(message: &str) -> String {
    format!("{} {message}", message.len())
}

async fn over<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    messages: &[String],
    framed: impl Fn(&str) -> String,
    end: End,
) -> io::Result<()> {
    for message in messages {
        stream.write_all(framed(message).as_bytes()).await?;
    }
    stream.flush().await?;
    let mut rest = [0; 512];
    // Who ends it before we do has not read everything.
    if end == End::Read && matches!(stream.read(&mut rest).now_or_never(), Some(Ok(0))) {
        return Err(ErrorKind::ConnectionReset.into());
    }
    // What was not taken is told by the end of the connection.
    stream.shutdown().await?;
    if end == End::Written {
        return Ok(());
    }
    loop {
        match stream.read(&mut rest).await {
            Ok(0) => return Ok(()),
            // A log host has nothing to say.
            Ok(_) => {}
            // It ended the connection in order, without the last word of TLS.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

/// A host that ended the connection before our last bytes came to it resets it when they come.
async fn ended(stream: &TcpStream, end: End) -> io::Result<()> {
    if end == End::Written {
        return Ok(());
    }
    sleep(ON_ITS_WAY).await;
    stream.take_error()?.map_or(Ok(()), Err)
}

/// The operator names the host, so it may be in a private network; addresses that hand out credentials are
/// called by nobody.
async fn resolve(host: &str) -> Result<SocketAddr, String> {
    let found = lookup_host(host).await.map_err(|error| format!("the log host was not found: {error}"))?;
    let mut admitted = found.filter(|address| !hands_out_credentials(embedded_v4(address.ip())));
    admitted.next().ok_or_else(|| "the log host is at an address that is never called".to_owned())
}

fn tls(trusted_ca: &str) -> Result<ClientConfig, String> {
    let unusable = |error: &dyn std::fmt::Display| format!("the certificates cannot be used: {error}");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let extra: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(trusted_ca.as_bytes()).collect();
    let extra = extra.map_err(|error| unusable(&error))?;
    if extra.is_empty() && !trusted_ca.is_empty() {
        return Err(unusable(&"there is none in the file"));
    }
    let verifier = Verifier::new_with_extra_roots(extra, Arc::clone(&provider));
    let verifier = verifier.map_err(|error| unusable(&error))?;
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(&error))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth())
}

/// A message of RFC 5424.
pub fn message(priority: u8, at: &str, host: &str, kind: &str, data: &str, text: &str) -> String {
    format!("<{priority}>1 {at} {host} keyward {} {kind} {data} {text}", std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_udp_tcp_tls_and_sockets() {
        assert_eq!(SyslogTarget::parse("udp://log:514"), Ok(SyslogTarget::Udp("log:514".to_owned())));
        assert_eq!(SyslogTarget::parse("tcp://[::1]:601"), Ok(SyslogTarget::Tcp("[::1]:601".to_owned())));
        assert_eq!(SyslogTarget::parse("tls://log:6514"), Ok(SyslogTarget::Tls("log:6514".to_owned())));
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
}
