//! The five steps of a rotation as a row: how far it has come, in shapes and words.

use domain::rotations::{Stage, Step};
use leptos::prelude::*;

use crate::ui::status::{Shape, drawing};

/// The shape and the word of a stage.
pub const fn of_stage(stage: Stage) -> (Shape, &'static str) {
    match stage {
        Stage::Open(step) => (Shape::Moving, step.label()),
        Stage::Stalled(_) => (Shape::Broken, "Stalled"),
        Stage::Held(_) => (Shape::Held, "On hold"),
        Stage::Retired => (Shape::Good, "Done"),
        Stage::RolledBack => (Shape::Ended, "Rolled back"),
        Stage::Revoked => (Shape::Ended, "Old key revoked"),
    }
}

/// How far a rotation has come.
#[component]
pub fn Track(
    /// Where it stands.
    stage: Stage,
) -> impl IntoView {
    let now = stage.step();
    let items = Step::ALL
        .into_iter()
        .map(|step| {
            let (class, shape, said) = match now {
                Some(at) if step == at => ("now", of_stage(stage).0, "now: "),
                Some(at) if step < at => ("done", Shape::Good, "done: "),
                Some(_) => ("", Shape::Unknown, "to come: "),
                None if stage == Stage::Retired => ("done", Shape::Good, "done: "),
                None => ("", Shape::Ended, "over: "),
            };
            view! {
                <li class=class>
                    {drawing(shape)} <span class="sr">{said}</span> <span>{step.label()}</span>
                </li>
            }
        })
        .collect_view();
    view! { <ol class="track">{items}</ol> }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_track_says_what_is_done_and_what_is_now() {
        let html = view! { <Track stage=Stage::Stalled(Step::Delivered) /> }.to_html();
        assert_eq!(html.matches("done: ").count(), 1, "{html}");
        assert_eq!(html.matches("now: ").count(), 1, "{html}");
        assert_eq!(html.matches("to come: ").count(), 3, "{html}");
    }
}
