//! The form of a request for a token (RFC 6749 3.2, 4.4.2; RFC 7521 4.2).
//!
//! One request proves one client in one way: a second proof is an error, never a fallback. A
//! parameter that stands twice is an error too; one without a value counts as absent.

use base64::{Engine, prelude::BASE64_STANDARD};
use domain::Secret;
use http::{HeaderMap, HeaderValue, header};
use ops::oauth::{ProofGiven, TokenRequest};

const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Why a form is refused before anybody is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is not a request of this kind; in the words for whoever made it.
    Request(&'static str),
    /// It wants something else than client credentials.
    GrantType,
    /// Nothing in it proves a client.
    Client,
}

/// Checks that a form was sent.
///
/// # Errors
/// [`Fault::Request`].
pub fn check_media_type(headers: &HeaderMap) -> Result<(), Fault> {
    let text = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = text.split(';').next().unwrap_or_default().trim();
    if media_type.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        Ok(())
    } else {
        Err(Fault::Request("application/x-www-form-urlencoded is expected"))
    }
}

/// Reads a form and the `Authorization` header beside it.
///
/// # Errors
/// [`Fault`].
pub fn read(headers: &HeaderMap, body: &[u8]) -> Result<TokenRequest, Fault> {
    let mut form = Fields::parse(body)?;
    match form.take("grant_type").as_deref() {
        Some("client_credentials") => {}
        Some(_) => return Err(Fault::GrantType),
        None => return Err(Fault::Request("grant_type is missing")),
    }
    let basic = basic(headers)?;
    let secret = form.take("client_secret").map(Secret::new);
    let assertion = form.take("client_assertion");
    let assertion_type = form.take("client_assertion_type");
    if assertion.is_some() != assertion_type.is_some() {
        return Err(Fault::Request("client_assertion and client_assertion_type go together"));
    }
    if assertion_type.is_some_and(|text| text != JWT_BEARER) {
        return Err(Fault::Request("client_assertion_type is jwt-bearer of RFC 7523"));
    }
    let mut client_id = form.take("client_id");
    let scope = form.take("scope");
    let proof = match (basic, secret, assertion) {
        (Some((id, secret)), None, None) => {
            if client_id.is_some_and(|other| other != id) {
                return Err(Fault::Request("two clients are named"));
            }
            client_id = Some(id);
            ProofGiven::Secret(secret)
        }
        (None, Some(secret), None) if client_id.is_some() => ProofGiven::Secret(secret),
        (None, Some(_), None) => return Err(Fault::Request("client_id is missing")),
        (None, None, Some(assertion)) => ProofGiven::Assertion(assertion),
        (None, None, None) => return Err(Fault::Client),
        // RFC 6749 2.3: a client uses one way in each request.
        (Some(_), Some(_), _) | (Some(_), _, Some(_)) | (_, Some(_), Some(_)) => {
            return Err(Fault::Request("the client is proven in two ways; one is expected"));
        }
    };
    Ok(TokenRequest { client_id, proof, scope })
}

/// The client and secret of HTTP Basic (RFC 6749 2.3.1, RFC 7617 2).
fn basic(headers: &HeaderMap) -> Result<Option<(String, Secret)>, Fault> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Fault::Request("there are two Authorization headers"));
    }
    decode_basic(value).map(Some).ok_or(Fault::Client)
}

fn decode_basic(value: &HeaderValue) -> Option<(String, Secret)> {
    let (scheme, digits) = value.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(BASE64_STANDARD.decode(digits.trim_start_matches(' ')).ok()?).ok()?;
    let (id, secret) = text.split_once(':')?;
    // Both are encoded as in a form. Ours have no character that is.
    let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    (plain(id) && plain(secret)).then(|| (id.to_owned(), Secret::new(secret.to_owned())))
}

/// The parameters of a form, none of them twice.
struct Fields(Vec<(String, String)>);

impl Fields {
    fn parse(body: &[u8]) -> Result<Self, Fault> {
        // The decoder would replace what is no UTF-8.
        let text = std::str::from_utf8(body).map_err(|_| Fault::Request("the form is not UTF-8"))?;
        let fields: Vec<(String, String)> =
            serde_urlencoded::from_str(text).map_err(|_| Fault::Request("the form cannot be read"))?;
        for (at, (name, _)) in fields.iter().enumerate() {
            if fields.iter().skip(at + 1).any(|(other, _)| other == name) {
                return Err(Fault::Request("a parameter stands twice"));
            }
        }
        Ok(Self(fields))
    }

    /// The value of a parameter; an empty one is none (RFC 6749 3.2).
    fn take(&mut self, name: &str) -> Option<String> {
        let at = self.0.iter().position(|(found, _)| found == name)?;
        Some(self.0.swap_remove(at).1).filter(|value| !value.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASSERTION: &str = "client_assertion=a.b.c&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer";

    fn check(authorization: &[&str], body: &str) -> Result<String, Fault> {
        let mut headers = HeaderMap::new();
        for value in authorization {
            headers.append(header::AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        }
        read(&headers, format!("grant_type=client_credentials&{body}").as_bytes()).map(|asked| {
            let proof = match asked.proof {
                ProofGiven::Assertion(text) => format!("assertion {text}"),
                ProofGiven::Secret(secret) => format!("secret {}", secret.expose()),
            };
            format!("{} {proof} {}", asked.client_id.unwrap_or_default(), asked.scope.unwrap_or_default())
        })
    }

    fn basic_of(text: &str) -> String {
        format!("Basic {}", BASE64_STANDARD.encode(text))
    }

    #[test]
    fn each_way_of_proving_a_client_is_read() {
        let one = |text: &str| Ok(text.to_owned());
        assert_eq!(check(&[], ASSERTION), one(" assertion a.b.c "));
        assert_eq!(check(&[], &format!("client_id=i&{ASSERTION}")), one("i assertion a.b.c "));
        assert_eq!(
            check(&[], "client_id=i&client_secret=s&scope=users%3Aread+b"),
            one("i secret s users:read b")
        );
        assert_eq!(check(&[&basic_of("i:s")], "scope="), one("i secret s "));
        assert_eq!(check(&[&basic_of("i:s").replace("Basic", "bAsIc")], "client_id=i"), one("i secret s "));
        assert_eq!(check(&[], "client_id=i&client_secret=s&resource=x&sub=admin"), one("i secret s "));
    }

    #[test]
    fn two_ways_are_one_too_many() {
        for (authorization, body) in [
            (vec![basic_of("i:s")], "client_id=i&client_secret=s".to_owned()),
            (vec![basic_of("i:s")], ASSERTION.to_owned()),
            (vec![], format!("client_id=i&client_secret=s&{ASSERTION}")),
            (vec![basic_of("i:s"), basic_of("i:s")], String::new()),
            (vec![basic_of("i:s")], "client_id=other".to_owned()),
            (vec![], format!("{ASSERTION}&client_assertion=d.e.f")),
            (vec![], "client_id=i&client_secret=s&client_secret=t".to_owned()),
            (vec![], "client_id=i&client_secret=s&scope=a&scope=b".to_owned()),
            (vec![], "client_secret=s".to_owned()),
            (vec![], "client_assertion=a.b.c".to_owned()),
            (vec![], "client_assertion_type=x".to_owned()),
            (vec![], "client_assertion=a.b.c&client_assertion_type=urn:other".to_owned()),
        ] {
            let authorization: Vec<&str> = authorization.iter().map(String::as_str).collect();
            assert!(
                matches!(check(&authorization, &body), Err(Fault::Request(_))),
                "{authorization:?} {body}"
            );
        }
    }

    #[test]
    fn what_proves_nobody_is_told_alike() {
        for authorization in [
            "Bearer kwd_x".to_owned(),
            "Basic".to_owned(),
            "Basic !!!".to_owned(),
            basic_of("no colon"),
            basic_of("i:s s"),
            basic_of("%69:s"),
            format!("Basic {}", BASE64_STANDARD.encode(b"\xff:\xfe")),
        ] {
            assert_eq!(check(&[&authorization], ""), Err(Fault::Client), "{authorization}");
        }
        assert_eq!(check(&[], "client_id=i"), Err(Fault::Client));
    }

    #[test]
    fn other_grants_are_not_given() {
        let fault = |body: &[u8]| read(&HeaderMap::new(), body).err();
        for grant in [
            "password",
            "authorization_code",
            "refresh_token",
            "urn:ietf:params:oauth:grant-type:token-exchange",
            "urn:ietf:params:oauth:grant-type:jwt-bearer",
            "CLIENT_CREDENTIALS",
        ] {
            assert_eq!(fault(format!("grant_type={grant}").as_bytes()), Some(Fault::GrantType), "{grant}");
        }
        assert!(matches!(fault(b""), Some(Fault::Request(_))));
        assert!(matches!(fault(b"grant_type="), Some(Fault::Request(_))));
        assert!(matches!(fault(b"grant_type=client_credentials&\xff=1"), Some(Fault::Request(_))));
    }
}
