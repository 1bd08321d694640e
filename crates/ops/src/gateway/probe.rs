//! The conformance probe against an upstream: what it will choke on, found before a provider does.

use std::sync::Arc;

use domain::{
    Millis,
    admins::{Admin, Right},
    audit::{Action, AuditEvent},
    federations::Slug,
    upstreams::Quirks,
};
use scim::probe::{self, Exchange, Options, ProbeAnswer, ProbeRequest, Report, Verdict};
use serde_json::{Value, json};
use store::{Change, Conn};

use super::target::upstream_gate;
use crate::{
    Cx, Error,
    federations::{about, allowed},
    ports::{Destination, Method, Upstream, UpstreamRequest},
    unit::detail,
    vault::{MasterKey, Vault},
};

/// A probe's way to a server: the port, without a breaker that would hide what is the matter.
struct Way {
    port: Arc<dyn Upstream>,
    destination: Arc<Destination>,
}

impl Exchange for Way {
    async fn send(&self, request: ProbeRequest) -> Result<ProbeAnswer, String> {
        let method = match request.method {
            "GET" => Method::Get,
            "POST" => Method::Post,
            "PUT" => Method::Put,
            "PATCH" => Method::Patch,
            "DELETE" => Method::Delete,
            other => return Err(format!("{other} is not a method of SCIM")),
        };
        let header = |name: &str| {
            let found = request.headers.iter().find(|(given, _)| given.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value.clone())
        };
        let asked = UpstreamRequest {
            method,
            path: request.path.clone(),
            if_match: header("if-match"),
            if_none_match: header("if-none-match"),
            body: request.body.as_ref().map(|body| body.to_string().into_bytes()),
        };
        let answer = self.port.exchange(&self.destination, asked).await.map_err(|fault| fault.to_string())?;
        Ok(ProbeAnswer {
            status: answer.status,
            content_type: answer.content_type,
            location: answer.location,
            etag: answer.etag,
            retry_after: answer.retry_after_s.map(|seconds| seconds.to_string()),
            body: answer.body,
        })
    }
}

/// Probes a service; `tag` is in the name of everything that is created and deleted again.
pub async fn run(port: Arc<dyn Upstream>, destination: Arc<Destination>, tag: &str) -> Report {
    probe::run(&Way { port, destination }, &Options::new(tag)).await
}

/// The upstream of a federation with its credential, from a database that need not be opened as an
/// installation: a server may be running beside.
///
/// # Errors
/// A sentence: no such federation, no upstream, another master key, or no database.
pub async fn destination(
    store: &store::Store,
    master_key: &MasterKey,
    slug: &Slug,
) -> Result<Arc<Destination>, String> {
    let vault = Vault::new(master_key)?;
    let failed = |error: store::Error| error.to_string();
    let mut reader = store.read().await.map_err(failed)?;
    let federation = store::federations::by_slug(&mut reader.conn(), slug).await.map_err(failed)?;
    let federation = federation.ok_or_else(|| format!("there is no federation {slug}"))?;
    let stored = store::upstreams::of_federation(&mut reader.conn(), &federation.id).await.map_err(failed)?;
    let stored = stored.ok_or_else(|| format!("{} has no upstream", federation.name))?;
    super::destination(&vault, stored).map(Arc::new)
}

/// What the gateway makes up for, of what a probe found.
pub fn quirks_of(found: &probe::Quirks) -> Quirks {
    let (no_patch, no_put) = (found.no_patch || found.put_only, found.no_put);
    Quirks {
        member_chunks: found.max_members_per_patch.is_some(),
        // A service that knows neither cannot be helped.
        no_patch: no_patch && !no_put,
        no_put: no_put && !no_patch,
        // One that removes in neither way is not helped by the other.
        member_values: found.remove_members_needs_values && !found.remove_members_needs_filter,
        no_excluded_attributes: found.no_excluded_attributes,
        no_filter: found.no_filter,
    }
}

/// The report of a probe as it is kept and shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// When.
    pub at_ms: Millis,
    /// How many checks passed, were made up for, were not tried, failed.
    pub counts: [usize; 4],
    /// The checks that did not pass: word, title, detail.
    pub findings: Vec<[String; 3]>,
    /// What the gateway should make up for.
    pub quirks: Quirks,
    /// What could not be deleted again.
    pub left_behind: Vec<String>,
}

impl Kept {
    fn of(report: &Report, at_ms: Millis) -> Self {
        let verdicts = [Verdict::Passed, Verdict::Tolerated, Verdict::Skipped, Verdict::Failed];
        let findings = report.checks.iter().filter(|check| match check.verdict {
            Verdict::Passed | Verdict::Skipped => false,
            Verdict::Tolerated | Verdict::Failed => true,
        });
        Self {
            at_ms,
            counts: verdicts.map(|verdict| report.count(verdict)),
            findings: findings
                .map(|check| {
                    [check.verdict.as_str().to_owned(), check.title.to_owned(), check.detail.clone()]
                })
                .collect(),
            quirks: quirks_of(&report.quirks),
            left_behind: report.left_behind.clone(),
        }
    }

    fn to_json(&self) -> Value {
        json!({
            "at_ms": self.at_ms, "counts": self.counts, "findings": self.findings, "quirks": self.quirks,
            "left_behind": self.left_behind,
        })
    }

    /// Reads what was kept; none when it is of another version of this program.
    pub fn read(text: &str) -> Option<Self> {
        let mut value: Value = serde_json::from_str(text).ok()?;
        let mut take = |name: &str| value.get_mut(name).map(Value::take);
        Some(Self {
            at_ms: take("at_ms")?.as_i64()?,
            counts: serde_json::from_value(take("counts")?).ok()?,
            findings: serde_json::from_value(take("findings")?).ok()?,
            quirks: serde_json::from_value(take("quirks")?).ok()?,
            left_behind: serde_json::from_value(take("left_behind")?).ok()?,
        })
    }
}

/// Probes the upstream of a federation with what providers send, and keeps the report. It creates
/// users and groups with names of its own there, and deletes them again.
///
/// # Errors
/// Conflict for a federation without an upstream; Forbidden; NotFound.
pub async fn probe(cx: &Cx<Admin>, slug: &Slug) -> Result<Kept, Error> {
    let federation = allowed(cx, slug, Right::RunFederation, Action::UpstreamProbed).await?;
    let gate = upstream_gate(cx, &federation).await?;
    let begun = AuditEvent { ..about(cx, Action::UpstreamProbed, &federation) };
    let tag = format!("keyward{}", cx.request.id.digits().to_lowercase());
    let (port, destination) = (Arc::clone(&gate.port), Arc::clone(&gate.destination));
    // On record before anything is created over there.
    let event = AuditEvent { detail: detail(&json!({ "tag": tag })), ..begun };
    cx.keyward.commit(async move |_: &mut Conn<'_>| Ok(Change::new((), event.clone()))).await?;
    // Whoever asked may go; what was created is deleted all the same.
    let report = tokio::spawn(async move { run(port, destination, &tag).await }).await;
    let report = report.map_err(|error| Error::Internal(format!("a probe: {error}")))?;
    let kept = Kept::of(&report, cx.now_ms());
    let text = kept.to_json().to_string();
    let keep =
        async move |conn: &mut Conn<'_>| store::upstreams::set_last_probe(conn, &federation.id, &text).await;
    cx.keyward.store.committer().upkeep(keep).await?;
    Ok(kept)
}
