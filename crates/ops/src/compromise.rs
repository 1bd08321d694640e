//! A key in wrong hands: one action that stops it, replaces it, brings the successor and opens the case.
//!
//! Three things lead here: a person ([`report`]), a scanner that found the whole key ([`leaks`]), and the use
//! of a canary ([`canary`]).

pub mod canary;
pub mod leaks;

use std::sync::Arc;

use domain::{
    HOUR_MS, KeyId, Millis,
    admins::Admin,
    audit::{Action, AuditEvent},
    cases::{Case, CaseKind, Moment},
    channels::mail_address,
    federations::{Federation, check_text},
    keys::{Key, KeyState, Proof},
    rotations::{Cause, Event, Half, Rotation},
};
use serde_json::json;
use store::{Change, Conn};

use crate::{
    Cx, Error, Keyward, Kind,
    cases::{self, NewCase},
    keys::KeyView,
    rotations::{
        Author,
        begin::{self, Begin},
        effects::{self, Happening, Pair},
        under_way,
    },
    unit::detail,
};

/// How the old key is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// 503 with Retry-After: the provider waits, and nothing of it is lost.
    Hold,
    /// 401: the provider counts a failure.
    Revoke,
}

impl Stop {
    /// The word in forms and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hold => "hold",
            Self::Revoke => "revoke",
        }
    }

    /// Reads the word of [`Stop::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Hold, Self::Revoke].into_iter().find(|stop| stop.as_str() == text)
    }
}

/// What a person reports.
#[derive(Debug, Clone)]
pub struct Compromise {
    /// How the old key is stopped.
    pub stop: Stop,
    /// How they know.
    pub reason: String,
    /// When the key got out, as far as they know.
    pub leaked_ms: Option<Millis>,
}

/// What a report would do, and to whom.
#[derive(Debug, Clone)]
pub struct Consequences {
    /// The key.
    pub view: KeyView,
    /// The rotation that is open, and which of its keys this is.
    pub rotation: Option<(Rotation, Half)>,
    /// Whether a successor is begun, or brought at once.
    pub replaces: bool,
    /// Why there is no successor.
    pub no_successor: Option<&'static str>,
    /// The targets that the successor is brought to, the first first.
    pub targets: Vec<String>,
    /// The people who get a hand-over link by mail when there is no target.
    pub people: Vec<String>,
    /// The case that is open already.
    pub case: Option<Case>,
}

/// What a report would do.
///
/// # Errors
/// NotFound.
pub async fn preview(cx: &Cx<Admin>, key_id: &KeyId) -> Result<Consequences, Error> {
    let view = crate::keys::open(cx, key_id).await?;
    let mut reader = cx.read().await?;
    let rotation = under_way(&mut reader.conn(), &view.key).await?;
    let targets = store::deliveries::targets(&mut reader.conn(), &view.federation.id).await?;
    let case = store::cases::open_of_key(&mut reader.conn(), &view.federation.id, key_id).await?;
    drop(reader);
    let no_successor = no_successor(&view.key, rotation.as_ref());
    let owners = view.federation.owners.iter().filter(|_| cx.keyward.can_mail());
    Ok(Consequences {
        replaces: no_successor.is_none(),
        no_successor,
        targets: targets.into_iter().map(|stored| stored.target.name).collect(),
        people: owners.filter_map(|owner| mail_address(owner)).collect(),
        rotation,
        case,
        view,
    })
}

/// Why a key in wrong hands gets no successor; `None` when it does.
const fn no_successor(key: &Key, rotation: Option<&(Rotation, Half)>) -> Option<&'static str> {
    if rotation.is_some() {
        return None;
    }
    if key.canary {
        return Some("a canary opens nothing, so nothing has to be replaced");
    }
    if key.successor_id.is_some() {
        return Some("its successor has taken over already");
    }
    match key.proof {
        Proof::Assertion => {
            Some("the client signs with a private key of its own: make a new one there, and register it here")
        }
        Proof::Static | Proof::Secret => None,
    }
}

/// Reports that a key is in wrong hands, in one action: it is held or revoked, its successor is begun and
/// brought at once, and a case is opened. The case is what is returned.
///
/// # Errors
/// Invalid without a reason, or with a leak in the future; NotFound; Forbidden.
pub async fn report(cx: &Cx<Admin>, key_id: &KeyId, compromise: Compromise) -> Result<Case, Error> {
    crate::keys::managed(cx, key_id, Action::KeyCompromised).await?;
    let now_ms = cx.now_ms();
    let mut faults = Vec::new();
    let reason = check_text("reason", &compromise.reason, 500).map_err(|fault| faults.push(fault));
    if reason.as_ref().is_ok_and(|reason| reason.chars().count() < 3) {
        faults.push(domain::Invalid::new("reason", "say how you know: the case begins with it"));
    }
    if compromise.leaked_ms.is_some_and(|at| at > now_ms) {
        faults.push(domain::Invalid::new("leaked", "it lies in the future"));
    }
    let (Ok(reason), true) = (reason, faults.is_empty()) else { return Err(Error::Invalid(faults)) };
    let author = Author::of(cx);
    stopping(&cx.keyward, |fault| {
        let (author, own, id) = (author.clone(), Arc::clone(&cx.keyward), key_id.clone());
        let (reason, stop, leaked_ms) = (reason.clone(), compromise.stop, compromise.leaked_ms);
        async move |conn: &mut Conn<'_>| {
            let found = store::keys::with_federation(conn, &id).await?;
            let (stored, federation) = found.ok_or(Error::NotFound("key"))?;
            let mut new = NewCase::new(&own, &stored.key, CaseKind::Compromise, author.name());
            if let Some(at_ms) = leaked_ms {
                new = new.with(Moment::T0, at_ms, "The key got out, as far as is known.");
            }
            new = new.with(Moment::T2, now_ms, format!("{} reported it: {reason}", author.name()));
            let answer = Answer { author: &author, stop, reason: &reason, fault: fault.as_deref(), now_ms };
            let (case, events) = answer.carry_out(conn, &own, stored.key, &federation, new).await?;
            Ok(Change::nothing(case).with_events(events))
        }
    })
    .await
}

/// Runs a unit that stops a key and replaces it. Stopping does not depend on replacing: when the unit fails, it
/// is made once more, told what failed, and stops the key without replacing it.
async fn stopping<T, U>(keyward: &Keyward, unit: impl Fn(Option<String>) -> U) -> Result<T, Error>
where
    U: AsyncFn(&mut Conn<'_>) -> Result<Change<T>, Error> + Send + 'static,
    T: Send + 'static,
{
    let mut done = keyward.commit(unit(None)).await;
    if matches!(done, Err(Error::Stale(_))) {
        // Somebody was quicker with one of its rows; it is read anew.
        done = keyward.commit(unit(None)).await;
    }
    match done {
        Err(error) if error.kind() != Kind::NotFound => keyward.commit(unit(Some(error.to_string()))).await,
        done => done,
    }
}

/// What is done about a key in wrong hands.
struct Answer<'a> {
    author: &'a Author,
    stop: Stop,
    reason: &'a str,
    /// Why it is not replaced: an attempt to do both has failed.
    fault: Option<&'a str>,
    now_ms: Millis,
}

impl Answer<'_> {
    /// Stops the key, replaces it, hurries the delivery and opens the case, inside one unit. The first event is
    /// the report itself.
    async fn carry_out(
        &self,
        conn: &mut Conn<'_>,
        keyward: &Keyward,
        key: Key,
        federation: &Federation,
        new: NewCase,
    ) -> Result<(Case, Vec<AuditEvent>), Error> {
        let Self { author, stop, reason, fault, now_ms } = *self;
        let key_id = key.id.clone();
        let name = key.name.clone();
        let was = key.life.state(now_ms);
        let mut events = Vec::new();
        let mut new = new.with(
            Moment::T3,
            now_ms,
            match stop {
                Stop::Hold => format!("{} decided to hold and replace it.", author.name()),
                Stop::Revoke => format!("{} decided to revoke and replace it.", author.name()),
            },
        );
        // The case first: what the rotation does belongs to it, and finds it of its kind.
        cases::open_in(conn, &new, now_ms).await?;
        let mut rotation = None;
        let open = if fault.is_none() { under_way(conn, &key).await? } else { None };
        if let Some((found, half)) = open {
            let mut pair = Pair::of(conn, found).await?;
            let happening = Happening { author, event: Event::Compromised { half }, note: reason };
            let moved = effects::apply(conn, keyward, &mut pair, &happening, now_ms).await?;
            events.extend(moved.unwrap_or_default());
            // The rotation goes on, or another one has begun for the key that the consumer has.
            let successor = self.begun_since(conn, &pair).await?;
            rotation = Some(successor.unwrap_or(pair.rotation));
        }
        // As it is now, whatever the rotation made of it.
        let key = read(conn, &key_id).await?;
        let key = self.stopped(conn, key, stop, &mut events).await?;
        if let Some(fault) = fault {
            let text = format!(
                "No new key could be made: {fault}. {name} is stopped all the same. Report it once more, or rotate it."
            );
            new = new.with(Moment::Note, now_ms, text);
        } else if rotation.is_none() && no_successor(&key, None).is_none() {
            let begin = Begin {
                author,
                federation,
                old: &key,
                cause: Cause::Compromise,
                overlap_ms: federation.policy.overlap_hours * HOUR_MS,
                lifetime_days: begin::longest_life(federation),
                is_shown: false,
                note: reason,
            };
            let begun = begin::in_unit(conn, keyward, &begin, now_ms).await?;
            let text = format!("{} …{} was issued.", begun.key.name, begun.key.last_four);
            new = new.with(Moment::T5, now_ms, text);
            events.push(begun.event);
            rotation = Some(begun.rotation);
        }
        let stopped = match key.life.state(now_ms) {
            KeyState::Held => format!("{name} answers 503 with Retry-After."),
            KeyState::Revoked | KeyState::Retired | KeyState::Expired => {
                format!("{name} opens nothing any more.")
            }
            KeyState::Unused | KeyState::InUse | KeyState::Retiring => format!("{name} goes on."),
        };
        if !key.life.state(now_ms).opens() {
            new = new.with(Moment::T4, now_ms, stopped);
        }
        if let Some(rotation) = &rotation {
            crate::deliveries::hurry(conn, rotation, now_ms).await?;
            new.rotation_id = Some(rotation.id.clone());
            // What the rotation has brought before the report belongs to the clock as well.
            let successor = read(conn, &rotation.new_key_id).await?;
            new = new.with(Moment::T5, successor.life.issued_ms, format!("{} was issued.", successor.name));
            if let Some(at_ms) = rotation.moments.delivered_ms {
                new = new.with(Moment::T6, at_ms, format!("{} was brought to its consumer.", successor.name));
            }
            if let Some(at_ms) = successor.life.first_work_ms {
                new = new.with(Moment::T8, at_ms, format!("{} does real work.", successor.name));
            }
        }
        let case = cases::open_in(conn, &new, now_ms).await?;
        let told = detail(&json!({
            "case": case.id, "reason": reason, "stop": stop.as_str(), "state_before": was, "last_four": key.last_four,
            "failed": fault, "rotation": rotation.as_ref().map(|rotation| &rotation.id),
        }));
        events.insert(0, author.event(Action::KeyCompromised, &key, now_ms, told));
        Ok((case, events))
    }

    /// The rotation that an event began of either key of a pair.
    async fn begun_since(&self, conn: &mut Conn<'_>, pair: &Pair) -> Result<Option<Rotation>, Error> {
        for key in [&pair.new, &pair.old] {
            let own = store::rotations::of_old_key(conn, &key.federation_id, &key.id).await?;
            if let Some(rotation) = own.filter(|own| !own.stage.has_ended() && own.id != pair.rotation.id) {
                return Ok(Some(rotation));
            }
        }
        Ok(None)
    }

    /// Holds or revokes a key that still opens.
    async fn stopped(
        &self,
        conn: &mut Conn<'_>,
        key: Key,
        stop: Stop,
        events: &mut Vec<AuditEvent>,
    ) -> Result<Key, Error> {
        let (author, now_ms) = (self.author, self.now_ms);
        let state = key.life.state(now_ms);
        match stop {
            Stop::Hold if state.opens() && !key.canary => {
                let held = crate::keys::hold_in_unit(conn, author, key, self.reason, now_ms).await?;
                events.push(held.1);
                Ok(held.0)
            }
            Stop::Revoke if state.is_accepted() => {
                store::keys::revoke(conn, &key, now_ms, author.name()).await?;
                let told = detail(&json!({
                    "reason": self.reason, "last_four": key.last_four, "state_before": state,
                    "last_used_ms": key.life.last_used_ms, "uses": key.uses,
                }));
                events.push(author.event(Action::KeyRevoked, &key, now_ms, told));
                read(conn, &key.id).await
            }
            Stop::Hold | Stop::Revoke => Ok(key),
        }
    }
}

async fn read(conn: &mut Conn<'_>, id: &KeyId) -> Result<Key, Error> {
    let stored = store::keys::by_id(conn, id).await?;
    stored.map(|stored| stored.key).ok_or(Error::NotFound("key"))
}
