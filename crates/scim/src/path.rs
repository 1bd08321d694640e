//! Paths of PATCH operations (RFC 7644 3.5.2, figure 7).
//!
//! `attr`, `attr.sub`, `attr[filter]`, `attr[filter].sub`, each with or without a URN, and the URN of a
//! schema alone, which stands for everything in it. Which URNs are schemas says the
//! [`Type`] that the path is used on.

use std::fmt;

use crate::{
    attr::{AttrPath, known_schema},
    error::ScimError,
    filter::{Filter, MAX_BYTES},
    schema::Schema,
    schemas::Type,
    tolerance::Reading,
};

/// Where a PATCH operation works.
#[derive(Debug, Clone, PartialEq)]
pub enum PatchPath {
    /// All attributes of the schema with this URN.
    Schema(String),
    /// An attribute, a sub-attribute, or the values that a filter selects.
    Attribute {
        /// The attribute, and the sub-attribute after the dot or after the bracket.
        attr: AttrPath,
        /// Which values of a multi-valued attribute.
        filter: Option<Filter>,
    },
}

impl PatchPath {
    /// Reads a path.
    ///
    /// # Errors
    /// `invalidPath` when it is none of the forms above; `invalidFilter` when what stands in the
    /// brackets is no filter.
    pub fn parse(text: &str) -> Result<Self, ScimError> {
        Self::read(text, &mut Reading::lenient())
    }

    /// As [`PatchPath::parse`], and notes what is tolerated.
    ///
    /// # Errors
    /// As [`PatchPath::parse`], and in strict mode for what a filter does not have.
    pub fn read(text: &str, reading: &mut Reading) -> Result<Self, ScimError> {
        let text = text.trim();
        if text.len() > MAX_BYTES {
            return Err(ScimError::invalid_path(format!("path: longer than {MAX_BYTES} bytes")));
        }
        if let Some(schema) = known_schema(text) {
            return Ok(Self::Schema(schema.id.to_string()));
        }
        let malformed = || ScimError::invalid_path(format!("path: '{text}' is not a path"));
        let Some((name, rest)) = text.split_once('[') else {
            return match AttrPath::parse(text) {
                Some(attr) => Ok(Self::Attribute { attr, filter: None }),
                // A URN whose last part is no name, such as `urn:example:hr:2.0`.
                None if is_urn(text) => Ok(Self::Schema(text.to_owned())),
                None => Err(malformed()),
            };
        };
        let (inner, rest) = split_at_bracket(rest).ok_or_else(malformed)?;
        let mut attr = AttrPath::parse(name).filter(|attr| attr.sub.is_none()).ok_or_else(malformed)?;
        if !rest.is_empty() {
            let sub = rest.strip_prefix('.').and_then(AttrPath::parse).ok_or_else(malformed)?;
            if sub.sub.is_some() || sub.schema.is_some() {
                return Err(malformed());
            }
            attr.sub = Some(sub.name);
        }
        Ok(Self::Attribute { attr, filter: Some(Filter::read_inner(inner, reading)?) })
    }
}

impl PatchPath {
    /// The schema that the path stands for as a whole. A URN reads as an attribute as long as nobody
    /// says that it is the URN of a schema.
    pub(crate) fn schema<'a>(&self, of: Type<'a>) -> Option<&'a Schema> {
        match self {
            Self::Schema(urn) => of.named(urn),
            Self::Attribute { attr, filter: None } if attr.schema.is_some() => of.named(&attr.to_string()),
            Self::Attribute { .. } => None,
        }
    }
}

fn is_urn(text: &str) -> bool {
    text.get(..4).is_some_and(|head| head.eq_ignore_ascii_case("urn:"))
        && !text.ends_with(':')
        && text.split(':').count() > 2
        && text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"[]()".contains(&byte))
        && text.rsplit(':').next().is_some_and(|last| last.starts_with(|c: char| c.is_ascii_digit()))
}

/// Cuts at the first closing bracket that is not inside a string.
fn split_at_bracket(text: &str) -> Option<(&str, &str)> {
    let (mut in_string, mut is_escaped) = (false, false);
    for (index, byte) in text.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if in_string => is_escaped = true,
            b'"' => in_string = !in_string,
            b']' if !in_string => return Some((text.get(..index)?, text.get(index + 1..)?)),
            _ => {}
        }
    }
    None
}

impl fmt::Display for PatchPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Schema(urn) => f.write_str(urn),
            Self::Attribute { attr, filter: None } => write!(f, "{attr}"),
            Self::Attribute { attr, filter: Some(filter) } => {
                let whole = AttrPath { sub: None, ..attr.clone() };
                write!(f, "{whole}[{filter}]")?;
                match &attr.sub {
                    Some(sub) => write!(f, ".{sub}"),
                    None => Ok(()),
                }
            }
        }
    }
}
