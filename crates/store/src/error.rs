//! What can go wrong in the database.

/// Why the database did not do it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It exists already; the text says what.
    #[error("{0}")]
    Conflict(String),
    /// The row was changed since it was read, or is gone.
    #[error("changed by somebody else in the meantime")]
    Stale,
    /// The database refused the transaction for the sake of another; it will be run again.
    #[error("refused for the sake of another transaction")]
    Serialization,
    /// The database did not answer or could not write; nothing was changed.
    #[error("the database did not answer: {0}")]
    Unavailable(String),
    /// The database is not there, or not there yet.
    #[error("the database is not there: {0}")]
    Absent(String),
    /// The schema is that of a newer version of this program.
    #[error("it was made by a newer version of Keyward (its schema has number {0}); nothing was changed")]
    Newer(i64),
    /// The database cannot hold a value: too long, or with a character that it does not take.
    #[error("the database cannot hold a value: {0}")]
    Refused(String),
    /// A row holds what no version of this program writes.
    #[error("a stored row cannot be read: {0}")]
    Corrupt(String),
}

/// Whether a failed unit is to be run again with its whole batch.
pub trait Retry {
    /// True for SQLSTATE 40001 and its like.
    fn is_retry(&self) -> bool;
}

impl Retry for Error {
    fn is_retry(&self) -> bool {
        matches!(self, Self::Serialization)
    }
}

impl From<sqlx::Error> for Error {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the library's enum grows with its versions")]
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(database) => {
                if database.is_unique_violation() {
                    return Self::Conflict("it exists already".to_owned());
                }
                // 40001 serialization failure, 40P01 deadlock; SQLite's 517 is a snapshot that is
                // too old to be written from.
                match database.code().as_deref() {
                    Some("40001" | "40P01" | "517") => Self::Serialization,
                    // Class 22 data exception, 54 program limit exceeded: the value is at fault.
                    Some(code) if code.starts_with("22") || code.starts_with("54") => {
                        Self::Refused(database.message().to_owned())
                    }
                    _ => Self::Unavailable(database.message().to_owned()),
                }
            }
            sqlx::Error::Io(_) => Self::Absent(error.to_string()),
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::ColumnNotFound(_) => {
                Self::Corrupt(error.to_string())
            }
            _ => Self::Unavailable(error.to_string()),
        }
    }
}

impl Error {
    /// Whether the database may come up by waiting.
    pub fn is_absence(&self) -> bool {
        matches!(self, Self::Absent(_))
    }

    /// Says what a unique violation means in the words of the noun.
    pub(crate) fn or_conflict(self, what: impl FnOnce() -> String) -> Self {
        match self {
            Self::Conflict(_) => Self::Conflict(what()),
            Self::Stale
            | Self::Serialization
            | Self::Unavailable(_)
            | Self::Absent(_)
            | Self::Newer(_)
            | Self::Refused(_)
            | Self::Corrupt(_) => self,
        }
    }
}
