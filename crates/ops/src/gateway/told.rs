//! What an upstream told us, and what a provider is told of it.
//!
//! A provider never hears of a thing as done that was not; it hears a refusal of the upstream with
//! ids of ours, and of everything else that it should come back later.

use domain::usage::clean;
use scim::{ScimError, ScimType};
use serde_json::Value;

use crate::{
    Error,
    ports::{CallFault, UpstreamAnswer},
};

/// Seconds after which a provider comes back when an answer could not be understood.
pub(super) const UNCLEAR_RETRY_S: u32 = 30;

/// Seconds after which a provider comes back when the upstream refuses our credential.
const DENIED_RETRY_S: u32 = 300;

/// What an upstream told us.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Told {
    /// It did it.
    Fine {
        /// A JSON object, when there was a body.
        body: Option<Value>,
        /// `ETag`.
        etag: Option<String>,
    },
    /// It did not do it, for a reason that is the provider's.
    Refused {
        /// The status to give.
        status: u16,
        /// The keyword.
        scim_type: Option<ScimType>,
        /// Its words.
        detail: String,
    },
    /// It did not do it: too much at once.
    Throttled(u32),
    /// It did not do it: it does not accept our credential.
    Denied(u16),
    /// It did not do it: nothing was sent.
    NotSent {
        /// Why.
        reason: String,
        /// Seconds.
        retry_after_s: u32,
        /// Whether another try at once may help.
        may_try_again: bool,
    },
    /// Nobody knows whether it did it.
    Unclear(String),
}

/// What became of a call without an answer.
impl From<CallFault> for Told {
    fn from(fault: CallFault) -> Self {
        match fault {
            CallFault::NotSent(reason) => Self::NotSent { reason, retry_after_s: 30, may_try_again: true },
            CallFault::NoToken(reason) => Self::NotSent {
                reason: format!("no token: {reason}"),
                retry_after_s: 60,
                may_try_again: false,
            },
            CallFault::Unclear(reason) => Self::Unclear(reason),
        }
    }
}

/// What was refused here, as if the upstream had done it: nothing was changed.
impl From<ScimError> for Told {
    fn from(ScimError { status, scim_type, detail }: ScimError) -> Self {
        Self::Refused { status, scim_type, detail }
    }
}

/// Reads an answer.
pub(super) fn read(answer: UpstreamAnswer) -> Told {
    let UpstreamAnswer { status, body, etag, retry_after_s, .. } = answer;
    match status {
        200..=299 if body.iter().all(u8::is_ascii_whitespace) => Told::Fine { body: None, etag },
        200..=299 => match serde_json::from_slice::<Value>(&body) {
            Ok(body @ Value::Object(_)) => Told::Fine { body: Some(body), etag },
            Ok(_) | Err(_) => Told::Unclear(format!("status {status}, and no JSON object")),
        },
        300..=399 => Told::NotSent {
            reason: format!("status {status}: redirects are not followed"),
            retry_after_s: 60,
            may_try_again: false,
        },
        401 | 403 => Told::Denied(status),
        429 => Told::Throttled(retry_after_s.unwrap_or(60)),
        408 | 425 => Told::Unclear(format!("status {status}")),
        400..=499 | 501 => refused(status, &body),
        _ => Told::Unclear(format!("status {status}")),
    }
}

fn refused(status: u16, body: &[u8]) -> Told {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let keyword = body.get("scimType").and_then(Value::as_str);
    let scim_type = keyword.and_then(|word| {
        [
            ScimType::InvalidFilter,
            ScimType::TooMany,
            ScimType::Uniqueness,
            ScimType::Mutability,
            ScimType::InvalidSyntax,
            ScimType::InvalidPath,
            ScimType::NoTarget,
            ScimType::InvalidValue,
            ScimType::InvalidVers,
            ScimType::Sensitive,
            ScimType::InvalidCursor,
            ScimType::ExpiredCursor,
            ScimType::InvalidCount,
        ]
        .into_iter()
        .find(|known| known.as_str() == word)
    });
    let detail = body.get("detail").and_then(Value::as_str).unwrap_or_default();
    let status = match status {
        400 | 404 | 409 | 412 | 413 => status,
        405 | 501 => 501,
        _ => 400,
    };
    Told::Refused { status, scim_type, detail: clean(detail, 300) }
}

impl Told {
    /// Whether the breaker counts it.
    pub(super) fn is_failure(&self) -> bool {
        match self {
            Self::Fine { .. } | Self::Refused { .. } | Self::Throttled(_) | Self::Denied(_) => false,
            Self::NotSent { .. } | Self::Unclear(_) => true,
        }
    }

    /// The body of an answer that has one; an empty one says nothing.
    pub(super) fn body(self) -> Result<(Value, Option<String>), Self> {
        match self {
            Self::Fine { body: Some(body), etag } => Ok((body, etag)),
            Self::Fine { body: None, .. } => Err(Self::Unclear("an empty answer".to_owned())),
            Self::Refused { .. }
            | Self::Throttled(_)
            | Self::Denied(_)
            | Self::NotSent { .. }
            | Self::Unclear(_) => Err(self),
        }
    }

    /// An answer about one resource must be about that resource.
    pub(super) fn about(self, upstream_id: &str) -> Self {
        match &self {
            Self::Fine { body: Some(body), .. }
                if super::translate::id_of(body).as_deref() != Some(upstream_id) =>
            {
                Self::Unclear("the answer is about another resource".to_owned())
            }
            Self::Fine { .. }
            | Self::Refused { .. }
            | Self::Throttled(_)
            | Self::Denied(_)
            | Self::NotSent { .. }
            | Self::Unclear(_) => self,
        }
    }

    /// For the records: what happened, without personal data.
    pub(super) fn note(&self) -> String {
        match self {
            Self::Fine { .. } => "done".to_owned(),
            Self::Refused { status, scim_type, .. } => {
                let keyword = scim_type.map(|keyword| format!(" {keyword}")).unwrap_or_default();
                format!("refused with {status}{keyword}")
            }
            Self::Throttled(seconds) => format!("asked to come back in {seconds} s"),
            Self::Denied(status) => format!("our credential was refused with {status}"),
            Self::NotSent { reason, .. } => format!("not sent: {}", clean(reason, 200)),
            Self::Unclear(reason) => format!("unclear: {}", clean(reason, 200)),
        }
    }

    /// What the provider is told. `names` are pairs of an id there and here.
    pub(super) fn into_error(self, their_base: &str, base: &str, names: &[(&str, &str)]) -> Error {
        match self {
            Self::Refused { status: 404, .. } => Error::NotFound("resource"),
            Self::Refused { status, scim_type, detail } => {
                let mut detail = detail.replace(their_base, base);
                // An id as short as `7` may be any number.
                for (theirs, ours) in names.iter().filter(|(theirs, _)| theirs.len() >= 4) {
                    detail = detail.replace(theirs, ours);
                }
                if detail.is_empty() {
                    "the service behind this federation refused it".clone_into(&mut detail);
                }
                Error::Scim(ScimError { status, scim_type, detail })
            }
            Self::Throttled(retry_after_s) => Error::Upstream {
                status: 429,
                message: "the service behind this federation asks for patience".to_owned(),
                retry_after_s,
            },
            Self::Denied(_) => weather(
                "the service behind this federation does not accept the credential of Keyward; nothing was changed",
                DENIED_RETRY_S,
            ),
            Self::NotSent { retry_after_s, .. } => weather(
                "the service behind this federation cannot be reached; nothing was changed",
                retry_after_s,
            ),
            Self::Unclear(_) | Self::Fine { .. } => weather(
                "the service behind this federation gave no answer that can be understood; come back later",
                UNCLEAR_RETRY_S,
            ),
        }
    }
}

/// 503 with Retry-After.
pub(super) fn weather(message: &str, retry_after_s: u32) -> Error {
    Error::Upstream { status: 503, message: message.to_owned(), retry_after_s }
}

/// `totalResults` and `Resources` of a list.
pub(super) fn page(mut body: Value) -> Result<(u64, Vec<Value>), Told> {
    let total = body.get("totalResults").and_then(Value::as_u64);
    let resources = match body.get_mut("Resources").map(Value::take) {
        Some(Value::Array(resources)) => Some(resources),
        None | Some(Value::Null) => Some(Vec::new()),
        Some(Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_)) => None,
    };
    match (total, resources) {
        (Some(total), Some(resources)) => Ok((total, resources)),
        (Some(_) | None, _) => Err(Told::Unclear("the answer is no list".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(status: u16, body: &str) -> Told {
        read(UpstreamAnswer { status, body: body.as_bytes().to_vec(), ..UpstreamAnswer::default() })
    }

    #[test]
    fn only_json_is_a_success() {
        assert!(matches!(told(200, "{\"id\":\"1\"}"), Told::Fine { body: Some(_), .. }));
        assert!(matches!(told(204, ""), Told::Fine { body: None, .. }));
        for body in ["<html>", "[]", "\"x\"", "{\"id\":"] {
            assert!(matches!(told(200, body), Told::Unclear(_)), "{body}");
        }
        assert!(matches!(told(302, ""), Told::NotSent { .. }));
        assert!(matches!(told(500, "{}"), Told::Unclear(_)));
        assert!(matches!(told(401, "{}"), Told::Denied(401)));
    }

    #[test]
    fn a_refusal_is_told_with_ids_of_ours_and_no_address_of_theirs() {
        let body = r#"{"scimType":"uniqueness","detail":"https://up/v2/Users/2819c223 has that userName","status":"409"}"#;
        let error = told(409, body).into_error("https://up/v2", "https://k/v2", &[("2819c223", "01900000")]);
        let Error::Scim(error) = error else { panic!("{error:?}") };
        assert_eq!((error.status, error.scim_type), (409, Some(ScimType::Uniqueness)));
        assert_eq!(error.detail, "https://k/v2/Users/01900000 has that userName");
    }

    #[test]
    fn nobody_but_keyward_is_told_of_its_credential() {
        for (status, expect) in [(401, 503), (403, 503), (429, 429), (500, 503), (307, 503)] {
            let error = told(status, "").into_error("", "", &[]);
            assert!(
                matches!(error, Error::Upstream { status, .. } if status == expect),
                "{status}: {error:?}"
            );
        }
    }

    #[test]
    fn an_answer_about_another_resource_is_none() {
        assert!(matches!(told(200, "{\"id\":\"2\"}").about("1"), Told::Unclear(_)));
        assert!(matches!(told(200, "{\"id\":\"1\"}").about("1"), Told::Fine { .. }));
    }
}
