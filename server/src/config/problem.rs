//! A setting that cannot be used, in the words of the person who must put it right.

use std::fmt;

/// One setting that cannot be used. The value of a secret is never in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigProblem {
    /// The setting, such as `oidc.issuer`.
    pub key: String,
    /// Where the value came from: `keyward.toml:12`, `environment KEYWARD_LISTEN`,
    /// `flag --listen`, `default` or `not set`.
    pub source: String,
    /// What was found; never for secrets.
    pub found: Option<String>,
    /// What was expected.
    pub expected: String,
    /// What to do.
    pub fix: String,
}

impl fmt::Display for ConfigProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} ({})", self.key, self.source)?;
        if let Some(found) = &self.found {
            writeln!(f, "  found     {}", indent(found))?;
        }
        writeln!(f, "  expected  {}", indent(&self.expected))?;
        write!(f, "  fix       {}", indent(&self.fix))
    }
}

fn indent(text: &str) -> String {
    text.replace('\n', "\n            ")
}

/// Everything that is wrong with a configuration, at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigProblems(pub Vec<ConfigProblem>);

impl fmt::Display for ConfigProblems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.len() {
            1 => writeln!(f, "Keyward cannot start: a setting cannot be used.")?,
            count => writeln!(f, "Keyward cannot start: {count} settings cannot be used.")?,
        }
        for problem in &self.0 {
            write!(f, "\n{problem}\n")?;
        }
        write!(f, "\n`keyward config example` prints every setting with an explanation.")
    }
}

impl std::error::Error for ConfigProblems {}

impl From<ConfigProblem> for ConfigProblems {
    fn from(problem: ConfigProblem) -> Self {
        Self(vec![problem])
    }
}

/// What a value should have been, before it is known which setting it is.
pub(super) struct Fault {
    pub expected: String,
    pub fix: String,
}

impl Fault {
    pub fn new(expected: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { expected: expected.into(), fix: fix.into() }
    }
}
