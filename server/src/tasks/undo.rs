//! Changes that are taken back: what is left of confirmed plans, each second, on one node of all.

use std::{sync::Arc, time::Duration};

use ops::{Keyward, journal::undo};

use crate::edge::accept::Stop;

const EVERY: Duration = Duration::from_secs(1);

/// Runs until the stop.
pub async fn run(keyward: Arc<Keyward>, mut stop: Stop) {
    let node = keyward.request_info().id.to_string();
    loop {
        if let Err(error) = undo::round(&keyward, &node).await {
            tracing::warn!(%error, "undos were not looked at");
        }
        tokio::select! {
            () = stop.wait() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}
