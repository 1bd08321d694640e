//! Writing a change of a group: read, plan, write.
//!
//! A plan is exact for the version that was read, because every change of a group or of its members
//! counts its version. It is made outside of the committer and written while that version holds;
//! members that were named one by one cost so little that their plan is made inside at once.

use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
};

use domain::{
    Millis, ResourceId,
    audit::Action,
    scopes::{ResourceKind, Verb},
    usage::{Decision, UsageRecord},
};
use scim::{Member, Resource, ResourceType, ScimError, Tolerances};
use serde_json::json;
use store::{
    Change, Conn,
    groups::GroupRow,
    members::{self, Kind},
};

use super::{
    Changed, Group, MEMBERS_PER_REQUEST, MEMBERS_SHOWN, Shown, check_seen, members_of, naming, row_of,
    wanted::{Members, Wanted},
};
use crate::{
    Cx, Error, ScimClient,
    directory::{
        IfMatch, Next, TOLD, again, changed_attributes, check_version, next, stored_resource, uniqueness,
        with_tolerated,
    },
    effect::{self, Effect, Held, OrHeld, RowFacts},
    journal,
    scim_client::Asked,
    scoped::sight,
};

const KIND: ResourceType = ResourceType::Group;

/// Changes a group; see [`crate::directory`] for where that is computed.
pub(super) async fn update(
    cx: &Cx<ScimClient>,
    asked: &Asked,
    id: &str,
    if_match: IfMatch,
    wanted: Wanted,
    shown: Shown,
) -> Result<Changed, Error> {
    cx.admit(Verb::Update, ResourceKind::Groups)?;
    if let Members::Delta { joining, leaving } = &wanted.members {
        check_count(joining.len() + leaving.len())?;
    }
    let id = ResourceId::parse(id).ok_or(Error::NotFound("group"))?;
    let asked = with_tolerated(asked, wanted.tolerated);
    let request = Arc::new(Request { id, asked, if_match, wanted, shown });
    if request.wanted.edit.is_none() {
        return request.inside(cx).await;
    }
    let mut overtaken = 0;
    loop {
        let (plan, took_us) = request.outside(cx).await?;
        if plan.is_nothing() {
            let asked = with_tolerated(&request.asked, plan.tolerated);
            let status = request.status(plan.size());
            cx.record(&asked, None, status, Decision::Allowed, None).await?;
            return request.answer(cx, plan.unchanged()).await;
        }
        match request.commit(cx, plan).await {
            Err(Error::Stale(_)) => {
                overtaken += 1;
                if next(overtaken, took_us)? == Next::Inside {
                    return request.inside(cx).await;
                }
            }
            other => return other,
        }
    }
}

/// Refuses more members than one request may change.
pub(super) fn check_count(count: usize) -> Result<(), Error> {
    if count <= MEMBERS_PER_REQUEST {
        return Ok(());
    }
    let text =
        format!("at most {MEMBERS_PER_REQUEST} members may join and leave in one request, not {count}");
    Err(ScimError::too_many(text).into())
}

/// The ids that an audit record lists.
pub(super) fn told(ids: &[String]) -> &[String] {
    ids.get(..TOLD).unwrap_or(ids)
}

/// What new members are: only users and groups of the same federation may join.
pub(super) async fn kinds(
    cx: &Cx<ScimClient>,
    conn: &mut Conn<'_>,
    joining: &[String],
) -> Result<Vec<(String, Kind)>, Error> {
    let ids: Vec<&str> = joining.iter().map(String::as_str).collect();
    let mut found = members::kinds(conn, cx.federation_id(), &ids).await?;
    let named = found.iter().map(|(id, kind)| (ResourceType::from_name(kind), id.as_str()));
    // Who is hidden from the key is a stranger like any other.
    if let Some(seen) = sight::visible_members(cx, conn, named).await? {
        found.retain(|(id, _)| seen.contains(id));
    }
    if found.len() == ids.len() {
        return Ok(found);
    }
    let known: HashSet<&str> = found.iter().map(|(id, _)| id.as_str()).collect();
    let stranger = ids.into_iter().find(|id| !known.contains(id)).unwrap_or_default();
    let shown: String = stranger.chars().take(100).collect();
    Err(ScimError::invalid_value(format!("members: {shown:?} is not the id of a user or a group here"))
        .into())
}

/// Takes out of the members of a group those that are not there for the key: they stay what they are.
async fn hide(cx: &Cx<ScimClient>, conn: &mut Conn<'_>, members: &mut HashSet<String>) -> Result<(), Error> {
    if !sight::hides_any(cx) || members.is_empty() {
        return Ok(());
    }
    let ids: Vec<&str> = members.iter().map(String::as_str).collect();
    let kinds = members::kinds(conn, cx.federation_id(), &ids).await?;
    let named = kinds.iter().map(|(id, kind)| (ResourceType::from_name(kind), id.as_str()));
    if let Some(seen) = sight::visible_members(cx, conn, named).await? {
        members.retain(|id| seen.contains(id));
    }
    Ok(())
}

/// A change that somebody asked for.
struct Request {
    id: ResourceId,
    asked: Asked,
    if_match: IfMatch,
    wanted: Wanted,
    shown: Shown,
}

/// A group as it was read, as far as the change needs it.
struct Before {
    row: GroupRow,
    resource: Resource,
    /// Those that are named and in it, or everybody, as the change needs.
    members: HashSet<String>,
    /// The same with their names, when the engine judges them.
    known: Vec<Member>,
    /// How many there are; above [`MEMBERS_SHOWN`] perhaps more.
    size: usize,
}

/// What is to be written, exact for the version in `before`.
struct Plan {
    before: Before,
    /// The resource before, without members.
    bare: Resource,
    /// The row as it becomes, when attributes change.
    row: Option<GroupRow>,
    /// The resource as it becomes.
    resource: Resource,
    attributes: Vec<String>,
    joining: Vec<String>,
    leaving: Vec<String>,
    leaves_all: bool,
    tolerated: Tolerances,
}

/// What the answer needs to know.
struct Done {
    resource: Resource,
    made_by: String,
    version: i64,
    created_ms: Millis,
    modified_ms: Millis,
    size: usize,
}

impl Plan {
    fn is_nothing(&self) -> bool {
        self.row.is_none() && self.joining.is_empty() && self.leaving.is_empty()
    }

    /// How many members there are afterwards.
    fn size(&self) -> usize {
        (self.before.size + self.joining.len()).saturating_sub(self.leaving.len())
    }

    fn effect(&self) -> Effect<'_> {
        let before = &self.before.row;
        Effect {
            verb: Verb::Update,
            kind: KIND,
            id: &before.id,
            name: self.row.as_ref().map_or(&before.display_name, |row| &row.display_name),
            before: Some(&self.bare),
            after: Some(&self.resource),
            attributes: &self.attributes,
            joining: &self.joining,
            leaving: &self.leaving,
            belonged: &[],
            row: RowFacts::from(before),
        }
    }

    fn done(&self, version: i64, modified_ms: Millis) -> Done {
        Done {
            resource: self.resource.clone(),
            made_by: self.before.row.made_by.clone(),
            version,
            created_ms: self.before.row.created_ms,
            modified_ms,
            size: self.size(),
        }
    }

    fn unchanged(&self) -> Done {
        self.done(self.before.row.version, self.before.row.modified_ms)
    }
}

impl Request {
    /// Reads what the change needs.
    async fn read(&self, cx: &Cx<ScimClient>, conn: &mut Conn<'_>, row: GroupRow) -> Result<Before, Error> {
        check_version(self.if_match.as_deref(), row.version)?;
        let federation_id = cx.federation_id();
        let (mut members, mut known, mut size) = (HashSet::new(), Vec::new(), 0);
        let mut leaving_count = 0;
        match &self.wanted.members {
            Members::Untouched => {}
            Members::Delta { joining, leaving } => {
                let named: Vec<&str> = joining.iter().chain(leaving).map(String::as_str).collect();
                members = members::present(conn, federation_id, &self.id, &named).await?;
                hide(cx, conn, &mut members).await?;
                leaving_count = leaving.len();
            }
            Members::Exactly(_) => {
                members = members::ids_of(conn, federation_id, &self.id).await?.into_iter().collect();
                hide(cx, conn, &mut members).await?;
                size = members.len();
            }
            Members::Computed => {
                known = members_of(cx, conn, &self.id).await?;
                members = known.iter().map(|member| member.value.clone()).collect();
                size = members.len();
            }
        }
        if size == 0 && self.shown == Shown::ByDefault {
            let limit = i64::try_from(MEMBERS_SHOWN + 1 + leaving_count).unwrap_or(i64::MAX);
            let count = members::count_up_to(conn, federation_id, &self.id, limit).await?;
            size = usize::try_from(count).unwrap_or(0);
        }
        let mut resource = stored_resource(KIND, &row.body)?;
        if !known.is_empty() {
            resource.set_members(known.clone());
        }
        Ok(Before { row, resource, members, known, size })
    }

    /// Plans the change, once the engine has made `after` of the resource.
    fn plan(
        &self,
        cx: &Cx<ScimClient>,
        before: Before,
        (mut after, tolerated): (Resource, Tolerances),
    ) -> Result<Plan, Error> {
        let computed = after.take_members();
        let (joining, leaving): (Vec<String>, Vec<String>) = match &self.wanted.members {
            Members::Untouched => (Vec::new(), Vec::new()),
            Members::Delta { joining, leaving } => (
                joining.iter().filter(|id| !before.members.contains(*id)).cloned().collect(),
                leaving.iter().filter(|id| before.members.contains(*id)).cloned().collect(),
            ),
            Members::Exactly(wanted) => differences(&before.members, wanted),
            Members::Computed => {
                let wanted = computed.into_iter().map(|member| member.value).collect();
                differences(&before.members, &wanted)
            }
        };
        // One statement empties a group, however many are in it.
        let leaves_all = !sight::hides_any(cx)
            && joining.is_empty()
            && leaving.len() > MEMBERS_SHOWN
            && leaving.len() == before.members.len();
        check_count(joining.len() + if leaves_all { 0 } else { leaving.len() })?;
        let mut bare = before.resource.clone();
        if !before.known.is_empty() {
            bare.take_members();
        }
        let mut attributes = changed_attributes(&bare, &after);
        let row = if attributes.is_empty() {
            None
        } else {
            let GroupRow { version, created_ms, ref made_by, .. } = before.row;
            Some(row_of(&Group {
                id: self.id.clone(),
                resource: after.clone(),
                members: Vec::new(),
                made_by: made_by.clone(),
                version,
                created_ms,
                modified_ms: cx.now_ms(),
            })?)
        };
        if !(joining.is_empty() && leaving.is_empty()) {
            attributes.push("members".to_owned());
        }
        Ok(Plan { before, bare, row, resource: after, attributes, joining, leaving, leaves_all, tolerated })
    }

    /// Reads through a reader and computes on the task of the request; also how long that took.
    async fn outside(&self, cx: &Cx<ScimClient>) -> Result<(Plan, i64), Error> {
        let mut reader = cx.read().await?;
        let row = store::groups::by_id(&mut reader.conn(), cx.federation_id(), &self.id).await?;
        let row = row.ok_or(Error::NotFound("group"))?;
        check_seen(cx, &mut reader.conn(), &row).await?;
        let before = self.read(cx, &mut reader.conn(), row).await?;
        // No reader waits while a change is computed.
        drop(reader);
        let size = before.row.body.len() + before.known.len() * 100;
        let (after, took_us) = match &self.wanted.edit {
            Some(edit) => {
                let edited = edit.compute(&cx.keyward, KIND, before.resource.clone(), size).await?;
                ((edited.resource, edited.tolerated), edited.took_us)
            }
            None => ((before.resource.clone(), Tolerances::NONE), 0),
        };
        Ok((self.plan(cx, before, after)?, took_us))
    }

    /// Writes a plan that was made outside.
    ///
    /// # Errors
    /// Stale when the group was changed or deleted since it was read.
    async fn commit(self: &Arc<Self>, cx: &Cx<ScimClient>, plan: Plan) -> Result<Changed, Error> {
        let (own, request, plan) = (cx.clone(), Arc::clone(self), Arc::new(plan));
        let unit = async move |conn: &mut Conn<'_>| {
            own.still_accepted(conn).await?;
            match request.write(&own, conn, &plan).await? {
                Ok((version, modified_ms)) => {
                    Ok(request.change(&own, &plan, plan.done(version, modified_ms)))
                }
                Err(held) => Ok(held.stop()),
            }
        };
        let done = effect::told(cx.keyward.commit(unit).await?)?;
        self.answer(cx, done).await
    }

    /// Reads, plans and writes in one unit: nobody is faster there.
    async fn inside(self: &Arc<Self>, cx: &Cx<ScimClient>) -> Result<Changed, Error> {
        let (own, request) = (cx.clone(), Arc::clone(self));
        let unit = async move |conn: &mut Conn<'_>| {
            own.still_accepted(conn).await?;
            let row = store::groups::for_change(conn, own.federation_id(), &request.id).await?;
            let row = row.ok_or(Error::NotFound("group"))?;
            check_seen(&own, conn, &row).await?;
            let before = request.read(&own, conn, row).await?;
            let after = match request.wanted.edit.as_deref() {
                Some(edit) => edit.apply(KIND, &before.resource)?,
                None => (before.resource.clone(), Tolerances::NONE),
            };
            let plan = request.plan(&own, before, after)?;
            if plan.is_nothing() {
                let usage = request.usage(&own, &plan);
                return Ok(Change::nothing(Ok(plan.unchanged())).with_usage(usage));
            }
            let written = match request.write(&own, conn, &plan).await {
                // What was just read and locked is stale only when a lock was lost: the batch runs again.
                Err(Error::Stale(_)) => return Err(again(store::Error::Stale).into()),
                written => written?,
            };
            match written {
                Ok((version, modified_ms)) => {
                    Ok(request.change(&own, &plan, plan.done(version, modified_ms)))
                }
                Err(held) => Ok(held.stop()),
            }
        };
        let done = effect::told(cx.keyward.commit(unit).await?)?;
        self.answer(cx, done).await
    }

    /// Writes a plan; the new version, and when, unless a brake holds it.
    async fn write(
        &self,
        cx: &Cx<ScimClient>,
        conn: &mut Conn<'_>,
        plan: &Plan,
    ) -> Result<Result<(i64, Millis), Held>, Error> {
        let (federation_id, id) = (cx.federation_id(), &self.id);
        let effect = plan.effect();
        if let Some(held) = effect::guard(cx, conn, &self.asked, &effect).await? {
            return Ok(Err(held));
        }
        // The version first: it locks the group on Postgres.
        let (version, modified_ms) = if let Some(row) = &plan.row {
            let version = store::groups::update(conn, federation_id, row, naming(cx)).await;
            (version.map_err(uniqueness)?, row.modified_ms)
        } else {
            let (seen, now_ms) = (plan.before.row.version, cx.now_ms());
            (store::groups::touch(conn, federation_id, id, Some(seen), now_ms).await?, now_ms)
        };
        if plan.leaves_all {
            members::remove_all(conn, federation_id, id).await?;
        } else {
            let leaving: Vec<&str> = plan.leaving.iter().map(String::as_str).collect();
            members::remove(conn, federation_id, id, &leaving).await?;
        }
        let joining = kinds(cx, conn, &plan.joining).await?;
        members::add(conn, federation_id, id, &joining).await?;
        journal::write(cx, conn, &self.asked, &effect).await?;
        Ok(Ok((version, modified_ms)))
    }

    fn change(&self, cx: &Cx<ScimClient>, plan: &Plan, done: Done) -> Change<OrHeld<Done>> {
        let told = json!({
            "id": self.id,
            "attributes": plan.attributes,
            "members_added": plan.joining.len(),
            "members_removed": plan.leaving.len(),
            "added": told(&plan.joining),
            "removed": told(&plan.leaving),
        });
        let name = plan.row.as_ref().map_or(&plan.before.row.display_name, |row| &row.display_name);
        let event = cx.directory_event(Action::GroupUpdated, name, &told);
        let usage = self.usage(cx, plan);
        Change::new(Ok(done), event).with_usage(usage)
    }

    fn usage(&self, cx: &Cx<ScimClient>, plan: &Plan) -> UsageRecord {
        let asked = with_tolerated(&self.asked, plan.tolerated);
        let mut usage = cx.usage(&asked, None, self.status(plan.size()), Decision::Allowed, None);
        usage.facts.left = u32::try_from(plan.leaving.len()).unwrap_or(u32::MAX);
        usage.writing(&plan.attributes)
    }

    fn status(&self, size: usize) -> u16 {
        if self.is_shown(size) { 200 } else { 204 }
    }

    /// Whether the answer has a body. `docs/adr/0026` says why a large group has none.
    fn is_shown(&self, size: usize) -> bool {
        self.shown != Shown::ByDefault || size <= MEMBERS_SHOWN
    }

    async fn answer(&self, cx: &Cx<ScimClient>, done: Done) -> Result<Changed, Error> {
        let Done { resource, made_by, version, created_ms, modified_ms, size } = done;
        let id = self.id.clone();
        if !self.is_shown(size) {
            return Ok(Changed::TooLargeToShow { id, version });
        }
        let members = match self.shown {
            Shown::NoMembers => Vec::new(),
            // Read after the version: what somebody changed since then is under a newer one.
            Shown::ByDefault | Shown::Members => members_of(cx, &mut cx.read().await?.conn(), &id).await?,
        };
        Ok(Changed::Group(Box::new(Group {
            id,
            resource,
            members,
            made_by,
            version,
            created_ms,
            modified_ms,
        })))
    }
}

/// Who joins and who leaves so that exactly `wanted` are there.
fn differences(before: &HashSet<String>, wanted: &BTreeSet<String>) -> (Vec<String>, Vec<String>) {
    let joining = wanted.iter().filter(|id| !before.contains(*id)).cloned().collect();
    let mut leaving: Vec<String> = before.iter().filter(|id| !wanted.contains(*id)).cloned().collect();
    leaving.sort();
    (joining, leaving)
}
