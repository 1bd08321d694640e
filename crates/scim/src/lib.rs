//! SCIM 2.0 (RFC 7643, RFC 7644) without a server: what is said, not how it travels or where it is kept.
//!
//! The crate does no I/O, knows no clock and depends on nothing of ours. It reads what providers really
//! send and answers what the standard says: lenient in, strict out. What it understood beyond the
//! standard is noted in a [`Reading`], and refused in one that is strict.
//!
//! Read it in this order:
//! 1. [`error`]: the refusals of the standard; [`tolerance`]: what is understood beyond it.
//! 2. [`schema`]: the attributes as data; [`attr`]: their names; [`extension`]: the schemas that an admin
//!    registers; [`schemas`]: all of them together, and a [`Type`], which everything below is asked of.
//! 3. [`resource`] and [`member`]: a user or a group in its normal form; [`mod@render`] and [`select`]: the
//!    body of an answer.
//! 4. [`mod@filter`]: the tree of a filter, what it means, and what it says to an index.
//! 5. [`path`] and [`patch`]: PATCH, and the short form of one that only changes members.
//! 6. [`bulk`]: many operations in one request, their order and the references between them.
//! 7. [`list`]: queries and pages; [`discovery`]: what the server says about itself.
//! 8. [`probe`]: what another server will choke on, through a trait that sends.
//!
//! Invariants: no input makes it panic or recurse without a bound; a [`Resource`] holds nothing that the
//! schemas do not know and never a password; a PATCH applies as a whole or not at all.
//!
//! A new module gets its `mod` line at its place in the reading order and its names in the list below.

pub mod error;
pub mod tolerance;

pub mod attr;
pub mod extension;
pub mod schema;
pub mod schemas;

mod coerce;
mod instant;
mod json;
pub mod member;
pub mod resource;

pub mod render;
pub mod select;

pub mod filter;

pub mod patch;
pub mod path;

pub mod bulk;

pub mod discovery;
pub mod list;

pub mod probe;

pub use self::{
    attr::{AttrPath, Resolved, fold_case},
    discovery::{Bulk, Cursor, Features},
    error::{ScimError, ScimType},
    extension::Extension,
    filter::{CompareOp, CompareValue, Filter, matches},
    instant::unix_nanos,
    list::{ListQuery, ListResponse, Sort, SortKey, SortOrder, query_selection, read_selection},
    member::{GroupRef, Member},
    patch::{Op, Patched, Verb},
    path::PatchPath,
    render::{Meta, Related, etag, render, render_with, timestamp},
    resource::Resource,
    schema::{
        Attribute, ENTERPRISE_USER, GROUP, Kind, Mutability, ResourceType, Returned, Schema, USER, Uniqueness,
    },
    schemas::{Schemas, Type},
    select::Selection,
    tolerance::{Reading, Tolerance, Tolerances},
};
