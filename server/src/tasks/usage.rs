//! Usage records: they are sealed every half minute on one node of all, and carried between the nodes.

use std::{sync::Arc, time::Duration};

use ops::{
    Keyward,
    usage::{live, seals},
};

use crate::edge::accept::Stop;

const EVERY: Duration = Duration::from_secs(30);

/// Seals until the stop.
pub async fn seal(keyward: Arc<Keyward>, mut stop: Stop) {
    let node = keyward.request_info().id.to_string();
    loop {
        tokio::select! {
            () = stop.wait() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
        match seals::seal(&keyward, &node).await {
            Ok(Some(seals)) if seals > 0 => tracing::debug!(seals, "usage records were sealed"),
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "usage records were not sealed"),
        }
    }
}

/// Carries what other nodes write to those who watch here, until the stop; then every stream ends.
pub async fn relay(keyward: Arc<Keyward>, mut stop: Stop) {
    // It is large, and moved when it is begun.
    Box::pin(live::relay(&keyward, async move { stop.wait().await })).await;
}
