//! Sentences and numbers that several pages say: one place for each wording.
//!
//! Who and what next, numbers before adjectives, the same word for a thing everywhere.

use domain::{
    federations::Vendor,
    guides,
    keys::Proof,
    scopes::{Grant, ResourceKind, Scope, Verb},
};

/// Who may do what only an admin may.
pub const NEEDS_ADMIN: &str = "Needs the role admin.";

/// Who may run one federation and its keys.
pub const NEEDS_OPERATOR: &str = "Needs the role admin, or operator of this federation.";

/// Who may agree to what somebody else wants.
pub const NEEDS_APPROVER: &str = "Needs the role admin or manager.";

/// A number with a thousands separator: `3,204`.
pub fn number(value: i64) -> String {
    let digits = value.unsigned_abs().to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if value < 0 { format!("-{text}") } else { text }
}

/// A count with its noun: `1 key`, `3 keys`.
pub fn count(value: i64, noun: &str) -> String {
    format!("{} {noun}{}", number(value), if value == 1 { "" } else { "s" })
}

/// How people recognise a key whose text is gone: `…9f3c`.
pub fn ends_with(last_four: &str) -> String {
    format!("…{last_four}")
}

/// A message of ours as a sentence: capital letter, full stop.
pub fn sentence(message: &str) -> String {
    let mut letters = message.trim().chars();
    let Some(first) = letters.next() else { return String::new() };
    let mut text: String = first.to_uppercase().chain(letters).collect();
    if !text.ends_with(['.', '?', ':']) {
        text.push('.');
    }
    text
}

/// A word at the beginning of a sentence.
pub fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// The name of a provider in a running sentence.
pub const fn provider(vendor: Vendor) -> &'static str {
    match vendor {
        Vendor::Other => "The provider",
        Vendor::Okta
        | Vendor::Entra
        | Vendor::Google
        | Vendor::Keycloak
        | Vendor::Authentik
        | Vendor::Onelogin
        | Vendor::Jumpcloud
        | Vendor::Ping
        | Vendor::Sailpoint
        | Vendor::Rippling => vendor.label(),
    }
}

/// What a provider does after it was answered 401, as far as its makers say.
pub const fn after_401(vendor: Vendor) -> &'static str {
    match vendor {
        Vendor::Entra => {
            "Entra quarantines the provisioning job: it tries again after 6, 12 and 24 hours, then daily, and gives up after 28 days. Restart the job in Entra once it has the new key."
        }
        Vendor::Okta => {
            "Okta marks each assignment as failed and lists it under Tasks. Retry the tasks once it has the new key."
        }
        Vendor::Google
        | Vendor::Keycloak
        | Vendor::Authentik
        | Vendor::Onelogin
        | Vendor::Jumpcloud
        | Vendor::Ping
        | Vendor::Sailpoint
        | Vendor::Rippling
        | Vendor::Other => {
            "Changes made there meanwhile do not arrive. Start a full synchronisation once it has the new key."
        }
    }
}

/// Where a provider takes the base URL and the key, in two sentences.
pub fn paste_guide(vendor: Vendor) -> String {
    let guide = guides::of(vendor);
    let place = if vendor == Vendor::Other { "the provider" } else { vendor.label() };
    let fields =
        |names: Vec<&str>| names.iter().map(|name| format!("“{name}”")).collect::<Vec<_>>().join(" or ");
    format!(
        "In {place}: {}. The base URL goes to {}, the key to {}.",
        guide.screens.join(", "),
        fields(guide.base_url_fields().collect()),
        fields(guide.key_fields().collect()),
    )
}

/// What a proof means for whoever holds a key.
pub const fn proof(proof: Proof) -> &'static str {
    match proof {
        Proof::Static => {
            "The key goes with each request. Whoever has a copy of it is taken for the provider until it ends."
        }
        Proof::Assertion => {
            "The client signs with a private key that never leaves it, and gets tokens that live minutes."
        }
        Proof::Secret => {
            "The client sends a secret to the token endpoint, and gets tokens that live minutes."
        }
    }
}

/// What a verb on a resource type means, in words: `change groups and who is in them`.
pub const fn grant(resource: ResourceKind, verb: Verb) -> &'static str {
    match (resource, verb) {
        (ResourceKind::Users, Verb::Read) => "read users",
        (ResourceKind::Users, Verb::Create) => "create users",
        (ResourceKind::Users, Verb::Update) => "change users and switch them off",
        (ResourceKind::Users, Verb::Delete) => "delete users",
        (ResourceKind::Groups, Verb::Read) => "read groups",
        (ResourceKind::Groups, Verb::Create) => "create groups",
        (ResourceKind::Groups, Verb::Update) => "change groups and who is in them",
        (ResourceKind::Groups, Verb::Delete) => "delete groups",
    }
}

/// Every resource type with every verb, in reading order.
pub fn all_grants() -> impl Iterator<Item = (ResourceKind, Verb)> {
    ResourceKind::ALL.into_iter().flat_map(|kind| Verb::ALL.into_iter().map(move |verb| (kind, verb)))
}

/// What a scope allows (`true`) or refuses (`false`), one phrase each.
pub fn phrases(scope: &Scope, allowed: bool) -> Vec<&'static str> {
    all_grants()
        .filter(|(kind, verb)| scope.grants(*kind, *verb) == allowed)
        .map(|(kind, verb)| grant(kind, verb))
        .collect()
}

/// A grant short enough for a table: `users read write`.
pub fn tag(grant: &Grant) -> String {
    let has = |verb| grant.verbs.contains(&verb);
    let mut words: Vec<&str> = Vec::new();
    if has(Verb::Read) {
        words.push("read");
    }
    match (has(Verb::Create), has(Verb::Update)) {
        (true, true) => words.push("write"),
        (true, false) => words.push("create"),
        (false, true) => words.push("update"),
        (false, false) => {}
    }
    if has(Verb::Delete) {
        words.push("delete");
    }
    format!("{} {}", grant.resource, words.join(" "))
}

/// A path with those of its parameters that say something.
pub fn address<'a>(path: &str, fields: impl IntoIterator<Item = (&'a str, Option<String>)>) -> String {
    let mut address = path.to_owned();
    let said =
        fields.into_iter().filter_map(|(name, value)| Some((name, value.filter(|text| !text.is_empty())?)));
    for (number, (name, value)) in said.enumerate() {
        address.push(if number == 0 { '?' } else { '&' });
        address.push_str(name);
        address.push('=');
        address.push_str(&encode(&value));
    }
    address
}

/// Percent-encodes a value of a query string.
pub fn encode(value: &str) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

/// What happened at sign-in, by the code in the address: heading and what to do.
pub fn sign_in_problem(code: &str) -> (&'static str, &'static str) {
    match code {
        "no-role" => (
            "You have no role here.",
            "The provider knows you, and none of your claims maps to a role in Keyward. Ask whoever runs this installation to add one.",
        ),
        "denied" => {
            ("Sign-in was cancelled.", "The provider says that it, or you, said no. Continue to try again.")
        }
        "expired" => ("Sign-in took too long.", "It has ten minutes. Continue to begin again."),
        "state" => (
            "Sign-in was refused.",
            "It is not known in this browser: begun in another one, or used already. Continue to begin again.",
        ),
        "provider-unreachable" => (
            "The provider does not answer.",
            "Keyward could not reach it, or did not understand its answer. The log of this server says more.",
        ),
        "token" | "nonce" | "issuer" => (
            "Sign-in was refused.",
            "The answer of the provider did not pass the checks. Often the clocks of the two servers do not agree, or the provider was set up anew. The log of this server says which check it was.",
        ),
        _ => ("Sign-in was refused.", "Continue to try again. The log of this server says more."),
    }
}

/// A text as it stands in HTML where the renderer writes what it is given: in `<title>` and
/// `<textarea>`.
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_separators() {
        let texts: Vec<String> = [0, 12, 999, 1_000, 3_204_118, -4_500].into_iter().map(number).collect();
        assert_eq!(texts, ["0", "12", "999", "1,000", "3,204,118", "-4,500"]);
    }

    #[test]
    fn markup_is_text() {
        assert_eq!(escaped("</title><a b=\"&amp;\">"), "&lt;/title&gt;&lt;a b=&quot;&amp;amp;&quot;&gt;");
    }

    #[test]
    fn one_is_not_plural() {
        assert_eq!([count(0, "key"), count(1, "key"), count(2, "key")], ["0 keys", "1 key", "2 keys"]);
    }

    #[test]
    fn a_message_becomes_a_sentence() {
        assert_eq!(sentence("there is no such key"), "There is no such key.");
        assert_eq!(sentence(""), "");
        assert_eq!(sentence("Already one."), "Already one.");
    }

    #[test]
    fn a_scope_says_what_it_will_and_what_it_cannot() {
        let scope = Scope::of([(ResourceKind::Users, Verb::Read), (ResourceKind::Users, Verb::Update)]);
        assert_eq!(phrases(&scope, true), ["read users", "change users and switch them off"]);
        assert_eq!(phrases(&scope, false).len(), 6);
        assert_eq!(tag(&scope.grants[0]), "users read update");
        assert_eq!(tag(&Scope::full_directory().grants[1]), "groups read write delete");
    }

    #[test]
    fn every_provider_has_its_sentences() {
        for vendor in Vendor::ALL {
            assert!(after_401(vendor).ends_with('.') && paste_guide(vendor).ends_with('.'), "{vendor:?}");
            assert!(!provider(vendor).is_empty());
        }
    }

    #[test]
    fn an_address_takes_any_value() {
        assert_eq!(encode("https://id.example/ ana&x=1"), "https%3A%2F%2Fid.example%2F%20ana%26x%3D1");
    }

    #[test]
    fn an_unknown_code_is_still_answered() {
        assert_eq!(sign_in_problem("<script>").0, "Sign-in was refused.");
    }
}
