//! Setting the rules of a federation, and telling who makes protection weaker.

use domain::{
    Millis,
    admins::{Admin, Right},
    audit::{Action, AuditEvent},
    behaviour::{Answer, Rules},
    federations::{Federation, Slug, check_reason},
    findings::Rule,
    keys::Key,
    scopes::Scope,
};
use serde_json::json;
use store::{Change, Conn};

use crate::{
    Actor, Cx, Error, Keyward,
    federations::{about, allowed},
    findings::{self, NewFinding},
    unit::detail,
};

/// New rules of a federation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EditRules {
    /// All of them.
    pub rules: Rules,
    /// Why; needed when one becomes laxer.
    pub reason: String,
    /// The version of the federation that the person saw.
    pub version: i64,
}

/// Changes the rules of a federation. What is laxer than before is a finding of its own (A20).
///
/// # Errors
/// Invalid, by field, and without a reason when a rule becomes laxer; Stale when the federation was changed
/// since; Forbidden; NotFound; Conflict when nothing changes.
pub async fn set(cx: &Cx<Admin>, slug: &Slug, edit: EditRules) -> Result<Federation, Error> {
    let before = allowed(cx, slug, Right::RunFederation, Action::BehaviourSet).await?;
    let rules = edit.rules.check().map_err(Error::Invalid)?;
    if before.version != edit.version {
        return Err(Error::Stale("this federation"));
    }
    let changes = rules.changes_since(&before.behaviour);
    if changes.is_empty() {
        return Err(Error::Conflict("these are the rules already".to_owned()));
    }
    let laxer: Vec<String> =
        changes.iter().filter(|change| change.is_laxer).map(|change| change.text.clone()).collect();
    let reason = if laxer.is_empty() && edit.reason.trim().is_empty() {
        String::new()
    } else {
        check_reason(&edit.reason)?
    };
    let now_ms = cx.now_ms();
    let after = Federation { behaviour: rules, updated_ms: now_ms, ..before.clone() };
    let texts: Vec<&str> = changes.iter().map(|change| change.text.as_str()).collect();
    let event = AuditEvent {
        detail: detail(&json!({ "changes": texts, "laxer": laxer.len(), "reason": reason })),
        ..about(cx, Action::BehaviourSet, &after)
    };
    let is_told = !laxer.is_empty() && before.behaviour.a20.answer != Answer::Off;
    let finding = is_told.then(|| {
        weakened(
            &cx.keyward,
            &before,
            "rules",
            "The rules stay as strict as they were.",
            format!("{} made them laxer: {}. {reason}", cx.actor.name, laxer.join("; ")),
        )
    });
    let changed = cx
        .keyward
        .commit(async move |conn: &mut Conn<'_>| {
            store::federations::update(conn, &after).await.map_err(|error| {
                if matches!(error, store::Error::Stale) {
                    Error::Stale("this federation")
                } else {
                    error.into()
                }
            })?;
            store::protected::moved(conn, &after.id).await?;
            if let Some(finding) = &finding {
                raise(conn, finding, now_ms).await?;
            }
            Ok(Change::new(Federation { version: after.version + 1, ..after.clone() }, event.clone()))
        })
        .await?;
    cx.keyward.behaviour.changed(&changed);
    Ok(changed)
}

/// As [`set`], from the fields of a form; what it does not name stays as it is.
///
/// # Errors
/// As [`set`]; Invalid for a field that is no rule or cannot be read.
pub async fn set_fields(
    cx: &Cx<Admin>,
    slug: &Slug,
    fields: &[(String, String)],
    reason: String,
    version: i64,
) -> Result<Federation, Error> {
    let mut rules = allowed(cx, slug, Right::RunFederation, Action::BehaviourSet).await?.behaviour;
    let set = |(field, text): &(String, String)| rules.set(field, text).err();
    let faults: Vec<_> = fields.iter().filter_map(set).collect();
    if faults.is_empty() {
        self::set(cx, slug, EditRules { rules, reason, version }).await
    } else {
        Err(faults.into())
    }
}

async fn raise(conn: &mut Conn<'_>, finding: &NewFinding, now_ms: Millis) -> Result<(), Error> {
    findings::raise(conn, finding, now_ms).await.map(drop)
}

/// A20: a key is issued that may do what none of its federation's may; raised in the unit that issues it. The first
/// key of a federation widens nothing.
pub(crate) async fn widened(
    conn: &mut Conn<'_>,
    cx: &Cx<Admin>,
    federation: &Federation,
    new: &Key,
    now_ms: Millis,
) -> Result<(), Error> {
    if federation.behaviour.a20.answer == Answer::Off {
        return Ok(());
    }
    let mut keys = store::keys::of_federation(conn, &federation.id).await?;
    keys.retain(|key| !key.canary && key.id != new.id && key.life.state(now_ms).is_accepted());
    let Some(nearest) = keys.iter().min_by_key(|key| key.scope.differences(&new.scope).len()) else {
        return Ok(());
    };
    if keys.iter().any(|key| new.scope.is_within(&key.scope)) {
        return Ok(());
    }
    let came = format!(
        "{} issued {}, which may do more than {}: {}.",
        cx.actor.name,
        new.name,
        if keys.len() == 1 { nearest.name.clone() } else { format!("each of the {} keys", keys.len()) },
        told(&nearest.scope, &new.scope),
    );
    let expected = "A new key may do no more than one that the federation has.";
    raise(conn, &weakened(&cx.keyward, federation, "scope", expected, came).of_key(&new.id), now_ms).await
}

/// A20: the successor of a key was to get less, and is to get more again; raised in the unit that says so.
pub(crate) async fn widened_later(
    conn: &mut Conn<'_>,
    cx: &Cx<Admin>,
    federation: &Federation,
    key: &Key,
    next: &Scope,
    now_ms: Millis,
) -> Result<(), Error> {
    let Some(planned) = key.next_scope.as_ref().filter(|planned| !next.is_within(planned)) else {
        return Ok(());
    };
    if federation.behaviour.a20.answer == Answer::Off {
        return Ok(());
    }
    let came = format!(
        "{} gave the successor of {} more than was planned: {}.",
        cx.actor.name,
        key.name,
        told(planned, next)
    );
    let expected = "What is planned for a successor becomes narrower.";
    raise(conn, &weakened(&cx.keyward, federation, "scope", expected, came).of_key(&key.id), now_ms).await
}

/// What differs, in a few words.
fn told(before: &Scope, after: &Scope) -> String {
    let differences = before.differences(after);
    let words: Vec<&str> = differences.iter().map(|one| one.dimension.as_str()).take(4).collect();
    words.join(", ")
}

/// A20: somebody takes records along for the first time; raised in the unit that records it, before that record.
/// An export of one federation asks its rules; one of several is always told.
pub(crate) async fn exported(
    conn: &mut Conn<'_>,
    cx: &Cx<Admin>,
    federation: Option<&Federation>,
    what: &str,
    now_ms: Millis,
) -> Result<(), Error> {
    if federation.is_some_and(|federation| federation.behaviour.a20.answer == Answer::Off) {
        return Ok(());
    }
    let id = cx.actor.as_ref().id;
    if store::audit::has_exported(conn, &id).await? {
        return Ok(());
    }
    let finding = NewFinding::new(
        &cx.keyward,
        federation.map(|federation| &federation.id),
        Rule::AdminPlane,
        &format!("export by {id}"),
        "Records are exported by those who have done so before.",
        format!("{} exported {what} for the first time.", cx.actor.name),
    );
    let source = cx.request.source.map(|address| address.to_string());
    raise(conn, &finding.from_network(source, cx.request.user_agent.clone()), now_ms).await
}

/// A20: an admin made protection weaker; to be raised in the unit that does it.
pub(crate) fn weakened(
    keyward: &Keyward,
    federation: &Federation,
    what: &str,
    expected: &str,
    came: String,
) -> NewFinding {
    NewFinding::new(keyward, Some(&federation.id), Rule::AdminPlane, what, expected, came)
}
