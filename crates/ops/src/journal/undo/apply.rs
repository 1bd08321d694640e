//! Carrying a plan out: one unit, one commit.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::Arc,
};

use domain::{
    ResourceId, UndoId,
    admins::{Admin, Right},
    audit::{Action, ActorKind, AuditEvent},
    cases::{CaseMoment, Moment},
    federations::{Federation, Slug},
    journal::{Entry, Image},
    scopes::Verb,
};
use scim::{Resource, ResourceType};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::{
    Change, Conn,
    directory::Reindex,
    groups::{GroupRow, Naming},
    users::UserRow,
};

use super::{
    acts::{Act, Set, Unit},
    plan,
    rows::{name_extensions, user_row},
    world,
};
use crate::{
    Actor, Cx, Error, cases,
    directory::{again, changed_attributes, stored_resource},
    effect::{Effect, RowFacts},
    federations::{about, allowed},
    journal::{Author, record},
    unit::detail,
};

/// The most notes of one report.
const NOTES: usize = 200;

/// What was not done although the plan said so, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// Of which resource.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Why.
    pub text: String,
}

/// What came of units.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// How many users and groups came back, went or were changed.
    pub resources: u64,
    /// How many joined groups again or left them again.
    pub members: u64,
    /// What was not done, the first of it.
    pub notes: Vec<Note>,
    /// How much was not done.
    pub not_done: u64,
}

impl Report {
    /// Adds what came of another unit.
    pub(super) fn add(&mut self, more: Self) {
        self.resources += more.resources;
        self.members += more.members;
        self.not_done += more.not_done;
        self.notes.extend(more.notes);
        self.notes.truncate(NOTES);
    }

    fn note(&mut self, act: &Act, text: impl Into<String>) {
        self.not_done += 1;
        if self.notes.len() < NOTES {
            let note = Note { id: act.id().to_owned(), name: act.name().to_owned(), text: text.into() };
            self.notes.push(note);
        }
    }
}

/// How far a taking back has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// One more unit is done.
    Unit,
    /// All of them are.
    Ended,
}

/// Carries out what is left of a confirmed plan, unit by unit.
///
/// # Errors
/// Conflict when a name was taken in the moment of writing; NotFound; Forbidden. What is done stays done, and
/// another call goes on from there.
pub async fn run(cx: &Cx<Admin>, slug: &Slug, id: &UndoId) -> Result<(), Error> {
    let federation = Arc::new(allowed(cx, slug, Right::RunFederation, Action::UndoApplied).await?);
    if let Some(refused) = super::refused(&federation) {
        return Err(Error::Conflict(refused));
    }
    let found = store::undos::by_id(&mut cx.read().await?.conn(), &federation.id, id).await?;
    let undo = found.ok_or(Error::NotFound("undo"))?;
    if undo.ended_ms.is_some() {
        return Ok(());
    }
    loop {
        if unit(cx, &federation, id).await? == Progress::Ended {
            return Ok(());
        }
    }
}

/// One unit, in a commit of its own.
async fn unit(cx: &Cx<Admin>, federation: &Arc<Federation>, id: &UndoId) -> Result<Progress, Error> {
    let (own, federation, id) = (cx.clone(), Arc::clone(federation), id.clone());
    cx.keyward
        .commit(async move |conn: &mut Conn<'_>| {
            let Some((position, body)) = store::undos::next_unit(conn, &federation.id, &id).await? else {
                return Ok(Change::nothing(Progress::Ended));
            };
            let unit: Unit = serde_json::from_str(&body)
                .map_err(|error| Error::Internal(format!("a unit of {id}: {error}")))?;
            let mut worker = Worker::of(&own, conn, &federation, &id, &unit).await?;
            worker.carry_out(conn, &unit.acts).await?;
            let report = worker.report;
            let now_ms = own.now_ms();
            let text = serde_json::to_string(&report).unwrap_or_default();
            store::undos::unit_done(conn, &federation.id, &id, position, now_ms, &text)
                .await
                .map_err(again)?;
            let is_last = store::undos::next_unit(conn, &federation.id, &id).await?.is_none();
            if is_last {
                end(&own, conn, &federation, &id).await?;
            }
            let event = AuditEvent {
                detail: detail(&json!({
                    "undo": id, "unit": position + 1, "resources": report.resources,
                    "members": report.members, "not_done": report.not_done,
                })),
                ..about(&own, Action::UndoApplied, &federation)
            };
            Ok(Change::new(if is_last { Progress::Ended } else { Progress::Unit }, event))
        })
        .await
}

/// The last unit is done; the case is told.
async fn end(cx: &Cx<Admin>, conn: &mut Conn<'_>, federation: &Federation, id: &UndoId) -> Result<(), Error> {
    store::undos::end(conn, &federation.id, id, cx.now_ms()).await?;
    let Some(undo) = store::undos::by_id(conn, &federation.id, id).await? else { return Ok(()) };
    let Some(case_id) = undo.case_id else { return Ok(()) };
    let Some(case) = store::cases::by_id(conn, &case_id).await? else { return Ok(()) };
    if case.closed_ms.is_some() {
        return Ok(());
    }
    let mark = CaseMoment {
        moment: Moment::T10,
        at_ms: cx.now_ms(),
        made_by: cx.actor.name.clone(),
        text: format!("{} was taken back", undo.title),
    };
    cases::write(conn, &case, &mark).await?;
    Ok(())
}

/// Carries out the acts of a unit.
struct Worker<'a> {
    cx: &'a Cx<Admin>,
    federation: &'a Federation,
    id: &'a UndoId,
    actor: domain::audit::ActorRef,
    request_id: String,
    source: Option<String>,
    /// What was changed since the plan was made, by the id of the resource; not by this undo.
    since: BTreeMap<String, Vec<Entry>>,
    report: Report,
}

impl<'a> Worker<'a> {
    async fn of(
        cx: &'a Cx<Admin>,
        conn: &mut Conn<'_>,
        federation: &'a Federation,
        id: &'a UndoId,
        unit: &Unit,
    ) -> Result<Self, Error> {
        let ids: Vec<&str> = unit.acts.iter().map(Act::id).collect();
        let mut since: BTreeMap<String, Vec<Entry>> = BTreeMap::new();
        if let Some(head) = &unit.head {
            for entry in store::journal::since(conn, &federation.id, &ids, head).await? {
                if entry.id != *head && entry.undo_of.as_ref() != Some(id) {
                    since.entry(entry.resource_id.to_string()).or_default().push(entry);
                }
            }
        }
        Ok(Self {
            cx,
            federation,
            id,
            actor: cx.actor.as_ref(),
            request_id: cx.request.id.to_string(),
            source: cx.request.source.map(|address| address.to_string()),
            since,
            report: Report::default(),
        })
    }

    fn author(&self) -> Author<'_> {
        Author {
            request_id: &self.request_id,
            key_id: None,
            actor: (ActorKind::Admin, &self.actor.id, &self.actor.name),
            source: self.source.as_deref(),
            undo_of: Some(self.id),
        }
    }

    fn naming(&self) -> Naming {
        if self.federation.scim.unique_group_names { Naming::Unique } else { Naming::Shared }
    }

    /// Who has changed a resource since the plan was made.
    fn changed_by(&self, act: &Act) -> Option<String> {
        let last = self.since.get(act.id())?.last()?;
        Some(format!("{} has changed it since the plan was made", last.actor.name))
    }

    async fn carry_out(&mut self, conn: &mut Conn<'_>, acts: &[Act]) -> Result<(), Error> {
        for act in acts {
            if let Act::Change { group, id, parks: true, sets, .. } = act
                && self.can_set(conn, *group, id, sets).await?
                && let Some(id) = ResourceId::parse(id)
            {
                if *group {
                    store::groups::park(conn, &self.federation.id, &id).await?;
                } else {
                    store::users::park(conn, &self.federation.id, &id).await?;
                }
            }
        }
        for act in acts {
            let Some(id) = ResourceId::parse(act.id()) else { continue };
            match act {
                Act::Remove { group, .. } => self.remove(conn, act, &id, *group).await?,
                Act::Change { group, sets, .. } => self.change(conn, act, &id, *group, sets).await?,
                Act::Revive { .. } => self.revive(conn, act, &id).await?,
                Act::Members { joining, leaving, .. } => {
                    self.members(conn, act, &id, joining, leaving).await?;
                }
            }
        }
        Ok(())
    }

    async fn remove(
        &mut self,
        conn: &mut Conn<'_>,
        act: &Act,
        id: &ResourceId,
        is_group: bool,
    ) -> Result<(), Error> {
        if let Some(text) = self.changed_by(act) {
            self.report.note(act, text);
            return Ok(());
        }
        let federation_id = &self.federation.id;
        let belonged = store::groups::groups_of(conn, federation_id, &[id]).await?;
        let belonged: Vec<String> = belonged.into_iter().map(|group| group.id).collect();
        let now_ms = self.cx.now_ms();
        let kind = if is_group { ResourceType::Group } else { ResourceType::User };
        let none = Effect {
            verb: Verb::Delete,
            kind,
            id,
            name: act.name(),
            before: None,
            after: None,
            attributes: &[],
            joining: &[],
            leaving: &[],
            belonged: &belonged,
            row: RowFacts { made_by: "", version: 0, created_ms: 0, modified_ms: 0, body: "{}" },
        };
        if is_group {
            let Some(row) = store::groups::for_change(conn, federation_id, id).await? else { return Ok(()) };
            let leaving = store::members::ids_of(conn, federation_id, id).await?;
            store::groups::delete(conn, federation_id, &row, now_ms).await.map_err(again)?;
            let effect =
                Effect { name: &row.display_name, leaving: &leaving, row: RowFacts::from(&row), ..none };
            record(&self.cx.keyward, conn, federation_id, self.author(), &effect).await?;
        } else {
            let Some(row) = store::users::by_id(conn, federation_id, id).await? else { return Ok(()) };
            store::users::delete(conn, federation_id, &row).await.map_err(again)?;
            store::groups::leave_all(conn, federation_id, id, now_ms).await?;
            let effect = Effect { name: &row.user_name, row: RowFacts::from(&row), ..none };
            record(&self.cx.keyward, conn, federation_id, self.author(), &effect).await?;
        }
        self.report.resources += 1;
        Ok(())
    }

    /// Whether something of an act will be set: only then its name is out of the way.
    async fn can_set(
        &self,
        conn: &mut Conn<'_>,
        is_group: bool,
        id: &str,
        sets: &[Set],
    ) -> Result<bool, Error> {
        let Some(id) = ResourceId::parse(id) else { return Ok(false) };
        let Some(body) = self.body(conn, is_group, &id).await? else { return Ok(false) };
        let is_as_planned =
            |set: &Set| plan::get(&body, &(set.top.clone(), set.inner.clone())) == set.from.as_ref();
        Ok(sets.iter().filter(|set| set.is_name()).all(is_as_planned))
    }

    async fn body(
        &self,
        conn: &mut Conn<'_>,
        is_group: bool,
        id: &ResourceId,
    ) -> Result<Option<Image>, Error> {
        let body = if is_group {
            store::groups::by_id(conn, &self.federation.id, id).await?.map(|row| row.body)
        } else {
            store::users::by_id(conn, &self.federation.id, id).await?.map(|row| row.body)
        };
        Ok(body.map(|body| match serde_json::from_str(&body) {
            Ok(Value::Object(image)) => image,
            Ok(_) | Err(_) => Image::new(),
        }))
    }

    /// Whether somebody else has a name.
    async fn is_taken(
        &self,
        conn: &mut Conn<'_>,
        kind: ResourceType,
        id: &ResourceId,
        name: &str,
    ) -> Result<bool, Error> {
        let names = BTreeSet::from([scim::fold_case(name)]);
        let holders = world::holders(conn, self.federation, kind, &names).await?;
        Ok(holders.values().any(|holder| holder != id.as_str()))
    }

    async fn change(
        &mut self,
        conn: &mut Conn<'_>,
        act: &Act,
        id: &ResourceId,
        is_group: bool,
        sets: &[Set],
    ) -> Result<(), Error> {
        let kind = if is_group { ResourceType::Group } else { ResourceType::User };
        let Some(mut body) = self.body(conn, is_group, id).await? else {
            self.report.note(act, "it is gone since the plan was made");
            return Ok(());
        };
        for set in sets {
            let path = (set.top.clone(), set.inner.clone());
            if plan::get(&body, &path) != set.from.as_ref() {
                self.report.note(act, format!("{} was changed since the plan was made", set.top));
                continue;
            }
            if set.is_name()
                && set.top == plan::name_attribute(kind)
                && let Some(Value::String(name)) = &set.to
                && self.is_taken(conn, kind, id, name).await?
            {
                self.report.note(act, format!("{} {name:?} was taken since the plan was made", set.top));
                continue;
            }
            plan::set(&mut body, &path, set.to.clone());
        }
        name_extensions(&mut body);
        let federation_id = &self.federation.id;
        let after = Resource::from_stored(kind, Value::Object(body));
        let now_ms = self.cx.now_ms();
        if is_group {
            let Some(row) = store::groups::for_change(conn, federation_id, id).await? else { return Ok(()) };
            let before = stored_resource(kind, &row.body)?;
            let attributes = changed_attributes(&before, &after);
            if attributes.is_empty() {
                return Ok(());
            }
            let new = GroupRow {
                display_name: after.display_name().unwrap_or(&row.display_name).to_owned(),
                external_id: after.external_id().map(str::to_owned),
                body: after.as_value().to_string(),
                modified_ms: now_ms,
                ..row.clone()
            };
            let effect =
                update(kind, id, &new.display_name, (&before, &after), &attributes, RowFacts::from(&row));
            record(&self.cx.keyward, conn, federation_id, self.author(), &effect).await?;
            store::groups::update(conn, federation_id, &new, self.naming()).await.map_err(again)?;
        } else {
            let Some(row) = store::users::by_id(conn, federation_id, id).await? else { return Ok(()) };
            let before = stored_resource(kind, &row.body)?;
            let attributes = changed_attributes(&before, &after);
            if attributes.is_empty() {
                return Ok(());
            }
            let new = user_row(id, &after, &row)?;
            let new = UserRow { modified_ms: now_ms, ..new };
            let effect =
                update(kind, id, &new.user_name, (&before, &after), &attributes, RowFacts::from(&row));
            record(&self.cx.keyward, conn, federation_id, self.author(), &effect).await?;
            let reindex = Reindex::between(before.as_value(), after.as_value());
            store::users::update(conn, federation_id, &new, &reindex).await.map_err(again)?;
        }
        self.report.resources += 1;
        Ok(())
    }

    async fn revive(&mut self, conn: &mut Conn<'_>, act: &Act, id: &ResourceId) -> Result<(), Error> {
        let Act::Revive { group, body, made_by, created_ms, version, .. } = act else { return Ok(()) };
        let kind = if *group { ResourceType::Group } else { ResourceType::User };
        if self.body(conn, *group, id).await?.is_some() {
            self.report.note(act, "it is there again since the plan was made");
            return Ok(());
        }
        let resource = Resource::from_stored(kind, Value::Object(body.clone()));
        let name = match kind {
            ResourceType::User => resource.user_name(),
            ResourceType::Group => resource.display_name(),
        };
        let Some(name) = name.map(str::to_owned) else {
            self.report.note(act, "it has no name");
            return Ok(());
        };
        if self.is_taken(conn, kind, id, &name).await? {
            self.report.note(act, format!("{name:?} was taken since the plan was made"));
            return Ok(());
        }
        let federation_id = &self.federation.id;
        let none = UserRow {
            id: id.clone(),
            user_name: name.clone(),
            external_id: None,
            active: true,
            body: String::new(),
            made_by: made_by.clone(),
            version: *version,
            created_ms: *created_ms,
            modified_ms: self.cx.now_ms(),
        };
        let row = user_row(id, &resource, &none)?;
        let effect = Effect {
            verb: Verb::Create,
            kind,
            id,
            name: &name,
            before: None,
            after: Some(&resource),
            attributes: &[],
            joining: &[],
            leaving: &[],
            belonged: &[],
            row: RowFacts::from(&row),
        };
        if *group {
            let row = GroupRow {
                id: id.clone(),
                display_name: name.clone(),
                external_id: row.external_id.clone(),
                body: row.body.clone(),
                made_by: row.made_by.clone(),
                version: row.version,
                created_ms: row.created_ms,
                modified_ms: row.modified_ms,
            };
            store::groups::revive(conn, federation_id, &row, self.naming()).await?;
        } else {
            store::users::revive(conn, federation_id, &row, &Reindex::created(resource.as_value())).await?;
        }
        record(&self.cx.keyward, conn, federation_id, self.author(), &effect).await?;
        self.report.resources += 1;
        Ok(())
    }

    async fn members(
        &mut self,
        conn: &mut Conn<'_>,
        act: &Act,
        id: &ResourceId,
        joining: &[String],
        leaving: &[String],
    ) -> Result<(), Error> {
        let federation_id = &self.federation.id;
        let Some(row) = store::groups::for_change(conn, federation_id, id).await? else {
            self.report.note(act, "the group is gone");
            return Ok(());
        };
        let moved: HashSet<&str> = self
            .since
            .get(act.id())
            .into_iter()
            .flatten()
            .flat_map(|entry| entry.members.joined.iter().chain(&entry.members.left))
            .map(String::as_str)
            .collect();
        let wanted = |ids: &'_ [String]| -> Vec<String> {
            ids.iter().filter(|id| !moved.contains(id.as_str())).cloned().collect()
        };
        let (mut joining_now, leaving_now) = (wanted(joining), wanted(leaving));
        let overtaken = joining.len() + leaving.len() - joining_now.len() - leaving_now.len();
        if overtaken > 0 {
            self.report.note(act, format!("{overtaken} of its members were moved since the plan was made"));
        }
        let all: Vec<&str> = joining_now.iter().chain(&leaving_now).map(String::as_str).collect();
        let inside = store::members::present(conn, federation_id, id, &all).await?;
        joining_now.retain(|id| !inside.contains(id));
        let leaving_now: Vec<String> = leaving_now.into_iter().filter(|id| inside.contains(id)).collect();
        let ids: Vec<&str> = joining_now.iter().map(String::as_str).collect();
        let kinds = store::members::kinds(conn, federation_id, &ids).await?;
        if kinds.len() < ids.len() {
            let gone = ids.len() - kinds.len();
            self.report.note(act, format!("{gone} of its members are gone"));
        }
        let joining_now: Vec<String> = kinds.iter().map(|(id, _)| id.clone()).collect();
        if joining_now.is_empty() && leaving_now.is_empty() {
            return Ok(());
        }
        let now_ms = self.cx.now_ms();
        store::groups::touch(conn, federation_id, id, Some(row.version), now_ms).await.map_err(again)?;
        let leaving: Vec<&str> = leaving_now.iter().map(String::as_str).collect();
        store::members::remove(conn, federation_id, id, &leaving).await?;
        store::members::add(conn, federation_id, id, &kinds).await?;
        let effect = Effect {
            verb: Verb::Update,
            kind: ResourceType::Group,
            id,
            name: &row.display_name,
            before: None,
            after: None,
            attributes: &[],
            joining: &joining_now,
            leaving: &leaving_now,
            belonged: &[],
            row: RowFacts::from(&row),
        };
        record(&self.cx.keyward, conn, federation_id, self.author(), &effect).await?;
        let count = joining_now.len() + leaving_now.len();
        self.report.members += u64::try_from(count).unwrap_or(u64::MAX);
        Ok(())
    }
}

/// A change of attributes.
fn update<'e>(
    kind: ResourceType,
    id: &'e ResourceId,
    name: &'e str,
    (before, after): (&'e Resource, &'e Resource),
    attributes: &'e [String],
    row: RowFacts<'e>,
) -> Effect<'e> {
    Effect {
        verb: Verb::Update,
        kind,
        id,
        name,
        before: Some(before),
        after: Some(after),
        attributes,
        joining: &[],
        leaving: &[],
        belonged: &[],
        row,
    }
}
