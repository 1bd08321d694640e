//! Cursors (RFC 9865) of a federation with an upstream: sealed as those of the embedded directory are,
//! for the key and the query that they were given to.
//!
//! Inside stands the upstream's own cursor where it has some, and a number where it has none: then the
//! list may shift under the provider by what comes and goes between two pages, as with `startIndex`.

use scim::{ListQuery, ResourceType, ScimError, SortOrder};
use serde_json::{Value, json};

use crate::{
    Cx, Error, ScimClient,
    cursors::{self, Bound},
};

/// Where a list of one type goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// At its first resource.
    Start,
    /// At this one, counted from 1.
    Index(u64),
    /// Where this cursor of the upstream says.
    Theirs(String),
    /// After a resource, in an order that was made here.
    After {
        /// The resource, by its id there.
        id: String,
        /// How many came before the next one, should that resource be gone.
        index: u64,
    },
}

impl Place {
    fn to_json(&self) -> Value {
        match self {
            Self::Start => json!([]),
            Self::Index(index) => json!(["n", index]),
            Self::Theirs(cursor) => json!(["c", cursor]),
            Self::After { id, index } => json!(["a", id, index]),
        }
    }

    fn from_json(value: &Value) -> Option<Self> {
        let parts = value.as_array()?;
        let (one, two) = (parts.get(1), parts.get(2));
        Some(match parts.first().map(Value::as_str) {
            None => Self::Start,
            Some(Some("n")) => Self::Index(one?.as_u64()?),
            Some(Some("c")) => Self::Theirs(one?.as_str()?.to_owned()),
            Some(Some("a")) => Self::After { id: one?.as_str()?.to_owned(), index: two?.as_u64()? },
            Some(Some(_) | None) => return None,
        })
    }
}

/// What a cursor holds, besides the time it was made and the number of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cursor {
    pub(super) kind: ResourceType,
    pub(super) place: Place,
    /// How many matched in all when the first page was read.
    pub(super) total: u64,
}

impl Cursor {
    /// Seals it.
    pub(super) fn seal(
        &self,
        cx: &Cx<ScimClient>,
        kinds: &[ResourceType],
        query: &ListQuery,
    ) -> Result<String, Error> {
        let plain = json!([cx.now_ms(), query.count, self.total, self.kind.name(), self.place.to_json()]);
        cursors::seal(cx, &bound_to(cx, kinds, query), &plain.to_string())
    }

    /// Opens one that a client brings.
    ///
    /// # Errors
    /// As [`cursors::open`].
    pub(super) fn open(
        cx: &Cx<ScimClient>,
        kinds: &[ResourceType],
        query: &ListQuery,
        text: &str,
    ) -> Result<Self, ScimError> {
        cursors::open(cx, &bound_to(cx, kinds, query), query, text, Self::read)
    }

    fn read(plain: &[u8]) -> Option<(i64, u64, Self)> {
        let value: Value = serde_json::from_slice(plain).ok()?;
        let [made_ms, count, total, kind, place] = value.as_array()?.as_slice() else { return None };
        let kind = ResourceType::from_name(kind.as_str()?)?;
        let cursor = Self { kind, place: Place::from_json(place)?, total: total.as_u64()? };
        Some((made_ms.as_i64()?, count.as_u64()?, cursor))
    }
}

/// Whom a cursor belongs to, and the query that it goes on with.
fn bound_to(cx: &Cx<ScimClient>, kinds: &[ResourceType], query: &ListQuery) -> Bound {
    let caller = format!("{} {}", cx.federation_id(), cx.actor.key_id);
    let kinds: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
    let filter = query.filter.as_ref().map(ToString::to_string);
    let sort = query.sort.as_ref().map(|sort| (sort.by.to_string(), sort.order == SortOrder::Descending));
    Bound { caller, asked: json!(["upstream", kinds, filter, sort]).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_read_back() {
        for place in [
            Place::Start,
            Place::Index(7),
            Place::Theirs("their \"own\"".to_owned()),
            Place::After { id: "7".to_owned(), index: u64::MAX },
        ] {
            assert_eq!(Place::from_json(&place.to_json()), Some(place));
        }
        for text in ["{}", "[1]", r#"["x"]"#, r#"["n"]"#, r#"["a","7"]"#] {
            assert_eq!(Place::from_json(&serde_json::from_str(text).unwrap()), None, "{text}");
        }
    }
}
