//! What operations need from outside: time, chance, limits on refusals, and the upstreams of federations.

use std::{net::IpAddr, pin::Pin, sync::Arc};

use domain::{FederationId, Millis, Secret, upstreams::SignIn};

/// Time.
pub trait Clock: Send + Sync + 'static {
    /// Milliseconds since 1970-01-01T00:00:00Z.
    fn now_ms(&self) -> Millis;

    /// Microseconds since some fixed moment, never going back: for durations only.
    fn monotonic_us(&self) -> i64;
}

/// Chance that nobody can guess.
pub trait Entropy: Send + Sync + 'static {
    /// Fills `bytes` with random bytes.
    fn fill(&self, bytes: &mut [u8]);
}

/// The addresses at which OAuth clients publish their keys.
pub trait FetchJwks: Send + Sync + 'static {
    /// Gets the document at an address: no redirect, a limit on time and bytes, and only where
    /// calls may lead at all. A sentence when there is none.
    fn fetch<'a>(
        &'a self,
        uri: &'a str,
    ) -> Pin<Box<dyn Future<Output = Result<Vec<u8>, String>> + Send + 'a>>;
}

/// How often one source may be refused before its refusals are no longer recorded one by one.
pub trait Refusals: Send + Sync {
    /// One more request of this source has no accepted key.
    fn refused(&self, source: Option<IpAddr>) -> Refusal;
}

/// What becomes of one more refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It is recorded and answered like any other.
    Recorded,
    /// There were too many: it is answered with 429, and leaves no record of its own.
    TooMany {
        /// Seconds after which the next one is recorded again.
        retry_after_s: u32,
        /// How many there were since the last record that says so, when it is time for one.
        summary: Option<u64>,
    },
}

/// No limit: every refusal is recorded.
#[derive(Debug, Clone, Copy)]
pub struct Unlimited;

impl Refusals for Unlimited {
    fn refused(&self, _: Option<IpAddr>) -> Refusal {
        Refusal::Recorded
    }
}

/// A SCIM service that federations forward to.
pub trait Upstream: Send + Sync + 'static {
    /// Whether an address may be called at all, before anybody does; a sentence when not.
    ///
    /// # Errors
    /// What speaks against it.
    fn admits(&self, url: &str) -> Result<(), String>;

    /// Makes one exchange of HTTP: never a second try, never a redirect.
    fn exchange<'a>(
        &'a self,
        destination: &'a Arc<Destination>,
        request: UpstreamRequest,
    ) -> Pin<Box<dyn Future<Output = Result<UpstreamAnswer, CallFault>> + Send + 'a>>;
}

/// Where to call, and with what Keyward signs in there. It holds a secret and has no Debug.
pub struct Destination {
    /// Whose upstream it is.
    pub federation_id: FederationId,
    /// Changes when anything of this changes.
    pub version: i64,
    /// The SCIM base, without a slash at its end.
    pub base_url: String,
    /// How Keyward signs in.
    pub sign_in: SignIn,
    /// The token, password, client secret, or certificate chain and key in PEM.
    pub secret: Secret,
    /// Certificates in PEM that are trusted beside those of the operating system.
    pub trusted_ca: Option<String>,
    /// From the first byte out to the last byte in, in milliseconds.
    pub timeout_ms: u64,
}

/// The methods of SCIM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Reads.
    Get,
    /// Creates.
    Post,
    /// Replaces.
    Put,
    /// Changes.
    Patch,
    /// Deletes.
    Delete,
}

/// What to ask an upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamRequest {
    /// How.
    pub method: Method,
    /// Path and query under the base, encoded: `/Users/7?attributes=id`.
    pub path: String,
    /// `If-Match`, as it came.
    pub if_match: Option<String>,
    /// `If-None-Match`, as it came.
    pub if_none_match: Option<String>,
    /// JSON.
    pub body: Option<Vec<u8>>,
}

/// What an upstream answered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UpstreamAnswer {
    /// The status.
    pub status: u16,
    /// The body, whatever it is.
    pub body: Vec<u8>,
    /// `Content-Type`.
    pub content_type: Option<String>,
    /// `Location`.
    pub location: Option<String>,
    /// `ETag`.
    pub etag: Option<String>,
    /// `Retry-After` in seconds, whichever form it had.
    pub retry_after_s: Option<u32>,
}

/// Why there is no whole answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallFault {
    /// Nothing was sent: the upstream cannot have done anything.
    #[error("nothing was sent: {0}")]
    NotSent(String),
    /// It was sent, or may have been: nobody knows what the upstream did.
    #[error("no whole answer: {0}")]
    Unclear(String),
    /// The place where Keyward gets its token did not give one; nothing was sent to the upstream.
    #[error("no token: {0}")]
    NoToken(String),
}
