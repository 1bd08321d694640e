//! Whether an assertion may be believed (RFC 7523 3, RFC 8725): everything but its signature.
//!
//! Keys and addresses inside of it (`jwk`, `jku`, `x5u`, `x5c`) would let whoever wrote it choose
//! by which key it is proven: an assertion that has one is refused.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Map, Value};

use super::{Algorithm, Refusal};
use crate::{KeyId, Millis, json};

/// The longest assertion that is read.
pub const ASSERTION_LIMIT: usize = 16 * 1024;

/// How far the clocks of the client and of this machine may be apart.
pub const SKEW_MS: Millis = 60_000;

/// How far ahead an assertion may end. It is made for one request, and remembered until then.
pub const AHEAD_MS: Millis = 300_000;

/// What an assertion must say.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// The issuer of the metadata, and the address of the token endpoint.
    pub audiences: [&'a str; 2],
    /// Now.
    pub now_ms: Millis,
}

/// An assertion that says what it must, and is not proven yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assertion<'a> {
    /// Whose it says that it is.
    pub client: KeyId,
    /// How it says that it is signed.
    pub algorithm: Algorithm,
    /// The name of the key, when it names one.
    pub kid: Option<String>,
    /// What no other assertion of the client has.
    pub jti: String,
    /// When it ends.
    pub expires_ms: Millis,
    /// What is signed.
    pub message: &'a str,
    /// The signature.
    pub signature: Vec<u8>,
}

/// Whose an assertion says that it is, whatever else is wrong with it: for the record of a refusal.
pub fn claimed_client(text: &str) -> Option<KeyId> {
    if text.len() > ASSERTION_LIMIT {
        return None;
    }
    KeyId::parse(part(text.split('.').nth(1)?)?.get("sub")?.as_str()?)
}

impl<'a> Assertion<'a> {
    /// Reads an assertion and checks all that it says.
    ///
    /// # Errors
    /// [`Refusal`]: which rule it breaks.
    pub fn read(text: &'a str, expected: Expected<'_>) -> Result<Self, Refusal> {
        if text.len() > ASSERTION_LIMIT {
            return Err(Refusal("the assertion is longer than 16 KiB"));
        }
        let parts: Vec<&str> = text.split('.').collect();
        // Five parts would be an encrypted one.
        let [header, claims, signature] = parts.as_slice() else {
            return Err(Refusal("the assertion does not have three parts"));
        };
        let (message, _) = text.rsplit_once('.').unwrap_or_default();
        let header = part(header).ok_or(Refusal("the header of the assertion is not one plain object"))?;
        let (algorithm, kid) = check_header(&header)?;
        let claims = part(claims).ok_or(Refusal("the claims of the assertion are not one plain object"))?;
        let signature = BASE64_URL_SAFE_NO_PAD
            .decode(signature)
            .map_err(|_| Refusal("the signature of the assertion is not base64url"))?;
        let claim = |name: &str| claims.get(name).and_then(Value::as_str);
        let (issuer, subject) = (claim("iss"), claim("sub"));
        if issuer != subject {
            return Err(Refusal("iss and sub of the assertion are not the same"));
        }
        let client = subject.and_then(KeyId::parse).ok_or(Refusal("sub of the assertion is no client_id"))?;
        check_audience(&claims, expected)?;
        let expires_ms = check_times(&claims, expected.now_ms)?;
        let jti = claim("jti").filter(|jti| (1..=255).contains(&jti.len()));
        let jti = jti.ok_or(Refusal("jti of the assertion is not a text of 1 to 255 bytes"))?.to_owned();
        Ok(Self { client, algorithm, kid, jti, expires_ms, message, signature })
    }
}

fn part(text: &str) -> Option<Map<String, Value>> {
    json::object(&BASE64_URL_SAFE_NO_PAD.decode(text).ok()?)
}

fn check_header(header: &Map<String, Value>) -> Result<(Algorithm, Option<String>), Refusal> {
    let algorithm = header.get("alg").and_then(Value::as_str).and_then(Algorithm::parse);
    let algorithm = algorithm.ok_or(Refusal("alg of the assertion is not RS256, PS256, ES256 or EdDSA"))?;
    // RFC 7515 4.1.11: nothing critical is understood here. `cty` would be a token inside the token.
    if ["crit", "b64", "cty", "zip", "enc"].iter().any(|name| header.contains_key(*name)) {
        return Err(Refusal("the header of the assertion has crit, b64, cty, zip or enc"));
    }
    if ["jwk", "jku", "x5u", "x5c"].iter().any(|name| header.contains_key(*name)) {
        return Err(Refusal("the assertion brings its own key, or says where to find it"));
    }
    // RFC 8725 3.11: an access token or a logout token is no assertion.
    let is_assertion = |typ: &str| {
        ["JWT", "application/jwt", "client-authentication+jwt", "application/client-authentication+jwt"]
            .iter()
            .any(|known| known.eq_ignore_ascii_case(typ))
    };
    if header.get("typ").is_some_and(|typ| !typ.as_str().is_some_and(is_assertion)) {
        return Err(Refusal("typ of the assertion is neither JWT nor client-authentication+jwt"));
    }
    match header.get("kid") {
        None => Ok((algorithm, None)),
        Some(Value::String(kid)) if kid.len() <= 512 => Ok((algorithm, Some(kid.clone()))),
        Some(_) => Err(Refusal("kid of the assertion is not a text of at most 512 bytes")),
    }
}

fn check_audience(claims: &Map<String, Value>, expected: Expected<'_>) -> Result<(), Refusal> {
    let is_ours = |value: &Value| value.as_str().is_some_and(|one| expected.audiences.contains(&one));
    let names_us = match claims.get("aud") {
        Some(Value::Array(many)) => many.iter().all(Value::is_string) && many.iter().any(is_ours),
        Some(one) => is_ours(one),
        None => false,
    };
    if names_us { Ok(()) } else { Err(Refusal("aud of the assertion is not this server")) }
}

fn check_times(claims: &Map<String, Value>, now_ms: Millis) -> Result<Millis, Refusal> {
    let expires_ms = time_ms(claims, "exp")?.ok_or(Refusal("the assertion does not say when it expires"))?;
    if expires_ms + SKEW_MS <= now_ms {
        return Err(Refusal("the assertion has expired"));
    }
    if expires_ms > now_ms + AHEAD_MS + SKEW_MS {
        return Err(Refusal("the assertion lives longer than 5 minutes"));
    }
    if let Some(issued_ms) = time_ms(claims, "iat")? {
        if issued_ms > now_ms + SKEW_MS {
            return Err(Refusal("the assertion was issued in the future"));
        }
        if issued_ms > expires_ms {
            return Err(Refusal("the assertion was issued after its end"));
        }
        if expires_ms - issued_ms > AHEAD_MS + SKEW_MS {
            return Err(Refusal("the assertion was made for longer than 5 minutes"));
        }
    }
    if time_ms(claims, "nbf")?.is_some_and(|not_before_ms| not_before_ms > now_ms + SKEW_MS) {
        return Err(Refusal("the assertion is not valid yet"));
    }
    Ok(expires_ms)
}

/// A `NumericDate` (RFC 7519 2) in milliseconds, up to the year 5138.
fn time_ms(claims: &Map<String, Value>, name: &str) -> Result<Option<Millis>, Refusal> {
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
        _ => Err(Refusal("exp, iat or nbf of the assertion is not a time")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW_MS: Millis = 1_767_225_600_000;
    const ISSUER: &str = "https://keyward.test";
    const ENDPOINT: &str = "https://keyward.test/oauth2/token";
    const EXPECTED: Expected<'_> = Expected { audiences: [ISSUER, ENDPOINT], now_ms: NOW_MS };

    fn client() -> KeyId {
        KeyId::new(NOW_MS, [3; 10])
    }

    fn encode(text: &str) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(text)
    }

    fn header() -> Value {
        json!({ "alg": "ES256", "typ": "JWT", "kid": "a" })
    }

    fn claims() -> Value {
        let now = NOW_MS / 1000;
        json!({
            "iss": client(), "sub": client(), "aud": ISSUER, "jti": "1", "iat": now, "nbf": now, "exp": now + 300
        })
    }

    fn check(header: &Value, claims: &Value) -> Result<(), Refusal> {
        let text = format!("{}.{}.AAAA", encode(&header.to_string()), encode(&claims.to_string()));
        Assertion::read(&text, EXPECTED).map(drop)
    }

    fn with(mut value: Value, name: &str, to: Value) -> Value {
        value[name] = to;
        value
    }

    #[test]
    fn what_says_what_it_must_is_read() {
        let text = format!("{}.{}.AAAA", encode(&header().to_string()), encode(&claims().to_string()));
        let read = Assertion::read(&text, EXPECTED).unwrap();
        assert_eq!(
            (read.client, read.algorithm, read.kid.as_deref()),
            (client(), Algorithm::Es256, Some("a"))
        );
        assert_eq!((read.message, read.signature.len()), (&text[..text.len() - 5], 3));
        assert_eq!(claimed_client(&text), Some(client()));
        for audience in [json!(ENDPOINT), json!([ISSUER]), json!(["https://other.example", ENDPOINT])] {
            assert_eq!(check(&header(), &with(claims(), "aud", audience)), Ok(()));
        }
        for typ in ["jwt", "client-authentication+jwt", "application/jwt"] {
            assert_eq!(check(&with(header(), "typ", json!(typ)), &claims()), Ok(()), "{typ}");
        }
        assert_eq!(check(&json!({ "alg": "RS256", "x5t": "AAAA" }), &claims()), Ok(()));
    }

    #[test]
    fn every_other_header_is_refused() {
        for (name, value) in [
            ("alg", json!("none")),
            ("alg", json!("nOnE")),
            ("alg", json!("HS256")),
            ("alg", json!("ES384")),
            ("alg", json!(["ES256"])),
            ("alg", Value::Null),
            ("crit", json!(["exp"])),
            ("b64", json!(false)),
            ("cty", json!("JWT")),
            ("zip", json!("DEF")),
            ("enc", json!("A128GCM")),
            ("jwk", json!({ "kty": "OKP" })),
            ("jku", json!("https://evil.example/jwks")),
            ("x5u", json!("https://evil.example/x5u")),
            ("x5c", json!(["AAAA"])),
            ("typ", json!("at+jwt")),
            ("typ", json!("logout+jwt")),
            ("typ", json!(1)),
            ("kid", json!(1)),
            ("kid", json!("k".repeat(513))),
        ] {
            assert!(check(&with(header(), name, value.clone()), &claims()).is_err(), "{name} {value}");
        }
    }

    #[test]
    fn every_other_claim_is_refused() {
        let now = NOW_MS / 1000;
        let other = KeyId::new(NOW_MS, [4; 10]);
        for (name, value) in [
            ("iss", json!(other)),
            ("iss", Value::Null),
            ("sub", json!(other)),
            ("sub", json!("admin")),
            ("aud", json!("https://keyward.test/")),
            ("aud", json!("https://other.example")),
            ("aud", json!([])),
            ("aud", json!([ISSUER, 1])),
            ("aud", json!({ "a": ISSUER })),
            ("aud", Value::Null),
            ("exp", json!(now - 60)),
            ("exp", json!(now + 361)),
            ("exp", json!(1e300)),
            ("exp", json!("soon")),
            ("exp", Value::Null),
            ("iat", json!(now + 61)),
            ("iat", json!(now - 61)),
            ("iat", json!("now")),
            ("nbf", json!(now + 61)),
            ("nbf", json!([])),
            ("jti", json!("")),
            ("jti", json!(1)),
            ("jti", json!("j".repeat(256))),
            ("jti", Value::Null),
        ] {
            assert!(check(&header(), &with(claims(), name, value.clone())).is_err(), "{name} {value}");
        }
    }

    #[test]
    fn both_clocks_may_be_a_minute_apart() {
        let now = NOW_MS / 1000;
        for (name, value) in
            [("exp", now - 59), ("exp", now + 300), ("iat", now + 60), ("iat", now - 60), ("nbf", now + 60)]
        {
            let claims =
                if value < now && name == "exp" { with(claims(), "iat", json!(now - 120)) } else { claims() };
            assert_eq!(check(&header(), &with(claims, name, json!(value))), Ok(()), "{name} {value}");
        }
    }

    #[test]
    fn texts_that_are_no_assertion_are_refused() {
        let (header, claims) = (encode(&header().to_string()), encode(&claims().to_string()));
        let twice = encode(&format!(r#"{{"sub":"{0}","sub":"{0}"}}"#, client()));
        for text in [
            String::new(),
            "..".to_owned(),
            format!("{header}.{claims}"),
            format!("{header}.{claims}.AA.BB.CC"),
            format!("{header}.{claims}.A=="),
            format!("{header}.{twice}.AAAA"),
            format!("{header}=.{claims}.AAAA"),
            "a".repeat(ASSERTION_LIMIT + 1),
            format!("{header}.{claims}.{}", "A".repeat(ASSERTION_LIMIT)),
        ] {
            assert!(Assertion::read(&text, EXPECTED).is_err(), "{}", &text[..text.len().min(200)]);
        }
        assert_eq!(claimed_client(&format!("{header}.{twice}.AAAA")), None);
    }
}
