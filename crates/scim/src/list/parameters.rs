//! The parameters of a list as they were given, in a URI or in the body of a search.

use serde_json::Value;

use crate::{
    attr::AttrPath,
    error::{ScimError, ScimType},
    filter::Filter,
    json,
    schemas::Type,
    select::Selection,
    tolerance::{Reading, Tolerance},
};

use super::{DEFAULT_COUNT, ListQuery, MAX_COUNT, SEARCH_URN, Sort, SortOrder};

/// The parameters as they were given.
#[derive(Default)]
pub(super) struct Parameters {
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
    /// Takes one parameter; the first one of a name counts. Answers whether the standard has it.
    fn set(&mut self, name: &str, value: String) -> bool {
        let slot = match name.to_ascii_lowercase().as_str() {
            "filter" => &mut self.filter,
            "startindex" => &mut self.start_index,
            "count" => &mut self.count,
            "cursor" => &mut self.cursor,
            "sortby" => &mut self.sort_by,
            "sortorder" => &mut self.sort_order,
            "attributes" => &mut self.attributes,
            "excludedattributes" => &mut self.excluded,
            _ => return false,
        };
        slot.get_or_insert(value);
        true
    }

    pub(super) fn selection(&self, reading: &mut Reading) -> Result<Selection, ScimError> {
        Selection::read(self.attributes.as_deref(), self.excluded.as_deref(), reading)
    }

    /// The query, for resources of these types.
    pub(super) fn into_query(
        self,
        types: &[Type<'_>],
        reading: &mut Reading,
    ) -> Result<ListQuery, ScimError> {
        let selection = self.selection(reading)?;
        let filter = match self.filter.as_deref().map(str::trim) {
            Some(text) if !text.is_empty() => Some(Filter::read(text, reading)?),
            Some(_) | None => None,
        };
        if let Some(filter) = &filter {
            types.iter().try_for_each(|of| filter.check_with(*of, reading))?;
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
        if self.cursor.is_some() && self.start_index.as_deref().is_some_and(|text| !text.trim().is_empty()) {
            reading.note(Tolerance::CursorWithIndex, "cursor")?;
        }
        let count = count(self.count.as_deref(), self.cursor.is_some())?;
        let start_index = match number("startIndex", self.start_index.as_deref())? {
            Some(0) => {
                reading.note(Tolerance::StartIndexZero, "startIndex")?;
                1
            }
            Some(start_index) if self.cursor.is_none() => start_index,
            Some(_) | None => 1,
        };
        // RFC 9865 2: the unreserved characters of RFC 3986 2.3.
        let is_unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        if !self.cursor.as_deref().unwrap_or_default().bytes().all(is_unreserved) {
            return Err(ScimError::invalid_cursor("cursor: this server gave no such cursor"));
        }
        Ok(ListQuery { filter, start_index, count, cursor: self.cursor, sort, selection })
    }
}

/// How many resources a page shall hold.
fn count(text: Option<&str>, has_cursor: bool) -> Result<u64, ScimError> {
    let count = number("count", text).map_err(|err| ScimError {
        scim_type: if has_cursor { Some(ScimType::InvalidCount) } else { err.scim_type },
        ..err
    })?;
    let count = count.unwrap_or(DEFAULT_COUNT);
    if has_cursor && count > MAX_COUNT {
        return Err(ScimError::invalid_count(format!("count: at most {MAX_COUNT} with a cursor")));
    }
    Ok(count.min(MAX_COUNT))
}

pub(super) fn from_query(raw: &str, reading: &mut Reading) -> Result<Parameters, ScimError> {
    let mut parameters = Parameters::default();
    for pair in raw.trim_start_matches('?').split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = decode(name, "the query", reading)?.unwrap_or_default();
        let Some(value) = decode(value, &name, reading)? else {
            return Err(ScimError::invalid_value(format!("{name}: the query is not percent-encoded UTF-8")));
        };
        if !parameters.set(&name, value) {
            reading.note(Tolerance::UnknownParameter, &name)?;
        }
    }
    Ok(parameters)
}

pub(super) fn from_body(body: &[u8], reading: &mut Reading) -> Result<Parameters, ScimError> {
    let mut parameters = Parameters::default();
    let mut is_search = false;
    for (name, value) in json::read(body, reading)? {
        if name.eq_ignore_ascii_case("schemas") {
            let mut urns = value.as_array().into_iter().flatten().filter_map(Value::as_str);
            is_search = urns.any(|urn| urn.eq_ignore_ascii_case(SEARCH_URN));
            continue;
        }
        let is_list =
            ["attributes", "excludedAttributes"].iter().any(|list| list.eq_ignore_ascii_case(&name));
        let is_number = ["startIndex", "count"].iter().any(|number| number.eq_ignore_ascii_case(&name));
        let text = match value {
            Value::Null => continue,
            Value::String(text) => {
                if is_list {
                    reading.note(Tolerance::SingleForList, &name)?;
                }
                if is_number {
                    reading.note(Tolerance::StringNumber, &name)?;
                }
                text
            }
            Value::Number(number) => number.to_string(),
            Value::Array(items) => {
                let names = items.into_iter().map(|item| match item {
                    Value::String(text) => Ok(text),
                    Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
                        Err(ScimError::invalid_value(format!(
                            "{name}: expected strings, not {}",
                            json::noun(&item)
                        )))
                    }
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
        if !parameters.set(&name, text) {
            reading.note(Tolerance::UnknownParameter, &name)?;
        }
    }
    if !is_search {
        reading.note(Tolerance::MissingSchemas, "schemas")?;
    }
    Ok(parameters)
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
///
/// # Errors
/// In strict mode for a `%` without two digits behind it.
fn decode(text: &str, place: &str, reading: &mut Reading) -> Result<Option<String>, ScimError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let mut ahead = rest.clone();
        match byte {
            b'+' => {
                reading.note(Tolerance::PlusForSpace, place)?;
                bytes.push(b' ');
            }
            b'%' => {
                if let (Some(high), Some(low)) = (ahead.next().and_then(hex), ahead.next().and_then(hex)) {
                    bytes.push(high << 4 | low);
                    rest = ahead;
                } else {
                    reading.note(Tolerance::LoosePercent, place)?;
                    bytes.push(b'%');
                }
            }
            byte => bytes.push(byte),
        }
    }
    Ok(String::from_utf8(bytes).ok())
}

fn hex(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}
