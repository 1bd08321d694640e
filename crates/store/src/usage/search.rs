//! Finding usage records: newest first, page by page, with a bound on the work of each.
//!
//! A walk goes along an index of federation, or of federation and key, from the newest packed row to
//! older ones. Rows overlap in time, so a record is given out only once no row that is still to be read
//! can hold a newer one. Where a page ended is a [`Place`]: the last record, and the row from which on
//! there may be older ones.

use std::collections::{BTreeSet, BinaryHeap};

use domain::{
    FederationId, KeyId, Millis, RequestId,
    ids::IdChance,
    usage::{UsageRecord, filter::UsageFilter},
};
use sqlx::FromRow;

use super::{Batch, NEWEST, marks};
use crate::{Conn, Error, db::on_db, statements::statements};

statements! {
    // $1 to $5: where to go on, below what must be inside, the least, and the bits that must be there. A row whose
    // records are all too new is passed by without its text. $6: a text that must be inside.
    OF_KEY = "SELECT federation_id, key_id, last_request_id, first_request_id, seal, count,
        CASE WHEN first_request_id < $3 AND marks & $5 = $5
            AND (CAST($6 AS TEXT) IS NULL OR records LIKE $6 ESCAPE '!') THEN records ELSE '[]' END AS records
        FROM usage_batches WHERE federation_id = $1 AND last_request_id <= $2 AND last_request_id >= $4
        AND key_id = $7 ORDER BY last_request_id DESC, seal DESC LIMIT $8 OFFSET $9";
    OF_FEDERATION = "SELECT federation_id, key_id, last_request_id, first_request_id, seal, count,
        CASE WHEN first_request_id < $3 AND marks & $5 = $5
            AND (CAST($6 AS TEXT) IS NULL OR records LIKE $6 ESCAPE '!') THEN records ELSE '[]' END AS records
        FROM usage_batches WHERE federation_id = $1 AND last_request_id <= $2 AND last_request_id >= $4
        AND CAST($7 AS TEXT) IS NULL ORDER BY last_request_id DESC, key_id DESC, seal DESC LIMIT $8 OFFSET $9";
    // Of all federations, in one walk; $1 and $7 are those of the others, and not asked for.
    OF_ALL = "SELECT federation_id, key_id, last_request_id, first_request_id, seal, count,
        CASE WHEN first_request_id < $3 AND marks & $5 = $5
            AND (CAST($6 AS TEXT) IS NULL OR records LIKE $6 ESCAPE '!') THEN records ELSE '[]' END AS records
        FROM usage_batches WHERE last_request_id <= $2 AND last_request_id >= $4
        AND CAST($1 AS TEXT) IS NULL AND CAST($7 AS TEXT) IS NULL
        ORDER BY last_request_id DESC, federation_id DESC, key_id DESC, seal DESC LIMIT $8 OFFSET $9";
    PERSON = "SELECT id FROM scim_users WHERE federation_id = $1 AND user_name_lower = $2";
    // The row of one request: batches span little time, so it is among the next ones.
    OF_REQUEST = "SELECT federation_id, key_id, last_request_id, records FROM usage_batches
        WHERE federation_id = $1 AND last_request_id >= $2 AND last_request_id < $3 AND first_request_id <= $2
        AND records LIKE $4 ORDER BY last_request_id LIMIT 8";
    OF_REQUEST_OF_ALL = "SELECT federation_id, key_id, last_request_id, records FROM usage_batches
        WHERE last_request_id >= $1 AND last_request_id < $2 AND first_request_id <= $1
        AND records LIKE $3 ORDER BY last_request_id LIMIT 8";
}

/// Of more federations than this, one walk over all rows costs less than a walk along each.
const APART: usize = 16;

/// How many rows are read at once: first few, then more.
const FIRST_ROWS: i64 = 8;
const MOST_ROWS: i64 = 256;

/// How long after a request its record may be written at the latest to be found by its id alone.
const LATE_MS: Millis = 15 * 60_000;

/// How far the time of a request and that in its id may be apart.
const NEAR_MS: Millis = 1_000;

/// How much one page may look at.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    /// Packed rows.
    pub rows: usize,
    /// Records that are read in them.
    pub records: usize,
}

/// Where a page ended: records older than `before` are left, in rows from `start` on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The last record that was given out, or looked at.
    pub before: String,
    /// The newest row that may hold an older one.
    pub start: String,
}

impl Place {
    /// The newest of all.
    pub fn newest() -> Self {
        Self { before: NEWEST.to_owned(), start: NEWEST.to_owned() }
    }

    /// Before a time. Rows hold the records of a moment, and of requests that took long.
    fn before_ms(at_ms: Millis) -> Self {
        Self { before: floor(at_ms + NEAR_MS), start: floor(at_ms + LATE_MS) }
    }
}

/// A page of records.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// Newest first.
    pub records: Vec<UsageRecord>,
    /// Where to go on; `None` when there is nothing older.
    pub next: Option<Place>,
    /// Whether the page ended because it had looked at as much as it may.
    pub is_cut: bool,
}

#[derive(FromRow)]
struct Row {
    federation_id: String,
    key_id: String,
    last_request_id: String,
    first_request_id: String,
    count: i64,
    records: String,
}

/// The rows of a federation, of a key of it, or of all, from newer to older.
struct Walk<'a> {
    federation: Option<&'a str>,
    key: Option<&'a str>,
    start: String,
    /// How many rows with `start` itself were read.
    skip: i64,
    rows: std::vec::IntoIter<Row>,
    next: Option<Row>,
    wanted: i64,
    is_over: bool,
}

/// What a row must have to be read.
struct Needs<'a> {
    before: &'a str,
    least: String,
    marks: i64,
    text: Option<String>,
}

impl Walk<'_> {
    /// Fills `next`.
    async fn look(&mut self, conn: &mut Conn<'_>, needs: &Needs<'_>) -> Result<(), Error> {
        if self.next.is_some() {
            return Ok(());
        }
        if let Some(row) = self.rows.next() {
            self.next = Some(row);
            return Ok(());
        }
        if self.is_over {
            return Ok(());
        }
        let sql = match (self.federation, self.key) {
            (None, _) => OF_ALL,
            (Some(_), Some(_)) => OF_KEY,
            (Some(_), None) => OF_FEDERATION,
        };
        let rows: Vec<Row> = on_db!(conn, db => sqlx::query_as(sql)
            .bind(self.federation).bind(&self.start).bind(needs.before).bind(&needs.least)
            .bind(needs.marks).bind(needs.text.as_deref()).bind(self.key)
            .bind(self.wanted).bind(self.skip).fetch_all(db).await)?;
        self.is_over = i64::try_from(rows.len()).is_ok_and(|count| count < self.wanted);
        if let Some(last) = rows.last() {
            let same =
                rows.iter().rev().take_while(|row| row.last_request_id == last.last_request_id).count();
            let same = i64::try_from(same).unwrap_or(i64::MAX);
            self.skip = if last.last_request_id == self.start { self.skip + same } else { same };
            self.start.clone_from(&last.last_request_id);
        }
        self.wanted = (self.wanted * 4).min(MOST_ROWS);
        self.rows = rows.into_iter();
        self.next = self.rows.next();
        Ok(())
    }
}

/// A record in a heap, the newest on top, and the row that it came from.
struct Held {
    record: UsageRecord,
    row: String,
}

impl PartialEq for Held {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Held {}

impl PartialOrd for Held {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Held {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.record.request_id.cmp(&other.record.request_id)
    }
}

/// A page of the records that a filter leaves among those of some federations (`None`: keys of none).
/// Which of them the reader may see is decided before.
///
/// # Errors
/// When the database does not answer, or holds what is no record.
pub async fn page(
    conn: &mut Conn<'_>,
    federations: &[Option<FederationId>],
    filter: &UsageFilter,
    place: Option<&Place>,
    limit: usize,
    budget: Budget,
) -> Result<Found, Error> {
    let place = match (place, filter.to_ms) {
        (Some(place), _) => place.clone(),
        (None, Some(to_ms)) => Place::before_ms(to_ms),
        (None, None) => Place::newest(),
    };
    let needs = Needs {
        before: &place.before,
        least: filter.from_ms.map(|from_ms| floor(from_ms - NEAR_MS)).unwrap_or_default(),
        marks: needed(filter),
        text: inside(filter),
    };
    let words: BTreeSet<&str> = federations.iter().map(|id| word(id.as_ref())).collect();
    let is_one_walk = words.len() > APART && filter.key_id.is_none();
    let walk = |federation, wanted| Walk {
        federation,
        key: filter.key_id.as_ref().map(KeyId::as_str),
        start: place.start.clone(),
        skip: 0,
        rows: Vec::new().into_iter(),
        next: None,
        wanted,
        is_over: false,
    };
    let mut walks: Vec<Walk<'_>> = match words.len() {
        _ if is_one_walk => vec![walk(None, FIRST_ROWS * 4)],
        1 => words.iter().map(|word| walk(Some(*word), FIRST_ROWS * 4)).collect(),
        _ => words.iter().map(|word| walk(Some(*word), FIRST_ROWS)).collect(),
    };
    let mut held: BinaryHeap<Held> = BinaryHeap::new();
    let mut found = Found::default();
    // Rows that were read and have older records than those given out yet, by their newest.
    let mut open: Vec<(String, String)> = Vec::new();
    let (mut rows, mut records) = (0, 0);
    let mut last = place.before.clone();
    loop {
        for walk in &mut walks {
            walk.look(conn, &needs).await?;
        }
        let newest = walks
            .iter()
            .enumerate()
            .filter_map(|(at, walk)| Some((walk.next.as_ref()?.last_request_id.as_str(), at)))
            .max();
        let (bound, at) = match newest {
            Some((id, at)) => (Some(id.to_owned()), Some(at)),
            None => (None, None),
        };
        // What is newer than every row that is left can go out.
        while let Some(top) = held.peek()
            && bound.as_deref().is_none_or(|bound| top.record.request_id.as_str() > bound)
        {
            if found.records.len() == limit {
                found.next = Some(next(last, &held, &open, bound));
                return Ok(found);
            }
            if let Some(Held { record, .. }) = held.pop() {
                record.request_id.as_str().clone_into(&mut last);
                found.records.push(record);
            }
        }
        if found.records.len() == limit && bound.is_some() {
            found.next = Some(next(last, &held, &open, bound));
            return Ok(found);
        }
        let Some(row) = at.and_then(|at| walks.get_mut(at)).and_then(|walk| walk.next.take()) else {
            return Ok(found);
        };
        if rows >= budget.rows || records >= budget.records {
            found.is_cut = true;
            // Everything newer than this row was looked at. What is held stays for the next page.
            let seen = above(&row.last_request_id).min(last);
            found.next = Some(next(seen, &held, &open, Some(row.last_request_id)));
            return Ok(found);
        }
        rows += 1;
        if row.records == "[]" || (is_one_walk && !words.contains(row.federation_id.as_str())) {
            // Nothing in it is wanted.
            continue;
        }
        records += usize::try_from(row.count).unwrap_or(0);
        let batch = Batch {
            federation_id: row.federation_id,
            key_id: row.key_id,
            last_request_id: row.last_request_id,
            records: row.records,
        };
        for record in batch.unpack()? {
            if record.request_id.as_str() < place.before.as_str() && filter.matches(&record) {
                held.push(Held { record, row: batch.last_request_id.clone() });
            }
        }
        open.push((row.first_request_id, batch.last_request_id));
    }
}

/// How a federation stands in a row.
fn word(federation: Option<&FederationId>) -> &str {
    federation.map_or("", FederationId::as_str)
}

/// The id after one: ids have no end character of their own.
fn above(id: &str) -> String {
    format!("{id}~")
}

/// Where the next page begins: at the newest row that may still hold something older than `before`.
fn next(before: String, held: &BinaryHeap<Held>, open: &[(String, String)], bound: Option<String>) -> Place {
    let of_held = held.iter().map(|held| held.row.clone());
    let of_open =
        open.iter().filter(|(first, _)| first.as_str() < before.as_str()).map(|(_, last)| last.clone());
    let start = of_held.chain(of_open).chain(bound).max().unwrap_or_else(|| before.clone());
    Place { before, start }
}

/// The least text of an id that was made at a time or later.
pub(crate) fn floor(at_ms: Millis) -> String {
    RequestId::new(at_ms, IdChance::default()).as_str().to_owned()
}

fn needed(filter: &UsageFilter) -> i64 {
    filter.decision.map_or(0, marks::decision)
        | filter.status.map_or(0, |status| marks::status(status.class()))
        | filter.method.as_deref().map_or(0, marks::method)
        | filter.resource_type.as_deref().map_or(0, marks::resource_type)
        | filter.is_work.map_or(0, marks::work)
}

/// A text that stands in each row with a record that is wanted, as a pattern of LIKE; the most telling one.
fn inside(filter: &UsageFilter) -> Option<String> {
    let quoted = |text: &str| serde_json::to_string(text).ok();
    let exact = filter.request_id.as_ref().and_then(|id| quoted(id.as_str()));
    let exact = exact.or_else(|| filter.resource_id.as_deref().and_then(quoted));
    // LIKE of one database minds the case, and that of the other does not: only what has one spelling is asked for.
    let text = exact?;
    let mut pattern = String::from("%");
    for character in text.chars() {
        if matches!(character, '%' | '_' | '!') {
            pattern.push('!');
        }
        pattern.push(character);
    }
    pattern.push('%');
    Some(pattern)
}

/// The records of one request in one federation (`None`: keys of none); several when it had several operations.
///
/// # Errors
/// When the database does not answer, or holds what is no record.
pub async fn of_request(
    conn: &mut Conn<'_>,
    federation_id: Option<&FederationId>,
    id: &RequestId,
) -> Result<Vec<UsageRecord>, Error> {
    let pattern = format!("%\"{}\"%", id.as_str());
    let batches: Vec<Batch> = on_db!(conn, db => sqlx::query_as(OF_REQUEST)
        .bind(federation_id.map_or("", FederationId::as_str))
        .bind(id.as_str())
        .bind(floor(id.made_ms() + LATE_MS))
        .bind(&pattern)
        .fetch_all(db).await)?;
    of_batches(&batches, id)
}

/// As [`of_request`], whatever the federation.
///
/// # Errors
/// As [`of_request`].
pub async fn of_request_of_all(conn: &mut Conn<'_>, id: &RequestId) -> Result<Vec<UsageRecord>, Error> {
    let pattern = format!("%\"{}\"%", id.as_str());
    let batches: Vec<Batch> = on_db!(conn, db => sqlx::query_as(OF_REQUEST_OF_ALL)
        .bind(id.as_str())
        .bind(floor(id.made_ms() + LATE_MS))
        .bind(&pattern)
        .fetch_all(db).await)?;
    of_batches(&batches, id)
}

fn of_batches(batches: &[Batch], id: &RequestId) -> Result<Vec<UsageRecord>, Error> {
    let mut found = Vec::new();
    for batch in batches {
        found.extend(batch.unpack()?.into_iter().filter(|record| record.request_id == *id));
    }
    Ok(found)
}

/// The id of the user of a name.
///
/// # Errors
/// When the database does not answer.
pub async fn person(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    user_name: &str,
) -> Result<Option<String>, Error> {
    Ok(on_db!(conn, db => sqlx::query_scalar(PERSON)
        .bind(federation_id.as_str()).bind(scim::attr::fold_case(user_name)).fetch_optional(db).await)?)
}
