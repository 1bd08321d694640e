//! OAuth 2.0 client credentials: key records whose holders prove themselves for short-lived tokens.
//!
//! A token is bound to its key record: it opens what the record opens, while the record opens it,
//! or less. Revoking the key, or taking away the public key that proved the client, ends its tokens
//! with the same commit. The secret of a token is in the one answer that gives it; the database has
//! its keyed hash.

mod clients;
mod grant;
mod keys;
mod signature;

use std::sync::Arc;

use domain::{
    FederationId, Millis,
    keys::{Life, PresentedKey, Proof},
    oauth::ScopeWords,
    scopes::Scope,
};
use serde_json::{Value, json};
use store::oauth::StoredToken;

pub(crate) use self::clients::{Registered, registered, told};
pub use self::{
    clients::{ChangeClient, ClientKey, ClientView, NewClient, change, open},
    grant::{GrantError, Granted, ProofGiven, TokenRequest, grant, unproven},
    keys::ClientKeys,
};
use crate::{Error, Keyward};

/// Where the token endpoint is, under the public address.
pub const TOKEN_PATH: &str = "/oauth2/token";

/// The issuer (RFC 8414 2): the public address.
pub fn issuer(keyward: &Keyward) -> String {
    keyward.settings.public_url.clone()
}

/// The address of the token endpoint.
pub fn token_endpoint(keyward: &Keyward) -> String {
    format!("{}{TOKEN_PATH}", keyward.settings.public_url)
}

/// The metadata of the authorization server (RFC 8414 2).
pub fn metadata(keyward: &Keyward) -> Value {
    json!({
        "issuer": issuer(keyward),
        "token_endpoint": token_endpoint(keyward),
        "grant_types_supported": ["client_credentials"],
        // There is no authorization endpoint; the member is required.
        "response_types_supported": [],
        "token_endpoint_auth_methods_supported":
            ["private_key_jwt", "client_secret_basic", "client_secret_post"],
        "token_endpoint_auth_signing_alg_values_supported":
            domain::oauth::Algorithm::ALL.map(domain::oauth::Algorithm::as_str),
        "scopes_supported": ScopeWords::all().collect::<Vec<_>>(),
    })
}

/// A token that was presented, as its key record knows it.
pub(crate) struct KnownToken {
    /// Its keyed hash.
    pub hash: String,
    stored: StoredToken,
}

impl KnownToken {
    /// Why it opens nothing, though its key may.
    pub fn refusal(&self, holder: Proof, secrets_allowed: bool, now_ms: Millis) -> Option<&'static str> {
        if now_ms >= self.stored.expires_ms {
            Some("token has expired")
        } else if holder == Proof::Secret && !secrets_allowed {
            Some("client secrets are not allowed any more")
        } else {
            None
        }
    }

    /// When it ends: by itself, or with its key.
    pub fn ends_ms(&self, of: &Life) -> Millis {
        of.ends_ms().min(self.stored.expires_ms)
    }

    /// What it may do of what its key may do. A word that is not known any more refuses everything.
    pub fn narrow(&self, scope: &Arc<Scope>) -> Arc<Scope> {
        match &self.stored.scope {
            None => Arc::clone(scope),
            Some(text) => match ScopeWords::parse(text) {
                Some(words) => Arc::new(words.narrow(scope)),
                None => Arc::new(Scope::of([])),
            },
        }
    }
}

/// The token that was presented, when its key, which is `of` a federation, has given it out.
pub(crate) async fn known_token(
    keyward: &Keyward,
    presented: &PresentedKey<'_>,
    of: Option<&FederationId>,
) -> Result<Option<KnownToken>, Error> {
    let Some(federation_id) = of else { return Ok(None) };
    let hash = keyward.vault.hash_key(presented.text);
    let mut reader = keyward.store.read().await?;
    let stored = store::oauth::token(&mut reader.conn(), federation_id, &presented.id, &hash).await?;
    Ok(stored.map(|stored| KnownToken { hash, stored }))
}
