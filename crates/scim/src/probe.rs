//! A probe of any SCIM server: what providers and a gateway will choke on, found before they do.
//!
//! [`run`] speaks to a server through an [`Exchange`], which is all that it knows of a network. It creates
//! users and groups whose names hold a tag of the caller's choice, tries on them what real providers send,
//! and deletes them again, whatever happened between. It changes nothing that it did not create.
//!
//! A new check is a row of the table of its file and the line that notes what came of it; a new quirk is a
//! field of [`Quirks`]. A check that was not reached says so by itself.

mod discovery;
mod extras;
mod groups;
mod members;
mod patches;
mod report;
mod session;
mod users;

use std::future::Future;

use serde_json::Value;

use self::{report::About, session::Session};

pub use self::report::{Check, Quirks, Report, Verdict};

/// How a probe reaches a server.
pub trait Exchange: Sync {
    /// Sends one request with the credential of the server, and brings the answer. The body of an answer
    /// may be cut at a size of the implementer's choice; 1 MiB is plenty.
    ///
    /// # Errors
    /// Why there was no answer, for a person.
    fn send(&self, request: ProbeRequest) -> impl Future<Output = Result<ProbeAnswer, String>> + Send;
}

/// A request of a probe.
#[derive(Debug, Clone, PartialEq)]
pub struct ProbeRequest {
    /// The method.
    pub method: &'static str,
    /// Path and query below the base, encoded, with a slash before: `/Users?count=1`.
    pub path: String,
    /// Headers beside those that the implementer adds.
    pub headers: Vec<(&'static str, String)>,
    /// The body, JSON.
    pub body: Option<Value>,
}

/// The answer to one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProbeAnswer {
    /// The HTTP status. Redirects are answers and are not followed.
    pub status: u16,
    /// `Content-Type`.
    pub content_type: Option<String>,
    /// `Location`.
    pub location: Option<String>,
    /// `ETag`.
    pub etag: Option<String>,
    /// `Retry-After`.
    pub retry_after: Option<String>,
    /// The body.
    pub body: Vec<u8>,
}

/// How a probe is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// What the names of everything that it creates hold: letters and digits, random, so that they are
    /// nobody else's.
    pub tag: String,
    /// How many users are created to find out how many members one PATCH may add; 0 leaves that out.
    pub members: usize,
}

impl Options {
    /// 101 members: one more than the limit that is met most often.
    pub fn new(tag: impl Into<String>) -> Self {
        Self { tag: tag.into(), members: 101 }
    }
}

/// Every check, in the order of a report.
fn table() -> impl Iterator<Item = About> {
    [discovery::CHECKS, users::CHECKS, patches::CHECKS, groups::CHECKS, members::CHECKS, extras::CHECKS]
        .into_iter()
        .flatten()
        .copied()
}

/// Probes a server.
///
/// Whoever drops the future before its end leaves behind what was created so far.
pub async fn run<E: Exchange>(exchange: &E, options: &Options) -> Report {
    let mut session = Session::new(exchange, &options.tag);
    discovery::probe(&mut session).await;
    if users::probe(&mut session).await {
        patches::probe(&mut session).await;
        if groups::probe(&mut session).await {
            members::probe(&mut session, options.members).await;
        }
        extras::probe(&mut session).await;
    }
    session.clean_up().await;
    session.into_report()
}
