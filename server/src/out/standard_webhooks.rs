//! Signatures of webhooks as Standard Webhooks has them: `webhook-id`, `webhook-timestamp`,
//! `webhook-signature: v1,<base64>`, an HMAC-SHA-256 over `id.timestamp.body`.

use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use domain::{Secret, secret::signing_bytes};

/// A secret that cannot sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signing secret is not whsec_ and 24 to 64 bytes in base64")]
pub struct BadSecret;

/// Whether a text can sign: `whsec_` and 24 to 64 bytes in base64.
///
/// # Errors
/// [`BadSecret`].
pub fn check_secret(secret: &Secret) -> Result<(), BadSecret> {
    key(secret).map(drop)
}

/// The three headers that go with a body, in lower case.
///
/// # Errors
/// [`BadSecret`].
pub fn headers(
    secret: &Secret,
    id: &str,
    at_s: i64,
    body: &[u8],
) -> Result<[(&'static str, String); 3], BadSecret> {
    let mut context = hmac::Context::with_key(&key(secret)?);
    context.update(format!("{id}.{at_s}.").as_bytes());
    context.update(body);
    let signature = format!("v1,{}", BASE64.encode(context.sign().as_ref()));
    Ok([
        ("webhook-id", id.to_owned()),
        ("webhook-timestamp", at_s.to_string()),
        ("webhook-signature", signature),
    ])
}

fn key(secret: &Secret) -> Result<hmac::Key, BadSecret> {
    let bytes = signing_bytes(secret.expose()).ok_or(BadSecret)?;
    Ok(hmac::Key::new(hmac::HMAC_SHA256, &bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_standard_is_signed_as_it_says() {
        let secret = Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned());
        let body = br#"{"test": 2432232314}"#;
        let headers = headers(&secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body).unwrap();
        assert_eq!(headers[0].1, "msg_p5jXN8AQM9LWM0D4loKWxJek");
        assert_eq!(headers[1].1, "1614265330");
        assert_eq!(headers[2].1, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_secret_has_its_prefix_and_enough_bytes() {
        for text in ["", "whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_c2hvcnQ=", "whsec_!!!!"] {
            assert_eq!(check_secret(&Secret::new(text.to_owned())), Err(BadSecret), "{text}");
        }
        for text in
            ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="]
        {
            assert_eq!(check_secret(&Secret::new(text.to_owned())), Ok(()), "{text}");
        }
    }
}
