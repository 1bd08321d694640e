//! From a filter to the terms of a statement.
//!
//! Each part of the conjunction that an index serves becomes a [`Term`] that means the same. When that
//! is all of the filter, nothing else needs to be looked at; otherwise the whole filter decides about
//! the rows that the terms leave. A plan is never more than the truth: the property test
//! `crates/ops/tests/it/filters.rs` compares both on random filters.

use std::borrow::Cow;

use scim::{AttrPath, CompareOp, CompareValue, Filter, ResourceType, ScimError, Type, fold_case};
use store::directory::{GroupTerm, Lookup, Span, Term, UserTerm};

/// The nanoseconds of a millisecond.
const MS: i128 = 1_000_000;

/// How a filter is answered.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// What the database decides.
    pub terms: Vec<Term>,
    /// What is decided for each row that it leaves; none when that was all.
    pub rest: Option<Filter>,
}

/// Whether some members of groups are hidden from the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hidden {
    Nothing,
    Some,
}

/// What one part of a filter becomes.
struct Step {
    /// None when every resource meets it.
    term: Option<Term>,
    /// Whether the term says all of the part.
    is_whole: bool,
}

impl Step {
    fn whole(term: Term) -> Self {
        Self { term: Some(term), is_whole: true }
    }

    fn always() -> Self {
        Self { term: None, is_whole: true }
    }
}

/// Plans a filter for a resource type.
///
/// # Errors
/// `invalidFilter` for a comparison that the attributes of the type do not allow.
///
/// Where some members are `hidden` from the key, an index finds more groups than those whose members it sees:
/// then the members are looked at.
pub(super) fn plan(of: Type<'_>, filter: Option<&Filter>, hidden: Hidden) -> Result<Plan, ScimError> {
    let Some(filter) = filter else { return Ok(Plan::default()) };
    filter.check(of)?;
    let parts = match filter {
        Filter::And(parts) => parts.as_slice(),
        Filter::Compare { .. }
        | Filter::Present(_)
        | Filter::Or(_)
        | Filter::Not(_)
        | Filter::Value { .. } => std::slice::from_ref(filter),
    };
    let mut plan = Plan::default();
    let mut is_whole = true;
    for part in parts {
        match step(of, part) {
            Some(step) => {
                let is_exact = hidden == Hidden::Nothing || !matches!(step.term, Some(Term::Group(_)));
                plan.terms.extend(step.term);
                is_whole &= step.is_whole && is_exact;
            }
            None => is_whole = false,
        }
    }
    plan.rest = (!is_whole).then(|| filter.clone());
    Ok(plan)
}

fn step(of: Type<'_>, part: &Filter) -> Option<Step> {
    match part {
        Filter::Compare { path, op, value } => compare(of, &path.canonical(of)?, *op, value),
        Filter::Present(path) => present(of, &path.canonical(of)?),
        Filter::Or(parts) => either(of, parts),
        Filter::Value { path, filter } => one_value(of, path, filter),
        Filter::And(_) | Filter::Not(_) => None,
    }
}

fn compare(of: Type<'_>, name: &str, op: CompareOp, value: &CompareValue) -> Option<Step> {
    const EMPLOYEE_NUMBER: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:employeeNumber";
    let kind = of.kind;
    let is_name = match kind {
        ResourceType::User => name == "userName",
        ResourceType::Group => name == "displayName",
    };
    match (kind, name, op) {
        (_, "id", CompareOp::Eq) => Some(Step::whole(Term::Id(one(text(value)?)))),
        (_, "externalId", CompareOp::Eq) => Some(Step::whole(Term::ExternalId(one(text(value)?)))),
        (_, _, CompareOp::Eq) if is_name => Some(Step::whole(Term::Name(one(fold_case(&text(value)?))))),
        (_, _, CompareOp::Sw) if is_name => {
            let prefix = fold_case(&text(value)?);
            Some(if prefix.is_empty() { Step::always() } else { Step::whole(Term::NamePrefix(prefix)) })
        }
        (_, "meta.lastModified", _) => Some(Step::whole(Term::Modified(span(op, value)?))),
        (_, "meta.created", _) => Some(Step::whole(Term::Created(span(op, value)?))),
        (ResourceType::User, "active", CompareOp::Eq) => {
            Some(Step::whole(Term::User(UserTerm::Active(boolean(value)?))))
        }
        (ResourceType::User, "emails" | "emails.value", CompareOp::Eq) => {
            Some(lookup(Lookup::Email, &text(value)?))
        }
        (ResourceType::User, EMPLOYEE_NUMBER, CompareOp::Eq) => {
            Some(lookup(Lookup::EmployeeNumber, &text(value)?))
        }
        (ResourceType::Group, "members" | "members.value", CompareOp::Eq) => {
            Some(Step::whole(Term::Group(GroupTerm::Member(one(fold_case(&text(value)?))))))
        }
        (ResourceType::User | ResourceType::Group, _, _) => None,
    }
}

fn lookup(lookup: Lookup, value: &str) -> Step {
    let (key, is_whole) = Lookup::key(value);
    Step { term: Some(Term::User(UserTerm::Value(lookup, one(key)))), is_whole }
}

/// What every resource has.
fn present(of: Type<'_>, name: &str) -> Option<Step> {
    let is_always = match (of.kind, name) {
        (_, "id" | "schemas" | "meta" | "meta.created" | "meta.lastModified" | "meta.resourceType")
        | (ResourceType::User, "userName")
        | (ResourceType::Group, "displayName") => true,
        (ResourceType::User | ResourceType::Group, _) => false,
    };
    is_always.then(Step::always)
}

/// Alternatives that look up the same thing are looked up at once.
fn either(of: Type<'_>, parts: &[Filter]) -> Option<Step> {
    let mut steps = parts.iter().map(|part| step(of, part));
    let mut all = steps.next()??;
    for step in steps {
        let step = step?;
        all.is_whole &= step.is_whole;
        match (all.term.as_mut()?, step.term?) {
            (Term::Id(all), Term::Id(more))
            | (Term::ExternalId(all), Term::ExternalId(more))
            | (Term::Name(all), Term::Name(more))
            | (Term::Group(GroupTerm::Member(all)), Term::Group(GroupTerm::Member(more))) => all.extend(more),
            (Term::User(UserTerm::Value(lookup, all)), Term::User(UserTerm::Value(other, more)))
                if *lookup == other =>
            {
                all.extend(more);
            }
            (
                Term::Id(_)
                | Term::ExternalId(_)
                | Term::Name(_)
                | Term::NamePrefix(_)
                | Term::Modified(_)
                | Term::Created(_)
                | Term::MadeBy(_)
                | Term::User(_)
                | Term::Group(_),
                _,
            ) => return None,
        }
    }
    Some(all)
}

/// `emails[type eq "work" and value eq "a"]`: the value is looked up, the rest decided.
fn one_value(of: Type<'_>, path: &AttrPath, filter: &Filter) -> Option<Step> {
    let name = path.canonical(of)?;
    let by_value = |part: &Filter| match part {
        Filter::Compare { path, op: CompareOp::Eq, value } if path.is("value") => {
            compare(of, &format!("{name}.value"), CompareOp::Eq, value)
        }
        Filter::Compare { .. }
        | Filter::Present(_)
        | Filter::And(_)
        | Filter::Or(_)
        | Filter::Not(_)
        | Filter::Value { .. } => None,
    };
    match filter {
        Filter::And(parts) => parts.iter().find_map(by_value).map(|step| Step { is_whole: false, ..step }),
        Filter::Compare { .. }
        | Filter::Present(_)
        | Filter::Or(_)
        | Filter::Not(_)
        | Filter::Value { .. } => by_value(filter),
    }
}

fn one(text: impl Into<String>) -> Vec<String> {
    vec![text.into()]
}

/// The right side as text; a bare word or number was meant as such. Nothing is equal to null that an
/// index could find.
fn text(value: &CompareValue) -> Option<Cow<'_, str>> {
    match value {
        CompareValue::String(text) => Some(Cow::Borrowed(text)),
        CompareValue::Boolean(_) | CompareValue::Number(_) => Some(Cow::Owned(value.to_string())),
        CompareValue::Null => None,
    }
}

fn boolean(value: &CompareValue) -> Option<bool> {
    match value {
        CompareValue::Boolean(value) => Some(*value),
        CompareValue::String(text) if text.eq_ignore_ascii_case("true") => Some(true),
        CompareValue::String(text) if text.eq_ignore_ascii_case("false") => Some(false),
        CompareValue::String(_) | CompareValue::Number(_) | CompareValue::Null => None,
    }
}

/// The milliseconds that a comparison of instants leaves; times of resources have no finer parts.
fn span(op: CompareOp, value: &CompareValue) -> Option<Span> {
    let at_ns = scim::unix_nanos(value.as_str()?)?;
    let floor = ms(at_ns.div_euclid(MS));
    let ceiling = ms(at_ns.div_euclid(MS) + i128::from(at_ns.rem_euclid(MS) != 0));
    let from = |from_ms| Span { from_ms: Some(from_ms), to_ms: None };
    let to = |to_ms| Span { from_ms: None, to_ms: Some(to_ms) };
    match op {
        CompareOp::Gt => Some(from(floor.saturating_add(1))),
        CompareOp::Ge => Some(from(ceiling)),
        CompareOp::Lt => Some(to(ceiling.saturating_sub(1))),
        CompareOp::Le => Some(to(floor)),
        // Between two milliseconds there is none.
        CompareOp::Eq => Some(Span { from_ms: Some(ceiling), to_ms: Some(floor) }),
        CompareOp::Ne | CompareOp::Co | CompareOp::Sw | CompareOp::Ew => None,
    }
}

fn ms(ms: i128) -> i64 {
    i64::try_from(ms).unwrap_or(if ms < 0 { i64::MIN } else { i64::MAX })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(kind: ResourceType, filter: &str, terms: &[Term], is_whole: bool) {
        let plan = plan(kind.into(), Some(&Filter::parse(filter).unwrap()), Hidden::Nothing).unwrap();
        assert_eq!((plan.terms.as_slice(), plan.rest.is_none()), (terms, is_whole), "{filter}");
    }

    #[test]
    fn what_an_index_serves_becomes_a_term() {
        let user = |filter: &str, terms: &[Term]| check(ResourceType::User, filter, terms, true);
        user(r#"USERNAME eq "Mia""#, &[Term::Name(one("mia"))]);
        user(r#"userName eq "a" or username eq "b""#, &[Term::Name(vec!["a".to_owned(), "b".to_owned()])]);
        user(r#"userName sw "M""#, &[Term::NamePrefix("m".to_owned())]);
        user(r#"userName sw """#, &[]);
        user("userName pr and active eq \"True\"", &[Term::User(UserTerm::Active(true))]);
        user("externalId eq 12", &[Term::ExternalId(one("12"))]);
        user(
            r#"emails[value eq "A@b"] and urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:employeeNumber eq "7""#,
            &[
                Term::User(UserTerm::Value(Lookup::Email, one("a@b"))),
                Term::User(UserTerm::Value(Lookup::EmployeeNumber, one("7"))),
            ],
        );
        let group = |filter: &str, terms: &[Term]| check(ResourceType::Group, filter, terms, true);
        group(r#"displayName eq "Staff""#, &[Term::Name(one("staff"))]);
        for filter in [r#"members eq "x""#, r#"members.value eq "X""#, r#"members[value eq "x"]"#] {
            group(filter, &[Term::Group(GroupTerm::Member(one("x")))]);
        }
    }

    #[test]
    fn what_none_serves_is_decided_for_each_row() {
        let user = |filter: &str, terms: &[Term]| check(ResourceType::User, filter, terms, false);
        user(r#"title co "x""#, &[]);
        user(r#"userName eq "a" and title pr"#, &[Term::Name(one("a"))]);
        user(r#"userName eq "a" or title pr"#, &[]);
        user(r#"userName eq "a" or externalId eq "a""#, &[]);
        user(r#"not (userName eq "a")"#, &[]);
        user("externalId eq null", &[]);
        user("active ne true", &[]);
        user(
            r#"emails[type eq "work"].value eq "a@b""#,
            &[Term::User(UserTerm::Value(Lookup::Email, one("a@b")))],
        );
        user(
            &format!("emails.value eq \"{}\"", "x".repeat(2_000)),
            &[Term::User(UserTerm::Value(Lookup::Email, one("x".repeat(1_000))))],
        );
    }

    #[test]
    fn instants_become_whole_milliseconds() {
        let check = |op: &str, at: &str, from_ms: Option<i64>, to_ms: Option<i64>| {
            let expect = [Term::Modified(Span { from_ms, to_ms })];
            check(ResourceType::User, &format!("meta.lastModified {op} \"{at}\""), &expect, true);
        };
        for (at, exact) in [("1970-01-01T00:00:01.5Z", true), ("1970-01-01T00:00:01.5001Z", false)] {
            let above = if exact { 1_500 } else { 1_501 };
            check("gt", at, Some(1_501), None);
            check("ge", at, Some(above), None);
            check("lt", at, None, Some(above - 1));
            check("le", at, None, Some(1_500));
            check("eq", at, Some(above), Some(1_500));
        }
    }
}
