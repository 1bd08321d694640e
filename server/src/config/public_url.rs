//! The address under which Keyward is reached.

use std::net::IpAddr;

use url::{Host, Url};

use super::problem::Fault;

/// An https origin, or a plain http one on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl {
    origin: String,
    https: bool,
}

impl PublicUrl {
    /// The origin without a slash at its end, such as `https://keyward.example.com`.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Whether it is https: cookies are then `__Host-`, and HSTS is sent.
    pub fn is_https(&self) -> bool {
        self.https
    }

    /// The origin of a demo on a loopback address.
    pub fn of_loopback(address: std::net::SocketAddr) -> Self {
        Self { origin: format!("http://{address}"), https: false }
    }

    pub(super) fn parse(text: &str) -> Result<Self, Fault> {
        let url = web_address(text)?;
        let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        if !bare {
            return Err(Fault::new(
                "scheme, host and port only: no path, no ?, no #",
                format!(
                    "write {}; Keyward must have a host name of its own",
                    url.origin().ascii_serialization()
                ),
            ));
        }
        Ok(Self { origin: url.origin().ascii_serialization(), https: url.scheme() == "https" })
    }
}

/// An absolute address that is https, or http on this machine, and holds no user or password.
pub(super) fn web_address(text: &str) -> Result<Url, Fault> {
    let expected = "an absolute https address, such as https://keyward.example.com";
    let url = Url::parse(text).map_err(|_| Fault::new(expected, format!("did you mean https://{text}?")))?;
    if !matches!(url.scheme(), "https" | "http") || url.host().is_none() {
        return Err(Fault::new(expected, "write it with https:// and a host"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Fault::new("an address without user and password", "remove what stands before the @"));
    }
    if url.scheme() == "http" && !is_loopback(&url) {
        return Err(Fault::new(
            "https; plain http only for localhost, 127.0.0.1 and [::1]",
            "write https://, and put a reverse proxy that has a certificate in front: \
             over plain http anybody on the way reads the keys",
        ));
    }
    Ok(url)
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => IpAddr::V6(ip).to_canonical().is_loopback(),
        None => false,
    }
}
