//! The audit log at the start, and what the command line does with it.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use domain::audit::{
    bundle,
    note::VerifierKey,
    proof::RecordProof,
    verify::{Report, Trust},
};
use ops::{
    Keyward,
    audit::{
        anchors::{Compared, compare, tell_of_rollback},
        examine::examine_store,
        export::{Export, Writer, next_of},
        key_of,
        proof::prove_in,
    },
    vault::MasterKey,
};
use store::{Store, Target};

use super::target;
use crate::{
    cli::{Exit, print},
    config::Config,
    out::{
        anchors::{self, AuditSettings, tail},
        egress::Egress,
    },
};

/// Compares the anchor file with the database, and connects the anchors.
///
/// # Errors
/// An anchor that cannot be used; one that has seen more than the database holds, unless the configuration says
/// to serve all the same.
pub(super) async fn prepare(
    keyward: &Arc<Keyward>,
    settings: AuditSettings,
    egress: &Egress,
) -> Result<(), Exit> {
    if let Some(path) = settings.file.as_deref().filter(|path| path.exists()) {
        let shown = path.display();
        let failed = |error: &dyn std::fmt::Display| {
            Exit::failed(format!("the anchor file {shown} was not compared with the database: {error}"))
        };
        let text = tail(path).map_err(|error| failed(&error))?;
        let compared = compare(keyward, &text).await.map_err(|error| failed(&error))?;
        let told = match &compared {
            Compared::Fits { ignored: 0, .. } => None,
            Compared::Fits { ignored, .. } => {
                tracing::warn!(ignored, path = %shown, "the anchor file holds notes that are not signed by this key");
                None
            }
            Compared::Rollback { size, head } => Some(format!(
                "the database was rolled back: the anchor file {shown} vouches for {size} audit records, the log has \
                 {head}, {} are lost",
                size - head
            )),
            Compared::Fork { size } => Some(format!(
                "the database is another one: its first {size} audit records are not those that the anchor file {shown} \
                 vouches for"
            )),
        };
        if let Some(told) = told {
            tracing::error!(path = %shown, "{told}");
            // What is refused is left as it is: a record more would be written over what was lost.
            if !settings.serves_after_rollback {
                keyward.close().await;
                return Err(Exit::failed(format!(
                    "Keyward does not start, and nothing was changed: {told}. What happened since is lost: keys that were revoked since would be \
                     accepted again. If you restored a backup on purpose, set audit.on_rollback = \"warn\", start, look \
                     through the keys, and begin a new anchor file"
                )));
            }
            let by = format!("The anchor file {shown}");
            tell_of_rollback(keyward, &by, &compared).await.map_err(|error| failed(&error))?;
        }
    }
    keyward.connect_anchors(anchors::of(settings, egress).map_err(Exit::failed)?);
    Ok(())
}

/// What `keyward audit verify` is told.
#[derive(Debug, Default)]
pub struct Verify {
    /// The database, when it is not that of the configuration.
    pub database: Option<String>,
    /// A bundle instead of a database.
    pub export: Option<PathBuf>,
    /// The proof of one record instead of a database.
    pub proof: Option<PathBuf>,
    /// Files that anchors kept.
    pub anchors: Vec<PathBuf>,
    /// Keys of checkpoints.
    pub keys: Vec<String>,
}

impl Verify {
    /// Whether the configuration has nothing to say to it.
    pub fn needs_no_config(&self) -> bool {
        self.export.is_some() || self.proof.is_some() || (self.database.is_some() && !self.keys.is_empty())
    }
}

/// Verifies a database, a bundle, or the proof of one record.
///
/// # Errors
/// The first fault; or what kept it from being looked for.
pub async fn verify(asked: Verify, config: Option<Config>) -> Result<(), Exit> {
    let failed =
        |error: &dyn std::fmt::Display| Exit::failed(format!("the audit chain was not verified: {error}"));
    let mut keys = Vec::new();
    for text in &asked.keys {
        keys.push(VerifierKey::parse(text).map_err(|fault| Exit::failed(format!("--key: {fault}")))?);
    }
    if let Some(config) = config.as_ref().filter(|_| keys.is_empty()) {
        keys.push(key(config)?);
    }
    if let Some(path) = &asked.proof {
        return verify_proof(path, &keys);
    }
    let mut trust = Trust::new(keys);
    let configured =
        config.as_ref().and_then(|config| config.audit.file.as_ref()).filter(|path| path.exists());
    for path in asked.anchors.iter().chain(configured) {
        let bytes =
            std::fs::read(path).map_err(|error| Exit::failed(format!("{}: {error}", path.display())))?;
        trust.add_anchor(&format!("the anchor {}", path.display()), &String::from_utf8_lossy(&bytes));
    }
    if let Some(path) = &asked.export {
        return verify_export(path, &trust);
    }
    let target = match (&asked.database, &config) {
        (Some(url), _) => Target::parse(url).map_err(|error| Exit::failed(format!("--database: {error}")))?,
        (None, Some(config)) => target(config)?,
        (None, None) => return Err(Exit::failed("--database or a configuration was expected")),
    };
    let store = Store::open(target).await.map_err(|error| failed(&error))?;
    let report = examine_store(&store, &trust).await.map_err(|error| failed(&error));
    store.close().await;
    told(&report?)
}

fn told(report: &Report) -> Result<(), Exit> {
    if report.fault.is_some() {
        return Err(Exit::failed(format!("The audit chain is broken: {}.", report.words())));
    }
    print(&format!("{}\n", report.words()))
}

fn verify_export(path: &Path, trust: &Trust) -> Result<(), Exit> {
    let failed = |error: &dyn std::fmt::Display| Exit::failed(format!("{}: {error}", path.display()));
    let file = std::fs::File::open(path).map_err(|error| failed(&error))?;
    let lines = BufReader::new(file).lines().map(|line| line.map_err(|error| error.to_string()));
    let checked = bundle::check(lines, trust).map_err(|fault| failed(&fault))?;
    if trust.keys().is_empty() {
        print(&format!(
            "No key was given: signatures were not checked. The file names {}, which proves nothing by itself.\n",
            checked.header.key
        ))?;
    } else if !checked.is_known_key {
        return Err(failed(&format!("it is signed with another key, {}", checked.header.key)));
    }
    told(&checked.report)
}

fn verify_proof(path: &Path, keys: &[VerifierKey]) -> Result<(), Exit> {
    let failed = |error: &dyn std::fmt::Display| Exit::failed(format!("{}: {error}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| failed(&error))?;
    let proof = RecordProof::parse(&text).map_err(|fault| failed(&fault))?;
    let proven = proof.verify(keys).map_err(|fault| failed(&fault))?;
    let entry = &proof.entry;
    let what = format!(
        "record {}: {} {} {} {}",
        entry.seq,
        ops::rfc3339(entry.at_ms),
        entry.actor_name,
        entry.action,
        entry.target.as_deref().unwrap_or_default()
    );
    print(&if proven.is_signed {
        format!(
            "Proven: {}\nIt is in the log {}, in its checkpoint over {} records.\n",
            what.trim_end(),
            proven.checkpoint.origin,
            proven.checkpoint.size
        )
    } else {
        format!(
            "The path leads from {} to a checkpoint of {}.\nNobody vouches for that checkpoint: give --key.\n",
            what.trim_end(),
            proven.checkpoint.origin
        )
    })
}

/// The key of an installation.
///
/// # Errors
/// The master key is refused.
pub fn key(config: &Config) -> Result<VerifierKey, Exit> {
    let master_key = MasterKey::new(*config.master_key.expose());
    key_of(&master_key, config.audit.origin.as_deref()).map_err(Exit::failed)
}

/// Prints the proof of one record, or writes it to a file.
///
/// # Errors
/// There is no such record, or no checkpoint over it yet.
pub async fn proof(config: Config, seq: i64, out: Option<PathBuf>) -> Result<(), Exit> {
    let failed =
        |error: &dyn std::fmt::Display| Exit::failed(format!("record {seq} was not proven: {error}"));
    let store = Store::open(target(&config)?).await.map_err(|error| failed(&error))?;
    let proven = async {
        let mut reader = store.read().await.map_err(|error| failed(&error))?;
        prove_in(&mut reader.conn(), seq).await.map_err(|error| failed(&error))
    };
    let proven = proven.await;
    store.close().await;
    let Some((proof, _)) = proven? else {
        return Err(failed(&"no checkpoint is over it yet; a server that runs signs one within a minute"));
    };
    match out {
        Some(path) => std::fs::write(&path, proof.text()).map_err(|error| failed(&error)),
        None => print(&proof.text()),
    }
}

/// Writes a bundle that was agreed to.
///
/// # Errors
/// The log is not whole, or the file cannot be written: it is there already, or the disk is full.
pub async fn export(config: &Config, export: Export, path: &Path) -> Result<(), Exit> {
    let failed =
        |error: &dyn std::fmt::Display| Exit::failed(format!("{} was not written: {error}", path.display()));
    let (from, to) = (export.from, export.to);
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path).map_err(|error| failed(&error))?;
    let store = Store::open(target(config)?).await.map_err(|error| failed(&error))?;
    let mut writer = Writer::new(export);
    let written = async {
        while let Some(lines) = next_of(&store, &mut writer).await.map_err(|error| failed(&error))? {
            file.write_all(lines.as_bytes()).map_err(|error| failed(&error))?;
        }
        file.sync_all().map_err(|error| failed(&error))
    };
    let written = written.await;
    store.close().await;
    written?;
    print(&format!(
        "{}: records {from} to {to}. Check it with keyward audit verify --export.\n",
        path.display()
    ))
}
