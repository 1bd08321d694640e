//! What is done at an upstream to take a change back: values, memberships, a deletion of what was created, a
//! creation of what was deleted.

use std::collections::BTreeSet;

use domain::{
    Millis,
    journal::Image,
    upstreams::{CallState, CallVerb, LinkState},
};
use scim::{AttrPath, Mutability, Resource, Type};
use serde_json::{Value, json};
use store::links::{self, Link};

use super::{
    super::{
        Gate, UnderWay, difference,
        job::{gone, hash_of, refresh},
        patch, reconcile,
        requests::actions,
        told::Told,
        translate,
    },
    Back, Came, Ending, Restorer, Step, content, same,
};
use crate::{
    Actor, Error,
    journal::undo::{
        acts::Set,
        plan,
        rows::name_extensions,
        run::{Note, Report},
    },
    ports::{Method, UpstreamRequest},
};

/// A resource as it is at the upstream now.
struct Here {
    /// The link, which says the same.
    link: Link,
    upstream_id: String,
    /// How it was known before this look.
    shadow: Value,
    now: Value,
}

impl<A> Restorer<'_, A>
where
    A: Actor + Clone + Send + Sync + 'static,
{
    /// Looks at a resource; what came of the unit when it is not there to be changed.
    async fn here(&self, step: &Step<'_>, link: Option<Link>) -> Result<Result<Here, Came>, Error> {
        let live = link.filter(|link| link.state == LinkState::Live);
        let Some((mut link, upstream_id)) =
            live.and_then(|link| link.upstream_id.clone().map(|upstream_id| (link, upstream_id)))
        else {
            return Ok(Err(self.is_gone(step, "it is gone since the plan was made").await?));
        };
        match self.gate.read(&self.cx.keyward, step.kind, &upstream_id).await {
            Told::Fine { body: Some(now), .. } => {
                let shadow = serde_json::from_str(&link.body).unwrap_or_default();
                refresh(step.kind, &mut link, &now, self.cx.now_ms());
                Ok(Ok(Here { link, upstream_id, shadow, now }))
            }
            Told::Refused { status: 404, .. } => {
                reconcile::is_gone(self.cx, &self.gate, link).await?;
                Ok(Err(self.is_gone(step, "it is gone at the service").await?))
            }
            told @ Told::Refused { .. } => Ok(Err(self.not_done(step, self.refusal(told)).await?)),
            told @ (Told::Fine { .. }
            | Told::Throttled(_)
            | Told::Denied(_)
            | Told::NotSent { .. }
            | Told::Unclear(_)) => Ok(Err(self.waits(told).await?)),
        }
    }

    /// What is to go and is gone needs nothing more.
    async fn is_gone(&self, step: &Step<'_>, text: &str) -> Result<Came, Error> {
        if !matches!(step.act, crate::journal::undo::acts::Act::Remove { .. }) {
            return self.not_done(step, text).await;
        }
        let mut report = Report::default();
        if step.is_begun {
            report.resources = 1;
            report.did.push(Note::of(step.act, "removed"));
        }
        self.close(step, report).await
    }

    /// Deletes what was created.
    pub(super) async fn remove(
        &self,
        step: &Step<'_>,
        link: Option<Link>,
        over: bool,
    ) -> Result<Came, Error> {
        let Here { link, upstream_id, shadow, now } = match self.here(step, link).await? {
            Ok(here) => here,
            Err(came) => return Ok(came),
        };
        if let Some(last) = step.since.last() {
            let text = format!("{} has changed it since the plan was made", last.actor.name);
            return self.not_done(step, text).await;
        }
        if !over && !same(Some(&content(&shadow)), Some(&content(&now))) {
            return self.drifted(step, link, "it was changed at the service since").await;
        }
        let Some(call_id) = self.intend(step, (CallVerb::Delete, hash_of(&Value::Null)), &link).await? else {
            return Ok(Came::Taken);
        };
        let _under_way = UnderWay::begin(&self.cx.keyward.gateway, &call_id);
        let request = UpstreamRequest {
            method: Method::Delete,
            path: Gate::path_of(step.kind, &upstream_id),
            if_match: None,
            if_none_match: None,
            body: None,
        };
        let told = self.gate.call(&self.cx.keyward, request).await;
        if !matches!(told, Told::Fine { .. } | Told::Refused { status: 404, .. }) {
            return self.failed(step, call_id, told, Back::Is(link), Report::default()).await;
        }
        let [_, _, _, action] = actions(step.kind);
        let event = self.event(action, &link, &json!({ "outcome": "taken back" }));
        let mut report = Report { resources: 1, ..Report::default() };
        report.did.push(Note::of(step.act, "removed"));
        let link = Back::Is(gone(link, self.cx.now_ms()));
        let call = Some((call_id, CallState::Done, "done".to_owned()));
        self.end(step, Ending { call, link: Some(link), event: Some(event), joined: Vec::new(), report })
            .await
    }

    /// What was changed at the service without Keyward is left alone, and known from now on.
    async fn drifted(&self, step: &Step<'_>, link: Link, text: &str) -> Result<Came, Error> {
        let mut report = Report::default();
        report.note(step.act, text);
        self.end(
            step,
            Ending { call: None, link: Some(Back::Is(link)), event: None, joined: Vec::new(), report },
        )
        .await
    }

    /// Sets attributes as they were.
    pub(super) async fn change(
        &self,
        step: &Step<'_>,
        link: Option<Link>,
        sets: &[Set],
        over: bool,
    ) -> Result<Came, Error> {
        let here = match self.here(step, link).await? {
            Ok(here) => here,
            Err(came) => return Ok(came),
        };
        let Value::Object(now) = &here.now else {
            return self.not_done(step, "the service shows no object").await;
        };
        let (mut report, mut wanted) = (Report::default(), now.clone());
        let (mut writing, mut is_there) = (Vec::new(), Vec::new());
        let of = self.schemas.of(step.kind);
        // What the service says of it by itself is the service's, however it came to be.
        for set in sets.iter().filter(|set| is_settable(of, set)) {
            let path = (set.top.clone(), set.inner.clone());
            let live = plan::get(now, &path);
            let is_others = |image: &Image| image.contains_key(&set.top);
            if is_as_wanted(set, live) {
                is_there.push(words(set));
            } else if let Some(entry) =
                step.since.iter().rfind(|entry| is_others(&entry.was) || is_others(&entry.became))
            {
                let text = format!("{} was changed by {} since", words(set), entry.actor.name);
                report.note(step.act, text);
            } else if !over && !same(live, set.from.as_ref()) {
                report.note(step.act, format!("{} was changed at the service since", words(set)));
            } else {
                plan::set(&mut wanted, &path, value_of(set));
                writing.push(set);
            }
        }
        if writing.is_empty() {
            if step.is_begun && !is_there.is_empty() {
                report.resources = 1;
                report.did.push(Note::of(step.act, format!("{} brought back", is_there.join(", "))));
            }
            let link = Some(Back::Is(here.link));
            return self
                .end(step, Ending { call: None, link, event: None, joined: Vec::new(), report })
                .await;
        }
        name_extensions(&mut wanted);
        let names: Vec<String> = writing.iter().map(|set| words(set)).collect();
        let wanted = Value::Object(wanted);
        let ops = difference::difference(of, &here.now, &wanted, self.gate.upstream.quirks.member_values);
        let told = self.write(step, &here, ops, wanted).await?;
        let (call_id, told) = match told {
            Ok(asked) => asked,
            Err(came) => return Ok(came),
        };
        let Told::Fine { body: Some(after), .. } = told else {
            // Whoever has the name may let go of it further on.
            let is_name = writing.iter().any(|set| set.is_name());
            if matches!(told, Told::Refused { status: 409, .. }) && is_name && step.open.tries == 0 {
                return self.blocked(step, call_id, &told).await;
            }
            return self.failed(step, call_id, told, Back::Is(here.link), report).await;
        };
        for set in &writing {
            let path = (set.top.clone(), set.inner.clone());
            let shown = after.as_object().and_then(|after| plan::get(after, &path));
            if !is_as_wanted(set, shown) {
                report.note(step.act, format!("the service keeps a value of its own in {}", words(set)));
            }
        }
        report.resources = 1;
        report.did.push(Note::of(step.act, format!("{} brought back", names.join(", "))));
        self.changed(step, call_id, here.link, &after, (&names, Vec::new()), report).await
    }

    /// Another one has the name now; it comes after those that are left.
    async fn blocked(&self, step: &Step<'_>, call_id: String, told: &Told) -> Result<Came, Error> {
        let (federation_id, undo_id, position) =
            (self.federation.id.clone(), self.undo.id.clone(), step.open.position);
        let (note, now_ms) = (told.note(), self.cx.now_ms());
        let waits = json!(Note::of(step.act, "another one has its name")).to_string();
        let leave = async move |conn: &mut store::Conn<'_>| {
            store::calls::settle(conn, &federation_id, &call_id, CallState::Failed, &note, now_ms).await?;
            store::undos::wait(conn, &federation_id, &undo_id, position, now_ms, &waits).await?;
            Ok(store::Change::nothing(()))
        };
        self.cx.keyward.commit(leave).await?;
        Ok(Came::Blocked)
    }

    /// Asks for a change: PATCH with what differs, or PUT where the upstream knows no PATCH or has no other
    /// way to say it. The id of the call and what was answered.
    async fn write(
        &self,
        step: &Step<'_>,
        here: &Here,
        ops: Vec<Value>,
        wanted: Value,
    ) -> Result<Result<(String, Told), Came>, Error> {
        let quirks = self.gate.upstream.quirks;
        let keyward = &self.cx.keyward;
        if quirks.no_patch || (ops.is_empty() && !quirks.no_put) {
            let of = self.schemas.of(step.kind);
            let body = match Resource::from_value(of, wanted) {
                Ok(resource) => resource.into_value(),
                Err(error) => return Ok(Err(self.not_done(step, error.detail).await?)),
            };
            let mut body = patch::with_unknown(of, body, &here.now);
            if let Value::Object(parts) = &mut body {
                parts.insert("id".to_owned(), Value::from(here.upstream_id.as_str()));
            }
            let sent = (CallVerb::Replace, hash_of(&body));
            let Some(call_id) = self.intend(step, sent, &here.link).await? else {
                return Ok(Err(Came::Taken));
            };
            let _under_way = UnderWay::begin(&keyward.gateway, &call_id);
            let told = self.gate.put(keyward, step.kind, &here.upstream_id, None, &body).await;
            return Ok(Ok((call_id, told)));
        }
        if ops.is_empty() {
            let text = "the service has no way to set it".to_owned();
            return Ok(Err(self.not_done(step, text).await?));
        }
        let hash = hash_of(&json!(ops));
        let requests = match patch::requests(ops, quirks) {
            Ok(requests) => requests,
            Err(error) => return Ok(Err(self.not_done(step, error.detail).await?)),
        };
        let Some(call_id) = self.intend(step, (CallVerb::Patch, hash), &here.link).await? else {
            return Ok(Err(Came::Taken));
        };
        let _under_way = UnderWay::begin(&keyward.gateway, &call_id);
        let told = self.gate.patch(keyward, step.kind, &here.upstream_id, None, requests).await;
        Ok(Ok((call_id, told)))
    }

    /// The outcome of a change that was made.
    async fn changed(
        &self,
        step: &Step<'_>,
        call_id: String,
        mut link: Link,
        after: &Value,
        (names, joined): (&[String], Vec<String>),
        report: Report,
    ) -> Result<Came, Error> {
        refresh(step.kind, &mut link, after, self.cx.now_ms());
        let [_, _, action, _] = actions(step.kind);
        let event = self.event(action, &link, &json!({ "outcome": "taken back", "attributes": names }));
        let call = Some((call_id, CallState::Done, "done".to_owned()));
        self.end(step, Ending { call, link: Some(Back::Is(link)), event: Some(event), joined, report }).await
    }

    /// Puts members into a group again, and takes them out again.
    pub(super) async fn members(
        &self,
        step: &Step<'_>,
        link: Option<Link>,
        joining: &[String],
        leaving: &[String],
    ) -> Result<Came, Error> {
        let here = match self.here(step, link).await? {
            Ok(here) => here,
            Err(came) => return Ok(came),
        };
        let mut report = Report::default();
        let moved: BTreeSet<&String> = step
            .since
            .iter()
            .flat_map(|entry| entry.members.joined.iter().chain(&entry.members.left))
            .collect();
        let overtaken = joining.iter().chain(leaving).filter(|id| moved.contains(id)).count();
        if overtaken > 0 {
            report.note(step.act, format!("{overtaken} of its members were moved since the plan was made"));
        }
        let ids: BTreeSet<String> =
            joining.iter().chain(leaving).filter(|id| !moved.contains(id)).cloned().collect();
        let outward = self.gate.outward(&self.cx.keyward, &ids).await?;
        let inside = members_of(&here.now);
        let theirs = |ids: &[String], is_in: bool| -> Vec<String> {
            let found = ids.iter().filter_map(|id| outward.get(id));
            found.filter(|theirs| inside.contains(*theirs) == is_in).cloned().collect()
        };
        let gone = joining.iter().filter(|id| ids.contains(*id) && !outward.contains_key(*id)).count();
        if gone > 0 {
            report.note(step.act, format!("{gone} of its members are gone"));
        }
        let (come, go) = (theirs(joining, false), theirs(leaving, true));
        let count = u64::try_from(come.len() + go.len()).unwrap_or(u64::MAX);
        if count == 0 {
            if step.is_begun {
                let moved = u64::try_from(outward.len()).unwrap_or(u64::MAX);
                report.members = moved;
                report.did.push(Note::of(step.act, format!("memberships brought back: {moved}")));
            }
            let link = Some(Back::Is(here.link));
            return self
                .end(step, Ending { call: None, link, event: None, joined: Vec::new(), report })
                .await;
        }
        let mut wanted = here.now.clone();
        let mut members: Vec<Value> = here
            .now
            .get("members")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter(|member| member_id(member).is_none_or(|id| !go.contains(&id)))
            .cloned()
            .collect();
        members.extend(come.iter().map(|id| json!({ "value": id })));
        if let Value::Object(parts) = &mut wanted {
            parts.insert("members".to_owned(), Value::Array(members));
        }
        let mut ops = patch::removals(go, self.gate.upstream.quirks.member_values);
        if !come.is_empty() {
            let come: Vec<Value> = come.iter().map(|id| json!({ "value": id })).collect();
            ops.push(json!({ "op": "add", "path": "members", "value": come }));
        }
        let (call_id, told) = match self.write(step, &here, ops, wanted).await? {
            Ok(asked) => asked,
            Err(came) => return Ok(came),
        };
        let Told::Fine { body: Some(after), .. } = told else {
            return self.failed(step, call_id, told, Back::Is(here.link), report).await;
        };
        report.members = count;
        report.did.push(Note::of(step.act, format!("memberships brought back: {count}")));
        let come: BTreeSet<&String> = come.iter().collect();
        let is_back = |id: &&String| outward.get(*id).is_some_and(|theirs| come.contains(theirs));
        let joined = joining.iter().filter(is_back).cloned().collect();
        let names = ["members".to_owned()];
        self.changed(step, call_id, here.link, &after, (&names, joined), report).await
    }

    /// Creates again what was deleted: the upstream gives it an id of its own, which stands for the same id
    /// here.
    pub(super) async fn revive(
        &self,
        step: &Step<'_>,
        old: Option<Link>,
        body: &Image,
        (made_by, created_ms): (&str, Millis),
    ) -> Result<Came, Error> {
        if old.as_ref().is_some_and(|link| link.state != LinkState::Gone) {
            if step.is_begun {
                let mut report = Report { resources: 1, ..Report::default() };
                report.did.push(Note::of(step.act, "created again"));
                return self.close(step, report).await;
            }
            return self.not_done(step, "it is there again since the plan was made").await;
        }
        let of = self.schemas.of(step.kind);
        let resource = match Resource::from_value(of, Value::Object(body.clone())) {
            Ok(resource) => resource,
            Err(error) => return self.not_done(step, error.detail).await,
        };
        let name = translate::name_of(step.kind, resource.as_value());
        let external_id = resource.external_id().map(str::to_owned);
        if let Some(text) = self.taken(step, &name, external_id.as_deref()).await? {
            return match text {
                Ok(text) => self.not_done(step, text).await,
                Err(told) => self.waits(told).await,
            };
        }
        let now_ms = self.cx.now_ms();
        let mut link = Link {
            kind: step.kind,
            id: step.id.clone(),
            upstream_id: None,
            external_id: external_id.clone(),
            name_lower: translate::clip(&scim::fold_case(&name)).to_owned(),
            upstream_version: None,
            state: LinkState::Unknown,
            // What it is looked for by, when nobody knows what became of it.
            body: json!({ "userName": name, "displayName": name, "externalId": external_id }).to_string(),
            made_by: made_by.to_owned(),
            created_ms,
            modified_ms: now_ms,
        };
        let body = resource.into_value();
        let back = old.map_or_else(|| Back::Made(link.clone()), Back::Is);
        let Some(call_id) = self.intend(step, (CallVerb::Create, hash_of(&body)), &link).await? else {
            return Ok(Came::Taken);
        };
        let _under_way = UnderWay::begin(&self.cx.keyward.gateway, &call_id);
        let request = UpstreamRequest {
            method: Method::Post,
            path: step.kind.endpoint().to_owned(),
            if_match: None,
            if_none_match: None,
            body: Some(body.to_string().into_bytes()),
        };
        let told = match self.gate.call(&self.cx.keyward, request).await {
            Told::Fine { body: Some(made), etag } => match translate::id_of(&made) {
                Some(_) => Told::Fine { body: Some(made), etag },
                None => Told::Unclear("a created resource without an id".to_owned()),
            },
            told @ (Told::Fine { .. }
            | Told::Refused { .. }
            | Told::Throttled(_)
            | Told::Denied(_)
            | Told::NotSent { .. }
            | Told::Unclear(_)) => told,
        };
        let Told::Fine { body: Some(made), .. } = told else {
            return self.failed(step, call_id, told, back, Report::default()).await;
        };
        let upstream_id = translate::id_of(&made).unwrap_or_default();
        let mut reader = self.cx.read().await?;
        let other =
            links::by_upstream_id(&mut reader.conn(), &self.federation.id, step.kind, &upstream_id).await?;
        drop(reader);
        if other.is_some() {
            // It names a resource that was there before: nothing was created, or it lies.
            let told = Told::Unclear("the created resource has the id of another one".to_owned());
            return self.failed(step, call_id, told, back, Report::default()).await;
        }
        refresh(step.kind, &mut link, &made, self.cx.now_ms());
        link.upstream_id = Some(upstream_id);
        link.state = LinkState::Live;
        let [_, action, _, _] = actions(step.kind);
        let event = self.event(action, &link, &json!({ "outcome": "taken back" }));
        let mut report = Report { resources: 1, ..Report::default() };
        report.did.push(Note::of(step.act, "created again"));
        let call = Some((call_id, CallState::Done, "done".to_owned()));
        self.end(
            step,
            Ending { call, link: Some(Back::Is(link)), event: Some(event), joined: Vec::new(), report },
        )
        .await
    }

    /// Whether somebody has the name of what is to come back: what is told then, or why nobody knows.
    async fn taken(
        &self,
        step: &Step<'_>,
        name: &str,
        external_id: Option<&str>,
    ) -> Result<Option<Result<String, Told>>, Error> {
        if name.is_empty() {
            return Ok(Some(Ok("it has no name".to_owned())));
        }
        if !self.has_unique_names(step.kind) {
            return Ok(None);
        }
        let folded = translate::clip(&scim::fold_case(name)).to_owned();
        let mut reader = self.cx.read().await?;
        let other = links::by_live_name(&mut reader.conn(), &self.federation.id, step.kind, &folded).await?;
        drop(reader);
        if other.is_some_and(|other| other.id != step.id) {
            return Ok(Some(Ok(format!("{name:?} is taken by another one"))));
        }
        Ok(match self.gate.look_up(&self.cx.keyward, step.kind, name, external_id).await {
            Ok(found) if found.is_empty() => None,
            Ok(_) => Some(Ok(format!("the service has a {name:?} again"))),
            Err(told @ Told::Refused { .. }) => Some(Ok(self.refusal(told))),
            Err(told) => Some(Err(told)),
        })
    }
}

/// Whether an attribute is a client's to set. The schemas of a resource follow from what it has.
fn is_settable(of: Type<'_>, set: &Set) -> bool {
    let path = AttrPath::parse(&words(set));
    let resolved = path.as_ref().and_then(|path| path.resolve(of));
    set.top != "schemas" && resolved.is_some_and(|found| found.leaf().mutability != Mutability::ReadOnly)
}

/// The value that is set. Who had no `active` was active, and no service takes it away.
fn value_of(set: &Set) -> Option<Value> {
    let is_active = set.inner.is_none() && set.top == "active";
    set.to.clone().or(is_active.then_some(Value::Bool(true)))
}

/// Whether a value is the one that is to be set.
fn is_as_wanted(set: &Set, live: Option<&Value>) -> bool {
    same(live, set.to.as_ref()) || same(live, value_of(set).as_ref())
}

/// An attribute in words.
fn words(set: &Set) -> String {
    match &set.inner {
        Some(inner) => format!("{}:{inner}", set.top),
        None => set.top.clone(),
    }
}

fn member_id(member: &Value) -> Option<String> {
    match member.get("value")? {
        Value::String(id) => Some(id.clone()),
        // Some services count.
        Value::Number(id) => Some(id.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

fn members_of(group: &Value) -> BTreeSet<String> {
    let members = group.get("members").and_then(Value::as_array);
    members.into_iter().flatten().filter_map(member_id).collect()
}
