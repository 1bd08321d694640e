//! A federation whose users and groups are kept by another service: one that misbehaves in every
//! way, one that behaves (a second Keyward), and the death of the process in between.

mod asks;
mod habits;
mod hostile;
mod neighbours;
mod quirky;
mod real;
mod tls;
mod undo;

use domain::{
    Secret,
    admins::Role,
    federations::{Federation, Slug},
    upstreams::{Limits, Trouble},
};
use ops::gateway::{
    probe,
    target::{self, NewUpstream},
};
use serde_json::{Value, json};
use store::testing::databases;

use self::hostile::{Hostile, Mood};
use crate::{
    house::{Answer, Client, House, USER_URN, filter, house, houses},
    process::{Place, http_client},
};

const CREDENTIAL: &str = "upstream-credential-4711-which-nobody-may-see";

pub fn new_upstream(federation: &Federation, base_url: &str, credential: &str) -> NewUpstream {
    NewUpstream {
        version: federation.version,
        base_url: base_url.to_owned(),
        sign_in: "bearer".to_owned(),
        user: String::new(),
        token_url: String::new(),
        client_id: String::new(),
        scope: String::new(),
        secret: Secret::new(credential.to_owned()),
        trusted_ca: String::new(),
        quirks: Vec::new(),
        limits: Limits { timeout_ms: 1_000, concurrency: 16 },
    }
}

/// A client of a new federation that forwards to a service.
pub async fn forwarding<'h>(house: &'h House, slug: &str, base_url: &str, credential: &str) -> Client<'h> {
    let client = house.client(slug).await;
    let slug = Slug::parse(slug).unwrap();
    let federation = ops::federations::open(&house.admin(), &slug).await.unwrap().federation;
    let new = new_upstream(&federation, base_url, credential);
    target::set_upstream(&house.admin(), &slug, new).await.unwrap();
    client
}

fn user(name: &str) -> Value {
    json!({ "schemas": [USER_URN], "userName": name, "externalId": format!("x-{name}") })
}

/// Asserts that a provider is told to come back, and in how many whole seconds.
fn assert_come_back(answer: &Answer, status: u16, what: &str) -> u32 {
    answer.assert_scim_error(status, what);
    answer.header("retry-after").parse().unwrap_or_else(|_| panic!("{what}: {:?}", answer.headers))
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_an_upstream_does_a_provider_is_told_the_truth_and_nothing_is_made_twice() {
    for house in houses().await {
        let hostile = Hostile::start().await;
        let client = forwarding(&house, "gate", &hostile.base(), CREDENTIAL).await;
        assert_eq!(client.post("/Users", &user("first")).await.status, 201);
        let before_kib = resident_kib();
        for mood in [
            Mood::Hang,
            Mood::CreateAndHang,
            Mood::CreateAndFail,
            Mood::Drip,
            Mood::Flood,
            Mood::Html,
            Mood::WrongId,
            Mood::Redirect,
            Mood::BreakOff,
            Mood::Lock,
        ] {
            let name = format!("{mood:?}").to_lowercase();
            hostile.is(mood);
            let answer = client.post("/Users", &user(&name)).await;
            assert_come_back(&answer, 503, &name);
            // As long as it goes on, reading is no better.
            let answer = client.get("/Users").await;
            assert_come_back(&answer, 503, &name);
            hostile.is(Mood::Kind);
            house.clock.advance(60_000);
            let answer = client.post("/Users", &user(&name)).await;
            assert_eq!(answer.status, 201, "{name}: {}", answer.body);
            let made = hostile.names().into_iter().filter(|made| *made == name).count();
            assert_eq!(made, 1, "{name}: {:?}", hostile.asked.lock().unwrap());
            let id = answer.id();
            assert_eq!(client.get(&format!("/Users/{id}")).await.json()["userName"], json!(name));
        }
        let grown_kib = resident_kib().saturating_sub(before_kib);
        assert!(grown_kib < 64 * 1024, "grown by {grown_kib} KiB");
        let asked = hostile.asked.lock().unwrap().join("\n");
        assert!(!asked.contains("meta-data"), "{asked}");

        hostile.is(Mood::Throttle);
        let answer = client.post("/Users", &user("slow")).await;
        let seconds = assert_come_back(&answer, 429, "throttle");
        assert!(seconds <= 120, "{seconds}");
        let view = target::view(&house.admin(), &Slug::parse("gate").unwrap()).await.unwrap();
        assert_eq!(view.upstream.unwrap().open_calls, 0);
        house.close().await;
    }
}

#[tokio::test]
async fn an_upstream_that_is_not_there_is_told_as_weather() {
    let house = house().await;
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}/v2", nobody.local_addr().unwrap());
    drop(nobody);
    let client = forwarding(&house, "gate", &base, CREDENTIAL).await;
    let answer = client.post("/Users", &user("mia")).await;
    assert_come_back(&answer, 503, "refused");
    let view = target::view(&house.admin(), &Slug::parse("gate").unwrap()).await.unwrap();
    assert_eq!(view.upstream.unwrap().open_calls, 0, "nothing was sent, and nothing is unknown");
    let tested = target::test(&house.admin(), &Slug::parse("gate").unwrap()).await.unwrap();
    assert_eq!((tested.worked, tested.trouble), (false, Some(Trouble::Unreachable)), "{}", tested.note);
    // What only the upstream could say is not promised; what is done here is.
    let config = client.get("/ServiceProviderConfig").await.json();
    assert_eq!((&config["bulk"]["supported"], &config["etag"]["supported"]), (&json!(true), &json!(false)));
    let one = json!({ "method": "POST", "path": "/Users", "bulkId": "a", "data": user("tom") });
    let schemas = ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"];
    let bulk = client.post("/Bulk", &json!({ "schemas": schemas, "Operations": [one] })).await;
    assert_eq!((bulk.status, &bulk.json()["Operations"][0]["status"]), (200, &json!("503")), "{}", bulk.body);
    house.close().await;
}

#[tokio::test]
async fn keyward_signs_in_in_each_way_and_keeps_a_token_as_long_as_it_is_good() {
    let house = house().await;
    let hostile = Hostile::start().await;
    let client = forwarding(&house, "gate", &hostile.base(), CREDENTIAL).await;
    let slug = Slug::parse("gate").unwrap();
    let set = async |change: &dyn Fn(&mut NewUpstream)| {
        let federation = ops::federations::open(&house.admin(), &slug).await.unwrap().federation;
        let mut new = new_upstream(&federation, &hostile.base(), CREDENTIAL);
        change(&mut new);
        target::set_upstream(&house.admin(), &slug, new).await.unwrap();
        hostile.credentials.lock().unwrap().clear();
    };
    hostile.credentials.lock().unwrap().clear();
    assert_eq!(client.get("/Users").await.status, 200);
    assert_eq!(*hostile.credentials.lock().unwrap(), [format!("Bearer {CREDENTIAL}")]);

    set(&|new| {
        new.sign_in = "basic".to_owned();
        new.user = "keyward".to_owned();
        new.secret = Secret::new("open sesame".to_owned());
    })
    .await;
    assert_eq!(client.get("/Users").await.status, 200);
    assert_eq!(*hostile.credentials.lock().unwrap(), ["Basic a2V5d2FyZDpvcGVuIHNlc2FtZQ=="]);

    let token_url = format!("http://{}/token", hostile.address);
    set(&|new| {
        new.sign_in = "oauth".to_owned();
        new.token_url.clone_from(&token_url);
        new.client_id = "keyward".to_owned();
    })
    .await;
    for _ in 0..2 {
        assert_eq!(client.get("/Users").await.status, 200);
    }
    let seen = hostile.credentials.lock().unwrap().clone();
    assert!(seen[0].starts_with("Basic "), "{seen:?}");
    assert_eq!(seen[1..], ["Bearer token-number-1", "Bearer token-number-1"]);
    // A token that is refused before its end is not tried again.
    hostile.is(Mood::Lock);
    assert_come_back(&client.get("/Users").await, 503, "lock");
    let last_test = async || {
        let view = target::view(&house.admin(), &slug).await.unwrap();
        view.upstream.unwrap().upstream.last_test.and_then(|tested| tested.trouble)
    };
    assert_eq!(last_test().await, Some(Trouble::Credential), "the page says so at once");
    hostile.is(Mood::Html);
    target::test(&house.admin(), &slug).await.unwrap();
    assert_eq!(last_test().await, Some(Trouble::Answer));
    hostile.is(Mood::Kind);
    assert_eq!(client.get("/Users").await.status, 200);
    assert_eq!(hostile.credentials.lock().unwrap().last().unwrap(), "Bearer token-number-2");
    house.close().await;
}

#[tokio::test]
async fn the_credential_of_an_upstream_is_nowhere() {
    for house in houses().await {
        let hostile = Hostile::start().await;
        let client = forwarding(&house, "gate", &hostile.base(), CREDENTIAL).await;
        let mut told = vec![client.post("/Users", &user("mia")).await.body];
        hostile.is(Mood::Echo);
        told.push(client.post("/Users", &user("tom")).await.body);
        told.push(client.get("/Users").await.body);
        hostile.is(Mood::Kind);
        house.clock.advance(60_000);
        let slug = Slug::parse("gate").unwrap();
        target::test(&house.admin(), &slug).await.unwrap();
        let browser = house.signed_in(Role::Admin).await;
        for path in ["/federations/gate", "/federations/gate/target", "/audit"] {
            let page = browser.get(path).await;
            assert_eq!(page.status, 200, "{path}: {}", page.body);
            told.push(page.body);
        }
        // A form that comes back does not show what was typed.
        let federation = ops::federations::open(&house.admin(), &slug).await.unwrap().federation;
        let version = federation.version.to_string();
        let typed = "another-credential-that-was-typed-in";
        let fields = [
            ("version", version.as_str()),
            ("base_url", "https://10.0.0.1/v2"),
            ("sign_in", "bearer"),
            ("secret", typed),
            ("timeout_ms", "1000"),
            ("concurrency", "4"),
        ];
        let page = browser.post("/federations/gate/target", &fields).await;
        assert_eq!(page.status, 422);
        assert!(page.body.contains("address that Keyward does not call"), "{}", page.body);
        assert!(!page.body.contains(typed));
        told.push(page.body);
        for text in &told {
            assert!(!text.contains(CREDENTIAL), "{text}");
        }
        let bytes = house.bytes();
        for needle in [CREDENTIAL.as_bytes(), typed.as_bytes()] {
            assert!(!bytes.windows(needle.len()).any(|window| window == needle));
        }
        house.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_keyward_behaves_and_no_id_of_it_is_seen() {
    let upstream = Place::on(store::testing::sqlite());
    let key = upstream.with_key("target").await;
    let running = upstream.start("info").await;
    let base = running.url("/scim/target/v2");
    for house in houses().await {
        let client = forwarding(&house, "gate", &base, &key).await;
        house.planned("gate", 100).await;
        let made = client.post("/Users", &user("mia@example.com")).await;
        assert_eq!(made.status, 201, "{}", made.body);
        let id = made.id();
        assert_eq!(made.header("location"), format!("https://keyward.test/scim/gate/v2/Users/{id}"));
        assert!(!made.header("etag").is_empty());
        let again = client.post("/Users", &user("MIA@example.com")).await;
        assert_eq!(again.assert_scim_error(409, "again").as_deref(), Some("uniqueness"));

        // What Entra sends is understood by an upstream that is told it in the words of the RFC.
        let path = format!("/Users/{id}");
        let off = json!([
            { "op": "Replace", "path": "active", "value": "False" },
            { "op": "Replace", "value": { "name.givenName": "Mia", "title": "Lead" } },
        ]);
        let patched = client.patch(&path, &off).await;
        assert_eq!((patched.status, &patched.json()["active"]), (200, &json!(false)), "{}", patched.body);
        assert_eq!(patched.json()["name"]["givenName"], "Mia");
        let stale =
            client.send("PUT", &path, &[("if-match", "W/\"1\"")], user("mia@example.com").to_string()).await;
        stale.assert_scim_error(412, "stale");
        let same = client.send("GET", &path, &[("if-none-match", patched.header("etag"))], "").await;
        assert_eq!(same.status, 304);

        let group = json!({ "displayName": "Team", "members": [{ "value": id }] });
        let group = client.post("/Groups", &group).await;
        assert_eq!((group.status, &group.json()["members"][0]["value"]), (201, &json!(id)), "{}", group.body);
        let twin = client.post("/Groups", &json!({ "displayName": "team" })).await;
        twin.assert_scim_error(409, "a group of the same name");
        let groups = client.get(&path).await.json();
        assert_eq!(groups["groups"][0]["value"], json!(group.id()));
        let removal = json!([{ "op": "Remove", "path": "members", "value": [{ "value": id }] }]);
        let emptied = client.patch(&format!("/Groups/{}", group.id()), &removal).await;
        assert_eq!((emptied.status, emptied.json().get("members")), (200, None), "{}", emptied.body);

        for number in 0..12 {
            assert_eq!(client.post("/Users", &user(&format!("u{number}"))).await.status, 201);
        }
        let mut seen = Vec::new();
        for start in [1, 6, 11, 16] {
            let page = client.get(&format!("/Users?startIndex={start}&count=5")).await.json();
            assert_eq!((&page["totalResults"], &page["startIndex"]), (&json!(13), &json!(start)));
            seen.extend(page["Resources"].as_array().unwrap().iter().map(|user| user["id"].to_string()));
        }
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 13);
        let found = client.get(&format!("/Users{}", filter(&format!("id eq \"{id}\"")))).await.json();
        assert_eq!(found["totalResults"], json!(1));
        let unknown = client.get(&format!("/Users{}", filter("userName eq \"nobody\""))).await.json();
        assert_eq!((&unknown["totalResults"], &unknown["Resources"]), (&json!(0), &json!([])));

        // Nothing that the provider was told holds an id or an address of the upstream.
        let theirs = http_client().get(format!("{base}/Users")).bearer_auth(&key).send().await.unwrap();
        let theirs: Value = serde_json::from_slice(&theirs.bytes().await.unwrap()).unwrap();
        let told = client.get("/Users").await.body + &client.get("/Groups").await.body;
        for user in theirs["Resources"].as_array().unwrap() {
            assert!(!told.contains(user["id"].as_str().unwrap()));
        }
        assert!(!told.contains(&running.address.to_string()));

        for path in [path, format!("/Groups/{}", group.id())] {
            assert_eq!(client.delete(&path).await.status, 204);
            client.get(&path).await.assert_scim_error(404, "deleted");
        }
        for number in 0..12 {
            let query = filter(&format!("userName eq \"u{number}\""));
            let found = client.get(&format!("/Users{query}")).await.json();
            let id = found["Resources"][0]["id"].as_str().unwrap().to_owned();
            assert_eq!(client.delete(&format!("/Users/{id}")).await.status, 204);
        }
        asks::asks(&client, true).await;
        let kept = probe::probe(&house.admin(), &Slug::parse("gate").unwrap()).await.unwrap();
        assert_eq!(kept.counts[3], 0, "{:#?}", kept.findings);
        assert_eq!(kept.left_behind, Vec::<String>::new());
        house.close().await;
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_dies_between_call_and_outcome_finds_out_what_became_of_it() {
    for database in databases().await {
        let hostile = Hostile::start().await;
        let place = Place::on(database);
        let key = place.with_key("gate").await;
        let keyward = place.open().await;
        let admin = ops::testing::cx(&keyward, Role::Admin);
        let slug = Slug::parse("gate").unwrap();
        let federation = ops::federations::open(&admin, &slug).await.unwrap().federation;
        let new = new_upstream(&federation, &hostile.base(), CREDENTIAL);
        target::set_upstream(&admin, &slug, new).await.unwrap();
        keyward.close().await;

        let running = place.start("info").await;
        hostile.is(Mood::CreateAndHang);
        let mut came = hostile.came.subscribe();
        let url = running.url("/scim/gate/v2/Users");
        let post = http_client().post(&url).bearer_auth(&key).body(user("mia").to_string()).send();
        let dies = async {
            came.wait_for(|count| *count == 1).await.unwrap();
            running.kill().await;
        };
        let (answered, ()) = tokio::join!(post, dies);
        assert!(answered.is_err(), "nobody was told anything");

        hostile.is(Mood::Kind);
        let mut running = place.start("info").await;
        running.told("found out what became of calls to upstreams").await;
        let url = running.url("/scim/gate/v2/Users");
        let again = http_client().post(&url).bearer_auth(&key).body(user("mia").to_string()).send();
        assert_eq!(again.await.unwrap().status(), 409, "it is there, and ours");
        assert_eq!(hostile.names(), ["mia"]);
        assert!(!running.log().contains(CREDENTIAL));
        running.stop().await;
        let keyward = place.open().await;
        let view = target::view(&ops::testing::cx(&keyward, Role::Admin), &slug).await.unwrap();
        let view = view.upstream.unwrap();
        assert_eq!((view.open_calls, view.users), (0, 1));
        keyward.close().await;
    }
}

#[tokio::test]
async fn the_command_probes_a_service_and_says_what_it_found() {
    let upstream = Place::on(store::testing::sqlite());
    let key = upstream.with_key("target").await;
    let running = upstream.start("info").await;
    let token = upstream.folder.path().join("token");
    std::fs::write(&token, format!("{key}\n")).unwrap();
    let url = running.url("/scim/target/v2");
    let output = upstream.run(&["probe", "--url", &url, "--token-file", token.to_str().unwrap()]).await;
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains(" 0 failed"), "{said}");
    assert!(!said.contains(&key));
    let arguments = ["probe", "--url", &url, "--token-file", token.to_str().unwrap(), "--quirks"];
    let output = upstream.run(&arguments).await;
    let quirks: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(quirks["no_patch"], json!(false));
    let output = upstream
        .run(&["probe", "--url", "http://169.254.169.254/", "--token-file", token.to_str().unwrap()])
        .await;
    assert_eq!(output.status.code(), Some(1));
    let output = upstream.run(&["probe", "--url", &url]).await;
    assert_eq!(output.status.code(), Some(2));
    running.stop().await;
}
