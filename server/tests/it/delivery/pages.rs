//! The pages of deliveries, as a browser without script uses them, against a target that is there.

use std::sync::{Arc, Mutex};

use domain::{admins::Role, scopes::Scope};
use serde_json::{Value, json};

use super::{Service, say};
use crate::house::{Answer, Browser, House, houses};

const TOKEN: &str = "hvs.the-token-of-the-vault";

/// A vault that takes what it is given.
async fn vault() -> (Service, Arc<Mutex<Vec<Value>>>) {
    let versions: Arc<Mutex<Vec<Value>>> = Arc::default();
    let kept = Arc::clone(&versions);
    let service = Service::start(move |asked| {
        let mut versions = kept.lock().unwrap();
        if asked.header("x-vault-token") != TOKEN {
            return say(403, json!({ "errors": ["permission denied"] }));
        }
        match (asked.line.split(' ').next().unwrap_or_default(), asked.line.contains("/data/")) {
            ("GET", true) => match versions.last() {
                None => say(404, json!({ "errors": [] })),
                Some(fields) => {
                    say(200, json!({ "data": { "data": fields, "metadata": { "version": versions.len() } } }))
                }
            },
            ("POST", true) => {
                versions.push(asked.json()["data"].clone());
                say(200, json!({ "data": { "version": versions.len() } }))
            }
            _ => say(403, json!({ "errors": ["permission denied"] })),
        }
    })
    .await;
    (service, versions)
}

fn fields<'a>(address: &'a str, name: &'a str, token: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("connector", "vault"),
        ("name", name),
        ("address", address),
        ("namespace", ""),
        ("mount", "secret"),
        ("path", "teams/hr"),
        ("field", "scim_token"),
        ("sign_in", "token"),
        ("role_id", ""),
        ("approle_mount", ""),
        ("credential", token),
        ("trusted_ca", ""),
        ("public_key", ""),
    ]
}

/// Posts to where a form of a page leads.
async fn press(browser: &Browser<'_>, page: &Answer, end: &str) -> Answer {
    let action = page
        .body
        .split("action=\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .find(|action| action.ends_with(end))
        .unwrap_or_else(|| panic!("no form leads to {end}"))
        .to_owned();
    browser.post(&action, &[]).await
}

async fn list(browser: &Browser<'_>) -> Answer {
    let page = browser.get("/federations/okta/delivery").await;
    assert_eq!(page.status, 200, "{:.2000}", page.body);
    assert_eq!(page.body.matches("<h1").count(), 1);
    page
}

async fn run(house: &House) {
    while ops::deliveries::run(&house.keyward).await.unwrap() > 0 {}
}

#[tokio::test]
async fn a_target_is_added_tested_used_moved_and_removed_without_script() {
    for house in houses().await {
        let (service, versions) = vault().await;
        house.federation("okta").await;
        let (key, _) = house.key("okta", "okta-1", Scope::full_directory()).await;
        let browser = house.signed_in(Role::Admin).await;
        let empty = list(&browser).await;
        assert!(empty.body.contains("By hand."), "{:.4000}", empty.body);
        for connector in domain::deliveries::Connector::ALL {
            let path = format!("/federations/okta/delivery/new?connector={}", connector.as_str());
            let page = browser.get(&path).await;
            assert_eq!(page.status, 200, "{path}");
            for field in connector.fields() {
                assert!(page.body.contains(&format!("name=\"{}\"", field.name)), "{path}: {}", field.name);
            }
            assert!(page.body.contains("What it needs"), "{path}");
        }
        // What is refused comes back as it was typed, but for the credential.
        let mut wrong = fields(&service.base, "Vault", TOKEN);
        wrong.retain(|(name, _)| *name != "path");
        wrong.push(("path", "../sys"));
        let refused = browser.post("/federations/okta/delivery/new", &wrong).await;
        assert_eq!(refused.status, 422, "{:.2000}", refused.body);
        assert!(refused.body.contains("../sys") && !refused.body.contains(TOKEN));
        let added =
            browser.post("/federations/okta/delivery/new", &fields(&service.base, "Vault", TOKEN)).await;
        assert_eq!((added.status, added.header("location")), (303, "/federations/okta/delivery"));
        let second =
            browser.post("/federations/okta/delivery/new", &fields(&service.base, "Spare", TOKEN)).await;
        assert_eq!(second.status, 303);
        let page = list(&browser).await;
        assert!(page.body.contains("Not tested yet"));
        assert_eq!(press(&browser, &page, "/test").await.status, 303);
        let page = list(&browser).await;
        assert!(page.body.contains("Signed in; the secret is not there yet"), "{:.6000}", page.body);
        assert!(versions.lock().unwrap().is_empty(), "a test writes nothing");
        // A rotation brings its successor there.
        let rotate = ops::keys::Rotate { deliver: true, ..Default::default() };
        ops::keys::rotate(&house.admin(), &key, rotate).await.unwrap();
        run(&house).await;
        let held = versions.lock().unwrap()[0]["scim_token"].as_str().unwrap().to_owned();
        assert!(domain::keys::parse(&held).is_ok());
        let page = list(&browser).await;
        assert!(page.body.contains("Delivered") && page.body.contains("okta-2"), "{:.6000}", page.body);
        for secret in [held.as_str(), TOKEN] {
            assert!(!page.body.contains(secret));
        }
        assert_eq!(press(&browser, &page, "/later").await.status, 303);
        let page = list(&browser).await;
        let (spare, vault) = (page.body.find("1. Spare"), page.body.find("2. Vault"));
        assert!(spare.is_some() && vault.is_some(), "{:.6000}", page.body);
        assert_eq!(press(&browser, &page, "/remove").await.status, 303);
        let page = list(&browser).await;
        assert!(page.body.contains("1. Vault") && !page.body.contains("Spare"));
        house.close().await;
    }
}

#[tokio::test]
async fn a_refused_credential_is_told_on_the_page_and_another_one_mends_it() {
    for house in houses().await {
        let (service, _) = vault().await;
        house.federation("okta").await;
        let browser = house.signed_in(Role::Admin).await;
        browser
            .post("/federations/okta/delivery/new", &fields(&service.base, "Vault", "hvs.wrong-token"))
            .await;
        let page = list(&browser).await;
        press(&browser, &page, "/test").await;
        let page = list(&browser).await;
        assert!(page.body.contains("403") && page.body.contains("Refuses"), "{:.6000}", page.body);
        let edit = page.body.split("href=\"/federations/okta/delivery/tgt_").nth(1).unwrap();
        let edit = format!("/federations/okta/delivery/tgt_{}", edit.split('"').next().unwrap());
        let form = browser.get(&edit).await;
        assert_eq!(form.status, 200);
        assert!(form.body.contains("teams/hr") && !form.body.contains("hvs.wrong-token"));
        let mut mended = fields(&service.base, "Vault", TOKEN);
        mended.push(("version", "1"));
        assert_eq!(browser.post(&edit, &mended).await.status, 303);
        press(&browser, &list(&browser).await, "/test").await;
        assert!(list(&browser).await.body.contains("Works"));
        // Somebody else was faster.
        assert_eq!(browser.post(&edit, &mended).await.status, 409);
        house.close().await;
    }
}
