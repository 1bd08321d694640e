//! Who a user is to others: names, mail addresses, ids; what of it is new, and what is rewritten.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Guards;

/// A federation with so many mail domains has no foreign ones: A13 does not ask for more.
pub const MOST_LEARNED: usize = 1_000;

/// What A13 has never seen of a federation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct New {
    /// Mail domains.
    pub domains: BTreeSet<String>,
    /// The shape of an externalId.
    pub shape: Option<&'static str>,
}

impl New {
    /// What a change brings that the guards do not know. What was there before brings nothing.
    pub fn of(guards: &Guards, before: Option<&Value>, after: &Value) -> Self {
        let mut domains = BTreeSet::new();
        for domain in mail_domains(after) {
            if !guards.knows_domain(&domain) {
                domains.insert(domain);
            }
        }
        let id = text(after, "externalId");
        let mut shape = id.map(shape).filter(|shape| !guards.knows_shape(shape));
        if let Some(before) = before
            && (!domains.is_empty() || shape.is_some())
        {
            for domain in mail_domains(before) {
                domains.remove(&domain);
            }
            let known = text(before, "externalId").map(self::shape);
            shape = shape.filter(|shape| known != Some(shape));
        }
        Self { domains, shape }
    }

    /// Whether everything is known.
    pub fn is_nothing(&self) -> bool {
        self.domains.is_empty() && self.shape.is_none()
    }
}

fn text<'a>(user: &'a Value, name: &str) -> Option<&'a str> {
    user.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
}

fn addresses(user: &Value) -> impl Iterator<Item = &Value> {
    user.get("emails").and_then(Value::as_array).into_iter().flatten()
}

fn address(value: &Value) -> Option<String> {
    text(value, "value").map(str::to_lowercase)
}

/// The domain of an address, in lower case.
fn domain_of(address: &str) -> Option<String> {
    let (local, domain) = address.trim().rsplit_once('@')?;
    let is_domain = !local.is_empty() && domain.contains('.') && domain.len() <= 253;
    is_domain.then(|| domain.to_lowercase())
}

/// The mail domains of a user: those of the addresses and of a userName that is one.
pub fn mail_domains(user: &Value) -> impl Iterator<Item = String> {
    let of_name = text(user, "userName").and_then(domain_of);
    of_name.into_iter().chain(addresses(user).filter_map(|value| domain_of(text(value, "value")?)))
}

/// The shape of an externalId: coarse, so that a provider has one or two of them.
pub fn shape(id: &str) -> &'static str {
    let bytes = id.as_bytes();
    let is_uuid = bytes.len() == 36
        && bytes.iter().enumerate().all(|(index, byte)| match index {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        });
    if is_uuid {
        "uuid"
    } else if bytes.iter().all(u8::is_ascii_digit) {
        "number"
    } else if domain_of(id).is_some() {
        "mail"
    } else if id.contains('=') && id.contains(',') {
        "dn"
    } else if bytes.iter().all(u8::is_ascii_alphanumeric) {
        "alphanumeric"
    } else {
        "text"
    }
}

/// Whether a change rewrites who a user is: another userName, another externalId, another mail address in the
/// place of one, or none any more: whoever takes the address away can set another one with the next request.
/// What had no value before is set, not rewritten; another address beside the old ones is added.
pub fn is_rewritten(before: &Value, after: &Value) -> bool {
    let folded = |user: &Value| text(user, "userName").map(str::to_lowercase);
    if folded(before).is_some() && folded(before) != folded(after) {
        return true;
    }
    let id = text(before, "externalId");
    if id.is_some() && id != text(after, "externalId") {
        return true;
    }
    let all = |user: &Value| -> BTreeSet<String> { addresses(user).filter_map(address).collect() };
    let (old, new) = (all(before), all(after));
    if old.is_empty() {
        return false;
    }
    let is_replaced = old.difference(&new).next().is_some() && new.difference(&old).next().is_some();
    is_replaced || primary(before) != primary(after)
}

/// The address that a user is reached at: the primary one, else the first.
fn primary(user: &Value) -> Option<String> {
    let is_primary = |value: &&Value| value.get("primary").and_then(Value::as_bool) == Some(true);
    let mut all = addresses(user);
    let found = addresses(user).find(is_primary);
    found.or_else(|| all.next()).and_then(address)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_rewrite_is_another_value_in_the_place_of_one() {
        let ada = json!({ "userName": "Ada", "externalId": "1", "emails": [{ "value": "ada@a.example" }] });
        let with = |name: &str, value: Value| {
            let mut user = ada.clone();
            user.as_object_mut().unwrap().insert(name.to_owned(), value);
            user
        };
        for same in [
            ada.clone(),
            with("userName", json!("ADA")),
            with("emails", json!([{ "value": "ADA@a.example", "type": "work" }])),
            with("emails", json!([{ "value": "ada@a.example" }, { "value": "home@b.example" }])),
            with("title", json!("Countess")),
        ] {
            assert!(!is_rewritten(&ada, &same), "{same}");
        }
        for other in [
            with("userName", json!("Bob")),
            with("externalId", json!("2")),
            with("externalId", Value::Null),
            with("emails", json!([{ "value": "bob@a.example" }])),
            with("emails", json!([])),
            with("emails", Value::Null),
            with(
                "emails",
                json!([{ "value": "ada@a.example" }, { "value": "x@b.example", "primary": true }]),
            ),
        ] {
            assert!(is_rewritten(&ada, &other), "{other}");
        }
        let bare = json!({ "userName": "Ada" });
        assert!(!is_rewritten(&bare, &ada), "what had no value is set");
    }

    #[test]
    fn shapes_tell_kinds_of_ids_apart() {
        for (id, expect) in [
            ("0f8fad5b-d9cb-469f-a165-70867728950e", "uuid"),
            ("10023", "number"),
            ("ada@a.example", "mail"),
            ("CN=Ada,OU=People", "dn"),
            ("00u1abcdEFGH", "alphanumeric"),
            ("ada.lovelace", "text"),
        ] {
            assert_eq!(shape(id), expect, "{id}");
        }
    }

    #[test]
    fn domains_come_from_addresses_and_from_a_name_that_is_one() {
        let user = json!({ "userName": "ada@A.example", "emails": [{ "value": "x@b.example" }, { "value": "nobody" }] });
        assert_eq!(mail_domains(&user).collect::<Vec<_>>(), ["a.example", "b.example"]);
        assert_eq!(mail_domains(&json!({ "userName": "ada@host" })).count(), 0);
    }

    #[test]
    fn what_was_there_before_is_not_new() {
        let guards = Guards::default().knowing(["a.example"], ["number"]);
        let ada = json!({ "userName": "ada@a.example", "externalId": "7" });
        assert!(New::of(&guards, None, &ada).is_nothing());
        let foreign = json!({ "userName": "ada@evil.example", "externalId": "x-7" });
        let new = New::of(&guards, Some(&ada), &foreign);
        assert_eq!((new.domains.len(), new.shape), (1, Some("text")));
        assert!(New::of(&guards, Some(&foreign), &foreign).is_nothing());
    }
}
