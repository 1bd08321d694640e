//! What is expected of each key by itself, on every node, and of admins.

use std::sync::Arc;

use domain::{
    DAY_MS, HOUR_MS,
    behaviour::{Answer, Metric},
    exports::Format,
    federations::Slug,
    findings::{Finding, Rule},
    keys::KeyState,
    scopes::{ResourceKind, Scope, Verb},
    usage::filter::UsageFilter,
};
use ops::{
    Keyward, behaviour,
    brakes::{self, NewMark},
    exports::{self, What},
    findings::{self, Wanted},
    keys, scim_client,
    tighten::{self, When},
    users,
};
use scim::ResourceType;
use serde_json::json;

use crate::{
    behaviour::{AWAY, HOME, Provider},
    brakes::{change, user},
    cache::{close_others, nodes},
    support::{House, asked, houses, listed, new_key, resource},
};

const MINUTE_MS: i64 = 60_000;

async fn of_rule(house: &House, rule: Rule) -> Vec<Finding> {
    let wanted = Wanted { rule: Some(rule), ..Wanted::default() };
    let views = findings::list(&house.admin(), &wanted).await.unwrap();
    views.into_iter().map(|view| view.finding).collect()
}

async fn beside<'a>(provider: &Provider<'a>, name: &str, scope: Scope) -> Provider<'a> {
    let slug = Slug::parse(&provider.slug).unwrap();
    let new = new_key(&slug, name, scope);
    let issued = keys::issue(&provider.house.admin(), new).await.unwrap();
    Provider {
        house: provider.house,
        slug: provider.slug.clone(),
        key_id: issued.key.id,
        secret: issued.secret.unwrap().expose().to_owned(),
    }
}

#[tokio::test]
async fn a_second_key_that_reports_does_not_hide_the_silence_of_the_first() {
    for house in houses().await {
        let provider = house.provider("okta").await;
        let reads = Scope::of([(ResourceKind::Users, Verb::Read)]);
        let report = beside(&provider, "report", reads).await;
        let id = user(&provider.from(HOME).await.unwrap(), "u0").await.unwrap();
        // Fifteen days: the provider works every eight hours, the report reads every hour.
        for hour in 0..15 * 24 {
            if hour % 8 == 0 {
                provider.write(HOME, &id, &format!("at {hour}")).await;
            }
            report.read(HOME).await;
            house.clock.advance(HOUR_MS);
            behaviour::flush(&house.keyward).await.unwrap();
        }
        let sweep = async || behaviour::sweep(&house.keyward, "node").await.unwrap();
        assert_eq!(sweep().await, Some(0));
        // From now on only the report talks.
        for _ in 0..34 {
            report.read(HOME).await;
            house.clock.advance(HOUR_MS);
            behaviour::flush(&house.keyward).await.unwrap();
        }
        assert_eq!(sweep().await, Some(1));
        let found = of_rule(&house, Rule::Silence).await;
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].key_id.as_ref(), Some(&provider.key_id));
        assert_eq!(sweep().await, Some(0), "told once");
        // Then the report too, within its own rhythm, beside the other.
        house.clock.advance(6 * HOUR_MS);
        assert_eq!(sweep().await, Some(1));
        let found = of_rule(&house, Rule::Silence).await;
        assert!(found.iter().any(|found| found.key_id.as_ref() == Some(&report.key_id)), "{found:?}");
        // One that was revoked is not expected to speak.
        keys::revoke(&house.admin(), &report.key_id, "").await.unwrap();
        provider.write(HOME, &id, "back").await;
        behaviour::flush(&house.keyward).await.unwrap();
        assert_eq!(sweep().await, Some(2));
        assert_eq!(of_rule(&house, Rule::Silence).await, []);
        house.close().await;
    }
}

#[tokio::test]
async fn a_report_that_is_made_now_and_then_is_missed_by_nobody() {
    for house in houses().await {
        let provider = house.provider("okta").await;
        let report = beside(&provider, "report", Scope::of([(ResourceKind::Users, Verb::Read)])).await;
        for turn in 0..4 {
            report.read(HOME).await;
            let id = user(&provider.from(HOME).await.unwrap(), &format!("u{turn}")).await.unwrap();
            provider.write(HOME, &id, "new").await;
            house.clock.advance(HOUR_MS);
        }
        behaviour::flush(&house.keyward).await.unwrap();
        // Nothing is learned yet: what its vendor publishes is the measure of who changes something.
        house.clock.advance(4 * DAY_MS);
        assert_eq!(behaviour::sweep(&house.keyward, "node").await.unwrap(), Some(1));
        let found = of_rule(&house, Rule::Silence).await;
        assert_eq!(
            found.iter().map(|found| found.key_id.as_ref()).collect::<Vec<_>>(),
            [Some(&provider.key_id)]
        );
        house.close().await;
    }
}

/// A request to a node, which reads one user.
async fn reads(provider: &Provider<'_>, node: &Arc<Keyward>, source: &str) {
    let cx = provider.on(node, source, "Okta SCIM Client 1.0.0").await.unwrap();
    listed(&cx, ResourceType::User, Some("userName eq \"u0\""), 10).await.unwrap();
}

#[tokio::test]
async fn what_nodes_saw_is_one_profile_and_each_of_them_judges_by_it() {
    for house in houses().await {
        let provider = house.provider("okta").await;
        let nodes = nodes(&house).await;
        let node = |turn: usize| &nodes[turn % nodes.len()];
        let id = user(&provider.from(HOME).await.unwrap(), "u0").await.unwrap();
        let flush = async || {
            for node in &nodes {
                behaviour::flush(node).await.unwrap();
            }
        };
        // Each node sees half of it: 3 reads and a change, three times a day.
        let mut writes = 0;
        for turn in 0..15 * 3_usize {
            for read in 0..3 {
                reads(&provider, node(turn + read), HOME).await;
            }
            let cx = provider.on(node(turn), HOME, "Okta SCIM Client 1.0.0").await.unwrap();
            let name = json!([{ "op": "replace", "path": "displayName", "value": format!("{turn}") }]);
            change(&cx, &id, name).await.unwrap();
            writes += 1;
            flush().await;
            house.clock.advance(8 * HOUR_MS);
        }
        flush().await;
        assert_eq!(house.found().await, [], "what is learned is no finding");
        // What is older than two hours is folded when the next is written.
        for node in &nodes {
            reads(&provider, node, HOME).await;
        }
        // In the second turn, which has nothing to write, each has read what the others wrote in the first.
        flush().await;
        flush().await;
        let slug = Slug::parse("okta").unwrap();
        for node in &nodes {
            let cx = ops::testing::cx(node, domain::admins::Role::Admin);
            let view = behaviour::view(&cx, &slug).await.unwrap();
            let profile = &view.keys[0].profile;
            assert!(view.keys[0].is_learned);
            assert_eq!(profile.operations["update users"], writes, "nothing is lost, nothing counts twice");
            let all = u32::try_from(15 * 3 * 3 + nodes.len()).unwrap();
            assert_eq!(profile.operations["read users"], all);
            assert_eq!(
                profile.quantile(Metric::Looks, 1_000, cx.now_ms()),
                3,
                "three in a busy hour, not two"
            );
        }
        // Ten refusals, five on each: whoever sees the tenth tells.
        let reads = Scope::of([(ResourceKind::Users, Verb::Read), (ResourceKind::Users, Verb::Update)]);
        let mut narrow = reads;
        narrow.grant_mut(ResourceKind::Users).write_attributes = Some(["displayName".to_owned()].into());
        let narrow = beside(&provider, "narrow", narrow).await;
        let title = |value: &str| json!([{ "op": "replace", "path": "title", "value": value }]);
        for node in &nodes {
            let cx = narrow.on(node, HOME, "Okta SCIM Client 1.0.0").await.unwrap();
            change(&cx, &id, json!([{ "op": "replace", "path": "displayName", "value": "known" }]))
                .await
                .unwrap();
        }
        flush().await;
        for turn in 0..10 {
            assert_eq!(of_rule(&house, Rule::ManyDenials).await, [], "after {turn}");
            let cx = narrow.on(node(turn), HOME, "Okta SCIM Client 1.0.0").await.unwrap();
            change(&cx, &id, title("x")).await.unwrap_err();
            flush().await;
        }
        assert_eq!(of_rule(&house, Rule::ManyDenials).await.len(), 1);
        // There, elsewhere, and there again, each on another node.
        for (turn, source) in [HOME, AWAY, HOME, AWAY].into_iter().enumerate() {
            let cx = provider.on(node(turn), source, "Okta SCIM Client 1.0.0").await.unwrap();
            let name = json!([{ "op": "replace", "path": "displayName", "value": format!("turn {turn}") }]);
            drop(change(&cx, &id, name).await);
            flush().await;
            flush().await;
            house.clock.advance(MINUTE_MS);
            if provider.state().await == KeyState::Held {
                break;
            }
        }
        assert_eq!(of_rule(&house, Rule::TwoNetworks).await.len(), 1);
        assert_eq!(provider.state().await, KeyState::Held);
        close_others(nodes).await;
        house.close().await;
    }
}

#[tokio::test]
async fn a_put_of_a_canary_that_changes_nothing_is_a_touch_and_holds_where_that_is_set() {
    for house in houses().await {
        let provider = house.provider("okta").await;
        let id = user(&provider.from(HOME).await.unwrap(), "bait").await.unwrap();
        let slug = Slug::parse("okta").unwrap();
        let new = NewMark { resource: id.clone(), kind: "canary".to_owned(), reason: "bait".to_owned() };
        brakes::mark(&house.admin(), &slug, new).await.unwrap();
        house.rules("okta", |rules| rules.a16.answer = Answer::Hold).await;
        let path =
            |method: &str| scim_client::Asked { resource_id: Some(id.clone()), ..asked(method, "Users") };
        users::get(&provider.from(HOME).await.unwrap(), &path("GET"), &id).await.unwrap();
        assert_eq!(provider.state().await, KeyState::InUse, "whoever reads it is told, and not held");
        assert_eq!(of_rule(&house, Rule::CanaryResource).await.len(), 1);
        let before = users::get(&provider.from(HOME).await.unwrap(), &path("GET"), &id).await.unwrap();
        let same = resource(ResourceType::User, json!({ "userName": "bait" }));
        let cx = provider.from(HOME).await.unwrap();
        let put = users::replace(&cx, &path("PUT"), &id, None, same).await.unwrap();
        assert_eq!(put.version, before.version, "nothing is changed");
        assert_eq!(provider.state().await, KeyState::Held);
        house.close().await;
    }
}

#[tokio::test]
async fn a_key_that_may_do_more_than_any_other_is_a_finding_and_a_narrower_one_is_not() {
    for house in houses().await {
        let federation = house.federation("okta").await;
        let told = async || of_rule(&house, Rule::AdminPlane).await;
        let read = Scope::of([(ResourceKind::Users, Verb::Read)]);
        let (first, _) = house.scoped(&federation, "first", read.clone()).await;
        assert_eq!(told().await, [], "the first key widens nothing");
        house.scoped(&federation, "same", read.clone()).await;
        assert_eq!(told().await, []);
        let (wide, _) = house.scoped(&federation, "wide", Scope::full_directory()).await;
        let found = told().await;
        assert_eq!((found.len(), found[0].count), (1, 1));
        assert_eq!(found[0].key_id.as_ref(), Some(&wide));
        assert!(
            found[0].detail.came.contains("wide, which may do more than each of the 2 keys"),
            "{found:?}"
        );
        // What its successor is to get is tightened, and then less so.
        let key = keys::open(&house.admin(), &wide).await.unwrap().key;
        let next =
            tighten::narrow(&house.admin(), &wide, key.version, read, When::NextRotation).await.unwrap();
        assert_eq!(told().await[0].count, 1);
        let all = Scope::full_directory();
        tighten::narrow(&house.admin(), &wide, next.version, all.clone(), When::NextRotation).await.unwrap();
        let found = told().await;
        assert_eq!(found[0].count, 2);
        assert!(found[0].detail.came.contains("more than was planned"), "{found:?}");
        // Where it is off, nobody is told; a key that has ended is no measure.
        house.rules("okta", |rules| rules.a20.answer = Answer::Off).await;
        let count = told().await.iter().map(|found| found.count).sum::<i64>();
        for id in [&first, &wide] {
            keys::revoke(&house.admin(), id, "").await.unwrap();
        }
        house.scoped(&federation, "again", all).await;
        assert_eq!(told().await.iter().map(|found| found.count).sum::<i64>(), count);
        house.close().await;
    }
}

#[tokio::test]
async fn a_first_export_is_a_finding_and_the_next_is_not() {
    for house in houses().await {
        house.provider("okta").await;
        let told = async || of_rule(&house, Rule::AdminPlane).await;
        let export = async |cx, federation: Option<&str>| {
            let of = UsageFilter {
                federation: federation.map(|slug| Slug::parse(slug).unwrap()),
                ..UsageFilter::default()
            };
            exports::begin(&cx, What::Usage(of), Format::Csv).await.unwrap();
        };
        export(house.admin(), Some("okta")).await;
        let found = told().await;
        assert_eq!(found.len(), 1);
        assert!(found[0].federation_id.is_some());
        assert!(found[0].detail.came.ends_with("exported usage records for the first time."), "{found:?}");
        export(house.admin(), None).await;
        ops::audit::export::begin(&house.admin(), None, None).await.unwrap();
        assert_eq!(
            told().await.iter().map(|found| found.count).sum::<i64>(),
            1,
            "the admin has done so before"
        );
        // Somebody else, who begins with the audit log.
        ops::audit::export::begin(&house.person(domain::admins::Role::Manager), None, None).await.unwrap();
        let found = told().await;
        assert_eq!(found.len(), 2);
        assert!(
            found.iter().any(|found| found.federation_id.is_none() && found.subject.ends_with("manager"))
        );
        house.close().await;
    }
}
