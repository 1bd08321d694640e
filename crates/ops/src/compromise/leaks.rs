//! Leak reports: a scanner found something that looks like a key of ours.
//!
//! The whole text is its own proof: who presents it holds the key already, and learns only whether it still
//! is one. Anything else changes nothing and leaves nothing, and takes the same look-up.

use std::sync::Arc;

use domain::{
    KeyId, Millis,
    audit::Action,
    cases::{CaseKind, Moment},
    findings::{Rule, Severity},
    keys::{self, KeyState, SecretKind},
    usage::clean,
};
use serde_json::json;
use store::{Change, Conn, keys::StoredKey};

use super::{Answer, Stop, stopping};
use crate::{
    Error, Keyward, RequestInfo,
    cases::{self, NewCase},
    findings::{self, NewFinding},
    rotations::Author,
    unit::detail,
    vault::parse_hash,
};

/// A text that a scanner found.
pub struct Found<'a> {
    /// The text.
    pub text: &'a str,
    /// Where, as the scanner says it.
    pub url: &'a str,
    /// In what, as the scanner says it: `commit`, `pull_request_body`.
    pub source: &'a str,
}

/// The digest that no key has.
const NO_DIGEST: [u8; 32] = [0; 32];

/// Takes a report; whether the text is a key, client secret or token that was given out here. A key that
/// opens is held at once, replaced, and a case is opened.
///
/// # Errors
/// When the database does not answer.
pub async fn leaked(keyward: &Arc<Keyward>, request: &RequestInfo, found: &Found<'_>) -> Result<bool, Error> {
    let text = found.text.trim();
    let Some(presented) = SecretKind::ALL.into_iter().find_map(|kind| keys::parse_as(kind, text).ok()) else {
        return Ok(false);
    };
    let mut reader = keyward.store.read().await?;
    let known = store::keys::with_federation(&mut reader.conn(), &presented.id).await?;
    drop(reader);
    // An unknown id costs the same as a known one.
    let digest = known.as_ref().and_then(|(stored, _)| parse_hash(&stored.hash)).unwrap_or(NO_DIGEST);
    let mut fits = keyward.vault.is_digest_of(presented.text, &digest);
    if presented.kind == SecretKind::Token {
        let of = known.as_ref().map(|(_, federation)| &federation.id);
        fits = crate::oauth::known_token(keyward, &presented, of).await?.is_some();
    }
    let Some((StoredKey { key, .. }, _)) = known.filter(|_| fits) else { return Ok(false) };
    let author = Author::visitor(request, "Leak report");
    let (place, kind) = (clean(found.url, 300), clean(found.source, 60));
    let place = if place.is_empty() { "a place that was not named".to_owned() } else { place };
    let now_ms = keyward.clock.now_ms();
    stopping(keyward, |fault| {
        let report = Report {
            author: author.clone(),
            place: place.clone(),
            kind: kind.clone(),
            source: request.source.map(|address| address.to_string()),
            agent: request.user_agent.clone(),
            fault,
            now_ms,
        };
        let (own, id) = (Arc::clone(keyward), key.id.clone());
        async move |conn: &mut Conn<'_>| report.carry_out(conn, &own, &id).await
    })
    .await?;
    Ok(true)
}

/// A report of a key that is one.
struct Report {
    author: Author,
    place: String,
    kind: String,
    source: Option<String>,
    agent: Option<String>,
    /// Why the key is not replaced.
    fault: Option<String>,
    now_ms: Millis,
}

impl Report {
    async fn carry_out(
        &self,
        conn: &mut Conn<'_>,
        keyward: &Keyward,
        id: &KeyId,
    ) -> Result<Change<()>, Error> {
        let Self { author, place, now_ms, .. } = self;
        let found = store::keys::with_federation(conn, id).await?;
        let (StoredKey { key, .. }, federation) = found.ok_or(Error::NotFound("key"))?;
        let state = key.life.state(*now_ms);
        let rule = Rule::LeakReported;
        let finding = NewFinding::new(
            keyward,
            Some(&federation.id),
            rule,
            key.id.as_str(),
            "A key is known to its provider, and to nobody else.",
            format!(
                "{} was found in {place} ({}).",
                key.name,
                if self.kind.is_empty() { "leak report" } else { &self.kind }
            ),
        )
        .of_key(&key.id)
        .from_network(self.source.clone(), self.agent.clone());
        // Whoever reports it over and over fills no log: the finding counts.
        let is_counted =
            findings::is_recorded(conn, Some(&federation.id), rule, key.id.as_str(), *now_ms).await?;
        let record = |told: &serde_json::Value| {
            let event = author.event(Action::KeyCompromised, &key, *now_ms, detail(told));
            Change::nothing(()).with_events((!is_counted).then_some(event))
        };
        let is_over = match state {
            KeyState::Retired | KeyState::Revoked | KeyState::Expired => true,
            KeyState::Unused | KeyState::InUse | KeyState::Retiring | KeyState::Held => false,
        };
        if is_over {
            // It opens nothing: good to know where it was, and nobody has to be woken.
            findings::raise(conn, &finding.severity(Severity::Medium), *now_ms).await?;
            return Ok(record(&json!({ "place": place, "state_before": state })));
        }
        let kind = if key.canary { CaseKind::Canary } else { CaseKind::Leak };
        let new = NewCase::new(keyward, &key, kind, author.name()).with(
            Moment::T2,
            *now_ms,
            format!("A scanner found it in {place}."),
        );
        // Whoever reports it again finds it stopped, and its case open.
        let open = store::cases::open_of_key(conn, &federation.id, &key.id).await?;
        if open.is_some() && (key.canary || !state.opens()) {
            let case = cases::open_in(conn, &new, *now_ms).await?;
            findings::raise(conn, &finding.in_case(&case.id), *now_ms).await?;
            return Ok(record(&json!({ "case": case.id, "place": place })));
        }
        let reason = format!("found in {place}");
        let fault = self.fault.as_deref();
        let answer = Answer { author, stop: Stop::Hold, reason: &reason, fault, now_ms: *now_ms };
        let (case, events) = answer.carry_out(conn, keyward, key.clone(), &federation, new).await?;
        findings::raise(conn, &finding.in_case(&case.id), *now_ms).await?;
        Ok(Change::nothing(()).with_events(events))
    }
}
