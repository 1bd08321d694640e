//! AWS Secrets Manager: PyPI `moto`, which holds the stages as AWS does and checks every signature.
//!
//! `cargo xtask test` installs it, and says where with `KEYWARD_TEST_UPSTREAMS`; by hand, where it is not installed,
//! there is nothing to test against.

use std::{net::SocketAddr, path::PathBuf, process::Stdio, time::Duration};

use domain::{
    Secret,
    deliveries::{Connector, DeliveryStep, FailureKind, Holds},
};
use ops::ports::DeliveryJob;
use serde_json::{Value, json};
use server::out::deliver::sigv4::{Signed, Signer, date};
use tokio::process::{Child, Command};

use super::{KEY, Service, job, say, settings, take, tested, way};
use crate::process::{PATIENCE, free_address, http_client};

const REGION: &str = "eu-central-1";

/// What the user of the tests may do: what the documentation says, and making the secret.
const ACTIONS: [&str; 5] =
    ["CreateSecret", "DescribeSecret", "GetSecretValue", "PutSecretValue", "UpdateSecretVersionStage"];

fn program() -> Option<PathBuf> {
    let named = std::env::var_os("KEYWARD_TEST_UPSTREAMS").map(PathBuf::from);
    let folder = named
        .clone()
        .unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/conformance/venv/bin"));
    let path = folder.join("moto_server");
    if path.exists() {
        return Some(path);
    }
    assert!(named.is_none(), "{} is not installed", path.display());
    told();
    None
}

#[allow(clippy::print_stderr, reason = "who runs a test by hand is told why it tested nothing")]
fn told() {
    eprintln!("nothing was tested: moto is not there; `cargo xtask test` installs it");
}

/// A moto that checks signatures and policies after its first three requests, and a user with a secret.
struct Moto {
    base: String,
    _process: Child,
    access_key_id: String,
    secret_access_key: String,
    arn: String,
}

impl Moto {
    async fn start(value: &str) -> Option<Self> {
        let program = program()?;
        let address: SocketAddr = free_address();
        let process = Command::new(program)
            .args(["-H", "127.0.0.1", "-p", &address.port().to_string()])
            .env("INITIAL_NO_AUTH_ACTION_COUNT", "3")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let base = format!("http://{address}");
        let answers = async {
            while http_client().get(format!("{base}/moto-api/data.json")).send().await.is_err() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(PATIENCE, answers).await.unwrap();
        iam(&base, "Action=CreateUser&UserName=keyward").await;
        let key = iam(&base, "Action=CreateAccessKey&UserName=keyward").await;
        let between = |tag: &str| {
            let (_, rest) = key.split_once(&format!("<{tag}>")).unwrap();
            rest.split_once('<').unwrap().0.to_owned()
        };
        let actions: Vec<String> = ACTIONS.iter().map(|action| format!("secretsmanager:{action}")).collect();
        let policy = json!({
            "Version": "2012-10-17",
            "Statement": [{ "Effect": "Allow", "Action": actions, "Resource": "*" }],
        });
        let form = [
            ("Action", "PutUserPolicy"),
            ("UserName", "keyward"),
            ("PolicyName", "deliver"),
            ("PolicyDocument", &policy.to_string()),
        ];
        iam(&base, &serde_urlencoded::to_string(form).unwrap()).await;
        let mut moto = Self {
            base,
            _process: process,
            access_key_id: between("AccessKeyId"),
            secret_access_key: between("SecretAccessKey"),
            arn: String::new(),
        };
        let made = moto.ask("CreateSecret", &json!({ "Name": "scim", "SecretString": value })).await;
        made["ARN"].as_str().unwrap().clone_into(&mut moto.arn);
        Some(moto)
    }

    /// Asks for something beside the connector.
    async fn ask(&self, operation: &str, body: &Value) -> Value {
        let (body, at) = (body.to_string(), date(ops::testing::START_MS));
        let host = self.base.trim_start_matches("http://");
        let target = format!("secretsmanager.{operation}");
        let headers = [
            ("content-type", "application/x-amz-json-1.1"),
            ("host", host),
            ("x-amz-date", &at),
            ("x-amz-target", &target),
        ];
        let signer = Signer {
            access_key_id: &self.access_key_id,
            secret: &self.secret_access_key,
            region: REGION,
            service: "secretsmanager",
        };
        let signed =
            Signed { method: "POST", path: "/", query: "", headers: &headers, body: body.as_bytes() };
        let mut request = http_client().post(&self.base).body(body.clone());
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let answer = request.header("authorization", signer.authorization(&signed, &at)).send().await;
        let answer = answer.unwrap();
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        assert_eq!(status, 200, "{operation}: {text}");
        serde_json::from_str(&text).unwrap()
    }

    fn job(&self, more: &[(&str, &str)]) -> DeliveryJob {
        let fields = [
            ("arn", self.arn.as_str()),
            ("access_key_id", self.access_key_id.as_str()),
            ("endpoint", self.base.as_str()),
        ];
        let fields: Vec<_> = fields.into_iter().chain(more.iter().copied()).collect();
        let mut job = job(settings(Connector::AwsSecretsManager, &fields));
        job.credential = Secret::new(self.secret_access_key.clone());
        job
    }

    /// The text in a stage.
    async fn staged(&self, stage: &str) -> String {
        let body = json!({ "SecretId": self.arn, "VersionStage": stage });
        self.ask("GetSecretValue", &body).await["SecretString"].as_str().unwrap().to_owned()
    }

    /// The stages, in order.
    async fn stages(&self) -> Vec<String> {
        let described = self.ask("DescribeSecret", &json!({ "SecretId": self.arn })).await;
        let all = described["VersionIdsToStages"].as_object().unwrap().clone();
        let mut stages: Vec<String> = all
            .values()
            .flat_map(|stages| stages.as_array().unwrap().clone())
            .map(|stage| stage.as_str().unwrap().to_owned())
            .collect();
        stages.sort();
        stages
    }
}

async fn iam(base: &str, form: &str) -> String {
    let scope = "AWS4-HMAC-SHA256 Credential=any/20260101/us-east-1/iam/aws4_request, SignedHeaders=host, Signature=a";
    let answer = http_client()
        .post(base)
        .header("authorization", scope)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(format!("{form}&Version=2010-05-08"))
        .send()
        .await
        .unwrap();
    let (status, text) = (answer.status(), answer.text().await.unwrap());
    assert_eq!(status, 200, "{text}");
    text
}

#[tokio::test]
async fn the_key_is_pending_until_it_is_promoted_and_the_old_one_stays_current() {
    let Some(moto) = Moto::start("old").await else { return };
    let (way, job) = (way(), moto.job(&[]));
    take(&way, &job, DeliveryStep::Validate).await.unwrap();
    let before = take(&way, &job, DeliveryStep::ReadBack).await.unwrap();
    assert_eq!(before.holds, Holds::No);
    // However often: the version is the delivery's own.
    for _ in 0..2 {
        take(&way, &job, DeliveryStep::Write).await.unwrap();
    }
    let after = take(&way, &job, DeliveryStep::ReadBack).await.unwrap();
    assert_eq!(after.holds, Holds::Yes, "{}", after.sentence);
    assert_eq!(
        (moto.staged("AWSCURRENT").await.as_str(), moto.staged("AWSPENDING").await.as_str()),
        ("old", KEY)
    );
    // The secret has left by then.
    let mut promoted = moto.job(&[]);
    promoted.parcel.secret = None;
    for _ in 0..2 {
        take(&way, &promoted, DeliveryStep::Promote).await.unwrap();
    }
    assert_eq!(
        (moto.staged("AWSCURRENT").await.as_str(), moto.staged("AWSPREVIOUS").await.as_str()),
        (KEY, "old")
    );
    assert_eq!(moto.stages().await, ["AWSCURRENT", "AWSPREVIOUS"]);
}

#[tokio::test]
async fn a_field_of_a_json_secret_is_set_and_the_others_stay() {
    let Some(moto) = Moto::start(r#"{"url":"https://scim.example.com","token":"old"}"#).await else { return };
    let (way, job) = (way(), moto.job(&[("field", "token"), ("current", "at-once")]));
    take(&way, &job, DeliveryStep::Write).await.unwrap();
    let done = take(&way, &job, DeliveryStep::ReadBack).await.unwrap();
    assert_eq!(done.holds, Holds::Yes, "{}", done.sentence);
    let current: Value = serde_json::from_str(&moto.staged("AWSCURRENT").await).unwrap();
    assert_eq!(current, json!({ "url": "https://scim.example.com", "token": KEY }));
}

#[tokio::test]
async fn a_wrong_secret_access_key_is_refused_and_a_test_writes_nothing() {
    let Some(moto) = Moto::start("old").await else { return };
    let mut wrong = moto.job(&[]);
    wrong.credential = Secret::new("not-the-secret-access-key".to_owned());
    let fault = take(&way(), &wrong, DeliveryStep::Validate).await.unwrap_err();
    assert_eq!(fault.kind, FailureKind::Refused, "{}", fault.sentence);
    let job = tested(moto.job(&[]));
    for step in [DeliveryStep::Validate, DeliveryStep::ReadBack] {
        take(&way(), &job, step).await.unwrap();
    }
    assert_eq!(moto.stages().await, ["AWSCURRENT"]);
}

#[tokio::test]
async fn a_secret_of_another_account_is_not_the_one_that_was_approved() {
    let service = Service::start(|_| {
        let arn = "arn:aws:secretsmanager:eu-central-1:999999999999:secret:scim-AbCdEf";
        say(200, json!({ "ARN": arn, "Name": "scim", "VersionIdsToStages": {} }))
    })
    .await;
    let fields = [
        ("arn", "arn:aws:secretsmanager:eu-central-1:123456789012:secret:scim-AbCdEf"),
        ("access_key_id", "AKIDEXAMPLE"),
        ("endpoint", service.base.as_str()),
    ];
    let job = job(settings(Connector::AwsSecretsManager, &fields));
    let fault = take(&way(), &job, DeliveryStep::Validate).await.unwrap_err();
    assert_eq!(fault.kind, FailureKind::Distrusted);
}
