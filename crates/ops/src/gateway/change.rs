//! Changing and deleting a resource at an upstream.

use std::collections::BTreeSet;

use domain::upstreams::{CallState, CallVerb};
use scim::{Op, Resource, ResourceType, ScimError, Type};
use serde_json::{Value, json};
use store::links::Link;

use super::{
    Gate, UnderWay, difference,
    job::{End, Job, Sent, gone, hash_of},
    patch,
    requests::{Shown, actions},
    told,
    told::Told,
    translate,
};
use crate::{
    Error, Keyward,
    ports::{Method, UpstreamRequest},
    scoped::{attributes, resource_kind, upstream},
};

/// How a resource is to be changed.
pub(super) enum Wanted {
    Replace(Resource),
    Patch(Vec<Op>),
}

impl Gate {
    /// Sends a PUT; an empty answer is followed by a look.
    pub(super) async fn put(
        &self,
        keyward: &Keyward,
        kind: ResourceType,
        upstream_id: &str,
        if_match: Option<String>,
        body: &Value,
    ) -> Told {
        let request = UpstreamRequest {
            method: Method::Put,
            path: Self::path_of(kind, upstream_id),
            if_match,
            if_none_match: None,
            body: Some(body.to_string().into_bytes()),
        };
        let told = self.call(keyward, request).await.about(upstream_id);
        self.seen(keyward, kind, upstream_id, told).await
    }

    /// Sends a PATCH in its pieces; an empty answer is followed by a look.
    pub(super) async fn patch(
        &self,
        keyward: &Keyward,
        kind: ResourceType,
        upstream_id: &str,
        if_match: Option<String>,
        requests: patch::Requests,
    ) -> Told {
        let mut told = Told::Fine { body: None, etag: None };
        let mut if_match = if_match;
        for ops in requests.iter().filter(|ops| !ops.is_empty()) {
            let request = UpstreamRequest {
                method: Method::Patch,
                path: Self::path_of(kind, upstream_id),
                // The first piece changes the version that the provider saw.
                if_match: if_match.take(),
                if_none_match: None,
                body: Some(patch::body(ops).to_string().into_bytes()),
            };
            told = self.call(keyward, request).await.about(upstream_id);
            if !matches!(told, Told::Fine { .. }) {
                return told;
            }
        }
        self.seen(keyward, kind, upstream_id, told).await
    }

    /// Looks at a resource whose change was answered with nothing.
    async fn seen(&self, keyward: &Keyward, kind: ResourceType, upstream_id: &str, told: Told) -> Told {
        if matches!(told, Told::Fine { body: None, .. }) {
            return self.read(keyward, kind, upstream_id).await;
        }
        told
    }
}

impl Job {
    pub(super) async fn change(
        self,
        id: &str,
        if_match: Option<String>,
        wanted: Wanted,
    ) -> Result<Shown, Error> {
        let _turn = self.turn(id).await?;
        let link = self.link(id).await?;
        let mut link = self.certain(link).await?;
        let of = self.cx.schemas().of(self.kind);
        let mut was_adopted = false;
        if !link.state.is_ours() {
            let external_id = match &wanted {
                Wanted::Replace(resource) => resource.external_id(),
                Wanted::Patch(_) => None,
            };
            link = self.adoptable(link, external_id).await?;
            was_adopted = true;
        }
        let wanted = self.scoped(&mut link, wanted).await?;
        let upstream_id = link.upstream_id.clone().unwrap_or_default();
        let before: Value = serde_json::from_str(&link.body).unwrap_or_default();
        let planned = self.planned(&link, &wanted).await?;
        let (told, call_id) = match wanted {
            Wanted::Replace(resource) => {
                let body = self.body(resource.into_value()).await?;
                let sent = Sent { verb: CallVerb::Replace, hash: hash_of(&body) };
                let call_id = self.intend(&link, &sent, false, planned).await?;
                let _under_way = UnderWay::begin(&self.cx.keyward.gateway, &call_id);
                (self.replaced(&upstream_id, if_match, body, &before).await, call_id)
            }
            Wanted::Patch(ops) => {
                let ops = self.outward_ops(ops).await?;
                let ops = self.named_removals(&upstream_id, ops).await?;
                let written: Vec<String> = ops.iter().map(|op| format!("{op:?}")).collect();
                let sent = Sent { verb: CallVerb::Patch, hash: hash_of(&json!(written)) };
                let quirks = self.gate.upstream.quirks;
                let requests =
                    if quirks.no_patch { None } else { Some(patch::rewrite(of, ops.clone(), quirks)?) };
                let call_id = self.intend(&link, &sent, false, planned).await?;
                let _under_way = UnderWay::begin(&self.cx.keyward.gateway, &call_id);
                let told = match requests {
                    Some(requests) => self.patch(&upstream_id, if_match, requests).await,
                    None => match self.read_and_put(&upstream_id, if_match, &ops, of).await {
                        Ok(told) => told,
                        Err(error) => {
                            let end = (CallState::Failed, "not applicable".to_owned());
                            self.conclude(&call_id, end, End::Same, None).await?;
                            return Err(error.into());
                        }
                    },
                };
                (told, call_id)
            }
        };
        let Told::Fine { body: Some(resource), etag } = told else {
            return self.not_done(&call_id, &link, told).await;
        };
        let changed = changed_names(&before, &resource);
        self.refresh(&mut link, &resource);
        let shown = self.shown(resource, etag, Some((&upstream_id, &link.id))).await?;
        let [_, _, action, _] = actions(self.kind);
        let outcome = if was_adopted { "adopted" } else { "changed" };
        let event = self.event(action, &link, &json!({ "outcome": outcome, "attributes": changed }));
        let end = (CallState::Done, "done".to_owned());
        self.conclude(&call_id, end, End::Written(link), Some((event, 200))).await?;
        Ok(shown)
    }

    /// A change as the scope of the key lets it through: held against the resource as it is there now, and
    /// against what becomes of it.
    async fn scoped(&self, link: &mut Link, wanted: Wanted) -> Result<Wanted, Error> {
        let scope = &self.cx.actor.scope;
        if !upstream::looks_before(scope, resource_kind(self.kind)) {
            return Ok(wanted);
        }
        let of = self.cx.schemas().of(self.kind);
        let now = self.now(link).await?;
        match wanted {
            Wanted::Replace(resource) => {
                let mut after = resource.into_value();
                // What this server says of it is not the provider's to write.
                let mut before = now;
                if let Some(parts) = before.as_object_mut() {
                    parts.remove("groups");
                }
                attributes::preserved_body(scope, of, &before, &mut after);
                if scope.restricts_writing(resource_kind(self.kind)) {
                    attributes::check_written(scope, of, Some(&before), Some(&after))?;
                }
                upstream::check_after(&self.cx, of, &after)?;
                Ok(Wanted::Replace(Resource::from_stored(of, after)))
            }
            Wanted::Patch(ops) => {
                if scope.filter(resource_kind(self.kind)).is_some() {
                    upstream::check_after(&self.cx, of, &patch::applied(of, &now, &ops)?)?;
                }
                Ok(Wanted::Patch(ops))
            }
        }
    }

    /// The resource as it is there now, in ids of ours, when it is there for the key. The shadow is that
    /// from here on.
    pub(super) async fn now(&self, link: &mut Link) -> Result<Value, Error> {
        let upstream_id = link.upstream_id.clone().unwrap_or_default();
        match self.gate.read(&self.cx.keyward, self.kind, &upstream_id).await.body() {
            Ok((resource, etag)) => {
                self.refresh(link, &resource);
                let mut shown = self.shown(resource, etag, Some((&upstream_id, &link.id))).await?;
                upstream::see(&self.cx, self.kind, &mut shown.body)?;
                Ok(shown.body)
            }
            Err(told) => self.fail(told, &[(upstream_id.as_str(), link.id.as_str())]).await,
        }
    }

    /// Brings a resource to what a PUT says, by PUT or by what stands for it.
    pub(super) async fn replaced(
        &self,
        upstream_id: &str,
        if_match: Option<String>,
        body: Value,
        before: &Value,
    ) -> Told {
        if self.gate.upstream.quirks.no_put {
            return self.read_and_patch(upstream_id, if_match, &body).await;
        }
        let body = self.put_body(upstream_id, body, before);
        self.put(upstream_id, if_match, &body).await
    }

    /// For an upstream that removes members by name only: operations that say whom.
    async fn named_removals(&self, upstream_id: &str, ops: Vec<Op>) -> Result<Vec<Op>, Error> {
        let quirks = self.gate.upstream.quirks;
        if !quirks.member_values || quirks.no_patch {
            return Ok(ops);
        }
        let mut now = Value::Null;
        if patch::needs_members(&ops) {
            match self.gate.read(&self.cx.keyward, self.kind, upstream_id).await.body() {
                Ok((group, _)) => now = group,
                Err(told) => return self.fail(told, &[]).await,
            }
        }
        Ok(patch::by_values(ops, &now)?)
    }

    pub(super) fn put_body(&self, upstream_id: &str, mut body: Value, before: &Value) -> Value {
        if before.is_object() {
            body = patch::with_unknown(self.cx.schemas().of(self.kind), body, before);
        }
        if let Value::Object(parts) = &mut body {
            parts.insert("id".to_owned(), Value::from(upstream_id));
        }
        body
    }

    pub(super) async fn put(&self, upstream_id: &str, if_match: Option<String>, body: &Value) -> Told {
        self.gate.put(&self.cx.keyward, self.kind, upstream_id, if_match, body).await
    }

    pub(super) async fn patch(
        &self,
        upstream_id: &str,
        if_match: Option<String>,
        requests: patch::Requests,
    ) -> Told {
        self.gate.patch(&self.cx.keyward, self.kind, upstream_id, if_match, requests).await
    }

    /// For an upstream that knows no PUT.
    async fn read_and_patch(&self, upstream_id: &str, if_match: Option<String>, body: &Value) -> Told {
        let (now, etag) = match self.gate.read(&self.cx.keyward, self.kind, upstream_id).await.body() {
            Ok(read) => read,
            Err(told) => return not_begun(told),
        };
        let quirks = self.gate.upstream.quirks;
        let of = self.cx.schemas().of(self.kind);
        let ops = difference::difference(of, &now, body, quirks.member_values);
        if ops.is_empty() {
            // No request goes out that could say it.
            let version = etag.clone().or_else(|| translate::version_of(&now));
            let is_stale = if_match.zip(version).is_some_and(|(wanted, version)| {
                !wanted.split(',').any(|wanted| translate::is_same_tag(wanted, &version))
            });
            if is_stale {
                let detail = "the resource has another version by now".to_owned();
                return Told::Refused { status: 412, scim_type: None, detail };
            }
            return Told::Fine { body: Some(now), etag };
        }
        match patch::requests(ops, quirks) {
            Ok(requests) => self.patch(upstream_id, if_match, requests).await,
            Err(error) => error.into(),
        }
    }

    /// For an upstream that knows no PATCH.
    pub(super) async fn read_and_put(
        &self,
        upstream_id: &str,
        if_match: Option<String>,
        ops: &[Op],
        of: Type<'_>,
    ) -> Result<Told, ScimError> {
        match self.gate.read(&self.cx.keyward, self.kind, upstream_id).await.body() {
            Ok((now, _)) => {
                let body = patch::applied(of, &now, ops)?;
                let body = self.put_body(upstream_id, body, &Value::Null);
                Ok(self.put(upstream_id, if_match, &body).await)
            }
            Err(told) => Ok(not_begun(told)),
        }
    }

    /// As [`Gate::seen`].
    pub(super) async fn seen(&self, upstream_id: &str, told: Told) -> Told {
        self.gate.seen(&self.cx.keyward, self.kind, upstream_id, told).await
    }

    pub(super) async fn delete(self, id: &str, if_match: Option<String>) -> Result<(), Error> {
        let _turn = self.turn(id).await?;
        let link = self.link(id).await?;
        let mut link = self.certain(link).await?;
        if !link.state.is_ours() {
            link = self.adoptable(link, None).await?;
        }
        if self.cx.actor.scope.hides(resource_kind(self.kind)) {
            self.now(&mut link).await?;
        }
        let upstream_id = link.upstream_id.clone().unwrap_or_default();
        let sent = Sent { verb: CallVerb::Delete, hash: hash_of(&Value::Null) };
        let planned = self.planned_deletion(&link).await?;
        let call_id = self.intend(&link, &sent, false, planned).await?;
        let _under_way = UnderWay::begin(&self.cx.keyward.gateway, &call_id);
        let request = UpstreamRequest {
            method: Method::Delete,
            path: Gate::path_of(self.kind, &upstream_id),
            if_match,
            if_none_match: None,
            body: None,
        };
        let told = self.gate.call(&self.cx.keyward, request).await;
        if !matches!(told, Told::Fine { .. }) {
            return self.not_done(&call_id, &link, told).await;
        }
        let [_, _, _, action] = actions(self.kind);
        let event =
            self.event(action, &link, &json!({ "outcome": "deleted", "externalId": link.external_id }));
        let end = (CallState::Done, "done".to_owned());
        let link = gone(link, self.now_ms());
        self.conclude(&call_id, end, End::Written(link), Some((event, 204))).await
    }
}

/// What came of a change whose first look failed: nothing was changed yet.
fn not_begun(told: Told) -> Told {
    match told {
        Told::Unclear(reason) => {
            Told::NotSent { reason, retry_after_s: told::UNCLEAR_RETRY_S, may_try_again: false }
        }
        told @ (Told::Fine { .. }
        | Told::Refused { .. }
        | Told::Throttled(_)
        | Told::Denied(_)
        | Told::NotSent { .. }) => told,
    }
}

/// The names of the top-level attributes that differ.
fn changed_names(before: &Value, after: &Value) -> Vec<String> {
    let names = |value: &Value| -> BTreeSet<String> {
        value.as_object().map(|parts| parts.keys().cloned().collect()).unwrap_or_default()
    };
    let mut names: Vec<String> = names(before).union(&names(after)).cloned().collect();
    names.retain(|name| name != "meta" && before.get(name) != after.get(name));
    names
}
