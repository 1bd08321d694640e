//! What no request causes: keys that end soon, have ended, are over age or are not used, and hand-offs that nobody
//! opens. Looked at by a timer; what it finds depends on the time and the rows alone, so that it may run
//! as often as it likes.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use domain::{
    DAY_MS, FederationId, Millis,
    audit::{Action, AuditEvent},
    behaviour::Answer,
    federations::{Federation, FederationStatus},
    findings::{Rule, Severity, rung, severity_of_rung},
    keys::{Key, KeyState},
};
use serde_json::json;
use store::{Change, Conn, Store};

use super::{NewFinding, raise, settle};
use crate::{Cx, Error, Keyward, System, unit::detail};

/// What the age of a key, or its silence, may raise.
const RULES: [Rule; 4] = [Rule::EndsSoon, Rule::Expired, Rule::OverAge, Rule::UnusedKey];

/// One thing to do.
enum Step {
    Raise(NewFinding),
    Settle { federation_id: FederationId, rule: Rule, subject: String, reason: &'static str },
}

/// Looks at every key, and once an hour at every hand-off; how many findings were raised or settled.
///
/// # Errors
/// When the database does not answer.
pub async fn sweep(keyward: &Arc<Keyward>) -> Result<usize, Error> {
    let cx = keyward.system_cx("findings");
    let now_ms = cx.now_ms();
    let seen = Seen::read(&keyward.store).await?;
    let mut done = 0;
    for step in seen.keys(keyward, now_ms) {
        carry_out(&cx, step, now_ms).await?;
        done += 1;
    }
    if keyward.notify.swept.is_due(now_ms) {
        done += crate::hand_offs::sweep(&cx, now_ms).await?;
        keyward.notify.swept.was_done(now_ms);
    }
    Ok(done)
}

struct Seen {
    federations: BTreeMap<FederationId, Federation>,
    keys: Vec<Key>,
    /// Rungs of open findings, by key.
    rungs: BTreeMap<String, Option<i64>>,
    /// What is open, by rule and key.
    open: BTreeSet<(Rule, String)>,
}

impl Seen {
    async fn read(store: &Store) -> Result<Self, Error> {
        let mut reader = store.read().await?;
        let federations = store::federations::list(&mut reader.conn()).await?;
        let keys = store::keys::list(&mut reader.conn()).await?;
        let mut rungs = BTreeMap::new();
        let mut open = BTreeSet::new();
        for rule in RULES {
            for finding in store::findings::live_of_rule(&mut reader.conn(), rule).await? {
                if rule == Rule::EndsSoon {
                    rungs.insert(finding.subject.clone(), finding.detail.rung);
                }
                open.insert((rule, finding.subject));
            }
        }
        let federations = federations.into_iter().map(|federation| (federation.id.clone(), federation));
        Ok(Self { federations: federations.collect(), keys, rungs, open })
    }

    fn keys(&self, keyward: &Keyward, now_ms: Millis) -> Vec<Step> {
        let mut steps = Vec::new();
        for key in &self.keys {
            let Some(federation) = self.federations.get(&key.federation_id) else { continue };
            let wanted = wanted(key, federation, now_ms);
            for rule in RULES {
                let is_open = self.open.contains(&(rule, key.id.to_string()));
                let step = match (wanted == Some(rule), is_open) {
                    (true, false) => Some(raised(keyward, key, federation, rule, now_ms)),
                    // Nearer than what was told the last time.
                    (true, true) if rule == Rule::EndsSoon => {
                        let now = rung(key.life.expires_ms, now_ms);
                        let told = self.rungs.get(key.id.as_str()).copied().flatten();
                        (now < told).then(|| raised(keyward, key, federation, rule, now_ms))
                    }
                    (false, true) => Some(Step::Settle {
                        federation_id: key.federation_id.clone(),
                        rule,
                        subject: key.id.to_string(),
                        reason: over(rule, key, now_ms),
                    }),
                    (true, true) | (false, false) => None,
                };
                steps.extend(step);
            }
        }
        steps
    }
}

/// A7: whether a key was not used for as long as counts as asleep: it should end before somebody wakes it. One that is
/// held waits for us.
fn is_unused(key: &Key, federation: &Federation, now_ms: Millis) -> bool {
    let rule = federation.behaviour.a7;
    federation.status == FederationStatus::Live
        && rule.answer != Answer::Off
        && key.life.state(now_ms).opens()
        && unused_days(key, now_ms) >= i64::from(rule.days)
}

/// For how many days nobody has used a key.
fn unused_days(key: &Key, now_ms: Millis) -> i64 {
    (now_ms - key.life.last_used_ms.unwrap_or(key.life.issued_ms)) / DAY_MS
}

/// The one finding that a key's age deserves.
fn wanted(key: &Key, federation: &Federation, now_ms: Millis) -> Option<Rule> {
    if federation.status == FederationStatus::Archived || key.canary || key.successor_id.is_some() {
        return None;
    }
    match key.life.state(now_ms) {
        KeyState::Expired => {
            // What ended long ago and was not missed is history.
            let missed = key.life.first_used_ms.is_some() && now_ms - key.life.expires_ms < 30 * DAY_MS;
            missed.then_some(Rule::Expired)
        }
        KeyState::Unused | KeyState::InUse | KeyState::Held => {
            let limit_ms = federation.policy.max_age_days * DAY_MS;
            if rung(key.life.expires_ms, now_ms).is_some() {
                Some(Rule::EndsSoon)
            } else if now_ms - key.life.issued_ms > limit_ms {
                Some(Rule::OverAge)
            } else {
                is_unused(key, federation, now_ms).then_some(Rule::UnusedKey)
            }
        }
        // Its rotation was rolled back after its own time: it goes on, and nothing else ends it.
        KeyState::Retiring => Some(Rule::OverAge),
        KeyState::Retired | KeyState::Revoked => None,
    }
}

fn raised(keyward: &Keyward, key: &Key, federation: &Federation, rule: Rule, now_ms: Millis) -> Step {
    let name = &key.name;
    let days = (key.life.expires_ms - now_ms).div_euclid(DAY_MS);
    let (expected, came) = if rule == Rule::EndsSoon {
        let left = match days {
            ..=0 => "less than a day".to_owned(),
            1 => "1 day".to_owned(),
            days => format!("{days} days"),
        };
        let came = format!("{name} has {left} left and no successor.");
        ("A successor takes over before a key ends.".to_owned(), came)
    } else if rule == Rule::Expired {
        let came = format!("{name} has ended, was in use, and nothing replaces it.");
        ("A key that is in use has a successor before its end.".to_owned(), came)
    } else if rule == Rule::UnusedKey {
        let silent = unused_days(key, now_ms);
        let came = match key.life.last_used_ms {
            Some(_) => format!("{name} was last used {silent} days ago: revoke it unless somebody needs it."),
            None => {
                format!(
                    "{name} was issued {silent} days ago and never used: revoke it unless somebody needs it."
                )
            }
        };
        (format!("A key is used at least once in {} days.", federation.behaviour.a7.days), came)
    } else if key.life.retires_ms.is_some() {
        let came = format!(
            "{name} is accepted beyond its own end because its rotation was rolled back, and nothing replaces it."
        );
        ("A key ends when its time is over, or has a successor.".to_owned(), came)
    } else {
        (
            format!("A key of {} lives {} days at most.", federation.name, federation.policy.max_age_days),
            format!("{name} was issued {} days ago.", (now_ms - key.life.issued_ms) / DAY_MS),
        )
    };
    let new =
        NewFinding::new(keyward, Some(&federation.id), rule, key.id.as_str(), expected, came).of_key(&key.id);
    Step::Raise(match (rule, rung(key.life.expires_ms, now_ms)) {
        (Rule::EndsSoon, Some(rung)) => new.severity(severity_of_rung(rung)).at_rung(rung),
        (Rule::Expired, _) if key.life.last_used_ms.is_none() => new.severity(Severity::Medium),
        _ => new,
    })
}

fn over(rule: Rule, key: &Key, now_ms: Millis) -> &'static str {
    if key.successor_id.is_some() {
        "a successor was issued"
    } else if rule == Rule::EndsSoon && key.life.state(now_ms) == KeyState::Expired {
        "the key has ended"
    } else {
        "it is so no longer"
    }
}

async fn carry_out(cx: &Cx<System>, step: Step, now_ms: Millis) -> Result<(), Error> {
    match step {
        Step::Raise(new) => {
            let event = about(cx, &new);
            cx.keyward
                .commit(async move |conn: &mut Conn<'_>| {
                    raise(conn, &new, now_ms).await?;
                    Ok(Change::new((), event.clone()))
                })
                .await
        }
        Step::Settle { federation_id, rule, subject, reason } => {
            let event = AuditEvent {
                federation_id: Some(federation_id.clone()),
                target: Some(rule.title().to_owned()),
                detail: detail(&json!({ "rule": rule, "subject": subject, "reason": reason })),
                ..cx.event(Action::FindingClosed)
            };
            cx.keyward
                .commit(async move |conn: &mut Conn<'_>| {
                    let is_over = settle(conn, Some(&federation_id), rule, &subject, reason, now_ms).await?;
                    Ok(if is_over { Change::new((), event.clone()) } else { Change::nothing(()) })
                })
                .await
        }
    }
}

/// The audit event of a finding that a timer raises.
pub(crate) fn about(cx: &Cx<System>, new: &NewFinding) -> AuditEvent {
    AuditEvent {
        federation_id: new.federation_id.clone(),
        key_id: new.key_id.clone(),
        target: Some(new.rule.title().to_owned()),
        detail: detail(&json!({
            "rule": new.rule, "severity": new.severity, "subject": new.subject, "came": new.detail.came,
            "rung": new.detail.rung,
        })),
        ..cx.event(Action::FindingRaised)
    }
}
