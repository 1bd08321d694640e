//! Attribute paths: `userName`, `name.givenName`, `urn:…:enterprise:2.0:User:manager.value`.
//!
//! A path is syntax until a resource type gives it a meaning ([`AttrPath::resolve`]). Names and URNs
//! are case-insensitive (RFC 7643 2.1). A new schema needs nothing here: a URN ends at its last colon,
//! and which schema it is says the [`Type`].

use std::fmt;

use unicode_normalization::UnicodeNormalization;

use crate::{
    schema::{self, Attribute, ResourceType, SCHEMAS, Schema},
    schemas::Type,
};

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
pub struct Resolved<'a> {
    /// The extension that the attribute belongs to; none for core and common attributes.
    pub extension: Option<&'a Schema>,
    /// The attribute.
    pub attribute: &'a Attribute,
    /// The sub-attribute, if the path names one.
    pub sub: Option<&'a Attribute>,
}

impl<'a> Resolved<'a> {
    /// The attribute at the end of the path.
    pub fn leaf(&self) -> &'a Attribute {
        self.sub.unwrap_or(self.attribute)
    }

    /// The path in the spelling of the schemas: core attributes without a URN, extension attributes with
    /// theirs.
    pub fn canonical(&self) -> String {
        let mut text = String::new();
        if let Some(extension) = self.extension {
            text.push_str(&extension.id);
            text.push(':');
        }
        text.push_str(&self.attribute.name);
        if let Some(sub) = self.sub {
            text.push('.');
            text.push_str(&sub.name);
        }
        text
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
    pub fn resolve<'a>(&self, of: impl Into<Type<'a>>) -> Option<Resolved<'a>> {
        let of = of.into();
        let (extension, attribute) = match &self.schema {
            Some(urn) if !of.schema().is(urn) => {
                let extension = of.extension(urn)?;
                (Some(extension), extension.attribute(&self.name)?)
            }
            Some(_) | None => {
                (None, schema::common_attribute(&self.name).or_else(|| of.schema().attribute(&self.name))?)
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
    pub fn canonical<'a>(&self, of: impl Into<Type<'a>>) -> Option<String> {
        self.resolve(of).map(|resolved| resolved.canonical())
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

/// The schema of the standard whose URN the text is, in any case.
pub(crate) fn known_schema(text: &str) -> Option<&'static Schema> {
    SCHEMAS.into_iter().find(|schema| schema.is(text))
}

/// RFC 7643 2.1: `ALPHA *(nameChar)`; `$ref` is the exception that the standard makes itself.
pub(crate) fn is_name(text: &str) -> bool {
    let rest = text.strip_prefix('$').unwrap_or(text);
    rest.starts_with(|c: char| c.is_ascii_alphabetic())
        && rest.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
}

/// The folding of every comparison that is not case-exact. A store that keeps a folded twin of a
/// column must fold with this.
///
/// Text is compared in Unicode's form C and in lower case, in the spirit of the profile
/// `UsernameCaseMapped` of PRECIS (RFC 8265 3.3), which RFC 7644 5 names: "é" is one name whether it was
/// written as one character or as two. What is chosen beyond the RFC:
/// - Lower-casing goes character by character, without the context of a word ("ΟΔΟΣ" and "οδος" are one).
///   It comes first and form C after it, because lower-casing can leave that form. A character that has no
///   single lower-case form ("İ") becomes what Unicode says.
/// - Nothing is refused: full width and half width stay apart, and what PRECIS forbids in a name is kept,
///   because a directory that answers for a provider may not lose what the provider calls a user.
/// - Case-exact attributes (`id`, `externalId`, `meta.version`) are compared as they are. They are opaque
///   to us: two that differ in a byte are two.
///
/// A part of a text folds as it does within the whole wherever the cut is not before a combining
/// character, so `co`, `sw` and `ew` see whole characters: "e" does not start "é".
pub fn fold_case(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    // Composing first lets "I" with a dot above be the same as "İ" before both are lowered.
    text.chars().nfc().flat_map(char::to_lowercase).nfc().collect()
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
    fn one_name_is_one_however_it_is_composed() {
        for (a, b) in [
            ("Jos\u{e9}", "JOSE\u{301}"),
            ("\u{212b}ngstr\u{f6}m", "a\u{30a}ngstro\u{308}m"),
            ("J\u{30c}", "\u{1f0}"),
            ("\u{1100}\u{1161}", "\u{ac00}"),
            ("I\u{307}", "\u{130}"),
            ("\u{212a}elvin", "kelvin"),
        ] {
            assert_eq!(fold_case(a), fold_case(b), "{a} {b}");
        }
        assert_ne!(fold_case("e"), fold_case("\u{e9}"));
        // Compatibility characters stay apart.
        assert_ne!(fold_case("\u{ff41}"), fold_case("a"));
    }

    proptest::proptest! {
        #[test]
        fn folding_is_done_once(text in ".{0,12}") {
            let folded = fold_case(&text);
            proptest::prop_assert_eq!(fold_case(&folded), folded);
        }

        #[test]
        fn canonically_equal_texts_fold_alike(text in ".{0,12}") {
            let folded = fold_case(&text);
            proptest::prop_assert_eq!(fold_case(&text.nfd().collect::<String>()), folded.clone());
            proptest::prop_assert_eq!(fold_case(&text.nfc().collect::<String>()), folded);
        }

        #[test]
        fn a_cut_between_characters_is_a_cut_between_folded_ones(head in ".{0,6}", tail in ".{0,6}") {
            use unicode_normalization::{IsNormalized, is_nfc_quick, char::canonical_combining_class};
            let begins_anew = tail.chars().next().is_none_or(|first| {
                canonical_combining_class(first) == 0
                    && is_nfc_quick(std::iter::once(first)) == IsNormalized::Yes
            });
            if begins_anew {
                let whole = fold_case(&format!("{head}{tail}"));
                proptest::prop_assert_eq!(format!("{}{}", fold_case(&head), fold_case(&tail)), whole);
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
