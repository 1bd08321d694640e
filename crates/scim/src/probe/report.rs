//! What a probe found: one line for each check, and the quirks that a gateway must know.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What is known of a check before it is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct About {
    pub(super) id: &'static str,
    pub(super) title: &'static str,
    pub(super) section: &'static str,
}

/// What became of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// As the standard and the providers want it.
    Passed,
    /// Otherwise, and the gateway gets along with it: a quirk says how.
    Tolerated,
    /// Not tried: the server does not offer it, or something before it failed.
    Skipped,
    /// Providers or the gateway will choke on it.
    Failed,
}

impl Verdict {
    /// The word in a report.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Tolerated => "tolerated",
            Self::Skipped => "skipped",
            Self::Failed => "failed",
        }
    }
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Its name, which stays the same from version to version.
    pub id: &'static str,
    /// What should be so.
    pub title: &'static str,
    /// What became of it.
    pub verdict: Verdict,
    /// What came, and what will choke on it.
    pub detail: String,
    /// Where the standard says so, or whose dialect it is.
    pub section: &'static str,
}

/// What a server does otherwise than the standard has it, as far as a gateway can make up for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
#[expect(clippy::struct_excessive_bools, reason = "each is one independent fact about a server")]
pub struct Quirks {
    /// PATCH is not understood at all.
    pub no_patch: bool,
    /// Changes work by PUT of the whole resource, and only so.
    pub put_only: bool,
    /// PUT is not understood; changes go by PATCH.
    pub no_put: bool,
    /// How many members one PATCH may add, when more of them are refused.
    pub max_members_per_patch: Option<u32>,
    /// A PATCH is answered with 204: the resource must be read to be shown.
    pub patch_answers_204: bool,
    /// Only the exact form of RFC 7644 3.5.2 is understood: lower-case ops, real booleans, no names with
    /// dots or URNs inside a value, arrays where there may be several values.
    pub standard_patch_only: bool,
    /// Filters are refused or ignored: a look-up must read the list and search it.
    pub no_filter: bool,
    /// `externalId eq` does not find: a look-up goes by name.
    pub no_external_id_filter: bool,
    /// A look-up that finds nothing answers 404 instead of an empty list.
    pub empty_is_404: bool,
    /// Members are removed by `members[value eq "…"]` only; a list of values is refused, or empties the
    /// group.
    pub remove_members_needs_filter: bool,
    /// Members are removed by a list of values only; a filter in the path is not understood.
    pub remove_members_needs_values: bool,
    /// `excludedAttributes` is ignored: large groups always come with their members.
    pub no_excluded_attributes: bool,
    /// `User.groups` is not filled in: memberships are found in the groups only.
    pub no_user_groups: bool,
    /// Two groups may have one name.
    pub group_names_not_unique: bool,
    /// Entity tags are not served, or `If-Match` is ignored.
    pub no_etag: bool,
    /// `POST …/.search` is not offered.
    pub no_search: bool,
    /// Bulk is not offered, or does not do what it advertises.
    pub no_bulk: bool,
    /// There are no groups.
    pub no_groups: bool,
    /// The enterprise extension is not served: manager and department go nowhere.
    pub no_enterprise: bool,
}

/// What a probe found. `Display` writes it as lines for a terminal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Every check, in the order of the table.
    pub checks: Vec<Check>,
    /// What a gateway to this server must know.
    pub quirks: Quirks,
    /// What the probe created and could not delete again: paths below the base, or names where it is not
    /// known whether there is something.
    pub left_behind: Vec<String>,
}

impl Report {
    /// The check of this name.
    pub fn check(&self, id: &str) -> Option<&Check> {
        self.checks.iter().find(|check| check.id == id)
    }

    /// How many checks have this verdict.
    pub fn count(&self, verdict: Verdict) -> usize {
        self.checks.iter().filter(|check| check.verdict == verdict).count()
    }

    /// Whether nothing failed.
    pub fn is_ready(&self) -> bool {
        self.count(Verdict::Failed) == 0
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for check in &self.checks {
            writeln!(f, "{:<9}  {:<26}  {}", check.verdict.as_str(), check.id, check.title)?;
            if !check.detail.is_empty() {
                writeln!(f, "{:>13}{}", "", check.detail)?;
            }
            if check.verdict == Verdict::Failed || check.verdict == Verdict::Tolerated {
                writeln!(f, "{:>13}see {}", "", check.section)?;
            }
        }
        for path in &self.left_behind {
            writeln!(f, "left behind, please delete it: {path}")?;
        }
        write!(
            f,
            "{} passed, {} tolerated, {} skipped, {} failed",
            self.count(Verdict::Passed),
            self.count(Verdict::Tolerated),
            self.count(Verdict::Skipped),
            self.count(Verdict::Failed)
        )
    }
}
