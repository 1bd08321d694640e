//! From a code to claims that are proven: the token endpoint, the keys, userinfo.

use std::sync::Arc;

use axum::http::{StatusCode, header};
use domain::{Secret, json};
use openidconnect::{
    AccessToken, AuthType, AuthorizationCode, ClientId, ClientSecret, EndpointMaybeSet, EndpointNotSet,
    EndpointSet, OAuth2TokenResponse, PkceCodeVerifier, RedirectUrl, RequestTokenError, TokenResponse,
    core::{CoreClient, CoreClientAuthMethod, CoreIdToken, CoreTokenResponse},
    http as oidc_http,
};

use super::{
    Inner, OidcEdge,
    provider::Known,
    refusal::{Code, Refusal},
    roles,
    token::{self, Claims, Expected, Fault},
};

/// openidconnect's client with the endpoints that discovery sets.
type Client = CoreClient<
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

impl OidcEdge {
    /// The client for what this provider says it takes.
    pub(super) fn client(&self, known: &Known) -> Client {
        let Inner { settings, .. } = &*self.0;
        let secret = settings.client_secret.as_ref().map(Secret::expose);
        let client = CoreClient::from_provider_metadata(
            known.metadata.clone(),
            ClientId::new(settings.client_id.clone()),
            secret.map(|secret| ClientSecret::new(secret.to_owned())),
        );
        // OIDC Discovery 3: client_secret_basic, unless the provider does not list it.
        let methods = known.metadata.token_endpoint_auth_methods_supported();
        let basic = methods.is_none_or(|methods| {
            methods.contains(&CoreClientAuthMethod::ClientSecretBasic)
                || !methods.contains(&CoreClientAuthMethod::ClientSecretPost)
        });
        client
            .set_auth_type(if basic { AuthType::BasicAuth } else { AuthType::RequestBody })
            .set_redirect_uri(RedirectUrl::from_url(settings.redirect_uri.clone()))
    }

    /// Redeems the code at the token endpoint.
    pub(super) async fn redeem(
        &self,
        known: &Known,
        code: String,
        verifier: PkceCodeVerifier,
        expected: &Expected<'_>,
    ) -> Result<(CoreIdToken, AccessToken), Refusal> {
        let answer: Result<CoreTokenResponse, _> = self
            .client(known)
            .exchange_code(AuthorizationCode::new(code))
            .map_err(|_| Refusal::new(Code::ProviderUnreachable, "it names no token endpoint"))?
            .set_pkce_verifier(verifier)
            .request_async(self.0.provider.http())
            .await;
        let answer = answer.map_err(|error| match error {
            RequestTokenError::Request(error) => Refusal::new(Code::ProviderUnreachable, error.to_string()),
            RequestTokenError::ServerResponse(_) => {
                Refusal::new(Code::Token, "the provider did not redeem the code")
            }
            RequestTokenError::Parse(_, body) => unreadable(&body, expected),
            RequestTokenError::Other(_) => {
                Refusal::new(Code::Token, "the provider's answer to the code is not one")
            }
        })?;
        let id_token = answer
            .id_token()
            .cloned()
            .ok_or_else(|| Refusal::new(Code::Token, "the provider gave no ID token"))?;
        Ok((id_token, answer.access_token().clone()))
    }

    /// Proves the ID token, with fresh keys when the known ones do not.
    pub(super) async fn prove(
        &self,
        id_token: &CoreIdToken,
        access_token: &AccessToken,
        known: &Arc<Known>,
        expected: &Expected<'_>,
    ) -> Result<(), Refusal> {
        let refusal = match token::verify(id_token, access_token, &known.keys, expected) {
            Ok(()) => return Ok(()),
            Err(Fault::Refused(refusal)) => return Err(refusal),
            Err(Fault::UnknownKey(refusal)) => refusal,
        };
        let Some(newer) = self.0.provider.newer_keys(known, expected.now_ms).await else {
            return Err(refusal);
        };
        token::verify(id_token, access_token, &newer.keys, expected).map_err(|fault| match fault {
            Fault::UnknownKey(refusal) | Fault::Refused(refusal) => refusal,
        })
    }

    /// Adds what the ID token does not say and the provider tells at its userinfo endpoint.
    pub(super) async fn complete(
        &self,
        known: &Known,
        access_token: &AccessToken,
        claims: &mut Claims,
    ) -> Result<(), Refusal> {
        let has_roles = roles::values(claims, &self.0.settings.roles_claim).is_some();
        let Some(endpoint) = known.metadata.userinfo_endpoint().filter(|_| !has_roles) else {
            return Ok(());
        };
        let request = oidc_http::Request::get(endpoint.as_str())
            .header(header::ACCEPT, "application/json")
            .header(header::AUTHORIZATION, format!("Bearer {}", access_token.secret()))
            .body(Vec::new())
            .map_err(|_| Refusal::new(Code::Token, "the access token is not one"))?;
        let answer = self.0.provider.http().send(request).await;
        let answer = answer.map_err(|error| Refusal::new(Code::ProviderUnreachable, error.to_string()))?;
        if answer.status() != StatusCode::OK {
            let status = answer.status().as_u16();
            return Err(Refusal::new(
                Code::ProviderUnreachable,
                format!("userinfo answered with status {status}"),
            ));
        }
        let told = json::object(answer.body())
            .ok_or_else(|| Refusal::new(Code::Token, "userinfo is not one plain object"))?;
        // OIDC Core 5.3.2: otherwise it may speak of somebody else.
        if told.get("sub") != claims.get("sub") {
            return Err(Refusal::new(Code::Token, "sub of userinfo is not that of the ID token"));
        }
        for (name, value) in told {
            claims.entry(name).or_insert(value);
        }
        Ok(())
    }
}

/// Why openidconnect could not read a token response: our reader of the ID token may know better.
fn unreadable(body: &[u8], expected: &Expected<'_>) -> Refusal {
    json::object(body)
        .and_then(|answer| token::read(answer.get("id_token")?.as_str()?, expected).err())
        .unwrap_or_else(|| Refusal::new(Code::Token, "the provider's answer to the code cannot be read"))
}
