//! One target's connections: the guard, the certificate that was approved, and the limits.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::body::Bytes;
use domain::{
    deliveries::{FailureKind, Pins, Trust},
    hex,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use ops::{Clock, ports::StepFault};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, OtherError, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject as _},
    server::ParsedCertificate,
};
use rustls_platform_verifier::Verifier;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use url::Url;
use zeroize::Zeroizing;

use super::{fault, told::Told};
use crate::out::{
    egress::{Barred, Egress, GuardedResolver},
    upstream::seconds,
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Connections are for one delivery, not for the next hour.
const IDLE: Duration = Duration::from_secs(10);

/// The most bytes of an answer that are read: a Secret of Kubernetes has a megabyte at most.
const BODY_LIMIT: usize = 2 * 1024 * 1024;

/// The bytes of an answer of unknown length for which there is room at first.
const ROOM: usize = 16 * 1024;

/// The connections to one target.
pub(super) struct Line {
    client: reqwest::Client,
    egress: Arc<Egress>,
    clock: Arc<dyn Clock>,
    shown: Arc<Mutex<Shown>>,
}

/// What the target showed of itself.
#[derive(Debug, Default)]
struct Shown {
    /// The public key of the certificate of each host.
    public_keys: BTreeMap<String, String>,
    /// Why its certificate was not taken.
    refusal: Option<String>,
}

/// What a target answered.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Zeroizing<Vec<u8>>,
    pub(super) retry_after_s: Option<u32>,
}

/// The public key is not the one that was approved.
#[derive(Debug, thiserror::Error)]
#[error("its certificate has another public key than the one that was approved")]
struct NotApproved;

/// Verifies like the operating system does, and then holds the public key against the one that was approved: before
/// the first byte of a request leaves.
#[derive(Debug)]
struct Approved {
    verifier: Verifier,
    pins: Pins,
    shown: Arc<Mutex<Shown>>,
}

impl ServerCertVerifier for Approved {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let public_key =
            hex(&Sha256::digest(ParsedCertificate::try_from(end_entity)?.subject_public_key_info().as_ref()));
        let host = server_name.to_str();
        let verified =
            self.verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        let verified = match verified {
            Ok(_) if !self.pins.admits(&host, &public_key) => Err(rustls::Error::InvalidCertificate(
                CertificateError::Other(OtherError(Arc::new(NotApproved))),
            )),
            verified => verified,
        };
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        shown.refusal = verified.as_ref().err().map(|error| {
            let is_other = matches!(error, rustls::Error::InvalidCertificate(CertificateError::Other(_)));
            if is_other && !self.pins.is_empty() {
                format!("{NotApproved}: that of {host} is {public_key}")
            } else {
                format!("its certificate is not trusted: {error}")
            }
        });
        shown.public_keys.insert(host.into_owned(), public_key);
        verified
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}

fn tls(trust: &Trust, shown: &Arc<Mutex<Shown>>) -> Result<ClientConfig, String> {
    let unusable = |error: &dyn std::fmt::Display| format!("the certificates cannot be used: {error}");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let extra: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(trust.trusted_ca.as_bytes()).collect();
    let extra = extra.map_err(|error| unusable(&error))?;
    let verifier = Verifier::new_with_extra_roots(extra, Arc::clone(&provider));
    let verifier = verifier.map_err(|error| unusable(&error))?;
    let pins = trust.pins().ok_or_else(|| "what was approved of its certificate is not clear".to_owned())?;
    let approved = Approved { verifier, pins, shown: Arc::clone(shown) };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(&error))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(approved))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

impl Line {
    pub(super) fn new(
        trust: &Trust,
        egress: &Arc<Egress>,
        clock: &Arc<dyn Clock>,
        patience: Duration,
    ) -> Result<Self, String> {
        let shown = Arc::new(Mutex::new(Shown::default()));
        let client = reqwest::Client::builder()
            .user_agent(concat!("Keyward/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .http1_only()
            .timeout(patience)
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(IDLE)
            .dns_resolver(Arc::new(GuardedResolver(Arc::clone(egress))))
            .tls_backend_preconfigured(tls(trust, &shown)?)
            .build()
            .map_err(|error| format!("no client can be made: {error}"))?;
        Ok(Self { client, egress: Arc::clone(egress), clock: Arc::clone(clock), shown })
    }

    /// The public keys that the hosts of the target showed last, as they can be approved.
    pub(super) fn public_key(&self) -> Option<String> {
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let mut pins = Pins::default();
        for (host, public_key) in &shown.public_keys {
            pins.insert(host, public_key);
        }
        (!pins.is_empty()).then(|| pins.to_string())
    }

    /// Makes one exchange. A redirect is an answer like any other, and no good one.
    pub(super) async fn send(
        &self,
        method: Method,
        url: &str,
        headers: HeaderMap,
        body: Zeroizing<Vec<u8>>,
    ) -> Result<Answer, StepFault> {
        let url = Url::parse(url)
            .map_err(|_| fault(FailureKind::Refused, "its address is not one that can be called"))?;
        self.egress
            .admits_url(&url)
            .map_err(|barred| fault(FailureKind::Refused, format!("nothing was sent: {barred}")))?;
        let response = self
            .client
            .request(method, url)
            .headers(headers)
            // Wiped when the client lets go of it.
            .body(Bytes::from_owner(body))
            .send()
            .await
            .map_err(|error| self.fault(&error))?;
        let status = response.status().as_u16();
        let text = |name: HeaderName| response.headers().get(name).and_then(|value| value.to_str().ok());
        let now_ms = self.clock.now_ms();
        let reset = text(HeaderName::from_static("x-rate-limit-reset"))
            .and_then(|text| text.parse::<i64>().ok())
            .and_then(|at_s| u32::try_from((at_s - now_ms / 1_000).clamp(0, 86_400)).ok());
        let retry_after_s = text(header::RETRY_AFTER).and_then(|text| seconds(text, now_ms));
        let retry_after_s = retry_after_s.or_else(|| reset.filter(|_| status == 429));
        Ok(Answer { status, body: self.read(response).await?, retry_after_s })
    }

    /// Reads a body to its end or to the limit, whatever its length was said to be.
    async fn read(&self, mut response: reqwest::Response) -> Result<Zeroizing<Vec<u8>>, StepFault> {
        // Grown as seldom as can be: what is grown leaves a copy behind.
        let length = response.content_length().and_then(|length| usize::try_from(length).ok());
        let mut body = Zeroizing::new(Vec::with_capacity(length.unwrap_or(ROOM).min(BODY_LIMIT)));
        loop {
            match response.chunk().await {
                Ok(None) => return Ok(body),
                Ok(Some(chunk)) if body.len() + chunk.len() <= BODY_LIMIT => body.extend_from_slice(&chunk),
                Ok(Some(_)) => {
                    let sentence = format!("its answer is longer than {BODY_LIMIT} bytes");
                    return Err(fault(FailureKind::Unclear, sentence));
                }
                Err(error) if error.is_timeout() => return Err(late()),
                Err(_) => return Err(fault(FailureKind::Unclear, "its answer broke off")),
            }
        }
    }

    /// Without a connection nothing was sent; with one, something may have been. The address is not repeated.
    fn fault(&self, error: &reqwest::Error) -> StepFault {
        let mut source = std::error::Error::source(error);
        let mut last = String::new();
        while let Some(cause) = source {
            if let Some(barred) = cause.downcast_ref::<Barred>() {
                return fault(FailureKind::Refused, format!("nothing was sent: {barred}"));
            }
            last = cause.to_string();
            source = cause.source();
        }
        if error.is_connect() {
            let refusal = self.shown.lock().unwrap_or_else(PoisonError::into_inner).refusal.take();
            return match refusal {
                Some(refusal) => fault(FailureKind::Distrusted, format!("nothing was sent: {refusal}")),
                None if error.is_timeout() => fault(FailureKind::Weather, "no connection within 5 seconds"),
                None => fault(FailureKind::Weather, format!("no connection: {last}")),
            };
        }
        if error.is_builder() {
            return fault(FailureKind::Refused, "nothing was sent: the request cannot be made");
        }
        if error.is_timeout() { late() } else { fault(FailureKind::Unclear, "the exchange broke off") }
    }
}

fn late() -> StepFault {
    fault(FailureKind::Unclear, "no whole answer in time")
}

impl Answer {
    /// The answer when its status is good.
    pub(super) fn good(self, what: &str) -> Result<Self, StepFault> {
        if (200..300).contains(&self.status) { Ok(self) } else { Err(self.refusal(what, "")) }
    }

    /// What another status means. `more` is a word of the target that can be repeated.
    pub(super) fn refusal(&self, what: &str, more: &str) -> StepFault {
        let status = self.status;
        let (kind, meaning) = match status {
            300..400 => (FailureKind::Refused, "it redirects, and no redirect is followed"),
            401 => (FailureKind::Refused, "the credential is not accepted: it was changed, or has ended"),
            403 => (FailureKind::Refused, "the credential lacks a right"),
            404 => (FailureKind::Refused, "it is not there, or the credential may not see it"),
            409 | 412 => (FailureKind::Weather, "it was changed by somebody else at the same time"),
            408 | 425 | 429 => (FailureKind::Weather, "it asks for patience"),
            400..500 => (FailureKind::Refused, "it does not take the request"),
            // It may have done it all the same.
            500..600 => (FailureKind::Unclear, "it is in trouble"),
            _ => (FailureKind::Refused, "it is no answer that is understood"),
        };
        let more = if more.is_empty() { String::new() } else { format!(" ({more})") };
        StepFault {
            kind,
            sentence: format!("{what} is answered with {status}: {meaning}{more}"),
            retry_after_s: self.retry_after_s,
        }
    }

    /// The body as JSON.
    pub(super) fn json(&self, what: &str) -> Result<Told, StepFault> {
        serde_json::from_slice::<Value>(&self.body).map(Told::new).map_err(|_| {
            fault(FailureKind::Unclear, format!("{what} is answered with {} and no JSON", self.status))
        })
    }

    /// A fault of a step that only reads: nothing can have been done.
    pub(super) fn weather(fault: StepFault) -> StepFault {
        let kind = if fault.kind == FailureKind::Unclear { FailureKind::Weather } else { fault.kind };
        StepFault { kind, ..fault }
    }
}

/// Headers, of which those that hold a credential are marked.
pub(super) fn headers(pairs: &[(&'static str, &str)]) -> Result<HeaderMap, StepFault> {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        let mut value = HeaderValue::from_str(value)
            .map_err(|_| fault(FailureKind::Refused, format!("{name} cannot stand in a header")))?;
        value.set_sensitive(matches!(*name, "authorization" | "x-vault-token" | "webhook-signature"));
        headers.insert(HeaderName::from_static(name), value);
    }
    Ok(headers)
}
