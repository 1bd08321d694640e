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
mod told;
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
    lines: Mutex<BTreeMap<TargetId, Kept>>,
}

/// The line of a target as it was at a version.
struct Kept {
    version: i64,
    used_us: i64,
    line: Arc<Line>,
}

/// For how long a line is kept that nobody uses: from one step of a delivery to the next, not for a target that was
/// removed.
const KEPT_US: i64 = 600_000_000;

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
        let now_us = self.clock.monotonic_us();
        lines.retain(|_, kept| now_us - kept.used_us < KEPT_US);
        if let Some(kept) = lines.get_mut(&job.target_id).filter(|kept| kept.version == job.version) {
            kept.used_us = now_us;
            return Ok(Arc::clone(&kept.line));
        }
        let line = Line::new(&job.settings.trust, &self.egress, &self.clock, self.patience)
            .map_err(|sentence| fault(FailureKind::Refused, sentence))?;
        let line = Arc::new(line);
        let kept = Kept { version: job.version, used_us: now_us, line: Arc::clone(&line) };
        lines.insert(job.target_id.clone(), kept);
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

#[cfg(test)]
mod tests {
    use domain::{Secret, deliveries::Connector, federations::Slug};
    use ops::{
        ports::Parcel,
        testing::{TestClock, TestEntropy},
    };

    use super::*;

    fn job(place: u8) -> DeliveryJob {
        let settings = Settings::read(Connector::Webhook, |field| {
            if field == "url" { "https://hooks.example.com".to_owned() } else { String::new() }
        });
        DeliveryJob {
            target_id: TargetId::new(1, [place; 10]),
            version: 1,
            settings: settings.unwrap(),
            credential: Secret::new(String::new()),
            parcel: Parcel {
                federation: Slug::parse("own").unwrap(),
                base_url: String::new(),
                delivery_id: None,
                rotation_id: None,
                key_id: None,
                last_four: String::new(),
                made_ms: 1,
                secret: None,
            },
        }
    }

    #[test]
    fn lines_that_nobody_uses_are_forgotten() {
        let clock = Arc::new(TestClock::default());
        let egress = Egress::new(Vec::new(), Vec::new());
        let out =
            DeliverHttp::new(egress, Arc::clone(&clock) as Arc<dyn Clock>, Arc::new(TestEntropy::default()));
        let first = out.line(&job(1)).ok().unwrap();
        for place in 2..50 {
            assert!(out.line(&job(place)).is_ok());
        }
        clock.advance(KEPT_US / 2_000);
        assert!(Arc::ptr_eq(&out.line(&job(1)).ok().unwrap(), &first), "one that is used is kept");
        clock.advance(KEPT_US / 2_000);
        assert!(out.line(&job(60)).is_ok());
        let kept: Vec<TargetId> = out.lines.lock().unwrap().keys().cloned().collect();
        assert_eq!(kept, [job(1).target_id, job(60).target_id]);
    }
}
