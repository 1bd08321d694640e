//! Counting a change under the lock of its federation, and whether it is past a limit.

use domain::{
    HOUR_MS, Millis,
    behaviour::Answer,
    brakes::{self, Brake, Guards, HeldState, LearnedKind, Ledger, MarkKind},
    federations::{Federation, FederationTarget},
    findings::Severity,
    scopes::Verb,
};
use serde_json::Value;
use store::Conn;

use super::{hold::Hold, load::Load};
use crate::{
    Cx, Error, ScimClient,
    effect::{Effect, Held},
    findings::{self, NewFinding},
    scim_client::Asked,
};

/// How far back the hours of a federation are looked at.
const USUAL_HOURS: i64 = 30 * 24;

/// Why an operation is past a limit.
pub(super) struct Trip {
    pub brake: Brake,
    /// What was counted before it.
    pub counted: i64,
    /// What would have passed.
    pub limit: i64,
    /// What was expected, in a sentence.
    pub expected: String,
    /// Why it is held, in a sentence.
    pub why: String,
    /// What A13 has never seen.
    pub subject: String,
}

/// What a group has before the change, once it matters.
#[derive(Default, Clone, Copy)]
struct Group {
    /// How many members, when they were counted; more may be there than were counted.
    size: Option<i64>,
    is_emptied: bool,
    is_privileged: bool,
}

/// Decides a change that weighs something.
pub(super) async fn decide(
    cx: &Cx<ScimClient>,
    conn: &mut Conn<'_>,
    asked: &Asked,
    effect: &Effect<'_>,
    guards: &Guards,
    mut load: Load,
    size: Option<i64>,
) -> Result<Option<Held>, Error> {
    let group = group(cx, conn, effect, guards, &load, size).await?;
    load.joins = load.joins && group.is_privileged;
    if group.is_privileged {
        load.removals += load.left;
    }
    (load.left, load.leaving) = (0, 0);
    if load.is_nothing() && !group.is_emptied {
        return Ok(None);
    }
    let now_ms = cx.now_ms();
    let federation_id = cx.federation_id();
    // Who is only learned of needs no population: it would be that of the first user for an hour.
    let needs_population = load.removals > 0 || load.rewrites || group.is_emptied;
    let mut ledger = lock(cx, conn, guards, needs_population, now_ms).await?;
    let print = print_of(cx, effect);
    if ledger.held > 0
        && let Some(held) = store::held::live(conn, federation_id, &print).await?
    {
        match held.state_at(now_ms) {
            HeldState::Held | HeldState::Rejected | HeldState::Expired => {
                store::held::came_again(conn, &held, now_ms).await?;
                return Ok(Some(Hold::again(&held, now_ms)));
            }
            HeldState::Approved => {
                store::held::end(conn, &held, HeldState::Done, Some(now_ms)).await?;
                ledger.held -= 1;
                save(cx, conn, &ledger).await?;
                if load.joins {
                    added(cx, conn, effect, &print, now_ms).await?;
                }
                return Ok(None);
            }
            state @ (HeldState::Lapsed | HeldState::Over | HeldState::Done) => {
                store::held::end(conn, &held, state, None).await?;
                ledger.held -= 1;
            }
        }
    }
    let mut weighing = Weighing { cx, effect, guards, load: &load, group, now_ms };
    let trip = weighing.trip(conn, &mut ledger).await?;
    let held = if let Some(trip) = trip {
        let hold = Hold { cx, asked, effect, print: &print, members: group.size, now_ms };
        Some(hold.carry_out(conn, &mut ledger, trip).await?)
    } else {
        if load.joins {
            added(cx, conn, effect, &print, now_ms).await?;
        }
        None
    };
    save(cx, conn, &ledger).await?;
    Ok(held)
}

/// Locks the ledger for who decides something: nothing is held or passes meanwhile.
pub(super) async fn lock_only(conn: &mut Conn<'_>, federation: &Federation) -> Result<String, Error> {
    let new = serde_json::to_string(&Ledger::new(federation.created_ms)).map_err(unreadable)?;
    Ok(store::brakes::lock(conn, &federation.id, &new).await?)
}

/// Locks and reads the ledger; its users are counted once an hour.
async fn lock(
    cx: &Cx<ScimClient>,
    conn: &mut Conn<'_>,
    guards: &Guards,
    needs_population: bool,
    now_ms: Millis,
) -> Result<Ledger, Error> {
    let federation = &cx.actor.federation;
    let text = lock_only(conn, federation).await?;
    let mut ledger: Ledger = serde_json::from_str(&text).map_err(unreadable)?;
    if needs_population && ledger.is_stale(now_ms) {
        let (active, users) = match federation.target {
            FederationTarget::Embedded => store::brakes::population(conn, &federation.id).await?,
            FederationTarget::Upstream => {
                let linked = store::brakes::linked(conn, &federation.id).await?;
                (linked, linked)
            }
        };
        ledger.recount(&guards.rules.r1, active, users, now_ms);
        ledger.held = store::held::count_live(conn, &federation.id).await?;
        store::brakes::forget(conn, &federation.id, now_ms - HOUR_MS).await?;
    }
    Ok(ledger)
}

async fn save(cx: &Cx<ScimClient>, conn: &mut Conn<'_>, ledger: &Ledger) -> Result<(), Error> {
    let text = serde_json::to_string(ledger).map_err(unreadable)?;
    Ok(store::brakes::save(conn, cx.federation_id(), &text).await?)
}

#[expect(clippy::needless_pass_by_value, reason = "it is given to map_err")]
pub(super) fn unreadable(error: serde_json::Error) -> Error {
    Error::Internal(format!("a ledger of brakes: {error}"))
}

/// What has to be asked of a group before its change is weighed.
async fn group(
    cx: &Cx<ScimClient>,
    conn: &mut Conn<'_>,
    effect: &Effect<'_>,
    guards: &Guards,
    load: &Load,
    size: Option<i64>,
) -> Result<Group, Error> {
    let mut group = Group::default();
    if load.leaving > 0 {
        let rule = &guards.rules.r2;
        let size = match (size, effect.verb) {
            (Some(size), _) => size,
            // Everybody leaves a group that is deleted.
            (None, Verb::Delete) => load.leaving,
            (None, Verb::Create | Verb::Read | Verb::Update) => {
                // From here on it is not most of them, however many more there are.
                let enough = load.leaving * 100 / i64::from(rule.share).max(1) + 1;
                store::members::count_up_to(conn, cx.federation_id(), effect.id, enough).await?
            }
        };
        group.size = Some(size);
        group.is_emptied = brakes::is_emptied(rule, size, load.leaving);
    }
    if load.joins || load.left > 0 {
        group.is_privileged = guards.kind_of(effect.id.as_str()) == Some(MarkKind::Privileged)
            || store::groups::belongings(conn, cx.federation_id(), &[effect.id])
                .await?
                .iter()
                .any(|around| guards.kind_of(&around.id) == Some(MarkKind::Privileged));
    }
    Ok(group)
}

/// What the operation is recognised by when it comes again.
fn print_of(cx: &Cx<ScimClient>, effect: &Effect<'_>) -> String {
    let resource = match effect.verb {
        // Its id is made anew each time.
        Verb::Create => effect.name,
        Verb::Read | Verb::Update | Verb::Delete => effect.id.as_str(),
    };
    let after = after_of(effect);
    let kind = effect.kind.name();
    let (joining, leaving) = (effect.joining, effect.leaving);
    brakes::fingerprint(cx.federation_id(), effect.verb, kind, resource, &after, joining, leaving)
}

/// The attributes as they would become, those only that change; null for a deletion.
pub(super) fn after_of(effect: &Effect<'_>) -> Value {
    let Some(after) = effect.after else { return Value::Null };
    let after = after.as_value();
    let changed = effect.attributes.iter().filter(|name| !matches!(name.as_str(), "members" | "password"));
    changed.map(|name| (name.clone(), after.get(name).cloned().unwrap_or_default())).collect()
}

/// A5: every addition to a privileged group is told.
async fn added(
    cx: &Cx<ScimClient>,
    conn: &mut Conn<'_>,
    effect: &Effect<'_>,
    print: &str,
    now_ms: Millis,
) -> Result<(), Error> {
    let subject = format!("{} {}", effect.id, print.get(..16).unwrap_or(print));
    let who = match effect.joining {
        [one] => format!("{one} was"),
        more => format!("{} members were", more.len()),
    };
    let finding = NewFinding::new(
        &cx.keyward,
        Some(cx.federation_id()),
        Brake::A5.rule(),
        &subject,
        "Nobody joins a privileged group unseen.",
        format!("{who} added to {}, or to a group in it, by {}.", effect.name, cx.actor.key_name),
    );
    let finding = finding
        .severity(Severity::Medium)
        .of_key(&cx.actor.key_id)
        .from_network(cx.request.source.map(|address| address.to_string()), cx.request.user_agent.clone());
    findings::raise(conn, &finding, now_ms).await?;
    Ok(())
}

/// A change that is held against the limits.
struct Weighing<'a> {
    cx: &'a Cx<ScimClient>,
    effect: &'a Effect<'a>,
    guards: &'a Guards,
    load: &'a Load,
    group: Group,
    now_ms: Millis,
}

impl Weighing<'_> {
    /// The first limit that the change is past; when there is none, it is counted.
    async fn trip(&mut self, conn: &mut Conn<'_>, ledger: &mut Ledger) -> Result<Option<Trip>, Error> {
        // Who is new is decided first: planned work does not speak of it.
        if let Some(trip) = self.identity(conn, ledger).await? {
            return Ok(Some(trip));
        }
        if let Some(trip) = self.privilege(conn, ledger).await? {
            return Ok(Some(trip));
        }
        self.numbers(conn, ledger).await
    }

    async fn hours(&self, conn: &mut Conn<'_>) -> Result<Vec<i64>, Error> {
        let now = self.now_ms.div_euclid(HOUR_MS);
        Ok(store::brakes::hours(conn, self.cx.federation_id(), now - USUAL_HOURS, now).await?)
    }

    /// A13.
    async fn identity(&self, conn: &mut Conn<'_>, ledger: &Ledger) -> Result<Option<Trip>, Error> {
        let (new, rules) = (&self.load.new, &self.guards.rules);
        if new.is_nothing() || rules.a13.answer == Answer::Off {
            return Ok(None);
        }
        let federation_id = self.cx.federation_id();
        let hours = self.hours(conn).await?;
        let is_learned = brakes::is_learned(&rules.learning, ledger.since_ms, &hours, self.now_ms);
        let mut values: Vec<(LearnedKind, &str)> =
            new.domains.iter().map(|domain| (LearnedKind::Domain, domain.as_str())).collect();
        values.extend(new.shape.map(|shape| (LearnedKind::Shape, shape)));
        let words: Vec<String> = values
            .iter()
            .map(|(kind, value)| match kind {
                LearnedKind::Domain => format!("the mail domain {value}"),
                LearnedKind::Shape => format!("externalIds of the kind {value:?}"),
            })
            .collect();
        let words = words.join(" and ");
        if is_learned && rules.a13.answer == Answer::Hold {
            let subject: Vec<String> =
                values.iter().map(|(kind, value)| format!("{} {value}", kind.as_str())).collect();
            return Ok(Some(Trip {
                brake: Brake::A13,
                counted: 0,
                limit: 0,
                expected:
                    "Users have the mail domains and kinds of externalId that the federation is known for."
                        .to_owned(),
                why: format!("the federation never had {words}"),
                subject: subject.join("\n"),
            }));
        }
        store::protected::learn(conn, federation_id, &values, self.now_ms, None).await?;
        if is_learned {
            let finding = NewFinding::new(
                &self.cx.keyward,
                Some(federation_id),
                Brake::A13.rule(),
                &words,
                "Users have the mail domains and kinds of externalId that the federation is known for.",
                format!("{} brought {words}.", self.cx.actor.key_name),
            );
            findings::raise(conn, &finding.of_key(&self.cx.actor.key_id), self.now_ms).await?;
        }
        Ok(None)
    }

    /// A5 outside the hours in which the federation works.
    async fn privilege(&self, conn: &mut Conn<'_>, ledger: &Ledger) -> Result<Option<Trip>, Error> {
        let rules = &self.guards.rules;
        if !self.load.joins || rules.a5.answer != Answer::Hold {
            return Ok(None);
        }
        let hours = self.hours(conn).await?;
        let is_learned = brakes::is_learned(&rules.learning, ledger.since_ms, &hours, self.now_ms);
        if !is_learned || brakes::is_usual_hour(&hours, self.now_ms) {
            return Ok(None);
        }
        let hour = self.now_ms.div_euclid(HOUR_MS).rem_euclid(24);
        Ok(Some(Trip {
            brake: Brake::A5,
            counted: 0,
            limit: 0,
            expected: "Somebody joins a privileged group in the hours in which the federation works."
                .to_owned(),
            why: format!(
                "the group is privileged, and the federation does not usually work at {hour}:00 UTC"
            ),
            subject: String::new(),
        }))
    }

    /// R1, R2 and R4, and the windows that raise their limits.
    async fn numbers(&self, conn: &mut Conn<'_>, ledger: &mut Ledger) -> Result<Option<Trip>, Error> {
        let (load, group, rules, now_ms) = (self.load, self.group, &self.guards.rules, self.now_ms);
        let federation_id = self.cx.federation_id();
        let mut rewritten = None;
        if load.rewrites {
            let seen =
                store::brakes::rewritten(conn, federation_id, self.effect.id.as_str(), now_ms - HOUR_MS);
            // Who was rewritten in this hour is not another user.
            rewritten = Some(seen.await?).filter(|(_, is_known)| !is_known).map(|(count, _)| count);
        }
        let planned = load.removals + i64::from(rewritten.is_some()) + i64::from(group.is_emptied);
        if planned == 0 {
            return Ok(None);
        }
        let windows = store::windows::open(conn, federation_id, now_ms).await?;
        if let Some(window) = windows.iter().find(|window| window.admits(planned, now_ms)) {
            store::windows::use_up(conn, window, planned).await?;
            return Ok(None);
        }
        // What a window has let through counts until the window ends.
        let used: i64 = windows.iter().map(|window| window.used).sum();
        if group.is_emptied {
            return Ok(Some(self.emptied()));
        }
        if let Some(count) = rewritten {
            let limit = brakes::rewrite_limit(&rules.r4, ledger.users);
            let counted = count + used;
            if counted + 1 > limit {
                return Ok(Some(Trip {
                    brake: Brake::R4,
                    counted,
                    limit,
                    expected: format!("At most {limit} users are rewritten in 60 minutes."),
                    why: format!(
                        "userName, mail address or externalId of {counted} users was rewritten within 60 minutes, and {limit} is the limit"
                    ),
                    subject: String::new(),
                }));
            }
        }
        if load.removals > 0 {
            let limits = ledger.limits(&rules.r1);
            let spans = [
                ("60 minutes", ledger.in_hour(now_ms) + used, limits.hour),
                ("24 hours", ledger.in_day(now_ms) + used, limits.day),
            ];
            for (span, counted, limit) in spans {
                if counted + load.removals > limit {
                    return Ok(Some(Trip {
                        brake: Brake::R1,
                        counted,
                        limit,
                        expected: format!(
                            "At most {limit} removals in {span}, of {} active users.",
                            ledger.active
                        ),
                        why: format!(
                            "{counted} users were deactivated, deleted or taken from privileged groups within {span}, and {limit} is the limit"
                        ),
                        subject: String::new(),
                    }));
                }
            }
            ledger.count(load.removals, now_ms);
        }
        if rewritten.is_some() {
            store::brakes::rewrite(conn, federation_id, self.effect.id.as_str(), now_ms).await?;
        }
        Ok(None)
    }

    fn emptied(&self) -> Trip {
        let rule = &self.guards.rules.r2;
        let leaving = i64::try_from(self.effect.leaving.len()).unwrap_or(i64::MAX);
        let size = self.group.size.unwrap_or(leaving);
        let what = match self.effect.verb {
            Verb::Delete => format!("it deletes a group of {size} members"),
            Verb::Create | Verb::Read | Verb::Update => {
                format!("it takes {leaving} of {size} members from a group")
            }
        };
        Trip {
            brake: Brake::R2,
            counted: leaving,
            limit: size * i64::from(rule.share) / 100,
            expected: format!(
                "One request takes at most {} % of the members of a group of {} or more.",
                rule.share, rule.least_members
            ),
            why: what,
            subject: String::new(),
        }
    }
}
