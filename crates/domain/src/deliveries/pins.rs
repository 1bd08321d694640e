//! Public keys of certificates that were approved: one for each host.

use std::{collections::BTreeMap, fmt};

/// The public keys that certificates must have, each as SHA-256 in hexadecimal.
///
/// As text: `graph.example.com 0a1b…, login.example.com 2c3d…`, or one key alone for a target on one host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pins {
    /// Without a host: whatever is called has this one.
    alone: Option<String>,
    /// By host, in lower case, an address of version 6 without brackets.
    hosts: BTreeMap<String, String>,
}

impl Pins {
    /// Reads the text; nothing is no pin. Colons, spaces and capitals in a key do not matter.
    pub fn parse(text: &str) -> Option<Self> {
        let mut pins = Self::default();
        for part in text.split([',', '\n', '\r']).map(str::trim).filter(|part| !part.is_empty()) {
            if let Some(key) = key(part) {
                if pins.alone.replace(key).is_some() {
                    return None;
                }
                continue;
            }
            let (host, rest) = part.split_once(char::is_whitespace)?;
            if !pins.insert(host, &key(rest)?) {
                return None;
            }
        }
        // One key for whatever is called, and keys of hosts, say two things.
        (pins.alone.is_none() || pins.hosts.is_empty()).then_some(pins)
    }

    /// Notes the key of a host; false when there is another one already.
    pub fn insert(&mut self, host: &str, public_key: &str) -> bool {
        let before = self.hosts.insert(folded(host), public_key.to_owned());
        before.is_none_or(|before| before == public_key)
    }

    /// Whether nothing is pinned.
    pub fn is_empty(&self) -> bool {
        self.alone.is_none() && self.hosts.is_empty()
    }

    /// Whether a host may show a certificate with this key. A host without a pin among others may not.
    pub fn admits(&self, host: &str, public_key: &str) -> bool {
        let pinned = self.alone.as_ref().or_else(|| self.hosts.get(&folded(host)));
        self.is_empty() || pinned.is_some_and(|pinned| pinned == public_key)
    }

    /// What stops these pins from being those of a target that calls these addresses.
    pub fn fault(&self, urls: &[String]) -> Option<String> {
        let mut called: Vec<String> = urls.iter().map(|url| host_of(url)).collect();
        called.sort_unstable();
        called.dedup();
        if self.alone.is_some() {
            let is_one = called.len() == 1;
            return (!is_one).then(|| format!("one for each host is expected: {}", called.join(", ")));
        }
        if self.is_empty() {
            return None;
        }
        let without = called.iter().find(|host| !self.hosts.contains_key(*host));
        let foreign = self.hosts.keys().find(|host| !called.contains(host));
        without
            .map(|host| format!("{host} is called, and has none"))
            .or_else(|| foreign.map(|host| format!("{host} is not called by this target")))
    }
}

impl fmt::Display for Pins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(key) = &self.alone {
            return f.write_str(key);
        }
        for (place, (host, key)) in self.hosts.iter().enumerate() {
            let comma = if place == 0 { "" } else { ", " };
            write!(f, "{comma}{host} {key}")?;
        }
        Ok(())
    }
}

fn key(text: &str) -> Option<String> {
    let key: String = text.chars().filter(|c| *c != ':' && !c.is_whitespace()).collect();
    let is_key = key.len() == 64 && key.chars().all(|c| c.is_ascii_hexdigit());
    is_key.then(|| key.to_ascii_lowercase())
}

fn folded(host: &str) -> String {
    host.trim_matches(['[', ']']).trim_end_matches('.').to_ascii_lowercase()
}

/// The host of an address, without its port.
fn host_of(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split('/').next().unwrap_or_default();
    let host = match authority.rfind(']') {
        Some(end) => authority.get(..=end),
        None => authority.split(':').next(),
    };
    folded(host.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hexadecimal(digit: &str) -> String {
        digit.repeat(64)
    }

    #[test]
    fn each_host_has_its_own_key_and_no_other() {
        let (a, b) = (hexadecimal("a"), hexadecimal("b"));
        let pins = Pins::parse(&format!("Login.example.com {b},\n graph.example.com {a}")).unwrap();
        assert_eq!(pins.to_string(), format!("graph.example.com {a}, login.example.com {b}"));
        assert_eq!(Pins::parse(&pins.to_string()), Some(pins.clone()));
        assert!(pins.admits("graph.example.com", &a) && pins.admits("LOGIN.example.com", &b));
        assert!(!pins.admits("graph.example.com", &b) && !pins.admits("login.example.com", &a));
        assert!(!pins.admits("other.example.com", &a));
        let urls = ["https://graph.example.com", "https://login.example.com:443/x"].map(str::to_owned);
        assert_eq!(pins.fault(&urls), None);
        assert_eq!(pins.fault(&urls[..1]).as_deref(), Some("login.example.com is not called by this target"));
    }

    #[test]
    fn one_key_alone_is_for_one_host() {
        let colons = ["AB"; 32].join(":");
        let pins = Pins::parse(&colons).unwrap();
        assert_eq!(pins.to_string(), "ab".repeat(32));
        assert!(pins.admits("::1", &"ab".repeat(32)) && !pins.admits("::1", &hexadecimal("a")));
        assert_eq!(pins.fault(&["https://[::1]:8200/a".to_owned(), "https://[::1]/b".to_owned()]), None);
        let two = ["https://a.example", "https://b.example"].map(str::to_owned);
        assert_eq!(pins.fault(&two).as_deref(), Some("one for each host is expected: a.example, b.example"));
        let one = Pins::parse(&format!("a.example {}", hexadecimal("a"))).unwrap();
        assert_eq!(one.fault(&two).as_deref(), Some("b.example is called, and has none"));
    }

    #[test]
    fn what_says_nothing_pins_nothing_and_what_says_two_things_is_refused() {
        assert!(Pins::parse(" \n").unwrap().is_empty() && Pins::default().admits("a", "b"));
        let (a, b) = (hexadecimal("a"), hexadecimal("b"));
        for text in [
            "abc",
            "a.example",
            "a.example abc",
            &format!("{a}, {b}"),
            &format!("{a}, h {b}"),
            &format!("h {a}, h {b}"),
        ] {
            assert_eq!(Pins::parse(text), None, "{text}");
        }
    }
}
