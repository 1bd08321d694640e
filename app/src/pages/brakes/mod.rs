//! Brakes: what is spent of each limit, what is held, planned work, marks.

mod forms;
mod held;
mod overview;

pub use self::{
    forms::{AllowIdentity, MarkResource, PlanWindow},
    held::HeldOperations,
    overview::Brakes,
};
