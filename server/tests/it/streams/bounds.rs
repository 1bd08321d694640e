//! What is kept for a stream that is behind, what is lost past the bound, and who is told.

use domain::{DAY_MS, admins::Role, exports::Format, findings::Rule};
use ops::{streams::StreamSettings, usage::seals};

use super::{
    PAUSE_MS, assert_complete, drain, findings, first_of, receivers::Hook, round, settings, to, write_audit,
    write_usage,
};
use crate::house::{House, houses};

async fn forgotten(house: &House) -> (i64, i64) {
    ops::upkeep::run(&house.keyward, "one").await.unwrap().unwrap();
    let seen = seals::verify(ops::testing::store(&house.keyward)).await.unwrap();
    assert_eq!(seen.faults, []);
    (seen.whole, seen.forgotten)
}

#[tokio::test]
async fn what_retention_takes_past_the_bound_is_told_to_the_stream_and_as_a_finding_to_the_record() {
    for house in houses().await {
        let hook = Hook::start().await;
        let stream = to(&hook, Format::Jsonl);
        house.keyward.connect_streams(settings(&stream));
        round(&house.keyward, &stream).await;
        let start = house.keyward.clock().now_ms();
        write_usage(&house, 0, 600).await;
        // The first seal is sent in part, then the other side goes away.
        assert!(round(&house.keyward, &stream).await >= 500);
        hook.refuses(503);
        write_usage(&house, 600, 50).await;
        house.clock.advance(405 * DAY_MS);
        assert_eq!(forgotten(&house).await, (2, 0), "past retention, and held for the stream");
        write_usage(&house, 650, 20).await;
        house.clock.advance(6 * DAY_MS);
        assert_eq!(forgotten(&house).await, (1, 2), "past the bound too");
        round(&house.keyward, &stream).await;
        let open = findings(&house, Rule::StreamGap, false).await;
        let [gap] = open.as_slice() else { panic!("{open:?}") };
        assert!(gap.detail.came.contains("150 usage records") && gap.detail.came.contains("seals 1 to 2"));
        assert!(gap.detail.came.contains("It may grow"), "{}", gap.detail.came);

        hook.accepts();
        drain(&house, &stream).await;
        let ids = hook.ids();
        let usage: Vec<&String> = ids.iter().filter(|id| !id.starts_with("audit-")).collect();
        assert_eq!(usage[499], "usage-1-500");
        assert_eq!(usage[500], "gap-usage-1-2");
        assert_eq!(usage[501], "usage-3-1");
        assert_eq!(usage.len(), 500 + 1 + 20);
        let told = hook.records().into_iter().find(|record| record["kind"] == "gap").unwrap();
        assert_eq!(
            (&told["records"], &told["first_seal"], &told["last_seal"]),
            (&150.into(), &1.into(), &2.into())
        );
        let from = told["from_ms"].as_i64().unwrap();
        let to = told["to_ms"].as_i64().unwrap();
        assert!((start..start + 1_000).contains(&from) && (from..start + 60_000).contains(&to), "{told}");
        assert_complete(&first_of(&ids), "audit");
        let open = findings(&house, Rule::StreamGap, false).await;
        let [gap] = open.as_slice() else { panic!("{open:?}") };
        assert!(gap.detail.came.contains("was told of it"), "{}", gap.detail.came);
        house.close().await;
    }
}

#[tokio::test]
async fn what_is_past_the_bound_in_number_goes_and_the_newest_stays() {
    for house in houses().await {
        let hook = Hook::start().await;
        let stream = to(&hook, Format::Jsonl);
        house.keyward.connect_streams(StreamSettings {
            hold_ms: 1_000 * DAY_MS,
            hold_records: 60,
            ..settings(&stream)
        });
        round(&house.keyward, &stream).await;
        hook.refuses(500);
        for stretch in 0..3 {
            write_usage(&house, stretch * 30, 30).await;
        }
        house.clock.advance(405 * DAY_MS);
        assert_eq!(forgotten(&house).await, (2, 1));
        hook.accepts();
        drain(&house, &stream).await;
        let ids = hook.ids();
        let usage: Vec<&String> = ids.iter().filter(|id| !id.starts_with("audit-")).collect();
        assert_eq!((usage[0].as_str(), usage[1].as_str(), usage.len()), ("gap-usage-1-1", "usage-2-1", 61));
        house.close().await;
    }
}

#[tokio::test]
async fn a_stream_that_lags_is_a_finding_until_it_has_caught_up_and_the_settings_page_shows_it() {
    for house in houses().await {
        let hook = Hook::start().await;
        let stream = to(&hook, Format::Jsonl);
        house.keyward.connect_streams(settings(&stream));
        round(&house.keyward, &stream).await;
        hook.refuses(500);
        write_audit(&house.keyward, 10).await;
        round(&house.keyward, &stream).await;
        house.clock.advance(15 * 60_000 - PAUSE_MS);
        round(&house.keyward, &stream).await;
        assert!(findings(&house, Rule::StreamBehind, false).await.is_empty(), "not yet");
        house.clock.advance(2 * PAUSE_MS);
        round(&house.keyward, &stream).await;
        let open = findings(&house, Rule::StreamBehind, false).await;
        let [behind] = open.as_slice() else { panic!("{open:?}") };
        assert_eq!(behind.subject, "webhook");
        let came = &behind.detail.came;
        assert!(came.contains("10 audit records") && came.contains("status 500"), "{came}");

        let page = house.signed_in(Role::Manager).await.get("/settings").await;
        assert!(page.body.contains("Table of streams") && page.body.contains("JSON Lines"));
        assert!(page.body.contains("It answered with status 500"), "{}", page.body);
        assert!(!page.body.contains("/records"), "a path may hold a token of the receiver");

        hook.accepts();
        drain(&house, &stream).await;
        house.clock.advance(PAUSE_MS);
        round(&house.keyward, &stream).await;
        assert!(findings(&house, Rule::StreamBehind, false).await.is_empty());
        let closed = findings(&house, Rule::StreamBehind, true).await;
        assert_eq!(closed[0].closed_reason.as_deref(), Some("the stream has caught up"));
        house.close().await;
    }
}
