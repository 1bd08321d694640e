//! Calls to the SCIM services that federations forward to: one client for each, each call behind
//! the guard.
//!
//! No redirects, no proxy, no second try, no compression; an answer is read to a limit and until the
//! time is over. An answer that repeats our credential is none.

use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use domain::{FederationId, Millis, Secret, upstreams::SignIn};
use http::{HeaderMap, HeaderValue, header};
use ops::{
    Clock,
    gateway::target::UNTRUSTED,
    ports::{CallFault, Destination, Method, Upstream, UpstreamAnswer, UpstreamRequest},
};
use serde_json::Value;
use url::Url;

use super::{
    egress::{Egress, GuardedResolver},
    http::install_crypto,
};

/// The most bytes of an answer that are read.
pub const BODY_LIMIT: usize = 10 * 1024 * 1024;

/// The most bytes of the answer of a token endpoint.
const TOKEN_LIMIT: usize = 64 * 1024;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Idle connections are closed before most services do it.
const IDLE: Duration = Duration::from_secs(10);

/// How long before its end a token is exchanged for a new one, in milliseconds.
const EARLY_MS: Millis = 30_000;

/// Seconds that a token lives when the endpoint does not say (RFC 6749 5.1 only recommends it).
const TOKEN_LIFE_S: i64 = 300;

const SCIM_JSON: HeaderValue = HeaderValue::from_static("application/scim+json");

/// The way to every upstream.
pub struct UpstreamHttp {
    egress: Arc<Egress>,
    clock: Arc<dyn Clock>,
    lines: Mutex<BTreeMap<FederationId, Arc<Line>>>,
}

/// The connections to one upstream, and the token that was last given.
struct Line {
    version: i64,
    client: reqwest::Client,
    token: tokio::sync::Mutex<Option<Token>>,
}

struct Token {
    text: Secret,
    until_ms: Millis,
}

impl UpstreamHttp {
    /// Makes the way out. Clients are made when they are needed.
    pub fn new(egress: Egress, clock: Arc<dyn Clock>) -> Self {
        install_crypto();
        Self { egress: Arc::new(egress), clock, lines: Mutex::default() }
    }

    fn line(&self, destination: &Destination) -> Result<Arc<Line>, CallFault> {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) =
            lines.get(&destination.federation_id).filter(|line| line.version == destination.version)
        {
            return Ok(Arc::clone(line));
        }
        let line = Arc::new(Line {
            version: destination.version,
            client: client(destination, &self.egress)?,
            token: tokio::sync::Mutex::new(None),
        });
        lines.insert(destination.federation_id.clone(), Arc::clone(&line));
        Ok(line)
    }

    fn admitted(&self, text: &str) -> Result<Url, String> {
        let url = Url::parse(text).map_err(|_| "it is not an address that can be called".to_owned())?;
        self.egress.admits_url(&url).map_err(|barred| barred.to_string())?;
        Ok(url)
    }

    async fn exchange_one(
        &self,
        destination: &Destination,
        request: UpstreamRequest,
    ) -> Result<UpstreamAnswer, CallFault> {
        let line = self.line(destination)?;
        let url = self
            .admitted(&format!("{}{}", destination.base_url, request.path))
            .map_err(CallFault::NotSent)?;
        // A path that climbs out of the base is not a path of a resource.
        if !url.as_str().starts_with(&destination.base_url) {
            return Err(CallFault::NotSent("the path leaves the base".to_owned()));
        }
        let credential = self.credential(&line, destination).await?;
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, SCIM_JSON);
        if let Some(credential) = &credential {
            let value = HeaderValue::from_str(credential.expose())
                .map_err(|_| CallFault::NotSent("the credential cannot stand in a header".to_owned()))?;
            let mut value = value;
            value.set_sensitive(true);
            headers.insert(header::AUTHORIZATION, value);
        }
        if let Some(Ok(value)) = request.if_match.as_deref().map(HeaderValue::from_str) {
            headers.insert(header::IF_MATCH, value);
        }
        if let Some(Ok(value)) = request.if_none_match.as_deref().map(HeaderValue::from_str) {
            headers.insert(header::IF_NONE_MATCH, value);
        }
        let mut call = line.client.request(method(request.method), url).headers(headers);
        if let Some(body) = request.body {
            call = call.header(header::CONTENT_TYPE, SCIM_JSON).body(body);
        }
        let response = call.send().await.map_err(fault)?;
        let status = response.status().as_u16();
        let text = |name: header::HeaderName| {
            response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
        };
        let (etag, retry_after) = (text(header::ETAG), text(header::RETRY_AFTER));
        let (content_type, location) = (text(header::CONTENT_TYPE), text(header::LOCATION));
        let body = read(response, BODY_LIMIT).await?;
        if status == 401 {
            // The token may have been revoked before its end.
            *line.token.lock().await = None;
        }
        if [Some(&destination.secret), credential.as_ref()]
            .into_iter()
            .flatten()
            .any(|secret| repeats(&body, secret))
        {
            return Err(CallFault::Unclear("the answer repeats the credential that was sent".to_owned()));
        }
        let retry_after_s = retry_after.and_then(|text| seconds(&text, self.clock.now_ms()));
        let etag = etag.filter(|etag| etag.len() <= 200);
        Ok(UpstreamAnswer { status, body, content_type, location, etag, retry_after_s })
    }

    /// The value of `Authorization`; none for a client certificate.
    async fn credential(&self, line: &Line, destination: &Destination) -> Result<Option<Secret>, CallFault> {
        match &destination.sign_in {
            SignIn::Bearer => Ok(Some(Secret::new(format!("Bearer {}", destination.secret.expose())))),
            SignIn::Basic { user } => {
                let pair = Secret::new(format!("{user}:{}", destination.secret.expose()));
                Ok(Some(Secret::new(format!("Basic {}", BASE64_STANDARD.encode(pair.expose())))))
            }
            SignIn::Oauth { token_url, client_id, scope } => {
                let mut kept = line.token.lock().await;
                let now_ms = self.clock.now_ms();
                if let Some(token) = kept.as_ref().filter(|token| now_ms < token.until_ms) {
                    return Ok(Some(Secret::new(token.text.expose().to_owned())));
                }
                let token = self.token(line, destination, (token_url, client_id, scope)).await?;
                let text = Secret::new(token.text.expose().to_owned());
                *kept = Some(token);
                Ok(Some(text))
            }
            SignIn::MutualTls => Ok(None),
        }
    }

    /// Client credentials (RFC 6749 4.4), the client by HTTP Basic (2.3.1).
    async fn token(
        &self,
        line: &Line,
        destination: &Destination,
        (token_url, client_id, scope): (&str, &str, &str),
    ) -> Result<Token, CallFault> {
        let no_token = |reason: &str| CallFault::NoToken(reason.to_owned());
        let url = self.admitted(token_url).map_err(|reason| no_token(&reason))?;
        let mut form = vec![("grant_type", "client_credentials")];
        if !scope.is_empty() {
            form.push(("scope", scope));
        }
        let encoded = |text: &str| serde_urlencoded::to_string([("", text)]).unwrap_or_default().split_off(1);
        let (user, password) = (encoded(client_id), encoded(destination.secret.expose()));
        let response = line
            .client
            .post(url)
            .header(header::ACCEPT, "application/json")
            .basic_auth(user, Some(password))
            .form(&form)
            .send()
            .await
            .map_err(|error| no_token(&describe(&error)))?;
        let status = response.status().as_u16();
        let body = read(response, TOKEN_LIMIT).await.map_err(|fault| no_token(&fault.to_string()))?;
        if status != 200 {
            return Err(CallFault::NoToken(format!("the token endpoint answers {status}")));
        }
        let answer: Value =
            serde_json::from_slice(&body).map_err(|_| no_token("the token endpoint answers no JSON"))?;
        let is_bearer = answer
            .get("token_type")
            .and_then(Value::as_str)
            .is_some_and(|kind| kind.eq_ignore_ascii_case("bearer"));
        let text = answer.get("access_token").and_then(Value::as_str);
        let Some(text) = text.filter(|text| is_bearer && !text.is_empty()) else {
            return Err(no_token("the token endpoint gives no bearer token"));
        };
        let life_s =
            answer.get("expires_in").and_then(Value::as_i64).unwrap_or(TOKEN_LIFE_S).clamp(0, 86_400);
        Ok(Token {
            text: Secret::new(format!("Bearer {text}")),
            until_ms: self.clock.now_ms() + (life_s * 1_000 - EARLY_MS).max(0),
        })
    }
}

impl Upstream for UpstreamHttp {
    fn admits(&self, url: &str) -> Result<(), String> {
        self.admitted(url).map(drop)
    }

    fn exchange<'a>(
        &'a self,
        destination: &'a Arc<Destination>,
        request: UpstreamRequest,
    ) -> Pin<Box<dyn Future<Output = Result<UpstreamAnswer, CallFault>> + Send + 'a>> {
        Box::pin(async move {
            let is_read = request.method == Method::Get;
            let patience = Duration::from_millis(destination.timeout_ms);
            // The clients have the same timeout; this one also covers the token.
            let exchanged = tokio::time::timeout(patience, self.exchange_one(destination, request)).await;
            let exchanged = exchanged
                .unwrap_or_else(|_| Err(CallFault::Unclear(format!("no whole answer within {patience:?}"))));
            count(is_read, &exchanged);
            exchanged
        })
    }
}

fn count(is_read: bool, exchanged: &Result<UpstreamAnswer, CallFault>) {
    let outcome = match exchanged {
        Ok(answer) => match answer.status / 100 {
            2 => "2xx",
            3 => "3xx",
            4 => "4xx",
            _ => "5xx",
        },
        Err(CallFault::NotSent(_)) => "not sent",
        Err(CallFault::NoToken(_)) => "no token",
        Err(CallFault::Unclear(_)) => "unclear",
    };
    let kind = if is_read { "read" } else { "change" };
    metrics::counter!("keyward_upstream_calls_total", "kind" => kind, "outcome" => outcome).increment(1);
}

fn client(destination: &Destination, egress: &Arc<Egress>) -> Result<reqwest::Client, CallFault> {
    let unusable = |what: &str, error: &reqwest::Error| {
        CallFault::NotSent(format!("{what} cannot be used: {}", describe(error)))
    };
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("Keyward/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .no_proxy()
        .referer(false)
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(Duration::from_millis(destination.timeout_ms))
        .pool_idle_timeout(IDLE)
        .dns_resolver(Arc::new(GuardedResolver(Arc::clone(egress))));
    if let Some(pem) = &destination.trusted_ca {
        let certificates = reqwest::Certificate::from_pem_bundle(pem.as_bytes())
            .map_err(|error| unusable("the trusted certificate", &error))?;
        builder = builder.tls_certs_merge(certificates);
    }
    if destination.sign_in == SignIn::MutualTls {
        let identity = reqwest::Identity::from_pem(destination.secret.expose().as_bytes())
            .map_err(|error| unusable("the client certificate", &error))?;
        builder = builder.identity(identity);
    }
    builder.build().map_err(|error| unusable("the certificates", &error))
}

fn method(method: Method) -> reqwest::Method {
    match method {
        Method::Get => reqwest::Method::GET,
        Method::Post => reqwest::Method::POST,
        Method::Put => reqwest::Method::PUT,
        Method::Patch => reqwest::Method::PATCH,
        Method::Delete => reqwest::Method::DELETE,
    }
}

/// Reads a body to its end or to the limit, whatever its length was said to be.
async fn read(mut response: reqwest::Response, limit: usize) -> Result<Vec<u8>, CallFault> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| CallFault::Unclear(describe(&error)))? {
        if body.len() + chunk.len() > limit {
            return Err(CallFault::Unclear(format!("the answer is longer than {limit} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Without a connection nothing was sent; with one, something may have been.
#[expect(clippy::needless_pass_by_value, reason = "as `map_err` gives it")]
fn fault(error: reqwest::Error) -> CallFault {
    let text = describe(&error);
    if error.is_connect() || error.is_builder() || error.is_request() && is_barred(&error) {
        CallFault::NotSent(text)
    } else {
        CallFault::Unclear(text)
    }
}

fn is_barred(error: &reqwest::Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if cause.downcast_ref::<super::egress::Barred>().is_some() {
            return true;
        }
        source = cause.source();
    }
    false
}

/// What went wrong, to its last cause, without the address: a filter in it is personal data.
fn describe(error: &reqwest::Error) -> String {
    if let Some(why) = untrusted(error) {
        return format!("{UNTRUSTED}: {why}");
    }
    let mut text = if error.is_timeout() {
        "no whole answer in time".to_owned()
    } else if error.is_connect() {
        "no connection".to_owned()
    } else {
        "the exchange broke off".to_owned()
    };
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if cause.source().is_none() {
            text.push_str(": ");
            text.push_str(&cause.to_string());
        }
        source = cause.source();
    }
    text
}

/// Why the certificate of the other side is not believed, when that is what went wrong.
fn untrusted(error: &reqwest::Error) -> Option<String> {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        // The words of rustls; its error is inside one of I/O, which does not show it as its cause.
        if let Some((_, why)) = cause.to_string().split_once("invalid peer certificate: ") {
            let inner = why.strip_prefix("Other(OtherError(").and_then(|inner| inner.strip_suffix("))"));
            return Some(inner.unwrap_or(why).to_owned());
        }
        source = cause.source();
    }
    None
}

/// Whether a body repeats a credential, or the part of it after the scheme.
fn repeats(body: &[u8], secret: &Secret) -> bool {
    let text = secret.expose();
    let part = text.split_once(' ').map_or(text, |(_, part)| part).as_bytes();
    // What is short may stand there by chance.
    part.len() >= 8 && body.windows(part.len()).any(|window| window == part)
}

/// `Retry-After` in whole seconds: a number, or a date (RFC 9110 10.2.3).
pub(super) fn seconds(text: &str, now_ms: Millis) -> Option<u32> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<u32>() {
        return Some(seconds.min(86_400));
    }
    let format = time::macros::format_description!(
        "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
    );
    let at = time::PrimitiveDateTime::parse(text, format).ok()?.assume_utc().unix_timestamp();
    u32::try_from((at - now_ms / 1_000).clamp(0, 86_400)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_a_number_or_a_date() {
        assert_eq!(seconds("120", 0), Some(120));
        assert_eq!(seconds("Thu, 01 Jan 1970 00:02:00 GMT", 60_000), Some(60));
        assert_eq!(seconds("Thu, 01 Jan 1970 00:00:00 GMT", 60_000), Some(0));
        assert_eq!(seconds("soon", 0), None);
        assert_eq!(seconds("99999999", 0), Some(86_400));
    }

    #[test]
    fn a_credential_is_found_in_an_answer() {
        let secret = Secret::new("Bearer abcdefgh".to_owned());
        assert!(repeats(b"{\"detail\":\"abcdefgh is not good\"}", &secret));
        assert!(!repeats(b"{\"detail\":\"abcdefg\"}", &secret));
    }
}
