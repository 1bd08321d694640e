//! The directory of a federation: its users and groups, each with its history.

mod history;
mod list;
mod one;

pub(crate) use self::history::{Around, address, changes, noun, value};
pub use self::{
    list::{Groups, Users},
    one::{Group, User},
};
