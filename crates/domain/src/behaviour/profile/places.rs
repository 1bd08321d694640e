//! From where and with what somebody comes, as it is remembered.

use std::net::IpAddr;

use super::NAME;

/// The network of an address: /24, /48.
pub fn network_of(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, _] = address.octets();
            format!("{a}.{b}.{c}.0/24")
        }
        IpAddr::V6(address) => address.to_ipv4_mapped().map_or_else(
            || {
                let [a, b, c, ..] = address.segments();
                format!("{a:x}:{b:x}:{c:x}::/48")
            },
            |mapped| network_of(IpAddr::V4(mapped)),
        ),
    }
}

/// The family of a user agent: its first word, without version.
pub fn family_of(agent: &str) -> String {
    let word = agent.split(['/', ' ', '(', ';']).find(|word| !word.is_empty()).unwrap_or("none");
    word.chars().take(NAME).collect::<String>().to_lowercase()
}
