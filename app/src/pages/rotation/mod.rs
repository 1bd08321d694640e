//! Rotation: the board of what is under way and due, one rotation, and what a policy says.

mod act;
mod board;
mod deliveries;
mod exceptions;
mod one;
mod policy;
mod preview;
mod verdict;

pub(crate) use self::verdict::{evidence, headline, pill};
pub use self::{
    act::ActOnRotation,
    board::Board,
    one::Rotation,
    policy::{DefaultPolicy, FederationPolicy},
};
