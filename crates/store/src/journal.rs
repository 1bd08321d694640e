//! The journal: one row for each change of a user or group. Rows are only inserted, and forgotten by age.

use domain::{
    FederationId, JournalId, KeyId, Millis, ResourceId, UndoId,
    audit::{ActorKind, ActorRef},
    journal::{ChangeKind, Entry, Image, Selection},
    scopes::ResourceKind,
};
use serde::de::DeserializeOwned;
use sqlx::FromRow;

use crate::{Conn, Error, db::on_db, directory::Sql, statements::statements};

/// The most ids of one statement.
const IDS: usize = 200;

/// Rows that one round of forgetting takes.
const FORGOTTEN: i64 = 20_000;

/// Rows of one statement: each statement is a trip to the database, on SQLite to its thread.
const FEW: usize = 8;

/// Rows of one statement of a large batch.
const MANY: usize = 64;

macro_rules! columns {
    () => {
        "federation_id, id, at_ms, request_id, key_id, actor_kind, actor_id, actor_name, source, resource_type, resource_id, name,
        change, version, was, became, members, facts, undo_of"
    };
}

/// The beginning of a statement that inserts some rows at once.
const INSERT: &str = concat!("INSERT INTO journal (", columns!(), ") ");

statements! {
    BY_ID = concat!("SELECT ", columns!(), " FROM journal WHERE federation_id = $1 AND id = $2");
    OF_RESOURCE = concat!("SELECT ", columns!(), " FROM journal
        WHERE federation_id = $1 AND resource_id = $2 AND id < $3 ORDER BY id DESC LIMIT $4");
    LAST = "SELECT id FROM journal WHERE federation_id = $1 ORDER BY id DESC LIMIT 1";
    FORGET = "DELETE FROM journal WHERE federation_id = $1 AND id IN
        (SELECT id FROM journal WHERE federation_id = $1 AND id < $2 ORDER BY id LIMIT $3)";
}

/// A change to be written, without a copy of anything.
#[derive(Debug, Clone, Copy)]
pub struct NewEntry<'a> {
    /// Its id, in order of time.
    pub id: &'a JournalId,
    /// When.
    pub at_ms: Millis,
    /// The request that it is part of.
    pub request_id: &'a str,
    /// The key that was presented.
    pub key_id: Option<&'a str>,
    /// Kind, id and name of who did it; no id for a key.
    pub actor: (ActorKind, &'a str, &'a str),
    /// From where.
    pub source: Option<&'a str>,
    /// `User` or `Group`.
    pub resource_type: &'a str,
    /// Which.
    pub resource_id: &'a str,
    /// Its name.
    pub name: &'a str,
    /// What happened to it.
    pub change: ChangeKind,
    /// The version that it had before.
    pub version: i64,
    /// Attributes before, as JSON.
    pub was: Option<&'a str>,
    /// Attributes after, as JSON.
    pub became: Option<&'a str>,
    /// Who joined and left, as JSON.
    pub members: Option<&'a str>,
    /// The rest of the row of what is deleted, as JSON.
    pub facts: Option<&'a str>,
    /// The taking back that it belongs to.
    pub undo_of: Option<&'a str>,
}

/// Changes of a batch that are not written yet: in one statement they cost a fraction of a statement each.
#[derive(Default)]
pub(crate) struct Waiting(Vec<Row>);

/// Writes a change: in the transaction of its unit, before the COMMIT and before anything reads the journal there.
pub async fn insert(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    entry: &NewEntry<'_>,
) -> Result<(), Error> {
    let row = entry.row(federation_id);
    if let Some(waiting) = &mut conn.changes {
        waiting.0.push(row);
        return Ok(());
    }
    insert_many(conn, &[row]).await
}

/// Writes the changes that wait.
pub(crate) async fn write_waiting(conn: &mut Conn<'_>) -> Result<(), Error> {
    let Some(waiting) = &mut conn.changes else { return Ok(()) };
    let rows = std::mem::take(&mut waiting.0);
    // Few lengths, so that few texts are prepared.
    let (large, rest) = rows.as_chunks::<MANY>();
    for chunk in large {
        insert_many(conn, chunk).await?;
    }
    let (chunks, rest) = rest.as_chunks::<FEW>();
    for chunk in chunks {
        insert_many(conn, chunk).await?;
    }
    for row in rest {
        insert_many(conn, std::slice::from_ref(row)).await?;
    }
    Ok(())
}

/// Forgets the changes that wait: those of a unit that is undone.
pub(crate) fn forget_waiting(conn: &mut Conn<'_>) {
    if let Some(waiting) = &mut conn.changes {
        waiting.0.clear();
    }
}

async fn insert_many(conn: &mut Conn<'_>, rows: &[Row]) -> Result<(), Error> {
    on_db!(conn, db => {
        let mut sql = sqlx::QueryBuilder::new(INSERT);
        sql.push_values(rows, |mut values, row| {
            values
                .push_bind(&row.federation_id)
                .push_bind(&row.id)
                .push_bind(row.at_ms)
                .push_bind(&row.request_id)
                .push_bind(&row.key_id)
                .push_bind(&row.actor_kind)
                .push_bind(&row.actor_id)
                .push_bind(&row.actor_name)
                .push_bind(&row.source)
                .push_bind(&row.resource_type)
                .push_bind(&row.resource_id)
                .push_bind(&row.name)
                .push_bind(&row.change)
                .push_bind(row.version)
                .push_bind(&row.was)
                .push_bind(&row.became)
                .push_bind(&row.members)
                .push_bind(&row.facts)
                .push_bind(&row.undo_of);
        });
        sql.build().execute(db).await.map(drop)
    })?;
    Ok(())
}

impl NewEntry<'_> {
    fn row(&self, federation_id: &FederationId) -> Row {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        let (kind, actor_id, actor_name) = self.actor;
        Row {
            federation_id: federation_id.to_string(),
            id: self.id.to_string(),
            at_ms: self.at_ms,
            request_id: self.request_id.to_owned(),
            key_id: owned(self.key_id),
            actor_kind: kind.as_str().to_owned(),
            actor_id: actor_id.to_owned(),
            actor_name: actor_name.to_owned(),
            source: owned(self.source),
            resource_type: self.resource_type.to_owned(),
            resource_id: self.resource_id.to_owned(),
            name: self.name.to_owned(),
            change: self.change.as_str().to_owned(),
            version: self.version,
            was: owned(self.was),
            became: owned(self.became),
            members: owned(self.members),
            facts: owned(self.facts),
            undo_of: owned(self.undo_of),
        }
    }
}

#[derive(FromRow)]
struct Row {
    federation_id: String,
    id: String,
    at_ms: i64,
    request_id: String,
    key_id: Option<String>,
    actor_kind: String,
    actor_id: String,
    actor_name: String,
    source: Option<String>,
    resource_type: String,
    resource_id: String,
    name: String,
    change: String,
    version: i64,
    was: Option<String>,
    became: Option<String>,
    members: Option<String>,
    facts: Option<String>,
    undo_of: Option<String>,
}

impl Row {
    fn read(self, federation_id: &FederationId) -> Result<Entry, Error> {
        let corrupt = |what: &str| Error::Corrupt(format!("change {}: {what}", self.id));
        let key_id = match self.key_id.as_deref() {
            Some(id) => Some(KeyId::parse(id).ok_or_else(|| corrupt("key"))?),
            None => None,
        };
        let actor_id = if self.actor_id.is_empty() {
            key_id.as_ref().map(ToString::to_string).unwrap_or_default()
        } else {
            self.actor_id.clone()
        };
        let undo_of = match self.undo_of.as_deref() {
            Some(id) => Some(UndoId::parse(id).ok_or_else(|| corrupt("undo"))?),
            None => None,
        };
        Ok(Entry {
            federation_id: federation_id.clone(),
            id: JournalId::parse(&self.id).ok_or_else(|| corrupt("id"))?,
            kind: match self.resource_type.as_str() {
                "User" => ResourceKind::Users,
                "Group" => ResourceKind::Groups,
                _ => return Err(corrupt("type")),
            },
            resource_id: ResourceId::parse(&self.resource_id).ok_or_else(|| corrupt("resource"))?,
            change: ChangeKind::parse(&self.change).ok_or_else(|| corrupt("change"))?,
            was: json::<Image>(self.was.as_deref()).ok_or_else(|| corrupt("was"))?.unwrap_or_default(),
            became: json::<Image>(self.became.as_deref())
                .ok_or_else(|| corrupt("became"))?
                .unwrap_or_default(),
            members: json(self.members.as_deref()).ok_or_else(|| corrupt("members"))?.unwrap_or_default(),
            facts: json(self.facts.as_deref()).ok_or_else(|| corrupt("facts"))?,
            actor: ActorRef {
                kind: ActorKind::parse(&self.actor_kind).ok_or_else(|| corrupt("actor"))?,
                id: actor_id,
                name: self.actor_name,
            },
            at_ms: self.at_ms,
            request_id: self.request_id,
            key_id,
            source: self.source,
            name: self.name,
            version: self.version,
            undo_of,
        })
    }
}

/// JSON of a column that may be empty; the outer `None` for what is none.
#[expect(clippy::option_option, reason = "absent is not the same as broken")]
fn json<T: DeserializeOwned>(text: Option<&str>) -> Option<Option<T>> {
    match text {
        None => Some(None),
        Some(text) => serde_json::from_str(text).ok().map(Some),
    }
}

fn entries(federation_id: &FederationId, rows: Vec<Row>) -> Result<Vec<Entry>, Error> {
    rows.into_iter().map(|row| row.read(federation_id)).collect()
}

/// One change.
pub async fn by_id(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    id: &JournalId,
) -> Result<Option<Entry>, Error> {
    write_waiting(conn).await?;
    let row: Option<Row> = on_db!(conn, db => sqlx::query_as(BY_ID)
        .bind(federation_id.as_str()).bind(id.as_str()).fetch_optional(db).await)?;
    row.map(|row| row.read(federation_id)).transpose()
}

/// The last change of all.
pub async fn last(conn: &mut Conn<'_>, federation_id: &FederationId) -> Result<Option<JournalId>, Error> {
    write_waiting(conn).await?;
    let id: Option<String> = on_db!(conn, db => sqlx::query_scalar(LAST)
        .bind(federation_id.as_str()).fetch_optional(db).await)?;
    Ok(id.as_deref().and_then(JournalId::parse))
}

/// The changes of one resource before a place, newest first.
pub async fn of_resource(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    resource_id: &ResourceId,
    before: Option<&JournalId>,
    limit: i64,
) -> Result<Vec<Entry>, Error> {
    write_waiting(conn).await?;
    let before = before.map_or("jrn_~", JournalId::as_str);
    let rows: Vec<Row> = on_db!(conn, db => sqlx::query_as(OF_RESOURCE)
        .bind(federation_id.as_str()).bind(resource_id.as_str()).bind(before).bind(limit)
        .fetch_all(db).await)?;
    entries(federation_id, rows)
}

/// The first id of a moment; every change at it or later has this one or a later.
fn floor(at_ms: Millis) -> String {
    JournalId::new(at_ms.max(0), [0; 10]).to_string()
}

/// The changes that a selection may mean, after a place, in order of time. What no index tells apart
/// (networks, attributes, the exact ends of the window) is for [`Selection::admits`].
fn selected(federation_id: &FederationId, selection: &Selection, after: Option<&JournalId>) -> Sql {
    let mut sql = Sql::new(federation_id);
    sql.push("SELECT ").push(columns!()).push(" FROM journal WHERE federation_id = $1");
    if let Some(id) = &selection.entry {
        sql.push(" AND id = ").bind(id.as_str());
    }
    // The most selective of these has the index; the others would only be walked.
    if let Some(id) = &selection.resource {
        sql.push(" AND resource_id = ").bind(id.as_str());
    } else if let Some(id) = &selection.undo {
        sql.push(" AND undo_of = ").bind(id.as_str());
    } else if !selection.keys.is_empty() {
        sql.push(" AND key_id").bind_any(&selection.keys.iter().map(KeyId::as_str).collect::<Vec<_>>());
    }
    match (after, selection.from_ms) {
        (Some(after), _) => {
            sql.push(" AND id > ").bind(after.as_str());
        }
        (None, Some(from_ms)) => {
            sql.push(" AND id >= ").bind(floor(from_ms));
        }
        (None, None) => {}
    }
    if let Some(until_ms) = selection.until_ms {
        // Ids of one moment may run a little ahead of it.
        sql.push(" AND id < ").bind(floor(until_ms.saturating_add(1_000)));
    }
    sql
}

/// Several keys are looked up and then sorted; a database that knows nothing of them would rather walk every
/// change in the order that is asked for. An expression has no index to walk.
fn order(selection: &Selection) -> &'static str {
    let is_looked_up = selection.resource.is_some() || selection.undo.is_some() || selection.keys.len() < 2;
    if is_looked_up { " ORDER BY id LIMIT " } else { " ORDER BY (id || '') LIMIT " }
}

/// A page of what a selection means, in order of time; where it goes on, when there may be more.
pub async fn page(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    selection: &Selection,
    after: Option<&JournalId>,
    limit: usize,
) -> Result<(Vec<Entry>, Option<JournalId>), Error> {
    write_waiting(conn).await?;
    let mut sql = selected(federation_id, selection, after);
    sql.push(order(selection)).bind(i64::try_from(limit).unwrap_or(i64::MAX));
    let rows: Vec<Row> = sql.fetch_all(conn).await?;
    let mut found = entries(federation_id, rows)?;
    let next = if found.len() < limit { None } else { found.last().map(|entry| entry.id.clone()) };
    found.retain(|entry| selection.admits(entry));
    Ok((found, next))
}

/// Every change of some resources from a place on.
pub async fn since(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    resources: &[&str],
    from: &JournalId,
) -> Result<Vec<Entry>, Error> {
    write_waiting(conn).await?;
    let mut found = Vec::new();
    for ids in resources.chunks(IDS) {
        let mut sql = Sql::new(federation_id);
        sql.push("SELECT ").push(columns!()).push(" FROM journal WHERE federation_id = $1 AND resource_id");
        sql.bind_any(ids).push(" AND id >= ").bind(from.as_str());
        found.extend(entries(federation_id, sql.fetch_all(&mut *conn).await?)?);
    }
    Ok(found)
}

/// Forgets changes from before a moment, a bounded number at a time; how many went.
pub async fn forget(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    before_ms: Millis,
) -> Result<u64, Error> {
    let before = floor(before_ms);
    Ok(on_db!(conn, db => sqlx::query(FORGET)
        .bind(federation_id.as_str()).bind(&before).bind(FORGOTTEN)
        .execute(db).await.map(|done| done.rows_affected()))?)
}

/// How the database would find what a selection means, and the changes of a resource.
#[cfg(feature = "testing")]
pub async fn explain(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    selection: &Selection,
) -> Result<Vec<String>, Error> {
    let mut sql = selected(federation_id, selection, None);
    sql.push(order(selection)).bind(100);
    sql.explain(conn).await
}
