//! A text for one receiver: JWE (RFC 7516) in its compact form, ECDH-ES with direct agreement and A256GCM
//! (RFC 7518 4.6, 5.3), on X25519 (RFC 8037) or P-256.

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    agreement::{self, Algorithm, ECDH_P256, PrivateKey, UnparsedPublicKey, X25519},
    digest,
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD as BASE64_URL};
use domain::deliveries::receiver::ReceiverKey;
use ops::Entropy;
use serde_json::{Value, json};
use zeroize::Zeroizing;

const ENC: &str = "A256GCM";

/// Seals a text for a receiver.
///
/// # Errors
/// A sentence when the public key is no point of its curve.
pub fn seal(
    entropy: &dyn Entropy,
    receiver: &ReceiverKey,
    kid: Option<&str>,
    plain: &[u8],
) -> Result<String, String> {
    let ephemeral = ephemeral(entropy, algorithm(receiver))?;
    let mut nonce = [0; NONCE_LEN];
    entropy.fill(&mut nonce);
    seal_with(&ephemeral, nonce, receiver, kid, plain)
}

fn algorithm(receiver: &ReceiverKey) -> &'static Algorithm {
    match receiver {
        ReceiverKey::X25519(_) => &X25519,
        ReceiverKey::P256(_) => &ECDH_P256,
    }
}

/// A key that is used once.
fn ephemeral(entropy: &dyn Entropy, algorithm: &'static Algorithm) -> Result<PrivateKey, String> {
    let mut bytes = Zeroizing::new([0; 32]);
    // A number that is no scalar of P-256 is drawn about once in 2^32 times.
    for _ in 0..8 {
        entropy.fill(bytes.as_mut());
        if let Ok(key) = PrivateKey::from_private_key(algorithm, bytes.as_ref()) {
            return Ok(key);
        }
    }
    Err("no ephemeral key could be made".to_owned())
}

fn seal_with(
    ephemeral: &PrivateKey,
    nonce: [u8; NONCE_LEN],
    receiver: &ReceiverKey,
    kid: Option<&str>,
    plain: &[u8],
) -> Result<String, String> {
    let public = ephemeral.compute_public_key().map_err(|_| "no ephemeral key could be made".to_owned())?;
    let mut header =
        json!({ "alg": "ECDH-ES", "enc": ENC, "cty": "json", "epk": jwk(receiver, public.as_ref())? });
    if let Some(kid) = kid {
        header["kid"] = json!(kid);
    }
    let header = BASE64_URL.encode(header.to_string());
    let key = agreed(ephemeral, receiver, |z| derive(z, ENC, b"", b"", 256))?;
    let key = UnboundKey::new(&AES_256_GCM, &key).map(LessSafeKey::new);
    let key = key.map_err(|_| "the agreed key was refused".to_owned())?;
    let mut sealed = plain.to_vec();
    let tag = key
        .seal_in_place_separate_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(header.as_bytes()),
            &mut sealed,
        )
        .map_err(|_| "the text could not be sealed".to_owned())?;
    let parts = [BASE64_URL.encode(nonce), BASE64_URL.encode(&sealed), BASE64_URL.encode(tag.as_ref())];
    // Direct agreement: there is no encrypted key between header and nonce.
    Ok(format!("{header}..{}", parts.join(".")))
}

/// The ephemeral public key as a JWK of the receiver's kind.
fn jwk(receiver: &ReceiverKey, public: &[u8]) -> Result<Value, String> {
    match receiver {
        ReceiverKey::X25519(_) => {
            Ok(json!({ "kty": "OKP", "crv": "X25519", "x": BASE64_URL.encode(public) }))
        }
        ReceiverKey::P256(_) => {
            let coordinates = public.get(1..).and_then(|both| both.split_at_checked(32));
            let (x, y) = coordinates.ok_or_else(|| "the ephemeral key has no coordinates".to_owned())?;
            Ok(json!({ "kty": "EC", "crv": "P-256", "x": BASE64_URL.encode(x), "y": BASE64_URL.encode(y) }))
        }
    }
}

fn agreed<R>(
    ephemeral: &PrivateKey,
    receiver: &ReceiverKey,
    derive: impl FnOnce(&[u8]) -> R,
) -> Result<R, String> {
    let bytes: &[u8] = match receiver {
        ReceiverKey::X25519(point) => point,
        ReceiverKey::P256(point) => point,
    };
    let peer = UnparsedPublicKey::new(algorithm(receiver), bytes);
    let no_point = "the public key of the receiver is no point of its curve".to_owned();
    agreement::agree(ephemeral, peer, no_point, |z| Ok(derive(z)))
}

/// Concat KDF with SHA-256 (NIST SP 800-56A 5.8.1, RFC 7518 4.6.2), for keys of at most 256 bits.
fn derive(z: &[u8], algorithm: &str, apu: &[u8], apv: &[u8], bits: u32) -> Zeroizing<Vec<u8>> {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(&1_u32.to_be_bytes());
    context.update(z);
    for part in [algorithm.as_bytes(), apu, apv] {
        context.update(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
        context.update(part);
    }
    context.update(&bits.to_be_bytes());
    let length = usize::try_from(bits / 8).unwrap_or(32);
    Zeroizing::new(context.finish().as_ref().iter().take(length).copied().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &str) -> Vec<u8> {
        BASE64_URL.decode(text).unwrap()
    }

    fn receiver(jwk: &Value) -> ReceiverKey {
        ReceiverKey::parse(&jwk.to_string()).unwrap().0
    }

    /// Opens what was sealed, as a receiver does.
    fn open(private: &PrivateKey, sealed: &str) -> String {
        let parts: Vec<&str> = sealed.split('.').collect();
        let [header, "", nonce, cipher, tag] = parts.as_slice() else { panic!("{sealed}") };
        let read: Value = serde_json::from_slice(&bytes(header)).unwrap();
        let epk = receiver(&read["epk"]);
        let key = agreed(private, &epk, |z| derive(z, ENC, b"", b"", 256)).unwrap();
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key).unwrap());
        let mut both = [bytes(cipher), bytes(tag)].concat();
        let nonce = Nonce::try_assume_unique_for_key(&bytes(nonce)).unwrap();
        let plain = key.open_in_place(nonce, Aad::from(header.as_bytes()), &mut both).unwrap();
        String::from_utf8(plain.to_vec()).unwrap()
    }

    #[test]
    fn the_agreement_of_rfc_7518_appendix_c_gives_its_key() {
        let alice = bytes("0_NxaRPUMQoAJt50Gz8YiTr8gRTwyEaCumd-MToTmIo");
        let alice = PrivateKey::from_private_key(&ECDH_P256, &alice).unwrap();
        let bob = receiver(&json!({
            "kty": "EC", "crv": "P-256", "x": "weNJy2HscCSM6AEDTDg04biOvhFhyyWvOHQfeF_PxMQ",
            "y": "e8lnCO-AlStT-NJVX-crhB7QRYhiix03illJOVAOyck",
        }));
        let key = agreed(&alice, &bob, |z| derive(z, "A128GCM", b"Alice", b"Bob", 128)).unwrap();
        assert_eq!(BASE64_URL.encode(&*key), "VqqN6vgjbSBcIijNcacQGg");
    }

    #[test]
    fn the_agreement_of_rfc_8037_appendix_a_6_gives_its_secret() {
        let hex = |text: &str| -> Vec<u8> {
            (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
        };
        let ephemeral = hex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a");
        let ephemeral = PrivateKey::from_private_key(&X25519, &ephemeral).unwrap();
        let bob = receiver(&json!({
            "kty": "OKP", "crv": "X25519", "x": "3p7bfXt9wbTTW2HC7OQ1Nz-DQ8hbeGdNrfx-FG-IK08",
        }));
        let epk = jwk(&bob, ephemeral.compute_public_key().unwrap().as_ref()).unwrap();
        assert_eq!(epk["x"], "hSDwCYkwp1R0i33ctD73Wg2_Og0mOBr066SpjqqbTmo");
        let z = agreed(&ephemeral, &bob, <[u8]>::to_vec).unwrap();
        assert_eq!(z, hex("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742"));
    }

    #[test]
    fn a_receiver_opens_what_was_sealed_for_it_and_every_seal_is_another() {
        let entropy = ops::testing::TestEntropy::default();
        for algorithm in [&X25519, &ECDH_P256] {
            let private = ephemeral(&entropy, algorithm).unwrap();
            let public = private.compute_public_key().unwrap();
            let jwk = match public.as_ref() {
                [4, rest @ ..] if rest.len() == 64 => json!({
                    "kty": "EC", "crv": "P-256", "x": BASE64_URL.encode(&rest[..32]), "y": BASE64_URL.encode(&rest[32..]),
                }),
                point => json!({ "kty": "OKP", "crv": "X25519", "x": BASE64_URL.encode(point) }),
            };
            let receiver = receiver(&jwk);
            let one = seal(&entropy, &receiver, Some("one"), b"{\"a\":1}").unwrap();
            let two = seal(&entropy, &receiver, None, b"{\"a\":1}").unwrap();
            assert_eq!(open(&private, &one), "{\"a\":1}");
            assert_eq!(open(&private, &two), "{\"a\":1}");
            assert_ne!(one.split('.').next_back(), two.split('.').next_back());
            let header: Value = serde_json::from_slice(&bytes(one.split('.').next().unwrap())).unwrap();
            assert_eq!((header["alg"].as_str(), header["kid"].as_str()), (Some("ECDH-ES"), Some("one")));
        }
    }

    #[test]
    fn a_point_of_no_curve_seals_nothing() {
        let entropy = ops::testing::TestEntropy::default();
        assert!(seal(&entropy, &ReceiverKey::P256([4; 65]), None, b"x").is_err());
        // The point of order one: whatever is agreed with it is known to everybody.
        assert!(seal(&entropy, &ReceiverKey::X25519([0; 32]), None, b"x").is_err());
    }
}
