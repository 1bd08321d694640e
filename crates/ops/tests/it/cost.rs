//! What a change of a group costs: counted in statements and rows, not in time.

use std::{
    fmt::Debug,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use ops::{
    groups::{self, Shown},
    testing::{self, TestClock},
    users,
};
use scim::ResourceType;
use serde_json::{Value, json};
use store::testing::logged;
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

use crate::support::{House, asked, resource};

/// Statements on the directory, and rows that came back.
#[derive(Default)]
struct Count {
    statements: AtomicU64,
    rows: AtomicU64,
}

/// Counts what the one database of this test is asked; others do not speak.
#[derive(Clone)]
struct Meter(Arc<Count>);

impl Subscriber for Meter {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "sqlx::query"
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut seen = Seen::default();
        event.record(&mut seen);
        // Records, their sync and keys have a pace of their own.
        if seen.text.contains("scim_") {
            self.0.statements.fetch_add(1, Ordering::SeqCst);
            self.0.rows.fetch_add(seen.rows, Ordering::SeqCst);
        }
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// What an event says of a statement.
#[derive(Default)]
struct Seen {
    text: String,
    rows: u64,
}

impl Visit for Seen {
    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "rows_returned" {
            self.rows = value;
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if matches!(field.name(), "summary" | "db.statement") {
            self.text.push_str(value);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

impl Meter {
    fn take(&self) -> (u64, u64) {
        (self.0.statements.swap(0, Ordering::SeqCst), self.0.rows.swap(0, Ordering::SeqCst))
    }
}

fn values(ids: &[String]) -> Vec<Value> {
    ids.iter().map(|id| json!({ "value": id })).collect()
}

#[tokio::test]
async fn a_small_change_of_a_large_group_costs_what_it_costs_of_a_small_one() {
    let meter = Meter(Arc::default());
    if tracing::subscriber::set_global_default(meter.clone()).is_err() {
        // Under `cargo test` another test of this process may listen already.
        return;
    }
    let database = store::testing::sqlite();
    let clock = Arc::new(TestClock::default());
    let keyward = testing::open(logged(database.target.clone()), Arc::clone(&clock)).await;
    let house = House { keyward, clock, database };
    let federation = house.federation("okta").await;
    let (_, secret) = house.key(&federation, "a").await;
    let cx = || house.client(&federation, &secret);
    let mut people = Vec::new();
    for number in 0..3_000 {
        let new = resource(ResourceType::User, json!({ "userName": format!("u{number}") }));
        let made = users::create(&cx().await, &asked("POST", "Users"), new).await.unwrap();
        people.push(made.id.to_string());
    }
    let [new, members @ ..] = people.as_slice() else { panic!("there are people") };
    let mut ids = Vec::new();
    for (name, size) in [("small", 10), ("large", 2_900)] {
        let body = json!({ "displayName": name, "members": values(&members[..size]) });
        let group = resource(ResourceType::Group, body);
        let made = groups::create(&cx().await, &asked("POST", "Groups"), group, Shown::NoMembers).await;
        ids.push(made.unwrap().id.to_string());
    }
    let join = json!([{ "op": "add", "path": "members", "value": [{ "value": new }] }]);
    let leave = json!([{ "op": "remove", "path": format!("members[value eq \"{new}\"]") }]);
    let both = json!([
        { "op": "replace", "path": "externalId", "value": "x" },
        { "op": "add", "path": "members", "value": [{ "value": new }] },
    ]);
    let name = json!([{ "op": "replace", "value": { "externalId": "y" } }]);
    for operations in [join, leave, both, name] {
        let mut costs = Vec::new();
        for id in &ids {
            for shown in [Shown::NoMembers, Shown::ByDefault] {
                let read = scim::patch::from_value(json!({ "Operations": operations })).unwrap();
                let cx = cx().await;
                meter.take();
                groups::patch(&cx, &asked("PATCH", "Groups"), id, None, read, shown).await.unwrap();
                costs.push(meter.take());
            }
        }
        let [(small, _), (_, shown), (large, rows), (unshown, few)] = costs.as_slice() else {
            panic!("two groups, twice")
        };
        assert!(*small > 0, "nothing was counted");
        assert_eq!(small, large, "{operations}");
        // The second of each pair finds nothing to change; it counts the members and shows ten.
        assert!(unshown <= large && *rows < 20 && *few < 20 && *shown < 40, "{operations}: {costs:?}");
    }

    // Existence is asked for 200 at a time.
    let many = json!([{ "op": "add", "path": "members", "value": values(&members[..2_000]) }]);
    let read = scim::patch::from_value(json!({ "Operations": many })).unwrap();
    let cx = cx().await;
    meter.take();
    groups::patch(&cx, &asked("PATCH", "Groups"), &ids[0], None, read, Shown::NoMembers).await.unwrap();
    let (statements, _) = meter.take();
    assert!(statements < 60, "{statements} statements for 2,000 members");
    house.close().await;
}
