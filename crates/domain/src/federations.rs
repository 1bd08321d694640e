//! Federations: one trust between an identity provider and a target.
//!
//! A federation has a slug (the segment of its SCIM base URL, never changed), a vendor whose
//! dialect it speaks, owners, and a rotation policy. To add a vendor, add a variant and a row of
//! each method of [`Vendor`].

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use crate::{DAY_MS, FederationId, Invalid, Millis, behaviour::Rules, rotations::policy::RotationRules};

/// One trust between an identity provider and a target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Federation {
    /// Made by the server.
    pub id: FederationId,
    /// The segment of its SCIM base URL; never changes.
    pub slug: Slug,
    /// The name that people read, 1 to 80 characters.
    pub name: String,
    /// Whose dialect it speaks.
    pub vendor: Vendor,
    /// Whether it takes requests.
    pub status: FederationStatus,
    /// Who is asked when it needs a decision; at least one.
    pub owners: Vec<String>,
    /// Free text, at most 4,000 characters.
    pub notes: String,
    /// How long its keys may live.
    pub policy: RotationPolicy,
    /// What else it says of their rotation.
    pub rotation: RotationRules,
    /// Where its users and groups are kept.
    pub target: FederationTarget,
    /// How its SCIM endpoint behaves.
    pub scim: ScimSettings,
    /// The brakes and rules of what is expected of it.
    #[serde(default)]
    pub behaviour: Rules,
    /// Counts its changes; an edit names the version that it saw.
    pub version: i64,
    /// When it was registered.
    pub created_ms: Millis,
    /// When it was last changed.
    pub updated_ms: Millis,
}

/// The federation's segment of its SCIM base URL: 2 to 40 lower-case letters, digits and inner
/// hyphens. Okta refuses `_` in a base URL.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Slug(String);

impl Slug {
    /// Reads a slug.
    ///
    /// # Errors
    /// [`Invalid`] on `slug` when a character or the length is not allowed.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let fits = (2..=40).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !text.starts_with('-')
            && !text.ends_with('-');
        if fits {
            Ok(Self(text.to_owned()))
        } else {
            Err(Invalid::new(
                "slug",
                format!(
                    "{text:?} is not 2 to 40 lower-case letters, digits and hyphens, beginning and ending with a letter or digit"
                ),
            ))
        }
    }

    /// Proposes a slug for a name: letters lowered, the rest hyphens.
    pub fn propose(name: &str) -> Option<Self> {
        let mut text = String::new();
        for character in name.chars() {
            if character.is_ascii_alphanumeric() {
                text.push(character.to_ascii_lowercase());
            } else if !text.ends_with('-') && !text.is_empty() {
                text.push('-');
            }
        }
        text.truncate(40);
        Self::parse(text.trim_end_matches('-')).ok()
    }

    /// The slug as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for Slug {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Who makes the identity provider; names its SCIM dialect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Vendor {
    /// Okta.
    Okta,
    /// Microsoft Entra ID.
    Entra,
    /// Google Workspace.
    Google,
    /// Keycloak.
    Keycloak,
    /// authentik.
    Authentik,
    /// OneLogin.
    Onelogin,
    /// JumpCloud.
    Jumpcloud,
    /// Ping Identity.
    Ping,
    /// SailPoint.
    Sailpoint,
    /// Rippling.
    Rippling,
    /// Any other SCIM 2.0 client.
    Other,
}

impl Vendor {
    /// Every vendor, in the order in which they are offered.
    pub const ALL: [Self; 11] = [
        Self::Okta,
        Self::Entra,
        Self::Google,
        Self::Keycloak,
        Self::Authentik,
        Self::Onelogin,
        Self::Jumpcloud,
        Self::Ping,
        Self::Sailpoint,
        Self::Rippling,
        Self::Other,
    ];

    /// The word in forms, API and database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Okta => "okta",
            Self::Entra => "entra",
            Self::Google => "google",
            Self::Keycloak => "keycloak",
            Self::Authentik => "authentik",
            Self::Onelogin => "onelogin",
            Self::Jumpcloud => "jumpcloud",
            Self::Ping => "ping",
            Self::Sailpoint => "sailpoint",
            Self::Rippling => "rippling",
            Self::Other => "other",
        }
    }

    /// The name that people read.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Okta => "Okta",
            Self::Entra => "Microsoft Entra ID",
            Self::Google => "Google Workspace",
            Self::Keycloak => "Keycloak",
            Self::Authentik => "authentik",
            Self::Onelogin => "OneLogin",
            Self::Jumpcloud => "JumpCloud",
            Self::Ping => "Ping Identity",
            Self::Sailpoint => "SailPoint",
            Self::Rippling => "Rippling",
            Self::Other => "Other SCIM 2.0 client",
        }
    }

    /// Reads the word of [`Vendor::as_str`].
    ///
    /// # Errors
    /// [`Invalid`] on `vendor` when there is no such vendor.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        Self::ALL.into_iter().find(|vendor| vendor.as_str() == text).ok_or_else(|| {
            let known = Self::ALL.map(Self::as_str).join(", ");
            Invalid::new("vendor", format!("{text:?} is not one of {known}"))
        })
    }
}

/// Whether a federation takes requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FederationStatus {
    /// Requests are answered.
    Live,
    /// Requests get 503 with Retry-After, never 401: a provider that gets 401 gives up for hours.
    Paused,
    /// Closed for good; its keys no longer open anything and it takes no change. Kept for the
    /// records.
    Archived,
}

impl FederationStatus {
    /// The word in API and database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Paused => "paused",
            Self::Archived => "archived",
        }
    }

    /// Reads the word of [`FederationStatus::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Live, Self::Paused, Self::Archived].into_iter().find(|s| s.as_str() == text)
    }
}

/// Where the users and groups of a federation are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FederationTarget {
    /// In the directory inside Keyward.
    #[default]
    Embedded,
    /// In another SCIM service, which requests are forwarded to.
    Upstream,
}

impl FederationTarget {
    /// The word in forms, API and database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Upstream => "upstream",
        }
    }

    /// Reads the word of [`FederationTarget::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Embedded, Self::Upstream].into_iter().find(|target| target.as_str() == text)
    }
}

/// How the SCIM endpoint of a federation behaves where providers differ.
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own, none excludes another")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ScimSettings {
    /// Refuse what no RFC allows, instead of understanding what providers really send.
    pub strict: bool,
    /// Say in ServiceProviderConfig that entity tags are supported. They are served always; some
    /// clients send an If-Match of their own making when they read it.
    pub etag: bool,
    /// Two groups may not have the same name, ignoring case.
    pub unique_group_names: bool,
    /// OAuth clients may prove themselves by a secret as well as by a signed assertion.
    pub oauth_secrets: bool,
    /// How long an access token of OAuth lives, in minutes: [`TOKEN_MINUTES`].
    pub token_minutes: i64,
}

/// How long an access token of OAuth may live, in minutes.
pub const TOKEN_MINUTES: RangeInclusive<i64> = 5..=60;

impl Default for ScimSettings {
    /// Lenient, with entity tags, group names unique, no client secrets, tokens of 15 minutes.
    fn default() -> Self {
        Self { strict: false, etag: true, unique_group_names: true, oauth_secrets: false, token_minutes: 15 }
    }
}

impl ScimSettings {
    /// Checks the ranges.
    ///
    /// # Errors
    /// [`Invalid`] on `token_minutes`.
    pub fn check(self) -> Result<Self, Invalid> {
        if TOKEN_MINUTES.contains(&self.token_minutes) {
            return Ok(self);
        }
        let (least, most) = (TOKEN_MINUTES.start(), TOKEN_MINUTES.end());
        Err(Invalid::new("token_minutes", format!("{} is not {least} to {most} minutes", self.token_minutes)))
    }
}

/// How long an old key may stay accepted beside its successor, in hours.
pub const OVERLAP_HOURS: RangeInclusive<i64> = 1..=720;

/// How long a key of a federation may live, and how its replacement goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RotationPolicy {
    /// The longest life of a key, in days: 1 to 365.
    pub max_age_days: i64,
    /// How long the old key stays accepted beside its successor, in hours: [`OVERLAP_HOURS`].
    pub overlap_hours: i64,
    /// How long before the end of a key people are warned, in days: 1 to 90, less than the
    /// maximum age.
    pub warn_days: i64,
}

impl Default for RotationPolicy {
    /// 90 days, 72 hours, 14 days.
    fn default() -> Self {
        Self { max_age_days: 90, overlap_hours: 72, warn_days: 14 }
    }
}

impl RotationPolicy {
    /// Checks the ranges.
    ///
    /// # Errors
    /// One [`Invalid`] for each number that is out of range.
    pub fn check(self) -> Result<Self, Vec<Invalid>> {
        let mut faults = Vec::new();
        let mut range = |field: &str, value: i64, allowed: RangeInclusive<i64>, unit: &str| {
            if !allowed.contains(&value) {
                let (low, high) = (allowed.start(), allowed.end());
                faults.push(Invalid::new(field, format!("{value} is not {low} to {high} {unit}")));
            }
        };
        range("max_age_days", self.max_age_days, 1..=365, "days");
        range("overlap_hours", self.overlap_hours, OVERLAP_HOURS, "hours");
        range("warn_days", self.warn_days, 1..=90, "days");
        if faults.is_empty() && self.warn_days >= self.max_age_days && self.max_age_days > 1 {
            faults.push(Invalid::new(
                "warn_days",
                format!("{} must be less than the maximum age of {} days", self.warn_days, self.max_age_days),
            ));
        }
        if faults.is_empty() { Ok(self) } else { Err(faults) }
    }

    /// The longest life of a key in milliseconds.
    pub const fn max_age_ms(self) -> Millis {
        self.max_age_days * DAY_MS
    }

    /// The warning time in milliseconds.
    pub const fn warn_ms(self) -> Millis {
        self.warn_days * DAY_MS
    }
}

/// Checks the name of a federation or key: 1 to 80 characters, no control characters.
///
/// # Errors
/// [`Invalid`] on `field`, saying the length or the character.
pub fn check_name(field: &str, name: &str) -> Result<String, Invalid> {
    let name = name.trim();
    let length = name.chars().count();
    if length == 0 || length > 80 {
        return Err(Invalid::new(field, format!("a name of 1 to 80 characters is expected, not {length}")));
    }
    if let Some(character) = name.chars().find(|c| c.is_control()) {
        return Err(Invalid::new(field, format!("control character {character:?} is not allowed")));
    }
    Ok(name.to_owned())
}

/// Checks free text such as notes or a justification: at most `limit` characters, no control
/// characters but line breaks and tabs.
///
/// # Errors
/// [`Invalid`] on `field`, saying the length or the character.
pub fn check_text(field: &str, text: &str, limit: usize) -> Result<String, Invalid> {
    let text = text.trim().replace("\r\n", "\n");
    let length = text.chars().count();
    if length > limit {
        return Err(Invalid::new(field, format!("at most {limit} characters are allowed, not {length}")));
    }
    if let Some(character) = text.chars().find(|c| c.is_control() && !matches!(c, '\n' | '\t')) {
        return Err(Invalid::new(field, format!("control character {character:?} is not allowed")));
    }
    Ok(text)
}

/// Reads why a person does something that others will ask about: 3 to 500 characters.
///
/// # Errors
/// [`Invalid`] on `reason`.
pub fn check_reason(text: &str) -> Result<String, Invalid> {
    let reason = check_text("reason", text, 500)?;
    if reason.chars().count() < 3 {
        return Err(Invalid::new("reason", "say why: it is kept in the audit log"));
    }
    Ok(reason)
}

/// Reads owners from lines or commas: 1 to 20 names or addresses of at most 120 characters.
///
/// # Errors
/// [`Invalid`] on `owners`.
pub fn parse_owners(text: &str) -> Result<Vec<String>, Invalid> {
    let owners: Vec<String> =
        text.split(['\n', ',']).map(str::trim).filter(|owner| !owner.is_empty()).map(str::to_owned).collect();
    if owners.is_empty() {
        return Err(Invalid::new(
            "owners",
            "at least one owner is expected: who is asked when this federation needs a decision",
        ));
    }
    if owners.len() > 20 {
        return Err(Invalid::new("owners", format!("at most 20 owners are allowed, not {}", owners.len())));
    }
    match owners.iter().find(|owner| owner.chars().count() > 120 || owner.chars().any(char::is_control)) {
        Some(owner) => Err(Invalid::new(
            "owners",
            format!("{owner:?} is longer than 120 characters or has a control character"),
        )),
        None => Ok(owners),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_keep_to_what_providers_accept() {
        for text in ["okta", "okta-prod", "a1", "0-9"] {
            assert!(Slug::parse(text).is_ok(), "{text}");
        }
        for text in ["", "a", "-a", "a-", "Okta", "okta_prod", "okta/prod", "ökta", "..", &"a".repeat(41)] {
            assert!(Slug::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_name_proposes_its_slug() {
        let propose = |name| Slug::propose(name).map(|slug| slug.to_string());
        assert_eq!(propose("Okta production"), Some("okta-production".to_owned()));
        assert_eq!(propose("  Entra (Workday) "), Some("entra-workday".to_owned()));
        assert_eq!(propose("日本"), None);
    }

    #[test]
    fn policy_out_of_range_names_each_number() {
        let policy = RotationPolicy { max_age_days: 0, overlap_hours: 1000, warn_days: 14 };
        let fields: Vec<String> = policy.check().unwrap_err().into_iter().map(|f| f.field).collect();
        assert_eq!(fields, ["max_age_days", "overlap_hours"]);
        let policy = RotationPolicy { max_age_days: 7, overlap_hours: 24, warn_days: 14 };
        assert!(policy.check().is_err());
    }

    #[test]
    fn every_vendor_reads_back() {
        for vendor in Vendor::ALL {
            assert_eq!(Vendor::parse(vendor.as_str()), Ok(vendor));
        }
        assert!(Vendor::parse("acme").is_err());
    }

    #[test]
    fn owners_are_lines_or_commas() {
        assert_eq!(parse_owners("a, b\n c \n\n"), Ok(vec!["a".to_owned(), "b".to_owned(), "c".to_owned()]));
        assert!(parse_owners(" , \n").is_err());
    }
}
