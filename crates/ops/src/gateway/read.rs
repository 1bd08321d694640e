//! Reading one resource at an upstream.

use store::{Conn, links::Link};

use super::{job::Job, reconcile, requests::Shown, told::Told};
use crate::Error;

impl Job {
    /// Reads a resource and notes how it looks now.
    pub(super) async fn read(&self, link: &Link) -> Result<Shown, Error> {
        let upstream_id = link.upstream_id.clone().ok_or(Error::NotFound("resource"))?;
        let told = self.gate.read(&self.cx.keyward, self.kind, &upstream_id).await;
        let names = [(upstream_id.as_str(), link.id.as_str())];
        match told {
            Told::Fine { body: Some(resource), etag } => {
                let mut fresh = link.clone();
                self.refresh(&mut fresh, &resource);
                if link.state.is_ours() && fresh.body != link.body {
                    let federation_id = self.cx.federation_id().clone();
                    let note = async move |conn: &mut Conn<'_>| {
                        store::links::update(conn, &federation_id, &fresh).await
                    };
                    self.cx.keyward.store.committer().upkeep(note).await?;
                }
                self.shown(resource, etag, Some((&upstream_id, &link.id))).await
            }
            Told::Refused { status: 404, .. } => {
                reconcile::is_gone(&self.cx, &self.gate, link.clone()).await?;
                Err(Error::NotFound("resource"))
            }
            told @ (Told::Fine { .. }
            | Told::Refused { .. }
            | Told::Throttled(_)
            | Told::Denied(_)
            | Told::NotSent { .. }
            | Told::Unclear(_)) => self.fail(told, &names).await,
        }
    }
}
