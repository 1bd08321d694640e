//! Without its audit record nothing changes: every route of the whole router that changes something is walked, first
//! with a database that refuses every audit record, then with one that takes it. The routes are read from the router
//! itself; one that is in no table here fails.

use axum::Router;
use domain::{
    KeyId,
    admins::{Admin, Role},
    federations::Slug,
    scopes::Scope,
};
use ops::compromise::{Compromise, Stop};
use serde_json::{Value, json};

use super::{routes::ROUTES, scene, send};
use crate::{
    house::{Answer, Browser, Client, House, NOBODY, form, houses, open_parts},
    jws, oauth,
};

/// What a request leaves although nothing is changed: that somebody was there, and who does which work.
const ASIDE: [&str; 4] = ["sessions", "usage_batches", "usage_hours", "leases"];

/// What the request of a provider leaves besides, also when it fails: that its key was used, and what it sends that no
/// standard allows.
const OF_USAGE: [&str; 2] = ["provisioning_keys", "key_tolerances"];

/// Routes that take a method which changes and change nothing, and why.
const READS: [(&str, &str, &str); 6] = [
    ("POST", "/scim/.search", "a search"),
    ("POST", "/scim/Users/.search", "a search"),
    ("POST", "/scim/Groups/.search", "a search"),
    ("POST", "/federations/{slug}/rotation/preview", "what a policy would do"),
    ("POST", "/settings/rotation/preview", "what a policy would do"),
    ("ANY", "/api/{*path}", "the functions of `every_server_function_is_a_read`"),
];

/// Routes that need another server to come so far. Their actions are walked by
/// `without_its_audit_record_no_change_happens` (`crates/ops/tests/it/laws.rs`).
const ELSEWHERE: [(&str, &str); 2] =
    [("POST", "/federations/{slug}/target/quirks"), ("POST", "/federations/{slug}/target/approve")];

/// The routes of a router that take a method which changes, read from the router itself: method and path.
pub(super) fn changing_of<S>(router: &Router<S>) -> Vec<(String, String)> {
    let text = format!("{router:?}");
    let (routes, paths) = text.split_once("node: Node").expect("a router says its paths");
    let mut found = Vec::new();
    for route in routes.split("RouteId(").skip(1) {
        let (id, methods) = route.split_once("): MethodRouter(").expect("a route has an id");
        let path = paths.split_once(&format!("RouteId({id}): \"")).expect("a route has a path").1;
        let path = path.split_once('"').expect("a path is a text").0;
        let takes = |name: &str, nothing: &str| {
            let said = methods.split_once(&format!(" {name}: ")).expect("a route says its methods").1;
            !said.starts_with(nothing)
        };
        for method in ["post", "put", "patch", "delete"] {
            if takes(method, "None") {
                found.push((method.to_uppercase(), path.to_owned()));
            }
        }
        // `any` leaves every method to what comes last.
        if takes("fallback", "Default") {
            found.push(("ANY".to_owned(), path.to_owned()));
        }
    }
    found
}

/// Whether a path is one of a route.
pub(super) fn is_of(route: &str, path: &str) -> bool {
    let path = path.split('?').next().unwrap_or_default();
    let (route, path): (Vec<&str>, Vec<&str>) = (route.split('/').collect(), path.split('/').collect());
    route.len() == path.len()
        && route.iter().zip(&path).all(|(route, path)| route.starts_with('{') || route == path)
}

/// Every route of the whole router that takes a method which changes. Those of SCIM are without their base.
async fn changing(client: &Client<'_>) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for router in open_parts(client.house) {
        all.extend(changing_of(&router));
    }
    all.extend(changing_of(&server::edge::pages::Pages::guarded()));
    for path in server::edge::scim::PATHS {
        let answer = client.send("TRACE", &path.replace("{id}", NOBODY), &[], "").await;
        match answer.status {
            405 => {
                let methods = answer.header("allow").split(", ");
                let changing = methods.filter(|method| !["GET", "HEAD"].contains(method));
                all.extend(changing.map(|method| (method.to_owned(), format!("/scim{path}"))));
            }
            status => assert!(matches!(status, 404 | 501), "{path}: {status}"),
        }
    }
    all
}

/// What was walked so far, and what was wrong about it.
struct Walk<'a> {
    house: &'a House,
    aside: Vec<&'static str>,
    walked: Vec<(String, String)>,
    wrong: Vec<String>,
}

impl Walk<'_> {
    /// Asks while no audit record can be written, and again once one can.
    async fn step(
        &mut self,
        method: &str,
        path: &str,
        done: impl Fn(&Answer) -> bool,
        ask: impl AsyncFn() -> Answer,
    ) -> Answer {
        let is_refused = |answer: &Answer| (500..600).contains(&answer.status);
        self.step_by(method, path, is_refused, done, ask).await
    }

    async fn step_by(
        &mut self,
        method: &str,
        path: &str,
        is_refused: impl Fn(&Answer) -> bool,
        done: impl Fn(&Answer) -> bool,
        ask: impl AsyncFn() -> Answer,
    ) -> Answer {
        let keyward = &self.house.keyward;
        let before = ops::testing::rows(keyward, &self.aside).await;
        ops::testing::refuse_audit(keyward).await;
        let refused = ask().await;
        let after = ops::testing::rows(keyward, &self.aside).await;
        ops::testing::mend_audit(keyward).await;
        let what = format!("{:?} {method} {path}", self.house.database.engine);
        if !is_refused(&refused) {
            self.wrong.push(format!("{what} without audit: {} {}", refused.status, cut(&refused.body)));
        }
        let gone = before.iter().filter(|row| !after.contains(row)).map(|row| format!("- {row}"));
        let come = after.iter().filter(|row| !before.contains(row)).map(|row| format!("+ {row}"));
        let changed: Vec<String> = gone.chain(come).collect();
        if !changed.is_empty() {
            self.wrong.push(format!("{what} without audit changed\n  {}", changed.join("\n  ")));
        }
        let answer = ask().await;
        if !done(&answer) {
            self.wrong.push(format!("{what} with audit: {} {}", answer.status, cut(&answer.body)));
        }
        self.walked.push((method.to_owned(), path.to_owned()));
        answer
    }

    /// A form of somebody.
    async fn form(&mut self, browser: &Browser<'_>, path: &str, body: &str) -> Answer {
        let done = |answer: &Answer| matches!(answer.status, 200 | 303);
        self.step("POST", path, done, async || send(browser, "POST", path, body).await).await
    }
}

fn status(wanted: u16) -> impl Fn(&Answer) -> bool {
    move |answer| answer.status == wanted
}

fn cut(text: &str) -> String {
    text.chars().take(400).collect()
}

#[test]
fn every_server_function_is_a_read() {
    let mut paths: Vec<&str> = leptos::server_fn::axum::server_fn_paths().map(|(path, _)| path).collect();
    paths.sort_unstable();
    assert_eq!(paths, ["/api/keys/activity", "/api/search"]);
}

#[tokio::test]
async fn without_its_audit_record_no_route_of_the_whole_router_changes_anything() {
    for house in houses().await {
        let scene = scene(&house).await;
        let mut walk = Walk { house: &house, aside: ASIDE.to_vec(), walked: Vec::new(), wrong: Vec::new() };
        let browsers = [
            house.signed_in(Role::Admin).await,
            house.signed_in(Role::Manager).await,
            house.signed_in(Role::Operator(vec![Slug::parse("own").unwrap()])).await,
        ];
        for (method, path, body, statuses) in ROUTES {
            // Who may do it, in the state that the rows before have left; what is only previewed is not done.
            let who = statuses.iter().position(|status| matches!(status, 200 | 303));
            let Some(browser) = who.and_then(|who| browsers.get(who)) else { continue };
            if *method == "POST" && !path.ends_with("/preview") {
                walk.form(browser, &scene.path(path), &scene.path(body)).await;
            }
        }
        let client = house.client("okta").await;
        forms(&mut walk, &client, &browsers[0]).await;
        provider(&mut walk, &client).await;
        strangers(&mut walk, &client).await;
        sensitive_reads(&mut walk, &client, &browsers[0]).await;

        let all = changing(&client).await;
        assert!(all.len() > 70, "only {} routes were read from the router", all.len());
        let mut unwalked = Vec::new();
        for (method, route) in &all {
            let is_read = READS.iter().any(|(by, path, _)| (by, path) == (&method.as_str(), &route.as_str()));
            let is_walked = !is_read
                && walk
                    .walked
                    .iter()
                    .any(|(by, path)| (by == method || method == "ANY") && is_of(route, path));
            let is_elsewhere = ELSEWHERE.contains(&(method.as_str(), route.as_str()));
            if !is_read && is_walked == is_elsewhere {
                unwalked.push(format!("{method} {route}"));
            }
        }
        assert!(unwalked.is_empty(), "in no table, or in two: {unwalked:?}");
        assert!(walk.wrong.is_empty(), "{}", walk.wrong.join("\n"));
        house.close().await;
    }
}

/// Forms whose row in [`ROUTES`] is refused to everybody, each in a state in which it is done.
async fn forms(walk: &mut Walk<'_>, client: &Client<'_>, browser: &Browser<'_>) {
    let (house, okta) = (client.house, Slug::parse("okta").unwrap());
    let version = async || ops::federations::open(&house.admin(), &okta).await.unwrap().federation.version;
    let rules = format!("version={}&r1.most=450&reason=calmer", version().await);
    walk.form(browser, "/federations/okta/behaviour", &rules).await;

    for path in ["scope", "tighten"] {
        let (id, _) = house.key("okta", path, Scope::full_directory()).await;
        let version = ops::keys::open(&house.admin(), &id).await.unwrap().key.version;
        let body = format!("version={version}&when=now&grant=users-read");
        walk.form(browser, &format!("/keys/{id}/{path}"), &body).await;
    }

    let user = client.user("undone").await;
    let title = json!([{ "op": "replace", "path": "title", "value": "b" }]);
    assert_eq!(client.patch(&format!("/Users/{user}"), &title).await.status, 200);
    let wish = ops::journal::undo::Wish {
        selection: domain::journal::Selection {
            attribute: Some("title".to_owned()),
            resource: domain::ResourceId::parse(&user),
            ..Default::default()
        },
        ..Default::default()
    };
    let plan = ops::journal::undo::plan(&house.admin(), &okta, &wish).await.unwrap();
    let body = form(&[("attribute", "title"), ("resource", user.as_str()), ("plan", plan.hash.as_str())]);
    walk.form(browser, "/federations/okta/undo", &body).await;

    let mark = form(&[("resource", "undone"), ("kind", "canary"), ("reason", "bait")]);
    walk.form(browser, "/federations/okta/brakes/mark", &mark).await;

    let new = ops::findings::mutes::NewMute {
        federation: Some(okta.clone()),
        rule: domain::findings::Rule::OverAge,
        subject: None,
        reason: "known".to_owned(),
        days: 3,
    };
    let mute = ops::findings::mutes::mute(&house.admin(), new).await.unwrap().id;
    walk.form(browser, "/findings/unmute", &format!("federation=okta&mute={mute}")).await;

    finish(walk, client, browser).await;
    hand_over(walk, client, browser).await;

    ops::rotations::scheduler::round(&house.keyward, "a node").await.unwrap();
    let jumped = "UPDATE installation_settings SET body =
        '{\"last_round_ms\":1,\"jump\":{\"from_ms\":1,\"to_ms\":2}}', version = version + 1 WHERE name = 'rotation.clock'";
    store::testing::run_sql(&house.database.target, jumped.to_owned()).await;
    walk.form(browser, "/rotation/clock", "").await;
}

/// A rotation whose successor has worked.
async fn finish(walk: &mut Walk<'_>, client: &Client<'_>, browser: &Browser<'_>) {
    let house = client.house;
    let (old, _) = house.key("okta", "finished", Scope::full_directory()).await;
    let turned = ops::keys::rotate(&house.admin(), &old, ops::keys::Rotate::default()).await.unwrap();
    let key = turned.secret.unwrap().expose().to_owned();
    let successor = Client { house, base: client.base.clone(), key };
    assert_eq!(successor.get(&format!("/Users/{NOBODY}")).await.status, 404);
    ops::rotations::scheduler::round(&house.keyward, "a node").await.unwrap();
    let rotation = ops::rotations::of_key(&house.admin(), &old).await.unwrap().unwrap().rotation.id;
    walk.form(browser, &format!("/rotation/{rotation}/finish"), "reason=it+has+moved").await;
}

/// A link that is made, and one that is opened by its person.
async fn hand_over(walk: &mut Walk<'_>, client: &Client<'_>, browser: &Browser<'_>) {
    let house = client.house;
    let (lost, _) = house.key("okta", "lost", Scope::full_directory()).await;
    let report = Compromise { stop: Stop::Hold, reason: "seen".to_owned(), leaked_ms: None };
    ops::compromise::report(&house.admin(), &lost, report).await.unwrap();
    let successor: KeyId =
        ops::keys::open(&house.admin(), &lost).await.unwrap().key.successor_id.expect("a successor");
    let path = format!("/keys/{successor}/hand-over");
    let made = walk.form(browser, &path, "person=ana%40example.com").await;
    let token = made.body.split("/hand-over/").nth(1).expect("the page shows the link")[..43].to_owned();
    let email = Some("ana@example.com".to_owned());
    let ana = Admin { email, ..ops::testing::person(Role::Admin) };
    let ana = house.signed_in_as(ana).await;
    walk.form(&ana, &format!("/hand-over/{token}"), "").await;
}

/// What an identity provider does.
async fn provider(walk: &mut Walk<'_>, client: &Client<'_>) {
    walk.aside.extend(OF_USAGE);
    for (kind, name) in [("/Users", "userName"), ("/Groups", "displayName")] {
        let body = |text: &str| json!({ name: format!("{text}-{kind}") });
        let (collection, single) = (format!("/scim{kind}"), format!("/scim{kind}/{{id}}"));
        let made = walk
            .step("POST", &collection, status(201), async || client.post(kind, &body("made")).await)
            .await;
        let path = format!("{kind}/{}", made.id());
        walk.step("PUT", &single, status(200), async || client.put(&path, &body("put")).await).await;
        let patch = json!([{ "op": "replace", "path": "externalId", "value": "x" }]);
        walk.step("PATCH", &single, status(200), async || client.patch(&path, &patch).await).await;
        walk.step("DELETE", &single, status(204), async || client.delete(&path).await).await;
    }
    // A Bulk answers for each of its operations.
    let of_operation =
        |answer: &Answer| answer.json()["Operations"][0]["status"].as_str().unwrap_or_default().to_owned();
    let bulk = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],
        "Operations": [{ "method": "POST", "path": "/Users", "bulkId": "a", "data": { "userName": "bulk" } }],
    });
    let is_refused = move |answer: &Answer| of_operation(answer).starts_with('5');
    let is_done = move |answer: &Answer| of_operation(answer) == "201";
    walk.step_by("POST", "/scim/Bulk", is_refused, is_done, async || client.post("/Bulk", &bulk).await).await;
    walk.aside = ASIDE.to_vec();
}

/// Routes that no session opens, and the end of one.
async fn strangers(walk: &mut Walk<'_>, client: &Client<'_>) {
    let house = client.house;
    let id = oauth::client(house, "walked", Scope::full_directory(), &[&jws::P256]).await;
    // The assertion is good for one token: it is not used up by one that was not given.
    let assertion = oauth::Draft::of(house, &id, "ES256", &jws::P256).sign();
    walk.step("POST", "/oauth2/token", status(200), async || oauth::ask(house, &assertion, &[]).await).await;

    let (_, leaked) = house.key("okta", "leaked", Scope::full_directory()).await;
    let report = json!([{ "token": leaked, "type": "keyward_key", "url": "", "source": "commit" }]);
    let is_found = |answer: &Answer| answer.status == 200 && answer.json()[0]["label"] == "true_positive";
    let ask = async || {
        let request = http::Request::post("/api/leaks").header("content-type", "application/json");
        house.ask(request.body(report.to_string().into()).unwrap()).await
    };
    walk.step("POST", "/api/leaks", is_found, ask).await;

    let leaving = house.signed_in(Role::Admin).await;
    let ask = async || {
        // Whoever could not be signed out is still signed in, and knows it.
        assert_eq!(leaving.get("/keys").await.status, 200);
        leaving.post("/auth/sign-out", &[]).await
    };
    walk.step("POST", "/auth/sign-out", status(303), ask).await;
    assert_eq!(leaving.get("/keys").await.status, 303, "signed out");
}

/// Reads that are recorded: nothing is shown without the record.
async fn sensitive_reads(walk: &mut Walk<'_>, client: &Client<'_>, browser: &Browser<'_>) {
    let user = client.user("read-about").await;
    let shown = |answer: &Answer| answer.status == 200;
    for path in [
        "/exports/usage?federation=okta".to_owned(),
        "/exports/audit?format=jsonl".to_owned(),
        "/exports/findings?format=ocsf".to_owned(),
        format!("/api/usage?federation=okta&resource={user}"),
        "/api/usage?federation=okta&person=read-about".to_owned(),
        format!("/usage?federation=okta&resource={user}"),
    ] {
        let is_refused = |answer: &Answer| {
            let told: Value = serde_json::from_str(&answer.body).unwrap_or_default();
            let shows = ["request_id", "/usage/requests/"].iter().any(|words| answer.body.contains(words));
            (500..600).contains(&answer.status) && told["records"].is_null() && !shows
        };
        walk.step_by("GET", &path, is_refused, shown, async || browser.get(&path).await).await;
    }
}
