//! Reading from an upstream: one resource, or a page of them.

use std::collections::BTreeSet;

use scim::{Filter, ListQuery, ListResponse, ResourceType, Type};
use serde_json::Value;
use store::{Conn, links::Link};

use super::{Gate, job::Job, reconcile, requests::Shown, told, told::Told, translate};
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

    pub(super) async fn list(&self, of: Type<'_>, query: &ListQuery) -> Result<ListResponse, Error> {
        let mut ids = BTreeSet::new();
        let filter = query.filter.as_ref().map(Filter::to_string);
        if let Some(filter) = &filter {
            translate::quoted_ids(filter, &mut ids);
        }
        let outward = self.gate.outward(&self.cx.keyward, &ids).await?;
        let filter = filter.map(|filter| translate::outward_text(&filter, &outward));
        let (total, mut resources) = if self.gate.upstream.quirks.no_filter && filter.is_some() {
            match self.gate.pages(&self.cx.keyward, self.kind).await {
                Ok(all) => (all.len() as u64, all),
                Err(told) => return self.fail(told, &[]).await,
            }
        } else {
            match self.page(of, query, filter.as_deref()).await {
                Ok(page) => page,
                // "None" in the words of some services.
                Err(Told::Refused { status: 404, .. }) => (0, Vec::new()),
                Err(told) => return self.fail(told, &[]).await,
            }
        };
        self.gate.inward(&self.cx.keyward, self.kind, &mut resources, None).await?;
        let mut total_results = total;
        if self.gate.upstream.quirks.no_filter
            && let Some(filter) = &query.filter
        {
            let mut matching = Vec::new();
            for resource in resources {
                if scim::matches(filter, of, &resource)? {
                    matching.push(resource);
                }
            }
            total_results = matching.len() as u64;
            let skip = usize::try_from(query.start_index.saturating_sub(1)).unwrap_or(usize::MAX);
            let count = usize::try_from(query.count).unwrap_or(usize::MAX);
            resources = matching.into_iter().skip(skip).take(count).collect();
        }
        let resources = resources.into_iter().map(|resource| query.selection.apply(of, resource)).collect();
        Ok(ListResponse {
            total_results,
            start_index: Some(query.start_index),
            resources,
            next_cursor: None,
            previous_cursor: None,
        })
    }

    pub(super) async fn page(
        &self,
        of: Type<'_>,
        query: &ListQuery,
        filter: Option<&str>,
    ) -> Result<(u64, Vec<Value>), Told> {
        let mut path =
            format!("{}?startIndex={}&count={}", self.kind.endpoint(), query.start_index, query.count);
        if let Some(filter) = filter {
            path.push_str("&filter=");
            path.push_str(&translate::encode(filter));
        }
        if let Some(sort) = &query.sort {
            let order = match sort.order {
                scim::SortOrder::Ascending => "ascending",
                scim::SortOrder::Descending => "descending",
            };
            for part in ["&sortBy=", &translate::encode(&sort.by.to_string()), "&sortOrder=", order] {
                path.push_str(part);
            }
        }
        // Large groups are mostly asked for without their members.
        if self.kind == ResourceType::Group
            && !query.selection.wants(of, "members")
            && !self.gate.upstream.quirks.no_excluded_attributes
        {
            path.push_str("&excludedAttributes=members");
        }
        let (body, _) = self.gate.call(&self.cx.keyward, Gate::get(path)).await.body()?;
        let (total, mut resources) = told::page(body)?;
        // Some give more than was asked for.
        resources.truncate(usize::try_from(query.count).unwrap_or(usize::MAX));
        Ok((total, resources))
    }
}
