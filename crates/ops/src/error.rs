//! What can go wrong in an operation, closed over kinds.
//!
//! Each edge maps [`Kind`] to its own answers in one exhaustive match.

use domain::Invalid;

/// The kinds of failure that an edge must be able to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The caller's input cannot be accepted.
    Invalid,
    /// Nobody is signed in, or no accepted key was presented.
    Unauthenticated,
    /// Somebody is, and may not.
    Forbidden,
    /// There is no such thing, as far as the caller may know.
    NotFound,
    /// It exists already, or contradicts what exists.
    Conflict,
    /// It was changed by somebody else since it was read.
    Stale,
    /// Too much at once.
    Throttled,
    /// Frozen by a person; come back later.
    Held,
    /// Weather: come back soon.
    Unavailable,
    /// Our fault.
    Internal,
}

/// Why an operation was not done. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// One entry for each value that cannot be accepted.
    #[error("{}", sentence(.0))]
    Invalid(Vec<Invalid>),
    /// Nobody is signed in, or no accepted key was presented.
    #[error("{0}")]
    Unauthenticated(String),
    /// What may not be done, and who may.
    #[error("{0}")]
    Forbidden(String),
    /// What is protected, and was to be changed by a key (R3).
    #[error("{0}")]
    Protected(String),
    /// There is no such thing, as far as the caller may know.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// What it contradicts.
    #[error("{0}")]
    Conflict(String),
    /// It was changed since it was read.
    #[error("{0} was changed by somebody else in the meantime; open it again and repeat the change")]
    Stale(&'static str),
    /// Frozen; seconds after which to come back.
    #[error("{message}")]
    Held {
        /// What is frozen.
        message: String,
        /// Seconds.
        retry_after_s: u32,
    },
    /// Too much at once; seconds after which to come back.
    #[error("{message}")]
    Throttled {
        /// What there was too much of.
        message: String,
        /// Seconds.
        retry_after_s: u32,
    },
    /// The upstream of a federation did not do it, or nobody knows whether it did.
    #[error("{message}")]
    Upstream {
        /// 429 when it asked for patience, else 503.
        status: u16,
        /// What is the matter, without a word of the upstream's own.
        message: String,
        /// Seconds.
        retry_after_s: u32,
    },
    /// A SCIM request that the protocol refuses.
    #[error("{0}")]
    Scim(#[from] scim::ScimError),
    /// The database did not answer, or refused; nothing was changed.
    #[error("the database is not available")]
    Unavailable(#[source] store::Error),
    /// Our fault.
    #[error("internal error: {0}")]
    Internal(String),
}

fn sentence(faults: &[Invalid]) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

impl Error {
    /// One value that cannot be accepted.
    pub fn invalid(field: &str, message: impl Into<String>) -> Self {
        Self::Invalid(vec![Invalid::new(field, message)])
    }

    /// The kind, for the table of an edge.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Invalid(_) => Kind::Invalid,
            Self::Unauthenticated(_) => Kind::Unauthenticated,
            Self::Forbidden(_) | Self::Protected(_) => Kind::Forbidden,
            Self::NotFound(_) => Kind::NotFound,
            Self::Conflict(_) => Kind::Conflict,
            Self::Stale(_) => Kind::Stale,
            Self::Held { .. } => Kind::Held,
            Self::Upstream { status: 429, .. } | Self::Throttled { .. } => Kind::Throttled,
            Self::Scim(error) => match error.status {
                404 => Kind::NotFound,
                409 => Kind::Conflict,
                412 => Kind::Stale,
                403 => Kind::Forbidden,
                _ => Kind::Invalid,
            },
            Self::Upstream { .. } | Self::Unavailable(_) => Kind::Unavailable,
            Self::Internal(_) => Kind::Internal,
        }
    }
}

impl From<Invalid> for Error {
    fn from(fault: Invalid) -> Self {
        Self::Invalid(vec![fault])
    }
}

impl From<Vec<Invalid>> for Error {
    fn from(faults: Vec<Invalid>) -> Self {
        Self::Invalid(faults)
    }
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::Conflict(what) => Self::Conflict(what),
            store::Error::Stale => Self::Stale("it"),
            store::Error::Unavailable(_) | store::Error::Absent(_) | store::Error::Serialization => {
                Self::Unavailable(error)
            }
            store::Error::Refused(what) => Self::invalid("value", what),
            store::Error::Corrupt(_) | store::Error::Newer(_) => Self::Internal(error.to_string()),
        }
    }
}

impl store::Retry for Error {
    fn is_retry(&self) -> bool {
        matches!(self, Self::Unavailable(store::Error::Serialization))
    }
}
