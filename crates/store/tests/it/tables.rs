//! Leases, outbox and sessions on both databases.

use store::{
    Conn, Error, Store, leases,
    outbox::{self, OutboxRow},
    sessions::{self, SealedSession},
    testing,
};

async fn open(database: &testing::TestDatabase) -> Store {
    store::migrate(&database.target).await.unwrap();
    Store::open(database.target.clone()).await.unwrap()
}

#[tokio::test]
async fn one_holder_at_a_time_and_a_higher_fence_for_each_new_one() {
    for database in testing::databases().await {
        let store = open(&database).await;
        let story = async |conn: &mut Conn<'_>| {
            assert_eq!(leases::take(conn, "l", "a", 0, 100).await?, Some(1));
            assert_eq!(leases::take(conn, "l", "b", 50, 150).await?, None);
            assert_eq!(leases::take(conn, "l", "a", 60, 160).await?, Some(1), "renewed");
            assert_eq!(leases::take(conn, "l", "b", 160, 260).await?, Some(2), "taken over");
            assert!(matches!(leases::check(conn, "l", 1).await, Err(Error::Stale)), "the old fence is out");
            leases::check(conn, "l", 2).await?;
            leases::release(conn, "l", "b", 2).await?;
            assert_eq!(leases::take(conn, "l", "a", 161, 261).await?, Some(3), "given back");
            // A clock that ran ahead by a year locks nobody out; one that differs by a little is none.
            assert_eq!(leases::take(conn, "l", "a", 31_536_000_000, 31_536_000_100).await?, Some(3));
            assert_eq!(leases::take(conn, "l", "b", 200, 300).await?, Some(4), "it ran ahead");
            assert_eq!(leases::take(conn, "l", "a", 10, 110).await?, None, "a little behind");
            Ok(())
        };
        store.committer().upkeep(story).await.unwrap();
        store.close().await;
    }
}

#[tokio::test]
async fn the_outbox_gives_each_row_to_one_until_it_is_done() {
    for database in testing::databases().await {
        let store = open(&database).await;
        let story = async |conn: &mut Conn<'_>| {
            let row = |id: &str| OutboxRow {
                federation_id: "f".to_owned(),
                id: id.to_owned(),
                kind: "webhook".to_owned(),
                payload: "sealed".to_owned(),
                attempts: 0,
            };
            assert!(outbox::insert_once(conn, &row("a"), 10).await?);
            assert!(outbox::insert_once(conn, &row("b"), 20).await?);
            assert_eq!(outbox::claim(conn, "webhook", 5, 100, 10).await?, [], "nothing is due yet");
            let claimed = outbox::claim(conn, "webhook", 15, 100, 10).await?;
            assert_eq!(claimed, [OutboxRow { attempts: 1, ..row("a") }]);
            assert_eq!(outbox::claim(conn, "webhook", 15, 100, 10).await?, [], "claimed");
            outbox::failed(conn, &row("a"), 30, "refused").await?;
            let mut ids: Vec<String> =
                outbox::claim(conn, "webhook", 30, 200, 10).await?.into_iter().map(|row| row.id).collect();
            ids.sort();
            assert_eq!(ids, ["a", "b"]);
            outbox::done(conn, &row("a"), 31).await?;
            assert_eq!(outbox::claim(conn, "mail", 1_000, 2_000, 10).await?, [], "another kind has its own");
            let late = outbox::claim(conn, "webhook", 1_000, 2_000, 10).await?;
            assert_eq!(late, [OutboxRow { attempts: 2, ..row("b") }], "what is done is not sent again");
            assert!(!outbox::insert_once(conn, &row("a"), 40).await?, "an id is sent once");
            assert_eq!(outbox::renew(conn, "webhook", 2_000, 3_000).await?, 1, "b, and not what is done");
            assert_eq!(outbox::claim(conn, "webhook", 2_500, 4_000, 10).await?, [], "still claimed");
            outbox::give_up(conn, &row("b"), 41, "refused for good").await?;
            assert_eq!(outbox::claim(conn, "webhook", 9_000, 9_999, 10).await?, [], "nothing waits");
            assert_eq!(outbox::forget(conn, "webhook", 41).await?, 1, "b was given up at that moment");
            Ok(())
        };
        store.committer().upkeep(story).await.unwrap();
        store.close().await;
    }
}

#[tokio::test]
async fn sessions_are_saved_replaced_ended_and_forgotten() {
    for database in testing::databases().await {
        let store = open(&database).await;
        let story = async |conn: &mut Conn<'_>| {
            let session = |version| SealedSession {
                sealed: "s".to_owned(),
                data_key: "d".to_owned(),
                version,
                expires_ms: 100 * version,
            };
            sessions::insert(conn, "one", &session(1)).await?;
            assert!(sessions::update(conn, "one", &session(2)).await?);
            sessions::insert(conn, "two", &session(3)).await?;
            assert_eq!(sessions::load(conn, "one").await?, Some(session(2)));
            assert_eq!(sessions::forget(conn, 250).await?, 1);
            assert_eq!(sessions::load(conn, "one").await?, None);
            sessions::delete(conn, "two").await?;
            assert!(!sessions::update(conn, "two", &session(4)).await?, "what has ended stays so");
            assert_eq!(sessions::load(conn, "two").await?, None);
            Ok(())
        };
        store.committer().upkeep(story).await.unwrap();
        store.close().await;
    }
}
