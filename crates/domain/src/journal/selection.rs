//! Which changes are meant: those of a key, of an address, of a window of time, of one resource.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{Entry, MEMBERS};
use crate::{Invalid, JournalId, KeyId, Millis, ResourceId, UndoId};

/// Changes in the directory of one federation; what is not said does not narrow.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Selection {
    /// By one of these keys.
    pub keys: Vec<KeyId>,
    /// From an address in here.
    pub network: Option<IpNet>,
    /// Not before.
    pub from_ms: Option<Millis>,
    /// Not after.
    pub until_ms: Option<Millis>,
    /// Of this user or group.
    pub resource: Option<ResourceId>,
    /// Of this attribute; of an extension, its URN or the URN, a colon and the name.
    pub attribute: Option<String>,
    /// Made by this taking back.
    pub undo: Option<UndoId>,
    /// This one change.
    pub entry: Option<JournalId>,
}

impl Selection {
    /// The changes of one key.
    pub fn of_key(key_id: KeyId) -> Self {
        Self { keys: vec![key_id], ..Self::default() }
    }

    /// Whether nothing narrows it: every change of the federation.
    pub fn is_everything(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a change is meant.
    pub fn admits(&self, entry: &Entry) -> bool {
        let by_key =
            self.keys.is_empty() || entry.key_id.as_ref().is_some_and(|key_id| self.keys.contains(key_id));
        let by_network = self.network.is_none_or(|network| {
            let source = entry.source.as_deref().and_then(|source| source.parse().ok());
            source.is_some_and(|source: std::net::IpAddr| network.contains(&source))
        });
        by_key
            && by_network
            && self.from_ms.is_none_or(|from_ms| entry.at_ms >= from_ms)
            && self.until_ms.is_none_or(|until_ms| entry.at_ms <= until_ms)
            && self.resource.as_ref().is_none_or(|id| entry.resource_id == *id)
            && self.undo.as_ref().is_none_or(|id| entry.undo_of.as_ref() == Some(id))
            && self.entry.as_ref().is_none_or(|id| entry.id == *id)
            && self.attribute.as_deref().is_none_or(|name| is_about(entry, name))
    }

    /// Whether an attribute, or one inside an extension, is meant; [`MEMBERS`] stands for memberships.
    pub fn admits_attribute(&self, top: &str, inner: Option<&str>) -> bool {
        self.attribute.as_deref().is_none_or(|wanted| {
            wanted.eq_ignore_ascii_case(top)
                || inner.is_some_and(|inner| {
                    let (urn, name) = wanted.rsplit_once(':').unwrap_or(("", wanted));
                    urn.eq_ignore_ascii_case(top) && name.eq_ignore_ascii_case(inner)
                })
        })
    }

    /// Whether whole resources are meant, and not one attribute of them.
    pub fn is_of_whole_resources(&self) -> bool {
        self.attribute.is_none()
    }

    /// Reads an address or a network.
    ///
    /// # Errors
    /// [`Invalid`] on `source` for neither.
    pub fn parse_network(text: &str) -> Result<IpNet, Invalid> {
        let text = text.trim();
        let network =
            text.parse::<IpNet>().ok().or_else(|| text.parse().ok().map(|ip: std::net::IpAddr| ip.into()));
        network.ok_or_else(|| {
            Invalid::new(
                "source",
                "an address such as 192.0.2.7 or a network such as 192.0.2.0/24 was expected",
            )
        })
    }
}

fn is_about(entry: &Entry, wanted: &str) -> bool {
    let names = entry.was.keys().chain(entry.became.keys());
    let inner = wanted.rsplit_once(':').map(|(urn, _)| urn);
    let is_named = |name: &String| {
        name.eq_ignore_ascii_case(wanted) || inner.is_some_and(|urn| name.eq_ignore_ascii_case(urn))
    };
    (wanted.eq_ignore_ascii_case(MEMBERS) && !entry.members.is_empty()) || names.into_iter().any(is_named)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::journal::tests::entry;

    #[test]
    fn every_dimension_narrows() {
        let one = entry(5, 1, json!({ "title": "a" }), json!({ "title": "b" }));
        let everything = Selection::default();
        assert!(everything.admits(&one) && everything.is_everything());
        let check =
            |selection: Selection, expect: bool| assert_eq!(selection.admits(&one), expect, "{selection:?}");
        for (key, expect) in [(1, true), (2, false)] {
            check(Selection::of_key(KeyId::new(1, [key; 10])), expect);
        }
        for (network, expect) in [("192.0.2.0/24", true), ("192.0.2.7", true), ("10.0.0.0/8", false)] {
            let network = Some(Selection::parse_network(network).unwrap());
            check(Selection { network, ..Selection::default() }, expect);
        }
        for (from_ms, until_ms, expect) in [(5, 5, true), (6, 9, false), (1, 4, false)] {
            let (from_ms, until_ms) = (Some(from_ms), Some(until_ms));
            check(Selection { from_ms, until_ms, ..Selection::default() }, expect);
        }
        for (name, expect) in [("title", true), ("TITLE", true), ("members", false), ("active", false)] {
            check(Selection { attribute: Some(name.to_owned()), ..Selection::default() }, expect);
        }
        check(Selection { entry: Some(JournalId::new(6, [0; 10])), ..Selection::default() }, false);
        check(Selection { undo: Some(UndoId::new(6, [0; 10])), ..Selection::default() }, false);
        check(Selection { resource: Some(ResourceId::new(6, [0; 10])), ..Selection::default() }, false);
        assert!(Selection::parse_network("here").is_err());
    }

    #[test]
    fn an_attribute_of_an_extension_is_named_with_its_urn() {
        let urn = "urn:example:2.0:User";
        let one = entry(5, 1, json!({ urn: { "department": "a" } }), json!({ urn: { "department": "b" } }));
        let of = |name: &str| Selection { attribute: Some(name.to_owned()), ..Selection::default() };
        assert!(of(urn).admits(&one) && of("urn:example:2.0:User:department").admits(&one));
        assert!(of("urn:example:2.0:User:department").admits_attribute(urn, Some("department")));
        assert!(!of("urn:example:2.0:User:department").admits_attribute(urn, Some("manager")));
        assert!(of(urn).admits_attribute(urn, Some("manager")));
    }
}
