//! A database belongs to one master key.

use std::sync::Arc;

use ops::{
    Keyward, OpenError,
    testing::{TestClock, TestEntropy, settings},
    vault::MasterKey,
};

use crate::support::houses;

#[tokio::test]
async fn another_master_key_opens_nothing_and_changes_nothing() {
    for house in houses().await {
        let before = house.log().await;
        let (clock, entropy) = (Arc::new(TestClock::default()), Arc::new(TestEntropy::default()));
        let other = MasterKey::new([8; 32]);
        let opened = Keyward::open(house.database.target.clone(), &other, clock, entropy, settings()).await;
        let Err(OpenError::WrongMasterKey { expected, found }) = opened else { panic!("it opened") };
        assert_ne!(expected, found);
        assert!(expected.starts_with("mk_") && found.starts_with("mk_"), "{expected} {found}");
        assert_eq!(house.log().await, before);
        house.close().await;
    }
}

#[tokio::test]
async fn the_first_record_is_the_installation() {
    for house in houses().await {
        assert!(house.log().await[0].starts_with("installation.created done mk_"));
        house.close().await;
    }
}

#[tokio::test]
async fn sessions_are_sealed_and_end() {
    for house in houses().await {
        let keyward = &house.keyward;
        let now_ms = house.admin().now_ms();
        assert!(!ops::sessions::save(keyward, "hash", b"x", now_ms + 1_000).await.unwrap(), "not there yet");
        ops::sessions::create(keyward, "hash", b"who", now_ms + 1_000).await.unwrap();
        assert!(ops::sessions::save(keyward, "hash", b"who it is", now_ms + 1_000).await.unwrap());
        let loaded = ops::sessions::load(keyward, "hash").await.unwrap();
        assert_eq!(loaded.as_deref(), Some(b"who it is".as_slice()));
        assert_eq!(ops::sessions::load(keyward, "other").await.unwrap(), None);
        house.clock.advance(1_000);
        assert_eq!(ops::sessions::load(keyward, "hash").await.unwrap(), None, "it has ended");
        assert_eq!(ops::upkeep::run(keyward, "node a").await.unwrap(), Some(0), "ends exactly now");
        house.clock.advance(1);
        assert_eq!(ops::upkeep::run(keyward, "node b").await.unwrap(), None, "node a has the lease");
        assert_eq!(ops::upkeep::run(keyward, "node a").await.unwrap(), Some(1));
        house.close().await;
    }
}
