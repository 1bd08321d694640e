//! The machine as a table.

use std::fmt::Write as _;

use crate::rotations::{
    Effect, Event, Half, Rule, Stage,
    machine::{Next, apply},
};

fn name(stage: Stage) -> String {
    match stage {
        Stage::Open(step) => step.label().to_owned(),
        Stage::Stalled(step) => format!("Stalled at {}", step.label().to_lowercase()),
        Stage::Held(step) => format!("Held at {}", step.label().to_lowercase()),
        Stage::Retired | Stage::RolledBack | Stage::Revoked => stage.label().to_owned(),
    }
}

fn words(effect: Effect) -> String {
    let half = |half| match half {
        Half::Old => "old key",
        Half::New => "new key",
    };
    let rule = |rule| match rule {
        Rule::NoProof => "no proof",
        Rule::StillUsed => "still used",
        Rule::TwoHolders => "two holders",
    };
    match effect {
        Effect::Deliver => "deliver at once".to_owned(),
        Effect::Promote => "promote".to_owned(),
        Effect::Withdraw => "withdraw deliveries".to_owned(),
        Effect::Extend => "extend the overlap".to_owned(),
        Effect::RetireOld => "retire the old key".to_owned(),
        Effect::Revoke { half: of } => format!("revoke the {}", half(of)),
        Effect::HoldKey { half: of } => format!("hold the {}", half(of)),
        Effect::RestoreOld => "restore the old key".to_owned(),
        Effect::Begin { half: of } => format!("rotate the {} anew", half(of)),
        Effect::Raise { rule: of } => format!("raise “{}”", rule(of)),
        Effect::Settle { rule: of } => format!("settle “{}”", rule(of)),
        Effect::OpenCase => "open a case".to_owned(),
    }
}

/// The whole machine, for people.
fn table() -> String {
    let mut text = "# The rotation machine\n\nEvery event at every stage, as `crates/domain/src/rotations/machine.rs` decides it. \
        A test compares this page with the code; `KEYWARD_BLESS=1 cargo test -p domain the_printed_table` writes it anew.\n"
        .to_owned();
    for stage in Stage::all() {
        write!(text, "\n## {}\n\n", name(stage)).unwrap();
        let (mut moves, mut stays, mut refused) = (String::new(), Vec::new(), Vec::new());
        for event in Event::ALL {
            match apply(stage, event) {
                Ok(next) if next.stage == stage && next.effects.is_empty() => stays.push(event.label()),
                Ok(Next { stage: to, effects }) => {
                    let effects: Vec<String> = effects.into_iter().map(words).collect();
                    let to = if to == stage { "stays".to_owned() } else { name(to) };
                    writeln!(moves, "| {} | {to} | {} |", event.label(), effects.join("; ")).unwrap();
                }
                Err(error) => refused.push(format!("{} ({})", event.label(), error.reason)),
            }
        }
        if !moves.is_empty() {
            write!(text, "| event | leads to | and |\n|---|---|---|\n{moves}\n").unwrap();
        }
        if !stays.is_empty() {
            writeln!(text, "Changes nothing: {}.", stays.join(", ")).unwrap();
        }
        if !refused.is_empty() {
            writeln!(text, "Refused: {}.", refused.join("; ")).unwrap();
        }
    }
    text
}

#[test]
fn the_printed_table_is_the_machine() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/rotation-table.md");
    let table = table();
    if std::env::var_os("KEYWARD_BLESS").is_some() {
        std::fs::write(path, &table).unwrap();
    }
    let printed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(printed == table, "docs/rotation-table.md is not the machine; KEYWARD_BLESS=1 writes it anew");
}

#[test]
fn every_pair_is_decided_and_every_stage_reads_back() {
    assert_eq!(Stage::all().count(), 18);
    for stage in Stage::all() {
        let (step, condition) = stage.words();
        assert_eq!(Stage::parse(step, condition), Some(stage));
        for event in Event::ALL {
            match apply(stage, event) {
                Ok(next) => {
                    // What has ended stays as it is.
                    assert!(!stage.has_ended() || next.stage == stage, "{stage:?} {event:?}");
                    let retires = next.effects.contains(&Effect::RetireOld);
                    assert_eq!(
                        retires,
                        next.stage == Stage::Retired && !stage.has_ended(),
                        "{stage:?} {event:?}"
                    );
                }
                Err(error) => assert!(error.to_string().starts_with(event.label()), "{error}"),
            }
        }
    }
    for event in [Event::Deadline { may_retire: false }, Event::Silent, Event::Probed, Event::Delivered] {
        for stage in Stage::all() {
            let next = apply(stage, event).unwrap();
            assert!(!next.effects.contains(&Effect::RetireOld), "{stage:?} {event:?} retires without proof");
        }
    }
}
