//! The provider as it describes itself: endpoints and keys, fetched when needed and kept.
//!
//! Nothing is fetched at start, so that Keyward starts while the provider is down. A description is
//! taken afresh every hour; keys that cannot be are believed for 24 hours more at most. A token
//! with an unknown key has the keys fetched again, at most once in 30 seconds, whoever asks.

use std::sync::Arc;

use domain::{DAY_MS, HOUR_MS, Millis};
use openidconnect::{
    AdditionalProviderMetadata, DiscoveryError, IssuerUrl, JsonWebKeySet, ProviderMetadata, UserInfoUrl,
    core::{
        CoreAuthDisplay, CoreClaimName, CoreClaimType, CoreClientAuthMethod, CoreGrantType, CoreJsonWebKey,
        CoreJsonWebKeySet, CoreJweContentEncryptionAlgorithm, CoreJweKeyManagementAlgorithm,
        CoreResponseMode, CoreResponseType, CoreSubjectIdentifierType,
    },
};
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, RwLock};
use url::Url;

use crate::out::http::{HttpError, OidcHttp};

use super::refusal::{Code, Refusal};

/// How often the keys may be fetched because a token names one that is not known.
pub const KEYS_EVERY_MS: Millis = 30_000;

/// How long keys are believed that cannot be fetched again.
pub const KEYS_KEPT_MS: Millis = DAY_MS;

const FRESH_MS: Millis = HOUR_MS;
const RETRY_MS: Millis = 5_000;

/// What discovery says beside OIDC Discovery 1.0: RP-Initiated Logout 1.0 and RFC 9207.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Beside {
    /// Where to send the browser to sign out.
    #[serde(default)]
    pub end_session_endpoint: Option<Url>,
    /// Whether every authorization response carries `iss`.
    #[serde(default)]
    pub authorization_response_iss_parameter_supported: Option<bool>,
}

impl AdditionalProviderMetadata for Beside {}

/// A discovery document.
pub type Metadata = ProviderMetadata<
    Beside,
    CoreAuthDisplay,
    CoreClientAuthMethod,
    CoreClaimName,
    CoreClaimType,
    CoreGrantType,
    CoreJweContentEncryptionAlgorithm,
    CoreJweKeyManagementAlgorithm,
    CoreJsonWebKey,
    CoreResponseMode,
    CoreResponseType,
    CoreSubjectIdentifierType,
>;

/// A provider as it was found.
pub struct Known {
    /// Its endpoints.
    pub metadata: Metadata,
    /// Its keys.
    pub keys: CoreJsonWebKeySet,
    fetched_ms: Millis,
}

impl Known {
    /// Whether every authorization response of this provider carries `iss`.
    pub fn sends_issuer(&self) -> bool {
        self.metadata.additional_metadata().authorization_response_iss_parameter_supported == Some(true)
    }

    /// Where to send the browser to sign out there too.
    pub fn end_session(&self) -> Option<&Url> {
        self.metadata.additional_metadata().end_session_endpoint.as_ref()
    }
}

/// The provider of one issuer.
pub struct Provider {
    issuer: IssuerUrl,
    http: OidcHttp,
    known: RwLock<Option<Arc<Known>>>,
    /// When something was last fetched; held while fetching, so that many who ask cause one fetch.
    tried_ms: Mutex<Option<Millis>>,
}

impl Provider {
    /// Nothing is fetched yet.
    pub fn new(issuer: IssuerUrl, http: OidcHttp) -> Self {
        Self { issuer, http, known: RwLock::new(None), tried_ms: Mutex::new(None) }
    }

    /// The issuer that was configured.
    pub fn issuer(&self) -> &IssuerUrl {
        &self.issuer
    }

    /// The client to call it with.
    pub fn http(&self) -> &OidcHttp {
        &self.http
    }

    /// The provider as it is known, fetched if it must be.
    ///
    /// # Errors
    /// `provider-unreachable` when it does not answer, describes another issuer, or names an
    /// endpoint that may not be called.
    pub async fn known(&self, now_ms: Millis) -> Result<Arc<Known>, Refusal> {
        let fresh = |known: &Arc<Known>| within(known.fetched_ms, FRESH_MS, now_ms);
        if let Some(known) = self.current().await.filter(fresh) {
            return Ok(known);
        }
        let mut tried_ms = self.tried_ms.lock().await;
        let kept = self.current().await;
        if let Some(known) = kept.clone().filter(fresh) {
            return Ok(known);
        }
        let just_tried = tried_ms.is_some_and(|at_ms| within(at_ms, RETRY_MS, now_ms));
        let found = if just_tried {
            Err("it did not answer a moment ago".to_owned())
        } else {
            *tried_ms = Some(now_ms);
            self.discover(now_ms).await
        };
        match (found, kept) {
            (Ok(known), _) => {
                let known = Arc::new(known);
                *self.known.write().await = Some(Arc::clone(&known));
                Ok(known)
            }
            (Err(_), Some(known)) if within(known.fetched_ms, KEYS_KEPT_MS, now_ms) => Ok(known),
            (Err(reason), _) => {
                tracing::warn!(issuer = self.issuer.as_str(), reason, "the identity provider cannot be used");
                Err(Refusal::new(Code::ProviderUnreachable, reason))
            }
        }
    }

    /// Keys newer than those that do not know a token's key; `None` when there are none, or they
    /// were fetched less than 30 seconds ago.
    pub async fn newer_keys(&self, seen: &Arc<Known>, now_ms: Millis) -> Option<Arc<Known>> {
        let mut tried_ms = self.tried_ms.lock().await;
        if let Some(known) = self.current().await.filter(|known| !Arc::ptr_eq(known, seen)) {
            return Some(known);
        }
        if tried_ms.is_some_and(|at_ms| within(at_ms, KEYS_EVERY_MS, now_ms)) {
            return None;
        }
        *tried_ms = Some(now_ms);
        match JsonWebKeySet::fetch_async(seen.metadata.jwks_uri(), &self.http).await {
            Ok(keys) => {
                let known = Arc::new(Known { metadata: seen.metadata.clone(), keys, fetched_ms: now_ms });
                *self.known.write().await = Some(Arc::clone(&known));
                Some(known)
            }
            Err(error) => {
                tracing::warn!(issuer = self.issuer.as_str(), reason = say(&error), "no newer keys");
                None
            }
        }
    }

    async fn current(&self) -> Option<Arc<Known>> {
        self.known.read().await.clone()
    }

    async fn discover(&self, now_ms: Millis) -> Result<Known, String> {
        let metadata =
            Metadata::discover_async(self.issuer.clone(), &self.http).await.map_err(|error| say(&error))?;
        self.check(&metadata)?;
        let keys = metadata.jwks().clone();
        Ok(Known { metadata, keys, fetched_ms: now_ms })
    }

    /// The endpoints that this process calls, and those that the browser is sent to.
    fn check(&self, metadata: &Metadata) -> Result<(), String> {
        let token = metadata.token_endpoint().ok_or("it names no token endpoint")?;
        let named = [Some(metadata.authorization_endpoint().url()), Some(token.url())]
            .into_iter()
            .chain([
                metadata.userinfo_endpoint().map(UserInfoUrl::url),
                metadata.additional_metadata().end_session_endpoint.as_ref(),
            ])
            .flatten();
        for url in named {
            self.http.admits(url).map_err(|error| error.to_string())?;
        }
        Ok(())
    }
}

/// Whether `now_ms` is less than `length_ms` after `at_ms`. A clock that was set back makes it
/// false, so that nobody waits for a moment that will not come.
fn within(at_ms: Millis, length_ms: Millis, now_ms: Millis) -> bool {
    (0..length_ms).contains(&(now_ms - at_ms))
}

/// What went wrong, without what the provider wrote.
fn say(error: &DiscoveryError<HttpError>) -> String {
    match error {
        DiscoveryError::Request(error) => error.to_string(),
        DiscoveryError::Response(status, ..) => format!("it answered with status {}", status.as_u16()),
        DiscoveryError::Parse(_) => "its description or its keys cannot be read".to_owned(),
        DiscoveryError::Validation(_) => "it describes another issuer than the configured one".to_owned(),
        DiscoveryError::UrlParse(_) | DiscoveryError::Other(_) => "it cannot be asked".to_owned(),
        _ => "it cannot be used".to_owned(),
    }
}
