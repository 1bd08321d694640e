//! The machine: what each event does at each stage.
//!
//! `docs/rotation-table.md` is this table printed; a test keeps them the same.

use super::{Effect, Event, Half, Rule, Stage, Step};

/// What an event leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Next {
    /// The stage after it.
    pub stage: Stage,
    /// What is to be done, in this order, in the unit that writes the stage.
    pub effects: Vec<Effect>,
}

/// An event that cannot happen at a stage, in words for the person who wanted it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{}: {reason}", event.label())]
pub struct InvalidTransition {
    /// Where the rotation stands.
    pub stage: Stage,
    /// What was to happen.
    pub event: Event,
    /// Why it cannot.
    pub reason: &'static str,
}

/// Decides an event at a stage. An event that changes nothing, because what it says is behind already,
/// leads to the same stage without effects.
///
/// # Errors
/// [`InvalidTransition`] for what cannot happen there.
pub fn apply(stage: Stage, event: Event) -> Result<Next, InvalidTransition> {
    match stage {
        Stage::Open(step) => going(stage, step, event),
        Stage::Stalled(step) => match event {
            // It has stalled already: the overlap grows and the finding is counted.
            Event::Deadline { may_retire } if !ends_at_deadline(step, may_retire) => {
                Ok(to(stage, [Effect::Extend, Effect::Raise { rule: overdue(step) }]))
            }
            Event::Delivered
            | Event::Probed
            | Event::Used
            | Event::OldUsed
            | Event::Silent
            | Event::Drained
            | Event::Deadline { .. }
            | Event::Hold
            | Event::Release
            | Event::RollBack
            | Event::Finish
            | Event::Revoke { .. }
            | Event::Compromised { .. } => {
                let next = going(stage, step, event)?;
                // What changes nothing leaves it stalled.
                Ok(if next.stage == Stage::Open(step) { Next { stage, ..next } } else { next })
            }
        },
        Stage::Held(step) => held(stage, step, event),
        Stage::Retired | Stage::RolledBack | Stage::Revoked => match event {
            Event::OldUsed if stage == Stage::Retired => {
                Ok(to(stage, [Effect::Raise { rule: Rule::TwoHolders }]))
            }
            // What was seen or planned before the end comes late, and does nothing.
            Event::Delivered
            | Event::Probed
            | Event::Used
            | Event::OldUsed
            | Event::Silent
            | Event::Drained
            | Event::Deadline { .. } => Ok(to(stage, [])),
            Event::Hold
            | Event::Release
            | Event::RollBack
            | Event::Finish
            | Event::Revoke { .. }
            | Event::Compromised { .. } => {
                Err(InvalidTransition { stage, event, reason: "the rotation has ended" })
            }
        },
    }
}

#[expect(
    clippy::match_same_arms,
    reason = "the arms stand in the order of a rotation's way, each with its reason"
)]
fn going(stage: Stage, step: Step, event: Event) -> Result<Next, InvalidTransition> {
    let invalid = |reason| Err(InvalidTransition { stage, event, reason });
    let stays = || Ok(to(Stage::Open(step), []));
    match (event, step) {
        (Event::Delivered, Step::Issued) => Ok(to(Stage::Open(Step::Delivered), [])),
        (Event::Probed, Step::Issued | Step::Delivered) => Ok(to(Stage::Open(Step::Tested), [])),
        (Event::Used, Step::Issued | Step::Delivered | Step::Tested) => Ok(to(
            Stage::Open(Step::InUse),
            [Effect::Promote, Effect::Settle { rule: Rule::NoProof }],
        )),
        (Event::Silent, Step::InUse) => Ok(to(Stage::Open(Step::Draining), [])),
        (Event::OldUsed, Step::Draining) => {
            Ok(to(Stage::Open(Step::InUse), [Effect::Raise { rule: Rule::TwoHolders }]))
        }
        (Event::Drained, Step::InUse | Step::Draining) => Ok(to(Stage::Retired, ENDS_WELL)),
        (Event::Deadline { may_retire }, _) if ends_at_deadline(step, may_retire) => {
            let raised = [Effect::Raise { rule: overdue(step) }];
            Ok(to(Stage::Retired, raised.into_iter().chain([Effect::Promote, Effect::RetireOld])))
        }
        // The old key is silent: only its last cycles are waited for.
        (Event::Deadline { .. }, Step::Draining) => Ok(to(Stage::Open(step), [Effect::Extend])),
        (Event::Deadline { .. }, Step::Issued | Step::Delivered | Step::Tested | Step::InUse) => {
            Ok(to(Stage::Stalled(step), [Effect::Extend, Effect::Raise { rule: overdue(step) }]))
        }
        (Event::Delivered, Step::Delivered | Step::Tested | Step::InUse | Step::Draining)
        | (Event::Probed, Step::Tested | Step::InUse | Step::Draining)
        | (Event::Used, Step::InUse | Step::Draining)
        | (Event::OldUsed, Step::Issued | Step::Delivered | Step::Tested | Step::InUse)
        // Silence of the old key proves nothing before the new one has worked.
        | (Event::Silent, Step::Issued | Step::Delivered | Step::Tested | Step::Draining)
        | (Event::Drained, Step::Issued | Step::Delivered | Step::Tested) => stays(),
        (Event::Hold, _) => Ok(to(Stage::Held(step), [])),
        (Event::Release, _) => invalid("it is not held"),
        (Event::RollBack, Step::Issued | Step::Delivered | Step::Tested) => Ok(to(Stage::RolledBack, WITHDRAWN)),
        (Event::RollBack, Step::InUse | Step::Draining) => {
            invalid("the consumer works with the new key already; hold the rotation, or revoke one of the keys")
        }
        (Event::Finish, Step::InUse | Step::Draining) => Ok(to(Stage::Retired, ENDS_WELL)),
        (Event::Finish, Step::Issued | Step::Delivered | Step::Tested) => {
            invalid("no work was done with the new key yet: retiring the old one would cut the consumer off")
        }
        // Whoever waits for the successor still gets it, and its first work is waited for.
        (Event::Revoke { half: Half::Old }, Step::Issued | Step::Delivered | Step::Tested) => Ok(to(
            Stage::Open(step),
            [Effect::Revoke { half: Half::Old }, Effect::Deliver],
        )),
        (Event::Revoke { half: Half::Old }, Step::InUse | Step::Draining) => {
            let first = Effect::Revoke { half: Half::Old };
            Ok(to(Stage::Revoked, [first].into_iter().chain(settled())))
        }
        (Event::Revoke { half: Half::New }, _) => Ok(to(Stage::RolledBack, WITHDRAWN)),
        (Event::Compromised { half: Half::Old }, Step::Issued | Step::Delivered | Step::Tested) => Ok(to(
            Stage::Open(step),
            [Effect::OpenCase, Effect::HoldKey { half: Half::Old }, Effect::Deliver],
        )),
        // Whatever of the consumer still works with the old key is told to come back, and has time to move.
        (Event::Compromised { half: Half::Old }, Step::InUse) => {
            Ok(to(Stage::Open(step), [Effect::OpenCase, Effect::HoldKey { half: Half::Old }]))
        }
        (Event::Compromised { half: Half::Old }, Step::Draining) => {
            let case = [Effect::OpenCase, Effect::Revoke { half: Half::Old }];
            Ok(to(Stage::Revoked, case.into_iter().chain(settled())))
        }
        // The consumer is with the old key, or not silent there yet: another successor takes the place of this
        // one.
        (
            Event::Compromised { half: Half::New },
            Step::Issued | Step::Delivered | Step::Tested | Step::InUse,
        ) => {
            let case = [Effect::OpenCase].into_iter().chain(WITHDRAWN);
            Ok(to(Stage::RolledBack, case.chain([Effect::Begin { half: Half::Old }])))
        }
        // The consumer is with the new key: it gets a successor of its own, and the old key makes room.
        (Event::Compromised { half: Half::New }, Step::Draining) => {
            let hold = Effect::HoldKey { half: Half::New };
            let first = [Effect::OpenCase, Effect::Promote, Effect::RetireOld, hold];
            Ok(to(Stage::Retired, first.into_iter().chain(settled()).chain([Effect::Begin { half: Half::New }])))
        }
    }
}

/// A held rotation sees, and does not act.
fn held(stage: Stage, step: Step, event: Event) -> Result<Next, InvalidTransition> {
    let at = |step| Ok(to(Stage::Held(step), []));
    match event {
        Event::Release => Ok(to(Stage::Open(step), [])),
        Event::Hold => Err(InvalidTransition { stage, event, reason: "it is held already" }),
        Event::Delivered => at(step.max(Step::Delivered)),
        Event::Probed => at(step.max(Step::Tested)),
        Event::Used if !step.is_proven() => {
            Ok(to(Stage::Held(Step::InUse), [Effect::Promote, Effect::Settle { rule: Rule::NoProof }]))
        }
        Event::OldUsed if step == Step::Draining => {
            Ok(to(Stage::Held(Step::InUse), [Effect::Raise { rule: Rule::TwoHolders }]))
        }
        Event::Used | Event::OldUsed | Event::Silent | Event::Drained => at(step),
        Event::Deadline { .. } => Ok(to(stage, [Effect::Extend])),
        Event::Finish => Err(InvalidTransition { stage, event, reason: "it is held; release it first" }),
        // What ends one of the keys is more than a hold.
        Event::RollBack | Event::Revoke { .. } | Event::Compromised { .. } => going(stage, step, event),
    }
}

const ENDS_WELL: [Effect; 5] = [
    Effect::Promote,
    Effect::RetireOld,
    Effect::Settle { rule: Rule::NoProof },
    Effect::Settle { rule: Rule::StillUsed },
    Effect::Settle { rule: Rule::TwoHolders },
];

const WITHDRAWN: [Effect; 6] = [
    Effect::Withdraw,
    Effect::Revoke { half: Half::New },
    Effect::RestoreOld,
    Effect::Settle { rule: Rule::NoProof },
    Effect::Settle { rule: Rule::StillUsed },
    Effect::Settle { rule: Rule::TwoHolders },
];

fn settled() -> impl Iterator<Item = Effect> {
    [Rule::NoProof, Rule::StillUsed, Rule::TwoHolders].into_iter().map(|rule| Effect::Settle { rule })
}

/// Only a policy retires an old key at the deadline, and never before its successor was delivered.
const fn ends_at_deadline(step: Step, may_retire: bool) -> bool {
    may_retire
        && match step {
            Step::Issued => false,
            Step::Delivered | Step::Tested | Step::InUse | Step::Draining => true,
        }
}

const fn overdue(step: Step) -> Rule {
    if step.is_proven() { Rule::StillUsed } else { Rule::NoProof }
}

fn to(stage: Stage, effects: impl IntoIterator<Item = Effect>) -> Next {
    Next { stage, effects: effects.into_iter().collect() }
}
