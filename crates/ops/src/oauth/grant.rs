//! One request for a token: who it is, whether that is proven, what the token may do.
//!
//! Everything that speaks against the client is answered alike and recorded apart. An assertion
//! counts once: it is remembered by the commit that gives the token out, whichever node that is.

use std::sync::Arc;

use aws_lc_rs::digest;
use domain::{
    KeyId, Millis, Secret,
    audit::{Action, AuditEvent, Outcome},
    federations::{Federation, FederationStatus},
    keys::{Key, KeyState, Proof, SecretKind, parse_as},
    oauth::{
        Jwk, Jwks, Refusal, ScopeWords,
        assertion::{Assertion, Expected, SKEW_MS, claimed_client},
    },
};
use serde_json::json;
use store::{
    Change, Conn,
    keys::StoredKey,
    oauth::{StoredClient, StoredToken},
};

use super::{ClientKeys, issuer, signature, token_endpoint};
use crate::{
    Cx, Error, Keyward, RequestInfo,
    ports::Refusals,
    scim_client::{Presented, check_refusals},
    unit::detail,
};

/// How often a request is begun again because the key was changed meanwhile.
const TRIES: usize = 3;

/// A hash that no secret has.
const NO_HASH: &str = domain::audit::GENESIS;

/// Seconds after which a client of a paused federation may come back.
const PAUSED_RETRY_S: u32 = 300;

/// A request for a token, read from its form.
pub struct TokenRequest {
    /// The `client_id`, which an assertion need not have beside it.
    pub client_id: Option<String>,
    /// What proves the client.
    pub proof: ProofGiven,
    /// The words that narrow the token.
    pub scope: Option<String>,
}

/// What proves a client.
pub enum ProofGiven {
    /// A signed assertion (RFC 7523 2.2).
    Assertion(String),
    /// A secret (RFC 6749 2.3.1).
    Secret(Secret),
}

/// A token, and what is said with it; the only holder of its text.
pub struct Granted {
    /// The token.
    pub token: Secret,
    /// How long it lives, in seconds.
    pub expires_in_s: i64,
    /// What it may do.
    pub scope: ScopeWords,
}

/// Why there is no token (RFC 6749 5.2). Nothing in it tells an unknown client from a wrong proof.
#[derive(Debug, thiserror::Error)]
pub enum GrantError {
    /// The client is not known, not proven, or not accepted any more.
    #[error("the client is not known, or its proof is not accepted")]
    InvalidClient,
    /// A word that is not known, or that the key does not allow.
    #[error("the scope has a word that is not known, or that this client may not have")]
    InvalidScope,
    /// The client may not ask from where it asks.
    #[error("this client may not be used from this address")]
    UnauthorizedClient,
    /// The federation is paused; seconds after which to come back.
    #[error("this federation is paused; come back later")]
    Held {
        /// Seconds.
        retry_after_s: u32,
    },
    /// Nothing that the client could mend.
    #[error(transparent)]
    Failed(#[from] Error),
}

impl From<store::Error> for GrantError {
    fn from(error: store::Error) -> Self {
        Self::Failed(error.into())
    }
}

/// Gives a token to a client that proves itself.
///
/// # Errors
/// [`GrantError`]; each refusal of something that could be a client is recorded, as far as
/// `refusals` lets it.
pub async fn grant(
    keyward: &Arc<Keyward>,
    keys: &ClientKeys,
    request: &RequestInfo,
    refusals: &dyn Refusals,
    asked: &TokenRequest,
) -> Result<Granted, GrantError> {
    let mut tries = 0;
    loop {
        tries += 1;
        match (Attempt { keyward, keys, request, refusals }).run(asked).await {
            // The key was changed between its reading and the commit.
            Err(GrantError::Failed(Error::Stale(_))) if tries < TRIES => {}
            result => return result,
        }
    }
}

/// What to answer to a request that proves nobody, counted like every refusal.
pub async fn unproven(keyward: &Arc<Keyward>, request: &RequestInfo, refusals: &dyn Refusals) -> GrantError {
    match check_refusals(keyward, request, refusals, Action::TokenRefused).await {
        Ok(()) => GrantError::InvalidClient,
        Err(error) => error.into(),
    }
}

struct Attempt<'a> {
    keyward: &'a Arc<Keyward>,
    keys: &'a ClientKeys,
    request: &'a RequestInfo,
    refusals: &'a dyn Refusals,
}

/// A client that was proven, and by what.
struct Proven {
    key: Key,
    federation: Federation,
    /// The thumbprint of its public key; empty for a secret.
    by: String,
    /// The hash of the assertion's jti, and when it may be forgotten.
    once: Option<(String, Millis)>,
}

impl Attempt<'_> {
    async fn run(&self, asked: &TokenRequest) -> Result<Granted, GrantError> {
        let proven = match &asked.proof {
            ProofGiven::Assertion(text) => self.by_assertion(text, asked.client_id.as_deref()).await?,
            ProofGiven::Secret(secret) => self.by_secret(secret, asked.client_id.as_deref()).await?,
        };
        let Proven { key, federation, .. } = &proven;
        let state = key.life.state(self.now_ms());
        if !state.is_accepted() {
            let reason = format!("key is {}", state.label().to_lowercase());
            return self.refuse(&key.id, Some((key, federation)), &reason, GrantError::InvalidClient).await;
        }
        let of = Some((key, federation));
        match federation.status {
            FederationStatus::Live => {}
            FederationStatus::Archived => {
                return self.refuse(&key.id, of, "federation is archived", GrantError::InvalidClient).await;
            }
            FederationStatus::Paused => {
                let held = GrantError::Held { retry_after_s: PAUSED_RETRY_S };
                return self.refuse(&key.id, of, "federation is paused", held).await;
            }
        }
        if state == KeyState::Held {
            let held = GrantError::Held { retry_after_s: PAUSED_RETRY_S };
            return self.refuse(&key.id, of, "key is held", held).await;
        }
        let now_ms = self.now_ms();
        let admitted =
            key.scope.admits_source(self.request.source).and_then(|()| key.scope.admits_time(now_ms));
        if let Err(refusal) = admitted {
            return self.refuse(&key.id, of, &refusal.to_string(), GrantError::UnauthorizedClient).await;
        }
        let words = asked
            .scope
            .as_deref()
            .map(|text| ScopeWords::parse(text).filter(|words| words.is_within(&key.scope)));
        if words == Some(None) {
            let reason = "the scope has a word that is not known, or that the key does not allow";
            return self.refuse(&key.id, of, reason, GrantError::InvalidScope).await;
        }
        self.give(proven, words.flatten()).await
    }

    async fn by_assertion(&self, text: &str, client_id: Option<&str>) -> Result<Proven, GrantError> {
        let (issuer, endpoint) = (issuer(self.keyward), token_endpoint(self.keyward));
        let expected = Expected { audiences: [&issuer, &endpoint], now_ms: self.now_ms() };
        let assertion = match Assertion::read(text, expected) {
            Ok(assertion) => assertion,
            Err(refusal) => return self.nobody(claimed_client(text).as_ref(), refusal.0).await,
        };
        if client_id.is_some_and(|id| id != assertion.client.as_str()) {
            return self.nobody(Some(&assertion.client), "client_id is not sub of the assertion").await;
        }
        let Some((StoredKey { key, .. }, federation)) = self.find(&assertion.client).await? else {
            return self.nobody(Some(&assertion.client), "unknown client").await;
        };
        let by = if key.proof == Proof::Assertion {
            self.signer(&key, &assertion).await?
        } else {
            Err(Refusal("the client does not prove itself by assertions"))
        };
        match by {
            Ok(by) => {
                let jti = digest::digest(&digest::SHA256, assertion.jti.as_bytes());
                let once = Some((domain::hex(jti.as_ref()), assertion.expires_ms + SKEW_MS));
                Ok(Proven { key, federation, by, once })
            }
            Err(refusal) => {
                let of = Some((&key, &federation));
                self.refuse(&key.id, of, refusal.0, GrantError::InvalidClient).await
            }
        }
    }

    /// The thumbprint of the client's public key that signed an assertion.
    async fn signer(
        &self,
        key: &Key,
        assertion: &Assertion<'_>,
    ) -> Result<Result<String, Refusal>, GrantError> {
        const BY_NONE: Refusal = Refusal("the assertion is signed by no key of the client");
        let client = {
            let mut reader = self.keyward.store.read().await?;
            store::oauth::client(&mut reader.conn(), &key.federation_id, &key.id).await?
        };
        let uri = match client {
            Some(StoredClient::Jwks(text)) => {
                let keys = Jwks::fetched(text.as_bytes()).map_err(|refusal| {
                    GrantError::Failed(Error::Internal(format!("client of key {}: {refusal}", key.id)))
                })?;
                return Ok(signer_in(&keys, assertion).ok_or(BY_NONE));
            }
            Some(StoredClient::JwksUri(uri)) => uri,
            None => return Ok(Err(Refusal("the client has no keys"))),
        };
        let now_ms = self.now_ms();
        let keys = match self.keys.at(&uri, None, now_ms).await {
            Ok(keys) => keys,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if let Some(thumbprint) = signer_in(&keys, assertion) {
            return Ok(Ok(thumbprint));
        }
        let newer = self.keys.at(&uri, Some(&keys), now_ms).await;
        Ok(newer.and_then(|keys| signer_in(&keys, assertion).ok_or(BY_NONE)))
    }

    async fn by_secret(&self, secret: &Secret, client_id: Option<&str>) -> Result<Proven, GrantError> {
        let client_id = client_id.and_then(KeyId::parse);
        let presented = parse_as(SecretKind::ClientSecret, secret.expose()).ok();
        let (Some(id), Some(presented)) = (&client_id, presented) else {
            return self.nobody(client_id.as_ref(), "that is no client secret").await;
        };
        let found = self.find(id).await?;
        // An unknown client costs the same as a known one.
        let hash = found.as_ref().map_or(NO_HASH, |(stored, _)| stored.hash.as_str());
        let fits = self.keyward.vault.is_hash_of(presented.text, hash);
        let Some((StoredKey { key, .. }, federation)) = found else {
            return self.nobody(Some(id), "unknown client").await;
        };
        let of = Some((&key, &federation));
        if !fits || key.proof != Proof::Secret || presented.id != *id {
            return self.refuse(id, of, "wrong client secret", GrantError::InvalidClient).await;
        }
        if !federation.scim.oauth_secrets {
            let reason = "client secrets are not allowed any more";
            return self.refuse(id, of, reason, GrantError::InvalidClient).await;
        }
        Ok(Proven { key, federation, by: String::new(), once: None })
    }

    /// Writes the token, and that the assertion was used.
    async fn give(&self, proven: Proven, narrowed: Option<ScopeWords>) -> Result<Granted, GrantError> {
        let Proven { key, federation, by, once } = proven;
        let now_ms = self.now_ms();
        let minutes = federation.scim.check().unwrap_or_default().token_minutes;
        let expires_ms = (now_ms + minutes * 60_000).min(key.life.ends_ms());
        let expires_in_s = (expires_ms - now_ms) / 1_000;
        let token = self.keyward.new_secret(SecretKind::Token, &key.id);
        let hash = self.keyward.vault.hash_key(token.expose());
        let scope = narrowed.clone().unwrap_or_else(|| ScopeWords::of(&key.scope));
        let given = AuditEvent {
            detail: detail(&json!({
                "proof": key.proof, "public_key": (!by.is_empty()).then_some(&by),
                "scope": scope.to_string(), "expires_ms": expires_ms,
            })),
            ..self.event(&key.id, Some((&key, &federation)), Action::TokenIssued)
        };
        let replayed = AuditEvent {
            outcome: Outcome::Refused,
            reason: Some("the assertion was used before".to_owned()),
            ..self.event(&key.id, Some((&key, &federation)), Action::TokenRefused)
        };
        let stored = StoredToken {
            scope: narrowed.map(|words| words.to_string()),
            proven_by: by,
            issued_ms: now_ms,
            expires_ms,
        };
        let was_given = self
            .keyward
            .commit(async move |conn: &mut Conn<'_>| {
                let (id, federation_id) = (&key.id, &federation.id);
                let (version, other) = (key.version, federation.version);
                if !store::keys::is_as_seen(conn, federation_id, id, version, other).await? {
                    return Err(Error::Stale("this key"));
                }
                if let Some((jti_hash, forget_ms)) = &once
                    && !store::oauth::remember(conn, federation_id, id, jti_hash, *forget_ms).await?
                {
                    return Ok(Change::new(false, replayed.clone()));
                }
                store::oauth::insert_token(conn, federation_id, id, &hash, &stored).await?;
                Ok(Change::new(true, given.clone()))
            })
            .await?;
        if was_given { Ok(Granted { token, expires_in_s, scope }) } else { Err(GrantError::InvalidClient) }
    }

    async fn find(&self, id: &KeyId) -> Result<Option<(StoredKey, Federation)>, GrantError> {
        let mut reader = self.keyward.store.read().await?;
        Ok(store::keys::with_federation(&mut reader.conn(), id).await?)
    }

    /// Refuses somebody of whom nothing is known but an id, at best. What has no id of ours costs
    /// the database nothing.
    async fn nobody<T>(&self, claimed: Option<&KeyId>, reason: &str) -> Result<T, GrantError> {
        match claimed {
            None => Err(unproven(self.keyward, self.request, self.refusals).await),
            Some(id) => {
                let found = self.find(id).await?;
                let of = found.as_ref().map(|(stored, federation)| (&stored.key, federation));
                self.refuse(id, of, reason, GrantError::InvalidClient).await
            }
        }
    }

    async fn refuse<T>(
        &self,
        id: &KeyId,
        of: Option<(&Key, &Federation)>,
        reason: &str,
        error: GrantError,
    ) -> Result<T, GrantError> {
        check_refusals(self.keyward, self.request, self.refusals, Action::TokenRefused).await?;
        self.keyward.record_refusal(self.event(id, of, Action::TokenRefused), reason).await?;
        Err(error)
    }

    fn event(&self, id: &KeyId, of: Option<(&Key, &Federation)>, action: Action) -> AuditEvent {
        let name = of.map_or("unknown", |(key, _)| key.name.as_str()).to_owned();
        let cx = Cx {
            keyward: Arc::clone(self.keyward),
            actor: Presented { key_id: id.clone(), name },
            request: self.request.clone(),
        };
        AuditEvent {
            federation_id: of.map(|(_, federation)| federation.id.clone()),
            // The key is named only when it is one of ours.
            key_id: of.map(|_| id.clone()),
            target: of.map(|(key, _)| key.name.clone()),
            ..cx.event(action)
        }
    }

    fn now_ms(&self) -> Millis {
        self.keyward.clock.now_ms()
    }
}

fn signer_in(keys: &Jwks, assertion: &Assertion<'_>) -> Option<String> {
    let Assertion { algorithm, kid, message, signature, .. } = assertion;
    keys.candidates(*algorithm, kid.as_deref())
        .find(|key| signature::is_by(&key.material, *algorithm, message.as_bytes(), signature))
        .map(Jwk::thumbprint)
}
