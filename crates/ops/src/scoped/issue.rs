//! Whether a scope that is about to be given to a key can be kept, and in the spelling of the schemas.

use std::collections::BTreeSet;

use domain::{
    Invalid, ResourceId,
    federations::{Federation, FederationTarget},
    scopes::{LONGEST_FILTER, Scope, filter_field},
};
use scim::{AttrPath, Filter, ResourceType, Type};
use store::Conn;

use super::resource_type;
use crate::{Error, Keyward};

/// Attributes that a filter of a scope cannot be about: they are not of the resource itself, or change with
/// every change.
const NOT_FILTERED: [&str; 6] = ["id", "schemas", "meta", "groups", "members", "password"];

/// Checks a scope for a federation, and writes its attributes and filters as the schemas do.
///
/// # Errors
/// Invalid with every fault; what the database refuses.
pub(crate) async fn check(
    keyward: &Keyward,
    conn: &mut Conn<'_>,
    federation: &Federation,
    mut scope: Scope,
) -> Result<Scope, Error> {
    let schemas = keyward.schemas_of(conn, federation).await?;
    let mut faults = Vec::new();
    for grant in &mut scope.grants {
        let of = schemas.of(resource_type(grant.resource));
        for (word, set) in [("read", &mut grant.read_attributes), ("write", &mut grant.write_attributes)] {
            let field = format!("{}-{word}-attributes", grant.resource);
            if let Some(names) = set {
                *names = spelled(of, names, word == "write", &field, &mut faults);
            }
        }
        if let Some(text) = &mut grant.filter {
            match filter(of, text) {
                Ok(written) => *text = written,
                Err(message) => faults.push(Invalid::new(&filter_field(grant.resource), message)),
            }
        }
    }
    // What was refused already must not be told a second time as missing.
    let is_told = |fault: &Invalid| faults.iter().any(|told| told.field == fault.field);
    let more: Vec<Invalid> = scope.faults().into_iter().filter(|fault| !is_told(fault)).collect();
    faults.extend(more);
    if let Some(groups) = &scope.groups {
        for id in groups {
            if !is_group(conn, federation, id).await? {
                faults.push(Invalid::new(
                    "groups",
                    format!("{id:?} is not the id of a group of {}", federation.name),
                ));
                break;
            }
        }
    }
    if federation.target == FederationTarget::Upstream
        && let Some(dimension) = scope.not_kept_upstream()
    {
        faults.push(Invalid::new(
            "scope",
            format!("{dimension} cannot be enforced where an upstream keeps the users and groups"),
        ));
    }
    if faults.is_empty() { Ok(scope) } else { Err(Error::Invalid(faults)) }
}

async fn is_group(conn: &mut Conn<'_>, federation: &Federation, id: &str) -> Result<bool, Error> {
    let Some(parsed) = ResourceId::parse(id) else { return Ok(false) };
    Ok(match federation.target {
        FederationTarget::Embedded => store::groups::by_id(conn, &federation.id, &parsed).await?.is_some(),
        FederationTarget::Upstream => {
            store::links::by_id(conn, &federation.id, ResourceType::Group, id).await?.is_some()
        }
    })
}

fn spelled(
    of: Type<'_>,
    names: &BTreeSet<String>,
    is_written: bool,
    field: &str,
    faults: &mut Vec<Invalid>,
) -> BTreeSet<String> {
    let mut spelled = BTreeSet::new();
    for name in names {
        match spell(of, name, is_written) {
            Ok(name) => {
                spelled.insert(name);
            }
            Err(message) => faults.push(Invalid::new(field, message)),
        }
    }
    spelled
}

fn spell(of: Type<'_>, name: &str, is_written: bool) -> Result<String, String> {
    if let Some(extension) = of.extension(name) {
        return Ok(extension.id.to_string());
    }
    let path = AttrPath::parse(name).ok_or_else(|| format!("{name:?} is not the name of an attribute"))?;
    let kind = of.kind.name().to_lowercase();
    let resolved = path.resolve(of).ok_or_else(|| format!("a {kind} has no attribute {name:?} here"))?;
    let canonical = resolved.canonical();
    let top = canonical.split('.').next().unwrap_or_default();
    if ["id", "schemas", "meta"].contains(&top) {
        return Err(format!("{top} is in every answer and is the server's to write: leave it out"));
    }
    if top == "password" || (is_written && top == "groups" && of.kind == ResourceType::User) {
        return Err(format!("{top} is not kept with the {kind}: leave it out"));
    }
    if resolved.sub.is_some() && resolved.attribute.multi_valued {
        return Err(format!("{name:?}: name the whole attribute where it has several values"));
    }
    Ok(canonical)
}

fn filter(of: Type<'_>, text: &str) -> Result<String, String> {
    if text.len() > LONGEST_FILTER {
        return Err(format!("at most {LONGEST_FILTER} bytes are possible, not {}", text.len()));
    }
    let filter = Filter::parse(text).map_err(|error| error.detail)?;
    known(of, &filter, None)?;
    filter.check(of).map_err(|error| error.detail)?;
    Ok(filter.to_string())
}

/// Refuses names that mean nothing: nothing would ever match, and nobody would know why.
fn known(of: Type<'_>, filter: &Filter, inside: Option<&AttrPath>) -> Result<(), String> {
    match filter {
        Filter::Compare { path, .. } | Filter::Present(path) => known_path(of, path, inside),
        Filter::And(parts) | Filter::Or(parts) => parts.iter().try_for_each(|part| known(of, part, inside)),
        Filter::Not(inner) => known(of, inner, inside),
        Filter::Value { path, filter } => {
            known_path(of, path, inside)?;
            known(of, filter, Some(path))
        }
    }
}

fn known_path(of: Type<'_>, path: &AttrPath, inside: Option<&AttrPath>) -> Result<(), String> {
    let whole = match inside {
        Some(outer) => AttrPath { sub: Some(path.name.clone()), ..outer.clone() },
        None => path.clone(),
    };
    let kind = of.kind.name().to_lowercase();
    let name = whole.canonical(of).ok_or_else(|| format!("a {kind} has no attribute {whole} here"))?;
    let top = name.split('.').next().unwrap_or_default();
    if NOT_FILTERED.contains(&top) {
        return Err(format!("a scope cannot be about {top}: choose attributes that the {kind} itself has"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_name(name: &str, is_written: bool, expect: Option<&str>) {
        assert_eq!(spell(ResourceType::User.into(), name, is_written).ok().as_deref(), expect, "{name}");
    }

    #[test]
    fn attributes_are_written_as_the_schemas_do() {
        const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
        check_name("USERNAME", true, Some("userName"));
        check_name("name.familyname", true, Some("name.familyName"));
        check_name(&ENTERPRISE.to_ascii_uppercase(), true, Some(ENTERPRISE));
        check_name(&format!("{ENTERPRISE}:Department"), true, Some(&format!("{ENTERPRISE}:department")));
        check_name("groups", false, Some("groups"));
        for name in
            ["groups", "meta.created", "id", "schemas", "shoeSize", "emails.value", "", "a b", "password"]
        {
            check_name(name, true, None);
        }
    }

    #[test]
    fn a_filter_is_about_known_attributes_of_the_resource_itself() {
        let check = |text: &str, expect: Option<&str>| {
            assert_eq!(filter(ResourceType::User.into(), text).ok().as_deref(), expect, "{text}");
        };
        check(r#"USERNAME Eq "a" AND (active eq true)"#, Some(r#"USERNAME eq "a" and active eq true"#));
        check(r#"emails[type eq "work"]"#, Some(r#"emails[type eq "work"]"#));
        for text in [
            "",
            "userName",
            "shoeSize eq 1",
            "emails[colour pr]",
            "id eq \"1\"",
            "meta.created pr",
            "groups pr",
            "active gt true",
            "password pr",
            "(((",
            "members pr",
        ] {
            check(text, None);
        }
        check(&format!("title eq \"{}\"", "x".repeat(LONGEST_FILTER)), None);
    }
}
