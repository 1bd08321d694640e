//! A configuration for people: every setting with its origin, and the example file.

use std::fmt::Write as _;

use super::{
    reader::Reader,
    settings::{SETTINGS, Setting, Shown},
};

/// A setting, its value as it may be shown, and where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The setting.
    pub key: &'static str,
    /// Its value; `set` or `not set` for a secret.
    pub value: String,
    /// Where it came from.
    pub source: String,
}

pub(super) fn origins(reader: &Reader) -> Vec<Origin> {
    let origin = |setting: &'static Setting| {
        let is_set = reader.is_set(setting.key);
        let value = match (setting.shown, is_set) {
            (_, false) => "not set".to_owned(),
            (Shown::Secret, true) => "set".to_owned(),
            (Shown::Open | Shown::Address, true) => reader.shown(setting.key).unwrap_or_default(),
        };
        let source = if is_set { reader.layered.source(setting.key) } else { String::new() };
        Origin { key: setting.key, value, source }
    };
    SETTINGS.iter().map(origin).collect()
}

/// Aligned lines: setting, value, origin.
pub fn table(origins: &[Origin]) -> String {
    let width = |of: fn(&Origin) -> &str| origins.iter().map(|o| of(o).chars().count()).max().unwrap_or(0);
    let (keys, values) = (width(|o| o.key), width(|o| &o.value).min(48));
    let line = |o: &Origin| {
        let line = format!("{:keys$}  {:values$}  {}", o.key, o.value, o.source);
        line.trim_end().to_owned() + "\n"
    };
    origins.iter().map(line).collect()
}

/// A `keyward.toml` with every setting explained. What is required stands there to be filled in,
/// the rest is commented out at its default.
pub fn example() -> String {
    // Writing into a String does not fail.
    let mut text = String::from(
        "# Keyward. Every setting may also come from the environment: KEYWARD_OIDC__ISSUER is oidc.issuer.\n\
         # Order, each over the one before: default, this file, environment, flags.\n",
    );
    let mut table = "";
    for setting in SETTINGS {
        let (of, key) = setting.key.split_once('.').unwrap_or(("", setting.key));
        if of != table {
            table = of;
            let _ = writeln!(text, "\n[{table}]");
        } else if table.is_empty() {
            text.push('\n');
        }
        for line in setting.help.lines() {
            let _ = writeln!(text, "# {line}");
        }
        let value = setting.default.unwrap_or(setting.example);
        let lead = if setting.required { "" } else { "# " };
        let _ = writeln!(text, "{lead}{key} = {value}");
        match setting.default {
            Some(default) if default != setting.example && !setting.required => {
                let _ = writeln!(text, "# for example: {}", setting.example);
            }
            Some(_) | None => {}
        }
    }
    text
}
