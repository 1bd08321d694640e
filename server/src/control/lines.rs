//! Keys and rotations as the command line shows them: the same names in `--json` and on screen.

use domain::{
    Millis,
    keys::{Key, KeyState},
};
use ops::{keys::KeyView, rotations::RotationView};
use serde::{Deserialize, Serialize};

/// A key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyLine {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The slug of its federation.
    pub federation: String,
    /// The last characters of its secret.
    pub last_four: String,
    /// Its state, in the words of the dashboard.
    pub state: String,
    /// Whether it opens anything now.
    pub accepted: bool,
    /// How its holder proves itself.
    pub proof: String,
    /// What it may do, in words.
    pub may: Vec<String>,
    /// When it was issued.
    pub issued_at: String,
    /// Who issued it.
    pub issued_by: String,
    /// When it ends; none while an overlap is open, which has no end of its own.
    pub ends_at: Option<String>,
    /// When it was last used, by a test or by work.
    pub last_used_at: Option<String>,
    /// When it last did real work.
    pub last_work_at: Option<String>,
    /// Why it is held, when it is.
    pub held: Option<String>,
    /// The key that it replaces.
    pub predecessor: Option<String>,
    /// The key that replaces it.
    pub successor: Option<String>,
}

impl KeyLine {
    /// A key as it is shown.
    pub fn of(view: &KeyView) -> Self {
        let key = &view.key;
        Self {
            id: key.id.to_string(),
            name: key.name.clone(),
            federation: view.federation.slug.to_string(),
            last_four: key.last_four.clone(),
            state: view.state.label().to_owned(),
            accepted: view.state.opens(),
            proof: key.proof.as_str().to_owned(),
            may: key.scope.in_words(),
            issued_at: at(key.life.issued_ms),
            issued_by: key.issued_by.clone(),
            ends_at: ends(view),
            last_used_at: key.life.last_used_ms.map(at),
            last_work_at: key.life.last_work_ms.map(at),
            held: held(view),
            predecessor: key.predecessor_id.as_ref().map(ToString::to_string),
            successor: key.successor_id.as_ref().map(ToString::to_string),
        }
    }
}

/// One of the two keys of a rotation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Half {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The last characters of its secret.
    pub last_four: String,
    /// When it was last used.
    pub last_used_at: Option<String>,
}

/// A rotation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RotationLine {
    /// Its id.
    pub id: String,
    /// The slug of its federation.
    pub federation: String,
    /// How far it has come.
    pub step: String,
    /// `open`, `stalled`, `held` or `ended`.
    pub condition: String,
    /// Why it was begun.
    pub cause: String,
    /// The key that is replaced.
    pub old: Half,
    /// Its successor.
    pub new: Half,
    /// How it stands, in a sentence.
    pub verdict: String,
    /// Why a person held, finished or rolled it back.
    pub reason: Option<String>,
    /// Who began it.
    pub begun_by: String,
    /// When it was begun.
    pub begun_at: String,
    /// Since when it is at its step.
    pub since: String,
    /// When something happens by itself.
    pub next_at: Option<String>,
}

impl RotationLine {
    /// A rotation as it is shown.
    pub fn of(view: &RotationView) -> Self {
        let rotation = &view.rotation;
        let (step, condition) = rotation.stage.words();
        let half = |key: &Key| Half {
            id: key.id.to_string(),
            name: key.name.clone(),
            last_four: key.last_four.clone(),
            last_used_at: key.life.last_used_ms.map(at),
        };
        Self {
            id: rotation.id.to_string(),
            federation: view.federation.slug.to_string(),
            step: step.to_owned(),
            condition: condition.to_owned(),
            cause: rotation.cause.as_str().to_owned(),
            old: half(&view.old),
            new: half(&view.new),
            verdict: view.verdict.sentence().to_owned(),
            reason: Some(rotation.note.clone()).filter(|note| !note.is_empty()),
            begun_by: rotation.begun_by.clone(),
            begun_at: at(rotation.begun_ms),
            since: at(rotation.since_ms),
            next_at: view.next_ms.map(at),
        }
    }
}

/// A moment, as RFC 3339 writes it, to the second.
pub fn at(ms: Millis) -> String {
    ops::rfc3339(ms)
}

fn ends(view: &KeyView) -> Option<String> {
    let ends_ms = view.key.life.ends_ms();
    (ends_ms != Millis::MAX).then(|| at(ends_ms))
}

fn held(view: &KeyView) -> Option<String> {
    let key = &view.key;
    let since = key.life.held_ms.filter(|_| view.state == KeyState::Held)?;
    let by = key.held_by.as_deref().unwrap_or("somebody");
    Some(format!("since {} by {by}: {}", at(since), key.held_reason.as_deref().unwrap_or_default()))
}
