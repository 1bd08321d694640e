//! What the command line asks of an installation, whether a server runs or not.
//!
//! An [`Ask`] is carried out by [`carry_out`], in the process that has the database: the server,
//! which gets it through its [`socket`], or the command itself. Both call the operations that the
//! dashboard calls, as the user of the operating system. To add a verb: a variant of [`Ask`], its
//! arm in [`carry_out`], and its words in `cli`.

pub mod person;
pub mod socket;

mod lines;

use domain::{CaseId, KeyId, RotationId, admins::Admin, federations::Slug, keys::Key};
use ops::{
    Cx, Error, Kind,
    compromise::{self, Compromise, Stop},
    keys::{KeyFilter, KeyView, Rotate},
    rotations::{self, BoardFilter},
};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

pub use self::lines::{Half, KeyLine, RotationLine};

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "kebab-case")]
pub enum Ask {
    /// Keys, what needs attention first.
    Keys {
        /// Of one federation.
        federation: Option<String>,
        /// Only those that are accepted now.
        accepted_only: bool,
    },
    /// One key.
    Key {
        /// Its id or name.
        key: String,
    },
    /// Begin a rotation.
    RotateKey {
        /// Its id or name.
        key: String,
        /// How long the successor lives; as the policy says when absent.
        lifetime_days: Option<i64>,
        /// Whether the answer shall hold the secret.
        show_secret: bool,
    },
    /// Answer 503 to a key.
    HoldKey {
        /// Its id or name.
        key: String,
        /// Why.
        reason: String,
    },
    /// Accept a held key again.
    ReleaseKey {
        /// Its id or name.
        key: String,
    },
    /// End a key at once.
    RevokeKey {
        /// Its id or name.
        key: String,
        /// Why.
        reason: String,
    },
    /// A key is in wrong hands.
    CompromiseKey {
        /// Its id or name.
        key: String,
        /// What happened.
        reason: String,
        /// Whether it is revoked at once instead of held.
        revoke: bool,
    },
    /// Rotations that are under way.
    Rotations {
        /// Of one federation.
        federation: Option<String>,
    },
    /// One rotation.
    Rotation {
        /// Its id.
        rotation: String,
    },
    /// Something is done to a rotation.
    MoveRotation {
        /// Its id.
        rotation: String,
        /// What.
        step: Move,
        /// Why; empty for a release.
        reason: String,
    },
    /// Records of the audit log are about to be exported.
    ExportAudit {
        /// The first.
        from: Option<i64>,
        /// The last.
        to: Option<i64>,
    },
}

/// What a person does to a rotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Move {
    /// Stop it where it stands.
    Hold,
    /// Let it go on.
    Release,
    /// Retire the old key now.
    Finish,
    /// Withdraw the successor.
    RollBack,
}

/// A question on its way to a server.
#[derive(Debug, Serialize, Deserialize)]
pub struct Question {
    /// For whom root asks; of others the operating system says who they are.
    pub uid: Option<u32>,
    /// What is asked.
    pub ask: Ask,
}

/// What is answered.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "answer", content = "value", rename_all = "kebab-case")]
pub enum Answer {
    /// Keys.
    Keys(Vec<KeyLine>),
    /// One key.
    Key(Box<KeyLine>),
    /// A rotation has begun.
    Begun(Box<Begun>),
    /// Rotations.
    Rotations(Vec<RotationLine>),
    /// One rotation.
    Rotation(Box<RotationLine>),
    /// A case was opened.
    Case(Box<Case>),
    /// An export is on record and may be made.
    Export(ops::audit::export::Export),
}

/// A rotation that has begun.
#[derive(Debug, Serialize, Deserialize)]
pub struct Begun {
    /// The successor.
    pub successor: KeyLine,
    /// The SCIM base URL beside which it is used.
    pub base_url: String,
    /// The rotation.
    pub rotation: Option<RotationLine>,
    /// The successor's secret, when it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<ShownSecret>,
}

/// A secret on its way to whoever asked for it: wiped when dropped, and hidden in Debug.
pub struct ShownSecret(Zeroizing<String>);

impl ShownSecret {
    /// Lets the text out, to the output of the command.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for ShownSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ShownSecret")
    }
}

impl Serialize for ShownSecret {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for ShownSecret {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Zeroizing::new(text)))
    }
}

/// A case of compromise.
#[derive(Debug, Serialize, Deserialize)]
pub struct Case {
    /// Its id.
    pub case: String,
    /// The key that is in wrong hands, as it is now.
    pub key: KeyLine,
    /// Its successor.
    pub successor: Option<KeyLine>,
    /// The page of the case.
    pub page: String,
}

/// Why it was not done. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// The kind of failure, in a word.
    pub kind: String,
    /// A sentence.
    pub message: String,
}

impl Refused {
    /// A refusal in words.
    pub fn new(kind: &str, message: impl Into<String>) -> Self {
        Self { kind: kind.to_owned(), message: message.into() }
    }
}

/// The one table of failures of this edge.
impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        let kind = match error.kind() {
            Kind::Invalid => "invalid",
            Kind::Unauthenticated => "unauthenticated",
            Kind::Forbidden => "forbidden",
            Kind::NotFound => "not-found",
            Kind::Conflict => "conflict",
            Kind::Stale => "stale",
            Kind::Throttled => "throttled",
            Kind::Held => "held",
            Kind::Unavailable => "unavailable",
            Kind::Internal => {
                tracing::error!(%error, "a command failed");
                return Self::new("internal", "Keyward has a defect; its log says more");
            }
        };
        Self::new(kind, error.to_string())
    }
}

/// Does what is asked.
///
/// # Errors
/// What the operation says.
pub async fn carry_out(cx: &Cx<Admin>, ask: Ask) -> Result<Answer, Refused> {
    Ok(match ask {
        Ask::Keys { federation, accepted_only } => {
            let federation = federation.as_deref().map(slug_of).transpose()?;
            let filter = KeyFilter { federation, accepted_only, ..KeyFilter::default() };
            let views = ops::keys::list(cx, &filter).await?;
            Answer::Keys(views.iter().map(KeyLine::of).collect())
        }
        Ask::Key { key } => key_now(cx, &find(cx, &key).await?.key.id).await?,
        Ask::RotateKey { key, lifetime_days, show_secret } => {
            let key = find(cx, &key).await?.key;
            begin(cx, &key, lifetime_days, show_secret).await?
        }
        Ask::HoldKey { key, reason } => {
            let key = ops::keys::hold(cx, &find(cx, &key).await?.key.id, &reason).await?;
            key_now(cx, &key.id).await?
        }
        Ask::ReleaseKey { key } => {
            let key = ops::keys::release(cx, &find(cx, &key).await?.key.id).await?;
            key_now(cx, &key.id).await?
        }
        Ask::RevokeKey { key, reason } => {
            let key = ops::keys::revoke(cx, &find(cx, &key).await?.key.id, &reason).await?;
            key_now(cx, &key.id).await?
        }
        Ask::CompromiseKey { key, reason, revoke } => {
            let stop = if revoke { Stop::Revoke } else { Stop::Hold };
            let key = find(cx, &key).await?.key;
            let case = compromise::report(cx, &key.id, Compromise { stop, reason, leaked_ms: None }).await?;
            answered(cx, &case.id, &key.id).await?
        }
        Ask::Rotations { federation } => {
            let federation = federation.as_deref().map(slug_of).transpose()?;
            let board = rotations::board(cx, &BoardFilter { federation }).await?;
            Answer::Rotations(board.open.iter().map(RotationLine::of).collect())
        }
        Ask::Rotation { rotation } => rotation_now(cx, &rotation_of(&rotation)?).await?,
        Ask::MoveRotation { rotation, step, reason } => {
            let id = rotation_of(&rotation)?;
            match step {
                Move::Hold => rotations::hold(cx, &id, &reason).await?,
                Move::Release => rotations::release(cx, &id).await?,
                Move::Finish => rotations::finish(cx, &id, &reason).await?,
                Move::RollBack => rotations::roll_back(cx, &id, &reason).await?,
            };
            rotation_now(cx, &id).await?
        }
        Ask::ExportAudit { from, to } => Answer::Export(ops::audit::export::begin(cx, from, to).await?),
    })
}

async fn begin(
    cx: &Cx<Admin>,
    key: &Key,
    lifetime_days: Option<i64>,
    show_secret: bool,
) -> Result<Answer, Error> {
    let rotate = Rotate { lifetime_days, deliver: !show_secret, ..Rotate::default() };
    let issued = ops::keys::rotate(cx, &key.id, rotate).await?;
    let successor = KeyLine::of(&ops::keys::open(cx, &issued.key.id).await?);
    let rotation = rotations::of_key(cx, &issued.key.id).await?;
    Ok(Answer::Begun(Box::new(Begun {
        successor,
        base_url: issued.base_url,
        rotation: rotation.as_ref().map(RotationLine::of),
        secret: issued.secret.map(|secret| ShownSecret(Zeroizing::new(secret.expose().to_owned()))),
    })))
}

async fn answered(cx: &Cx<Admin>, case: &CaseId, key: &KeyId) -> Result<Answer, Error> {
    let view = ops::keys::open(cx, key).await?;
    let successor = match &view.key.successor_id {
        Some(id) => Some(KeyLine::of(&ops::keys::open(cx, id).await?)),
        None => None,
    };
    let page = format!("{}/cases/{case}", cx.keyward().settings().public_url);
    Ok(Answer::Case(Box::new(Case { case: case.to_string(), key: KeyLine::of(&view), successor, page })))
}

async fn rotation_now(cx: &Cx<Admin>, id: &RotationId) -> Result<Answer, Error> {
    let view = rotations::open(cx, id).await?;
    Ok(Answer::Rotation(Box::new(RotationLine::of(&view))))
}

fn rotation_of(text: &str) -> Result<RotationId, Error> {
    RotationId::parse(text.trim()).ok_or(Error::NotFound("rotation"))
}

async fn key_now(cx: &Cx<Admin>, id: &KeyId) -> Result<Answer, Error> {
    let view = ops::keys::open(cx, id).await?;
    Ok(Answer::Key(Box::new(KeyLine::of(&view))))
}

fn slug_of(text: &str) -> Result<Slug, Error> {
    Slug::parse(text).map_err(|_| Error::NotFound("federation"))
}

/// The key that is meant: by its id, else by its name. Names are unique among the live keys of a
/// federation, so an accepted key is preferred to those that have ended.
async fn find(cx: &Cx<Admin>, text: &str) -> Result<KeyView, Error> {
    if let Some(id) = KeyId::parse(text.trim()) {
        return ops::keys::open(cx, &id).await;
    }
    let mut named = ops::keys::list(cx, &KeyFilter::default()).await?;
    named.retain(|view| view.key.name == text);
    if named.iter().any(|view| view.state.is_accepted()) {
        named.retain(|view| view.state.is_accepted());
    }
    match <[KeyView; 1]>::try_from(named) {
        Ok([view]) => Ok(view),
        Err(named) if named.is_empty() => Err(Error::NotFound("key")),
        Err(named) => {
            let ids: Vec<String> =
                named.iter().map(|view| format!("{} of {}", view.key.id, view.federation.slug)).collect();
            Err(Error::Conflict(format!("{text} names several keys: {}", ids.join(", "))))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_reaches_whoever_asked_and_no_log() {
        let text = "kwd_a_secret_that_nobody_logs";
        let told = serde_json::json!({ "a": text })["a"].to_string();
        let shown: ShownSecret = serde_json::from_str(&told).unwrap();
        assert_eq!((shown.expose(), serde_json::to_string(&shown).unwrap()), (text, told));
        assert!(!format!("{:?}", Some(shown)).contains("kwd_"));
    }
}
