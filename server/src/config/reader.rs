//! Reads settings by name in the type that is asked for; what does not fit becomes a problem.

use std::path::PathBuf;

use domain::Secret;
use figment::value::Value;

use super::{
    layers::{Layered, reason, shown},
    problem::{ConfigProblem, Fault},
    settings::{Setting, Shape, Shown},
};

/// Reads settings and gathers problems.
pub(super) struct Reader {
    pub layered: Layered,
    pub problems: Vec<ConfigProblem>,
}

impl Reader {
    pub fn new(mut layered: Layered) -> Self {
        let problems = std::mem::take(&mut layered.problems);
        Self { layered, problems }
    }

    /// Says that the value of `key` cannot be used.
    pub fn refuse(&mut self, key: &str, fault: Fault) {
        let found = self.shown(key);
        self.problems.push(ConfigProblem {
            key: key.to_owned(),
            source: self.layered.source(key),
            found,
            expected: fault.expected,
            fix: fault.fix,
        });
    }

    /// Whether a value is set, default included.
    pub fn is_set(&self, key: &str) -> bool {
        self.layered.figment.find_value(key).is_ok()
    }

    /// A text, when it is set.
    pub fn text(&mut self, key: &'static str) -> Option<String> {
        let Ok(value) = self.layered.figment.find_value(key) else {
            self.missing(key);
            return None;
        };
        if let Some(text) = value.as_str() {
            if text.trim().is_empty() {
                let fix = "write a value, or remove the setting";
                self.refuse(key, Fault::new("a text that is not empty", fix));
                return None;
            }
            return Some(text.to_owned());
        }
        self.refuse(key, Fault::new("a text in quotes", format!("write it as {}", example(key))));
        None
    }

    /// A text that `parse` makes into a value.
    pub fn parse<T>(&mut self, key: &'static str, parse: impl FnOnce(&str) -> Result<T, Fault>) -> Option<T> {
        let text = self.text(key)?;
        match parse(text.trim()) {
            Ok(value) => Some(value),
            Err(fault) => {
                self.refuse(key, fault);
                None
            }
        }
    }

    /// One of a few words.
    pub fn choice<T: Copy>(&mut self, key: &'static str, words: &[(&str, T)]) -> Option<T> {
        self.parse(key, |text| {
            if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
                return Ok(*value);
            }
            let list = words.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ");
            let near = words.iter().map(|(word, _)| *word).max_by(|a, b| {
                let likeness = |word: &str| strsim::jaro_winkler(&text.to_lowercase(), word);
                likeness(a).total_cmp(&likeness(b))
            });
            let near = near.unwrap_or_default();
            Err(Fault::new(format!("one of {list}"), format!("did you mean {near:?}?")))
        })
    }

    /// A whole number between `low` and `high`.
    pub fn number(&mut self, key: &'static str, low: u64, high: u64) -> Option<u64> {
        let Ok(value) = self.layered.figment.find_value(key) else {
            self.missing(key);
            return None;
        };
        let number = value.to_i128().and_then(|number| u64::try_from(number).ok());
        let number = number.filter(|number| (low..=high).contains(number));
        if number.is_none() {
            let expected = format!("a whole number from {low} to {high}");
            self.refuse(key, Fault::new(expected, format!("the default is {}", example(key))));
        }
        number
    }

    /// A list of texts, none of them empty.
    pub fn list(&mut self, key: &'static str) -> Option<Vec<String>> {
        let Ok(value) = self.layered.figment.find_value(key) else {
            self.missing(key);
            return None;
        };
        let texts = texts(&value);
        if texts.is_none() {
            let fix = format!("write it as {}", example(key));
            self.refuse(key, Fault::new("a list of texts, none of them empty", fix));
        }
        texts
    }

    /// A table from texts to lists of texts.
    pub fn map(&mut self, key: &'static str) -> Option<Vec<(String, Vec<String>)>> {
        let Ok(value) = self.layered.figment.find_value(key) else {
            self.missing(key);
            return None;
        };
        let pair = |pair: &Value| match pair.as_array()? {
            [name, list] => Some((name.as_str()?.to_owned(), texts(list)?)),
            _ => None,
        };
        let pairs = value.as_array().and_then(|pairs| pairs.iter().map(pair).collect());
        if pairs.is_none() {
            let fix = format!("write it as {}", example(key));
            self.refuse(key, Fault::new("a table from a text to a list of texts", fix));
        }
        pairs
    }

    /// A secret: from the setting itself, or from the file that its `…_file` twin names. Both at
    /// once are refused. The result says which of the two it was.
    pub fn secret(&mut self, key: &'static str, file_key: &'static str) -> Option<(Secret, Held)> {
        match (self.is_set(key), self.is_set(file_key)) {
            (true, true) => {
                let source = format!("{} and {}", self.layered.source(key), self.layered.source(file_key));
                self.problems.push(ConfigProblem {
                    key: key.to_owned(),
                    source,
                    found: Some(format!("both {key} and {file_key}")),
                    expected: "one of them".to_owned(),
                    fix: format!("keep {file_key} and remove {key}: nobody can then tell which one counts"),
                });
                None
            }
            (true, false) => Some((Secret::new(self.text(key)?), Held::Setting)),
            (false, true) => {
                let path = PathBuf::from(self.text(file_key)?);
                match std::fs::read_to_string(&path) {
                    Ok(text) if text.trim().is_empty() => {
                        let fix = format!("write the secret into {}", shown(&path));
                        self.refuse(file_key, Fault::new("a file that is not empty", fix));
                        None
                    }
                    Ok(text) => {
                        let text = text.strip_suffix('\n').unwrap_or(&text);
                        let text = text.strip_suffix('\r').unwrap_or(text).to_owned();
                        Some((Secret::new(text), Held::File(path)))
                    }
                    Err(error) => {
                        let expected = format!("a file that Keyward may read ({})", reason(&error));
                        let fix = "correct the path, or let the user that runs Keyward read the file";
                        self.refuse(file_key, Fault::new(expected, fix));
                        None
                    }
                }
            }
            (false, false) => {
                self.missing(key);
                None
            }
        }
    }

    /// A problem when a required setting is not there.
    fn missing(&mut self, key: &str) {
        if self.layered.is_unread {
            return;
        }
        let Some(setting) = Setting::find(key).filter(|setting| setting.required) else { return };
        self.problems.push(ConfigProblem {
            key: key.to_owned(),
            source: "not set".to_owned(),
            found: None,
            expected: setting.help.lines().next().unwrap_or_default().to_owned(),
            fix: format!("{}, or set {}", assignment(setting), setting.variable()),
        });
    }

    /// The value of a setting as it may be shown; none when it is not set, or is a secret.
    pub fn shown(&self, key: &str) -> Option<String> {
        let value = self.layered.figment.find_value(key).ok()?;
        match Setting::find(key).map_or(Shown::Secret, |setting| setting.shown) {
            Shown::Open if Setting::find(key).is_some_and(|setting| setting.shape == Shape::Map) => {
                Some(written_map(&value).unwrap_or_else(|| written(&value)))
            }
            Shown::Open => Some(written(&value)),
            Shown::Secret => None,
            Shown::Address => match value.as_str() {
                Some(address) => Some(written(&Value::from(without_password(address)))),
                None => Some(written(&value)),
            },
        }
    }
}

/// Where a secret was held.
pub(super) enum Held {
    Setting,
    File(PathBuf),
}

fn texts(value: &Value) -> Option<Vec<String>> {
    let text = |value: &Value| value.as_str().filter(|text| !text.trim().is_empty()).map(str::to_owned);
    value.as_array()?.iter().map(text).collect()
}

fn example(key: &str) -> &'static str {
    Setting::find(key).map_or("", |setting| setting.default.unwrap_or(setting.example))
}

/// The line of the configuration file that sets it, with its table.
pub(super) fn assignment(setting: &Setting) -> String {
    match setting.key.split_once('.') {
        Some((table, key)) => format!("write {key} = {} under [{table}] in keyward.toml", setting.example),
        None => format!("write {} = {} in keyward.toml", setting.key, setting.example),
    }
}

/// A database address without its password.
pub(super) fn without_password(address: &str) -> String {
    match url::Url::parse(address) {
        Ok(mut url) if url.password().is_some() => match url.set_password(Some("password-not-shown")) {
            Ok(()) => url.to_string(),
            Err(()) => "an address that is not shown".to_owned(),
        },
        Err(_) if address.contains(['@', '?']) => "an address that is not shown".to_owned(),
        Ok(_) | Err(_) => address.to_owned(),
    }
}

/// A map as TOML writes it; none when the value is not one.
fn written_map(value: &Value) -> Option<String> {
    let pair = |pair: &Value| match pair.as_array()? {
        [name, list] => Some(format!("{} = {}", written(name), written(list))),
        _ => None,
    };
    let pairs = value.as_array()?.iter().map(pair).collect::<Option<Vec<_>>>()?;
    Some(if pairs.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", pairs.join(", ")) })
}

/// A value as TOML writes it, at most 200 characters.
fn written(value: &Value) -> String {
    let text = if let Some(text) = value.as_str() {
        format!("{text:?}")
    } else if let Some(number) = value.to_i128() {
        number.to_string()
    } else if let Some(flag) = value.to_bool() {
        flag.to_string()
    } else if let Some(items) = value.as_array() {
        format!("[{}]", items.iter().map(written).collect::<Vec<_>>().join(", "))
    } else if let Some(dict) = value.as_dict() {
        let pairs = dict.iter().map(|(key, value)| format!("{key:?} = {}", written(value)));
        format!("{{ {} }}", pairs.collect::<Vec<_>>().join(", "))
    } else if let Some(number) = value.to_num().and_then(|number| number.to_f64()) {
        number.to_string()
    } else {
        "another kind of value".to_owned()
    };
    match text.char_indices().nth(200) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
