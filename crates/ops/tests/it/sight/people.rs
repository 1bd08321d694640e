//! Who is in the directory of a provider, and what happens to them.

use std::collections::{BTreeMap, BTreeSet};

use domain::Millis;

use super::chance::Chance;

const GIVEN: [&str; 24] = [
    "Ada", "Bao", "Carla", "Dov", "Elif", "Femi", "Greta", "Hiro", "Ines", "Jonas", "Kaya", "Lior", "Mina",
    "Nuno", "Olga", "Priya", "Quentin", "Rosa", "Sven", "Tariq", "Uma", "Vera", "Wim", "Yara",
];
const FAMILY: [&str; 25] = [
    "Abel", "Brandt", "Costa", "Diallo", "Engel", "Fontaine", "Garcia", "Haas", "Ivanova", "Jensen", "Kaur",
    "Lind", "Moreau", "Nowak", "Okafor", "Petrov", "Quist", "Rossi", "Sato", "Toth", "Ueda", "Vogel",
    "Weber", "Yilmaz", "Zeman",
];
const TITLES: [&str; 6] = ["Engineer", "Analyst", "Manager", "Designer", "Consultant", "Director"];
const DEPARTMENTS: [&str; 5] = ["Labs", "Sales", "Finance", "People", "Support"];
const TEAMS: [&str; 8] =
    ["Engineering", "Sales", "Finance", "Everyone", "Support", "Berlin", "Lyon", "Contractors"];

/// The group that gives privilege.
pub const ADMINS: usize = 0;

/// The group that everybody is in.
const EVERYONE: usize = 4;

/// The user that nobody may change.
pub const PROTECTED: u32 = 0;

/// The handle of the user that no provider knows, and nobody has a reason to touch.
pub const CANARY: &str = "canary";

/// Those whom nothing happens to: the one above and the admins.
pub const SETTLED: u32 = 5;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    pub number: u32,
    pub given: &'static str,
    pub family: String,
    /// userName and mail address.
    pub name: String,
    pub external_id: String,
    pub title: &'static str,
    pub department: &'static str,
    pub is_active: bool,
}

impl Person {
    pub fn handle(&self) -> String {
        format!("u{}", self.number)
    }

    pub fn display(&self) -> String {
        format!("{} {}", self.given, self.family)
    }
}

#[derive(Debug, Clone)]
pub struct Group {
    pub number: usize,
    pub name: String,
    pub external_id: String,
    pub members: BTreeSet<u32>,
}

impl Group {
    pub fn handle(&self) -> String {
        format!("g{}", self.number)
    }
}

/// What happens to somebody. Who it is is drawn when it happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    Joins,
    Leaves,
    NewTitle,
    /// Another family name, and with it another userName and mail address.
    NewName,
    ChangesTeams,
}

/// What became of an event, for the dialects to tell.
#[derive(Debug, Clone)]
pub enum Happened {
    Joined { person: Person, groups: Vec<usize> },
    Left { person: Person, groups: Vec<usize> },
    NewTitle(Person),
    NewName { person: Person, before: String },
    Changed { person: Person, from: usize, to: usize },
}

/// The people and groups of a provider.
#[derive(Debug, Clone)]
pub struct People {
    pub domain: &'static str,
    pub everybody: BTreeMap<u32, Person>,
    pub groups: Vec<Group>,
    /// When who was deactivated or deleted, the oldest first.
    pub removals: Vec<(Millis, u32)>,
    /// When somebody got another name and address.
    pub renames: Vec<Millis>,
    next: u32,
}

impl People {
    pub fn new(domain: &'static str, count: u32, teams: usize, chance: &mut Chance) -> Self {
        let groups = std::iter::once("Administrators").chain(TEAMS.into_iter().take(teams)).enumerate().map(
            |(number, name)| Group {
                number,
                name: name.to_owned(),
                external_id: format!("grp-{domain}-{number}"),
                members: BTreeSet::new(),
            },
        );
        let mut people = Self {
            domain,
            everybody: BTreeMap::new(),
            groups: groups.collect(),
            removals: Vec::new(),
            renames: Vec::new(),
            next: 0,
        };
        for number in 0..count {
            people.hire(chance);
            if (2..SETTLED).contains(&number) {
                people.groups[ADMINS].members.insert(number);
            }
            let group = people.team(chance);
            if number != PROTECTED {
                people.groups[group].members.insert(number);
            }
        }
        people
    }

    pub fn active(&self) -> Vec<u32> {
        self.everybody.values().filter(|person| person.is_active).map(|person| person.number).collect()
    }

    fn team(&self, chance: &mut Chance) -> usize {
        let teams: Vec<usize> = (1..self.groups.len()).filter(|group| *group != EVERYONE).collect();
        *chance.pick(&teams)
    }

    /// Somebody new, in no group yet.
    pub fn hire(&mut self, chance: &mut Chance) -> Person {
        let number = self.next;
        self.next += 1;
        let (given, family) = (*chance.pick(&GIVEN), *chance.pick(&FAMILY));
        let person = Person {
            number,
            given,
            family: family.to_owned(),
            name: format!("{}.{}{number}@{}", given.to_lowercase(), family.to_lowercase(), self.domain),
            external_id: format!("{:08x}-{number:04}", chance.next() & 0xFFFF_FFFF),
            title: TITLES[chance.below(TITLES.len())],
            department: DEPARTMENTS[chance.below(DEPARTMENTS.len())],
            is_active: true,
        };
        self.everybody.insert(number, person.clone());
        // The account for emergencies is in no group.
        if number != PROTECTED {
            self.groups[EVERYONE].members.insert(number);
        }
        person
    }

    fn somebody(&self, chance: &mut Chance) -> Option<u32> {
        let candidates: Vec<u32> = self.active().into_iter().filter(|number| *number >= SETTLED).collect();
        (!candidates.is_empty()).then(|| *chance.pick(&candidates))
    }

    /// Lets it happen. None when there is nobody whom it can happen to.
    pub fn happen(&mut self, event: Event, at_ms: Millis, chance: &mut Chance) -> Option<Happened> {
        if event == Event::Joins {
            let person = self.hire(chance);
            let group = self.team(chance);
            self.groups[group].members.insert(person.number);
            return Some(Happened::Joined { person, groups: vec![EVERYONE, group] });
        }
        let number = self.somebody(chance)?;
        let from = self
            .groups
            .iter()
            .skip(1)
            .find(|group| group.number != EVERYONE && group.members.contains(&number))
            .map(|group| group.number);
        let to = self.team(chance);
        let person = self.everybody.get_mut(&number)?;
        Some(match event {
            Event::Joins => return None,
            Event::Leaves => {
                person.is_active = false;
                self.removals.push((at_ms, number));
                let groups = self
                    .groups
                    .iter_mut()
                    .filter_map(|group| group.members.remove(&number).then_some(group.number));
                Happened::Left { groups: groups.collect(), person: person.clone() }
            }
            Event::NewTitle => {
                let titles: Vec<_> = TITLES.into_iter().filter(|title| *title != person.title).collect();
                person.title = titles[chance.below(titles.len())];
                Happened::NewTitle(person.clone())
            }
            Event::NewName => {
                self.renames.push(at_ms);
                let before = person.name.clone();
                let family = FAMILY[chance.below(FAMILY.len())];
                person.family = format!("{}-{family}", person.family);
                let local = person.family.to_lowercase();
                person.name = format!("{}.{local}{number}@{}", person.given.to_lowercase(), self.domain);
                Happened::NewName { person: person.clone(), before }
            }
            Event::ChangesTeams => {
                let from = from.filter(|from| *from != to)?;
                self.groups[from].members.remove(&number);
                self.groups[to].members.insert(number);
                Happened::Changed { person: person.clone(), from, to }
            }
        })
    }
}
