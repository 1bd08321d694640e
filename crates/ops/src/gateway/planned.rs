//! What a change at an upstream comes to, told before anybody is asked there: the shadow of the resource is what
//! is known of it before, and the guard of every directory stands on it.

use domain::{ResourceId, scopes::Verb};
use scim::{Op, Reading, Resource, ResourceType, ScimError};
use serde_json::Value;
use store::{Conn, links::Link};

use super::{change::Wanted, job::Job, told::Told};
use crate::{
    Error, brakes,
    directory::changed_attributes,
    effect::{Effect, Held, RowFacts, attributes_of},
    scoped::{self, attributes},
};

/// How a resource at an upstream is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    /// As it was when it was last seen.
    Kept,
    /// As it is: it is asked for.
    Now,
}

/// A change in ids of ours.
pub(super) struct Planned {
    verb: Verb,
    kind: ResourceType,
    id: ResourceId,
    name: String,
    before: Option<Resource>,
    after: Option<Resource>,
    attributes: Vec<String>,
    joining: Vec<String>,
    leaving: Vec<String>,
    belonged: Vec<String>,
    /// How many members a group has.
    size: Option<i64>,
    link: Link,
}

impl Planned {
    /// Of a resource that is created.
    pub fn creation(link: &Link, name: &str, resource: &Resource) -> Self {
        let mut after = resource.clone();
        let joining = ids(&mut after);
        let mut attributes = attributes_of(&after);
        if !joining.is_empty() {
            attributes.push("members".to_owned());
        }
        Self {
            verb: Verb::Create,
            kind: link.kind,
            id: link.id.clone(),
            name: name.to_owned(),
            before: None,
            after: Some(after),
            attributes,
            joining,
            leaving: Vec::new(),
            belonged: Vec::new(),
            size: None,
            link: link.clone(),
        }
    }

    /// Of a resource that becomes another.
    pub fn update(link: &Link, mut before: Resource, mut after: Resource) -> Self {
        let (were, are) = (ids(&mut before), ids(&mut after));
        let size = i64::try_from(were.len()).ok();
        let mut attributes = changed_attributes(&before, &after);
        let joining: Vec<String> = are.iter().filter(|id| were.binary_search(id).is_err()).cloned().collect();
        let leaving: Vec<String> = were.into_iter().filter(|id| are.binary_search(id).is_err()).collect();
        if !joining.is_empty() || !leaving.is_empty() {
            attributes.push("members".to_owned());
            attributes.sort();
        }
        Self {
            verb: Verb::Update,
            kind: link.kind,
            id: link.id.clone(),
            name: name(&after).unwrap_or(&link.name_lower).to_owned(),
            before: Some(before),
            after: Some(after),
            attributes,
            joining,
            leaving,
            belonged: Vec::new(),
            size,
            link: link.clone(),
        }
    }

    /// Of a resource that is deleted.
    pub fn deletion(link: &Link, mut before: Resource, belonged: Vec<String>) -> Self {
        let leaving = ids(&mut before);
        Self {
            verb: Verb::Delete,
            kind: link.kind,
            id: link.id.clone(),
            name: name(&before).unwrap_or(&link.name_lower).to_owned(),
            attributes: attributes_of(&before),
            before: Some(before),
            after: None,
            joining: Vec::new(),
            size: i64::try_from(leaving.len()).ok(),
            leaving,
            belonged,
            link: link.clone(),
        }
    }

    fn effect(&self) -> Effect<'_> {
        Effect {
            verb: self.verb,
            kind: self.kind,
            id: &self.id,
            name: &self.name,
            before: self.before.as_ref(),
            after: self.after.as_ref(),
            attributes: &self.attributes,
            joining: &self.joining,
            leaving: &self.leaving,
            belonged: &self.belonged,
            row: RowFacts {
                made_by: &self.link.made_by,
                version: 1,
                created_ms: self.link.created_ms,
                modified_ms: self.link.modified_ms,
                body: &self.link.body,
            },
        }
    }
}

fn ids(resource: &mut Resource) -> Vec<String> {
    let mut ids: Vec<String> = resource.take_members().into_iter().map(|member| member.value).collect();
    ids.sort();
    ids.dedup();
    ids
}

fn name(resource: &Resource) -> Option<&str> {
    match resource.kind() {
        ResourceType::User => resource.user_name(),
        ResourceType::Group => resource.display_name(),
    }
}

impl Job {
    /// Decides a change inside the unit of its intent, as the guard of the embedded directory does.
    pub(super) async fn guard(&self, conn: &mut Conn<'_>, planned: &Planned) -> Result<Option<Held>, Error> {
        let effect = planned.effect();
        scoped::check(&self.cx, conn, &effect).await?;
        brakes::check_sized(&self.cx, conn, &self.asked, &effect, planned.size).await
    }

    /// What a change comes to.
    pub(super) async fn planned(&self, link: &Link, wanted: &Wanted) -> Result<Planned, Error> {
        let speaks_of_members = match wanted {
            // A PUT without members empties the group.
            Wanted::Replace(_) => true,
            Wanted::Patch(ops) => attributes::names_any(self.cx.schemas().of(self.kind), ops, &["members"]),
        };
        let mut before = self.shadow(link, speaks_of_members, Seen::Kept).await?;
        let after = match wanted {
            Wanted::Replace(resource) => resource.clone(),
            Wanted::Patch(ops) => {
                if let Ok(after) = self.patched(&before, ops) {
                    after
                } else {
                    // Something else than what was kept may stand there by now.
                    before = self.shadow(link, speaks_of_members, Seen::Now).await?;
                    self.patched(&before, ops)?
                }
            }
        };
        Ok(Planned::update(link, before, after))
    }

    /// What operations make of a resource. What cannot be applied to what is known here is for the upstream to judge,
    /// unless it names what a brake weighs: an operation that the upstream understands and this server does not
    /// would pass every brake.
    fn patched(&self, before: &Resource, ops: &[Op]) -> Result<Resource, ScimError> {
        let of = self.cx.schemas().of(self.kind);
        let apply = |to: &Resource, ops: &[Op]| {
            scim::patch::apply_with(of, to, ops, &mut Reading::lenient()).map(|patched| patched.resource)
        };
        if let Ok(after) = apply(before, ops) {
            return Ok(after);
        }
        let mut after = before.clone();
        for op in ops {
            let one = std::slice::from_ref(op);
            match apply(&after, one) {
                Ok(patched) => after = patched,
                Err(error) if attributes::names_any(of, one, brakes::weighed(self.kind)) => {
                    return Err(error);
                }
                Err(_) => {}
            }
        }
        Ok(after)
    }

    /// What a deletion comes to.
    pub(super) async fn planned_deletion(&self, link: &Link) -> Result<Planned, Error> {
        let before = self.shadow(link, true, Seen::Kept).await?;
        let mut belonged = Vec::new();
        if self.cx.actor.guards.has_marks() {
            // Whoever is in a protected group does not leave it by being deleted.
            let theirs = kept(link);
            let mut seen = vec![theirs];
            self.gate.inward(&self.cx.keyward, self.kind, &mut seen, None).await?;
            let groups = seen.first().and_then(|resource| resource.get("groups")).and_then(Value::as_array);
            let values = groups.into_iter().flatten().filter_map(|group| group.get("value")?.as_str());
            belonged = values.map(str::to_owned).collect();
            belonged.extend(self.protected_around(link).await?);
        }
        Ok(Planned::deletion(link, before, belonged))
    }

    /// The resource in ids of ours: as it was kept, or as it is there now. The members of a group that its shadow does
    /// not show are asked for, when the change speaks of them.
    async fn shadow(&self, link: &Link, wants_members: bool, seen: Seen) -> Result<Resource, Error> {
        let mut value = kept(link);
        let upstream_id = link.upstream_id.as_deref().unwrap_or_default();
        let lacks_members =
            self.kind == ResourceType::Group && wants_members && value.get("members").is_none();
        if (lacks_members || seen == Seen::Now) && !upstream_id.is_empty() {
            match self.gate.read(&self.cx.keyward, self.kind, upstream_id).await.body() {
                Ok((now, _)) => value = now,
                Err(Told::Refused { status: 404, .. }) => {}
                // Who cannot be counted may not be removed.
                Err(told) => return self.fail(told, &[]).await,
            }
        }
        if self.kind == ResourceType::Group {
            let mut seen = vec![value];
            self.gate.inward(&self.cx.keyward, self.kind, &mut seen, Some((upstream_id, &link.id))).await?;
            value = seen.pop().unwrap_or_default();
        }
        if let Value::Object(parts) = &mut value {
            for name in ["id", "meta", "groups", "password"] {
                parts.remove(name);
            }
        }
        let of = self.cx.schemas().of(self.kind);
        Ok(Resource::from_value(of, value.clone()).unwrap_or_else(|_| Resource::from_stored(of, value)))
    }
}

/// The shadow as it is kept, in ids of the upstream.
fn kept(link: &Link) -> Value {
    serde_json::from_str(&link.body).unwrap_or_default()
}
