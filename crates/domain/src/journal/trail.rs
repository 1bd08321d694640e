//! What taking changes back comes to, value by value.
//!
//! Every change is seen as writes to cells: whether a resource exists, an attribute of it (inside an
//! extension, each of its attributes), whether somebody is in a group. A cell goes back to what it held
//! before the last unbroken run of chosen writes: so values that somebody else wrote in between come back,
//! and a cell that somebody else has written since is left alone unless that is wanted.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{ChangeKind, Entry, Selection};
use crate::{JournalId, Millis};

/// Who wrote a cell after the chosen changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Since {
    /// The name of who did it.
    pub by: String,
    /// When.
    pub at_ms: Millis,
}

/// The writes to one cell.
#[derive(Debug, Clone, PartialEq)]
pub struct Trail<V> {
    /// What it held before the last run of chosen writes.
    pub before: V,
    /// What the last chosen write left.
    pub after: V,
    /// Somebody else's write after that, the last one.
    pub since: Option<Since>,
}

/// Where an attribute stands: its name, and the name inside of an extension.
pub type Path = (String, Option<String>);

/// The cells of one resource that were written by chosen changes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ResourceTrails {
    /// Whether it is there.
    pub exists: Option<Trail<bool>>,
    /// Its attributes.
    pub attributes: BTreeMap<Path, Trail<Option<Value>>>,
    /// The last chosen deletion.
    pub deletion: Option<JournalId>,
    /// Somebody else's last change of it since the first chosen one.
    pub other: Option<Since>,
}

/// Who was put into which group or taken out, by the ids of group and member.
pub type MemberTrails = BTreeMap<String, BTreeMap<String, Trail<bool>>>;

/// Every cell that chosen changes wrote.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Trails {
    /// By the id of the resource.
    pub resources: BTreeMap<String, ResourceTrails>,
    /// By group and member.
    pub members: MemberTrails,
}

/// Who writes.
struct Write<'a> {
    entry: &'a Entry,
    is_chosen: bool,
}

impl Write<'_> {
    fn since(&self) -> Since {
        Since { by: self.entry.actor.name.clone(), at_ms: self.entry.at_ms }
    }

    /// Notes a write to a cell; what nobody chose and nobody chose before is nobody's business.
    fn note<K: Ord, V>(&self, cells: &mut BTreeMap<K, Trail<V>>, key: K, before: V, after: V) {
        match cells.get_mut(&key) {
            Some(trail) => self.go_on(trail, before, after),
            None if self.is_chosen => {
                cells.insert(key, Trail { before, after, since: None });
            }
            None => {}
        }
    }

    fn go_on<V>(&self, trail: &mut Trail<V>, before: V, after: V) {
        if !self.is_chosen {
            trail.since = Some(self.since());
            return;
        }
        if trail.since.take().is_some() {
            trail.before = before;
        }
        trail.after = after;
    }
}

/// Follows changes cell by cell. `entries` are those of every resource that a chosen change is about, from the
/// first chosen one on, and `is_chosen` says which are; the order does not matter.
pub fn follow(entries: &[Entry], selection: &Selection, is_chosen: impl Fn(&Entry) -> bool) -> Trails {
    let mut trails = Trails::default();
    // What one resource was is told by its versions, whatever the clocks of two nodes say.
    let mut by_version: Vec<&Entry> = entries.iter().collect();
    by_version.sort_by(|one, other| {
        let key = |entry: &'_ Entry| (entry.version, entry.id.clone());
        one.resource_id.cmp(&other.resource_id).then_with(|| key(one).cmp(&key(other)))
    });
    for entry in by_version {
        let write = Write { entry, is_chosen: is_chosen(entry) };
        let id = entry.resource_id.as_str();
        if write.is_chosen && !trails.resources.contains_key(id) {
            trails.resources.insert(id.to_owned(), ResourceTrails::default());
        }
        let Some(resource) = trails.resources.get_mut(id) else { continue };
        follow_resource(resource, &write, selection);
    }
    if selection.admits_attribute(super::MEMBERS, None) {
        let mut by_time: Vec<&Entry> = entries.iter().collect();
        by_time.sort_by(|one, other| one.id.cmp(&other.id));
        for entry in by_time {
            follow_members(&mut trails.members, &Write { entry, is_chosen: is_chosen(entry) });
        }
    }
    trails
}

fn follow_resource(resource: &mut ResourceTrails, write: &Write<'_>, selection: &Selection) {
    let entry = write.entry;
    if selection.is_of_whole_resources() {
        let exists = match entry.change {
            ChangeKind::Create => Some((false, true)),
            ChangeKind::Delete => Some((true, false)),
            ChangeKind::Update => None,
        };
        if let Some((before, after)) = exists {
            match &mut resource.exists {
                Some(trail) => write.go_on(trail, before, after),
                None if write.is_chosen => resource.exists = Some(Trail { before, after, since: None }),
                None => {}
            }
            if write.is_chosen && entry.change == ChangeKind::Delete {
                resource.deletion = Some(entry.id.clone());
            }
        }
    }
    if !write.is_chosen {
        resource.other = Some(write.since());
    }
    for (path, before, after) in cells(entry) {
        if selection.admits_attribute(&path.0, path.1.as_deref()) {
            write.note(&mut resource.attributes, path, before, after);
        }
    }
}

/// The attributes that a change wrote, one by one; extensions are taken apart.
fn cells(entry: &Entry) -> Vec<(Path, Option<Value>, Option<Value>)> {
    let mut cells = Vec::new();
    let names = entry.was.keys().chain(entry.became.keys().filter(|name| !entry.was.contains_key(*name)));
    for name in names {
        let (before, after) = (entry.was.get(name), entry.became.get(name));
        let inside = |value: Option<&Value>| match value {
            None => Some(serde_json::Map::new()),
            Some(Value::Object(parts)) if name.contains(':') => Some(parts.clone()),
            Some(_) => None,
        };
        match (inside(before), inside(after)) {
            (Some(old), Some(new)) if name.contains(':') => {
                let inner = old.keys().chain(new.keys().filter(|inner| !old.contains_key(*inner)));
                cells.extend(inner.filter(|inner| old.get(*inner) != new.get(*inner)).map(|inner| {
                    let path = (name.clone(), Some(inner.clone()));
                    (path, old.get(inner).cloned(), new.get(inner).cloned())
                }));
            }
            (Some(_) | None, _) => cells.push(((name.clone(), None), before.cloned(), after.cloned())),
        }
    }
    cells
}

fn follow_members(trails: &mut MemberTrails, write: &Write<'_>) {
    let Entry { resource_id, members, change, .. } = write.entry;
    let mut note = |group: &str, member: &str, is_in: bool| {
        if write.is_chosen && !trails.contains_key(group) {
            trails.insert(group.to_owned(), BTreeMap::new());
        }
        if let Some(cells) = trails.get_mut(group) {
            write.note(cells, member.to_owned(), !is_in, is_in);
        }
    };
    for member in &members.left {
        note(resource_id.as_str(), member, false);
    }
    for member in &members.joined {
        note(resource_id.as_str(), member, true);
    }
    if *change == ChangeKind::Delete {
        for group in &members.groups {
            note(group, resource_id.as_str(), false);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        KeyId, ResourceId,
        journal::{Memberships, tests::entry},
        scopes::ResourceKind,
    };

    const BAD: u8 = 1;
    const GOOD: u8 = 2;

    fn title(number: u8, key: u8, was: &str, became: &str) -> Entry {
        entry(number, key, json!({ "title": was }), json!({ "title": became }))
    }

    fn bad(entry: &Entry) -> bool {
        entry.key_id == Some(KeyId::new(1, [BAD; 10]))
    }

    fn of_title(entries: &[Entry]) -> Trail<Option<Value>> {
        let trails = follow(entries, &Selection::default(), bad);
        let resource = trails.resources.values().next().unwrap();
        resource.attributes[&("title".to_owned(), None)].clone()
    }

    #[test]
    fn a_run_of_bad_writes_goes_back_to_what_was_before_it() {
        let trail = of_title(&[title(2, BAD, "b", "c"), title(1, BAD, "a", "b")]);
        assert_eq!(trail, Trail { before: Some(json!("a")), after: Some(json!("c")), since: None });
    }

    #[test]
    fn what_somebody_else_wrote_in_between_comes_back() {
        let trail = of_title(&[title(1, BAD, "a", "b"), title(2, GOOD, "b", "c"), title(3, BAD, "c", "d")]);
        assert_eq!(trail, Trail { before: Some(json!("c")), after: Some(json!("d")), since: None });
    }

    #[test]
    fn what_somebody_else_wrote_since_is_told() {
        let trail = of_title(&[title(1, BAD, "a", "b"), title(2, GOOD, "b", "c")]);
        assert_eq!(trail.since, Some(Since { by: "key 2".to_owned(), at_ms: 2 }));
        assert_eq!(trail.before, Some(json!("a")));
    }

    #[test]
    fn extensions_are_taken_apart() {
        let urn = "urn:x:User";
        let one = entry(1, BAD, json!({ urn: { "a": 1, "b": 1 } }), json!({ urn: { "a": 2, "b": 1 } }));
        let two = entry(2, GOOD, json!({ urn: { "a": 2, "b": 1 } }), json!({ urn: { "a": 2, "b": 3 } }));
        let trails = follow(&[one, two], &Selection::default(), bad);
        let attributes = &trails.resources.values().next().unwrap().attributes;
        assert_eq!(attributes.len(), 1);
        let trail = &attributes[&(urn.to_owned(), Some("a".to_owned()))];
        assert_eq!((&trail.before, &trail.since), (&Some(json!(1)), &None));
    }

    #[test]
    fn memberships_go_by_group_and_member_from_both_sides() {
        let group = ResourceId::new(1, [9; 10]);
        let of_group = |number: u8, key: u8, joined: &[&str], left: &[&str]| Entry {
            kind: ResourceKind::Groups,
            resource_id: group.clone(),
            members: Memberships {
                joined: joined.iter().map(|id| (*id).to_owned()).collect(),
                left: left.iter().map(|id| (*id).to_owned()).collect(),
                groups: Vec::new(),
            },
            ..entry(number, key, json!({}), json!({}))
        };
        let user = entry(3, BAD, json!({ "userName": "ada" }), json!({}));
        let deleted = Entry {
            change: ChangeKind::Delete,
            members: Memberships { groups: vec![group.to_string()], ..Memberships::default() },
            ..user
        };
        let ada = deleted.resource_id.to_string();
        let entries = [of_group(1, BAD, &["x"], &["y", "z"]), of_group(2, GOOD, &["z"], &[]), deleted];
        let trails = follow(&entries, &Selection::default(), bad);
        let members = &trails.members[group.as_str()];
        let state = |id: &str| (members[id].before, members[id].since.is_some());
        assert_eq!(
            [state("x"), state("y"), state("z"), state(&ada)],
            [(false, false), (true, false), (true, true), (true, false)]
        );
        assert_eq!(trails.resources[&ada].exists, Some(Trail { before: true, after: false, since: None }));
    }

    #[test]
    fn one_attribute_leaves_the_others_and_the_resource_itself_alone() {
        let one =
            entry(1, BAD, json!({ "title": "a", "active": true }), json!({ "title": "b", "active": false }));
        let gone = Entry { change: ChangeKind::Delete, ..entry(2, BAD, json!({ "title": "b" }), json!({})) };
        let selection = Selection { attribute: Some("title".to_owned()), ..Selection::default() };
        let trails = follow(&[one, gone], &selection, bad);
        let resource = trails.resources.values().next().unwrap();
        assert_eq!((resource.attributes.len(), resource.exists.is_none()), (1, true));
        assert!(trails.members.is_empty());
    }
}
