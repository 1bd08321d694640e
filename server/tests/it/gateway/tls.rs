//! Over TLS: a client certificate, and a service whose certificate is from an authority of its own.

use std::sync::Arc;

use domain::{Secret, admins::Role, federations::Slug, upstreams::Trouble};
use ops::gateway::target;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        RootCertStore, ServerConfig,
        pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject as _},
        server::WebPkiClientVerifier,
    },
};

use super::new_upstream;
use crate::house::house;

struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// A certificate and its key, both in PEM.
    fn certificate(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }
}

fn der(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
}

/// Answers an empty list to whoever has a certificate of the authority.
async fn service(authority: &Authority) -> String {
    server::out::http::install_crypto();
    let (certificate, key) = authority.certificate("127.0.0.1");
    let mut roots = RootCertStore::empty();
    roots.add(der(&authority.pem)).unwrap();
    let clients = WebPkiClientVerifier::builder(Arc::new(roots)).build().unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from_pem_slice(key.as_bytes()).unwrap());
    let config = ServerConfig::builder()
        .with_client_cert_verifier(clients)
        .with_single_cert(vec![der(&certificate)], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("https://{}/v2", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // A client without a certificate gets no further than this.
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let mut request = vec![0; 16_384];
                let _ = stream.read(&mut request).await;
                let body = "{\"totalResults\":0,\"Resources\":[]}";
                let head =
                    format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
                let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
                let _ = stream.shutdown().await;
            });
        }
    });
    base
}

#[tokio::test]
async fn keyward_shows_its_certificate_and_trusts_the_authority_that_it_was_told() {
    let house = house().await;
    let authority = Authority::new("An authority of the tests");
    let base = service(&authority).await;
    let client = house.client("gate").await;
    let slug = Slug::parse("gate").unwrap();
    let (certificate, key) = authority.certificate("keyward");
    let (strange_certificate, strange_key) = Authority::new("Another authority").certificate("keyward");
    let set = async |secret: String, trusted: &str| {
        let federation = ops::federations::open(&house.admin(), &slug).await.unwrap().federation;
        let mut new = new_upstream(&federation, &base, "");
        new.sign_in = "mutual-tls".to_owned();
        new.secret = Secret::new(secret);
        new.trusted_ca = trusted.to_owned();
        target::set_upstream(&house.admin(), &slug, new).await.unwrap();
    };
    set(format!("{certificate}{key}"), &authority.pem).await;
    let listed = client.get("/Users").await;
    assert_eq!(listed.status, 200, "{}", listed.body);
    // Without the authority nobody is believed, and with another certificate nobody is let in.
    set(format!("{certificate}{key}"), "").await;
    assert_eq!(client.get("/Users").await.status, 503);
    let tested = target::test(&house.admin(), &slug).await.unwrap();
    assert_eq!(tested.trouble, Some(Trouble::Certificate), "{}", tested.note);
    let page = house.signed_in(Role::Admin).await.get("/federations/gate").await;
    assert!(page.body.contains("Its certificate is not trusted"), "{}", page.body);
    set(format!("{strange_certificate}{strange_key}"), &authority.pem).await;
    assert_eq!(client.get("/Users").await.status, 503);
    assert!(!target::test(&house.admin(), &slug).await.unwrap().worked);
    house.close().await;
}
