//! From messages to people: everything that is due for one recipient in one go.

use std::{collections::BTreeMap, sync::Arc};

use domain::{
    ChannelId, Millis, Secret,
    audit::{Action, AuditEvent},
    channels::{ChannelKind, FAILURES_TOLD, LastResult, wait_after},
    findings::Rule,
};
use futures::{StreamExt, stream};
use serde_json::json;
use store::{Change, Conn, outbox::OutboxRow};

use super::{Item, Lease, MESSAGE, Message, To, compose, link_place};
use crate::{
    Error, Keyward, channels,
    findings::{self, NewFinding},
    hand_offs,
    ports::{Mail, Notify, NotifyFault, WebhookCall},
    unit::detail,
    vault::Sealed,
};

/// How many messages are taken in one turn.
const BATCH: i64 = 500;

/// How long a claim holds before others may send the same again. It is renewed with the lease, before each
/// handful of recipients: none of these takes as long as that.
const TURN_MS: Millis = 120_000;

/// How many recipients are told at once.
const AT_ONCE: usize = 8;

/// What waits for one recipient.
struct Parcel {
    to: To,
    rows: Vec<OutboxRow>,
    items: Vec<Item>,
}

/// Sends what is due; how many recipients were told. It stops when another node has taken the lease.
pub(super) async fn run(keyward: &Arc<Keyward>, lease: &Lease, now_ms: Millis) -> Result<usize, Error> {
    let Some(port) = keyward.notify.port() else { return Ok(0) };
    let mut until_ms = now_ms + TURN_MS;
    let claim =
        async move |conn: &mut Conn<'_>| store::outbox::claim(conn, MESSAGE, now_ms, until_ms, BATCH).await;
    let rows = keyward.store.committer().upkeep(claim).await?;
    let mut parcels: BTreeMap<To, Parcel> = BTreeMap::new();
    let mut garbled = Vec::new();
    for row in rows {
        match serde_json::from_str::<Message>(&row.payload) {
            Ok(Message { to, item }) => {
                let parcel = parcels.entry(to.clone()).or_insert_with(|| Parcel {
                    to,
                    rows: Vec::new(),
                    items: Vec::new(),
                });
                parcel.rows.push(row);
                parcel.items.push(item);
            }
            Err(_) => garbled.push(row),
        }
    }
    if !garbled.is_empty() {
        let forget = async move |conn: &mut Conn<'_>| {
            for row in &garbled {
                store::outbox::give_up(conn, row, now_ms, "it cannot be read").await?;
            }
            Ok(())
        };
        keyward.store.committer().upkeep(forget).await?;
    }
    let mut told = 0;
    let mut waiting: Vec<Parcel> = parcels.into_values().collect();
    while !waiting.is_empty() {
        let rest = waiting.split_off(waiting.len().min(AT_ONCE));
        let handful = std::mem::replace(&mut waiting, rest);
        let Some(renewed_ms) = renewed(keyward, lease, until_ms).await? else { return Ok(told) };
        until_ms = renewed_ms;
        let sent = stream::iter(handful.into_iter().map(|parcel| deliver(keyward, port, parcel)))
            .buffer_unordered(AT_ONCE)
            .collect::<Vec<_>>()
            .await;
        for result in sent {
            told += usize::from(result?);
        }
    }
    Ok(told)
}

/// Renews the lease and what is claimed until a time; the new time, or `None` when another node works.
async fn renewed(keyward: &Keyward, lease: &Lease, until_ms: Millis) -> Result<Option<Millis>, Error> {
    let now_ms = keyward.clock.now_ms();
    let next_ms = now_ms + TURN_MS;
    let (node, fence) = (lease.node.clone(), lease.fence);
    let renew = async move |conn: &mut Conn<'_>| {
        let lease = Lease { node: node.clone(), fence };
        if !lease.renew(conn, now_ms).await? {
            return Ok(None);
        }
        store::outbox::renew(conn, MESSAGE, until_ms, next_ms).await?;
        Ok(Some(next_ms))
    };
    Ok(keyward.store.committer().upkeep(renew).await?)
}

async fn deliver(keyward: &Arc<Keyward>, port: &Arc<dyn Notify>, parcel: Parcel) -> Result<bool, Error> {
    let outcome = attempt(keyward, port.as_ref(), &parcel, keyward.clock.now_ms()).await?;
    settle(keyward, parcel, outcome, keyward.clock.now_ms()).await
}

/// What became of a parcel: `None` when its channel is gone.
type Outcome = Option<Result<(), NotifyFault>>;

async fn attempt(
    keyward: &Keyward,
    port: &dyn Notify,
    parcel: &Parcel,
    now_ms: Millis,
) -> Result<Outcome, Error> {
    let id = parcel.items.first().map_or_else(String::new, |item| item.id.clone());
    let mail =
        |to: Vec<String>| -> Mail { compose::mail(to, &id, &parcel.items, |item| page(keyward, item)) };
    match &parcel.to {
        To::Mail(address) => Ok(Some(port.mail(&mail(vec![address.clone()])).await)),
        To::Channel(text) => {
            let Some(channel_id) = ChannelId::parse(text) else { return Ok(None) };
            let mut reader = keyward.store.read().await?;
            let Some(stored) = store::channels::by_id(&mut reader.conn(), &channel_id).await? else {
                return Ok(None);
            };
            drop(reader);
            match stored.channel.kind {
                ChannelKind::Mail => Ok(Some(port.mail(&mail(stored.channel.settings.to.clone())).await)),
                ChannelKind::Webhook => {
                    let now = channels::rfc3339(now_ms);
                    let body = compose::webhook(&parcel.items, &now, |item| plain_page(keyward, item));
                    let call = WebhookCall {
                        url: stored.channel.settings.url.clone(),
                        // The same for each try of the same message, so that a receiver may drop a repeat.
                        id: format!("msg_{id}"),
                        at_s: now_ms / 1_000,
                        secret: channels::signing_secret(keyward, &stored)?,
                        body,
                    };
                    Ok(Some(port.webhook(&call).await))
                }
            }
        }
    }
}

fn plain_page(keyward: &Keyward, item: &Item) -> String {
    format!("{}{}", keyward.settings.public_url, item.path)
}

/// The page of an item. That of a hand-over is sealed until now.
fn page(keyward: &Keyward, item: &Item) -> Secret {
    let Some((text, data_key)) = &item.sealed else { return Secret::new(plain_page(keyward, item)) };
    let sealed = Sealed { text: text.clone(), data_key: data_key.clone() };
    let token = keyward.vault.open(link_place(&item.id), &sealed).ok();
    match token.and_then(|bytes| String::from_utf8(bytes.to_vec()).ok()) {
        Some(token) => hand_offs::link(keyward, &Secret::new(token)),
        None => Secret::new(format!(
            "{} (the link cannot be read; ask for a new one)",
            keyward.settings.public_url
        )),
    }
}

/// Writes down what became of a parcel; whether it arrived.
async fn settle(
    keyward: &Arc<Keyward>,
    parcel: Parcel,
    outcome: Outcome,
    now_ms: Millis,
) -> Result<bool, Error> {
    let Parcel { to, rows, items } = parcel;
    let fault = match outcome {
        Some(Ok(())) => None,
        Some(Err(fault)) => Some(fault),
        None => Some(NotifyFault { text: "the channel was removed".to_owned(), is_final: true }),
    };
    let attempts = rows.iter().map(|row| row.attempts).max().unwrap_or(1);
    let arrived = fault.is_none();
    if arrived {
        keyward.notify.tell(&to, now_ms);
    }
    for (item, row) in items.iter().zip(&rows) {
        if item.sealed.is_some() && fault.as_ref().is_some_and(|fault| is_last(row, fault)) {
            hand_offs::not_mailed(keyward, row, now_ms).await?;
        }
    }
    let (own, own_fault, own_to) = (Arc::clone(keyward), fault.clone(), to.clone());
    let write = async move |conn: &mut Conn<'_>| {
        for row in &rows {
            match &own_fault {
                None => store::outbox::done(conn, row, now_ms).await?,
                Some(fault @ NotifyFault { text, .. }) => {
                    match wait_after(row.attempts).filter(|_| !is_last(row, fault)) {
                        Some(wait_ms) => {
                            let due_ms = own.clock.now_ms() + wait_ms;
                            store::outbox::failed(conn, row, due_ms, text).await?;
                        }
                        None => store::outbox::give_up(conn, row, now_ms, text).await?,
                    }
                }
            }
        }
        if let To::Channel(id) = &own_to
            && let Some(id) = ChannelId::parse(id)
        {
            let fault = own_fault.as_ref().map(|fault| fault.text.clone());
            store::channels::set_last_result(conn, &id, &LastResult { at_ms: now_ms, fault }).await?;
        }
        Ok(())
    };
    keyward.store.committer().upkeep(write).await?;
    match fault {
        None => recovered(keyward, &to, now_ms).await?,
        Some(fault) if fault.is_final || attempts >= FAILURES_TOLD => {
            failing(keyward, &to, &fault.text, now_ms).await?;
        }
        Some(_) => {}
    }
    Ok(arrived)
}

/// Whether a message that failed is not tried again.
fn is_last(row: &OutboxRow, fault: &NotifyFault) -> bool {
    fault.is_final || wait_after(row.attempts).is_none()
}

/// What a finding about a recipient is about: a channel by its id, a person by the address.
fn subject(to: &To) -> &str {
    match to {
        To::Channel(id) => id,
        To::Mail(address) => address,
    }
}

async fn failing(keyward: &Arc<Keyward>, to: &To, fault: &str, now_ms: Millis) -> Result<(), Error> {
    let name = match to {
        To::Mail(address) => address.clone(),
        To::Channel(id) => {
            let mut reader = keyward.store.read().await?;
            let found = match ChannelId::parse(id) {
                Some(id) => store::channels::by_id(&mut reader.conn(), &id).await?,
                None => None,
            };
            let Some(stored) = found else { return Ok(()) };
            stored.channel.name
        }
    };
    let cx = keyward.system_cx("notify");
    let came = format!("{}: {fault}.", compose::one_line(&name));
    let new = NewFinding::new(
        keyward,
        None,
        Rule::ChannelFailed,
        subject(to),
        "What is told on a channel arrives.",
        came,
    );
    let event = findings::about(&cx, &new);
    let subject = subject(to).to_owned();
    keyward
        .commit(async move |conn: &mut Conn<'_>| {
            // Once while it fails: each further try says the same.
            if store::findings::live(conn, None, Rule::ChannelFailed, &subject).await?.is_some() {
                return Ok(Change::nothing(()));
            }
            findings::raise(conn, &new, now_ms).await?;
            Ok(Change::new((), event.clone()))
        })
        .await
}

async fn recovered(keyward: &Arc<Keyward>, to: &To, now_ms: Millis) -> Result<(), Error> {
    let subject = subject(to).to_owned();
    let mut reader = keyward.store.read().await?;
    let open = store::findings::live(&mut reader.conn(), None, Rule::ChannelFailed, &subject).await?;
    drop(reader);
    if open.is_none() {
        return Ok(());
    }
    let event = AuditEvent {
        target: Some(Rule::ChannelFailed.title().to_owned()),
        detail: detail(&json!({ "subject": subject, "reason": "a message arrived" })),
        ..keyward.system_cx("notify").event(Action::FindingClosed)
    };
    keyward
        .commit(async move |conn: &mut Conn<'_>| {
            let rule = Rule::ChannelFailed;
            findings::settle(conn, None, rule, &subject, "a message arrived", now_ms).await?;
            Ok(Change::new((), event.clone()))
        })
        .await
}
