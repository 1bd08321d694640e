//! Log hosts.

use domain::exports::{Format, stream::Carried};
use ops::{ports::Stream, streams::StreamSettings};
use rcgen::{CertificateParams, Issuer, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use server::out::{http::install_crypto, streams::SyslogStream, syslog::SyslogTarget};
use std::sync::Arc;
use tokio::net::{TcpListener, UdpSocket};
use tokio_rustls::TlsAcceptor;

use super::{
    assert_complete, drain, first_of, head,
    receivers::{LogHost, id, message, record},
    round, settings, write_audit, write_usage,
};
use crate::house::{house, houses};

fn to(target: &str, ca: Option<&str>, format: Format) -> Arc<dyn Stream> {
    let target = SyslogTarget::parse(target).unwrap();
    Arc::new(SyslogStream::new(target, ca, format, "keyward.example.com").unwrap())
}

#[tokio::test]
async fn a_log_host_that_dies_in_the_middle_of_a_batch_misses_nothing() {
    for house in houses().await {
        let host = LogHost::start().await;
        let stream = to(&host.target, None, Format::Jsonl);
        house.keyward.connect_streams(settings(&stream));
        round(&house.keyward, &stream).await;
        let begun = head(&house.keyward).await;
        write_audit(&house.keyward, 600).await;
        write_usage(&house, 0, 600).await;
        for messages in [0, 1, 37] {
            *host.dies_after.lock().unwrap() = Some(messages);
            assert_eq!(round(&house.keyward, &stream).await, 0, "it died after {messages}");
            house.clock.advance(super::PAUSE_MS);
        }
        *host.dies_after.lock().unwrap() = None;
        drain(&house, &stream).await;
        let once = first_of(&host.ids());
        let audit = assert_complete(&once, "audit");
        assert_eq!(
            (audit.first(), audit.last()),
            (Some(&vec![begun + 1]), Some(&vec![head(&house.keyward).await]))
        );
        assert_eq!(assert_complete(&once, "usage").len(), 600);
        assert!(host.ids().len() > once.len(), "what it had read before it died came again");
        house.close().await;
    }
}

#[tokio::test]
async fn a_message_has_the_parts_of_rfc_5424_and_its_record_on_one_line() {
    let house = house().await;
    let host = LogHost::start().await;
    let stream = to(&host.target, None, Format::Ocsf);
    house.keyward.connect_streams(settings(&stream));
    round(&house.keyward, &stream).await;
    write_audit(&house.keyward, 1).await;
    write_usage(&house, 0, 10).await;
    drain(&house, &stream).await;
    let messages = host.messages.lock().unwrap().clone();
    let mut kinds = Vec::new();
    for text in &messages {
        assert!(!text.contains('\n'), "{text:?}");
        let parts: Vec<&str> = text.splitn(7, ' ').collect();
        let [priority, at, own, name, process, kind, rest] = parts.as_slice() else { panic!("{text}") };
        let record = record(text);
        // Facility 13; a warning where something was refused.
        let is_refused = record["status_id"] == 2;
        assert_eq!(*priority, if is_refused { "<108>1" } else { "<110>1" }, "{text}");
        assert!(at.starts_with("2026-01-0") && at.ends_with('Z') && at.len() == 24, "{at}");
        assert_eq!((*own, *name), ("keyward.example.com", "keyward"));
        assert!(process.parse::<u32>().is_ok());
        assert!(rest.starts_with("[origin software=\"Keyward\" swVersion=\""), "{rest}");
        assert!(record["class_uid"].is_i64());
        kinds.push((*kind).to_owned());
    }
    kinds.sort();
    kinds.dedup();
    assert_eq!(kinds, ["audit", "usage"]);
    house.close().await;
}

#[tokio::test]
async fn under_tls_a_log_host_must_prove_itself() {
    install_crypto();
    let house = house().await;
    let ca_key = KeyPair::generate().unwrap();
    let mut ca = CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca_pem = ca.self_signed(&ca_key).unwrap().pem();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["localhost".to_owned()])
        .unwrap()
        .signed_by(&key, &Issuer::new(ca, ca_key))
        .unwrap();
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, mut taken) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // Whoever does not believe the certificate goes away.
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            while let Some(text) = message(&mut stream).await {
                sender.send(text).unwrap();
            }
        }
    });
    let target = format!("tls://localhost:{port}");
    let stream = to(&target, Some(&ca_pem), Format::Jsonl);
    let carried = vec![Carried::Audit];
    house.keyward.connect_streams(StreamSettings { carried, ..settings(&stream) });
    round(&house.keyward, &stream).await;
    write_audit(&house.keyward, 3).await;
    // The same place by the one who does not trust its authority.
    let distrustful = to(&target, None, Format::Jsonl);
    assert_eq!(round(&house.keyward, &distrustful).await, 0);
    let view = &ops::streams::lags(&house.keyward).await.unwrap()[0].lags[0];
    assert!(view.row.error.as_ref().is_some_and(|error| error.contains("certificate")), "{view:?}");
    assert!(taken.try_recv().is_err(), "nothing was told to whom is not trusted");
    house.clock.advance(super::PAUSE_MS);
    assert_eq!(round(&house.keyward, &stream).await, 3);
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(id(&taken.recv().await.unwrap()));
    }
    assert_complete(&ids, "audit");
    house.close().await;
}

#[tokio::test]
async fn over_udp_a_record_is_a_datagram() {
    let house = house().await;
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let stream = to(&format!("udp://{}", socket.local_addr().unwrap()), None, Format::Jsonl);
    house.keyward.connect_streams(settings(&stream));
    round(&house.keyward, &stream).await;
    write_audit(&house.keyward, 5).await;
    assert_eq!(round(&house.keyward, &stream).await, 5);
    let mut ids = Vec::new();
    for _ in 0..5 {
        let mut bytes = vec![0; 65_536];
        let length = socket.recv(&mut bytes).await.unwrap();
        ids.push(id(std::str::from_utf8(&bytes[..length]).unwrap()));
    }
    assert_complete(&ids, "audit");
    house.close().await;
}
