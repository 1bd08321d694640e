//! Who works with the dashboard, and what they may do.
//!
//! An identity is the pair of issuer and subject (OIDC Core 2), never an e-mail address. To add a
//! right, add a variant of [`Right`] and decide it for every role in [`Role::may`].

use serde::{Deserialize, Serialize};

use crate::{Millis, federations::Slug};

/// For how long somebody who proved at the provider who they are counts as having done so a moment ago: 15 minutes.
pub const RECENT_MS: Millis = 15 * 60_000;

/// Whether somebody proved a moment ago who they are. Clocks of two machines differ by seconds.
pub const fn is_recent(proven_ms: Millis, now_ms: Millis) -> bool {
    now_ms - proven_ms < RECENT_MS && proven_ms - now_ms <= 60_000
}

/// A signed-in person: who they are, and the role that their claims gave them at sign-in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Admin {
    /// `iss` of the identity token.
    pub issuer: String,
    /// `sub` of the identity token, unique within the issuer.
    pub subject: String,
    /// The name to show: `name`, else `preferred_username`, else `email`, else the subject.
    pub name: String,
    /// `email`, for people to read; decides nothing.
    pub email: Option<String>,
    /// What they may do.
    pub role: Role,
}

/// What a person may do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "role", content = "federations", rename_all = "kebab-case")]
pub enum Role {
    /// Everything.
    Admin,
    /// Runs the named federations, sees nothing else.
    Operator(Vec<Slug>),
    /// Reads everything but secrets.
    Manager,
}

/// What somebody wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Right {
    /// See a federation, its keys, usage and records.
    Read,
    /// Edit, pause or resume a federation that exists.
    RunFederation,
    /// Issue, rotate or revoke a key of a federation.
    ManageKeys,
    /// Register a new federation, or archive one.
    RegisterFederation,
    /// Read records that belong to no single federation: sign-ins, starts.
    ReadInstallation,
    /// Agree to what somebody else wants: held operations, maintenance windows.
    Approve,
    /// Sign the state of a period.
    Attest,
}

impl Role {
    /// The word in configuration, API and records.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Operator(_) => "operator",
            Self::Manager => "manager",
        }
    }

    /// Decides a right on a federation; `None` stands for the installation as a whole.
    pub fn may(&self, right: Right, federation: Option<&Slug>) -> bool {
        match (self, right) {
            (Self::Admin, _)
            | (Self::Manager, Right::Read | Right::ReadInstallation | Right::Approve | Right::Attest) => true,
            (Self::Manager, Right::RunFederation | Right::ManageKeys | Right::RegisterFederation)
            | (
                Self::Operator(_),
                Right::RegisterFederation | Right::ReadInstallation | Right::Approve | Right::Attest,
            ) => false,
            (Self::Operator(own), Right::Read | Right::RunFederation | Right::ManageKeys) => {
                federation.is_some_and(|slug| own.contains(slug))
            }
        }
    }

    /// The federations that may be seen; `None` is all of them.
    pub fn visible(&self) -> Option<&[Slug]> {
        match self {
            Self::Admin | Self::Manager => None,
            Self::Operator(own) => Some(own),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sign_in_is_recent_for_a_quarter_of_an_hour() {
        let now_ms = 10_000_000;
        for (proven_ms, expect) in [
            (now_ms, true),
            (now_ms - RECENT_MS + 1, true),
            (now_ms - RECENT_MS, false),
            (0, false),
            (now_ms + 60_000, true),
            (now_ms + 60_001, false),
        ] {
            assert_eq!(is_recent(proven_ms, now_ms), expect, "{proven_ms}");
        }
    }

    #[test]
    fn the_role_table() {
        let own = Slug::parse("own").unwrap();
        let other = Slug::parse("other").unwrap();
        let operator = Role::Operator(vec![own.clone()]);
        let rights = [
            Right::Read,
            Right::RunFederation,
            Right::ManageKeys,
            Right::RegisterFederation,
            Right::ReadInstallation,
            Right::Approve,
            Right::Attest,
        ];
        let row = |role: &Role, slug: Option<&Slug>| rights.map(|right| role.may(right, slug));
        assert_eq!(row(&Role::Admin, Some(&other)), [true; 7]);
        assert_eq!(row(&Role::Manager, Some(&other)), [true, false, false, false, true, true, true]);
        assert_eq!(row(&operator, Some(&own)), [true, true, true, false, false, false, false]);
        assert_eq!(row(&operator, Some(&other)), [false; 7]);
        assert_eq!(row(&operator, None), [false; 7]);
    }
}
