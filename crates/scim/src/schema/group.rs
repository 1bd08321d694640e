//! The core schema of a group (RFC 7643 4.2, 8.7.1). A new attribute is one more row.
//!
//! `members.display` is not in the table of 8.7.1; it is one of the default sub-attributes of 2.4, and the
//! examples of 8.4 show it. 2.4 calls it immutable. Here it is read-only, because a member is shown by the
//! name that it has in the directory, today's, whatever a provider sends with its id.

use super::{Attribute, Mutability, Schema};

/// `urn:ietf:params:scim:schemas:core:2.0:Group`.
pub static GROUP: Schema =
    Schema::standard("urn:ietf:params:scim:schemas:core:2.0:Group", "Group", "Group", ATTRIBUTES);

const ATTRIBUTES: &[Attribute] = &[
    Attribute::string("displayName", "A human-readable name for the Group. REQUIRED.").required(),
    Attribute::complex("members", MEMBERS, "A list of members of the Group.").multi_valued(),
];

const MEMBERS: &[Attribute] = &[
    Attribute::string("value", "Identifier of the member of this Group.").mutability(Mutability::Immutable),
    Attribute::reference(
        "$ref",
        &["User", "Group"],
        "The URI corresponding to a SCIM resource that is a member of this Group.",
    )
    .mutability(Mutability::Immutable),
    Attribute::string("type", "A label indicating the type of resource, e.g., 'User' or 'Group'.")
        .canonical(&["User", "Group"])
        .mutability(Mutability::Immutable),
    Attribute::string("display", "A human-readable name of the member, for display.").read_only(),
];
