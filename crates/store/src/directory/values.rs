//! What users are looked up by and that has no column: `scim_user_values`, one row a value.
//!
//! The rows are written by the functions of [`crate::users`] that write a user, in the same unit, and
//! only when they differ; those of a user that is deleted go with it. A new attribute is one more variant of [`Lookup`] and its line in
//! [`Lookups::of`]; rows that exist need a migration.

use std::collections::BTreeSet;

use domain::{FederationId, ResourceId};
use serde_json::Value;

use crate::{Conn, Error, cache::touch::Touch, db::on_db};

/// The most bytes of a key: Postgres takes index rows of 2,704 bytes. What is longer is looked up by
/// its beginning, and decided by whoever looks.
const LONGEST: usize = 1_000;

/// The most rows of one statement.
const ROWS: usize = 200;

const INSERT: &str = "INSERT INTO scim_user_values (federation_id, attribute, value, user_id) ";
const DELETE: &str = "DELETE FROM scim_user_values WHERE federation_id = ";

/// An attribute that users are looked up by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lookup {
    /// `emails.value`.
    Email,
    /// `employeeNumber` of the enterprise extension.
    EmployeeNumber,
    /// Attributes with a column that the user does not have; the only one is [`Lookup::ACTIVE`].
    Absent,
}

impl Lookup {
    /// The key of a user without `active`, under [`Lookup::Absent`].
    pub const ACTIVE: &str = "active";

    /// The word in the table.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Email => "emails.value",
            Self::EmployeeNumber => "employeeNumber",
            Self::Absent => "absent",
        }
    }

    /// What a value of the attribute is found by, and whether that is the whole of it.
    pub fn key(value: &str) -> (String, bool) {
        let mut key = scim::fold_case(value);
        let end = key.floor_char_boundary(LONGEST);
        let is_whole = end == key.len();
        key.truncate(end);
        (key, is_whole)
    }
}

/// What a user is found by.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Lookups(BTreeSet<(Lookup, String)>);

impl Lookups {
    /// Reads it from a resource in its normal form.
    fn of(user: &Value) -> Self {
        let mut keys = BTreeSet::new();
        let mut add = |lookup: Lookup, value: Option<&str>| {
            // A filter never holds U+0000, which Postgres does not take.
            if let Some(value) = value.filter(|value| !value.contains('\0')) {
                keys.insert((lookup, Lookup::key(value).0));
            }
        };
        for email in user.get("emails").and_then(Value::as_array).into_iter().flatten() {
            add(Lookup::Email, email.get("value").and_then(Value::as_str));
        }
        let enterprise = user.get(scim::ENTERPRISE_USER.id.as_ref());
        let number = enterprise.and_then(|enterprise| enterprise.get("employeeNumber"));
        add(Lookup::EmployeeNumber, number.and_then(Value::as_str));
        if user.get(Lookup::ACTIVE).is_none_or(Value::is_null) {
            add(Lookup::Absent, Some(Lookup::ACTIVE));
        }
        Self(keys)
    }
}

/// What a change makes of the rows of a user, and which values of its columns it takes or lets go of.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reindex {
    gone: Vec<(Lookup, String)>,
    new: Vec<(Lookup, String)>,
    /// Folded `userName`s.
    names: Vec<String>,
    external_ids: Vec<String>,
}

impl Reindex {
    /// Of a user that is created.
    pub fn created(after: &Value) -> Self {
        Self { new: Lookups::of(after).0.into_iter().collect(), ..Self::of_columns(None, after) }
    }

    /// Of a user that is changed; nothing when none of its values differ.
    pub fn between(before: &Value, after: &Value) -> Self {
        let columns = Self::of_columns(Some(before), after);
        let (before, after) = (Lookups::of(before).0, Lookups::of(after).0);
        let difference = |a: &BTreeSet<_>, b: &BTreeSet<_>| a.difference(b).cloned().collect();
        Self { gone: difference(&before, &after), new: difference(&after, &before), ..columns }
    }

    fn of_columns(before: Option<&Value>, after: &Value) -> Self {
        let both = |name: &str| {
            let text = |user: &Value| user.get(name).and_then(Value::as_str).map(str::to_owned);
            let (before, after) = (before.and_then(text), text(after));
            let values = if before == after { [None, None] } else { [before, after] };
            values.into_iter().flatten()
        };
        Self {
            names: both("userName").map(|name| scim::fold_case(&name)).collect(),
            external_ids: both("externalId").collect(),
            ..Self::default()
        }
    }

    /// What is looked up by of a user that is created.
    #[cfg(feature = "bench")]
    pub(crate) fn new_keys(&self) -> &[(Lookup, String)] {
        &self.new
    }

    /// Writes it, and says which values change hands: no statement when nothing differs.
    pub(crate) async fn write(
        &self,
        conn: &mut Conn<'_>,
        federation_id: &FederationId,
        user_id: &ResourceId,
    ) -> Result<(), Error> {
        for name in &self.names {
            conn.touch(Touch::UserName(federation_id, name));
        }
        for external_id in &self.external_ids {
            conn.touch(Touch::UserExternalId(federation_id, external_id));
        }
        for rows in self.gone.chunks(ROWS) {
            on_db!(&mut *conn, db => {
                let mut sql = sqlx::QueryBuilder::new(DELETE);
                sql.push_bind(federation_id.as_str()).push(" AND user_id = ").push_bind(user_id.as_str());
                sql.push(" AND (attribute, value) IN (");
                sql.push_values(rows, |mut row, (lookup, key)| {
                    row.push_bind(lookup.as_str()).push_bind(key.as_str());
                });
                sql.push(")").build().execute(db).await.map(drop)
            })?;
        }
        for rows in self.new.chunks(ROWS) {
            on_db!(&mut *conn, db => {
                let mut sql = sqlx::QueryBuilder::new(INSERT);
                sql.push_values(rows, |mut row, (lookup, key)| {
                    row.push_bind(federation_id.as_str()).push_bind(lookup.as_str());
                    row.push_bind(key.as_str()).push_bind(user_id.as_str());
                });
                sql.build().execute(db).await.map(drop)
            })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn emails_number_and_what_is_absent_are_looked_up() {
        let user = json!({
            "userName": "a", "emails": [{ "value": "Ä@x" }, { "value": "ä@X" }, { "type": "work" }, { "value": "\0" }],
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": { "employeeNumber": "N1" },
        });
        let expect = [
            (Lookup::Email, "ä@x".to_owned()),
            (Lookup::EmployeeNumber, "n1".to_owned()),
            (Lookup::Absent, "active".to_owned()),
        ];
        assert_eq!(Lookups::of(&user), Lookups(BTreeSet::from(expect)));
        assert_eq!(Lookups::of(&json!({ "active": false })), Lookups::default());
    }

    #[test]
    fn a_value_of_a_column_that_changes_hands_is_named_before_and_after() {
        let columns = |reindex: Reindex| (reindex.names, reindex.external_ids);
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let (ada, bob) = (json!({ "userName": "Ada", "externalId": "1" }), json!({ "userName": "Bob" }));
        assert_eq!(columns(Reindex::created(&ada)), (texts(&["ada"]), texts(&["1"])));
        assert_eq!(columns(Reindex::between(&ada, &ada)), (texts(&[]), texts(&[])));
        assert_eq!(columns(Reindex::between(&ada, &bob)), (texts(&["ada", "bob"]), texts(&["1"])));
        assert_eq!(columns(Reindex::between(&bob, &ada)), (texts(&["bob", "ada"]), texts(&["1"])));
    }

    #[test]
    fn a_long_value_is_found_by_its_beginning() {
        assert_eq!(Lookup::key("Ab"), ("ab".to_owned(), true));
        assert_eq!(Lookup::key(&"x".repeat(1_000)), ("x".repeat(1_000), true));
        assert_eq!(Lookup::key(&"x".repeat(1_001)), ("x".repeat(1_000), false));
        assert_eq!(Lookup::key(&"é".repeat(501)).0.len(), 1_000);
    }
}
