//! The layers that settings come from: defaults, file, environment, flags, each over the one before.
//!
//! A layer is a figment provider that knows where each of its values stands. Lists and tables of a
//! later layer replace those of an earlier one whole: an operator who sets `roles.operator` in the
//! environment does not also grant what an old file says.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
};

use figment::{
    Figment, Metadata, Profile, Provider,
    providers::{Format, Toml},
    value::{Dict, Map, Value},
};
use toml_edit::{ImDocument, TableLike};

use super::{
    problem::ConfigProblem,
    settings::{FILE_VARIABLE, PREFIX, SETTINGS, Setting, Shape},
};

/// Everything that a configuration is read from. Tests fill it by hand; `main` from the process.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The file that was named with `--config`.
    pub file: Option<PathBuf>,
    /// The folder in which `keyward.toml` is looked for when no file was named.
    pub directory: PathBuf,
    /// The environment.
    pub environment: Vec<(OsString, OsString)>,
    /// Flags: setting and value.
    pub flags: Vec<(&'static str, String)>,
}

impl Sources {
    /// The sources of this process.
    pub fn of_process(file: Option<PathBuf>, flags: Vec<(&'static str, String)>) -> Self {
        Self { file, directory: PathBuf::from("."), environment: std::env::vars_os().collect(), flags }
    }
}

/// One layer: a tree of values, and where each of them stands.
struct Layer {
    name: &'static str,
    values: Dict,
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.name)
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Map::from([(Profile::Default, self.values.clone())]))
    }
}

/// The layers together.
pub(super) struct Layered {
    pub figment: Figment,
    /// (layer, setting) → place.
    places: BTreeMap<(String, String), String>,
    /// The file that was read.
    pub file: Option<PathBuf>,
    /// Whether there is a file that could not be read: what is missing may stand there.
    pub is_unread: bool,
    pub problems: Vec<ConfigProblem>,
}

impl Layered {
    /// Where the value of a setting comes from.
    pub fn source(&self, key: &str) -> String {
        let Some(layer) = self.figment.find_metadata(key).map(|metadata| metadata.name.to_string()) else {
            return "not set".to_owned();
        };
        self.places.get(&(layer.clone(), key.to_owned())).cloned().unwrap_or(layer)
    }

    /// Whether the value of a setting comes from the file.
    pub fn is_from_file(&self, key: &str) -> bool {
        self.figment.find_metadata(key).is_some_and(|metadata| metadata.name == FILE)
    }

    fn add(&mut self, name: &'static str, entries: Vec<(String, Value, String)>) {
        let mut values = Dict::new();
        for (key, value, place) in entries {
            self.places.insert((name.to_owned(), key.clone()), place);
            insert(&mut values, &key, value);
        }
        self.figment = std::mem::take(&mut self.figment).merge(Layer { name, values });
    }

    fn unknown(&mut self, key: &str, place: &str, as_variable: bool) {
        let written = |key: &str| match (as_variable, Setting::find(key)) {
            (true, Some(setting)) => setting.variable(),
            _ => key.to_owned(),
        };
        let mut fix = match suggestion(key) {
            Some(near) => format!("did you mean {}?", written(near)),
            None => "remove it, or look for the name in `keyward config example`".to_owned(),
        };
        if as_variable {
            fix.push_str(" (a variable that begins with KEYWARD_ must be a setting)");
        }
        self.problems.push(ConfigProblem {
            key: key.to_owned(),
            source: place.to_owned(),
            found: Some("a setting that Keyward does not know".to_owned()),
            expected: "the name of a setting".to_owned(),
            fix,
        });
    }
}

const FILE: &str = "file";

/// Reads all layers; what cannot be read is among the problems.
pub(super) fn read(sources: &Sources) -> Layered {
    let mut layered = Layered {
        figment: Figment::new(),
        places: BTreeMap::new(),
        file: None,
        is_unread: false,
        problems: Vec::new(),
    };
    let defaults = SETTINGS.iter().filter_map(|setting| {
        let value = toml_value(setting.default?)?;
        Some((setting.key.to_owned(), encode(setting.shape, value), "default".to_owned()))
    });
    layered.add("default", defaults.collect());
    file_layer(&mut layered, sources);
    environment_layer(&mut layered, sources);
    let flags = sources.flags.iter().map(|(key, value)| {
        let flag = Setting::find(key).and_then(Setting::flag).unwrap_or(key);
        ((*key).to_owned(), Value::from(value.as_str()), format!("flag {flag}"))
    });
    layered.add("flag", flags.collect());
    layered
}

fn file_layer(layered: &mut Layered, sources: &Sources) {
    let named_by_variable = || {
        let found = sources.environment.iter().find(|(name, _)| name.to_str() == Some(FILE_VARIABLE));
        found.map(|(_, path)| (PathBuf::from(path), format!("environment {FILE_VARIABLE}")))
    };
    let named =
        sources.file.clone().map(|path| (path, "flag --config".to_owned())).or_else(named_by_variable);
    let (path, source) = match named {
        Some((path, source)) => (path, Some(source)),
        None => (sources.directory.join("keyward.toml"), None),
    };
    layered.is_unread = true;
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && source.is_none() => {
            layered.is_unread = false;
            return;
        }
        Err(error) => {
            layered.problems.push(ConfigProblem {
                key: "config".to_owned(),
                source: source.unwrap_or_else(|| path.display().to_string()),
                found: Some(format!("{}: {}", path.display(), reason(&error))),
                expected: "a TOML file in UTF-8 that Keyward may read".to_owned(),
                fix: "correct the path, or let the user that runs Keyward read the file".to_owned(),
            });
            return;
        }
    };
    let shown =
        path.file_name().map_or_else(|| path.display().to_string(), |name| name.display().to_string());
    layered.file = Some(path);
    let bad_toml = |line: usize, message: &str| ConfigProblem {
        key: "config".to_owned(),
        source: format!("{shown}:{line}"),
        found: Some(message.lines().collect::<Vec<_>>().join("; ")),
        expected: "TOML, such as listen = \"127.0.0.1:8080\"".to_owned(),
        fix: "correct that line; texts stand in quotes, and a key stands once".to_owned(),
    };
    let document = match ImDocument::parse(text.as_str()) {
        Ok(document) => document,
        Err(error) => {
            let line = error.span().map_or(1, |span| line_of(&text, span.start));
            layered.problems.push(bad_toml(line, error.message()));
            return;
        }
    };
    let Ok(values) = Toml::from_str::<Dict>(&text) else {
        layered.problems.push(bad_toml(1, "values that TOML does not have"));
        return;
    };
    let mut entries = Vec::new();
    let mut unknown = Vec::new();
    collect(&values, &mut Vec::new(), &mut |key, found| {
        let path: Vec<&str> = key.split('.').collect();
        let line = key_offset(document.as_table(), &path).map(|offset| line_of(&text, offset));
        let place = line.map_or_else(|| shown.clone(), |line| format!("{shown}:{line}"));
        match found {
            Some((shape, value)) => entries.push((key.to_owned(), encode(shape, value.clone()), place)),
            None => unknown.push((key.to_owned(), place)),
        }
    });
    for (key, place) in unknown {
        layered.unknown(&key, &place, false);
    }
    layered.is_unread = false;
    layered.add(FILE, entries);
}

fn environment_layer(layered: &mut Layered, sources: &Sources) {
    let mut entries: Vec<(String, Value, String)> = Vec::new();
    for (name, value) in &sources.environment {
        let name = name.to_string_lossy();
        let is_ours = name.get(..PREFIX.len()).is_some_and(|head| head.eq_ignore_ascii_case(PREFIX));
        if !is_ours || name == FILE_VARIABLE || is_of_kubernetes(&name, value) || is_of_bench(&name) {
            continue;
        }
        let place = format!("environment {name}");
        let key = name[PREFIX.len()..].to_lowercase().replace("__", ".");
        let Some(setting) = Setting::find(&key) else {
            layered.unknown(&key, &place, true);
            continue;
        };
        let Some(text) = value.to_str() else {
            layered.problems.push(ConfigProblem {
                key,
                source: place,
                found: None,
                expected: "text in UTF-8".to_owned(),
                fix: format!("set {} to a text without other bytes", setting.variable()),
            });
            continue;
        };
        if let Some((_, _, first)) = entries.iter().find(|(other, ..)| *other == key) {
            layered.problems.push(ConfigProblem {
                key,
                source: format!("{first} and {place}"),
                found: Some("two variables for one setting".to_owned()),
                expected: "one of them".to_owned(),
                fix: format!("keep {} and unset the other", setting.variable()),
            });
            continue;
        }
        entries.push((key, variable_value(setting.shape, text), place));
    }
    layered.add("environment", entries);
}

/// Whether Kubernetes set a variable: it gives every pod the addresses of the services of its
/// namespace, and a service named `keyward` makes variables with our prefix.
fn is_of_kubernetes(name: &str, value: &OsStr) -> bool {
    let rest = name.strip_prefix(PREFIX).unwrap_or_default();
    let is_address = value.to_str().is_some_and(|value| value.contains("://"));
    let is_of_port =
        rest.strip_prefix("PORT_").is_some_and(|port| port.starts_with(|c: char| c.is_ascii_digit()));
    rest == "SERVICE_HOST"
        || rest == "SERVICE_PORT"
        || rest.starts_with("SERVICE_PORT_")
        || is_of_port
        || (rest == "PORT" && is_address)
}

/// Whether a variable is the switch of a bench. In a build that ships it is what it looks like: no setting.
#[cfg(feature = "bench")]
fn is_of_bench(name: &str) -> bool {
    name == super::bench::VARIABLE
}

#[cfg(not(feature = "bench"))]
fn is_of_bench(_name: &str) -> bool {
    false
}

/// A value of the environment, in the shape of its setting where the text allows it. A text stays
/// a text: the client id `007` is not the number 7.
fn variable_value(shape: Shape, text: &str) -> Value {
    let trimmed = text.trim();
    let parsed = match shape {
        Shape::Text => None,
        Shape::Integer => trimmed.parse::<i64>().ok().map(Value::from),
        Shape::List if trimmed.starts_with('[') => toml_value(trimmed),
        Shape::List => {
            Some(Value::from(trimmed.split(',').map(str::trim).filter(|s| !s.is_empty()).collect::<Vec<_>>()))
        }
        Shape::Map => toml_value(trimmed).filter(|value| value.as_dict().is_some()),
    };
    encode(shape, parsed.unwrap_or_else(|| Value::from(text)))
}

fn toml_value(text: &str) -> Option<Value> {
    Toml::from_str::<Dict>(&format!("value = {text}")).ok()?.remove("value")
}

/// A map becomes a list of pairs, so that figment replaces it instead of mixing two layers.
fn encode(shape: Shape, value: Value) -> Value {
    let Some(dict) = value.as_dict().filter(|_| shape == Shape::Map) else { return value };
    let pairs = dict.iter().map(|(key, value)| Value::from(vec![Value::from(key.as_str()), value.clone()]));
    Value::from(pairs.collect::<Vec<_>>())
}

/// Is called with a name, and with the shape and value when the name is a setting.
type Found<'a> = dyn FnMut(&str, Option<(Shape, &Value)>) + 'a;

/// Walks a file's tree down to settings; calls `found` with the value, or with none for a name that
/// is not one.
fn collect(dict: &Dict, path: &mut Vec<String>, found: &mut Found<'_>) {
    for (name, value) in dict {
        path.push(name.clone());
        let key = path.join(".");
        let is_table = SETTINGS
            .iter()
            .any(|setting| setting.key.strip_prefix(key.as_str()).is_some_and(|rest| rest.starts_with('.')));
        match (Setting::find(&key), value.as_dict()) {
            (Some(setting), _) => found(&key, Some((setting.shape, value))),
            (None, Some(dict)) if is_table || !dict.is_empty() => collect(dict, path, found),
            (None, _) => found(&key, None),
        }
        path.pop();
    }
}

fn insert(dict: &mut Dict, key: &str, value: Value) {
    match key.split_once('.') {
        None => {
            dict.insert(key.to_owned(), value);
        }
        Some((table, rest)) => {
            let mut inner = dict.remove(table).and_then(Value::into_dict).unwrap_or_default();
            insert(&mut inner, rest, value);
            dict.insert(table.to_owned(), Value::from(inner));
        }
    }
}

fn key_offset(table: &dyn TableLike, path: &[&str]) -> Option<usize> {
    let (first, rest) = path.split_first()?;
    if rest.is_empty() {
        return table.key(first)?.span().map(|span| span.start);
    }
    key_offset(table.get(first)?.as_table_like()?, rest)
}

fn line_of(text: &str, offset: usize) -> usize {
    text.get(..offset).map_or(1, |before| before.matches('\n').count() + 1)
}

/// The setting that a person probably meant.
fn suggestion(key: &str) -> Option<&'static str> {
    let last = key.rsplit('.').next().unwrap_or(key);
    let likeness = |setting: &Setting| {
        let own_last = setting.key.rsplit('.').next().unwrap_or(setting.key);
        let whole = strsim::normalized_damerau_levenshtein(key, setting.key);
        let end = strsim::normalized_damerau_levenshtein(last, own_last) * 0.95;
        whole.max(end)
    };
    let best = SETTINGS.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
    (likeness(best) >= 0.6).then_some(best.key)
}

/// The reason of an I/O error without the number of the operating system.
pub(super) fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_lowercase()
}

/// A path for a message.
pub(super) fn shown(path: &Path) -> String {
    path.display().to_string()
}
