//! Creating a resource at an upstream, once.

use domain::{
    ResourceId,
    upstreams::{CallState, CallVerb, LinkState},
    usage::Decision,
};
use scim::{Resource, ResourceType, ScimError};
use serde_json::{Value, json};
use store::{Change, Conn, links::Link};

use super::{
    Gate, UnderWay,
    change::Wanted,
    job::{End, Job, Sent, hash_of},
    patch,
    planned::Planned,
    requests::{Shown, actions},
    told::Told,
    translate,
};
use crate::{
    Error,
    ports::{Method, UpstreamRequest},
    scoped::resource_kind,
};

/// The most bytes of a name or external id, in lower case.
const LONGEST: usize = 1_000;

impl Job {
    pub(super) async fn create(self, resource: Resource) -> Result<Shown, Error> {
        let name = match self.kind {
            ResourceType::User => resource.user_name(),
            ResourceType::Group => resource.display_name(),
        };
        let name = name.unwrap_or_default().to_owned();
        let external_id = resource.external_id().map(str::to_owned);
        let folded = scim::fold_case(&name);
        for (attribute, text) in
            [("name", folded.as_str()), ("externalId", external_id.as_deref().unwrap_or(""))]
        {
            if text.len() > LONGEST {
                let text = format!("{attribute}: at most {LONGEST} bytes are allowed, not {}", text.len());
                return Err(ScimError::invalid_value(text).into());
            }
        }
        let _turn = self.turn(&folded).await?;
        let body = self.body(resource.as_value().clone()).await?;
        let sent = Sent { verb: CallVerb::Create, hash: hash_of(&body) };
        if let Some(shown) = self.known_already(&folded, &sent).await? {
            return Ok(shown);
        }
        // A displayName need not be unique at the upstream, so a POST would make a second group.
        if self.kind == ResourceType::Group && self.unique_names() {
            let found = self.gate.look_up(&self.cx.keyward, self.kind, &name, external_id.as_deref()).await;
            match found {
                Ok(found) => {
                    if let Some(found) = found.into_iter().next() {
                        return self.adopt(found, external_id.as_deref(), body, &resource).await;
                    }
                }
                Err(told) => return self.fail(told, &[]).await,
            }
        }
        self.post(&name, (folded, external_id), body, sent, &resource).await
    }

    /// What is known of a name before anything is asked: a resource of this federation, or an
    /// earlier call of which nobody knows whether it was done. A repetition of that very request is
    /// answered with what it made.
    pub(super) async fn known_already(&self, folded: &str, sent: &Sent) -> Result<Option<Shown>, Error> {
        let mut reader = self.cx.read().await?;
        let federation_id = self.cx.federation_id();
        let mut link =
            store::links::by_live_name(&mut reader.conn(), federation_id, self.kind, folded).await?;
        if !self.unique_names() && link.as_ref().is_none_or(|link| link.state == LinkState::Live) {
            // Another of the same name is welcome, but not a second one for the same request.
            let unknown =
                store::links::in_state(&mut reader.conn(), federation_id, LinkState::Unknown, 100).await?;
            link = unknown.into_iter().find(|link| link.kind == self.kind && link.name_lower == folded);
        }
        let Some(link) = link else { return Ok(None) };
        let calls = store::calls::unsettled_of(&mut reader.conn(), federation_id, &link.id).await?;
        drop(reader);
        let was_open = link.state == LinkState::Unknown;
        let is_repetition = calls.iter().any(|call| call.payload_hash == sent.hash);
        let id = link.id.to_string();
        let link = match self.certain(link).await {
            Ok(link) => link,
            Err(Error::NotFound(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        // It may have been deleted over there since.
        let shown = match self.read(&link).await {
            Ok(shown) => shown,
            Err(Error::NotFound(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        if !(was_open && is_repetition) {
            return Err(ScimError::uniqueness(format!("{folded:?} is taken in this federation")).into());
        }
        let [_, action, _, _] = actions(self.kind);
        let event = self.event(action, &self.link(&id).await?, &json!({ "outcome": "found" }));
        let usage = self.cx.usage(&self.asked, Some(&id), 201, Decision::Allowed, None);
        self.cx
            .keyward
            .commit(
                async move |_: &mut Conn<'_>| Ok(Change::new((), event.clone()).with_usage(usage.clone())),
            )
            .await?;
        Ok(Some(shown))
    }

    pub(super) async fn post(
        &self,
        name: &str,
        (folded, external_id): (String, Option<String>),
        body: Value,
        sent: Sent,
        wanted: &Resource,
    ) -> Result<Shown, Error> {
        let now_ms = self.now_ms();
        let mut link = Link {
            kind: self.kind,
            id: ResourceId::new(now_ms, self.cx.keyward.id_chance()),
            upstream_id: None,
            external_id: external_id.clone(),
            name_lower: folded,
            upstream_version: None,
            state: LinkState::Unknown,
            // What it is looked for by, when nobody knows what became of it.
            body: json!({ "userName": name, "displayName": name, "externalId": external_id }).to_string(),
            made_by: self.cx.actor.key_id.to_string(),
            created_ms: now_ms,
            modified_ms: now_ms,
        };
        let planned = Planned::creation(&link, name, wanted);
        let call_id = self.intend(&link, &sent, true, planned).await?;
        let _under_way = UnderWay::begin(&self.cx.keyward.gateway, &call_id);
        let (first, later) = patch::member_chunks(body, self.gate.upstream.quirks.member_chunks);
        let request = UpstreamRequest {
            method: Method::Post,
            path: self.kind.endpoint().to_owned(),
            if_match: None,
            if_none_match: None,
            body: Some(first.to_string().into_bytes()),
        };
        let told = self.gate.call(&self.cx.keyward, request).await;
        let (resource, etag) = match told {
            Told::Fine { body: Some(resource), etag } if translate::id_of(&resource).is_some() => {
                (resource, etag)
            }
            Told::Fine { .. } => {
                let told = Told::Unclear("a created resource without an id".to_owned());
                return self.open(&call_id, told).await;
            }
            Told::Unclear(_) => return self.open(&call_id, told).await,
            Told::Refused { status: 409, .. } => {
                let end = (CallState::Failed, told.note());
                self.conclude(&call_id, end, End::Removed(link), None).await?;
                let found =
                    self.gate.look_up(&self.cx.keyward, self.kind, name, external_id.as_deref()).await;
                return match found.map(|found| found.into_iter().next()) {
                    Ok(Some(found)) => self.adopt(found, external_id.as_deref(), first, wanted).await,
                    Ok(None) | Err(_) => self.fail(told, &[]).await,
                };
            }
            Told::Refused { .. } | Told::Throttled(_) | Told::Denied(_) | Told::NotSent { .. } => {
                let end = (CallState::Failed, told.note());
                self.conclude(&call_id, end, End::Removed(link), None).await?;
                return self.fail(told, &[]).await;
            }
        };
        let upstream_id = translate::id_of(&resource).unwrap_or_default();
        let mut reader = self.cx.read().await?;
        let federation_id = self.cx.federation_id();
        let other =
            store::links::by_upstream_id(&mut reader.conn(), federation_id, self.kind, &upstream_id).await?;
        drop(reader);
        if other.is_some() {
            // It names a resource that was there before: nothing was created, or it lies.
            let told = Told::Unclear("the created resource has the id of another one".to_owned());
            return self.open(&call_id, told).await;
        }
        let resource = self.add_members(&upstream_id, resource, later).await?;
        self.refresh(&mut link, &resource);
        link.upstream_id = Some(upstream_id.clone());
        link.state = LinkState::Live;
        let shown = self.shown(resource, etag, Some((&upstream_id, &link.id))).await?;
        let [_, action, _, _] = actions(self.kind);
        let event =
            self.event(action, &link, &json!({ "outcome": "created", "externalId": link.external_id }));
        let end = (CallState::Done, "done".to_owned());
        self.conclude(&call_id, end, End::Written(link), Some((event, 201))).await?;
        Ok(shown)
    }

    /// Adds the members that did not fit into the first request.
    pub(super) async fn add_members(
        &self,
        upstream_id: &str,
        mut resource: Value,
        later: Vec<Vec<Value>>,
    ) -> Result<Value, Error> {
        for members in later {
            let op = json!({ "op": "add", "path": "members", "value": members });
            let request = UpstreamRequest {
                method: Method::Patch,
                path: Gate::path_of(self.kind, upstream_id),
                if_match: None,
                if_none_match: None,
                body: Some(patch::body(&[op]).to_string().into_bytes()),
            };
            let told = self.gate.call(&self.cx.keyward, request).await.about(upstream_id);
            match self.seen(upstream_id, told).await.body() {
                Ok((changed, _)) => resource = changed,
                Err(told) => return self.fail(told, &[]).await,
            }
        }
        Ok(resource)
    }

    /// Brings an account that is there already into this federation, and to the wanted state.
    pub(super) async fn bring(&self, mut link: Link, body: Value, wanted: &Resource) -> Result<Shown, Error> {
        if self.cx.actor.scope.hides(resource_kind(self.kind)) {
            self.now(&mut link).await?;
        }
        let upstream_id = link.upstream_id.clone().unwrap_or_default();
        let sent = Sent { verb: CallVerb::Replace, hash: hash_of(&body) };
        let planned = self.planned(&link, &Wanted::Replace(wanted.clone())).await?;
        let call_id = self.intend(&link, &sent, false, planned).await?;
        let _under_way = UnderWay::begin(&self.cx.keyward.gateway, &call_id);
        let before: Value = serde_json::from_str(&link.body).unwrap_or_default();
        let told = self.replaced(&upstream_id, None, body, &before).await;
        let Told::Fine { body: Some(resource), etag } = told else {
            return self.not_done(&call_id, &link, told).await;
        };
        self.refresh(&mut link, &resource);
        link.state = LinkState::Live;
        link.made_by = self.cx.actor.key_id.to_string();
        let shown = self.shown(resource, etag, Some((&upstream_id, &link.id))).await?;
        let [_, action, _, _] = actions(self.kind);
        let event =
            self.event(action, &link, &json!({ "outcome": "adopted", "externalId": link.external_id }));
        let end = (CallState::Done, "done".to_owned());
        self.conclude(&call_id, end, End::Written(link), Some((event, 201))).await?;
        Ok(shown)
    }
}
