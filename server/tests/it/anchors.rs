//! Checkpoints that leave the house: a receiver of webhooks that keeps them, and what is told when none can be signed
//! or none arrives (T-AUD-03).

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU16, Ordering},
    },
};

use axum::{Router, body::Bytes, extract::State, routing::post};
use domain::{
    Secret,
    audit::checkpoint::Checkpoint,
    findings::{Finding, Rule},
};
use http::{HeaderMap, StatusCode};
use ops::{
    audit::{anchors as of_log, checkpoint},
    findings::Wanted,
};
use serde_json::Value;
use server::out::{
    anchors::{self, AuditSettings},
    egress::{Allowed, Egress},
};
use standardwebhooks::Webhook;
use store::testing::{databases, run_sql};
use tokio::net::TcpListener;
use url::Url;

use crate::{
    house::{House, houses},
    process::{Place, http_client},
};

const SIGNING: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

/// One call.
#[derive(Debug, Clone, PartialEq)]
struct Call {
    id: String,
    size: i64,
    root: String,
    note: String,
}

/// A receiver that believes only what is signed, keeps it, and then answers as it is told.
#[derive(Clone)]
struct Receiver {
    url: Url,
    calls: Arc<Mutex<Vec<Call>>>,
    status: Arc<AtomicU16>,
}

impl Receiver {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/kept", listener.local_addr().unwrap()).parse().unwrap();
        let receiver = Self { url, calls: Arc::default(), status: Arc::new(AtomicU16::new(204)) };
        let router = Router::new().route("/kept", post(Self::take)).with_state(receiver.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        receiver
    }

    #[expect(clippy::unused_async, reason = "a handler is a future")]
    async fn take(State(receiver): State<Self>, headers: HeaderMap, body: Bytes) -> StatusCode {
        let header = |name: &str| headers[name].to_str().unwrap().to_owned();
        let at: i64 = header("webhook-timestamp").parse().unwrap();
        // The checker compares with the time of this machine, which may be another: the signature is what counts.
        let signed = Webhook::new(SIGNING).unwrap().sign(&header("webhook-id"), at, &body).unwrap();
        if signed != header("webhook-signature") {
            return StatusCode::UNAUTHORIZED;
        }
        let told: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(told["type"], "audit.checkpoint");
        let text = |name: &str| told["data"][name].as_str().unwrap().to_owned();
        let call = Call {
            id: header("webhook-id"),
            size: told["data"]["size"].as_i64().unwrap(),
            root: text("root"),
            note: text("note"),
        };
        receiver.calls.lock().unwrap().push(call);
        StatusCode::from_u16(receiver.status.load(Ordering::SeqCst)).unwrap()
    }

    fn answers(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }

    fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }
}

fn settings(url: &Url, secret: &str) -> AuditSettings {
    AuditSettings { webhook: Some((url.clone(), Secret::new(secret.to_owned()))), ..AuditSettings::default() }
}

fn loopback() -> Egress {
    Egress::new(vec![Allowed::parse("http://127.0.0.0/8").unwrap()], Vec::new())
}

/// One more audit record, and a checkpoint over all of them.
async fn signed(house: &House, slug: &str) -> i64 {
    house.federation(slug).await;
    let round = checkpoint::sign_now(&house.keyward).await.unwrap().unwrap();
    round.signed.expect("there was something to sign")
}

async fn findings(house: &House, rule: Rule, closed: bool) -> Vec<Finding> {
    let wanted = Wanted { rule: Some(rule), closed, ..Wanted::default() };
    let found = ops::findings::list(&house.admin(), &wanted).await.unwrap();
    found.into_iter().map(|view| view.finding).collect()
}

#[tokio::test]
async fn a_webhook_is_told_every_checkpoint_in_order_and_catches_up_after_an_outage() {
    for house in houses().await {
        let receiver = Receiver::start().await;
        let list = anchors::of(settings(&receiver.url, SIGNING), &loopback()).unwrap();
        house.keyward.connect_anchors(list);
        let key = house.keyward.audit_key().unwrap();
        let tell = async || of_log::tell(&house.keyward).await.unwrap();
        let mut sizes = vec![signed(&house, "one").await];
        assert_eq!((tell().await, tell().await), (1, 0), "once");
        let first = receiver.calls().remove(0);
        let (checkpoint, is_signed) = Checkpoint::open(&first.note, std::slice::from_ref(&key)).unwrap();
        assert!(is_signed);
        assert_eq!(
            (i64::try_from(checkpoint.size).unwrap(), domain::hex(&checkpoint.root)),
            (first.size, first.root)
        );

        // It takes what it is told and fails to say so: that is told again under the same id, until it is heard.
        receiver.answers(500);
        sizes.push(signed(&house, "two").await);
        assert_eq!(tell().await, 0);
        sizes.push(signed(&house, "three").await);
        let standing = of_log::standing(&house.admin()).await.unwrap().unwrap();
        let [anchor] = standing.anchors.as_slice() else { panic!("{standing:?}") };
        assert_eq!((anchor.name.as_str(), anchor.row.size), ("webhook", sizes[0]));
        assert!(anchor.row.error.as_ref().is_some_and(|error| error.contains("500")), "{anchor:?}");
        assert!(!anchor.place.contains("kept"), "a path may hold a token: {}", anchor.place);
        assert!(findings(&house, Rule::AnchorFailed, false).await.is_empty(), "a moment is no outage");
        house.clock.advance(61_000);
        // The lease is over by now, and is taken again.
        checkpoint::round(&house.keyward).await.unwrap().unwrap();
        assert_eq!(tell().await, 0);
        let [finding] = <[Finding; 1]>::try_from(findings(&house, Rule::AnchorFailed, false).await).unwrap();
        assert_eq!(finding.subject, "webhook");
        assert!(
            finding.detail.came.contains(&format!("up to record {}", sizes[0])),
            "{}",
            finding.detail.came
        );

        receiver.answers(204);
        house.clock.advance(300_000);
        sizes.push(signed(&house, "four").await);
        assert!(tell().await >= 3, "what it missed, and the newest");
        assert_eq!(tell().await, 0);
        assert!(findings(&house, Rule::AnchorFailed, false).await.is_empty());
        assert_eq!(findings(&house, Rule::AnchorFailed, true).await.len(), 1);
        let mut calls = receiver.calls();
        // By the id a receiver knows what it has.
        let repeated = calls.iter().filter(|call| call.size == sizes[1]).collect::<Vec<_>>();
        assert!(repeated.len() >= 2 && repeated.iter().all(|call| *call == repeated[0]), "{repeated:?}");
        calls.dedup_by(|next, before| next.id == before.id);
        let kept: Vec<i64> = calls.iter().map(|call| call.size).collect();
        assert!(kept.is_sorted_by(|one, next| one < next), "{kept:?}");
        assert!(sizes.iter().all(|size| kept.contains(size)), "{sizes:?} of {kept:?}");
        for call in &calls {
            let (checkpoint, is_signed) = Checkpoint::open(&call.note, std::slice::from_ref(&key)).unwrap();
            assert!(is_signed && domain::hex(&checkpoint.root) == call.root, "{call:?}");
        }
        house.close().await;
    }
}

#[test]
fn a_webhook_that_cannot_be_used_is_refused_at_the_start() {
    let at = |text: &str| Url::parse(text).unwrap();
    for (url, secret, egress) in [
        (at("http://127.0.0.1:9/kept"), SIGNING, Egress::default()),
        (at("https://169.254.169.254/latest"), SIGNING, loopback()),
        (at("http://127.0.0.1:9/kept"), "whsec_short", loopback()),
        (at("http://127.0.0.1:9/kept"), "open sesame", loopback()),
    ] {
        let refused = anchors::of(settings(&url, secret), &egress).err().unwrap_or_default();
        assert!(!refused.is_empty(), "{url} {secret}");
        assert!(!refused.contains(secret), "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_program_tells_the_webhook_of_its_configuration_what_came_last_before_it_ends() {
    for database in databases().await {
        let receiver = Receiver::start().await;
        let place = Place::on(database);
        let toml = format!(
            "[audit]\nanchor_webhook = \"{}\"\nanchor_webhook_secret_file = \"signing\"\n",
            receiver.url
        );
        fs::write(place.folder().join("keyward.toml"), toml).unwrap();
        fs::write(place.folder().join("signing"), format!("{SIGNING}\n")).unwrap();
        fs::set_permissions(place.folder().join("signing"), fs::Permissions::from_mode(0o600)).unwrap();
        let key = place.with_key("okta").await;
        let running = place.start("info").await;
        let body = serde_json::json!({ "userName": "last" }).to_string();
        let sent = http_client().post(running.url("/scim/okta/v2/Users")).bearer_auth(&key).body(body).send();
        assert_eq!(sent.await.unwrap().status(), 201);
        running.stop().await;
        let keyward = place.open().await;
        let admin = ops::testing::cx(&keyward, domain::admins::Role::Admin);
        let filter = ops::audit::AuditFilter {
            action: Some(domain::audit::Action::UserCreated),
            ..ops::audit::AuditFilter::default()
        };
        let created = ops::audit::list(&admin, &filter, None, 1).await.unwrap();
        let created = created.records.first().expect("the user is on record").seq;
        let last = receiver.calls().pop().expect("a checkpoint came");
        assert!(last.size >= created, "{} of {created}", last.size);
        let (_, is_signed) = Checkpoint::open(&last.note, &[keyward.audit_key().unwrap()]).unwrap();
        assert!(is_signed);
        keyward.close().await;
    }
}

#[tokio::test]
async fn when_nothing_can_be_signed_for_two_minutes_people_are_told_until_it_can() {
    for house in houses().await {
        let sql = async |text: &str| run_sql(&house.database.target, text.to_owned()).await;
        let round = async || checkpoint::round(&house.keyward).await;
        let open = async || findings(&house, Rule::CheckpointOverdue, false).await;
        signed(&house, "before").await;
        sql("ALTER TABLE checkpoints RENAME TO checkpoints_elsewhere").await;
        house.federation("unsigned").await;
        // A minute is the time that a record may wait; from then on it fails.
        house.clock.advance(60_000);
        for (advance_ms, count) in [(0, 0), (60_000, 0), (59_000, 0), (1_000, 1), (60_000, 1), (60_000, 1)] {
            house.clock.advance(advance_ms);
            assert!(round().await.is_err());
            assert_eq!(open().await.len(), count, "{advance_ms}");
        }
        let finding = open().await.remove(0);
        assert_eq!(finding.severity, domain::findings::Severity::High);
        let came = &finding.detail.came;
        assert!(came.starts_with("Nothing could be signed for 120 s"), "{came}");
        // Nobody else waits for it.
        let client = house.client("okta").await;
        client.user("ada").await;

        sql("ALTER TABLE checkpoints_elsewhere RENAME TO checkpoints").await;
        house.clock.advance(1_000);
        assert!(round().await.unwrap().unwrap().signed.is_some());
        assert!(open().await.is_empty());
        let closed = findings(&house, Rule::CheckpointOverdue, true).await;
        assert_eq!(closed.len(), 1);
        assert_eq!(closed[0].closed_reason.as_deref(), Some("the log fits again, and is signed"));
        house.close().await;
    }
}
