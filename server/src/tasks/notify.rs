//! Telling people: every two seconds what waits is sent, once a minute what ends soon is looked for; on
//! one node of all.

use std::{sync::Arc, time::Duration};

use ops::Keyward;

use crate::edge::accept::Stop;

const EVERY: Duration = Duration::from_secs(2);

/// How many turns lie between two looks at what ends soon.
const SWEEP_EVERY: u32 = 30;

/// Runs until the stop.
pub async fn run(keyward: Arc<Keyward>, mut stop: Stop) {
    let node = keyward.request_info().id.to_string();
    let mut turn = 0_u32;
    loop {
        match ops::notify::run(&keyward, &node).await {
            Ok(Some(told)) => {
                if told > 0 {
                    tracing::info!(told, "told people");
                }
                if turn.is_multiple_of(SWEEP_EVERY)
                    && let Err(error) = ops::findings::sweep(&keyward).await
                {
                    tracing::warn!(%error, "what ends soon was not looked for");
                }
            }
            // Another node works.
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "people were not told"),
        }
        turn = turn.wrapping_add(1);
        tokio::select! {
            () = stop.wait() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}
