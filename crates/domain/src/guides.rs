//! How each vendor is connected: where its fields are, what goes into them, what comes next.
//!
//! The one source of these words: the set-up page, the page that shows a key, the page behind a hand-over link; and
//! the pages `docs/guide/connect-*.md` are held against it. Names stand as the vendor writes them. To add a vendor,
//! add a guide and its arm in [`of`].

use crate::federations::Vendor;

/// The way through the screens of a vendor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Guide {
    /// What must be there before, if anything.
    pub before: Option<&'static str>,
    /// The screens, in their order.
    pub screens: &'static [&'static str],
    /// The fields of the last screen, in their order.
    pub fields: &'static [Field],
    /// What to press then.
    pub then: &'static [&'static str],
    /// What its key must be allowed to do.
    pub scope: &'static str,
    /// When its first real request comes.
    pub first: &'static str,
}

/// A field, and what goes into it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// What goes into it.
    pub value: Value,
}

/// What goes into a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value {
    /// The base URL of the federation.
    BaseUrl,
    /// The key.
    Key,
    /// This text, letter by letter.
    Text(&'static str),
    /// What is said here: a choice, a tick.
    Choice(&'static str),
}

const fn field(name: &'static str, value: Value) -> Field {
    Field { name, value }
}

impl Guide {
    /// The fields that take the key.
    pub fn key_fields(&self) -> impl Iterator<Item = &'static str> {
        self.fields.iter().filter(|field| field.value == Value::Key).map(|field| field.name)
    }

    /// The fields that take the base URL.
    pub fn base_url_fields(&self) -> impl Iterator<Item = &'static str> {
        self.fields.iter().filter(|field| field.value == Value::BaseUrl).map(|field| field.name)
    }
}

const EVERYDAY: &str = "Read, create and update users and groups: the recommended scope.";

const OKTA: Guide = Guide {
    before: Some(
        "For an app of your own, switch on Provisioning: SCIM under General, App Settings. An app of the catalogue has its fields under Configure API Integration: SCIM 2.0 Base Url and API Token.",
    ),
    screens: &["Applications", "your app", "Provisioning", "Integration", "Edit"],
    fields: &[
        field("SCIM connector base URL", Value::BaseUrl),
        field("Unique identifier field for users", Value::Text("userName")),
        field(
            "Supported provisioning actions",
            Value::Choice("Push New Users, Push Profile Updates, Push Groups"),
        ),
        field("Authentication Mode", Value::Choice("HTTP Header")),
        field("Authorization", Value::Key),
    ],
    then: &[
        "Press Test Connector Configuration, then save.",
        "Under Provisioning, To App, switch on Create Users, Update User Attributes and Deactivate Users.",
        "Assign people or groups to the app, and pick groups under Push Groups.",
    ],
    scope: "Read, create and update users and groups: the recommended scope. Okta switches users off and never deletes them; add delete for groups if pushed groups shall be deleted.",
    first: "It comes when somebody is assigned to the app.",
};

const ENTRA: Guide = Guide {
    before: None,
    screens: &["Enterprise applications", "your app", "Provisioning"],
    fields: &[
        field("Provisioning Mode", Value::Choice("Automatic")),
        field("Tenant URL", Value::BaseUrl),
        field("Secret Token", Value::Key),
    ],
    then: &[
        "Press Test Connection, then save.",
        "Under Mappings, match users by userName or externalId, and groups by displayName or externalId.",
        "Set Provisioning Status to On, or show one user at once with Provision on demand.",
    ],
    scope: "Read, create and update users and groups. Entra switches a user off first and deletes it about 30 days later: add delete for users and groups if it shall.",
    first: "Its cycle is about 40 minutes. Provision on demand sends one user at once.",
};

const GOOGLE: Guide = Guide {
    before: Some("Google pushes from apps of its catalogue only, once their sign-in by SAML is set up."),
    screens: &["Apps", "Web and mobile apps", "your app", "Auto-provisioning", "Configure auto-provisioning"],
    fields: &[field("Access token", Value::Key), field("Endpoint URL", Value::BaseUrl)],
    then: &[
        "Map the attributes that are marked with an asterisk.",
        "Choose after how long a suspended user is deleted, and finish.",
        "Switch auto-provisioning on.",
    ],
    scope: "Read, create and update users. Google deletes users after the delay that you choose: add delete for users if it shall.",
    first: "It comes once auto-provisioning is switched on and the app is on for somebody.",
};

const KEYCLOAK: Guide = Guide {
    before: Some(
        "Keycloak pushes by an extension, such as keycloak-scim: it must be installed, and scim added to the event listeners.",
    ),
    screens: &["User federation", "Add scim provider"],
    fields: &[
        field("SCIM 2.0 endpoint", Value::BaseUrl),
        field("Endpoint content type", Value::Text("application/scim+json")),
        field("Auth mode", Value::Choice("BEARER")),
        field("Auth password/token", Value::Key),
    ],
    then: &["Save. Extensions differ: yours may call the endpoint and the token otherwise."],
    scope: "Read, create and update users and groups; add delete if it shall delete what is deleted in Keycloak.",
    first: "It comes with the next change of a user, or at once by Sync all users.",
};

const AUTHENTIK: Guide = Guide {
    before: None,
    screens: &["Applications", "Applications", "New Application", "Provider Type: SCIM"],
    fields: &[field("URL", Value::BaseUrl), field("Token", Value::Key)],
    then: &[
        "Create the application and its provider.",
        "To provision beside sign-in, edit the application that people sign in to, and add the SCIM provider under Backchannel Providers.",
    ],
    scope: "Read, create and update users and groups; add delete if what is deleted in authentik shall be deleted here.",
    first: "A full synchronisation begins when the provider is added to an application.",
};

const ONELOGIN: Guide = Guide {
    before: Some("Add the app SCIM Provisioner with SAML (SCIM v2 Enterprise, or SCIM v2 Core)."),
    screens: &["Applications", "your app", "Configuration"],
    fields: &[
        field("SCIM Base URL", Value::BaseUrl),
        field("SCIM Bearer Token", Value::Key),
        field("API Connection", Value::Choice("Enable")),
    ],
    then: &[
        "Save, then tick Enable provisioning on the tab Provisioning.",
        "Without approvals by hand: untick Create, Update and Delete under Require admin approval.",
    ],
    scope: "Read, create and update users and groups. Under Provisioning you choose whether a removed user is deleted or suspended: only the first needs delete for users.",
    first: "It comes when the app is assigned to a user, after the approval if one is required.",
};

const JUMPCLOUD: Guide = Guide {
    before: None,
    screens: &["SSO Applications", "your app", "Identity Management"],
    fields: &[
        field("SCIM Version", Value::Choice("SCIM 2.0")),
        field("Base URL", Value::BaseUrl),
        field("Token Key", Value::Key),
        field("Test User Email", Value::Choice("the address of somebody in your directory")),
    ],
    then: &["Press Test Connection, then Activate, and save.", "Pick the groups to push under User Groups."],
    scope: "Read, create, update and delete users and groups: JumpCloud creates a user and a group as a test and deletes them again.",
    first: "Its test is a write already. Real users follow when groups are bound to the app.",
};

const PING: Guide = Guide {
    before: None,
    screens: &["Integrations", "Provisioning", "New connection", "Identity Store", "SCIM Outbound"],
    fields: &[
        field("SCIM base URL", Value::BaseUrl),
        field("Users resource", Value::Text("/Users")),
        field("Groups resource", Value::Text("/Groups")),
        field("SCIM version", Value::Choice("2.0")),
        field("Authentication method", Value::Choice("OAuth 2 Bearer Token")),
        field("OAuth Access Token", Value::Key),
        field("Auth Type Header", Value::Choice("Bearer")),
    ],
    then: &[
        "Press Test connection, go on, and save.",
        "Add a rule with a user filter, and switch the rule and the connection on.",
    ],
    scope: "Read, create and update users and groups; add delete if removed users shall be deleted and not disabled.",
    first: "It comes once a rule is switched on.",
};

const SAILPOINT: Guide = Guide {
    before: Some("A source with the connector SCIM 2.0."),
    screens: &["Connections", "Sources", "your source", "Connection Settings"],
    fields: &[
        field("Base URL", Value::BaseUrl),
        field("Authentication Type", Value::Choice("API Token")),
        field("API Token", Value::Key),
    ],
    then: &["Save, and run Test Connection.", "Run an aggregation: it reads everything before it writes."],
    scope: "Read, create and update users and groups; add delete if it shall delete accounts.",
    first: "An aggregation reads. The first write comes with the first access request or certification.",
};

const RIPPLING: Guide = Guide {
    before: Some("A custom integration with User Management via SCIM."),
    screens: &["IT", "Third-Party Access", "Add Integration", "Create New Custom Integration"],
    fields: &[
        field("SCIM Version", Value::Choice("2.0")),
        field("SCIM base URL", Value::BaseUrl),
        field("SCIM Authorization Method", Value::Choice("Bearer Token")),
        field("Features", Value::Choice("groups, pagination, delete groups, PATCH groups")),
        field(
            "Supported SCIM Attributes",
            Value::Choice("externalId, emails.primary, name.givenName, name.familyName"),
        ),
        field("Bearer Token", Value::Key),
    ],
    then: &["Install it, paste the key when it asks for the Bearer Token, and test the connection."],
    scope: "Read, create and update users and groups; add delete for groups if it shall delete them.",
    first: "It comes when somebody is given access to the app.",
};

const OTHER: Guide = Guide {
    before: None,
    screens: &["the provisioning settings of your app"],
    fields: &[
        field("SCIM base URL, endpoint or tenant URL", Value::BaseUrl),
        field("SCIM version", Value::Choice("2.0")),
        field("Authentication", Value::Choice("bearer token, or the header Authorization")),
        field("Token, API key or secret", Value::Key),
        field("Unique identifier", Value::Text("userName")),
    ],
    then: &["Save, and test the connection where the provider can."],
    scope: EVERYDAY,
    first: "It comes with the first user that the provider is told to push.",
};

/// The guide of a vendor.
pub const fn of(vendor: Vendor) -> &'static Guide {
    match vendor {
        Vendor::Okta => &OKTA,
        Vendor::Entra => &ENTRA,
        Vendor::Google => &GOOGLE,
        Vendor::Keycloak => &KEYCLOAK,
        Vendor::Authentik => &AUTHENTIK,
        Vendor::Onelogin => &ONELOGIN,
        Vendor::Jumpcloud => &JUMPCLOUD,
        Vendor::Ping => &PING,
        Vendor::Sailpoint => &SAILPOINT,
        Vendor::Rippling => &RIPPLING,
        Vendor::Other => &OTHER,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_guide_says_where_the_key_and_the_base_url_go() {
        for vendor in Vendor::ALL {
            let guide = of(vendor);
            assert_eq!(guide.key_fields().count(), 1, "{vendor:?}");
            assert_eq!(guide.base_url_fields().count(), 1, "{vendor:?}");
            assert!(!guide.screens.is_empty() && !guide.then.is_empty(), "{vendor:?}");
            let sentences =
                guide.then.iter().chain([&guide.scope, &guide.first]).copied().chain(guide.before);
            for sentence in sentences {
                assert!(sentence.ends_with('.'), "{vendor:?}: {sentence}");
            }
        }
    }

    /// The guides for people and the pages of the dashboard name the same fields.
    #[test]
    fn the_documents_name_the_fields_of_every_guide() {
        let pages = [
            (Vendor::Okta, include_str!("../../../docs/guide/connect-okta.md")),
            (Vendor::Entra, include_str!("../../../docs/guide/connect-entra.md")),
        ];
        let generic = include_str!("../../../docs/guide/connect-generic.md");
        for vendor in Vendor::ALL {
            let page = pages.iter().find(|(of, _)| *of == vendor).map_or(generic, |(_, page)| *page);
            let guide = of(vendor);
            for name in guide.key_fields().chain(guide.base_url_fields()) {
                assert!(page.contains(name), "{vendor:?}: its page in docs/guide does not name {name:?}");
            }
        }
    }
}
