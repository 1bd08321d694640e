//! One bad upstream leaves the other federations alone.

use domain::federations::Slug;
use ops::{Clock as _, gateway::target};
use serde_json::json;
use server::tasks::clock::SystemClock;

use super::{
    CREDENTIAL, assert_come_back, forwarding,
    hostile::{Hostile, Mood},
    new_upstream, user,
};
use crate::house::{Client, House, filter, house};

/// Rounds of both phases.
const ROUNDS: usize = 21;

/// Requests of the good federation in one phase of a round.
const REQUESTS: usize = 100;

/// Every so many of them changes something: it waits for the disk, as the worst of its requests do.
const CHANGE_EVERY: usize = 4;

/// Calls to the bad upstream at once: what its bulkhead lets through, what it lets wait, and more.
const CALLS: usize = 56;

/// Calls under way at an upstream of the tests.
const CONCURRENCY: usize = 16;

/// The good federation: a client of it, and what it asks again and again.
struct Good<'a> {
    client: Client<'a>,
    found: String,
    changed: String,
}

impl Good<'_> {
    async fn ask(&self, number: usize) {
        let answer = if number.is_multiple_of(CHANGE_EVERY) {
            let title = json!([{ "op": "replace", "path": "title", "value": number.to_string() }]);
            self.client.patch(&self.changed, &title).await
        } else {
            self.client.get(&self.found).await
        };
        assert_eq!(answer.status, 200, "{}", answer.body);
    }

    /// The longest but one of a hundred, in microseconds.
    async fn p99(&self, mut beside: impl FnMut(usize)) -> i64 {
        let mut times = Vec::with_capacity(REQUESTS);
        for number in 0..REQUESTS {
            beside(number);
            let begun_us = SystemClock.monotonic_us();
            self.ask(number).await;
            times.push(SystemClock.monotonic_us() - begun_us);
        }
        times.sort_unstable();
        times[REQUESTS * 99 / 100 - 1]
    }
}

/// The p99 of the good federation while all that the bulkhead takes hangs at the other one's upstream.
async fn beside_a_hanging_one(
    good: &Good<'_>,
    gate: &'static Client<'static>,
    hostile: &Hostile,
    round: usize,
) -> i64 {
    hostile.is(Mood::Hang);
    let came = *hostile.came.borrow();
    let call = move |number: usize| {
        tokio::spawn(async move {
            // Half of them change something, and leave an intent behind.
            if number.is_multiple_of(2) {
                gate.get("/Users").await
            } else {
                gate.post("/Users", &user(&format!("u{round}-{number}"))).await
            }
        })
    };
    let mut calls: Vec<_> = (0..CALLS).map(call).collect();
    let mut hanging = hostile.came.subscribe();
    hanging.wait_for(|count| *count >= came + CONCURRENCY).await.unwrap();
    // What comes now waits in vain or is turned away, and still costs Keyward something.
    let p99 = good
        .p99(|number| {
            if number % 10 == 0 {
                calls.push(call(CALLS + number));
            }
        })
        .await;
    // What hangs and what waits comes to its end.
    hostile.is(Mood::BreakOff);
    for call in calls {
        assert_come_back(&call.await.unwrap(), 503, "hanging");
    }
    p99
}

/// The good federation is measured alone and beside a hanging upstream, round by round and in turns, so that a
/// machine that is busy with something else is busy in both phases; one round in which it was not decides
/// nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beside_a_hanging_upstream_the_p99_of_another_federation_is_at_most_twice_its_own() {
    // As long as the process: calls to it run beside the measured ones.
    let house: &'static House = Box::leak(Box::new(house().await));
    let hostile = Hostile::start().await;
    let gate: &'static Client<'static> =
        Box::leak(Box::new(forwarding(house, "gate", &hostile.base(), CREDENTIAL).await));
    // Long enough to hang through a whole phase, however slow the machine is.
    let slug = Slug::parse("gate").unwrap();
    let federation = ops::federations::open(&house.admin(), &slug).await.unwrap().federation;
    let mut patient = new_upstream(&federation, &hostile.base(), CREDENTIAL);
    patient.limits.timeout_ms = 120_000;
    target::set_upstream(&house.admin(), &slug, patient).await.unwrap();
    let client = house.client("own").await;
    let changed = format!("/Users/{}", client.user("mia").await);
    let good = Good { client, found: format!("/Users{}", filter("userName eq \"mia\"")), changed };
    good.p99(|_| {}).await;
    let mut rounds = Vec::new();
    for round in 0..ROUNDS {
        let (alone, beside);
        if round % 2 == 0 {
            alone = good.p99(|_| {}).await;
            beside = beside_a_hanging_one(&good, gate, &hostile, round).await;
        } else {
            beside = beside_a_hanging_one(&good, gate, &hostile, round).await;
            alone = good.p99(|_| {}).await;
        }
        rounds.push((beside * 100 / alone, alone, beside));
        // The breaker is open by now: one call finds out that it may close.
        hostile.is(Mood::Kind);
        house.clock.advance(60_000);
        assert_eq!(gate.get("/Users").await.status, 200);
    }
    rounds.sort_unstable();
    let (median, ..) = rounds[ROUNDS / 2];
    assert!(median <= 200, "percent, µs alone, µs beside: {rounds:?}");
    house.keyward.close().await;
}
