//! Records that leave as they come, to receivers that are real: a webhook that checks its signature, log hosts over
//! TCP, TLS and UDP. They go down, answer 500, and die in the middle; nothing is missing, and what comes twice has
//! the same id.

mod bounds;
mod nodes;
mod program;
mod receivers;
mod syslog;

use std::{collections::BTreeSet, sync::Arc};

use domain::{
    KeyId, RequestId, Secret,
    exports::{Format, stream::Carried},
    findings::{Finding, Rule},
    usage::{Decision, Facts, UsageRecord},
};
use futures::future::join_all;
use ops::{
    Keyward, findings::Wanted, ports::Stream, streams, streams::StreamSettings, testing, usage::seals,
};
use serde_json::Value;
use server::out::{
    egress::{Allowed, Egress},
    streams::WebhookStream,
};
use url::Url;

use crate::house::{House, houses};
use receivers::{Hook, SIGNING};

/// Longer than any pause between two tries.
const PAUSE_MS: i64 = 61_000;

fn loopback() -> Egress {
    Egress::new(vec![Allowed::parse("http://127.0.0.0/8").unwrap()], Vec::new())
}

fn to(hook: &Hook, format: Format) -> Arc<dyn Stream> {
    let secret = Secret::new(SIGNING.to_owned());
    Arc::new(WebhookStream::new(hook.url.clone(), secret, format, &loopback()).unwrap())
}

/// Everything, told after a quarter of an hour, held for ten days.
fn settings(stream: &Arc<dyn Stream>) -> StreamSettings {
    StreamSettings {
        streams: vec![Arc::clone(stream)],
        carried: Carried::ALL.to_vec(),
        behind_ms: 15 * 60_000,
        hold_ms: 10 * domain::DAY_MS,
        hold_records: 1_000_000,
    }
}

async fn round(keyward: &Arc<Keyward>, stream: &Arc<dyn Stream>) -> usize {
    streams::round(keyward, stream, "one").await.unwrap().expect("this node works")
}

/// Rounds until nothing waits.
async fn drain(house: &House, stream: &Arc<dyn Stream>) {
    house.clock.advance(PAUSE_MS);
    while round(&house.keyward, stream).await > 0 {}
}

/// So many audit records more.
async fn write_audit(keyward: &Arc<Keyward>, count: usize) {
    let visitor = testing::visitor(keyward);
    let written = join_all((0..count).map(|_| ops::admins::refuse_sign_in(&visitor, "state"))).await;
    assert!(written.iter().all(Result::is_ok));
}

fn chance(number: usize) -> [u8; 10] {
    let mut chance = [0; 10];
    chance[..8].copy_from_slice(&u64::try_from(number).unwrap().to_be_bytes());
    chance
}

/// So many usage records of three keys, and the seals over them.
async fn write_usage(house: &House, first: usize, count: usize) {
    let now_ms = house.keyward.clock().now_ms();
    let records = (first..first + count).map(|number| {
        let at_ms = now_ms + i64::try_from(number * 7 % 1_000).unwrap();
        UsageRecord {
            request_id: RequestId::new(at_ms, chance(number)),
            at_ms,
            federation_id: None,
            key_id: KeyId::new(1, chance(number % 3)),
            method: "GET".to_owned(),
            resource_type: "Users".to_owned(),
            resource_id: None,
            status: 200,
            decision: if number.is_multiple_of(9) { Decision::Denied } else { Decision::Allowed },
            reason: None,
            duration_us: 1,
            source: Some("192.0.2.1".to_owned()),
            user_agent: Some("a \"quoted\" agent\n of two lines".to_owned()),
            tolerated: Vec::new(),
            is_work: true,
            facts: Facts::default(),
            attributes: Vec::new(),
        }
    });
    let committer = testing::store(&house.keyward).committer();
    for written in join_all(records.map(|record| committer.record_usage(record, false))).await {
        written.unwrap();
    }
    house.clock.advance(10_000);
    let made = seals::seal(&house.keyward, "sealer").await.unwrap();
    assert!(made.is_some_and(|made| made > 0));
}

async fn head(keyward: &Arc<Keyward>) -> i64 {
    let admin = testing::cx(keyward, domain::admins::Role::Admin);
    ops::audit::head(&admin).await.unwrap().unwrap().seq
}

async fn findings(house: &House, rule: Rule, closed: bool) -> Vec<Finding> {
    let wanted = Wanted { rule: Some(rule), closed, ..Wanted::default() };
    let found = ops::findings::list(&house.admin(), &wanted).await.unwrap();
    found.into_iter().map(|view| view.finding).collect()
}

/// The ids of records without those that come again, in the order in which they came first.
fn first_of(ids: &[String]) -> Vec<String> {
    let mut seen = BTreeSet::new();
    ids.iter().filter(|id| seen.insert((*id).clone())).cloned().collect()
}

/// The ids of one kind, each of which is the one behind the last.
fn assert_complete(ids: &[String], kind: &str) -> Vec<Vec<i64>> {
    let prefix = format!("{kind}-");
    let places: Vec<Vec<i64>> = ids
        .iter()
        .filter_map(|id| id.strip_prefix(&prefix))
        .map(|rest| rest.split('-').map(|number| number.parse().unwrap()).collect())
        .collect();
    for pair in places.windows(2) {
        let follows = match (pair[0].as_slice(), pair[1].as_slice()) {
            ([before], [after]) => after - before == 1,
            ([seal, place], [next_seal, next_place]) => {
                (next_seal == seal && next_place - place == 1) || (next_seal - seal == 1 && *next_place == 1)
            }
            _ => false,
        };
        assert!(follows, "{kind}: {pair:?}");
    }
    places
}

#[tokio::test]
async fn a_webhook_gets_every_record_in_order_across_outages_and_again_only_what_it_did_not_acknowledge() {
    for house in houses().await {
        let hook = Hook::start().await;
        let stream = to(&hook, Format::Jsonl);
        house.keyward.connect_streams(settings(&stream));
        assert_eq!(round(&house.keyward, &stream).await, 0, "it begins with what comes from now on");
        let begun = head(&house.keyward).await;
        write_audit(&house.keyward, 700).await;
        write_usage(&house, 0, 1_200).await;

        hook.refuses(500);
        assert_eq!(round(&house.keyward, &stream).await, 0);
        let lags = &streams::lags(&house.keyward).await.unwrap()[0].lags;
        assert!(lags.iter().all(|lag| lag.records >= 701 && lag.row.error.is_some()), "{lags:?}");
        let asked = hook.asked();
        assert_eq!(round(&house.keyward, &stream).await, 0);
        assert_eq!(hook.asked(), asked, "it is left alone for a while");

        // It keeps what comes, and never says so.
        hook.forgets(502);
        house.clock.advance(PAUSE_MS);
        assert_eq!(round(&house.keyward, &stream).await, 0);
        let kept = hook.ids().len();
        assert!(kept > 0);

        hook.accepts();
        drain(&house, &stream).await;
        let ids = hook.ids();
        let once = first_of(&ids);
        assert_eq!(ids.len(), once.len() + kept, "what was acknowledged did not come again");
        let audit = assert_complete(&once, "audit");
        let end = head(&house.keyward).await;
        assert_eq!((audit.first(), audit.last()), (Some(&vec![begun + 1]), Some(&vec![end])));
        let usage = assert_complete(&once, "usage");
        assert_eq!((usage.len(), usage[0].as_slice()), (1_200, [1, 1].as_slice()));

        // The records themselves: each request once, in the order of its seal by time.
        let records: Vec<Value> = hook.records();
        let of_usage = records.iter().filter(|record| record["kind"] == "usage");
        let requests: BTreeSet<&str> = of_usage.filter_map(|record| record["request_id"].as_str()).collect();
        assert_eq!(requests.len(), 1_200);
        let mut by_seal: Vec<(i64, i64)> = records
            .iter()
            .filter(|record| record["kind"] == "usage")
            .map(|record| {
                let seal = record["id"].as_str().unwrap().split('-').nth(1).unwrap().parse().unwrap();
                (seal, record["at_ms"].as_i64().unwrap())
            })
            .collect();
        by_seal.drain(..by_seal.len() - 1_200);
        assert!(by_seal.is_sorted(), "by time within a seal");
        let lags = &streams::lags(&house.keyward).await.unwrap()[0].lags;
        assert!(lags.iter().all(|lag| lag.records == 0 && lag.row.error.is_none()), "{lags:?}");
        house.close().await;
    }
}

#[tokio::test]
async fn a_batch_has_the_same_id_when_it_has_the_same_records_and_is_smaller_after_each_refusal() {
    for house in houses().await {
        let hook = Hook::start().await;
        let stream = to(&hook, Format::Ocsf);
        let carried = vec![Carried::Audit];
        house.keyward.connect_streams(StreamSettings { carried, ..settings(&stream) });
        round(&house.keyward, &stream).await;
        write_audit(&house.keyward, 500).await;
        // It takes nothing that is larger than so many records, whatever it is.
        hook.takes_at_most(70);
        for _ in 0..3 {
            assert_eq!(round(&house.keyward, &stream).await, 0);
            house.clock.advance(PAUSE_MS);
        }
        assert_eq!(round(&house.keyward, &stream).await, 62, "500 halved three times");
        hook.accepts();
        drain(&house, &stream).await;
        assert_eq!(first_of(&hook.ids()), hook.ids());
        assert_complete(&hook.ids(), "audit");
        for call in hook.calls() {
            let (first, last) = call.id.split_once('_').unwrap();
            assert_eq!(
                (first, last),
                (call.ids.first().unwrap().as_str(), call.ids.last().unwrap().as_str())
            );
            assert_eq!(call.media_type, Format::Ocsf.media_type());
        }
        for record in hook.records() {
            assert!(record["class_uid"].is_i64() && record["metadata"]["uid"].is_string(), "{record}");
        }
        house.close().await;
    }
}

#[test]
fn a_webhook_that_no_call_may_lead_to_is_no_stream() {
    for address in ["https://10.0.0.1/", "https://169.254.169.254/", "http://siem.example.com/"] {
        let url: Url = address.parse().unwrap();
        let egress = Egress::new(Vec::new(), vec![443]);
        let made = WebhookStream::new(url, Secret::new(SIGNING.to_owned()), Format::Jsonl, &egress);
        assert!(made.err().is_some_and(|fault| fault.starts_with("the webhook of the stream")), "{address}");
    }
}
