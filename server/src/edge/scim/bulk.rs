//! `/Bulk` (RFC 7644 3.7): the plan is of the `scim` crate; here its steps are done.
//!
//! Each operation is a unit of its own, with its scope, its audit record, and a usage record with an
//! id of its own, because a usage record is one decision. The Bulk request has one as well, with the
//! id that its answer carries, and that id also stands in every audit record that it caused.

use axum::{extract::Request, response::Response};
use domain::federations::FederationTarget;
use http::Method;
use ops::{Cx, ScimClient, groups::Shown, scim_client::Asked};
use scim::{
    Reading, Resource, ScimError,
    bulk::{self, Limits, Outcome, Plan, Step},
    patch,
};
use serde_json::Value;

use super::{
    answer::{json, problem, told},
    base,
    change::{self, Change, body, check_id, perform, versions_in},
    gateway, not_allowed, refuse,
};

/// The limits on a Bulk request of a server that takes bodies of `body_bytes`.
pub(super) fn limits(body_bytes: usize) -> Limits {
    let limits = Limits::default();
    Limits { max_payload_bytes: limits.max_payload_bytes.min(body_bytes), ..limits }
}

/// The limits on the Bulk requests of the edge that a request came to.
pub(super) fn limits_of(request: &Request) -> Limits {
    request.extensions().get::<Limits>().copied().unwrap_or_default()
}

/// `POST /Bulk`.
pub(super) async fn serve(cx: &Cx<ScimClient>, asked: &Asked, request: Request) -> Response {
    let limits = limits_of(&request);
    if request.method() != Method::POST {
        return not_allowed(cx, asked, "POST").await;
    }
    let read = async { bulk::parse(&body(request).await?, &limits) };
    let mut plan = match read.await {
        Ok(request) => Plan::new(request),
        Err(error) => return refuse(cx, asked, error).await,
    };
    let base = base(cx);
    while let Some(step) = plan.next_step() {
        let outcome = done(cx, &base, step).await;
        plan.record(outcome);
    }
    match cx.discovered(asked).await {
        Ok(()) => json(200, &plan.into_response(&base)),
        Err(error) => problem(&error),
    }
}

/// Does one step, and says what became of it.
async fn done(cx: &Cx<ScimClient>, base: &str, step: Step) -> Outcome {
    let (kind, method) = (step.kind, step.method);
    let asked = cx.operation(method.as_str(), kind.endpoint().trim_start_matches('/'), step.id.as_deref());
    let version = step.version.clone();
    let if_match = version.as_deref().and_then(versions_in);
    let location = step.id.as_ref().map(|id| format!("{base}{}/{id}", kind.endpoint()));
    let mut reading = change::reading(cx);
    let read = read(cx, step, &mut reading);
    let asked = change::tolerating(&asked, reading);
    let is_upstream = cx.actor().federation.target == FederationTarget::Upstream;
    let made = match read {
        Ok(change) if is_upstream => {
            return Box::pin(gateway::perform(cx, &asked, (kind, method), location, version, change)).await;
        }
        Ok(change) => perform(cx, &asked, kind, if_match, change, Shown::NoMembers).await,
        Err(error) => Err(match cx.refused_at_edge(&asked, error.status, &error.detail).await {
            Ok(()) => error.into(),
            Err(error) => error,
        }),
    };
    match made {
        Ok(change::Outcome::Shown(found)) => Outcome {
            status: if method == bulk::Method::Post { 201 } else { 200 },
            location: Some(found.location(base)),
            version: Some(scim::etag(found.version())),
            id: Some(found.id().to_string()),
            error: None,
        },
        Ok(change::Outcome::TooLarge(version)) => {
            Outcome { status: 200, location, version: Some(scim::etag(version)), ..Outcome::default() }
        }
        Ok(change::Outcome::Gone) => Outcome { status: 204, location, ..Outcome::default() },
        Err(error) => Outcome { location, ..Outcome::failed(told(&error)) },
    }
}

fn read(cx: &Cx<ScimClient>, step: Step, reading: &mut Reading) -> Result<Change, ScimError> {
    let of = cx.schemas().of(step.kind);
    let data = step.data.unwrap_or(Value::Null);
    let no_id = || ScimError::invalid_value("path: expected a resource");
    Ok(match step.method {
        bulk::Method::Post => Change::Create(Resource::read_value(of, data, reading)?),
        bulk::Method::Put => {
            let id = step.id.ok_or_else(no_id)?;
            check_id(&data, &id)?;
            Change::Replace(id, Resource::read_value(of, data, reading)?)
        }
        bulk::Method::Patch => {
            let operations = patch::read_value(data, reading)?;
            Change::Patch(step.id.ok_or_else(no_id)?, operations)
        }
        bulk::Method::Delete => Change::Delete(step.id.ok_or_else(no_id)?),
    })
}
