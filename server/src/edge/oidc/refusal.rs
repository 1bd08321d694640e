//! Why somebody was not let in, in two voices: a code for the page, a reason for the records.

use serde::{Deserialize, Serialize};

/// The word in `/sign-in?error=…`. The page has a text for each; nothing that the provider wrote
/// goes into the address or the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// The provider did not answer, or not as a provider answers.
    ProviderUnreachable,
    /// The sign-in took longer than ten minutes.
    Expired,
    /// No sign-in with this state was begun in this browser, or it was used already.
    State,
    /// The token was made for another sign-in.
    Nonce,
    /// The token cannot be accepted.
    Token,
    /// The answer came from another issuer.
    Issuer,
    /// The person is known, and nothing maps them to a role.
    NoRole,
    /// The provider, or the person at the provider, said no.
    Denied,
}

impl Code {
    /// Every code.
    pub const ALL: [Self; 8] = [
        Self::ProviderUnreachable,
        Self::Expired,
        Self::State,
        Self::Nonce,
        Self::Token,
        Self::Issuer,
        Self::NoRole,
        Self::Denied,
    ];

    /// The word in the address.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ProviderUnreachable => "provider-unreachable",
            Self::Expired => "expired",
            Self::State => "state",
            Self::Nonce => "nonce",
            Self::Token => "token",
            Self::Issuer => "issuer",
            Self::NoRole => "no-role",
            Self::Denied => "denied",
        }
    }
}

/// A refused sign-in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// For the page.
    pub code: Code,
    /// For the audit record and the log: our own words, and never a token.
    pub reason: String,
}

impl Refusal {
    /// Refuses.
    pub fn new(code: Code, reason: impl Into<String>) -> Self {
        Self { code, reason: reason.into() }
    }
}

/// What the page says to somebody whose claims give no role. Kept in the session, never in the
/// address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoRole {
    /// Their name, as the provider has it.
    pub name: String,
    /// The claim that is looked at.
    pub claim: String,
    /// What it held, at most 20 values of at most 100 characters.
    pub received: Vec<String>,
    /// The values that would give a role.
    pub expected: Vec<String>,
}
