//! What the pages of keys load, and what the panel that waits for a first request asks.

use leptos::{prelude::*, server_fn::codec::GetUrl};
use serde::{Deserialize, Serialize};

use crate::error::UiError;

/// How far a key has come, in a sentence made by the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Activity {
    /// Whether it was tried: a connection test, which is no work.
    pub tested: bool,
    /// Whether real work was done with it.
    pub used: bool,
    /// What came, or that nothing came.
    pub sentence: String,
}

/// What has come with a key so far.
#[server(endpoint = "keys/activity", input = GetUrl)]
pub async fn key_activity(key: String) -> Result<Activity, UiError> {
    activity(&key).await.inspect_err(crate::ssr::answer_with)
}

#[cfg(feature = "ssr")]
pub use load::*;

#[cfg(feature = "ssr")]
mod load {
    use domain::{
        KeyId,
        federations::{Federation, FederationStatus, Slug},
        keys::{KeyState, Proof},
        usage::UsageRecord,
    };
    use ops::{
        federations::FederationView,
        keys::{KeyFilter, KeyView, List, Sort, Tolerated},
        oauth::ClientView,
        rotations::RotationView,
    };

    use super::Activity;
    use crate::{
        error::UiError,
        ssr::{admin_cx, now_ms, query},
        ui::time,
        words,
    };

    /// How many requests the page of a key looks at.
    const REQUESTS: i64 = 400;

    /// How many of them it shows.
    pub const SHOWN: usize = 20;

    /// How many keys a page of the list shows.
    const KEYS: usize = 100;

    /// A page of the list of keys, and the federations to choose from.
    pub struct KeysPage {
        /// The keys, in the order that was asked for.
        pub page: List,
        /// For the filter.
        pub federations: Vec<Federation>,
    }

    /// The page of one key.
    pub struct KeyPage {
        /// The key.
        pub view: KeyView,
        /// The key that it replaces.
        pub predecessor: Option<KeyView>,
        /// The key that replaces it.
        pub successor: Option<KeyView>,
        /// The last rotation that it is part of.
        pub rotation: Option<RotationView>,
        /// Its last requests, newest first: more than are shown, for what they come to together.
        pub requests: Vec<UsageRecord>,
        /// What was tolerated of them, the most frequent first.
        pub tolerated: Vec<Tolerated>,
        /// How it proves itself, when it is an OAuth client.
        pub client: Option<ClientView>,
    }

    /// A page of the keys that the filter of the address leaves, and that filter. Words that mean nothing filter
    /// nothing.
    ///
    /// # Errors
    /// See [`ops::keys::page`].
    pub async fn list() -> Result<(KeysPage, KeyFilter, Sort), UiError> {
        let cx = admin_cx()?;
        let state = query("state");
        let filter = KeyFilter {
            federation: query("federation").and_then(|slug| Slug::parse(&slug).ok()),
            accepted_only: state.as_deref() == Some("accepted"),
            state: state.and_then(|word| KeyState::parse(&word)),
            proof: query("proof").and_then(|word| Proof::parse(&word)),
            text: query("q"),
        };
        let sort = query("sort").and_then(|word| Sort::parse(&word)).unwrap_or_default();
        let page = ops::keys::page(&cx, &filter, sort, query("after").as_deref(), KEYS).await?;
        Ok((KeysPage { page, federations: ops::federations::seen(&cx).await? }, filter, sort))
    }

    /// One key.
    ///
    /// # Errors
    /// See [`ops::keys::open`]; an id that cannot be one is not found.
    pub async fn open(id: &str) -> Result<KeyView, UiError> {
        Ok(ops::keys::open(&admin_cx()?, &parse(id)?).await?)
    }

    /// What one key could be tightened to.
    ///
    /// # Errors
    /// See [`ops::tighten::propose`].
    pub async fn tighten(id: &str, days: i64) -> Result<ops::tighten::Proposal, UiError> {
        let days = days.clamp(*ops::tighten::DAYS.start(), *ops::tighten::DAYS.end());
        Ok(ops::tighten::propose(&admin_cx()?, &parse(id)?, days).await?)
    }

    /// One key with its neighbours and last requests.
    ///
    /// # Errors
    /// See [`open`].
    pub async fn page(id: &str) -> Result<KeyPage, UiError> {
        let (cx, id) = (admin_cx()?, parse(id)?);
        let view = ops::keys::open(&cx, &id).await?;
        let predecessor = neighbour(view.key.predecessor_id.as_ref()).await?;
        let successor = neighbour(view.key.successor_id.as_ref()).await?;
        let requests = ops::usage::of_key(&cx, &id, REQUESTS).await?;
        let tolerated = ops::keys::tolerances(&cx, &id).await?;
        let client = ops::oauth::open(&cx, &id).await?;
        let rotation = ops::rotations::of_key(&cx, &id).await?;
        Ok(KeyPage { view, predecessor, successor, rotation, requests, tolerated, client })
    }

    /// How a key proves itself; `None` when it is static.
    ///
    /// # Errors
    /// See [`ops::oauth::open`].
    pub async fn client(id: &KeyId) -> Result<Option<ClientView>, UiError> {
        Ok(ops::oauth::open(&admin_cx()?, id).await?)
    }

    async fn neighbour(id: Option<&KeyId>) -> Result<Option<KeyView>, UiError> {
        match id {
            Some(id) => Ok(Some(ops::keys::open(&admin_cx()?, id).await?)),
            None => Ok(None),
        }
    }

    /// The federations for which the reader may issue keys.
    ///
    /// # Errors
    /// See [`ops::federations::list`].
    pub async fn may_issue_for() -> Result<Vec<FederationView>, UiError> {
        let mut views = ops::federations::list(&admin_cx()?).await?;
        views.retain(|view| view.may_manage_keys && view.federation.status != FederationStatus::Archived);
        Ok(views)
    }

    /// What has come with a key so far.
    ///
    /// # Errors
    /// See [`page`].
    pub async fn activity(id: &str) -> Result<Activity, UiError> {
        let KeyPage { view, requests, .. } = page(id).await?;
        Ok(describe(&view, &requests, now_ms()))
    }

    /// How far a key has come, in a sentence.
    pub fn describe(view: &KeyView, requests: &[UsageRecord], now_ms: i64) -> Activity {
        let provider = words::provider(view.federation.vendor);
        if let Some(at) = view.key.life.first_work_ms {
            let first = requests.iter().rev().find(|record| record.is_work);
            let what = first.map(|record| {
                format!(": {} {}, answered {}", record.method, record.resource_type, record.status)
            });
            let sentence = format!("First real work seen {}{}.", time::exact(at), what.unwrap_or_default());
            return Activity { tested: true, used: true, sentence };
        }
        if let Some(at) = view.key.life.tested_ms.or(view.key.life.first_used_ms) {
            let sentence = format!(
                "A connection test came {}. It proves that {} has the key, not that it works with it: waiting for the first real work.",
                time::exact(at),
                if provider == "The provider" { "the provider" } else { provider }
            );
            return Activity { tested: true, used: false, sentence };
        }
        let sentence = match requests.first() {
            Some(record) => format!(
                "A request came {} and was not accepted: {}.",
                time::relative(record.at_ms, now_ms),
                record.reason.as_deref().unwrap_or("no reason was kept")
            ),
            None => format!("Waiting for the first request. {provider} sends it once it has the key."),
        };
        Activity { tested: false, used: false, sentence }
    }

    fn parse(id: &str) -> Result<KeyId, UiError> {
        KeyId::parse(id).ok_or_else(|| UiError::not_found("key"))
    }
}
