//! A key is in the one answer that shows it, and nowhere else: not in the data folder, not in the
//! log at its most talkative, not in any other answer, not in the process's environment (T-LEAK-01,
//! T-KEY-05).

mod hand_over;

use std::{collections::HashSet, fs};

use base64::{
    Engine as _,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE},
};
use domain::keys;
use store::testing::databases;

use crate::{
    house::{form, new_federation, new_key},
    process::{MASTER_KEY, Place, Running, database_bytes, http_client},
};

const WINDOW: usize = 16;

/// The text of secrets in every form in which it might be kept, by windows of 16 bytes.
#[derive(Default)]
struct Needles(HashSet<[u8; WINDOW]>);

impl Needles {
    fn add(&mut self, secret: &str) {
        let bytes = secret.as_bytes();
        let each = |write: &dyn Fn(u8) -> String| bytes.iter().map(|byte| write(*byte)).collect::<String>();
        let mut forms = vec![
            secret.to_owned(),
            each(&|byte| format!("{byte:02x}")),
            each(&|byte| format!("{byte:02X}")),
            each(&|byte| format!("%{byte:02x}")),
            each(&|byte| format!("%{byte:02X}")),
            each(&|byte| format!("\\u{byte:04x}")),
            each(&|byte| format!("&#{byte};")),
            each(&|byte| format!("&#x{byte:x};")),
            each(&|byte| format!("{byte}, ")),
            each(&|byte| format!("{}\0", char::from(byte))),
        ];
        // A text inside a longer one is encoded in one of three ways.
        for shift in 0..3 {
            let shifted = [&vec![0; shift], bytes].concat();
            for encoded in [BASE64_STANDARD.encode(&shifted), BASE64_URL_SAFE.encode(&shifted)] {
                forms.push(encoded[4..encoded.len() - 4].to_owned());
            }
        }
        for form in forms {
            self.0.extend(
                form.as_bytes().windows(WINDOW).map(|window| <[u8; WINDOW]>::try_from(window).unwrap()),
            );
        }
    }

    /// Where one of them stands, with what stands around it.
    fn find(&self, hay: &[u8]) -> Option<String> {
        let mut begins = vec![false; 1 << 16];
        for needle in &self.0 {
            begins[usize::from(u16::from_be_bytes([needle[0], needle[1]]))] = true;
        }
        let at = hay.windows(WINDOW).position(|window| {
            begins[usize::from(u16::from_be_bytes([window[0], window[1]]))] && self.0.contains(window)
        })?;
        let around = &hay[at.saturating_sub(300)..(at + 100).min(hay.len())];
        Some(String::from_utf8_lossy(around).into_owned())
    }

    fn assert_not_in(&self, hay: &[u8], what: &str) {
        if let Some(around) = self.find(hay) {
            panic!("{what} holds a secret: …{around}…");
        }
    }
}

/// What only the holder of a key knows: its 43 random digits and the checksum over them.
fn secret_part(key: &str) -> &str {
    &key[27..]
}

/// Every key in a text.
fn keys_in(text: &str) -> Vec<String> {
    let starts = text.match_indices(keys::KEY_PREFIX).map(|(at, _)| &text[at..]);
    starts
        .map(|rest| rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect::<String>())
        .filter(|text| keys::parse(text).is_ok())
        .collect()
}

/// A signed-in browser and an identity provider, whose every answer is kept.
struct Witness<'a> {
    running: &'a Running,
    client: reqwest::Client,
    cookie: String,
    /// Answers that show no key: head and body.
    answers: Vec<(String, Vec<u8>)>,
}

struct Reply {
    status: u16,
    head: String,
    body: String,
}

impl Witness<'_> {
    async fn send(&self, request: reqwest::RequestBuilder) -> Reply {
        let answer = request.send().await.unwrap();
        let (status, head) = (answer.status().as_u16(), format!("{:?}", answer.headers()));
        let body = String::from_utf8(answer.bytes().await.unwrap().to_vec()).unwrap();
        Reply { status, head, body }
    }

    async fn kept(&mut self, what: &str, request: reqwest::RequestBuilder) -> u16 {
        let Reply { status, head, body } = self.send(request).await;
        self.answers.push((what.to_owned(), [head.as_bytes(), body.as_bytes()].concat()));
        status
    }

    fn post(&self, path: &str, fields: &[(&str, &str)]) -> reqwest::RequestBuilder {
        self.client
            .post(self.running.url(path))
            .header("cookie", &self.cookie)
            .header("origin", self.running.url(""))
            .header("sec-fetch-site", "same-origin")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form(fields))
    }

    /// Posts a form whose answer shows a key, and asserts that it stands there once.
    async fn shown(&self, path: &str, fields: &[(&str, &str)]) -> String {
        let Reply { status, head, body } = self.send(self.post(path, fields)).await;
        assert_eq!(status, 200, "{body}");
        let [key] = <[String; 1]>::try_from(keys_in(&body)).unwrap();
        let mut needles = Needles::default();
        needles.add(secret_part(&key));
        needles.assert_not_in(head.as_bytes(), "a header");
        needles.assert_not_in(body.replacen(&key, "", 1).as_bytes(), "the rest of the page");
        key
    }

    async fn page(&mut self, path: &str) -> u16 {
        let request = self.client.get(self.running.url(path)).header("cookie", &self.cookie);
        self.kept(path, request).await
    }

    async fn scim(&mut self, method: reqwest::Method, path: &str, key: &str, body: &'static str) -> u16 {
        let what = format!("{method} {}", path.split('?').next().unwrap_or_default());
        let request = self.client.request(method, self.running.url(path)).bearer_auth(key).body(body);
        self.kept(&what, request).await
    }
}

fn key_form<'a>(federation: &'a str, name: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("federation", federation),
        ("name", name),
        ("scope", "full-directory"),
        ("justification", "needed for the tests"),
        ("lifetime_days", "30"),
        ("source_networks", ""),
        ("idempotency_token", name),
    ]
}

fn id_in(key: &str) -> String {
    keys::parse(key).ok().unwrap().id.to_string()
}

/// Every page that there is.
async fn read_all_pages(witness: &mut Witness<'_>, keys: &[String]) {
    for path in [
        "/",
        "/federations",
        "/federations/okta",
        "/federations/entra",
        "/keys",
        "/audit",
        "/keys/new?federation=okta",
    ] {
        assert_eq!(witness.page(path).await, 200, "{path}");
    }
    for key in keys {
        let id = id_in(key);
        for path in ["", "/rotate", "/revoke"] {
            witness.page(&format!("/keys/{id}{path}")).await;
        }
        witness.page(&format!("/api/keys/activity?key={id}")).await;
        witness.page(&format!("/api/search?text={}", &key[key.len() - 4..])).await;
    }
    read_audit(witness).await;
}

async fn read_audit(witness: &mut Witness<'_>) {
    for seq in 1.. {
        if witness.page(&format!("/audit/{seq}")).await != 200 {
            break;
        }
    }
}

/// The pages of some keys, and every audit record.
async fn read_all_pages_of(witness: &mut Witness<'_>, keys: &[String]) {
    for key in keys {
        for path in ["", "/rotate", "/revoke", "/compromise", "/hand-over"] {
            witness.page(&format!("/keys/{}{path}", id_in(key))).await;
        }
    }
    read_audit(witness).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_in_the_one_answer_that_showed_it_and_nowhere_else() {
    use reqwest::Method;
    for database in databases().await {
        let place = Place::on(database);
        let cookie = place.cookie().await;
        let running = place.start("trace").await;
        let mut witness = Witness { running: &running, client: http_client(), cookie, answers: Vec::new() };
        for slug in ["okta", "entra"] {
            let fields = [
                ("slug", slug),
                ("name", slug),
                ("vendor", slug),
                ("owners", "ana@example.com"),
                ("max_age_days", "90"),
                ("overlap_hours", "72"),
                ("warn_days", "14"),
            ];
            let request = witness.post("/federations/new", &fields);
            assert_eq!(witness.kept("register", request).await, 303);
        }
        let mut keys = Vec::new();
        for (slug, name) in [("okta", "o1"), ("okta", "o2"), ("okta", "o3"), ("entra", "e1")] {
            keys.push(witness.shown(&format!("/keys/new?federation={slug}"), &key_form(slug, name)).await);
        }
        let rotate = format!("/keys/{}/rotate", id_in(&keys[0]));
        keys.push(witness.shown(&rotate, &[("idempotency_token", "r1")]).await);
        for (path, fields) in [
            ("/keys/new?federation=okta", key_form("okta", "o1")),
            (rotate.as_str(), vec![("idempotency_token", "r1")]),
            (rotate.as_str(), vec![("idempotency_token", "r2")]),
        ] {
            let request = witness.post(path, &fields);
            assert!(matches!(witness.kept("again", request).await, 200 | 409));
        }

        for key in [&keys[0], &keys[1], &keys[4]] {
            assert_eq!(witness.scim(Method::GET, "/scim/okta/v2/Users", key, "").await, 200);
            witness.scim(Method::POST, "/scim/okta/v2/Users", key, r#"{"userName":"mia"}"#).await;
            witness.scim(Method::POST, "/scim/okta/v2/Users", key, "{").await;
            assert_eq!(witness.scim(Method::GET, "/scim/entra/v2/Users", key, "").await, 404);
            assert_eq!(witness.scim(Method::GET, "/scim/okta/v2/Schemas", key, "").await, 200);
        }
        let revoke = format!("/keys/{}/revoke", id_in(&keys[2]));
        let request = witness.post(&revoke, &[("reason", "leaked")]);
        assert_eq!(witness.kept("revoke", request).await, 303);
        assert_eq!(witness.scim(Method::GET, "/scim/okta/v2/Users", &keys[2], "").await, 401);
        // A key where none belongs: refused, and not repeated anywhere.
        let key = keys[1].clone();
        assert_eq!(
            witness.scim(Method::GET, &format!("/scim/okta/v2/Users?access_token={key}"), &key, "").await,
            400
        );
        for request in [
            witness.client.get(witness.running.url("/scim/okta/v2/Users")).basic_auth("key", Some(&key)),
            witness.client.get(witness.running.url("/scim/okta/v2/Users")).header("authorization", &key),
            witness.client.get(witness.running.url("/scim/okta/v2/Users")).bearer_auth(format!("{key}{key}")),
            witness
                .client
                .get(witness.running.url("/scim/okta/v2/Users"))
                .header("cookie", format!("key={key}")),
        ] {
            assert_eq!(witness.kept("a key in the wrong place", request).await, 401);
        }
        read_all_pages(&mut witness, &keys).await;

        let mut needles = Needles::default();
        for key in &keys {
            needles.add(secret_part(key));
        }
        let session = witness.cookie.split_once('=').unwrap().1.to_owned();
        for (what, answer) in &witness.answers {
            needles.assert_not_in(answer, &format!("the answer to {what}"));
        }
        let process = format!("/proc/{}", running.id());
        for file in ["environ", "cmdline"] {
            needles.assert_not_in(&fs::read(format!("{process}/{file}")).unwrap(), file);
        }
        // What is at rest and in the log must not have the session and the master key either.
        needles.add(&session);
        needles.add(MASTER_KEY);
        needles.assert_not_in(&database_bytes(&place.database), "the database of the running server");
        let log = running.log();
        assert!(log.lines().count() > 50, "the log is not silent");
        needles.assert_not_in(log.as_bytes(), "the log");
        running.stop().await;
        needles.assert_not_in(&database_bytes(&place.database), "the database");

        // The search finds what is there.
        let mut planted = Needles::default();
        planted.add(&keys[0]);
        assert!(
            planted
                .find(format!("…{}…", BASE64_STANDARD.encode(format!("ab{}", keys[0]))).as_bytes())
                .is_some()
        );
    }
}

/// Presents a key in a place where none belongs, and searches for it afterwards.
async fn misplace(
    place: &Place,
    key: &str,
    send: impl AsyncFn(&reqwest::Client, &Running) -> Vec<u16>,
) -> String {
    let running = place.start("trace").await;
    let statuses = send(&http_client(), &running).await;
    let taken = if statuses.iter().all(|status| (400..500).contains(status)) {
        String::new()
    } else {
        format!("{:?}: answered {statuses:?}\n", place.database.engine)
    };
    let log = running.log();
    running.stop().await;
    let mut needles = Needles::default();
    needles.add(secret_part(key));
    let places = [("the log", log.into_bytes()), ("the database", database_bytes(&place.database))];
    let found = places.iter().filter_map(|(what, bytes)| {
        needles
            .find(bytes)
            .map(|around| format!("{:?}: {what} holds it: …{around}…\n", place.database.engine))
    });
    taken + &found.collect::<String>()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_in_a_path_is_nowhere_afterwards() {
    for database in databases().await {
        let place = Place::on(database);
        let key = place.with_key("okta").await;
        let found = misplace(&place, &key, async |client, running| {
            let mut statuses = Vec::new();
            for path in [
                format!("/scim/okta/v2/Users/{key}"),
                format!("/scim/okta/v2/{key}/Users"),
                format!("/scim/{key}/v2/Users"),
                format!("/scim/okta/v2/Schemas/{key}"),
            ] {
                let url = running.url(&path);
                statuses.push(client.get(&url).bearer_auth(&key).send().await.unwrap().status().as_u16());
                statuses.push(client.delete(&url).send().await.unwrap().status().as_u16());
            }
            statuses
        });
        let found = found.await;
        assert!(found.is_empty(), "{found}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_in_a_body_is_nowhere_afterwards() {
    for database in databases().await {
        let place = Place::on(database);
        let key = place.with_key("okta").await;
        let found = misplace(&place, &key, async |client, running| {
            let mut statuses = Vec::new();
            for body in [
                format!(r#"{{"userName":"{key}"}}"#),
                format!(r#"{{"userName":"mia","externalId":"{key}"}}"#),
                format!(r#"{{"userName":"max","title":"Bearer {key}"}}"#),
            ] {
                let request = client.post(running.url("/scim/okta/v2/Users")).bearer_auth(&key).body(body);
                statuses.push(request.send().await.unwrap().status().as_u16());
            }
            statuses
        });
        let found = found.await;
        assert!(found.is_empty(), "{found}");
    }
}

/// A client of the federation `okta` that has a secret: its id, and the secret.
async fn with_client(place: &Place) -> (String, String) {
    use ops::{federations::EditFederation, oauth::NewClient, testing};
    let keyward = place.open().await;
    let admin = testing::cx(&keyward, domain::admins::Role::Admin);
    let federation = ops::federations::register(&admin, new_federation("okta")).await.unwrap();
    let edit = EditFederation {
        version: federation.version,
        name: federation.name,
        vendor: "okta".to_owned(),
        owners: "a".to_owned(),
        notes: String::new(),
        max_age_days: 90,
        overlap_hours: 72,
        warn_days: 14,
        scim: Some(domain::federations::ScimSettings { oauth_secrets: true, ..Default::default() }),
    };
    ops::federations::edit(&admin, &federation.slug, edit).await.unwrap();
    let new = new_key(&federation.slug, "client", domain::scopes::Scope::full_directory());
    let issued = ops::keys::issue_client(&admin, new, NewClient::Secret).await.unwrap();
    keyward.close().await;
    (issued.key.id.to_string(), issued.secret.unwrap().expose().to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_and_a_client_secret_are_nowhere_afterwards() {
    for database in databases().await {
        let place = Place::on(database);
        let (id, secret) = with_client(&place).await;
        let running = place.start("trace").await;
        let client = http_client();
        let ask = async |path: &str, fields: &[(&str, &str)]| {
            let request = client
                .post(running.url(path))
                .header("content-type", "application/x-www-form-urlencoded")
                .body(form(fields));
            request.send().await.unwrap()
        };
        let whole = [("grant_type", "client_credentials"), ("client_id", &id), ("client_secret", &secret)];
        let given: serde_json::Value =
            serde_json::from_str(&ask("/oauth2/token", &whole).await.text().await.unwrap()).unwrap();
        let token = given["access_token"].as_str().unwrap().to_owned();
        let mut answers = Vec::new();
        for text in [&token, &secret] {
            for (path, fields) in [
                ("/oauth2/token".to_owned(), vec![("grant_type", text.as_str())]),
                ("/oauth2/token".to_owned(), vec![("grant_type", "client_credentials"), ("client_id", text)]),
                (
                    "/oauth2/token".to_owned(),
                    vec![("grant_type", "client_credentials"), ("client_id", text), ("client_secret", text)],
                ),
                ("/oauth2/token".to_owned(), [&whole[..], &[("scope", text.as_str())]].concat()),
                (format!("/oauth2/token?client_secret={text}"), whole.to_vec()),
                (format!("/oauth2/{text}"), whole.to_vec()),
                (format!("/scim/okta/v2/Users/{text}"), vec![]),
                (format!("/scim/{text}/v2/Users"), vec![]),
            ] {
                let answer = ask(&path, &fields).await;
                assert!((400..500).contains(&answer.status().as_u16()), "{path}: {}", answer.status());
                answers.push(answer.text().await.unwrap());
            }
            for request in [
                client.get(running.url("/scim/okta/v2/Users")).basic_auth("key", Some(text)),
                client.get(running.url("/scim/okta/v2/Users")).header("user-agent", text),
                client.post(running.url("/scim/okta/v2/Users")).bearer_auth(format!("{text}{text}")),
                client
                    .post(running.url("/scim/okta/v2/Users"))
                    .bearer_auth(&token)
                    .body(format!(r#"{{"userName":"{text}"}}"#)),
            ] {
                let answer = request.send().await.unwrap();
                assert!((400..500).contains(&answer.status().as_u16()), "{}", answer.status());
                answers.push(answer.text().await.unwrap());
            }
        }
        let used = client.get(running.url("/scim/okta/v2/Users")).bearer_auth(&token).send().await.unwrap();
        assert_eq!(used.status().as_u16(), 200);
        let log = running.log();
        running.stop().await;
        let mut needles = Needles::default();
        needles.add(secret_part(&token));
        needles.add(secret_part(&secret));
        for answer in &answers {
            needles.assert_not_in(answer.as_bytes(), "an answer");
        }
        assert!(log.contains("/oauth2/token"), "the log is not silent");
        needles.assert_not_in(log.as_bytes(), "the log");
        needles.assert_not_in(&database_bytes(&place.database), "the database");
    }
}

/// A webhook that takes keys, and says back what it got where it should not.
async fn receiver(status: u16) -> (String, std::sync::Arc<std::sync::Mutex<Vec<String>>>) {
    use axum::{Router, body::Bytes, http::StatusCode};
    let taken: std::sync::Arc<std::sync::Mutex<Vec<String>>> = std::sync::Arc::default();
    let kept = std::sync::Arc::clone(&taken);
    let answer = move |body: Bytes| {
        let kept = std::sync::Arc::clone(&kept);
        async move {
            let body = String::from_utf8(body.to_vec()).unwrap();
            kept.lock().unwrap().push(body.clone());
            (StatusCode::from_u16(status).unwrap(), [("retry-after", "1")], body)
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await.unwrap() });
    (base, taken)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_leaves_neither_its_key_nor_its_credential_anywhere() {
    const SIGNING: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    for database in databases().await {
        let place = Place::on(database);
        place.with_key("taking").await;
        let (good, taken) = receiver(204).await;
        let (bad, seen) = receiver(500).await;
        let cookie = place.cookie().await;
        {
            // Both rotate before the server runs, which finds them due.
            let keyward = place.open().await;
            let admin = ops::testing::cx(&keyward, domain::admins::Role::Admin);
            ops::federations::register(&admin, new_federation("failing")).await.unwrap();
            let slug = |text: &str| domain::federations::Slug::parse(text).unwrap();
            let full = domain::scopes::Scope::full_directory();
            ops::keys::issue(&admin, new_key(&slug("failing"), "everything", full)).await.unwrap();
            for (federation, url) in [("taking", &good), ("failing", &bad)] {
                let new = ops::deliveries::NewTarget {
                    id: None,
                    version: 0,
                    connector: "webhook".to_owned(),
                    name: "Webhook".to_owned(),
                    fields: [("url".to_owned(), url.clone())].into(),
                    credential: domain::Secret::new(SIGNING.to_owned()),
                };
                ops::deliveries::set(&admin, &slug(federation), new).await.unwrap();
            }
            for view in ops::keys::list(&admin, &ops::keys::KeyFilter::default()).await.unwrap() {
                let rotate = ops::keys::Rotate { deliver: true, ..Default::default() };
                ops::keys::rotate(&admin, &view.key.id, rotate).await.unwrap();
            }
            keyward.close().await;
        }
        let running = place.start("trace").await;
        let brought = |bodies: &std::sync::Mutex<Vec<String>>| -> Option<String> {
            bodies.lock().unwrap().iter().find_map(|body| keys_in(body).pop())
        };
        let both = async {
            loop {
                if let Some(pair) = brought(&taken).zip(brought(&seen)) {
                    return pair;
                }
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        };
        let (delivered, failed) = tokio::time::timeout(crate::process::PATIENCE, both).await.unwrap();
        let mut witness = Witness { running: &running, client: http_client(), cookie, answers: Vec::new() };
        for slug in ["taking", "failing"] {
            assert_eq!(witness.page(&format!("/federations/{slug}/delivery")).await, 200);
            assert_eq!(witness.page(&format!("/federations/{slug}")).await, 200);
        }
        for path in ["/", "/audit", "/keys"] {
            assert_eq!(witness.page(path).await, 200, "{path}");
        }
        for seq in 1.. {
            if witness.page(&format!("/audit/{seq}")).await != 200 {
                break;
            }
        }
        let mut needles = Needles::default();
        needles.add(secret_part(&delivered));
        needles.add(secret_part(&failed));
        needles.add(SIGNING);
        for (what, answer) in &witness.answers {
            needles.assert_not_in(answer, &format!("the answer to {what}"));
        }
        let log = running.log();
        assert!(log.lines().count() > 20, "the log is not silent");
        needles.assert_not_in(log.as_bytes(), "the log");
        running.stop().await;
        needles.assert_not_in(&database_bytes(&place.database), "the database");
    }
}
