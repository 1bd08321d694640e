//! What the configuration has decided, for people to read. Nothing here can be changed.

use std::sync::OnceLock;

use domain::admins::{Admin, Right};

use crate::{Cx, Error, Keyward};

/// A setting as it may be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// Its name: `oidc.issuer`.
    pub key: String,
    /// Its value; of a secret only whether it is set.
    pub value: String,
    /// Where it comes from; empty when it is not set.
    pub source: String,
}

/// What the process was started with.
#[derive(Default)]
pub(crate) struct Runtime(OnceLock<Vec<Decided>>);

/// What there is to say of the installation.
#[derive(Debug, Clone)]
pub struct Configuration {
    /// Every setting; none when nothing was configured, as in the demo.
    pub settings: Vec<Decided>,
    /// `SQLite` or `Postgres`.
    pub database: &'static str,
}

impl Keyward {
    /// Says what the configuration decided. The first word counts.
    pub fn show_settings(&self, settings: Vec<Decided>) {
        let _ = self.configuration.0.set(settings);
    }
}

/// The configuration, for whoever may see the installation.
///
/// # Errors
/// NotFound for whoever may not see the installation.
pub fn read(cx: &Cx<Admin>) -> Result<Configuration, Error> {
    if !cx.actor.role.may(Right::ReadInstallation, None) {
        return Err(Error::NotFound("page"));
    }
    let database = match cx.keyward.store.engine() {
        store::Engine::Sqlite => "SQLite",
        store::Engine::Postgres => "Postgres",
    };
    Ok(Configuration { settings: cx.keyward.configuration.0.get().cloned().unwrap_or_default(), database })
}
