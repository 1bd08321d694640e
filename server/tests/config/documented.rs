//! The guide has every setting, and no other: `docs/guide/configuration.md` against the table of settings.

use std::collections::BTreeMap;

use server::config::settings::{FLAGS, SETTINGS, Shape};

const GUIDE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/guide/configuration.md"));

/// A row of the guide's table: the default and the meaning.
struct Row {
    default: String,
    meaning: String,
}

/// The rows by the key that they are about; several keys may share one.
fn rows() -> BTreeMap<String, Row> {
    let mut rows = BTreeMap::new();
    for line in GUIDE.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [keys, default, meaning] = cells.as_slice() else { panic!("{line}") };
        for key in keys.split(", ") {
            let key = key.trim_matches('`').to_owned();
            let row = Row { default: (*default).to_owned(), meaning: (*meaning).to_owned() };
            assert!(rows.insert(key.clone(), row).is_none(), "{key} is in the guide twice");
        }
    }
    rows
}

#[test]
fn the_guide_has_every_setting_and_no_other() {
    let rows = rows();
    let missing: Vec<&str> =
        SETTINGS.iter().map(|setting| setting.key).filter(|key| !rows.contains_key(*key)).collect();
    assert!(missing.is_empty(), "not in docs/guide/configuration.md: {missing:?}");
    let unknown: Vec<&String> =
        rows.keys().filter(|key| !SETTINGS.iter().any(|setting| setting.key == **key)).collect();
    assert!(unknown.is_empty(), "in docs/guide/configuration.md and no setting: {unknown:?}");
}

#[test]
fn the_guide_says_the_defaults_that_hold_and_which_settings_are_required() {
    let rows = rows();
    let mut wrong = Vec::new();
    for setting in SETTINGS {
        let Some(row) = rows.get(setting.key) else { continue };
        let key = setting.key;
        match setting.default {
            Some(default) if row.default != format!("`{default}`") => {
                wrong.push(format!("{key}: the default is {default}, and the guide says {}", row.default));
            }
            None if row.default.starts_with('`') && !row.default.contains(' ') => {
                wrong.push(format!("{key} has no default, and the guide says {}", row.default));
            }
            Some(_) | None => {}
        }
        if setting.required != (row.default == "required") {
            wrong
                .push(format!("{key}: required is {}, and the guide says {}", setting.required, row.default));
        }
        // The bounds of a number stand in both.
        let numbers = |text: &str| -> Vec<String> {
            let words = text.split(|c: char| !c.is_ascii_digit()).filter(|word| word.len() > 3);
            words.map(str::to_owned).collect()
        };
        if setting.shape == Shape::Integer {
            let said = numbers(&row.meaning);
            let missing: Vec<String> =
                numbers(setting.help).into_iter().filter(|one| !said.contains(one)).collect();
            if !missing.is_empty() {
                wrong.push(format!("{key}: {missing:?} is not in the guide"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for (_, flag) in FLAGS {
        assert!(GUIDE.contains(&format!("`{flag}`")), "{flag} is not in the guide");
    }
}
