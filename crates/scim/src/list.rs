//! Queries and their answers: what is asked of a list, and the page that is given (RFC 7644 3.4.2).
//!
//! Unknown parameters are ignored: Entra adds some of its own to every request. A new parameter is one
//! more field of [`ListQuery`] and its arm in `Parameters::set`.
//!
//! **Cursors (RFC 9865).** `startIndex` and `cursor` each ask for a way of paging; the RFC does not say
//! what both together mean. Here the cursor wins, because it is a place that this server gave, and strict
//! mode refuses the pair. With a cursor, a `count` above [`MAX_COUNT`] is `invalidCount` (RFC 9865 2.1,
//! table 3); without one it is lowered (RFC 7644 3.4.2.4). What a cursor means, and whether it is still
//! good, is the caller's to say, by [`ScimError::invalid_cursor`], [`ScimError::expired_cursor`] and
//! [`ScimError::invalid_count`].

mod parameters;

use std::cmp::Ordering;

use serde_json::{Value, json};

use crate::{
    attr::{AttrPath, fold_case},
    coerce::is_primary,
    error::ScimError,
    filter::Filter,
    instant,
    schema::{Kind, ResourceType},
    schemas::{Schemas, Type},
    select::Selection,
    tolerance::Reading,
};

/// How many resources a page holds when nothing is said.
pub const DEFAULT_COUNT: u64 = 200;

/// How many resources a page holds at most.
pub const MAX_COUNT: u64 = 1_000;

/// The URN of a list.
pub const LIST_URN: &str = "urn:ietf:params:scim:api:messages:2.0:ListResponse";

/// The URN of a search.
pub const SEARCH_URN: &str = "urn:ietf:params:scim:api:messages:2.0:SearchRequest";

/// What a client asks of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct ListQuery {
    /// Which resources.
    pub filter: Option<Filter>,
    /// The first one, counted from 1.
    pub start_index: u64,
    /// How many at most; 0 asks for the number alone.
    pub count: u64,
    /// Where the last page ended (RFC 9865); empty for the first page.
    pub cursor: Option<String>,
    /// In which order.
    pub sort: Option<Sort>,
    /// Which attributes.
    pub selection: Selection,
}

impl Default for ListQuery {
    fn default() -> Self {
        Self {
            filter: None,
            start_index: 1,
            count: DEFAULT_COUNT,
            cursor: None,
            sort: None,
            selection: Selection::Default,
        }
    }
}

/// An order of resources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sort {
    /// By which attribute.
    pub by: AttrPath,
    /// In which direction.
    pub order: SortOrder,
}

/// The direction of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SortOrder {
    /// Smallest first.
    #[default]
    Ascending,
    /// Largest first.
    Descending,
}

impl Sort {
    /// Which of two resources comes first (RFC 7644 3.4.2.3): by the primary value of a multi-valued
    /// attribute or else its first, with the case rule of the attribute; what has no value comes last
    /// when ascending, first when descending.
    pub fn compare<'a>(&self, of: impl Into<Type<'a>>, a: &Value, b: &Value) -> Ordering {
        let of = of.into();
        self.compare_keys(&self.key(of, a), &self.key(of, b))
    }

    /// As [`Sort::compare`], for keys that were taken before: of many resources each is looked at once.
    pub fn compare_keys(&self, a: &SortKey, b: &SortKey) -> Ordering {
        let ordering = match (&a.0, &b.0) {
            (Some(a), Some(b)) => a.cmp(b),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => Ordering::Equal,
        };
        match self.order {
            SortOrder::Ascending => ordering,
            SortOrder::Descending => ordering.reverse(),
        }
    }

    /// What a resource is sorted by.
    pub fn key<'a>(&self, of: impl Into<Type<'a>>, resource: &Value) -> SortKey {
        SortKey(self.value(of.into(), resource))
    }

    fn value(&self, of: Type<'_>, resource: &Value) -> Option<SortValue> {
        let resolved = self.by.resolve(of)?;
        let holder = match resolved.extension {
            Some(extension) => resource.get(extension.id.as_ref())?,
            None => resource,
        };
        let value = holder.get(resolved.attribute.name.as_ref())?;
        let value = match value {
            Value::Array(items) => items.iter().find(|item| is_primary(item)).or_else(|| items.first())?,
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => value,
        };
        let leaf = match resolved.sub {
            Some(sub) => sub,
            None if resolved.attribute.kind == Kind::Complex => resolved.attribute.sub_attribute("value")?,
            None => resolved.attribute,
        };
        let value = if value.is_object() { value.get(leaf.name.as_ref())? } else { value };
        match value {
            Value::Bool(value) => Some(SortValue::Boolean(*value)),
            Value::String(text) if leaf.kind == Kind::DateTime => {
                instant::parse(text).map(|instant| SortValue::Instant(instant.unix_timestamp_nanos()))
            }
            Value::String(text) if leaf.case_exact => Some(SortValue::Text(text.clone())),
            Value::String(text) => Some(SortValue::Text(fold_case(text))),
            Value::Number(number) => number.as_f64().map(SortValue::number),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        }
    }
}

/// What a resource is sorted by, or that it has no such value; see [`Sort::key`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SortKey(Option<SortValue>);

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum SortValue {
    Boolean(bool),
    /// The bits of a number, so that their order is its order.
    Number(i64),
    Instant(i128),
    Text(String),
}

impl SortValue {
    /// IEEE 754 orders its numbers by their bits, but for the sign (as `f64::total_cmp` does). Both
    /// zeroes are one.
    fn number(number: f64) -> Self {
        let bits = (number + 0.0).to_bits().cast_signed();
        Self::Number(bits ^ ((bits >> 63).cast_unsigned() >> 1).cast_signed())
    }
}

impl ListQuery {
    /// Reads the query of a URI, without or with its `?`.
    ///
    /// # Errors
    /// `invalidFilter` for a filter that cannot be evaluated on this type; `invalidValue` for a number
    /// that is none, both attribute lists at once, or a query that is not UTF-8; `invalidCursor` and
    /// `invalidCount` (RFC 9865 2.1) for a cursor that no server gave and a count that it cannot have.
    pub fn parse<'a>(of: impl Into<Type<'a>>, raw_query: &str) -> Result<Self, ScimError> {
        Self::read(of, raw_query, &mut Reading::lenient())
    }

    /// As [`ListQuery::parse`], and notes what is tolerated.
    ///
    /// # Errors
    /// As [`ListQuery::parse`], and in strict mode for each [`Tolerance`](crate::Tolerance).
    pub fn read<'a>(
        of: impl Into<Type<'a>>,
        raw_query: &str,
        reading: &mut Reading,
    ) -> Result<Self, ScimError> {
        parameters::from_query(raw_query, reading)?.into_query(&[of.into()], reading)
    }

    /// Reads the query of the base itself, which asks for resources of every type (RFC 7644 3.4.2.1): an
    /// attribute that a type does not have has no value there.
    ///
    /// # Errors
    /// As [`ListQuery::read`].
    pub fn read_root(schemas: &Schemas, raw_query: &str, reading: &mut Reading) -> Result<Self, ScimError> {
        let types: Vec<_> = schemas.types().collect();
        parameters::from_query(raw_query, reading)?.into_query(&types, reading)
    }

    /// Reads the body of `POST …/.search` (RFC 7644 3.4.3); without a type, of the base itself.
    ///
    /// # Errors
    /// As [`ListQuery::parse`], and `invalidSyntax` for a body that is no object.
    pub fn from_search(kind: Option<ResourceType>, body: &[u8]) -> Result<Self, ScimError> {
        Self::read_search(kind.map(Type::from), body, &mut Reading::lenient())
    }

    /// As [`ListQuery::from_search`], and notes what is tolerated.
    ///
    /// # Errors
    /// As [`ListQuery::from_search`], and in strict mode for each [`Tolerance`](crate::Tolerance).
    pub fn read_search(of: Option<Type<'_>>, body: &[u8], reading: &mut Reading) -> Result<Self, ScimError> {
        match of {
            Some(of) => parameters::from_body(body, reading)?.into_query(&[of], reading),
            None => Self::read_root_search(Schemas::standard(), body, reading),
        }
    }

    /// As [`ListQuery::read_root`], from the body of `POST /.search`.
    ///
    /// # Errors
    /// As [`ListQuery::read_search`].
    pub fn read_root_search(
        schemas: &Schemas,
        body: &[u8],
        reading: &mut Reading,
    ) -> Result<Self, ScimError> {
        let types: Vec<_> = schemas.types().collect();
        parameters::from_body(body, reading)?.into_query(&types, reading)
    }
}

/// Reads `attributes` and `excludedAttributes` alone, for the endpoints that answer with one resource.
///
/// # Errors
/// `invalidValue` when both are given or the query is not UTF-8.
pub fn query_selection(raw_query: &str) -> Result<Selection, ScimError> {
    read_selection(raw_query, &mut Reading::lenient())
}

/// As [`query_selection`], and notes what is tolerated.
///
/// # Errors
/// As [`query_selection`], and in strict mode for a filter in a list.
pub fn read_selection(raw_query: &str, reading: &mut Reading) -> Result<Selection, ScimError> {
    parameters::from_query(raw_query, reading)?.selection(reading)
}

/// A page of resources.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ListResponse {
    /// How many resources match in all.
    pub total_results: u64,
    /// The first one of this page, counted from 1; none with cursors.
    pub start_index: Option<u64>,
    /// The resources of this page.
    pub resources: Vec<Value>,
    /// Where the next page begins (RFC 9865); none on the last page.
    pub next_cursor: Option<String>,
    /// Where the page before begins; none on the first page.
    pub previous_cursor: Option<String>,
}

impl ListResponse {
    /// The body of the answer.
    ///
    /// `Resources` stands there even when it is empty: RFC 7644 3.4.2 allows it, Entra's test of the
    /// connection wants it, and a page of nothing (`count=0`) of a list of something requires it.
    pub fn into_json(self) -> Value {
        let mut body = json!({
            "schemas": [LIST_URN],
            "totalResults": self.total_results,
            // The number really returned: pocket-id advances by it.
            "itemsPerPage": self.resources.len(),
            "Resources": self.resources,
        });
        if let Some(object) = body.as_object_mut() {
            if let Some(start_index) = self.start_index {
                object.insert("startIndex".to_owned(), Value::from(start_index));
            }
            for (name, cursor) in [("nextCursor", self.next_cursor), ("previousCursor", self.previous_cursor)]
            {
                if let Some(cursor) = cursor {
                    object.insert(name.to_owned(), Value::String(cursor));
                }
            }
        }
        body
    }
}
