//! The forms of compromises and channels, and what a page shows once beside a key.

use std::sync::Arc;

use domain::{Invalid, Millis, Secret};
use ops::{
    channels::NewChannel,
    compromise::{Compromise, Stop},
};

use super::Values;
use crate::ui::time;

/// A text that one page shows once: a signing secret, a hand-over link, a canary. It holds a secret and has no
/// Debug; it lives in the context of one rendering on the server.
#[derive(Clone)]
pub struct ShownOnce(pub Arc<Once>);

/// What is shown once.
pub struct Once {
    /// What it is.
    pub title: String,
    /// What it is for, in a sentence.
    pub lead: String,
    /// The text.
    pub secret: Secret,
    /// Where the page leads to.
    pub back: String,
}

impl ShownOnce {
    /// Takes what an operation returned.
    pub fn new(title: &str, lead: String, secret: Secret, back: &str) -> Self {
        Self(Arc::new(Once { title: title.to_owned(), lead, secret, back: back.to_owned() }))
    }
}

/// Reads `/settings/channels`.
pub fn new_channel(values: &Values) -> NewChannel {
    NewChannel {
        kind: values.text("kind"),
        name: values.text("name"),
        to: values.text("to"),
        url: values.text("url"),
        least: values.text("least"),
    }
}

/// Reads `/keys/{id}/compromise`.
///
/// # Errors
/// One [`Invalid`] for each field that cannot be read.
pub fn compromise(values: &Values) -> Result<Compromise, Vec<Invalid>> {
    let mut faults = Vec::new();
    let stop = Stop::parse(&values.text("stop"));
    if stop.is_none() {
        faults.push(Invalid::new("stop", "choose how the key is stopped"));
    }
    let leaked = values.text("leaked");
    let leaked_ms = if leaked.is_empty() { Ok(None) } else { moment(&leaked).map(Some).ok_or(()) };
    if leaked_ms.is_err() {
        faults
            .push(Invalid::new("leaked", "a day and a time in UTC were expected, such as 2026-11-23 20:30"));
    }
    match (stop, leaked_ms, faults.is_empty()) {
        (Some(stop), Ok(leaked_ms), true) => {
            Ok(Compromise { stop, reason: values.text("reason"), leaked_ms })
        }
        _ => Err(faults),
    }
}

/// `2026-11-23`, or with a time: `2026-11-23 20:30`, `2026-11-23T20:30`.
pub(super) fn moment(text: &str) -> Option<Millis> {
    let (day, clock) = text.split_once([' ', 'T']).unwrap_or((text, "00:00"));
    let (hour, minute) = clock.trim_end_matches('Z').split_once(':')?;
    let (hour, minute): (i64, i64) = (hour.parse().ok()?, minute.parse().ok()?);
    if !(0..24).contains(&hour) || !(0..60).contains(&minute) {
        return None;
    }
    Some(time::start_of_day(day)? + (hour * 60 + minute) * 60_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_says_how_the_key_is_stopped_and_since_when_it_is_out() {
        let values = |pairs: &[(&str, &str)]| {
            Values::parse(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
        };
        let report =
            compromise(&values(&[("stop", "hold"), ("reason", "seen"), ("leaked", "2026-11-23 20:30")]))
                .unwrap();
        assert_eq!((report.stop, report.leaked_ms), (Stop::Hold, Some(1_795_465_800_000)));
        let fields = |pairs: &[(&str, &str)]| -> Vec<String> {
            compromise(&values(pairs)).unwrap_err().into_iter().map(|fault| fault.field).collect()
        };
        assert_eq!(fields(&[("leaked", "yesterday")]), ["stop", "leaked"]);
        assert_eq!(fields(&[("stop", "burn")]), ["stop"]);
        assert_eq!(fields(&[("stop", "revoke"), ("leaked", "2026-11-23 24:00")]), ["leaked"]);
    }
}
