//! What a packed row holds, in bits beside it, so that a search passes a row by without reading it.

use domain::usage::{Decision, UsageRecord};

/// The bits of one record: a row has those of all of its records.
pub(crate) fn of(record: &UsageRecord) -> i64 {
    let work = if record.is_work { WORK } else { NO_WORK };
    decision(record.decision)
        | status(record.status / 100)
        | method(&record.method)
        | resource_type(&record.resource_type)
        | work
}

const WORK: i64 = 1 << 16;
const NO_WORK: i64 = 1 << 17;

pub(crate) const fn decision(decision: Decision) -> i64 {
    match decision {
        Decision::Allowed => 1,
        Decision::Denied => 1 << 1,
        Decision::Refused => 1 << 2,
    }
}

/// Of a class of statuses: 2 for 200 to 299.
pub(crate) const fn status(class: u16) -> i64 {
    match class {
        2 => 1 << 3,
        3 => 1 << 4,
        4 => 1 << 5,
        5 => 1 << 6,
        _ => 1 << 7,
    }
}

pub(crate) fn method(method: &str) -> i64 {
    match method {
        "GET" => 1 << 8,
        "POST" => 1 << 9,
        "PUT" => 1 << 10,
        "PATCH" => 1 << 11,
        "DELETE" => 1 << 12,
        _ => 1 << 13,
    }
}

pub(crate) fn resource_type(name: &str) -> i64 {
    match name {
        "Users" => 1 << 14,
        "Groups" => 1 << 15,
        _ => 1 << 18,
    }
}

pub(crate) const fn work(is_work: bool) -> i64 {
    if is_work { WORK } else { NO_WORK }
}
