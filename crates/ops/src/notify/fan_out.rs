//! From notes to messages: who is told what.

use std::{collections::BTreeSet, sync::Arc};

use domain::{
    CaseId, FederationId, FindingId, Millis,
    channels::{Channel, ChannelKind, mail_address},
    federations::Federation,
    findings::{Finding, Severity},
};
use store::{Conn, outbox::OutboxRow};

use super::{Item, MESSAGE, Message, NOTE, Note, PACE_MS, To, compose, insert};
use crate::{Error, Keyward};

/// How many notes become messages in one unit.
const BATCH: i64 = 200;

/// Makes messages of the notes that wait.
pub(super) async fn run(keyward: &Arc<Keyward>, now_ms: Millis) -> Result<(), Error> {
    loop {
        let own = Arc::clone(keyward);
        let batch = async move |conn: &mut Conn<'_>| {
            let notes = store::outbox::claim(conn, NOTE, now_ms, now_ms, BATCH).await?;
            for row in &notes {
                // Whatever a note cannot be made of any more is nobody's news.
                if let Some(told) = read(conn, row).await? {
                    for to in recipients(conn, &own, &told).await? {
                        write(conn, &own, row, to, &told.item, now_ms).await?;
                    }
                }
                store::outbox::done(conn, row, now_ms).await?;
            }
            Ok(notes.len())
        };
        let made = keyward.store.committer().upkeep(batch).await?;
        if i64::try_from(made).unwrap_or(i64::MAX) < BATCH {
            return Ok(());
        }
    }
}

struct Told {
    item: Item,
    federation: Option<Federation>,
    /// A channel that is the subject is not told about itself.
    subject: Option<String>,
}

async fn read(conn: &mut Conn<'_>, row: &OutboxRow) -> Result<Option<Told>, store::Error> {
    let Ok(note) = serde_json::from_str::<Note>(&row.payload) else { return Ok(None) };
    match note {
        Note::Finding { federation_id, id } => {
            let federation_id = FederationId::parse(&federation_id);
            let Some(id) = FindingId::parse(&id) else { return Ok(None) };
            let found = store::findings::by_id(conn, federation_id.as_ref(), &id).await?;
            // What is over by now needs nobody.
            let Some(finding) = found.filter(Finding::is_open) else { return Ok(None) };
            let federation = federation(conn, federation_id.as_ref()).await?;
            let item = compose::finding(&row.id, &finding, federation.as_ref());
            Ok(Some(Told { item, federation, subject: Some(finding.subject) }))
        }
        Note::Case { id, news } => {
            let Some(id) = CaseId::parse(&id) else { return Ok(None) };
            let Some(case) = store::cases::by_id(conn, &id).await? else { return Ok(None) };
            let federation = federation(conn, Some(&case.federation_id)).await?;
            let moments = store::cases::moments(conn, &case.federation_id, &case.id).await?;
            let item = compose::case(&row.id, &case, &moments, news, federation.as_ref());
            Ok(Some(Told { item, federation, subject: None }))
        }
    }
}

async fn federation(
    conn: &mut Conn<'_>,
    id: Option<&FederationId>,
) -> Result<Option<Federation>, store::Error> {
    let Some(id) = id else { return Ok(None) };
    let all = store::federations::list(conn).await?;
    Ok(all.into_iter().find(|federation| federation.id == *id))
}

/// Every channel that wants it, and the owners by mail who do not get it on one of these already.
async fn recipients(
    conn: &mut Conn<'_>,
    keyward: &Keyward,
    told: &Told,
) -> Result<BTreeSet<To>, store::Error> {
    let channels = store::channels::list(conn).await?.into_iter().map(|stored| stored.channel);
    let wanted: Vec<Channel> = channels
        .filter(|channel| {
            let is_itself = told.subject.as_deref() == Some(channel.id.as_str());
            // A rung is told whatever its severity: the ladder is what was asked for.
            let is_bad_enough =
                told.item.severity >= channel.settings.least || channel.settings.least <= Severity::Medium;
            !is_itself && is_bad_enough
        })
        .collect();
    let mut to: BTreeSet<To> =
        wanted.iter().map(|channel| To::Channel(channel.id.as_str().to_owned())).collect();
    if !keyward.can_mail() {
        return Ok(to);
    }
    let reached: BTreeSet<&String> = wanted
        .iter()
        .filter(|channel| channel.kind == ChannelKind::Mail)
        .flat_map(|channel| &channel.settings.to)
        .collect();
    let owners = told.federation.iter().flat_map(|federation| &federation.owners);
    to.extend(
        owners.filter_map(|owner| mail_address(owner)).filter(|own| !reached.contains(own)).map(To::Mail),
    );
    Ok(to)
}

async fn write(
    conn: &mut Conn<'_>,
    keyward: &Keyward,
    note: &OutboxRow,
    to: To,
    item: &Item,
    now_ms: Millis,
) -> Result<(), store::Error> {
    let id = match &to {
        To::Channel(id) => format!("{}.{id}", note.id),
        To::Mail(address) => format!("{}.{address}", note.id),
    };
    // What is critical goes at once; the rest waits for its turn, and becomes a digest.
    let due_ms = match keyward.notify.told_ms(&to) {
        Some(told_ms) if item.severity < Severity::Critical => now_ms.max(told_ms + PACE_MS),
        Some(_) | None => now_ms,
    };
    let message = Message { to, item: item.clone() };
    let written = insert(conn, note.federation_id.clone(), id, MESSAGE, &message, due_ms).await;
    written.map_err(|error| store::Error::Corrupt(error.to_string()))
}
