//! Rotation policies: what the installation says, what each federation says, exceptions, and what a change
//! would do to today's keys.

use domain::{
    DAY_MS, ExceptionId, KeyId, Millis,
    admins::{Admin, Right},
    audit::{Action, AuditEvent},
    federations::{Federation, FederationStatus, RotationPolicy, Slug, check_name, check_text},
    keys::Key,
    rotations::{
        Event, Step,
        evidence::{Evidence, observe},
        policy::{Due, Effective, PolicyException, RotationDefaults, RotationRules, due},
    },
};
use serde_json::json;
use store::{Change, Conn};

use crate::{
    Cx, Error,
    federations::{about, allowed, find},
    rotations::effects::Pair,
    unit::detail,
};

/// The setting that keeps what holds for the installation.
const DEFAULTS: &str = "rotation.defaults";

/// The longest an exception may last, in days.
const LONGEST_EXCEPTION_DAYS: i64 = 366;

/// Within how long a change of a policy must not end keys in use.
const SOON_MS: Millis = DAY_MS;

/// The policy of a federation and what is around it.
#[derive(Debug, Clone)]
pub struct PolicyView {
    /// The federation, with its own numbers and rules.
    pub federation: Federation,
    /// What the installation says where it says nothing.
    pub defaults: RotationDefaults,
    /// What holds.
    pub effective: Effective,
    /// Its exceptions, newest first.
    pub exceptions: Vec<PolicyException>,
    /// Whether the viewer may edit it and make exceptions.
    pub may_edit: bool,
}

/// A change of the policy of a federation.
#[derive(Debug, Clone)]
pub struct EditPolicy {
    /// The version of the federation that was seen.
    pub version: i64,
    /// Ages and overlap.
    pub policy: RotationPolicy,
    /// What else it says.
    pub rules: RotationRules,
}

/// What is to be previewed.
#[derive(Debug, Clone)]
pub enum Proposal {
    /// Another policy of a federation.
    Federation(Slug, EditPolicy),
    /// Another policy of the installation.
    Installation(RotationDefaults),
}

/// A key that a policy would rotate.
#[derive(Debug, Clone)]
pub struct Affected {
    /// The key.
    pub key: Key,
    /// Its federation.
    pub federation: Federation,
    /// When its rotation would begin; `None` when nothing would begin it.
    pub due: Option<Due>,
    /// When it begins as things are.
    pub due_before: Option<Due>,
}

/// What a policy would do to today's keys.
#[derive(Debug, Clone, Default)]
pub struct Preview {
    /// How many accepted keys it holds for.
    pub keys: usize,
    /// Those whose rotation would begin within a day, the first to begin first.
    pub begin_soon: Vec<Affected>,
    /// Those whose rotation would begin at another time than it does now, or not at all.
    pub moved: usize,
    /// Keys that would be older than it allows.
    pub over_age: usize,
    /// Old keys that would be retired at once, because they have been silent for long enough.
    pub retire_now: usize,
    /// Old keys that would be retired within a day although their successor has done no work.
    pub cut_off: usize,
    /// How many rotations are open.
    pub open: usize,
    /// Those of them whose successor works.
    pub proven: usize,
}

impl Preview {
    /// Why the policy is refused; `None` when it may be set.
    pub fn refusal(&self) -> Option<String> {
        if self.cut_off > 0 {
            return Some(format!(
                "this would retire {} old key{} within a day before the successor has done any work; let those rotations end first",
                self.cut_off,
                if self.cut_off == 1 { "" } else { "s" }
            ));
        }
        (self.retire_now > 1 && self.retire_now * 2 > self.proven).then(|| {
            let those = if self.retire_now == self.proven {
                format!("all {} old keys", self.retire_now)
            } else {
                format!("{} of the {} old keys", self.retire_now, self.proven)
            };
            format!("this would retire {those} whose successors work at once; change it in smaller steps")
        })
    }
}

/// An exception to be made.
#[derive(Debug, Clone)]
pub struct NewException {
    /// The key; `None` for every key of the federation.
    pub key_id: Option<KeyId>,
    /// Who answers for it.
    pub owner: String,
    /// Why.
    pub reason: String,
    /// When it ends by itself.
    pub ends_ms: Millis,
}

/// What holds for the installation, with the version of that.
pub(crate) async fn defaults_in(conn: &mut Conn<'_>) -> Result<(RotationDefaults, i64), Error> {
    Ok(store::policies::setting(conn, DEFAULTS).await?)
}

/// What holds where a federation says nothing, and its version.
///
/// # Errors
/// When the database does not answer.
pub async fn defaults(cx: &Cx<Admin>) -> Result<(RotationDefaults, i64), Error> {
    defaults_in(&mut cx.read().await?.conn()).await
}

/// The policy of a federation.
///
/// # Errors
/// NotFound.
pub async fn effective(cx: &Cx<Admin>, slug: &Slug) -> Result<PolicyView, Error> {
    let mut reader = cx.read().await?;
    let conn = &mut reader.conn();
    let federation = find(cx, conn, slug).await?;
    let (defaults, _) = defaults_in(conn).await?;
    let exceptions = store::policies::of_federation(conn, &federation.id).await?;
    let is_open = federation.status != FederationStatus::Archived;
    Ok(PolicyView {
        effective: federation.rotation.effective(federation.policy, &defaults),
        may_edit: is_open && cx.actor.role.may(Right::RunFederation, Some(slug)),
        federation,
        defaults,
        exceptions,
    })
}

fn check(edit: &EditPolicy, slug: &Slug) -> Result<(), Error> {
    let mut faults = Vec::new();
    if let Err(more) = edit.policy.check() {
        faults.extend(more);
    }
    if let Err(more) = edit.rules.check(slug) {
        faults.extend(more);
    }
    if let Err(fault) = edit.rules.check_age(edit.policy) {
        faults.push(fault);
    }
    if faults.is_empty() { Ok(()) } else { Err(Error::Invalid(faults)) }
}

/// Whether the other half of a pair can be that. One that the viewer may not see is told like one that is not
/// there, unless it stands there already.
async fn check_pair(
    cx: &Cx<Admin>,
    conn: &mut Conn<'_>,
    before: &Federation,
    rules: &RotationRules,
) -> Result<(), Error> {
    let Some(pair) = rules.pair.as_ref().filter(|pair| before.rotation.pair.as_ref() != Some(*pair)) else {
        return Ok(());
    };
    match find(cx, conn, pair).await {
        Ok(_) => Ok(()),
        Err(Error::NotFound(_)) => {
            Err(Error::invalid("pair", format!("there is no federation {:?}", pair.as_str())))
        }
        Err(error) => Err(error),
    }
}

/// Changes the policy of a federation.
///
/// # Errors
/// Invalid; Conflict when it would retire old keys without proof, or all of them at once; Stale when the
/// federation was changed since; Forbidden; NotFound.
pub async fn edit(cx: &Cx<Admin>, slug: &Slug, edit: EditPolicy) -> Result<Federation, Error> {
    let before = allowed(cx, slug, Right::RunFederation, Action::PolicySet).await?;
    check(&edit, slug)?;
    if before.version != edit.version {
        return Err(Error::Stale("this federation"));
    }
    let now_ms = cx.now_ms();
    let after =
        Federation { policy: edit.policy, rotation: edit.rules, updated_ms: now_ms, ..before.clone() };
    let event = AuditEvent {
        detail: detail(&json!({
            "before": { "policy": before.policy, "rotation": before.rotation },
            "after": { "policy": after.policy, "rotation": after.rotation },
        })),
        ..about(cx, Action::PolicySet, &after)
    };
    {
        // What it would do is looked at before the unit, which holds up everybody who writes. A federation that
        // was changed since is stale there.
        let mut reader = cx.read().await?;
        let conn = &mut reader.conn();
        check_pair(cx, conn, &before, &after.rotation).await?;
        let (defaults, _) = defaults_in(conn).await?;
        let mut preview = Preview::default();
        look(conn, &mut preview, &before, (&before, &defaults), (&after, &defaults), now_ms).await?;
        if let Some(refusal) = preview.refusal() {
            return Err(Error::Conflict(refusal));
        }
    }
    let edited = cx
        .keyward
        .commit(async move |conn: &mut Conn<'_>| {
            store::federations::update(conn, &after).await?;
            let written = Federation { version: after.version + 1, ..after.clone() };
            Ok(Change::new(written, event.clone()))
        })
        .await?;
    cx.keyward.rotation.look_again();
    Ok(edited)
}

/// Changes what holds for the installation.
///
/// # Errors
/// Invalid; Conflict when it would retire old keys without proof, or all of them at once; Stale; Forbidden but
/// for admins.
pub async fn edit_defaults(
    cx: &Cx<Admin>,
    version: i64,
    defaults: RotationDefaults,
) -> Result<RotationDefaults, Error> {
    let event = AuditEvent { target: Some("the installation".to_owned()), ..cx.event(Action::PolicySet) };
    if !cx.actor.role.may(Right::RegisterFederation, None) {
        return cx.forbid(event, "only an admin may set the policy of the installation".to_owned()).await;
    }
    defaults.check()?;
    let now_ms = event.at_ms;
    let stale = || Error::Stale("the policy of the installation");
    let before = {
        // Before the unit, which holds up everybody who writes.
        let mut reader = cx.read().await?;
        let conn = &mut reader.conn();
        let (before, found) = defaults_in(conn).await?;
        if found != version {
            return Err(stale());
        }
        let preview = look_everywhere(conn, &before, &defaults, now_ms).await?;
        if let Some(refusal) = preview.refusal() {
            return Err(Error::Conflict(refusal));
        }
        before
    };
    let edited = cx
        .keyward
        .commit(async move |conn: &mut Conn<'_>| {
            if defaults_in(conn).await?.1 != version {
                return Err(stale());
            }
            store::policies::set(conn, DEFAULTS, version, &defaults, now_ms).await?;
            let told = detail(&json!({ "before": before, "after": defaults }));
            Ok(Change::new(defaults.clone(), AuditEvent { detail: told, ..event.clone() }))
        })
        .await?;
    cx.keyward.rotation.look_again();
    Ok(edited)
}

/// What a policy would do to today's keys; nothing is changed.
///
/// # Errors
/// Invalid; NotFound; Forbidden for who may not set it.
pub async fn preview(cx: &Cx<Admin>, proposal: &Proposal) -> Result<Preview, Error> {
    let mut reader = cx.read().await?;
    let conn = &mut reader.conn();
    let now_ms = cx.now_ms();
    match proposal {
        Proposal::Federation(slug, edit) => {
            let federation = find(cx, conn, slug).await?;
            check(edit, slug)?;
            check_pair(cx, conn, &federation, &edit.rules).await?;
            let (defaults, _) = defaults_in(conn).await?;
            let after =
                Federation { policy: edit.policy, rotation: edit.rules.clone(), ..federation.clone() };
            let mut preview = Preview::default();
            let (before, after) = ((&federation, &defaults), (&after, &defaults));
            look(conn, &mut preview, &federation, before, after, now_ms).await?;
            Ok(preview)
        }
        Proposal::Installation(defaults) => {
            if !cx.actor.role.may(Right::ReadInstallation, None) {
                return Err(Error::Forbidden(
                    "only admins and managers see the whole installation".to_owned(),
                ));
            }
            defaults.check()?;
            let (before, _) = defaults_in(conn).await?;
            look_everywhere(conn, &before, defaults, now_ms).await
        }
    }
}

async fn look_everywhere(
    conn: &mut Conn<'_>,
    before: &RotationDefaults,
    after: &RotationDefaults,
    now_ms: Millis,
) -> Result<Preview, Error> {
    let mut preview = Preview::default();
    for federation in store::federations::list(conn).await? {
        if federation.status != FederationStatus::Archived {
            let (one, other) = ((&federation, before), (&federation, after));
            look(conn, &mut preview, &federation, one, other, now_ms).await?;
        }
    }
    preview.begin_soon.sort_by_key(|affected| affected.due.map(|due| due.at_ms));
    Ok(preview)
}

async fn look(
    conn: &mut Conn<'_>,
    preview: &mut Preview,
    federation: &Federation,
    before: (&Federation, &RotationDefaults),
    after: (&Federation, &RotationDefaults),
    now_ms: Millis,
) -> Result<(), Error> {
    let effective = |(federation, defaults): (&Federation, &RotationDefaults)| {
        federation.rotation.effective(federation.policy, defaults)
    };
    let (before, now_policy) = (effective(before), after.0.policy);
    let after = effective(after);
    for key in store::keys::of_federation(conn, &federation.id).await? {
        if !key.life.state(now_ms).is_accepted() {
            continue;
        }
        preview.keys += 1;
        preview.over_age += usize::from(key.life.is_over_age(now_policy, now_ms));
        let due_by = |policy: &Effective| due(&key, policy, now_ms).filter(|_| policy.automatic);
        let (due, due_before) = (due_by(&after), due_by(&before));
        preview.moved += usize::from(due.map(|due| due.at_ms) != due_before.map(|due| due.at_ms));
        if due.is_some_and(|due| due.at_ms <= now_ms + SOON_MS) {
            preview.begin_soon.push(Affected { federation: federation.clone(), due, due_before, key });
        }
    }
    preview.begin_soon.sort_by_key(|affected| affected.due.map(|due| due.at_ms));
    for rotation in store::rotations::open_of(conn, &federation.id).await? {
        preview.open += 1;
        let pair = Pair::of(conn, rotation).await?;
        let is_proven = pair.rotation.stage.step().is_some_and(Step::is_proven);
        preview.proven += usize::from(is_proven);
        let cadence = crate::rotations::cadence_if_proven(conn, &pair, now_ms).await?;
        let evidence = Evidence {
            old: &pair.old.life,
            new: &pair.new.life,
            cadence,
            is_live: federation.status == FederationStatus::Live,
            promotion_due: crate::deliveries::promotion_is_due(conn, &pair.rotation).await?,
            trusts_time: true,
        };
        let retires = |policy: &Effective, at_ms| {
            let event = observe(&pair.rotation, &evidence, policy, at_ms);
            (
                matches!(event, Some(Event::Drained)),
                matches!(event, Some(Event::Deadline { may_retire: true })) && !is_proven,
            )
        };
        preview.retire_now += usize::from(retires(&after, now_ms).0 && !retires(&before, now_ms).0);
        let soon_ms = now_ms + SOON_MS;
        preview.cut_off += usize::from(retires(&after, soon_ms).1 && !retires(&before, soon_ms).1);
    }
    Ok(())
}

/// Makes an exception: for a while, no policy rotates a key, or any key of a federation.
///
/// # Errors
/// Invalid; Forbidden; NotFound.
pub async fn except(cx: &Cx<Admin>, slug: &Slug, new: NewException) -> Result<PolicyException, Error> {
    let federation = allowed(cx, slug, Right::RunFederation, Action::ExceptionMade).await?;
    let now_ms = cx.now_ms();
    let mut faults = Vec::new();
    let owner = check_name("owner", &new.owner).map_err(|fault| faults.push(fault));
    let reason = check_text("reason", &new.reason, 500).map_err(|fault| faults.push(fault));
    if reason.as_ref().is_ok_and(|reason| reason.chars().count() < 10) {
        faults.push(domain::Invalid::new("reason", "say why in at least 10 characters: an auditor will ask"));
    }
    let longest_ms = now_ms + LONGEST_EXCEPTION_DAYS * DAY_MS;
    if new.ends_ms <= now_ms || new.ends_ms > longest_ms {
        let text = format!("an exception ends: in the future, within {LONGEST_EXCEPTION_DAYS} days");
        faults.push(domain::Invalid::new("ends", text));
    }
    let (Ok(owner), Ok(reason), true) = (owner, reason, faults.is_empty()) else {
        return Err(Error::Invalid(faults));
    };
    let exception = PolicyException {
        id: ExceptionId::new(now_ms, cx.keyward.id_chance()),
        federation_id: federation.id.clone(),
        key_id: new.key_id,
        owner,
        reason,
        made_by: cx.actor.name.clone(),
        made_ms: now_ms,
        ends_ms: new.ends_ms,
        ended_ms: None,
        ended_by: None,
    };
    let event = AuditEvent {
        key_id: exception.key_id.clone(),
        detail: detail(&json!({
            "exception": exception.id, "owner": exception.owner, "reason": exception.reason, "ends_ms": exception.ends_ms,
        })),
        ..about(cx, Action::ExceptionMade, &federation)
    };
    cx.keyward
        .commit(async move |conn: &mut Conn<'_>| {
            if let Some(id) = &exception.key_id {
                let key = store::keys::by_id(conn, id).await?;
                if key.is_none_or(|stored| stored.key.federation_id != exception.federation_id) {
                    return Err(Error::NotFound("key"));
                }
            }
            store::policies::insert(conn, &exception).await?;
            Ok(Change::new(exception.clone(), event.clone()))
        })
        .await
}

/// Ends an exception before its time.
///
/// # Errors
/// Conflict when it has ended; Forbidden; NotFound.
pub async fn end_exception(cx: &Cx<Admin>, slug: &Slug, id: &ExceptionId) -> Result<(), Error> {
    let federation = allowed(cx, slug, Right::RunFederation, Action::ExceptionEnded).await?;
    let exceptions = store::policies::of_federation(&mut cx.read().await?.conn(), &federation.id).await?;
    let exception = exceptions.into_iter().find(|exception| exception.id == *id);
    let exception = exception.ok_or(Error::NotFound("exception"))?;
    let now_ms = cx.now_ms();
    if !exception.is_open(now_ms) {
        return Err(Error::Conflict("this exception has ended already".to_owned()));
    }
    let event = AuditEvent {
        key_id: exception.key_id.clone(),
        detail: detail(&json!({ "exception": exception.id, "ends_ms": exception.ends_ms })),
        ..about(cx, Action::ExceptionEnded, &federation)
    };
    let by = cx.actor.name.clone();
    cx.keyward
        .commit(async move |conn: &mut Conn<'_>| {
            store::policies::end(conn, &exception.federation_id, &exception.id, now_ms, &by).await?;
            Ok(Change::new((), event.clone()))
        })
        .await?;
    cx.keyward.rotation.look_again();
    Ok(())
}
