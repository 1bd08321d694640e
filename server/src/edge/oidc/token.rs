//! Whether an ID token may be believed (OIDC Core 3.1.3.7, RFC 8725).
//!
//! Two readers must agree. Ours goes first and knows what no library decides for us: which
//! algorithms, repeated names, `azp`, tolerance of clocks, the exact shape of `nonce`. Then
//! openidconnect reads the same bytes and checks the signature against the provider's keys. Keys
//! and addresses inside the token (`jwk`, `jku`, `x5u`, `x5c`) are never looked at.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use domain::{Millis, json};
use openidconnect::{
    AccessToken, AccessTokenHash, ClaimsVerificationError, ClientId, IssuerUrl, Nonce,
    SignatureVerificationError,
    core::{CoreIdToken, CoreIdTokenVerifier, CoreJsonWebKeySet, CoreJwsSigningAlgorithm},
};
use serde_json::{Map, Value};

use super::refusal::{Code, Refusal};

/// The longest ID token that is read.
pub const TOKEN_LIMIT: usize = 64 * 1024;

/// How far the clocks of the provider and of this machine may be apart.
pub const SKEW_MS: Millis = 60_000;

/// Public-key signatures only. With HS256 an attacker who takes the published key for the shared
/// secret signs whatever he likes; `none` needs no key at all (RFC 8725 2.1, 3.1).
const ALGORITHMS: [(&str, CoreJwsSigningAlgorithm); 9] = [
    ("RS256", CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256),
    ("RS384", CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha384),
    ("RS512", CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha512),
    ("PS256", CoreJwsSigningAlgorithm::RsaSsaPssSha256),
    ("PS384", CoreJwsSigningAlgorithm::RsaSsaPssSha384),
    ("PS512", CoreJwsSigningAlgorithm::RsaSsaPssSha512),
    ("ES256", CoreJwsSigningAlgorithm::EcdsaP256Sha256),
    ("ES384", CoreJwsSigningAlgorithm::EcdsaP384Sha384),
    ("EdDSA", CoreJwsSigningAlgorithm::EdDsa),
];

/// What a token must say.
pub struct Expected<'a> {
    /// The configured issuer.
    pub issuer: &'a IssuerUrl,
    /// Keyward's name at the provider.
    pub client_id: &'a str,
    /// The nonce of this sign-in.
    pub nonce: &'a str,
    /// Now.
    pub now_ms: Millis,
}

/// The claims of a token, proven or not: [`verify`] proves them.
pub type Claims = Map<String, Value>;

/// Why a token was not proven.
#[derive(Debug)]
pub enum Fault {
    /// The set of keys may be older than the token.
    UnknownKey(Refusal),
    /// Whatever the keys, it is refused.
    Refused(Refusal),
}

fn refuse(reason: impl Into<String>) -> Refusal {
    Refusal::new(Code::Token, reason)
}

/// Reads a token and checks everything but its signature.
///
/// # Errors
/// A [`Refusal`] of code `token`, `nonce` or `issuer` that says which rule it breaks.
pub fn read(token: &str, expected: &Expected<'_>) -> Result<Claims, Refusal> {
    if token.len() > TOKEN_LIMIT {
        return Err(refuse(format!("the ID token is longer than {TOKEN_LIMIT} bytes")));
    }
    let parts: Vec<&str> = token.split('.').collect();
    // Five parts would be an encrypted token, which was not asked for.
    let [header, claims, _signature] = parts.as_slice() else {
        return Err(refuse("the ID token does not have three parts"));
    };
    let header = part(header).ok_or_else(|| refuse("the header of the ID token is not one plain object"))?;
    check_header(&header)?;
    let claims = part(claims).ok_or_else(|| refuse("the claims of the ID token are not one plain object"))?;
    check_claims(&claims, expected)?;
    Ok(claims)
}

/// Proves a token that [`read`] let through: its signature, against the provider's keys.
///
/// # Errors
/// [`Fault::UnknownKey`] when fresh keys may prove it; [`Fault::Refused`] otherwise.
pub fn verify(
    token: &CoreIdToken,
    access_token: &AccessToken,
    keys: &CoreJsonWebKeySet,
    expected: &Expected<'_>,
) -> Result<(), Fault> {
    let moment = DateTime::<Utc>::from_timestamp_millis(expected.now_ms - SKEW_MS).unwrap_or_default();
    // "Public client": the verifier is not even given a secret to check an HMAC with.
    let verifier = CoreIdTokenVerifier::new_public_client(
        ClientId::new(expected.client_id.to_owned()),
        expected.issuer.clone(),
        keys.clone(),
    )
    .set_allowed_algs(ALGORITHMS.map(|(_, algorithm)| algorithm))
    .set_other_audience_verifier_fn(|_| true)
    .set_time_fn(move || moment);
    let claims = token.claims(&verifier, &Nonce::new(expected.nonce.to_owned())).map_err(fault)?;

    // OIDC Core 3.1.3.8: optional, but wrong is wrong.
    if let Some(hash) = claims.access_token_hash() {
        let ours = token
            .signing_alg()
            .and_then(|algorithm| Ok((algorithm, token.signing_key(&verifier)?)))
            .ok()
            .and_then(|(algorithm, key)| AccessTokenHash::from_token(access_token, algorithm, key).ok());
        if ours.as_ref() != Some(hash) {
            return Err(Fault::Refused(refuse("at_hash of the ID token is not that of the access token")));
        }
    }
    Ok(())
}

fn fault(error: ClaimsVerificationError) -> Fault {
    let ClaimsVerificationError::SignatureVerification(error) = error else {
        return Fault::Refused(refuse("the ID token was refused by the second reader"));
    };
    let refusal = refuse("the signature of the ID token is not by a key of the provider");
    // A provider whose keys have no id, or whose token names none, gives a bad signature after a
    // rollover, not an unknown key.
    if matches!(error, SignatureVerificationError::NoMatchingKey | SignatureVerificationError::CryptoError(_))
    {
        Fault::UnknownKey(refusal)
    } else {
        Fault::Refused(refusal)
    }
}

fn part(text: &str) -> Option<Map<String, Value>> {
    json::object(&BASE64_URL_SAFE_NO_PAD.decode(text).ok()?)
}

fn check_header(header: &Map<String, Value>) -> Result<(), Refusal> {
    let algorithm = header.get("alg").and_then(Value::as_str).unwrap_or_default();
    if !ALGORITHMS.iter().any(|(name, _)| *name == algorithm) {
        return Err(refuse("the algorithm of the ID token is not a signature by a public key"));
    }
    // RFC 7515 4.1.11: nothing critical is understood here, so nothing critical is accepted. `cty`
    // would be a token inside the token.
    for name in ["crit", "b64", "cty", "zip", "enc"] {
        if header.contains_key(name) {
            return Err(refuse(format!("the header of the ID token has {name}")));
        }
    }
    // RFC 8725 3.11: an access token (at+jwt) or a logout token (logout+jwt) is not an ID token.
    match header.get("typ") {
        None => {}
        Some(Value::String(typ)) if is_jwt_type(typ) => {}
        Some(_) => return Err(refuse("the typ of the ID token is not JWT")),
    }
    match header.get("kid") {
        None => Ok(()),
        Some(Value::String(kid)) if kid.len() <= 512 => Ok(()),
        Some(_) => Err(refuse("the kid of the ID token is not a text of at most 512 bytes")),
    }
}

fn is_jwt_type(typ: &str) -> bool {
    typ.eq_ignore_ascii_case("JWT") || typ.eq_ignore_ascii_case("application/jwt")
}

fn check_claims(claims: &Claims, expected: &Expected<'_>) -> Result<(), Refusal> {
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    if text("iss") != Some(expected.issuer.as_str()) {
        return Err(Refusal::new(Code::Issuer, "iss of the ID token is not the configured issuer"));
    }
    // OIDC Core 2: at most 255 ASCII characters.
    if !text("sub").is_some_and(|sub| (1..=255).contains(&sub.len()) && !sub.contains(char::is_control)) {
        return Err(refuse("sub of the ID token is not a text of 1 to 255 characters"));
    }
    check_audience(claims, expected.client_id)?;
    check_times(claims, expected.now_ms)?;
    // A missing nonce is a wrong nonce; an array that has the right one in it, too.
    if text("nonce") != Some(expected.nonce) {
        return Err(Refusal::new(Code::Nonce, "nonce of the ID token is not the one of this sign-in"));
    }
    Ok(())
}

/// OIDC Core 3.1.3.7, 3 to 5.
fn check_audience(claims: &Claims, client_id: &str) -> Result<(), Refusal> {
    let audiences: Option<Vec<&str>> = match claims.get("aud") {
        Some(Value::String(one)) => Some(vec![one]),
        Some(Value::Array(many)) => many.iter().map(Value::as_str).collect(),
        _ => None,
    };
    let audiences = audiences.ok_or_else(|| refuse("aud of the ID token is neither a text nor texts"))?;
    if !audiences.contains(&client_id) {
        return Err(refuse("aud of the ID token does not name this client"));
    }
    match claims.get("azp") {
        Some(Value::String(party)) if party == client_id => Ok(()),
        None if audiences.len() == 1 => Ok(()),
        None => Err(refuse("aud of the ID token names several clients, and azp none")),
        Some(_) => Err(refuse("azp of the ID token does not name this client")),
    }
}

fn check_times(claims: &Claims, now_ms: Millis) -> Result<(), Refusal> {
    let expires_ms =
        time_ms(claims, "exp")?.ok_or_else(|| refuse("the ID token does not say when it expires"))?;
    if expires_ms + SKEW_MS <= now_ms {
        return Err(refuse("the ID token has expired"));
    }
    let issued_ms =
        time_ms(claims, "iat")?.ok_or_else(|| refuse("the ID token does not say when it was issued"))?;
    if issued_ms - SKEW_MS > now_ms {
        return Err(refuse("the ID token was issued in the future"));
    }
    if time_ms(claims, "nbf")?.is_some_and(|not_before_ms| not_before_ms - SKEW_MS > now_ms) {
        return Err(refuse("the ID token is not valid yet"));
    }
    Ok(())
}

/// When the person proved who they are: what the provider says, or, where it does not say, now. Who was to prove it
/// anew since `asked_ms` has done so since (OIDC Core 3.1.2.1, `max_age`).
///
/// # Errors
/// When it says something else.
pub fn proven_ms(claims: &Claims, asked_ms: Option<Millis>, now_ms: Millis) -> Result<Millis, Refusal> {
    let told_ms = time_ms(claims, "auth_time")?;
    // It is told in whole seconds, and clocks differ.
    if let (Some(told_ms), Some(asked_ms)) = (told_ms, asked_ms)
        && told_ms + 1_000 + SKEW_MS < asked_ms
    {
        return Err(refuse("auth_time of the ID token says that nobody signed in again"));
    }
    if told_ms.is_some_and(|told_ms| told_ms - SKEW_MS > now_ms) {
        return Err(refuse("auth_time of the ID token is in the future"));
    }
    Ok(told_ms.unwrap_or(now_ms).min(now_ms))
}

/// A `NumericDate` (RFC 7519 2) in milliseconds, up to the year 5138.
fn time_ms(claims: &Claims, name: &str) -> Result<Option<Millis>, Refusal> {
    const MOST_S: i64 = 100_000_000_000;
    let Some(value) = claims.get(name) else { return Ok(None) };
    // Fractions are allowed, and rare: what they say is the second.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a float out of range saturates, and is then refused"
    )]
    let seconds = value.as_i64().or_else(|| value.as_f64().map(|seconds| seconds as i64));
    match seconds {
        Some(seconds) if (0..=MOST_S).contains(&seconds) => Ok(Some(seconds * 1000)),
        _ => Err(refuse(format!("{name} of the ID token is not a time"))),
    }
}
