//! What a person reads when something was not done: kind, sentence, request id.

use leptos::server_fn::{
    codec::JsonEncoding,
    error::{FromServerFnError, ServerFnErrorErr},
};
use serde::{Deserialize, Serialize};

/// Why a page or a moving part could not show what was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UiError {
    /// Decides the status of the page and its heading.
    pub kind: UiErrorKind,
    /// A sentence for people, without internals.
    pub message: String,
    /// The request, to find it in the log.
    pub request_id: Option<String>,
}

/// The kinds of failure that a page answers differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum UiErrorKind {
    /// Nobody is signed in.
    SignedOut,
    /// Somebody is, and may not.
    Forbidden,
    /// There is no such thing, as far as the reader may know.
    NotFound,
    /// The input cannot be accepted, or contradicts what exists.
    Refused,
    /// Too much at once, or frozen by a person.
    Busy,
    /// The database does not answer; come back soon.
    Unavailable,
    /// Our fault.
    Internal,
    /// The browser could not reach the server.
    Unreachable,
}

impl UiErrorKind {
    /// The HTTP status of a page, or of the answer to a moving part.
    pub const fn status(self) -> u16 {
        match self {
            Self::SignedOut => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::Refused => 422,
            Self::Busy | Self::Unavailable | Self::Unreachable => 503,
            Self::Internal => 500,
        }
    }
}

impl UiError {
    /// A failure without a request id; the server adds the id when it has one.
    pub fn new(kind: UiErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), request_id: None }
    }

    /// There is no such thing.
    pub fn not_found(what: &str) -> Self {
        Self::new(UiErrorKind::NotFound, format!("There is no such {what}, or you may not see it."))
    }
}

impl std::fmt::Display for UiError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl FromServerFnError for UiError {
    type Encoder = JsonEncoding;

    fn from_server_fn_error(error: ServerFnErrorErr) -> Self {
        match error {
            ServerFnErrorErr::Request(_) | ServerFnErrorErr::Response(_) => {
                Self::new(UiErrorKind::Unreachable, "The server does not answer.")
            }
            ServerFnErrorErr::Args(_)
            | ServerFnErrorErr::MissingArg(_)
            | ServerFnErrorErr::Deserialization(_) => {
                Self::new(UiErrorKind::Refused, "The request was not understood.")
            }
            ServerFnErrorErr::Registration(_)
            | ServerFnErrorErr::UnsupportedRequestMethod(_)
            | ServerFnErrorErr::ServerError(_)
            | ServerFnErrorErr::MiddlewareError(_)
            | ServerFnErrorErr::Serialization(_) => {
                Self::new(UiErrorKind::Internal, "Keyward has a defect and could not answer.")
            }
        }
    }
}

#[cfg(feature = "ssr")]
impl From<ops::Error> for UiError {
    fn from(error: ops::Error) -> Self {
        let kind = match error.kind() {
            ops::Kind::Invalid | ops::Kind::Conflict | ops::Kind::Stale => UiErrorKind::Refused,
            ops::Kind::Unauthenticated => UiErrorKind::SignedOut,
            ops::Kind::Forbidden => UiErrorKind::Forbidden,
            ops::Kind::NotFound => UiErrorKind::NotFound,
            ops::Kind::Throttled | ops::Kind::Held => UiErrorKind::Busy,
            ops::Kind::Unavailable => UiErrorKind::Unavailable,
            ops::Kind::Internal => UiErrorKind::Internal,
        };
        let message = match kind {
            // The text of an internal error is for the log.
            UiErrorKind::Internal => "Keyward has a defect and could not answer.".to_owned(),
            UiErrorKind::SignedOut
            | UiErrorKind::Forbidden
            | UiErrorKind::NotFound
            | UiErrorKind::Refused
            | UiErrorKind::Busy
            | UiErrorKind::Unavailable
            | UiErrorKind::Unreachable => crate::words::sentence(&error.to_string()),
        };
        Self { kind, message, request_id: crate::ssr::request_id() }
    }
}
