//! What each rule trips on, and what not.

mod cost;

use std::net::IpAddr;

use super::*;
use crate::{
    DAY_MS, HOUR_MS, Millis,
    federations::Vendor,
    findings::{Rule, Severity},
};

const MINUTE_MS: Millis = 60_000;

/// Monday 2026-01-05, 00:00 UTC.
const START_MS: Millis = 1_767_571_200_000;

const HOME: &str = "198.51.100.7";
const AWAY: &str = "203.0.113.9";
const AGENT: &str = "Entra/1.0";

fn at(text: &str) -> Option<IpAddr> {
    text.parse().ok()
}

fn seen(at_ms: Millis, operation: Operation) -> Observation<'static> {
    let status = if operation == Operation::Create { 201 } else { 200 };
    Observation { given: 1, is_filtered: true, ..Observation::new(at_ms, operation, "Users", status) }
        .from(at(HOME), Some(AGENT))
}

fn attributes() -> &'static [String] {
    static NAMES: std::sync::OnceLock<Vec<String>> = std::sync::OnceLock::new();
    NAMES.get_or_init(|| ["userName", "emails", "active"].map(str::to_owned).to_vec())
}

/// A watch that has seen `days` of a provider that syncs every 40 minutes, and writes between 08:00 and 18:00 of
/// working days.
fn trained(days: i64) -> (Watch, Millis) {
    let (mut watch, rules) = (Watch::default(), Rules::default());
    watch.base.population = 400;
    let mut now_ms = START_MS;
    while now_ms < START_MS + days * DAY_MS {
        let hour = (now_ms - START_MS).rem_euclid(DAY_MS) / HOUR_MS;
        let day = (now_ms - START_MS).div_euclid(DAY_MS) % 7;
        let works = day < 5 && (8..18).contains(&hour);
        for turn in 0..4 {
            let found = watch.observe(&seen(now_ms + turn * 1_000, Operation::List), &rules);
            assert!(found.is_empty(), "{found:?}");
        }
        if works {
            for (turn, operation) in
                [Operation::Create, Operation::Update, Operation::Update].into_iter().enumerate()
            {
                let at_ms = now_ms + 5_000 + i64::try_from(turn).unwrap();
                let seen = Observation { attributes: attributes(), ..seen(at_ms, operation) };
                let found = watch.observe(&seen, &rules);
                assert!(found.is_empty(), "{found:?}");
            }
        }
        now_ms += 40 * MINUTE_MS;
        watch.take(&rules, now_ms);
    }
    (watch, now_ms)
}

/// What rules trip when a trained key sends these.
fn tripped<'a>(rules: &Rules, of: impl IntoIterator<Item = Observation<'a>>) -> Vec<Suspicion> {
    let (mut watch, _) = trained(21);
    of.into_iter().flat_map(|seen| watch.observe(&seen, rules)).collect()
}

fn now() -> Millis {
    // A Monday at 10:00.
    START_MS + 21 * DAY_MS + 10 * HOUR_MS
}

#[track_caller]
fn check(rule: Rule, holds: bool, trips: Vec<Observation<'_>>, quiet: Vec<Observation<'_>>) {
    let rules = Rules::default();
    let found = tripped(&rules, trips);
    let of_rule: Vec<_> = found.iter().filter(|found| found.rule == rule).collect();
    assert!(!of_rule.is_empty(), "{rule:?} did not trip: {found:?}");
    assert_eq!(of_rule.iter().any(|found| found.holds), holds, "{rule:?}: {of_rule:?}");
    for found in &of_rule {
        assert!(found.expected.ends_with('.') && found.came.ends_with('.'), "{found:?}");
        assert!(found.came.bytes().any(|byte| byte.is_ascii_digit()), "without numbers: {found:?}");
    }
    let found = tripped(&rules, quiet);
    assert!(found.iter().all(|found| found.rule != rule), "{rule:?} tripped on what is usual: {found:?}");
}

fn many(
    count: i64,
    every_ms: Millis,
    one: impl Fn(Millis) -> Observation<'static>,
) -> Vec<Observation<'static>> {
    (0..count).map(|turn| one(now() + turn * every_ms)).collect()
}

#[test]
fn a1_trips_on_a_network_that_was_never_seen() {
    let away = |at_ms| seen(at_ms, Operation::Read).from(at(AWAY), Some(AGENT));
    let beside = |at_ms| seen(at_ms, Operation::Read).from(at("198.51.100.250"), Some(AGENT));
    check(Rule::NewNetwork, false, vec![away(now())], vec![beside(now())]);
}

#[test]
fn a1_holds_on_a_write_where_the_policy_pins() {
    let mut rules = Rules::default();
    rules.a1.answer = Answer::Hold;
    let away = |operation| seen(now(), operation).from(at(AWAY), Some(AGENT));
    assert!(!tripped(&rules, [away(Operation::Read)])[0].holds);
    assert!(tripped(&rules, [away(Operation::Update)]).iter().any(|found| found.holds));
    rules.a1.answer = Answer::Off;
    rules.a2.answer = Answer::Off;
    assert_eq!(tripped(&rules, [away(Operation::Update)]), []);
}

#[test]
fn a2_trips_on_another_program_from_elsewhere_only() {
    let of = |source, agent| seen(now(), Operation::Read).from(at(source), Some(agent));
    check(Rule::NewAgent, false, vec![of(AWAY, "curl/8")], vec![of(HOME, "curl/8"), of(AWAY, "Entra/2.0")]);
}

#[test]
fn a3_trips_when_two_networks_take_turns_and_not_when_a_provider_moves() {
    let of =
        |minute, source, operation| seen(now() + minute * MINUTE_MS, operation).from(at(source), Some(AGENT));
    let turns =
        vec![of(0, HOME, Operation::Update), of(2, AWAY, Operation::Update), of(4, HOME, Operation::Update)];
    let move_ =
        vec![of(0, HOME, Operation::Update), of(2, AWAY, Operation::Update), of(4, AWAY, Operation::Update)];
    check(Rule::TwoNetworks, true, turns, move_);
    // Whoever only reads is told, and not held.
    let reads =
        [of(0, HOME, Operation::Update), of(2, AWAY, Operation::Read), of(4, HOME, Operation::Update)];
    let found = tripped(&Rules::default(), reads);
    assert!(found.iter().any(|found| found.rule == Rule::TwoNetworks && !found.holds), "{found:?}");
}

/// A trained key whose provider always came from two networks at once.
fn pooled() -> Watch {
    let (mut watch, rules) = (Watch::default(), Rules::default());
    watch.base.population = 400;
    for turn in 0..21 * 36 {
        let at_ms = START_MS + turn * 40 * MINUTE_MS;
        for (place, source) in [HOME, "192.0.2.7", HOME].into_iter().enumerate() {
            let seen = seen(at_ms + i64::try_from(place).unwrap() * 1_000, Operation::Update)
                .from(at(source), Some(AGENT));
            let found = watch.observe(&seen, &rules);
            assert!(found.is_empty(), "{found:?}");
        }
        watch.take(&rules, at_ms + MINUTE_MS);
    }
    watch
}

#[test]
fn a3_holds_no_pool_of_networks_on_the_first_day_of_a_move() {
    let rules = Rules::default();
    let turns = |sources: [&str; 4], agent: &str| {
        let mut watch = pooled();
        assert!(watch.base.is_pooled());
        let of = sources.into_iter().enumerate().flat_map(|(turn, source)| {
            let at_ms = now() + i64::try_from(turn).unwrap() * MINUTE_MS;
            watch.observe(&seen(at_ms, Operation::Update).from(at(source), Some(agent)), &rules)
        });
        of.filter(|found| found.rule == Rule::TwoNetworks).collect::<Vec<_>>()
    };
    // One of the two is another now, or both are: told, and the provider goes on.
    for sources in [[HOME, AWAY, HOME, AWAY], [AWAY, "203.0.114.9", AWAY, "203.0.114.9"]] {
        let found = turns(sources, AGENT);
        assert_eq!(
            found.iter().map(|one| (one.severity, one.holds)).collect::<Vec<_>>(),
            [(Severity::High, false)]
        );
    }
    // Another program in turns with it is another holder.
    assert!(turns([HOME, AWAY, HOME, AWAY], "curl/8").iter().any(|found| found.holds));
    // What is its own is no finding.
    assert_eq!(turns([HOME, "192.0.2.7", HOME, "192.0.2.7"], AGENT), []);
    // A key that came from one network at a time is held.
    assert!(!trained(21).0.base.is_pooled());
}

#[test]
fn a_thief_does_not_make_a_pool_by_taking_turns() {
    let (mut watch, rules) = (trained(21).0, Rules::default());
    for turn in 0..500 {
        let source = if turn % 2 == 0 { HOME } else { AWAY };
        let seen = seen(now() + turn * MINUTE_MS, Operation::Read).from(at(source), Some(AGENT));
        watch.observe(&seen, &rules);
        watch.take(&rules, seen.at_ms);
    }
    assert!(!watch.base.is_pooled());
}

#[test]
fn a9_expects_nothing_of_a_key_that_only_reads_now_and_then() {
    let rules = Rules::default();
    let of = |operation, syncs: i64| {
        let mut watch = Watch::default();
        for turn in 0..syncs {
            watch.observe(&seen(START_MS + turn * HOUR_MS, operation), &rules);
        }
        watch.take(&rules, START_MS + syncs * HOUR_MS);
        is_expected(&watch.base, &rules, START_MS + DAY_MS)
    };
    assert!(!of(Operation::Update, 0) && !of(Operation::Update, 2), "it has hardly spoken");
    assert!(of(Operation::Update, 3) && of(Operation::Create, 5));
    assert!(!of(Operation::List, 20), "a report is not expected before its rhythm is known");
    let (watch, now_ms) = trained(21);
    assert!(is_expected(&watch.base, &rules, now_ms));
}

#[test]
fn a4_trips_on_the_tenth_refusal_and_holds_at_the_fiftieth() {
    let denied =
        |at_ms| Observation { status: 404, outcome: Outcome::Denied, ..seen(at_ms, Operation::Update) };
    check(Rule::ManyDenials, false, many(10, 1_000, denied), many(9, 1_000, denied));
    check(Rule::ManyDenials, true, many(50, 1_000, denied), many(40, MINUTE_MS, denied));
}

#[test]
fn a4_trips_at_once_on_a_verb_that_the_key_never_held() {
    let denied = |operation| Observation { status: 403, outcome: Outcome::Denied, ..seen(now(), operation) };
    check(Rule::ManyDenials, false, vec![denied(Operation::Delete)], vec![denied(Operation::Update)]);
}

#[test]
fn a7_trips_after_45_days_and_holds_on_a_write() {
    let after = |days, operation| seen(START_MS + 21 * DAY_MS + days * DAY_MS, operation);
    check(Rule::DormantKey, true, vec![after(46, Operation::Update)], vec![after(44, Operation::Update)]);
    check(Rule::DormantKey, false, vec![after(46, Operation::Read)], vec![after(1, Operation::Read)]);
}

#[test]
fn a8_trips_on_many_writes_at_night_and_not_by_day() {
    let night = now() - 7 * HOUR_MS + 7 * MINUTE_MS;
    let of = |from: Millis, count: i64| -> Vec<_> {
        (0..count).map(|turn| seen(from + turn * 1_000, Operation::Update)).collect()
    };
    check(Rule::OffSchedule, false, of(night, 25), of(now(), 25));
    check(Rule::OffSchedule, false, of(night, 25), of(night, 20));
}

#[test]
fn a9_trips_within_the_cycle_of_the_provider() {
    let rules = Rules::default();
    let (watch, now_ms) = trained(21);
    let last_ms = watch.base.last_ms.unwrap();
    let of = |silent_ms| silence(&watch.base, &rules, Vendor::Okta, last_ms + silent_ms);
    assert_eq!(of(2 * HOUR_MS), None, "three long gaps");
    let found = of(3 * HOUR_MS).unwrap();
    assert_eq!((found.rule, found.severity), (Rule::Silence, Severity::Medium));
    assert_eq!(of(13 * HOUR_MS).unwrap().severity, Severity::High, "four times that");
    // What nobody has learned yet is what is published.
    let mut young = Watch::default();
    young.note(&seen(now_ms, Operation::List), &rules);
    young.take(&rules, now_ms);
    let of = |silent_ms| silence(&young.base, &rules, Vendor::Entra, now_ms + silent_ms);
    assert_eq!(of(120 * MINUTE_MS), None);
    assert!(of(121 * MINUTE_MS).is_some());
    assert_eq!(silence(&young.base, &rules, Vendor::Okta, now_ms + 2 * DAY_MS), None);
    let mut off = rules;
    off.a9.answer = Answer::Off;
    assert_eq!(silence(&young.base, &off, Vendor::Entra, now_ms + DAY_MS), None);
    assert_eq!(
        silence(&Profile::default(), &rules, Vendor::Entra, now_ms),
        None,
        "who never spoke is not silent"
    );
}

#[test]
fn a10_trips_when_more_than_40_of_100_fail() {
    let of = |failed: i64| -> Vec<_> {
        (0..100)
            .map(|turn| Observation {
                status: if turn % 100 < failed { 400 } else { 200 },
                ..seen(now() + (100 - turn) * 1_000, Operation::Update)
            })
            .rev()
            .collect()
    };
    check(Rule::ManyFailures, false, of(45), of(40));
    // Looking for what is not there is no failure.
    let missing = |at_ms| Observation { status: 404, ..seen(at_ms, Operation::Read) };
    check(Rule::ManyFailures, false, of(45), many(100, 1_000, missing));
}

#[test]
fn a11_trips_on_lists_looks_and_reading_all() {
    let list = |given| move |at_ms| Observation { given, is_filtered: false, ..seen(at_ms, Operation::List) };
    let look = |at_ms| seen(at_ms, Operation::Read);
    // It never listed: the first is told, and so is reading all of it.
    check(Rule::Enumeration, false, many(1, 1_000, list(100)), many(1, 1_000, list(2)));
    check(Rule::Enumeration, true, many(21, 1_000, list(100)), many(15, 1_000, list(1)));
    // One look at each of the 400 is a full sync.
    check(Rule::Enumeration, false, many(650, 1_000, look), many(400, 1_000, look));
    check(Rule::Enumeration, true, many(1_300, 1_000, look), many(600, 1_000, look));
    // Names that are tried out are told; names that are then created are not.
    let miss = |at_ms| Observation { given: 0, ..seen(at_ms, Operation::List) };
    let joins =
        many(
            1_400,
            1_000,
            |at_ms| {
                if at_ms / 1_000 % 2 == 0 { miss(at_ms) } else { seen(at_ms, Operation::Create) }
            },
        );
    check(Rule::Enumeration, false, many(700, 1_000, miss), joins);
}

#[test]
fn a12_trips_on_a_burst_and_not_in_the_first_sync() {
    let create = |at_ms| seen(at_ms, Operation::Create);
    check(Rule::CreateBurst, false, many(51, 1_000, create), many(50, 1_000, create));
    let mut young = Watch::default();
    let found: Vec<_> = many(5_000, 100, create)
        .into_iter()
        .flat_map(|seen| young.observe(&seen, &Rules::default()))
        .collect();
    assert_eq!(found, []);
}

#[test]
fn a16_trips_on_a_canary_and_on_nothing_else() {
    let canary = |is_canary| vec![Observation { is_canary, ..seen(now(), Operation::Read) }];
    check(Rule::CanaryResource, false, canary(true), canary(false));
    let mut rules = Rules::default();
    rules.a16.answer = Answer::Hold;
    let write = Observation { is_canary: true, ..seen(now(), Operation::Update) };
    assert!(tripped(&rules, [write])[0].holds);
}

#[test]
fn a18_trips_on_a_new_attribute_and_is_worse_for_a_password() {
    let (new, password) = (["nickName".to_owned()], ["password".to_owned()]);
    let of = |attributes| vec![Observation { attributes, ..seen(now(), Operation::Update) }];
    check_severity(of(&new), Severity::Low);
    let found = tripped(&Rules::default(), of(&password));
    assert_eq!(found[0].severity, Severity::Medium);
    assert_eq!(tripped(&Rules::default(), of(attributes())), []);
    // A password is told while it is learned, other attributes are not.
    let mut young = Watch::default();
    assert_eq!(young.observe(&of(&new)[0], &Rules::default()), []);
    assert_eq!(young.observe(&of(&password)[0], &Rules::default()).len(), 1);
    assert_eq!(young.observe(&of(&password)[0], &Rules::default()), [], "once");
}

#[track_caller]
fn check_severity(of: Vec<Observation<'_>>, severity: Severity) {
    let found = tripped(&Rules::default(), of);
    let rules: Vec<_> = found.iter().map(|found| (found.rule, found.severity)).collect();
    assert_eq!(rules, [(Rule::NewAttribute, severity)]);
}

#[test]
fn what_is_off_is_silent() {
    let mut rules = Rules::default();
    for switch in rules.switches() {
        if switch.allowed.contains(&Answer::Off) {
            rules.set(switch.field, "off").unwrap();
        }
    }
    let new = ["nickName".to_owned(), "password".to_owned()];
    let all = many(2_000, 500, |at_ms| match at_ms / 500 % 4 {
        0 => Observation { is_canary: true, ..seen(at_ms, Operation::Create) },
        1 => seen(at_ms, Operation::Read).from(at(AWAY), Some("curl/8")),
        2 => Observation { status: 403, outcome: Outcome::Denied, ..seen(at_ms, Operation::Delete) },
        _ => Observation { status: 400, ..seen(at_ms, Operation::Update) },
    });
    let written = Observation { attributes: &new, ..seen(now() + HOUR_MS, Operation::Update) };
    assert_eq!(tripped(&rules, all.into_iter().chain([written])), []);
}

#[test]
fn nothing_is_compared_before_14_days_and_three_syncs() {
    let rules = Rules::default();
    let away = |at_ms| seen(at_ms, Operation::Update).from(at(AWAY), Some("curl/8"));
    let (mut young, now_ms) = trained(13);
    assert_eq!(young.observe(&away(now_ms), &rules), []);
    let mut still = Watch::default();
    still.note(&seen(START_MS, Operation::List), &rules);
    still.take(&rules, START_MS);
    assert_eq!(still.observe(&away(START_MS + 30 * DAY_MS), &rules), [], "one sync is no rhythm");
}

#[test]
fn a_repetition_is_told_once_and_again_when_it_is_worse() {
    let (mut watch, rules) = (trained(21).0, Rules::default());
    let mut told = Vec::new();
    for turn in 0..60 {
        let seen = Observation {
            status: 404,
            outcome: Outcome::Denied,
            ..seen(now() + turn * 1_000, Operation::Update)
        };
        told.extend(watch.observe(&seen, &rules).into_iter().map(|found| (turn, found.holds)));
    }
    assert_eq!(told, [(9, false), (49, true)]);
}

/// Numbers that look random and are the same in every run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most
    }
}

fn random<'a>(chance: &mut Chance, at_ms: Millis, names: &'a [String]) -> Observation<'a> {
    let operations = [
        Operation::Create,
        Operation::Update,
        Operation::Deactivate,
        Operation::Delete,
        Operation::Read,
        Operation::List,
        Operation::Other,
    ];
    let pick = |number: u64| usize::try_from(number).unwrap();
    let first = pick(chance.below(names.len() as u64 - 3));
    let address = u32::try_from(chance.below(1 << 31)).unwrap();
    let source = IpAddr::from(address.to_be_bytes());
    let agent = "x".repeat(pick(chance.below(200))) + &chance.below(1_000).to_string();
    Observation {
        attributes: &names[first..first + 3],
        left: u32::try_from(chance.below(1 << 30)).unwrap(),
        given: u32::try_from(chance.below(1 << 30)).unwrap(),
        is_filtered: chance.below(2) == 0,
        outcome: if chance.below(4) == 0 { Outcome::Denied } else { Outcome::Answered },
        ..Observation::new(
            at_ms,
            operations[pick(chance.below(7))],
            "Users",
            [200, 201, 400, 500][pick(chance.below(4))],
        )
        .from(Some(source), Some(&agent))
    }
}

#[test]
fn a_profile_never_weighs_more_than_64_kib_whatever_is_observed() {
    let names: Vec<String> = (0..3_000).map(|number| format!("{number:04}{}", "é\"".repeat(40))).collect();
    let (mut watch, rules, mut chance) = (Watch::default(), Rules::default(), Chance(7));
    let (mut now_ms, mut heaviest) = (START_MS, 0);
    for turn in 0..100_000 {
        now_ms += i64::try_from(chance.below(120_000)).unwrap();
        watch.observe(&random(&mut chance, now_ms, &names), &rules);
        if turn % 500 == 499 {
            let fresh = watch.take(&rules, now_ms);
            for profile in [&watch.base, &fresh] {
                heaviest = heaviest.max(serde_json::to_string(profile).unwrap().len());
            }
        }
    }
    assert!(now_ms - START_MS > 60 * DAY_MS, "it covers more than what is remembered");
    assert!((20_000..=MOST_BYTES).contains(&heaviest), "{heaviest} bytes");
    let text = serde_json::to_string(&watch.base).unwrap();
    assert_eq!(serde_json::from_str::<Profile>(&text).unwrap(), watch.base, "a restart loses nothing");
}

#[test]
fn two_nodes_learn_what_one_would() {
    let (rules, mut chance) = (Rules::default(), Chance(3));
    let names: Vec<String> = (0..30).map(|number| format!("attribute{number}")).collect();
    let (mut one, mut a, mut b) = (Profile::default(), Profile::default(), Profile::default());
    let (mut alone, mut shared) = (Profile::default(), Profile::default());
    let mut now_ms = START_MS;
    for turn in 0..4_000 {
        now_ms += i64::try_from(chance.below(200_000)).unwrap();
        let seen = Observation { network: None, ..random(&mut chance, now_ms, &names) };
        one.note(&seen, true, &alone);
        // Which of them is asked is chance, and so is who writes first.
        let node = if chance.below(2) == 0 { &mut a } else { &mut b };
        node.note(&seen, true, &shared);
        // Within the two hours for which minutes are kept: then the hours of both nodes are together when they are folded.
        if turn % 20 == 19 {
            alone.merge(&std::mem::take(&mut one), rules.learning, now_ms);
            let parts = if chance.below(2) == 0 { [&mut a, &mut b] } else { [&mut b, &mut a] };
            for part in parts {
                shared.merge(&std::mem::take(part), rules.learning, now_ms);
            }
            for metric in Metric::ALL {
                for minutes in [5, 60, 120] {
                    let of = |profile: &Profile| profile.window(metric, minutes, now_ms);
                    assert_eq!(of(&shared), of(&alone), "{metric:?} of {minutes} minutes at {turn}");
                }
                for thousandths in [500, 990] {
                    let of = |profile: &Profile| profile.quantile(metric, thousandths, now_ms);
                    assert_eq!(of(&shared), of(&alone), "{metric:?} {thousandths} at {turn}");
                }
                assert_eq!(shared.busy(metric), alone.busy(metric), "{metric:?} at {turn}");
            }
        }
    }
    assert!(alone.quantile(Metric::Requests, 500, now_ms) > 10, "there is something to compare");
    let counts = |profile: &Profile| {
        let of = |(name, seen): (&String, &Seen)| (name.clone(), seen.count, seen.first_ms, seen.last_ms);
        let attributes: Vec<_> = profile.attributes.iter().map(of).collect();
        let agents: Vec<_> = profile.agents.keys().cloned().collect();
        (attributes, agents, profile.operations.clone(), profile.since_ms, profile.last_ms)
    };
    assert_eq!(counts(&shared), counts(&alone));
    // Once a week a quarter of it is forgotten, with what one of them had not written yet or without it.
    for hour in 0..168 {
        let (shared, alone) = (shared.hour(hour), alone.hour(hour));
        assert!(shared.0.abs_diff(alone.0) <= alone.0 / 4, "{hour}: {shared:?} {alone:?}");
        assert!(shared.1.abs_diff(alone.1) <= alone.1 / 4, "{hour}: {shared:?} {alone:?}");
    }
}

#[test]
fn a_learned_limit_grows_by_a_quarter_a_week_at_most_and_never_past_its_cap() {
    let rules = Rules::default();
    let (mut watch, mut now_ms) = trained(21);
    let mut busy = watch.base.busy(Metric::Creates).max(1);
    assert!(busy <= 10, "{busy}");
    for week in 0..40 {
        for _ in 0..7 * 24 {
            for turn in 0..2_000 {
                watch.note(&seen(now_ms + turn * 1_000, Operation::Create), &rules);
            }
            now_ms += HOUR_MS;
            watch.take(&rules, now_ms);
        }
        let grown = watch.base.busy(Metric::Creates);
        assert!(grown <= busy + busy / 4 + 2, "week {week}: {busy} became {grown}");
        assert!(grown <= 5_000);
        busy = grown;
    }
    assert!(busy > 100, "what stays is learned in the end: {busy}");
}

#[test]
fn a_foreign_network_is_not_known_by_coming_often() {
    let (mut watch, rules) = (trained(21).0, Rules::default());
    let mut strict = rules;
    strict.a1.answer = Answer::Hold;
    let (mut told, mut held) = (0, 0);
    for turn in 0..100 {
        let seen = seen(now() + turn * 10 * MINUTE_MS, Operation::Read).from(at(AWAY), Some(AGENT));
        // Whoever writes from there is held by whom it wants so, however often it came.
        let write = Observation { operation: Operation::Update, ..seen.clone() };
        held += usize::from(watch.clone().observe(&write, &strict).iter().any(|one| one.holds));
        told += watch.observe(&seen, &rules).len();
        watch.take(&rules, seen.at_ms);
    }
    assert_eq!((told, held), (1, 100), "it is told once, and stays new within a day");
    for day in 1..=8 {
        let seen = seen(now() + day * DAY_MS, Operation::Read).from(at(AWAY), Some(AGENT));
        watch.observe(&seen, &rules);
        watch.take(&rules, seen.at_ms);
    }
    let seen = seen(now() + 9 * DAY_MS, Operation::Read).from(at(AWAY), Some(AGENT));
    assert_eq!(watch.observe(&seen, &rules), [], "after a week that nobody objected to it is known");
}
