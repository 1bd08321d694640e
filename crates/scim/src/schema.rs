//! Schemas as data (RFC 7643): what attributes there are and how each behaves.
//!
//! Everything else in the crate asks these tables and knows no attribute by name, but for the few
//! that the protocol itself singles out. A new attribute is one more row in the table of its schema;
//! a new extension of the standard is one more file beside `enterprise.rs` and its name in
//! [`ResourceType::extensions`]; a new resource type is one more variant of [`ResourceType`]. What an
//! admin registers at run time is an [`Extension`](crate::Extension) in a set of
//! [`Schemas`](crate::Schemas).

mod enterprise;
mod group;
mod user;

use std::{borrow::Cow, fmt};

use serde::{Deserialize, Serialize};

pub use self::{enterprise::ENTERPRISE_USER, group::GROUP, user::USER};

/// The types of resource that are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ResourceType {
    /// A person's account, `/Users`.
    User,
    /// A group of users and groups, `/Groups`.
    Group,
}

impl ResourceType {
    /// Every type.
    pub const ALL: [Self; 2] = [Self::User, Self::Group];

    /// The name, which is also the id in `/ResourceTypes` and the value of `meta.resourceType`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::User => "User",
            Self::Group => "Group",
        }
    }

    /// The path under the base, with its slash.
    pub const fn endpoint(self) -> &'static str {
        match self {
            Self::User => "/Users",
            Self::Group => "/Groups",
        }
    }

    /// What `/ResourceTypes` says about it.
    pub const fn description(self) -> &'static str {
        match self {
            Self::User => "User Account",
            Self::Group => "Group",
        }
    }

    /// The core schema.
    pub const fn schema(self) -> &'static Schema {
        match self {
            Self::User => &USER,
            Self::Group => &GROUP,
        }
    }

    /// The schemas of the standard that a resource of this type may add to the core one.
    pub const fn extensions(self) -> &'static [&'static Schema] {
        match self {
            Self::User => USER_EXTENSIONS,
            Self::Group => &[],
        }
    }

    /// The type that an endpoint serves: `Users` or `/users`.
    pub fn from_endpoint(endpoint: &str) -> Option<Self> {
        let endpoint = endpoint.trim_matches('/');
        Self::ALL
            .into_iter()
            .find(|kind| kind.endpoint().trim_start_matches('/').eq_ignore_ascii_case(endpoint))
    }

    /// The type with this name, in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name().eq_ignore_ascii_case(name))
    }
}

impl fmt::Display for ResourceType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A schema: a URN and its attributes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schema {
    /// The URN.
    pub id: Cow<'static, str>,
    /// The name for people.
    pub name: Cow<'static, str>,
    /// A sentence for people.
    pub description: Cow<'static, str>,
    /// The attributes in the order of the standard.
    pub attributes: Cow<'static, [Attribute]>,
}

impl Schema {
    const fn standard(
        id: &'static str,
        name: &'static str,
        description: &'static str,
        attributes: &'static [Attribute],
    ) -> Self {
        Self {
            id: Cow::Borrowed(id),
            name: Cow::Borrowed(name),
            description: Cow::Borrowed(description),
            attributes: Cow::Borrowed(attributes),
        }
    }

    /// The attribute with this name in any case (RFC 7643 2.1).
    pub fn attribute(&self, name: &str) -> Option<&Attribute> {
        self.attributes.iter().find(|attribute| attribute.name.eq_ignore_ascii_case(name))
    }

    /// Whether this is the schema with that URN, in any case.
    pub fn is(&self, urn: &str) -> bool {
        self.id.eq_ignore_ascii_case(urn)
    }
}

static USER_EXTENSIONS: &[&Schema] = &[&ENTERPRISE_USER];

/// Every schema of the standard that is served, core ones first.
pub static SCHEMAS: [&Schema; 3] = [&USER, &GROUP, &ENTERPRISE_USER];

/// The data type of an attribute (RFC 7643 2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Text.
    String,
    /// `true` or `false`.
    Boolean,
    /// A number with a fraction.
    Decimal,
    /// A whole number.
    Integer,
    /// An instant, as text in the form of XML Schema.
    DateTime,
    /// A URI.
    Reference,
    /// Base64.
    Binary,
    /// An object of sub-attributes.
    Complex,
}

impl Kind {
    /// Every one.
    pub const ALL: [Self; 8] = [
        Self::String,
        Self::Boolean,
        Self::Decimal,
        Self::Integer,
        Self::DateTime,
        Self::Reference,
        Self::Binary,
        Self::Complex,
    ];

    /// The word in `/Schemas`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Boolean => "boolean",
            Self::Decimal => "decimal",
            Self::Integer => "integer",
            Self::DateTime => "dateTime",
            Self::Reference => "reference",
            Self::Binary => "binary",
            Self::Complex => "complex",
        }
    }

    /// How a message names a value of this kind.
    pub const fn noun(self) -> &'static str {
        match self {
            Self::String => "a string",
            Self::Boolean => "true or false",
            Self::Decimal => "a number",
            Self::Integer => "a whole number",
            Self::DateTime => "a date and time as a string",
            Self::Reference => "a URI as a string",
            Self::Binary => "base64 as a string",
            Self::Complex => "an object",
        }
    }
}

/// Who may set an attribute and when (RFC 7643 7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutability {
    /// The server alone.
    ReadOnly,
    /// The client at any time.
    ReadWrite,
    /// The client, once.
    Immutable,
    /// The client, and nobody reads it.
    WriteOnly,
}

impl Mutability {
    /// Every one.
    pub const ALL: [Self; 4] = [Self::ReadOnly, Self::ReadWrite, Self::Immutable, Self::WriteOnly];

    /// The word in `/Schemas`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ReadOnly => "readOnly",
            Self::ReadWrite => "readWrite",
            Self::Immutable => "immutable",
            Self::WriteOnly => "writeOnly",
        }
    }
}

/// When an attribute stands in an answer (RFC 7643 7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Returned {
    /// In every answer.
    Always,
    /// In none.
    Never,
    /// Unless it is excluded.
    Default,
    /// When it is asked for.
    Request,
}

impl Returned {
    /// Every one.
    pub const ALL: [Self; 4] = [Self::Always, Self::Never, Self::Default, Self::Request];

    /// The word in `/Schemas`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::Never => "never",
            Self::Default => "default",
            Self::Request => "request",
        }
    }
}

/// How far a value must be unique (RFC 7643 7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Uniqueness {
    /// Not at all.
    None,
    /// Within this server.
    Server,
    /// Everywhere.
    Global,
}

impl Uniqueness {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::None, Self::Server, Self::Global];

    /// The word in `/Schemas`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Server => "server",
            Self::Global => "global",
        }
    }
}

/// An attribute and its characteristics (RFC 7643 7).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute {
    /// The name in its canonical spelling.
    pub name: Cow<'static, str>,
    /// A sentence for people.
    pub description: Cow<'static, str>,
    /// The data type.
    pub kind: Kind,
    /// Whether the value is an array.
    pub multi_valued: bool,
    /// Whether a resource without it is refused.
    pub required: bool,
    /// Whether comparisons respect case.
    pub case_exact: bool,
    /// Who may set it.
    pub mutability: Mutability,
    /// When it is returned.
    pub returned: Returned,
    /// How far it must be unique.
    pub uniqueness: Uniqueness,
    /// The values that the standard suggests. They are suggestions: others are accepted.
    pub canonical_values: Words,
    /// What a reference may point at.
    pub reference_types: Words,
    /// The sub-attributes of a complex attribute.
    pub sub_attributes: Cow<'static, [Attribute]>,
}

/// A list of words of a schema: those of the standard are in the binary, those of an extension are not.
#[derive(Debug, Clone)]
pub enum Words {
    /// Of the standard.
    Standard(&'static [&'static str]),
    /// Of an extension.
    Own(Vec<String>),
}

impl Words {
    /// No words.
    pub const NONE: Self = Self::Standard(&[]);

    /// The words in their order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        let (standard, own) = match self {
            Self::Standard(words) => (*words, &[][..]),
            Self::Own(words) => (&[][..], words.as_slice()),
        };
        standard.iter().copied().chain(own.iter().map(String::as_str))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }
}

impl PartialEq for Words {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Words {}

impl Attribute {
    /// The sub-attribute with this name in any case.
    pub fn sub_attribute(&self, name: &str) -> Option<&Self> {
        self.sub_attributes.iter().find(|attribute| attribute.name.eq_ignore_ascii_case(name))
    }

    /// Whether the value is an object that points at another resource, as `members` and `manager` do.
    pub fn is_pointer(&self) -> bool {
        self.sub_attribute("value").is_some() && self.sub_attribute("$ref").is_some()
    }
}

/// The builders of the tables: a kind, then what differs from the usual.
impl Attribute {
    /// An attribute with the characteristics that RFC 7643 2.2 presumes.
    pub(crate) const fn new(name: Cow<'static, str>, kind: Kind, description: Cow<'static, str>) -> Self {
        Self {
            name,
            description,
            kind,
            multi_valued: false,
            required: false,
            case_exact: false,
            mutability: Mutability::ReadWrite,
            returned: Returned::Default,
            uniqueness: Uniqueness::None,
            canonical_values: Words::NONE,
            reference_types: Words::NONE,
            sub_attributes: Cow::Borrowed(&[]),
        }
    }

    const fn standard(name: &'static str, kind: Kind, description: &'static str) -> Self {
        Self::new(Cow::Borrowed(name), kind, Cow::Borrowed(description))
    }

    const fn string(name: &'static str, description: &'static str) -> Self {
        Self::standard(name, Kind::String, description)
    }

    const fn boolean(name: &'static str, description: &'static str) -> Self {
        Self::standard(name, Kind::Boolean, description)
    }

    const fn date_time(name: &'static str, description: &'static str) -> Self {
        Self::standard(name, Kind::DateTime, description)
    }

    const fn binary(name: &'static str, description: &'static str) -> Self {
        Self::standard(name, Kind::Binary, description)
    }

    const fn reference(
        name: &'static str,
        reference_types: &'static [&'static str],
        description: &'static str,
    ) -> Self {
        let mut attribute = Self::standard(name, Kind::Reference, description);
        // What is there before has nothing to drop, but a constant function may not say so.
        std::mem::forget(std::mem::replace(&mut attribute.reference_types, Words::Standard(reference_types)));
        attribute
    }

    const fn complex(name: &'static str, sub_attributes: &'static [Self], description: &'static str) -> Self {
        let mut attribute = Self::standard(name, Kind::Complex, description);
        std::mem::forget(std::mem::replace(&mut attribute.sub_attributes, Cow::Borrowed(sub_attributes)));
        attribute
    }

    const fn multi_valued(mut self) -> Self {
        self.multi_valued = true;
        self
    }

    const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    const fn case_exact(mut self) -> Self {
        self.case_exact = true;
        self
    }

    const fn mutability(mut self, mutability: Mutability) -> Self {
        self.mutability = mutability;
        self
    }

    const fn read_only(self) -> Self {
        self.mutability(Mutability::ReadOnly)
    }

    const fn returned(mut self, returned: Returned) -> Self {
        self.returned = returned;
        self
    }

    const fn unique(mut self, uniqueness: Uniqueness) -> Self {
        self.uniqueness = uniqueness;
        self
    }

    const fn canonical(mut self, values: &'static [&'static str]) -> Self {
        std::mem::forget(std::mem::replace(&mut self.canonical_values, Words::Standard(values)));
        self
    }
}

/// The attributes that every resource has and no schema lists (RFC 7643 3.1).
pub static COMMON: &[Attribute] = COMMON_ATTRIBUTES;

const COMMON_ATTRIBUTES: &[Attribute] = &[
    Attribute::reference("schemas", &["uri"], "The URNs of the schemas that the resource uses.")
        .multi_valued()
        .read_only()
        .returned(Returned::Always),
    Attribute::string("id", "A unique identifier for the resource, given by the service provider.")
        .case_exact()
        .read_only()
        .returned(Returned::Always)
        .unique(Uniqueness::Server),
    Attribute::string("externalId", "The identifier that the provisioning client knows the resource by.")
        .case_exact(),
    Attribute::complex("meta", META, "What the service provider knows about the resource.").read_only(),
];

const META: &[Attribute] = &[
    Attribute::string("resourceType", "The name of the resource type.").case_exact().read_only(),
    Attribute::date_time("created", "When the resource was added.").read_only(),
    Attribute::date_time("lastModified", "When the resource was changed last.").read_only(),
    Attribute::reference("location", &["uri"], "The URI of the resource.").case_exact().read_only(),
    Attribute::string("version", "The version of the resource, as its ETag says it.")
        .case_exact()
        .read_only(),
];

/// The common attribute with this name in any case.
pub fn common_attribute(name: &str) -> Option<&'static Attribute> {
    COMMON.iter().find(|attribute| attribute.name.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_any_case() {
        assert_eq!(USER.attribute("USERNAME").map(|a| a.name.as_ref()), Some("userName"));
        assert_eq!(ResourceType::from_endpoint("users/"), Some(ResourceType::User));
        assert_eq!(ResourceType::from_name("group"), Some(ResourceType::Group));
        assert_eq!(ResourceType::from_endpoint("Devices"), None);
    }

    #[test]
    fn user_has_the_attributes_of_the_standard() {
        let names: Vec<_> = USER.attributes.iter().map(|a| a.name.as_ref()).collect();
        assert_eq!(
            names,
            [
                "userName",
                "name",
                "displayName",
                "nickName",
                "profileUrl",
                "title",
                "userType",
                "preferredLanguage",
                "locale",
                "timezone",
                "active",
                "password",
                "emails",
                "phoneNumbers",
                "ims",
                "photos",
                "addresses",
                "groups",
                "entitlements",
                "roles",
                "x509Certificates",
            ]
        );
    }

    #[test]
    fn complex_attributes_and_only_they_have_sub_attributes() {
        for attribute in SCHEMAS.iter().flat_map(|schema| schema.attributes.iter()).chain(COMMON) {
            assert_eq!(
                attribute.kind == Kind::Complex,
                !attribute.sub_attributes.is_empty(),
                "{}",
                attribute.name
            );
        }
    }
}
