//! `keyward keys` and `keyward rotations`: what the dashboard does, for the day when it is down.

use clap::{Args, Subcommand};

use super::SettingArgs;
use crate::control::{Ask, Move};

/// How a command finds the installation, and how it answers.
#[derive(Debug, Args)]
pub struct Manner {
    /// Answer in JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: SettingArgs,
}

#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// List keys, what needs attention first.
    #[command(
        after_help = "Examples:\n  keyward keys list\n  keyward keys list --federation okta-production --accepted --json"
    )]
    List {
        /// Only the keys of this federation
        #[arg(long, value_name = "SLUG")]
        federation: Option<String>,
        /// Only keys that are accepted now
        #[arg(long)]
        accepted: bool,
        #[command(flatten)]
        manner: Manner,
    },
    /// Show one key: what it may do, when it was used, when it ends.
    Show {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        manner: Manner,
    },
    /// Issue a successor; both keys work until the old one has fallen silent.
    #[command(
        long_about = "Issue a successor; both keys work until the old one has fallen silent.\n\n\
        The successor is delivered as the federation is set up: by a connector, or as a hand-off to its owners. \
        With --show-secret it is printed here once instead, to standard output, and nobody can show it again.",
        after_help = "Examples:\n  keyward keys rotate okta-prod-1\n  keyward keys rotate okta-prod-1 --show-secret > key"
    )]
    Rotate {
        #[command(flatten)]
        which: Which,
        /// How long the successor lives, in days; as the policy says when not given
        #[arg(long, value_name = "DAYS")]
        lifetime_days: Option<i64>,
        /// Print the secret of the successor, once
        #[arg(long)]
        show_secret: bool,
        #[command(flatten)]
        manner: Manner,
    },
    /// Answer 503 with Retry-After to a key until it is released; nothing is lost.
    #[command(
        after_help = "Example:\n  keyward keys hold okta-prod-1 --reason 'looking into strange deletions'"
    )]
    Hold {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        reason: Reason,
        #[command(flatten)]
        manner: Manner,
    },
    /// Accept a held key again.
    Release {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        manner: Manner,
    },
    /// End a key at once. Whoever still uses it is cut off.
    #[command(
        long_about = "End a key at once. Whoever still uses it is cut off, and gets 401.\n\n\
        To stop it without cutting anybody off, hold it; to replace it, rotate it; when it is in wrong hands, report \
        a compromise.",
        after_help = "Example:\n  keyward keys revoke okta-prod-1 --reason 'the contract has ended'"
    )]
    Revoke {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        reason: Reason,
        #[command(flatten)]
        manner: Manner,
    },
    /// Report that a key is in wrong hands: it is held, a successor is issued and delivered, a case is opened.
    #[command(
        long_about = "Report that a key is in wrong hands: it is held, a successor is issued and delivered, and a case \
        is opened that keeps the time of each step until the first good request.\n\n\
        Held means that the thief and the provider get 503, and the provider tries again: nothing is lost. With \
        --revoke the key ends at once, and the provider gets 401 until it has the successor.",
        after_help = "Example:\n  keyward keys compromise okta-prod-1 --reason 'found in a public repository'"
    )]
    Compromise {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        reason: Reason,
        /// End the key at once instead of holding it
        #[arg(long)]
        revoke: bool,
        #[command(flatten)]
        manner: Manner,
    },
}

#[derive(Debug, Subcommand)]
pub enum RotationsCommand {
    /// List the rotations that are under way: what each waits for and since when.
    #[command(
        after_help = "Examples:\n  keyward rotations list\n  keyward rotations list --federation okta-production --json"
    )]
    List {
        /// Only the rotations of this federation
        #[arg(long, value_name = "SLUG")]
        federation: Option<String>,
        #[command(flatten)]
        manner: Manner,
    },
    /// Show one rotation.
    Show {
        #[command(flatten)]
        which: Rotation,
        #[command(flatten)]
        manner: Manner,
    },
    /// Stop a rotation where it stands: nothing is delivered and nothing retires until it is released.
    Hold(MoveArgs),
    /// Let a held rotation go on.
    Release {
        #[command(flatten)]
        which: Rotation,
        #[command(flatten)]
        manner: Manner,
    },
    /// Retire the old key now, without waiting for its silence. Refused before the new key has worked.
    Finish(MoveArgs),
    /// Withdraw the successor; the old key goes on alone. Refused once the new key has worked.
    #[command(name = "roll-back")]
    RollBack(MoveArgs),
}

#[derive(Debug, Args)]
pub struct Which {
    /// The id of the key, or its name
    #[arg(value_name = "KEY")]
    key: String,
}

#[derive(Debug, Args)]
pub struct Rotation {
    /// The id of the rotation, as `keyward rotations list` shows it
    #[arg(value_name = "ROTATION")]
    rotation: String,
}

#[derive(Debug, Args)]
pub struct Reason {
    /// Why; it is kept in the audit log
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

#[derive(Debug, Args)]
pub struct MoveArgs {
    #[command(flatten)]
    which: Rotation,
    #[command(flatten)]
    reason: Reason,
    #[command(flatten)]
    manner: Manner,
}

impl KeysCommand {
    pub fn understood(self) -> (Ask, Manner) {
        match self {
            Self::List { federation, accepted, manner } => {
                (Ask::Keys { federation, accepted_only: accepted }, manner)
            }
            Self::Show { which, manner } => (Ask::Key { key: which.key }, manner),
            Self::Rotate { which, lifetime_days, show_secret, manner } => {
                (Ask::RotateKey { key: which.key, lifetime_days, show_secret }, manner)
            }
            Self::Hold { which, reason, manner } => {
                (Ask::HoldKey { key: which.key, reason: reason.reason }, manner)
            }
            Self::Release { which, manner } => (Ask::ReleaseKey { key: which.key }, manner),
            Self::Revoke { which, reason, manner } => {
                (Ask::RevokeKey { key: which.key, reason: reason.reason }, manner)
            }
            Self::Compromise { which, reason, revoke, manner } => {
                (Ask::CompromiseKey { key: which.key, reason: reason.reason, revoke }, manner)
            }
        }
    }
}

impl RotationsCommand {
    pub fn understood(self) -> (Ask, Manner) {
        let (step, MoveArgs { which, reason, manner }) = match self {
            Self::List { federation, manner } => return (Ask::Rotations { federation }, manner),
            Self::Show { which, manner } => return (Ask::Rotation { rotation: which.rotation }, manner),
            Self::Hold(arguments) => (Move::Hold, arguments),
            Self::Release { which, manner } => {
                let (rotation, step) = (which.rotation, Move::Release);
                return (Ask::MoveRotation { rotation, step, reason: String::new() }, manner);
            }
            Self::Finish(arguments) => (Move::Finish, arguments),
            Self::RollBack(arguments) => (Move::RollBack, arguments),
        };
        (Ask::MoveRotation { rotation: which.rotation, step, reason: reason.reason }, manner)
    }
}

impl Manner {
    pub fn take(self) -> (bool, SettingArgs) {
        (self.json, self.settings)
    }
}
