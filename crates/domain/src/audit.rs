//! The audit log: records in a chain of hashes, and the walk that proves it whole.
//!
//! The hash of a record covers the hash of the one before it and every field, each with its
//! length, so that no two different records have the same bytes. Changing, removing, inserting or
//! reordering a record breaks the chain at the first record that is not as it was written.
//! Cutting the end off is found by comparing with the head that is kept beside the log.
//!
//! Over the hashes of the records stands a tree ([`merkle`]). Its roots are signed as [`checkpoint`]s and kept
//! outside; [`verify`] compares a log with them, [`bundle`] is a log in a file, [`proof`] is one record of it.
//!
//! To add an action, add a variant to [`Action`] and its word.

pub mod bundle;
pub mod checkpoint;
pub mod entry;
pub mod merkle;
pub mod note;
pub mod proof;
pub mod verify;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{FederationId, KeyId, Millis, hex};

/// 64 hexadecimal digits of SHA-256.
pub type HashText = String;

/// The hash before the first record.
pub const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

macro_rules! actions {
    ($($(#[$doc:meta])* $variant:ident = $word:literal, $label:literal;)*) => {
        /// What happened.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum Action {
            $($(#[$doc])* #[serde(rename = $word)] $variant,)*
        }

        impl Action {
            /// Every action, in the order of the documentation.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The word in API and database: noun and past participle.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            /// What people read, to follow the name of who did it: `issued key`.
            pub const fn label(self) -> &'static str {
                match self { $(Self::$variant => $label,)* }
            }
        }
    };
}

actions! {
    /// The database was prepared and bound to its master key.
    InstallationCreated = "installation.created", "prepared this installation";
    /// A node started.
    NodeStarted = "node.started", "started";
    /// A person signed in.
    AdminSignedIn = "admin.signed-in", "signed in";
    /// A sign-in was refused.
    AdminSignInRefused = "admin.sign-in-refused", "was refused at sign-in";
    /// A person signed out.
    AdminSignedOut = "admin.signed-out", "signed out";
    /// A federation was registered.
    FederationRegistered = "federation.registered", "registered federation";
    /// A federation's name, owners, policy or notes were changed.
    FederationEdited = "federation.edited", "edited federation";
    /// A federation was paused.
    FederationPaused = "federation.paused", "paused federation";
    /// A federation was resumed.
    FederationResumed = "federation.resumed", "resumed federation";
    /// A federation was archived.
    FederationArchived = "federation.archived", "archived federation";
    /// Where a federation keeps its users and groups was set: here, or at an upstream.
    FederationTargetSet = "federation.target-set", "set the target of federation";
    /// The connection to an upstream was tested.
    UpstreamTested = "upstream.tested", "tested the upstream of";
    /// An upstream was probed with what providers send.
    UpstreamProbed = "upstream.probed", "probed the upstream of";
    /// A change is about to be asked of an upstream; the record of its outcome follows.
    UpstreamAsked = "upstream.asked", "asked the upstream to change";
    /// A call whose outcome was unknown was looked into.
    UpstreamReconciled = "upstream.reconciled", "found out what became of";
    /// An upstream did not accept the credential that Keyward presents.
    UpstreamRefusedUs = "upstream.refused-us", "was refused by the upstream of";
    /// An account that is at the upstream already waits for an admin to give it to the federation.
    AdoptionAsked = "adoption.asked", "asked to adopt";
    /// An admin gave an account at the upstream to the federation.
    AdoptionApproved = "adoption.approved", "approved the adoption of";
    /// A schema of a federation was registered, or replaced.
    ExtensionRegistered = "extension.registered", "registered schema";
    /// A schema of a federation was removed.
    ExtensionRemoved = "extension.removed", "removed schema";
    /// A target for deliveries was added or changed.
    DeliveryTargetSet = "delivery-target.set", "set delivery target";
    /// The targets of a federation were put into another order.
    DeliveryTargetMoved = "delivery-target.moved", "moved delivery target";
    /// A target for deliveries was removed.
    DeliveryTargetRemoved = "delivery-target.removed", "removed delivery target";
    /// A target for deliveries was tested: nothing was written there.
    DeliveryTargetTested = "delivery-target.tested", "tested delivery target";
    /// A target is about to be given a key, or told something; the record of the outcome follows.
    DeliveryAsked = "delivery.asked", "began a delivery to";
    /// A target has a key.
    DeliveryMade = "delivery.made", "delivered a key to";
    /// A target did not take a key.
    DeliveryFailed = "delivery.failed", "could not deliver a key to";
    /// A target was told that its key is the one in use.
    DeliveryPromoted = "delivery.promoted", "made a key current at";
    /// A key was issued.
    KeyIssued = "key.issued", "issued key";
    /// A successor was issued for a key.
    KeyRotated = "key.rotated", "rotated key";
    /// A key was revoked.
    KeyRevoked = "key.revoked", "revoked key";
    /// A key was retired: its successor has taken over.
    KeyRetired = "key.retired", "retired key";
    /// A key was held: its requests are answered with "come back later".
    KeyHeld = "key.held", "held key";
    /// A key was given a narrower scope, at once.
    KeyNarrowed = "key.narrowed", "narrowed the scope of key";
    /// A narrower scope was set for the successor of a key.
    KeyNextScopeSet = "key.next-scope-set", "set the scope of the successor of key";
    /// A held key was released.
    KeyReleased = "key.released", "released key";
    /// A rotation was begun by Keyward itself, or in answer to a compromise.
    RotationBegun = "rotation.begun", "began to rotate key";
    /// Something was seen of the keys of a rotation, and it moved on.
    RotationMoved = "rotation.moved", "moved on the rotation of key";
    /// A rotation was held.
    RotationHeld = "rotation.held", "held the rotation of key";
    /// A held rotation was released.
    RotationReleased = "rotation.released", "released the rotation of key";
    /// The successor of a key was withdrawn.
    RotationRolledBack = "rotation.rolled-back", "rolled back the rotation of key";
    /// A person or a second source agreed that the time is right after the clock had jumped.
    ClockAgreed = "clock.agreed", "agreed that the time is right";
    /// Nobody had watched, or the time had jumped: the silence of old keys counts from then on.
    RotationUnwatched = "rotation.unwatched", "counts the silence of old keys anew";
    /// The rotation policy of a federation or of the installation was changed.
    PolicySet = "policy.set", "set the rotation policy of";
    /// An exception from a rotation policy was made.
    ExceptionMade = "exception.made", "made an exception for";
    /// An exception was ended before its time.
    ExceptionEnded = "exception.ended", "ended the exception for";
    /// The public keys of an OAuth client, or where they are found, were changed.
    KeyClientChanged = "key.client-changed", "changed how key proves itself:";
    /// A key was presented and not accepted.
    KeyRefused = "key.refused", "was refused";
    /// A key was said to be in wrong hands.
    KeyCompromised = "key.compromised", "reported the compromise of key";
    /// The brakes and rules of a federation were set.
    BehaviourSet = "behaviour.set", "set what is expected of";
    /// A finding was raised.
    FindingRaised = "finding.raised", "raised a finding:";
    /// A finding was closed.
    FindingClosed = "finding.closed", "closed finding";
    /// A brake held an operation: nothing of it was done.
    OperationHeld = "operation.held", "held";
    /// Held operations of a case were approved: each passes once.
    HeldApproved = "held.approved", "approved held operations of";
    /// Held operations of a case were rejected.
    HeldRejected = "held.rejected", "rejected held operations of";
    /// Held operations were rejected because nobody decided.
    HeldExpired = "held.expired", "let held operations expire of";
    /// Planned work was written down; it raises nothing before somebody else agrees.
    WindowPlanned = "window.planned", "planned a maintenance window of";
    /// A second person agreed to planned work.
    WindowAgreed = "window.agreed", "agreed to a maintenance window of";
    /// Planned work was ended before its time.
    WindowEnded = "window.ended", "ended a maintenance window of";
    /// A user or group was marked as protected, privileged or a canary.
    ResourceMarked = "resource.marked", "marked";
    /// A mark was taken away.
    ResourceUnmarked = "resource.unmarked", "took the mark from";
    /// A mail domain or shape of externalId was allowed.
    IdentityAllowed = "identity.allowed", "allowed";
    /// Something was noted in a case.
    CaseNoted = "case.noted", "added a note to case";
    /// What the key of a case did is known.
    BlastKnown = "blast.known", "established the blast radius of";
    /// A plan that takes changes back was confirmed.
    UndoBegun = "undo.begun", "began to take back";
    /// A part of such a plan was carried out.
    UndoApplied = "undo.applied", "took back changes of";
    /// A case was closed.
    CaseClosed = "case.closed", "closed case";
    /// A link was made by which one person takes over a key.
    HandOffMade = "hand-off.made", "made a hand-over link for";
    /// A link was opened, and the key shown to its person.
    HandOffOpened = "hand-off.opened", "took over key";
    /// A channel on which people are told was added, or changed.
    ChannelSet = "channel.set", "set channel";
    /// A channel was removed.
    ChannelRemoved = "channel.removed", "removed channel";
    /// A channel was tested.
    ChannelTested = "channel.tested", "tested channel";
    /// An OAuth client was given an access token.
    TokenIssued = "token.issued", "was given a token";
    /// An OAuth client asked for an access token and got none.
    TokenRefused = "token.refused", "was refused a token";
    /// Users were asked for, and the scope denied it.
    UserRead = "user.read", "read users";
    /// A user was created.
    UserCreated = "user.created", "created user";
    /// A user was replaced or patched.
    UserUpdated = "user.updated", "updated user";
    /// A user was deleted.
    UserDeleted = "user.deleted", "deleted user";
    /// Groups were asked for, and the scope denied it.
    GroupRead = "group.read", "read groups";
    /// A group was created.
    GroupCreated = "group.created", "created group";
    /// A group was replaced or patched.
    GroupUpdated = "group.updated", "updated group";
    /// A group was deleted.
    GroupDeleted = "group.deleted", "deleted group";
    /// A stretch of usage records was sealed: its digest is in the detail.
    UsageSealed = "usage.sealed", "sealed usage records:";
    /// Sealed usage records were older than is kept, and were removed.
    UsageForgotten = "usage.forgotten", "removed old usage records:";
    /// Usage was searched for what was done with one resource.
    UsageSearched = "usage.searched", "searched the usage of";
    /// Usage records, audit records or findings are about to be exported.
    RecordsExported = "records.exported", "exported";
    /// Findings of a rule were muted.
    FindingMuted = "finding.muted", "muted findings:";
    /// A mute was ended before its time.
    FindingUnmuted = "finding.unmuted", "ended the mute of";
    /// Records of this log are about to be exported.
    AuditExported = "audit.exported", "exported audit records";
    /// Somebody signed the state of a period; the digest of what they signed is in the detail.
    AttestationSigned = "attestation.signed", "signed the attestation";
}

impl Action {
    /// Reads the word of [`Action::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|action| action.as_str() == text)
    }
}

/// Who did it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActorRef {
    /// Person, key or system.
    pub kind: ActorKind,
    /// A person's `issuer subject`, a key's id, a node's or timer's name.
    pub id: String,
    /// The name at that time, for people to read.
    pub name: String,
}

/// The kinds of actor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ActorKind {
    /// A signed-in person.
    Admin,
    /// Somebody at sign-in, not (yet) let in.
    Visitor,
    /// An identity provider, through its key.
    Key,
    /// Keyward itself.
    System,
}

impl ActorKind {
    /// The word in API and database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Visitor => "visitor",
            Self::Key => "key",
            Self::System => "system",
        }
    }

    /// Reads the word of [`ActorKind::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Admin, Self::Visitor, Self::Key, Self::System].into_iter().find(|k| k.as_str() == text)
    }
}

/// Whether what was wanted was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It was done, in the same commit as this record.
    Done,
    /// It was refused, and nothing was changed.
    Refused,
}

impl Outcome {
    /// The word in API and database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
        }
    }

    /// Reads the word of [`Outcome::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Done, Self::Refused].into_iter().find(|o| o.as_str() == text)
    }
}

/// An event that waits for its place in the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEvent {
    /// When it happened.
    pub at_ms: Millis,
    /// Who did it.
    pub actor: ActorRef,
    /// What happened.
    pub action: Action,
    /// Whether it was done.
    pub outcome: Outcome,
    /// Why it was refused.
    pub reason: Option<String>,
    /// The federation it belongs to.
    pub federation_id: Option<FederationId>,
    /// The key it is about, or through which it was done.
    pub key_id: Option<KeyId>,
    /// The name of what it was done to, for people to read.
    pub target: Option<String>,
    /// Source address.
    pub source: Option<String>,
    /// The request that caused it.
    pub request_id: String,
    /// More, as a JSON object: what changed, with values that are not secret.
    pub detail: String,
}

/// A record in the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRecord {
    /// Its place: 1, 2, 3 … without a gap.
    pub seq: i64,
    /// What it says.
    pub event: AuditEvent,
    /// The hash of the record before it.
    pub prev_hash: HashText,
    /// Its own hash.
    pub hash: HashText,
}

/// The end of the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainHead {
    /// The place of the last record, 0 when there is none.
    pub seq: i64,
    /// The hash of the last record, [`GENESIS`] when there is none.
    pub hash: HashText,
}

impl Default for ChainHead {
    fn default() -> Self {
        Self { seq: 0, hash: GENESIS.to_owned() }
    }
}

impl ChainHead {
    /// Gives an event its place after this head, and moves the head to it.
    pub fn append(&mut self, event: AuditEvent) -> AuditRecord {
        let seq = self.seq + 1;
        let hash = hash_of(seq, &event, &self.hash);
        let prev_hash = std::mem::replace(&mut self.hash, hash.clone());
        self.seq = seq;
        AuditRecord { seq, event, prev_hash, hash }
    }
}

/// What is wrong with a chain, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainFault {
    /// A record is missing, or one stands where another belongs.
    #[error("record {expected} is missing: the next record found is {found}")]
    Gap {
        /// The place that should have come next.
        expected: i64,
        /// The place that came.
        found: i64,
    },
    /// A record does not continue the one before it.
    #[error("record {seq} does not continue record {}: the link between them was broken", seq - 1)]
    Link {
        /// The record whose link does not fit.
        seq: i64,
    },
    /// A record is not as it was written.
    #[error("record {seq} is not as it was written: its content does not fit its hash")]
    Content {
        /// The record that was changed.
        seq: i64,
    },
    /// The log ends before the head that is kept beside it, or goes on after it.
    #[error("the log ends at record {found}, the head says {expected}")]
    End {
        /// The place that the head names.
        expected: i64,
        /// The last record found.
        found: i64,
    },
    /// The last record is not the one that the head names.
    #[error("record {seq} is the last, and is not the one that the head names")]
    Head {
        /// The last record.
        seq: i64,
    },
}

/// Walks a chain from its first record to its head.
#[derive(Debug, Default)]
pub struct ChainWalk {
    head: ChainHead,
}

impl ChainWalk {
    /// Checks the next record.
    ///
    /// # Errors
    /// The first [`ChainFault`].
    pub fn step(&mut self, record: &AuditRecord) -> Result<(), ChainFault> {
        let expected = self.head.seq + 1;
        if record.seq != expected {
            return Err(ChainFault::Gap { expected, found: record.seq });
        }
        if record.prev_hash != self.head.hash {
            return Err(ChainFault::Link { seq: record.seq });
        }
        if hash_of(record.seq, &record.event, &record.prev_hash) != record.hash {
            return Err(ChainFault::Content { seq: record.seq });
        }
        self.head = ChainHead { seq: record.seq, hash: record.hash.clone() };
        Ok(())
    }

    /// Checks that the walk has ended at the head; returns it.
    ///
    /// # Errors
    /// [`ChainFault::End`] or [`ChainFault::Head`].
    pub fn finish(self, head: &ChainHead) -> Result<ChainHead, ChainFault> {
        if self.head.seq != head.seq {
            return Err(ChainFault::End { expected: head.seq, found: self.head.seq });
        }
        if self.head.hash != head.hash {
            return Err(ChainFault::Head { seq: self.head.seq });
        }
        Ok(self.head)
    }
}

fn hash_of(seq: i64, event: &AuditEvent, prev_hash: &str) -> HashText {
    let fields = [
        Some(event.actor.kind.as_str()),
        Some(&*event.actor.id),
        Some(&*event.actor.name),
        Some(event.action.as_str()),
        Some(event.outcome.as_str()),
        event.reason.as_deref(),
        event.federation_id.as_ref().map(FederationId::as_str),
        event.key_id.as_ref().map(KeyId::as_str),
        event.target.as_deref(),
        event.source.as_deref(),
        Some(&*event.request_id),
        Some(&*event.detail),
    ];
    hex(&digest(seq, event.at_ms, &fields, prev_hash))
}

/// The hash of a record: SHA-256 over the name of the format, the hash before, place, time and fields, each
/// behind its length.
fn digest(seq: i64, at_ms: Millis, fields: &[Option<&str>; 12], prev_hash: &str) -> merkle::Hash {
    let mut hasher = Sha256::new();
    let mut field = |text: Option<&str>| {
        // A missing field and an empty one are different.
        let length = text.map_or(u64::MAX, |text| text.len() as u64);
        hasher.update(length.to_be_bytes());
        hasher.update(text.unwrap_or_default());
    };
    field(Some("keyward-audit-v1"));
    field(Some(prev_hash));
    field(Some(&seq.to_string()));
    field(Some(&at_ms.to_string()));
    fields.iter().copied().for_each(field);
    hasher.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(number: i64) -> AuditEvent {
        AuditEvent {
            at_ms: 1_700_000_000_000 + number,
            actor: ActorRef { kind: ActorKind::System, id: "node".to_owned(), name: "Keyward".to_owned() },
            action: Action::NodeStarted,
            outcome: Outcome::Done,
            reason: None,
            federation_id: None,
            key_id: None,
            target: Some(format!("target {number}")),
            source: None,
            request_id: String::new(),
            detail: "{}".to_owned(),
        }
    }

    fn chain(length: i64) -> (Vec<AuditRecord>, ChainHead) {
        let mut head = ChainHead::default();
        let records = (1..=length).map(|number| head.append(event(number))).collect();
        (records, head)
    }

    fn walk(records: &[AuditRecord], head: &ChainHead) -> Result<ChainHead, ChainFault> {
        let mut walk = ChainWalk::default();
        for record in records {
            walk.step(record)?;
        }
        walk.finish(head)
    }

    #[test]
    fn a_whole_chain_verifies() {
        let (records, head) = chain(20);
        assert_eq!(walk(&records, &head), Ok(head));
        assert_eq!(walk(&[], &ChainHead::default()), Ok(ChainHead::default()));
    }

    #[test]
    fn every_kind_of_tampering_is_named_with_its_place() {
        type Tamper = fn(&mut Vec<AuditRecord>);
        let cases: [(Tamper, ChainFault); 10] = [
            (|r| r[6].event.target = None, ChainFault::Content { seq: 7 }),
            (|r| r[6].event.detail = "{\"a\":1}".to_owned(), ChainFault::Content { seq: 7 }),
            (|r| r[6].event.at_ms += 1, ChainFault::Content { seq: 7 }),
            (|r| r[6].event.outcome = Outcome::Refused, ChainFault::Content { seq: 7 }),
            (|r| r[6].event.actor.name = "somebody".to_owned(), ChainFault::Content { seq: 7 }),
            (|r| drop(r.remove(6)), ChainFault::Gap { expected: 7, found: 8 }),
            (|r| drop(r.remove(0)), ChainFault::Gap { expected: 1, found: 2 }),
            (|r| r.swap(6, 7), ChainFault::Gap { expected: 7, found: 8 }),
            (|r| r.truncate(15), ChainFault::End { expected: 20, found: 15 }),
            (
                |r| {
                    r[6].event.target = None;
                    r[6].hash = hash_of(7, &r[6].event, &r[6].prev_hash);
                },
                ChainFault::Link { seq: 8 },
            ),
        ];
        for (tamper, expect) in cases {
            let (mut records, head) = chain(20);
            tamper(&mut records);
            assert_eq!(walk(&records, &head), Err(expect));
        }
    }

    #[test]
    fn a_chain_recomputed_to_its_end_does_not_fit_the_head() {
        let (records, head) = chain(20);
        let mut forged_head = ChainHead::default();
        let forged: Vec<AuditRecord> = records
            .into_iter()
            .map(|record| {
                let mut event = record.event;
                if record.seq == 3 {
                    event.target = None;
                }
                forged_head.append(event)
            })
            .collect();
        assert_eq!(walk(&forged, &head), Err(ChainFault::Head { seq: 20 }));
    }

    #[test]
    fn a_missing_field_and_an_empty_one_differ() {
        let absent = event(1);
        let empty = AuditEvent { reason: Some(String::new()), ..absent.clone() };
        assert_ne!(hash_of(1, &absent, GENESIS), hash_of(1, &empty, GENESIS));
    }

    #[test]
    fn every_action_reads_back() {
        for action in Action::ALL {
            assert_eq!(Action::parse(action.as_str()), Some(*action));
        }
    }
}
