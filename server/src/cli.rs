//! The command line.
//!
//! Exit codes: 0 done, 1 failed, 2 not understood, 78 a setting cannot be used. To add a command,
//! add a variant and its line in [`run`].

mod audit;
mod keys;
mod operate;
mod say;

use std::{ffi::OsString, io::Write as _, net::SocketAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand};

use crate::{
    config::{self, Config, ConfigProblem, ConfigProblems, MasterKeyBytes, Sources},
    control::Ask,
    logging, probe, serve,
    tasks::clock::OsEntropy,
};

/// Why the program ends without having done what was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exit {
    /// The exit code.
    pub code: u8,
    /// What is printed to standard error.
    pub message: String,
}

impl Exit {
    /// It failed: exit code 1.
    pub fn failed(message: impl Into<String>) -> Self {
        Self { code: 1, message: message.into() }
    }

    /// A setting cannot be used: exit code 78.
    pub fn config(problems: &ConfigProblems) -> Self {
        Self { code: config::EXIT_CODE, message: problems.to_string() }
    }
}

impl From<ConfigProblems> for Exit {
    fn from(problems: ConfigProblems) -> Self {
        Self::config(&problems)
    }
}

impl From<ConfigProblem> for Exit {
    fn from(problem: ConfigProblem) -> Self {
        Self::config(&ConfigProblems(vec![problem]))
    }
}

/// Control plane for the keys that identity providers use to provision over SCIM.
///
/// Keyward registers federations, issues scoped keys to their identity providers, rotates them
/// while both keys are accepted, and keeps a record of every change and every use.
#[derive(Debug, Parser)]
#[command(
    name = "keyward",
    version,
    propagate_version = false,
    after_help = "Look around:          keyward demo\n\
                  Set up:               keyward master-key generate --out master.key\n                      \
                                        keyward config example > keyward.toml    (then fill it in)\n                      \
                                        keyward config check\n\
                  Run:                  keyward serve\n\
                  In an emergency:      keyward keys hold KEY --reason TEXT\n\n\
                  Exit codes: 0 done, 1 failed, 2 not understood, 78 a setting cannot be used."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run Keyward until it is told to stop (SIGTERM or Ctrl-C).
    #[command(
        long_about = "Run Keyward until it is told to stop (SIGTERM or Ctrl-C).\n\n\
        Settings come from defaults, then keyward.toml in the current folder, then the environment \
        (KEYWARD_OIDC__ISSUER is oidc.issuer in the file), then flags; the later one counts. Secrets are \
        never flags: put them into a file and name it, as in KEYWARD_MASTER_KEY_FILE=/run/secrets/master_key.\n\n\
        At the stop, /readyz says 503 first, requests under way are finished, and the exit code is 0.",
        after_help = "Examples:\n  \
        keyward serve\n  \
        keyward serve --config /etc/keyward/keyward.toml --log-format json\n  \
        KEYWARD_PUBLIC_URL=https://keyward.example.com keyward serve --listen 0.0.0.0:8080"
    )]
    Serve(SettingArgs),
    /// Run a throw-away instance on this machine, with lifelike data and its own identity provider.
    #[command(
        long_about = "Run a throw-away instance on this machine: SQLite in a temporary folder, an identity \
        provider that signs in whoever asks, and a simulated provider that provisions users with a real key.\n\n\
        Because anybody may sign in, it listens on loopback addresses only.",
        after_help = "Examples:\n  keyward demo\n  keyward demo --listen 127.0.0.1:9000"
    )]
    Demo(DemoArgs),
    /// Check or explain the configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Bring the database to the newest schema; `serve` does it too.
    #[command(
        long_about = "Bring the database to the newest schema, and end. `keyward serve` does it at its start; \
        run it by hand to see that it works before the new version serves. A database that is newer than \
        this program is left alone, with a sentence that says so.",
        after_help = "Example:\n  keyward migrate --config /etc/keyward/keyward.toml"
    )]
    Migrate(SettingArgs),
    /// Verify, export and prove the audit log.
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// List, rotate, hold and end keys: what the dashboard does, for the day when it is down.
    #[command(
        subcommand,
        long_about = "List, rotate, hold and end keys: what the dashboard does, for the day when it is down.\n\n\
        A server that runs is asked through the socket keyward.sock in its data folder, which only its user and root \
        may open. When none runs, and always on Postgres, the database is opened with the settings of the server. \
        The audit log names the user of this machine."
    )]
    Keys(keys::KeysCommand),
    /// List the rotations that are under way, and stop, finish or withdraw one.
    #[command(
        subcommand,
        long_about = "List the rotations that are under way, and stop, finish or withdraw one.\n\n\
        The installation is found as by `keyward keys`."
    )]
    Rotations(keys::RotationsCommand),
    /// Probe a SCIM service with what providers send, before anything is forwarded to it.
    #[command(
        long_about = "Probe a SCIM service with what providers send, before anything is forwarded to it: sign in, \
        read what it says about itself, create users and groups with names of their own, change them as Entra ID, \
        Okta and others do, and delete them again. Prints what it found and what a gateway must make up for.\n\n\
        The token stands in a file, because a command line is visible to every user of the machine. With \
        --federation the service and the credential are those of a federation of this installation.",
        after_help = "Exit code 0 when nothing failed, 1 otherwise.\n\n\
        Examples:\n  \
        keyward probe --url https://scim.example.com/v2 --token-file token\n  \
        keyward probe --federation okta-production --config /etc/keyward/keyward.toml"
    )]
    Probe(ProbeArgs),
    /// Make the key that seals the secrets in the database.
    #[command(name = "master-key", subcommand)]
    MasterKey(MasterKeyCommand),
    /// Print the version.
    Version,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Print every setting, its value (never a secret) and where it came from.
    #[command(after_help = "Exit code 78 when a setting cannot be used; every problem is named at once.\n\n\
        Example:\n  keyward config check --config /etc/keyward/keyward.toml")]
    Check(SettingArgs),
    /// Print a keyward.toml with every setting explained.
    #[command(after_help = "Example:\n  keyward config example > keyward.toml")]
    Example,
}

#[derive(Debug, Subcommand)]
enum MasterKeyCommand {
    /// Make a new master key: 32 random bytes in base64.
    #[command(
        long_about = "Make a new master key: 32 random bytes in base64, printed, or written to a new file that only \
        its owner may read.\n\nIt seals the secrets in the database, and the hashes of provisioning keys depend on it. Keep a copy in a safe place, apart from the \
        backups: who has both can read the secrets, and without it no key is accepted any more.",
        after_help = "Examples:\n  keyward master-key generate --out /etc/keyward/master.key\n  \
        keyward master-key generate"
    )]
    Generate {
        /// Write it to this file, which must not exist yet.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

/// Flags that name or override settings.
#[derive(Debug, Args)]
struct SettingArgs {
    /// The configuration file; without it `KEYWARD_CONFIG` names it, or it is `keyward.toml` in the current folder
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The address that browsers use, such as `https://keyward.example.com`
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
    /// Where to listen, such as 0.0.0.0:8080
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Where to answer /metrics, such as 127.0.0.1:9090
    #[arg(long, value_name = "ADDRESS")]
    metrics_listen: Option<String>,
    /// The folder of the SQLite database
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<String>,
    /// json or text
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
    /// error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
}

impl SettingArgs {
    fn sources(self) -> Sources {
        let flags = [
            ("public_url", self.public_url),
            ("listen", self.listen),
            ("metrics_listen", self.metrics_listen),
            ("data_dir", self.data_dir),
            ("log.format", self.log_format),
            ("log.level", self.log_level),
        ];
        let given = flags.into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
        Sources::of_process(self.config, given)
    }
}

#[derive(Debug, Args)]
struct DemoArgs {
    /// Where to listen; a loopback address
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: String,
    /// Keep the data in this folder, which must be new or empty, instead of a temporary one
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct ProbeArgs {
    /// The SCIM base of the service, such as `https://scim.example.com/v2`
    #[arg(long, value_name = "URL", required_unless_present = "federation", requires = "token_file")]
    url: Option<String>,
    /// A file that holds the bearer token
    #[arg(long, value_name = "FILE", requires = "url")]
    token_file: Option<PathBuf>,
    /// Probe the upstream of this federation, with its credential
    #[arg(long, value_name = "SLUG", conflicts_with = "url")]
    federation: Option<String>,
    /// Print the quirks alone, as JSON
    #[arg(long)]
    quirks: bool,
    #[command(flatten)]
    settings: SettingArgs,
}

/// What a demo may be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DemoOptions {
    /// Where it listens; loopback.
    pub listen: SocketAddr,
    /// The folder of its data; none for a temporary one.
    pub data_dir: Option<PathBuf>,
}

/// Understands the arguments of the process and does what they say; the result is the exit code.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            let code = u8::try_from(error.exit_code()).unwrap_or(2);
            return if error.print().is_ok() { code } else { 1 };
        }
    };
    match run(cli.command) {
        Ok(()) => 0,
        Err(exit) => {
            // Nobody can be told when standard error is closed; the code still says it.
            let _ = writeln!(std::io::stderr(), "{}", exit.message);
            exit.code
        }
    }
}

fn run(command: Command) -> Result<(), Exit> {
    match command {
        Command::Serve(arguments) => {
            let config = with_logging(arguments)?;
            in_runtime(serve::run(config))
        }
        Command::Demo(arguments) => {
            let listen = config::demo_address(&arguments.listen)?;
            // The address is what a person looks for; requests would bury it.
            logging::start(config::Logging { format: None, level: config::LogLevel::Warn });
            in_runtime(serve::demo(DemoOptions { listen, data_dir: arguments.data_dir }))
        }
        Command::Config(ConfigCommand::Check(arguments)) => {
            let config = Config::load(&arguments.sources())?;
            print(&config::table(&config.origins))
        }
        Command::Config(ConfigCommand::Example) => print(&config::example()),
        Command::Migrate(arguments) => {
            let config = with_logging(arguments)?;
            in_runtime(serve::migrate(config))
        }
        Command::Audit(command) => audit::run(command),
        Command::Keys(command) => run_ask(command.understood()),
        Command::Rotations(command) => run_ask(command.understood()),
        Command::Probe(ProbeArgs { url: Some(url), token_file: Some(file), quirks, .. }) => {
            in_runtime(probe::of_url(url, file, quirks))
        }
        Command::Probe(ProbeArgs { federation, quirks, settings, .. }) => {
            let config = with_logging(settings)?;
            in_runtime(probe::of_federation(config, federation.unwrap_or_default(), quirks))
        }
        Command::MasterKey(MasterKeyCommand::Generate { out }) => generate_master_key(out),
        Command::Version => print(concat!("keyward ", env!("CARGO_PKG_VERSION"), "\n")),
    }
}

fn run_ask((ask, manner): (Ask, keys::Manner)) -> Result<(), Exit> {
    let (json, settings) = manner.take();
    let config = Config::load(&settings.sources())?;
    // What is printed is the answer; what goes wrong is said in a sentence.
    logging::start(config::Logging { level: config::LogLevel::Error, ..config.logging });
    in_runtime(operate::operate(config, ask, json))
}

fn with_logging(arguments: SettingArgs) -> Result<Config, Exit> {
    let config = Config::load(&arguments.sources())?;
    logging::start(config.logging);
    Ok(config)
}

fn in_runtime(work: impl Future<Output = Result<(), Exit>>) -> Result<(), Exit> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Exit::failed(format!("threads could not be started: {error}")))?;
    let result = runtime.block_on(work);
    // What still blocks, such as a name lookup, does not hold the end up.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    result
}

fn generate_master_key(out: Option<PathBuf>) -> Result<(), Exit> {
    let key = MasterKeyBytes::generate(&OsEntropy);
    let Some(path) = out else {
        return print(&format!("{}\n", key.to_base64().as_str()));
    };
    key.write_new(&path).map_err(|error| {
        Exit::failed(format!("{} was not written, and no key was made: {error}", path.display()))
    })?;
    print(&format!(
        "A new master key is in {0}. Only its owner may read it.\n\
         Keep a copy in a safe place, apart from the backups: without it no key is accepted any more.\n\
         Use it with master_key_file = {0:?} or KEYWARD_MASTER_KEY_FILE={0}\n",
        path.display().to_string()
    ))
}

/// Prints to standard output; a reader that has gone away, as in `| head`, is no failure.
pub fn print(text: &str) -> Result<(), Exit> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Exit::failed(format!("standard output: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_flag_of_the_settings_table_is_understood() {
        for (key, flag) in config::settings::FLAGS {
            let cli = Cli::try_parse_from(["keyward", "serve", flag, "value"]).expect("the flag exists");
            let Command::Serve(arguments) = cli.command else { panic!("serve is another command") };
            assert_eq!(arguments.sources().flags, [(*key, "value".to_owned())]);
        }
    }
}
