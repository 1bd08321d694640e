//! Each rule R1 to R4 and A1 to A20: one case that trips it, and one beside it that does not, end to end.
//!
//! A rule without both does not compile ([`cases`]) or is named by the test of the table. To add a rule, give it its
//! code in [`Rule::code`] and a row here.

use std::collections::BTreeSet;

use domain::{
    DAY_MS, HOUR_MS,
    federations::{Federation, Slug},
    findings::Rule,
    scopes::{ResourceKind, Scope},
};
use ops::{
    behaviour,
    brakes::{self, NewMark},
    compromise::{
        canary::{self, NewCanary},
        leaks::{Found, leaked},
    },
    federations::EditFederation,
    findings, keys, users,
};
use scim::ResourceType;
use serde_json::json;

use crate::{
    behaviour::{AWAY, HOME, Provider, unissued_key},
    brakes::{change, change_group, deactivate, group, user},
    rotations::{rotated, round, work},
    support::{asked, houses, listed, resource},
};

const MINUTE_MS: i64 = 60_000;

/// A provider and its federation, on which a case is played.
struct Stage<'a> {
    provider: Provider<'a>,
    federation: Federation,
    slug: Slug,
}

impl Stage<'_> {
    /// A user, by its name.
    async fn user(&self, name: &str) -> String {
        user(&self.provider.from(HOME).await.unwrap(), name).await.unwrap()
    }

    async fn users(&self, count: usize) -> Vec<String> {
        let mut ids = Vec::new();
        for number in 0..count {
            ids.push(self.user(&format!("m{number}")).await);
        }
        ids
    }

    /// Learns, and gives the user that was made.
    async fn learned(&self) -> String {
        self.provider.learn("u0@home.example").await
    }

    async fn mark(&self, id: &str, kind: &str) {
        let new = NewMark { resource: id.to_owned(), kind: kind.to_owned(), reason: "a test".to_owned() };
        brakes::mark(&self.provider.house.admin(), &self.slug, new).await.unwrap();
    }

    /// Deactivates so many.
    async fn deactivates(&self, count: usize) {
        for id in &self.users(30).await[..count] {
            drop(deactivate(&self.provider.from(HOME).await.unwrap(), id).await);
        }
    }

    /// Takes so many of the ten members of a group away in one request.
    async fn leaves(&self, count: usize) {
        let ids = self.users(10).await;
        let cx = async || self.provider.from(HOME).await.unwrap();
        let ten = group(&cx().await, "ten", &ids).await.unwrap();
        let values: Vec<_> = ids[..count].iter().map(|id| json!({ "value": id })).collect();
        let removal = json!([{ "op": "remove", "path": "members", "value": values }]);
        drop(change_group(&cx().await, &ten, removal).await);
    }

    /// Gives so many users another name.
    async fn rewrites(&self, count: usize) {
        for (number, id) in self.users(30).await[..count].iter().enumerate() {
            let name = json!([{ "op": "replace", "path": "userName", "value": format!("other{number}") }]);
            drop(change(&self.provider.from(HOME).await.unwrap(), id, name).await);
        }
    }

    /// Adds somebody to a group, which is marked or not.
    async fn joins(&self, is_privileged: bool) {
        let id = self.user("joiner").await;
        let admins = group(&self.provider.from(HOME).await.unwrap(), "admins", &[]).await.unwrap();
        if is_privileged {
            self.mark(&admins, "privileged").await;
        }
        let add = json!([{ "op": "add", "path": "members", "value": [{ "value": id }] }]);
        change_group(&self.provider.from(HOME).await.unwrap(), &admins, add).await.unwrap();
    }

    /// Writes what the scope of its key has not, so often.
    async fn is_denied(&self, times: usize) {
        let house = self.provider.house;
        let id = self.user("u0").await;
        let mut scope = Scope::full_directory();
        scope.grant_mut(ResourceKind::Users).write_attributes = Some(["displayName".to_owned()].into());
        let (_, secret) = house.scoped(&self.federation, "narrow", scope).await;
        let cx = async || house.client(&self.federation, &secret).await;
        let replace = |path: &str| json!([{ "op": "replace", "path": path, "value": "x" }]);
        change(&cx().await, &id, replace("displayName")).await.unwrap();
        for _ in 0..times {
            change(&cx().await, &id, replace("title")).await.unwrap_err();
        }
    }

    /// A rotation whose successor works while the old key falls silent; then the old key is used, or not.
    async fn rotates(&self, is_old_used: bool) {
        let house = self.provider.house;
        let (old, secret) = house.key(&self.federation, "old").await;
        for _ in 0..72 {
            work(house, &self.federation, &secret).await.unwrap();
            house.clock.advance(HOUR_MS);
        }
        work(house, &self.federation, &secret).await.unwrap();
        let (_, successor) = rotated(house, &old).await;
        round(house).await;
        work(house, &self.federation, &successor).await.unwrap();
        round(house).await;
        house.clock.advance(HOUR_MS);
        round(house).await;
        if is_old_used {
            work(house, &self.federation, &secret).await.unwrap();
        }
        house.clock.advance(1_000);
        round(house).await;
    }

    /// Uses the key after so many days of silence.
    async fn wakes(&self, days: i64) {
        self.provider.read(HOME).await;
        behaviour::flush(&self.provider.house.keyward).await.unwrap();
        self.provider.house.clock.advance(days * DAY_MS);
        self.provider.read(HOME).await;
    }

    /// Looks at the ages of keys after so many days.
    async fn ages(&self, days: i64) {
        self.provider.read(HOME).await;
        self.provider.house.clock.advance(days * DAY_MS);
        findings::sweep(&self.provider.house.keyward).await.unwrap();
    }

    /// Works at ten o'clock for fifteen days, and then writes 21 times at another hour.
    async fn writes_at(&self, hour: i64) {
        let house = self.provider.house;
        let id = self.user("u0").await;
        let start_ms = house.keyward.clock().now_ms();
        for day in 0..15 {
            house.clock.advance(start_ms + day * DAY_MS + 10 * HOUR_MS - house.keyward.clock().now_ms());
            for turn in 0..16 {
                self.provider.write(HOME, &id, &format!("{day} {turn}")).await;
            }
            behaviour::flush(&house.keyward).await.unwrap();
        }
        house.clock.advance(start_ms + 15 * DAY_MS + hour * HOUR_MS - house.keyward.clock().now_ms());
        for turn in 0..21 {
            self.provider.write(HOME, &id, &format!("late {turn}")).await;
            house.clock.advance(10_000);
        }
    }

    /// Looks for silence so long after the last request of a key that syncs every eight hours.
    async fn is_silent(&self, hours: i64) {
        self.learned().await;
        let house = self.provider.house;
        // The last turn of learning ended with eight hours of silence.
        house.clock.advance((hours - 8) * HOUR_MS);
        behaviour::sweep(&house.keyward, "node").await.unwrap();
    }

    /// So many good requests, and so many that fail.
    async fn fails(&self, good: usize, bad: usize) {
        let id = self.user("u0").await;
        for _ in 1..good {
            self.provider.read(HOME).await;
        }
        for _ in 0..bad {
            let nothing = json!([{ "op": "replace", "path": "userName", "value": "" }]);
            change(&self.provider.from(HOME).await.unwrap(), &id, nothing).await.unwrap_err();
        }
    }

    /// Lists so many of the users, after it has only looked at them one by one.
    async fn lists(&self, count: u64) {
        self.learned().await;
        self.users(12).await;
        let cx = self.provider.from(HOME).await.unwrap();
        listed(&cx, ResourceType::User, None, count).await.unwrap();
    }

    /// Presents a key that nobody issued, so often within a minute.
    async fn guesses(&self, times: usize) {
        self.provider.read(HOME).await;
        let unknown = unissued_key();
        for _ in 0..times {
            let presented = self.provider.house.present(&self.provider.slug, Some(&unknown)).await;
            assert!(presented.is_err());
        }
    }

    /// Lays a canary out.
    async fn canary(&self) -> domain::Secret {
        let new = NewCanary {
            federation: self.slug.clone(),
            name: format!("bait of {}", self.slug),
            place: "a wiki".to_owned(),
        };
        canary::issue(&self.provider.house.admin(), new).await.unwrap().secret.unwrap()
    }

    async fn reports(&self, text: &str) -> bool {
        let house = self.provider.house;
        let found = Found { text, url: "https://git.example/a", source: "commit" };
        leaked(&house.keyward, &house.keyward.request_info(), &found).await.unwrap()
    }

    /// Puts a user as it is.
    async fn puts(&self, id: &str, name: &str) {
        let same = resource(ResourceType::User, json!({ "userName": name }));
        let cx = self.provider.from(HOME).await.unwrap();
        users::replace(&cx, &asked_of("PUT", id), id, None, same).await.unwrap();
    }
}

/// A request that names a user in its path.
fn asked_of(method: &str, id: &str) -> ops::scim_client::Asked {
    ops::scim_client::Asked { resource_id: Some(id.to_owned()), ..asked(method, "Users") }
}

/// Plays a case that is quiet in one federation and one that trips in another, on each database.
async fn check(rule: Rule, quiet: impl AsyncFn(&Stage<'_>), trips: impl AsyncFn(&Stage<'_>)) {
    for house in houses().await {
        for (text, is_trip) in [("quiet", false), ("trips", true)] {
            let provider = house.provider(text).await;
            let slug = Slug::parse(text).unwrap();
            let federation = ops::federations::open(&house.admin(), &slug).await.unwrap().federation;
            let stage = Stage { provider, federation, slug };
            if is_trip {
                trips(&stage).await;
            } else {
                quiet(&stage).await;
            }
            let found = house.found().await;
            let of: Vec<_> = found
                .iter()
                .filter(|found| {
                    found.rule == rule && found.federation_id.as_ref() == Some(&stage.federation.id)
                })
                .collect();
            assert_eq!(!of.is_empty(), is_trip, "{text}: {found:#?}");
            for finding in of {
                let detail = &finding.detail;
                assert!(detail.expected.ends_with('.') && !detail.came.is_empty(), "{detail:?}");
            }
        }
        house.close().await;
    }
}

/// One test for each rule; both cases have to be there.
macro_rules! cases {
    ($($name:ident: $rule:ident, quiet $quiet:expr, trips $trips:expr;)*) => {
        $(
            #[tokio::test]
            async fn $name() {
                check(Rule::$rule, $quiet, $trips).await;
            }
        )*

        const PLAYED: &[Rule] = &[$(Rule::$rule),*];
    };
}

cases! {
    r1_holds_the_eleventh_removal_and_not_the_tenth: MassRemoval,
        quiet async |stage| stage.deactivates(10).await,
        trips async |stage| stage.deactivates(11).await;
    r2_holds_six_of_ten_members_and_not_five: GroupEmptied,
        quiet async |stage| stage.leaves(5).await,
        trips async |stage| stage.leaves(6).await;
    r3_tells_of_a_change_of_what_is_protected: ProtectedChange,
        quiet async |stage| {
            let ids = stage.users(2).await;
            stage.mark(&ids[0], "protected").await;
            deactivate(&stage.provider.from(HOME).await.unwrap(), &ids[1]).await.unwrap();
        },
        trips async |stage| {
            let ids = stage.users(2).await;
            stage.mark(&ids[0], "protected").await;
            deactivate(&stage.provider.from(HOME).await.unwrap(), &ids[0]).await.unwrap_err();
        };
    r4_holds_the_sixth_rewritten_user_and_not_the_fifth: MassRewrite,
        quiet async |stage| stage.rewrites(5).await,
        trips async |stage| stage.rewrites(6).await;
    a1_tells_of_a_network_that_was_never_seen: NewNetwork,
        quiet async |stage| { stage.learned().await; stage.provider.read("198.51.100.99").await; },
        trips async |stage| { stage.learned().await; stage.provider.read(AWAY).await; };
    a2_tells_of_a_program_from_elsewhere: NewAgent,
        quiet async |stage| {
            let id = stage.learned().await;
            let cx = stage.provider.on(&stage.provider.house.keyward, HOME, "curl/8").await.unwrap();
            users::get(&cx, &asked_of("GET", &id), &id).await.unwrap();
        },
        trips async |stage| {
            let id = stage.learned().await;
            let cx = stage.provider.on(&stage.provider.house.keyward, AWAY, "curl/8").await.unwrap();
            users::get(&cx, &asked_of("GET", &id), &id).await.unwrap();
        };
    a3_tells_of_two_networks_in_turns_and_not_of_a_move: TwoNetworks,
        quiet async |stage| {
            let id = stage.learned().await;
            for (turn, source) in [HOME, AWAY, AWAY].into_iter().enumerate() {
                stage.provider.write(source, &id, &format!("t{turn}")).await;
                stage.provider.house.clock.advance(2 * MINUTE_MS);
            }
        },
        trips async |stage| {
            let id = stage.learned().await;
            for (turn, source) in [HOME, AWAY, HOME].into_iter().enumerate() {
                stage.provider.write(source, &id, &format!("t{turn}")).await;
                stage.provider.house.clock.advance(2 * MINUTE_MS);
            }
        };
    a4_tells_of_the_tenth_refusal_and_not_of_the_ninth: ManyDenials,
        quiet async |stage| stage.is_denied(9).await,
        trips async |stage| stage.is_denied(10).await;
    a5_tells_of_an_addition_to_a_privileged_group: PrivilegedAdd,
        quiet async |stage| stage.joins(false).await,
        trips async |stage| stage.joins(true).await;
    a6_tells_of_an_old_key_that_is_used_after_its_cutover: TwoHolders,
        quiet async |stage| stage.rotates(false).await,
        trips async |stage| stage.rotates(true).await;
    a7_tells_of_a_key_that_wakes_after_45_days: DormantKey,
        quiet async |stage| stage.wakes(44).await,
        trips async |stage| stage.wakes(45).await;
    a7_proposes_to_end_a_key_that_was_not_used_for_45_days: UnusedKey,
        quiet async |stage| stage.ages(44).await,
        trips async |stage| stage.ages(45).await;
    a8_tells_of_many_writes_at_an_unusual_hour: OffSchedule,
        quiet async |stage| stage.writes_at(10).await,
        trips async |stage| stage.writes_at(3).await;
    a9_tells_of_a_silence_of_more_than_three_long_gaps: Silence,
        quiet async |stage| stage.is_silent(20).await,
        trips async |stage| stage.is_silent(34).await;
    a10_tells_when_more_than_40_percent_fail: ManyFailures,
        quiet async |stage| stage.fails(30, 20).await,
        trips async |stage| stage.fails(29, 21).await;
    a11_tells_of_a_first_list: Enumeration,
        quiet async |stage| stage.lists(9).await,
        trips async |stage| stage.lists(100).await;
    a12_tells_of_the_51st_creation_of_an_hour: CreateBurst,
        quiet async |stage| { stage.learned().await; stage.users(50).await; },
        trips async |stage| { stage.learned().await; stage.users(51).await; };
    a13_holds_a_new_mail_domain: NewIdentity,
        quiet async |stage| { stage.learned().await; stage.user("bob@home.example").await; },
        trips async |stage| {
            stage.learned().await;
            user(&stage.provider.from(HOME).await.unwrap(), "eve@evil.example").await.unwrap_err();
        };
    a14_tells_of_an_ended_key: EndedKeyUsed,
        quiet async |stage| stage.provider.read(HOME).await,
        trips async |stage| {
            keys::revoke(&stage.provider.house.admin(), &stage.provider.key_id, "").await.unwrap();
            assert!(stage.provider.from(HOME).await.is_err());
        };
    a14_tells_of_the_twentieth_unknown_key_of_a_minute: UnknownKeys,
        quiet async |stage| stage.guesses(19).await,
        trips async |stage| stage.guesses(20).await;
    a15_tells_of_a_canary_key_at_its_first_use: CanaryUsed,
        quiet async |stage| { stage.canary().await; stage.provider.read(HOME).await; },
        trips async |stage| {
            let secret = stage.canary().await;
            let presented = stage.provider.house.present(&stage.provider.slug, Some(secret.expose())).await;
            assert!(presented.is_err());
        };
    a16_tells_of_a_canary_user_that_is_put_as_it_is: CanaryResource,
        quiet async |stage| {
            let ids = stage.users(2).await;
            stage.mark(&ids[0], "canary").await;
            stage.puts(&ids[1], "m1").await;
        },
        trips async |stage| {
            let ids = stage.users(2).await;
            stage.mark(&ids[0], "canary").await;
            stage.puts(&ids[0], "m0").await;
        };
    a17_tells_of_a_key_that_was_found_outside: LeakReported,
        quiet async |stage| assert!(!stage.reports(&unissued_key()).await),
        trips async |stage| {
            assert!(stage.reports(&stage.provider.secret).await);
            assert_eq!(stage.provider.state().await, domain::keys::KeyState::Held, "at once");
        };
    a18_tells_of_an_attribute_that_was_never_written: NewAttribute,
        quiet async |stage| {
            let id = stage.learned().await;
            stage.provider.write(HOME, &id, "again").await;
        },
        trips async |stage| {
            let id = stage.learned().await;
            let title = json!([{ "op": "replace", "path": "title", "value": "Dr" }]);
            change(&stage.provider.from(HOME).await.unwrap(), &id, title).await.unwrap();
        };
    a19_tells_30_days_before_the_end_of_a_key: EndsSoon,
        quiet async |stage| stage.ages(59).await,
        trips async |stage| stage.ages(60).await;
    a19_tells_of_a_key_that_has_ended: Expired,
        quiet async |stage| stage.ages(89).await,
        trips async |stage| stage.ages(90).await;
    a19_tells_of_a_key_that_is_older_than_its_policy: OverAge,
        quiet async |stage| { shorter(stage).await; stage.ages(30).await; },
        trips async |stage| { shorter(stage).await; stage.ages(31).await; };
    a20_tells_of_a_rule_that_becomes_laxer: AdminPlane,
        quiet async |stage| stage.provider.house.rules(&stage.provider.slug, |rules| rules.r1.most = 100).await,
        trips async |stage| stage.provider.house.rules(&stage.provider.slug, |rules| rules.r1.most = 800).await;
}

/// Lets keys of the federation live for 30 days from now on.
async fn shorter(stage: &Stage<'_>) {
    let edit = EditFederation {
        version: stage.federation.version,
        name: stage.federation.name.clone(),
        vendor: "okta".to_owned(),
        owners: "owner@example.com".to_owned(),
        notes: String::new(),
        max_age_days: 30,
        overlap_hours: 72,
        warn_days: 14,
        scim: None,
    };
    ops::federations::edit(&stage.provider.house.admin(), &stage.slug, edit).await.unwrap();
}

#[test]
fn every_rule_has_a_case_that_trips_it_and_one_that_does_not() {
    for rule in Rule::ALL.iter().filter(|rule| rule.code().is_some()) {
        assert!(PLAYED.contains(rule), "{rule:?} has no cases");
    }
    let codes: BTreeSet<&str> = PLAYED.iter().filter_map(|rule| rule.code()).collect();
    let expected: BTreeSet<String> =
        (1..=4).map(|n| format!("R{n}")).chain((1..=20).map(|n| format!("A{n}"))).collect();
    assert_eq!(codes, expected.iter().map(String::as_str).collect());
}
