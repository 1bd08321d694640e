//! Every route of the dashboard: signed out, for each role, and from another site (T-AUTHZ-01, T-CSRF-01).
//!
//! To add a route, add a row to [`ROUTES`].

use axum::body::Body;
use domain::{
    admins::Role,
    federations::Slug,
    scopes::{ResourceKind, Scope, Verb},
};

use crate::house::{Browser, FROM_OUR_PAGE, House, form, house};

/// Statuses for an admin, a manager, the operator of the federation, and the operator of another.
type Row = (&'static str, &'static str, &'static str, [u16; 4]);

const FEDERATION: &str =
    "slug=new&name=New&vendor=okta&owners=a&max_age_days=90&overlap_hours=72&warn_days=14";
const EDIT: &str =
    "version=1&name=Renamed&vendor=okta&owners=a&max_age_days=90&overlap_hours=72&warn_days=14";
const KEY: &str = "federation=own&name=another&scope=read-only&lifetime_days=30&idempotency_token=t1";

const CLIENT: &str = "version=1&jwks_uri=https%3A%2F%2Fid.example.com%2Fother";

const TARGET: &str = "version=4&base_url=http%3A%2F%2F127.0.0.1%3A9%2Fv2&sign_in=bearer&secret=abc&timeout_ms=500&concurrency=1";

/// `{"id":"urn:example:a:User","attributes":[{"name":"badge","type":"string"}]}`
const SCHEMA: &str = "resource_type=User&json=%7B%22id%22%3A%22urn%3Aexample%3Aa%3AUser%22%2C%22attributes%22%3A%5B%7B%22name%22%3A%22badge%22%2C%22type%22%3A%22string%22%7D%5D%7D";

/// The order counts: what comes later stands on what came before.
const ROUTES: &[Row] = &[
    ("GET", "/", "", [200, 200, 200, 200]),
    ("GET", "/federations", "", [200, 200, 200, 200]),
    ("GET", "/federations/new", "", [200, 403, 403, 403]),
    ("GET", "/federations/own", "", [200, 200, 200, 404]),
    ("GET", "/federations/own/edit", "", [200, 403, 200, 404]),
    ("GET", "/federations/own/target", "", [200, 403, 403, 404]),
    ("GET", "/federations/own/schemas", "", [200, 403, 200, 404]),
    ("GET", "/keys", "", [200, 200, 200, 200]),
    ("GET", "/keys/new", "", [200, 403, 200, 200]),
    ("GET", "/keys/new?federation=own", "", [200, 403, 200, 200]),
    ("GET", "/keys/{key}", "", [200, 200, 200, 404]),
    ("GET", "/keys/{key}/rotate", "", [200, 403, 200, 404]),
    ("GET", "/keys/{key}/revoke", "", [200, 403, 200, 404]),
    ("GET", "/keys/{client}/client", "", [200, 403, 200, 404]),
    ("GET", "/audit", "", [200, 200, 200, 200]),
    ("GET", "/audit?federation=own", "", [200, 200, 200, 404]),
    ("GET", "/audit/1", "", [200, 200, 404, 404]),
    ("GET", "/audit/{seq}", "", [200, 200, 200, 404]),
    ("GET", "/api/search?text=own", "", [200, 200, 200, 200]),
    ("GET", "/api/keys/activity?key={key}", "", [200, 200, 200, 404]),
    ("POST", "/federations/new", FEDERATION, [303, 403, 403, 403]),
    ("POST", "/federations/own/edit", EDIT, [303, 403, 303, 404]),
    ("POST", "/federations/own/pause", "", [303, 403, 303, 404]),
    ("POST", "/federations/own/resume", "", [303, 403, 303, 404]),
    ("POST", "/federations/own/target", TARGET, [303, 403, 403, 404]),
    ("POST", "/federations/own/target/test", "", [303, 403, 409, 404]),
    ("POST", "/federations/own/target/probe", "", [303, 403, 409, 404]),
    ("POST", "/federations/own/target/quirks", "", [409, 403, 403, 404]),
    ("POST", "/federations/own/target/approve", "type=User&id=nobody", [409, 403, 409, 404]),
    ("POST", "/federations/own/target/embedded", "version=5", [303, 403, 403, 404]),
    ("POST", "/federations/own/schemas", SCHEMA, [303, 403, 303, 404]),
    ("POST", "/federations/own/schemas/remove", "urn=urn%3Aexample%3Aa%3AUser", [303, 403, 303, 404]),
    ("POST", "/keys/new", KEY, [200, 403, 200, 404]),
    ("POST", "/keys/{key}/rotate", "idempotency_token=t2", [200, 403, 200, 404]),
    ("POST", "/keys/{key}/revoke", "reason=leaked", [303, 403, 303, 404]),
    ("POST", "/keys/{client}/client", CLIENT, [303, 403, 303, 404]),
    ("POST", "/federations/own/archive", "", [303, 403, 403, 404]),
];

/// A federation `own` with a key, another one, and the place of a record about the first.
struct Scene {
    key: String,
    /// An OAuth client of the first.
    client: String,
    seq: String,
}

async fn scene(house: &House) -> Scene {
    house.federation("own").await;
    house.federation("other").await;
    let scope = Scope::of([(ResourceKind::Users, Verb::Read)]);
    let (key, _) = house.key("own", "own-1", scope.clone()).await;
    house.key("other", "other-1", scope.clone()).await;
    let new = crate::house::new_key(&Slug::parse("own").unwrap(), "own-client", scope);
    let keys = ops::oauth::NewClient::JwksUri("https://id.example.com/jwks".to_owned());
    let client = ops::keys::issue_client(&house.admin(), new, keys).await.unwrap().key.id;
    let seq =
        house.log().await.iter().position(|line| line.starts_with("key.issued done own-1")).unwrap() + 1;
    Scene { key: key.to_string(), client: client.to_string(), seq: seq.to_string() }
}

impl Scene {
    fn path(&self, path: &str) -> String {
        path.replace("{key}", &self.key).replace("{client}", &self.client).replace("{seq}", &self.seq)
    }
}

async fn send(browser: &Browser<'_>, method: &str, path: &str, body: &str) -> crate::house::Answer {
    let mut headers = Vec::new();
    if method == "POST" {
        headers.extend(FROM_OUR_PAGE);
        headers.push(("content-type", "application/x-www-form-urlencoded"));
    }
    browser.send(method, path, &headers, body.to_owned()).await
}

#[tokio::test]
async fn every_route_for_every_role() {
    let operator = |slug: &str| Role::Operator(vec![Slug::parse(slug).unwrap()]);
    let roles = [Role::Admin, Role::Manager, operator("own"), operator("other")];
    let mut wrong = Vec::new();
    for (column, role) in roles.into_iter().enumerate() {
        let house = house().await;
        let scene = scene(&house).await;
        let browser = house.signed_in(role).await;
        for (method, path, body, statuses) in ROUTES {
            let before = house.log().await.len();
            let answer = send(&browser, method, &scene.path(path), body).await;
            let words: Vec<&str> = ["admin", "manager", "operator", "operator of another"].to_vec();
            let told = house.log().await.split_off(before);
            let outcome = match (*method, answer.status) {
                ("POST", 200 | 303) => Some(" done "),
                // An attempt on what may not even be seen is answered like one on what is not there.
                ("POST", 403 | 404) => Some(" refused "),
                _ => None,
            };
            let is_told = match outcome {
                Some(outcome) => told.len() == 1 && told[0].contains(outcome),
                None => told.is_empty(),
            };
            if !is_told {
                wrong.push(format!("{method} {path} as {} is on record as {told:?}", words[column]));
            }
            if answer.status != statuses[column] {
                wrong.push(format!(
                    "{method} {path} as {}: {}, not {}",
                    words[column], answer.status, statuses[column]
                ));
            }
            // Another federation is not only closed, it is not mentioned.
            if column == 3 && answer.status == 200 {
                let told = answer.body.replace("text=own", "").replace("federation=own", "");
                for name in ["Federation own", "own-1", scene.key.as_str()] {
                    if told.contains(name) {
                        wrong.push(format!("{method} {path} mentions {name}"));
                    }
                }
            }
        }
        house.close().await;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn signed_out_every_route_leads_to_the_sign_in() {
    let house = house().await;
    let scene = scene(&house).await;
    let before = house.log().await;
    let strangers =
        [None, Some("__Host-keyward=AAAAAAAAAAAAAAAAAAAAAA"), Some("keyward=x"), Some("__Host-keyward=")];
    for cookie in strangers {
        let browser = Browser { house: &house, cookie: cookie.map(str::to_owned) };
        for (method, path, body, _) in ROUTES {
            let path = scene.path(path);
            let answer = send(&browser, method, &path, body).await;
            if *method == "GET" {
                let next: String = url::form_urlencoded::byte_serialize(path.as_bytes()).collect();
                assert_eq!(answer.status, 303, "{path}");
                let location = answer.header("location");
                assert!(location.starts_with("/sign-in"), "{path}: {location}");
                assert!(path == "/" || location.contains(&format!("next={next}")), "{path}: {location}");
                let script = browser.send("GET", &path, &[("accept", "application/json")], "").await;
                assert_eq!(script.status, 401, "{path}");
            } else {
                assert_eq!((answer.status, answer.header("location")), (401, ""), "{method} {path}");
            }
            assert_eq!(answer.header("cache-control"), "no-store", "{path}");
        }
        for path in ["/nowhere", "/keys/nowhere/else", "/api/nothing", "/pkg", "/favicon.ico"] {
            let status = browser.get(path).await.status;
            assert!(matches!(status, 303 | 404), "{path}: {status}");
        }
        assert_eq!(browser.get("/sign-in").await.status, 200);
    }
    assert_eq!(house.log().await, before, "nothing was changed");
    house.close().await;
}

#[tokio::test]
async fn an_ended_session_is_no_session() {
    let house = house().await;
    let scene = scene(&house).await;
    let browser = house.signed_in(Role::Admin).await;
    assert_eq!(browser.get("/keys").await.status, 200);
    house.clock.advance(31 * 60_000);
    assert_eq!(browser.get("/keys").await.status, 303, "idle for 31 minutes");
    let revoke = format!("/keys/{}/revoke", scene.key);
    assert_eq!(browser.post(&revoke, &[("reason", "late")]).await.status, 401);

    let browser = house.signed_in(Role::Admin).await;
    let copy = Browser { house: &house, cookie: browser.cookie.clone() };
    assert_eq!(browser.post("/auth/sign-out", &[]).await.status, 303);
    assert_eq!(copy.get("/keys").await.status, 303, "signed out");
    assert_eq!(copy.post(&revoke, &[("reason", "late")]).await.status, 401);
    house.close().await;
}

#[tokio::test]
async fn no_change_is_begun_on_another_site() {
    let house = house().await;
    let scene = scene(&house).await;
    let admin = house.signed_in(Role::Admin).await;
    let before = house.log().await;
    let foreign: &[&[(&str, &str)]] = &[
        &[],
        &[("origin", "https://evil.test")],
        &[("origin", "null")],
        &[("origin", "http://keyward.test")],
        &[("origin", "https://keyward.test:444")],
        &[("origin", "https://keyward.test.evil.test")],
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site")],
        &[("sec-fetch-site", "none"), ("origin", "https://evil.test")],
        &[("origin", "https://keyward.test"), ("sec-fetch-site", "cross-site")],
        &[("origin", "https://keyward.test"), ("origin", "https://evil.test")],
        &[("origin", "https://evil.test"), ("sec-fetch-site", "same-origin")],
        &[("referer", "https://keyward.test/keys")],
    ];
    let others =
        [("POST", "/auth/sign-out", ""), ("POST", "/api/search", "text=own"), ("POST", "/nowhere", "")];
    let posts =
        ROUTES.iter().filter(|row| row.0 == "POST").map(|(method, path, body, _)| (*method, *path, *body));
    for (_, path, body) in posts.chain(others) {
        let path = scene.path(path);
        for method in ["POST", "PUT", "PATCH", "DELETE"] {
            for headers in foreign {
                let mut headers = headers.to_vec();
                headers.push(("content-type", "application/x-www-form-urlencoded"));
                let answer = admin.send(method, &path, &headers, body.to_owned()).await;
                assert_eq!(answer.status, 403, "{method} {path} {headers:?}");
                assert!(answer.body.contains("Nothing was changed"), "{}", answer.body);
            }
        }
    }
    assert_eq!(house.log().await, before, "nothing was changed");
    assert_eq!(admin.get("/keys").await.status, 200, "still signed in");
    house.close().await;
}

#[tokio::test]
async fn no_change_comes_by_get_or_as_another_media_type() {
    let house = house().await;
    let scene = scene(&house).await;
    let admin = house.signed_in(Role::Admin).await;
    let before = house.log().await;
    for (_, path, body, _) in ROUTES.iter().filter(|row| row.0 == "POST") {
        let path = scene.path(path);
        for method in ["GET", "HEAD"] {
            let answer = admin.send(method, &format!("{path}?{body}"), &FROM_OUR_PAGE, Body::empty()).await;
            assert!(matches!(answer.status, 200 | 404 | 405), "{method} {path}: {}", answer.status);
        }
        for media_type in ["text/plain", "application/json", "multipart/form-data; boundary=x"] {
            let mut headers = FROM_OUR_PAGE.to_vec();
            headers.push(("content-type", media_type));
            let answer = admin.send("POST", &path, &headers, (*body).to_owned()).await;
            let needs_no_form =
                path.ends_with("/pause") || path.ends_with("/resume") || path.ends_with("/archive");
            assert_eq!(answer.status, 415, "{path} {media_type} {needs_no_form}");
        }
    }
    assert_eq!(house.log().await, before, "nothing was changed");
    house.close().await;
}

#[tokio::test]
async fn without_audit_no_form_changes_anything() {
    for house in crate::house::houses().await {
        let scene = scene(&house).await;
        let admin = house.signed_in(Role::Admin).await;
        let own = Slug::parse("own").unwrap();
        let before = ops::federations::open(&house.admin(), &own).await.unwrap();
        ops::testing::break_audit(&house.keyward).await;
        for (_, path, body, _) in ROUTES.iter().filter(|row| row.0 == "POST") {
            let version = format!("version={}", before.federation.version);
            let body = ["version=1", "version=4", "version=5"]
                .iter()
                .fold((*body).to_owned(), |body, seen| body.replace(seen, &version));
            let answer = send(&admin, "POST", &scene.path(path), &body).await;
            // Resuming what is not paused is refused before it is written, and so is what needs an upstream.
            let needs_another = path.ends_with("/resume") || path.contains("/target/");
            let is_refused = needs_another && answer.status == 409;
            // A schema that could not be registered is not there to be removed.
            let is_absent = path.ends_with("/schemas/remove") && answer.status == 404;
            assert!(
                is_refused || is_absent || answer.status == 503,
                "{path}: {} {}",
                answer.status,
                answer.body
            );
        }
        let after = ops::federations::open(&house.admin(), &own).await.unwrap();
        assert_eq!((after.federation, after.accepted_keys), (before.federation, before.accepted_keys));
        assert_eq!(ops::federations::list(&house.admin()).await.unwrap().len(), 2);
        house.keyward.close().await;
    }
}

#[tokio::test]
async fn every_answer_of_the_dashboard_has_its_headers() {
    let house = house().await;
    let scene = scene(&house).await;
    let admin = house.signed_in(Role::Admin).await;
    let form = form(&[("name", "")]);
    let mut answers = Vec::new();
    for (_, path, _, _) in ROUTES.iter().filter(|row| row.0 == "GET") {
        answers.push((path.to_string(), admin.get(&scene.path(path)).await));
        answers.push((path.to_string(), house.stranger().get(&scene.path(path)).await));
    }
    answers.push(("a refused form".to_owned(), send(&admin, "POST", "/federations/new", &form).await));
    answers.push(("another site".to_owned(), admin.send("POST", "/keys/new", &[], "").await));
    answers.push(("nowhere".to_owned(), admin.get("/nowhere").await));
    for (what, answer) in answers {
        let csp = answer.header("content-security-policy");
        for part in [
            "default-src 'none'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
            "object-src 'none'",
            "'nonce-",
        ] {
            assert!(csp.contains(part), "{what}: {csp}");
        }
        assert!(!csp.contains("unsafe-inline"), "{what}: {csp}");
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-resource-policy", "same-origin"),
            ("cache-control", "no-store"),
            ("server", ""),
        ] {
            assert_eq!(answer.header(name), value, "{what}: {name}");
        }
        assert!(answer.header("strict-transport-security").starts_with("max-age=31536000"), "{what}");
    }
    house.close().await;
}
