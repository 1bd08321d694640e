//! Changing and deleting a resource at an upstream.

use std::collections::BTreeSet;

use domain::upstreams::{CallState, CallVerb};
use scim::{Op, Resource, ScimError, Type};
use serde_json::{Value, json};

use super::{
    Gate, UnderWay,
    job::{End, Job, Sent, gone, hash_of},
    patch,
    requests::{Shown, actions},
    told,
    told::Told,
};
use crate::{
    Error,
    ports::{Method, UpstreamRequest},
};

/// How a resource is to be changed.
pub(super) enum Wanted {
    Replace(Resource),
    Patch(Vec<Op>),
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
        let upstream_id = link.upstream_id.clone().unwrap_or_default();
        let before: Value = serde_json::from_str(&link.body).unwrap_or_default();
        let (told, call_id) = match wanted {
            Wanted::Replace(resource) => {
                let body = self.body(resource.into_value()).await?;
                let sent = Sent { verb: CallVerb::Replace, hash: hash_of(&body) };
                let call_id = self.intend(&link, &sent, false).await?;
                let _under_way = UnderWay::begin(&self.cx.keyward.gateway, &call_id);
                let body = self.put_body(&upstream_id, body, &before);
                (self.put(&upstream_id, if_match, &body).await, call_id)
            }
            Wanted::Patch(ops) => {
                let ops = self.outward_ops(ops).await?;
                let written: Vec<String> = ops.iter().map(|op| format!("{op:?}")).collect();
                let sent = Sent { verb: CallVerb::Patch, hash: hash_of(&json!(written)) };
                let requests = if self.gate.upstream.quirks.no_patch {
                    None
                } else {
                    Some(patch::rewrite(of, ops.clone(), self.gate.upstream.quirks.member_chunks)?)
                };
                let call_id = self.intend(&link, &sent, false).await?;
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

    pub(super) fn put_body(&self, upstream_id: &str, mut body: Value, before: &Value) -> Value {
        if before.is_object() {
            body = patch::with_unknown(self.cx.schemas().of(self.kind), body, before);
        }
        if let Value::Object(parts) = &mut body {
            parts.insert("id".to_owned(), Value::from(upstream_id));
        }
        body
    }

    /// Sends a PUT; an empty answer is followed by a look.
    pub(super) async fn put(&self, upstream_id: &str, if_match: Option<String>, body: &Value) -> Told {
        let request = UpstreamRequest {
            method: Method::Put,
            path: Gate::path_of(self.kind, upstream_id),
            if_match,
            if_none_match: None,
            body: Some(body.to_string().into_bytes()),
        };
        let told = self.gate.call(&self.cx.keyward, request).await.about(upstream_id);
        self.seen(upstream_id, told).await
    }

    pub(super) async fn patch(
        &self,
        upstream_id: &str,
        if_match: Option<String>,
        requests: patch::Requests,
    ) -> Told {
        let mut told = Told::Fine { body: None, etag: None };
        let mut if_match = if_match;
        for ops in requests.iter().filter(|ops| !ops.is_empty()) {
            let request = UpstreamRequest {
                method: Method::Patch,
                path: Gate::path_of(self.kind, upstream_id),
                // The first piece changes the version that the provider saw.
                if_match: if_match.take(),
                if_none_match: None,
                body: Some(patch::body(ops).to_string().into_bytes()),
            };
            told = self.gate.call(&self.cx.keyward, request).await.about(upstream_id);
            if !matches!(told, Told::Fine { .. }) {
                return told;
            }
        }
        self.seen(upstream_id, told).await
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
            // Nothing was changed yet.
            Err(Told::Unclear(reason)) => {
                Ok(Told::NotSent { reason, retry_after_s: told::UNCLEAR_RETRY_S, may_try_again: false })
            }
            Err(told) => Ok(told),
        }
    }

    /// Looks at a resource whose change was answered with nothing.
    pub(super) async fn seen(&self, upstream_id: &str, told: Told) -> Told {
        if matches!(told, Told::Fine { body: None, .. }) {
            return self.gate.read(&self.cx.keyward, self.kind, upstream_id).await;
        }
        told
    }

    pub(super) async fn delete(self, id: &str, if_match: Option<String>) -> Result<(), Error> {
        let _turn = self.turn(id).await?;
        let link = self.link(id).await?;
        let mut link = self.certain(link).await?;
        if !link.state.is_ours() {
            link = self.adoptable(link, None).await?;
        }
        let upstream_id = link.upstream_id.clone().unwrap_or_default();
        let sent = Sent { verb: CallVerb::Delete, hash: hash_of(&Value::Null) };
        let call_id = self.intend(&link, &sent, false).await?;
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

/// The names of the top-level attributes that differ.
fn changed_names(before: &Value, after: &Value) -> Vec<String> {
    let names = |value: &Value| -> BTreeSet<String> {
        value.as_object().map(|parts| parts.keys().cloned().collect()).unwrap_or_default()
    };
    let mut names: Vec<String> = names(before).union(&names(after)).cloned().collect();
    names.retain(|name| name != "meta" && before.get(name) != after.get(name));
    names
}
