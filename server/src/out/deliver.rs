//! The ways in which a secret reaches its consumer, one file for each connector.
//!
//! Every call goes through [`line`]: the egress guard, the certificate that was approved, no redirect, limits on
//! time and bytes. What a target answers is never repeated but for words that are known, so that nothing that was
//! sent comes back in a report.

mod aws;
mod entra;
mod kubernetes;
mod line;
mod okta;
pub mod sealing;
pub mod sigv4;
mod vault;
mod webhook;

use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use domain::{
    Invalid, TargetId,
    deliveries::{Connection, DeliveryStep, FailureKind, Holds, Settings},
};
use ops::{
    Clock, Entropy,
    ports::{Deliver, DeliveryJob, StepDone, StepFault},
};
use url::Url;

use self::line::Line;
use super::{egress::Egress, http::install_crypto};

/// From the first byte out to the last byte in, for one exchange.
const PATIENCE: Duration = Duration::from_secs(20);

/// The way to every target.
pub struct DeliverHttp {
    egress: Arc<Egress>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    patience: Duration,
    lines: Mutex<BTreeMap<TargetId, (i64, Arc<Line>)>>,
}

/// What a connector has at hand for one step.
struct Way<'w> {
    line: &'w Line,
    job: &'w DeliveryJob,
    clock: &'w dyn Clock,
    entropy: &'w dyn Entropy,
}

impl DeliverHttp {
    /// Makes the way out. Clients are made when they are needed.
    pub fn new(egress: Egress, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        install_crypto();
        Self { egress: Arc::new(egress), clock, entropy, patience: PATIENCE, lines: Mutex::default() }
    }

    /// The same with another time for one exchange.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    fn line(&self, job: &DeliveryJob) -> Result<Arc<Line>, StepFault> {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, line)) = lines.get(&job.target_id).filter(|(version, _)| *version == job.version) {
            return Ok(Arc::clone(line));
        }
        let line = Line::new(&job.settings.trust, &self.egress, &self.clock, self.patience)
            .map_err(|sentence| fault(FailureKind::Refused, sentence))?;
        let line = Arc::new(line);
        lines.insert(job.target_id.clone(), (job.version, Arc::clone(&line)));
        Ok(line)
    }

    async fn take(&self, step: DeliveryStep, job: &DeliveryJob) -> Result<StepDone, StepFault> {
        let line = self.line(job)?;
        let way = Way { line: &line, job, clock: self.clock.as_ref(), entropy: self.entropy.as_ref() };
        let taken = match &job.settings.connection {
            Connection::Webhook(webhook) => webhook::step(&way, webhook, step).await,
            Connection::Vault(vault) => vault::step(&way, vault, step).await,
            Connection::AwsSecretsManager(aws) => aws::step(&way, aws, step).await,
            Connection::Kubernetes(kubernetes) => kubernetes::step(&way, kubernetes, step).await,
            Connection::EntraGraph(entra) => entra::step(&way, entra, step).await,
            Connection::OktaConnection(okta) => okta::step(&way, okta, step).await,
        };
        taken.map(|done| StepDone { public_key: line.public_key(), ..done })
    }
}

impl Deliver for DeliverHttp {
    fn admits(&self, settings: &Settings) -> Result<(), Vec<Invalid>> {
        let faults: Vec<Invalid> = settings
            .urls()
            .into_iter()
            .filter_map(|(field, url)| {
                let admitted = match Url::parse(&url) {
                    Ok(url) => self.egress.admits_url(&url).map_err(|barred| barred.to_string()),
                    Err(_) => Err("it is not an address that can be called".to_owned()),
                };
                admitted.err().map(|sentence| Invalid::new(field, sentence))
            })
            .collect();
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }

    fn step<'a>(
        &'a self,
        step: DeliveryStep,
        job: &'a DeliveryJob,
    ) -> Pin<Box<dyn Future<Output = Result<StepDone, StepFault>> + Send + 'a>> {
        Box::pin(async move {
            let taken = self.take(step, job).await;
            let outcome = match &taken {
                Ok(_) => "done",
                Err(fault) => match fault.kind {
                    FailureKind::Weather => "weather",
                    FailureKind::Refused => "refused",
                    FailureKind::Unsupported => "unsupported",
                    FailureKind::Distrusted => "distrusted",
                    FailureKind::Unclear => "unclear",
                },
            };
            let connector = job.settings.connector().as_str();
            metrics::counter!("keyward_delivery_steps_total", "connector" => connector, "step" => step.as_str(), "outcome" => outcome)
                .increment(1);
            taken
        })
    }
}

fn fault(kind: FailureKind, sentence: impl Into<String>) -> StepFault {
    StepFault { kind, sentence: sentence.into(), retry_after_s: None }
}

/// A step that was done and showed nothing of the secret.
fn done(sentence: impl Into<String>) -> StepDone {
    StepDone { sentence: sentence.into(), holds: Holds::CannotTell, wants_kick: false, public_key: None }
}

/// A read-back that compared.
fn seen(holds: Holds, sentence: impl Into<String>) -> StepDone {
    StepDone { holds, ..done(sentence) }
}

/// Whether two secrets are the same, in a time that does not depend on where they differ.
fn is_same(one: &str, other: &str) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(one.as_bytes(), other.as_bytes()).is_ok()
}

impl Way<'_> {
    /// The secret, which every write has.
    fn secret(&self) -> Result<&str, StepFault> {
        let secret = self.job.parcel.secret.as_ref().map(domain::Secret::expose);
        secret.ok_or_else(|| {
            fault(FailureKind::Refused, "the secret has left already and is not here any more")
        })
    }

    /// What is read back, held against the secret; a test has none.
    fn compared(&self, found: Option<&str>, place: &str) -> StepDone {
        match (found, self.job.parcel.secret.as_ref()) {
            (Some(_), None) => seen(Holds::CannotTell, format!("{place} holds a value")),
            (None, None) => seen(Holds::CannotTell, format!("{place} holds nothing yet")),
            (Some(found), Some(secret)) if is_same(found, secret.expose()) => {
                seen(Holds::Yes, format!("{place} holds the new key"))
            }
            (Some(_), Some(_)) => seen(Holds::No, format!("{place} holds another value")),
            (None, Some(_)) => seen(Holds::No, format!("{place} holds nothing")),
        }
    }

    /// A word of an answer, when it is one that can be repeated: short, plain, and nothing that was sent.
    fn word(&self, text: &str) -> String {
        let is_plain = !text.is_empty()
            && text.len() <= 80
            && text.chars().all(|c| c.is_ascii_alphanumeric() || " _-.:#".contains(c));
        let secrets = [Some(&self.job.credential), self.job.parcel.secret.as_ref()];
        let repeats = secrets.into_iter().flatten().any(|secret| text.contains(secret.expose()));
        if is_plain && !repeats { text.to_owned() } else { "a word that is not repeated here".to_owned() }
    }
}
