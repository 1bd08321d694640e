//! Targets that do not do as they should: nothing hangs, nothing is followed, nothing is believed, nothing is
//! repeated.

use std::time::Duration;

use domain::deliveries::{Connector, DeliveryStep, FailureKind, Settings};
use ops::ports::Deliver as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use super::{CREDENTIAL, KEY, Service, job, say, settings, take, way};

/// One target of each connector, all at one base.
fn everywhere(base: &str) -> Vec<Settings> {
    let fields = |connector: Connector| -> Vec<(&'static str, String)> {
        let base = base.to_owned();
        match connector {
            Connector::Webhook => vec![("url", base.clone()), ("read_back_url", base)],
            Connector::Vault => vec![("address", base), ("path", "a".to_owned())],
            Connector::AwsSecretsManager => vec![
                ("endpoint", base),
                ("arn", "arn:aws:secretsmanager:us-east-1:123456789012:secret:a-AbCdEf".to_owned()),
                ("access_key_id", "AKIDEXAMPLE".to_owned()),
            ],
            Connector::Kubernetes => {
                vec![("server", base), ("namespace", "a".to_owned()), ("name", "a".to_owned())]
            }
            Connector::EntraGraph => vec![
                ("graph_url", base.clone()),
                ("login_url", base),
                ("tenant_id", "t".to_owned()),
                ("client_id", "c".to_owned()),
                ("service_principal_id", "s".to_owned()),
                ("job_id", "j".to_owned()),
            ],
            Connector::OktaConnection => vec![("org_url", base), ("app_id", "a".to_owned())],
        }
    };
    Connector::ALL
        .into_iter()
        .map(|connector| {
            let fields = fields(connector);
            let fields: Vec<_> = fields.iter().map(|(name, text)| (*name, text.as_str())).collect();
            settings(connector, &fields)
        })
        .collect()
}

fn job_at(settings: Settings, number: u8) -> ops::ports::DeliveryJob {
    let connector = settings.connector();
    let mut job = job(settings);
    job.target_id = domain::TargetId::new(1, [number; 10]);
    if connector == Connector::Webhook {
        job.credential = domain::Secret::new("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD".to_owned());
    }
    job
}

/// Takes every step that calls somebody, at a target of each connector.
async fn all_fail(base: &str, patience: Duration, kinds: &[FailureKind]) {
    let way = way().with_patience(patience);
    for (number, settings) in (0_u8..).zip(everywhere(base)) {
        let connector = settings.connector();
        let job = job_at(settings, number);
        for step in [DeliveryStep::Write, DeliveryStep::ReadBack] {
            let fault = take(&way, &job, step).await.unwrap_err();
            assert!(kinds.contains(&fault.kind), "{connector:?} {step:?}: {fault:?}");
            let is_write = step == DeliveryStep::Write;
            assert!(is_write || fault.kind != FailureKind::Unclear, "{connector:?}: a read changes nothing");
        }
    }
}

#[tokio::test]
async fn a_500_is_weather_or_unclear() {
    let service = Service::start(|asked| say(500, String::from_utf8_lossy(&asked.body))).await;
    all_fail(&service.base, Duration::from_secs(10), &[FailureKind::Weather, FailureKind::Unclear]).await;
}

#[tokio::test]
async fn a_200_with_nonsense_is_no_success() {
    let service =
        Service::start(|asked| say(200, format!("<html>{}</html>", String::from_utf8_lossy(&asked.body))))
            .await;
    let kinds = [FailureKind::Weather, FailureKind::Unclear, FailureKind::Refused];
    let way = way();
    for (number, settings) in (0_u8..).zip(everywhere(&service.base)) {
        let connector = settings.connector();
        let job = job_at(settings, number);
        let written = take(&way, &job, DeliveryStep::Write).await;
        let read = take(&way, &job, DeliveryStep::ReadBack).await;
        // What a webhook answers is not read: its read-back decides.
        assert!(written.is_err() || connector == Connector::Webhook, "{connector:?}");
        assert!(kinds.contains(&read.unwrap_err().kind), "{connector:?}");
    }
}

#[tokio::test]
async fn no_redirect_is_followed_to_a_metadata_address_or_anywhere() {
    for location in ["http://169.254.169.254/latest/meta-data", "http://127.0.0.1:1/", "/elsewhere"] {
        let service =
            Service::start(move |_| (302, vec![("location", location.to_owned())], String::new())).await;
        all_fail(&service.base, Duration::from_secs(10), &[FailureKind::Refused]).await;
        let lines = service.lines();
        assert!(lines.iter().all(|line| !line.contains("elsewhere")), "{lines:?}");
    }
}

#[tokio::test]
async fn metadata_private_and_plain_addresses_are_not_called_whatever_is_set() {
    let way = way();
    for base in [
        "http://169.254.169.254",
        "https://169.254.169.254",
        "https://10.0.0.1",
        "https://[fd00:ec2::254]",
        "https://100.100.100.200",
        "http://hooks.example.com",
    ] {
        for (number, settings) in (0_u8..).zip(everywhere(base)) {
            assert!(way.admits(&settings).is_err(), "{base} {:?}", settings.connector());
            let fault = take(&way, &job_at(settings, number), DeliveryStep::Write).await.unwrap_err();
            assert_eq!(fault.kind, FailureKind::Refused, "{base}: {fault:?}");
            assert!(fault.sentence.starts_with("nothing was sent"), "{base}: {fault:?}");
        }
    }
}

#[tokio::test]
async fn a_name_that_leads_to_this_machine_is_not_called() {
    let egress = server::out::egress::Egress::new(Vec::new(), vec![443]);
    let clock = std::sync::Arc::new(ops::testing::TestClock::default());
    let entropy = std::sync::Arc::new(ops::testing::TestEntropy::default());
    let way = server::out::deliver::DeliverHttp::new(egress, clock, entropy);
    for (number, settings) in (0_u8..).zip(everywhere("https://localhost")) {
        let fault = take(&way, &job_at(settings, number), DeliveryStep::Write).await.unwrap_err();
        assert_eq!(fault.kind, FailureKind::Refused, "{fault:?}");
    }
}

/// Accepts, and does this with each connection.
async fn raw<F, B>(serve: F) -> String
where
    F: Fn(tokio::net::TcpStream) -> B + Send + 'static,
    B: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    base
}

#[tokio::test]
async fn a_target_that_hangs_is_left() {
    let base = raw(|mut stream: tokio::net::TcpStream| async move {
        let mut byte = [0; 1];
        while stream.read(&mut byte).await.is_ok_and(|read| read > 0) {}
    })
    .await;
    let kinds = [FailureKind::Weather, FailureKind::Unclear];
    all_fail(&base, Duration::from_millis(300), &kinds).await;
}

#[tokio::test]
async fn ten_gigabytes_are_not_read() {
    let base = raw(|mut stream: tokio::net::TcpStream| async move {
        let mut request = vec![0; 4_096];
        let _ = stream.read(&mut request).await;
        let head = "HTTP/1.1 200 OK\r\ncontent-length: 10737418240\r\ncontent-type: application/json\r\n\r\n";
        let _ = stream.write_all(head.as_bytes()).await;
        let chunk = vec![b' '; 65_536];
        // Whoever reads no further closes the connection.
        for _ in 0..163_840 {
            if stream.write_all(&chunk).await.is_err() {
                return;
            }
        }
    })
    .await;
    all_fail(&base, Duration::from_secs(30), &[FailureKind::Weather, FailureKind::Unclear]).await;
}

#[tokio::test]
async fn a_connection_that_nobody_takes_is_weather() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    all_fail(&base, Duration::from_secs(10), &[FailureKind::Weather]).await;
}

#[tokio::test]
async fn what_a_target_says_of_a_secret_is_not_repeated() {
    let service = Service::start(|_| {
        let told = serde_json::json!({
            "errorCode": KEY, "error": { "code": CREDENTIAL }, "__type": KEY, "message": KEY, "errors": [KEY],
        });
        (400, vec![("retry-after", KEY.to_owned())], told.to_string())
    })
    .await;
    // `take` looks into every sentence.
    let kinds = [FailureKind::Weather, FailureKind::Unclear, FailureKind::Refused];
    all_fail(&service.base, Duration::from_secs(10), &kinds).await;
}
