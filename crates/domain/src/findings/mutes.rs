//! Mutes: findings that are known, and of which nobody wants to be told for a while.

use super::Rule;
use crate::federations::check_reason;
use crate::{DAY_MS, FederationId, Invalid, Millis, MuteId};

/// The longest mute, in days.
pub const MOST_DAYS: i64 = 90;

/// A mute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mute {
    /// Its id.
    pub id: MuteId,
    /// Of which federation; `None` for every one.
    pub federation_id: Option<FederationId>,
    /// Of which rule.
    pub rule: Rule,
    /// About which subject; `None` for every one.
    pub subject: Option<String>,
    /// Why.
    pub reason: String,
    /// Who made it.
    pub made_by: String,
    /// When.
    pub made_ms: Millis,
    /// When it ends, or has ended.
    pub ends_ms: Millis,
    /// Who ended it before its time.
    pub ended_by: Option<String>,
}

impl Mute {
    /// Whether it holds for findings of a rule about a subject in a federation.
    pub fn holds(
        &self,
        federation_id: Option<&FederationId>,
        rule: Rule,
        subject: &str,
        now_ms: Millis,
    ) -> bool {
        self.ends_ms > now_ms
            && self.rule == rule
            && self.federation_id.as_ref().is_none_or(|own| federation_id == Some(own))
            && self.subject.as_ref().is_none_or(|own| own == subject)
    }
}

/// Checks the reason of a mute and how long it is to be: its reason, and when it ends.
///
/// # Errors
/// [`Invalid`] on `reason` or `days`.
pub fn check(reason: &str, days: i64, now_ms: Millis) -> Result<(String, Millis), Invalid> {
    let reason = check_reason(reason)?;
    if !(1..=MOST_DAYS).contains(&days) {
        return Err(Invalid::new("days", format!("from 1 to {MOST_DAYS} days: nothing is muted for ever")));
    }
    Ok((reason, now_ms + days * DAY_MS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mute_holds_for_what_it_names_until_it_ends() {
        let (own, other) = (FederationId::new(1, [1; 10]), FederationId::new(1, [2; 10]));
        let mute = Mute {
            id: MuteId::new(1, [1; 10]),
            federation_id: Some(own.clone()),
            rule: Rule::EndsSoon,
            subject: Some("a".to_owned()),
            reason: "known".to_owned(),
            made_by: "Ada".to_owned(),
            made_ms: 0,
            ends_ms: 10,
            ended_by: None,
        };
        assert!(mute.holds(Some(&own), Rule::EndsSoon, "a", 9));
        assert!(!mute.holds(Some(&own), Rule::EndsSoon, "a", 10), "it has ended");
        assert!(!mute.holds(Some(&other), Rule::EndsSoon, "a", 9));
        assert!(!mute.holds(None, Rule::EndsSoon, "a", 9));
        assert!(!mute.holds(Some(&own), Rule::Expired, "a", 9));
        assert!(!mute.holds(Some(&own), Rule::EndsSoon, "b", 9));
        let all = Mute { federation_id: None, subject: None, ..mute };
        assert!(all.holds(None, Rule::EndsSoon, "b", 9) && all.holds(Some(&other), Rule::EndsSoon, "c", 9));
    }

    #[test]
    fn a_mute_wants_a_reason_and_an_end() {
        assert_eq!(check("known drill", 90, 5), Ok(("known drill".to_owned(), 5 + 90 * DAY_MS)));
        for days in [0, -1, 91, i64::MAX] {
            assert_eq!(check("known drill", days, 0).unwrap_err().field, "days");
        }
        assert_eq!(check(" ", 1, 0).unwrap_err().field, "reason");
    }
}
