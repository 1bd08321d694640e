//! Which changes a page or a form speaks of, read from an address or from fields of the same names.

use domain::{
    CaseId, Invalid, JournalId, KeyId, Millis, ResourceId, UndoId, admins::Admin, federations::Slug,
    journal::Selection,
};
use ops::{
    Cx, Error,
    journal::{self, undo::Wish},
};

use super::{Values, telling};
use crate::{ui::time, words};

/// The names of the fields that choose changes.
pub const FIELDS: [&str; 10] =
    ["key", "line", "source", "from", "until", "attribute", "resource", "undo", "change", "case"];

/// Changes that are spoken of.
#[derive(Debug, Clone, Default)]
pub struct Chosen {
    /// Which.
    pub selection: Selection,
    /// The case that they belong to.
    pub case: Option<CaseId>,
    /// The address that says the same, without `?`.
    pub query: String,
}

/// A moment in milliseconds, or as people write it; with seconds or without.
fn moment(text: &str) -> Option<(Millis, bool)> {
    if let Ok(at_ms) = text.parse::<Millis>() {
        return Some((at_ms, true));
    }
    let text = text.trim_end_matches('Z');
    let (minute, seconds) = match text.rsplit_once(':') {
        Some((rest, seconds)) if rest.contains(':') => {
            (rest, seconds.parse::<Millis>().ok().filter(|s| *s < 60)?)
        }
        Some(_) | None => (text, 0),
    };
    Some((telling::moment(minute)? + seconds * 1_000, false))
}

/// Reads which changes are meant; `get` gives a field, or a value of the address.
///
/// # Errors
/// Invalid on the field that cannot be read; otherwise as [`narrowed`].
pub async fn chosen(
    cx: &Cx<Admin>,
    slug: &Slug,
    get: impl Fn(&str) -> Option<String>,
) -> Result<Chosen, Error> {
    let (chosen, faults) = narrowed(cx, slug, get).await?;
    if faults.is_empty() { Ok(chosen) } else { Err(faults.into()) }
}

/// As [`chosen`], for a page that only shows: what cannot be read narrows nothing, and is said.
///
/// # Errors
/// NotFound for a case or a key that the viewer may not see, or that is of another federation.
pub async fn narrowed(
    cx: &Cx<Admin>,
    slug: &Slug,
    get: impl Fn(&str) -> Option<String>,
) -> Result<(Chosen, Vec<Invalid>), Error> {
    let text = |name: &str| get(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
    let mut faults = Vec::new();
    let mut chosen = Chosen::default();
    if let Some(id) = text("case") {
        let id = CaseId::parse(&id).ok_or(Error::NotFound("case"))?;
        let (of, selection) = journal::of_case(cx, &id).await?;
        if of != *slug {
            return Err(Error::NotFound("case"));
        }
        chosen.selection = selection;
        chosen.case = Some(id);
    }
    if let Some(id) = text("key") {
        let id = KeyId::parse(&id).ok_or(Error::NotFound("key"))?;
        let is_line = text("line").as_deref() == Some("yes");
        chosen.selection.keys = if is_line { journal::key_line(cx, &id).await? } else { vec![id] };
    }
    let selection = &mut chosen.selection;
    if let Some(source) = text("source") {
        match Selection::parse_network(&source) {
            Ok(network) => selection.network = Some(network),
            Err(fault) => faults.push(fault),
        }
    }
    let expected = "a day and a time in UTC were expected, such as 2026-11-23 20:30";
    if let Some(from) = text("from") {
        match moment(&from) {
            Some((at_ms, _)) => selection.from_ms = Some(at_ms),
            None => faults.push(Invalid::new("from", expected)),
        }
    }
    if let Some(until) = text("until") {
        match moment(&until) {
            // The whole of the second that was written.
            Some((at_ms, is_exact)) => selection.until_ms = Some(if is_exact { at_ms } else { at_ms + 999 }),
            None => faults.push(Invalid::new("until", expected)),
        }
    }
    selection.attribute = text("attribute");
    let gone = |what| move || Error::NotFound(what);
    if let Some(id) = text("resource") {
        selection.resource = Some(ResourceId::parse(&id).ok_or_else(gone("resource"))?);
    }
    if let Some(id) = text("undo") {
        selection.undo = Some(UndoId::parse(&id).ok_or_else(gone("undo"))?);
    }
    if let Some(id) = text("change") {
        selection.entry = Some(JournalId::parse(&id).ok_or_else(gone("change"))?);
    }
    let is_read = |name: &&&str| faults.iter().all(|fault| fault.field != **name);
    let pairs = FIELDS.iter().filter(is_read);
    let pairs = pairs.filter_map(|name| Some(format!("{name}={}", words::encode(&text(name)?))));
    chosen.query = pairs.collect::<Vec<_>>().join("&");
    Ok((chosen, faults))
}

/// Reads what is to be taken back: the same, and over whose later changes.
///
/// # Errors
/// See [`chosen`].
pub async fn wish(
    cx: &Cx<Admin>,
    slug: &Slug,
    get: impl Fn(&str) -> Option<String>,
    over: impl IntoIterator<Item = String>,
) -> Result<(Wish, String), Error> {
    let over_all = get("over_all").as_deref() == Some("yes");
    let Chosen { selection, case, query } = chosen(cx, slug, get).await?;
    let over = over.into_iter().filter(|id| ResourceId::parse(id).is_some()).collect();
    Ok((Wish { selection, over_all, over, case }, query))
}

/// Reads `/federations/{slug}/undo`: what is to be taken back, and the digest that confirms the plan.
///
/// # Errors
/// See [`chosen`].
pub async fn undo(cx: &Cx<Admin>, slug: &Slug, values: &Values) -> Result<(Wish, String), Error> {
    let get = |name: &str| Some(values.text(name));
    let (wish, _) = wish(cx, slug, get, values.all("over").to_vec()).await?;
    Ok((wish, values.text("plan")))
}

/// The page on which the changes are chosen that a form speaks of.
pub fn blast_address(slug: &str, values: &Values) -> String {
    let pairs = FIELDS.iter().map(|name| (name, values.text(name))).filter(|(_, value)| !value.is_empty());
    let pairs = pairs.map(|(name, value)| format!("{name}={}", words::encode(&value)));
    format!("/federations/{slug}/blast?{}", pairs.collect::<Vec<_>>().join("&"))
}

/// The address of a plan for what a form says.
pub fn plan_address(slug: &str, values: &Values) -> String {
    let mut pairs: Vec<String> = FIELDS
        .iter()
        .chain(&["over_all"])
        .map(|name| (name, values.text(name)))
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| format!("{name}={}", words::encode(&value)))
        .collect();
    pairs.extend(values.all("over").iter().map(|id| format!("over={}", words::encode(id))));
    format!("/federations/{slug}/undo?{}", pairs.join("&"))
}

/// A moment as a field shows it.
pub fn shown(at_ms: Option<Millis>) -> String {
    at_ms.map(time::exact).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_read_as_it_is_shown() {
        let at_ms = 1_795_465_751_000;
        assert_eq!(moment(&time::exact(at_ms)), Some((at_ms, false)));
        assert_eq!(moment("1795465751123"), Some((1_795_465_751_123, true)));
        assert_eq!(moment("2026-11-23 20:29"), Some((at_ms - 11_000, false)));
        assert_eq!(moment("2026-11-23"), Some((time::start_of_day("2026-11-23").unwrap(), false)));
        assert_eq!(moment("yesterday"), None);
        assert_eq!(moment("2026-11-23 20:29:61"), None);
    }
}
