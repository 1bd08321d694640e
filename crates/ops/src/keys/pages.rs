//! Keys page by page: every key is looked at short, and those of the page are read in full.

use std::collections::BTreeMap;

use domain::{DAY_MS, FederationId, KeyId, Millis, admins::Admin, federations::Federation};
use store::keys::briefs::Brief;

use super::views::{KeyFilter, KeyView, attention_of, leaves, views_of};
use crate::{Cx, Error, federations::visible};

/// The most keys of one page.
const MOST: usize = 200;

/// The days at which the bars of an age distribution begin.
pub const AGES: [i64; 7] = [0, 7, 30, 60, 90, 180, 365];

/// The order of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sort {
    /// What needs attention first.
    #[default]
    Attention,
    /// The next to end first.
    Ends,
    /// The oldest first.
    Age,
    /// The last that was used first.
    Used,
    /// By name.
    Name,
}

impl Sort {
    /// Every order, as they are offered.
    pub const ALL: [Self; 5] = [Self::Attention, Self::Ends, Self::Age, Self::Used, Self::Name];

    /// The word in the address.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Attention => "attention",
            Self::Ends => "ends",
            Self::Age => "age",
            Self::Used => "used",
            Self::Name => "name",
        }
    }

    /// What people read.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Attention => "Needs attention first",
            Self::Ends => "Ends first",
            Self::Age => "Oldest first",
            Self::Used => "Last used first",
            Self::Name => "Name",
        }
    }

    /// Reads the word of [`Sort::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|sort| sort.as_str() == text)
    }
}

/// A page of keys.
#[derive(Debug, Clone, Default)]
pub struct List {
    /// In the order that was asked for.
    pub keys: Vec<KeyView>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<String>,
    /// How many keys the filter leaves.
    pub total: i64,
    /// How many of them are accepted, by age: for each of [`AGES`] those inside their policy and those beyond it.
    pub ages: [(i64, i64); AGES.len()],
}

/// Where a key stands in an order; by its id where two stand alike.
type Place = (u8, Millis, String, KeyId);

/// A page of the keys that the viewer may see and a filter leaves, after a place.
///
/// # Errors
/// When the database does not answer. A cursor that is none begins at the beginning.
pub async fn page(
    cx: &Cx<Admin>,
    filter: &KeyFilter,
    sort: Sort,
    after: Option<&str>,
    limit: usize,
) -> Result<List, Error> {
    let now_ms = cx.now_ms();
    let mut reader = cx.read().await?;
    let federations = visible(cx, &mut reader).await?;
    let federations: BTreeMap<FederationId, &Federation> =
        federations.iter().map(|federation| (federation.id.clone(), federation)).collect();
    let briefs = store::keys::briefs::list(&mut reader.conn()).await?;
    let mut page = List::default();
    let mut places: Vec<Place> = Vec::new();
    for key in &briefs {
        let Some(federation) = federations.get(&key.federation_id) else { continue };
        let state = key.life.state(now_ms);
        let fields = [&key.name, &key.last_four, &key.issued_by, &federation.name];
        if !leaves(filter, &federation.slug, state, key.proof, fields) {
            continue;
        }
        if state.is_accepted() && !key.canary {
            let days = (now_ms - key.life.issued_ms) / DAY_MS;
            let at = AGES.iter().rposition(|from| days >= *from).unwrap_or(0);
            let bar = &mut page.ages[at];
            if key.life.is_over_age(federation.policy, now_ms) { bar.1 += 1 } else { bar.0 += 1 }
        }
        places.push(place(key, federation, sort, now_ms));
    }
    page.total = i64::try_from(places.len()).unwrap_or(i64::MAX);
    places.sort_unstable();
    let start = after
        .and_then(|text| read(text, &briefs))
        .map_or(0, |after| places.partition_point(|place| *place <= after));
    let limit = limit.clamp(1, MOST);
    let rest = places.get(start..).unwrap_or_default();
    let shown = rest.get(..limit).unwrap_or(rest);
    page.next = shown.last().filter(|_| rest.len() > limit).map(written);
    let ids: Vec<&KeyId> = shown.iter().map(|(.., id)| id).collect();
    let mut views = views_of(cx, &mut reader, &ids, &federations).await?;
    page.keys = ids.into_iter().filter_map(|id| views.remove(id)).collect();
    Ok(page)
}

fn place(key: &Brief, federation: &Federation, sort: Sort, now_ms: Millis) -> Place {
    let life = &key.life;
    let (rank, at_ms, name) = match sort {
        Sort::Attention => {
            let (rank, at_ms) = attention_of(key, federation.policy, now_ms);
            (rank, at_ms, String::new())
        }
        Sort::Ends => (u8::from(!life.state(now_ms).is_accepted()), life.planned_end_ms(), String::new()),
        Sort::Age => (u8::from(!life.state(now_ms).is_accepted()), life.issued_ms, String::new()),
        Sort::Used => (0, life.last_used_ms.map_or(Millis::MAX, |at_ms| -at_ms), String::new()),
        Sort::Name => (0, 0, key.name.to_lowercase()),
    };
    (rank, at_ms, name, key.id.clone())
}

/// A place as text. The name is that of the key, which does not change.
fn written((rank, at_ms, _, id): &Place) -> String {
    format!("{rank}~{at_ms}~{id}")
}

fn read(text: &str, briefs: &[Brief]) -> Option<Place> {
    let mut parts = text.splitn(3, '~');
    let rank = parts.next()?.parse().ok()?;
    let at_ms = parts.next()?.parse().ok()?;
    let id = KeyId::parse(parts.next()?)?;
    let key = briefs.iter().find(|key| key.id == id)?;
    // Only the order of names has a name in its places, and there the other two are nothing.
    let name = if (rank, at_ms) == (0, 0) { key.name.to_lowercase() } else { String::new() };
    Some((rank, at_ms, name, id))
}
