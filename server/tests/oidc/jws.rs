//! Signing whatever one likes, and publishing the keys.

use std::sync::{Arc, LazyLock};

use aws_lc_rs::{
    hmac,
    rand::SystemRandom,
    rsa::KeySize,
    signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RsaKeyPair},
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};

/// A private key and its name.
pub struct Key {
    pub kid: &'static str,
    pair: Pair,
}

enum Pair {
    Rsa(RsaKeyPair),
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

/// The keys of the tests; making an RSA key is slow, so each is made once.
pub static RSA: LazyLock<Arc<Key>> = LazyLock::new(|| Key::rsa("rsa"));
pub static OTHER_RSA: LazyLock<Arc<Key>> = LazyLock::new(|| Key::rsa("other-rsa"));
pub static P256: LazyLock<Arc<Key>> = LazyLock::new(|| {
    Key::new("p256", Pair::P256(EcdsaKeyPair::generate(&signature::ECDSA_P256_SHA256_FIXED_SIGNING).unwrap()))
});
pub static P384: LazyLock<Arc<Key>> = LazyLock::new(|| {
    Key::new("p384", Pair::P384(EcdsaKeyPair::generate(&signature::ECDSA_P384_SHA384_FIXED_SIGNING).unwrap()))
});
pub static ED25519: LazyLock<Arc<Key>> =
    LazyLock::new(|| Key::new("ed", Pair::Ed25519(Ed25519KeyPair::generate().unwrap())));

impl Key {
    fn new(kid: &'static str, pair: Pair) -> Arc<Self> {
        Arc::new(Self { kid, pair })
    }

    fn rsa(kid: &'static str) -> Arc<Self> {
        Self::new(kid, Pair::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap()))
    }

    /// The public half as a JWK (RFC 7517).
    pub fn jwk(&self) -> Value {
        let text = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        let mut jwk = match &self.pair {
            Pair::Rsa(_) => json!({ "kty": "RSA", "n": text(&self.modulus()), "e": "AQAB" }),
            Pair::P256(pair) => {
                let point = pair.public_key().as_ref();
                json!({ "kty": "EC", "crv": "P-256", "x": text(&point[1..33]), "y": text(&point[33..]) })
            }
            Pair::P384(pair) => {
                let point = pair.public_key().as_ref();
                json!({ "kty": "EC", "crv": "P-384", "x": text(&point[1..49]), "y": text(&point[49..]) })
            }
            Pair::Ed25519(pair) => {
                json!({ "kty": "OKP", "crv": "Ed25519", "x": text(pair.public_key().as_ref()) })
            }
        };
        jwk["kid"] = json!(self.kid);
        jwk["use"] = json!("sig");
        jwk
    }

    /// The modulus, out of `SEQUENCE { INTEGER n, INTEGER 65537 }`.
    fn modulus(&self) -> Vec<u8> {
        let der = self.public_der();
        assert_eq!(der[..9], [0x30, 0x82, 0x01, 0x0a, 0x02, 0x82, 0x01, 0x01, 0x00]);
        assert_eq!(der[265..], [0x02, 0x03, 0x01, 0x00, 0x01]);
        der[9..265].to_vec()
    }

    fn public_der(&self) -> &[u8] {
        let Pair::Rsa(pair) = &self.pair else { panic!("only RSA keys are asked for this") };
        pair.public_key().as_ref()
    }

    fn sign(&self, algorithm: &str, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Rsa(pair) => {
                let padding: &'static dyn signature::RsaEncoding = match algorithm {
                    "RS384" => &signature::RSA_PKCS1_SHA384,
                    "RS512" => &signature::RSA_PKCS1_SHA512,
                    "PS256" => &signature::RSA_PSS_SHA256,
                    "PS384" => &signature::RSA_PSS_SHA384,
                    "PS512" => &signature::RSA_PSS_SHA512,
                    _ => &signature::RSA_PKCS1_SHA256,
                };
                let mut bytes = vec![0; pair.public_modulus_len()];
                pair.sign(padding, &random, message, &mut bytes).unwrap();
                bytes
            }
            Pair::P256(pair) | Pair::P384(pair) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            Pair::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
        }
    }
}

/// A JWS (RFC 7515 3.1) of texts that need not be JSON.
pub fn sign(header: &str, claims: &str, algorithm: &str, key: &Key) -> String {
    let input = input(header, claims);
    let signature = key.sign(algorithm, input.as_bytes());
    format!("{input}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
}

/// The same with an empty signature.
pub fn unsigned(header: &str, claims: &str) -> String {
    format!("{}.", input(header, claims))
}

/// The same with an HMAC under whatever secret.
pub fn hmac(header: &str, claims: &str, secret: &[u8]) -> String {
    let input = input(header, claims);
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), input.as_bytes());
    format!("{input}.{}", BASE64_URL_SAFE_NO_PAD.encode(tag))
}

/// The public key in the forms in which it was taken for a shared secret.
pub fn public_forms(key: &Key) -> [Vec<u8>; 3] {
    [key.public_der().to_vec(), key.modulus(), key.jwk().to_string().into_bytes()]
}

fn input(header: &str, claims: &str) -> String {
    format!("{}.{}", BASE64_URL_SAFE_NO_PAD.encode(header), BASE64_URL_SAFE_NO_PAD.encode(claims))
}
