//! Accounts that are at the upstream already.
//!
//! Whoever made them, a key does not get them by knowing their name: an account becomes this
//! federation's when its `externalId` is the one that the provider sends, or when an admin says so.

use domain::{
    audit::{Action, AuditEvent},
    scopes::{ResourceKind, Verb},
    upstreams::LinkState,
};
use scim::{Resource, ResourceType, ScimError};
use serde_json::{Value, json};
use store::{Change, Conn, links::Link};

use super::{job::Job, requests::Shown, translate};
use crate::Error;

impl Job {
    /// A POST met an account that is there already.
    pub(super) async fn adopt(
        &self,
        resource: Value,
        external_id: Option<&str>,
        body: Value,
        wanted: &Resource,
    ) -> Result<Shown, Error> {
        let link = self.link_to(&resource).await?;
        if link.state == LinkState::Live {
            let text = format!("{:?} is taken in this federation", link.name_lower);
            return Err(ScimError::uniqueness(text).into());
        }
        let link = self.judged(link, &resource, external_id).await?;
        Box::pin(self.bring(link, body, wanted)).await
    }

    /// A change met a link that is nobody's: the link when it may be adopted.
    pub(super) async fn adoptable(&self, link: Link, external_id: Option<&str>) -> Result<Link, Error> {
        let upstream_id = link.upstream_id.clone().ok_or(Error::NotFound("resource"))?;
        match self.gate.read(&self.cx.keyward, self.kind, &upstream_id).await.body() {
            Ok((resource, _)) => self.judged(link, &resource, external_id).await,
            Err(told) => self.fail(told, &[]).await,
        }
    }

    /// The link as this federation's, when the external ids are equal; otherwise an admin is asked.
    async fn judged(
        &self,
        mut link: Link,
        resource: &Value,
        external_id: Option<&str>,
    ) -> Result<Link, Error> {
        let theirs = resource.get("externalId").and_then(Value::as_str);
        let kind = match self.kind {
            ResourceType::User => ResourceKind::Users,
            ResourceType::Group => ResourceKind::Groups,
        };
        let is_same = external_id.is_some_and(|id| !id.is_empty() && theirs == Some(id));
        // Adopting changes what is there, so the key must be allowed to change.
        if is_same && self.cx.admit(Verb::Update, kind).is_ok() {
            self.refresh(&mut link, resource);
            link.state = LinkState::Live;
            link.made_by = self.cx.actor.key_id.to_string();
            return Ok(link);
        }
        if link.state != LinkState::Waiting {
            self.refresh(&mut link, resource);
            link.state = LinkState::Waiting;
            let told = json!({
                "id": link.id, "upstream_id": link.upstream_id, "type": self.kind.name(),
                "externalId": link.external_id,
            });
            let event: AuditEvent = self.cx.directory_event(Action::AdoptionAsked, &link.name_lower, &told);
            let own = self.cx.clone();
            self.cx
                .keyward
                .commit(async move |conn: &mut Conn<'_>| {
                    own.still_accepted(conn).await?;
                    store::links::update(conn, own.federation_id(), &link).await?;
                    Ok(Change::new((), event.clone()))
                })
                .await?;
        }
        Err(ScimError::uniqueness(
            "it exists at the service behind this federation and belongs to nobody here; an administrator has to \
             approve its adoption",
        )
        .into())
    }

    /// The link to a resource that was found at the upstream; made when there is none.
    async fn link_to(&self, resource: &Value) -> Result<Link, Error> {
        let upstream_id = translate::id_of(resource).ok_or(Error::NotFound("resource"))?;
        let mut seen = vec![resource.clone()];
        self.gate.inward(&self.cx.keyward, self.kind, &mut seen, None).await?;
        let mut reader = self.cx.read().await?;
        let federation_id = self.cx.federation_id();
        store::links::by_upstream_id(&mut reader.conn(), federation_id, self.kind, &upstream_id)
            .await?
            .ok_or(Error::NotFound("resource"))
    }
}
