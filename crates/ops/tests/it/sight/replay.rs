//! Runs of the replays: each provider's thirty days once, and each attack from a copy of a world that has learned.

use std::collections::{BTreeMap, BTreeSet};

use domain::{DAY_MS, HOUR_MS, Millis, findings::Rule};
use ops::testing::START_MS;
use store::{
    Engine,
    testing::{TestDatabase, postgres, sqlite},
};

use super::{
    attacks::{self, Attack, Stop},
    chance::Chance,
    dialects::Kind,
    idp::{DAYS, Idp, OUTAGE, is_lay_off},
    people::PROTECTED,
    product,
    traffic::{Holder, Item, Step},
    world::{Account, Answer, Directory, Snapshot, World},
};

const MINUTE_MS: Millis = 60_000;

/// When a world is copied: a working morning, the night of a Saturday, an afternoon.
const SNAPSHOTS: [Millis; 3] = [
    20 * DAY_MS + 10 * HOUR_MS + 30 * MINUTE_MS,
    23 * DAY_MS + 2 * HOUR_MS + 10 * MINUTE_MS,
    27 * DAY_MS + 16 * HOUR_MS + 20 * MINUTE_MS,
];

/// What a provider was taken for.
pub struct Alarm {
    pub at_ms: Millis,
    pub rule: Rule,
    pub text: String,
    /// Whether it was right: the provider was silent for a day.
    pub is_true: bool,
}

/// One provider's thirty days.
pub struct Month {
    pub kind: Kind,
    pub requests: usize,
    /// Requests of the provider that were not answered as they should be.
    pub refused: Vec<String>,
    pub alarms: Vec<Alarm>,
    /// How the directory differs from what the provider believes.
    pub differences: Vec<String>,
    pub attacks: Vec<Run>,
}

/// One attack.
pub struct Run {
    pub attack: Attack,
    pub kind: Kind,
    pub seed: u64,
    /// The rules that found it, each with how many seconds after the first bad request.
    pub found: BTreeMap<Rule, i64>,
    /// Whether anything of it was stopped.
    pub is_stopped: bool,
    /// What it did that it should not have been let.
    pub harm: Option<String>,
    /// How it looked, for a failure.
    pub text: String,
}

async fn database(engine: Engine) -> TestDatabase {
    match engine {
        Engine::Sqlite => sqlite(),
        Engine::Postgres => postgres().await.expect("there was one a moment ago"),
    }
}

/// Every provider, side by side, each on a thread of its own.
pub fn everything(engine: Engine, seeds: u64) -> Vec<Month> {
    let threads = Kind::ALL.map(|kind| {
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(month(engine, kind, seeds))
        })
    });
    threads.into_iter().map(|thread| thread.join().unwrap()).collect()
}

async fn month(engine: Engine, kind: Kind, seeds: u64) -> Month {
    let (mut world, mut idp) = (World::new(database(engine).await, kind).await, Idp::new(kind));
    let (mut answers, mut learned) = (Vec::new(), Vec::new());
    for (process, at) in SNAPSHOTS.into_iter().enumerate() {
        let at_ms = START_MS + at;
        let items = idp.until(at_ms);
        world.run(items, &mut answers).await;
        world.advance_to(at_ms).await;
        world.triage().await;
        let snapshot;
        (world, snapshot) = world.snapshot(u64::try_from(process).unwrap() + 1).await;
        learned.push((snapshot, idp.clone()));
    }
    let end_ms = START_MS + DAYS * DAY_MS;
    let items = idp.until(end_ms);
    world.run(items, &mut answers).await;
    world.advance_to(end_ms).await;
    let differences = differences(&world.directory().await, &idp, &world);
    let refused = answers.iter().filter(|answer| answer.status >= 400).map(told).collect();
    let alarms = alarms(&world).await;
    world.close().await;
    let mut attacks = Vec::new();
    for attack in Attack::ALL {
        for seed in (0..seeds).filter(|seed| Kind::ALL[usize::try_from(seed % 5).unwrap()] == kind) {
            attacks.push(attacked(&learned, attack, kind, seed).await);
        }
    }
    Month { kind, requests: answers.len(), refused, alarms, differences, attacks }
}

fn told(answer: &Answer) -> String {
    format!("{}: {}", day_and_time(answer.at_ms), answer.text)
}

/// A moment as the calendar of the replays has it.
pub fn day_and_time(at_ms: Millis) -> String {
    let at = at_ms - START_MS;
    let (day, hour, minute, second) = (at / DAY_MS, at / HOUR_MS % 24, at / MINUTE_MS % 60, at / 1_000 % 60);
    format!("day {day} {hour:02}:{minute:02}:{second:02}")
}

async fn alarms(world: &World) -> Vec<Alarm> {
    let mut alarms: Vec<Alarm> = Vec::new();
    for closed in [false, true] {
        for finding in world.findings(closed).await {
            let (at_ms, rule) = (finding.first_ms, finding.rule);
            let is_true = rule == Rule::Silence && OUTAGE.contains(&(at_ms - START_MS));
            let text = format!(
                "{}: {}: {} {}",
                day_and_time(at_ms),
                rule.as_str(),
                finding.detail.expected,
                finding.detail.came
            );
            alarms.push(Alarm { at_ms, rule, text, is_true });
        }
    }
    alarms.sort_by_key(|alarm| alarm.at_ms);
    alarms
}

/// Where the directory is not as the provider believes.
fn differences(directory: &Directory, idp: &Idp, world: &World) -> Vec<String> {
    let mut differences = Vec::new();
    if world.twice() > 0 {
        differences.push(format!("{} ids were given twice", world.twice()));
    }
    for person in idp.people.everybody.values() {
        let is = directory.users.get(&person.handle());
        let should = Account {
            is_active: true,
            name: person.name.clone(),
            mail: person.name.clone(),
            external_id: person.external_id.clone(),
        };
        let is_right = match is {
            Some(is) if person.is_active => *is == should,
            Some(is) => !is.is_active,
            None => !person.is_active,
        };
        if !is_right {
            differences.push(format!("{should:?} is {is:?}"));
        }
    }
    for group in &idp.people.groups {
        let should: BTreeSet<String> = group.members.iter().map(|number| format!("u{number}")).collect();
        if directory.groups.get(&group.handle()) != Some(&should) {
            differences.push(format!(
                "{} has {:?}, not {should:?}",
                group.name,
                directory.groups.get(&group.handle())
            ));
        }
    }
    differences
}

/// When an attack begins: at any time of three hours, or while the provider works with the same key.
fn begins(attack: Attack, at_ms: Millis, idp: &Idp, chance: &mut Chance) -> Millis {
    let begin_ms = at_ms + chance.between(0, 3 * HOUR_MS);
    if attack != Attack::TwoHolders {
        return begin_ms;
    }
    let ahead = idp.clone().until(at_ms + 9 * HOUR_MS);
    let works = ahead.iter().find_map(|item| match item {
        Item::Step(step) if step.at_ms >= begin_ms && step.sender.key == Holder::Successor => {
            Some(step.at_ms)
        }
        _ => None,
    });
    works.map_or(begin_ms, |works_ms| works_ms + chance.between(10_000, 5 * MINUTE_MS))
}

async fn attacked(learned: &[(Snapshot, Idp)], attack: Attack, kind: Kind, seed: u64) -> Run {
    let mut chance = Chance::new(seed * 100 + attack as u64);
    let turn = usize::try_from(seed / 5).unwrap() % learned.len();
    // The nightly script is at work in the night only.
    let turn = if attack == Attack::TwoHolders && kind == Kind::Script { 1 } else { turn };
    let (snapshot, idp) = &learned[turn];
    let mut idp = idp.clone();
    let begin_ms = begins(attack, snapshot.at_ms, &idp, &mut chance);
    let mut world = World::wake(snapshot).await;
    let mut answers = Vec::new();
    let items = idp.until(begin_ms);
    world.run(items, &mut answers).await;
    let plan = attacks::plan(attack, &mut idp, &mut chance, begin_ms);
    let sender = plan.steps[0].sender;
    let end_ms = begin_ms + attacks::lasts_ms(attack);
    let mut before = BTreeMap::new();
    for finding in world.findings(false).await {
        before.insert(finding.id, finding.severity);
    }
    let mut items = idp.until(end_ms);
    items.extend(plan.steps.iter().cloned().map(Item::Step));
    items.sort_by_key(Item::at_ms);
    world.run(items, &mut answers).await;
    world.advance_to(end_ms).await;
    let (mut found, mut seen) = (BTreeMap::new(), Vec::new());
    for closed in [false, true] {
        for finding in world.findings(closed).await {
            // New, or open before and worse by now: both are told to people.
            let told_ms = match before.get(&finding.id) {
                None => finding.first_ms,
                Some(severity) if *severity < finding.severity => finding.last_ms,
                Some(_) => continue,
            };
            if told_ms < begin_ms {
                continue;
            }
            seen.push(format!("{} at {}", finding.rule.as_str(), day_and_time(told_ms)));
            if product::finds(attack).contains(&finding.rule) {
                let seconds = found.entry(finding.rule).or_insert(i64::MAX);
                *seconds = (*seconds).min((told_ms - begin_ms) / 1_000);
            }
        }
    }
    let bad: Vec<&Answer> = answers.iter().filter(|answer| answer.is_bad).collect();
    let is_stopped = bad.iter().any(|answer| matches!(answer.status, 403 | 429 | 503));
    let harm = match attack.stop() {
        Some(stop) => harm(stop, &world, &idp, &plan, begin_ms, end_ms).await,
        None => None,
    };
    world.close().await;
    let text = format!(
        "{attack:?} on {kind:?}, seed {seed}, begun {} from {} ({}), {} requests, {} done; seen: {seen:?}; last: {}",
        day_and_time(begin_ms),
        sender.source,
        sender.agent,
        bad.len(),
        bad.iter().filter(|answer| answer.status == 200).count(),
        bad.last().map(|answer| told(answer)).unwrap_or_default(),
    );
    Run { attack, kind, seed, found, is_stopped, harm, text }
}

/// What was done past the limit of a rule, counted in the directory; the limit is computed from what the provider
/// did, by the words of the rule.
async fn harm(
    stop: Stop,
    world: &World,
    idp: &Idp,
    plan: &attacks::Plan,
    begin_ms: Millis,
    end_ms: Millis,
) -> Option<String> {
    let directory = world.directory().await;
    match stop {
        Stop::Removals => {
            let gone = victims(&plan.steps)
                .iter()
                .filter(|handle| directory.users.get(*handle).is_none_or(|user| !user.is_active))
                .count();
            let span_ms = end_ms - begin_ms;
            // A slow attack is under the limit of an hour: that of a day stops it.
            let window_ms = if span_ms > HOUR_MS { DAY_MS } else { HOUR_MS };
            // What the provider itself did, and was let.
            let own: Vec<Millis> = idp
                .people
                .removals
                .iter()
                .filter(|(_, number)| {
                    directory.users.get(&format!("u{number}")).is_none_or(|user| !user.is_active)
                })
                .map(|(at_ms, _)| *at_ms)
                .collect();
            let before = planned(&own, window_ms, begin_ms, end_ms);
            let limit = removals_limit(idp, window_ms, begin_ms);
            let all = i64::try_from(gone + before).unwrap();
            (all > limit).then(|| format!("{gone} taken away beside {before}, and the limit is {limit}"))
        }
        Stop::Rewrites => {
            let rewritten = victims(&plan.steps)
                .iter()
                .filter(|handle| {
                    let person = idp.people.everybody.values().find(|person| person.handle() == **handle);
                    person.is_some_and(|person| {
                        directory.users.get(*handle).is_none_or(|user| {
                            user.mail != person.name || user.external_id != person.external_id
                        })
                    })
                })
                .count();
            let before = planned(&idp.people.renames, HOUR_MS, begin_ms, end_ms);
            let users = i64::try_from(directory.users.len()).unwrap();
            let limit = 20.min((users * 5 / 100).max(5));
            let all = i64::try_from(rewritten + before).unwrap();
            (all > limit).then(|| format!("{rewritten} rewritten beside {before}, and the limit is {limit}"))
        }
        Stop::Emptying => {
            let group = &idp.people.groups[plan.group];
            let should: BTreeSet<String> = group.members.iter().map(|number| format!("u{number}")).collect();
            let is = directory.groups.get(&group.handle());
            (is != Some(&should))
                .then(|| format!("{} of {} members are left", is.map_or(0, BTreeSet::len), should.len()))
        }
        Stop::Protection => {
            let person = &idp.people.everybody[&PROTECTED];
            let is = directory.users.get(&person.handle());
            let is_right =
                is.is_some_and(|is| is.is_active && is.name == person.name && is.mail == person.name);
            (!is_right).then(|| format!("the protected user is {is:?}"))
        }
    }
}

fn victims(steps: &[Step]) -> BTreeSet<String> {
    steps.iter().filter_map(|step| step.request.path.split('~').nth(1).map(str::to_owned)).collect()
}

/// How often the provider itself did it in the window, outside of a maintenance window.
fn planned(times: &[Millis], window_ms: Millis, begin_ms: Millis, end_ms: Millis) -> usize {
    let from_ms =
        if window_ms == HOUR_MS { end_ms - HOUR_MS } else { begin_ms - DAY_MS + (end_ms - begin_ms) };
    times.iter().filter(|at_ms| (from_ms..end_ms).contains(*at_ms) && !is_lay_off(**at_ms)).count()
}

/// R1 as security.md says it: the smallest of 500, 20 % of the active users and five times what is usual, the last
/// two never below ten. Usual is the 99th percentile of what the provider did in an hour or in a day.
fn removals_limit(idp: &Idp, window_ms: Millis, begin_ms: Millis) -> i64 {
    let spans = (begin_ms - START_MS) / window_ms;
    let mut counts = vec![0_i64; usize::try_from(spans).unwrap()];
    for (at_ms, _) in idp.people.removals.iter().filter(|(at_ms, _)| !is_lay_off(*at_ms)) {
        if let Some(count) = counts.get_mut(usize::try_from((at_ms - START_MS) / window_ms).unwrap()) {
            *count += 1;
        }
    }
    counts.sort_unstable();
    let rank = (counts.len() * 99).div_ceil(100).saturating_sub(1);
    let active = i64::try_from(idp.people.active().len()).unwrap();
    // Those whom the attack took away were still there when it began.
    500.min((active * 20 / 100).max(10)).min((counts[rank] * 5).max(10))
}
