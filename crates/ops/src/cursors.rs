//! What the cursors (RFC 9865) of every list have in common, wherever its resources stand: one opens for whom it
//! was sealed and for the query that it goes on with, within an hour, and with the same number of a page.

use domain::Millis;
use scim::{ListQuery, ScimError};

use crate::{Cx, Error, ScimClient};

/// How long a cursor is good for.
pub const TIMEOUT_MS: Millis = 60 * 60 * 1_000;

/// Whom a cursor belongs to, and the query that it goes on with.
pub(crate) struct Bound {
    /// Whom.
    pub caller: String,
    /// What was asked.
    pub asked: String,
}

pub(crate) fn invalid() -> ScimError {
    ScimError::invalid_cursor(
        "the cursor is not one of this query: begin again with an empty cursor, and go on with the nextCursor \
         of each page",
    )
}

/// Seals what a cursor holds.
pub(crate) fn seal(cx: &Cx<ScimClient>, bound: &Bound, plain: &str) -> Result<String, Error> {
    let keyward = &cx.keyward;
    keyward
        .vault
        .seal_cursor(keyward.entropy.as_ref(), &bound.caller, &bound.asked, plain.as_bytes())
        .map_err(Error::Internal)
}

/// Opens one that a client brings. `read` finds the time it was made, the number of a page, and where it goes on.
///
/// # Errors
/// 400 `invalidCursor` for what was not sealed for this caller and query, `expiredCursor` after [`TIMEOUT_MS`],
/// `invalidCount` when a page is to hold another number than the first.
pub(crate) fn open<T>(
    cx: &Cx<ScimClient>,
    bound: &Bound,
    query: &ListQuery,
    text: &str,
    read: impl FnOnce(&[u8]) -> Option<(Millis, u64, T)>,
) -> Result<T, ScimError> {
    let plain = cx.keyward.vault.open_cursor(&bound.caller, &bound.asked, text).map_err(|_| invalid())?;
    let (made_ms, count, cursor) = read(&plain).ok_or_else(invalid)?;
    if cx.now_ms().saturating_sub(made_ms) >= TIMEOUT_MS {
        return Err(ScimError::expired_cursor(format!(
            "the cursor is older than {} seconds: begin again with an empty cursor",
            TIMEOUT_MS / 1_000
        )));
    }
    if count != query.count {
        return Err(ScimError::invalid_count(format!(
            "the first page was asked for with a count of {count}: keep it on every page"
        )));
    }
    Ok(cursor)
}
