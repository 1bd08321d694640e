//! What operations need from outside: time, chance, limits on refusals, the upstreams of federations, and
//! the targets of deliveries.

use std::{net::IpAddr, pin::Pin, sync::Arc};

use domain::{
    DeliveryId, FederationId, Invalid, KeyId, Millis, RotationId, Secret, TargetId,
    deliveries::{DeliveryStep, FailureKind, Holds, Settings},
    exports::{Format, stream::Streamed},
    federations::Slug,
    upstreams::SignIn,
};

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

/// The ways in which a secret reaches its consumer.
pub trait Deliver: Send + Sync + 'static {
    /// Whether the addresses of a target may be called at all.
    ///
    /// # Errors
    /// What speaks against it, field by field.
    fn admits(&self, settings: &Settings) -> Result<(), Vec<Invalid>>;

    /// Takes one step at a target: never a second try, never a redirect, a limit on time and bytes. Without a
    /// secret in the parcel nothing is changed there.
    fn step<'a>(
        &'a self,
        step: DeliveryStep,
        job: &'a DeliveryJob,
    ) -> Pin<Box<dyn Future<Output = Result<StepDone, StepFault>> + Send + 'a>>;
}

/// What is brought where, and with what Keyward signs in there. It holds secrets and has no Debug.
pub struct DeliveryJob {
    /// The target.
    pub target_id: TargetId,
    /// Changes when anything of the target changes.
    pub version: i64,
    /// Where it leads.
    pub settings: Settings,
    /// With what Keyward signs in there.
    pub credential: Secret,
    /// What is brought.
    pub parcel: Parcel,
}

/// A key on its way. It holds a secret and has no Debug.
pub struct Parcel {
    /// Whose key it is.
    pub federation: Slug,
    /// The SCIM base URL that belongs to it.
    pub base_url: String,
    /// The delivery: the same one has the same id, however often it is tried.
    pub delivery_id: Option<DeliveryId>,
    /// The rotation that waits for it.
    pub rotation_id: Option<RotationId>,
    /// The key.
    pub key_id: Option<KeyId>,
    /// The last four characters of it.
    pub last_four: String,
    /// When the delivery was made.
    pub made_ms: Millis,
    /// The secret itself; none in a test of the target, and once it has left.
    pub secret: Option<Secret>,
}

/// A step that was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepDone {
    /// What was found or done, in a sentence without a secret.
    pub sentence: String,
    /// Whether the target has the secret of the parcel; of a read-back only.
    pub holds: Holds,
    /// Whether the consumer stands still until it is told to look; of a read-back only.
    pub wants_kick: bool,
    /// The public keys of the certificates that the target showed, as [`domain::deliveries::Pins`] writes them.
    pub public_key: Option<String>,
}

/// A step that was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{sentence}")]
pub struct StepFault {
    /// What comes next.
    pub kind: FailureKind,
    /// Why, in a sentence without a secret.
    pub sentence: String,
    /// Seconds after which the target wants to be asked again.
    pub retry_after_s: Option<u32>,
}

/// The ways in which people are told.
pub trait Notify: Send + Sync + 'static {
    /// Whether mail is set up.
    fn has_mail(&self) -> bool;

    /// Whether an address may be called at all, before anybody does.
    ///
    /// # Errors
    /// What speaks against it.
    fn admits(&self, url: &str) -> Result<(), String>;

    /// Hands a mail to the server that sends it: never a second try.
    fn mail<'a>(
        &'a self,
        mail: &'a Mail,
    ) -> Pin<Box<dyn Future<Output = Result<(), NotifyFault>> + Send + 'a>>;

    /// Calls a webhook with a signature (Standard Webhooks): never a second try, never a redirect.
    fn webhook<'a>(
        &'a self,
        call: &'a WebhookCall,
    ) -> Pin<Box<dyn Future<Output = Result<(), NotifyFault>> + Send + 'a>>;
}

/// A place outside that keeps checkpoints of the audit log. Each comes from the configuration at the start.
pub trait Anchor: Send + Sync + 'static {
    /// Its name; stays the same over starts.
    fn name(&self) -> &str;

    /// Where it is, for people: never a secret.
    fn place(&self) -> String;

    /// The size of the last checkpoint that it has, when it can tell by itself.
    fn last(&self) -> Option<i64>;

    /// Gives it the next checkpoint: never a second try. A sentence when it did not take it.
    fn tell<'a>(
        &'a self,
        checkpoint: &'a Anchoring,
    ) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send + 'a>>;
}

/// A checkpoint on its way to an anchor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anchoring {
    /// How many records it is over.
    pub size: i64,
    /// The root, in hexadecimal.
    pub root: String,
    /// When it was signed.
    pub at_ms: Millis,
    /// The signed note.
    pub note: String,
}

/// A place outside that is sent records as they come. Each comes from the configuration at the start.
pub trait Stream: Send + Sync + 'static {
    /// Its name; stays the same over starts.
    fn name(&self) -> &str;

    /// Where it is, for people: never a secret.
    fn place(&self) -> String;

    /// The form of its records: JSON Lines or OCSF.
    fn format(&self) -> Format;

    /// Sends records in order: never a second try. When all of them were taken it says so; a sentence when one was
    /// not, or when nobody knows.
    fn send<'a>(
        &'a self,
        batch: &'a Streaming,
    ) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send + 'a>>;
}

/// Records on their way to a stream, one at least.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Streaming {
    /// Names the first and the last of them: the same id has the same records.
    pub id: String,
    /// When they are sent.
    pub at_ms: Millis,
    /// The records in their order.
    pub records: Vec<Streamed>,
}

/// A mail. It may hold a link that opens a key, and has no Debug.
pub struct Mail {
    /// Addresses.
    pub to: Vec<String>,
    /// Stays the same however often it is sent.
    pub id: String,
    /// One line.
    pub subject: String,
    /// Plain text.
    pub text: Secret,
}

/// A call of a webhook. It holds the secret that signs it, and has no Debug.
pub struct WebhookCall {
    /// Where.
    pub url: String,
    /// `webhook-id`: stays the same however often it is sent.
    pub id: String,
    /// `webhook-timestamp`, in seconds.
    pub at_s: i64,
    /// `whsec_…`.
    pub secret: Secret,
    /// JSON.
    pub body: Vec<u8>,
}

/// Why somebody was not told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct NotifyFault {
    /// A sentence without its period, for people.
    pub text: String,
    /// Whether another try would end the same.
    pub is_final: bool,
}
