//! Queries and their answers: what is asked of a list, and the page that is given (RFC 7644 3.4.2).
//!
//! Unknown parameters are ignored: Entra adds some of its own to every request. A new parameter is one
//! more field of [`ListQuery`] and its arm in `Parameters::set`.

use std::cmp::Ordering;

use serde_json::{Map, Value, json};

use crate::{
    attr::{AttrPath, fold_case},
    coerce::is_primary,
    error::ScimError,
    filter::{Filter, parse_instant},
    json,
    schema::{Kind, ResourceType},
    select::Selection,
};

/// How many resources a page holds when nothing is said.
pub const DEFAULT_COUNT: u64 = 200;

/// How many resources a page holds at most.
pub const MAX_COUNT: u64 = 1_000;

/// The URN of a list.
pub const LIST_URN: &str = "urn:ietf:params:scim:api:messages:2.0:ListResponse";

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
    pub fn compare(&self, kind: ResourceType, a: &Value, b: &Value) -> Ordering {
        let ordering = match (self.key(kind, a), self.key(kind, b)) {
            (Some(a), Some(b)) => a.cmp(&b),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => Ordering::Equal,
        };
        match self.order {
            SortOrder::Ascending => ordering,
            SortOrder::Descending => ordering.reverse(),
        }
    }

    fn key(&self, kind: ResourceType, resource: &Value) -> Option<SortKey> {
        let resolved = self.by.resolve(kind)?;
        let holder = match resolved.extension {
            Some(extension) => resource.get(extension.id)?,
            None => resource,
        };
        let value = holder.get(resolved.attribute.name)?;
        let value = match value {
            Value::Array(items) => items.iter().find(|item| is_primary(item)).or_else(|| items.first())?,
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => value,
        };
        let leaf = match resolved.sub {
            Some(sub) => sub,
            None if resolved.attribute.kind == Kind::Complex => resolved.attribute.sub_attribute("value")?,
            None => resolved.attribute,
        };
        let value = if value.is_object() { value.get(leaf.name)? } else { value };
        match value {
            Value::Bool(value) => Some(SortKey::Boolean(*value)),
            Value::String(text) if leaf.kind == Kind::DateTime => {
                parse_instant(text).map(|instant| SortKey::Instant(instant.unix_timestamp_nanos()))
            }
            Value::String(text) if leaf.case_exact => Some(SortKey::Text(text.clone())),
            Value::String(text) => Some(SortKey::Text(fold_case(text))),
            // No schema of ours has numbers to sort by.
            Value::Null | Value::Number(_) | Value::Array(_) | Value::Object(_) => None,
        }
    }
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum SortKey {
    Boolean(bool),
    Instant(i128),
    Text(String),
}

/// The parameters as they were given, from a URI or a search body.
#[derive(Default)]
struct Parameters {
    filter: Option<String>,
    start_index: Option<String>,
    count: Option<String>,
    cursor: Option<String>,
    sort_by: Option<String>,
    sort_order: Option<String>,
    attributes: Option<String>,
    excluded: Option<String>,
}

impl Parameters {
    /// Takes one parameter; the first one of a name counts.
    fn set(&mut self, name: &str, value: String) {
        let slot = match name.to_ascii_lowercase().as_str() {
            "filter" => &mut self.filter,
            "startindex" => &mut self.start_index,
            "count" => &mut self.count,
            "cursor" => &mut self.cursor,
            "sortby" => &mut self.sort_by,
            "sortorder" => &mut self.sort_order,
            "attributes" => &mut self.attributes,
            "excludedattributes" => &mut self.excluded,
            _ => return,
        };
        slot.get_or_insert(value);
    }

    fn from_query(raw: &str) -> Result<Self, ScimError> {
        let mut parameters = Self::default();
        for pair in raw.trim_start_matches('?').split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decode(name).unwrap_or_default();
            match decode(value) {
                Some(value) => parameters.set(&name, value),
                None => {
                    return Err(ScimError::invalid_value(format!(
                        "{name}: the query is not percent-encoded UTF-8"
                    )));
                }
            }
        }
        Ok(parameters)
    }

    fn from_body(body: Map<String, Value>) -> Result<Self, ScimError> {
        let mut parameters = Self::default();
        for (name, value) in body {
            let text = match value {
                Value::Null => continue,
                Value::String(text) => text,
                Value::Number(number) => number.to_string(),
                Value::Array(items) => {
                    let names = items.into_iter().map(|item| match item {
                        Value::String(text) => Ok(text),
                        Value::Null
                        | Value::Bool(_)
                        | Value::Number(_)
                        | Value::Array(_)
                        | Value::Object(_) => Err(ScimError::invalid_value(format!(
                            "{name}: expected strings, not {}",
                            json::noun(&item)
                        ))),
                    });
                    names.collect::<Result<Vec<_>, _>>()?.join(",")
                }
                Value::Bool(_) | Value::Object(_) => {
                    return Err(ScimError::invalid_value(format!(
                        "{name}: expected a string, a number or a list, not {}",
                        json::noun(&value)
                    )));
                }
            };
            parameters.set(&name, text);
        }
        Ok(parameters)
    }

    fn selection(&self) -> Result<Selection, ScimError> {
        Selection::parse(self.attributes.as_deref(), self.excluded.as_deref())
    }

    fn into_query(self, kind: Option<ResourceType>) -> Result<ListQuery, ScimError> {
        let selection = self.selection()?;
        let filter = match self.filter.as_deref().map(str::trim) {
            Some(text) if !text.is_empty() => Some(Filter::parse(text)?),
            Some(_) | None => None,
        };
        if let (Some(filter), Some(kind)) = (&filter, kind) {
            filter.check(kind)?;
        }
        let order = match self.sort_order.as_deref() {
            Some(text) if text.eq_ignore_ascii_case("descending") => SortOrder::Descending,
            Some(text) if text.is_empty() || text.eq_ignore_ascii_case("ascending") => SortOrder::Ascending,
            None => SortOrder::Ascending,
            Some(text) => {
                return Err(ScimError::invalid_value(format!(
                    "sortOrder: expected ascending or descending, not '{text}'"
                )));
            }
        };
        let sort = match self.sort_by.as_deref() {
            Some(text) if !text.is_empty() => Some(Sort {
                by: AttrPath::parse(text).ok_or_else(|| {
                    ScimError::invalid_value(format!("sortBy: '{text}' is not an attribute"))
                })?,
                order,
            }),
            Some(_) | None => None,
        };
        Ok(ListQuery {
            filter,
            // RFC 7644 3.4.2.4: below 1 is 1, below 0 is 0.
            start_index: number("startIndex", self.start_index.as_deref())?.unwrap_or(1).max(1),
            count: number("count", self.count.as_deref())?.unwrap_or(DEFAULT_COUNT).min(MAX_COUNT),
            cursor: self.cursor,
            sort,
            selection,
        })
    }
}

/// A whole number; below 0 is 0, and what is too large for us is as large as can be.
fn number(name: &str, text: Option<&str>) -> Result<Option<u64>, ScimError> {
    let Some(text) = text.map(str::trim).filter(|text| !text.is_empty()) else { return Ok(None) };
    let digits = text.trim_start_matches('-');
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) || text.len() - digits.len() > 1
    {
        return Err(ScimError::invalid_value(format!("{name}: expected a whole number, not '{text}'")));
    }
    if text.starts_with('-') {
        return Ok(Some(0));
    }
    // The databases count in 63 bits.
    Ok(Some(digits.parse().unwrap_or(u64::MAX).min(i64::MAX.unsigned_abs())))
}

/// Percent-decoding with `+` for a space, as forms have it and canaille sends it; none when the result
/// is not UTF-8.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let mut ahead = rest.clone();
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => match (ahead.next().and_then(hex), ahead.next().and_then(hex)) {
                (Some(high), Some(low)) => {
                    bytes.push(high << 4 | low);
                    rest = ahead;
                }
                (Some(_) | None, _) => bytes.push(b'%'),
            },
            byte => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).ok()
}

fn hex(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

impl ListQuery {
    /// Reads the query of a URI, without or with its `?`.
    ///
    /// # Errors
    /// `invalidFilter` for a filter that cannot be evaluated on this type; `invalidValue` for a number
    /// that is none, both attribute lists at once, or a query that is not UTF-8.
    pub fn parse(kind: ResourceType, raw_query: &str) -> Result<Self, ScimError> {
        Parameters::from_query(raw_query)?.into_query(Some(kind))
    }

    /// Reads the body of `POST …/.search` (RFC 7644 3.4.3).
    ///
    /// # Errors
    /// As [`ListQuery::parse`], and `invalidSyntax` for a body that is no object.
    pub fn from_search(kind: Option<ResourceType>, body: &[u8]) -> Result<Self, ScimError> {
        Parameters::from_body(json::parse(body)?)?.into_query(kind)
    }
}

/// Reads `attributes` and `excludedAttributes` alone, for the endpoints that answer with one resource.
///
/// # Errors
/// `invalidValue` when both are given or the query is not UTF-8.
pub fn query_selection(raw_query: &str) -> Result<Selection, ScimError> {
    Parameters::from_query(raw_query)?.selection()
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
