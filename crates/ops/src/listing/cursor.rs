//! Cursors (RFC 9865): where a list goes on, sealed for the caller and the query that they were made
//! for.
//!
//! A cursor is a text that says nothing, made of unreserved characters. It opens for the key it was
//! given to, at its federation, for the same filter, order and types, within an hour; the number of
//! a page must stay the same too. Inside stands the last resource of the page, not how many came
//! before it, so that the ten thousandth page costs what the first does and none is shown twice
//! when others come and go.

use domain::Millis;
use scim::{ListQuery, ResourceType, ScimError, SortOrder};
use serde_json::{Value, json};
use store::directory::Place;

use crate::{
    Cx, Error, ScimClient,
    cursors::{self, Bound, invalid},
};

/// Where a list of one type goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Position {
    /// At its first resource.
    Start,
    /// After a resource, in an order that an index has.
    After(Place),
    /// After a resource, in an order that is made in memory.
    Sorted {
        /// The resource.
        id: String,
        /// How many came before the next one, should that resource be gone.
        index: u64,
    },
}

impl Position {
    /// The place in an order that an index has.
    pub(super) fn place(&self) -> Result<Option<Place>, Error> {
        match self {
            Self::Start => Ok(None),
            Self::After(place) => Ok(Some(place.clone())),
            Self::Sorted { .. } => Err(invalid().into()),
        }
    }

    fn to_json(&self) -> Value {
        match self {
            Self::Start => json!([]),
            Self::After(Place::Id(id)) => json!(["i", id]),
            Self::After(Place::Name(name, id)) => json!(["n", name, id]),
            Self::After(Place::Modified(at_ms, id)) => json!(["m", at_ms, id]),
            Self::Sorted { id, index } => json!(["s", index, id]),
        }
    }

    fn from_json(value: &Value) -> Option<Self> {
        let parts = value.as_array()?;
        let text = |index: usize| parts.get(index)?.as_str().map(str::to_owned);
        Some(match parts.first().map(Value::as_str) {
            None => Self::Start,
            Some(Some("i")) => Self::After(Place::Id(text(1)?)),
            Some(Some("n")) => Self::After(Place::Name(text(1)?, text(2)?)),
            Some(Some("m")) => Self::After(Place::Modified(parts.get(1)?.as_i64()?, text(2)?)),
            Some(Some("s")) => Self::Sorted { index: parts.get(1)?.as_u64()?, id: text(2)? },
            Some(Some(_) | None) => return None,
        })
    }
}

/// What a cursor holds, besides the time it was made and the number of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cursor {
    /// The type that is being listed.
    pub kind: ResourceType,
    /// Where in it.
    pub position: Position,
    /// How many matched in all when the first page was read.
    pub total: u64,
}

impl Cursor {
    /// Seals it.
    pub(super) fn seal(
        &self,
        cx: &Cx<ScimClient>,
        kinds: &[ResourceType],
        query: &ListQuery,
    ) -> Result<String, Error> {
        let plain = self.write(cx.now_ms(), query.count);
        cursors::seal(cx, &bound_to(cx, kinds, query), &plain)
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

    fn write(&self, made_ms: Millis, count: u64) -> String {
        json!([made_ms, count, self.total, self.kind.name(), self.position.to_json()]).to_string()
    }

    fn read(plain: &[u8]) -> Option<(Millis, u64, Self)> {
        let value: Value = serde_json::from_slice(plain).ok()?;
        let [made_ms, count, total, kind, position] = value.as_array()?.as_slice() else { return None };
        let kind = ResourceType::from_name(kind.as_str()?)?;
        let position = Position::from_json(position)?;
        Some((made_ms.as_i64()?, count.as_u64()?, Self { kind, position, total: total.as_u64()? }))
    }
}

/// What an opened cursor holds, read and written again; none for what is no cursor.
#[cfg(feature = "testing")]
pub(crate) fn same(plain: &[u8]) -> Option<String> {
    Cursor::read(plain).map(|(made_ms, count, cursor)| cursor.write(made_ms, count))
}

/// Whom a cursor belongs to, and the query that it goes on with.
fn bound_to(cx: &Cx<ScimClient>, kinds: &[ResourceType], query: &ListQuery) -> Bound {
    let mut caller = format!("{} {}", cx.federation_id(), cx.actor.key_id);
    if crate::scoped::sight::hides_any(cx) {
        // What is there for the key may be less than when the list began: then it begins again.
        caller = format!("{caller} {}", cx.actor.key_version);
    }
    let kinds: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
    let filter = query.filter.as_ref().map(ToString::to_string);
    let sort = query.sort.as_ref().map(|sort| {
        let direction = match sort.order {
            SortOrder::Ascending => "ascending",
            SortOrder::Descending => "descending",
        };
        (sort.by.to_string(), direction)
    });
    Bound { caller, asked: json!([kinds, filter, sort]).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_read_back() {
        let id = || "019b76da-a800-7000-8000-000000000000".to_owned();
        for position in [
            Position::Start,
            Position::After(Place::Id(id())),
            Position::After(Place::Name("mia \"berg\"".to_owned(), id())),
            Position::After(Place::Modified(-1, id())),
            Position::Sorted { id: id(), index: u64::MAX },
        ] {
            assert_eq!(Position::from_json(&position.to_json()), Some(position));
        }
        for text in ["{}", "[1]", r#"["x"]"#, r#"["i"]"#, r#"["m","a","b"]"#] {
            assert_eq!(Position::from_json(&serde_json::from_str(text).unwrap()), None, "{text}");
        }
    }
}
