//! The dry run.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use domain::{
    JournalId,
    admins::{Admin, Right},
    federations::{Federation, FederationTarget},
    hex,
    journal::{
        ChangeKind, Entry, Image,
        trail::{self, Path, ResourceTrails, Since, Trail, Trails},
    },
};
use scim::ResourceType;
use serde_json::Value;
use store::Conn;

use super::{
    By, Counts, Doing, Item, Line, MOST, MOST_AT_UPSTREAM, MemberLine, Plan, Verdict, Wish,
    acts::{Act, Set},
    world::{self, Present},
};
use crate::{
    Cx, Error,
    gateway::restore::{self, same},
    journal::type_of,
};

/// How many changes are read at once.
const BATCH: usize = 2_000;

/// Makes the plan from what the journal and the directory say at this moment.
pub(super) async fn make(cx: &Cx<Admin>, federation: Federation, wish: &Wish) -> Result<Plan, Error> {
    let may_apply = cx.actor.role.may(Right::RunFederation, Some(&federation.slug));
    if may_apply && federation.target == FederationTarget::Upstream {
        look(cx, &federation, wish).await?;
    }
    let mut reader = cx.read().await?;
    let mut view = reader.view().await?;
    let conn = &mut view.conn();
    let head = store::journal::last(conn, &federation.id).await?;
    let chosen = chosen(conn, &federation, wish).await?;
    let mut planner = Planner::of(conn, &federation, wish, &chosen).await?;
    planner.resources();
    planner.names(conn).await?;
    planner.strangers(conn).await?;
    planner.members(conn).await?;
    let acts = planner.acts();
    let mut items: Vec<Item> = planner.items.into_values().filter(|item| !is_nothing(item)).collect();
    items.sort_by(|one, other| {
        (one.doing as u8, &one.name, &one.id).cmp(&(other.doing as u8, &other.name, &other.id))
    });
    drop(view);
    drop(reader);
    let hash = digest(&items)?;
    Ok(Plan {
        title: crate::journal::title(cx, &federation, &wish.selection).await?,
        counts: Counts::of(&items),
        changes: u64::try_from(chosen.len()).unwrap_or(u64::MAX),
        may_apply,
        wish: wish.clone(),
        federation,
        items,
        hash,
        acts,
        head,
    })
}

/// Looks at the upstream how what the chosen changes are about is now, as far as a page can wait for it. What
/// nobody has looked at is looked at before it is touched.
async fn look(cx: &Cx<Admin>, federation: &Federation, wish: &Wish) -> Result<(), Error> {
    let mut reader = cx.read().await?;
    let chosen = chosen(&mut reader.conn(), federation, wish).await?;
    drop(reader);
    let about: BTreeSet<(ResourceType, String)> =
        chosen.iter().map(|entry| (type_of(entry.kind), entry.resource_id.to_string())).collect();
    restore::look(cx, federation, about).await
}

fn is_nothing(item: &Item) -> bool {
    item.doing == Doing::Change && item.lines.is_empty() && item.members.is_empty()
}

fn digest(items: &[Item]) -> Result<String, Error> {
    let text = serde_json::to_vec(items).map_err(|error| Error::Internal(format!("a plan: {error}")))?;
    Ok(hex(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &text).as_ref()))
}

/// The chosen changes, in order of time.
async fn chosen(conn: &mut Conn<'_>, federation: &Federation, wish: &Wish) -> Result<Vec<Entry>, Error> {
    let most = match federation.target {
        FederationTarget::Embedded => MOST,
        FederationTarget::Upstream => MOST_AT_UPSTREAM,
    };
    let (mut found, mut place) = (Vec::new(), None);
    loop {
        let (more, next) =
            store::journal::page(conn, &federation.id, &wish.selection, place.as_ref(), BATCH).await?;
        found.extend(more);
        if found.len() > most {
            let text = format!(
                "more than {most} changes; narrow it, by time for example, and take them back in parts"
            );
            return Err(Error::invalid("selection", text));
        }
        match next {
            Some(_) => place = next,
            None => return Ok(found),
        }
    }
}

struct Planner<'a> {
    federation: &'a Federation,
    wish: &'a Wish,
    trails: Trails,
    /// The chosen deletions, by their ids.
    deletions: HashMap<JournalId, &'a Entry>,
    /// Type and last known name of each resource that a chosen change is about.
    known: BTreeMap<String, (ResourceType, String)>,
    /// Those of them, and of the groups that they were in, that are there.
    present: BTreeMap<String, Present>,
    items: BTreeMap<String, Item>,
    /// Whose name another one takes.
    parked: BTreeSet<String>,
    /// The bodies of those that come back.
    bodies: BTreeMap<String, Image>,
}

impl<'a> Planner<'a> {
    async fn of(
        conn: &mut Conn<'_>,
        federation: &'a Federation,
        wish: &'a Wish,
        chosen: &'a [Entry],
    ) -> Result<Self, Error> {
        let mut known = BTreeMap::new();
        let mut deletions = HashMap::new();
        let mut about: BTreeSet<&str> = BTreeSet::new();
        for entry in chosen {
            let id = entry.resource_id.as_str();
            known.insert(id.to_owned(), (type_of(entry.kind), entry.name.clone()));
            about.insert(id);
            about.extend(entry.members.groups.iter().map(String::as_str));
            if entry.change == ChangeKind::Delete {
                deletions.insert(entry.id.clone(), entry);
            }
        }
        let about: Vec<&str> = about.into_iter().collect();
        let entries = match chosen.iter().map(|entry| &entry.id).min() {
            Some(first) => store::journal::since(conn, &federation.id, &about, first).await?,
            None => Vec::new(),
        };
        let ids: HashSet<&JournalId> = chosen.iter().map(|entry| &entry.id).collect();
        let trails = trail::follow(&entries, &wish.selection, |entry| ids.contains(&entry.id));
        let present = world::read(conn, federation, &about).await?;
        Ok(Self {
            federation,
            wish,
            trails,
            deletions,
            known,
            present,
            items: BTreeMap::new(),
            parked: BTreeSet::new(),
            bodies: BTreeMap::new(),
        })
    }

    /// Whether what somebody else has changed since is to be taken back all the same.
    fn is_told(&self, id: &str) -> bool {
        self.wish.over_all || self.wish.over.contains(id)
    }

    fn unless(&self, id: &str, since: Option<&Since>) -> Verdict {
        match since {
            Some(since) if !self.is_told(id) => Verdict::Skipped(By::from(since)),
            Some(_) | None => Verdict::Restored,
        }
    }

    /// Resources as a whole, and their attributes.
    fn resources(&mut self) {
        let trails = std::mem::take(&mut self.trails.resources);
        for (id, trail) in &trails {
            let Some((kind, name)) = self.known.get(id).cloned() else { continue };
            let was_there = trail.exists.as_ref().map(|exists| exists.before);
            let mut item = Item {
                kind,
                id: id.clone(),
                name: self.present.get(id).map_or(name, |present| present.name.clone()),
                doing: Doing::Change,
                verdict: Verdict::Restored,
                lines: Vec::new(),
                members: Vec::new(),
            };
            match (was_there, self.present.contains_key(id)) {
                (Some(false), true) => {
                    item.doing = Doing::Remove;
                    let unknown = somebody();
                    let drifted = self.has_drifted(id, trail).then_some(&unknown);
                    item.verdict = self.unless(id, trail.other.as_ref().or(drifted));
                }
                // Created and deleted again: nothing is left of it.
                (Some(false), false) => continue,
                (Some(true), false) => self.revive(&mut item, trail),
                (Some(true) | None, true) => item.lines = self.lines(id, trail),
                (None, false) => item.lines = lines_of_the_gone(trail),
            }
            self.items.insert(id.clone(), item);
        }
        self.trails.resources = trails;
    }

    /// Whether a value is that of another one. An upstream may show the same in another order.
    fn is_same(&self, one: Option<&Value>, other: Option<&Value>) -> bool {
        match self.federation.target {
            FederationTarget::Embedded => one == other,
            FederationTarget::Upstream => same(one, other),
        }
    }

    /// Whether an upstream shows what was created otherwise than the last change of it left it.
    fn has_drifted(&self, id: &str, trail: &ResourceTrails) -> bool {
        let Some(present) = self.present.get(id) else { return false };
        self.federation.target == FederationTarget::Upstream
            && trail.attributes.iter().any(|(path, cell)| {
                path.0 != "schemas" && !same(get(&present.body, path), cell.after.as_ref())
            })
    }

    fn revive(&mut self, item: &mut Item, trail: &ResourceTrails) {
        item.doing = Doing::Revive;
        let since = trail.exists.as_ref().and_then(|exists| exists.since.as_ref());
        if let Some(since) = since {
            item.verdict = Verdict::Cannot(format!("{} has deleted it since", since.by));
            return;
        }
        let mut body = Image::new();
        for (path, cell) in &trail.attributes {
            if let Some(value) = &cell.before {
                set(&mut body, path, Some(value.clone()));
                let then = Some(value.clone());
                let line = Line { attribute: in_words(path), now: None, then, verdict: Verdict::Restored };
                if path.0 != "schemas" {
                    item.lines.push(line);
                }
            }
        }
        let attribute = name_attribute(item.kind);
        if let Some(Value::String(name)) = body.get(attribute) {
            item.name.clone_from(name);
        }
        self.bodies.insert(item.id.clone(), body);
    }

    fn lines(&self, id: &str, trail: &ResourceTrails) -> Vec<Line> {
        let Some(present) = self.present.get(id) else { return Vec::new() };
        let line = |(path, cell): (&Path, &Trail<Option<Value>>)| {
            let now = get(&present.body, path).cloned();
            if self.is_same(now.as_ref(), cell.before.as_ref()) {
                return None;
            }
            let unknown = somebody();
            let is_as_left = self.is_same(now.as_ref(), cell.after.as_ref());
            let since = cell.since.as_ref().or((!is_as_left).then_some(&unknown));
            let verdict = self.unless(id, since);
            Some(Line { attribute: in_words(path), now, then: cell.before.clone(), verdict })
        };
        trail.attributes.iter().filter_map(line).collect()
    }

    /// Names that somebody else has by now.
    async fn names(&mut self, conn: &mut Conn<'_>) -> Result<(), Error> {
        if self.federation.target == FederationTarget::Upstream {
            return Ok(());
        }
        for kind in ResourceType::ALL {
            let attribute = name_attribute(kind);
            let mut wanted: BTreeMap<String, Vec<String>> = BTreeMap::new();
            for item in self.items.values().filter(|item| item.kind == kind) {
                let name = match item.doing {
                    Doing::Revive if item.verdict == Verdict::Restored => Some(item.name.clone()),
                    Doing::Change => item
                        .lines
                        .iter()
                        .find(|line| line.attribute == attribute && line.verdict == Verdict::Restored)
                        .and_then(|line| line.then.as_ref()?.as_str().map(str::to_owned)),
                    Doing::Revive | Doing::Remove => None,
                };
                if let Some(name) = name {
                    wanted.entry(scim::fold_case(&name)).or_default().push(item.id.clone());
                }
            }
            let names = wanted.keys().cloned().collect();
            let holders = world::holders(conn, self.federation, kind, &names).await?;
            let is_shared = kind == ResourceType::Group && !self.federation.scim.unique_group_names;
            for (name, ids) in wanted {
                let holder = holders.get(&name);
                for (place, id) in ids.iter().enumerate() {
                    let first = ids.first().filter(|_| place > 0 && !is_shared);
                    let holder = holder.filter(|holder| *holder != id);
                    let is_freed = holder.is_none_or(|holder| self.frees(holder, attribute));
                    if let Some(taker) = first.or(holder.filter(|_| !is_freed)) {
                        self.cannot_be_called(id, attribute, &name, taker);
                    } else if let Some(holder) = holder {
                        self.parked.insert(holder.clone());
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether the plan takes the name from somebody.
    fn frees(&self, id: &str, attribute: &str) -> bool {
        self.items.get(id).is_some_and(|item| match item.doing {
            Doing::Remove => item.verdict == Verdict::Restored,
            Doing::Change => {
                item.lines.iter().any(|line| line.attribute == attribute && line.verdict == Verdict::Restored)
            }
            Doing::Revive => false,
        })
    }

    fn cannot_be_called(&mut self, id: &str, attribute: &str, name: &str, taker: &str) {
        let text = format!("{attribute} {name:?} is taken by {taker} meanwhile");
        let Some(item) = self.items.get_mut(id) else { return };
        if item.doing == Doing::Revive {
            item.verdict = Verdict::Cannot(text);
        } else if let Some(line) = item.lines.iter_mut().find(|line| line.attribute == attribute) {
            line.verdict = Verdict::Cannot(text);
        }
    }

    /// What was created and is by now in groups by somebody else's doing is left alone.
    async fn strangers(&mut self, conn: &mut Conn<'_>) -> Result<(), Error> {
        if self.federation.target == FederationTarget::Upstream {
            return Ok(());
        }
        let removed: Vec<domain::ResourceId> = self
            .items
            .values()
            .filter(|item| item.doing == Doing::Remove && item.verdict == Verdict::Restored)
            .filter(|item| !self.is_told(&item.id))
            .filter_map(|item| domain::ResourceId::parse(&item.id))
            .collect();
        let ids: Vec<&domain::ResourceId> = removed.iter().collect();
        for membership in store::groups::groups_of(conn, &self.federation.id, &ids).await? {
            let cell =
                self.trails.members.get(&membership.id).and_then(|cells| cells.get(&membership.member_id));
            let is_ours = cell.is_some_and(|cell| cell.since.is_none());
            // A group that goes as well takes its members with it.
            let goes = self.items.get(&membership.id).is_some_and(|item| item.doing == Doing::Remove);
            if !is_ours
                && !goes
                && let Some(item) = self.items.get_mut(&membership.member_id)
            {
                let name = format!("whoever put it into {}", membership.display_name);
                item.verdict = Verdict::Skipped(By { name, at_ms: 0 });
            }
        }
        Ok(())
    }

    /// Whether somebody is there once the plan is carried out.
    fn will_be(&self, id: &str, is_there: bool) -> bool {
        match self.items.get(id) {
            Some(Item { doing: Doing::Remove, verdict: Verdict::Restored, .. }) => false,
            Some(Item { doing: Doing::Revive, verdict: Verdict::Restored, .. }) => true,
            Some(_) | None => is_there,
        }
    }

    async fn members(&mut self, conn: &mut Conn<'_>) -> Result<(), Error> {
        let trails = std::mem::take(&mut self.trails.members);
        let is_here = self.federation.target == FederationTarget::Embedded;
        for (group, cells) in &trails {
            let ids: Vec<&str> = cells.keys().map(String::as_str).collect();
            let names: HashMap<String, String> =
                store::members::names(conn, &self.federation.id, &ids).await?.into_iter().collect();
            let inside = match self.federation.target {
                FederationTarget::Embedded => Some(world::inside(conn, self.federation, group, &ids).await?),
                FederationTarget::Upstream => {
                    world::shown_inside(conn, self.federation, self.present.get(group)).await?
                }
            };
            let group_will_be = self.will_be(group, self.present.contains_key(group));
            let mut lines = Vec::new();
            for (id, cell) in cells {
                let is_in = inside.as_ref().map_or(cell.after, |inside| inside.contains(id));
                let is_there = names.contains_key(id) || self.present.contains_key(id) || !is_here;
                let stays = group_will_be && self.will_be(id, is_there);
                let is_gone = cell.before && !stays;
                // Whoever goes, or whose group goes, leaves with it.
                let leaves_anyway = !cell.before && !stays;
                if is_in == cell.before || leaves_anyway {
                    continue;
                }
                let verdict = if is_gone {
                    let what = if group_will_be { "the member is gone" } else { "the group is gone" };
                    Verdict::Cannot(what.to_owned())
                } else {
                    self.unless(group, cell.since.as_ref())
                };
                let name = names.get(id).or_else(|| self.known.get(id).map(|(_, name)| name));
                let name = name.cloned().unwrap_or_default();
                lines.push(MemberLine { id: id.clone(), name, joins: cell.before, verdict });
            }
            if lines.is_empty() {
                continue;
            }
            let present = self.present.get(group).map(|present| present.name.clone());
            let name = present.or_else(|| self.known.get(group).map(|(_, name)| name.clone()));
            let item = self.items.entry(group.clone()).or_insert_with(|| Item {
                kind: ResourceType::Group,
                id: group.clone(),
                name: name.unwrap_or_else(|| group.clone()),
                doing: Doing::Change,
                verdict: Verdict::Restored,
                lines: Vec::new(),
                members: Vec::new(),
            });
            item.members = lines;
        }
        self.trails.members = trails;
        Ok(())
    }

    /// What is to be written for it.
    fn acts(&self) -> Vec<Act> {
        let mut acts = Vec::new();
        for item in self.items.values() {
            let (group, id, name) = (item.kind == ResourceType::Group, item.id.clone(), item.name.clone());
            match (item.doing, &item.verdict) {
                (Doing::Remove, Verdict::Restored) => {
                    let over = self.is_told(&id);
                    acts.push(Act::Remove { group, id, name, over });
                }
                (Doing::Revive, Verdict::Restored) => acts.extend(self.revival(item)),
                (Doing::Change, _) => {
                    let sets = self.sets(item);
                    if !sets.is_empty() {
                        let parks = self.parked.contains(&id);
                        let over = self.is_told(&id);
                        acts.push(Act::Change { group, id, name, sets, parks, over });
                    }
                }
                (Doing::Remove | Doing::Revive, Verdict::Skipped(_) | Verdict::Cannot(_)) => {}
            }
            let ids = |joins: bool| -> Vec<String> {
                let lines = item.members.iter().filter(|line| line.verdict == Verdict::Restored);
                lines.filter(|line| line.joins == joins).map(|line| line.id.clone()).collect()
            };
            let (joining, leaving) = (ids(true), ids(false));
            if !(joining.is_empty() && leaving.is_empty()) {
                acts.push(Act::Members { id: item.id.clone(), name: item.name.clone(), joining, leaving });
            }
        }
        acts
    }

    fn revival(&self, item: &Item) -> Option<Act> {
        let deletion = self.trails.resources.get(&item.id)?.deletion.as_ref()?;
        let deletion = self.deletions.get(deletion)?;
        let facts = deletion.facts.clone().unwrap_or_default();
        Some(Act::Revive {
            group: item.kind == ResourceType::Group,
            id: item.id.clone(),
            name: item.name.clone(),
            body: self.bodies.get(&item.id)?.clone(),
            made_by: facts.made_by,
            created_ms: facts.created_ms,
            // Above every version that anybody has seen of it.
            version: deletion.version + 2,
        })
    }

    fn sets(&self, item: &Item) -> Vec<Set> {
        let Some(trail) = self.trails.resources.get(&item.id) else { return Vec::new() };
        let path = |line: &Line| trail.attributes.keys().find(|path| in_words(path) == line.attribute);
        let lines = item.lines.iter().filter(|line| line.verdict == Verdict::Restored);
        lines
            .filter_map(|line| {
                let (top, inner) = path(line)?.clone();
                Some(Set { top, inner, from: line.now.clone(), to: line.then.clone() })
            })
            .collect()
    }
}

/// Whoever changes something at an upstream without Keyward.
fn somebody() -> Since {
    Since { by: "somebody".to_owned(), at_ms: 0 }
}

/// Attributes of what somebody else has deleted meanwhile.
fn lines_of_the_gone(trail: &ResourceTrails) -> Vec<Line> {
    let by = trail.other.as_ref().map_or("somebody", |since| since.by.as_str());
    let verdict = Verdict::Cannot(format!("it is gone: {by} has deleted it since"));
    let line = |(path, cell): (&Path, &Trail<Option<Value>>)| Line {
        attribute: in_words(path),
        now: None,
        then: cell.before.clone(),
        verdict: verdict.clone(),
    };
    trail.attributes.iter().filter(|(path, _)| path.0 != "schemas").map(line).collect()
}

/// `title`, or `urn:…:User:department`.
fn in_words((top, inner): &Path) -> String {
    match inner {
        Some(inner) => format!("{top}:{inner}"),
        None => top.clone(),
    }
}

/// The attribute that names a resource.
pub(crate) fn name_attribute(kind: ResourceType) -> &'static str {
    match kind {
        ResourceType::User => "userName",
        ResourceType::Group => "displayName",
    }
}

/// The value at a path.
pub(crate) fn get<'v>(body: &'v Image, (top, inner): &Path) -> Option<&'v Value> {
    match inner {
        None => body.get(top),
        Some(inner) => body.get(top)?.get(inner),
    }
}

/// Sets the value at a path, or takes it away; an extension of which nothing is left goes with it.
pub(crate) fn set(body: &mut Image, (top, inner): &Path, value: Option<Value>) {
    match (inner, value) {
        (None, Some(value)) => {
            body.insert(top.clone(), value);
        }
        (None, None) => {
            body.remove(top);
        }
        (Some(inner), Some(value)) => {
            let parts = body.entry(top.clone()).or_insert_with(|| Value::Object(Image::new()));
            if let Value::Object(parts) = parts {
                parts.insert(inner.clone(), value);
            }
        }
        (Some(inner), None) => {
            let Some(Value::Object(parts)) = body.get_mut(top) else { return };
            parts.remove(inner);
            if parts.is_empty() {
                body.remove(top);
            }
        }
    }
}
