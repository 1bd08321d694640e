//! Public keys of OAuth clients: JSON Web Keys (RFC 7517) and PEM.
//!
//! What a person registers is read strictly, so that a mistake is told at once; what an address
//! answers is read leniently, because a set may hold keys that are not for us (RFC 7517 5). A
//! private key is never taken, and never repeated.

use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::{Algorithm, Refusal, der};
use crate::{Invalid, json};

/// The most keys of one client.
pub const KEYS_LIMIT: usize = 20;

/// The longest text that is registered, in bytes.
const TEXT_LIMIT: usize = 64 * 1024;

const FIELD: &str = "public_keys";

const PRIVATE: &str = "this holds a private key, which nobody but the client may have; nothing was kept. \
     Make a new pair, and paste its public half";

/// A public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Jwk {
    /// The name that assertions call it by.
    pub kid: Option<String>,
    /// The one algorithm that it is for.
    pub algorithm: Option<Algorithm>,
    /// The key itself.
    pub material: Material,
}

/// A public key itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Material {
    /// RSA of 2048 to 8192 bits.
    Rsa {
        /// The modulus, big-endian.
        n: Vec<u8>,
        /// The exponent, big-endian.
        e: Vec<u8>,
    },
    /// A point on P-256.
    P256 {
        /// Its first coordinate.
        x: [u8; 32],
        /// Its second coordinate.
        y: [u8; 32],
    },
    /// A point on Ed25519.
    Ed25519 {
        /// The point as RFC 8032 writes it.
        x: [u8; 32],
    },
}

impl Material {
    /// The key without what may be written in two ways, when it is strong enough.
    fn checked(self) -> Result<Self, &'static str> {
        let Self::Rsa { n, e } = self else { return Ok(self) };
        let plain = |bytes: Vec<u8>| bytes.into_iter().skip_while(|byte| *byte == 0).collect::<Vec<u8>>();
        let (n, e) = (plain(n), plain(e));
        let bits = n.len() * 8 - n.first().map_or(0, |byte| byte.leading_zeros() as usize);
        let exponent = e.iter().try_fold(0_u64, |sum, byte| Some(sum.checked_mul(256)? + u64::from(*byte)));
        if !(2048..=8192).contains(&bits) {
            Err("an RSA key has 2048 to 8192 bits")
        } else if exponent.is_none_or(|e| !(65_537..1 << 33).contains(&e) || e % 2 == 0) {
            Err("the exponent of an RSA key is odd and at least 65537")
        } else {
            Ok(Self::Rsa { n, e })
        }
    }

    /// The members that make the key what it is, in the order of RFC 7638 3.2.
    fn members(&self) -> Value {
        let text = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        match self {
            Self::Rsa { n, e } => json!({ "e": text(e), "kty": "RSA", "n": text(n) }),
            Self::P256 { x, y } => json!({ "crv": "P-256", "kty": "EC", "x": text(x), "y": text(y) }),
            Self::Ed25519 { x } => json!({ "crv": "Ed25519", "kty": "OKP", "x": text(x) }),
        }
    }

    /// What people call such a key.
    pub fn label(&self) -> String {
        match self {
            Self::Rsa { n, .. } => format!("RSA {}", n.len() * 8),
            Self::P256 { .. } => "EC P-256".to_owned(),
            Self::Ed25519 { .. } => "Ed25519".to_owned(),
        }
    }
}

impl Jwk {
    /// What names the key whatever it is called: SHA-256 of its members, base64url (RFC 7638).
    pub fn thumbprint(&self) -> String {
        // The members stand in the order of their names, as the RFC wants them.
        BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(self.material.members().to_string()))
    }

    fn read(object: &Map<String, Value>) -> Result<Self, &'static str> {
        let text = |name: &str| object.get(name).and_then(Value::as_str);
        let bytes = |name: &str| {
            let text = text(name).ok_or("a member of the key is missing")?;
            BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|_| "a member of the key is not base64url")
        };
        let coordinate = |name: &str| {
            <[u8; 32]>::try_from(bytes(name)?).map_err(|_| "a coordinate of the key does not have 32 bytes")
        };
        let material = match (text("kty"), text("crv")) {
            (Some("RSA"), _) => Material::Rsa { n: bytes("n")?, e: bytes("e")? },
            (Some("EC"), Some("P-256")) => Material::P256 { x: coordinate("x")?, y: coordinate("y")? },
            (Some("OKP"), Some("Ed25519")) => Material::Ed25519 { x: coordinate("x")? },
            _ => return Err("a key is RSA, EC on P-256 or OKP on Ed25519"),
        };
        let material = material.checked()?;
        let kid = match object.get("kid") {
            None => None,
            Some(Value::String(kid)) if (1..=200).contains(&kid.len()) && !kid.contains(char::is_control) => {
                Some(kid.clone())
            }
            Some(_) => return Err("the kid of a key is a text of 1 to 200 characters"),
        };
        if object.get("use").is_some_and(|value| value != "sig") {
            return Err("the use of a key is sig");
        }
        let verifies =
            |value: &Value| value.as_array().is_some_and(|all| all.iter().any(|op| op == "verify"));
        if object.get("key_ops").is_some_and(|value| !verifies(value)) {
            return Err("the key_ops of a key hold verify");
        }
        let algorithm = match object.get("alg") {
            None => None,
            Some(name) => {
                let known = name.as_str().and_then(Algorithm::parse);
                Some(known.filter(|algorithm| algorithm.fits(&material)).ok_or(
                    "the alg of a key is RS256 or PS256 for RSA, ES256 for P-256, EdDSA for Ed25519",
                )?)
            }
        };
        Ok(Self { kid, algorithm, material })
    }

    fn to_json(&self) -> Value {
        let mut value = self.material.members();
        if let Some(object) = value.as_object_mut() {
            if let Some(kid) = &self.kid {
                object.insert("kid".to_owned(), json!(kid));
            }
            if let Some(algorithm) = self.algorithm {
                object.insert("alg".to_owned(), json!(algorithm.as_str()));
            }
        }
        value
    }
}

/// The public keys of a client: 1 to [`KEYS_LIMIT`], no two alike, no two of one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Jwks(Vec<Jwk>);

impl Jwks {
    /// Reads what a person registers: a JWKS, one JWK, or public keys in PEM.
    ///
    /// # Errors
    /// [`Invalid`] on `public_keys`. It repeats nothing of the text, which may be a private key.
    pub fn register(text: &str) -> Result<Self, Invalid> {
        let text = text.trim();
        let fault = |message: &str| Invalid::new(FIELD, message);
        if text.len() > TEXT_LIMIT {
            return Err(fault("at most 64 KiB are taken"));
        }
        if is_private(text) {
            return Err(fault(PRIVATE));
        }
        let keys = if text.starts_with("-----BEGIN") {
            pem(text).map_err(fault)?
        } else {
            let object = json::object(text.as_bytes())
                .ok_or_else(|| fault("a JWKS, a JWK or public keys in PEM are expected"))?;
            let keys = match object.get("keys") {
                None => vec![Value::Object(object)],
                Some(Value::Array(keys)) => keys.clone(),
                Some(_) => return Err(fault("the keys of a JWKS are a list")),
            };
            let read =
                |key: &Value| key.as_object().ok_or("a key of a JWKS is an object").and_then(Jwk::read);
            keys.iter().map(read).collect::<Result<Vec<_>, _>>().map_err(fault)?
        };
        Self::of(keys).map_err(fault)
    }

    /// Reads what was found at a client's address: keys that are not for us are left out.
    ///
    /// # Errors
    /// [`Refusal`] when it is no set, or none of its keys can be used.
    pub fn fetched(bytes: &[u8]) -> Result<Self, Refusal> {
        let object = json::object(bytes).ok_or(Refusal("the keys at jwks_uri are not one plain object"))?;
        let keys = object.get("keys").and_then(Value::as_array);
        let keys = keys.ok_or(Refusal("the document at jwks_uri is no JWKS"))?;
        let usable = keys.iter().filter_map(|key| Jwk::read(key.as_object()?).ok()).take(KEYS_LIMIT);
        Self::of(usable.collect()).map_err(|_| Refusal("no key at jwks_uri can be used"))
    }

    fn of(keys: Vec<Jwk>) -> Result<Self, &'static str> {
        if keys.is_empty() {
            return Err("at least one public key is expected");
        }
        if keys.len() > KEYS_LIMIT {
            return Err("at most 20 public keys are taken");
        }
        for (at, key) in keys.iter().enumerate() {
            let before = keys.get(..at).unwrap_or_default();
            if before.iter().any(|other| other.material == key.material) {
                return Err("one public key stands there twice");
            }
            if key.kid.is_some() && before.iter().any(|other| other.kid == key.kid) {
                return Err("two public keys have the same kid");
            }
        }
        Ok(Self(keys))
    }

    /// The keys that may have made a signature: of the algorithm, and of the name when the
    /// assertion names one. A key without a name answers to every name.
    pub fn candidates(&self, algorithm: Algorithm, kid: Option<&str>) -> impl Iterator<Item = &Jwk> {
        self.0.iter().filter(move |key| {
            algorithm.fits(&key.material)
                && key.algorithm.is_none_or(|only| only == algorithm)
                && (kid.is_none() || key.kid.is_none() || key.kid.as_deref() == kid)
        })
    }

    /// Every key.
    pub fn iter(&self) -> impl Iterator<Item = &Jwk> {
        self.0.iter()
    }

    /// The set as a JWKS: public members only.
    pub fn to_json(&self) -> Value {
        json!({ "keys": self.0.iter().map(Jwk::to_json).collect::<Vec<_>>() })
    }
}

/// Whether a text holds a private or a symmetric key; such a text is not shown again either.
pub fn is_private(text: &str) -> bool {
    if text.contains("PRIVATE KEY") {
        return true;
    }
    // RFC 7518 6.2.2, 6.3.2, 6.4.1. Found also where the rest of the text is no JSON.
    ["\"d\"", "\"k\"", "\"p\"", "\"q\"", "\"dp\"", "\"dq\"", "\"qi\"", "\"oth\""]
        .iter()
        .any(|member| text.split(member).skip(1).any(|rest| rest.trim_start().starts_with(':')))
}

fn pem(text: &str) -> Result<Vec<Jwk>, &'static str> {
    const BEGIN: &str = "-----BEGIN PUBLIC KEY-----";
    const END: &str = "-----END PUBLIC KEY-----";
    let mut keys = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (body, after) = rest
            .strip_prefix(BEGIN)
            .and_then(|inner| inner.split_once(END))
            .ok_or("PEM begins with BEGIN PUBLIC KEY; of a certificate, take the public key in it")?;
        let digits: String = body.chars().filter(|character| !character.is_ascii_whitespace()).collect();
        let der = BASE64_STANDARD.decode(digits).map_err(|_| "the PEM is not whole")?;
        let material = der::public_key(&der).ok_or("a key is RSA, EC on P-256 or Ed25519")?.checked()?;
        keys.push(Jwk { kid: None, algorithm: None, material });
        rest = after.trim_start();
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    // The public key of RFC 8037 A.2, its thumbprint in A.3.
    const ED: &str = r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
    // The public key of RFC 7517 A.1.
    const EC: &str = r#"{"kty":"EC","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM","kid":"1"}"#;
    // The public key of RFC 7638 3.1, whose thumbprint stands there.
    const RSA: &str = r#"{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","alg":"RS256","kid":"2011-04-29"}"#;

    fn set(keys: &[&str]) -> String {
        format!(r#"{{"keys":[{}]}}"#, keys.join(","))
    }

    #[test]
    fn thumbprints_are_those_of_the_rfcs() {
        let of = |text: &str| Jwks::register(text).unwrap().0[0].thumbprint();
        assert_eq!(of(RSA), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
        assert_eq!(of(ED), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }

    #[test]
    fn a_set_reads_back_from_what_is_stored() {
        let keys = Jwks::register(&set(&[RSA, EC, ED])).unwrap();
        assert_eq!(keys.iter().count(), 3);
        assert_eq!(Jwks::fetched(keys.to_json().to_string().as_bytes()), Ok(keys));
    }

    #[test]
    fn a_private_key_is_refused_without_a_word_of_it() {
        let private = ED.replace('}', r#","d" : "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"}"#);
        for text in [
            private.as_str(),
            &set(&[RSA, &private]),
            &set(&[r#"{"kty":"oct","k":"AAAA"}"#]),
            "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2Vw\n-----END PRIVATE KEY-----",
            "-----BEGIN RSA PRIVATE KEY-----\nabc",
            &format!("{private} and no JSON"),
        ] {
            let fault = Jwks::register(text).unwrap_err();
            assert_eq!((fault.field.as_str(), fault.message.as_str()), (FIELD, PRIVATE), "{text}");
            assert!(is_private(text));
        }
        assert!(!is_private(&set(&[RSA, EC, ED])));
    }

    #[test]
    fn what_is_weak_twice_or_not_for_signing_is_refused() {
        let short = RSA.replace("0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQ", "");
        let renamed = ED.replace('}', r#","kid":"1"}"#);
        for (what, text) in [
            ("nothing", String::new()),
            ("no key", set(&[])),
            ("a list", "[]".to_owned()),
            ("keys that are none", r#"{"keys":1}"#.to_owned()),
            ("a name twice", ED.replace('}', r#","kty":"OKP"}"#)),
            ("a short key", short),
            ("a small exponent", RSA.replace("AQAB", "Aw")),
            ("an even exponent", RSA.replace("AQAB", "AQAC")),
            ("twice the same", set(&[ED, ED])),
            ("two of one name", set(&[EC, &renamed])),
            ("for encryption", ED.replace('}', r#","use":"enc"}"#)),
            ("for signing", ED.replace('}', r#","key_ops":["sign"]}"#)),
            ("of another algorithm", ED.replace('}', r#","alg":"RS256"}"#)),
            ("of HMAC", ED.replace('}', r#","alg":"HS256"}"#)),
            ("of another curve", EC.replace("P-256", "P-384")),
            ("a cut coordinate", EC.replace("MKBC", "")),
            ("an empty name", ED.replace('}', r#","kid":""}"#)),
            ("padded", ED.replace("URo", "URo=")),
            ("a certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----".to_owned()),
            ("too much", format!("{ED}{}", " ".repeat(TEXT_LIMIT)).replacen('{', "{ ", 1) + "{}"),
        ] {
            assert!(Jwks::register(&text).is_err(), "{what}: {text}");
        }
    }

    #[test]
    fn pem_holds_the_same_keys() {
        // RFC 8410 10.1, and the public key of RFC 7517 A.1 in its DER.
        let ed = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";
        let keys = Jwks::register(&format!("\n{ed}")).unwrap();
        assert_eq!(keys.0[0].material.label(), "Ed25519");
        assert_eq!(keys.0[0].kid, None);
        assert!(Jwks::register(&ed.replace("MCow", "MCox")).is_err());
        assert!(Jwks::register(&ed.replace("ZuE=", "")).is_err());
        assert!(Jwks::register(&format!("{ed}{ed}")).is_err(), "twice the same");
        assert!(Jwks::register(&format!("{ed} and more")).is_err());
        let Material::P256 { x, y } = Jwks::register(EC).unwrap().0[0].material.clone() else {
            panic!("an EC key")
        };
        let mut der = b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00\x04".to_vec();
        der.extend_from_slice(&x);
        der.extend_from_slice(&y);
        assert_eq!(der::public_key(&der), Some(Material::P256 { x, y }));
        for cut in 0..der.len() {
            assert_eq!(der::public_key(&der[..cut]), None, "{cut}");
        }
    }

    #[test]
    fn an_address_may_hold_keys_that_are_not_for_us() {
        let found = set(&[r#"{"kty":"AKP","alg":"ML-DSA-65"}"#, r#"{"kty":"oct","k":"AA"}"#, "{}", "1", EC]);
        assert_eq!(Jwks::fetched(found.as_bytes()).unwrap().iter().count(), 1);
        for text in ["", "[]", "<html>", r#"{"keys":[]}"#, r#"{"keys":[{}]}"#, r#"{"key":[]}"#] {
            assert!(Jwks::fetched(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn candidates_fit_algorithm_and_name() {
        let keys = Jwks::register(&set(&[RSA, EC, ED])).unwrap();
        let count = |algorithm, kid| keys.candidates(algorithm, kid).count();
        assert_eq!(count(Algorithm::Rs256, None), 1);
        assert_eq!(count(Algorithm::Rs256, Some("2011-04-29")), 1);
        assert_eq!(count(Algorithm::Rs256, Some("1")), 0, "that is the name of another");
        assert_eq!(count(Algorithm::Ps256, None), 0, "the key is for RS256 only");
        assert_eq!(count(Algorithm::Es256, Some("1")), 1);
        assert_eq!(count(Algorithm::EdDsa, Some("../../etc/passwd' OR 1=1")), 1, "it has no name");
    }
}
