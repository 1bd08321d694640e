//! Hand-offs that nobody can open: too late, over, or with a mail that never left.

use std::{collections::BTreeSet, sync::Arc};

use domain::{
    FederationId, HandOffId, Millis,
    audit::{Action, AuditEvent},
    findings::Rule,
    hand_offs::LinkState,
};
use serde_json::json;
use store::{Change, Conn, hand_offs::StoredHandOff, keys::StoredKey, outbox::OutboxRow};

use super::{close_of, waits};
use crate::{Cx, Error, Keyward, System, findings, unit::detail};

/// Ends what is over and raises what waits too long; how many there were. For the sweep of findings.
pub(crate) async fn sweep(cx: &Cx<System>, now_ms: Millis) -> Result<usize, Error> {
    let live = store::hand_offs::live(&mut cx.read().await?.conn()).await?;
    let mut done = 0;
    let mut seen = BTreeSet::new();
    for StoredHandOff { hand_off, .. } in live {
        if !seen.insert(hand_off.rotation_id.clone()) {
            continue;
        }
        let Some(StoredKey { key, .. }) =
            store::keys::by_id(&mut cx.read().await?.conn(), &hand_off.key_id).await?
        else {
            continue;
        };
        let arrived = key.life.first_work_ms.is_some();
        if arrived || !key.life.state(now_ms).is_accepted() {
            let reason = if arrived { "the key arrived" } else { "the key has ended" };
            let event = AuditEvent {
                federation_id: Some(hand_off.federation_id.clone()),
                key_id: Some(key.id.clone()),
                target: Some(Rule::HandOffWaits.title().to_owned()),
                detail: detail(&json!({ "rotation": hand_off.rotation_id, "reason": reason })),
                ..cx.event(Action::FindingClosed)
            };
            cx.keyward
                .commit(async move |conn: &mut Conn<'_>| {
                    close_of(conn, &hand_off.federation_id, &hand_off.rotation_id, now_ms).await?;
                    Ok(Change::new((), event.clone()))
                })
                .await?;
            done += 1;
        } else if hand_off.state(now_ms) == LinkState::Late && !hand_off.person.is_empty() {
            let mut reader = cx.read().await?;
            let (rule, subject) = (Rule::HandOffWaits, hand_off.rotation_id.as_str());
            let open =
                store::findings::live(&mut reader.conn(), Some(&hand_off.federation_id), rule, subject)
                    .await?;
            drop(reader);
            if open.is_some() {
                continue;
            }
            let came =
                format!("Nobody opened the link for {} within 24 hours. Make a new one.", hand_off.person);
            let Some(new) = waits(&cx.keyward, &[hand_off], came) else { continue };
            let event = findings::about(cx, &new);
            cx.keyward
                .commit(async move |conn: &mut Conn<'_>| {
                    findings::raise(conn, &new, now_ms).await?;
                    Ok(Change::new((), event.clone()))
                })
                .await?;
            done += 1;
        }
    }
    Ok(done)
}

/// Raises that the mail with a link will not be tried again: its text is nowhere else.
pub(crate) async fn not_mailed(keyward: &Arc<Keyward>, row: &OutboxRow, now_ms: Millis) -> Result<(), Error> {
    let id = row.id.strip_suffix(".link").and_then(HandOffId::parse);
    let (Some(id), Some(federation_id)) = (id, FederationId::parse(&row.federation_id)) else {
        return Ok(());
    };
    let mut reader = keyward.store.read().await?;
    let found = store::hand_offs::by_id(&mut reader.conn(), &federation_id, &id).await?;
    drop(reader);
    let Some(link) = found.map(|stored| stored.hand_off) else { return Ok(()) };
    if link.state(now_ms) != LinkState::Waiting {
        return Ok(());
    }
    let came = format!("The mail with the link for {} could not be sent. Make a new one.", link.person);
    let Some(new) = waits(keyward, &[link], came) else { return Ok(()) };
    let event = findings::about(&keyward.system_cx("notify"), &new);
    keyward
        .commit(async move |conn: &mut Conn<'_>| {
            findings::raise(conn, &new, now_ms).await?;
            Ok(Change::new((), event.clone()))
        })
        .await
}
