//! The walk over a database, row by row, with everything that vouches for it.

use domain::audit::verify::{Examiner, Report, Sealed, Trust};
use store::{Conn, Store, checkpoints};

use crate::Error;

/// How many records are read at once.
const PAGE: i64 = 2_000;

/// Walks the whole log of a database that need not be opened with its master key.
///
/// # Errors
/// When the database does not answer, or holds what cannot be read at all.
pub async fn examine_store(store: &Store, trust: &Trust) -> Result<Report, Error> {
    examine(&mut store.read().await?.conn(), trust).await
}

/// Walks the whole log on a connection.
///
/// # Errors
/// As [`examine_store`].
pub async fn examine(conn: &mut Conn<'_>, trust: &Trust) -> Result<Report, Error> {
    let mut examiner = Examiner::new(trust);
    let has_checkpoints = checkpoints::has_table(conn, "checkpoints").await?;
    // A record before the first place is as much a forgery as any other.
    let (mut from, mut reached, mut beside) = (i64::MIN, 0, -1);
    let mut seen: Option<(i64, String)> = None;
    let mut known = None;
    let mut is_over = false;
    loop {
        let mut page = if checkpoints::has_table(conn, "audit_records").await? {
            checkpoints::entries(conn, from, PAGE + 1).await?
        } else {
            Vec::new()
        };
        if let (Some((seq, hash)), Some(first)) = (&seen, page.first())
            && (first.seq, &first.hash) == (*seq, hash)
        {
            page.remove(0);
        }
        if let Some(last) = page.last() {
            (from, reached, known) = (last.seq, last.seq, None);
            seen = Some((last.seq, last.hash.clone()));
            if has_checkpoints {
                beside = take_beside(conn, &mut examiner, beside, reached).await?;
            }
            for entry in page {
                is_over = examiner.push(entry);
                if is_over {
                    break;
                }
            }
            if !is_over {
                continue;
            }
        }
        // The head is read at the end of the log. When it is ahead, records have come since, or the end was cut
        // off: one more look tells which.
        let head = store::audit::head(conn).await?;
        if !is_over && head.seq > reached && known.as_ref() != Some(&head) && seen.is_some() {
            known = Some(head);
            continue;
        }
        let head = known.take().unwrap_or(head);
        if has_checkpoints && let Some(last) = checkpoints::last(conn).await? {
            examiner.beside(&last.note);
        }
        let rows = if reached > 0 { checkpoints::rows(conn, reached).await? } else { 0 };
        return Ok(examiner.finish(&Sealed::Head { seq: head.seq, hash: head.hash, rows }));
    }
}

/// Takes the checkpoints up to a size; the last of them.
async fn take_beside(
    conn: &mut Conn<'_>,
    examiner: &mut Examiner<'_>,
    mut after: i64,
    until: i64,
) -> Result<i64, Error> {
    loop {
        let rows = checkpoints::between(conn, after, until, PAGE).await?;
        for row in &rows {
            examiner.beside(&row.note);
        }
        match rows.last() {
            Some(last) => after = last.size,
            None => return Ok(after),
        }
    }
}
