//! Signing in and out. Who may come in was decided by the identity provider's claims; an identity
//! that no claim maps gets no session, and the attempt is recorded.

use domain::{
    admins::{Admin, Role},
    audit::{Action, ActorKind, ActorRef, AuditEvent},
    usage::clean,
};
use serde_json::json;
use store::{Change, Conn};

use crate::{Actor, Cx, Error, Visitor, unit::detail};

/// The most characters of a name, an address or a claim's value that are kept.
const NAME: usize = 200;

/// An identity that the provider vouches for.
#[derive(Debug, Clone)]
pub struct SignIn {
    /// `iss`.
    pub issuer: String,
    /// `sub`.
    pub subject: String,
    /// The name to show.
    pub name: String,
    /// `email`, for people to read.
    pub email: Option<String>,
    /// The role that its claims map to; `None` when none does.
    pub role: Option<Role>,
    /// The values of the roles claim, as received.
    pub claim_values: Vec<String>,
}

/// Lets somebody in.
///
/// # Errors
/// Forbidden when no claim maps to a role; the attempt is recorded.
pub async fn sign_in(cx: &Cx<Visitor>, sign_in: SignIn) -> Result<Admin, Error> {
    let values: Vec<String> = sign_in.claim_values.iter().take(50).map(|value| clean(value, NAME)).collect();
    let name = clean(&sign_in.name, NAME);
    let id = format!("{} {}", sign_in.issuer, sign_in.subject);
    let Some(role) = sign_in.role else {
        let event = AuditEvent {
            actor: ActorRef { kind: ActorKind::Visitor, id, name },
            detail: detail(&json!({ "claim_values": values })),
            ..cx.event(Action::AdminSignInRefused)
        };
        return cx.forbid(event, "no value of the roles claim maps to a role".to_owned()).await;
    };
    let email = sign_in.email.as_deref().map(|email| clean(email, NAME));
    let admin = Admin { issuer: sign_in.issuer, subject: sign_in.subject, name, email, role };
    let event = AuditEvent {
        actor: admin.as_ref(),
        detail: detail(&json!({ "role": admin.role, "claim_values": values })),
        ..cx.event(Action::AdminSignedIn)
    };
    cx.keyward.commit(async move |_: &mut Conn<'_>| Ok(Change::new(admin.clone(), event.clone()))).await
}

/// Records that a sign-in was refused before it was known who it was.
pub async fn refuse_sign_in(cx: &Cx<Visitor>, reason: &str) -> Result<(), Error> {
    let event = cx.event(Action::AdminSignInRefused);
    cx.keyward.record_refusal(event, reason).await
}

/// Records that somebody signed out.
pub async fn sign_out(cx: &Cx<Admin>) -> Result<(), Error> {
    let event = cx.event(Action::AdminSignedOut);
    cx.keyward.commit(async move |_: &mut Conn<'_>| Ok(Change::new((), event.clone()))).await
}
