//! The error that a SCIM answer carries (RFC 7644 3.12).
//!
//! Every refusal of this crate is a [`ScimError`]: an HTTP status, the keyword of the standard where
//! there is one, and a sentence for the person who reads the provider's log. A new keyword is one
//! more variant of [`ScimType`], its word in `as_str` and a constructor.

use std::fmt;

use serde_json::{Value, json};

/// The URN of an error body.
pub const ERROR_URN: &str = "urn:ietf:params:scim:api:messages:2.0:Error";

/// The keyword that says what kind of mistake a request made (RFC 7644 3.12, table 9; RFC 9865 2.1,
/// table 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ScimType {
    /// The filter is malformed, or compares what cannot be compared.
    InvalidFilter,
    /// The request asks for more than the server is willing to do.
    TooMany,
    /// A value that must be unique is taken.
    Uniqueness,
    /// The change touches what cannot be changed.
    Mutability,
    /// The body is not JSON of the right shape.
    InvalidSyntax,
    /// The path of a PATCH operation is malformed or names nothing.
    InvalidPath,
    /// The path of a PATCH operation selects no value.
    NoTarget,
    /// A value is missing or of the wrong type.
    InvalidValue,
    /// The protocol version is not supported.
    InvalidVers,
    /// The URI carries what policy keeps out of URIs.
    Sensitive,
    /// The cursor is none of ours, or belongs to another query (RFC 9865 2.1).
    InvalidCursor,
    /// The cursor has timed out (RFC 9865 2.1).
    ExpiredCursor,
    /// The size of a page is out of range, or changed between two pages (RFC 9865 2.1).
    InvalidCount,
}

impl ScimType {
    /// The keyword as it stands in the body.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidFilter => "invalidFilter",
            Self::TooMany => "tooMany",
            Self::Uniqueness => "uniqueness",
            Self::Mutability => "mutability",
            Self::InvalidSyntax => "invalidSyntax",
            Self::InvalidPath => "invalidPath",
            Self::NoTarget => "noTarget",
            Self::InvalidValue => "invalidValue",
            Self::InvalidVers => "invalidVers",
            Self::Sensitive => "sensitive",
            Self::InvalidCursor => "invalidCursor",
            Self::ExpiredCursor => "expiredCursor",
            Self::InvalidCount => "invalidCount",
        }
    }
}

impl fmt::Display for ScimType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A refusal in the words of the standard.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct ScimError {
    /// The HTTP status.
    pub status: u16,
    /// The keyword, where the standard has one for this mistake.
    pub scim_type: Option<ScimType>,
    /// What was wrong and where, for a person.
    pub detail: String,
}

/// One constructor a row: name, status, keyword, what it is for.
macro_rules! constructors {
    ($($(#[$doc:meta])* $name:ident = $status:literal, $scim_type:expr;)*) => {
        impl ScimError {
            $($(#[$doc])* pub fn $name(detail: impl Into<String>) -> Self {
                Self { status: $status, scim_type: $scim_type, detail: detail.into() }
            })*
        }
    };
}

constructors! {
    /// 400 `invalidFilter`.
    invalid_filter = 400, Some(ScimType::InvalidFilter);
    /// 400 `tooMany`.
    too_many = 400, Some(ScimType::TooMany);
    /// 400 `mutability`.
    mutability = 400, Some(ScimType::Mutability);
    /// 400 `invalidSyntax`.
    invalid_syntax = 400, Some(ScimType::InvalidSyntax);
    /// 400 `invalidPath`.
    invalid_path = 400, Some(ScimType::InvalidPath);
    /// 400 `noTarget`.
    no_target = 400, Some(ScimType::NoTarget);
    /// 400 `invalidValue`.
    invalid_value = 400, Some(ScimType::InvalidValue);
    /// 400 `invalidVers`.
    invalid_vers = 400, Some(ScimType::InvalidVers);
    /// 400 `invalidCursor`.
    invalid_cursor = 400, Some(ScimType::InvalidCursor);
    /// 400 `expiredCursor`.
    expired_cursor = 400, Some(ScimType::ExpiredCursor);
    /// 400 `invalidCount`.
    invalid_count = 400, Some(ScimType::InvalidCount);
    /// 403 `sensitive`.
    sensitive = 403, Some(ScimType::Sensitive);
    /// 409 `uniqueness`.
    uniqueness = 409, Some(ScimType::Uniqueness);
    /// 401: no credential, or one that is not accepted.
    unauthorized = 401, None;
    /// 403: the credential does not reach this far.
    forbidden = 403, None;
    /// 404: no such endpoint or resource.
    not_found = 404, None;
    /// 405: the endpoint does not know the method.
    method_not_allowed = 405, None;
    /// 409 without a keyword: a conflict that is not about uniqueness.
    conflict = 409, None;
    /// 412: the version of `If-Match` is not the current one.
    precondition_failed = 412, None;
    /// 413: the body is larger than the server takes.
    too_large = 413, None;
    /// 415: the body is of a media type that the server does not read.
    unsupported_media_type = 415, None;
    /// 429: wait before the next request.
    too_many_requests = 429, None;
    /// 500: our own mistake.
    internal = 500, None;
    /// 501: the standard has it, this server does not.
    not_implemented = 501, None;
    /// 503: try again later.
    unavailable = 503, None;
}

impl ScimError {
    /// An error with a status of the caller's choice and no keyword.
    pub fn new(status: u16, detail: impl Into<String>) -> Self {
        Self { status, scim_type: None, detail: detail.into() }
    }

    /// The body of the answer. `status` is a string, as RFC 7644 3.12 wants it.
    pub fn to_json(&self) -> Value {
        let mut body = json!({
            "schemas": [ERROR_URN],
            "status": self.status.to_string(),
            "detail": self.detail,
        });
        if let (Some(scim_type), Some(object)) = (self.scim_type, body.as_object_mut()) {
            object.insert("scimType".to_owned(), Value::from(scim_type.as_str()));
        }
        body
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn body_is_the_one_of_the_standard() {
        assert_eq!(
            ScimError::mutability("attribute 'id' is readOnly").to_json(),
            json!({
                "schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"],
                "scimType": "mutability",
                "detail": "attribute 'id' is readOnly",
                "status": "400",
            })
        );
    }

    #[test]
    fn error_without_keyword_leaves_it_out() {
        let body = ScimError::not_found("no such user").to_json();
        assert_eq!(body.get("scimType"), None);
        assert_eq!(body.get("status"), Some(&Value::from("404")));
    }

    #[test]
    fn uniqueness_is_a_conflict() {
        assert_eq!(ScimError::uniqueness("taken").status, 409);
    }
}
