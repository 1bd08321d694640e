//! Random sequences of changes by two keys; what one of them did is taken back. The model is the directory to
//! which only the other's changes were made.

use std::collections::{BTreeMap, BTreeSet};

use domain::DAY_MS;
use ops::{groups, listing::Found, users};
use scim::{ListQuery, ResourceType};
use serde_json::json;

use crate::{
    journal::{Hand, by, take_back},
    support::{House, asked, houses},
};

/// The directory as a model: titles of users, members of groups.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Model {
    users: BTreeMap<String, String>,
    groups: BTreeMap<String, BTreeSet<String>>,
}

/// A change that had an effect.
#[derive(Debug, Clone)]
enum Step {
    User(String, String),
    Title(String, String),
    DeleteUser(String),
    Group(String),
    DeleteGroup(String),
    Join(String, String),
    Leave(String, String),
}

impl Model {
    fn apply(&mut self, step: &Step) {
        match step.clone() {
            Step::User(id, title) => {
                self.users.insert(id, title);
            }
            Step::Title(id, title) => {
                if let Some(held) = self.users.get_mut(&id) {
                    *held = title;
                }
            }
            Step::DeleteUser(id) => {
                self.users.remove(&id);
                self.groups.values_mut().for_each(|members| {
                    members.remove(&id);
                });
            }
            Step::Group(id) => {
                self.groups.insert(id, BTreeSet::new());
            }
            Step::DeleteGroup(id) => {
                self.groups.remove(&id);
            }
            Step::Join(group, id) => {
                if let Some(members) = self.groups.get_mut(&group).filter(|_| self.users.contains_key(&id)) {
                    members.insert(id);
                }
            }
            Step::Leave(group, id) => {
                if let Some(members) = self.groups.get_mut(&group) {
                    members.remove(&id);
                }
            }
        }
    }
}

/// Numbers that look random (xorshift).
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(end.max(1)).unwrap()).unwrap()
    }

    fn of<'a>(&mut self, some: &'a [String]) -> Option<&'a String> {
        some.get(self.below(some.len()))
    }
}

/// Makes one random change in the world; `theirs` are resources that this key leaves alone.
async fn step(
    hand: &Hand<'_>,
    world: &Model,
    theirs: &BTreeSet<String>,
    chance: &mut Chance,
    number: usize,
) -> Option<Step> {
    let own =
        |ids: Vec<String>| -> Vec<String> { ids.into_iter().filter(|id| !theirs.contains(id)).collect() };
    let users = own(world.users.keys().cloned().collect());
    let groups = own(world.groups.keys().cloned().collect());
    let text = format!("t{number}");
    Some(match chance.below(12) {
        0 => Step::User(hand.user(json!({ "userName": format!("n{number}"), "title": text })).await, text),
        1..=3 => {
            let id = chance.of(&users)?;
            hand.set(id, "title", json!(text)).await.unwrap();
            Step::Title(id.clone(), text)
        }
        4 => {
            let id = chance.of(&users)?;
            hand.delete(id).await.unwrap();
            Step::DeleteUser(id.clone())
        }
        5 => Step::Group(hand.group(&format!("g{number}"), &[]).await),
        6 => {
            let id = chance.of(&groups)?;
            hand.delete_group(id).await.unwrap();
            Step::DeleteGroup(id.clone())
        }
        7..=9 => {
            let (group, id) = (chance.of(&groups)?, chance.of(&users)?);
            if world.groups[group].contains(id) {
                return None;
            }
            hand.join(group, &[id]).await.unwrap();
            Step::Join(group.clone(), id.clone())
        }
        _ => {
            let group = chance.of(&groups)?;
            let members: Vec<String> =
                world.groups[group].iter().filter(|id| !theirs.contains(*id)).cloned().collect();
            let id = chance.of(&members)?;
            hand.leave(group, &[id]).await.unwrap();
            Step::Leave(group.clone(), id.clone())
        }
    })
}

/// The directory as it is.
async fn world(hand: &Hand<'_>) -> Model {
    let cx = hand.cx().await;
    let mut model = Model::default();
    for kind in ResourceType::ALL {
        let query = ListQuery { count: 500, ..ListQuery::default() };
        let page = ops::listing::list(&cx, &asked("GET", "Users"), kind, &query).await.unwrap();
        for found in page.found {
            match found {
                Found::User(users::User { id, resource, .. }) => {
                    let title = resource.as_value()["title"].as_str().unwrap_or_default().to_owned();
                    model.users.insert(id.to_string(), title);
                }
                Found::Group(groups::Group { id, members, .. }) => {
                    let members = members.into_iter().map(|member| member.value).collect();
                    model.groups.insert(id.to_string(), members);
                }
            }
        }
    }
    model
}

async fn check(house: &House, seed: u64) {
    let mut chance = Chance(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let federation = house.federation(&format!("f{seed}")).await;
    let good = Hand::new(house, &federation, &format!("good {seed}")).await;
    let bad = Hand::new(house, &federation, &format!("bad {seed}")).await;
    let (mut now, mut people) = (Model::default(), Vec::new());
    for number in 0..8 {
        let id = good.user(json!({ "userName": format!("u{number}"), "title": "first" })).await;
        now.apply(&Step::User(id.clone(), "first".to_owned()));
        people.push(id);
    }
    for number in 0..3 {
        let members = &people[number..number + 4];
        let id = good.group(&format!("first {number}"), members).await;
        now.apply(&Step::Group(id.clone()));
        for member in members {
            now.apply(&Step::Join(id.clone(), member.clone()));
        }
    }
    let mut model = now.clone();
    let (none, mut made_by_bad) = (BTreeSet::new(), BTreeSet::new());
    let mut told = Vec::new();
    for number in 0..45 {
        // No brake is the matter here.
        house.clock.advance(DAY_MS + 3_600_000);
        let is_bad = chance.below(2) == 0;
        let (hand, theirs) = if is_bad { (&bad, &none) } else { (&good, &made_by_bad) };
        let Some(step) = step(hand, &now, theirs, &mut chance, number).await else { continue };
        now.apply(&step);
        if is_bad {
            if let Step::User(id, _) | Step::Group(id) = &step {
                made_by_bad.insert(id.clone());
            }
        } else {
            model.apply(&step);
        }
        told.push((is_bad, step));
    }
    assert_eq!(world(&good).await, now, "seed {seed}: {told:#?}");
    take_back(house, &federation, &by(&bad.key_id)).await;
    assert_eq!(world(&good).await, model, "seed {seed}: {told:#?}");
}

#[tokio::test]
async fn what_one_key_did_among_the_changes_of_another_is_taken_back_as_if_it_had_never_been() {
    for house in houses().await {
        for seed in 1..=12 {
            check(&house, seed).await;
        }
        house.close().await;
    }
}
