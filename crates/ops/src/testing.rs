//! For tests: a clock that is moved by hand, chance that repeats, and databases of one's own.

use std::sync::{
    Arc,
    atomic::{AtomicI64, AtomicU64, Ordering},
};

use domain::{
    Millis,
    admins::{Admin, Role},
};
use store::Target;

use crate::{Clock, Cx, Entropy, Keyward, Settings, Visitor, vault::MasterKey};

/// When the tests' clock begins: 2026-01-01T00:00:00Z.
pub const START_MS: Millis = 1_767_225_600_000;

/// A clock that stands still until it is moved.
pub struct TestClock(AtomicI64);

impl Default for TestClock {
    fn default() -> Self {
        Self(AtomicI64::new(START_MS))
    }
}

impl TestClock {
    /// Moves the time by so many milliseconds.
    pub fn advance(&self, by_ms: Millis) {
        self.0.fetch_add(by_ms, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now_ms(&self) -> Millis {
        self.0.load(Ordering::SeqCst)
    }

    fn monotonic_us(&self) -> i64 {
        self.now_ms() * 1_000
    }
}

/// Numbers that look random and are the same in every run (SplitMix64).
#[derive(Default)]
pub struct TestEntropy(AtomicU64);

impl Entropy for TestEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let seed =
                self.0.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::SeqCst).wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut mixed = (seed ^ (seed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            let word = (mixed ^ (mixed >> 31)).to_be_bytes();
            for (byte, value) in chunk.iter_mut().zip(word) {
                *byte = value;
            }
        }
    }
}

/// The master key of the tests.
pub fn master_key() -> MasterKey {
    MasterKey::new([7; 32])
}

/// Settings of the tests.
pub fn settings() -> Settings {
    Settings {
        public_url: "https://keyward.test".to_owned(),
        strict_reads: false,
        usage_retention_days: 400,
        journal_retention_days: 400,
    }
}

/// Migrates and opens a database.
///
/// # Panics
/// When it cannot: the test cannot go on.
pub async fn open(target: Target, clock: Arc<TestClock>) -> Arc<Keyward> {
    store::migrate(&target).await.expect("a test database can be migrated");
    Keyward::open(target, &master_key(), clock, Arc::new(TestEntropy::default()), settings())
        .await
        .expect("a test database can be opened")
}

/// What an opened cursor holds, read and written again; none for what is no cursor.
pub fn same_cursor(plain: &[u8]) -> Option<String> {
    crate::listing::same_cursor(plain)
}

/// A signed-in person of a role.
pub fn person(role: Role) -> Admin {
    Admin {
        issuer: "https://idp.test".to_owned(),
        subject: role.as_str().to_owned(),
        name: format!("The {}", role.as_str()),
        email: None,
        role,
    }
}

/// The context of a signed-in person of a role.
pub fn cx(keyward: &Arc<Keyward>, role: Role) -> Cx<Admin> {
    Cx { keyward: Arc::clone(keyward), actor: person(role), request: keyward.request_info() }
}

/// The context of a signed-in person.
pub fn cx_as(keyward: &Arc<Keyward>, admin: Admin) -> Cx<Admin> {
    Cx { keyward: Arc::clone(keyward), actor: admin, request: keyward.request_info() }
}

/// The context of somebody who has not been let in.
pub fn visitor(keyward: &Arc<Keyward>) -> Cx<Visitor> {
    Cx { keyward: Arc::clone(keyward), actor: Visitor, request: keyward.request_info() }
}

/// Makes every later audit record impossible, as a broken disk or a wrong grant would.
///
/// # Panics
/// When the database refuses.
pub async fn break_audit(keyward: &Keyward) {
    let break_it = async |conn: &mut store::Conn<'_>| store::testing::break_audit(conn).await;
    keyward.store.committer().upkeep(break_it).await.expect("the audit log of a test can be broken");
}

/// As [`break_audit`], until [`mend_audit`].
///
/// # Panics
/// When the database refuses.
pub async fn refuse_audit(keyward: &Keyward) {
    let refuse = async |conn: &mut store::Conn<'_>| store::testing::refuse_audit(conn).await;
    keyward.store.committer().upkeep(refuse).await.expect("the audit log of a test can be broken");
}

/// Ends [`refuse_audit`].
///
/// # Panics
/// When the database refuses.
pub async fn mend_audit(keyward: &Keyward) {
    let mend = async |conn: &mut store::Conn<'_>| store::testing::mend_audit(conn).await;
    keyward.store.committer().upkeep(mend).await.expect("the audit log of a test can be mended");
}

/// Every row of every table but some, as text.
///
/// # Panics
/// When the database does not answer.
pub async fn rows(keyward: &Keyward, but: &[&str]) -> Vec<String> {
    let mut reader = keyward.store.read().await.expect("the database of a test answers");
    store::testing::rows(&mut reader.conn(), but).await.expect("the database of a test can be read")
}

/// The database of an installation.
pub fn store(keyward: &Keyward) -> &store::Store {
    &keyward.store
}
