//! Exports of the log: a bundle that proves itself, line by line.

use std::sync::Arc;

use domain::{
    Millis,
    admins::{Admin, Right},
    audit::{
        Action, AuditEvent, GENESIS,
        bundle::{End, FORMAT, Header, Line, Signed, line},
        merkle::{Frontier, Stretch},
    },
    hex,
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::{Change, Conn, checkpoints};

use super::checkpoint;
use crate::{Cx, Error, Keyward, behaviour, unit::detail};

/// How many records one piece holds.
const PAGE: i64 = 500;

/// What is exported: agreed to, and recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Export {
    /// The first record.
    pub from: i64,
    /// The last record.
    pub to: i64,
    /// How many records the log had.
    pub head: i64,
    /// The name of the log.
    pub origin: String,
    /// The key of its checkpoints.
    pub key: String,
    /// When.
    pub made_ms: Millis,
}

/// Begins an export: leaves its record, and signs a checkpoint over everything so far when this node may.
/// Without an end it goes up to its own record.
///
/// # Errors
/// Invalid for places that the log does not have; Forbidden for who may not read the whole log; Unavailable when
/// the export cannot be recorded: then nothing is given out.
pub async fn begin(cx: &Cx<Admin>, from: Option<i64>, to: Option<i64>) -> Result<Export, Error> {
    let keyward = &cx.keyward;
    if !cx.actor.role.may(Right::ReadInstallation, None) {
        let event = AuditEvent { target: Some("audit log".to_owned()), ..cx.event(Action::AuditExported) };
        return cx.forbid(event, "only who may read the whole log may export it".to_owned()).await;
    }
    let before = store::audit::head(&mut cx.read().await?.conn()).await?;
    let first = from.unwrap_or(1);
    if first < 1 || first > before.seq {
        return Err(Error::invalid("first", format!("a record from 1 to {} was expected", before.seq)));
    }
    if to.is_some_and(|to| to < first || to > before.seq) {
        return Err(Error::invalid("last", format!("a record from {first} to {} was expected", before.seq)));
    }
    let event =
        AuditEvent { detail: detail(&json!({ "from": first, "to": to })), ..cx.event(Action::AuditExported) };
    let (own, now_ms) = (cx.clone(), cx.now_ms());
    let unit = async move |conn: &mut Conn<'_>| {
        behaviour::exported(conn, &own, None, "the audit log", now_ms).await?;
        Ok(Change::new((), event.clone()))
    };
    keyward.commit(unit).await?;
    checkpoint::sign_now(keyward).await?;
    let head = store::audit::head(&mut cx.read().await?.conn()).await?;
    Ok(Export {
        from: first,
        to: to.unwrap_or(head.seq),
        head: head.seq,
        origin: keyward.audit_origin(),
        key: keyward.audit_key()?.to_string(),
        made_ms: cx.now_ms(),
    })
}

/// Writes a bundle piece by piece.
pub struct Writer {
    export: Export,
    frontier: Frontier,
    hash: String,
    next: i64,
    is_ended: bool,
}

impl Writer {
    /// At the beginning.
    pub fn new(export: Export) -> Self {
        Self { next: 0, frontier: Frontier::default(), hash: GENESIS.to_owned(), is_ended: false, export }
    }

    /// The next lines; `None` at the end.
    ///
    /// # Errors
    /// Conflict when the log is not whole, or its tree has not come so far yet: what was written before has no
    /// last line.
    pub async fn next(&mut self, conn: &mut Conn<'_>) -> Result<Option<String>, Error> {
        if self.is_ended {
            return Ok(None);
        }
        if self.next == 0 {
            return self.header(conn).await.map(Some);
        }
        let mut text = String::new();
        if self.next > self.export.to {
            let count = self.export.to - self.export.from + 1;
            text.push_str(&line(&Line::End(End::of(count, self.hash.clone(), &self.frontier.root()))));
            self.is_ended = true;
            return Ok(Some(text));
        }
        let limit = PAGE.min(self.export.to - self.next + 1);
        let entries = checkpoints::entries(conn, self.next, limit).await?;
        let last = self.next + limit - 1;
        let mut notes = checkpoints::between(conn, self.next - 1, last, limit).await?.into_iter().peekable();
        for entry in entries {
            let leaf = entry.leaf().filter(|_| entry.seq == self.next);
            let leaf = leaf.ok_or_else(|| broken(self.next))?;
            self.frontier.push(leaf);
            self.hash.clone_from(&entry.hash);
            self.next += 1;
            text.push_str(&line(&Line::Record(Box::new(entry))));
            while let Some(row) = notes.next_if(|row| row.size < self.next) {
                text.push_str(&line(&Line::Checkpoint(Signed { at_ms: row.at_ms, note: row.note })));
            }
        }
        if self.next <= last {
            return Err(broken(self.next));
        }
        Ok(Some(text))
    }

    async fn header(&mut self, conn: &mut Conn<'_>) -> Result<String, Error> {
        let Export { from, to, head, origin, key, made_ms } = self.export.clone();
        let size = u64::try_from(from - 1).unwrap_or_default();
        let places = Stretch::whole(size).places().into_iter();
        let stretches: Vec<Stretch> = places
            .map(|place| Stretch { from: place.index << place.level, to: (place.index + 1) << place.level })
            .collect();
        let too_soon =
            || Error::Conflict("the tree has not come so far yet: try again in a minute".to_owned());
        let roots = checkpoints::hashes(conn, &stretches).await?.ok_or_else(too_soon)?;
        self.frontier = Frontier::of(size, roots).ok_or_else(too_soon)?;
        if from > 1 {
            let before = checkpoints::entries(conn, from - 1, 1).await?.pop();
            self.hash = before.ok_or_else(|| broken(from - 1))?.hash;
        }
        let subtrees = self.frontier.roots().iter().map(|root| hex(root)).collect();
        let prev_hash = self.hash.clone();
        self.next = from;
        let format = FORMAT.to_owned();
        Ok(line(&Line::Header(Header { format, origin, key, from, to, head, made_ms, prev_hash, subtrees })))
    }
}

fn broken(seq: i64) -> Error {
    Error::Conflict(format!("record {seq} is not as it was written: run `keyward audit verify`"))
}

/// The next lines of a bundle that is read by a server.
///
/// # Errors
/// As [`Writer::next`].
pub async fn next(keyward: &Arc<Keyward>, writer: &mut Writer) -> Result<Option<String>, Error> {
    writer.next(&mut keyward.store.read().await?.conn()).await
}

/// The next lines of a bundle from a database that another process serves.
///
/// # Errors
/// As [`Writer::next`].
pub async fn next_of(store: &store::Store, writer: &mut Writer) -> Result<Option<String>, Error> {
    writer.next(&mut store.read().await?.conn()).await
}
