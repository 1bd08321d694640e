//! What is to be written, so that it can wait in the database: acts, in units.

use domain::{JournalId, Millis, journal::Image};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Error;

/// The most resources of a unit of the directory that is kept here.
pub(super) const RESOURCES: usize = 100;

/// At an upstream each has a unit of its own: each is a call of its own.
pub(super) const AT_UPSTREAM: usize = 1;

/// The most members that one unit puts into groups or takes out.
const MEMBERS: usize = 2_000;

/// One attribute to be set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Set {
    /// The attribute.
    pub top: String,
    /// The one inside of it, of an extension.
    pub inner: Option<String>,
    /// What it must be when it is set.
    pub from: Option<Value>,
    /// What it becomes; nothing takes it away.
    pub to: Option<Value>,
}

/// What is to be done. Names are freed before they are taken, resources are there before they join.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Act {
    /// Deletes what the chosen changes created.
    Remove {
        group: bool,
        id: String,
        name: String,
        /// Also when it was changed since.
        #[serde(default)]
        over: bool,
    },
    /// Sets attributes.
    Change {
        group: bool,
        id: String,
        name: String,
        sets: Vec<Set>,
        /// Another of the plan takes the name that it has.
        parks: bool,
        /// Also what was changed since.
        #[serde(default)]
        over: bool,
    },
    /// Brings a deleted one back.
    Revive {
        group: bool,
        id: String,
        name: String,
        body: Image,
        made_by: String,
        created_ms: Millis,
        version: i64,
    },
    /// Puts members in and takes them out.
    Members { id: String, name: String, joining: Vec<String>, leaving: Vec<String> },
}

impl Act {
    /// The resource that it is about.
    pub fn id(&self) -> &str {
        match self {
            Self::Remove { id, .. }
            | Self::Change { id, .. }
            | Self::Revive { id, .. }
            | Self::Members { id, .. } => id,
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        match self {
            Self::Remove { name, .. }
            | Self::Change { name, .. }
            | Self::Revive { name, .. }
            | Self::Members { name, .. } => name,
        }
    }

    /// The place in the order of the plan. What changes names among themselves stands together.
    fn rank(&self) -> u8 {
        match self {
            Self::Remove { .. } => 0,
            Self::Change { sets, .. } if sets.iter().any(Set::is_name) => 1,
            Self::Change { .. } => 2,
            Self::Revive { .. } => 3,
            Self::Members { .. } => 4,
        }
    }

    fn parks(&self) -> bool {
        matches!(self, Self::Change { parks: true, .. })
    }
}

impl Set {
    /// Whether it sets a name that may be a resource's alone.
    pub fn is_name(&self) -> bool {
        self.inner.is_none() && matches!(self.top.as_str(), "userName" | "displayName")
    }
}

/// Acts that are carried out in one commit.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Unit {
    /// The last change that the plan knew of.
    pub head: Option<JournalId>,
    /// In their order.
    pub acts: Vec<Act>,
}

/// Divides a plan into units of so many acts at the most, as text.
pub(super) fn units(mut acts: Vec<Act>, head: Option<&JournalId>, most: usize) -> Result<Vec<String>, Error> {
    acts.sort_by_key(Act::rank);
    let exchange = acts.iter().any(Act::parks);
    let mut units: Vec<Vec<Act>> = Vec::new();
    let (mut open, mut members): (Vec<Act>, usize) = (Vec::new(), 0);
    for act in acts.into_iter().flat_map(pieces) {
        let weight = match &act {
            Act::Members { joining, leaving, .. } => joining.len() + leaving.len(),
            Act::Remove { .. } | Act::Change { .. } | Act::Revive { .. } => 0,
        };
        // Those that exchange names do it in one commit.
        let is_bound = exchange && act.rank() == 1 && open.last().is_some_and(|last| last.rank() == 1);
        if !open.is_empty() && !is_bound && (open.len() >= most || members + weight > MEMBERS) {
            units.push(std::mem::take(&mut open));
            members = 0;
        }
        members += weight;
        open.push(act);
    }
    if !open.is_empty() {
        units.push(open);
    }
    let text = |acts| serde_json::to_string(&Unit { head: head.cloned(), acts });
    let texts = units.into_iter().map(text).collect::<Result<Vec<_>, _>>();
    texts.map_err(|error| Error::Internal(format!("a plan was not written: {error}")))
}

/// A large group comes back in pieces.
fn pieces(act: Act) -> Vec<Act> {
    let Act::Members { id, name, joining, leaving } = act else { return vec![act] };
    let piece = |joining: &[String], leaving: &[String]| Act::Members {
        id: id.clone(),
        name: name.clone(),
        joining: joining.to_vec(),
        leaving: leaving.to_vec(),
    };
    let outwards = leaving.chunks(MEMBERS).map(|ids| piece(&[], ids));
    outwards.chain(joining.chunks(MEMBERS).map(|ids| piece(ids, &[]))).collect()
}
