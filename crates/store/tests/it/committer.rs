//! The committer: all or nothing, one failure takes nobody with it, again after 40001.
#![expect(clippy::disallowed_methods, reason = "these tests are about the committer itself")]

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use domain::{
    KeyId, RequestId,
    audit::{Action, ActorKind, ActorRef, AuditEvent, ChainWalk, Outcome},
    usage::{Decision, UsageRecord},
};
use store::{Change, Conn, Error, Store, leases, testing};

fn event(target: &str) -> AuditEvent {
    AuditEvent {
        at_ms: 0,
        actor: ActorRef { kind: ActorKind::System, id: "test".to_owned(), name: "test".to_owned() },
        action: Action::NodeStarted,
        outcome: Outcome::Done,
        reason: None,
        federation_id: None,
        key_id: None,
        target: Some(target.to_owned()),
        source: None,
        request_id: String::new(),
        detail: "{}".to_owned(),
    }
}

fn usage(number: u8) -> UsageRecord {
    UsageRecord {
        request_id: RequestId::new(i64::from(number), [number; 10]),
        at_ms: 0,
        federation_id: None,
        key_id: KeyId::new(0, [1; 10]),
        method: "GET".to_owned(),
        resource_type: "Users".to_owned(),
        resource_id: None,
        status: 200,
        decision: Decision::Refused,
        reason: None,
        duration_us: 1,
        source: None,
        user_agent: None,
        tolerated: Vec::new(),
        is_work: false,
        facts: domain::usage::Facts::default(),
        attributes: Vec::new(),
    }
}

async fn open(database: &testing::TestDatabase) -> Arc<Store> {
    store::migrate(&database.target).await.unwrap();
    Arc::new(Store::open(database.target.clone()).await.unwrap())
}

async fn targets(store: &Store) -> Vec<String> {
    let mut reader = store.read().await.unwrap();
    let records = store::audit::after(&mut reader.conn(), 0, 10_000).await.unwrap();
    let mut walk = ChainWalk::default();
    for record in &records {
        walk.step(record).unwrap();
    }
    walk.finish(&store::audit::head(&mut reader.conn()).await.unwrap()).unwrap();
    records.into_iter().filter_map(|record| record.event.target).collect()
}

#[tokio::test]
async fn a_burst_of_units_is_one_chain_and_failures_leave_nothing() {
    for database in testing::databases().await {
        let store = open(&database).await;
        let units = (0..200).map(|number| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let name = format!("lease {number}");
                let unit = async move |conn: &mut Conn<'_>| {
                    leases::take(conn, &name, "me", 0, 1_000).await?;
                    if number % 3 == 0 { Err(Error::Stale) } else { Ok(Change::new(number, event(&name))) }
                };
                store.committer().commit(unit).await
            })
        });
        let results = futures::future::join_all(units).await;
        let done = results.into_iter().filter(|result| matches!(result, Ok(Ok(_)))).count();
        assert_eq!(done, 133);
        assert_eq!(targets(&store).await.len(), 133);
        for number in 0..200 {
            let name = format!("lease {number}");
            // Somebody else gets the lease only where the failed unit left nothing.
            let unit = async move |conn: &mut Conn<'_>| leases::take(conn, &name, "other", 0, 1_000).await;
            let taken = store.committer().upkeep(unit).await.unwrap();
            assert_eq!(taken.is_some(), number % 3 == 0, "{number}");
        }
        store.close().await;
    }
}

#[tokio::test]
async fn a_unit_refused_for_the_sake_of_another_is_run_again() {
    for database in testing::databases().await {
        let store = open(&database).await;
        let runs = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&runs);
        let unit = async move |conn: &mut Conn<'_>| {
            leases::take(conn, "again", "me", 0, 1_000).await?;
            if counted.fetch_add(1, Ordering::SeqCst) < 2 {
                Err(Error::Serialization)
            } else {
                Ok(Change::new((), event("again")))
            }
        };
        store.committer().commit(unit).await.unwrap();
        assert_eq!(runs.load(Ordering::SeqCst), 3);
        assert_eq!(targets(&store).await, ["again"]);
        store.close().await;
    }
}

#[tokio::test]
async fn an_audit_record_that_cannot_be_written_undoes_its_change() {
    for database in testing::databases().await {
        let store = open(&database).await;
        // The place of the next record is taken behind the committer's back.
        let block = async |conn: &mut Conn<'_>| testing::break_audit(conn).await;
        store.committer().upkeep(block).await.unwrap();
        let unit = async |conn: &mut Conn<'_>| {
            leases::take(conn, "lost", "me", 0, 1_000).await?;
            Ok::<_, Error>(Change::new((), event("lost")))
        };
        let refused = store.committer().commit(unit).await;
        assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
        let take = async |conn: &mut Conn<'_>| leases::take(conn, "lost", "other", 0, 1_000).await;
        assert_eq!(store.committer().upkeep(take).await.unwrap(), Some(1), "the change must not be there");
        store.close().await;
    }
}

#[tokio::test]
async fn usage_records_are_written_before_the_answer_and_survive_a_reopening() {
    for database in testing::databases().await {
        let store = open(&database).await;
        for number in 0..20 {
            store.committer().record_usage(usage(number), number % 2 == 0).await.unwrap();
        }
        let counted = store::usage::by_hour(&mut store.read().await.unwrap().conn(), 0).await.unwrap();
        assert_eq!(counted.iter().map(|hour| hour.count).sum::<i64>(), 20);
        store.close().await;
        let reopened = Store::open(database.target.clone()).await.unwrap();
        let counted = store::usage::by_hour(&mut reopened.read().await.unwrap().conn(), 0).await.unwrap();
        assert_eq!(counted.iter().map(|hour| hour.count).sum::<i64>(), 20);
        reopened.close().await;
    }
}

#[tokio::test]
async fn two_nodes_share_one_chain() {
    let Some(database) = testing::postgres().await else { return };
    let one = open(&database).await;
    let two = Arc::new(Store::open(database.target.clone()).await.unwrap());
    let units = (0..100).map(|number| {
        let store = Arc::clone(if number % 2 == 0 { &one } else { &two });
        tokio::spawn(async move {
            let unit =
                async move |_: &mut Conn<'_>| Ok::<_, Error>(Change::new((), event(&number.to_string())));
            store.committer().commit(unit).await
        })
    });
    for result in futures::future::join_all(units).await {
        result.unwrap().unwrap();
    }
    assert_eq!(targets(&one).await.len(), 100);
    one.close().await;
    two.close().await;
}

#[tokio::test]
async fn a_closed_committer_refuses() {
    let database = testing::sqlite();
    let store = open(&database).await;
    store.close().await;
    let refused = store.committer().record_usage(usage(1), true).await;
    assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
}

#[tokio::test]
async fn a_unit_that_panics_undoes_its_batch_and_nothing_more() {
    for database in testing::databases().await {
        let store = open(&database).await;
        let unit = async |conn: &mut Conn<'_>| {
            leases::take(conn, "lost", "me", 0, 1_000).await?;
            assert!(conn_is_gone(), "on purpose");
            Ok::<_, Error>(Change::new((), event("lost")))
        };
        let refused = store.committer().commit(unit).await;
        assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
        let next = async |_: &mut Conn<'_>| Ok::<_, Error>(Change::new((), event("next")));
        store.committer().commit(next).await.unwrap();
        assert_eq!(targets(&store).await, ["next"]);
        let take = async |conn: &mut Conn<'_>| leases::take(conn, "lost", "other", 0, 1_000).await;
        assert_eq!(store.committer().upkeep(take).await.unwrap(), Some(1));
        store.close().await;
    }
}

/// False, in a way that no compiler sees through.
fn conn_is_gone() -> bool {
    std::env::var_os("PATH").is_none()
}
