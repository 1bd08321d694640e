//! An open installation, a federation, a key, and the identity provider that holds it.

use std::sync::Arc;

use domain::{
    KeyId, Secret,
    admins::{Admin, Role},
    federations::{Federation, Slug},
    scopes::Scope,
};
use ops::{
    Cx, Error, Keyward, ScimClient,
    audit::Verdict,
    extensions::NewExtension,
    federations::NewFederation,
    keys::{Issued, NewKey},
    listing::{self, Listed},
    scim_client::{self, Asked},
    testing::{self, TestClock},
};
use scim::{ListQuery, Resource, ResourceType};
use store::testing::{TestDatabase, databases};

/// One installation on one database.
pub struct House {
    pub keyward: Arc<Keyward>,
    pub clock: Arc<TestClock>,
    pub database: TestDatabase,
}

/// An installation on each database that is here.
pub async fn houses() -> Vec<House> {
    let mut houses = Vec::new();
    for database in databases().await {
        let clock = Arc::new(TestClock::default());
        let keyward = testing::open(database.target.clone(), Arc::clone(&clock)).await;
        houses.push(House { keyward, clock, database });
    }
    houses
}

pub fn new_federation(slug: &str) -> NewFederation {
    NewFederation {
        slug: slug.to_owned(),
        name: format!("Federation {slug}"),
        vendor: "okta".to_owned(),
        owners: "owner@example.com".to_owned(),
        notes: String::new(),
        max_age_days: 90,
        overlap_hours: 72,
        warn_days: 14,
    }
}

pub fn new_key(slug: &Slug, name: &str, scope: Scope) -> NewKey {
    NewKey {
        federation: slug.clone(),
        name: name.to_owned(),
        scope,
        lifetime_days: 90,
        justification: "needed for the tests".to_owned(),
        idempotency_token: String::new(),
    }
}

pub fn asked(method: &str, resource_type: &str) -> Asked {
    Asked {
        method: method.to_owned(),
        resource_type: resource_type.to_owned(),
        resource_id: None,
        tolerated: Vec::new(),
        operation: None,
    }
}

/// A schema of users with the attribute `badge`, which is text, and `level`, a number.
pub fn extension(name: &str) -> NewExtension {
    let schema = serde_json::json!({
        "id": format!("urn:example:params:scim:schemas:{name}:2.0:User"), "name": name, "attributes": [
            { "name": "badge", "type": "string" }, { "name": "level", "type": "integer" },
        ],
    });
    NewExtension { resource_type: "User".to_owned(), json: schema.to_string() }
}

/// The first `count` users or groups that match a filter.
pub async fn listed(
    cx: &Cx<ScimClient>,
    kind: ResourceType,
    filter: Option<&str>,
    count: u64,
) -> Result<Listed, Error> {
    let filter = filter.map(|text| scim::Filter::parse(text).unwrap());
    let query = ListQuery { filter, count, ..ListQuery::default() };
    listing::list(cx, &asked("GET", kind.endpoint().trim_start_matches('/')), kind, &query).await
}

pub fn resource(kind: ResourceType, value: serde_json::Value) -> Resource {
    Resource::from_value(kind, value).unwrap()
}

/// An identity provider: each of its requests is one of its own.
pub struct Pusher<'a> {
    house: &'a House,
    pub federation: Federation,
    secret: Secret,
}

impl Pusher<'_> {
    /// The context of its next request.
    pub async fn cx(&self) -> Cx<ScimClient> {
        self.house.client(&self.federation, &self.secret).await
    }
}

impl House {
    /// A new federation, and a provider that may do everything there.
    pub async fn pusher(&self, slug: &str) -> Pusher<'_> {
        let federation = self.federation(slug).await;
        let (_, secret) = self.key(&federation, "everything").await;
        Pusher { house: self, federation, secret }
    }

    /// A provider with another key of a federation.
    pub async fn pusher_of(&self, federation: &Federation, name: &str, scope: Scope) -> Pusher<'_> {
        let (_, secret) = self.scoped(federation, name, scope).await;
        Pusher { house: self, federation: federation.clone(), secret }
    }

    pub fn admin(&self) -> Cx<Admin> {
        self.person(Role::Admin)
    }

    pub fn person(&self, role: Role) -> Cx<Admin> {
        testing::cx(&self.keyward, role)
    }

    /// Lets so many operations past the brakes of a federation for a day: planned by one person, agreed by another.
    pub async fn planned(&self, slug: &Slug, ceiling: i64) {
        let now_ms = self.admin().now_ms();
        let new = ops::brakes::NewWindow {
            ceiling,
            begins_ms: now_ms,
            ends_ms: now_ms + domain::DAY_MS,
            reason: "the test removes many".to_owned(),
        };
        let window = ops::brakes::plan(&self.admin(), slug, new).await.unwrap();
        ops::brakes::agree(&self.person(Role::Manager), slug, &window.id).await.unwrap();
    }

    pub async fn federation(&self, slug: &str) -> Federation {
        ops::federations::register(&self.admin(), new_federation(slug)).await.unwrap()
    }

    /// A key of everything, and its secret.
    pub async fn key(&self, federation: &Federation, name: &str) -> (KeyId, Secret) {
        self.scoped(federation, name, Scope::full_directory()).await
    }

    pub async fn scoped(&self, federation: &Federation, name: &str, scope: Scope) -> (KeyId, Secret) {
        let Issued { key, secret, .. } =
            ops::keys::issue(&self.admin(), new_key(&federation.slug, name, scope)).await.unwrap();
        (key.id, secret.unwrap())
    }

    /// Presents a key at the base of a federation.
    pub async fn present(&self, slug: &str, bearer: Option<&str>) -> Result<Cx<ScimClient>, Error> {
        let request = self.keyward.request_info();
        scim_client::authenticate(&self.keyward, &request, slug, bearer, &asked("GET", "Users")).await
    }

    pub async fn client(&self, federation: &Federation, secret: &Secret) -> Cx<ScimClient> {
        self.present(federation.slug.as_str(), Some(secret.expose())).await.unwrap()
    }

    /// The words of every audit record, oldest first: `action outcome target`.
    pub async fn log(&self) -> Vec<String> {
        let (mut records, mut before) = (Vec::new(), None);
        loop {
            let page = ops::audit::list(&self.admin(), &Default::default(), before, 200).await.unwrap();
            records.extend(page.records);
            match page.next {
                Some(next) => before = Some(next),
                None => break,
            }
        }
        let mut words: Vec<String> = records
            .into_iter()
            .map(|record| {
                let event = record.event;
                format!(
                    "{} {} {}",
                    event.action.as_str(),
                    event.outcome.as_str(),
                    event.target.unwrap_or_default()
                )
            })
            .collect();
        words.reverse();
        words
    }

    /// Verifies the chain and closes.
    pub async fn close(self) {
        let verdict = ops::audit::verify(&self.keyward).await.unwrap();
        assert!(matches!(verdict, Verdict::Whole(_)), "{verdict:?}");
        self.keyward.close().await;
    }
}
