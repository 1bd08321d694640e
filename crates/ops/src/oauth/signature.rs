//! Whether a signature is a public key's (RFC 7518 3.3–3.5, RFC 8037 3.1).

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, RsaParameters,
    RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm,
};
use domain::oauth::{Algorithm, Material};

/// Whether the key made the signature of the message; never when the algorithm is not the key's.
pub(super) fn is_by(key: &Material, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
    let rsa = |parameters: &'static RsaParameters, n: &[u8], e: &[u8]| {
        RsaPublicKeyComponents { n, e }.verify(parameters, message, signature).is_ok()
    };
    let curve = |parameters: &'static dyn VerificationAlgorithm, point: &[u8]| {
        UnparsedPublicKey::new(parameters, point).verify(message, signature).is_ok()
    };
    match (algorithm, key) {
        (Algorithm::Rs256, Material::Rsa { n, e }) => rsa(&RSA_PKCS1_2048_8192_SHA256, n, e),
        (Algorithm::Ps256, Material::Rsa { n, e }) => rsa(&RSA_PSS_2048_8192_SHA256, n, e),
        (Algorithm::Es256, Material::P256 { x, y }) => curve(&ECDSA_P256_SHA256_FIXED, &point(x, y)),
        (Algorithm::EdDsa, Material::Ed25519 { x }) => curve(&ED25519, x),
        (Algorithm::Rs256 | Algorithm::Ps256 | Algorithm::Es256 | Algorithm::EdDsa, _) => false,
    }
}

/// Whether a key can be used at all: coordinates that are no point on the curve never can.
pub(super) fn is_usable(key: &Material) -> bool {
    match key {
        // Its size and exponent were checked, and every modulus is a number.
        Material::Rsa { .. } => true,
        Material::P256 { x, y } => {
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point(x, y)).parse().is_ok()
        }
        Material::Ed25519 { x } => UnparsedPublicKey::new(&ED25519, x).parse().is_ok(),
    }
}

/// An uncompressed point (SEC 1 2.3.3).
fn point(x: &[u8; 32], y: &[u8; 32]) -> Vec<u8> {
    [&[4], x.as_slice(), y].concat()
}

#[cfg(test)]
mod tests {
    use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
    use domain::oauth::Jwks;

    use super::*;

    fn material(jwk: &str) -> Material {
        Jwks::register(jwk).unwrap().iter().next().unwrap().material.clone()
    }

    // The examples of RFC 7515 A.2, A.3 and RFC 8037 A.4: message, signature, public key.
    const ED: (&str, &str, &str) = (
        "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc",
        "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
        r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#,
    );
    const EC: (&str, &str, &str) = (
        "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ",
        "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
        r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#,
    );

    #[test]
    fn the_examples_of_the_rfcs_are_signed_and_nothing_else_is() {
        for (algorithm, (message, signature, jwk)) in [(Algorithm::EdDsa, ED), (Algorithm::Es256, EC)] {
            let (key, signature) = (material(jwk), BASE64_URL_SAFE_NO_PAD.decode(signature).unwrap());
            assert!(is_usable(&key) && is_by(&key, algorithm, message.as_bytes(), &signature));
            for other in Algorithm::ALL.into_iter().filter(|other| *other != algorithm) {
                assert!(!is_by(&key, other, message.as_bytes(), &signature), "{other:?}");
            }
            assert!(!is_by(&key, algorithm, &message.as_bytes()[1..], &signature));
            for at in 0..signature.len() {
                let mut changed = signature.clone();
                changed[at] ^= 1;
                assert!(!is_by(&key, algorithm, message.as_bytes(), &changed), "{at}");
            }
            for cut in [&[], &signature[1..], &[&signature[..], &[0]].concat()[..], &[0; 64]] {
                assert!(!is_by(&key, algorithm, message.as_bytes(), cut));
            }
        }
    }

    #[test]
    fn a_point_that_is_not_on_the_curve_is_not_usable() {
        let Material::P256 { x, mut y } = material(EC.2) else { panic!("an EC key") };
        y[31] ^= 1;
        assert!(!is_usable(&Material::P256 { x, y }));
        assert!(!is_usable(&Material::P256 { x: [0; 32], y: [0; 32] }));
    }
}
