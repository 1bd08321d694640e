//! Networks whose word on the origin of a request is taken.

use std::net::IpAddr;

use ipnet::IpNet;

use super::problem::Fault;

/// The reverse proxies in front of Keyward.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    /// Trusts these networks.
    pub fn new(networks: Vec<IpNet>) -> Self {
        Self(networks)
    }

    /// Whether an address belongs to one of them. IPv4 written in IPv6 (`::ffff:10.0.0.1`) is IPv4.
    pub fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    pub(super) fn parse(texts: &[String]) -> Result<Self, Fault> {
        texts.iter().map(|text| network(text)).collect::<Result<_, _>>().map(Self)
    }
}

fn network(text: &str) -> Result<IpNet, Fault> {
    let text = text.trim();
    let parsed = text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
    let Some(network) = parsed else {
        return Err(Fault::new(
            "networks such as 10.0.0.0/8 or fd00::/8, or single addresses",
            format!("{text:?} is neither; host names are not looked up"),
        ));
    };
    if network.prefix_len() == 0 {
        return Err(Fault::new(
            "the networks of your proxies, not everybody",
            format!("with {text} anybody could claim any address; name the addresses of the proxies"),
        ));
    }
    if network.trunc() != network {
        return Err(Fault::new(
            "networks whose host part is zero",
            format!("did you mean {} or {}?", network.trunc(), network.addr()),
        ));
    }
    Ok(network)
}
