//! Users, groups, and what the journal says of them.

use domain::{DAY_MS, JournalId, RequestId, ResourceId, audit::ActorKind, journal::ChangeKind};
use store::{
    directory::Reindex,
    groups::{GroupRow, Naming},
    journal::NewEntry,
    users::UserRow,
};

use super::{Filler, House};
use crate::Outcome;

const GIVEN: [&str; 16] = [
    "Ada", "Ben", "Cleo", "Dara", "Emil", "Femi", "Gita", "Hugo", "Ines", "Jona", "Kaya", "Luca", "Mina",
    "Noor", "Otto", "Pia",
];
const FAMILY: [&str; 16] = [
    "Abel", "Brandt", "Castro", "Dias", "Ek", "Ferro", "Gruber", "Hald", "Ivic", "Jansen", "Kovac", "Lind",
    "Moreau", "Novak", "Olsen", "Pires",
];

/// Users of one group.
const MEMBERS: usize = 20;

/// Users between two commits.
const COMMITTED: usize = 5_000;

/// Writes them. The first federation has a third of all users, the others share the rest.
pub async fn write(filler: &mut Filler, houses: &mut [House]) -> Outcome {
    let all = filler.sizes.people as usize;
    let (large, rest) = (all / 3, all - all / 3);
    let others = houses.len().saturating_sub(1).max(1);
    let mut number = 0;
    for (place, house) in houses.iter_mut().enumerate() {
        let share = if place == 0 { large } else { rest / others + usize::from(place <= rest % others) };
        people(filler, house, share, &mut number).await?;
        groups(filler, house).await?;
    }
    filler.step().await?;
    journal(filler, houses).await?;
    filler.step().await
}

async fn people(filler: &mut Filler, house: &mut House, count: usize, number: &mut usize) -> Outcome {
    for _ in 0..count {
        *number += 1;
        let (given, family) = (filler.chance.of(&GIVEN), filler.chance.of(&FAMILY));
        let name = format!("{}.{}.{number}@example.com", given.to_lowercase(), family.to_lowercase());
        let active = !filler.chance.percent(6);
        let body = format!(
            "{{\"schemas\":[\"urn:ietf:params:scim:schemas:core:2.0:User\"],\"userName\":\"{name}\",\
             \"externalId\":\"x{number}\",\"name\":{{\"givenName\":\"{given}\",\"familyName\":\"{family}\"}},\
             \"displayName\":\"{given} {family}\",\"active\":{active},\
             \"emails\":[{{\"value\":\"{name}\",\"type\":\"work\",\"primary\":true}}]}}"
        );
        let created_ms = filler.between(filler.begins_ms() - 300 * DAY_MS, filler.until_ms);
        let user = UserRow {
            id: ResourceId::new(created_ms, filler.chance.id()),
            user_name: name.clone(),
            external_id: Some(format!("x{number}")),
            active,
            made_by: house.used.first().map_or_else(String::new, |(id, ..)| id.to_string()),
            version: 1,
            created_ms,
            modified_ms: created_ms,
            body,
        };
        let reindex = Reindex::created(&serde_json::from_str(&user.body)?);
        store::users::insert(&mut filler.bulk.conn(), &house.id, &user, &reindex).await?;
        house.people.push((user.id.to_string(), name));
        if number.is_multiple_of(COMMITTED) {
            filler.step().await?;
        }
    }
    Ok(())
}

async fn groups(filler: &mut Filler, house: &House) -> Outcome {
    for (number, members) in house.people.chunks(MEMBERS).enumerate() {
        let name = format!("Team {}", number + 1);
        let created_ms = filler.between(filler.begins_ms() - 300 * DAY_MS, filler.until_ms);
        let group = GroupRow {
            id: ResourceId::new(created_ms, filler.chance.id()),
            body: format!(
                "{{\"schemas\":[\"urn:ietf:params:scim:schemas:core:2.0:Group\"],\"displayName\":\"{name}\"}}"
            ),
            display_name: name,
            external_id: None,
            made_by: house.used.first().map_or_else(String::new, |(id, ..)| id.to_string()),
            version: 1,
            created_ms,
            modified_ms: created_ms,
        };
        let conn = &mut filler.bulk.conn();
        store::groups::insert(conn, &house.id, &group, Naming::Unique).await?;
        let joining: Vec<(String, &'static str)> =
            members.iter().map(|(id, _)| (id.clone(), "User")).collect();
        store::members::add(conn, &house.id, &group.id, &joining).await?;
    }
    Ok(())
}

/// What was changed of them, in order of time.
async fn journal(filler: &mut Filler, houses: &[House]) -> Outcome {
    let count = i64::from(filler.sizes.journal);
    let (from_ms, until_ms) = (filler.begins_ms(), filler.until_ms);
    for number in 0..count {
        let at_ms = from_ms + (until_ms - from_ms) * number / count.max(1);
        let Some((house, key, (id, name))) = somebody(filler, houses, at_ms) else { continue };
        let entry_id = JournalId::new(at_ms, filler.chance.id());
        let request_id = RequestId::new(at_ms, filler.chance.id());
        let title = format!("Level {}", filler.chance.below(9));
        let (was, became) = ("{\"title\":\"Level 0\"}".to_owned(), format!("{{\"title\":\"{title}\"}}"));
        let entry = NewEntry {
            id: &entry_id,
            at_ms,
            request_id: request_id.as_str(),
            key_id: Some(&key),
            actor: (ActorKind::Key, "", &house.name),
            source: Some(&house.source),
            resource_type: "User",
            resource_id: &id,
            name: &name,
            change: ChangeKind::Update,
            version: 1 + number % 7,
            was: Some(&was),
            became: Some(&became),
            members: None,
            facts: None,
            undo_of: None,
        };
        store::journal::insert(&mut filler.bulk.conn(), &house.id, &entry).await?;
        if number % 20_000 == 19_999 {
            filler.step().await?;
        }
    }
    Ok(())
}

/// A user of some federation, and a key of it that worked then.
pub fn somebody<'h>(
    filler: &mut Filler,
    houses: &'h [House],
    at_ms: i64,
) -> Option<(&'h House, String, (String, String))> {
    // Some moments have nobody at the first place that is looked at.
    for _ in 0..20 {
        let house = &houses[filler.chance.place(houses.len())];
        if house.people.is_empty() || house.used.is_empty() {
            continue;
        }
        let (key, from_ms, to_ms) = &house.used[filler.chance.place(house.used.len())];
        if (*from_ms..=*to_ms).contains(&at_ms) {
            let person = house.people[filler.chance.place(house.people.len())].clone();
            return Some((house, key.to_string(), person));
        }
    }
    None
}
