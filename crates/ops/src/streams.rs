//! Streams: records that leave for other systems as they come.
//!
//! The database is the spool: records are kept anyway, so a stream is a place in them. On one node of all a batch
//! is read from the place, sent, and only then the place moves: what was not taken comes again, in the same order,
//! with the same ids. Audit records are never removed. Usage records wait for retention: what a stream has not sent
//! is held beyond it up to a bound ([`hold`]); past the bound the range that is lost is sent as a record and told as
//! a finding. What goes where is configured at the start, and no route leads here.

mod batch;
mod lag;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use domain::{
    Millis,
    audit::{Action, AuditEvent},
    exports::stream::Carried,
    findings::Rule,
};
use serde_json::json;
use store::{Change, Conn, seals::Hold, streams::StreamPlace};

pub use lag::{Lag, StreamView, lags, standing};

use crate::{
    Error, Keyward,
    findings::{self, NewFinding},
    ports::{Stream, Streaming},
    unit::detail,
};

/// How long a lease holds, and how much of it must be left before something is sent.
const LEASE_MS: Millis = 30_000;
const LEFT_MS: Millis = 16_000;

/// The most records of one batch; the fewer, the more often the last ones were not taken.
const RECORDS: usize = 500;

/// The longest pause between two tries.
const PAUSE_MS: Millis = 60_000;

/// How often it is looked at how far a stream is behind.
const LOOK_MS: Millis = 10_000;

/// What is configured at the start.
pub struct StreamSettings {
    /// Where records go.
    pub streams: Vec<Arc<dyn Stream>>,
    /// Which ones.
    pub carried: Vec<Carried>,
    /// For how long a record may wait before it is told.
    pub behind_ms: Millis,
    /// For how long beyond retention what was not sent is kept.
    pub hold_ms: Millis,
    /// How many records that were not sent are kept beyond retention.
    pub hold_records: i64,
}

/// What is configured, and what the work keeps in memory; the latter can be lost.
#[derive(Default)]
pub(crate) struct Runtime {
    settings: OnceLock<StreamSettings>,
    memory: Mutex<BTreeMap<String, Memory>>,
}

/// What a node knows of one stream.
#[derive(Clone, Copy, Default)]
struct Memory {
    /// The fence of the lease and when it ends, while this node has it.
    lease: Option<(i64, Millis)>,
    /// When it was looked at last how far it is behind.
    looked_ms: Option<Millis>,
}

impl Keyward {
    /// Connects the streams. They come from the configuration at the start; a second list is refused.
    pub fn connect_streams(&self, settings: StreamSettings) {
        // The first is the one that was configured.
        let _ = self.streams.settings.set(settings);
    }

    /// The streams.
    pub fn streams(&self) -> &[Arc<dyn Stream>] {
        self.stream_settings().map_or(&[], |settings| settings.streams.as_slice())
    }

    fn stream_settings(&self) -> Option<&StreamSettings> {
        self.streams.settings.get()
    }

    fn stream_memory(&self, name: &str) -> Memory {
        let memory = self.streams.memory.lock().unwrap_or_else(PoisonError::into_inner);
        memory.get(name).copied().unwrap_or_default()
    }

    fn remember_stream(&self, name: &str, change: impl FnOnce(&mut Memory)) {
        let mut memory = self.streams.memory.lock().unwrap_or_else(PoisonError::into_inner);
        change(memory.entry(name.to_owned()).or_default());
    }
}

/// Each stream has a lease of its own, so that one that hangs holds up no other.
fn lease_of(name: &str) -> &'static str {
    // Leases are named by what is known when the program is built.
    if name == "webhook" { "stream-webhook" } else { "stream-syslog" }
}

/// Sends one batch of each kind, when this node has the lease; how many records were taken, `None` while another
/// node works.
///
/// # Errors
/// When the database does not answer; what the other side says is kept beside the place.
pub async fn round(
    keyward: &Arc<Keyward>,
    stream: &Arc<dyn Stream>,
    node: &str,
) -> Result<Option<usize>, Error> {
    let Some(settings) = keyward.stream_settings() else { return Ok(None) };
    let mut sent = 0;
    for carried in &settings.carried {
        let Some(fence) = take_lease(keyward, stream.name(), node).await? else { return Ok(None) };
        match send(keyward, stream.as_ref(), *carried, fence).await {
            Ok(count) => sent += count,
            Err(error) => {
                // Another node may have taken over meanwhile.
                keyward.remember_stream(stream.name(), |memory| memory.lease = None);
                return Err(error);
            }
        }
    }
    let now_ms = keyward.clock.now_ms();
    let looked_ms = keyward.stream_memory(stream.name()).looked_ms;
    if looked_ms.is_none_or(|looked_ms| !(0..LOOK_MS).contains(&(now_ms - looked_ms))) {
        look(keyward, settings, stream.as_ref(), now_ms).await?;
        keyward.remember_stream(stream.name(), |memory| memory.looked_ms = Some(now_ms));
    }
    Ok(Some(sent))
}

/// Gives the lease of a stream back, so that another node need not wait for its end.
///
/// # Errors
/// When the database does not answer.
pub async fn release(keyward: &Keyward, stream: &Arc<dyn Stream>, node: &str) -> Result<(), Error> {
    let Some((fence, _)) = keyward.stream_memory(stream.name()).lease else { return Ok(()) };
    keyward.remember_stream(stream.name(), |memory| memory.lease = None);
    let (lease, node) = (lease_of(stream.name()), node.to_owned());
    let give_back = async move |conn: &mut Conn<'_>| store::leases::release(conn, lease, &node, fence).await;
    Ok(keyward.store.committer().upkeep(give_back).await?)
}

async fn take_lease(keyward: &Keyward, name: &str, node: &str) -> Result<Option<i64>, Error> {
    let now_ms = keyward.clock.now_ms();
    if let Some((fence, ends_ms)) = keyward.stream_memory(name).lease
        && (LEFT_MS..=LEASE_MS).contains(&(ends_ms - now_ms))
    {
        return Ok(Some(fence));
    }
    let (lease, holder) = (lease_of(name), node.to_owned());
    let take = async move |conn: &mut Conn<'_>| {
        store::leases::take(conn, lease, &holder, now_ms, now_ms + LEASE_MS).await
    };
    let fence = keyward.store.committer().upkeep(take).await?;
    keyward.remember_stream(name, |memory| memory.lease = fence.map(|fence| (fence, now_ms + LEASE_MS)));
    Ok(fence)
}

/// Sends the next batch of one kind; how many records were taken.
async fn send(
    keyward: &Arc<Keyward>,
    stream: &dyn Stream,
    carried: Carried,
    fence: i64,
) -> Result<usize, Error> {
    let now_ms = keyward.clock.now_ms();
    let mut reader = keyward.store.read().await?;
    let known = store::streams::find(&mut reader.conn(), stream.name(), carried.as_str()).await?;
    let Some(mut place) = known else {
        // It begins with what comes from now on.
        let end = batch::end(&mut reader.conn(), carried).await?;
        drop(reader);
        let begun = StreamPlace { place: end, at_ms: now_ms, ..StreamPlace::default() };
        keep(keyward, stream, carried, fence, begun).await?;
        return Ok(0);
    };
    // The clock may have been set back meanwhile.
    if place.tries > 0 && (1..=PAUSE_MS).contains(&(place.next_ms - now_ms)) {
        return Ok(0);
    }
    // What does not go through as a whole may do so in parts.
    let most = (RECORDS >> place.tries.clamp(0, 9)).max(1);
    let due = match batch::next(&mut reader, carried, &place, stream.format(), now_ms, most).await {
        Ok(due) => due,
        Err(Error::Internal(text)) => {
            drop(reader);
            fail(keyward, &mut place, now_ms, format!("the records cannot be read: {text}"));
            keep(keyward, stream, carried, fence, place).await?;
            return Ok(0);
        }
        Err(error) => return Err(error),
    };
    drop(reader);
    let Some(due) = due else { return Ok(0) };
    if let Some(lost) = due.lost {
        tell_of_gap(keyward, stream, &lost.words(), place.place + 1, false).await?;
    }
    let count = due.records.len();
    if let (Some(first), Some(last)) = (due.records.first(), due.records.last()) {
        let id = format!("{}_{}", first.id, last.id);
        let sending = Streaming { id, at_ms: now_ms, records: due.records };
        if let Err(text) = stream.send(&sending).await {
            tracing::warn!(stream = stream.name(), text, tries = place.tries + 1, "a stream was not taken");
            fail(keyward, &mut place, now_ms, text);
            keep(keyward, stream, carried, fence, place).await?;
            return Ok(0);
        }
    }
    if let Some(lost) = due.lost {
        // It may have grown while the other side was away.
        tell_of_gap(keyward, stream, &lost.words(), place.place + 1, true).await?;
    }
    let (place, part) = due.to;
    let moved = StreamPlace { place, part, at_ms: now_ms, ..StreamPlace::default() };
    keep(keyward, stream, carried, fence, moved).await?;
    Ok(count)
}

/// Notes a failure, and when to try again: later each time, and not at the same moment as everybody else.
fn fail(keyward: &Keyward, place: &mut StreamPlace, now_ms: Millis, text: String) {
    place.tries += 1;
    let longest = (1_000 << place.tries.clamp(0, 9)).min(PAUSE_MS);
    let chance = keyward.id_chance();
    let chance = i64::from(u16::from_be_bytes([chance[0], chance[1]]));
    place.next_ms = now_ms + longest / 2 + longest / 2 * chance / i64::from(u16::MAX);
    place.failing_ms.get_or_insert(now_ms);
    place.error = Some(text);
}

async fn keep(
    keyward: &Keyward,
    stream: &dyn Stream,
    carried: Carried,
    fence: i64,
    place: StreamPlace,
) -> Result<(), Error> {
    let (name, lease) = (stream.name().to_owned(), lease_of(stream.name()));
    let keep = async move |conn: &mut Conn<'_>| {
        store::leases::check(conn, lease, fence).await?;
        store::streams::set(conn, &name, carried.as_str(), &place).await
    };
    Ok(keyward.store.committer().upkeep(keep).await?)
}

/// Says which records are lost. The subject is the place where the gap begins: while nothing is taken it may grow.
async fn tell_of_gap(
    keyward: &Arc<Keyward>,
    stream: &dyn Stream,
    lost: &str,
    first_seal: i64,
    is_final: bool,
) -> Result<(), Error> {
    let subject = format!("{} from seal {first_seal}", stream.name());
    let end = if is_final { "The stream was told of it, and goes on behind it." } else { "It may grow." };
    let expected = "Every usage record is sent before retention removes it.";
    let came = format!("Removed before {} had them: {lost}. {end}", stream.name());
    raise(keyward, Rule::StreamGap, &subject, expected, &came, is_final).await
}

/// Raises or settles that a stream is behind.
async fn look(
    keyward: &Arc<Keyward>,
    settings: &StreamSettings,
    stream: &dyn Stream,
    now_ms: Millis,
) -> Result<(), Error> {
    let lags = lag::of(keyward, settings, stream).await?;
    let oldest_ms = lags.iter().filter_map(|lag| lag.oldest_ms).min();
    let waits_ms = oldest_ms.map_or(0, |oldest_ms| now_ms - oldest_ms);
    if waits_ms > settings.behind_ms {
        let expected =
            format!("A record reaches {} within {} minutes.", stream.name(), settings.behind_ms / 60_000);
        let waiting: Vec<String> = lags
            .iter()
            .filter(|lag| lag.records > 0)
            .map(|lag| format!("{} {}", lag.records, lag.carried.label().to_lowercase()))
            .collect();
        let why = lags.iter().find_map(|lag| lag.row.error.as_deref());
        let why = why.map_or_else(String::new, |why| format!(" The last try: {why}."));
        let since = domain::exports::rfc3339(oldest_ms.unwrap_or(now_ms));
        let came = format!("{} wait, the oldest since {since}.{why}", waiting.join(" and "));
        raise(keyward, Rule::StreamBehind, stream.name(), &expected, &came, false).await
    } else if waits_ms <= settings.behind_ms / 2 {
        settle(keyward, Rule::StreamBehind, stream.name(), "the stream has caught up").await
    } else {
        Ok(())
    }
}

/// Raises a finding of the installation, unless it is open and says the same, or is not to be said again.
async fn raise(
    keyward: &Arc<Keyward>,
    rule: Rule,
    subject: &str,
    expected: &str,
    came: &str,
    is_updated: bool,
) -> Result<(), Error> {
    let mut reader = keyward.store.read().await?;
    let open = store::findings::live(&mut reader.conn(), None, rule, subject).await?;
    drop(reader);
    if open.is_some_and(|open| !is_updated || open.detail.came == came) {
        return Ok(());
    }
    let cx = keyward.system_cx("streams");
    let new = NewFinding::new(keyward, None, rule, subject, expected, came);
    let event = findings::about(&cx, &new);
    let now_ms = cx.now_ms();
    let unit = async move |conn: &mut Conn<'_>| {
        findings::raise(conn, &new, now_ms).await?;
        Ok(Change::new((), event.clone()))
    };
    keyward.commit(unit).await
}

async fn settle(
    keyward: &Arc<Keyward>,
    rule: Rule,
    subject: &str,
    reason: &'static str,
) -> Result<(), Error> {
    let mut reader = keyward.store.read().await?;
    if store::findings::live(&mut reader.conn(), None, rule, subject).await?.is_none() {
        return Ok(());
    }
    drop(reader);
    let cx = keyward.system_cx("streams");
    let event = AuditEvent {
        target: Some(rule.title().to_owned()),
        detail: detail(&json!({ "rule": rule, "subject": subject, "reason": reason })),
        ..cx.event(Action::FindingClosed)
    };
    let (subject, now_ms) = (subject.to_owned(), cx.now_ms());
    let unit = async move |conn: &mut Conn<'_>| {
        findings::settle(conn, None, rule, &subject, reason, now_ms).await?;
        Ok(Change::new((), event.clone()))
    };
    keyward.commit(unit).await
}

/// Which sealed usage records retention may not remove yet: those that a configured stream has not sent, while
/// they are not older than the bound beyond `before_ms` and not more than the bound in number.
pub(crate) async fn hold(keyward: &Keyward, conn: &mut Conn<'_>, before_ms: Millis) -> Result<Hold, Error> {
    let Some(settings) = keyward.stream_settings() else { return Ok(Hold::NONE) };
    if !settings.carried.contains(&Carried::Usage) {
        return Ok(Hold::NONE);
    }
    let mut after = i64::MAX;
    for stream in &settings.streams {
        // One that has not begun begins with what comes then.
        if let Some(place) = store::streams::find(conn, stream.name(), Carried::Usage.as_str()).await? {
            after = after.min(place.place);
        }
    }
    if after == i64::MAX {
        return Ok(Hold::NONE);
    }
    let beyond = store::seals::beyond(conn, after, settings.hold_records).await?;
    Ok(Hold { after: after.max(beyond), from_ms: before_ms.saturating_sub(settings.hold_ms) })
}
