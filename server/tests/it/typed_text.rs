//! What somebody typed, or a provider sent, is text on every page: never markup (T-XSS-01).

use domain::{admins::Role, keys};
use serde_json::json;

use crate::house::{Browser, Client, House, houses};

/// Closes whatever it may stand in, and opens an element that no page of ours has.
const PROBE: &str = "\"'></textarea></title></script></style>--><kwdprobe onerror=alert(1)>&amp;{{7*7}}";

/// The same for fields of few characters.
const SHORT: &str = "\"></textarea></title><kwdprobe>";

async fn assert_text(browser: &Browser<'_>, path: &str, found: &mut Vec<String>) {
    let answer = browser.get(path).await;
    if answer.header("content-type") == "application/json" {
        // Read by scripts, and not sniffed by browsers.
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
    } else {
        note(path, &answer.body, found);
    }
}

fn note(what: &str, html: &str, found: &mut Vec<String>) {
    if let Some(at) = html.find("<kwdprobe") {
        let before: String = html[..at].chars().rev().take(120).collect::<String>().chars().rev().collect();
        found.push(format!("{what}: …{before}<kwdprobe"));
    }
}

/// A federation and a key whose every text is the probe, with users and refusals of the same kind.
async fn scene(house: &House, admin: &Browser<'_>, found: &mut Vec<String>) -> String {
    let federation = [
        ("name", SHORT),
        ("slug", "okta"),
        ("vendor", "okta"),
        ("owners", SHORT),
        ("max_age_days", "90"),
        ("overlap_hours", "72"),
        ("warn_days", "14"),
        ("notes", PROBE),
    ];
    let made = admin.post("/federations/new", &federation).await;
    assert_eq!(made.status, 303);
    let key_form = [
        ("federation", "okta"),
        ("name", SHORT),
        ("scope", "full-directory"),
        ("justification", PROBE),
        ("lifetime_days", "30"),
        ("source_networks", ""),
        ("idempotency_token", "t"),
    ];
    let shown = admin.post("/keys/new?federation=okta", &key_form).await;
    assert_eq!(shown.status, 200);
    note("the new key", &shown.body, found);
    let begin = shown.body.find(keys::KEY_PREFIX).unwrap();
    let key: String =
        shown.body[begin..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
    let id = keys::parse(&key).ok().unwrap().id.to_string();

    let client = Client { house, base: "/scim/okta/v2".to_owned(), key };
    let agent = [("user-agent", PROBE), ("content-type", "application/scim+json")];
    let user = json!({ "userName": PROBE, "displayName": PROBE, "externalId": PROBE }).to_string();
    assert_eq!(client.send("POST", "/Users", &agent, user.clone()).await.status, 201);
    assert_eq!(client.send("POST", "/Users", &agent, user).await.status, 409);
    let group = json!({ "displayName": PROBE }).to_string();
    assert_eq!(client.send("POST", "/Groups", &agent, group).await.status, 201);
    client.send("GET", "/Users/%3Ckwdprobe%3E", &agent, "").await.assert_scim_error(404, "a probe as an id");
    client.send("GET", "/Users?filter=%3Ckwdprobe%3E", &agent, "").await.assert_scim_error(400, "a filter");
    let elsewhere = Client { house, base: "/scim/%3Ckwdprobe%3E/v2".to_owned(), key: client.key.clone() };
    elsewhere.send("GET", "/Users", &agent, "").await.assert_scim_error(404, "a probe as a federation");
    id
}

#[tokio::test]
async fn what_was_typed_or_sent_is_text_on_every_page() {
    let mut found = Vec::new();
    for house in houses().await {
        let admin = house.signed_in(Role::Admin).await;
        let id = scene(&house, &admin, &mut found).await;
        let probe: String = url::form_urlencoded::byte_serialize(PROBE.as_bytes()).collect();
        let path_probe = "%22%3E%3C%2Ftitle%3E%3Ckwdprobe%3E";
        let mut paths: Vec<String> = [
            "/",
            "/federations",
            "/federations/okta",
            "/federations/okta/edit",
            "/keys",
            "/keys/new",
            "/keys/new?federation=okta",
            "/audit",
            "/api/search?text=kwdprobe",
        ]
        .map(str::to_owned)
        .into();
        for page in ["", "/rotate", "/revoke"] {
            paths.push(format!("/keys/{id}{page}"));
        }
        for parameter in ["q", "federation", "state"] {
            paths.push(format!("/keys?{parameter}={probe}"));
        }
        for parameter in ["federation", "key", "actor", "action", "outcome", "from", "to", "before"] {
            paths.push(format!("/audit?{parameter}={probe}"));
        }
        for before in ["", "federations/", "keys/", "audit/", "keys/new?federation="] {
            paths.push(format!("/{before}{path_probe}"));
        }
        paths.extend((1..=house.log().await.len()).map(|seq| format!("/audit/{seq}")));
        for path in &paths {
            assert_text(&admin, path, &mut found).await;
        }
        for parameter in ["error", "next"] {
            assert_text(&house.stranger(), &format!("/sign-in?{parameter}={probe}"), &mut found).await;
        }
        house.close().await;
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[tokio::test]
async fn a_form_that_comes_back_shows_text() {
    let mut found = Vec::new();
    for house in houses().await {
        let admin = house.signed_in(Role::Admin).await;
        let id = scene(&house, &admin, &mut Vec::new()).await;
        let forms: [(&str, &[&str]); 5] = [
            (
                "/federations/new",
                &["name", "slug", "vendor", "owners", "notes", "max_age_days", "overlap_hours", "warn_days"],
            ),
            ("/federations/okta/edit", &["version", "name", "vendor", "owners", "notes", "max_age_days"]),
            (
                "/keys/new?federation=okta",
                &[
                    "federation",
                    "name",
                    "scope",
                    "grant",
                    "lifetime_days",
                    "source_networks",
                    "justification",
                    "idempotency_token",
                ],
            ),
            (&format!("/keys/{id}/rotate"), &["overlap_hours", "lifetime_days", "idempotency_token"]),
            (&format!("/keys/{id}/revoke"), &["other"]),
        ];
        for (path, fields) in forms {
            for field in fields {
                // Everything else is missing, so that the form comes back.
                let answer = admin.post(path, &[(field, PROBE)]).await;
                assert!((400..500).contains(&answer.status), "{path} {field}: {}", answer.status);
                note(&format!("{path} {field}"), &answer.body, &mut found);
            }
        }
        house.close().await;
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}
