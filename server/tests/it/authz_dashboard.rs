//! Every route of the dashboard: signed out, for each role, and from another site (T-AUTHZ-01, T-CSRF-01).
//!
//! To add a route, add a row to [`routes::ROUTES`].

mod routes;
mod without_audit;

use axum::body::Body;
use domain::{
    admins::Role,
    federations::Slug,
    scopes::{ResourceKind, Scope, Verb},
};

use self::{
    routes::ROUTES,
    without_audit::{changing_of, is_of},
};
use crate::house::{Browser, FROM_OUR_PAGE, House, form, house};

/// A federation `own` with a key, another one, and the place of a record about the first.
struct Scene {
    key: String,
    /// An OAuth client of the first.
    client: String,
    /// A rotation of another key of the first.
    rotation: String,
    /// An exception from its policy.
    exception: String,
    /// A delivery target of the first.
    target: String,
    seq: String,
    /// A canary of the first that nobody has used.
    canary: String,
    /// The case of one that was used.
    case: String,
    /// That an ended key was used.
    finding: String,
    /// A webhook at which nobody listens.
    channel: String,
    /// A user of the first, and a taking back of one of its changes that waits.
    user: String,
    undo: String,
    /// What a brake of the first holds.
    braked: Braked,
    /// What was signed, and the digest of what would be signed now.
    attestation: String,
    seen: String,
}

/// A case of a brake, the list that waits in it, a window that was planned, a user that is marked.
struct Braked {
    case: String,
    until: String,
    hash: String,
    window: String,
    marked: String,
}

async fn braked(house: &House) -> Braked {
    let slug = Slug::parse("own").unwrap();
    let (_, secret) = house.key("own", "own-braked", Scope::full_directory()).await;
    let send = async |method: &str, path: &str, body: serde_json::Value| {
        let request = http::Request::builder().method(method).uri(format!("/scim/own/v2{path}"));
        let request = request.header("authorization", format!("Bearer {secret}"));
        let request = request.header("content-type", "application/scim+json");
        house.ask(request.body(Body::from(body.to_string())).unwrap()).await
    };
    let mut members = Vec::new();
    for number in 0..10 {
        let user = serde_json::json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": format!("held-{number}"),
        });
        let made: serde_json::Value = serde_json::from_str(&send("POST", "/Users", user).await.body).unwrap();
        members.push(serde_json::json!({ "value": made["id"] }));
    }
    let group = serde_json::json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "displayName": "held", "members": members,
    });
    let made: serde_json::Value = serde_json::from_str(&send("POST", "/Groups", group).await.body).unwrap();
    let path = format!("/Groups/{}", made["id"].as_str().unwrap());
    assert_eq!(send("DELETE", &path, serde_json::Value::Null).await.status, 429);
    let cases = ops::cases::list(&house.admin()).await.unwrap();
    let case = cases.iter().find(|view| view.case.kind == domain::cases::CaseKind::Brake).unwrap();
    let read = ops::brakes::of_case(&house.admin(), &case.case.id, 0).await.unwrap();
    let now_ms = house.admin().now_ms();
    let new = ops::brakes::NewWindow {
        ceiling: 5,
        begins_ms: now_ms,
        ends_ms: now_ms + domain::HOUR_MS,
        reason: "a lay-off".to_owned(),
    };
    let mark = ops::brakes::NewMark {
        resource: "held-0".to_owned(),
        kind: "canary".to_owned(),
        reason: "bait".to_owned(),
    };
    let marked = ops::brakes::mark(&house.admin(), &slug, mark).await.unwrap().resource_id;
    // Who has users here does not move to an upstream: they go again, which is planned.
    let clearance = house.planned("own", 20).await;
    for member in &members {
        let path = format!("/Users/{}", member["value"].as_str().unwrap());
        assert_eq!(send("DELETE", &path, serde_json::Value::Null).await.status, 204);
    }
    assert_eq!(send("DELETE", &path, serde_json::Value::Null).await.status, 204);
    ops::brakes::end(&house.admin(), &slug, &clearance).await.unwrap();
    let window = ops::brakes::plan(&house.admin(), &slug, new).await.unwrap().id;
    Braked {
        case: case.case.id.to_string(),
        until: read.until.to_string(),
        hash: read.hash,
        window: window.to_string(),
        marked: marked.to_string(),
    }
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
    let (turned, _) = house.key("own", "own-turned", Scope::of([(ResourceKind::Users, Verb::Read)])).await;
    ops::keys::rotate(&house.admin(), &turned, ops::keys::Rotate::default()).await.unwrap();
    let rotation = ops::rotations::of_key(&house.admin(), &turned).await.unwrap().unwrap().rotation.id;
    let own = Slug::parse("own").unwrap();
    let now_ms = house.admin().now_ms();
    let except = ops::policies::NewException {
        key_id: None,
        owner: "legal".to_owned(),
        reason: "renewal of the contract".to_owned(),
        ends_ms: now_ms + 5 * domain::DAY_MS,
    };
    let exception = ops::policies::except(&house.admin(), &own, except).await.unwrap().id;
    let told = telling(house).await;
    let seq =
        house.log().await.iter().position(|line| line.starts_with("key.issued done own-1")).unwrap() + 1;
    let (user, undo) = taken_back(house).await;
    let (target, braked) = (target(house).await, braked(house).await);
    let (attestation, seen) = signed(house).await;
    Scene {
        attestation,
        seen,
        user,
        undo,
        key: key.to_string(),
        client: client.to_string(),
        rotation: rotation.to_string(),
        exception: exception.to_string(),
        seq: seq.to_string(),
        target,
        canary: told.0,
        case: told.1,
        finding: told.2,
        channel: told.3,
        braked,
    }
}

/// What somebody signed for January, and the digest of the state.
async fn signed(house: &House) -> (String, String) {
    use ops::compliance::attestations::{Sign, draft, sign};

    let seen = draft(&house.admin(), "2026-01").await.unwrap().seen;
    let new = Sign {
        period: "2026-01".to_owned(),
        text: "I have looked at it.".to_owned(),
        seen: seen.clone(),
        is_confirmed: true,
    };
    (sign(&house.admin(), new).await.unwrap().to_string(), seen)
}

/// A user of `own`, and a confirmed plan for a change of it.
async fn taken_back(house: &House) -> (String, String) {
    let (_, text) = house.key("own", "own-pushing", Scope::full_directory()).await;
    let ask = async |method: &str, path: &str, body: &str| {
        let request = http::Request::builder()
            .method(method)
            .uri(format!("/scim/own/v2{path}"))
            .header("authorization", format!("Bearer {text}"))
            .header("content-type", "application/scim+json");
        house.ask(request.body(Body::from(body.to_owned())).unwrap()).await
    };
    let made = ask("POST", "/Users", r#"{"userName":"ada","title":"a"}"#).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let made: serde_json::Value = serde_json::from_str(&made.body).unwrap();
    let id = made["id"].as_str().unwrap().to_owned();
    let patch = r#"{"Operations":[{"op":"replace","path":"title","value":"b"}]}"#;
    assert_eq!(ask("PATCH", &format!("/Users/{id}"), patch).await.status, 200);
    let wish = ops::journal::undo::Wish {
        selection: domain::journal::Selection {
            attribute: Some("title".to_owned()),
            resource: domain::ResourceId::parse(&id),
            ..Default::default()
        },
        ..Default::default()
    };
    let (cx, slug) = (house.admin(), Slug::parse("own").unwrap());
    let plan = ops::journal::undo::plan(&cx, &slug, &wish).await.unwrap();
    let undo = ops::journal::undo::begin(&cx, &slug, &wish, &plan.hash).await.unwrap();
    // A directory that holds something keeps its target.
    let gone = ask("DELETE", &format!("/Users/{id}"), "").await;
    assert_eq!(gone.status, 204, "{}", gone.body);
    (id, undo.to_string())
}

/// A quiet canary, the case of one that was used, the finding of an ended key that was, a channel.
async fn telling(house: &House) -> (String, String, String, String) {
    let slug = Slug::parse("own").unwrap();
    let lay = async |name: &str| {
        let new = ops::compromise::canary::NewCanary {
            federation: slug.clone(),
            name: name.to_owned(),
            place: "a wiki".to_owned(),
        };
        ops::compromise::canary::issue(&house.admin(), new).await.unwrap()
    };
    let present = async |text: &str| {
        let request =
            http::Request::get("/scim/own/v2/Users").header("authorization", format!("Bearer {text}"));
        let answer = house.ask(request.body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status, 401);
    };
    let used = lay("own-used").await;
    present(used.secret.unwrap().expose()).await;
    let (ended, text) = house.key("own", "own-ended", Scope::of([(ResourceKind::Users, Verb::Read)])).await;
    ops::keys::revoke(&house.admin(), &ended, "").await.unwrap();
    present(&text).await;
    let cases = ops::cases::list(&house.admin()).await.unwrap();
    let wanted = ops::findings::Wanted {
        rule: Some(domain::findings::Rule::EndedKeyUsed),
        ..ops::findings::Wanted::default()
    };
    let found = ops::findings::list(&house.admin(), &wanted).await.unwrap();
    let channel = ops::channels::NewChannel {
        kind: "webhook".to_owned(),
        name: "nobody".to_owned(),
        url: "http://127.0.0.1:9/".to_owned(),
        least: "high".to_owned(),
        ..ops::channels::NewChannel::default()
    };
    let channel = ops::channels::add(&house.admin(), channel).await.unwrap().channel;
    let canary = lay("own-canary").await.key.id;
    (
        canary.to_string(),
        cases[0].case.id.to_string(),
        found[0].finding.id.to_string(),
        channel.id.to_string(),
    )
}

/// A webhook of the federation `own` at which nobody listens.
async fn target(house: &House) -> String {
    let new = ops::deliveries::NewTarget {
        id: None,
        version: 0,
        connector: "webhook".to_owned(),
        name: "Webhook".to_owned(),
        fields: [("url".to_owned(), "http://127.0.0.1:9/".to_owned())].into(),
        credential: domain::Secret::new("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD".to_owned()),
    };
    let target = ops::deliveries::set(&house.admin(), &Slug::parse("own").unwrap(), new).await.unwrap();
    target.id.to_string()
}

impl Scene {
    fn path(&self, path: &str) -> String {
        path.replace("{key}", &self.key)
            .replace("{client}", &self.client)
            .replace("{rotation}", &self.rotation)
            .replace("{exception}", &self.exception)
            .replace("{seq}", &self.seq)
            .replace("{target}", &self.target)
            .replace("{canary}", &self.canary)
            .replace("{case}", &self.case)
            .replace("{finding}", &self.finding)
            .replace("{channel}", &self.channel)
            .replace("{braked}", &self.braked.case)
            .replace("{until}", &self.braked.until)
            .replace("{hash}", &self.braked.hash)
            .replace("{window}", &self.braked.window)
            .replace("{marked}", &self.braked.marked)
            .replace("{user}", &self.user)
            .replace("{undo}", &self.undo)
            .replace("{attestation}", &self.attestation)
            .replace("{seen}", &self.seen)
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
            let answer = send(&browser, method, &scene.path(path), &scene.path(body)).await;
            let words: Vec<&str> = ["admin", "manager", "operator", "operator of another"].to_vec();
            let told = house.log().await.split_off(before);
            let outcome = match (*method, answer.status) {
                // What is only previewed is not done.
                ("POST", _) if path.ends_with("/preview") => None,
                ("POST", 200 | 303) => Some(" done "),
                // An attempt on what may not even be seen is answered like one on what is not there.
                // There is no such mute.
                ("POST", 404) if path.ends_with("/unmute") && column != 3 => None,
                ("POST", 403 | 404) => Some(" refused "),
                _ => None,
            };
            let is_told = match outcome {
                // An export is on record before it is read, and with its count at the end.
                None if path.starts_with("/exports/") && answer.status == 200 => {
                    told.len() == 2 && told.iter().all(|record| record.starts_with("records.exported done"))
                }
                // The rotation that is under way is withdrawn with its federation.
                Some(" done ") if path.ends_with("/archive") => {
                    matches!(told.as_slice(), [archived, withdrawn]
                        if archived.starts_with("federation.archived done") && withdrawn.starts_with("key.revoked done"))
                }
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

#[test]
fn every_form_of_the_router_stands_in_the_table_and_none_sets_an_anchor() {
    let posts = changing_of(&server::edge::forms::routes());
    let posts: Vec<String> = posts.into_iter().map(|(_, path)| path).collect();
    assert!(posts.len() > 50, "only {} forms were read from the router", posts.len());
    let missing: Vec<&String> = posts
        .iter()
        .filter(|route| !ROUTES.iter().any(|row| row.0 == "POST" && is_of(route, row.1)))
        .collect();
    assert!(missing.is_empty(), "no row walks {missing:?}");
    assert!(posts.iter().all(|route| !route.contains("anchor")), "anchors come from the configuration");
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
