//! The blast radius: everything that a key, an address or a window of time did, counted and listed.

use std::collections::BTreeMap;

use domain::{
    CaseId, JournalId, Millis,
    admins::{Admin, Right},
    audit::{Action, AuditEvent},
    cases::{CaseMoment, Moment},
    federations::{Federation, Slug},
    journal::{ChangeKind, Entry, Selection},
    scopes::ResourceKind,
};
use serde_json::json;
use store::{Change, Conn};

use crate::{
    Cx, Error, cases,
    federations::{about, find},
    unit::detail,
};

/// The most changes that are counted.
pub const MOST: usize = 100_000;

/// How many are read at once.
const BATCH: usize = 2_000;

/// How many changes a page lists.
pub const PAGE: usize = 50;

/// The most resources of the list of those that were hit.
const RESOURCES: usize = 50;

/// What was done to one user or group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// User or group.
    pub kind: ResourceKind,
    /// Its id.
    pub id: String,
    /// Its last name among the changes.
    pub name: String,
    /// How many changes.
    pub changes: u64,
    /// The last of what happened to it.
    pub last: ChangeKind,
    /// What to sort by.
    pub harm: u64,
}

/// Everything that was done.
#[derive(Debug, Clone)]
pub struct Blast {
    /// Whose directory.
    pub federation: Federation,
    /// What was chosen, in words.
    pub title: String,
    /// What was chosen.
    pub selection: Selection,
    /// How many changes; at least this many when [`Blast::is_partial`].
    pub changes: u64,
    /// How many users and groups.
    pub resources: u64,
    /// Whether there are more than were counted.
    pub is_partial: bool,
    /// The first and the last moment.
    pub span: Option<(Millis, Millis)>,
    /// By type and what happened, the worst first.
    pub by_kind: Vec<(ResourceKind, ChangeKind, u64)>,
    /// How many users lost `active`.
    pub deactivated: u64,
    /// How often somebody joined and left a group.
    pub memberships: (u64, u64),
    /// By attribute, the most changed first.
    pub by_attribute: Vec<(String, u64)>,
    /// The resources that were hit worst.
    pub hits: Vec<Hit>,
    /// One page of the changes, in order of time.
    pub entries: Vec<Entry>,
    /// Where the next page begins.
    pub next: Option<JournalId>,
    /// Whether the viewer may take them back.
    pub may_undo: bool,
}

#[derive(Default)]
struct Tally {
    changes: u64,
    span: Option<(Millis, Millis)>,
    kinds: BTreeMap<(ResourceKind, ChangeKind), u64>,
    attributes: BTreeMap<String, u64>,
    hits: BTreeMap<String, Hit>,
    deactivated: u64,
    memberships: (u64, u64),
}

impl Tally {
    fn add(&mut self, entry: &Entry) {
        let count = |ids: &[String]| u64::try_from(ids.len()).unwrap_or(u64::MAX);
        self.changes += 1;
        let (first, last) = self.span.unwrap_or((entry.at_ms, entry.at_ms));
        self.span = Some((first.min(entry.at_ms), last.max(entry.at_ms)));
        *self.kinds.entry((entry.kind, entry.change)).or_default() += 1;
        // What is created or deleted has every attribute, which says nothing.
        if entry.change == ChangeKind::Update {
            for attribute in entry.attributes() {
                *self.attributes.entry(attribute.to_owned()).or_default() += 1;
            }
        }
        self.deactivated += u64::from(entry.deactivates());
        self.memberships.0 += count(&entry.members.joined);
        self.memberships.1 += count(&entry.members.left) + count(&entry.members.groups);
        let hit = self.hits.entry(entry.resource_id.to_string()).or_insert_with(|| Hit {
            kind: entry.kind,
            id: entry.resource_id.to_string(),
            name: String::new(),
            changes: 0,
            last: entry.change,
            harm: 0,
        });
        hit.name.clone_from(&entry.name);
        hit.changes += 1;
        hit.last = entry.change;
        hit.harm = hit.harm.saturating_add(entry.harm());
    }
}

/// What was done, and one page of it: after a change, or the first.
///
/// # Errors
/// NotFound when there is no such federation that the viewer may see.
pub async fn radius(
    cx: &Cx<Admin>,
    slug: &Slug,
    selection: &Selection,
    after: Option<&JournalId>,
) -> Result<Blast, Error> {
    let mut reader = cx.read().await?;
    let federation = find(cx, &mut reader.conn(), slug).await?;
    let (mut tally, mut place, mut read, mut is_partial) = (Tally::default(), None, 0, false);
    loop {
        let (found, next) =
            store::journal::page(&mut reader.conn(), &federation.id, selection, place.as_ref(), BATCH)
                .await?;
        for entry in &found {
            tally.add(entry);
        }
        read += BATCH;
        if next.is_none() {
            break;
        }
        if read >= MOST {
            is_partial = true;
            break;
        }
        place = next;
    }
    let (mut entries, mut next, mut place) = (Vec::new(), None, after.cloned());
    loop {
        let (found, more) =
            store::journal::page(&mut reader.conn(), &federation.id, selection, place.as_ref(), BATCH)
                .await?;
        entries.extend(found);
        if entries.len() > PAGE {
            entries.truncate(PAGE);
            next = entries.last().map(|entry| entry.id.clone());
            break;
        }
        if more.is_none() {
            break;
        }
        place = more;
    }
    drop(reader);
    let resources = u64::try_from(tally.hits.len()).unwrap_or(u64::MAX);
    let mut hits: Vec<Hit> = tally.hits.into_values().collect();
    hits.sort_by(|one, other| other.harm.cmp(&one.harm).then_with(|| one.name.cmp(&other.name)));
    hits.truncate(RESOURCES);
    let mut by_attribute: Vec<(String, u64)> = tally.attributes.into_iter().collect();
    by_attribute.sort_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
    let mut by_kind: Vec<(ResourceKind, ChangeKind, u64)> =
        tally.kinds.into_iter().map(|((kind, change), count)| (kind, change, count)).collect();
    by_kind.sort_by_key(|(kind, change, _)| (std::cmp::Reverse(*change), *kind));
    Ok(Blast {
        title: super::title(cx, &federation, selection).await?,
        may_undo: cx.actor.role.may(Right::RunFederation, Some(&federation.slug)),
        federation,
        selection: selection.clone(),
        changes: tally.changes,
        resources,
        is_partial,
        span: tally.span,
        by_kind,
        deactivated: tally.deactivated,
        memberships: tally.memberships,
        by_attribute,
        hits,
        entries,
        next,
    })
}

/// Says that what the key of a case did is known: its mark T9.
///
/// # Errors
/// Conflict when the case is closed; NotFound; Forbidden.
pub async fn known(cx: &Cx<Admin>, id: &CaseId) -> Result<(), Error> {
    let (case, key, federation) = cases::managed(cx, id, Action::BlastKnown).await?;
    cases::check_open(&case)?;
    let (slug, selection) = super::of_case(cx, id).await?;
    let blast = radius(cx, &slug, &selection, None).await?;
    let text = format!(
        "{} {} of {} {}",
        blast.changes,
        if blast.changes == 1 { "change" } else { "changes" },
        blast.resources,
        if blast.resources == 1 { "resource" } else { "resources" },
    );
    let mark = CaseMoment {
        moment: Moment::T9,
        at_ms: cx.now_ms(),
        made_by: cx.actor.name.clone(),
        text: text.clone(),
    };
    let event = AuditEvent {
        key_id: Some(key.id),
        target: Some(case.title.clone()),
        detail: detail(&json!({ "case": case.id, "changes": blast.changes, "resources": blast.resources })),
        ..about(cx, Action::BlastKnown, &federation)
    };
    cx.keyward
        .commit(async move |conn: &mut Conn<'_>| {
            cases::write(conn, &case, &mark).await?;
            Ok(Change::new((), event.clone()))
        })
        .await
}
