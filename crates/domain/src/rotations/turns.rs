//! Whose turn it is: which keys a policy no longer lets wait, and which it leaves alone because a person has
//! just rolled their rotation back.

use super::policy::{Effective, opens};
use crate::{DAY_MS, HOUR_MS, Millis, keys::Key};

/// The least time that is left for a rotation of a key that a person has rolled back.
const LEAST_LEFT_MS: Millis = 2 * HOUR_MS;

/// Whether half of the time before the end of a key is over in which its rotation should begin: from then on
/// neither the number of open rotations nor the other half of a pair holds it back.
pub fn is_pressing(key: &Key, policy: &Effective, now_ms: Millis) -> bool {
    now_ms >= presses_ms(key, policy)
}

fn end_ms(key: &Key, policy: &Effective) -> Millis {
    key.life.expires_ms.min(key.life.issued_ms + policy.max_age_ms)
}

fn presses_ms(key: &Key, policy: &Effective) -> Millis {
    end_ms(key, policy) - policy.rotate_before_ms / 2
}

/// Until when the policy begins no rotation of a key whose last one a person has rolled back: the next window,
/// and without windows until the key presses. At least for a day, unless the key would end.
pub fn rests_until(rolled_back_ms: Millis, key: &Key, policy: &Effective) -> Millis {
    let next_ms = if policy.windows.is_empty() {
        Millis::MAX
    } else {
        let (opens_ms, ends_ms) = opens(&policy.windows, rolled_back_ms);
        if opens_ms <= rolled_back_ms { ends_ms } else { opens_ms }
    };
    let longest_ms = presses_ms(key, policy).max(rolled_back_ms + DAY_MS);
    // One that is accepted beyond its own time has no end of its own.
    let last_ms = if key.life.retires_ms.is_some() {
        longest_ms
    } else {
        longest_ms.min(end_ms(key, policy) - LEAST_LEFT_MS)
    };
    next_ms.min(last_ms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        FederationId, KeyId,
        federations::RotationPolicy,
        keys::{Life, Proof},
        rotations::policy::{RotationDefaults, RotationRules, Window},
        scopes::Scope,
    };

    /// 2026-01-05T00:00:00Z, a Monday.
    const MONDAY_MS: Millis = 1_767_571_200_000;

    /// A key that ends on Monday and whose rotation begins 14 days before.
    fn key() -> Key {
        Key {
            id: KeyId::new(1, [1; 10]),
            federation_id: FederationId::new(1, [1; 10]),
            name: "okta".to_owned(),
            last_four: "abcd".to_owned(),
            proof: Proof::Static,
            scope: Scope::full_directory(),
            next_scope: None,
            justification: None,
            life: Life { first_used_ms: Some(1), ..Life::new(MONDAY_MS - 90 * DAY_MS, MONDAY_MS) },
            predecessor_id: None,
            successor_id: None,
            issued_by: "a".to_owned(),
            revoked_by: None,
            held_by: None,
            held_reason: None,
            last_used_source: None,
            last_used_agent: None,
            canary: false,
            uses: 1,
            version: 1,
        }
    }

    fn policy(windows: &[&str]) -> Effective {
        let windows = windows.iter().map(|text| Window::parse(text).unwrap()).collect();
        let rules = RotationRules { windows: Some(windows), ..RotationRules::default() };
        rules.effective(RotationPolicy::default(), &RotationDefaults::default())
    }

    #[test]
    fn a_key_presses_when_half_of_its_last_time_is_over() {
        let week_before = MONDAY_MS - 7 * DAY_MS;
        assert!(!is_pressing(&key(), &policy(&[]), week_before - 1));
        assert!(is_pressing(&key(), &policy(&[]), week_before));
        // One that is too old by its policy before it ends.
        let old = Effective { max_age_ms: 60 * DAY_MS, ..policy(&[]) };
        assert!(is_pressing(&key(), &old, MONDAY_MS - 37 * DAY_MS));
        assert!(!is_pressing(&key(), &old, MONDAY_MS - 37 * DAY_MS - 1));
    }

    #[test]
    fn a_key_rests_until_the_next_window_or_until_it_presses_and_never_until_its_end() {
        let (key, always) = (key(), policy(&[]));
        let before = |days| MONDAY_MS - days * DAY_MS;
        assert_eq!(rests_until(before(14), &key, &always), before(7));
        assert_eq!(rests_until(before(3), &key, &always), before(2), "a day at least");
        assert_eq!(rests_until(before(1), &key, &always), MONDAY_MS - 2 * HOUR_MS, "and not until its end");
        let wednesdays = policy(&["wed 03:00-05:00"]);
        // 2025-12-24 is a Wednesday: in its window, and on the day before.
        let window_ms = before(12) + 3 * HOUR_MS;
        assert_eq!(rests_until(window_ms + HOUR_MS, &key, &wednesdays), window_ms + 2 * HOUR_MS);
        assert_eq!(rests_until(before(13), &key, &wednesdays), window_ms);
        // Accepted beyond its own time, it needs a successor, and not within the same second.
        let mut beyond = key.clone();
        beyond.life.retires_ms = Some(MONDAY_MS + 3 * DAY_MS);
        assert_eq!(rests_until(MONDAY_MS + HOUR_MS, &beyond, &always), MONDAY_MS + DAY_MS + HOUR_MS);
    }
}
