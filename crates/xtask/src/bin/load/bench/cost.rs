//! What the records of a request cost: one binary, which can be told at its start to leave none. Everything else is
//! the same on both sides: authentication, scope, the change and its sync.
//!
//! What is left out: usage records, audit events, the journal, the brakes, and what is observed for expected
//! behaviour. What a change builds in memory on the way to them is built on both sides.

use super::{Args, FEW};
use crate::Outcome;
use crate::house::House;
use crate::keyward::Plan;
use crate::stage::Stage;
use crate::work::Work;

/// The least that is left of a rate.
const LEFT: f64 = 0.60;

/// What is asked, and what it is called.
const ASKED: [(&str, &str); 4] =
    [("get", "GET by id"), ("filter", "userName eq"), ("create", "POST"), ("change", "PATCH")];

pub async fn run(args: &Args) -> Outcome<Option<Stage>> {
    let Some(binary) = &args.switchable else { return Ok(None) };
    let mut stage = Stage::new(args.rounds, args.seconds);
    let all = args.connections;
    let mut houses = Vec::new();
    for leaves_records in [true, false] {
        let name = format!("bench-cost-{}", if leaves_records { "with" } else { "without" });
        let plan = Plan { scratch: Some(&args.scratch), users: FEW, leaves_records, ..Plan::default() };
        houses.push(House::build(binary, &name, plan).await?);
    }
    let [with, without] = houses.as_slice() else { return Ok(None) };
    let filters = [with.filters("userName").await?, without.filters("userName").await?];
    // Side by side, so that both meet the same hour of the machine.
    for (name, _) in ASKED {
        for ((house, side), filters) in [(with, "with"), (without, "without")].into_iter().zip(&filters) {
            let work = match name {
                "get" => Work::Read(house.sample()),
                "filter" => Work::Read(filters.clone()),
                "create" => Work::Create(house.at("/Users")),
                _ => Work::Change(house.sample()),
            };
            stage.add(format!("{name} {side}"), house.does(work, all));
        }
    }
    let before = [with.records().await?, without.records().await?];
    stage.run(args, &[with, without]).await?;
    for (name, title) in ASKED {
        let (ours, base) = (format!("{name} with"), format!("{name} without"));
        stage.ratio(format!("{title}, with records / without"), LEFT, &ours, &base)?;
    }
    let after = [with.records().await?, without.records().await?];
    if after[0] == before[0] || after[1] != before[1] {
        return Err(format!(
            "the switch does not do what it says: {before:?} audit records became {after:?}"
        )
        .into());
    }
    Ok(Some(stage))
}
