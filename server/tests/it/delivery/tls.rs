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
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
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
                let answer = "HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n";
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
