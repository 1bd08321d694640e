//! How often is too often, over HTTP, with a clock that is moved by hand.

use axum::body::Body;
use domain::{KeyId, scopes::Scope};
use http::Request;
use ops::audit::AuditFilter;
use server::edge::throttle::Rates;

use crate::house::{Answer, House, house};

const RATES: Rates = Rates { key_per_second: 5, key_burst: 20, refused_per_minute: 6, refused_burst: 10 };

async fn throttled() -> House {
    house().await.with_rates(RATES)
}

async fn present(house: &House, key: &str) -> Answer {
    let request = Request::get("/scim/okta/v2/ServiceProviderConfig").header("authorization", key);
    house.ask(request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn a_key_that_comes_too_often_waits_and_others_do_not() {
    let house = throttled().await;
    let client = house.client("okta").await;
    let (_, other) = house.key("okta", "other", Scope::full_directory()).await;
    let path = "/ServiceProviderConfig";
    for _ in 0..20 {
        assert_eq!(client.get(path).await.status, 200);
    }
    for _ in 0..5 {
        let refused = client.get(path).await;
        refused.assert_scim_error(429, "the burst is over");
        assert_eq!(refused.header("retry-after"), "1");
    }
    let written = client.post("/Users", &serde_json::json!({ "userName": "mia" })).await;
    assert_eq!(written.status, 429);
    assert_eq!(house.population("okta").await, (0, 0));
    assert_eq!(present(&house, &format!("Bearer {other}")).await.status, 200);

    // One usage record tells of all of them.
    let key = domain::keys::parse(&client.key).unwrap().id;
    assert_eq!(refused_uses(&house, &key).await, 1);
    house.clock.advance(1_000);
    for _ in 0..5 {
        assert_eq!(client.get(path).await.status, 200);
    }
    assert_eq!(client.get(path).await.status, 429);
    assert_eq!(refused_uses(&house, &key).await, 1, "the same minute");
    house.close().await;
}

async fn refused_uses(house: &House, key: &KeyId) -> usize {
    let uses = ops::usage::of_key(&house.admin(), key, 100).await.unwrap();
    uses.iter().filter(|used| used.status == 429).count()
}

#[tokio::test]
async fn unknown_keys_stop_being_recorded_one_by_one_and_a_known_one_is_let_in() {
    let house = throttled().await;
    let client = house.client("okta").await;
    let unknown = domain::keys::compose(&KeyId::new(1, [1; 10]), &[1; 32]);
    let unknown = format!("Bearer {}", unknown.expose());
    let before = house.log().await.len();
    for _ in 0..10 {
        present(&house, &unknown).await.assert_scim_error(401, "within the limit");
    }
    for text in [unknown.as_str(), "Bearer nothing", "Basic eDp5"] {
        let refused = present(&house, text).await;
        refused.assert_scim_error(429, text);
        assert_eq!(refused.header("retry-after"), "10");
    }
    for _ in 0..200 {
        assert_eq!(present(&house, &unknown).await.status, 429);
    }
    // Ten records, and one that says that there are more.
    let log = house.log().await;
    assert_eq!(log.len() - before, 11, "{log:#?}");
    assert_eq!(
        client.get("/ServiceProviderConfig").await.status,
        200,
        "an accepted key from the same address"
    );

    house.clock.advance(60_000);
    for _ in 0..20 {
        present(&house, &unknown).await;
    }
    let page = ops::audit::list(&house.admin(), &AuditFilter::default(), None, 1).await.unwrap();
    let reason = page.records[0].event.reason.clone().unwrap();
    assert!(reason.contains("too many refusals from this address: 203 "), "{reason}");
    house.close().await;
}

#[tokio::test]
async fn failed_sign_ins_stop_being_recorded_one_by_one() {
    let house = throttled().await;
    let before = house.log().await.len();
    let callback = "/auth/callback?state=nobody&code=x";
    let mut statuses = Vec::new();
    for _ in 0..15 {
        let answer = house.stranger().get(callback).await;
        if answer.status == 429 {
            assert_eq!(answer.header("retry-after"), "10");
            assert_eq!(answer.header("cache-control"), "no-store");
        }
        statuses.push(answer.status);
    }
    assert_eq!(statuses[..10], [303; 10]);
    assert_eq!(statuses[10..], [429; 5]);
    assert_eq!(house.log().await.len() - before, 11);
    house.close().await;
}
