//! Approving what is held, as a browser without script does it: by a second person, who signed in a moment ago.

use domain::{admins::Role, brakes::HeldState};
use serde_json::json;

use crate::house::{Browser, House, houses};

const MINUTE_MS: i64 = 60_000;

/// A federation whose brake holds two deactivations; the path of the page that decides them.
async fn two_held(house: &House) -> String {
    let client = house.client("okta").await;
    let mut ids = Vec::new();
    for number in 0..12 {
        ids.push(client.user(&format!("u{number}")).await);
    }
    let off = json!([{ "op": "replace", "path": "active", "value": false }]);
    let mut statuses = Vec::new();
    for id in &ids {
        statuses.push(client.patch(&format!("/Users/{id}"), &off).await.status);
    }
    assert_eq!(statuses[9..], [200, 429, 429]);
    let cases = ops::cases::list(&house.admin()).await.unwrap();
    format!("/cases/{}/held", cases[0].case.id)
}

/// What the form of the page sends, and whether it asks to sign in again.
fn form(page: &str, verdict: &'static str) -> (Vec<(&'static str, String)>, bool) {
    let hidden = |name: &str| {
        let input = page.split("<input").find(|input| input.contains(&format!("name=\"{name}\""))).unwrap();
        input.split("value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned()
    };
    let asks = page.contains("href=\"/auth/start?again=1&amp;next=%2Fcases%2F");
    let fields = vec![
        ("until", hidden("until")),
        ("hash", hidden("hash")),
        ("reason", "asked <the> team".to_owned()),
        ("verdict", verdict.to_owned()),
    ];
    (fields, asks)
}

async fn send(browser: &Browser<'_>, path: &str, fields: &[(&str, String)]) -> crate::house::Answer {
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    browser.post(path, &fields).await
}

async fn states(house: &House, path: &str) -> Vec<HeldState> {
    let id = domain::CaseId::parse(path.split('/').nth(2).unwrap()).unwrap();
    let case = ops::brakes::of_case(&house.admin(), &id, 0).await.unwrap();
    case.operations.iter().map(|held| held.state).collect()
}

#[tokio::test]
async fn an_approval_an_hour_after_the_sign_in_asks_for_another_and_keeps_what_was_typed() {
    for house in houses().await {
        let path = two_held(&house).await;
        let mut manager = house.signed_in(Role::Manager).await;
        let (_, asks) = form(&manager.get(&path).await.body, "approve");
        assert!(!asks, "who has just signed in is not asked");
        for _ in 0..3 {
            house.clock.advance(20 * MINUTE_MS);
            assert_eq!(manager.get("/cases").await.status, 200, "the session goes on");
        }
        let (fields, asks) = form(&manager.get(&path).await.body, "approve");
        assert!(asks);
        let refused = send(&manager, &path, &fields).await;
        assert_eq!(refused.status, 401, "{}", refused.body);
        assert!(refused.body.contains("sign-in of the last 15 minutes"), "{}", refused.body);
        assert!(refused.body.contains("asked &lt;the&gt; team"), "what was typed stands there");
        assert_eq!(states(&house, &path).await, [HeldState::Held; 2]);

        // The same browser, after another sign-in: the form is filled in, and is sent.
        manager.signs_in_again(Role::Manager).await;
        let page = manager.get(&path).await;
        assert!(page.body.contains("asked &lt;the&gt; team"), "{}", page.body);
        let (fields, asks) = form(&page.body, "approve");
        assert!(!asks);
        let done = send(&manager, &path, &fields).await;
        assert_eq!((done.status, done.header("location")), (303, path.as_str()), "{}", done.body);
        assert_eq!(states(&house, &path).await, [HeldState::Approved; 2]);
        house.close().await;
    }
}

#[tokio::test]
async fn what_one_person_typed_is_not_shown_to_another_who_signs_in_at_the_same_browser() {
    for house in houses().await {
        let path = two_held(&house).await;
        let mut browser = house.signed_in(Role::Manager).await;
        house.clock.advance(20 * MINUTE_MS);
        let (fields, _) = form(&browser.get(&path).await.body, "approve");
        assert_eq!(send(&browser, &path, &fields).await.status, 401);
        browser.signs_in_again(Role::Admin).await;
        let page = browser.get(&path).await;
        assert_eq!(page.status, 200);
        assert!(!page.body.contains("asked &lt;the&gt; team"));
        house.close().await;
    }
}

#[tokio::test]
async fn a_rejection_needs_no_new_sign_in() {
    for house in houses().await {
        let path = two_held(&house).await;
        let manager = house.signed_in(Role::Manager).await;
        house.clock.advance(20 * MINUTE_MS);
        let (fields, _) = form(&manager.get(&path).await.body, "reject");
        assert_eq!(send(&manager, &path, &fields).await.status, 303);
        assert_eq!(states(&house, &path).await, [HeldState::Rejected; 2]);
        house.close().await;
    }
}
