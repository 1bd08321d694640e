//! Where a call may go: the guard before every connection to the outside.
//!
//! Two kinds of callee have two rules. The issuer of the admins is named by the operator, and may
//! live in a private network ([`super::http`]). Upstreams are named by admins in the dashboard, so
//! they may be public addresses only, over https, on the ports of the configuration, unless the
//! operator allows more in `egress.allow`. Addresses that hand out a machine's own credentials are
//! never called by anybody. A name is resolved once for a connection, and the connection goes to an
//! address that passed.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use ipnet::IpNet;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

/// The ports that are called when nothing is said.
pub const PORTS: &[u16] = &[443];

/// What upstreams may be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Egress {
    allowed: Vec<Allowed>,
    ports: Vec<u16>,
}

/// An entry of `egress.allow`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowed {
    what: What,
    /// Whether plain http will do.
    plain: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum What {
    Network(IpNet),
    Host(String),
}

/// Why an address is not called.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Barred {
    /// It is no address that can be called.
    #[error("it is not an address that can be called")]
    Url,
    /// It is not https.
    #[error("https is expected; the operator may allow http for a host in egress.allow")]
    Scheme,
    /// Its port is not among those of the configuration.
    #[error("port {0} is not among egress.ports")]
    Port(u16),
    /// It is, or resolves only to, addresses that are not called.
    #[error(
        "{0} is at an address that Keyward does not call: private, of this machine, or one that hands out \
         credentials; the operator may allow a network or a host in egress.allow"
    )]
    Address(String),
}

impl Allowed {
    /// Reads `10.0.0.0/8`, `scim.internal` or `192.0.2.7`, each with `http://` before it where plain
    /// http will do.
    ///
    /// # Errors
    /// What was expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let (plain, rest) = match text.strip_prefix("http://") {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix("https://").unwrap_or(text)),
        };
        let network = rest
            .parse::<IpNet>()
            .ok()
            .or_else(|| rest.trim_matches(['[', ']']).parse::<IpAddr>().ok().map(IpNet::from));
        if let Some(network) = network {
            if network.prefix_len() == 0 {
                return Err("the networks of your services, not everything".to_owned());
            }
            return Ok(Self { what: What::Network(network.trunc()), plain });
        }
        let is_host = !rest.is_empty()
            && rest.len() <= 253
            && rest.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_'));
        if !is_host {
            return Err("a network, an address or the name of a host, without a port and a path".to_owned());
        }
        Ok(Self { what: What::Host(rest.to_ascii_lowercase()), plain })
    }

    fn names(&self, host: &str) -> bool {
        matches!(&self.what, What::Host(name) if name.eq_ignore_ascii_case(host))
    }

    fn holds(&self, ip: IpAddr) -> bool {
        matches!(&self.what, What::Network(network) if network.contains(&ip))
    }
}

impl Egress {
    /// A guard with what the operator allows.
    pub fn new(allowed: Vec<Allowed>, ports: Vec<u16>) -> Self {
        Self { allowed, ports }
    }

    /// Judges an address before anybody calls it; a name is judged again by what it resolves to.
    ///
    /// # Errors
    /// [`Barred`].
    pub fn admits_url(&self, url: &Url) -> Result<(), Barred> {
        if !url.username().is_empty() || url.password().is_some() || url.cannot_be_a_base() {
            return Err(Barred::Url);
        }
        let host = url.host_str().unwrap_or_default();
        let literal = literal(url);
        let entry = self
            .allowed
            .iter()
            .filter(|entry| entry.names(host) || literal.is_some_and(|ip| entry.holds(embedded_v4(ip))));
        let (is_allowed, is_plain) = (entry.clone().next().is_some(), entry.clone().any(|entry| entry.plain));
        // A name may be allowed by the network that it resolves to; the resolver sees that.
        let may_resolve =
            literal.is_none() && self.allowed.iter().any(|entry| matches!(entry.what, What::Network(_)));
        match url.scheme() {
            "https" => {}
            "http" if is_plain => {}
            _ => return Err(Barred::Scheme),
        }
        if let Some(ip) = literal
            && !self.admits_address(host, ip)
        {
            return Err(Barred::Address(host.to_owned()));
        }
        let port = url.port_or_known_default().ok_or(Barred::Url)?;
        if !is_allowed && !may_resolve && !self.ports.contains(&port) {
            return Err(Barred::Port(port));
        }
        Ok(())
    }

    /// Whether a connection to an address may be made for a host.
    pub fn admits_address(&self, host: &str, ip: IpAddr) -> bool {
        let ip = embedded_v4(ip);
        if hands_out_credentials(ip) || is_no_host(ip) {
            return false;
        }
        is_public(ip) || self.allowed.iter().any(|entry| entry.names(host) || entry.holds(ip))
    }
}

/// Resolves names for a client, and lets through the addresses that pass.
#[derive(Debug, Clone)]
pub struct GuardedResolver(pub Arc<Egress>);

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let egress = Arc::clone(&self.0);
        Box::pin(async move {
            let host = name.as_str();
            let found = tokio::net::lookup_host((host, 0)).await?;
            let admitted: Vec<SocketAddr> =
                found.filter(|address| egress.admits_address(host, address.ip())).collect();
            if admitted.is_empty() {
                return Err(Barred::Address(host.to_owned()).into());
            }
            Ok(Box::new(admitted.into_iter()) as Addrs)
        })
    }
}

/// The address that a URL writes out, in whatever way; reqwest asks a resolver for names only.
pub fn literal(url: &Url) -> Option<IpAddr> {
    match url.host()? {
        Host::Ipv4(v4) => Some(IpAddr::V4(v4)),
        Host::Ipv6(v6) => Some(IpAddr::V6(v6)),
        Host::Domain(_) => None,
    }
}

/// The IPv4 address that an IPv6 address stands for: mapped and compatible (RFC 4291 2.5.5), NAT64
/// (RFC 6052, and RFC 8215's local prefix), 6to4 (RFC 3056).
pub fn embedded_v4(ip: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = ip else { return ip };
    let v4: [u8; 4] = match v6.octets() {
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, v4 @ ..]
        | [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0, v4 @ ..]
        | [0, 0x64, 0xff, 0x9b, 0, 1, _, _, _, _, _, _, v4 @ ..]
        | [0x20, 0x02, v4 @ .., _, _, _, _, _, _, _, _, _, _] => v4,
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, v4 @ ..]
            if v6 != Ipv6Addr::LOCALHOST && !v6.is_unspecified() =>
        {
            v4
        }
        _ => return ip,
    };
    IpAddr::V4(Ipv4Addr::from(v4))
}

/// Link-local addresses, where clouds keep the credentials of the machine, and the metadata
/// addresses that lie elsewhere.
pub fn hands_out_credentials(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => {
            v4.is_link_local()
                // Alibaba Cloud and Azure.
                || v4 == Ipv4Addr::new(100, 100, 100, 200)
                || v4 == Ipv4Addr::new(168, 63, 129, 16)
        }
        IpAddr::V6(v6) => {
            v6.is_unicast_link_local()
                // AWS and Google Cloud.
                || v6 == Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x254)
                || v6 == Ipv6Addr::new(0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0x254)
        }
    }
}

/// What is not the address of one host.
pub fn is_no_host(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => v4.is_multicast() || v4.is_broadcast() || v4.octets()[0] == 0,
        IpAddr::V6(v6) => v6.is_multicast() || v6.is_unspecified(),
    }
}

/// Whether the whole internet finds one host there: none of the special purposes of the IANA
/// registries (RFC 6890).
fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            let is_special = v4.is_private()
                || v4.is_loopback()
                || v4.is_documentation()
                // Shared by carriers (RFC 6598).
                || (a == 100 && (64..128).contains(&b))
                // Protocol assignments, and relays of 6to4.
                || (a == 192 && b == 0 && c == 0)
                || (a == 192 && b == 88 && c == 99)
                // Benchmarks (RFC 2544).
                || (a == 198 && (b == 18 || b == 19))
                || a >= 240;
            !is_special
        }
        IpAddr::V6(v6) => {
            let [a, b, ..] = v6.segments();
            // Global unicast, without Teredo and the other assignments of 2001::/23, and documentation.
            (a & 0xe000) == 0x2000
                && !(a == 0x2001 && b < 0x0200)
                && !(a == 0x2001 && b == 0x0db8)
                && !(a == 0x3fff && b < 0x1000)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn egress(allowed: &[&str]) -> Egress {
        Egress::new(allowed.iter().map(|text| Allowed::parse(text).unwrap()).collect(), PORTS.to_vec())
    }

    fn check(allowed: &[&str], url: &str, expect: bool) {
        let url = Url::parse(url).unwrap();
        assert_eq!(egress(allowed).admits_url(&url).is_ok(), expect, "{allowed:?} → {url}");
    }

    #[test]
    fn only_public_addresses_over_https_are_called() {
        check(&[], "https://scim.example.com/v2", true);
        check(&[], "https://93.184.216.34/v2", true);
        check(&[], "https://[2606:4700::1111]/v2", true);
        for url in [
            "http://scim.example.com/v2",
            "ftp://scim.example.com/",
            "file:///etc/passwd",
            "https://user:password@scim.example.com/",
            "https://scim.example.com:22/",
            "https://scim.example.com:8443/",
            "https://127.0.0.1/",
            "https://127.1/",
            "https://2130706433/",
            "https://0x7f.1/",
            "https://0177.0.0.1/",
            "https://[::1]/",
            "https://[::]/",
            "https://[::127.0.0.1]/",
            "https://[::ffff:127.0.0.1]/",
            "https://[::ffff:10.0.0.1]/",
            "https://[64:ff9b::7f00:1]/",
            "https://[64:ff9b:1::7f00:1]/",
            "https://[2002:7f00:1::1]/",
            "https://[2001::1]/",
            "https://[2001:db8::1]/",
            "https://10.0.0.1/",
            "https://172.16.0.1/",
            "https://172.31.255.255/",
            "https://192.168.1.1/",
            "https://100.64.0.1/",
            "https://100.127.255.255/",
            "https://169.254.169.254/latest/meta-data",
            "https://[::ffff:169.254.169.254]/",
            "https://[64:ff9b::a9fe:a9fe]/",
            "https://[2002:a9fe:a9fe::1]/",
            "https://[fe80::1]/",
            "https://[fd00:ec2::254]/",
            "https://[fd12:3456::1]/",
            "https://[fec0::1]/",
            "https://[ff02::1]/",
            "https://[100::1]/",
            "https://0.0.0.0/",
            "https://0.1.2.3/",
            "https://192.0.0.8/",
            "https://192.0.2.1/",
            "https://198.18.0.1/",
            "https://224.0.0.1/",
            "https://240.0.0.1/",
            "https://255.255.255.255/",
            "https://100.100.100.200/",
            "https://168.63.129.16/",
        ] {
            check(&[], url, false);
        }
    }

    #[test]
    fn the_operator_allows_networks_and_hosts_but_never_metadata() {
        check(&["10.0.0.0/8"], "https://10.1.2.3/v2", true);
        check(&["10.0.0.0/8"], "https://10.1.2.3:8443/v2", true);
        check(&["10.0.0.0/8"], "https://[::ffff:10.1.2.3]/v2", true);
        check(&["10.0.0.0/8"], "http://10.1.2.3/v2", false);
        check(&["http://10.0.0.0/8"], "http://10.1.2.3:8080/v2", true);
        check(&["http://10.0.0.0/8"], "https://10.1.2.3/v2", true);
        check(&["10.0.0.0/8"], "https://192.168.1.1/v2", false);
        check(&["http://scim.internal"], "http://SCIM.internal:8080/v2", true);
        check(&["scim.internal"], "http://scim.internal/v2", false);
        check(&["http://127.0.0.1"], "http://127.0.0.1:4711/v2", true);
        check(&["169.254.0.0/16"], "https://169.254.169.254/", false);
        check(&["0.0.0.0/1"], "https://0.0.0.0/", false);
    }

    #[test]
    fn the_addresses_of_a_name_are_judged_too() {
        let judge = |allowed: &[&str], host: &str, ip: &str| {
            egress(allowed).admits_address(host, ip.parse().unwrap())
        };
        assert!(judge(&[], "scim.example.com", "93.184.216.34"));
        assert!(!judge(&[], "scim.example.com", "10.0.0.1"));
        assert!(!judge(&[], "scim.example.com", "127.0.0.1"));
        assert!(!judge(&[], "localhost", "::1"));
        assert!(judge(&["scim.internal"], "scim.internal", "10.0.0.1"));
        assert!(!judge(&["scim.internal"], "other.internal", "10.0.0.1"));
        assert!(!judge(&["scim.internal"], "scim.internal", "169.254.169.254"));
        assert!(judge(&["10.0.0.0/8"], "anything.example.com", "10.0.0.1"));
    }

    #[test]
    fn entries_are_networks_addresses_and_hosts() {
        for text in ["10.0.0.0/8", "fd00::/8", "192.0.2.7", "http://scim.internal", "[::1]", "a_b.c"] {
            assert!(Allowed::parse(text).is_ok(), "{text}");
        }
        for text in ["", "0.0.0.0/0", "::/0", "scim.internal:8080", "scim.internal/v2", "*.internal", "a b"] {
            assert!(Allowed::parse(text).is_err(), "{text}");
        }
    }
}
