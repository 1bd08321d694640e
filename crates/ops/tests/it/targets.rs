//! A target in memory, behind the port of deliveries: it takes what it is given, and does as told when it is told.

use std::{
    collections::{BTreeMap, VecDeque},
    pin::Pin,
    sync::{Arc, Mutex},
};

use domain::{
    Invalid, Secret,
    deliveries::{Connector, DeliveryStep, FailureKind, Holds, Settings},
    federations::Slug,
};
use ops::{
    deliveries::NewTarget,
    ports::{Deliver, DeliveryJob, StepDone, StepFault},
};

use crate::support::House;

/// What happens at the next step of its kind instead of what should.
#[derive(Debug, Clone)]
pub enum Mishap {
    /// Nothing is done, and this is why.
    Not(FailureKind),
    /// It is done, and nobody learns of it.
    DoneUnclear,
    /// It says that it was done, and was not.
    Lie,
    /// It is not done, and the target wants to be left alone for so long.
    Later(u32),
}

/// What targets have, and what was asked of them.
#[derive(Default)]
pub struct Memory {
    /// Per place.
    pub held: Mutex<BTreeMap<String, String>>,
    pub mishaps: Mutex<VecDeque<(DeliveryStep, Mishap)>>,
    /// Every step: `write name`.
    pub steps: Mutex<Vec<String>>,
    /// Whether consumers stand still.
    pub stands: Mutex<bool>,
    /// Whether a write is done, and its answer never comes.
    pub hangs: Mutex<bool>,
}

impl Memory {
    pub fn next(&self, step: DeliveryStep, mishap: Mishap) {
        self.mishaps.lock().unwrap().push_back((step, mishap));
    }

    pub fn stepped(&self) -> Vec<String> {
        std::mem::take(&mut *self.steps.lock().unwrap())
    }

    pub fn holds(&self, place: &str) -> Option<String> {
        self.held.lock().unwrap().get(place).cloned()
    }

    fn take(&self, step: DeliveryStep, job: &DeliveryJob) -> Result<StepDone, StepFault> {
        let place = job.settings.place();
        let short = job.settings.connector().as_str();
        self.steps.lock().unwrap().push(format!("{} {short}", step.as_str()));
        let mishap = {
            let mut mishaps = self.mishaps.lock().unwrap();
            let is_next = mishaps.front().is_some_and(|(at, _)| *at == step);
            is_next.then(|| mishaps.pop_front()).flatten().map(|(_, mishap)| mishap)
        };
        let fault = |kind, retry_after_s| StepFault {
            kind,
            sentence: format!("{} came to nothing: {kind:?}", step.as_str()),
            retry_after_s,
        };
        match &mishap {
            Some(Mishap::Not(kind)) => return Err(fault(*kind, None)),
            Some(Mishap::Later(seconds)) => return Err(fault(FailureKind::Weather, Some(*seconds))),
            Some(Mishap::DoneUnclear | Mishap::Lie) | None => {}
        }
        let done = |holds| StepDone {
            sentence: format!("{} is well", step.as_str()),
            holds,
            wants_kick: *self.stands.lock().unwrap(),
            public_key: None,
        };
        let secret = job.parcel.secret.as_ref().map(Secret::expose);
        let answer = match step {
            DeliveryStep::Validate => done(Holds::CannotTell),
            DeliveryStep::Write => {
                if !matches!(mishap, Some(Mishap::Lie)) {
                    self.held.lock().unwrap().insert(place, secret.unwrap().to_owned());
                }
                done(Holds::CannotTell)
            }
            DeliveryStep::Kick => {
                *self.stands.lock().unwrap() = false;
                done(Holds::CannotTell)
            }
            DeliveryStep::ReadBack if job.settings.connector() == Connector::EntraGraph => {
                done(Holds::CannotTell)
            }
            DeliveryStep::ReadBack => {
                done(if self.holds(&place).as_deref() == secret { Holds::Yes } else { Holds::No })
            }
            DeliveryStep::Promote => {
                let mut held = self.held.lock().unwrap();
                held.insert(format!("{place} current"), "moved".to_owned());
                done(Holds::CannotTell)
            }
        };
        match mishap {
            Some(Mishap::DoneUnclear) => Err(fault(FailureKind::Unclear, None)),
            Some(Mishap::Lie | Mishap::Not(_) | Mishap::Later(_)) | None => Ok(answer),
        }
    }
}

impl Deliver for Memory {
    fn admits(&self, settings: &Settings) -> Result<(), Vec<Invalid>> {
        let barred = settings.urls().into_iter().filter(|(_, url)| url.contains("169.254"));
        let faults: Vec<_> = barred.map(|(field, _)| Invalid::new(field, "it is barred")).collect();
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }

    fn step<'a>(
        &'a self,
        step: DeliveryStep,
        job: &'a DeliveryJob,
    ) -> Pin<Box<dyn Future<Output = Result<StepDone, StepFault>> + Send + 'a>> {
        Box::pin(async move {
            let taken = self.take(step, job);
            let hangs = step == DeliveryStep::Write && *self.hangs.lock().unwrap();
            if hangs {
                std::future::pending::<()>().await;
            }
            taken
        })
    }
}

/// Connects an installation with targets in memory.
pub fn connect(house: &House) -> Arc<Memory> {
    let memory = Arc::new(Memory::default());
    house.keyward.connect_deliveries(Arc::clone(&memory) as Arc<dyn Deliver>);
    memory
}

pub const CREDENTIAL: &str = "s3cret-of-the-target";

/// A target that can be set; `name` is also where it leads.
pub fn new_target(connector: Connector, name: &str) -> NewTarget {
    let fields: Vec<(&str, String)> = match connector {
        Connector::Vault => {
            vec![("address", "https://vault.example.com".to_owned()), ("path", name.to_owned())]
        }
        Connector::AwsSecretsManager => vec![
            ("arn", format!("arn:aws:secretsmanager:eu-central-1:123456789012:secret:{name}")),
            ("access_key_id", "AKIDEXAMPLE".to_owned()),
        ],
        Connector::EntraGraph => vec![
            ("tenant_id", "tenant".to_owned()),
            ("client_id", "client".to_owned()),
            ("service_principal_id", "principal".to_owned()),
            ("job_id", name.to_owned()),
        ],
        Connector::OktaConnection => {
            vec![("org_url", "https://example.okta.com".to_owned()), ("app_id", name.to_owned())]
        }
        Connector::Kubernetes => vec![
            ("server", "https://k8s.example.com".to_owned()),
            ("namespace", "apps".to_owned()),
            ("name", name.to_owned()),
        ],
        Connector::Webhook => vec![("url", format!("https://hooks.example.com/{name}"))],
    };
    let presets = connector.fields().iter().map(|field| (field.name.to_owned(), field.preset.to_owned()));
    let typed = fields.into_iter().map(|(field, text)| (field.to_owned(), text));
    let credential = match connector {
        Connector::Webhook => "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
        _ => CREDENTIAL,
    };
    NewTarget {
        id: None,
        version: 0,
        connector: connector.as_str().to_owned(),
        name: name.to_owned(),
        fields: presets.chain(typed).collect(),
        credential: Secret::new(credential.to_owned()),
    }
}

/// Adds a target to a federation.
pub async fn add(house: &House, slug: &Slug, connector: Connector, name: &str) -> domain::deliveries::Target {
    ops::deliveries::set(&house.admin(), slug, new_target(connector, name)).await.unwrap()
}
