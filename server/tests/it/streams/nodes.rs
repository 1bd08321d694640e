//! A stream goes on where it was: after a restart, and on another node.

use std::sync::Arc;

use domain::exports::{Format, stream::Carried};
use ops::{
    streams::{self, StreamSettings},
    testing::{self, TestClock},
};

use super::{PAUSE_MS, assert_complete, first_of, head, receivers::Hook, round, settings, to, write_audit};

#[tokio::test]
async fn a_restart_goes_on_at_the_place_where_it_was() {
    for database in store::testing::databases().await {
        let clock = Arc::new(TestClock::default());
        let hook = Hook::start().await;
        let mut begun = None;
        for start in 0..3 {
            let keyward = testing::open(database.target.clone(), Arc::clone(&clock)).await;
            let stream = to(&hook, Format::Jsonl);
            keyward.connect_streams(settings(&stream));
            if start == 0 {
                round(&keyward, &stream).await;
                begun = Some(head(&keyward).await);
            }
            write_audit(&keyward, 300).await;
            // Each start is another node, which gets the lease of the one before by its end.
            clock.advance(PAUSE_MS);
            while streams::round(&keyward, &stream, &format!("node {start}")).await.unwrap().unwrap() > 0 {}
            // What comes after the last round waits for the next start.
            write_audit(&keyward, 20).await;
            keyward.close().await;
        }
        let ids = hook.ids();
        assert_eq!(first_of(&ids), ids, "nothing comes again");
        let audit = assert_complete(&ids, "audit");
        assert_eq!(audit[0], vec![begun.unwrap() + 1]);
        assert_eq!(audit.len(), 3 * 300 + 2 * 20);
    }
}

#[tokio::test]
async fn another_node_takes_over_and_the_one_that_hung_moves_nothing() {
    let Some(database) = store::testing::postgres().await else { return };
    let clock = Arc::new(TestClock::default());
    let one = testing::open(database.target.clone(), Arc::clone(&clock)).await;
    let two = testing::open(database.target.clone(), Arc::clone(&clock)).await;
    let hook = Hook::start().await;
    let stream = to(&hook, Format::Jsonl);
    for keyward in [&one, &two] {
        let carried = vec![Carried::Audit];
        keyward.connect_streams(StreamSettings { carried, ..settings(&stream) });
    }
    assert_eq!(streams::round(&one, &stream, "one").await.unwrap(), Some(0));
    let begun = head(&one).await;
    assert_eq!(streams::round(&two, &stream, "two").await.unwrap(), None, "one node works");
    write_audit(&one, 20).await;

    // The first sends, and hangs until the other has its lease.
    let gate = hook.gated();
    let hung = {
        let (one, stream) = (Arc::clone(&one), Arc::clone(&stream));
        tokio::spawn(async move { streams::round(&one, &stream, "one").await })
    };
    hook.until(|hook| hook.asked() == 1).await;
    hook.ungated();
    clock.advance(PAUSE_MS);
    write_audit(&two, 20).await;
    while streams::round(&two, &stream, "two").await.unwrap().unwrap() > 0 {}
    gate.add_permits(1);
    assert!(hung.await.unwrap().is_err(), "it has lost its lease");
    assert_eq!(streams::round(&one, &stream, "one").await.unwrap(), None);
    write_audit(&one, 5).await;
    while streams::round(&two, &stream, "two").await.unwrap().unwrap() > 0 {}

    let ids = hook.ids();
    assert_eq!(ids.len(), 20 + 45, "what the one that hung had sent came twice, and nothing else");
    let audit = assert_complete(&first_of(&ids), "audit");
    assert_eq!((audit[0].as_slice(), audit.len()), ([begun + 1].as_slice(), 45));

    // Who ends gives the lease back.
    streams::release(&two, &stream, "two").await.unwrap();
    assert_eq!(streams::round(&one, &stream, "one").await.unwrap(), Some(0));
    one.close().await;
    two.close().await;
}
