//! Once a minute, on one node of all: what has ended is forgotten.

use std::{sync::Arc, time::Duration};

use ops::Keyward;

use crate::edge::accept::Stop;

const EVERY: Duration = Duration::from_mins(1);

/// Runs until the stop.
pub async fn run(keyward: Arc<Keyward>, mut stop: Stop) {
    // The name of this node: made anew at each start, so that no two nodes share it.
    let node = keyward.request_info().id.to_string();
    loop {
        tokio::select! {
            () = stop.wait() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
        match ops::upkeep::run(&keyward, &node).await {
            Ok(Some(rows)) if rows > 0 => tracing::info!(rows, "forgot what has ended"),
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "upkeep was put off"),
        }
        // On every node: what is over is over for all of them, and each unit looks again.
        match ops::brakes::sweep(&keyward).await {
            Ok(0) => {}
            Ok(ended) => tracing::info!(ended, "held operations are over"),
            Err(error) => tracing::warn!(%error, "held operations were not looked at"),
        }
    }
}
