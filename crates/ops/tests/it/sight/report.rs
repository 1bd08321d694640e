//! What the replays show: the claims, and the table of `docs/sight-replays.md`.

use std::{collections::BTreeMap, fmt::Write as _};

use domain::DAY_MS;
use ops::testing::START_MS;
use store::Engine;

use super::{
    attacks::Attack,
    dialects::Kind,
    replay::{Month, Run},
};

/// Within so many seconds of the first bad request.
const SOON_S: i64 = 60;

/// The least share of attacks that are found, in percent.
const FOUND_PERCENT: usize = 95;

fn is_found(run: &Run) -> bool {
    run.found.values().any(|seconds| *seconds <= SOON_S)
}

/// Everything that is claimed.
pub fn check(engine: Engine, months: &[Month]) {
    let mut faults = Vec::new();
    for month in months {
        let name = month.kind.slug();
        let first = |texts: &[String]| texts.iter().take(14).cloned().collect::<Vec<_>>().join("\n    ");
        if !month.refused.is_empty() {
            faults.push(format!(
                "{name}: {} requests refused:\n    {}",
                month.refused.len(),
                first(&month.refused)
            ));
        }
        if !month.differences.is_empty() {
            faults.push(format!(
                "{name}: the directory is not as it believes:\n    {}",
                first(&month.differences)
            ));
        }
        for (week, count) in false_alarms(month) {
            if count > 1 {
                let of_week =
                    month.alarms.iter().filter(|alarm| week_of(alarm.at_ms) == week && !alarm.is_true);
                let texts: Vec<String> = of_week.map(|alarm| alarm.text.clone()).collect();
                faults.push(format!("{name}: {count} false findings in week {week}:\n    {}", first(&texts)));
            }
        }
        // Three times its rhythm is less than the day that it was down.
        let is_due = matches!(month.kind, Kind::Entra | Kind::Authentik);
        if is_due && !is_heard(month) {
            faults.push(format!("{name}: a day of silence was no finding"));
        }
    }
    let runs: Vec<&Run> = months.iter().flat_map(|month| &month.attacks).collect();
    for run in runs.iter().filter(|run| run.attack.stop().is_some()) {
        if let Some(harm) = &run.harm {
            faults.push(format!("not stopped: {harm}: {}", run.text));
        } else if !run.is_stopped {
            faults.push(format!("nothing of it was stopped: {}", run.text));
        }
    }
    let sought: Vec<&&Run> = runs.iter().filter(|run| run.attack.stop().is_none()).collect();
    let missed: Vec<&&&Run> = sought.iter().filter(|run| !is_found(run)).collect();
    if (sought.len() - missed.len()) * 100 < sought.len() * FOUND_PERCENT {
        let texts: Vec<&str> = missed.iter().map(|run| run.text.as_str()).collect();
        faults.push(format!(
            "{} of {} not found in time:\n    {}",
            missed.len(),
            sought.len(),
            texts.join("\n    ")
        ));
    }
    if engine == Engine::Sqlite {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/sight-replays.md");
        let table = table(months);
        if std::env::var_os("KEYWARD_BLESS").is_some() {
            std::fs::write(path, &table).unwrap();
        }
        if std::fs::read_to_string(path).unwrap_or_default() != table {
            faults.push(
                "docs/sight-replays.md is not what was seen; KEYWARD_BLESS=1 writes it anew".to_owned(),
            );
        }
    }
    assert!(faults.is_empty(), "{engine:?}:\n{}", faults.join("\n"));
}

/// Whether the outage was found.
fn is_heard(month: &Month) -> bool {
    month.alarms.iter().any(|alarm| alarm.is_true)
}

fn week_of(at_ms: i64) -> i64 {
    (at_ms - START_MS) / (7 * DAY_MS) + 1
}

/// How many findings were false, by week.
fn false_alarms(month: &Month) -> BTreeMap<i64, usize> {
    let mut weeks: BTreeMap<i64, usize> = (1..=5).map(|week| (week, 0)).collect();
    for alarm in month.alarms.iter().filter(|alarm| !alarm.is_true) {
        *weeks.entry(week_of(alarm.at_ms)).or_default() += 1;
    }
    weeks
}

fn table(months: &[Month]) -> String {
    let mut text = String::from(
        "# Replays\n\nThirty simulated days of five providers, and what becomes of a key that is stolen from one of them: \
        `crates/ops/tests/it/sight` plays it. A test compares this page with what it saw on SQLite; \
        `KEYWARD_BLESS=1 cargo test -p ops --test it thirty_days_of_five_providers` writes it anew.\n\n\
        ## No alarm without a reason\n\n\
        Each month has a first sync, a rotation by hand, four days without work, new addresses, a new full sync, an \
        onboarding, a lay-off inside a maintenance window and a day's outage with its catch-up. Weeks 1 and 2 are for \
        learning. The outage has to be found of those whose rhythm is short (three times \
        it is less than a day), and is not counted.\n\n\
        | provider | requests | refused | outage found | false findings in week 1 | 2 | 3 | 4 | 5 | rules |\n|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for month in months {
        let weeks: Vec<String> = false_alarms(month).values().map(ToString::to_string).collect();
        let mut rules: Vec<&str> =
            month.alarms.iter().filter(|alarm| !alarm.is_true).map(|alarm| alarm.rule.as_str()).collect();
        rules.sort_unstable();
        rules.dedup();
        let rules = if rules.is_empty() { "–".to_owned() } else { rules.join(", ") };
        let heard = if is_heard(month) { "yes" } else { "no" };
        let (name, refused) = (month.kind.slug(), month.refused.len());
        writeln!(
            text,
            "| {name} | {} | {refused} | {heard} | {} | {rules} |",
            month.requests,
            weeks.join(" | ")
        )
        .unwrap();
    }
    text.push_str(
        "\n## Attacks\n\nEach attack of every seed begins in a copy of a world that has learned, at a random moment, \
        from another network or from the provider's own. *Stopped*: nothing went past the limit of the rule, counted \
        in the directory. *Found*: a finding within 60 simulated seconds of the first bad request.\n\n\
        | attack | must be | stopped | found | median seconds | by rule |\n|---|---|---|---|---|---|\n",
    );
    for attack in Attack::ALL {
        let runs: Vec<&Run> =
            months.iter().flat_map(|month| &month.attacks).filter(|run| run.attack == attack).collect();
        let count = runs.len();
        let stopped = runs.iter().filter(|run| run.is_stopped && run.harm.is_none()).count();
        let mut seconds: Vec<i64> = runs.iter().filter_map(|run| run.found.values().min().copied()).collect();
        seconds.sort_unstable();
        let median = seconds.get(seconds.len() / 2).map_or("–".to_owned(), ToString::to_string);
        let mut rules: BTreeMap<&str, usize> = BTreeMap::new();
        for (rule, _) in runs.iter().flat_map(|run| &run.found).filter(|(_, seconds)| **seconds <= SOON_S) {
            *rules.entry(rule.as_str()).or_default() += 1;
        }
        let rules: Vec<String> = rules.into_iter().map(|(rule, count)| format!("{rule} {count}")).collect();
        let found = runs.iter().filter(|run| is_found(run)).count();
        let must = if attack.stop().is_some() { "stopped" } else { "found" };
        let title = attack.title();
        writeln!(
            text,
            "| {title} | {must} | {stopped}/{count} | {found}/{count} | {median} | {} |",
            rules.join(", ")
        )
        .unwrap();
    }
    let missed: Vec<String> = months
        .iter()
        .flat_map(|month| &month.attacks)
        .filter(|run| run.attack.stop().is_none() && !is_found(run))
        .map(|run| format!("{} of {} (seed {})", run.attack.title(), run.kind.slug(), run.seed))
        .collect();
    if !missed.is_empty() {
        writeln!(text, "\nNot found in time: {}.", missed.join("; ")).unwrap();
    }
    text
}
