//! What a federation says of its rotation, and what holds where it says nothing. A change is shown
//! on today's keys before it is made.

use domain::{
    admins::Right,
    federations::{Federation, RotationPolicy},
    rotations::policy::{
        CYCLE_MINUTES, JITTER_MINUTES, LEAST_SILENCE_MINUTES, MAX_OPEN, OnDeadline, ROTATE_BEFORE_DAYS,
        RotationDefaults, RotationRules, SILENCE_CYCLES, Window,
    },
};
use leptos::prelude::*;

use super::{exceptions, preview};
use crate::{
    api,
    error::{UiError, UiErrorKind},
    ssr::{admin_cx, now_ms, param},
    ui::{
        form::{Form, field},
        page::{Head, Section, page},
        still::IntoAny,
    },
    words,
};

/// The policy of one federation.
#[component]
pub fn FederationPolicy() -> impl IntoView {
    page(Section::Federations, async {
        let data = api::rotation::policy(&param("slug")).await?;
        let (federation, form, now) = (&data.view.federation, Form::with_field("max_age_days"), now_ms());
        let path = format!("/federations/{}", federation.slug);
        let head = Head::new(format!("Rotation policy of {}", federation.name))
            .crumb("/federations", "Federations")
            .crumb(path.clone(), federation.name.clone())
            .lead("What is left empty is the installation's. A change is shown on today's keys before it is made.");
        let action = format!("{path}/rotation");
        let editor = if data.view.may_edit {
            view! {
                <form class="card form" method="post" action=action.clone()>
                    {form.summary()}
                    <input type="hidden" name="version" value=form.value("version", &federation.version.to_string()) />
                    {ages(&form, federation.policy)} {rules(&form, &federation.rotation, &data.view.defaults)}
                    {timing(&form, &federation.rotation, &data.view.defaults)} {pair(&form, &federation.rotation, &data.others)}
                    {buttons(&format!("{action}/preview"), path)}
                </form>
            }
            .into_any()
        } else {
            view! { <p class="muted">{words::NEEDS_OPERATOR}</p> }.into_any()
        };
        let body = view! {
            {preview::shown()}
            {editor}
            {exceptions::card(&data, now)}
        };
        Ok((head, body.into_any()))
    })
}

/// What holds where a federation says nothing.
#[component]
pub fn DefaultPolicy() -> impl IntoView {
    page(Section::Settings, async {
        let data = api::rotation::defaults().await?;
        let form = Form::current();
        let head = Head::new("Rotation policy of this installation")
            .crumb("/settings", "Settings")
            .lead("It holds for every federation that does not say otherwise.");
        if !admin_cx()?.actor().role.may(Right::RegisterFederation, None) {
            return Err(UiError::new(UiErrorKind::Forbidden, words::NEEDS_ADMIN));
        }
        let body = view! {
            {preview::shown()}
            <form class="card form" method="post" action="/settings/rotation">
                {form.summary()}
                <input type="hidden" name="version" value=form.value("version", &data.version.to_string()) />
                {defaults(&form, &data.defaults)} {buttons("/settings/rotation/preview", "/rotation".to_owned())}
            </form>
        };
        Ok((head, body.into_any()))
    })
}

fn buttons(preview: &str, cancel: String) -> impl IntoView + use<> {
    view! {
        <div class="actions">
            <button class="btn" formaction=preview.to_owned()>
                "Preview on today's keys"
            </button>
            <button class="btn primary">"Save policy"</button>
            <a class="btn ghost" href=cancel>
                "Cancel"
            </a>
        </div>
    }
}

fn ages(form: &Form, policy: RotationPolicy) -> AnyView {
    view! {
        <fieldset class="field wide">
            <legend>"Age"</legend>
            <div class="fields-row">
                {form
                    .number(
                        field("max_age_days", "Longest life, days")
                            .default(policy.max_age_days)
                            .hint("No key lives longer."),
                        1,
                        365,
                    )}
                {form
                    .number(
                        field("overlap_hours", "Overlap should last, hours")
                            .default(policy.overlap_hours)
                            .hint("Then people are told; no key is cut off."),
                        1,
                        720,
                    )}
                {form
                    .number(
                        field("warn_days", "Warn before the end, days").default(policy.warn_days),
                        1,
                        90,
                    )}
            </div>
        </fieldset>
    }
    .into_any()
}

fn word(is_automatic: bool) -> &'static str {
    if is_automatic { "by itself" } else { "by hand" }
}

fn inherited(value: impl std::fmt::Display, unit: &str) -> String {
    format!("The installation's: {value}{unit}.")
}

fn optional(value: Option<i64>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

fn deadline_word(on_deadline: OnDeadline) -> &'static str {
    match on_deadline {
        OnDeadline::Extend => "The overlap goes on, and people are told",
        OnDeadline::Retire => "The old key is retired all the same",
    }
}

fn choices(inherited: String, own: &[(&str, &str)]) -> Vec<(String, String)> {
    let first = (String::new(), inherited);
    let own = own.iter().map(|(value, label)| ((*value).to_owned(), (*label).to_owned()));
    std::iter::once(first).chain(own).collect()
}

const AUTOMATIC: [(&str, &str); 2] = [("yes", "By itself, when a key is due"), ("no", "Only by hand")];

const ON_DEADLINE: [OnDeadline; 2] = [OnDeadline::Extend, OnDeadline::Retire];

fn rules(form: &Form, rules: &RotationRules, defaults: &RotationDefaults) -> AnyView {
    let automatic = rules.automatic.map(|yes| if yes { "yes" } else { "no" }).unwrap_or_default();
    let deadlines = ON_DEADLINE.map(|word| (word.as_str(), deadline_word(word)));
    view! {
        <fieldset class="field wide">
            <legend>"Begin"</legend>
            {form
                .select(
                    field("automatic", "Rotations begin").default(automatic),
                    choices(format!("As the installation says: {}", word(defaults.automatic)), &AUTOMATIC),
                )}
            {form
                .number(
                    field("rotate_before_days", "Before the end, days")
                        .default(optional(rules.rotate_before_days))
                        .hint(inherited(defaults.rotate_before_days, " days"))
                        .optional(),
                    *ROTATE_BEFORE_DAYS.start(),
                    *ROTATE_BEFORE_DAYS.end(),
                )}
        </fieldset>
        <fieldset class="field wide">
            <legend>"End, on proof"</legend>
            <div class="fields-row">
                {form
                    .number(
                        field("silence_cycles", "Cycles of silence")
                            .default(optional(rules.silence_cycles))
                            .hint(inherited(defaults.silence_cycles, " cycles"))
                            .optional(),
                        *SILENCE_CYCLES.start(),
                        *SILENCE_CYCLES.end(),
                    )}
                {form
                    .number(
                        field("least_silence_minutes", "Silence at least, minutes")
                            .default(optional(rules.least_silence_minutes))
                            .hint(inherited(words::number(defaults.least_silence_minutes), " min"))
                            .optional(),
                        *LEAST_SILENCE_MINUTES.start(),
                        *LEAST_SILENCE_MINUTES.end(),
                    )}
                {form
                    .number(
                        field("cycle_minutes", "Cycle of the provider, minutes")
                            .default(optional(rules.cycle_minutes))
                            .hint("Where you know it. Else the vendor's counts until it was learned.")
                            .optional(),
                        *CYCLE_MINUTES.start(),
                        *CYCLE_MINUTES.end(),
                    )}
            </div>
            {form
                .select(
                    field("on_deadline", "When the overlap should be over, without proof")
                        .default(rules.on_deadline.map(OnDeadline::as_str).unwrap_or_default()),
                    choices(
                        format!("As the installation says: {}", lower(deadline_word(defaults.on_deadline))),
                        &deadlines,
                    ),
                )}
            <span class="hint">
                "The old key is retired when the new one has done real work and the old one has been silent for so many cycles of the provider, as they were learned."
            </span>
        </fieldset>
    }
    .into_any()
}

fn lower(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

fn lines(windows: &[Window]) -> String {
    windows.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn told(windows: &[Window]) -> String {
    if windows.is_empty() { "at any time".to_owned() } else { lines(windows).replace('\n', "; ") }
}

fn timing(form: &Form, rules: &RotationRules, defaults: &RotationDefaults) -> AnyView {
    let is_own = form.is_ticked("windows_own", "yes", rules.windows.is_some());
    view! {
        <fieldset class="field wide windows">
            <legend>"When rotations may begin"</legend>
            <label class="check">
                <input type="checkbox" name="windows_own" value="yes" checked=is_own />
                {format!("Other times than the installation's ({})", told(&defaults.windows))}
            </label>
            <div class="own">
                {form
                    .area(
                        field("windows", "Windows")
                            .default(lines(rules.windows.as_deref().unwrap_or_default()))
                            .hint("One a line, such as “mon-fri 08:00-17:00 +01:00”. Empty is at any time.")
                            .optional(),
                        3,
                    )}
            </div>
            {form
                .number(
                    field("jitter_minutes", "Spread over, minutes")
                        .default(optional(rules.jitter_minutes))
                        .hint(inherited(defaults.jitter_minutes, " min"))
                        .optional(),
                    *JITTER_MINUTES.start(),
                    *JITTER_MINUTES.end(),
                )}
        </fieldset>
    }
    .into_any()
}

fn pair(form: &Form, rules: &RotationRules, others: &[Federation]) -> AnyView {
    let options = std::iter::once((String::new(), "None".to_owned()))
        .chain(others.iter().map(|other| (other.slug.to_string(), other.name.clone())))
        .collect();
    form.select(
        field("pair", "The other half of a pair")
            .default(rules.pair.as_ref().map(ToString::to_string).unwrap_or_default())
            .hint("Two federations that stand in for each other are never rotated in one window."),
        options,
    )
}

fn defaults(form: &Form, defaults: &RotationDefaults) -> AnyView {
    let automatic = AUTOMATIC.map(|(value, label)| (value.to_owned(), label.to_owned())).to_vec();
    let deadlines =
        ON_DEADLINE.map(|word| (word.as_str().to_owned(), deadline_word(word).to_owned())).to_vec();
    view! {
        <fieldset class="field wide">
            <legend>"Begin"</legend>
            <div class="fields-row">
                {form
                    .select(
                        field("automatic", "Rotations begin").default(if defaults.automatic { "yes" } else { "no" }),
                        automatic,
                    )}
                {form
                    .number(
                        field("rotate_before_days", "Before the end, days").default(defaults.rotate_before_days),
                        *ROTATE_BEFORE_DAYS.start(),
                        *ROTATE_BEFORE_DAYS.end(),
                    )}
                {form
                    .number(
                        field("max_open_per_vendor", "At once for one vendor")
                            .default(defaults.max_open_per_vendor)
                            .hint("Rotations that begin by themselves and are open together."),
                        *MAX_OPEN.start(),
                        *MAX_OPEN.end(),
                    )}
            </div>
        </fieldset>
        <fieldset class="field wide">
            <legend>"End, on proof"</legend>
            <div class="fields-row">
                {form
                    .number(
                        field("silence_cycles", "Cycles of silence").default(defaults.silence_cycles),
                        *SILENCE_CYCLES.start(),
                        *SILENCE_CYCLES.end(),
                    )}
                {form
                    .number(
                        field("least_silence_minutes", "Silence at least, minutes")
                            .default(defaults.least_silence_minutes),
                        *LEAST_SILENCE_MINUTES.start(),
                        *LEAST_SILENCE_MINUTES.end(),
                    )}
            </div>
            {form
                .select(
                    field("on_deadline", "When the overlap should be over, without proof")
                        .default(defaults.on_deadline.as_str()),
                    deadlines,
                )}
            <span class="hint">
                "The old key is retired when the new one has done real work and the old one has been silent for so many cycles of the provider, as they were learned."
            </span>
        </fieldset>
        <fieldset class="field wide">
            <legend>"When rotations may begin"</legend>
            {form
                .area(
                    field("windows", "Windows")
                        .default(lines(&defaults.windows))
                        .hint("One a line, such as “mon-fri 08:00-17:00 +01:00”. Empty is at any time.")
                        .optional(),
                    3,
                )}
            {form
                .number(
                    field("jitter_minutes", "Spread over, minutes")
                        .default(defaults.jitter_minutes)
                        .hint("So that what is due at once does not begin at once."),
                    *JITTER_MINUTES.start(),
                    *JITTER_MINUTES.end(),
                )}
        </fieldset>
    }
    .into_any()
}
