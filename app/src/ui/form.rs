//! Fields: label above, hint under it, error under the control, summary with links on top.
//!
//! A [`Form`] knows what was typed and what was refused; every field takes its value and its error
//! from there, so that a form that comes back looks as it was left.

use leptos::prelude::*;

use crate::{
    forms::Submitted,
    ui::{
        status::{Shape, drawing},
        still::IntoAny,
    },
    words,
};

/// A form of this page, empty or come back.
pub struct Form(Submitted);

/// A field: its name in the form, its label, and what to say about it.
pub struct Field {
    name: &'static str,
    label: &'static str,
    hint: String,
    default: String,
    presence: Presence,
}

/// Whether a field must be filled in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Presence {
    Required,
    Optional,
    /// It is not always shown, so the browser must not insist on it.
    WhenShown,
}

/// A field with its label; the name is also its id.
pub fn field(name: &'static str, label: &'static str) -> Field {
    Field { name, label, hint: String::new(), default: String::new(), presence: Presence::Required }
}

impl Field {
    /// A sentence under the control.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }

    /// The value before anybody typed.
    pub fn default(mut self, value: impl ToString) -> Self {
        self.default = value.to_string();
        self
    }

    /// It may stay empty.
    pub fn optional(mut self) -> Self {
        self.presence = Presence::Optional;
        self
    }

    /// It is needed where it is shown, and not always shown.
    pub fn needed_when_shown(mut self) -> Self {
        self.presence = Presence::WhenShown;
        self
    }
}

impl Form {
    /// The form that came back with this request, else an empty one.
    pub fn current() -> Self {
        Self(use_context().unwrap_or_default())
    }

    /// A form of an address, with what of it could not be read.
    pub fn of(submitted: Submitted) -> Self {
        Self(submitted)
    }

    /// The form that came back when it is the one with this field; on pages with more than one form.
    pub fn with_field(name: &str) -> Self {
        let submitted: Submitted = use_context().unwrap_or_default();
        Self(if submitted.values.0.contains_key(name) { submitted } else { Submitted::default() })
    }

    /// What was typed, else the default.
    pub fn value(&self, name: &str, default: &str) -> String {
        if self.0.values.0.is_empty() { default.to_owned() } else { self.0.values.text(name) }
    }

    /// Whether a box of a group is ticked.
    pub fn is_ticked(&self, name: &str, value: &str, default: bool) -> bool {
        if self.0.values.0.is_empty() {
            default
        } else {
            self.0.values.all(name).iter().any(|given| given == value)
        }
    }

    /// Whether some field was refused.
    pub fn has_faults(&self) -> bool {
        !self.0.faults.is_empty()
    }

    fn fault(&self, name: &str) -> Option<String> {
        self.0.faults.iter().find(|fault| fault.field == name).map(|fault| fault.message.clone())
    }

    /// What to fix, with links to the fields; nothing on a form that is new. Focus begins here.
    pub fn summary(&self) -> Option<AnyView> {
        let faults = &self.0.faults;
        if faults.is_empty() && self.0.message.is_none() {
            return None;
        }
        let title = match faults.len() {
            0 => "This was not done".to_owned(),
            1 => "1 thing to fix".to_owned(),
            more => format!("{more} things to fix"),
        };
        let links = faults
            .iter()
            .map(|fault| {
                let field = fault.field.replace('_', " ");
                let text = words::sentence(&format!("{field}: {}", fault.message));
                view! {
                    <li>
                        <a href=format!("#{}", fault.field)>{text}</a>
                    </li>
                }
            })
            .collect_view();
        let list = (!faults.is_empty()).then(|| view! { <ul>{links}</ul> });
        Some(
            view! {
                <div class="callout bad" role="alert" id="summary" tabindex="-1" autofocus>
                    {drawing(Shape::Broken)} <div>
                        <strong>{title}</strong>
                        {self.0.message.clone().map(|message| view! { <p>{message}</p> })}
                        {list}
                    </div>
                </div>
            }
            .into_any(),
        )
    }

    /// One line of text; `kind` is the type of the input.
    pub fn input(&self, field: Field, kind: &'static str) -> AnyView {
        let value = self.value(field.name, &field.default);
        self.around(field, move |control| {
            view! {
                <input
                    type=kind
                    id=control.name
                    name=control.name
                    value=value
                    required=control.required
                    autocomplete="off"
                    spellcheck="false"
                    aria-invalid=control.invalid
                    aria-describedby=control.described_by
                />
            }
            .into_any()
        })
    }

    /// A whole number in a range.
    pub fn number(&self, field: Field, low: i64, high: i64) -> AnyView {
        let value = self.value(field.name, &field.default);
        self.around(field, move |control| {
            view! {
                <input
                    type="number"
                    inputmode="numeric"
                    min=low
                    max=high
                    step="1"
                    id=control.name
                    name=control.name
                    value=value
                    required=control.required
                    aria-invalid=control.invalid
                    aria-describedby=control.described_by
                />
            }
            .into_any()
        })
    }

    /// Lines of text.
    pub fn area(&self, field: Field, rows: u8) -> AnyView {
        let value = words::escaped(&self.value(field.name, &field.default));
        self.around(field, move |control| {
            view! {
                <textarea
                    id=control.name
                    name=control.name
                    rows=rows.to_string()
                    required=control.required
                    aria-invalid=control.invalid
                    aria-describedby=control.described_by
                >
                    {value}
                </textarea>
            }
            .into_any()
        })
    }

    /// One of a few; options are pairs of value and label.
    pub fn select(&self, field: Field, options: Vec<(String, String)>) -> AnyView {
        let chosen = self.value(field.name, &field.default);
        self.around(field, move |control| {
            let options = options
                .into_iter()
                .map(|(value, label)| {
                    let selected = value == chosen;
                    view! {
                        <option value=value selected=selected>
                            {label}
                        </option>
                    }
                })
                .collect_view();
            view! {
                <select
                    id=control.name
                    name=control.name
                    aria-invalid=control.invalid
                    aria-describedby=control.described_by
                >
                    {options}
                </select>
            }
            .into_any()
        })
    }

    /// The error under a group that is not one control.
    pub fn group_fault(&self, name: &str) -> Option<AnyView> {
        self.fault(name).map(|message| error_line(format!("{name}-error"), message))
    }

    fn around(&self, field: Field, control: impl FnOnce(Control) -> AnyView) -> AnyView {
        let fault = self.fault(field.name);
        let hint_id = format!("{}-hint", field.name);
        let error_id = format!("{}-error", field.name);
        let described: Vec<&str> = [
            (!field.hint.is_empty()).then_some(hint_id.as_str()),
            fault.is_some().then_some(error_id.as_str()),
        ]
        .into_iter()
        .flatten()
        .collect();
        let control = control(Control {
            name: field.name,
            required: field.presence == Presence::Required,
            invalid: fault.is_some().then_some("true"),
            described_by: (!described.is_empty()).then(|| described.join(" ")),
        });
        let hint = (!field.hint.is_empty()).then(|| {
            view! {
                <span class="hint" id=hint_id>
                    {field.hint}
                </span>
            }
        });
        let optional = (field.presence == Presence::Optional)
            .then(|| view! { <span class="muted small">" optional"</span> });
        view! {
            <div class="field">
                <label for=field.name>{field.label} {optional}</label>
                {control}
                {hint}
                {fault.map(|message| error_line(error_id, message))}
            </div>
        }
        .into_any()
    }
}

struct Control {
    name: &'static str,
    required: bool,
    invalid: Option<&'static str>,
    described_by: Option<String>,
}

fn error_line(id: String, message: String) -> AnyView {
    view! {
        <span class="err" id=id>
            {drawing(Shape::Broken)}
            {words::sentence(&message)}
        </span>
    }
    .into_any()
}

#[cfg(test)]
mod tests {
    use domain::Invalid;

    use super::*;
    use crate::forms::Values;

    fn come_back() -> Form {
        let values = Values::parse([("name".to_owned(), "<b>".to_owned())]);
        Form(Submitted::faulty(values, vec![Invalid::new("name", "already used")]))
    }

    #[test]
    fn a_refused_field_shows_what_was_typed_and_why() {
        let html = come_back().input(field("name", "Name").hint("Shown in logs"), "text").to_html();
        for part in [
            r#"value="&lt;b&gt;""#,
            r#"aria-invalid="true""#,
            r#"aria-describedby="name-hint name-error""#,
            r#"<label for="name">"#,
            "Already used.",
        ] {
            assert!(html.contains(part), "{part} in {html}");
        }
    }

    #[test]
    fn the_summary_links_to_each_field_and_takes_the_focus() {
        let html = come_back().summary().unwrap().to_html();
        assert!(html.contains(r##"href="#name""##) && html.contains("autofocus"), "{html}");
        assert!(html.contains("1 thing to fix"));
        assert!(Form(Submitted::default()).summary().is_none());
    }

    #[test]
    fn a_new_form_shows_its_defaults() {
        let form = Form(Submitted::default());
        assert_eq!(form.value("lifetime_days", "90"), "90");
        assert!(form.is_ticked("scope", "read-write", true));
        let come_back = come_back();
        assert!(!come_back.is_ticked("scope", "read-write", true));
    }
}
