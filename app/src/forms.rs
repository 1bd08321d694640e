//! What forms send, read into the inputs of operations; and what a refused form shows again.
//!
//! A form posts to the page it stands on. The server reads the body with [`Values::parse`], calls a
//! reader of this file and one operation, then redirects; when either refuses, it renders the same
//! page with [`Submitted`] as context. Issue and rotate answer with a page that has [`ShownKey`].

pub mod behaviour;
pub mod brakes;
pub mod compliance;
pub mod delivery;
pub mod journal;
pub mod rotation;
pub mod scope;
pub mod telling;

use std::{collections::BTreeMap, str::FromStr, sync::Arc};

use domain::{
    Invalid, Secret,
    federations::{ScimSettings, Slug},
    keys::Proof,
    oauth::jwk::is_private,
    scopes::{ResourceKind, Scope, Verb},
    upstreams::Limits,
};
use ops::{
    extensions::NewExtension,
    federations::{EditFederation, NewFederation},
    gateway::target::NewUpstream,
    keys::{Issued, NewKey, Rotate},
    oauth::{ChangeClient, NewClient},
};

pub use self::telling::ShownOnce;
use crate::words;

/// The values of a submitted form, by the names of its fields.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Values(pub BTreeMap<String, Vec<String>>);

impl Values {
    /// Collects decoded pairs of an `application/x-www-form-urlencoded` body.
    pub fn parse(pairs: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut values = BTreeMap::<String, Vec<String>>::new();
        for (name, value) in pairs {
            values.entry(name).or_default().push(value);
        }
        Self(values)
    }

    /// The first value of a field, trimmed; empty when there is none.
    pub fn text(&self, name: &str) -> String {
        self.0.get(name).and_then(|all| all.first()).map(|value| value.trim().to_owned()).unwrap_or_default()
    }

    /// Every value of a field.
    pub fn all(&self, name: &str) -> &[String] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }

    /// What may be shown again: a private key that was pasted by mistake is not.
    #[must_use]
    pub fn fit_to_show(mut self) -> Self {
        for value in self.0.values_mut().flatten().filter(|value| is_private(value)) {
            value.clear();
        }
        self
    }

    fn whole_number(&self, name: &str, faults: &mut Vec<Invalid>) -> i64 {
        let text = self.text(name);
        i64::from_str(&text).unwrap_or_else(|_| {
            faults.push(Invalid::new(name, format!("{text:?} is not a whole number")));
            0
        })
    }

    fn optional_number(&self, name: &str, faults: &mut Vec<Invalid>) -> Option<i64> {
        (!self.text(name).is_empty()).then(|| self.whole_number(name, faults))
    }
}

/// A form that was not accepted: the page fills in what was typed and says what to fix.
#[derive(Debug, Clone, Default)]
pub struct Submitted {
    /// What was typed.
    pub values: Values,
    /// One for each field that cannot be accepted.
    pub faults: Vec<Invalid>,
    /// What speaks against the form as a whole.
    pub message: Option<String>,
}

impl Submitted {
    /// Values that a reader of this file refused.
    pub fn faulty(values: Values, faults: Vec<Invalid>) -> Self {
        Self { values, faults, message: None }
    }

    /// Values that an operation refused. `None` stands for failures that are not about the form:
    /// those are for the error page.
    pub fn refused(values: Values, error: &ops::Error) -> Option<Self> {
        match (error, error.kind()) {
            (ops::Error::Invalid(faults), _) => Some(Self::faulty(values, faults.clone())),
            (_, ops::Kind::Invalid | ops::Kind::Conflict | ops::Kind::Stale | ops::Kind::Forbidden) => {
                Some(Self { values, faults: Vec::new(), message: Some(words::sentence(&error.to_string())) })
            }
            (
                _,
                ops::Kind::Unauthenticated
                | ops::Kind::NotFound
                | ops::Kind::Throttled
                | ops::Kind::Held
                | ops::Kind::Unavailable
                | ops::Kind::Internal,
            ) => None,
        }
    }
}

/// A key that was issued or rotated a moment ago; the one page that shows its secret reads it.
///
/// Never serialised: it lives in the context of one rendering on the server.
#[derive(Clone)]
pub struct ShownKey(pub Arc<Issued>);

impl ShownKey {
    /// Takes what the operation returned.
    pub fn new(issued: Issued) -> Self {
        Self(Arc::new(issued))
    }
}

/// Reads `/federations/new`.
///
/// # Errors
/// One [`Invalid`] for each number that is none.
pub fn new_federation(values: &Values) -> Result<NewFederation, Vec<Invalid>> {
    let mut faults = Vec::new();
    let new = NewFederation {
        slug: values.text("slug"),
        name: values.text("name"),
        vendor: values.text("vendor"),
        owners: values.text("owners"),
        notes: values.text("notes"),
        max_age_days: values.whole_number("max_age_days", &mut faults),
        overlap_hours: values.whole_number("overlap_hours", &mut faults),
        warn_days: values.whole_number("warn_days", &mut faults),
    };
    if faults.is_empty() { Ok(new) } else { Err(faults) }
}

/// The switches of the SCIM endpoint, by the word of their checkbox; none when the form did not
/// show them.
fn scim_settings(values: &Values, faults: &mut Vec<Invalid>) -> Option<ScimSettings> {
    let minutes = values.optional_number("token_minutes", faults);
    let is_on = |word: &str| values.all("scim").iter().any(|value| value == word);
    (values.text("scim_shown") == "yes").then(|| ScimSettings {
        strict: is_on("strict"),
        etag: is_on("etag"),
        unique_group_names: is_on("unique-group-names"),
        oauth_secrets: is_on("oauth-secrets"),
        token_minutes: minutes.unwrap_or(ScimSettings::default().token_minutes),
    })
}

/// Reads `/federations/{slug}/schemas`.
pub fn new_extension(values: &Values) -> NewExtension {
    NewExtension { resource_type: values.text("resource_type"), json: values.text("json") }
}

/// Reads `/federations/{slug}/edit`.
///
/// # Errors
/// One [`Invalid`] for each number that is none.
pub fn edit_federation(values: &Values) -> Result<EditFederation, Vec<Invalid>> {
    let mut faults = Vec::new();
    let edit = EditFederation {
        version: values.whole_number("version", &mut faults),
        name: values.text("name"),
        vendor: values.text("vendor"),
        owners: values.text("owners"),
        notes: values.text("notes"),
        max_age_days: values.whole_number("max_age_days", &mut faults),
        overlap_hours: values.whole_number("overlap_hours", &mut faults),
        warn_days: values.whole_number("warn_days", &mut faults),
        scim: scim_settings(values, &mut faults),
    };
    if faults.is_empty() { Ok(edit) } else { Err(faults) }
}

/// Reads `/federations/{slug}/target`. The credential is taken out of the values, so that no page
/// shows it again.
///
/// # Errors
/// One [`Invalid`] for each number that is none.
pub fn upstream(values: &mut Values) -> Result<NewUpstream, Vec<Invalid>> {
    let mut faults = Vec::new();
    let mut take = |name: &str| {
        let all = values.0.remove(name).unwrap_or_default();
        Secret::new(all.into_iter().next().unwrap_or_default())
    };
    let (typed, pem) = (take("secret"), take("secret_pem"));
    let sign_in = values.text("sign_in");
    let new = NewUpstream {
        version: values.whole_number("version", &mut faults),
        base_url: values.text("base_url"),
        secret: if sign_in == "mutual-tls" { pem } else { typed },
        sign_in,
        user: values.text("user"),
        token_url: values.text("token_url"),
        client_id: values.text("client_id"),
        scope: values.text("scope"),
        trusted_ca: values.text("trusted_ca"),
        quirks: values.all("quirk").to_vec(),
        limits: Limits {
            timeout_ms: values.whole_number("timeout_ms", &mut faults),
            concurrency: values.whole_number("concurrency", &mut faults),
        },
    };
    if faults.is_empty() { Ok(new) } else { Err(faults) }
}

/// The scopes that the form offers beside the free choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Template {
    /// Everything but deleting.
    ReadWrite,
    /// Reading.
    ReadOnly,
    /// Everything; asks for a justification.
    FullDirectory,
}

impl Template {
    /// Every template, in the order in which they are offered.
    pub const ALL: [Self; 3] = [Self::ReadWrite, Self::ReadOnly, Self::FullDirectory];

    /// The value in the form.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ReadWrite => "read-write",
            Self::ReadOnly => "read-only",
            Self::FullDirectory => "full-directory",
        }
    }

    /// The scope that it stands for.
    pub fn scope(self) -> Scope {
        let verbs: &[Verb] = match self {
            Self::ReadWrite => &[Verb::Read, Verb::Create, Verb::Update],
            Self::ReadOnly => &[Verb::Read],
            Self::FullDirectory => &Verb::ALL,
        };
        Scope::of(ResourceKind::ALL.into_iter().flat_map(|kind| verbs.iter().map(move |verb| (kind, *verb))))
    }
}

/// The value of a checkbox of the scope builder: `users-create`.
pub fn grant_value(kind: ResourceKind, verb: Verb) -> String {
    format!("{}-{}", kind.as_str(), verb.as_str())
}

fn scope_of(values: &Values) -> Result<Scope, Vec<Invalid>> {
    let choice = values.text("scope");
    let verbs = match Template::ALL.into_iter().find(|template| template.as_str() == choice) {
        Some(template) => template.scope(),
        None if choice == "custom" => scope::verbs(values),
        None => return Err(vec![Invalid::new("scope", "choose what the key may do")]),
    };
    scope::narrowed(values, verbs)
}

/// Reads `/keys/new`.
///
/// # Errors
/// One [`Invalid`] for each field that cannot be read.
pub fn issue_key(values: &Values) -> Result<NewKey, Vec<Invalid>> {
    let mut faults = Vec::new();
    let federation = Slug::parse(&values.text("federation"))
        .map_err(|_| faults.push(Invalid::new("federation", "choose the federation that the key opens")));
    let scope = scope_of(values).map_err(|more| faults.extend(more));
    let lifetime_days = values.whole_number("lifetime_days", &mut faults);
    match (federation, scope) {
        (Ok(federation), Ok(scope)) if faults.is_empty() => Ok(NewKey {
            federation,
            name: values.text("name"),
            scope,
            lifetime_days,
            justification: values.text("justification"),
            idempotency_token: values.text("idempotency_token"),
        }),
        _ => Err(faults),
    }
}

/// Reads how the key of `/keys/new` proves itself; `None` for a static one.
///
/// # Errors
/// [`Invalid`] when nothing, or two things, say how.
pub fn new_client(values: &Values) -> Result<Option<NewClient>, Vec<Invalid>> {
    let choice = values.text("proof");
    match Proof::parse(&choice) {
        None if choice.is_empty() => Ok(None),
        None => Err(vec![Invalid::new("proof", "choose how it proves itself")]),
        Some(Proof::Static) => Ok(None),
        Some(Proof::Secret) => Ok(Some(NewClient::Secret)),
        Some(Proof::Assertion) => public_keys(values).map(Some),
    }
}

/// Public keys, or their address.
fn public_keys(values: &Values) -> Result<NewClient, Vec<Invalid>> {
    let (keys, uri) = (values.text("public_keys"), values.text("jwks_uri"));
    match (keys.is_empty(), uri.is_empty()) {
        (false, true) => Ok(NewClient::PublicKeys(keys)),
        (true, false) => Ok(NewClient::JwksUri(uri)),
        (true, true) => Err(vec![Invalid::new(
            "public_keys",
            "paste the public keys of the client, or name their address",
        )]),
        (false, false) => {
            Err(vec![Invalid::new("jwks_uri", "either paste public keys or name their address, not both")])
        }
    }
}

/// Reads `/keys/{id}/client`.
///
/// # Errors
/// One [`Invalid`] for each field that cannot be read.
pub fn change_client(values: &Values) -> Result<ChangeClient, Vec<Invalid>> {
    let mut faults = Vec::new();
    let version = values.whole_number("version", &mut faults);
    match public_keys(values) {
        Ok(client) if faults.is_empty() => Ok(ChangeClient { version, client }),
        Ok(_) => Err(faults),
        Err(more) => Err(faults.into_iter().chain(more).collect()),
    }
}

/// Reads `/keys/{id}/rotate`. An empty field is the policy's.
///
/// # Errors
/// One [`Invalid`] for each number that is none.
pub fn rotate_key(values: &Values) -> Result<Rotate, Vec<Invalid>> {
    let mut faults = Vec::new();
    let rotate = Rotate {
        overlap_hours: values.optional_number("overlap_hours", &mut faults),
        lifetime_days: values.optional_number("lifetime_days", &mut faults),
        idempotency_token: values.text("idempotency_token"),
        deliver: values.text("deliver") == "yes",
    };
    if faults.is_empty() { Ok(rotate) } else { Err(faults) }
}

/// Reads `/keys/{id}/revoke`: the reason.
///
/// # Errors
/// [`Invalid`] when no reason is given.
pub fn revoke_key(values: &Values) -> Result<String, Vec<Invalid>> {
    let reason = values.text("reason");
    if reason.is_empty() {
        return Err(vec![Invalid::new("reason", "say why: it is kept in the audit log")]);
    }
    Ok(reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(pairs: &[(&str, &str)]) -> Values {
        Values::parse(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
    }

    #[test]
    fn a_template_decides_the_scope_whatever_boxes_are_ticked() {
        let form = values(&[
            ("federation", "okta"),
            ("name", " okta-prod "),
            ("scope", "read-only"),
            ("grant", "users-delete"),
            ("lifetime_days", "90"),
            ("idempotency_token", "t"),
        ]);
        let new = issue_key(&form).unwrap();
        assert_eq!(new.name, "okta-prod");
        assert_eq!(new.lifetime_days, 90);
        assert_eq!(words::phrases(&new.scope, true), ["read users", "read groups"]);
    }

    #[test]
    fn the_free_choice_reads_each_box() {
        let form = values(&[
            ("federation", "okta"),
            ("scope", "custom"),
            ("grant", "users-read"),
            ("grant", "groups-update"),
            ("grant", "planets-delete"),
            ("source_networks", "192.0.2.0/24\n2001:db8::1"),
            ("lifetime_days", "7"),
        ]);
        let scope = issue_key(&form).unwrap().scope;
        assert_eq!(words::phrases(&scope, true), ["read users", "change groups and who is in them"]);
        assert_eq!(scope.source_networks.len(), 2);
    }

    #[test]
    fn every_faulty_field_is_named_at_once() {
        let fields = |form: &[(&str, &str)]| -> Vec<String> {
            issue_key(&values(form)).err().unwrap().into_iter().map(|fault| fault.field).collect()
        };
        assert_eq!(fields(&[]), ["federation", "scope", "lifetime_days"]);
        assert_eq!(
            fields(&[("federation", "okta"), ("scope", "custom"), ("lifetime_days", "1e3")]),
            ["scope", "lifetime_days"]
        );
        assert_eq!(
            fields(&[
                ("federation", "okta"),
                ("scope", "read-only"),
                ("source_networks", "home"),
                ("lifetime_days", "1")
            ]),
            ["source_networks"]
        );
    }

    #[test]
    fn templates_differ_and_only_one_is_the_full_directory() {
        let full: Vec<bool> =
            Template::ALL.into_iter().map(|template| template.scope().is_full_directory()).collect();
        assert_eq!(full, [false, false, true]);
        assert_eq!(words::phrases(&Template::ReadWrite.scope(), false), ["delete users", "delete groups"]);
    }

    #[test]
    fn a_client_is_proven_in_one_way() {
        let read = |pairs: &[(&str, &str)]| {
            new_client(&values(pairs)).map_err(|faults| faults.into_iter().next().unwrap().field)
        };
        let keys = || NewClient::PublicKeys("{}".to_owned());
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&[("proof", "static"), ("public_keys", "{}")]), Ok(None));
        assert_eq!(read(&[("proof", "secret")]), Ok(Some(NewClient::Secret)));
        assert_eq!(read(&[("proof", "assertion"), ("public_keys", " {} ")]), Ok(Some(keys())));
        assert_eq!(read(&[("proof", "none")]), Err("proof".to_owned()));
        assert_eq!(read(&[("proof", "assertion")]), Err("public_keys".to_owned()));
        let both = [("proof", "assertion"), ("public_keys", "{}"), ("jwks_uri", "https://a")];
        assert_eq!(read(&both), Err("jwks_uri".to_owned()));
    }

    #[test]
    fn a_private_key_is_not_shown_again() {
        let form = values(&[("public_keys", "-----BEGIN PRIVATE KEY-----"), ("name", "a")]).fit_to_show();
        assert_eq!((form.text("public_keys"), form.text("name")), (String::new(), "a".to_owned()));
    }

    #[test]
    fn every_number_that_is_none_is_named() {
        let form = values(&[
            ("name", "Okta production"),
            ("vendor", "okta"),
            ("owners", "ana@example.com"),
            ("max_age_days", "90"),
            ("overlap_hours", "72"),
            ("warn_days", "14"),
        ]);
        assert_eq!(new_federation(&form).unwrap().max_age_days, 90);
        let faults = new_federation(&values(&[("max_age_days", "ninety")])).err().unwrap();
        assert_eq!(faults.len(), 3);
        assert_eq!(faults[0].message, "\"ninety\" is not a whole number");
    }

    #[test]
    fn an_empty_number_of_a_rotation_is_the_policy() {
        let rotate = rotate_key(&values(&[("overlap_hours", ""), ("lifetime_days", "30")])).unwrap();
        assert_eq!((rotate.overlap_hours, rotate.lifetime_days), (None, Some(30)));
        assert!(rotate_key(&values(&[("overlap_hours", "soon")])).is_err());
    }

    #[test]
    fn a_revocation_says_why() {
        assert!(revoke_key(&values(&[("reason", "  ")])).is_err());
        assert_eq!(revoke_key(&values(&[("reason", " leaked ")])), Ok("leaked".to_owned()));
    }
}
