//! Signed webhooks: the signature is checked by crate `standardwebhooks`, as a receiver does it.

use std::sync::{Arc, Mutex};

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    agreement::{PrivateKey, UnparsedPublicKey, X25519, agree},
    digest,
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD as BASE64_URL};
use domain::{
    Secret,
    deliveries::{Connector, DeliveryStep, FailureKind, Holds},
};
use ops::ports::DeliveryJob;
use serde_json::{Value, json};
use standardwebhooks::Webhook;

use super::{Asked, KEY, Service, job, say, settings, take, way};

const SIGNING: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

/// A receiver that keeps what it takes, once for each id.
#[derive(Default)]
struct Receiver {
    taken: Mutex<Vec<Vec<u8>>>,
    ids: Mutex<Vec<String>>,
    last_four: Mutex<String>,
}

impl Receiver {
    fn answer(&self, asked: &Asked) -> super::Reply {
        if asked.line.starts_with("HEAD ") {
            return say(405, "");
        }
        let webhook = Webhook::new(SIGNING).unwrap();
        let at: i64 = asked.header("webhook-timestamp").parse().unwrap();
        assert_eq!(at, ops::testing::START_MS / 1_000, "the clock of the tests");
        // The checker compares with the time of this machine, which is another: the signature is what counts.
        let signature = webhook.sign(asked.header("webhook-id"), at, &asked.body).unwrap();
        if signature != asked.header("webhook-signature") {
            return say(401, "");
        }
        if asked.line == "GET /held" {
            return say(200, json!({ "last_four": *self.last_four.lock().unwrap() }));
        }
        let id = asked.header("webhook-id").to_owned();
        if !self.ids.lock().unwrap().contains(&id) {
            self.ids.lock().unwrap().push(id);
            self.taken.lock().unwrap().push(asked.body.clone());
            "cret".clone_into(&mut self.last_four.lock().unwrap());
        }
        say(204, "")
    }
}

async fn receiver() -> (Arc<Receiver>, Service) {
    let receiver = Arc::new(Receiver::default());
    let inner = Arc::clone(&receiver);
    (receiver, Service::start(move |asked| inner.answer(asked)).await)
}

fn target(service: &Service, more: &[(&str, &str)]) -> DeliveryJob {
    let url = format!("{}/keys", service.base);
    let fields: Vec<_> = [("url", url.as_str())].into_iter().chain(more.iter().copied()).collect();
    let mut job = job(settings(Connector::Webhook, &fields));
    job.credential = Secret::new(SIGNING.to_owned());
    job
}

#[tokio::test]
async fn the_receiver_gets_a_signed_message_once_however_often_it_is_sent() {
    let (receiver, service) = receiver().await;
    let read_back = format!("{}/held", service.base);
    let (way, job) = (way(), target(&service, &[("read_back_url", &read_back)]));
    take(&way, &job, DeliveryStep::Validate).await.unwrap();
    let before = take(&way, &job, DeliveryStep::ReadBack).await.unwrap();
    assert_eq!(before.holds, Holds::No);
    for _ in 0..2 {
        take(&way, &job, DeliveryStep::Write).await.unwrap();
    }
    let after = take(&way, &job, DeliveryStep::ReadBack).await.unwrap();
    assert_eq!(after.holds, Holds::Yes);
    let taken = receiver.taken.lock().unwrap().clone();
    assert_eq!(taken.len(), 1);
    let message: Value = serde_json::from_slice(&taken[0]).unwrap();
    assert_eq!(message["type"], "key.rotated");
    assert_eq!(message["timestamp"], "2026-01-01T00:00:00Z");
    assert_eq!(message["data"]["secret"], KEY);
    assert_eq!(message["data"]["base_url"], "https://keyward.test/scim/own/v2");
}

#[tokio::test]
async fn another_signing_secret_is_refused_by_the_receiver() {
    let (receiver, service) = receiver().await;
    let mut job = target(&service, &[]);
    job.credential = Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned());
    let fault = take(&way(), &job, DeliveryStep::Write).await.unwrap_err();
    assert_eq!(fault.kind, FailureKind::Refused);
    assert!(receiver.taken.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_receiver_with_a_public_key_is_the_only_one_that_reads_the_message() {
    let (receiver, service) = receiver().await;
    let private = PrivateKey::from_private_key(&X25519, &[7; 32]).unwrap();
    let public = BASE64_URL.encode(private.compute_public_key().unwrap().as_ref());
    let jwk = json!({ "kty": "OKP", "crv": "X25519", "kid": "receiver-1", "x": public }).to_string();
    let job = target(&service, &[("receiver_key", &jwk)]);
    take(&way(), &job, DeliveryStep::Write).await.unwrap();
    let body = String::from_utf8(receiver.taken.lock().unwrap().remove(0)).unwrap();
    assert!(!body.contains(KEY));
    let parts: Vec<Vec<u8>> = body.split('.').map(|part| BASE64_URL.decode(part).unwrap()).collect();
    let header: Value = serde_json::from_slice(&parts[0]).unwrap();
    assert_eq!((header["alg"].as_str(), header["enc"].as_str()), (Some("ECDH-ES"), Some("A256GCM")));
    assert_eq!(header["kid"], "receiver-1");
    // Opened from the standard alone: agreement, Concat KDF, AES-256-GCM with the header as associated data.
    let epk = BASE64_URL.decode(header["epk"]["x"].as_str().unwrap()).unwrap();
    let key = agree(&private, UnparsedPublicKey::new(&X25519, epk), (), |z| {
        let other = [&[0, 0, 0, 7][..], b"A256GCM", &[0; 4], &[0; 4], &256_u32.to_be_bytes()].concat();
        Ok(digest::digest(&digest::SHA256, &[&[0, 0, 0, 1][..], z, &other].concat()))
    });
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key.unwrap().as_ref()).unwrap());
    let protected = body.split('.').next().unwrap().as_bytes();
    let mut sealed = [parts[3].clone(), parts[4].clone()].concat();
    let nonce = Nonce::try_assume_unique_for_key(&parts[2]).unwrap();
    let plain = key.open_in_place(nonce, Aad::from(protected), &mut sealed).unwrap();
    let message: Value = serde_json::from_slice(plain).unwrap();
    assert_eq!(message["data"]["secret"], KEY);
}
