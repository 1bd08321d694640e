//! Assisted hand-offs: a key for one person, who brings it to the provider by hand.

use crate::{DAY_MS, DeliveryId, FederationId, HandOffId, KeyId, Millis, RotationId};

/// How long a link can be opened.
pub const LINK_MS: Millis = DAY_MS;

/// A link for one person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandOff {
    /// Its id.
    pub id: HandOffId,
    /// Whose key it is.
    pub federation_id: FederationId,
    /// The delivery that it stands for.
    pub delivery_id: DeliveryId,
    /// The rotation that waits for it.
    pub rotation_id: RotationId,
    /// The key.
    pub key_id: KeyId,
    /// The mail address of who may open it, folded.
    pub person: String,
    /// When it was made.
    pub made_ms: Millis,
    /// When it can no longer be opened.
    pub expires_ms: Millis,
    /// When it was opened.
    pub opened_ms: Option<Millis>,
    /// By whom.
    pub opened_by: Option<String>,
    /// When it was over: the key was seen, another link took its place, the rotation ended.
    pub closed_ms: Option<Millis>,
    /// Counts its changes.
    pub version: i64,
}

/// What can be done with a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkState {
    /// It can be opened.
    Waiting,
    /// It was opened: the key was shown, and is not shown again.
    Opened,
    /// Nobody opened it in time.
    Late,
    /// It is over: another link took its place, or the rotation went on without it.
    Over,
}

impl LinkState {
    /// What people read.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Waiting => "Waiting",
            Self::Opened => "Opened",
            Self::Late => "Too late",
            Self::Over => "Over",
        }
    }

    /// Why it does not open; `None` when it does.
    pub const fn refusal(self) -> Option<&'static str> {
        match self {
            Self::Waiting => None,
            Self::Opened => Some("this link was opened before, and it opens once"),
            Self::Late => Some("this link is older than 24 hours"),
            Self::Over => Some("this link is over: a newer one took its place, or the key has arrived"),
        }
    }
}

impl HandOff {
    /// What can be done with it at a moment.
    pub const fn state(&self, now_ms: Millis) -> LinkState {
        if self.opened_ms.is_some() {
            LinkState::Opened
        } else if self.closed_ms.is_some() {
            LinkState::Over
        } else if now_ms >= self.expires_ms {
            LinkState::Late
        } else {
            LinkState::Waiting
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_waits_a_day_and_opens_once() {
        let made = HandOff {
            id: HandOffId::new(1, [1; 10]),
            federation_id: FederationId::new(1, [1; 10]),
            delivery_id: DeliveryId::new(1, [1; 10]),
            rotation_id: RotationId::new(1, [1; 10]),
            key_id: KeyId::new(1, [1; 10]),
            person: "ana@example.com".to_owned(),
            made_ms: 0,
            expires_ms: LINK_MS,
            opened_ms: None,
            opened_by: None,
            closed_ms: None,
            version: 1,
        };
        assert_eq!(made.state(LINK_MS - 1), LinkState::Waiting);
        assert_eq!(made.state(LINK_MS), LinkState::Late);
        assert_eq!(HandOff { closed_ms: Some(1), ..made.clone() }.state(2), LinkState::Over);
        let opened = HandOff { opened_ms: Some(1), closed_ms: Some(2), ..made };
        assert_eq!(opened.state(LINK_MS), LinkState::Opened);
        for state in [LinkState::Opened, LinkState::Late, LinkState::Over] {
            assert!(state.refusal().is_some());
        }
    }
}
