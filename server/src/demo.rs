//! What `keyward demo` shows: people, federations, keys and traffic that look like a real house.
//!
//! Everything is made through `ops` and over HTTP, exactly as an administrator and an identity
//! provider would: nothing here writes to the database, and nothing here runs outside of the demo.
//! To add a federation to the cast, add a row to [`CAST`].

pub mod people;
pub mod provider;
pub mod push;

use std::sync::Arc;

use domain::{
    admins::{Admin, Role},
    federations::Slug,
    scopes::{ResourceKind, Scope, Verb},
};
use ops::{
    Cx, Error, Keyward,
    federations::NewFederation,
    keys::{Issued, NewKey, Rotate},
};

use self::push::{Dialect, Push};

/// What happens to a federation's key after it was issued.
#[derive(Clone, Copy)]
enum Story {
    /// One key in daily use.
    InUse,
    /// A successor was issued; both are accepted for two days.
    Rotating,
    /// One key that ends in days.
    EndsSoon,
    /// A key that nobody has used.
    NeverUsed,
    /// No key yet.
    NoKey,
    /// Paused by a person.
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
}

const CAST: [Row; 6] = [
    Row {
        slug: "okta-production",
        name: "Okta production",
        vendor: "okta",
        owners: "Max Berg, identity@northwind.example",
        notes: "Joiners, movers and leavers of all regions.",
        dialect: Dialect::Okta,
        people: 40,
        story: Story::InUse,
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

/// Registers the federations, issues their keys, and says what their providers shall do with them.
///
/// # Errors
/// What `ops` says.
pub async fn seed(cx: &Cx<Admin>) -> Result<Vec<Push>, Error> {
    let mut pushes = Vec::new();
    for row in &CAST {
        let federation = ops::federations::register(cx, row.federation()).await?;
        pushes.extend(row.play(cx, &federation.slug).await?);
    }
    pushes.retain(|push| push.people > 0);
    Ok(pushes)
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

    /// Tells the story; returns what the provider shall do with its keys.
    async fn play(&self, cx: &Cx<Admin>, slug: &Slug) -> Result<Option<Push>, Error> {
        let lifetime_days = match self.story {
            Story::NoKey => return Ok(None),
            Story::EndsSoon => 5,
            Story::InUse | Story::Rotating | Story::NeverUsed | Story::Paused => 90,
        };
        let Issued { key, secret, base_url, .. } =
            self.issue(cx, slug, "Provisioning", lifetime_days).await?;
        let mut successor = None;
        match self.story {
            Story::Rotating => {
                let rotate = Rotate {
                    overlap_hours: None,
                    lifetime_days: None,
                    idempotency_token: format!("demo-{slug}-rotate"),
                };
                successor = ops::keys::rotate(cx, &key.id, rotate).await?.secret;
            }
            Story::Paused => drop(ops::federations::pause(cx, slug).await?),
            Story::InUse | Story::EndsSoon | Story::NeverUsed | Story::NoKey => {}
        }
        let push = |key| Push {
            base_url,
            key,
            successor,
            dialect: self.dialect,
            people: self.people,
            pace: push::PACE,
        };
        Ok(secret.map(push))
    }

    async fn issue(
        &self,
        cx: &Cx<Admin>,
        slug: &Slug,
        name: &str,
        lifetime_days: i64,
    ) -> Result<Issued, Error> {
        let key = NewKey {
            federation: slug.clone(),
            name: name.to_owned(),
            scope: everyday_scope(),
            lifetime_days,
            justification: String::new(),
            idempotency_token: format!("demo-{slug}-issue"),
        };
        ops::keys::issue(cx, key).await
    }
}

/// What provisioning needs every day: everything but deleting people.
fn everyday_scope() -> Scope {
    let users = [Verb::Read, Verb::Create, Verb::Update].map(|verb| (ResourceKind::Users, verb));
    let groups = Verb::ALL.map(|verb| (ResourceKind::Groups, verb));
    Scope::of(users.into_iter().chain(groups))
}
