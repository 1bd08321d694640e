//! Answers in words, for a terminal. `--json` prints the same values under their names.

use std::fmt::Write as _;

use super::Exit;
use crate::control::{Answer, Begun, Case, KeyLine, RotationLine};

/// The value of an answer, as JSON with line breaks.
///
/// # Errors
/// Never: the values are plain.
pub fn as_json(answer: &Answer) -> Result<String, Exit> {
    let value = match answer {
        Answer::Keys(keys) => serde_json::to_string_pretty(keys),
        Answer::Key(key) => serde_json::to_string_pretty(key),
        Answer::Begun(begun) => serde_json::to_string_pretty(begun),
        Answer::Rotations(rotations) => serde_json::to_string_pretty(rotations),
        Answer::Rotation(rotation) => serde_json::to_string_pretty(rotation),
        Answer::Case(case) => serde_json::to_string_pretty(case),
        Answer::Export(export) => serde_json::to_string_pretty(export),
    };
    value.map(|text| text + "\n").map_err(|error| Exit::failed(format!("JSON: {error}")))
}

/// What is said beside a secret, which stands alone on standard output.
pub fn aside(answer: &Answer) -> Option<String> {
    let Answer::Begun(begun) = answer else { return None };
    begun.secret.as_ref()?;
    let KeyLine { name, last_four, .. } = &begun.successor;
    Some(format!(
        "{name} …{last_four} for {}. It is shown this once; both keys work until the old one has fallen silent.",
        begun.base_url
    ))
}

/// An answer for people. `is_served` says whether a server runs that does the rest.
pub fn in_words(answer: &Answer, is_served: bool) -> String {
    match answer {
        Answer::Keys(keys) if keys.is_empty() => "No keys.\n".to_owned(),
        Answer::Keys(keys) => table(
            ["KEY", "FEDERATION", "STATE", "LAST USED", "ENDS", "ID"],
            keys.iter().map(|key| {
                [
                    format!("{} …{}", key.name, key.last_four),
                    key.federation.clone(),
                    key.state.clone(),
                    key.last_used_at.clone().unwrap_or_else(|| "never".to_owned()),
                    key.ends_at.clone().unwrap_or_else(|| "when the overlap ends".to_owned()),
                    key.id.clone(),
                ]
            }),
        ),
        Answer::Key(key) => facts(&of_key(key)),
        Answer::Begun(begun) => of_begun(begun, is_served),
        Answer::Rotations(rotations) if rotations.is_empty() => "No rotation is under way.\n".to_owned(),
        Answer::Rotations(rotations) => table(
            ["FEDERATION", "KEYS", "STEP", "SINCE", "VERDICT", "ID"],
            rotations.iter().map(|rotation| {
                [
                    rotation.federation.clone(),
                    format!("{} to {}", rotation.old.name, rotation.new.name),
                    step(rotation),
                    rotation.since.clone(),
                    rotation.verdict.clone(),
                    rotation.id.clone(),
                ]
            }),
        ),
        Answer::Rotation(rotation) => facts(&of_rotation(rotation)),
        Answer::Case(case) => of_case(case, is_served),
        Answer::Export(export) => format!("Records {} to {} may be exported.\n", export.from, export.to),
    }
}

fn step(rotation: &RotationLine) -> String {
    match rotation.condition.as_str() {
        "open" | "ended" => rotation.step.clone(),
        beside => format!("{} ({beside})", rotation.step),
    }
}

fn of_key(key: &KeyLine) -> Vec<(&'static str, String)> {
    let or = |value: &Option<String>, word: &str| value.clone().unwrap_or_else(|| word.to_owned());
    let mut facts = vec![
        ("Key", format!("{} …{}", key.name, key.last_four)),
        ("Id", key.id.clone()),
        ("Federation", key.federation.clone()),
        ("State", key.state.clone()),
        ("Proof", key.proof.clone()),
        ("May", key.may.join("; ")),
        ("Issued", format!("{} by {}", key.issued_at, key.issued_by)),
        ("Last used", or(&key.last_used_at, "never")),
        ("Last work", or(&key.last_work_at, "none seen")),
        ("Ends", or(&key.ends_at, "when its overlap ends")),
    ];
    let beside = [("Held", &key.held), ("Replaces", &key.predecessor), ("Replaced by", &key.successor)];
    facts.extend(beside.into_iter().filter_map(|(label, value)| Some((label, value.clone()?))));
    facts
}

fn of_rotation(rotation: &RotationLine) -> Vec<(&'static str, String)> {
    let half = |half: &crate::control::Half| {
        let used = half
            .last_used_at
            .as_ref()
            .map_or_else(|| "never used".to_owned(), |at| format!("last used {at}"));
        format!("{} …{}, {used}", half.name, half.last_four)
    };
    let mut facts = vec![
        ("Rotation", rotation.id.clone()),
        ("Federation", rotation.federation.clone()),
        ("Verdict", rotation.verdict.clone()),
        ("Step", format!("{}, since {}", step(rotation), rotation.since)),
        ("Old key", half(&rotation.old)),
        ("New key", half(&rotation.new)),
        ("Begun", format!("{} by {} ({})", rotation.begun_at, rotation.begun_by, rotation.cause)),
    ];
    let beside = [("Reason", &rotation.reason), ("Next", &rotation.next_at)];
    facts.extend(beside.into_iter().filter_map(|(label, value)| Some((label, value.clone()?))));
    facts
}

fn of_begun(begun: &Begun, is_served: bool) -> String {
    // A secret stands alone on standard output, so that it can be piped on.
    if let Some(secret) = &begun.secret {
        return format!("{}\n", secret.expose());
    }
    let KeyLine { name, last_four, .. } = &begun.successor;
    let mut text = format!(
        "{name} …{last_four} was issued. Both keys work until the old one has fallen silent.\nSCIM base URL: {}\n",
        begun.base_url
    );
    text.push_str(if is_served {
        "It is delivered as the federation is set up; the page of the rotation shows how far it is.\n"
    } else {
        "It is delivered as the federation is set up, as soon as a server runs.\n"
    });
    if let Some(rotation) = &begun.rotation {
        let _ = writeln!(text, "Rotation: {}", rotation.id);
    }
    text
}

fn of_case(case: &Case, is_served: bool) -> String {
    let mut text =
        format!("Case {} is open: {}\n{} is {}.\n", case.case, case.page, case.key.name, case.key.state);
    if let Some(successor) = &case.successor {
        let when = if is_served { "" } else { ", as soon as a server runs" };
        let _ = writeln!(
            text,
            "{} …{} was issued and is delivered as the federation is set up{when}.",
            successor.name, successor.last_four
        );
    }
    text
}

/// Names and values, one a line.
fn facts(facts: &[(&str, String)]) -> String {
    let width = facts.iter().map(|(label, _)| label.len()).max().unwrap_or(0);
    let mut text = String::new();
    for (label, value) in facts {
        let _ = writeln!(text, "{label:width$}  {value}");
    }
    text
}

/// Columns that are as wide as what they hold.
fn table<const N: usize>(heads: [&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    let rows: Vec<[String; N]> = std::iter::once(heads.map(str::to_owned)).chain(rows).collect();
    let mut widths = [0; N];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut text = String::new();
    for row in &rows {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        let line = cells.collect::<Vec<_>>().join("  ");
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_what_they_hold() {
        let rows = [["okta …9f3c", "In use"], ["é", "Held"]].map(|row| row.map(str::to_owned));
        assert_eq!(
            table(["KEY", "STATE"], rows.into_iter()),
            "KEY         STATE\nokta …9f3c  In use\né           Held\n"
        );
    }

    #[test]
    fn facts_stand_in_two_columns() {
        let text = facts(&[("Key", "a".to_owned()), ("Federation", "b".to_owned())]);
        assert_eq!(text, "Key         a\nFederation  b\n");
    }
}
