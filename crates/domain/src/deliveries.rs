//! Deliveries: bringing the secret of a successor to the consumer that will use it.
//!
//! A federation has targets, in an order: the first that takes the secret gets it. Each is behind one
//! [`Connector`]; what it needs to know is in [`settings`], what became of each step in [`report`].
//!
//! A new connector is a variant of [`Connector`], its struct in [`settings`], its row in
//! [`Connector::fields`] and its arm of [`Settings::read`], and its file in `server/src/out/deliver/`.

pub mod fields;
mod form;
mod pins;
pub mod receiver;
pub mod report;
pub mod settings;

use serde::{Deserialize, Serialize};

pub use pins::Pins;
pub use report::{DeliveryStep, FailureKind, Holds, Report, StepOutcome, StepReport};
pub use settings::{Connection, Settings, Trust};

use crate::{DeliveryId, FederationId, HOUR_MS, KeyId, Millis, RotationId, TargetId};

/// The most targets of a federation.
pub const TARGETS_LIMIT: usize = 8;

/// How a secret reaches its consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Connector {
    /// A signed request to an address of the consumer (Standard Webhooks).
    Webhook,
    /// A secret of HashiCorp Vault or OpenBao, engine KV version 2.
    Vault,
    /// A secret of AWS Secrets Manager.
    AwsSecretsManager,
    /// One key of a Secret of Kubernetes.
    Kubernetes,
    /// The provisioning job of an application in Microsoft Entra ID, through Microsoft Graph.
    EntraGraph,
    /// The provisioning connection of an application in Okta.
    OktaConnection,
}

impl Connector {
    /// Every connector, in the order in which they are offered.
    pub const ALL: [Self; 6] = [
        Self::EntraGraph,
        Self::OktaConnection,
        Self::Vault,
        Self::AwsSecretsManager,
        Self::Kubernetes,
        Self::Webhook,
    ];

    /// The word in forms, API and database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Vault => "vault",
            Self::AwsSecretsManager => "aws-secrets-manager",
            Self::Kubernetes => "kubernetes",
            Self::EntraGraph => "entra-graph",
            Self::OktaConnection => "okta-connection",
        }
    }

    /// Reads the word of [`Connector::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|connector| connector.as_str() == text)
    }

    /// The name that people read.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Webhook => "Signed webhook",
            Self::Vault => "Vault or OpenBao",
            Self::AwsSecretsManager => "AWS Secrets Manager",
            Self::Kubernetes => "Kubernetes Secret",
            Self::EntraGraph => "Microsoft Entra ID",
            Self::OktaConnection => "Okta app connection",
        }
    }

    /// What it is for, in a sentence.
    pub const fn summary(self) -> &'static str {
        match self {
            Self::Webhook => {
                "Sends the key in a signed request to an address of yours, encrypted for the receiver when it has a \
                 public key."
            }
            Self::Vault => {
                "Writes the key into one field of a secret (engine KV version 2), with check-and-set, and leaves its \
                 other fields as they are."
            }
            Self::AwsSecretsManager => {
                "Puts the key as AWSPENDING, and moves AWSCURRENT to it when the new key has done real work."
            }
            Self::Kubernetes => "Writes the key into one entry of a Secret that exists.",
            Self::EntraGraph => {
                "Gives the base URL and the key to the provisioning job of an application, and starts the job once."
            }
            Self::OktaConnection => {
                "Gives the key to the provisioning connection of an application. Okta takes it for Org2Org and Zscaler \
                 only; for other applications the next target has its turn."
            }
        }
    }

    /// The smallest right with which it works, and where it is given.
    pub const fn privilege(self) -> &'static str {
        match self {
            Self::Webhook => {
                "None: Keyward signs with a secret that both sides know. The receiver checks webhook-signature, and \
                 refuses a webhook-timestamp that is older than five minutes."
            }
            Self::Vault => {
                "A policy with capabilities create, read and update on MOUNT/data/PATH, and nothing else. A token of \
                 its own, renewable or long-lived, or an AppRole with that policy."
            }
            Self::AwsSecretsManager => {
                "An IAM user with secretsmanager:DescribeSecret, GetSecretValue, PutSecretValue and \
                 UpdateSecretVersionStage on the ARN of this one secret. With a key of KMS of your own also \
                 kms:GenerateDataKey and kms:Decrypt on that key."
            }
            Self::Kubernetes => {
                "A service account with a Role in the namespace: verbs get and patch on resource secrets, with \
                 resourceNames of this one Secret."
            }
            Self::EntraGraph => {
                "An app registration with the application permission Application.ReadWrite.OwnedBy, which is made an \
                 owner of the enterprise application. It reaches the applications that it owns, and no other."
            }
            Self::OktaConnection => {
                "An API token of an administrator whose custom role may manage this one application. The token has the \
                 rights of the person who made it: make it as a service user."
            }
        }
    }

    /// What of it is secret: the label of the field in which it is typed in once.
    pub const fn credential_label(self) -> &'static str {
        match self {
            Self::Webhook => "Signing secret",
            Self::Vault => "Token, or secret id of the AppRole",
            Self::AwsSecretsManager => "Secret access key",
            Self::Kubernetes => "Token of the service account",
            Self::EntraGraph => "Client secret",
            Self::OktaConnection => "API token",
        }
    }

    /// What is to be typed into that field.
    pub const fn credential_hint(self) -> &'static str {
        match self {
            Self::Webhook => "whsec_ and 24 to 64 bytes in base64, as your receiver shows it.",
            Self::Vault => "The one that belongs to the way of signing in that is chosen above.",
            Self::AwsSecretsManager => "Of the access key above.",
            Self::Kubernetes => {
                "kubectl create token NAME --duration=8760h, or the token of a Secret of its type."
            }
            Self::EntraGraph => "The value of a client secret of the app registration, not its id.",
            Self::OktaConnection => "As Okta showed it under Security, API, Tokens.",
        }
    }

    /// Whether the consumer stands still until somebody starts it.
    pub const fn has_kick(self) -> bool {
        match self {
            Self::EntraGraph => true,
            Self::Webhook
            | Self::Vault
            | Self::AwsSecretsManager
            | Self::Kubernetes
            | Self::OktaConnection => false,
        }
    }
}

/// Where the successors of a federation's keys are brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Whose it is.
    pub federation_id: FederationId,
    /// Its id.
    pub id: TargetId,
    /// 1 is tried first.
    pub position: i64,
    /// The name that people read.
    pub name: String,
    /// What is not secret of it.
    pub settings: Settings,
    /// What was approved: a keyed digest of everything that says where the secret goes.
    pub pinned: String,
    /// Who approved it.
    pub approved_by: String,
    /// When.
    pub approved_ms: Millis,
    /// What became of the last delivery or test, step by step.
    pub last_result: Option<Report>,
    /// Counts its changes.
    pub version: i64,
}

/// How far a delivery has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeliveryState {
    /// It waits for its time.
    Waiting,
    /// Somebody is at it, until its time.
    UnderWay,
    /// The target has the secret; the proof of use may still have something to do there.
    Delivered,
    /// The target cannot take it; another one had its turn.
    Failed,
    /// The key has ended before it was brought.
    GivenUp,
    /// The consumer works with it, and the target was told.
    Promoted,
    /// It was taken back, or nobody waits for it any more.
    Cancelled,
}

impl DeliveryState {
    /// Every state.
    pub const ALL: [Self; 7] = [
        Self::Waiting,
        Self::UnderWay,
        Self::Delivered,
        Self::Failed,
        Self::GivenUp,
        Self::Promoted,
        Self::Cancelled,
    ];

    /// The word in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::UnderWay => "under-way",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::GivenUp => "given-up",
            Self::Promoted => "promoted",
            Self::Cancelled => "cancelled",
        }
    }

    /// Reads the word of [`DeliveryState::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }

    /// What people read.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Waiting => "Waiting",
            Self::UnderWay => "Under way",
            Self::Delivered => "Delivered",
            Self::Failed => "Not taken",
            Self::GivenUp => "Given up",
            Self::Promoted => "Delivered and in use",
            Self::Cancelled => "Cancelled",
        }
    }

    /// Whether the secret is still to be brought.
    pub const fn is_open(self) -> bool {
        match self {
            Self::Waiting | Self::UnderWay => true,
            Self::Delivered | Self::Failed | Self::GivenUp | Self::Promoted | Self::Cancelled => false,
        }
    }
}

/// One bringing of one secret. The secret itself is sealed in its row until it has left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Whose it is.
    pub federation_id: FederationId,
    /// Its id; also the name under which a receiver knows it again.
    pub id: DeliveryId,
    /// The rotation that waits for it.
    pub rotation_id: RotationId,
    /// The key that is brought: the successor.
    pub key_id: KeyId,
    /// To which target; none is the hand-off to a person.
    pub target_id: Option<TargetId>,
    /// How far it has come.
    pub state: DeliveryState,
    /// How often it was begun.
    pub attempts: i64,
    /// When it is tried next, or by when whoever is at it must be done.
    pub due_ms: Millis,
    /// What became of each step of the last attempt.
    pub report: Report,
    /// When it was made.
    pub made_ms: Millis,
    /// When it ended.
    pub ended_ms: Option<Millis>,
    /// Counts its changes.
    pub version: i64,
}

/// How long a delivery that failed waits for its next attempt, before jitter.
const PAUSES_S: [i64; 9] = [5, 15, 30, 60, 120, 300, 600, 1_200, 3_600];

/// The longest time for which a target's wish to be left alone is honoured.
const LONGEST_PAUSE_MS: Millis = 24 * HOUR_MS;

/// When a delivery that was begun `attempts` times is tried again: later each time, up to an hour,
/// never before the target wants it, spread by `chance` so that many do not come at once.
pub fn again_ms(now_ms: Millis, attempts: i64, retry_after_s: Option<u32>, chance: u8) -> Millis {
    let place = usize::try_from(attempts.max(1) - 1).unwrap_or(usize::MAX).min(PAUSES_S.len() - 1);
    let pause_ms = PAUSES_S.get(place).copied().unwrap_or(3_600) * 1_000;
    let pause_ms = pause_ms + pause_ms * i64::from(chance) / 1_024;
    let wished_ms = retry_after_s.map_or(0, |seconds| i64::from(seconds) * 1_000).min(LONGEST_PAUSE_MS);
    now_ms + pause_ms.max(wished_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_read_back() {
        for connector in Connector::ALL {
            assert_eq!(Connector::parse(connector.as_str()), Some(connector));
            assert_eq!(serde_json::json!(connector), connector.as_str());
        }
        for state in DeliveryState::ALL {
            assert_eq!(DeliveryState::parse(state.as_str()), Some(state));
            assert_eq!(serde_json::json!(state), state.as_str());
        }
    }

    #[test]
    fn every_attempt_waits_longer_up_to_an_hour_and_some() {
        let pauses: Vec<_> = (1..30).map(|attempts| again_ms(0, attempts, None, 0)).collect();
        assert!(pauses.is_sorted());
        assert_eq!((pauses[0], pauses[28]), (5_000, HOUR_MS));
        assert_eq!(again_ms(0, 0, None, 0), 5_000);
        assert_eq!(again_ms(0, i64::MAX, None, 255), HOUR_MS + HOUR_MS * 255 / 1_024);
    }

    #[test]
    fn a_target_is_not_asked_before_it_wants_to_be_and_not_forgotten_either() {
        assert_eq!(again_ms(1_000, 1, Some(120), 255), 121_000);
        assert_eq!(again_ms(0, 9, Some(1), 0), HOUR_MS);
        assert_eq!(again_ms(0, 1, Some(u32::MAX), 0), LONGEST_PAUSE_MS);
    }
}
