//! `keyward audit`: verify the log, export it, prove one record, and the key that proves.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Exit, SettingArgs, in_runtime, logging, operate, print};
use crate::{
    config::{self, Config},
    control::{Answer, Ask},
    serve::audit::{self, Verify},
};

#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Walk the audit log and compare it with every checkpoint and anchor; name the first fault.
    #[command(
        long_about = "Walk the audit log from its first record, and compare it with every signed checkpoint and with what \
        anchors kept outside. The first fault is named with its class and its place: edit, deletion, reorder, insertion, \
        truncation, forgery, rollback, replacement.\n\n\
        Without an anchor nothing outside of the database vouches for it, and the answer says so: \"unanchored since \
        record N\", never \"verified\". An anchor is any file in which checkpoints were kept: the anchor file, lines of \
        syslog, bodies of webhooks.",
        after_help = "Exit code 0 when the chain is whole, 1 when it is not.\n\n\
        Examples:\n  \
        keyward audit verify --config /etc/keyward/keyward.toml\n  \
        keyward audit verify --database sqlite:copy.db --key \"$VKEY\" --anchor /mnt/worm/keyward.anchor\n  \
        keyward audit verify --export audit.jsonl --key \"$VKEY\" --anchor syslog.txt\n  \
        keyward audit verify --proof record-7.tlog-proof --key \"$VKEY\""
    )]
    Verify(VerifyArgs),
    /// Write records to a file that proves itself; the export is on record too.
    #[command(
        after_help = "Examples:\n  keyward audit export audit.jsonl\n  keyward audit export --from 1000 --to 2000 part.jsonl"
    )]
    Export {
        /// The file, which must not exist yet
        file: PathBuf,
        /// The first record
        #[arg(long, value_name = "N")]
        from: Option<i64>,
        /// The last record; without it, up to this export
        #[arg(long, value_name = "M")]
        to: Option<i64>,
        #[command(flatten)]
        settings: SettingArgs,
    },
    /// Print the proof that one record is in the log.
    #[command(after_help = "Example:\n  keyward audit proof 7 --out record-7.tlog-proof")]
    Proof {
        /// The number of the record
        seq: i64,
        /// Write it to this file
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        #[command(flatten)]
        settings: SettingArgs,
    },
    /// Print the key that checkpoints of this installation are verified with.
    #[command(
        long_about = "Print the key that checkpoints of this installation are verified with. It is public: keep it outside, \
        with whoever verifies. The private key is derived from the master key and kept nowhere.",
        after_help = "Example:\n  keyward audit key > keyward.vkey"
    )]
    Key(SettingArgs),
}

/// What is verified, and by what.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// The database, such as sqlite:copy.db; without it that of the configuration
    #[arg(long, value_name = "URL", conflicts_with_all = ["export", "proof"])]
    database: Option<String>,
    /// A file that `keyward audit export` wrote, instead of a database
    #[arg(long, value_name = "FILE", conflicts_with = "proof")]
    export: Option<PathBuf>,
    /// A file that `keyward audit proof` wrote, instead of a database
    #[arg(long, value_name = "FILE")]
    proof: Option<PathBuf>,
    /// A file in which checkpoints were kept; may be given several times
    #[arg(long, value_name = "FILE")]
    anchor: Vec<PathBuf>,
    /// The key of the checkpoints, as `keyward audit key` prints it; may be given several times
    #[arg(long, value_name = "VKEY")]
    key: Vec<String>,
    #[command(flatten)]
    settings: SettingArgs,
}

pub(super) fn run(command: AuditCommand) -> Result<(), Exit> {
    match command {
        AuditCommand::Verify(arguments) => {
            let VerifyArgs { database, export, proof, anchor, key, settings } = arguments;
            let asked = Verify { database, export, proof, anchors: anchor, keys: key };
            let config = if asked.needs_no_config() { None } else { Some(quiet(settings)?) };
            in_runtime(audit::verify(asked, config))
        }
        AuditCommand::Export { file, from, to, settings } => {
            let config = quiet(settings)?;
            if file.exists() {
                return Err(Exit::failed(format!("{} is there already", file.display())));
            }
            in_runtime(async move {
                match operate::asked(&config, &Ask::ExportAudit { from, to }).await?.0 {
                    Answer::Export(export) => audit::export(&config, export, &file).await,
                    Answer::Keys(_)
                    | Answer::Key(_)
                    | Answer::Begun(_)
                    | Answer::Rotations(_)
                    | Answer::Rotation(_)
                    | Answer::Case(_) => {
                        Err(Exit::failed("the server gave another answer: is it of this version?"))
                    }
                }
            })
        }
        AuditCommand::Proof { seq, out, settings } => {
            let config = quiet(settings)?;
            in_runtime(audit::proof(config, seq, out))
        }
        AuditCommand::Key(settings) => {
            let config = quiet(settings)?;
            print(&format!("{}\n", audit::key(&config)?))
        }
    }
}

/// What is printed is the answer; what goes wrong is said in a sentence.
fn quiet(settings: SettingArgs) -> Result<Config, Exit> {
    let config = Config::load(&settings.sources())?;
    logging::start(config::Logging { level: config::LogLevel::Error, ..config.logging });
    Ok(config)
}
