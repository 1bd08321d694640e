//! The directory as it is, as far as a plan needs it.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use domain::{
    ResourceId,
    federations::{Federation, FederationTarget},
    journal::Image,
};
use scim::ResourceType;
use serde_json::Value;
use store::{
    Conn,
    directory::{Term, Window},
    links::Side,
};

use crate::Error;

/// How many rows one statement reads.
const BATCH: usize = 200;

/// A resource that is there.
pub(super) struct Present {
    pub name: String,
    pub body: Image,
}

/// Reads which of some resources are there, by their ids.
pub(super) async fn read(
    conn: &mut Conn<'_>,
    federation: &Federation,
    ids: &[&str],
) -> Result<BTreeMap<String, Present>, Error> {
    match federation.target {
        FederationTarget::Embedded => embedded(conn, federation, ids).await,
        FederationTarget::Upstream => upstream(conn, federation, ids).await,
    }
}

fn image(body: &str) -> Image {
    match serde_json::from_str(body) {
        Ok(Value::Object(image)) => image,
        Ok(_) | Err(_) => Image::new(),
    }
}

async fn embedded(
    conn: &mut Conn<'_>,
    federation: &Federation,
    ids: &[&str],
) -> Result<BTreeMap<String, Present>, Error> {
    let mut found = BTreeMap::new();
    for ids in ids.chunks(BATCH) {
        let terms = [Term::Id(ids.iter().map(|id| (*id).to_owned()).collect())];
        let window = Window { limit: i64::try_from(BATCH).unwrap_or(i64::MAX), ..Window::default() };
        for row in store::users::page(conn, &federation.id, &terms, &window).await? {
            let present = Present { name: row.user_name, body: image(&row.body) };
            found.insert(row.id.to_string(), present);
        }
        for row in store::groups::page(conn, &federation.id, &terms, &window).await? {
            let present = Present { name: row.display_name, body: image(&row.body) };
            found.insert(row.id.to_string(), present);
        }
    }
    Ok(found)
}

/// At an upstream: as it last showed them.
async fn upstream(
    conn: &mut Conn<'_>,
    federation: &Federation,
    ids: &[&str],
) -> Result<BTreeMap<String, Present>, Error> {
    let mut found = BTreeMap::new();
    for id in ids {
        for kind in ResourceType::ALL {
            let link = store::links::by_id(conn, &federation.id, kind, id).await?;
            let Some(link) = link.filter(|link| link.state.is_ours()) else { continue };
            let body = image(&link.body);
            let attribute = if kind == ResourceType::User { "userName" } else { "displayName" };
            let name = body.get(attribute).and_then(Value::as_str).unwrap_or(&link.name_lower).to_owned();
            found.insert((*id).to_owned(), Present { name, body });
        }
    }
    Ok(found)
}

/// Who has each of these names, folded: the id. Names of groups that may be shared are nobody's alone.
pub(super) async fn holders(
    conn: &mut Conn<'_>,
    federation: &Federation,
    kind: ResourceType,
    names: &BTreeSet<String>,
) -> Result<BTreeMap<String, String>, Error> {
    let mut found = BTreeMap::new();
    if kind == ResourceType::Group && !federation.scim.unique_group_names {
        return Ok(found);
    }
    let names: Vec<String> = names.iter().cloned().collect();
    for names in names.chunks(BATCH) {
        let terms = [Term::Name(names.to_vec())];
        let window = Window { limit: i64::try_from(BATCH * 2).unwrap_or(i64::MAX), ..Window::default() };
        match kind {
            ResourceType::User => {
                for row in store::users::page(conn, &federation.id, &terms, &window).await? {
                    found.insert(scim::fold_case(&row.user_name), row.id.to_string());
                }
            }
            ResourceType::Group => {
                for row in store::groups::page(conn, &federation.id, &terms, &window).await? {
                    found.insert(scim::fold_case(&row.display_name), row.id.to_string());
                }
            }
        }
    }
    Ok(found)
}

/// Who is in a group of an upstream, as it last showed it; none when it showed no members.
pub(super) async fn shown_inside(
    conn: &mut Conn<'_>,
    federation: &Federation,
    group: Option<&Present>,
) -> Result<Option<HashSet<String>>, Error> {
    let Some(Value::Array(members)) = group.and_then(|group| group.body.get("members")) else {
        return Ok(None);
    };
    let theirs: Vec<&str> = members.iter().filter_map(|member| member.get("value")?.as_str()).collect();
    let ours = store::links::translate(conn, &federation.id, Side::Theirs, &theirs).await?;
    Ok(Some(ours.into_values().collect()))
}

/// Which of these are in a group.
pub(super) async fn inside(
    conn: &mut Conn<'_>,
    federation: &Federation,
    group: &str,
    ids: &[&str],
) -> Result<HashSet<String>, Error> {
    let Some(group) = ResourceId::parse(group) else { return Ok(HashSet::new()) };
    Ok(store::members::present(conn, &federation.id, &group, ids).await?)
}
