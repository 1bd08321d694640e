//! Status: a shape, a word and a colour. For one person in twelve the colours are the same, so the
//! shape is not decoration and the word is never dropped.

use domain::{
    DAY_MS, Millis,
    federations::FederationStatus,
    keys::KeyState,
    usage::{Decision, UsageRecord},
};
use leptos::prelude::*;
use ops::{federations::FederationView, keys::KeyView};

use crate::ui::time;

/// The shapes, each for one meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Filled circle with a tick: works.
    Good,
    /// Ring, half filled: on its way.
    Moving,
    /// Triangle: look at it.
    Look,
    /// Octagon: broken.
    Broken,
    /// Two bars in a square: held by a person.
    Held,
    /// Dashed ring: not known.
    Unknown,
    /// Ring with a slash: over.
    Ended,
}

impl Shape {
    /// The class of its colours.
    pub const fn tone(self) -> &'static str {
        match self {
            Self::Good => "ok",
            Self::Moving => "info",
            Self::Look | Self::Held => "warn",
            Self::Broken => "bad",
            Self::Unknown | Self::Ended => "mute",
        }
    }

    const fn path(self) -> &'static str {
        match self {
            Self::Good => {
                r#"<circle cx="6" cy="6" r="6" fill="currentColor"/><path d="M3.4 6.2 5.2 8l3.4-3.8" fill="none" stroke="var(--hole)" stroke-width="1.6" stroke-linecap="round" stroke-linejoin="round"/>"#
            }
            Self::Moving => {
                r#"<circle cx="6" cy="6" r="5.1" fill="none" stroke="currentColor" stroke-width="1.6"/><path d="M6 1.5a4.5 4.5 0 0 1 0 9z" fill="currentColor"/>"#
            }
            Self::Look => {
                r#"<path d="M6 .6 11.8 11H.2z" fill="currentColor"/><path d="M6 4.4v3" stroke="var(--hole)" stroke-width="1.4" stroke-linecap="round"/><circle cx="6" cy="9.1" r=".8" fill="var(--hole)"/>"#
            }
            Self::Broken => {
                r#"<path d="M3.5 0h5L12 3.5v5L8.5 12h-5L0 8.5v-5z" fill="currentColor"/><path d="m4 4 4 4m0-4L4 8" stroke="var(--hole)" stroke-width="1.5" stroke-linecap="round"/>"#
            }
            Self::Held => {
                r#"<rect x=".6" y=".6" width="10.8" height="10.8" rx="2.5" fill="none" stroke="currentColor" stroke-width="1.4"/><path d="M4.4 3.8v4.4M7.6 3.8v4.4" stroke="currentColor" stroke-width="1.6" stroke-linecap="round"/>"#
            }
            Self::Unknown => {
                r#"<circle cx="6" cy="6" r="5.1" fill="none" stroke="currentColor" stroke-width="1.6" stroke-dasharray="2 2.1"/>"#
            }
            Self::Ended => {
                r#"<circle cx="6" cy="6" r="5.1" fill="none" stroke="currentColor" stroke-width="1.6"/><path d="M2.6 9.4 9.4 2.6" stroke="currentColor" stroke-width="1.6"/>"#
            }
        }
    }
}

/// The drawing alone, for places that have their words elsewhere.
pub fn drawing(shape: Shape) -> impl IntoView {
    view! { <svg viewBox="0 0 12 12" aria-hidden="true" inner_html=shape.path()></svg> }
}

/// A state in shape, word and colour.
#[component]
pub fn Status(
    /// The meaning.
    shape: Shape,
    /// The word.
    #[prop(into)]
    word: String,
) -> impl IntoView {
    view! { <span class=format!("st {}", shape.tone())>{drawing(shape)} {word}</span> }
}

/// The state of a key. Where several things are true the most urgent is said.
pub fn of_key(view: &KeyView, now_ms: Millis) -> (Shape, String) {
    let life = &view.key.life;
    let said = |shape, word: &str| (shape, word.to_owned());
    match view.state {
        KeyState::Revoked | KeyState::Retired => (Shape::Ended, view.state.label().to_owned()),
        KeyState::Expired if view.key.successor_id.is_some() => said(Shape::Ended, "Expired"),
        KeyState::Expired => said(Shape::Broken, "Expired"),
        KeyState::Held => said(Shape::Held, KeyState::Held.label()),
        KeyState::Unused | KeyState::InUse | KeyState::Retiring if view.key.canary => {
            said(Shape::Unknown, "Canary")
        }
        KeyState::Unused | KeyState::InUse | KeyState::Retiring => match view.federation.status {
            FederationStatus::Archived => said(Shape::Ended, "Archived"),
            FederationStatus::Paused => said(Shape::Held, "Paused"),
            FederationStatus::Live if view.state == KeyState::Retiring => said(Shape::Moving, "Retiring"),
            FederationStatus::Live if view.ends_soon => {
                let shape = if life.expires_ms - now_ms <= DAY_MS { Shape::Broken } else { Shape::Look };
                (shape, format!("Ends {}", time::relative(life.expires_ms, now_ms)))
            }
            FederationStatus::Live if view.over_age => said(Shape::Look, "Over age"),
            FederationStatus::Live if view.state == KeyState::Unused => said(Shape::Unknown, "Never used"),
            FederationStatus::Live if life.first_work_ms.is_none() => said(Shape::Moving, "Tested"),
            FederationStatus::Live => said(Shape::Good, "In use"),
        },
    }
}

/// The state of a federation.
pub fn of_federation(view: &FederationView) -> (Shape, &'static str) {
    match view.federation.status {
        FederationStatus::Archived => (Shape::Ended, "Archived"),
        FederationStatus::Paused => (Shape::Held, "Paused"),
        FederationStatus::Live if view.accepted_keys == 0 => (Shape::Look, "No key"),
        FederationStatus::Live if view.last_request_ms.is_none() => (Shape::Unknown, "No request yet"),
        FederationStatus::Live => (Shape::Good, "Live"),
    }
}

/// What became of a request: the decision, and the status of the answer.
pub fn of_request(record: &UsageRecord) -> (Shape, String) {
    let (shape, word) = match record.decision {
        Decision::Allowed if record.status < 400 => (Shape::Good, "Allowed"),
        Decision::Allowed if record.status < 500 => (Shape::Look, "Not accepted"),
        Decision::Allowed => (Shape::Broken, "Failed"),
        Decision::Denied => (Shape::Look, "Denied"),
        Decision::Refused => (Shape::Broken, "Refused"),
    };
    (shape, format!("{word} {}", record.status))
}
