//! Carries a question to whoever has the database, and prints what comes back.
//!
//! On SQLite a server that runs has the file: it is asked through its socket. When none runs, and
//! always on Postgres, the command opens the database itself, with the settings of the server.

use std::{io::Write as _, path::PathBuf};

use super::{Exit, print, say};
use crate::{
    config::{Config, DatabaseKind},
    control::{Answer, Ask, Refused, carry_out, person::Person, socket},
    serve,
};

/// Asks, and prints the answer.
///
/// # Errors
/// What was refused, or kept the installation from being reached.
pub async fn operate(config: Config, ask: Ask, json: bool) -> Result<(), Exit> {
    let (answer, is_served) = asked(&config, &ask).await?;
    if let Some(aside) = say::aside(&answer).filter(|_| !json) {
        // Nobody can be told when standard error is closed.
        let _ = writeln!(std::io::stderr(), "{aside}");
    }
    let text = if json { say::as_json(&answer)? } else { say::in_words(&answer, is_served) };
    print(&text)
}

/// Asks; whether a server that runs has answered.
///
/// # Errors
/// As [`operate`].
pub async fn asked(config: &Config, ask: &Ask) -> Result<(Answer, bool), Exit> {
    let person = Person::of_process();
    let by_socket = match config.database_kind {
        DatabaseKind::Postgres => None,
        DatabaseKind::Sqlite => through_socket(config, &person, ask).await?,
    };
    let (said, is_served) = match by_socket {
        Some(said) => (said, true),
        None => (Box::pin(by_itself(config, &person, ask)).await?, false),
    };
    let answer = said.map_err(|refused| Exit::failed(format!("{}.", refused.message)))?;
    Ok((answer, is_served))
}

async fn through_socket(
    config: &Config,
    person: &Person,
    ask: &Ask,
) -> Result<Option<Result<Answer, Refused>>, Exit> {
    socket::ask(&config.data_dir, person, ask).await.map_err(|error| {
        let path = socket::path_in(&config.data_dir);
        Exit::failed(format!(
            "the server was asked through {} and did not answer: {error}. Look at what was done before you repeat it",
            path.display()
        ))
    })
}

async fn by_itself(config: &Config, person: &Person, ask: &Ask) -> Result<Result<Answer, Refused>, Exit> {
    if let Some(path) = sqlite_file(config)
        && !path.exists()
    {
        return Err(Exit::failed(format!(
            "there is no database at {}: run this with the settings of the server",
            path.display()
        )));
    }
    let keyward = serve::open_as_configured(config).await?;
    let said = Box::pin(carry_out(&person.cx(&keyward), ask.clone())).await;
    keyward.close().await;
    Ok(said)
}

fn sqlite_file(config: &Config) -> Option<PathBuf> {
    let url = config.database_url.expose();
    let path = url.strip_prefix("sqlite:")?;
    Some(PathBuf::from(path.split('?').next().unwrap_or(path)))
}
