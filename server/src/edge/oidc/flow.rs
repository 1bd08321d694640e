//! A sign-in that is under way: what the browser's session must remember until the answer comes.

use domain::Millis;
use openidconnect::PkceCodeVerifier;
use serde::{Deserialize, Serialize};
use tower_sessions::{Session, session};

/// How long the person may take at the provider.
pub const LASTS_MS: Millis = 10 * 60_000;

/// Sign-ins begun in several tabs each have their own; the oldest gives way.
const MOST: usize = 5;

const FLOWS: &str = "sign-ins";

/// One sign-in. Its state, nonce and verifier are random and have nothing to do with each other or
/// with the id of the session.
#[derive(Serialize, Deserialize)]
pub struct Flow {
    /// Proves that the answer belongs to a question of this browser (RFC 6749 10.12).
    pub state: String,
    /// Proves that the ID token was made for it (OIDC Core 15.5.2).
    pub nonce: String,
    /// Proves that who redeems the code is who asked for it (RFC 7636).
    pub verifier: PkceCodeVerifier,
    /// The issuer that was asked.
    pub issuer: String,
    /// Where to go afterwards.
    pub next: String,
    /// When it was begun.
    pub begun_ms: Millis,
    /// Whether the provider was asked to let them prove anew who they are.
    #[serde(default)]
    pub again: bool,
}

impl Flow {
    /// Remembers this sign-in.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn begin(self, session: &Session) -> Result<(), session::Error> {
        let mut flows: Vec<Self> = session.get(FLOWS).await?.unwrap_or_default();
        let end = flows.len().saturating_sub(MOST - 1);
        flows.drain(..end);
        flows.push(self);
        session.insert(FLOWS, flows).await
    }

    /// Takes the sign-in of a state out of the session, for good, before anything is done with it:
    /// a state counts once, whatever comes of it.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn take(session: &Session, state: &str) -> Result<Option<Self>, session::Error> {
        let mut flows: Vec<Self> = session.get(FLOWS).await?.unwrap_or_default();
        let Some(index) = flows.iter().position(|flow| flow.state == state) else { return Ok(None) };
        let flow = flows.remove(index);
        session.insert(FLOWS, flows).await?;
        session.save().await?;
        Ok(Some(flow))
    }

    /// Whether the person took too long.
    pub fn is_expired(&self, now_ms: Millis) -> bool {
        !(0..LASTS_MS).contains(&(now_ms - self.begun_ms))
    }
}
