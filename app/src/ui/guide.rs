//! The way through the screens of a vendor, with the values to paste there.

use domain::{
    federations::Vendor,
    guides::{self, Field, Value},
};
use leptos::prelude::*;

use crate::{
    islands::copy::CopyButton,
    ui::{icon::Icon, still::IntoAny},
    words,
};

/// Where to go, what goes into which field, what to press then, and when the first request comes.
pub fn guide(vendor: Vendor, base_url: &str, key: &'static str) -> AnyView {
    let guide = guides::of(vendor);
    let place = if vendor == Vendor::Other { "the provider" } else { vendor.label() };
    let before = guide.before.map(|text| view! { <p>{text}</p> });
    let fields = guide
        .fields
        .iter()
        .enumerate()
        .map(|(index, field)| {
            view! {
                <dt>{field.name}</dt>
                {value(index, field, base_url, key)}
            }
        })
        .collect_view();
    view! {
        {before}
        <h3>{format!("Go to, in {place}")}</h3>
        {listed(guide.screens)}
        <h3>"Fill in"</h3>
        <dl class="props">{fields}</dl>
        <h3>"Then"</h3>
        {listed(guide.then)}
        <p class="muted">{first(vendor)}</p>
    }
    .into_any()
}

/// The screens of a vendor and the field that takes the key, for who changes the key only.
pub fn way(vendor: Vendor) -> AnyView {
    let guide = guides::of(vendor);
    let screens = guide.screens.iter().map(|screen| view! { <li>{*screen}</li> }).collect_view();
    let fields = guide.key_fields().collect::<Vec<_>>().join(" or ");
    let then = guide.then.first().copied().unwrap_or_default();
    view! {
        <p class="muted">{format!("In {}:", words::provider(vendor))}</p>
        <ol class="path">
            {screens}
            <li>
                "Paste the key into " <strong>{fields}</strong>
            </li>
        </ol>
        <p>{then}</p>
    }
    .into_any()
}

/// When the first real request comes.
pub fn first(vendor: Vendor) -> String {
    format!("Then wait for the first real request. {}", guides::of(vendor).first)
}

fn listed(steps: &[&'static str]) -> AnyView {
    let items = steps.iter().map(|step| view! { <li>{*step}</li> }).collect_view();
    view! { <ol class="path">{items}</ol> }.into_any()
}

fn value(index: usize, field: &Field, base_url: &str, key: &'static str) -> AnyView {
    let copied = |id: String, text: String, label: String| {
        view! {
            <dd class="with-copy">
                <code id=id.clone()>{text}</code>
                <CopyButton target=id label=label>
                    <Icon name="copy" />
                </CopyButton>
            </dd>
        }
        .into_any()
    };
    match field.value {
        Value::BaseUrl => copied("base-url".to_owned(), base_url.to_owned(), "Copy base URL".to_owned()),
        Value::Text(text) => copied(format!("paste-{index}"), text.to_owned(), format!("Copy {text}")),
        Value::Key => view! { <dd>{key}</dd> }.into_any(),
        Value::Choice(text) => view! { <dd>{text}</dd> }.into_any(),
    }
}
