//! Rotations: what happens to them by itself, each second, on one node of all.

use std::{sync::Arc, time::Duration};

use domain::rotations::{Stage, Step};
use ops::{Keyward, rotations::scheduler};

use crate::edge::accept::Stop;

const EVERY: Duration = Duration::from_secs(1);

/// Open rotations by step, and how many of them have stalled or are held.
const OPEN: &str = "keyward_rotation_open";

/// Runs until the stop, then gives the lease to whoever wants it.
pub async fn run(keyward: Arc<Keyward>, mut stop: Stop) {
    let node = keyward.request_info().id.to_string();
    metrics::describe_gauge!(OPEN, "Rotations under way, by step and condition");
    loop {
        match scheduler::round(&keyward, &node).await {
            Ok(Some(round)) => {
                if round.begun + round.moved + round.failed > 0 {
                    tracing::info!(
                        begun = round.begun,
                        moved = round.moved,
                        failed = round.failed,
                        "rotations"
                    );
                }
                if let Err(error) = figures(&keyward).await {
                    tracing::warn!(%error, "rotations were not counted");
                }
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "rotations were not looked at"),
        }
        tokio::select! {
            () = stop.wait() => break,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
    if let Err(error) = scheduler::release(&keyward, &node).await {
        tracing::debug!(%error, "the lease of rotation was not given back");
    }
}

async fn figures(keyward: &Keyward) -> Result<(), ops::Error> {
    let open = scheduler::open_by_stage(keyward).await?;
    for step in Step::ALL {
        for stage in [Stage::Open(step), Stage::Stalled(step), Stage::Held(step)] {
            let (_, condition) = stage.words();
            let count = open.iter().find(|(found, _)| *found == stage).map_or(0, |(_, count)| *count);
            let count = u32::try_from(count).unwrap_or(u32::MAX);
            metrics::gauge!(OPEN, "step" => step.as_str(), "condition" => condition).set(f64::from(count));
        }
    }
    Ok(())
}
