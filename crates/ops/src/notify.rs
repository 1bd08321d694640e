//! Telling people: what was noted in a unit becomes one message for each of those who are to know.
//!
//! Two kinds of rows of the outbox. A unit that raises a finding or opens a case writes a **note**
//! (`notify`), once for a finding and once for each rung. A timer fans notes out into **messages**
//! (`message`), one for each channel and owner, and sends what is due: everything for one recipient in one
//! go, so that many findings in a minute are one digest. A message that does not arrive is tried again, with
//! longer and longer waits, and given up after half a day; a channel that fails is itself a finding, told on
//! the others.

mod compose;
mod fan_out;
mod send;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use domain::{
    Millis, Secret,
    cases::Case,
    findings::{Finding, Severity},
    hand_offs::HandOff,
};
use serde::{Deserialize, Serialize};
use store::{Conn, outbox::OutboxRow};

pub(crate) use compose::{test_mail, test_webhook};

use crate::{Error, Keyward, ports::Notify, vault::Place};

/// Notes: something happened that people should know of.
const NOTE: &str = "notify";

/// Messages: one recipient each.
const MESSAGE: &str = "message";

/// The lease of this work.
const LEASE: &str = "notify";

/// How long the lease holds, in milliseconds.
const LEASE_MS: Millis = 60_000;

/// The least time between two messages for one recipient; what comes meanwhile is a digest.
const PACE_MS: Millis = 60_000;

/// How long what was sent is remembered.
const KEPT_MS: Millis = 30 * domain::DAY_MS;

/// What this process knows about telling people.
#[derive(Default)]
pub(crate) struct Runtime {
    port: OnceLock<Arc<dyn Notify>>,
    /// When each recipient was told last. A new node begins anew: that costs a message more at most.
    told: Mutex<BTreeMap<To, Millis>>,
    /// What was sent long ago is forgotten once an hour.
    forgotten: Hourly,
    /// Hand-offs are looked at once an hour.
    pub(crate) swept: Hourly,
}

/// What this process does once an hour.
#[derive(Default)]
pub(crate) struct Hourly(Mutex<Option<Millis>>);

impl Hourly {
    fn last(&self) -> std::sync::MutexGuard<'_, Option<Millis>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it is due: it was never done, an hour has passed, or the clock was put back.
    pub(crate) fn is_due(&self, now_ms: Millis) -> bool {
        self.last().is_none_or(|last| !(last..last + domain::HOUR_MS).contains(&now_ms))
    }

    /// It was done.
    pub(crate) fn was_done(&self, now_ms: Millis) {
        *self.last() = Some(now_ms);
    }
}

impl Runtime {
    pub(crate) fn port(&self) -> Option<&Arc<dyn Notify>> {
        self.port.get()
    }

    fn told_ms(&self, to: &To) -> Option<Millis> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).get(to).copied()
    }

    fn tell(&self, to: &To, at_ms: Millis) {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).insert(to.clone(), at_ms);
    }
}

impl Keyward {
    /// Connects the port by which people are told. A second one is refused.
    pub fn connect_notifier(&self, port: Arc<dyn Notify>) {
        // The first is the one that was configured.
        let _ = self.notify.port.set(port);
    }

    /// Whether mail is set up.
    pub fn can_mail(&self) -> bool {
        self.notify.port().is_some_and(|port| port.has_mail())
    }

    /// Whether it is known that no mail leaves here: a process that tells nobody itself, such as the command
    /// line, leaves that to the one that does.
    pub(crate) fn has_no_mail(&self) -> bool {
        self.notify.port().is_some_and(|port| !port.has_mail())
    }
}

/// What a note says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
enum Note {
    Finding { federation_id: String, id: String },
    Case { id: String, news: CaseNews },
}

/// What happened to a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum CaseNews {
    /// It was opened.
    Opened,
    /// The consumer works with the new key.
    Answered,
    /// It was closed.
    Closed,
}

impl CaseNews {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Answered => "answered",
            Self::Closed => "closed",
        }
    }
}

/// One recipient.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "to", content = "id", rename_all = "kebab-case")]
enum To {
    /// A channel.
    Channel(String),
    /// A person, by mail.
    Mail(String),
}

/// One thing that a recipient is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Item {
    /// Stays the same however often it is sent.
    id: String,
    /// `finding`, `case` or `hand-over`.
    kind: String,
    severity: Severity,
    /// A line.
    title: String,
    federation: Option<String>,
    /// Sentences.
    lines: Vec<String>,
    /// The page, as a path; empty when the link is sealed.
    path: String,
    at_ms: Millis,
    /// The text of a hand-over link, sealed, with its data key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sealed: Option<(String, String)>,
}

/// A message that waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Message {
    to: To,
    item: Item,
}

/// Notes a finding in the unit that raises it.
pub(crate) async fn note_finding(
    conn: &mut Conn<'_>,
    finding: &Finding,
    now_ms: Millis,
) -> Result<(), Error> {
    let federation_id = finding.federation_id.as_ref().map_or("", |id| id.as_str()).to_owned();
    let id = match finding.detail.rung {
        Some(rung) => format!("{}.{rung}", finding.id),
        // One that grows worse is told again.
        None => format!("{}.{}", finding.id, finding.severity.as_str()),
    };
    let note = Note::Finding { federation_id: federation_id.clone(), id: finding.id.to_string() };
    insert(conn, federation_id, id, NOTE, &note, now_ms).await
}

/// Notes news of a case in the unit that makes them.
pub(crate) async fn note_case(
    conn: &mut Conn<'_>,
    case: &Case,
    news: CaseNews,
    now_ms: Millis,
) -> Result<(), Error> {
    let note = Note::Case { id: case.id.to_string(), news };
    let id = format!("{}.{}", case.id, news.as_str());
    insert(conn, case.federation_id.to_string(), id, NOTE, &note, now_ms).await
}

/// Sends a hand-over link to its person by mail; in the unit that makes it. Nothing happens where it is known
/// that no mail leaves; what another process cannot send either is a finding there.
pub(crate) async fn mail_link(
    conn: &mut Conn<'_>,
    keyward: &Keyward,
    hand_off: &HandOff,
    token: &Secret,
    now_ms: Millis,
) -> Result<(), Error> {
    if keyward.has_no_mail() || hand_off.person.is_empty() {
        return Ok(());
    }
    let id = format!("{}.link", hand_off.id);
    let sealed = keyward
        .vault
        .seal(keyward.entropy.as_ref(), link_place(&id), token.expose().as_bytes())
        .map_err(Error::Internal)?;
    let item = compose::hand_over(&id, hand_off, (sealed.text, sealed.data_key));
    let message = Message { to: To::Mail(hand_off.person.clone()), item };
    insert(conn, hand_off.federation_id.to_string(), id, MESSAGE, &message, now_ms).await
}

fn link_place(id: &str) -> Place<'_> {
    Place { table: "outbox", id, column: "payload", version: 1 }
}

async fn insert<T: Serialize>(
    conn: &mut Conn<'_>,
    federation_id: String,
    id: String,
    kind: &str,
    payload: &T,
    due_ms: Millis,
) -> Result<(), Error> {
    let payload = serde_json::to_string(payload).map_err(|error| Error::Internal(error.to_string()))?;
    let row = OutboxRow { federation_id, id, kind: kind.to_owned(), payload, attempts: 0 };
    store::outbox::insert_once(conn, &row, due_ms).await?;
    Ok(())
}

/// Fans out what was noted and sends what is due, when this node has the lease; how many messages arrived,
/// `None` while another node works.
///
/// # Errors
/// When the database does not answer.
pub async fn run(keyward: &Arc<Keyward>, node: &str) -> Result<Option<usize>, Error> {
    let now_ms = keyward.clock.now_ms();
    let forgets = keyward.notify.forgotten.is_due(now_ms);
    let holder = node.to_owned();
    let take = async move |conn: &mut Conn<'_>| {
        let fence = store::leases::take(conn, LEASE, &holder, now_ms, now_ms + LEASE_MS).await?;
        if fence.is_some() && forgets {
            store::outbox::forget(conn, NOTE, now_ms - KEPT_MS).await?;
            store::outbox::forget(conn, MESSAGE, now_ms - KEPT_MS).await?;
        }
        Ok(fence)
    };
    let Some(fence) = keyward.store.committer().upkeep(take).await? else { return Ok(None) };
    if forgets {
        keyward.notify.forgotten.was_done(now_ms);
    }
    fan_out::run(keyward, now_ms).await?;
    let lease = Lease { node: node.to_owned(), fence };
    Ok(Some(send::run(keyward, &lease, now_ms).await?))
}

/// The lease that this node works under.
struct Lease {
    node: String,
    fence: i64,
}

impl Lease {
    /// Renews it in a unit; false when another node has taken it.
    async fn renew(&self, conn: &mut Conn<'_>, now_ms: Millis) -> Result<bool, store::Error> {
        let fence = store::leases::take(conn, LEASE, &self.node, now_ms, now_ms + LEASE_MS).await?;
        Ok(fence == Some(self.fence))
    }
}
