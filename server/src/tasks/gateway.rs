//! Calls to upstreams of which nobody knows what became of them: looked into at the start and every
//! few seconds, on one node of all. The states of the breakers go into the figures.

use std::{sync::Arc, time::Duration};

use ops::Keyward;

use crate::edge::accept::Stop;

const EVERY: Duration = Duration::from_secs(5);

/// Runs until the stop.
pub async fn run(keyward: Arc<Keyward>, mut stop: Stop) {
    let node = keyward.request_info().id.to_string();
    loop {
        match ops::gateway::reconcile::run(&keyward, &node).await {
            Ok(Some(settled)) if settled > 0 => {
                tracing::info!(settled, "found out what became of calls to upstreams");
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "open calls to upstreams were not looked into"),
        }
        for (state, count) in keyward.breakers() {
            // No label names an upstream: there may be many.
            let count = u32::try_from(count).unwrap_or(u32::MAX);
            metrics::gauge!("keyward_upstream_breakers", "state" => state.as_str()).set(f64::from(count));
        }
        tokio::select! {
            () = stop.wait() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}
