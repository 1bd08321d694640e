//! What a provider sends that the standard does not: noted when it is met, refused in strict mode.
//!
//! The crate is lenient in and strict out. Each lenience has a name here, so that an admin can see what a
//! provider really sends ("this provider sends …") and so that a federation that wants the letter of the
//! standard can have it. A new lenience is one more row of the table, its `note` where it is granted, and
//! a case in the test of strict mode.
//!
//! Some rows are never refused: the standard itself says what to do with them (a `startIndex` of 0 is 1),
//! or it says nothing and refusing would help nobody (a query parameter of the provider's own). They are
//! noted, because an admin who looks for the cause of something wants to see them.

use std::fmt;

use crate::error::{ScimError, ScimType};

/// One row for each lenience: variant, word, the scimType of the refusal (none: it is never refused), and
/// how the sentence "this provider …" ends.
macro_rules! tolerances {
    ($($(#[$doc:meta])* $variant:ident = $word:literal, $scim_type:expr, $sentence:literal;)*) => {
        /// A lenience.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Tolerance {
            $($(#[$doc])* $variant,)*
        }

        impl Tolerance {
            /// Every lenience.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The word that stands in records and messages.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)*
                }
            }

            /// How "this provider …" ends.
            pub const fn sentence(self) -> &'static str {
                match self {
                    $(Self::$variant => $sentence,)*
                }
            }

            /// The keyword of the refusal in strict mode; none for what is noted and never refused.
            pub const fn scim_type(self) -> Option<ScimType> {
                match self {
                    $(Self::$variant => $scim_type,)*
                }
            }
        }
    };
}

tolerances! {
    /// `Add` and `Replace`, as Entra writes them.
    OpCase = "op-case", Some(ScimType::InvalidSyntax),
        "writes the op of a PATCH in another case, such as Add";
    /// `operations`, `Op`, `Path`.
    PatchNames = "patch-names", Some(ScimType::InvalidSyntax),
        "writes the names of a PATCH in another case, such as operations";
    /// No `schemas`, or not those that the body uses.
    MissingSchemas = "missing-schemas", Some(ScimType::InvalidSyntax),
        "leaves out schemas, or does not list there what the body uses";
    /// A URN in `schemas` that this type does not have.
    ForeignSchemas = "foreign-schemas", Some(ScimType::InvalidValue),
        "lists schemas that this server does not have";
    /// `urn:scim:schemas:core:1.0`.
    Scim11Schemas = "scim-1-schemas", Some(ScimType::InvalidVers),
        "lists the schemas of SCIM 1.1";
    /// `"True"` for a boolean.
    StringBoolean = "string-boolean", Some(ScimType::InvalidValue),
        "writes booleans as strings, such as \"True\"";
    /// `"10"` for a number.
    StringNumber = "string-number", Some(ScimType::InvalidValue),
        "writes numbers as strings";
    /// `""`, or an object of nothing but labels, for "no value".
    BlankValue = "blank-value", Some(ScimType::InvalidValue),
        "sends empty strings or empty objects for values that are not there";
    /// One value where an array is expected.
    SingleForList = "single-for-list", Some(ScimType::InvalidSyntax),
        "sends one value where a list is expected";
    /// An array of one where a single value is expected.
    ListForSingle = "list-for-single", Some(ScimType::InvalidSyntax),
        "sends a list where one value is expected";
    /// A bare id where an object with `value` is expected.
    BareReference = "bare-reference", Some(ScimType::InvalidValue),
        "sends the bare id of a member or a manager instead of an object";
    /// `"name.givenName"` as a name inside a value.
    DottedName = "dotted-name", Some(ScimType::InvalidSyntax),
        "writes paths with dots or brackets as names inside a value";
    /// `"urn:…:User:department"` as a name inside a value.
    UrnName = "urn-name", Some(ScimType::InvalidSyntax),
        "writes attributes with their URN as names inside a value";
    /// A value that a path selects is made when it is not there.
    ValuePathUpsert = "value-path-upsert", Some(ScimType::NoTarget),
        "sets parts of values that do not exist yet, such as phoneNumbers[type eq \"mobile\"].value";
    /// A `replace` of a selected value by an object that has no `value`, such as `{"primary": true}`.
    PartialReplacement = "partial-replacement", Some(ScimType::InvalidValue),
        "replaces a selected value by a few of its parts, such as primary alone; the others are kept";
    /// `remove` with a list of values.
    RemoveWithValues = "remove-with-values", Some(ScimType::InvalidSyntax),
        "names the values to remove in the value of a remove instead of its path";
    /// A name or a URN that no schema has.
    UnknownAttribute = "unknown-attribute", Some(ScimType::InvalidSyntax),
        "sends attributes that this server does not know; they are dropped";
    /// The `type` of a member is neither `User` nor `Group`.
    MemberType = "member-type", Some(ScimType::InvalidValue),
        "gives members a type that is neither User nor Group";
    /// A read-only attribute in the value of a PATCH.
    ReadOnlyInPatch = "read-only-in-patch", Some(ScimType::Mutability),
        "repeats read-only attributes in a PATCH";
    /// The `id` in the value of a PATCH, as Okta repeats it.
    IdInPatch = "id-in-patch", Some(ScimType::Mutability),
        "repeats the id in the value of a PATCH";
    /// A PATCH of `schemas`.
    SchemasInPatch = "schemas-in-patch", Some(ScimType::Mutability),
        "changes schemas by PATCH; it follows from the attributes";
    /// A path that is an empty string or null.
    EmptyPath = "empty-path", Some(ScimType::InvalidPath),
        "sends an empty path instead of none";
    /// A password, which is dropped (RFC 7643 4.1.1 lets clients send it).
    PasswordSent = "password-sent", None,
        "sends passwords; they are dropped";
    /// A bare word, or a number for text, in a filter.
    UnquotedFilterValue = "unquoted-filter-value", Some(ScimType::InvalidFilter),
        "leaves out the quotes around values in filters";
    /// `emails[type eq "work"].value eq "a"`, which the grammar does not have.
    ValuePathComparison = "value-path-comparison", Some(ScimType::InvalidFilter),
        "compares behind brackets in filters, such as emails[type eq \"work\"].value eq";
    /// A filter in `attributes`.
    FilterInAttributes = "filter-in-attributes", Some(ScimType::InvalidValue),
        "writes filters into attributes or excludedAttributes";
    /// A `startIndex` below 1 (RFC 7644 3.4.2.4: it is 1).
    StartIndexZero = "start-index-zero", None,
        "counts pages from 0";
    /// `cursor` and `startIndex` together (RFC 9865 has no rule): the cursor wins.
    CursorWithIndex = "cursor-with-index", Some(ScimType::InvalidCursor),
        "asks for a page by cursor and by startIndex at once";
    /// A date without a time, a time without a zone where one is needed, or a zone with a space.
    LooseDate = "loose-date", Some(ScimType::InvalidValue),
        "writes instants that are not those of XML Schema, such as a date without a time";
    /// More than six digits of a second, which XML Schema allows and many cannot read.
    LongFraction = "long-fraction", None,
        "writes fractions of a second with seven digits or more";
    /// Binary data that is not base64.
    NotBase64 = "not-base64", Some(ScimType::InvalidValue),
        "sends binary values that are not base64";
    /// `+` for a space, as forms have it.
    PlusForSpace = "plus-for-space", None,
        "writes spaces in queries as +";
    /// `%` without two digits behind it.
    LoosePercent = "loose-percent", Some(ScimType::InvalidValue),
        "writes % in queries without encoding it";
    /// A query parameter that the standard does not have.
    UnknownParameter = "unknown-parameter", None,
        "adds query parameters of its own; they are ignored";
    /// A byte order mark before the body (RFC 8259 8.1).
    ByteOrderMark = "byte-order-mark", Some(ScimType::InvalidSyntax),
        "begins bodies with a byte order mark";
    /// The `data` of a bulk operation as a string of JSON, as SCIM-SDK writes it.
    BulkDataText = "bulk-data-text", Some(ScimType::InvalidSyntax),
        "writes the data of bulk operations as strings of JSON";
    /// A slash at the end of the path.
    TrailingSlash = "trailing-slash", None,
        "ends paths with a slash";
}

impl Tolerance {
    /// The lenience with this word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|tolerance| tolerance.as_str() == word)
    }

    const fn bit(self) -> u64 {
        1 << self as u32
    }
}

impl fmt::Display for Tolerance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

// A set is one word of 64 bits.
const _: () = assert!(Tolerance::ALL.len() <= 64, "a set of tolerances has room for 64");

/// A set of [`Tolerance`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Tolerances(u64);

impl Tolerances {
    /// The empty set.
    pub const NONE: Self = Self(0);

    /// Adds one.
    pub fn insert(&mut self, tolerance: Tolerance) {
        self.0 |= tolerance.bit();
    }

    /// Both together.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether it holds this one.
    pub const fn contains(self, tolerance: Tolerance) -> bool {
        self.0 & tolerance.bit() != 0
    }

    /// Whether it holds none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Those that it holds, in the order of the table.
    pub fn iter(self) -> impl Iterator<Item = Tolerance> {
        Tolerance::ALL.iter().copied().filter(move |tolerance| self.contains(*tolerance))
    }

    /// The words of those that it holds.
    pub fn words(self) -> Vec<String> {
        self.iter().map(|tolerance| tolerance.as_str().to_owned()).collect()
    }
}

impl FromIterator<Tolerance> for Tolerances {
    fn from_iter<I: IntoIterator<Item = Tolerance>>(tolerances: I) -> Self {
        let mut set = Self::NONE;
        for tolerance in tolerances {
            set.insert(tolerance);
        }
        set
    }
}

impl Extend<Tolerance> for Tolerances {
    fn extend<I: IntoIterator<Item = Tolerance>>(&mut self, tolerances: I) {
        for tolerance in tolerances {
            self.insert(tolerance);
        }
    }
}

/// How a request is read, and what was met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reading {
    /// Whether what the standard does not have is refused.
    pub strict: bool,
    /// What was met so far.
    pub seen: Tolerances,
}

impl Reading {
    /// A reading that begins with nothing seen.
    pub const fn new(strict: bool) -> Self {
        Self { strict, seen: Tolerances::NONE }
    }

    /// A reading that refuses nothing for its form.
    pub const fn lenient() -> Self {
        Self::new(false)
    }

    /// A reading by the letter of the standard.
    pub const fn strict() -> Self {
        Self::new(true)
    }

    /// Notes a lenience; `place` says where, for the message.
    ///
    /// # Errors
    /// In strict mode 400 with the keyword of the lenience, unless it is one that is never refused.
    pub fn note(&mut self, tolerance: Tolerance, place: &str) -> Result<(), ScimError> {
        self.seen.insert(tolerance);
        match tolerance.scim_type().filter(|_| self.strict) {
            None => Ok(()),
            Some(scim_type) => Err(ScimError {
                status: 400,
                scim_type: Some(scim_type),
                detail: format!(
                    "{place}: not accepted in strict mode ({tolerance}): the client {}",
                    tolerance.sentence()
                ),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn words_are_unique_kebab_case_and_read_back() {
        let words: HashSet<_> = Tolerance::ALL.iter().map(|tolerance| tolerance.as_str()).collect();
        assert_eq!(words.len(), Tolerance::ALL.len());
        for tolerance in Tolerance::ALL {
            let word = tolerance.as_str();
            assert!(
                word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'),
                "{word}"
            );
            assert_eq!(Tolerance::from_word(word), Some(*tolerance));
        }
        assert_eq!(Tolerance::from_word("anything"), None);
    }

    #[test]
    fn a_set_holds_what_was_put_into_it() {
        let mut set: Tolerances = [Tolerance::OpCase].into_iter().collect();
        assert!(!set.is_empty() && Tolerances::NONE.is_empty());
        set.insert(Tolerance::TrailingSlash);
        let set = set.union([Tolerance::StringBoolean].into_iter().collect());
        assert_eq!(set.words(), ["op-case", "string-boolean", "trailing-slash"]);
        assert!(set.contains(Tolerance::OpCase) && !set.contains(Tolerance::EmptyPath));
    }

    #[test]
    fn strict_mode_names_the_lenience_and_the_place() {
        let mut reading = Reading::strict();
        let err = reading.note(Tolerance::OpCase, "Operations[0].op").expect_err("strict");
        assert_eq!((err.status, err.scim_type), (400, Some(ScimType::InvalidSyntax)));
        assert!(err.detail.starts_with("Operations[0].op: ") && err.detail.contains("(op-case)"), "{err}");
        assert!(reading.seen.contains(Tolerance::OpCase));
        assert_eq!(reading.note(Tolerance::PasswordSent, "password"), Ok(()));
        assert_eq!(Reading::lenient().note(Tolerance::OpCase, "op"), Ok(()));
    }
}
