//! The clients: what is registered of them, and changing it.

use domain::{
    Invalid, KeyId,
    admins::Admin,
    audit::{Action, AuditEvent},
    federations::Federation,
    keys::{Key, Proof},
    oauth::{Jwk, Jwks, check_jwks_uri},
};
use serde_json::{Value, json};
use store::{Change, Conn, oauth::StoredClient};

use super::signature;
use crate::{Cx, Error, federations::about, keys::managed, unit::detail};

/// How an OAuth client is to prove itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NewClient {
    /// By assertions signed with one of these: a JWKS, a JWK, or public keys in PEM.
    PublicKeys(String),
    /// By assertions signed with one of the keys at this address.
    JwksUri(String),
    /// By a secret, where the federation allows it.
    Secret,
}

/// How the holder of a key proves itself, checked.
pub(crate) enum Registered {
    Static,
    Secret,
    Keys(StoredClient),
}

impl NewClient {
    pub(crate) fn check(self, federation: &Federation) -> Result<Registered, Invalid> {
        match self {
            Self::PublicKeys(text) => {
                let keys = Jwks::register(&text)?;
                if !keys.iter().all(|key| signature::is_usable(&key.material)) {
                    let text = "the coordinates of a key are not those of a point on its curve";
                    return Err(Invalid::new("public_keys", text));
                }
                Ok(Registered::Keys(StoredClient::Jwks(keys.to_json().to_string())))
            }
            Self::JwksUri(text) => Ok(Registered::Keys(StoredClient::JwksUri(check_jwks_uri(&text)?))),
            Self::Secret if federation.scim.oauth_secrets => Ok(Registered::Secret),
            Self::Secret => Err(Invalid::new("proof", secrets_not_allowed(federation))),
        }
    }
}

impl Registered {
    /// What tells two requests apart that are otherwise alike.
    pub(crate) fn fingerprint(&self) -> String {
        match self {
            Self::Static => Proof::Static.as_str().to_owned(),
            Self::Secret => Proof::Secret.as_str().to_owned(),
            Self::Keys(client) => told(client).to_string(),
        }
    }
}

fn secrets_not_allowed(federation: &Federation) -> String {
    format!("{} does not allow client secrets; an admin may change that where it is edited", federation.name)
}

/// What the successor of a key has.
pub(crate) async fn registered(
    conn: &mut Conn<'_>,
    key: &Key,
    federation: &Federation,
) -> Result<Registered, Error> {
    match key.proof {
        Proof::Static => Ok(Registered::Static),
        Proof::Secret if federation.scim.oauth_secrets => Ok(Registered::Secret),
        Proof::Secret => Err(Error::Conflict(secrets_not_allowed(federation))),
        Proof::Assertion => Ok(Registered::Keys(client_of(conn, key).await?)),
    }
}

async fn stored(cx: &Cx<Admin>, key: &Key) -> Result<StoredClient, Error> {
    client_of(&mut cx.read().await?.conn(), key).await
}

async fn client_of(conn: &mut Conn<'_>, key: &Key) -> Result<StoredClient, Error> {
    store::oauth::client(conn, &key.federation_id, &key.id)
        .await?
        .ok_or_else(|| Error::Internal(format!("key {} has no client", key.id)))
}

/// A client in the words of an audit record: thumbprints, or the address.
pub(crate) fn told(client: &StoredClient) -> Value {
    match client {
        StoredClient::Jwks(_) => json!({ "public_keys": thumbprints(client) }),
        StoredClient::JwksUri(uri) => json!({ "jwks_uri": uri }),
    }
}

/// The thumbprints of the keys that are here; none of those at an address.
fn thumbprints(client: &StoredClient) -> Vec<String> {
    match client {
        StoredClient::Jwks(text) => {
            let keys = Jwks::fetched(text.as_bytes());
            keys.map(|keys| keys.iter().map(Jwk::thumbprint).collect()).unwrap_or_default()
        }
        StoredClient::JwksUri(_) => Vec::new(),
    }
}

/// A public key as people see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientKey {
    /// The name that assertions call it by.
    pub kid: Option<String>,
    /// `RSA 2048`, `EC P-256`, `Ed25519`.
    pub label: String,
    /// Its thumbprint (RFC 7638).
    pub thumbprint: String,
}

/// An OAuth client as people see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientView {
    /// Where it asks for tokens.
    pub token_endpoint: String,
    /// Whom its assertions are for.
    pub issuer: String,
    /// Its public keys; none of a client that has a secret or an address.
    pub keys: Vec<ClientKey>,
    /// Its public keys as a JWKS; empty like `keys`.
    pub jwks: String,
    /// Where its public keys are.
    pub jwks_uri: Option<String>,
    /// How many of its tokens have not expired.
    pub live_tokens: i64,
    /// How long its tokens live, in minutes.
    pub token_minutes: i64,
}

/// The client of a key; `None` when it is static.
///
/// # Errors
/// NotFound when there is no such key that the viewer may see.
pub async fn open(cx: &Cx<Admin>, id: &KeyId) -> Result<Option<ClientView>, Error> {
    let view = crate::keys::open(cx, id).await?;
    let key = &view.key;
    if !key.proof.is_oauth() {
        return Ok(None);
    }
    let mut reader = cx.read().await?;
    let conn = &mut reader.conn();
    let client = store::oauth::client(conn, &key.federation_id, id).await?;
    let live_tokens = store::oauth::live_tokens(conn, &key.federation_id, id, cx.now_ms()).await?;
    let mut found = ClientView {
        token_endpoint: super::token_endpoint(&cx.keyward),
        issuer: super::issuer(&cx.keyward),
        keys: Vec::new(),
        jwks: String::new(),
        jwks_uri: None,
        live_tokens: if view.state.is_accepted() { live_tokens } else { 0 },
        token_minutes: view.federation.scim.token_minutes,
    };
    match client {
        None => {}
        Some(StoredClient::JwksUri(uri)) => found.jwks_uri = Some(uri),
        Some(StoredClient::Jwks(text)) => {
            let keys = Jwks::fetched(text.as_bytes())
                .map_err(|refusal| Error::Internal(format!("client of key {id}: {refusal}")))?;
            let shown = |key: &Jwk| ClientKey {
                kid: key.kid.clone(),
                label: key.material.label(),
                thumbprint: key.thumbprint(),
            };
            found.keys = keys.iter().map(shown).collect();
            found.jwks = serde_json::to_string_pretty(&keys.to_json()).unwrap_or(text);
        }
    }
    Ok(Some(found))
}

/// Other public keys for a client.
#[derive(Debug, Clone)]
pub struct ChangeClient {
    /// The version of the key that was seen.
    pub version: i64,
    /// How it is to prove itself from now on; not by a secret.
    pub client: NewClient,
}

/// Changes the public keys of a client, or where they are. Tokens that were proven by a key that is
/// not there any more end with it.
///
/// # Errors
/// Invalid; Conflict when the key is no client that signs or has ended; Stale when it was changed
/// since `version`; Forbidden; NotFound.
pub async fn change(cx: &Cx<Admin>, id: &KeyId, change: ChangeClient) -> Result<Key, Error> {
    let (key, federation) = managed(cx, id, Action::KeyClientChanged).await?;
    if key.proof != Proof::Assertion {
        return Err(Error::Conflict(format!("{} does not prove itself by a signed assertion", key.name)));
    }
    let state = key.life.state(cx.now_ms());
    if !state.is_accepted() {
        let state = state.label().to_lowercase();
        return Err(Error::Conflict(format!("{} has ended already: {state}", key.name)));
    }
    let after = match change.client.check(&federation)? {
        Registered::Keys(client) => client,
        Registered::Static | Registered::Secret => {
            return Err(Error::invalid("proof", "public keys or their address are expected"));
        }
    };
    if key.version != change.version {
        return Err(Error::Stale("this key"));
    }
    let before = stored(cx, &key).await?;
    if before == after {
        return Ok(key);
    }
    let event = AuditEvent {
        key_id: Some(key.id.clone()),
        target: Some(key.name.clone()),
        detail: detail(&json!({ "before": told(&before), "after": told(&after) })),
        ..about(cx, Action::KeyClientChanged, &federation)
    };
    let kept = thumbprints(&after);
    let now_ms = event.at_ms;
    cx.keyward
        .commit(async move |conn: &mut Conn<'_>| {
            store::oauth::change_client(conn, &key, &after, &kept, now_ms).await?;
            Ok(Change::new(Key { version: key.version + 1, ..key.clone() }, event.clone()))
        })
        .await
}
