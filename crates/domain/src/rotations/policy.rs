//! What a federation and the installation say about rotation, and which key is due when.

mod window;

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use super::{
    Cause,
    cadence::{self, Basis, Cadence},
};
use crate::{
    DAY_MS, ExceptionId, FederationId, HOUR_MS, Invalid, KeyId, Millis,
    federations::{RotationPolicy, Slug, Vendor},
    keys::{Key, KeyState, Proof},
};

pub use window::{Window, minutes_of_week, opens, parse_windows};

/// One minute in milliseconds.
const MINUTE_MS: Millis = 60_000;

/// What becomes of an old key that is still needed when its overlap should be over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnDeadline {
    /// The overlap goes on for as long again, and people are told.
    #[default]
    Extend,
    /// The old key is retired, whether or not its successor was used.
    Retire,
}

impl OnDeadline {
    /// The word in forms and API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Extend => "extend",
            Self::Retire => "retire",
        }
    }

    /// Reads the word of [`OnDeadline::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Extend, Self::Retire].into_iter().find(|word| word.as_str() == text)
    }
}

/// What a federation says of its rotation; what it does not say is the installation's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RotationRules {
    /// Whether Keyward begins rotations by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub automatic: Option<bool>,
    /// How long before the end of a key its rotation begins, in days: [`ROTATE_BEFORE_DAYS`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotate_before_days: Option<i64>,
    /// For how many cycles the old key must be silent: [`SILENCE_CYCLES`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub silence_cycles: Option<i64>,
    /// For how long at least it must be silent, in minutes: [`LEAST_SILENCE_MINUTES`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub least_silence_minutes: Option<i64>,
    /// The cycle of the provider, in minutes, where somebody knows it: [`CYCLE_MINUTES`]. Else the vendor's
    /// counts until it was learned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cycle_minutes: Option<i64>,
    /// What happens at the end of the overlap without proof.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_deadline: Option<OnDeadline>,
    /// When rotations may begin; none is always.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub windows: Option<Vec<Window>>,
    /// Over how many minutes rotations that are due at once are spread: [`JITTER_MINUTES`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jitter_minutes: Option<i64>,
    /// The other half of a pair: never are both rotated in one window.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pair: Option<Slug>,
}

/// How long before the end of a key its rotation may begin, in days.
pub const ROTATE_BEFORE_DAYS: RangeInclusive<i64> = 1..=90;

/// For how many cycles an old key may have to be silent.
pub const SILENCE_CYCLES: RangeInclusive<i64> = 1..=20;

/// For how long an old key may have to be silent at least, in minutes.
pub const LEAST_SILENCE_MINUTES: RangeInclusive<i64> = 1..=31 * 24 * 60;

/// How long the cycle of a provider may be, in minutes.
pub const CYCLE_MINUTES: RangeInclusive<i64> = 1..=31 * 24 * 60;

/// Over how many minutes rotations may be spread.
pub const JITTER_MINUTES: RangeInclusive<i64> = 0..=7 * 24 * 60;

/// How many rotations of one vendor may be open.
pub const MAX_OPEN: RangeInclusive<i64> = 1..=100_000;

/// What holds where a federation says nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RotationDefaults {
    /// Whether Keyward begins rotations by itself.
    pub automatic: bool,
    /// How long before the end of a key its rotation begins, in days.
    pub rotate_before_days: i64,
    /// For how many cycles the old key must be silent.
    pub silence_cycles: i64,
    /// For how long at least it must be silent, in minutes.
    pub least_silence_minutes: i64,
    /// What happens at the end of the overlap without proof.
    pub on_deadline: OnDeadline,
    /// When rotations may begin; none is always.
    pub windows: Vec<Window>,
    /// Over how many minutes rotations that are due at once are spread.
    pub jitter_minutes: i64,
    /// How many rotations that Keyward began by itself may be open for one vendor.
    pub max_open_per_vendor: i64,
}

impl Default for RotationDefaults {
    /// By hand; 14 days before the end; 3 cycles, at least 25 hours, so that what runs once a day is
    /// heard; extended at the deadline; at any time, spread over an hour, ten at once.
    fn default() -> Self {
        Self {
            automatic: false,
            rotate_before_days: 14,
            silence_cycles: 3,
            least_silence_minutes: 25 * 60,
            on_deadline: OnDeadline::Extend,
            windows: Vec::new(),
            jitter_minutes: 60,
            max_open_per_vendor: 10,
        }
    }
}

fn in_range(
    faults: &mut Vec<Invalid>,
    field: &str,
    value: Option<i64>,
    allowed: &RangeInclusive<i64>,
    unit: &str,
) {
    if let Some(value) = value.filter(|value| !allowed.contains(value)) {
        let (least, most) = (allowed.start(), allowed.end());
        faults.push(Invalid::new(field, format!("{value} is not {least} to {most} {unit}")));
    }
}

/// A rotation that is spread over more than half of the time before the end of its key comes too late.
fn spread_fits(faults: &mut Vec<Invalid>, before_days: i64, jitter_minutes: i64) {
    if ROTATE_BEFORE_DAYS.contains(&before_days)
        && JITTER_MINUTES.contains(&jitter_minutes)
        && jitter_minutes * MINUTE_MS > before_days * DAY_MS / 2
    {
        let text = format!(
            "{jitter_minutes} minutes are more than half of {before_days} days before the end of a key"
        );
        faults.push(Invalid::new("jitter_minutes", text));
    }
}

impl RotationRules {
    /// Checks the ranges; `own` is the federation that they are of.
    ///
    /// # Errors
    /// One [`Invalid`] for each value that cannot be.
    pub fn check(&self, own: &Slug) -> Result<(), Vec<Invalid>> {
        let mut faults = Vec::new();
        in_range(&mut faults, "rotate_before_days", self.rotate_before_days, &ROTATE_BEFORE_DAYS, "days");
        in_range(&mut faults, "silence_cycles", self.silence_cycles, &SILENCE_CYCLES, "cycles");
        let least = self.least_silence_minutes;
        in_range(&mut faults, "least_silence_minutes", least, &LEAST_SILENCE_MINUTES, "minutes");
        in_range(&mut faults, "cycle_minutes", self.cycle_minutes, &CYCLE_MINUTES, "minutes");
        in_range(&mut faults, "jitter_minutes", self.jitter_minutes, &JITTER_MINUTES, "minutes");
        if let (Some(days), Some(minutes)) = (self.rotate_before_days, self.jitter_minutes) {
            spread_fits(&mut faults, days, minutes);
        }
        if self.pair.as_ref() == Some(own) {
            faults.push(Invalid::new("pair", "a federation is no pair with itself"));
        }
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }

    /// The rhythm of the provider before anything of it was learned.
    pub fn known_cadence(&self, vendor: Vendor) -> Cadence {
        let set = |minutes| Cadence { gap_ms: minutes * MINUTE_MS, basis: Basis::Policy };
        self.cycle_minutes.map_or_else(|| cadence::known(vendor), set)
    }

    /// Checks that a key is not rotated for ever anew: its rotation begins in the second half of its life.
    ///
    /// # Errors
    /// [`Invalid`] on `rotate_before_days`.
    pub fn check_age(&self, policy: RotationPolicy) -> Result<(), Invalid> {
        let most = policy.max_age_ms() / 2;
        match self.rotate_before_days {
            Some(days) if days * DAY_MS > most => Err(Invalid::new(
                "rotate_before_days",
                format!(
                    "{days} days are more than half of the longest life of a key, {}",
                    policy.max_age_ms() / DAY_MS
                ),
            )),
            Some(_) | None => Ok(()),
        }
    }

    /// What holds for a federation with these rules. What is the installation's is cut to what fits the
    /// federation's own limits: a rotation begins in the second half of a key's life, and is spread over
    /// half of the time that is left then.
    pub fn effective(&self, policy: RotationPolicy, defaults: &RotationDefaults) -> Effective {
        let before_ms = self.rotate_before_days.unwrap_or(defaults.rotate_before_days) * DAY_MS;
        let rotate_before_ms = before_ms.min(policy.max_age_ms() / 2);
        let jitter_ms = self.jitter_minutes.unwrap_or(defaults.jitter_minutes) * MINUTE_MS;
        Effective {
            automatic: self.automatic.unwrap_or(defaults.automatic),
            max_age_ms: policy.max_age_ms(),
            overlap_ms: policy.overlap_hours * HOUR_MS,
            rotate_before_ms,
            silence_cycles: self.silence_cycles.unwrap_or(defaults.silence_cycles),
            least_silence_ms: self.least_silence_minutes.unwrap_or(defaults.least_silence_minutes)
                * MINUTE_MS,
            on_deadline: self.on_deadline.unwrap_or(defaults.on_deadline),
            windows: self.windows.clone().unwrap_or_else(|| defaults.windows.clone()),
            jitter_ms: jitter_ms.min(rotate_before_ms / 2),
            pair: self.pair.clone(),
        }
    }
}

impl RotationDefaults {
    /// Checks the ranges.
    ///
    /// # Errors
    /// One [`Invalid`] for each number that is out of range.
    pub fn check(&self) -> Result<(), Vec<Invalid>> {
        let mut faults = Vec::new();
        let before = Some(self.rotate_before_days);
        in_range(&mut faults, "rotate_before_days", before, &ROTATE_BEFORE_DAYS, "days");
        in_range(&mut faults, "silence_cycles", Some(self.silence_cycles), &SILENCE_CYCLES, "cycles");
        let least = Some(self.least_silence_minutes);
        in_range(&mut faults, "least_silence_minutes", least, &LEAST_SILENCE_MINUTES, "minutes");
        in_range(&mut faults, "jitter_minutes", Some(self.jitter_minutes), &JITTER_MINUTES, "minutes");
        in_range(&mut faults, "max_open_per_vendor", Some(self.max_open_per_vendor), &MAX_OPEN, "rotations");
        spread_fits(&mut faults, self.rotate_before_days, self.jitter_minutes);
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }
}

/// What holds for a federation: its own rules, and the installation's where it has none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Effective {
    /// Whether Keyward begins rotations by itself.
    pub automatic: bool,
    /// The longest life of a key.
    pub max_age_ms: Millis,
    /// How long an overlap should last.
    pub overlap_ms: Millis,
    /// How long before the end of a key its rotation begins.
    pub rotate_before_ms: Millis,
    /// For how many cycles the old key must be silent.
    pub silence_cycles: i64,
    /// For how long at least.
    pub least_silence_ms: Millis,
    /// What happens at the end of the overlap without proof.
    pub on_deadline: OnDeadline,
    /// When rotations may begin; none is always.
    pub windows: Vec<Window>,
    /// Over how long rotations that are due at once are spread.
    pub jitter_ms: Millis,
    /// The other half of a pair.
    pub pair: Option<Slug>,
}

/// A promise that a policy does not hold for a key, or a federation, for a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyException {
    /// Made by the server.
    pub id: ExceptionId,
    /// The federation.
    pub federation_id: FederationId,
    /// The key; `None` for every key of the federation.
    pub key_id: Option<KeyId>,
    /// Who answers for it.
    pub owner: String,
    /// Why.
    pub reason: String,
    /// The name of who made it.
    pub made_by: String,
    /// When it was made.
    pub made_ms: Millis,
    /// When it ends by itself.
    pub ends_ms: Millis,
    /// When somebody ended it before that.
    pub ended_ms: Option<Millis>,
    /// The name of who did.
    pub ended_by: Option<String>,
}

impl PolicyException {
    /// Whether it holds for a key at a moment.
    pub fn covers(&self, key: &Key, now_ms: Millis) -> bool {
        self.is_open(now_ms)
            && self.federation_id == key.federation_id
            && self.key_id.as_ref().is_none_or(|id| *id == key.id)
    }

    /// Whether it has not ended.
    pub const fn is_open(&self, now_ms: Millis) -> bool {
        self.ended_ms.is_none() && now_ms < self.ends_ms
    }
}

/// When the rotation of a key is to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Due {
    /// When: spread by the key's id, and in a window.
    pub at_ms: Millis,
    /// Until when the window is open that it falls into.
    pub until_ms: Millis,
    /// Why.
    pub cause: Cause,
}

/// How long after its end an expired key that was in use is still given a successor by itself.
const REVIVED_MS: Millis = 30 * DAY_MS;

/// When the rotation of a key is to begin by a policy, whatever else holds it back. `None` for a key
/// that no policy rotates: it has ended or has a successor; nobody has ever used it; or its holder
/// proves itself by a key pair of its own, so that there is no secret to bring.
pub fn due(key: &Key, policy: &Effective, now_ms: Millis) -> Option<Due> {
    let is_bearer = match key.proof {
        Proof::Static | Proof::Secret => true,
        Proof::Assertion => false,
    };
    if key.canary || !is_bearer || key.successor_id.is_some() || key.life.first_used_ms.is_none() {
        return None;
    }
    let end_ms = key.life.expires_ms.min(key.life.issued_ms + policy.max_age_ms);
    match key.life.state(now_ms) {
        // A held key comes to its end like any other, and its consumer needs the next one all the more.
        KeyState::Unused | KeyState::InUse | KeyState::Held => {}
        // An overlap whose rotation was rolled back after the key's own time: a successor is needed at once.
        KeyState::Retiring => {
            return Some(Due { at_ms: now_ms, until_ms: Millis::MAX, cause: Cause::Expiry });
        }
        KeyState::Expired if now_ms - key.life.expires_ms < REVIVED_MS => {
            return Some(Due { at_ms: now_ms, until_ms: Millis::MAX, cause: Cause::Expiry });
        }
        KeyState::Expired | KeyState::Retired | KeyState::Revoked => return None,
    }
    let wanted_ms = end_ms - policy.rotate_before_ms + spread(&key.id, policy.jitter_ms);
    let (at_ms, until_ms) = opens(&policy.windows, wanted_ms.max(now_ms.min(end_ms)));
    // A window never lets a key expire.
    let (at_ms, until_ms) =
        if at_ms >= end_ms { (wanted_ms.min(end_ms), Millis::MAX) } else { (at_ms, until_ms) };
    Some(Due { at_ms, until_ms, cause: Cause::Policy })
}

/// A part of `within_ms`, the same each time for one key, and spread evenly over many.
pub fn spread(id: &KeyId, within_ms: Millis) -> Millis {
    // FNV-1a, 64 bits, with its bits mixed once more.
    let hash = id.as_str().bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mixed = (hash ^ (hash >> 32)).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 1;
    match u64::try_from(within_ms) {
        Ok(within) if within > 0 => Millis::try_from(mixed % within).unwrap_or(0),
        Ok(_) | Err(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-01-05T00:00:00Z.
    const MONDAY_MS: Millis = 1_767_571_200_000;

    #[test]
    fn five_hundred_keys_that_are_due_in_one_minute_spread_over_the_hour() {
        let mut minutes = [0_u32; 60];
        for number in 0..500_u16 {
            let [high, low] = number.to_be_bytes();
            let id = KeyId::new(MONDAY_MS, [high, low, 7, 7, 7, 7, 7, 7, 7, 7]);
            let at = spread(&id, HOUR_MS);
            assert_eq!(at, spread(&id, HOUR_MS), "the same each time");
            minutes[usize::try_from(at / MINUTE_MS).unwrap()] += 1;
        }
        let (least, most) = (minutes.iter().min().unwrap(), minutes.iter().max().unwrap());
        assert!(*least >= 1 && *most <= 25, "{minutes:?}");
        assert_eq!(spread(&KeyId::new(1, [1; 10]), 0), 0);
    }

    #[test]
    fn whatever_is_set_a_fresh_key_is_not_due_and_an_old_one_is_before_its_end() {
        for (max_age_days, before, jitter) in
            [(1, 90, 7 * 24 * 60), (7, 14, 7 * 24 * 60), (90, 90, 0), (90, 1, 7 * 24 * 60)]
        {
            let policy = RotationPolicy { max_age_days, ..RotationPolicy::default() };
            let rules = RotationRules {
                rotate_before_days: Some(before),
                jitter_minutes: Some(jitter),
                ..RotationRules::default()
            };
            let effective = rules.effective(policy, &RotationDefaults::default());
            assert!(effective.rotate_before_ms * 2 <= effective.max_age_ms, "{effective:?}");
            assert!(effective.jitter_ms * 2 <= effective.rotate_before_ms, "{effective:?}");
        }
    }

    #[test]
    fn rules_fall_back_to_the_installation_and_name_what_cannot_be() {
        let slug = |text| Slug::parse(text).unwrap();
        let rules = RotationRules { silence_cycles: Some(5), ..RotationRules::default() };
        let defaults = RotationDefaults { automatic: true, jitter_minutes: 7, ..RotationDefaults::default() };
        let effective = rules.effective(RotationPolicy::default(), &defaults);
        assert_eq!((effective.automatic, effective.silence_cycles), (true, 5));
        assert_eq!(effective.jitter_ms, 7 * MINUTE_MS);
        let wrong = RotationRules {
            rotate_before_days: Some(0),
            silence_cycles: Some(21),
            least_silence_minutes: Some(0),
            jitter_minutes: Some(-1),
            pair: Some(slug("okta")),
            ..RotationRules::default()
        };
        let fields: Vec<String> =
            wrong.check(&slug("okta")).unwrap_err().into_iter().map(|f| f.field).collect();
        assert_eq!(
            fields,
            ["rotate_before_days", "silence_cycles", "least_silence_minutes", "jitter_minutes", "pair"]
        );
        let late = RotationRules {
            rotate_before_days: Some(1),
            jitter_minutes: Some(12 * 60 + 1),
            ..RotationRules::default()
        };
        assert_eq!(late.check(&slug("okta")).unwrap_err()[0].field, "jitter_minutes");
        let for_ever = RotationRules { rotate_before_days: Some(46), ..RotationRules::default() };
        assert_eq!(for_ever.check_age(RotationPolicy::default()).unwrap_err().field, "rotate_before_days");
        let half = RotationRules { rotate_before_days: Some(45), ..RotationRules::default() };
        assert!(half.check_age(RotationPolicy::default()).is_ok());
        let stored = serde_json::to_string(&rules).unwrap();
        assert_eq!(stored, "{\"silence_cycles\":5}", "what is not said is not stored");
        assert_eq!(serde_json::from_str::<RotationRules>("{}").unwrap(), RotationRules::default());
        assert!(RotationDefaults { max_open_per_vendor: 0, ..RotationDefaults::default() }.check().is_err());
    }
}
