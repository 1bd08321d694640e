//! Every key, short: what lists are sorted, filtered and counted by. Whoever shows a page of them reads those of
//! the page in full.

use std::collections::BTreeMap;

use domain::{
    FederationId, KeyId,
    keys::{Key, Life, Proof},
};
use sqlx::FromRow;

use super::{Row as FullRow, StoredKey};
use crate::{Conn, Error, db::on_db, statements::statements};

/// The most ids of one statement.
const AT_ONCE: usize = 500;

statements! {
    LIST = "SELECT federation_id, id, name, last_four, issued_by, proof, canary, predecessor_id, successor_id, issued_ms, expires_ms,
        retires_ms, retired_ms, revoked_ms, held_ms, first_used_ms, last_used_ms, tested_ms, first_work_ms,
        last_work_ms FROM provisioning_keys ORDER BY federation_id, id";
}

/// A key without its scope, its text and its people.
#[derive(Debug, Clone)]
pub struct Brief {
    /// Its id.
    pub id: KeyId,
    /// Its federation.
    pub federation_id: FederationId,
    /// Its name.
    pub name: String,
    /// How it ends.
    pub last_four: String,
    /// The name of who issued it.
    pub issued_by: String,
    /// How its holder proves itself.
    pub proof: Proof,
    /// Whether it is a bait.
    pub canary: bool,
    /// Whether it replaces another key.
    pub has_predecessor: bool,
    /// Whether another key replaces it.
    pub has_successor: bool,
    /// Its moments.
    pub life: Life,
}

#[derive(FromRow)]
struct Row {
    federation_id: String,
    id: String,
    name: String,
    last_four: String,
    issued_by: String,
    proof: String,
    canary: i64,
    predecessor_id: Option<String>,
    successor_id: Option<String>,
    issued_ms: i64,
    expires_ms: i64,
    retires_ms: Option<i64>,
    retired_ms: Option<i64>,
    revoked_ms: Option<i64>,
    held_ms: Option<i64>,
    first_used_ms: Option<i64>,
    last_used_ms: Option<i64>,
    tested_ms: Option<i64>,
    first_work_ms: Option<i64>,
    last_work_ms: Option<i64>,
}

impl TryFrom<Row> for Brief {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        let corrupt = |what: &str| Error::Corrupt(format!("key {}: {what}", row.id));
        Ok(Self {
            id: KeyId::parse(&row.id).ok_or_else(|| corrupt("id"))?,
            federation_id: FederationId::parse(&row.federation_id).ok_or_else(|| corrupt("federation"))?,
            proof: Proof::parse(&row.proof).ok_or_else(|| corrupt("proof"))?,
            name: row.name,
            last_four: row.last_four,
            issued_by: row.issued_by,
            canary: row.canary != 0,
            has_predecessor: row.predecessor_id.is_some(),
            has_successor: row.successor_id.is_some(),
            life: Life {
                issued_ms: row.issued_ms,
                expires_ms: row.expires_ms,
                retires_ms: row.retires_ms,
                retired_ms: row.retired_ms,
                revoked_ms: row.revoked_ms,
                held_ms: row.held_ms,
                first_used_ms: row.first_used_ms,
                last_used_ms: row.last_used_ms,
                tested_ms: row.tested_ms,
                first_work_ms: row.first_work_ms,
                last_work_ms: row.last_work_ms,
            },
        })
    }
}

/// Every key, in the order of its federation and then of issue.
pub async fn list(conn: &mut Conn<'_>) -> Result<Vec<Brief>, Error> {
    let rows: Vec<Row> = on_db!(conn, db => sqlx::query_as(LIST).fetch_all(db).await)?;
    rows.into_iter().map(Brief::try_from).collect()
}

/// The keys with these ids, whatever their federation, by id; what is not there is left out.
pub async fn of_ids(conn: &mut Conn<'_>, ids: &[&KeyId]) -> Result<BTreeMap<KeyId, Key>, Error> {
    let mut keys = BTreeMap::new();
    for ids in ids.chunks(AT_ONCE) {
        let rows: Vec<FullRow> = on_db!(&mut *conn, db => {
            let mut sql = sqlx::QueryBuilder::new(concat!("SELECT ", columns!(), " FROM provisioning_keys WHERE id IN ("));
            let mut places = sql.separated(", ");
            for id in ids {
                places.push_bind(id.as_str());
            }
            places.push_unseparated(")");
            sql.build_query_as().fetch_all(db).await
        })?;
        for row in rows {
            let key = StoredKey::try_from(row)?.key;
            keys.insert(key.id.clone(), key);
        }
    }
    Ok(keys)
}

/// The names of the keys with these ids, by id.
pub async fn names(conn: &mut Conn<'_>, ids: &[&KeyId]) -> Result<BTreeMap<KeyId, String>, Error> {
    let mut names = BTreeMap::new();
    for ids in ids.chunks(AT_ONCE) {
        let rows: Vec<(String, String)> = on_db!(&mut *conn, db => {
            let mut sql = sqlx::QueryBuilder::new("SELECT id, name FROM provisioning_keys WHERE id IN (");
            let mut places = sql.separated(", ");
            for id in ids {
                places.push_bind(id.as_str());
            }
            places.push_unseparated(")");
            sql.build_query_as().fetch_all(db).await
        })?;
        names.extend(rows.into_iter().filter_map(|(id, name)| Some((KeyId::parse(&id)?, name))));
    }
    Ok(names)
}
