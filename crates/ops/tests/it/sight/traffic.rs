//! What is sent, by whom, when: the language of the replays.
//!
//! A request is what a client would put on the wire. Ids are the server's to give, so that a request names a
//! resource by a handle between tildes (`~u17~`), and the world that sends it puts the id in.

use std::net::IpAddr;

use domain::Millis;
use serde_json::{Value, json};

pub const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
pub const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
pub const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
const PATCH: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

/// Which key is presented.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Holder {
    /// That of the provider, until it is rotated.
    Main,
    /// The one that took over.
    Successor,
    /// One for emergencies, which was tried once and lies in a drawer.
    Dormant,
    /// One of a report, which may read users and nothing else.
    Reader,
}

/// One request.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: &'static str,
    pub path: String,
    pub query: String,
    pub body: Option<String>,
    /// The handle that a created resource is known by.
    pub binds: Option<String>,
}

/// Where a request comes from, and with what.
#[derive(Debug, Clone, Copy)]
pub struct Sender {
    pub source: IpAddr,
    pub agent: &'static str,
    pub key: Holder,
}

/// One request at its time.
#[derive(Debug, Clone)]
pub struct Step {
    pub at_ms: Millis,
    pub sender: Sender,
    pub request: Request,
    /// Whether it is an attacker's.
    pub is_bad: bool,
}

/// What people do at Keyward itself.
#[derive(Debug, Clone, Copy)]
pub enum Deed {
    /// The key of the provider is rotated by hand.
    Rotate,
    /// A maintenance window is approved: so many removals until then.
    OpenWindow { most: u32, until_ms: Millis },
    /// Somebody is marked as protected and somebody as a canary, and a group as privileged.
    Mark,
    /// Who looks after findings closes what is open.
    Triage,
}

/// What happens.
#[derive(Debug, Clone)]
pub enum Item {
    Step(Step),
    Deed(Millis, Deed),
}

impl Item {
    pub fn at_ms(&self) -> Millis {
        match self {
            Self::Step(step) => step.at_ms,
            Self::Deed(at_ms, _) => *at_ms,
        }
    }
}

/// The handle of a resource, as a request names it.
pub fn tilde(handle: &str) -> String {
    format!("~{handle}~")
}

impl Request {
    pub fn get(path: &str, query: &str) -> Self {
        Self {
            method: "GET",
            path: path.to_owned(),
            query: query.replace(' ', "%20").replace('"', "%22").replace('@', "%40"),
            body: None,
            binds: None,
        }
    }

    pub fn one(kind: &str, handle: &str) -> Self {
        Self::get(&format!("{kind}/~{handle}~"), "")
    }

    pub fn post(path: &str, body: &Value, binds: &str) -> Self {
        Self {
            method: "POST",
            body: Some(body.to_string()),
            binds: Some(binds.to_owned()),
            ..Self::get(path, "")
        }
    }

    pub fn put(kind: &str, handle: &str, body: &Value) -> Self {
        Self { method: "PUT", body: Some(body.to_string()), ..Self::one(kind, handle) }
    }

    pub fn patch(kind: &str, handle: &str, operations: &Value) -> Self {
        let body = json!({ "schemas": [PATCH], "Operations": operations });
        Self { method: "PATCH", body: Some(body.to_string()), ..Self::one(kind, handle) }
    }

    pub fn delete(kind: &str, handle: &str) -> Self {
        Self { method: "DELETE", ..Self::one(kind, handle) }
    }

    /// The handles that it names.
    pub fn handles(&self) -> impl Iterator<Item = &str> {
        let texts = [self.path.as_str(), self.body.as_deref().unwrap_or_default()];
        texts.into_iter().flat_map(|text| text.split('~').skip(1).step_by(2))
    }
}
