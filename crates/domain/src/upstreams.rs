//! The gateway's side of a federation: the upstream SCIM service that it forwards to, how Keyward
//! signs in there, what is peculiar about it, and the states of links and calls.
//!
//! A new peculiarity is one more field of [`Quirks`] and its row in [`Quirks::ALL`].

use serde::{Deserialize, Serialize};

use crate::{FederationId, Invalid, Millis};

/// Where a federation forwards to. The secret with which Keyward signs in there is not here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// The federation.
    pub federation_id: FederationId,
    /// The SCIM base of the service, without a slash at its end.
    pub base_url: String,
    /// How Keyward signs in there.
    pub sign_in: SignIn,
    /// Certificates in PEM that are trusted beside those of the operating system.
    pub trusted_ca: Option<String>,
    /// What is peculiar about the service.
    pub quirks: Quirks,
    /// What a call may take.
    pub limits: Limits,
    /// Counts its changes.
    pub version: i64,
    /// When it was last changed.
    pub updated_ms: Millis,
    /// The last test of the connection.
    pub last_test: Option<Tested>,
}

/// How Keyward signs in at an upstream: what is not secret of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum SignIn {
    /// `Authorization: Bearer …` (RFC 6750).
    Bearer,
    /// `Authorization: Basic …` (RFC 7617).
    Basic {
        /// The name of the user.
        user: String,
    },
    /// A token from client credentials (RFC 6749 4.4).
    Oauth {
        /// The token endpoint.
        token_url: String,
        /// The client.
        client_id: String,
        /// The scope that is asked for; empty for none.
        scope: String,
    },
    /// A client certificate.
    MutualTls,
}

impl SignIn {
    /// The words of the kinds, in the order in which they are offered.
    pub const KINDS: [&str; 4] = ["bearer", "basic", "oauth", "mutual-tls"];

    /// The word in a form and in records.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Bearer => "bearer",
            Self::Basic { .. } => "basic",
            Self::Oauth { .. } => "oauth",
            Self::MutualTls => "mutual-tls",
        }
    }

    /// What people read.
    pub fn label(&self) -> String {
        match self {
            Self::Bearer => "Bearer token".to_owned(),
            Self::Basic { user } => format!("User name and password, as {user}"),
            Self::Oauth { client_id, .. } => format!("OAuth client credentials, as {client_id}"),
            Self::MutualTls => "Client certificate".to_owned(),
        }
    }
}

/// What one call may take, and how many may be under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// From the first byte out to the last byte in, in milliseconds.
    pub timeout_ms: i64,
    /// Calls under way at once.
    pub concurrency: i64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { timeout_ms: 30_000, concurrency: 16 }
    }
}

impl Limits {
    /// Checks the ranges.
    ///
    /// # Errors
    /// [`Invalid`] for each number out of its range.
    pub fn check(self) -> Result<Self, Vec<Invalid>> {
        let mut faults = Vec::new();
        for (field, value, low, high) in
            [("timeout_ms", self.timeout_ms, 500, 120_000), ("concurrency", self.concurrency, 1, 256)]
        {
            if !(low..=high).contains(&value) {
                faults.push(Invalid::new(field, format!("{low} to {high} is expected, not {value}")));
            }
        }
        if faults.is_empty() { Ok(self) } else { Err(faults) }
    }
}

/// What is peculiar about an upstream, and therefore done in another way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Quirks {
    /// It takes no more than 100 members in one request.
    pub member_chunks: bool,
    /// It knows no PATCH: read, change, PUT.
    pub no_patch: bool,
    /// It knows no PUT: read, compare, PATCH.
    pub no_put: bool,
    /// It removes members that a list names, and knows no filter in the path.
    pub member_values: bool,
    /// It does not understand `excludedAttributes`.
    pub no_excluded_attributes: bool,
    /// It has no filter: pages are read and compared.
    pub no_filter: bool,
}

/// A peculiarity: its word, what people read, and how it is switched.
#[derive(Debug, Clone, Copy)]
pub struct Quirk {
    /// The word in a form and in records.
    pub word: &'static str,
    /// What people read.
    pub label: &'static str,
    /// What is done about it.
    pub hint: &'static str,
    /// Reads it.
    pub is_on: fn(&Quirks) -> bool,
    /// Switches it on.
    pub switch_on: fn(&mut Quirks),
}

impl Quirks {
    /// Every peculiarity, in the order in which they are offered.
    pub const ALL: [Quirk; 6] = [
        Quirk {
            word: "member-chunks",
            label: "Takes 100 members in one request",
            hint: "Longer changes of members are sent in pieces of 100.",
            is_on: |quirks| quirks.member_chunks,
            switch_on: |quirks| quirks.member_chunks = true,
        },
        Quirk {
            word: "no-patch",
            label: "Knows no PATCH",
            hint: "The resource is read, changed here, and sent as a whole with PUT.",
            is_on: |quirks| quirks.no_patch,
            switch_on: |quirks| quirks.no_patch = true,
        },
        Quirk {
            word: "no-put",
            label: "Knows no PUT",
            hint: "The resource is read, compared here, and what differs is sent with PATCH.",
            is_on: |quirks| quirks.no_put,
            switch_on: |quirks| quirks.no_put = true,
        },
        Quirk {
            word: "member-values",
            label: "Removes members by a list of values only",
            hint: "A removal names its members in the value instead of a filter in the path.",
            is_on: |quirks| quirks.member_values,
            switch_on: |quirks| quirks.member_values = true,
        },
        Quirk {
            word: "no-excluded-attributes",
            label: "Does not understand excludedAttributes",
            hint: "Whole resources are read and cut here.",
            is_on: |quirks| quirks.no_excluded_attributes,
            switch_on: |quirks| quirks.no_excluded_attributes = true,
        },
        Quirk {
            word: "no-filter",
            label: "Does not filter",
            hint: "Accounts are looked for page by page. Slow with many accounts.",
            is_on: |quirks| quirks.no_filter,
            switch_on: |quirks| quirks.no_filter = true,
        },
    ];

    /// Checks that there is a way left to change something.
    ///
    /// # Errors
    /// [`Invalid`] for a service that knows neither PUT nor PATCH.
    pub fn check(self) -> Result<Self, Invalid> {
        if self.no_patch && self.no_put {
            let text = "a service that knows neither PUT nor PATCH cannot be changed; choose one of the two";
            return Err(Invalid::new("quirk", text));
        }
        Ok(self)
    }

    /// These, and those that a probe found. What it found to work is not gone round any more.
    #[must_use]
    pub fn and_found(self, found: Self) -> Self {
        let words = self.words().into_iter().chain(found.words());
        let mut both = Self::of_words(words);
        if both.no_patch && both.no_put {
            (both.no_patch, both.no_put) = (found.no_patch, found.no_put);
        }
        both
    }

    /// The words of those that are on.
    pub fn words(&self) -> Vec<&'static str> {
        Self::ALL.iter().filter(|quirk| (quirk.is_on)(self)).map(|quirk| quirk.word).collect()
    }

    /// The peculiarities that some words name; other words are ignored.
    pub fn of_words<'w>(words: impl IntoIterator<Item = &'w str>) -> Self {
        let mut quirks = Self::default();
        for word in words {
            if let Some(quirk) = Self::ALL.iter().find(|quirk| quirk.word == word) {
                (quirk.switch_on)(&mut quirks);
            }
        }
        quirks
    }
}

/// The outcome of a test of the connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tested {
    /// When.
    pub at_ms: Millis,
    /// Whether Keyward got in and was understood.
    pub worked: bool,
    /// What was found, in a sentence.
    pub note: String,
    /// What is the matter, when it did not work and that is known.
    #[serde(default)]
    pub trouble: Option<Trouble>,
}

/// What is the matter with a connection: each is mended in its own way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trouble {
    /// The service, or its token endpoint, does not accept our credential.
    Credential,
    /// The certificate of the service is from nobody whom we trust.
    Certificate,
    /// There is no connection, or no answer in time.
    Unreachable,
    /// What comes is not what a SCIM service answers.
    Answer,
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$row:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$row])* $variant,)*
        }

        impl $name {
            /// The word in the database.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            /// Reads the word of `as_str`.
            pub fn parse(text: &str) -> Option<Self> {
                match text { $($word => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

words!(
    /// What a resource of an upstream is to a federation.
    LinkState {
        /// Made or adopted through it.
        Live = "live",
        /// Asked for, and it is not known whether it came into being.
        Unknown = "unknown",
        /// Seen there, and not this federation's to change.
        Foreign = "foreign",
        /// A change of a foreign one was asked for: an admin decides.
        Waiting = "waiting",
        /// Deleted.
        Gone = "gone",
    }
);

impl LinkState {
    /// Whether this federation may change it.
    pub const fn is_ours(self) -> bool {
        match self {
            Self::Live | Self::Unknown => true,
            Self::Foreign | Self::Waiting | Self::Gone => false,
        }
    }
}

words!(
    /// How far a call has come.
    CallState {
        /// Written down, and perhaps sent.
        Intended = "intended",
        /// The upstream did it.
        Done = "done",
        /// The upstream did not do it.
        Failed = "failed",
        /// It is not known whether the upstream did it.
        Unknown = "unknown",
    }
);

words!(
    /// What a call does.
    CallVerb {
        /// POST.
        Create = "create",
        /// PUT.
        Replace = "replace",
        /// PATCH, or what stands for it.
        Patch = "patch",
        /// DELETE.
        Delete = "delete",
    }
);

/// Checks the base of an upstream: an address of http or https without a query, a fragment or a
/// password; whether it may be called is the egress guard's to say.
///
/// # Errors
/// [`Invalid`] on `field`.
pub fn check_url(field: &str, text: &str) -> Result<String, Invalid> {
    let text = text.trim().trim_end_matches('/');
    let invalid = |message: &str| Err(Invalid::new(field, message));
    if text.len() > 500 {
        return invalid("at most 500 characters are allowed");
    }
    let Some(rest) = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")) else {
        return invalid("an address that begins with https:// is expected");
    };
    let authority = rest.split('/').next().unwrap_or_default();
    if authority.is_empty() || text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return invalid("an address such as https://scim.example.com/v2 is expected");
    }
    if authority.contains('@') {
        return invalid("leave out the user name and password; there is a field for them");
    }
    if text.contains(['?', '#']) {
        return invalid("an address without ? and # is expected");
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_base_is_an_address_and_nothing_more() {
        assert_eq!(check_url("u", " https://a.example/v2/ ").as_deref(), Ok("https://a.example/v2"));
        for text in [
            "",
            "a.example",
            "ftp://a",
            "https://",
            "https://u:p@a",
            "https://a?b",
            "https://a#b",
            "https://a b",
        ] {
            assert!(check_url("u", text).is_err(), "{text}");
        }
    }

    #[test]
    fn quirks_are_their_words() {
        for quirk in Quirks::ALL {
            let quirks = Quirks::of_words([quirk.word, "another"]);
            assert_eq!(quirks.words(), [quirk.word]);
        }
        assert_eq!(Quirks::of_words(Quirks::ALL.map(|quirk| quirk.word)).words().len(), Quirks::ALL.len());
    }

    #[test]
    fn there_is_always_a_way_to_change_something() {
        let both = Quirks::of_words(["no-put", "no-patch"]);
        assert_eq!(both.check().unwrap_err().field, "quirk");
        let (no_put, no_patch) = (Quirks::of_words(["no-put"]), Quirks::of_words(["no-patch", "no-filter"]));
        assert!(no_put.check().is_ok());
        // The younger finding decides.
        assert_eq!(no_patch.and_found(no_put).words(), ["no-put", "no-filter"]);
        assert_eq!(no_put.and_found(no_patch).words(), ["no-patch", "no-filter"]);
    }

    #[test]
    fn limits_out_of_range_are_named() {
        assert!(Limits::default().check().is_ok());
        let faults = Limits { timeout_ms: 1, concurrency: 1_000 }.check().unwrap_err();
        assert_eq!(faults.len(), 2);
    }

    #[test]
    fn states_read_back() {
        for state in
            [LinkState::Live, LinkState::Unknown, LinkState::Foreign, LinkState::Waiting, LinkState::Gone]
        {
            assert_eq!(LinkState::parse(state.as_str()), Some(state));
        }
        assert_eq!(CallState::parse("unknown"), Some(CallState::Unknown));
        assert_eq!(CallVerb::parse("merge"), None);
    }
}
