//! The HTTP client that speaks to the identity provider of the administrators.
//!
//! What it may reach is decided by the issuer that the operator configured, never by what a
//! document says. Private networks are allowed, because the provider often lives in one; addresses
//! that hand out a machine's own credentials never are. A name is resolved once, and the connection
//! goes to an address that passed. No redirects, no proxy, 10 seconds, 1 MiB.

use std::{
    future::Future,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use openidconnect::{AsyncHttpClient, HttpRequest, HttpResponse};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use super::egress::{embedded_v4, hands_out_credentials, is_no_host, literal};

/// The most bytes of an answer that are read.
pub const BODY_LIMIT: usize = 1024 * 1024;

const TIMEOUT: Duration = Duration::from_secs(10);

/// Why a call was not made, or its answer not taken.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// Neither https nor, for a provider on this machine, http on loopback.
    #[error("{0} is neither https nor http on the loopback interface of a loopback provider")]
    Scheme(String),
    /// The host is, or resolves only to, an address that is never called.
    #[error("{0} is at an address that Keyward does not call")]
    Address(String),
    /// The URL cannot be read, or carries a user name or password.
    #[error("{0:?} is not a URL that can be called")]
    Url(String),
    /// The answer is longer than [`BODY_LIMIT`].
    #[error("the answer is longer than {BODY_LIMIT} bytes")]
    TooLarge,
    /// The connection, TLS or the exchange came to nothing.
    #[error("the call was not answered")]
    Transport(#[source] reqwest::Error),
    /// The answer cannot be handed on.
    #[error("the answer is not HTTP")]
    Answer(#[source] http::Error),
}

/// The client for discovery, keys, tokens and user information of one issuer.
#[derive(Clone)]
pub struct OidcHttp {
    client: reqwest::Client,
    reach: Arc<Reach>,
}

impl OidcHttp {
    /// Makes the client for a configured issuer.
    ///
    /// # Errors
    /// [`HttpError::Scheme`] when the issuer is plain http and not on loopback;
    /// [`HttpError::Transport`] when the machine has no usable certificate store.
    pub fn new(issuer: &Url) -> Result<Self, HttpError> {
        install_crypto();
        let reach = Arc::new(Reach::of(issuer)?);
        let client = reqwest::Client::builder()
            .user_agent(concat!("Keyward/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .timeout(TIMEOUT)
            .connect_timeout(TIMEOUT)
            .dns_resolver(Arc::clone(&reach))
            .build()
            .map_err(HttpError::Transport)?;
        Ok(Self { client, reach })
    }

    /// Whether a URL that the provider named may be called.
    ///
    /// # Errors
    /// [`HttpError::Scheme`], [`HttpError::Url`] or [`HttpError::Address`]. A name is judged again
    /// by its addresses when it is resolved.
    pub fn admits(&self, url: &Url) -> Result<(), HttpError> {
        self.reach.admits_url(url)
    }

    /// Makes one call.
    ///
    /// # Errors
    /// Each of [`HttpError`].
    pub async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let url = request.uri().to_string();
        let url = Url::parse(&url).map_err(|_| HttpError::Url(url))?;
        self.admits(&url)?;
        let request = reqwest::Request::try_from(request).map_err(transport)?;
        let mut response = self.client.execute(request).await.map_err(transport)?;
        let mut answer = http::Response::builder().status(response.status());
        if let Some(headers) = answer.headers_mut() {
            headers.clone_from(response.headers());
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(transport)? {
            if body.len() + chunk.len() > BODY_LIMIT {
                return Err(HttpError::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        answer.body(body).map_err(HttpError::Answer)
    }
}

impl<'c> AsyncHttpClient<'c> for OidcHttp {
    type Error = HttpError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(self.send(request))
    }
}

/// Makes aws-lc-rs the crypto provider of this process, once; later calls change nothing.
pub fn install_crypto() {
    // Refused only when one is installed already, and every caller installs the same one.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

// A URL may hold a code or a hint of an identity: it does not go to the log.
fn transport(error: reqwest::Error) -> HttpError {
    HttpError::Transport(error.without_url())
}

/// What an issuer opens.
#[derive(Debug)]
struct Reach {
    issuer_host: String,
    issuer_on_loopback: bool,
}

impl Reach {
    fn of(issuer: &Url) -> Result<Self, HttpError> {
        let reach = Self {
            issuer_host: issuer.host_str().unwrap_or_default().to_owned(),
            issuer_on_loopback: is_loopback_host(issuer),
        };
        reach.admits_url(issuer)?;
        Ok(reach)
    }

    fn admits_url(&self, url: &Url) -> Result<(), HttpError> {
        if !url.username().is_empty() || url.password().is_some() {
            return Err(HttpError::Url(url.origin().ascii_serialization()));
        }
        let plain_on_loopback = url.scheme() == "http" && self.issuer_on_loopback && is_loopback_host(url);
        if url.scheme() != "https" && !plain_on_loopback {
            return Err(HttpError::Scheme(url.origin().ascii_serialization()));
        }
        let literal = literal(url);
        let host = url.host_str().unwrap_or_default();
        if literal.is_some_and(|ip| !self.admits_address(host, ip)) {
            return Err(HttpError::Address(host.to_owned()));
        }
        Ok(())
    }

    fn admits_address(&self, host: &str, ip: IpAddr) -> bool {
        let ip = embedded_v4(ip);
        if ip.is_loopback() {
            return self.issuer_on_loopback || host == self.issuer_host;
        }
        // Plain http was let through for this name because it stays on the machine.
        host != "localhost" && !hands_out_credentials(ip) && !is_no_host(ip)
    }
}

impl Resolve for Reach {
    fn resolve(&self, name: Name) -> Resolving {
        let own = Self { issuer_host: self.issuer_host.clone(), issuer_on_loopback: self.issuer_on_loopback };
        Box::pin(async move {
            let host = name.as_str();
            let found = tokio::net::lookup_host((host, 0)).await?;
            let admitted: Vec<SocketAddr> =
                found.filter(|address| own.admits_address(host, address.ip())).collect();
            if admitted.is_empty() {
                return Err(HttpError::Address(host.to_owned()).into());
            }
            Ok(Box::new(admitted.into_iter()) as Addrs)
        })
    }
}

/// Whether a URL's host is a loopback address, or the name `localhost`.
pub fn is_loopback_host(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(v4)) => v4.is_loopback(),
        Some(Host::Ipv6(v6)) => v6.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(issuer: &str, target: &str, admitted: bool) {
        let reach = Reach::of(&Url::parse(issuer).unwrap()).unwrap();
        let target = Url::parse(target).unwrap();
        assert_eq!(reach.admits_url(&target).is_ok(), admitted, "{issuer} → {target}");
    }

    #[test]
    fn a_public_issuer_opens_https_anywhere_but_never_metadata_or_this_machine() {
        let issuer = "https://id.example.com/tenant";
        for target in ["https://keys.example.net/jwks", "https://10.1.2.3/jwks", "https://[fd12::1]/jwks"] {
            check(issuer, target, true);
        }
        for target in [
            "http://id.example.com/jwks",
            "http://127.0.0.1/jwks",
            "https://127.0.0.1/jwks",
            "https://2130706433/jwks",
            "https://0x7f.1/jwks",
            "https://0177.0.0.1/jwks",
            "https://[::1]/jwks",
            "https://[::ffff:127.0.0.1]/jwks",
            "https://169.254.169.254/latest/meta-data",
            "https://[::ffff:169.254.169.254]/",
            "https://[64:ff9b::a9fe:a9fe]/",
            "https://[2002:a9fe:a9fe::1]/",
            "https://[fe80::1]/",
            "https://[fd00:ec2::254]/",
            "https://100.100.100.200/",
            "https://168.63.129.16/",
            "https://0.0.0.0/",
            "https://[::]/",
            "https://224.0.0.1/",
            "https://user:password@id.example.com/jwks",
            "file:///etc/passwd",
            "ftp://id.example.com/",
        ] {
            check(issuer, target, false);
        }
    }

    #[test]
    fn a_loopback_issuer_opens_loopback_over_plain_http() {
        let issuer = "http://127.0.0.1:4010";
        for target in ["http://127.0.0.1:4010/jwks", "http://localhost:4010/jwks", "http://[::1]:4010/jwks"] {
            check(issuer, target, true);
        }
        for target in ["http://10.0.0.1/jwks", "http://169.254.169.254/", "http://id.example.com/jwks"] {
            check(issuer, target, false);
        }
    }

    #[test]
    fn a_plain_http_issuer_elsewhere_is_refused() {
        for issuer in ["http://id.example.com", "http://10.0.0.1", "https://169.254.169.254"] {
            assert!(Reach::of(&Url::parse(issuer).unwrap()).is_err(), "{issuer}");
        }
    }

    #[test]
    fn the_addresses_of_a_name_are_judged_too() {
        let reach = Reach::of(&Url::parse("https://id.example.com").unwrap()).unwrap();
        let judge = |host: &str, ip: &str| reach.admits_address(host, ip.parse().unwrap());
        assert!(judge("keys.example.com", "203.0.113.9"));
        assert!(judge("keys.example.com", "192.168.1.4"));
        assert!(judge("id.example.com", "127.0.0.1"), "the operator's own hosts file may say so");
        assert!(!judge("keys.example.com", "127.0.0.1"));
        assert!(!judge("keys.example.com", "169.254.169.254"));
        assert!(!judge("id.example.com", "169.254.169.254"));
        assert!(!judge("localhost", "203.0.113.9"));
    }
}
