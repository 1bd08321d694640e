//! Checkpoints of the audit log, the nodes of the tree over it, how far anchors have come, and the log as
//! whoever verifies reads it: row by row, nothing taken for granted.

use std::collections::{BTreeMap, btree_map};

use domain::{
    Millis,
    audit::{
        entry::Entry,
        merkle::{self, Hash, Place, Stretch},
    },
    hex,
};
use sqlx::FromRow;

use crate::{
    Conn, Error,
    audit::Row,
    db::{Raw, on_db},
    statements::statements,
};

/// Only nodes of every eighth level are kept: a tile of 256 children makes each of those between.
pub const TILE: u32 = 8;

statements! {
    INSERT = "INSERT INTO checkpoints (size, root, at_ms, note) VALUES ($1, $2, $3, $4)";
    LAST = "SELECT size, root, at_ms, note FROM checkpoints ORDER BY size DESC LIMIT 1";
    OVER = "SELECT size, root, at_ms, note FROM checkpoints WHERE size >= $1 ORDER BY size LIMIT 1";
    AFTER = "SELECT size, root, at_ms, note FROM checkpoints WHERE size > $1 ORDER BY size LIMIT $2";
    BETWEEN = "SELECT size, root, at_ms, note FROM checkpoints WHERE size > $1 AND size <= $2 ORDER BY size LIMIT $3";
    INSERT_NODE = "INSERT INTO audit_nodes (level, idx, hash) VALUES ($1, $2, $3)
        ON CONFLICT (level, idx) DO UPDATE SET hash = $3";
    NODES = "SELECT hash FROM audit_nodes WHERE level = $1 AND idx >= $2 AND idx < $3 ORDER BY idx";
    LEAVES = "SELECT hash FROM audit_records WHERE seq > $1 AND seq <= $2 ORDER BY seq";
    // The last row that was seen comes again, and beside it any other that stands in its place.
    ENTRIES = "SELECT seq, at_ms, actor_kind, actor_id, actor_name, action, outcome, reason, federation_id, key_id,
        target, source, request_id, detail, prev_hash, hash
        FROM audit_records WHERE seq >= $1 ORDER BY seq LIMIT $2";
    ROWS = "SELECT COUNT(*) FROM audit_records WHERE seq <= $1";
    ANCHOR = "SELECT name, size, told_ms, tries, next_ms, failing_ms, error FROM audit_anchors WHERE name = $1";
    SET_ANCHOR = "INSERT INTO audit_anchors (name, size, told_ms, tries, next_ms, failing_ms, error)
        VALUES ($1, $2, $3, $4, $5, $6, $7)
        ON CONFLICT (name) DO UPDATE SET size = $2, told_ms = $3, tries = $4, next_ms = $5, failing_ms = $6, error = $7";
}

/// A checkpoint as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct CheckpointRow {
    /// How many records.
    pub size: i64,
    /// The root over them, in hexadecimal.
    pub root: String,
    /// When it was signed.
    pub at_ms: Millis,
    /// The signed note.
    pub note: String,
}

/// How far an anchor has come.
#[derive(Debug, Clone, Default, PartialEq, Eq, FromRow)]
pub struct AnchorRow {
    /// Its name.
    pub name: String,
    /// The size of the last checkpoint that it has.
    pub size: i64,
    /// When it was told last.
    pub told_ms: Option<Millis>,
    /// How often in a row it failed.
    pub tries: i64,
    /// When it is tried again.
    pub next_ms: Millis,
    /// Since when it fails.
    pub failing_ms: Option<Millis>,
    /// Why.
    pub error: Option<String>,
}

/// Keeps a checkpoint.
///
/// # Errors
/// [`Error::Conflict`] when one of its size is there.
pub async fn insert(conn: &mut Conn<'_>, row: &CheckpointRow) -> Result<(), Error> {
    on_db!(conn, db => sqlx::query(INSERT).bind(row.size).bind(&row.root).bind(row.at_ms).bind(&row.note)
        .execute(db).await.map(drop))?;
    Ok(())
}

/// Keeps nodes; those of other levels than every eighth are left out.
pub async fn insert_nodes(conn: &mut Conn<'_>, nodes: &[(Place, Hash)]) -> Result<(), Error> {
    for (place, hash) in nodes.iter().filter(|(place, _)| place.level > 0 && place.level.is_multiple_of(TILE))
    {
        let (level, index) = (i64::from(place.level), whole(place.index));
        on_db!(&mut *conn, db => sqlx::query(INSERT_NODE).bind(level).bind(index).bind(hex(hash)).execute(db).await.map(drop))?;
    }
    Ok(())
}

/// The largest checkpoint.
pub async fn last(conn: &mut Conn<'_>) -> Result<Option<CheckpointRow>, Error> {
    Ok(on_db!(conn, db => sqlx::query_as(LAST).fetch_optional(db).await)?)
}

/// The smallest checkpoint over at least so many records.
pub async fn over(conn: &mut Conn<'_>, size: i64) -> Result<Option<CheckpointRow>, Error> {
    Ok(on_db!(conn, db => sqlx::query_as(OVER).bind(size).fetch_optional(db).await)?)
}

/// Checkpoints over more records, the smallest first.
pub async fn after(conn: &mut Conn<'_>, size: i64, limit: i64) -> Result<Vec<CheckpointRow>, Error> {
    Ok(on_db!(conn, db => sqlx::query_as(AFTER).bind(size).bind(limit).fetch_all(db).await)?)
}

/// Checkpoints over more records than one number and at most another, the smallest first.
pub async fn between(
    conn: &mut Conn<'_>,
    after: i64,
    last: i64,
    limit: i64,
) -> Result<Vec<CheckpointRow>, Error> {
    Ok(on_db!(conn, db => sqlx::query_as(BETWEEN).bind(after).bind(last).bind(limit).fetch_all(db).await)?)
}

/// The hashes over stretches of records, from kept nodes and few records. `None` when one of them is missing:
/// the tree has not come so far, or somebody took something out.
pub async fn hashes(conn: &mut Conn<'_>, stretches: &[Stretch]) -> Result<Option<Vec<Hash>>, Error> {
    let mut tiles = BTreeMap::<(u32, u64), Vec<Hash>>::new();
    let mut hashes = Vec::with_capacity(stretches.len());
    for stretch in stretches {
        let mut roots = Vec::new();
        for place in stretch.places() {
            // Its children on the level below that is kept, all in one tile.
            let base = place.level - place.level % TILE;
            let (first, count) = (place.index << (place.level - base), 1_u64 << (place.level - base));
            let tile = first >> TILE;
            let read = match tiles.entry((base, tile)) {
                btree_map::Entry::Occupied(known) => known.into_mut(),
                btree_map::Entry::Vacant(new) => new.insert(read_tile(conn, base, tile).await?),
            };
            let skip = usize::try_from(first - (tile << TILE)).unwrap_or(usize::MAX);
            let take = usize::try_from(count).unwrap_or(usize::MAX);
            let children = skip.checked_add(take).and_then(|end| read.get(skip..end));
            let Some(children) = children else { return Ok(None) };
            let mut level = children.to_vec();
            while level.len() > 1 {
                let (pairs, _) = level.as_chunks::<2>();
                level = pairs.iter().map(|[left, right]| merkle::node(left, right)).collect();
            }
            roots.extend(level);
        }
        hashes.push(merkle::join(&roots));
    }
    Ok(Some(hashes))
}

async fn read_tile(conn: &mut Conn<'_>, level: u32, tile: u64) -> Result<Vec<Hash>, Error> {
    let from = whole(tile << TILE);
    let to = from + (1 << TILE);
    let texts: Vec<String> = if level == 0 {
        on_db!(conn, db => sqlx::query_scalar(LEAVES).bind(from).bind(to).fetch_all(db).await)?
    } else {
        on_db!(conn, db => sqlx::query_scalar(NODES).bind(i64::from(level)).bind(from).bind(to).fetch_all(db).await)?
    };
    let hash =
        |text: &String| merkle::parse(text).map(|hash| if level == 0 { merkle::leaf(&hash) } else { hash });
    // What cannot be read is as good as missing, and so is what stands behind it.
    Ok(texts.iter().map_while(hash).collect())
}

/// Records from a place on, that place included, in their order, whatever they hold.
pub async fn entries(conn: &mut Conn<'_>, seq: i64, limit: i64) -> Result<Vec<Entry>, Error> {
    let rows: Vec<Row> =
        on_db!(conn, db => sqlx::query_as(ENTRIES).bind(seq).bind(limit).fetch_all(db).await)?;
    Ok(rows.into_iter().map(Entry::from).collect())
}

/// How many rows the table of records has up to a place.
pub async fn rows(conn: &mut Conn<'_>, seq: i64) -> Result<i64, Error> {
    Ok(on_db!(conn, db => sqlx::query_scalar(ROWS).bind(seq).fetch_one(db).await)?)
}

/// Whether a table is there at all: who can drop triggers can drop it.
pub async fn has_table(conn: &mut Conn<'_>, name: &str) -> Result<bool, Error> {
    let found: Option<i64> = match &mut conn.raw {
        Raw::Sqlite(connection) => {
            let sql = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = $1";
            sqlx::query_scalar(sql).bind(name).fetch_optional(&mut **connection).await?
        }
        Raw::Postgres(connection) => {
            let sql = "SELECT CAST(1 AS BIGINT) FROM pg_class WHERE oid = to_regclass($1)";
            sqlx::query_scalar(sql).bind(name).fetch_optional(&mut **connection).await?
        }
    };
    Ok(found.is_some())
}

/// How far an anchor has come; none that was never told.
pub async fn anchor(conn: &mut Conn<'_>, name: &str) -> Result<Option<AnchorRow>, Error> {
    Ok(on_db!(conn, db => sqlx::query_as(ANCHOR).bind(name).fetch_optional(db).await)?)
}

/// Keeps how far an anchor has come.
pub async fn set_anchor(conn: &mut Conn<'_>, row: &AnchorRow) -> Result<(), Error> {
    on_db!(conn, db => sqlx::query(SET_ANCHOR).bind(&row.name).bind(row.size).bind(row.told_ms).bind(row.tries)
        .bind(row.next_ms).bind(row.failing_ms).bind(&row.error).execute(db).await.map(drop))?;
    Ok(())
}

fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
