//! A statement that is composed of fixed parts, and the values that are bound to it.
//!
//! The text holds nothing that a client sent: what varies is which parts stand there and how many
//! values a list has.

use std::fmt::Write as _;

use domain::FederationId;
use sqlx::AssertSqlSafe;

use crate::{Conn, Error, db::on_db};

/// A value of a statement.
#[derive(Debug, Clone)]
pub(crate) enum Bind {
    Text(String),
    Number(i64),
}

impl From<String> for Bind {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for Bind {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<i64> for Bind {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

/// A statement about one federation, which is `$1` in it.
#[derive(Debug, Clone)]
pub(crate) struct Sql {
    text: String,
    binds: Vec<Bind>,
}

/// Gives each value to the query, in order.
macro_rules! bound {
    ($query:expr, $binds:expr) => {{
        let mut query = $query;
        for bind in $binds {
            query = match bind {
                Bind::Text(text) => query.bind(text),
                Bind::Number(number) => query.bind(number),
            };
        }
        query
    }};
}

impl Sql {
    pub(crate) fn new(federation_id: &FederationId) -> Self {
        Self { text: String::with_capacity(512), binds: vec![federation_id.as_str().into()] }
    }

    /// Adds a fixed part.
    pub(crate) fn push(&mut self, part: &str) -> &mut Self {
        self.text.push_str(part);
        self
    }

    /// Adds a value.
    pub(crate) fn bind(&mut self, value: impl Into<Bind>) -> &mut Self {
        self.binds.push(value.into());
        // Writing to a string does not fail.
        let _ = write!(self.text, "${}", self.binds.len());
        self
    }

    /// Adds a comparison with some values: `= $2`, or `IN ($2, $3)`.
    pub(crate) fn bind_any(&mut self, values: &[impl AsRef<str>]) -> &mut Self {
        if let [value] = values {
            return self.push(" = ").bind(value.as_ref());
        }
        self.push(" IN (");
        for (index, value) in values.iter().enumerate() {
            if index > 0 {
                self.push(", ");
            }
            self.bind(value.as_ref());
        }
        self.push(")")
    }

    /// Every row.
    pub(crate) async fn fetch_all<T>(self, conn: &mut Conn<'_>) -> Result<Vec<T>, Error>
    where
        T: Send + Unpin,
        T: for<'r> sqlx::FromRow<'r, sqlx::sqlite::SqliteRow>,
        T: for<'r> sqlx::FromRow<'r, sqlx::postgres::PgRow>,
    {
        let Self { text, binds } = self;
        Ok(
            on_db!(conn, db => bound!(sqlx::query_as::<_, T>(AssertSqlSafe(text)), binds).fetch_all(db).await)?,
        )
    }

    /// One number.
    pub(crate) async fn fetch_number(self, conn: &mut Conn<'_>) -> Result<i64, Error> {
        let Self { text, binds } = self;
        Ok(on_db!(conn, db => bound!(sqlx::query_scalar(AssertSqlSafe(text)), binds).fetch_one(db).await)?)
    }

    /// How the database would run it: one line a step.
    #[cfg(feature = "testing")]
    pub(crate) async fn explain(self, conn: &mut Conn<'_>) -> Result<Vec<String>, Error> {
        use sqlx::Row as _;

        use crate::db::Raw;

        let Self { text, binds } = self;
        match &mut conn.raw {
            Raw::Sqlite(connection) => {
                let text = format!("EXPLAIN QUERY PLAN {text}");
                let rows =
                    bound!(sqlx::query(AssertSqlSafe(text)), binds).fetch_all(&mut **connection).await?;
                rows.iter().map(|row| row.try_get("detail").map_err(Error::from)).collect()
            }
            Raw::Postgres(connection) => {
                let text = format!("EXPLAIN {text}");
                let rows =
                    bound!(sqlx::query(AssertSqlSafe(text)), binds).fetch_all(&mut **connection).await?;
                rows.iter().map(|row| row.try_get(0).map_err(Error::from)).collect()
            }
        }
    }
}
