//! The enterprise extension of a user (RFC 7643 4.3, 8.7.1). A new attribute is one more row.

use super::{Attribute, Schema};

/// `urn:ietf:params:scim:schemas:extension:enterprise:2.0:User`.
pub static ENTERPRISE_USER: Schema = Schema::standard(
    "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User",
    "EnterpriseUser",
    "Enterprise User",
    ATTRIBUTES,
);

const ATTRIBUTES: &[Attribute] = &[
    Attribute::string(
        "employeeNumber",
        "Numeric or alphanumeric identifier assigned to a person, typically based on order of hire or \
             association with an organization.",
    ),
    Attribute::string("costCenter", "Identifies the name of a cost center."),
    Attribute::string("organization", "Identifies the name of an organization."),
    Attribute::string("division", "Identifies the name of a division."),
    Attribute::string("department", "Identifies the name of a department."),
    Attribute::complex(
        "manager",
        MANAGER,
        "The User's manager.  A complex type that optionally allows service providers to represent \
             organizational hierarchy by referencing the 'id' attribute of another User.",
    ),
];

const MANAGER: &[Attribute] = &[
    Attribute::string("value", "The id of the SCIM resource representing the User's manager.  REQUIRED."),
    Attribute::reference(
        "$ref",
        &["User"],
        "The URI of the SCIM resource representing the User's manager.  REQUIRED.",
    ),
    Attribute::string("displayName", "The displayName of the User's manager. OPTIONAL and READ-ONLY.")
        .read_only(),
];
