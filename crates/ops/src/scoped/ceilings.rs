//! Ceilings: at most so many operations of one kind in any hour, exact in the transaction that does them.
//!
//! A key and those that it replaces count together, and so does its successor. What is counted is kept by
//! the minute; the minute that is just leaving the hour still counts, so that no hour has more.

use domain::{
    Millis,
    scopes::{ResourceKind, Verb},
};
use store::{
    Change, Conn,
    counters::{self, Counted},
};

use crate::{Cx, Error, ScimClient};

const MINUTE_MS: Millis = 60_000;

/// Counts one operation in the unit that does it.
///
/// # Errors
/// Throttled when the hour is full, with the seconds until there is room.
pub(crate) async fn count(
    cx: &Cx<ScimClient>,
    conn: &mut Conn<'_>,
    resource: ResourceKind,
    verb: Verb,
) -> Result<(), Error> {
    let Some(most) = cx.actor.scope.ceiling(resource, verb) else { return Ok(()) };
    let line = store::keys::line(conn, cx.federation_id(), &cx.actor.key_id).await?;
    let line_id = line.last().unwrap_or(&cx.actor.key_id);
    let (resource, verb) = (resource.as_str(), verb.as_str());
    let counted = Counted { federation_id: cx.federation_id(), line_id, resource, verb };
    let mut minutes = counters::take(conn, counted).await?;
    match add(&mut minutes, i64::from(most), cx.now_ms()) {
        Ok(()) => Ok(counters::write(conn, counted, &minutes).await?),
        Err(retry_after_s) => Err(Error::Throttled {
            message: format!(
                "this key may {verb} {resource} {most} times an hour, and has; nothing was done"
            ),
            retry_after_s,
        }),
    }
}

/// Lets a reading through, and counts it where readings have a ceiling.
///
/// # Errors
/// Forbidden by the scope; Throttled by its ceiling.
pub(crate) async fn admit_read(cx: &Cx<ScimClient>, resource: ResourceKind) -> Result<(), Error> {
    cx.admit(Verb::Read, resource)?;
    if cx.actor.scope.ceiling(resource, Verb::Read).is_none() {
        return Ok(());
    }
    let own = cx.clone();
    let counting = async move |conn: &mut Conn<'_>| {
        own.still_accepted(conn).await?;
        count(&own, conn, resource, Verb::Read).await?;
        Ok(Change::nothing(()))
    };
    Box::pin(cx.keyward.commit(counting)).await
}

/// Adds one to a counter, or says after how many seconds there is room.
fn add(minutes: &mut Vec<(i64, i64)>, most: i64, now_ms: Millis) -> Result<(), u32> {
    let now = now_ms.div_euclid(MINUTE_MS);
    minutes.retain(|(minute, _)| *minute >= now - 60);
    let used: i64 = minutes.iter().map(|(_, count)| count).sum();
    let mut too_many = used - most + 1;
    if too_many <= 0 {
        match minutes.last_mut() {
            // Another node, or a clock that was set back, may be in an older minute.
            Some((minute, count)) if *minute >= now => *count += 1,
            Some(_) | None => minutes.push((now, 1)),
        }
        return Ok(());
    }
    let mut frees_at = now + 61;
    for (minute, count) in minutes.iter() {
        too_many -= count;
        if too_many <= 0 {
            frees_at = minute + 61;
            break;
        }
    }
    let seconds = (frees_at * MINUTE_MS - now_ms + 999) / 1_000;
    Err(u32::try_from(seconds.max(1)).unwrap_or(3_660))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_hour_has_more_than_the_ceiling_and_the_wait_ends_when_there_is_room() {
        let mut minutes = Vec::new();
        let at = |minute: i64, second: i64| (1_000 + minute) * MINUTE_MS + second * 1_000;
        assert_eq!(add(&mut minutes, 3, at(0, 59)), Ok(()));
        assert_eq!(add(&mut minutes, 3, at(10, 0)), Ok(()));
        assert_eq!(add(&mut minutes, 3, at(10, 30)), Ok(()));
        assert_eq!(minutes, [(1_000, 1), (1_010, 2)]);
        // The first one is out of every hour when minute 61 begins.
        assert_eq!(add(&mut minutes, 3, at(30, 0)), Err(31 * 60));
        assert_eq!(add(&mut minutes, 3, at(60, 59)), Err(1));
        assert_eq!(add(&mut minutes, 3, at(61, 0)), Ok(()));
        assert_eq!(add(&mut minutes, 3, at(61, 0)), Err(10 * 60));
        // A ceiling that was lowered waits for as many as are too many.
        assert_eq!(add(&mut minutes, 1, at(62, 0)), Err(60 * 60));
        assert_eq!(add(&mut minutes, 2, at(62, 0)), Err(9 * 60));
    }
}
