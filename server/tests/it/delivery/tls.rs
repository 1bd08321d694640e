//! Over TLS: the public key that was approved, and one that took its place.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use domain::deliveries::{Connector, DeliveryStep, FailureKind};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    },
};

use super::{job, settings, take, way};

struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "An authority of the tests");
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    fn acceptor(&self, key: &KeyPair) -> TlsAcceptor {
        server::out::http::install_crypto();
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned(), "localhost".to_owned()]).unwrap();
        let certificate = params.signed_by(key, &self.issuer).unwrap();
        let private = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], private)
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }
}

/// A receiver of webhooks whose certificate can be exchanged; counts the requests that it got to read.
struct Receiver {
    base: String,
    acceptor: Arc<Mutex<TlsAcceptor>>,
    requests: Arc<AtomicUsize>,
}

async fn receiver(acceptor: TlsAcceptor) -> Receiver {
    let acceptor = Arc::new(Mutex::new(acceptor));
    let requests = Arc::new(AtomicUsize::new(0));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("https://{}", listener.local_addr().unwrap());
    let (shared, counted) = (Arc::clone(&acceptor), Arc::clone(&requests));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = shared.lock().unwrap().clone();
            let counted = Arc::clone(&counted);
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let mut request = vec![0; 16_384];
                if stream.read(&mut request).await.is_ok_and(|read| read > 0) {
                    counted.fetch_add(1, Ordering::SeqCst);
                }
                // What Entra says of a token and of a job, and what any receiver may say.
                let body = r#"{"access_token":"t","id":"job","status":{"code":"Active"}}"#;
                let length = body.len();
                let answer =
                    format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}");
                let _ = stream.write_all(answer.as_bytes()).await;
                let _ = stream.shutdown().await;
            });
        }
    });
    Receiver { base, acceptor, requests }
}

fn target(receiver: &Receiver, authority: &str, public_key: &str, version: i64) -> ops::ports::DeliveryJob {
    let fields = [("url", receiver.base.as_str()), ("trusted_ca", authority), ("public_key", public_key)];
    let mut job = job(settings(Connector::Webhook, &fields));
    job.credential = domain::Secret::new("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD".to_owned());
    job.version = version;
    job
}

#[tokio::test]
async fn a_certificate_with_another_public_key_gets_nothing() {
    let (authority, first, second) =
        (Authority::new(), KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let receiver = receiver(authority.acceptor(&first)).await;
    let way = way();
    // A test of the target shows the key that is to be approved.
    let shown = take(&way, &target(&receiver, &authority.pem, "", 1), DeliveryStep::Validate).await.unwrap();
    let approved = shown.public_key.unwrap();
    let job = target(&receiver, &authority.pem, &approved, 2);
    take(&way, &job, DeliveryStep::Write).await.unwrap();
    // Renewed with the same key: still the one that was approved.
    *receiver.acceptor.lock().unwrap() = authority.acceptor(&first);
    take(&way, &job, DeliveryStep::Write).await.unwrap();
    let before = receiver.requests.load(Ordering::SeqCst);
    *receiver.acceptor.lock().unwrap() = authority.acceptor(&second);
    for step in [DeliveryStep::Validate, DeliveryStep::Write] {
        let fault = take(&way, &job, step).await.unwrap_err();
        assert_eq!(fault.kind, FailureKind::Distrusted, "{}", fault.sentence);
        assert!(fault.sentence.starts_with("nothing was sent"), "{}", fault.sentence);
    }
    assert_eq!(receiver.requests.load(Ordering::SeqCst), before, "not a byte of a request arrived");
}

/// Entra's job at one receiver, its sign-in at the other.
fn entra(
    job_at: &Receiver,
    login_at: &Receiver,
    authority: &str,
    keys: &str,
    version: i64,
) -> ops::ports::DeliveryJob {
    let login = login_at.base.replace("127.0.0.1", "localhost");
    let fields = [
        ("tenant_id", "tenant"),
        ("client_id", "client"),
        ("service_principal_id", "principal"),
        ("job_id", "job"),
        ("graph_url", job_at.base.as_str()),
        ("login_url", login.as_str()),
        ("trusted_ca", authority),
        ("public_key", keys),
    ];
    let mut job = super::tested(job(settings(Connector::EntraGraph, &fields)));
    job.version = version;
    job
}

#[tokio::test]
async fn each_of_two_hosts_has_the_public_key_that_was_approved_for_it() {
    let (authority, keys) = (Authority::new(), [KeyPair::generate().unwrap(), KeyPair::generate().unwrap()]);
    let (graph, login) =
        (receiver(authority.acceptor(&keys[0])).await, receiver(authority.acceptor(&keys[1])).await);
    let way = way();
    let tested = take(&way, &entra(&graph, &login, &authority.pem, "", 1), DeliveryStep::Validate).await;
    let shown = tested.unwrap().public_key.unwrap();
    let (of_graph, of_login) = shown.split_once(", ").unwrap();
    let (of_graph, of_login) = (&of_graph["127.0.0.1 ".len()..], &of_login["localhost ".len()..]);
    assert_ne!(of_graph, of_login);
    let approved = entra(&graph, &login, &authority.pem, &shown, 2);
    take(&way, &approved, DeliveryStep::Validate).await.unwrap();
    let before = login.requests.load(Ordering::SeqCst);
    // The key of the one is not that of the other.
    let swapped = format!("127.0.0.1 {of_login}, localhost {of_graph}");
    let swapped = entra(&graph, &login, &authority.pem, &swapped, 3);
    let fault = take(&way, &swapped, DeliveryStep::Validate).await.unwrap_err();
    assert_eq!(fault.kind, FailureKind::Distrusted, "{}", fault.sentence);
    assert!(fault.sentence.contains(&format!("that of localhost is {of_login}")), "{}", fault.sentence);
    assert_eq!(login.requests.load(Ordering::SeqCst), before, "not a byte of a request arrived");
}

#[tokio::test]
async fn a_certificate_of_an_authority_that_nobody_trusts_gets_nothing() {
    let (authority, key) = (Authority::new(), KeyPair::generate().unwrap());
    let receiver = receiver(authority.acceptor(&key)).await;
    for trusted in ["", Authority::new().pem.as_str()] {
        let job = target(&receiver, trusted, "", i64::try_from(trusted.len()).unwrap());
        let fault = take(&way(), &job, DeliveryStep::Write).await.unwrap_err();
        assert_eq!(fault.kind, FailureKind::Distrusted, "{}", fault.sentence);
    }
    assert_eq!(receiver.requests.load(Ordering::SeqCst), 0);
}
