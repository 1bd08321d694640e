//! Telling people over the wire: a mail server and a webhook receiver of the tests' own; and the edge that
//! takes leak reports.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{Router, body::Bytes, extract::State, routing::post};
use domain::{Secret, scopes::Scope};
use http::{HeaderMap, Request, StatusCode};
use ops::ports::{Mail, Notify as _, WebhookCall};
use rcgen::{CertificateParams, Issuer, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use serde_json::{Value, json};
use server::{
    edge::leaks::{self, ReporterKey},
    out::{
        egress::{Allowed, Egress},
        http::install_crypto,
        mail::{MailSettings, MailTls, SmtpMail},
        notify::Notifier,
        standard_webhooks,
    },
};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

use crate::house::{House, house, houses};

/// What a mail server of the tests does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// Takes mail, after STARTTLS and a password where it has a certificate.
    Takes,
    /// Says that it has no STARTTLS.
    Plain,
    /// Refuses the recipient for good.
    Refuses,
    /// Asks to come back.
    Later,
}

/// A mail server: every line that a client said, and every mail as it came.
struct Sink {
    address: SocketAddr,
    said: Arc<Mutex<Vec<String>>>,
    mails: Arc<Mutex<Vec<String>>>,
    /// The authority of its certificate, in PEM.
    ca: String,
}

impl Sink {
    async fn start(manner: Manner) -> Self {
        install_crypto();
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
        let sink = Self {
            address: listener.local_addr().unwrap(),
            said: Arc::default(),
            mails: Arc::default(),
            ca: ca_pem,
        };
        let (said, mails) = (Arc::clone(&sink.said), Arc::clone(&sink.mails));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (said, mails, acceptor) = (Arc::clone(&said), Arc::clone(&mails), acceptor.clone());
                tokio::spawn(async move {
                    let mut talk = Talk { said, mails, manner, is_sealed: false };
                    let mut stream = BufReader::new(stream);
                    stream.write_all(b"220 sink.test ESMTP\r\n").await.unwrap();
                    if talk.listen(&mut stream).await == Some(Next::Tls) {
                        let sealed = acceptor.accept(stream.into_inner()).await.unwrap();
                        talk.is_sealed = true;
                        talk.listen(&mut BufReader::new(sealed)).await;
                    }
                });
            }
        });
        sink
    }

    fn settings(&self, tls: MailTls) -> MailSettings {
        MailSettings {
            host: "localhost".to_owned(),
            port: self.address.port(),
            tls,
            credentials: (tls != MailTls::None)
                .then(|| ("keyward".to_owned(), Secret::new("open sesame".to_owned()))),
            from: "Keyward <keyward@example.com>".to_owned(),
            trusted_ca: Some(self.ca.clone()),
        }
    }
}

#[derive(PartialEq, Eq)]
enum Next {
    Tls,
}

struct Talk {
    said: Arc<Mutex<Vec<String>>>,
    mails: Arc<Mutex<Vec<String>>>,
    manner: Manner,
    is_sealed: bool,
}

impl Talk {
    /// Speaks the protocol (RFC 5321) until the client leaves or wants TLS.
    async fn listen<S: AsyncRead + AsyncWrite + Unpin>(&mut self, stream: &mut BufReader<S>) -> Option<Next> {
        let mut line = String::new();
        loop {
            line.clear();
            if stream.read_line(&mut line).await.ok()? == 0 {
                return None;
            }
            let said = line.trim_end().to_owned();
            let sealed = if self.is_sealed { "sealed " } else { "" };
            self.said.lock().unwrap().push(format!("{sealed}{said}"));
            let answer = match said.split(' ').next().unwrap().to_ascii_uppercase().as_str() {
                "EHLO" if self.is_sealed => "250-sink.test\r\n250 AUTH PLAIN\r\n",
                "EHLO" if self.manner == Manner::Plain => "250 sink.test\r\n",
                "EHLO" => "250-sink.test\r\n250 STARTTLS\r\n",
                "STARTTLS" => {
                    stream.write_all(b"220 go on\r\n").await.ok()?;
                    return Some(Next::Tls);
                }
                "AUTH" => "235 welcome\r\n",
                "RCPT" if self.manner == Manner::Refuses => "550 no such person here\r\n",
                "RCPT" if self.manner == Manner::Later => "451 come back\r\n",
                "DATA" => {
                    stream.write_all(b"354 go on\r\n").await.ok()?;
                    let mut mail = String::new();
                    loop {
                        line.clear();
                        stream.read_line(&mut line).await.ok()?;
                        if line == ".\r\n" {
                            break;
                        }
                        mail.push_str(&line);
                    }
                    self.mails.lock().unwrap().push(mail);
                    "250 taken\r\n"
                }
                "QUIT" => "221 bye\r\n",
                _ => "250 well\r\n",
            };
            stream.write_all(answer.as_bytes()).await.ok()?;
        }
    }
}

fn mail(subject: &str) -> Mail {
    Mail {
        to: vec!["ana@example.com".to_owned(), "ben@example.com".to_owned()],
        id: "fnd_1.7".to_owned(),
        subject: subject.to_owned(),
        text: Secret::new("Look: https://keyward.test/findings\n".to_owned()),
    }
}

#[tokio::test]
async fn mail_goes_over_starttls_with_the_password_inside_and_one_id_for_each_try() {
    let sink = Sink::start(Manner::Takes).await;
    let smtp = SmtpMail::new(&sink.settings(MailTls::StartTls)).unwrap();
    for _ in 0..2 {
        smtp.send(&mail("[Keyward] High: Zwei Schlüssel")).await.unwrap();
    }
    let said = sink.said.lock().unwrap().join("\n");
    let (open, sealed) = said.split_once("STARTTLS").unwrap();
    assert!(!open.contains("AUTH") && !open.contains("MAIL"), "{said}");
    assert!(
        sealed.contains("sealed AUTH PLAIN") && sealed.contains("sealed RCPT TO:<ben@example.com>"),
        "{said}"
    );
    let mails = sink.mails.lock().unwrap().clone();
    assert_eq!(mails.len(), 2);
    for mail in &mails {
        assert!(mail.contains("From: Keyward <keyward@example.com>"), "{mail}");
        assert!(mail.contains("Message-ID: <fnd_1.7@example.com>"), "{mail}");
        assert!(mail.contains("Auto-Submitted: auto-generated"), "{mail}");
        assert!(mail.contains("Look: https://keyward.test/findings"), "{mail}");
    }
}

#[tokio::test]
async fn a_mail_server_without_starttls_or_with_another_certificate_gets_nothing() {
    let plain = Sink::start(Manner::Plain).await;
    let fault = SmtpMail::new(&plain.settings(MailTls::StartTls)).unwrap().send(&mail("x")).await;
    assert!(fault.is_err());
    let said = plain.said.lock().unwrap().join("\n");
    assert!(!said.contains("AUTH") && !said.contains("MAIL"), "{said}");
    let other = Sink::start(Manner::Takes).await;
    let mut settings = other.settings(MailTls::StartTls);
    settings.trusted_ca = None;
    let fault = SmtpMail::new(&settings).unwrap().send(&mail("x")).await.unwrap_err();
    assert!(!fault.is_final, "{fault:?}");
    assert!(other.mails.lock().unwrap().is_empty());
    let said = other.said.lock().unwrap().join("\n");
    assert!(!said.contains("AUTH"), "{said}");
}

#[tokio::test]
async fn what_a_mail_server_refuses_for_good_is_not_tried_again_and_the_rest_is() {
    for (manner, is_final) in [(Manner::Refuses, true), (Manner::Later, false)] {
        let sink = Sink::start(manner).await;
        let smtp = SmtpMail::new(&sink.settings(MailTls::None)).unwrap();
        let fault = smtp.send(&mail("x")).await.unwrap_err();
        assert_eq!(fault.is_final, is_final, "{fault:?}");
        assert!(fault.text.contains(if is_final { "no such person" } else { "come back" }), "{fault:?}");
    }
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let sink = Sink::start(Manner::Takes).await;
    let settings = MailSettings { port: gone.port(), ..sink.settings(MailTls::None) };
    let fault = SmtpMail::new(&settings).unwrap().send(&mail("x")).await.unwrap_err();
    assert!(!fault.is_final, "{fault:?}");
}

type Calls = Arc<Mutex<Vec<(HeaderMap, Bytes)>>>;

/// A receiver that keeps what it is sent, and answers with a status.
async fn receiver(status: StatusCode) -> (String, Calls) {
    let calls = Calls::default();
    let take = move |State(calls): State<Calls>, headers: HeaderMap, body: Bytes| async move {
        calls.lock().unwrap().push((headers, body));
        status
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let router = Router::new().route("/hook", post(take)).with_state(Arc::clone(&calls));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, calls)
}

fn call(url: &str) -> WebhookCall {
    WebhookCall {
        url: url.to_owned(),
        id: "msg_fnd_1".to_owned(),
        at_s: 1_767_225_600,
        secret: Secret::new("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD".to_owned()),
        body: br#"{"type":"keyward.notice"}"#.to_vec(),
    }
}

#[tokio::test]
async fn a_webhook_is_signed_and_goes_nowhere_that_is_not_allowed() {
    let allowed = Egress::new(vec![Allowed::parse("http://127.0.0.0/8").unwrap()], Vec::new());
    let notifier = Notifier::new(allowed, None).unwrap();
    let (url, calls) = receiver(StatusCode::NO_CONTENT).await;
    notifier.webhook(&call(&url)).await.unwrap();
    let (headers, body) = calls.lock().unwrap().pop().unwrap();
    let expected = standard_webhooks::headers(&call(&url).secret, "msg_fnd_1", 1_767_225_600, &body).unwrap();
    for (name, value) in expected {
        assert_eq!(headers[name], value.as_str(), "{name}");
    }
    let (broken, _) = receiver(StatusCode::INTERNAL_SERVER_ERROR).await;
    let fault = notifier.webhook(&call(&broken)).await.unwrap_err();
    assert!(!fault.is_final && fault.text.contains("500"), "{fault:?}");
    let (gone, _) = receiver(StatusCode::GONE).await;
    assert!(notifier.webhook(&call(&gone)).await.unwrap_err().is_final);
    // A redirect is an answer, not an invitation.
    let (moved, _) = receiver(StatusCode::TEMPORARY_REDIRECT).await;
    assert!(notifier.webhook(&call(&moved)).await.unwrap_err().text.contains("307"));
    let shut = Notifier::new(Egress::new(Vec::new(), vec![443]), None).unwrap();
    for address in [url.as_str(), "https://169.254.169.254/", "https://10.0.0.1/", "file:///etc/passwd"] {
        assert!(shut.admits(address).is_err(), "{address}");
        let fault = shut.webhook(&call(address)).await.unwrap_err();
        assert!(fault.is_final, "{address}: {fault:?}");
    }
    assert!(calls.lock().unwrap().is_empty());
    assert!(!shut.has_mail() && shut.mail(&mail("x")).await.unwrap_err().is_final);
}

async fn report(house: &House, body: &str, headers: &[(&str, &str)]) -> (u16, Value) {
    let mut request = Request::post("/api/leaks").header("content-type", "application/json");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = house.ask(request.body(axum::body::Body::from(body.to_owned())).unwrap()).await;
    (answer.status, serde_json::from_str(&answer.body).unwrap_or_default())
}

#[tokio::test]
async fn a_leak_report_needs_no_cookie_and_labels_each_token() {
    for house in houses().await {
        house.federation("okta").await;
        let (id, key) = house.key("okta", "lost", Scope::full_directory()).await;
        let body = json!([
            { "token": key, "type": "keyward_key", "url": "https://git.example.com/a", "source": "commit" },
            { "token": "kwd_nothing", "type": "keyward_key" },
        ]);
        let (status, labels) = report(&house, &body.to_string(), &[]).await;
        assert_eq!(status, 200, "{labels}");
        assert_eq!(labels[0]["label"], "true_positive");
        assert_eq!(labels[1]["label"], "false_positive");
        assert!(!labels.to_string().contains(&key));
        let view = ops::keys::open(&house.admin(), &id).await.unwrap();
        assert_eq!(view.state, domain::keys::KeyState::Held);
        house.close().await;
    }
}

#[tokio::test]
async fn a_token_that_cannot_be_looked_into_does_not_keep_the_others_of_its_report_open() {
    for house in houses().await {
        house.federation("okta").await;
        let (broken, first) = house.key("okta", "broken", Scope::full_directory()).await;
        let (id, second) = house.key("okta", "lost", Scope::full_directory()).await;
        let sql = format!("UPDATE provisioning_keys SET scope = 'garbled' WHERE id = '{broken}'");
        store::testing::run_sql(&house.database.target, sql).await;
        let body = json!([{ "token": first, "type": "" }, { "token": second, "type": "" }]).to_string();
        assert_eq!(report(&house, &body, &[]).await.0, 503, "the scanner is to come back");
        let sql = format!("DELETE FROM provisioning_keys WHERE id = '{broken}'");
        store::testing::run_sql(&house.database.target, sql).await;
        let view = ops::keys::open(&house.admin(), &id).await.unwrap();
        assert_eq!(view.state, domain::keys::KeyState::Held);
        assert_eq!(report(&house, &body, &[]).await.0, 200);
        house.close().await;
    }
}

#[tokio::test]
async fn a_leak_report_that_cannot_be_one_is_refused_and_too_many_wait() {
    let house = house().await;
    let before = house.log().await.len();
    let check = async |body: &str, expect: u16| {
        let (status, answer) = report(&house, body, &[]).await;
        assert_eq!(status, expect, "{body:.60}: {answer}");
        assert!(!answer.to_string().contains("secret"), "nothing of what was sent: {answer}");
    };
    for body in ["", "{", "{}", "[1]", "[{}]", r#"[{"token":7}]"#, r#"[{"token":"secret"},"secret"]"#] {
        check(body, 400).await;
    }
    let many = json!(vec![json!({ "token": "kwd_secret" }); 101]).to_string();
    check(&many, 413).await;
    check(&format!(r#"[{{"token":"{}"}}]"#, "s".repeat(300 * 1024)), 413).await;
    check("[]", 200).await;
    let mut statuses = Vec::new();
    for _ in 0..70 {
        statuses.push(report(&house, "[]", &[]).await.0);
    }
    assert_eq!(statuses.last(), Some(&429), "{statuses:?}");
    house.clock.advance(60_000);
    check("[]", 200).await;
    assert_eq!(house.log().await.len(), before, "none of it left a record");
    house.close().await;
}

#[tokio::test]
async fn with_a_key_of_the_reporter_only_signed_reports_are_taken() {
    use aws_lc_rs::{
        rand::SystemRandom,
        signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair},
    };
    let pair = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let key = ReporterKey::parse(&pair.public_key_pem()).unwrap();
    for text in ["", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----", "ssh-ed25519 AAAA"] {
        assert!(ReporterKey::parse(text).is_err(), "{text}");
    }
    let mut house = house().await;
    let shell_routes = leaks::routes(Arc::clone(&house.keyward), Some(key));
    house.router = crate::house::around(&house.keyward, shell_routes);
    let signer = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &pair.serialize_der()).unwrap();
    let sign = |body: &str| {
        use base64::Engine as _;
        let signature = signer.sign(&SystemRandom::new(), body.as_bytes()).unwrap();
        base64::prelude::BASE64_STANDARD.encode(signature)
    };
    let body = "[]";
    let header = "github-public-key-signature";
    assert_eq!(report(&house, body, &[(header, &sign(body))]).await.0, 200);
    assert_eq!(report(&house, body, &[]).await.0, 401);
    assert_eq!(report(&house, body, &[(header, &sign("[ ]"))]).await.0, 401);
    assert_eq!(report(&house, body, &[(header, "x")]).await.0, 401);
    let twice = sign(body);
    assert_eq!(report(&house, body, &[(header, &twice), (header, &twice)]).await.0, 401);
    house.close().await;
}
