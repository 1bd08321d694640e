//! What `keyward demo` shows: people, federations, keys and traffic that look like a real house.
//!
//! Everything is made through `ops` and over HTTP, exactly as an administrator and an identity
//! provider would: nothing here writes to the database, and nothing here runs outside of the demo.
//! To add a federation to the cast, add a row to [`CAST`].

pub mod again;
pub mod clock;
pub mod people;
pub mod provider;
pub mod push;
pub mod receiver;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use domain::{
    DAY_MS, HOUR_MS, Millis, Secret,
    admins::{Admin, Role},
    federations::{Federation, Slug},
    rotations::policy::RotationRules,
    scopes::{ResourceKind, Scope, Verb},
};
use ops::{
    Cx, Error, Keyward,
    deliveries::NewTarget,
    federations::NewFederation,
    keys::{Issued, NewKey, Rotate},
    policies::{EditPolicy, NewException},
};

use self::{
    push::{Dialect, Push},
    receiver::Receiver,
};

/// What happens to a federation's key after it was issued.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Story {
    /// One key in daily use.
    InUse,
    /// A successor was issued and pasted by hand; both are accepted.
    Rotating,
    /// A successor was issued and nobody pasted it; the overlap should be over.
    Stalled,
    /// Its policy rotates by itself, and an agent takes the keys.
    ByItself,
    /// One key that ends in days.
    EndsSoon,
    /// A key that has ended, without a successor.
    Expired,
    /// A key that nobody has used.
    NeverUsed,
    /// No key yet.
    NoKey,
    /// Paused by a person, and exempt from the policy.
    Paused,
}

struct Row {
    slug: &'static str,
    name: &'static str,
    vendor: &'static str,
    owners: &'static str,
    notes: &'static str,
    dialect: Dialect,
    /// How many of the cast it provisions.
    people: usize,
    story: Story,
    /// How old its key is, in days, and how long it lives.
    age: (i64, i64),
}

/// How long the agent rests between its turns: long enough to be a cycle.
const TURN: Duration = Duration::from_secs(24);

const CAST: [Row; 9] = [
    Row {
        slug: "okta-production",
        name: "Okta production",
        vendor: "okta",
        owners: "Max Berg, identity@northwind.example",
        notes: "Joiners, movers and leavers of all regions.",
        dialect: Dialect::Okta,
        people: 40,
        story: Story::InUse,
        age: (41, 90),
    },
    Row {
        slug: "workday-entra",
        name: "Workday Entra",
        vendor: "entra",
        owners: "Lena Vogt, hr-systems@northwind.example",
        notes: "Workday writes to Entra, Entra provisions here every 40 minutes.",
        dialect: Dialect::Entra,
        people: 24,
        story: Story::Rotating,
        age: (83, 90),
    },
    Row {
        slug: "authentik-labs",
        name: "Authentik labs",
        vendor: "authentik",
        owners: "labs@northwind.example",
        notes: "An agent takes new keys by itself, so that this one is rotated again and again.",
        dialect: Dialect::Plain,
        people: 8,
        story: Story::ByItself,
        age: (79, 90),
    },
    Row {
        slug: "google-staff",
        name: "Google staff",
        vendor: "google",
        owners: "it-support@northwind.example",
        notes: "",
        dialect: Dialect::Plain,
        people: 0,
        story: Story::NeverUsed,
        age: (6, 90),
    },
    Row {
        slug: "keycloak-eu",
        name: "Keycloak EU",
        vendor: "keycloak",
        owners: "platform-eu@northwind.example",
        notes: "Contractors in the EU.",
        dialect: Dialect::Plain,
        people: 12,
        story: Story::EndsSoon,
        age: (85, 90),
    },
    Row {
        slug: "onelogin-stores",
        name: "OneLogin stores",
        vendor: "onelogin",
        owners: "retail-it@northwind.example",
        notes: "Tills and back offices.",
        dialect: Dialect::Plain,
        people: 6,
        story: Story::Stalled,
        age: (76, 90),
    },
    Row {
        slug: "rippling-pilot",
        name: "Rippling pilot",
        vendor: "rippling",
        owners: "people-ops@northwind.example",
        notes: "Ran for a month.",
        dialect: Dialect::Plain,
        people: 0,
        story: Story::Expired,
        age: (33, 30),
    },
    Row {
        slug: "jumpcloud-devices",
        name: "JumpCloud devices",
        vendor: "jumpcloud",
        owners: "workplace@northwind.example",
        notes: "Starts with the new laptops in spring.",
        dialect: Dialect::Plain,
        people: 0,
        story: Story::NoKey,
        age: (0, 90),
    },
    Row {
        slug: "partner-portal",
        name: "Partner portal",
        vendor: "other",
        owners: "partners@northwind.example, legal@northwind.example",
        notes: "Paused until the new contract is signed.",
        dialect: Dialect::Plain,
        people: 0,
        story: Story::Paused,
        age: (52, 90),
    },
];

/// The context of the demo's administrator, whom nobody had to sign in.
#[expect(clippy::disallowed_methods, reason = "the demo invents its administrator")]
pub fn admin_cx(keyward: &Arc<Keyward>, issuer: &str) -> Cx<Admin> {
    let ana = &people::SIGN_INS[0];
    let admin = Admin {
        issuer: issuer.to_owned(),
        subject: ana.subject.to_owned(),
        name: ana.name.to_owned(),
        email: Some(ana.email.to_owned()),
        role: Role::Admin,
    };
    Cx::new(Arc::clone(keyward), admin, keyward.request_info())
}

/// The cast, set up: what its providers shall do, and which federation is rotated again and again.
pub struct Cast {
    /// The providers that push.
    pub pushes: Vec<Push>,
    /// The federation whose keys an agent takes.
    pub by_itself: Slug,
}

/// Registers the federations, issues their keys, and says what their providers shall do with them.
/// `stand_back` is told how long ago it is.
///
/// # Errors
/// What `ops` says.
pub async fn seed(cx: &Cx<Admin>, receiver: &Receiver, stand_back: impl Fn(Millis)) -> Result<Cast, Error> {
    let mut federations = BTreeMap::new();
    stand_back(120 * DAY_MS);
    for row in &CAST {
        federations.insert(row.slug, ops::federations::register(cx, row.federation()).await?);
    }
    let mut by_age: Vec<&Row> = CAST.iter().filter(|row| row.story != Story::NoKey).collect();
    by_age.sort_by_key(|row| std::cmp::Reverse(row.age.0));
    let mut issued = Vec::new();
    for row in by_age {
        stand_back(row.age.0 * DAY_MS);
        let federation = &federations[row.slug];
        issued.push((row, row.issue(cx, &federation.slug).await?));
    }
    // The audit log tells it in order.
    issued.sort_by_key(|(row, _)| row.story == Story::Rotating);
    let mut pushes = Vec::new();
    for (row, key) in issued {
        let federation = &federations[row.slug];
        let successor = row.play(cx, federation, &key, receiver, &stand_back).await?;
        pushes.extend(row.push(key, successor, receiver));
    }
    stand_back(0);
    let by_itself =
        CAST.iter().find(|row| row.story == Story::ByItself).map(|row| federations[row.slug].slug.clone());
    let by_itself = by_itself.ok_or(Error::NotFound("federation"))?;
    Ok(Cast { pushes, by_itself })
}

impl Row {
    fn federation(&self) -> NewFederation {
        NewFederation {
            slug: self.slug.to_owned(),
            name: self.name.to_owned(),
            vendor: self.vendor.to_owned(),
            owners: self.owners.to_owned(),
            notes: self.notes.to_owned(),
            max_age_days: 90,
            overlap_hours: 48,
            warn_days: 14,
        }
    }

    /// Tells the story; returns the key that is pasted by hand, when there is one.
    async fn play(
        &self,
        cx: &Cx<Admin>,
        federation: &Federation,
        issued: &Issued,
        receiver: &Receiver,
        stand_back: &impl Fn(Millis),
    ) -> Result<Option<Secret>, Error> {
        let slug = &federation.slug;
        match self.story {
            Story::Rotating => {
                stand_back(HOUR_MS / 4);
                let rotate = Rotate { idempotency_token: format!("demo-{slug}-rotate"), ..Rotate::default() };
                return Ok(ops::keys::rotate(cx, &issued.key.id, rotate).await?.secret);
            }
            Story::Stalled => {
                stand_back(26 * HOUR_MS);
                let rotate = Rotate { overlap_hours: Some(24), ..Rotate::default() };
                ops::keys::rotate(cx, &issued.key.id, rotate).await?;
            }
            Story::ByItself => {
                stand_back(2 * DAY_MS);
                ops::deliveries::set(cx, slug, agent(receiver)).await?;
                ops::policies::edit(cx, slug, quick(federation)).await?;
            }
            Story::Paused => {
                stand_back(4 * DAY_MS);
                ops::federations::pause(cx, slug).await?;
                let exception = NewException {
                    key_id: None,
                    owner: "legal@northwind.example".to_owned(),
                    reason: "The contract with the partner is being renewed".to_owned(),
                    ends_ms: cx.now_ms() + 30 * DAY_MS,
                };
                ops::policies::except(cx, slug, exception).await?;
            }
            Story::InUse | Story::EndsSoon | Story::Expired | Story::NeverUsed | Story::NoKey => {}
        }
        Ok(None)
    }

    /// What its provider does.
    fn push(&self, issued: Issued, successor: Option<Secret>, receiver: &Receiver) -> Option<Push> {
        let is_agent = self.story == Story::ByItself;
        (self.people > 0).then_some(())?;
        Some(Push {
            base_url: issued.base_url,
            key: Arc::new(issued.secret?),
            successor: successor.map(Arc::new),
            incoming: is_agent.then(|| receiver.keys()),
            dialect: self.dialect,
            people: self.people,
            pace: if is_agent { TURN } else { push::PACE },
        })
    }

    async fn issue(&self, cx: &Cx<Admin>, slug: &Slug) -> Result<Issued, Error> {
        let key = NewKey {
            federation: slug.clone(),
            name: format!("{slug}-1"),
            scope: everyday_scope(),
            lifetime_days: self.age.1,
            justification: String::new(),
            idempotency_token: format!("demo-{slug}-issue"),
        };
        ops::keys::issue(cx, key).await
    }
}

/// The target that takes keys by itself.
fn agent(receiver: &Receiver) -> NewTarget {
    let fields = [("url", receiver.url.clone()), ("read_back_url", receiver.url.clone())];
    NewTarget {
        id: None,
        version: 0,
        connector: "webhook".to_owned(),
        name: "Provisioning agent".to_owned(),
        fields: fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        credential: receiver.signing(),
    }
}

/// A policy that rotates by itself, and knows that its agent comes within the minute.
fn quick(federation: &Federation) -> EditPolicy {
    EditPolicy {
        version: federation.version,
        policy: federation.policy,
        rules: RotationRules {
            automatic: Some(true),
            silence_cycles: Some(1),
            least_silence_minutes: Some(1),
            cycle_minutes: Some(1),
            jitter_minutes: Some(0),
            ..RotationRules::default()
        },
    }
}

/// What provisioning needs every day: everything but deleting people.
fn everyday_scope() -> Scope {
    let users = [Verb::Read, Verb::Create, Verb::Update].map(|verb| (ResourceKind::Users, verb));
    let groups = Verb::ALL.map(|verb| (ResourceKind::Groups, verb));
    Scope::of(users.into_iter().chain(groups))
}
