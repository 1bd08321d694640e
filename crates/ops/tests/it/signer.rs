//! An OAuth client: a private key, and assertions that it signs.

use std::sync::{Arc, Mutex};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use domain::KeyId;
use ops::{
    Error,
    oauth::{ClientKeys, GrantError, Granted, ProofGiven, TokenRequest, grant},
    ports::{FetchJwks, Unlimited},
};
use serde_json::{Value, json};

use crate::support::House;

pub const ISSUER: &str = "https://keyward.test";

/// A client's private key.
pub struct Signer {
    kid: &'static str,
    pair: Ed25519KeyPair,
}

impl Signer {
    pub fn new(kid: &'static str) -> Self {
        Self { kid, pair: Ed25519KeyPair::generate().unwrap() }
    }

    pub fn jwk(&self) -> Value {
        let x = BASE64_URL_SAFE_NO_PAD.encode(self.pair.public_key().as_ref());
        json!({ "kty": "OKP", "crv": "Ed25519", "x": x, "kid": self.kid })
    }

    /// An assertion of a client, made now, as it should be.
    pub fn assertion(&self, house: &House, client: &KeyId) -> String {
        let mut chance = [0; 16];
        house.keyward.entropy().fill(&mut chance);
        self.assertion_with(house, client, &domain::hex(&chance))
    }

    pub fn assertion_with(&self, house: &House, client: &KeyId, jti: &str) -> String {
        let now = house.keyward.clock().now_ms() / 1_000;
        let header = json!({ "alg": "EdDSA", "typ": "JWT", "kid": self.kid });
        let claims = json!({
            "iss": client, "sub": client, "aud": ISSUER, "jti": jti, "iat": now, "exp": now + 60
        });
        let part = |value: Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(header), part(claims));
        let signature = self.pair.sign(message.as_bytes());
        format!("{message}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
    }
}

pub fn jwks(signers: &[&Signer]) -> String {
    json!({ "keys": signers.iter().map(|signer| signer.jwk()).collect::<Vec<_>>() }).to_string()
}

/// What is found at every address: a document, or nothing; and how often it was asked for.
#[derive(Default)]
pub struct Site {
    pub document: Mutex<Option<String>>,
    pub asked: Mutex<usize>,
}

impl Site {
    pub fn says(&self, document: Option<String>) {
        *self.document.lock().unwrap() = document;
    }

    pub fn asked(&self) -> usize {
        *self.asked.lock().unwrap()
    }
}

impl FetchJwks for Site {
    fn fetch<'a>(
        &'a self,
        _uri: &'a str,
    ) -> std::pin::Pin<Box<dyn Future<Output = Result<Vec<u8>, String>> + Send + 'a>> {
        Box::pin(async {
            *self.asked.lock().unwrap() += 1;
            // Somebody else may run in between, as on a network.
            tokio::task::yield_now().await;
            self.document.lock().unwrap().clone().map(String::into_bytes).ok_or("it is down".to_owned())
        })
    }
}

/// The token endpoint of one node.
pub struct Desk {
    pub site: Arc<Site>,
    pub keys: ClientKeys,
}

impl Desk {
    pub fn new() -> Self {
        let site = Arc::new(Site::default());
        Self { keys: ClientKeys::new(Arc::clone(&site) as Arc<dyn FetchJwks>), site }
    }

    pub async fn ask(
        &self,
        house: &House,
        assertion: String,
        scope: Option<&str>,
    ) -> Result<Granted, GrantError> {
        let request = house.keyward.request_info();
        let asked = TokenRequest {
            client_id: None,
            proof: ProofGiven::Assertion(assertion),
            scope: scope.map(str::to_owned),
        };
        grant(&house.keyward, &self.keys, &request, &Unlimited, &asked).await
    }
}

/// A refusal is as it should be; any other failure is not.
pub fn refused(result: Result<Granted, GrantError>) -> Result<(), Error> {
    match result {
        Ok(_) => panic!("a token was given"),
        Err(GrantError::Failed(error)) => Err(error),
        Err(_) => Ok(()),
    }
}

/// A grant as an operation that succeeds or fails.
pub fn given(result: Result<Granted, GrantError>) -> Result<(), Error> {
    match result {
        Ok(_) => Ok(()),
        Err(GrantError::Failed(error)) => Err(error),
        Err(refusal) => panic!("{refusal}"),
    }
}
