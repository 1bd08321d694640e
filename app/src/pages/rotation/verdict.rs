//! How a rotation stands, in words for people: verdict, evidence, what it waits for, what is next.

use domain::{
    Millis,
    keys::Key,
    rotations::{Cause, Rotation, Stage, Step, evidence::Verdict},
};
use ops::rotations::RotationView;

use crate::{
    ui::{
        status::Shape,
        time::{exact, relative, span},
        track::of_stage,
    },
    words,
};

/// A verdict in shape and a few words.
pub fn headline(view: &RotationView) -> (Shape, &'static str) {
    let is_stalled = is_stalled(view.rotation.stage);
    let waits = if is_stalled { Shape::Broken } else { Shape::Moving };
    match view.verdict {
        Verdict::WaitsForDelivery if is_stalled => (waits, "Stalled: not delivered."),
        Verdict::WaitsForDelivery => (waits, "Not delivered yet."),
        Verdict::WaitsForUse { .. } if is_stalled => (waits, "Stalled: not in use."),
        Verdict::WaitsForUse { is_tested: false } => (waits, "Not in use yet."),
        Verdict::WaitsForUse { is_tested: true } => (waits, "Tested, not in use yet."),
        Verdict::BothInUse if is_stalled => (waits, "Stalled: both keys are in use."),
        Verdict::BothInUse => (Shape::Look, "Not safe to finish yet."),
        Verdict::Draining { .. } => (Shape::Good, "Safe to finish."),
        Verdict::TwoHolders { .. } => (Shape::Broken, "Two holders of one key."),
        Verdict::WaitsForTarget => (Shape::Look, "Waits for its target."),
        Verdict::NotWatched => (Shape::Held, "Paused."),
        Verdict::TimeInDoubt => (Shape::Look, "The time is in doubt."),
        Verdict::Held => (Shape::Held, "Held."),
        Verdict::Retired => (Shape::Good, "Done."),
        Verdict::RolledBack => (Shape::Ended, "Rolled back."),
        Verdict::Revoked => (Shape::Ended, "The old key was revoked."),
    }
}

/// What was seen, in a sentence or two.
pub fn evidence(view: &RotationView, now: Millis) -> String {
    let said = view.verdict.sentence();
    match view.verdict {
        Verdict::BothInUse | Verdict::TwoHolders { .. } | Verdict::WaitsForTarget => {
            format!("{said} {}", last_use(&view.old, "The old key", now))
        }
        Verdict::Draining { since_ms, needed_ms } => format!(
            "{} It is retired by itself when it has been silent for {}.",
            silence(since_ms, view.cadence.gap_ms, now),
            span(needed_ms)
        ),
        Verdict::WaitsForDelivery | Verdict::WaitsForUse { .. } => {
            format!("{said} {}", last_use(&view.old, "It", now))
        }
        Verdict::Held if !view.rotation.note.is_empty() => {
            format!("{said} {}", words::sentence(&view.rotation.note))
        }
        Verdict::NotWatched
        | Verdict::TimeInDoubt
        | Verdict::Held
        | Verdict::Retired
        | Verdict::RolledBack
        | Verdict::Revoked => said.to_owned(),
    }
}

fn silence(since: Millis, gap: Millis, now: Millis) -> String {
    format!(
        "The new key works, and the old one has been silent for {}; the provider comes every {}.",
        span((now - since).max(1000)),
        span(gap)
    )
}

/// `The old key was used 4 min ago by okta/1.0 from 198.51.100.7.`
fn last_use(key: &Key, name: &str, now: Millis) -> String {
    let Some(at) = key.life.last_used_ms else { return format!("{name} was never used.") };
    let by = key.last_used_agent.as_deref().map(|agent| format!(" by {agent}")).unwrap_or_default();
    let from = key.last_used_source.as_deref().map(|source| format!(" from {source}")).unwrap_or_default();
    format!("{name} was used {}{by}{from}.", relative(at, now))
}

/// What happens by itself next, and when.
pub fn next(view: &RotationView, now: Millis) -> Option<String> {
    let at = view.next_ms?;
    let when = if at > now { relative(at, now) } else { "any moment".to_owned() };
    let what = match view.verdict {
        Verdict::Draining { .. } | Verdict::BothInUse | Verdict::TwoHolders { .. } => {
            format!("The old key retires {when} if it stays silent")
        }
        Verdict::WaitsForDelivery | Verdict::WaitsForUse { .. } => {
            format!("Without proof the overlap is extended {when}, and the owners are told")
        }
        Verdict::WaitsForTarget => format!("The overlap is extended {when}, and the owners are told"),
        Verdict::NotWatched
        | Verdict::TimeInDoubt
        | Verdict::Held
        | Verdict::Retired
        | Verdict::RolledBack
        | Verdict::Revoked => return None,
    };
    Some(format!("{what} ({}).", exact(at)))
}

/// Who or what began it, to follow "begun".
pub fn begun_by(rotation: &Rotation) -> String {
    match rotation.cause {
        Cause::ByHand => format!("by {}", rotation.begun_by),
        Cause::Policy | Cause::Expiry | Cause::Compromise => rotation.cause.label().to_owned(),
    }
}

/// The pill of a rotation: its stage.
pub fn pill(stage: Stage) -> (Shape, String) {
    let (shape, word) = of_stage(stage);
    let word = match stage {
        Stage::Stalled(step) | Stage::Held(step) => format!("{word} at {}", step.label().to_lowercase()),
        Stage::Open(_) | Stage::Retired | Stage::RolledBack | Stage::Revoked => word.to_owned(),
    };
    (shape, word)
}

/// Whether its deadline passed without proof.
pub const fn is_stalled(stage: Stage) -> bool {
    match stage {
        Stage::Stalled(_) => true,
        Stage::Open(_) | Stage::Held(_) | Stage::Retired | Stage::RolledBack | Stage::Revoked => false,
    }
}

/// Whether a person has stopped it.
pub const fn is_held(stage: Stage) -> bool {
    match stage {
        Stage::Held(_) => true,
        Stage::Open(_) | Stage::Stalled(_) | Stage::Retired | Stage::RolledBack | Stage::Revoked => false,
    }
}

/// What a person can do with a rotation, in the order in which it is offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Retire the old key now.
    Finish,
    /// Stop it.
    Hold,
    /// Let it go on.
    Release,
    /// Withdraw the successor.
    RollBack,
}

impl Act {
    /// Every act.
    pub const ALL: [Self; 4] = [Self::Finish, Self::Release, Self::Hold, Self::RollBack];

    /// The last part of the address of its page.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Finish => "finish",
            Self::Hold => "hold",
            Self::Release => "release",
            Self::RollBack => "roll-back",
        }
    }

    /// Reads the word of [`Act::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|act| act.as_str() == text)
    }

    /// What the button says.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Finish => "Retire old key",
            Self::Hold => "Hold rotation",
            Self::Release => "Release rotation",
            Self::RollBack => "Roll back",
        }
    }

    /// Whether the machine would do it.
    pub fn is_possible(self, stage: Stage) -> bool {
        use domain::rotations::{Event, machine::apply};
        let event = match self {
            Self::Finish => Event::Finish,
            Self::Hold => Event::Hold,
            Self::Release => Event::Release,
            Self::RollBack => Event::RollBack,
        };
        // A rotation that is held is released first; what holds it off is not to be gone around.
        apply(stage, event).is_ok_and(|next| next.stage != stage)
    }
}

/// Whether another link can be made for a person: nobody has proven to have the new key.
pub const fn may_hand_off(stage: Stage) -> bool {
    match stage {
        Stage::Open(step) | Stage::Stalled(step) => match step {
            Step::Issued | Step::Delivered => true,
            Step::Tested | Step::InUse | Step::Draining => false,
        },
        Stage::Held(_) | Stage::Retired | Stage::RolledBack | Stage::Revoked => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_be_done_is_offered() {
        let offered = |stage| -> Vec<&str> {
            Act::ALL.into_iter().filter(|act| act.is_possible(stage)).map(Act::as_str).collect()
        };
        assert_eq!(offered(Stage::Open(Step::Issued)), ["hold", "roll-back"]);
        assert_eq!(offered(Stage::Stalled(Step::InUse)), ["finish", "hold"]);
        assert!(offered(Stage::Held(Step::InUse)).contains(&"release"));
        assert!(offered(Stage::Retired).is_empty());
    }

    #[test]
    fn every_act_has_an_address() {
        for act in Act::ALL {
            assert_eq!(Act::parse(act.as_str()), Some(act));
        }
        assert_eq!(Act::parse("explode"), None);
    }
}
