//! Usage records as they come, for somebody who watches.
//!
//! The feed of the node carries everything; what one may see of it is decided here, once for each watch.
//! A position names the node, a number on it, and the last record, so that who comes back to the same
//! node goes on exactly, and who comes to another one goes on by the time of the record, with an overlap.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use domain::{
    FederationId, Invalid, Millis, RequestId,
    admins::Admin,
    ids::IdChance,
    usage::{UsageRecord, filter::UsageFilter},
};
use store::feed::Watch;

use super::search::{page_of, scope};
use crate::{Cx, Error, Keyward};

/// How many records are looked at at once.
const AT_ONCE: usize = 128;

/// How many records are read again for somebody who comes back to another node.
const CAUGHT_UP: usize = 2_000;

/// How far back it is looked for records that were written late.
const OVERLAP_MS: Millis = 30_000;

/// How far back it is asked for what came while the database did not answer.
const FAR_MS: Millis = 600_000;

/// How often other nodes are told at most.
const TELL_EVERY: Duration = Duration::from_millis(250);

/// How often the database is asked although nobody said anything.
const POLL_EVERY: Duration = Duration::from_secs(2);

/// The parameters of a watch: those that can be judged from a record alone.
pub const PARAMETERS: [&str; 9] =
    ["federation", "key", "method", "type", "status", "decision", "source", "agent", "work"];

/// What came, in its order.
#[derive(Debug, Clone)]
pub enum Event {
    /// A record, and the position after it.
    Record(Box<UsageRecord>, String),
    /// So many records came too fast, or too long ago, to be shown: the search has them.
    Missed(u64),
}

/// Somebody's watch.
pub struct Live {
    watch: Watch,
    node: String,
    federations: Vec<Option<FederationId>>,
    filter: UsageFilter,
    ready: VecDeque<Event>,
    /// Ids that were given out when it caught up.
    given: std::collections::HashSet<RequestId>,
}

/// How many watch on this node.
pub fn watchers(keyward: &Keyward) -> usize {
    keyward.store.feed().watchers()
}

/// Where the feed stands now, for a page that will watch from here.
pub fn position(keyward: &Keyward) -> String {
    written(&keyward.node, keyward.store.feed().position(), None, keyward.clock.now_ms())
}

fn written(node: &str, number: u64, last: Option<&RequestId>, now_ms: Millis) -> String {
    // Without a record the time stands for it.
    let last = last.cloned().unwrap_or_else(|| RequestId::new(now_ms, IdChance::default()));
    format!("{node}.{number}.{last}")
}

fn read(text: &str) -> Option<(&str, u64, RequestId)> {
    let mut parts = text.split('.');
    let (node, number, last) = (parts.next()?, parts.next()?.parse().ok()?, RequestId::parse(parts.next()?)?);
    parts.next().is_none().then_some((node, number, last))
}

impl Live {
    /// Begins to watch; after a position that was given before, nothing is left out.
    ///
    /// # Errors
    /// Invalid for a parameter that is none of a watch, or a position that is none; NotFound for a federation
    /// that the viewer may not see.
    pub async fn begin(cx: &Cx<Admin>, filter: UsageFilter, after: Option<&str>) -> Result<Self, Error> {
        for (name, _) in filter.parameters() {
            if !PARAMETERS.contains(&name) {
                return Err(Invalid::new(name, "the live stream does not narrow by this").into());
            }
        }
        let mut filter = filter;
        let after = after.filter(|after| !after.is_empty()).map(|after| {
            read(after).ok_or_else(|| Error::from(Invalid::new("last", "this is no position of the stream")))
        });
        let after = after.transpose()?;
        let federations = scope(cx, &mut filter).await?;
        let watch = cx.keyward.store.feed().watch();
        let node = cx.keyward.node.clone();
        let mut live = Self {
            watch,
            node,
            federations,
            filter,
            ready: VecDeque::new(),
            given: std::collections::HashSet::new(),
        };
        if let Some((node, number, last)) = after {
            let is_here = node == live.node && live.watch.resume(number);
            if !is_here {
                live.catch_up(cx, &last).await?;
            }
        }
        Ok(live)
    }

    /// Reads what came since a record, from the database.
    async fn catch_up(&mut self, cx: &Cx<Admin>, last: &RequestId) -> Result<(), Error> {
        let filter = UsageFilter { from_ms: Some(last.made_ms() - OVERLAP_MS), ..self.filter.clone() };
        let mut found = Vec::new();
        let mut place = None;
        while found.len() < CAUGHT_UP {
            let page = page_of(cx, &self.federations, &filter, place, super::search::MOST).await?;
            found.extend(page.records);
            match page.next {
                Some(next) => place = Some(super::search::read_cursor(&next)?),
                None => break,
            }
        }
        if found.len() >= CAUGHT_UP {
            found.truncate(CAUGHT_UP);
            // How many more there are nobody has counted.
            self.ready.push_back(Event::Missed(0));
        }
        let at = self.watch.at();
        for record in found.into_iter().rev() {
            self.given.insert(record.request_id.clone());
            let position = written(&self.node, at, Some(&record.request_id), record.at_ms);
            self.ready.push_back(Event::Record(Box::new(record), position));
        }
        Ok(())
    }

    /// The next thing that came; `None` when the feed is over.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            if !self.watch.wait().await {
                return None;
            }
            let came = self.watch.take(AT_ONCE);
            if came.missed > 0 {
                self.ready.push_back(Event::Missed(came.missed));
            }
            for (number, record) in came.records {
                if self.is_wanted(&record) && !self.given.contains(&record.request_id) {
                    let position = written(&self.node, number, Some(&record.request_id), record.at_ms);
                    self.ready.push_back(Event::Record(Box::new(record.as_ref().clone()), position));
                }
            }
        }
    }

    fn is_wanted(&self, record: &UsageRecord) -> bool {
        self.federations.contains(&record.federation_id) && self.filter.matches(record)
    }
}

/// Carries records between the nodes of a Postgres database, until `stop` is over. On SQLite it has nothing to do.
/// Lost connections are made anew; meanwhile and behind it the database is asked.
pub async fn relay(keyward: &Arc<Keyward>, stop: impl Future<Output = ()>) {
    let work = async {
        let mut asked = Asked::default();
        loop {
            match relay_once(keyward, &mut asked).await {
                Ok(()) => return,
                Err(error) => {
                    tracing::warn!(%error, "the live stream asks the database until it is told again");
                }
            }
            tokio::time::sleep(POLL_EVERY).await;
            asked.again(keyward).await;
        }
    };
    tokio::select! {
        () = stop => {}
        () = async { work.await; std::future::pending::<()>().await; } => {}
    }
    keyward.store.feed().end();
}

async fn relay_once(keyward: &Arc<Keyward>, asked: &mut Asked) -> Result<(), Error> {
    let Some(mut wire) = connected(keyward, asked).await? else { return Ok(()) };
    tracing::debug!("the live stream is told by other nodes");
    let feed = Arc::clone(keyward.store.feed());
    let mut tell = tokio::time::interval(TELL_EVERY);
    tell.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut ticks = 0_u64;
    loop {
        // Both may be dropped while they wait: the one is a timer, the other only reads. What they lead to is done
        // to its end.
        tokio::select! {
            _ = tell.tick() => {
                wire.tell(&feed).await?;
                // The first time at once: nobody told what came while there was no wire.
                if (u128::from(ticks) * TELL_EVERY.as_millis()).is_multiple_of(POLL_EVERY.as_millis()) {
                    asked.ask(keyward).await?;
                }
                ticks += 1;
            }
            told = wire.next() => {
                let told = told?;
                if feed.watchers() > 0 {
                    let mut reader = keyward.store.read().await?;
                    let count = feed.take_in(&mut reader.conn(), &told.first, &told.last).await?;
                    tracing::debug!(count, "another node told of usage records");
                }
            }
        }
    }
}

/// The wire to the other nodes. It may take long to come up: the database is asked meanwhile.
async fn connected(keyward: &Keyward, asked: &mut Asked) -> Result<Option<store::feed::Wire>, Error> {
    let mut connecting = std::pin::pin!(keyward.store.wire(&keyward.node));
    loop {
        tokio::select! {
            wire = &mut connecting => return Ok(wire?),
            () = tokio::time::sleep(POLL_EVERY) => asked.again(keyward).await,
        }
    }
}

/// When the database was last asked for what came, while somebody watches.
#[derive(Default)]
struct Asked(Option<Millis>);

impl Asked {
    /// Asks for what came since, when somebody watches.
    async fn ask(&mut self, keyward: &Keyward) -> Result<(), Error> {
        let feed = keyward.store.feed();
        if feed.watchers() == 0 {
            self.0 = None;
            return Ok(());
        }
        let now_ms = keyward.clock.now_ms();
        let since_ms = self.0.map_or(now_ms, |last_ms| last_ms.clamp(now_ms - FAR_MS, now_ms));
        let first = RequestId::new(since_ms - OVERLAP_MS, IdChance::default());
        let mut reader = keyward.store.read().await?;
        feed.take_in(&mut reader.conn(), first.as_str(), "s").await?;
        self.0 = Some(now_ms);
        Ok(())
    }

    /// Asks, and goes on when nobody answers.
    async fn again(&mut self, keyward: &Keyward) {
        if let Err(error) = self.ask(keyward).await {
            tracing::debug!(%error, "the live stream could not ask the database");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_reads_back() {
        let id = RequestId::new(5, [1; 10]);
        let text = written("n1", 7, Some(&id), 0);
        assert_eq!(read(&text), Some(("n1", 7, id)));
        for text in ["", "a.b.c", "n1.7", "n1.7.req_1", "n1.7.req_1.x"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
