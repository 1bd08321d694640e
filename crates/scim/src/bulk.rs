//! Bulk requests (RFC 7644 3.7): what came, in which order it is done, and the answer to it.
//!
//! No I/O happens here. [`parse()`] reads a request; a [`Plan`] hands out one [`Step`] after the other, takes
//! the [`Outcome`] of each, and ends as the body of the answer. Whoever drives it does the steps.
//!
//! - What is wrong with the request as a whole refuses it. What is wrong with one operation fails that
//!   operation alone: "continue performing as many changes as possible".
//! - The order is that of the document. An operation that refers to a resource which a later one creates
//!   waits for it; operations on the same resource never overtake each other.
//! - Resources that refer to each other in a circle through `members` or `manager` are created without the
//!   reference, which a PATCH adds as soon as there is something to refer to (RFC 7644 3.7.1).
//! - Every operation is done at most once, and no `bulkId:` ever leaves a plan.
//!
//! A new kind of operation is one more variant of [`Method`] and its arm in `read`.

mod graph;
mod plan;
mod read;
mod references;

use serde_json::Value;

use crate::{error::ScimError, schema::ResourceType};

pub use self::{
    plan::Plan,
    read::{parse, read},
};

/// The URN of a bulk request.
pub const BULK_REQUEST_URN: &str = "urn:ietf:params:scim:api:messages:2.0:BulkRequest";

/// The URN of the answer to one.
pub const BULK_RESPONSE_URN: &str = "urn:ietf:params:scim:api:messages:2.0:BulkResponse";

/// What stands before the name of a resource that the request creates.
const REFERENCE: &str = "bulkId:";

/// How large a bulk request may be. `/ServiceProviderConfig` says the same numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How many operations it may hold.
    pub max_operations: usize,
    /// How large its body may be, in bytes.
    pub max_payload_bytes: usize,
}

impl Default for Limits {
    /// 1,000 operations in 1 MiB.
    fn default() -> Self {
        Self { max_operations: 1_000, max_payload_bytes: 1 << 20 }
    }
}

/// A bulk request.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// After how many failed operations the rest is left undone; never when none.
    pub fail_on_errors: Option<u64>,
    /// The operations as they came.
    pub operations: Vec<Operation>,
}

/// One operation of a bulk request.
#[derive(Debug, Clone, PartialEq)]
pub struct Operation {
    /// The method in capitals, whether there is one of that name or not.
    pub method: String,
    /// How the request calls what this operation creates.
    pub bulk_id: Option<String>,
    /// The version that the resource must have, as `If-Match` says it elsewhere.
    pub version: Option<String>,
    /// What is to be done, or why that cannot be understood.
    pub job: Result<Job, ScimError>,
}

/// What an operation does.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// How.
    pub method: Method,
    /// To which type of resource.
    pub kind: ResourceType,
    /// To which resource; none when it creates one.
    pub target: Option<Target>,
    /// The body; none when it deletes. Always an object.
    pub data: Option<Value>,
}

/// The methods of operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// Creates.
    Post,
    /// Replaces.
    Put,
    /// Changes.
    Patch,
    /// Deletes.
    Delete,
}

impl Method {
    /// Every method.
    pub const ALL: [Self; 4] = [Self::Post, Self::Put, Self::Patch, Self::Delete];

    /// The word of HTTP.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }

    /// The method with this name, in any case.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.as_str().eq_ignore_ascii_case(word))
    }
}

/// The resource that an operation is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Target {
    /// One that exists, by its id: `/Users/2819c223`.
    Id(String),
    /// One that the request creates, by its `bulkId`: `/Users/bulkId:qwerty`.
    Created(String),
}

/// What is to be done next. Every reference is an id by now.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// The place of its operation in the request, counted from 0.
    pub index: usize,
    /// How.
    pub method: Method,
    /// To which type of resource.
    pub kind: ResourceType,
    /// To which resource; none for a POST.
    pub id: Option<String>,
    /// The body; none for a DELETE. For a PATCH it is a whole `PatchOp` message.
    pub data: Option<Value>,
    /// The version that the resource must have.
    pub version: Option<String>,
    /// Whether this is the second half of a POST: the references that its circle did not allow at first.
    pub is_completion: bool,
}

/// What became of a step.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Outcome {
    /// The HTTP status.
    pub status: u16,
    /// The absolute URI of the resource.
    pub location: Option<String>,
    /// Its version now, as its entity tag says it.
    pub version: Option<String>,
    /// Its id; a POST that succeeded has one.
    pub id: Option<String>,
    /// Why it failed.
    pub error: Option<ScimError>,
}

impl Outcome {
    /// A step that failed.
    pub fn failed(error: ScimError) -> Self {
        Self { status: error.status, error: Some(error), ..Self::default() }
    }
}
