//! The main job in the dashboard, form by form, as a browser without script does it.

use domain::{
    KeyId,
    admins::Role,
    federations::{FederationStatus, Slug},
    keys::{self, KeyState},
};
use ops::keys::KeyFilter;

use crate::house::{Answer, Browser, House, houses};

const FEDERATION: &[(&str, &str)] = &[
    ("name", "Okta production"),
    ("slug", "okta"),
    ("vendor", "okta"),
    ("owners", "ana@example.com"),
    ("max_age_days", "90"),
    ("overlap_hours", "72"),
    ("warn_days", "14"),
    ("notes", "Joiners & <leavers>"),
];

/// The fields with some of them changed.
fn with<'a>(fields: &[(&'a str, &'a str)], changes: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let changed = |name: &str| changes.iter().any(|(changed, _)| *changed == name);
    fields.iter().filter(|(name, _)| !changed(name)).chain(changes).copied().collect()
}

fn key_form(token: &str) -> Vec<(&str, &str)> {
    vec![
        ("federation", "okta"),
        ("name", "okta-1"),
        ("scope", "read-write"),
        ("lifetime_days", "30"),
        ("source_networks", ""),
        ("justification", ""),
        ("idempotency_token", token),
    ]
}

/// Asserts that an answer is a whole page: finished, in a language, with a title and one heading, and
/// that whatever runs in it is named by the header.
fn assert_page(answer: &Answer, status: u16, what: &str) {
    assert_eq!(answer.status, status, "{what}: {:.2000}", answer.body);
    assert_eq!(answer.header("content-type"), "text/html; charset=utf-8", "{what}");
    let html = &answer.body;
    let count = |text: &str| html.matches(text).count();
    assert!(html.trim_start().starts_with("<!DOCTYPE html>"), "{what}: {html:.200}");
    // Leptos writes a few scripts of its own after it.
    assert_eq!(count("</html>"), 1, "{what}");
    assert_eq!(count("<html lang=\"en\""), 1, "{what}");
    assert_eq!(count("<h1"), 1, "{what}");
    assert_eq!(count("<main"), 1, "{what}");
    let title =
        html.split("<title>").nth(1).and_then(|rest| rest.split("</title>").next()).unwrap_or_default();
    assert!(title.ends_with(" · Keyward") && title.len() > 12, "{what}: {title:?}");
    for unfinished in ["<template", "Loading", "<!--s-", "onclick=", "onload=", "javascript:"] {
        assert_eq!(count(unfinished), 0, "{what}: {unfinished}");
    }
    let csp = answer.header("content-security-policy");
    let nonce = csp.split("'nonce-").nth(1).and_then(|rest| rest.split('\'').next()).unwrap();
    for tag in ["<script", "<style"] {
        for rest in html.split(tag).skip(1) {
            let attributes = rest.split('>').next().unwrap();
            let is_named = attributes.contains(&format!("nonce=\"{nonce}\""));
            let is_file = attributes.contains(" src=\"/pkg/");
            assert!(is_named || is_file, "{what}: {tag}{attributes}>");
        }
    }
}

/// The keys that stand in a text.
fn keys_in(text: &str) -> Vec<String> {
    let starts = text.match_indices(keys::KEY_PREFIX).map(|(at, _)| &text[at..]);
    starts
        .map(|rest| rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect::<String>())
        .filter(|text| keys::parse(text).is_ok())
        .collect()
}

/// The value of a hidden field.
fn hidden(html: &str, name: &str) -> String {
    let input = html
        .split("<input")
        .find(|input| input.contains(&format!("name=\"{name}\"")) && input.contains("hidden"))
        .unwrap_or_else(|| panic!("no hidden {name}"));
    let value = input.split("value=\"").nth(1).unwrap();
    value.split('"').next().unwrap().to_owned()
}

/// What is shown under a field.
fn error_of(html: &str, field: &str) -> Option<String> {
    let rest = html.split(&format!("id=\"{field}-error\"")).nth(1)?;
    let mut text = String::new();
    let mut is_tag = true;
    for character in rest.split("</span>").next()?.chars() {
        match character {
            '<' => is_tag = true,
            '>' => is_tag = false,
            other if !is_tag => text.push(other),
            _ => {}
        }
    }
    Some(text.trim().to_owned())
}

async fn issue(browser: &Browser<'_>, token: &str) -> (KeyId, String) {
    let shown = browser.post("/keys/new?federation=okta", &key_form(token)).await;
    assert_eq!(shown.status, 200, "{}", shown.body);
    let key = keys_in(&shown.body).pop().unwrap();
    let id = keys::parse(&key).ok().unwrap().id;
    (id, key)
}

async fn state(house: &House, id: &KeyId) -> KeyState {
    ops::keys::open(&house.admin(), id).await.unwrap().state
}

#[tokio::test]
async fn a_federation_is_registered_edited_paused_resumed_and_archived() {
    for house in houses().await {
        let admin = house.signed_in(Role::Admin).await;
        assert_page(&admin.get("/federations/new").await, 200, "the form");
        let made = admin.post("/federations/new", FEDERATION).await;
        assert_eq!((made.status, made.header("location")), (303, "/federations/okta/setup"), "{}", made.body);
        assert_page(&admin.get("/federations/okta/setup").await, 200, "the way to the first request");
        let page = admin.get("/federations/okta").await;
        assert_page(&page, 200, "the federation");
        assert!(page.body.contains("https://keyward.test/scim/okta/v2"), "its base URL stands there");
        assert!(page.body.contains("Joiners &amp; &lt;leavers&gt;"), "what was typed is text");

        let form = admin.get("/federations/okta/edit").await;
        assert_page(&form, 200, "the form");
        let version = hidden(&form.body, "version");
        let edit = with(FEDERATION, &[("name", "Okta of today"), ("version", &version)]);
        let edited = admin.post("/federations/okta/edit", &edit).await;
        assert_eq!((edited.status, edited.header("location")), (303, "/federations/okta"));
        let late = admin.post("/federations/okta/edit", &with(&edit, &[("name", "Too late")])).await;
        assert_page(&late, 409, "somebody else was faster");
        assert!(late.body.contains("value=\"Too late\""), "what was typed is kept");

        let slug = Slug::parse("okta").unwrap();
        for (button, status) in [
            ("pause", FederationStatus::Paused),
            ("resume", FederationStatus::Live),
            ("archive", FederationStatus::Archived),
        ] {
            let done = admin.post(&format!("/federations/okta/{button}"), &[]).await;
            assert_eq!((done.status, done.header("location")), (303, "/federations/okta"), "{button}");
            let view = ops::federations::open(&house.admin(), &slug).await.unwrap();
            assert_eq!((view.federation.status, view.federation.name.as_str()), (status, "Okta of today"));
        }
        for button in ["pause", "resume", "archive"] {
            let refused = admin.post(&format!("/federations/okta/{button}"), &[]).await;
            assert_page(&refused, 409, "archived is archived");
            assert!(refused.body.contains("archived"), "{button}");
        }
        house.close().await;
    }
}

#[tokio::test]
async fn a_form_that_is_wrong_comes_back_with_each_error_beside_its_field() {
    for house in houses().await {
        let admin = house.signed_in(Role::Admin).await;
        let wrong = with(
            FEDERATION,
            &[
                ("name", ""),
                ("slug", "Not A Slug!\"><script>"),
                ("vendor", "acme"),
                ("max_age_days", "0"),
                ("overlap_hours", "9999"),
            ],
        );
        let answer = admin.post("/federations/new", &wrong).await;
        assert_page(&answer, 422, "a wrong form");
        for field in ["name", "slug", "vendor", "max_age_days", "overlap_hours"] {
            let told =
                error_of(&answer.body, field).unwrap_or_else(|| panic!("nothing is said about {field}"));
            assert!(told.len() > 5, "{field}: {told:?}");
            assert!(answer.body.contains(&format!("href=\"#{field}\"")), "{field} is not in the summary");
        }
        assert_eq!(error_of(&answer.body, "owners"), None);
        assert_eq!(error_of(&answer.body, "warn_days"), None);
        for kept in ["Not A Slug!", "value=\"9999\"", "ana@example.com", "Joiners "] {
            assert!(answer.body.contains(kept), "{kept} was typed and is lost");
        }
        assert!(!answer.body.contains("\"><script>"), "what was typed is text");

        let letters = admin.post("/federations/new", &with(FEDERATION, &[("max_age_days", "ninety")])).await;
        assert_page(&letters, 422, "a number that is none");
        assert!(error_of(&letters.body, "max_age_days").is_some());
        assert!(letters.body.contains("value=\"ninety\""));
        assert_page(&admin.post("/federations/new", &[]).await, 422, "an empty form");
        assert!(ops::federations::list(&house.admin()).await.unwrap().is_empty());

        assert_eq!(admin.post("/federations/new", FEDERATION).await.status, 303);
        let taken = admin.post("/federations/new", FEDERATION).await;
        assert_page(&taken, 409, "a taken slug");
        assert!(taken.body.contains("value=\"Okta production\""), "what was typed is kept");

        let key = admin
            .post("/keys/new?federation=okta", &with(&key_form("t"), &[("lifetime_days", "9999")]))
            .await;
        assert_page(&key, 422, "longer than the policy");
        assert!(error_of(&key.body, "lifetime_days").is_some());
        assert_eq!(hidden(&key.body, "idempotency_token"), "t", "the same form, the same token");
        let key = with(&key_form("t"), &[("scope", "full-directory"), ("justification", "short")]);
        let key = admin.post("/keys/new?federation=okta", &key).await;
        assert_page(&key, 422, "the full directory without a reason");
        assert!(error_of(&key.body, "justification").is_some());
        let key = with(&key_form("t"), &[("scope", "custom"), ("source_networks", "home")]);
        assert_page(&admin.post("/keys/new?federation=okta", &key).await, 422, "no verbs, no networks");
        assert!(ops::keys::list(&house.admin(), &KeyFilter::default()).await.unwrap().is_empty());
        house.close().await;
    }
}

#[tokio::test]
async fn characters_that_no_database_takes_are_refused_in_words() {
    let mut wrong = Vec::new();
    for house in houses().await {
        let admin = house.signed_in(Role::Admin).await;
        assert_eq!(admin.post("/federations/new", FEDERATION).await.status, 303);
        let (id, _) = issue(&admin, "token").await;
        let engine = house.database.engine;
        for name in ["name", "slug", "owners", "notes"] {
            let fields = with(&with(FEDERATION, &[("slug", "second")]), &[(name, "a\0b")]);
            let answer = admin.post("/federations/new", &fields).await;
            if answer.status != 422 {
                wrong.push(format!("{engine:?}, registering, {name}: {}", answer.status));
            }
        }
        for name in ["name", "justification", "idempotency_token", "source_networks"] {
            let full = [("scope", "full-directory"), ("name", "b"), ("justification", "long enough")];
            let fields = with(&with(&key_form("other"), &full), &[(name, "a\0b long enough")]);
            let answer = admin.post("/keys/new?federation=okta", &fields).await;
            if answer.status != 422 {
                wrong.push(format!("{engine:?}, issuing, {name}: {}", answer.status));
            }
        }
        let answer = admin.post(&format!("/keys/{id}/revoke"), &[("reason", "a\0b")]).await;
        if answer.status != 422 {
            wrong.push(format!("{engine:?}, revoking, reason: {}", answer.status));
        }
        for path in [
            "/keys?q=%00",
            "/keys?federation=%00",
            "/audit?actor=%00",
            "/audit?key=%00",
            "/audit?before=%00",
            "/audit/%00",
            "/federations/%00",
            "/keys/%00",
            "/api/search?text=%00",
            "/api/keys/activity?key=%00",
            "/keys?q=%FF",
            "/%FF",
            "/federations/%FF",
        ] {
            let answer = admin.get(path).await;
            if answer.status >= 500 {
                wrong.push(format!("{engine:?} {path}: {}", answer.status));
            }
        }
        house.close().await;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn a_key_is_shown_once_and_in_one_answer_only() {
    for house in houses().await {
        let admin = house.signed_in(Role::Admin).await;
        assert_eq!(admin.post("/federations/new", FEDERATION).await.status, 303);
        let form = admin.get("/keys/new?federation=okta").await;
        assert_page(&form, 200, "the form");
        let token = hidden(&form.body, "idempotency_token");
        assert!(token.len() >= 16, "{token}");

        let shown = admin.post("/keys/new?federation=okta", &key_form(&token)).await;
        assert_page(&shown, 200, "the new key");
        assert_eq!(shown.header("cache-control"), "no-store");
        let found = keys_in(&shown.body);
        assert_eq!(found.len(), 1, "the key stands once in the page");
        let key = &found[0];
        assert!(!format!("{:?}", shown.headers).contains(key.as_str()), "no header has it");
        assert!(!shown.body.contains(&format!("href=\"{key}")), "no address has it");
        assert!(shown.body.contains("https://keyward.test/scim/okta/v2"));
        let id = keys::parse(key).ok().unwrap().id;
        assert_eq!(state(&house, &id).await, KeyState::Unused);

        let again = admin.post("/keys/new?federation=okta", &key_form(&token)).await;
        assert_page(&again, 200, "the same form again");
        assert!(keys_in(&again.body).is_empty(), "shown once is shown once");
        assert!(again.body.contains(id.as_str()), "it is the same key");
        let other =
            admin.post("/keys/new?federation=okta", &with(&key_form(&token), &[("name", "other")])).await;
        assert_page(&other, 409, "the same token for another key");
        let same_name = admin.post("/keys/new?federation=okta", &key_form("another-token")).await;
        assert_page(&same_name, 409, "a name that a living key has");
        assert_eq!(ops::keys::list(&house.admin(), &KeyFilter::default()).await.unwrap().len(), 1);

        for path in [
            "/",
            "/keys",
            "/federations/okta",
            "/audit",
            &format!("/keys/{id}"),
            &format!("/keys/{id}/rotate"),
        ] {
            let page = admin.get(path).await;
            assert_page(&page, 200, path);
            assert!(keys_in(&page.body).is_empty() && !page.body.contains(&key[30..46]), "{path}");
        }
        let used = crate::house::Client { house: &house, base: "/scim/okta/v2".to_owned(), key: key.clone() };
        assert_eq!(used.user("mia").await.len(), 36);
        assert_eq!(state(&house, &id).await, KeyState::InUse);
        house.close().await;
    }
}

#[tokio::test]
async fn a_hundred_times_the_same_form_is_one_key() {
    for house in houses().await {
        let admin = house.signed_in(Role::Admin).await;
        assert_eq!(admin.post("/federations/new", FEDERATION).await.status, 303);
        let fields = key_form("the-same-token");
        let sent = (0..100).map(|_| admin.post("/keys/new?federation=okta", &fields));
        let answers = futures::future::join_all(sent).await;
        assert!(answers.iter().all(|answer| answer.status == 200));
        let shown: Vec<String> = answers.iter().flat_map(|answer| keys_in(&answer.body)).collect();
        assert_eq!(shown.len(), 1, "one of them shows it");
        assert_eq!(ops::keys::list(&house.admin(), &KeyFilter::default()).await.unwrap().len(), 1);
        house.close().await;
    }
}

#[tokio::test]
async fn a_key_is_rotated_and_revoked_and_the_timeline_tells_it_all() {
    for house in houses().await {
        let admin = house.signed_in(Role::Admin).await;
        assert_eq!(admin.post("/federations/new", FEDERATION).await.status, 303);
        let (old, old_key) = issue(&admin, "first").await;
        house.clock.advance(60_000);
        let form = admin.get(&format!("/keys/{old}/rotate")).await;
        assert_page(&form, 200, "the form");
        let token = hidden(&form.body, "idempotency_token");
        let fields = [("overlap_hours", "24"), ("lifetime_days", ""), ("idempotency_token", token.as_str())];
        let rotated = admin.post(&format!("/keys/{old}/rotate"), &fields).await;
        assert_page(&rotated, 200, "the successor");
        assert_eq!(rotated.header("cache-control"), "no-store");
        let [new_key] = <[String; 1]>::try_from(keys_in(&rotated.body)).unwrap();
        assert!(!rotated.body.contains(&old_key));
        let new = keys::parse(&new_key).ok().unwrap().id;
        assert_eq!(
            (state(&house, &old).await, state(&house, &new).await),
            (KeyState::Retiring, KeyState::Unused)
        );
        for key in [&old_key, &new_key] {
            let client =
                crate::house::Client { house: &house, base: "/scim/okta/v2".to_owned(), key: key.clone() };
            assert_eq!(client.get("/Users").await.status, 200, "both are accepted in the overlap");
        }
        let again = admin.post(&format!("/keys/{old}/rotate"), &fields).await;
        assert_page(&again, 200, "the same form again");
        assert!(keys_in(&again.body).is_empty() && again.body.contains(new.as_str()));
        let fields = [("idempotency_token", "other")];
        assert_page(&admin.post(&format!("/keys/{old}/rotate"), &fields).await, 409, "it has a successor");
        let fields = [("overlap_hours", "soon"), ("idempotency_token", "third")];
        assert_page(&admin.post(&format!("/keys/{new}/rotate"), &fields).await, 422, "no number");

        assert_page(&admin.get(&format!("/keys/{old}/revoke")).await, 200, "the form");
        let silent = admin.post(&format!("/keys/{old}/revoke"), &[("reason", " ")]).await;
        assert_page(&silent, 422, "no reason");
        assert!(error_of(&silent.body, "reason").is_some());
        let revoked = admin.post(&format!("/keys/{old}/revoke"), &[("reason", "the laptop was lost")]).await;
        assert_eq!((revoked.status, revoked.header("location")), (303, format!("/keys/{old}").as_str()));
        assert_eq!(state(&house, &old).await, KeyState::Revoked);
        assert_page(&admin.get(&format!("/keys/{old}")).await, 200, "the revoked key");
        let twice = admin.post(&format!("/keys/{old}/revoke"), &[("reason", "again")]).await;
        assert_page(&twice, 409, "it has ended already");

        let timeline = admin.get("/audit").await;
        assert_page(&timeline, 200, "the timeline");
        for told in
            ["registered federation", "issued key", "rotated key", "revoked key", "Okta production", "okta-1"]
        {
            assert!(timeline.body.contains(told), "{told}");
        }
        let count = house.log().await.len();
        for seq in 1..=count {
            let entry = admin.get(&format!("/audit/{seq}")).await;
            assert_page(&entry, 200, &format!("record {seq}"));
            assert!(!entry.body.contains(&old_key[30..46]) && !entry.body.contains(&new_key[30..46]));
        }
        let reason = admin.get(&format!("/audit/{count}")).await;
        assert!(reason.body.contains("the laptop was lost"));
        let narrowed = admin.get("/audit?action=key.revoked&federation=okta").await;
        assert_page(&narrowed, 200, "one action");
        assert!(
            narrowed.body.contains("/audit/") && !narrowed.body.contains(&format!("href=\"/audit/{}\"", 2))
        );
        house.close().await;
    }
}

#[tokio::test]
async fn every_page_is_finished_html() {
    for house in houses().await {
        let admin = house.signed_in(Role::Admin).await;
        for path in ["/", "/federations", "/keys", "/keys/new", "/audit"] {
            assert_page(&admin.get(path).await, 200, &format!("{path}, with nothing there yet"));
        }
        assert_eq!(admin.post("/federations/new", FEDERATION).await.status, 303);
        let (id, key) = issue(&admin, "t").await;
        crate::house::Client { house: &house, base: "/scim/okta/v2".to_owned(), key }.user("mia").await;
        for path in [
            "/",
            "/federations",
            "/federations/new",
            "/federations/okta",
            "/federations/okta/edit",
            "/keys",
            "/keys?q=okta&state=accepted&federation=okta",
            "/keys?q=nothing",
            "/keys/new",
            "/keys/new?federation=okta",
            "/audit",
            "/audit?outcome=refused&from=2026-01-01&to=2026-01-02",
            "/audit?before=2",
            "/audit/1",
        ] {
            assert_page(&admin.get(path).await, 200, path);
        }
        for path in ["", "/rotate", "/revoke"] {
            assert_page(&admin.get(&format!("/keys/{id}{path}")).await, 200, path);
        }
        for path in [
            "/nowhere",
            "/keys/nowhere",
            "/keys/key_0000000000000000000000",
            "/federations/nobody",
            "/federations/nobody/edit",
            "/audit/999999",
            "/audit/first",
            "/keys/%3Cscript%3E",
        ] {
            let answer = admin.get(path).await;
            assert_page(&answer, 404, path);
            assert!(!answer.body.contains("<script>"), "{path}");
        }
        for query in ["", "?error=no-role", "?error=state&next=%2Fkeys", "?next=https%3A%2F%2Fevil.test"] {
            let page = house.stranger().get(&format!("/sign-in{query}")).await;
            assert_page(&page, 200, query);
        }
        house.close().await;
    }
}
