//! Who is signed in: sessions on the server, a random id in the browser.
//!
//! The store is keyed by the SHA-256 of the id, so that a copy of the database opens nobody's
//! session; what a session holds is sealed by `ops`. A session before sign-in holds what the
//! sign-in needs and lives minutes; at sign-in it gets a new id, and the old one is worth nothing.
//! It ends after an idle time (known to a minute: not every request is worth a write), at an
//! absolute age however busy it is, and at sign-out, on the server.

use std::{collections::BTreeMap, fmt, sync::Arc};

use app::ssr::ProvenAt;
use axum::{
    extract::{Request, State},
    http::{Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use domain::{
    HOUR_MS, Millis,
    admins::{Admin, is_recent},
};
use ops::{Cx, Keyward, RequestInfo, Visitor};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tower_sessions::{
    Expiry, Session, SessionManagerLayer, SessionStore,
    cookie::SameSite,
    session::{Id, Record},
    session_store,
};

use super::oidc::next;

const MINUTE_MS: Millis = 60_000;
const SIGNED_IN: &str = "signed-in";
const TYPED: &str = "typed";

/// How long a session that nobody signed in to is kept: longer than a sign-in may take, so that a
/// late one is told that it is late.
const BEFORE_SIGN_IN_MS: Millis = 20 * MINUTE_MS;

/// How sessions behave.
#[derive(Debug, Clone, Copy)]
pub struct SessionPolicy {
    /// Ends a session that is not used for so long.
    pub idle_ms: Millis,
    /// Ends a session so long after sign-in.
    pub absolute_ms: Millis,
    /// Whether people reach Keyward over https: the cookie is then `Secure` and bound to the host.
    pub secure: bool,
}

impl SessionPolicy {
    /// 30 minutes and 12 hours.
    pub const fn new(secure: bool) -> Self {
        Self { idle_ms: 30 * MINUTE_MS, absolute_ms: 12 * HOUR_MS, secure }
    }

    /// The name of the cookie. `__Host-` makes browsers insist on https, on the path `/` and on
    /// this very host (RFC 6265bis 4.1.3.2).
    pub const fn cookie_name(&self) -> &'static str {
        if self.secure { "__Host-keyward" } else { "keyward" }
    }
}

/// The layer that finds a request's [`Session`]. Put it outside of everything that asks for one.
///
/// `SameSite` is `Lax`: with `Strict` the browser would come back from the provider without it.
pub fn layer(keyward: Arc<Keyward>, policy: SessionPolicy) -> SessionManagerLayer<Store> {
    SessionManagerLayer::new(Store { keyward, policy })
        .with_name(policy.cookie_name())
        .with_http_only(true)
        .with_same_site(SameSite::Lax)
        .with_secure(policy.secure)
        .with_path("/")
        .with_expiry(Expiry::OnInactivity(time::Duration::milliseconds(policy.idle_ms)))
}

/// What a session holds about the person.
#[derive(Serialize, Deserialize)]
struct SignedIn {
    admin: Admin,
    began_ms: Millis,
    /// When they last proved who they are at the provider; of a session from before that was kept, never.
    #[serde(default)]
    proven_ms: Millis,
    ends_ms: Millis,
    seen_ms: Millis,
    /// For `id_token_hint` at sign-out.
    id_token: Option<String>,
}

/// Makes the session that of `admin`, who has proven it just now. See [`sign_in_proven`].
///
/// # Errors
/// When the store does not answer.
pub async fn sign_in(
    session: &Session,
    admin: Admin,
    id_token: Option<String>,
    policy: SessionPolicy,
    now_ms: Millis,
) -> Result<(), tower_sessions::session::Error> {
    sign_in_proven(session, admin, id_token, policy, now_ms, now_ms).await
}

/// Makes the session that of `admin`, under a new id, with the moment at which the provider says that they proved who
/// they are. Whatever it held before is gone, but for a form that the same person was filling in.
///
/// # Errors
/// When the store does not answer.
pub async fn sign_in_proven(
    session: &Session,
    admin: Admin,
    id_token: Option<String>,
    policy: SessionPolicy,
    proven_ms: Millis,
    now_ms: Millis,
) -> Result<(), tower_sessions::session::Error> {
    let is_same =
        |before: &SignedIn| (&before.admin.issuer, &before.admin.subject) == (&admin.issuer, &admin.subject);
    let typed = match session.get::<SignedIn>(SIGNED_IN).await? {
        Some(before) if is_same(&before) => session.get::<Typed>(TYPED).await?,
        Some(_) | None => None,
    };
    session.clear().await;
    session.cycle_id().await?;
    let ends_ms = now_ms + policy.absolute_ms;
    let held = SignedIn { admin, began_ms: now_ms, proven_ms, ends_ms, seen_ms: now_ms, id_token };
    session.insert(SIGNED_IN, held).await?;
    match typed {
        Some(typed) => session.insert(TYPED, typed).await,
        None => Ok(()),
    }
}

/// A form that waits for its person to sign in again.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Typed {
    /// The page that it stands on.
    pub path: String,
    /// What was typed.
    pub values: BTreeMap<String, Vec<String>>,
    /// When.
    pub at_ms: Millis,
}

/// Keeps a form for when its person has signed in again. It takes the place of one that was kept before.
///
/// # Errors
/// When the store does not answer.
pub async fn keep_typed(session: &Session, typed: Typed) -> Result<(), tower_sessions::session::Error> {
    session.insert(TYPED, typed).await
}

/// The form that was kept for a page, for as long as a sign-in counts as recent.
pub async fn typed(session: &Session, path: &str, now_ms: Millis) -> Option<Typed> {
    let typed = session.get::<Typed>(TYPED).await.ok().flatten()?;
    (typed.path == path && is_recent(typed.at_ms, now_ms)).then_some(typed)
}

/// Forgets who is signed in, and keeps the session for what is still to be said.
///
/// # Errors
/// When the store does not answer.
pub async fn forget_admin(session: &Session) -> Result<(), tower_sessions::session::Error> {
    session.remove_value(SIGNED_IN).await.map(|_| ())
}

/// Who is signed in at `now_ms`; `None` when nobody is, or no longer.
pub async fn current_admin(session: &Session, now_ms: Millis) -> Option<Admin> {
    signed_in(session, now_ms).await.map(|held| held.admin)
}

/// The ID token that the person signed in with, when it was kept.
pub async fn id_token(session: &Session) -> Option<String> {
    session.get::<SignedIn>(SIGNED_IN).await.ok().flatten()?.id_token
}

async fn signed_in(session: &Session, now_ms: Millis) -> Option<SignedIn> {
    // A session that cannot be read is nobody's.
    let held = session.get::<SignedIn>(SIGNED_IN).await.unwrap_or_else(|error| {
        tracing::error!(%error, "a session cannot be read");
        None
    })?;
    // A clock that was set back may not lengthen a session; one that is corrected by seconds is let be.
    (held.began_ms - MINUTE_MS..held.ends_ms).contains(&now_ms).then_some(held)
}

/// Puts off the idle end of a session that is in use.
async fn touch(session: &Session, held: SignedIn, now_ms: Millis) {
    if now_ms - held.seen_ms < MINUTE_MS {
        return;
    }
    if let Err(error) = session.insert(SIGNED_IN, SignedIn { seen_ms: now_ms, ..held }).await {
        tracing::error!(%error, "a session cannot be kept awake");
    }
}

/// The context of a person whose session proves them.
#[expect(clippy::disallowed_methods, reason = "the session proves who it is")]
pub fn admin_cx(keyward: Arc<Keyward>, admin: Admin, request: RequestInfo) -> Cx<Admin> {
    Cx::new(keyward, admin, request)
}

/// The context of somebody who is not let in yet.
#[expect(clippy::disallowed_methods, reason = "a visitor proves nothing, and may only try to sign in")]
pub fn visitor_cx(keyward: Arc<Keyward>, request: RequestInfo) -> Cx<Visitor> {
    Cx::new(keyward, Visitor, request)
}

/// Lets only signed-in people through, with their [`Cx<Admin>`](Cx) and [`ProvenAt`] in the request's extensions.
///
/// Somebody who asks for a page is sent to sign in and comes back to it; everything else gets 401.
/// Needs [`RequestInfo`] and the layer of [`layer`] outside of it.
pub async fn require_admin(
    State(keyward): State<Arc<Keyward>>,
    mut request: Request,
    next: Next,
) -> Response {
    let extensions = request.extensions();
    let (Some(session), Some(info)) =
        (extensions.get::<Session>().cloned(), extensions.get::<RequestInfo>().cloned())
    else {
        tracing::error!("require_admin stands outside of the layers that it needs");
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let now_ms = info.arrived_ms;
    let Some(held) = signed_in(&session, now_ms).await else {
        return turn_away(&request);
    };
    let cx = admin_cx(keyward, held.admin.clone(), info);
    let proven = ProvenAt(held.proven_ms);
    touch(&session, held, now_ms).await;
    request.extensions_mut().insert(cx);
    request.extensions_mut().insert(proven);
    next.run(request).await
}

fn turn_away(request: &Request) -> Response {
    let no_store = (header::CACHE_CONTROL, "no-store");
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let accept = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok());
    if !reads || accept.is_some_and(|accept| accept.contains("json")) {
        return (StatusCode::UNAUTHORIZED, [no_store], "sign in first").into_response();
    }
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    (StatusCode::SEE_OTHER, [no_store, (header::LOCATION, &next::sign_in_path(path))]).into_response()
}

/// Sessions in the database of `ops`.
#[derive(Clone)]
pub struct Store {
    keyward: Arc<Keyward>,
    policy: SessionPolicy,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("policy", &self.policy).finish_non_exhaustive()
    }
}

impl Store {
    /// When a record that is written now ends: time is Keyward's, not the library's.
    fn expires_ms(&self, record: &Record) -> Millis {
        let now_ms = self.keyward.clock().now_ms();
        match record.data.get(SIGNED_IN).and_then(|held| held.get("ends_ms")?.as_i64()) {
            Some(ends_ms) => ends_ms.min(now_ms + self.policy.idle_ms),
            None => now_ms + BEFORE_SIGN_IN_MS,
        }
    }
}

fn data(record: &Record) -> session_store::Result<Vec<u8>> {
    serde_json::to_vec(record).map_err(|error| session_store::Error::Encode(error.to_string()))
}

#[async_trait::async_trait]
impl SessionStore for Store {
    async fn create(&self, record: &mut Record) -> session_store::Result<()> {
        // 128 random bits do not meet another 128; a store that found them taken says so.
        let (id, ends_ms) = (id_hash(record.id), self.expires_ms(record));
        ops::sessions::create(&self.keyward, &id, &data(record)?, ends_ms).await.map_err(backend)
    }

    async fn save(&self, record: &Record) -> session_store::Result<()> {
        let (id, ends_ms) = (id_hash(record.id), self.expires_ms(record));
        // A session that was ended while its request was under way is not there, and stays so.
        ops::sessions::save(&self.keyward, &id, &data(record)?, ends_ms).await.map(drop).map_err(backend)
    }

    async fn load(&self, id: &Id) -> session_store::Result<Option<Record>> {
        let data = ops::sessions::load(&self.keyward, &id_hash(*id)).await.map_err(backend)?;
        data.map(|data| serde_json::from_slice(&data))
            .transpose()
            .map_err(|error| session_store::Error::Decode(error.to_string()))
    }

    async fn delete(&self, id: &Id) -> session_store::Result<()> {
        ops::sessions::delete(&self.keyward, &id_hash(*id)).await.map_err(backend)
    }
}

fn id_hash(id: Id) -> String {
    domain::hex(&Sha256::digest(id.to_string()))
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
fn backend(error: ops::Error) -> session_store::Error {
    session_store::Error::Backend(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_store_never_sees_the_id() {
        let id = Id(42);
        let hash = id_hash(id);
        assert_eq!(hash.len(), 64);
        assert!(hash.bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert!(!hash.contains(&id.to_string()));
        assert_eq!(hash, id_hash(Id(42)));
        assert_ne!(hash, id_hash(Id(43)));
    }

    #[test]
    fn the_cookie_is_bound_to_the_host_where_https_is() {
        assert_eq!(SessionPolicy::new(true).cookie_name(), "__Host-keyward");
        assert_eq!(SessionPolicy::new(false).cookie_name(), "keyward");
    }
}
