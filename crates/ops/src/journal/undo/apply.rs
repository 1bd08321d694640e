//! Carrying a unit out in the directory that is kept here.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use domain::{
    ResourceId,
    federations::Federation,
    journal::{Entry, Image},
    scopes::Verb,
};
use scim::{Resource, ResourceType};
use serde_json::Value;
use store::{
    Conn,
    directory::Reindex,
    groups::{GroupRow, Naming},
    undos::Undo,
    users::UserRow,
};

use super::{
    acts::{Act, Set, Unit},
    author, plan,
    rows::{name_extensions, user_row},
    run::Report,
    told, world,
};
use crate::{
    Error, Keyward,
    directory::{again, changed_attributes, stored_resource},
    effect::{Effect, RowFacts},
    journal::{Author, record},
};

/// Carries out the acts of a unit.
pub(super) struct Worker<'a> {
    keyward: &'a Keyward,
    federation: &'a Federation,
    undo: &'a Undo,
    /// What was changed since the plan was made, by the id of the resource; not by this undo.
    since: BTreeMap<String, Vec<Entry>>,
    pub report: Report,
}

impl<'a> Worker<'a> {
    pub async fn of(
        keyward: &'a Keyward,
        conn: &mut Conn<'_>,
        federation: &'a Federation,
        undo: &'a Undo,
        unit: &Unit,
    ) -> Result<Self, Error> {
        let ids: Vec<&str> = unit.acts.iter().map(Act::id).collect();
        let mut since: BTreeMap<String, Vec<Entry>> = BTreeMap::new();
        if let Some(head) = &unit.head {
            for entry in store::journal::since(conn, &federation.id, &ids, head).await? {
                if entry.id != *head && entry.undo_of.as_ref() != Some(&undo.id) {
                    since.entry(entry.resource_id.to_string()).or_default().push(entry);
                }
            }
        }
        Ok(Self { keyward, federation, undo, since, report: Report::default() })
    }

    fn author(&self) -> Author<'_> {
        author(self.undo)
    }

    fn naming(&self) -> Naming {
        if self.federation.scim.unique_group_names { Naming::Unique } else { Naming::Shared }
    }

    /// Who has changed a resource since the plan was made.
    fn changed_by(&self, act: &Act) -> Option<String> {
        let last = self.since.get(act.id())?.last()?;
        Some(format!("{} has changed it since the plan was made", last.actor.name))
    }

    pub async fn carry_out(&mut self, conn: &mut Conn<'_>, acts: &[Act]) -> Result<(), Error> {
        for (kind, id) in self.parking(conn, acts).await? {
            match kind {
                ResourceType::User => store::users::park(conn, &self.federation.id, &id).await?,
                ResourceType::Group => store::groups::park(conn, &self.federation.id, &id).await?,
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

    /// Those that let go of their names first: each of them gets another one, which is free or another of
    /// them has. Who is left without a name would not be found by any.
    async fn parking(
        &self,
        conn: &mut Conn<'_>,
        acts: &[Act],
    ) -> Result<Vec<(ResourceType, ResourceId)>, Error> {
        let mut parking = Vec::new();
        for act in acts {
            let Act::Change { group, id, parks: true, sets, .. } = act else { continue };
            let kind = if *group { ResourceType::Group } else { ResourceType::User };
            let is_named = |set: &&Set| set.is_name() && set.top == plan::name_attribute(kind);
            let wanted = sets.iter().find(is_named).and_then(|set| set.to.as_ref()?.as_str());
            if let (Some(wanted), Some(id)) = (wanted, ResourceId::parse(id))
                && self.can_set(conn, *group, id.as_str(), sets).await?
            {
                let names = BTreeSet::from([scim::fold_case(wanted)]);
                let holder = world::holders(conn, self.federation, kind, &names).await?.into_values().next();
                parking.push((kind, id, holder));
            }
        }
        loop {
            let ids: BTreeSet<String> = parking.iter().map(|(_, id, _)| id.to_string()).collect();
            parking.retain(|(_, _, holder)| holder.as_ref().is_none_or(|holder| ids.contains(holder)));
            if parking.len() == ids.len() {
                return Ok(parking.into_iter().map(|(kind, id, _)| (kind, id)).collect());
            }
        }
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
        let now_ms = self.keyward.clock.now_ms();
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
            record(self.keyward, conn, federation_id, self.author(), &effect).await?;
        } else {
            let Some(row) = store::users::by_id(conn, federation_id, id).await? else { return Ok(()) };
            store::users::delete(conn, federation_id, &row).await.map_err(again)?;
            store::groups::leave_all(conn, federation_id, id, now_ms).await?;
            let effect = Effect { name: &row.user_name, row: RowFacts::from(&row), ..none };
            record(self.keyward, conn, federation_id, self.author(), &effect).await?;
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
        let now_ms = self.keyward.clock.now_ms();
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
            record(self.keyward, conn, federation_id, self.author(), &effect).await?;
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
            record(self.keyward, conn, federation_id, self.author(), &effect).await?;
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
            modified_ms: self.keyward.clock.now_ms(),
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
        record(self.keyward, conn, federation_id, self.author(), &effect).await?;
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
        let now_ms = self.keyward.clock.now_ms();
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
        record(self.keyward, conn, federation_id, self.author(), &effect).await?;
        let group = (id, row.display_name.as_str());
        told::joined(self.keyward, conn, self.federation, self.undo, group, &joining_now).await?;
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
