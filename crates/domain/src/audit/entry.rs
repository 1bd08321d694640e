//! A record as it stands in a database or a file: texts, of which nothing is taken for granted.
//!
//! Whoever verifies reads this and not [`AuditRecord`](super::AuditRecord): an action that this program does
//! not know, from a newer one or from a forger, has a hash all the same.

use serde::{Deserialize, Serialize};

use super::{
    AuditRecord, HashText, digest,
    merkle::{self, Hash},
};
use crate::{FederationId, KeyId, Millis};

/// A record in texts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its place.
    pub seq: i64,
    /// When it happened.
    pub at_ms: Millis,
    /// Person, key or system.
    pub actor_kind: String,
    /// Who.
    pub actor_id: String,
    /// The name at that time.
    pub actor_name: String,
    /// What happened.
    pub action: String,
    /// Whether it was done.
    pub outcome: String,
    /// Why it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The federation it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub federation_id: Option<String>,
    /// The key it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_id: Option<String>,
    /// What it was done to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Source address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The request that caused it.
    pub request_id: String,
    /// More, as text.
    pub detail: String,
    /// The hash of the record before it.
    pub prev_hash: HashText,
    /// Its own hash.
    pub hash: HashText,
}

impl Entry {
    /// The hash of what it says.
    pub fn computed(&self) -> Hash {
        self.computed_as(self.seq, &self.prev_hash)
    }

    /// The hash that it would have in another place.
    pub fn computed_as(&self, seq: i64, prev_hash: &str) -> Hash {
        let fields = [
            Some(&*self.actor_kind),
            Some(&*self.actor_id),
            Some(&*self.actor_name),
            Some(&*self.action),
            Some(&*self.outcome),
            self.reason.as_deref(),
            self.federation_id.as_deref(),
            self.key_id.as_deref(),
            self.target.as_deref(),
            self.source.as_deref(),
            Some(&*self.request_id),
            Some(&*self.detail),
        ];
        digest(seq, self.at_ms, &fields, prev_hash)
    }

    /// Its hash, when it is the hash of what it says.
    pub fn sound(&self) -> Option<Hash> {
        let hash = self.computed();
        (merkle::parse(&self.hash) == Some(hash)).then_some(hash)
    }

    /// Its leaf in the tree, when it is sound.
    pub fn leaf(&self) -> Option<Hash> {
        self.sound().map(|hash| merkle::leaf(&hash))
    }
}

impl From<&AuditRecord> for Entry {
    fn from(record: &AuditRecord) -> Self {
        let event = &record.event;
        Self {
            seq: record.seq,
            at_ms: event.at_ms,
            actor_kind: event.actor.kind.as_str().to_owned(),
            actor_id: event.actor.id.clone(),
            actor_name: event.actor.name.clone(),
            action: event.action.as_str().to_owned(),
            outcome: event.outcome.as_str().to_owned(),
            reason: event.reason.clone(),
            federation_id: event.federation_id.as_ref().map(FederationId::to_string),
            key_id: event.key_id.as_ref().map(KeyId::to_string),
            target: event.target.clone(),
            source: event.source.clone(),
            request_id: event.request_id.clone(),
            detail: event.detail.clone(),
            prev_hash: record.prev_hash.clone(),
            hash: record.hash.clone(),
        }
    }
}
