//! What keeps the board of the demo moving: when a rotation has ended, the next one begins.

use std::{sync::Arc, time::Duration};

use domain::{admins::Admin, federations::Slug};
use ops::{
    Cx, Error, Keyward,
    keys::{KeyFilter, Rotate},
};
use tokio::{sync::watch, time::sleep};

/// How often it looks, and how long the board rests at least.
const PAUSE: Duration = Duration::from_secs(45);

/// Rotates the key of a federation as often as its last rotation has ended, until `stop` turns true.
pub async fn run(keyward: Arc<Keyward>, issuer: String, slug: Slug, mut stop: watch::Receiver<bool>) {
    let work = async {
        loop {
            sleep(PAUSE).await;
            let cx = super::admin_cx(&keyward, &issuer);
            if let Err(error) = look(&cx, &slug).await {
                tracing::warn!(%error, "the demo did not rotate again");
            }
        }
    };
    tokio::select! {
        () = work => {}
        _ = stop.wait_for(|stopped| *stopped) => {}
    }
}

async fn look(cx: &Cx<Admin>, slug: &Slug) -> Result<(), Error> {
    let last = ops::rotations::of_federation(cx, slug, 1).await?;
    // The first one is begun by the policy.
    if last.first().is_none_or(|view| !view.rotation.stage.has_ended()) {
        return Ok(());
    }
    let filter = KeyFilter { federation: Some(slug.clone()), accepted_only: true, ..KeyFilter::default() };
    let keys = ops::keys::list(cx, &filter).await?;
    let Some(view) = keys.first().filter(|view| view.key.life.first_work_ms.is_some()) else { return Ok(()) };
    let rotate = Rotate { deliver: true, ..Rotate::default() };
    ops::keys::rotate(cx, &view.key.id, rotate).await.map(drop)
}
