//! The forms of rotation: what is done to one, the policy of a federation, the defaults of the
//! installation, exceptions.

use std::sync::Arc;

use domain::{
    DAY_MS, Invalid, KeyId,
    federations::{RotationPolicy, Slug},
    rotations::policy::{OnDeadline, RotationDefaults, RotationRules, parse_windows},
};

use ops::policies::{EditPolicy, NewException, Preview};

use super::Values;
use crate::ui::time;

/// What a policy would do, to be shown on the page that it is edited on.
#[derive(Clone)]
pub struct Previewed(pub Arc<Preview>);

/// Reads `/federations/{slug}/rotation`.
///
/// # Errors
/// One [`Invalid`] for each field that cannot be read.
pub fn policy(values: &Values) -> Result<EditPolicy, Vec<Invalid>> {
    let mut faults = Vec::new();
    let version = values.whole_number("version", &mut faults);
    let policy = RotationPolicy {
        max_age_days: values.whole_number("max_age_days", &mut faults),
        overlap_hours: values.whole_number("overlap_hours", &mut faults),
        warn_days: values.whole_number("warn_days", &mut faults),
    };
    let windows = match values.text("windows_own").as_str() {
        "yes" => parse_windows(&values.text("windows")).map_err(|fault| faults.push(fault)).ok(),
        _ => None,
    };
    let rules = RotationRules {
        automatic: choice(values, "automatic", yes_or_no, &mut faults),
        rotate_before_days: values.optional_number("rotate_before_days", &mut faults),
        silence_cycles: values.optional_number("silence_cycles", &mut faults),
        least_silence_minutes: values.optional_number("least_silence_minutes", &mut faults),
        cycle_minutes: values.optional_number("cycle_minutes", &mut faults),
        on_deadline: choice(values, "on_deadline", OnDeadline::parse, &mut faults),
        windows,
        jitter_minutes: values.optional_number("jitter_minutes", &mut faults),
        pair: choice(values, "pair", |text| Slug::parse(text).ok(), &mut faults),
    };
    if faults.is_empty() { Ok(EditPolicy { version, policy, rules }) } else { Err(faults) }
}

/// Reads `/settings/rotation`: the version that was seen, and the defaults.
///
/// # Errors
/// One [`Invalid`] for each field that cannot be read.
pub fn defaults(values: &Values) -> Result<(i64, RotationDefaults), Vec<Invalid>> {
    let mut faults = Vec::new();
    let version = values.whole_number("version", &mut faults);
    let defaults = RotationDefaults {
        automatic: choice(values, "automatic", yes_or_no, &mut faults).unwrap_or_default(),
        rotate_before_days: values.whole_number("rotate_before_days", &mut faults),
        silence_cycles: values.whole_number("silence_cycles", &mut faults),
        least_silence_minutes: values.whole_number("least_silence_minutes", &mut faults),
        on_deadline: choice(values, "on_deadline", OnDeadline::parse, &mut faults).unwrap_or_default(),
        windows: parse_windows(&values.text("windows")).unwrap_or_else(|fault| {
            faults.push(fault);
            Vec::new()
        }),
        jitter_minutes: values.whole_number("jitter_minutes", &mut faults),
        max_open_per_vendor: values.whole_number("max_open_per_vendor", &mut faults),
    };
    if faults.is_empty() { Ok((version, defaults)) } else { Err(faults) }
}

/// Reads `/federations/{slug}/rotation/exceptions`.
///
/// # Errors
/// One [`Invalid`] for each field that cannot be read.
pub fn exception(values: &Values) -> Result<NewException, Vec<Invalid>> {
    let mut faults = Vec::new();
    let key_id = choice(values, "key", KeyId::parse, &mut faults);
    let ends_ms = time::start_of_day(&values.text("ends")).map(|start| start + DAY_MS);
    if ends_ms.is_none() {
        faults.push(Invalid::new("ends", "say the last day on which it holds"));
    }
    let exception = NewException {
        key_id,
        owner: values.text("owner"),
        reason: values.text("reason"),
        ends_ms: ends_ms.unwrap_or_default(),
    };
    if faults.is_empty() { Ok(exception) } else { Err(faults) }
}

/// The reason of something that is done to a rotation or a key.
///
/// # Errors
/// [`Invalid`] when none is given.
pub fn reason(values: &Values) -> Result<String, Vec<Invalid>> {
    super::revoke_key(values)
}

/// One of a few words, or nothing.
fn choice<T>(
    values: &Values,
    name: &str,
    read: impl Fn(&str) -> Option<T>,
    faults: &mut Vec<Invalid>,
) -> Option<T> {
    let text = values.text(name);
    if text.is_empty() {
        return None;
    }
    let found = read(&text);
    if found.is_none() {
        faults.push(Invalid::new(name, format!("{text:?} is not one of the choices")));
    }
    found
}

fn yes_or_no(text: &str) -> Option<bool> {
    match text {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(pairs: &[(&str, &str)]) -> Values {
        Values::parse(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
    }

    const NUMBERS: [(&str, &str); 4] =
        [("version", "3"), ("max_age_days", "90"), ("overlap_hours", "72"), ("warn_days", "14")];

    #[test]
    fn what_is_left_empty_is_the_installation_s() {
        let read = policy(&values(&NUMBERS)).unwrap();
        assert_eq!((read.version, read.rules), (3, RotationRules::default()));
    }

    #[test]
    fn no_window_of_its_own_is_another_thing_than_the_installation_s() {
        let own = |more: &[(&str, &str)]| {
            let all: Vec<_> = NUMBERS.into_iter().chain(more.iter().copied()).collect();
            policy(&values(&all)).map(|read| read.rules.windows.map(|windows| windows.len()))
        };
        assert_eq!(own(&[("windows", "mon 08:00-17:00")]), Ok(None));
        assert_eq!(own(&[("windows_own", "yes"), ("windows", "")]), Ok(Some(0)));
        assert_eq!(own(&[("windows_own", "yes"), ("windows", "mon-fri 08:00-17:00 +01:00")]), Ok(Some(1)));
        assert_eq!(own(&[("windows_own", "yes"), ("windows", "noon")]).unwrap_err()[0].field, "windows");
    }

    #[test]
    fn every_faulty_field_of_a_policy_is_named() {
        let faults =
            policy(&values(&[("automatic", "maybe"), ("pair", "No Slug"), ("jitter_minutes", "soon")]));
        let fields: Vec<String> = faults.unwrap_err().into_iter().map(|fault| fault.field).collect();
        assert_eq!(
            fields,
            ["version", "max_age_days", "overlap_hours", "warn_days", "automatic", "jitter_minutes", "pair"]
        );
        assert!(defaults(&values(&[])).is_err());
    }

    #[test]
    fn an_exception_ends_with_the_day_that_was_written() {
        let read = exception(&values(&[("owner", "a"), ("reason", "b"), ("ends", "1970-01-02")])).unwrap();
        assert_eq!((read.ends_ms, read.key_id), (2 * DAY_MS, None));
        assert!(exception(&values(&[("ends", "someday")])).is_err());
    }
}
