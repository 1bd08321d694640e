//! What keys did: the search, the live stream, one request.

mod live;
mod request;
mod search;

pub use live::LiveUsagePage;
pub use request::UsageRequest;
pub use search::Usage;

use domain::usage::{Decision, filter::UsageFilter};
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
