//! Deliveries whose time has come: looked for every second, on every node. Each is claimed by one, a few are under
//! way at once, and one that hangs holds up no other.

use std::{sync::Arc, time::Duration};

use ops::Keyward;
use tokio::{sync::Semaphore, task::JoinSet};

use crate::edge::accept::Stop;

const EVERY: Duration = Duration::from_secs(1);

/// Deliveries that this node has under way at once.
const AT_ONCE: usize = 16;

/// What is under way at the stop may write down what became of it. Whatever is cut off is looked at first by the
/// node that has it next.
const PATIENCE: Duration = Duration::from_secs(3);

/// Runs until the stop.
pub async fn run(keyward: Arc<Keyward>, mut stop: Stop) {
    let turns = Arc::new(Semaphore::new(AT_ONCE));
    let mut under_way = JoinSet::new();
    loop {
        match ops::deliveries::due(&keyward).await {
            Ok(due) => {
                for (federation_id, id) in due {
                    let Ok(turn) = Arc::clone(&turns).try_acquire_owned() else { break };
                    let keyward = Arc::clone(&keyward);
                    under_way.spawn(async move {
                        if let Err(error) = ops::deliveries::bring(&keyward, &federation_id, &id).await {
                            tracing::warn!(%error, delivery = %id, "a delivery was not attempted to its end");
                        }
                        drop(turn);
                    });
                }
            }
            Err(error) => tracing::warn!(%error, "deliveries that are due were not looked for"),
        }
        while under_way.try_join_next().is_some() {}
        tokio::select! {
            () = stop.wait() => break,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
    let _ = tokio::time::timeout(PATIENCE, async { while under_way.join_next().await.is_some() {} }).await;
}
