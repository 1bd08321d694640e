//! The forms of brakes: decisions, maintenance windows, marks.

use domain::{Invalid, Millis};
use ops::brakes::{NewMark, NewWindow, Verdict};

use super::{Values, telling::moment};

/// Reads `/cases/{id}/held`.
///
/// # Errors
/// One [`Invalid`] for each field that cannot be read.
pub fn verdict(values: &Values, proven_ms: Millis) -> Result<Verdict, Vec<Invalid>> {
    let approves = match values.text("verdict").as_str() {
        "approve" => true,
        "reject" => false,
        _ => return Err(vec![Invalid::new("verdict", "choose to approve or to reject")]),
    };
    let until = values.text("until").parse();
    let until = until.map_err(|_| vec![Invalid::new("until", "it is not a whole number")])?;
    let (hash, reason) = (values.text("hash"), values.text("reason"));
    Ok(Verdict { approves, until, hash, reason, proven_ms })
}

/// Reads `/federations/{slug}/brakes/window`.
///
/// # Errors
/// One [`Invalid`] for each field that cannot be read.
pub fn window(values: &Values) -> Result<NewWindow, Vec<Invalid>> {
    let mut faults = Vec::new();
    let ceiling = values.text("ceiling").parse().unwrap_or_else(|_| {
        faults.push(Invalid::new("ceiling", "it is not a whole number"));
        0
    });
    let mut at = |name: &str| {
        moment(&values.text(name)).unwrap_or_else(|| {
            let text = "a day and a time in UTC were expected, such as 2026-11-23 20:30";
            faults.push(Invalid::new(name, text));
            0
        })
    };
    let (begins_ms, ends_ms) = (at("begins"), at("ends"));
    if faults.is_empty() {
        Ok(NewWindow { ceiling, begins_ms, ends_ms, reason: values.text("reason") })
    } else {
        Err(faults)
    }
}

/// Reads `/federations/{slug}/brakes/mark`.
pub fn mark(values: &Values) -> NewMark {
    NewMark { resource: values.text("resource"), kind: values.text("kind"), reason: values.text("reason") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(pairs: &[(&str, &str)]) -> Values {
        Values::parse(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
    }

    #[test]
    fn a_window_has_a_number_and_two_times() {
        let good = [
            ("ceiling", "20"),
            ("begins", "2026-11-23 20:30"),
            ("ends", "2026-11-24T08:00"),
            ("reason", "x"),
        ];
        let window = window(&values(&good)).unwrap();
        assert_eq!((window.ceiling, window.ends_ms - window.begins_ms), (20, 41_400_000));
        let faults = super::window(&values(&[("ceiling", "many"), ("ends", "soon")])).unwrap_err();
        let fields: Vec<&str> = faults.iter().map(|fault| fault.field.as_str()).collect();
        assert_eq!(fields, ["ceiling", "begins", "ends"]);
    }

    #[test]
    fn a_verdict_says_yes_or_no_to_a_list() {
        let yes = verdict(&values(&[("verdict", "approve"), ("until", "7"), ("hash", "ab")]), 5).unwrap();
        assert!(yes.approves && yes.until == 7 && yes.hash == "ab" && yes.proven_ms == 5);
        assert!(!verdict(&values(&[("verdict", "reject"), ("until", "7")]), 5).unwrap().approves);
        assert!(verdict(&values(&[("verdict", "perhaps"), ("until", "7")]), 5).is_err());
        assert!(verdict(&values(&[("verdict", "approve")]), 5).is_err());
    }
}
