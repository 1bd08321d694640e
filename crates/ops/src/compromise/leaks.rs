//! Leak reports: a scanner found something that looks like a key of ours.
//!
//! The whole text is its own proof: who presents it holds the key already, and learns only whether it still
//! is one. Anything else changes nothing and leaves nothing, and takes the same look-up.

use std::sync::Arc;

use domain::{
    cases::{CaseKind, Moment},
    findings::{Rule, Severity},
    keys::{self, KeyState, SecretKind},
    usage::clean,
};
use store::{Change, Conn, keys::StoredKey};

use super::{Answer, Stop};
use crate::{
    Error, Keyward, RequestInfo,
    cases::{self, NewCase},
    findings::{self, NewFinding},
    rotations::Author,
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
    let Some((StoredKey { key, .. }, federation)) = known.filter(|_| fits) else { return Ok(false) };
    let author = Author::visitor(request, "Leak report");
    let (place, kind) = (clean(found.url, 300), clean(found.source, 60));
    let place = if place.is_empty() { "a place that was not named".to_owned() } else { place };
    let (own, now_ms) = (Arc::clone(keyward), keyward.clock.now_ms());
    let source = request.source.map(|address| address.to_string());
    let agent = request.user_agent.clone();
    keyward
        .commit(async move |conn: &mut Conn<'_>| {
            let state = key.life.state(now_ms);
            let came = format!(
                "{} was found in {place} ({}).",
                key.name,
                if kind.is_empty() { "leak report" } else { &kind }
            );
            let mut finding = NewFinding::new(
                &own,
                Some(&federation.id),
                Rule::LeakReported,
                key.id.as_str(),
                "A key is known to its provider, and to nobody else.",
                came,
            )
            .of_key(&key.id)
            .from_network(source.clone(), agent.clone());
            let is_over = match state {
                KeyState::Retired | KeyState::Revoked | KeyState::Expired => true,
                KeyState::Unused | KeyState::InUse | KeyState::Retiring | KeyState::Held => false,
            };
            if is_over {
                // It opens nothing: good to know where it was, and nobody has to be woken.
                finding = finding.severity(Severity::Medium);
                findings::raise(conn, &finding, now_ms).await?;
                let told = crate::unit::detail(&serde_json::json!({ "place": place, "state_before": state }));
                let event = author.event(domain::audit::Action::KeyCompromised, &key, now_ms, told);
                return Ok(Change::new((), event));
            }
            let kind = if key.canary { CaseKind::Canary } else { CaseKind::Leak };
            let new = NewCase::new(&own, &key, kind, author.name()).with(
                Moment::T2,
                now_ms,
                format!("A scanner found it in {place}."),
            );
            let reason = format!("found in {place}");
            let answer = Answer { author: &author, stop: Stop::Hold, reason: &reason, now_ms };
            // Whoever reports it again finds it held, and its case open.
            let open = store::cases::open_of_key(conn, &federation.id, &key.id).await?;
            let (case, events) = match open {
                Some(_) if !state.opens() => {
                    let case = cases::open_in(conn, &new, now_ms).await?;
                    let told = crate::unit::detail(&serde_json::json!({ "case": case.id, "place": place }));
                    (case, vec![author.event(domain::audit::Action::KeyCompromised, &key, now_ms, told)])
                }
                Some(_) | None => answer.carry_out(conn, &own, key.clone(), &federation, new).await?,
            };
            findings::raise(conn, &finding.in_case(&case.id), now_ms).await?;
            Ok(Change::nothing(()).with_events(events))
        })
        .await?;
    Ok(true)
}
