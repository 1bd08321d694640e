//! What keys did: the search, the live stream, one request.

mod live;
mod request;
mod search;

pub use live::LiveUsagePage;
pub use request::UsageRequest;
pub use search::Usage;

use domain::{
    ResourceId,
    usage::{Decision, UsageRecord, filter::UsageFilter},
};
use leptos::prelude::*;

use crate::ui::still::IntoAny;

use crate::{ui::timeline::Known, words};

/// An address with a filter.
fn address(path: &str, filter: &UsageFilter, more: &[(&str, &str)]) -> String {
    let mut pairs: Vec<String> =
        filter.parameters().iter().map(|(name, value)| format!("{name}={}", words::encode(value))).collect();
    pairs.extend(more.iter().map(|(name, value)| format!("{name}={}", words::encode(value))));
    if pairs.is_empty() { path.to_owned() } else { format!("{path}?{}", pairs.join("&")) }
}

/// The address of what was changed by the requests of a filter, when it is of one federation: what it says of key,
/// source, time, resource and attribute holds there as well.
fn blast_radius(filter: &UsageFilter, records: &[UsageRecord], known: &Known) -> Option<String> {
    let of_key = filter.key_id.as_ref().and_then(|_| records.first()?.federation_id.as_ref());
    let slug = filter.federation.as_ref().or_else(|| of_key.and_then(|id| Some(&known.get(id)?.slug)))?;
    let text = |name: &'static str, value: Option<String>| Some(format!("{name}={}", words::encode(&value?)));
    let pairs = [
        text("key", filter.key_id.as_ref().map(ToString::to_string)),
        text("source", filter.source.map(|network| network.to_string())),
        text("from", filter.from_ms.map(|at_ms| at_ms.to_string())),
        // A search ends before its last moment, a blast radius with it.
        text("until", filter.to_ms.map(|at_ms| (at_ms - 1).to_string())),
        text("resource", filter.resource_id.clone().filter(|id| ResourceId::parse(id).is_some())),
        text("attribute", filter.attribute.clone()),
    ];
    let pairs: Vec<String> = pairs.into_iter().flatten().collect();
    let query = if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) };
    Some(format!("/federations/{slug}/blast{query}"))
}

fn pair(value: &str, label: &str) -> (String, String) {
    (value.to_owned(), label.to_owned())
}

fn select(
    name: &'static str,
    label: &'static str,
    options: Vec<(String, String)>,
    chosen: Option<String>,
) -> AnyView {
    let options = options
        .into_iter()
        .map(|(value, label)| {
            let selected = chosen.as_ref() == Some(&value);
            view! {
                <option value=value selected=selected>
                    {label}
                </option>
            }
        })
        .collect_view();
    view! {
        <div class="field">
            <label for=name>{label}</label>
            <select id=name name=name>
                <option value="">"All"</option>
                {options}
            </select>
        </div>
    }
    .into_any()
}

fn field(name: &'static str, label: &'static str, value: Option<String>, hint: &'static str) -> AnyView {
    view! {
        <div class="field">
            <label for=name>{label}</label>
            <input id=name name=name value=value placeholder=hint spellcheck="false" autocomplete="off" />
        </div>
    }
    .into_any()
}

fn federation_options(known: &Known) -> Vec<(String, String)> {
    known.values().map(|one| pair(one.slug.as_str(), &one.name)).collect()
}

fn decision_options() -> Vec<(String, String)> {
    [Decision::Allowed, Decision::Denied, Decision::Refused]
        .map(|decision| pair(decision.as_str(), &words::capital(decision.as_str())))
        .to_vec()
}

fn method_options() -> Vec<(String, String)> {
    domain::usage::filter::METHODS.map(|method| pair(method, method)).to_vec()
}
