//! AWS Signature Version 4, for requests whose headers are all signed.

use aws_lc_rs::{digest, hmac};
use domain::{Millis, hex};
use time::{OffsetDateTime, macros::format_description};

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// Whose right it is, and where.
pub struct Signer<'s> {
    /// The id of the access key.
    pub access_key_id: &'s str,
    /// The secret of the access key.
    pub secret: &'s str,
    /// The region.
    pub region: &'s str,
    /// The service.
    pub service: &'s str,
}

/// What is signed.
pub struct Signed<'s> {
    /// The method.
    pub method: &'s str,
    /// The path, encoded.
    pub path: &'s str,
    /// The query, encoded and in order.
    pub query: &'s str,
    /// The headers in lower case and in order, `x-amz-date` and `host` among them.
    pub headers: &'s [(&'s str, &'s str)],
    /// The body.
    pub body: &'s [u8],
}

/// The value of `x-amz-date`.
pub fn date(at_ms: Millis) -> String {
    let at = OffsetDateTime::from_unix_timestamp(at_ms / 1_000).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    at.format(format_description!("[year][month][day]T[hour][minute][second]Z")).unwrap_or_default()
}

fn digest_of(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

fn mac(key: &[u8], text: &str) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes())
}

impl Signer<'_> {
    /// The value of `authorization` for a request of a moment as [`date`] writes it.
    pub fn authorization(&self, request: &Signed<'_>, date: &str) -> String {
        let day = date.get(..8).unwrap_or_default();
        let scope = format!("{day}/{}/{}/aws4_request", self.region, self.service);
        let names = request.headers.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
        let headers: Vec<_> =
            request.headers.iter().map(|(name, value)| format!("{name}:{}\n", value.trim())).collect();
        let headers = headers.concat();
        let canonical = format!(
            "{}\n{}\n{}\n{headers}\n{names}\n{}",
            request.method,
            request.path,
            request.query,
            digest_of(request.body)
        );
        let to_sign = format!("{ALGORITHM}\n{date}\n{scope}\n{}", digest_of(canonical.as_bytes()));
        let secret = zeroize::Zeroizing::new(format!("AWS4{}", self.secret));
        let key = [day, self.region, self.service, "aws4_request"]
            .into_iter()
            .fold(zeroize::Zeroizing::new(secret.as_bytes().to_vec()), |key, part| {
                zeroize::Zeroizing::new(mac(&key, part).as_ref().to_vec())
            });
        let signature = hex(mac(&key, &to_sign).as_ref());
        format!(
            "{ALGORITHM} Credential={}/{scope}, SignedHeaders={names}, Signature={signature}",
            self.access_key_id
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signature(service: &str, request: &Signed<'_>) -> String {
        let signer = Signer {
            access_key_id: "AKIDEXAMPLE",
            secret: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
            region: "us-east-1",
            service,
        };
        let value = signer.authorization(request, "20150830T123600Z");
        value.rsplit_once("Signature=").unwrap().1.to_owned()
    }

    #[test]
    fn the_examples_of_aws_have_their_signatures() {
        let list_users = Signed {
            method: "GET",
            path: "/",
            query: "Action=ListUsers&Version=2010-05-08",
            headers: &[
                ("content-type", "application/x-www-form-urlencoded; charset=utf-8"),
                ("host", "iam.amazonaws.com"),
                ("x-amz-date", "20150830T123600Z"),
            ],
            body: b"",
        };
        assert_eq!(
            signature("iam", &list_users),
            "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"
        );
        let post_vanilla = Signed {
            method: "POST",
            path: "/",
            query: "",
            headers: &[("host", "example.amazonaws.com"), ("x-amz-date", "20150830T123600Z")],
            body: b"",
        };
        assert_eq!(
            signature("service", &post_vanilla),
            "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"
        );
    }

    #[test]
    fn a_moment_is_written_as_aws_wants_it() {
        assert_eq!(date(1_440_938_160_000), "20150830T123600Z");
    }
}
