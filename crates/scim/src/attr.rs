//! Attribute paths: `userName`, `name.givenName`, `urn:…:enterprise:2.0:User:manager.value`.
//!
//! A path is syntax until a resource type gives it a meaning ([`AttrPath::resolve`]). Names and URNs
//! are case-insensitive (RFC 7643 2.1). A new schema needs nothing here: its URN is found through
//! [`SCHEMAS`].

use std::fmt;

use crate::schema::{self, Attribute, ResourceType, SCHEMAS, Schema};

/// The name of an attribute or of a sub-attribute, in the spelling that was given.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AttrPath {
    /// The URN before the name, if one was written.
    pub schema: Option<String>,
    /// The attribute.
    pub name: String,
    /// The sub-attribute after the dot.
    pub sub: Option<String>,
}

/// What a path means for a resource type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resolved {
    /// The extension that the attribute belongs to; none for core and common attributes.
    pub extension: Option<&'static Schema>,
    /// The attribute.
    pub attribute: &'static Attribute,
    /// The sub-attribute, if the path names one.
    pub sub: Option<&'static Attribute>,
}

impl Resolved {
    /// The attribute at the end of the path.
    pub fn leaf(&self) -> &'static Attribute {
        self.sub.unwrap_or(self.attribute)
    }
}

impl AttrPath {
    /// Reads `[urn:]name[.sub]`; none when it is not of that form.
    pub fn parse(text: &str) -> Option<Self> {
        let (schema, rest) = split_schema(text);
        let (name, sub) = match rest.split_once('.') {
            Some((name, sub)) => (name, Some(sub)),
            None => (rest, None),
        };
        if !is_name(name) || sub.is_some_and(|sub| !is_name(sub)) {
            return None;
        }
        Some(Self { schema: schema.map(str::to_owned), name: name.to_owned(), sub: sub.map(str::to_owned) })
    }

    /// Whether this is the path that `canonical` writes, whatever the case and with or without the URN
    /// of a core schema: `path.is("emails.value")`.
    pub fn is(&self, canonical: &str) -> bool {
        let Some(other) = Self::parse(canonical) else { return false };
        let same_schema = match (self.own_schema(), other.own_schema()) {
            (None, None) => true,
            (Some(a), Some(b)) => a.eq_ignore_ascii_case(b),
            (None, Some(_)) | (Some(_), None) => false,
        };
        let same_sub = match (&self.sub, &other.sub) {
            (None, None) => true,
            (Some(a), Some(b)) => a.eq_ignore_ascii_case(b),
            (None, Some(_)) | (Some(_), None) => false,
        };
        same_schema && same_sub && self.name.eq_ignore_ascii_case(&other.name)
    }

    /// The URN unless it is that of a core schema, which says nothing that the name alone does not.
    fn own_schema(&self) -> Option<&str> {
        self.schema.as_deref().filter(|urn| !ResourceType::ALL.iter().any(|kind| kind.schema().is(urn)))
    }

    /// The attribute that the path names in a resource of this type; none when there is no such one.
    pub fn resolve(&self, kind: ResourceType) -> Option<Resolved> {
        let (extension, attribute) = match &self.schema {
            Some(urn) if !kind.schema().is(urn) => {
                let extension = kind.extensions().iter().find(|extension| extension.is(urn))?;
                (Some(*extension), extension.attribute(&self.name)?)
            }
            Some(_) | None => {
                (None, schema::common_attribute(&self.name).or_else(|| kind.schema().attribute(&self.name))?)
            }
        };
        let sub = match &self.sub {
            Some(sub) => Some(attribute.sub_attribute(sub)?),
            None => None,
        };
        Some(Resolved { extension, attribute, sub })
    }

    /// The path in the spelling of the schemas: `EMAILS.Value` becomes `emails.value`; core attributes
    /// without a URN, extension attributes with theirs.
    pub fn canonical(&self, kind: ResourceType) -> Option<String> {
        let resolved = self.resolve(kind)?;
        let mut text = String::new();
        if let Some(extension) = resolved.extension {
            text.push_str(extension.id);
            text.push(':');
        }
        text.push_str(resolved.attribute.name);
        if let Some(sub) = resolved.sub {
            text.push('.');
            text.push_str(sub.name);
        }
        Some(text)
    }
}

impl fmt::Display for AttrPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(schema) = &self.schema {
            write!(f, "{schema}:")?;
        }
        f.write_str(&self.name)?;
        if let Some(sub) = &self.sub {
            write!(f, ".{sub}")?;
        }
        Ok(())
    }
}

/// Cuts the URN off. A known one is cut by its text, because URNs hold dots and colons as names do;
/// an unknown one ends at the last colon.
fn split_schema(text: &str) -> (Option<&str>, &str) {
    for schema in SCHEMAS {
        if let (Some(urn), Some(rest)) = (text.get(..schema.id.len()), text.get(schema.id.len()..))
            && schema.is(urn)
            && let Some(rest) = rest.strip_prefix(':')
        {
            return (Some(urn), rest);
        }
    }
    match text.rsplit_once(':') {
        Some((urn, rest)) => (Some(urn), rest),
        None => (None, text),
    }
}

/// The schema whose URN the text is, in any case.
pub(crate) fn known_schema(text: &str) -> Option<&'static Schema> {
    SCHEMAS.into_iter().find(|schema| schema.is(text))
}

/// RFC 7643 2.1: `ALPHA *(nameChar)`; `$ref` is the exception that the standard makes itself.
fn is_name(text: &str) -> bool {
    let rest = text.strip_prefix('$').unwrap_or(text);
    rest.starts_with(|c: char| c.is_ascii_alphabetic())
        && rest.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
}

/// The folding of every comparison that is not case-exact. A store that keeps a folded twin of a
/// column must fold with this.
///
/// Each character is folded alone, so that a part of a text folds as it does within the whole: `co`,
/// `sw` and `ew` depend on it.
pub fn fold_case(text: &str) -> String {
    text.chars().flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: Option<&str>) {
        let canonical = AttrPath::parse(text).and_then(|path| path.canonical(ResourceType::User));
        assert_eq!(canonical.as_deref(), expect, "{text}");
    }

    #[test]
    fn names_and_urns_are_found_in_any_case() {
        check("USERNAME", Some("userName"));
        check("Name.FAMILYname", Some("name.familyName"));
        check("urn:ietf:params:scim:schemas:core:2.0:User:userName", Some("userName"));
        check("URN:IETF:params:scim:schemas:core:2.0:user:name.givenName", Some("name.givenName"));
        check(
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:Manager.VALUE",
            Some("urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.value"),
        );
        check("meta.lastmodified", Some("meta.lastModified"));
    }

    #[test]
    fn what_names_nothing_resolves_to_nothing() {
        check("employeeNumber", None);
        check("emails.colour", None);
        check("urn:example:thing:userName", None);
        check("members.value", None);
    }

    #[test]
    fn a_part_folds_as_it_does_within_the_whole() {
        for text in ["ΟΔΟΣ", "STRASSE", "İstanbul", "Ünder"] {
            let whole = fold_case(text);
            for (index, _) in text.char_indices() {
                let (head, tail) = text.split_at(index);
                assert_eq!(format!("{}{}", fold_case(head), fold_case(tail)), whole);
            }
        }
    }

    #[test]
    fn malformed_names_are_refused() {
        for text in ["", ".", "a.", ".a", "a.b.c", "1a", "a b", "a,b", "urn:x:", "näme", "$", "a:b:"] {
            assert_eq!(AttrPath::parse(text), None, "{text}");
        }
    }

    #[test]
    fn core_urn_says_nothing_more_than_the_name() {
        let path = AttrPath::parse("urn:ietf:params:scim:schemas:core:2.0:User:USERNAME").expect("a path");
        assert!(path.is("userName"));
        assert!(!path.is("displayName"));
        let manager = AttrPath::parse("urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager")
            .expect("a path");
        assert!(!manager.is("manager"));
    }
}
