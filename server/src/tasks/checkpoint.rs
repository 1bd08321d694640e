//! Checkpoints of the audit log: each second, on one node of all; and the anchors are told of them.

use std::{sync::Arc, time::Duration};

use ops::{
    Keyward,
    audit::{anchors, checkpoint},
};

use crate::edge::accept::Stop;

const EVERY: Duration = Duration::from_secs(1);

/// How long the last checkpoint and the anchors may take at the end.
const LAST: Duration = Duration::from_secs(5);

/// How many records the last checkpoint is over.
const SIZE: &str = "keyward_audit_checkpoint_size";

/// Signs until the stop. What comes after it is signed by [`finish`].
pub async fn run(keyward: Arc<Keyward>, mut stop: Stop) {
    metrics::describe_gauge!(SIZE, "Records that the last checkpoint of this node is over");
    loop {
        match checkpoint::round(&keyward).await {
            Ok(Some(round)) => {
                if let Some(size) = round.signed {
                    #[expect(clippy::cast_precision_loss, reason = "a figure")]
                    metrics::gauge!(SIZE).set(size as f64);
                    tracing::debug!(size, "signed a checkpoint");
                }
            }
            // Another node works.
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "no checkpoint was signed"),
        }
        tokio::select! {
            () = stop.wait() => break,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
    // Whoever ends the server signs the rest.
    if let Err(error) = checkpoint::release(&keyward).await {
        tracing::debug!(%error, "the lease of checkpoints was not given back");
    }
}

/// Tells the anchors until the stop: beside [`run`], so that one that hangs keeps nobody from signing.
pub async fn anchor(keyward: Arc<Keyward>, mut stop: Stop) {
    loop {
        match anchors::tell(&keyward).await {
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "how far the anchors have come was not kept"),
        }
        tokio::select! {
            () = stop.wait() => break,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

/// Signs what came last, once no request is under way, and tells the anchors.
pub async fn finish(keyward: &Arc<Keyward>) {
    let last = async {
        checkpoint::sign_now(keyward).await?;
        anchors::tell(keyward).await?;
        checkpoint::release(keyward).await
    };
    match tokio::time::timeout(LAST, last).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "the last records were not signed"),
        Err(_) => tracing::warn!("the last checkpoint took too long"),
    }
}
