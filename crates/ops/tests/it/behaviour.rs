//! What is expected, end to end: requests are held against what was learned, on both databases.

use std::{net::IpAddr, sync::Arc};

use domain::{
    DAY_MS, HOUR_MS, Millis,
    behaviour::{Answer, Rules},
    findings::{Finding, Rule, Severity},
    keys::KeyState,
};
use ops::{
    Cx, Error, Keyward, RequestInfo, ScimClient,
    behaviour::{self, EditRules},
    findings::{self, Wanted},
    scim_client, testing, users,
};
use scim::ResourceType;
use serde_json::json;

use crate::{
    brakes::{change, user},
    support::{House, asked, houses, listed, resource},
};

pub const HOME: &str = "198.51.100.7";
pub const AWAY: &str = "203.0.113.9";
const MINUTE_MS: Millis = 60_000;

/// A provider with a key, at an address.
pub struct Provider<'a> {
    pub house: &'a House,
    pub slug: String,
    pub key_id: domain::KeyId,
    pub secret: String,
}

impl Provider<'_> {
    pub async fn from(&self, source: &str) -> Result<Cx<ScimClient>, Error> {
        self.on(&self.house.keyward, source, "Okta SCIM Client 1.0.0").await
    }

    /// A request to a node, by a program.
    pub async fn on(&self, node: &Arc<Keyward>, source: &str, agent: &str) -> Result<Cx<ScimClient>, Error> {
        let request = RequestInfo {
            source: Some(source.parse::<IpAddr>().unwrap()),
            user_agent: Some(agent.to_owned()),
            ..node.request_info()
        };
        scim_client::authenticate(node, &request, &self.slug, Some(&self.secret), &asked("GET", "Users"))
            .await
    }

    pub async fn read(&self, source: &str) {
        listed(&self.from(source).await.unwrap(), ResourceType::User, Some("userName eq \"u0\""), 10)
            .await
            .unwrap();
    }

    pub async fn write(&self, source: &str, id: &str, name: &str) {
        let operations = json!([{ "op": "replace", "path": "displayName", "value": name }]);
        change(&self.from(source).await.unwrap(), id, operations).await.unwrap();
    }

    /// Fifteen days with three syncs each, without a finding; a user that it made.
    async fn learned(&self) -> String {
        let id = self.learn("u0").await;
        assert_eq!(self.house.found().await, [], "what is learned is no finding");
        id
    }

    /// Fifteen days with three syncs each; a user that it made.
    pub async fn learn(&self, name: &str) -> String {
        let id = user(&self.from(HOME).await.unwrap(), name).await.unwrap();
        for day in 0..15 {
            for turn in 0..3 {
                self.read(HOME).await;
                self.write(HOME, &id, &format!("{day} {turn}")).await;
                self.house.clock.advance(8 * HOUR_MS);
            }
            behaviour::flush(&self.house.keyward).await.unwrap();
        }
        id
    }

    pub async fn state(&self) -> KeyState {
        let view = ops::keys::open(&self.house.admin(), &self.key_id).await.unwrap();
        view.key.life.state(self.house.keyward.clock().now_ms())
    }
}

impl House {
    pub async fn provider(&self, slug: &str) -> Provider<'_> {
        let federation = self.federation(slug).await;
        let (key_id, secret) = self.key(&federation, "everything").await;
        Provider { house: self, slug: slug.to_owned(), key_id, secret: secret.expose().to_owned() }
    }

    /// The open findings but those about the age of keys.
    pub async fn found(&self) -> Vec<Finding> {
        let found = findings::list(&self.admin(), &Wanted::default()).await.unwrap();
        found.into_iter().map(|view| view.finding).collect()
    }

    pub async fn rules(&self, slug: &str, change: impl FnOnce(&mut Rules)) {
        let slug = domain::federations::Slug::parse(slug).unwrap();
        let federation = ops::federations::open(&self.admin(), &slug).await.unwrap().federation;
        let mut rules = federation.behaviour;
        change(&mut rules);
        let edit = EditRules { rules, reason: "a test".to_owned(), version: federation.version };
        behaviour::set(&self.admin(), &slug, edit).await.unwrap();
    }
}

fn rules_of(found: &[Finding]) -> Vec<Rule> {
    found.iter().map(|finding| finding.rule).collect()
}

#[tokio::test]
async fn a_new_network_is_a_finding_with_its_audit_record_and_holds_where_it_is_pinned() {
    for house in houses().await {
        let provider = house.provider("okta").await;
        let id = provider.learned().await;
        provider.read("198.51.100.99").await;
        assert_eq!(house.found().await, [], "its own network");
        provider.read(AWAY).await;
        provider.read(AWAY).await;
        let found = house.found().await;
        assert_eq!(rules_of(&found), [Rule::NewNetwork]);
        assert_eq!(
            (found[0].count, found[0].detail.source.as_deref()),
            (1, Some(AWAY)),
            "once in five minutes"
        );
        assert!(found[0].detail.expected.contains("198.51.100.0/24"), "{:?}", found[0].detail);
        assert_eq!(provider.state().await, KeyState::InUse);
        let log = house.log().await;
        assert!(log.contains(&"finding.raised done A key is used from a new network".to_owned()), "{log:?}");
        house.rules("okta", |rules| rules.a1.answer = Answer::Hold).await;
        provider.write(AWAY, &id, "taken").await;
        assert_eq!(provider.state().await, KeyState::Held);
        assert!(matches!(provider.from(HOME).await, Err(Error::Held { .. })));
        house.close().await;
    }
}

#[tokio::test]
async fn two_networks_in_turns_hold_the_key_and_a_move_does_not() {
    for house in houses().await {
        let (mover, stolen) = (house.provider("mover").await, house.provider("stolen").await);
        let ids = [mover.learned().await, stolen.learned().await];
        for (turn, source) in [HOME, AWAY, AWAY, AWAY].into_iter().enumerate() {
            mover.write(source, &ids[0], &format!("m{turn}")).await;
            house.clock.advance(2 * MINUTE_MS);
        }
        assert_eq!(mover.state().await, KeyState::InUse);
        assert_eq!(rules_of(&house.found().await), [Rule::NewNetwork]);
        for (turn, source) in [HOME, AWAY, HOME].into_iter().enumerate() {
            stolen.write(source, &ids[1], &format!("s{turn}")).await;
            house.clock.advance(2 * MINUTE_MS);
        }
        assert_eq!(stolen.state().await, KeyState::Held);
        let found = house.found().await;
        let turns = found.iter().find(|finding| finding.rule == Rule::TwoNetworks).unwrap();
        assert_eq!((turns.severity, turns.key_id.as_ref()), (Severity::High, Some(&stolen.key_id)));
        house.close().await;
    }
}

#[tokio::test]
async fn a_sleeping_key_that_writes_is_held_after_a_restart_too() {
    for house in houses().await {
        // One wakes after 44 days, the other after 46.
        let mut places = Vec::new();
        for slug in ["awake", "asleep"] {
            let provider = house.provider(slug).await;
            let id = user(&provider.from(HOME).await.unwrap(), "u0").await.unwrap();
            places.push((provider.slug, provider.key_id, provider.secret, id));
        }
        behaviour::flush(&house.keyward).await.unwrap();
        let House { keyward, clock, database } = house;
        keyward.close().await;
        drop(keyward);
        let keyward = testing::open(database.target.clone(), Arc::clone(&clock)).await;
        let house = House { keyward, clock, database };
        house.clock.advance(44 * DAY_MS);
        for ((slug, key_id, secret, id), days) in places.into_iter().zip([44, 46]) {
            let provider = Provider { house: &house, slug, key_id, secret };
            provider.write(HOME, &id, "awake").await;
            let asleep = house.found().await.iter().any(|finding| finding.rule == Rule::DormantKey);
            assert_eq!(asleep, days == 46, "{days} days");
            let state = if asleep { KeyState::Held } else { KeyState::InUse };
            assert_eq!(provider.state().await, state, "{days} days");
            house.clock.advance(2 * DAY_MS);
        }
        house.close().await;
    }
}

#[tokio::test]
async fn a_provider_that_falls_silent_is_a_finding_until_it_talks_again() {
    for house in houses().await {
        let provider = house.provider("okta").await;
        provider.learned().await;
        let sweep = async || behaviour::sweep(&house.keyward, "node").await.unwrap();
        assert_eq!(sweep().await, Some(0));
        assert_eq!(behaviour::sweep(&house.keyward, "other").await.unwrap(), None, "one node works");
        // A sync every 8 hours: three of them.
        house.clock.advance(12 * HOUR_MS);
        assert_eq!(sweep().await, Some(0));
        house.clock.advance(14 * HOUR_MS);
        assert_eq!(sweep().await, Some(1));
        assert_eq!(sweep().await, Some(0), "told once");
        let found = house.found().await;
        assert_eq!(rules_of(&found), [Rule::Silence]);
        assert_eq!((found[0].severity, found[0].count), (Severity::Medium, 1));
        house.clock.advance(4 * DAY_MS);
        assert_eq!(sweep().await, Some(1), "worse by now");
        assert_eq!(house.found().await[0].severity, Severity::High);
        provider.read(HOME).await;
        behaviour::flush(&house.keyward).await.unwrap();
        assert_eq!(sweep().await, Some(1));
        assert_eq!(house.found().await, []);
        house.close().await;
    }
}

#[tokio::test]
async fn a_directory_that_is_read_through_is_told_at_its_first_list() {
    for house in houses().await {
        let provider = house.provider("okta").await;
        provider.learned().await;
        for number in 1..=30 {
            user(&provider.from(HOME).await.unwrap(), &format!("u{number}")).await.unwrap();
        }
        assert_eq!(house.found().await, []);
        let all = async || {
            listed(&provider.from(HOME).await.unwrap(), ResourceType::User, None, 100).await.map(drop)
        };
        all().await.unwrap();
        let found = house.found().await;
        assert_eq!(rules_of(&found), [Rule::Enumeration]);
        assert!(found[0].detail.came.contains("31 resources"), "{:?}", found[0].detail);
        assert_eq!(provider.state().await, KeyState::InUse);
        for _ in 0..20 {
            all().await.unwrap();
        }
        assert_eq!(provider.state().await, KeyState::Held, "at twenty lists");
        assert!(matches!(provider.from(HOME).await, Err(Error::Held { .. })));
        house.close().await;
    }
}

#[tokio::test]
async fn twenty_unknown_keys_a_minute_are_a_finding_and_nineteen_are_not() {
    for house in houses().await {
        let provider = house.provider("okta").await;
        provider.read(HOME).await;
        let unknown = unissued_key();
        for number in 0..20 {
            assert_eq!(house.found().await, [], "after {number}");
            assert!(house.present("okta", Some(&unknown)).await.is_err());
        }
        let found = house.found().await;
        assert_eq!(rules_of(&found), [Rule::UnknownKeys]);
        assert!(found[0].federation_id.is_some());
        house.close().await;
    }
}

/// A well-formed key that nobody issued.
pub fn unissued_key() -> String {
    let id = domain::KeyId::new(7, [9; 10]);
    domain::keys::compose_as(domain::keys::SecretKind::Key, &id, &[3; 32]).expose().to_owned()
}

#[tokio::test]
async fn a_laxer_rule_is_a_finding_and_a_stricter_one_is_not() {
    for house in houses().await {
        let _provider = house.provider("okta").await;
        house.rules("okta", |rules| rules.r1.most = 100).await;
        assert_eq!(house.found().await, []);
        house.rules("okta", |rules| rules.r1.most = 800).await;
        let found = house.found().await;
        assert_eq!(rules_of(&found), [Rule::AdminPlane]);
        assert!(found[0].detail.came.contains("r1.most: 100 → 800"), "{:?}", found[0].detail);
        let slug = domain::federations::Slug::parse("okta").unwrap();
        let federation = ops::federations::open(&house.admin(), &slug).await.unwrap().federation;
        let mut rules = federation.behaviour;
        rules.r1.most = 900;
        let version = federation.version;
        let edit = |reason: &str, rules, version| EditRules { rules, reason: reason.to_owned(), version };
        let none = behaviour::set(&house.admin(), &slug, edit("", rules, version)).await;
        assert!(matches!(none, Err(Error::Invalid(_))), "laxer wants a reason: {none:?}");
        let stale = behaviour::set(&house.admin(), &slug, edit("a test", rules, version - 1)).await;
        assert!(matches!(stale, Err(Error::Stale(_))));
        rules.r1.most = 100_000;
        let past = behaviour::set(&house.admin(), &slug, edit("a test", rules, version)).await;
        assert!(matches!(past, Err(Error::Invalid(_))), "never past its bound");
        house.close().await;
    }
}

#[tokio::test]
async fn an_attribute_is_learned_before_it_is_told() {
    for house in houses().await {
        let provider = house.provider("okta").await;
        let cx = provider.from(HOME).await.unwrap();
        let new = resource(ResourceType::User, json!({ "userName": "u1", "displayName": "One" }));
        let id = users::create(&cx, &asked("POST", "Users"), new).await.unwrap().id.to_string();
        assert_eq!(house.found().await, []);
        let cx = provider.from(HOME).await.unwrap();
        change(&cx, &id, json!([{ "op": "replace", "path": "title", "value": "Dr" }])).await.unwrap();
        assert_eq!(house.found().await, [], "other attributes are learned first");
        house.close().await;
    }
}
