//! The test of a connection: whether Keyward gets in, is understood, and what is the matter if not.

use domain::{
    admins::{Admin, Right},
    audit::{Action, AuditEvent},
    federations::Slug,
    upstreams::{Tested, Trouble},
};
use serde_json::{Value, json};
use store::{Change, Conn};

use super::{Gate, target::upstream_gate, told, told::Told};
use crate::{
    Cx, Error,
    federations::{about, allowed},
    ports::CallFault,
    unit::detail,
};

/// How the port begins to say that it does not trust the certificate of a service.
pub const UNTRUSTED: &str = "its certificate is not trusted";

/// Tests the connection to the upstream of a federation: signs in, and reads what the service says
/// about itself and one page of users.
///
/// # Errors
/// Conflict for a federation without an upstream; Forbidden; NotFound.
pub async fn test(cx: &Cx<Admin>, slug: &Slug) -> Result<Tested, Error> {
    let federation = allowed(cx, slug, Right::RunFederation, Action::UpstreamTested).await?;
    let gate = upstream_gate(cx, &federation).await?;
    let (trouble, note) = tested(&gate).await;
    let tested = Tested { at_ms: cx.now_ms(), worked: trouble.is_none(), note, trouble };
    let event = AuditEvent {
        detail: detail(&json!({ "worked": tested.worked, "note": tested.note })),
        ..about(cx, Action::UpstreamTested, &federation)
    };
    let kept = tested.clone();
    cx.keyward
        .commit(async move |conn: &mut Conn<'_>| {
            store::upstreams::set_last_test(conn, &federation.id, &kept).await?;
            Ok(Change::new((), event.clone()))
        })
        .await?;
    Ok(tested)
}

async fn tested(gate: &Gate) -> (Option<Trouble>, String) {
    // A breaker that is open would hide what is the matter.
    let ask = async |path: &str| match gate.port.exchange(&gate.destination, Gate::get(path.to_owned())).await
    {
        Ok(answer) => Ok(told::read(answer)),
        Err(fault) => Err((Some(trouble_of(&fault)), Told::from(fault).note())),
    };
    let given_up = |told: &Told| {
        let is_denied = matches!(told, Told::Denied(_));
        (Some(if is_denied { Trouble::Credential } else { Trouble::Answer }), told.note())
    };
    let config = match ask("/ServiceProviderConfig").await {
        Ok(told) => told,
        Err(found) => return found,
    };
    let offers = match config {
        Told::Fine { body: Some(config), .. } => {
            let has = |name: &str| config.pointer(&format!("/{name}/supported")).and_then(Value::as_bool);
            let offered =
                ["patch", "filter", "bulk", "etag"].into_iter().filter(|name| has(name) == Some(true));
            format!("it offers {}", offered.collect::<Vec<_>>().join(", "))
        }
        told @ (Told::Denied(_) | Told::NotSent { .. } | Told::Unclear(_)) => return given_up(&told),
        Told::Fine { .. } | Told::Refused { .. } | Told::Throttled(_) => {
            "it says nothing about itself (ServiceProviderConfig)".to_owned()
        }
    };
    let listed = match ask("/Users?startIndex=1&count=1").await {
        Ok(told) => told.body(),
        Err(found) => return found,
    };
    match listed.and_then(|(page, _)| told::page(page)) {
        Ok((total, _)) => (None, format!("signed in; {offers}; it lists {total} users")),
        Err(told) => given_up(&told),
    }
}

fn trouble_of(fault: &CallFault) -> Trouble {
    match fault {
        CallFault::NoToken(_) => Trouble::Credential,
        CallFault::NotSent(reason) | CallFault::Unclear(reason) if reason.starts_with(UNTRUSTED) => {
            Trouble::Certificate
        }
        CallFault::NotSent(_) => Trouble::Unreachable,
        CallFault::Unclear(reason) if reason.starts_with("no whole answer") => Trouble::Unreachable,
        CallFault::Unclear(_) => Trouble::Answer,
    }
}
