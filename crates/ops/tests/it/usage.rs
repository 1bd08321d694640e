//! Usage records: searched within what one may see, sealed so that no change goes unseen, forgotten in time.

use domain::{
    DAY_MS, FederationId, KeyId, MuteId, RequestId,
    admins::Role,
    audit::Action,
    exports::Format,
    federations::Slug,
    findings::Rule,
    usage::{Decision, UsageRecord, filter::UsageFilter},
};
use ops::{
    Error,
    exports::{self, What},
    findings::{
        self, NewFinding, Wanted,
        mutes::{self, NewMute},
    },
    usage::{
        seals::{self, Wrong},
        search,
    },
};
use store::testing::run_sql;

use crate::support::{House, houses};

fn chance(number: i64) -> [u8; 10] {
    let mut chance = [0; 10];
    for (byte, value) in chance.iter_mut().zip(number.to_be_bytes()) {
        *byte = value;
    }
    chance
}

/// A record of a moment, with everything else from its number.
fn record(federation: Option<&FederationId>, number: i64, at_ms: i64) -> UsageRecord {
    UsageRecord {
        request_id: RequestId::new(at_ms, chance(number)),
        at_ms,
        federation_id: federation.cloned(),
        key_id: KeyId::new(1, chance(number % 3)),
        method: ["GET", "POST", "PATCH"][usize::try_from(number % 3).unwrap()].to_owned(),
        resource_type: if number % 2 == 0 { "Users" } else { "Groups" }.to_owned(),
        resource_id: Some(format!("resource-{}", number % 50)),
        status: if number % 10 == 0 { 404 } else { 200 },
        decision: if number % 25 == 0 { Decision::Denied } else { Decision::Allowed },
        reason: None,
        duration_us: number,
        source: Some(format!("192.0.2.{}", number % 200)),
        user_agent: Some("Okta SCIM Client".to_owned()),
        tolerated: Vec::new(),
        is_work: number % 4 == 0,
        facts: domain::usage::Facts::default(),
        attributes: if number % 7 == 0 { vec!["emails".to_owned()] } else { Vec::new() },
    }
}

async fn write(house: &House, records: &[UsageRecord]) {
    for burst in records.chunks(64) {
        let committer = ops::testing::store(&house.keyward).committer();
        let writes = burst.iter().map(|record| committer.record_usage(record.clone(), false));
        for written in futures::future::join_all(writes).await {
            written.unwrap();
        }
    }
}

fn filter(pairs: &[(&str, &str)]) -> UsageFilter {
    UsageFilter::parse(pairs.iter().copied()).unwrap()
}

#[tokio::test]
async fn pages_give_each_record_once_newest_first_whatever_narrows_them() {
    for house in houses().await {
        let one = house.federation("one").await;
        let two = house.federation("two").await;
        let start = house.keyward.clock().now_ms();
        // Three federations' worth, late ones among them, so that rows overlap.
        let records: Vec<UsageRecord> = (0..700)
            .map(|number| {
                let of = [Some(&one.id), Some(&two.id), None][usize::try_from(number % 3).unwrap()];
                record(of, number, start + (number * 37 % 700))
            })
            .collect();
        write(&house, &records).await;
        let cases: [&[(&str, &str)]; 9] = [
            &[],
            &[("federation", "one")],
            &[("status", "4xx")],
            &[("decision", "denied")],
            &[("method", "PATCH"), ("work", "yes")],
            &[("resource", "resource-7")],
            &[("attribute", "EMAILS")],
            &[("source", "192.0.2.0/28")],
            &[("federation", "two"), ("type", "Groups"), ("agent", "okta")],
        ];
        for pairs in cases {
            let wanted = filter(pairs);
            let slug = |record: &UsageRecord| match &record.federation_id {
                Some(id) if *id == one.id => Some("one"),
                Some(_) => Some("two"),
                None => None,
            };
            let mut expect: Vec<UsageRecord> = records
                .iter()
                .filter(|record| {
                    let named = wanted.federation.as_ref().map(Slug::as_str);
                    wanted.matches(record) && (named.is_none() || named == slug(record))
                })
                .cloned()
                .collect();
            expect.sort_by(|one, other| other.request_id.cmp(&one.request_id));
            let mut found = Vec::new();
            let mut cursor = None;
            loop {
                let page = search(&house.admin(), &wanted, cursor.as_deref(), 17).await.unwrap();
                assert!(page.records.len() <= 17);
                found.extend(page.records);
                cursor = page.next;
                if cursor.is_none() {
                    break;
                }
            }
            assert_eq!(found, expect, "{pairs:?}, {:?}", house.database.engine);
            assert!(!expect.is_empty(), "{pairs:?} finds something");
        }
        // A window is one of time, and the request is found by its id alone.
        let window =
            UsageFilter { from_ms: Some(start + 100), to_ms: Some(start + 200), ..UsageFilter::default() };
        let page = search(&house.admin(), &window, None, 500).await.unwrap();
        assert_eq!(page.records.len(), 100);
        let own = search::of_request(&house.admin(), &records[123].request_id).await.unwrap();
        assert_eq!(own, [records[123].clone()]);
        house.close().await;
    }
}

#[tokio::test]
async fn an_operator_finds_what_is_of_his_federations_and_nothing_else() {
    for house in houses().await {
        let one = house.federation("one").await;
        let two = house.federation("two").await;
        let start = house.keyward.clock().now_ms();
        let all = [
            record(Some(&one.id), 1, start),
            record(Some(&two.id), 2, start + 1),
            record(None, 3, start + 2),
        ];
        write(&house, &all).await;
        let operator = house.person(Role::Operator(vec![Slug::parse("one").unwrap()]));
        let page = search(&operator, &filter(&[]), None, 10).await.unwrap();
        assert_eq!(page.records, [all[0].clone()]);
        let other = search(&operator, &filter(&[("federation", "two")]), None, 10).await;
        assert!(matches!(other, Err(Error::NotFound(_))));
        assert_eq!(search::of_request(&operator, &all[1].request_id).await.unwrap(), []);
        let everything = search(&house.admin(), &filter(&[]), None, 10).await.unwrap();
        assert_eq!(everything.records.len(), 3);
        house.close().await;
    }
}

#[tokio::test]
async fn who_searches_for_a_person_is_recorded_first_or_sees_nothing() {
    for house in houses().await {
        house.federation("one").await;
        let about = filter(&[("federation", "one"), ("resource", "resource-1")]);
        search(&house.admin(), &about, None, 10).await.unwrap();
        assert!(house.log().await.iter().any(|line| line.starts_with("usage.searched done")));
        ops::testing::break_audit(&house.keyward).await;
        let unseen = search(&house.admin(), &about, None, 10).await;
        assert!(matches!(unseen, Err(Error::Unavailable(_))), "{unseen:?}");
        search(&house.admin(), &filter(&[]), None, 10).await.unwrap();
        house.keyward.close().await;
    }
}

#[tokio::test]
async fn every_edit_deletion_and_insertion_is_named_with_its_seal() {
    for house in houses().await {
        let one = house.federation("one").await;
        let start = house.keyward.clock().now_ms();
        for stretch in 0..4 {
            let records: Vec<UsageRecord> = (0..40)
                .map(|number| record(Some(&one.id), number, start + stretch * 60_000 + number))
                .collect();
            write(&house, &records).await;
            house.clock.advance(60_000);
            assert_eq!(seals::seal(&house.keyward, "node").await.unwrap(), Some(1), "one stretch, one seal");
            assert_eq!(seals::seal(&house.keyward, "node").await.unwrap(), Some(0), "nothing waits");
        }
        write(&house, &[record(Some(&one.id), 7, start + 999_999)]).await;
        let store = ops::testing::store(&house.keyward);
        let whole = seals::verify(store).await.unwrap();
        assert_eq!((whole.whole, whole.records, whole.unsealed_records), (4, 160, 1));
        assert_eq!(whole.faults, []);

        let sql = |sql: &str| run_sql(&house.database.target, sql.to_owned());
        let key = |number| KeyId::new(1, chance(number)).to_string();
        sql(&format!(
            "UPDATE usage_batches SET records = replace(records, '192.0.2.', '192.0.3.')
            WHERE seal = 1 AND key_id = '{}'",
            key(0)
        ))
        .await;
        sql(&format!("DELETE FROM usage_batches WHERE seal = 2 AND key_id = '{}'", key(1))).await;
        sql("INSERT INTO usage_batches (federation_id, key_id, last_request_id, seal, first_request_id, first_ms, last_ms,
            count, records) SELECT 'x', key_id, last_request_id, 3, first_request_id, first_ms, last_ms, count, records
            FROM usage_batches WHERE seal = 0").await;
        sql(&format!("INSERT INTO usage_batches (federation_id, key_id, last_request_id, seal, first_request_id, first_ms, last_ms,
            count, records) SELECT 'y', key_id, last_request_id, 9, first_request_id, first_ms, last_ms, count, records
            FROM usage_batches WHERE seal = 4 AND key_id = '{}' LIMIT 1", key(2))).await;
        let found = seals::verify(store).await.unwrap();
        assert_eq!(found.whole, 1, "the fourth was let be");
        let wrong: Vec<(i64, bool)> = found
            .faults
            .iter()
            .map(|fault| {
                let fits = match fault.seal {
                    1 => fault.wrong == Wrong::Edited,
                    2 => matches!(fault.wrong, Wrong::Deleted { .. }),
                    3 => fault.wrong == Wrong::Inserted { rows: 1 },
                    _ => fault.wrong == Wrong::Unknown,
                };
                (fault.seal, fits)
            })
            .collect();
        assert_eq!(wrong, [(1, true), (2, true), (3, true), (9, true)], "{:?}", found.faults);
        assert!(found.faults[0].to_string().contains("usage seal 1"));
        house.close().await;
    }
}

#[tokio::test]
async fn a_late_record_of_a_sealed_request_breaks_no_seal() {
    for house in houses().await {
        let one = house.federation("one").await;
        let start = house.keyward.clock().now_ms();
        let first = record(Some(&one.id), 1, start);
        write(&house, std::slice::from_ref(&first)).await;
        house.clock.advance(60_000);
        seals::seal(&house.keyward, "node").await.unwrap();
        let late = UsageRecord { status: 503, ..first.clone() };
        write(&house, std::slice::from_ref(&late)).await;
        let seen = seals::verify(ops::testing::store(&house.keyward)).await.unwrap();
        assert_eq!((seen.whole, seen.unsealed_records, seen.faults.len()), (1, 1, 0));
        let own = search::of_request(&house.admin(), &first.request_id).await.unwrap();
        assert_eq!(own.len(), 2, "both are found");
        seals::seal(&house.keyward, "node").await.unwrap();
        assert_eq!(seals::verify(ops::testing::store(&house.keyward)).await.unwrap().whole, 2);
        house.close().await;
    }
}

#[tokio::test]
async fn a_node_without_the_lease_seals_nothing() {
    for house in houses().await {
        let one = house.federation("one").await;
        write(&house, &[record(Some(&one.id), 1, house.keyward.clock().now_ms())]).await;
        house.clock.advance(10_000);
        assert_eq!(seals::seal(&house.keyward, "a").await.unwrap(), Some(1));
        assert_eq!(seals::seal(&house.keyward, "b").await.unwrap(), None);
        house.close().await;
    }
}

#[tokio::test]
async fn what_is_older_than_is_kept_goes_by_whole_seals_and_the_log_says_so() {
    for house in houses().await {
        let one = house.federation("one").await;
        let start = house.keyward.clock().now_ms();
        for stretch in 0..3 {
            let at_ms = start + stretch * 200 * DAY_MS;
            write(
                &house,
                &[record(Some(&one.id), stretch, at_ms), record(Some(&one.id), stretch + 3, at_ms)],
            )
            .await;
            house.clock.advance(10_000);
            seals::seal(&house.keyward, "node").await.unwrap();
            house.clock.advance(200 * DAY_MS - 10_000);
        }
        // The first stretch is 600 days old, the second 400 and a little less.
        ops::upkeep::run(&house.keyward, "node").await.unwrap();
        let seen = seals::verify(ops::testing::store(&house.keyward)).await.unwrap();
        assert_eq!((seen.whole, seen.forgotten, seen.faults.len()), (2, 1, 0), "{:?}", seen.faults);
        let left = search(&house.admin(), &filter(&[("federation", "one")]), None, 10).await.unwrap();
        assert_eq!(left.records.len(), 4);
        assert!(house.log().await.iter().any(|line| line.starts_with("usage.forgotten done")));
        // The counts by the hour stay.
        let slug = Slug::parse("one").unwrap();
        let hours = search::hours(&house.admin(), Some(&slug), start, 1).await.unwrap();
        assert_eq!(hours[0].allowed + hours[0].denied, 2);
        // What is put back is no forgotten stretch.
        run_sql(&house.database.target, "UPDATE usage_batches SET seal = 1 WHERE seal = 2".to_owned()).await;
        let seen = seals::verify(ops::testing::store(&house.keyward)).await.unwrap();
        let wrong: Vec<i64> = seen.faults.iter().map(|fault| fault.seal).collect();
        assert_eq!(wrong, [1, 2], "{:?}", seen.faults);
        house.close().await;
    }
}

async fn whole(house: &House, what: What, format: Format) -> String {
    let mut export = exports::begin(&house.admin(), what, format).await.unwrap();
    let mut text = String::new();
    while let Some(part) = export.next().await.unwrap() {
        assert!(part.len() < 1_000_000, "a part of it, not the whole");
        text.push_str(std::str::from_utf8(&part).unwrap());
    }
    text
}

#[tokio::test]
async fn an_export_has_every_record_once_guarded_and_says_who_took_how_many() {
    for house in houses().await {
        let one = house.federation("one").await;
        let start = house.keyward.clock().now_ms();
        let mut records: Vec<UsageRecord> =
            (0..1_200).map(|number| record(Some(&one.id), number, start + number)).collect();
        records[7].user_agent = Some("=cmd|' /C calc'!A0, \"x\"".to_owned());
        write(&house, &records).await;
        let of = filter(&[("federation", "one")]);
        let csv = whole(&house, What::Usage(of.clone()), Format::Csv).await;
        assert_eq!(csv.lines().count(), 1_201, "a heading and each record");
        assert!(csv.contains("\"'=cmd|' /C calc'!A0, \"\"x\"\"\""), "the cell is guarded and quoted");
        for format in [Format::Jsonl, Format::Ocsf] {
            let lines = whole(&house, What::Usage(of.clone()), format).await;
            let ids: std::collections::BTreeSet<String> = lines
                .lines()
                .map(|line| {
                    let value: serde_json::Value = serde_json::from_str(line).unwrap();
                    let id = value.get("request_id").or_else(|| value["metadata"].get("uid")).unwrap();
                    id.as_str().unwrap().to_owned()
                })
                .collect();
            assert_eq!((lines.lines().count(), ids.len()), (1_200, 1_200));
        }
        let audit = whole(&house, What::Audit(Default::default()), Format::Ocsf).await;
        assert!(audit.lines().count() > 5);
        // A heading, and that somebody exports for the first time.
        let found = whole(&house, What::Findings(Wanted::default()), Format::Csv).await;
        assert_eq!((found.lines().count(), found.matches("for the first time").count()), (2, 1), "{found}");
        let page = ops::audit::list(&house.admin(), &Default::default(), None, 200).await.unwrap();
        let counts: Vec<String> = page
            .records
            .iter()
            .filter(|record| record.event.action == Action::RecordsExported)
            .map(|record| record.event.detail.clone())
            .collect();
        assert_eq!(counts.len(), 10, "one before and one after each");
        assert_eq!(counts.iter().filter(|detail| detail.contains("\"count\":1200")).count(), 3);
        let operator = house.person(Role::Operator(vec![Slug::parse("other").unwrap()]));
        let refused = exports::begin(&operator, What::Usage(of), Format::Csv).await.err().unwrap();
        assert!(matches!(refused, Error::NotFound(_)));
        house.close().await;
    }
}

#[tokio::test]
async fn a_muted_finding_counts_and_tells_nobody_until_the_mute_ends() {
    for house in houses().await {
        let one = house.federation("one").await;
        let raise = async |now_ms: i64| {
            let new = NewFinding::new(
                &house.keyward,
                Some(&one.id),
                Rule::EndsSoon,
                "subject",
                "an end far away",
                "soon",
            );
            let raise = async move |conn: &mut store::Conn<'_>| {
                findings::raise(conn, &new, now_ms).await.map_err(|_| store::Error::Stale)
            };
            ops::testing::store(&house.keyward).committer().upkeep(raise).await.unwrap()
        };
        let new = NewMute {
            federation: Some(one.slug.clone()),
            rule: Rule::EndsSoon,
            subject: None,
            reason: "the provider is replaced".to_owned(),
            days: 7,
        };
        let mute = mutes::mute(&house.admin(), new.clone()).await.unwrap();
        let now_ms = house.keyward.clock().now_ms();
        raise(now_ms).await;
        assert_eq!(raise(now_ms + 1).await.count, 2, "it counts");
        let open = findings::list(&house.admin(), &Wanted::default()).await.unwrap();
        assert!(open.is_empty());
        let muted = Wanted { muted: true, ..Wanted::default() };
        assert_eq!(findings::list(&house.admin(), &muted).await.unwrap().len(), 1);
        assert_eq!(mutes::list(&house.admin()).await.unwrap().len(), 1);
        mutes::unmute(&house.admin(), Some(&one.slug), &mute.id).await.unwrap();
        assert_eq!(findings::list(&house.admin(), &Wanted::default()).await.unwrap().len(), 1);
        let again = mutes::unmute(&house.admin(), Some(&one.slug), &mute.id).await;
        assert!(matches!(again, Err(Error::Conflict(_))));
        mutes::mute(&house.admin(), new).await.unwrap();
        house.clock.advance(7 * DAY_MS);
        assert_eq!(
            findings::list(&house.admin(), &Wanted::default()).await.unwrap().len(),
            1,
            "it has ended"
        );
        let operator = house.person(Role::Operator(vec![one.slug.clone()]));
        let all = NewMute {
            federation: None,
            rule: Rule::EndsSoon,
            subject: None,
            reason: "for all".to_owned(),
            days: 1,
        };
        assert!(mutes::mute(&operator, all).await.is_err());
        house.close().await;
    }
}

#[tokio::test]
async fn who_watches_gets_each_record_in_its_order_and_goes_on_where_they_were() {
    for house in houses().await {
        let one = house.federation("one").await;
        let two = house.federation("two").await;
        let start = house.keyward.clock().now_ms();
        let operator = house.person(Role::Operator(vec![one.slug.clone()]));
        let mut live = search_live(&operator, None).await;
        write(&house, &[record(Some(&two.id), 1, start), record(Some(&one.id), 2, start + 1)]).await;
        let (first, position) = next(&mut live).await;
        assert_eq!(
            first.request_id,
            RequestId::new(start + 1, chance(2)),
            "what is of another federation is not shown"
        );
        drop(live);
        let missed: Vec<UsageRecord> =
            (3..40).map(|number| record(Some(&one.id), number, start + number)).collect();
        for record in &missed {
            write(&house, std::slice::from_ref(record)).await;
        }
        let mut again = search_live(&operator, Some(&position)).await;
        for record in &missed {
            assert_eq!(next(&mut again).await.0, *record);
        }
        // Another node does not know the number: it goes on by the record, from the database.
        let elsewhere = position.replacen(position.split('.').next().unwrap(), "elsewhere", 1);
        let mut other = search_live(&operator, Some(&elsewhere)).await;
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..=missed.len() {
            seen.insert(next(&mut other).await.0.request_id);
        }
        assert!(missed.iter().all(|record| seen.contains(&record.request_id)));
        house.close().await;
    }
}

async fn search_live(cx: &ops::Cx<domain::admins::Admin>, after: Option<&str>) -> ops::usage::live::Live {
    ops::usage::live::Live::begin(cx, UsageFilter::default(), after).await.unwrap()
}

async fn next(live: &mut ops::usage::live::Live) -> (UsageRecord, String) {
    let event = tokio::time::timeout(std::time::Duration::from_secs(20), live.next()).await.unwrap();
    match event.unwrap() {
        ops::usage::live::Event::Record(record, position) => (*record, position),
        ops::usage::live::Event::Missed(count) => panic!("{count} were missed"),
    }
}

/// What the laws do things to.
pub struct Prepared {
    slug: Slug,
    mute: MuteId,
}

/// A federation with an old stretch that is sealed, a new one that is not, and a mute.
pub async fn prepared(house: &House) -> Prepared {
    let federation = house.federation("seen").await;
    let now_ms = house.keyward.clock().now_ms();
    write(house, &[record(Some(&federation.id), 1, now_ms - 500 * DAY_MS)]).await;
    seals::seal(&house.keyward, "law").await.unwrap();
    write(house, &[record(Some(&federation.id), 2, now_ms - 60_000)]).await;
    let mute = mutes::mute(&house.admin(), new_mute(&federation.slug)).await.unwrap();
    Prepared { slug: federation.slug, mute: mute.id }
}

fn new_mute(slug: &Slug) -> NewMute {
    NewMute {
        federation: Some(slug.clone()),
        rule: Rule::OverAge,
        subject: None,
        reason: "known to all".to_owned(),
        days: 3,
    }
}

/// Each action of usage, exports and mutes, once.
pub async fn steps(house: &House, prepared: &Prepared) -> Vec<(Action, Result<(), Error>)> {
    let cx = house.admin();
    let about = filter(&[("federation", "seen"), ("resource", "resource-2")]);
    vec![
        (Action::UsageSealed, seals::seal(&house.keyward, "law").await.map(drop)),
        (Action::UsageForgotten, ops::upkeep::run(&house.keyward, "law").await.map(drop)),
        (Action::UsageSearched, search(&cx, &about, None, 1).await.map(drop)),
        (
            Action::RecordsExported,
            exports::begin(&cx, What::Usage(filter(&[])), Format::Jsonl).await.map(drop),
        ),
        (Action::FindingMuted, mutes::mute(&cx, new_mute(&prepared.slug)).await.map(drop)),
        (Action::FindingUnmuted, mutes::unmute(&cx, Some(&prepared.slug), &prepared.mute).await.map(drop)),
    ]
}
