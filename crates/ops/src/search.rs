//! Finding a federation, a key or a person by a few letters.

use std::collections::BTreeMap;

use domain::{
    FederationId, ResourceId,
    admins::{Admin, Right},
    federations::Federation,
};
use store::{
    Reader,
    directory::{Order, Term, Window},
};

use crate::{Cx, Error, federations::visible, keys::attention_of};

/// People are looked for from so many letters on.
const LETTERS: usize = 2;

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HitKind {
    /// A federation.
    Federation,
    /// A key.
    Key,
    /// A user of a directory.
    Person,
}

/// One hit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// What it is.
    pub kind: HitKind,
    /// Its name.
    pub title: String,
    /// What tells it from others of the same name.
    pub detail: String,
    /// Its page.
    pub path: String,
}

/// The federations and keys whose name, slug or last four hold the text, and the users whose `userName` begins with
/// it, ignoring case. Of each kind some are among them.
pub async fn find(cx: &Cx<Admin>, text: &str, limit: i64) -> Result<Vec<Hit>, Error> {
    let text = text.trim().to_lowercase();
    let limit = usize::try_from(limit.clamp(1, 50)).unwrap_or(50);
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let mut reader = cx.read().await?;
    let federations = visible(cx, &mut reader).await?;
    let holds = |fields: &[&str]| fields.iter().any(|field| field.to_lowercase().contains(&text));
    let people = people(cx, &mut reader, &federations, &text, limit).await?;
    let mut hits: Vec<Hit> = federations
        .iter()
        .filter(|federation| holds(&[&federation.name, federation.slug.as_str(), federation.vendor.label()]))
        .map(|federation| Hit {
            kind: HitKind::Federation,
            title: federation.name.clone(),
            detail: federation.vendor.label().to_owned(),
            path: format!("/federations/{}", federation.slug),
        })
        .collect();
    let by_id: BTreeMap<&FederationId, &Federation> =
        federations.iter().map(|federation| (&federation.id, federation)).collect();
    let now_ms = cx.now_ms();
    let keys = store::keys::briefs::list(&mut reader.conn()).await?;
    let mut keys: Vec<_> = keys
        .iter()
        .filter(|key| holds(&[&key.name, &key.last_four, key.id.as_str()]))
        .filter_map(|key| Some((key, *by_id.get(&key.federation_id)?)))
        .collect();
    keys.sort_by_cached_key(|(key, federation)| {
        (attention_of(key, federation.policy, now_ms), key.id.clone())
    });
    let keys = keys.into_iter().map(|(key, federation)| Hit {
        kind: HitKind::Key,
        title: key.name.clone(),
        detail: format!("{} · …{} · {}", federation.name, key.last_four, key.life.state(now_ms).label()),
        path: format!("/keys/{}", key.id),
    });
    let keys: Vec<Hit> = keys.take(limit).collect();
    let share = |found: usize| found.min(limit / 4);
    hits.truncate(limit - share(keys.len()) - share(people.len()));
    let left = limit - hits.len();
    hits.extend(keys.into_iter().take(left - share(people.len())));
    let left = limit - hits.len();
    hits.extend(people.into_iter().take(left));
    Ok(hits)
}

/// Users whose `userName` begins with the text.
async fn people(
    cx: &Cx<Admin>,
    reader: &mut Reader,
    federations: &[Federation],
    text: &str,
    limit: usize,
) -> Result<Vec<Hit>, Error> {
    if text.chars().count() < LETTERS {
        return Ok(Vec::new());
    }
    let most = i64::try_from(limit).unwrap_or(50);
    let prefix = scim::fold_case(text);
    let mut found = Vec::new();
    if cx.actor.role.may(Right::ReadInstallation, None) {
        found = store::users::named(&mut reader.conn(), &prefix, most).await?;
    } else {
        let window = Window { order: Order::Name, limit: most, ..Window::default() };
        for federation in federations {
            let terms = [Term::NamePrefix(prefix.clone())];
            let rows = store::users::page(&mut reader.conn(), &federation.id, &terms, &window).await?;
            found.extend(rows.into_iter().map(|row| (federation.id.clone(), row.id, row.user_name)));
        }
    }
    let hit = |(id, user, name): (FederationId, ResourceId, String)| {
        let federation = federations.iter().find(|federation| federation.id == id)?;
        let path = format!("/federations/{}/users/{user}", federation.slug);
        Some(Hit { kind: HitKind::Person, title: name, detail: format!("User of {}", federation.name), path })
    };
    let mut hits: Vec<Hit> = found.into_iter().filter_map(hit).collect();
    hits.sort_by(|one, other| one.title.cmp(&other.title));
    hits.truncate(limit);
    Ok(hits)
}
