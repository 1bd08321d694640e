//! The core schema of a user (RFC 7643 4.1, 8.7.1). A new attribute is one more row.
//!
//! The multi-valued attributes share their four sub-attributes; what differs is the sentence for
//! `value` and the canonical types.

use super::{Attribute, Mutability, Returned, Schema, Uniqueness};

/// `urn:ietf:params:scim:schemas:core:2.0:User`.
pub static USER: Schema =
    Schema::standard("urn:ietf:params:scim:schemas:core:2.0:User", "User", "User Account", ATTRIBUTES);

const ATTRIBUTES: &[Attribute] = &[
    Attribute::string(
        "userName",
        "Unique identifier for the User, typically used by the user to directly authenticate to the \
             service provider. Each User MUST include a non-empty userName value.  This identifier MUST be \
             unique across the service provider's entire set of Users. REQUIRED.",
    )
    .required()
    .unique(Uniqueness::Server),
    Attribute::complex("name", NAME, "The components of the user's real name."),
    Attribute::string(
        "displayName",
        "The name of the User, suitable for display to end-users.  The name SHOULD be the full name of \
             the User being described, if known.",
    ),
    Attribute::string(
        "nickName",
        "The casual way to address the user in real life, e.g., 'Bob' or 'Bobby' instead of 'Robert'.",
    ),
    Attribute::reference(
        "profileUrl",
        &["external"],
        "A fully qualified URL pointing to a page representing the User's online profile.",
    ),
    Attribute::string("title", "The user's title, such as \"Vice President.\""),
    Attribute::string(
        "userType",
        "Used to identify the relationship between the organization and the user.  Typical values used \
             might be 'Contractor', 'Employee', 'Intern', 'Temp', 'External', and 'Unknown', but any value \
             may be used.",
    ),
    Attribute::string(
        "preferredLanguage",
        "Indicates the User's preferred written or spoken language.  Generally used for selecting a \
             localized user interface; e.g., 'en_US' specifies the language English and country US.",
    ),
    Attribute::string(
        "locale",
        "Used to indicate the User's default location for purposes of localizing items such as \
             currency, date time format, or numerical representations.",
    ),
    Attribute::string(
        "timezone",
        "The User's time zone in the 'Olson' time zone database format, e.g., 'America/Los_Angeles'.",
    ),
    Attribute::boolean("active", "A Boolean value indicating the User's administrative status."),
    // The server drops it at the edge; it stands here so that clients may send it (RFC 7643 4.1.1).
    Attribute::string(
        "password",
        "The User's cleartext password.  It is accepted and dropped: never stored, never returned.",
    )
    .mutability(Mutability::WriteOnly)
    .returned(Returned::Never),
    Attribute::complex("emails", EMAILS, "Email addresses for the user.").multi_valued(),
    Attribute::complex("phoneNumbers", PHONE_NUMBERS, "Phone numbers for the User.").multi_valued(),
    Attribute::complex("ims", IMS, "Instant messaging addresses for the User.").multi_valued(),
    Attribute::complex("photos", PHOTOS, "URLs of photos of the User.").multi_valued(),
    Attribute::complex("addresses", ADDRESSES, "A physical mailing address for this User.").multi_valued(),
    Attribute::complex(
        "groups",
        GROUPS,
        "A list of groups to which the user belongs, either through direct membership, through nested \
             groups, or dynamically calculated.",
    )
    .multi_valued()
    .read_only(),
    Attribute::complex(
        "entitlements",
        ENTITLEMENTS,
        "A list of entitlements for the User that represent a thing the User has.",
    )
    .multi_valued(),
    Attribute::complex(
        "roles",
        ROLES,
        "A list of roles for the User that collectively represent who the User is, e.g., 'Student', \
             'Faculty'.",
    )
    .multi_valued(),
    Attribute::complex("x509Certificates", CERTIFICATES, "A list of certificates issued to the User.")
        .multi_valued(),
];

const NAME: &[Attribute] = &[
    Attribute::string(
        "formatted",
        "The full name, including all middle names, titles, and suffixes as appropriate, formatted for \
         display (e.g., 'Ms. Barbara J Jensen, III').",
    ),
    Attribute::string(
        "familyName",
        "The family name of the User, or last name in most Western languages (e.g., 'Jensen' given the full \
         name 'Ms. Barbara J Jensen, III').",
    ),
    Attribute::string(
        "givenName",
        "The given name of the User, or first name in most Western languages (e.g., 'Barbara' given the full \
         name 'Ms. Barbara J Jensen, III').",
    ),
    Attribute::string(
        "middleName",
        "The middle name(s) of the User (e.g., 'Jane' given the full name 'Ms. Barbara J Jensen, III').",
    ),
    Attribute::string(
        "honorificPrefix",
        "The honorific prefix(es) of the User, or title in most Western languages (e.g., 'Ms.' given the \
         full name 'Ms. Barbara J Jensen, III').",
    ),
    Attribute::string(
        "honorificSuffix",
        "The honorific suffix(es) of the User, or suffix in most Western languages (e.g., 'III' given the \
         full name 'Ms. Barbara J Jensen, III').",
    ),
];

const DISPLAY: Attribute =
    Attribute::string("display", "A human-readable name, primarily used for display purposes.");

const PRIMARY: Attribute = Attribute::boolean(
    "primary",
    "A Boolean value indicating the 'primary' or preferred attribute value for this attribute.  The primary \
     attribute value 'true' MUST appear no more than once.",
);

const fn label(canonical_values: &'static [&'static str]) -> Attribute {
    Attribute::string("type", "A label indicating the attribute's function, e.g., 'work' or 'home'.")
        .canonical(canonical_values)
}

const EMAILS: &[Attribute] = &[
    Attribute::string(
        "value",
        "Email addresses for the user.  The value SHOULD be canonicalized by the service provider, e.g., \
         'bjensen@example.com' instead of 'bjensen@EXAMPLE.COM'.",
    ),
    DISPLAY,
    label(&["work", "home", "other"]),
    PRIMARY,
];

const PHONE_NUMBERS: &[Attribute] = &[
    Attribute::string("value", "Phone number of the User."),
    DISPLAY,
    label(&["work", "home", "mobile", "fax", "pager", "other"]),
    PRIMARY,
];

const IMS: &[Attribute] = &[
    Attribute::string("value", "Instant messaging address for the User."),
    DISPLAY,
    label(&["aim", "gtalk", "icq", "xmpp", "msn", "skype", "qq", "yahoo"]),
    PRIMARY,
];

const PHOTOS: &[Attribute] = &[
    Attribute::reference("value", &["external"], "URL of a photo of the User."),
    DISPLAY,
    label(&["photo", "thumbnail"]),
    PRIMARY,
];

// RFC 7643 8.7.1 leaves `primary` out of addresses; 8.2 shows it, 2.4 makes it a default sub-attribute
// and Entra sends it.
const ADDRESSES: &[Attribute] = &[
    Attribute::string(
        "formatted",
        "The full mailing address, formatted for display or use with a mailing label.",
    ),
    Attribute::string(
        "streetAddress",
        "The full street address component, which may include house number, street name, P.O. box, and \
         multi-line extended street address information.",
    ),
    Attribute::string("locality", "The city or locality component."),
    Attribute::string("region", "The state or region component."),
    Attribute::string("postalCode", "The zip code or postal code component."),
    Attribute::string("country", "The country name component."),
    label(&["work", "home", "other"]),
    PRIMARY,
];

const GROUPS: &[Attribute] = &[
    Attribute::string("value", "The identifier of the User's group.").read_only(),
    Attribute::reference(
        "$ref",
        &["User", "Group"],
        "The URI of the corresponding 'Group' resource to which the user belongs.",
    )
    .read_only(),
    Attribute::string("display", "A human-readable name, primarily used for display purposes.  READ-ONLY.")
        .read_only(),
    label(&["direct", "indirect"]).read_only(),
];

const ENTITLEMENTS: &[Attribute] =
    &[Attribute::string("value", "The value of an entitlement."), DISPLAY, label(&[]), PRIMARY];

const ROLES: &[Attribute] =
    &[Attribute::string("value", "The value of a role."), DISPLAY, label(&[]), PRIMARY];

const CERTIFICATES: &[Attribute] =
    &[Attribute::binary("value", "The value of an X.509 certificate."), DISPLAY, label(&[]), PRIMARY];
