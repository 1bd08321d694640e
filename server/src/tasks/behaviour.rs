//! What is expected: each node writes every ten seconds what it has seen; once a minute one node of all looks
//! for those who fell silent.

use std::{sync::Arc, time::Duration};

use ops::Keyward;

use crate::edge::accept::Stop;

const EVERY: Duration = Duration::from_secs(10);

/// How many turns lie between two looks at who is silent.
const SWEEP_EVERY: u32 = 6;

/// Runs until the stop.
pub async fn run(keyward: Arc<Keyward>, mut stop: Stop) {
    let node = keyward.request_info().id.to_string();
    let mut turn = 0_u32;
    loop {
        if let Err(error) = ops::behaviour::flush(&keyward).await {
            tracing::warn!(%error, "what was learned waits to be written");
        }
        if turn.is_multiple_of(SWEEP_EVERY) {
            match ops::behaviour::sweep(&keyward, &node).await {
                Ok(Some(found)) if found > 0 => tracing::info!(found, "looked for who is silent"),
                // Nobody, or another node works.
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, "who is silent was not looked for"),
            }
        }
        turn = turn.wrapping_add(1);
        tokio::select! {
            () = stop.wait() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

/// Writes what is left, when the requests have ended.
pub async fn finish(keyward: &Arc<Keyward>) {
    if let Err(error) = ops::behaviour::flush(keyward).await {
        tracing::warn!(%error, "what was learned last is lost");
    }
}
