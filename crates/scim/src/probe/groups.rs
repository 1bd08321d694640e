//! A group and its name.

use serde_json::{Value, json};

use super::{
    Exchange,
    report::About,
    session::{Finding, Session, Trouble, filter, passed},
};

pub(super) const CHECKS: &[About] = &[
    About {
        id: "create-group",
        title: "POST /Groups answers 201 with the group",
        section: "RFC 7644 3.3, Entra",
    },
    About {
        id: "filter-display-name",
        title: "displayName eq finds the group",
        section: "RFC 7644 3.4.2.2, Entra",
    },
    About { id: "duplicate-group", title: "A displayName that is taken is 409", section: "Entra" },
    About {
        id: "foreign-schema",
        title: "A schema that nobody knows is no reason to refuse",
        section: "Entra",
    },
];

/// Creates a group. Whether there is one to go on with.
pub(super) async fn probe<E: Exchange>(session: &mut Session<'_, E>) -> bool {
    let finding = create(session).await;
    session.note("create-group", finding);
    let Some(id) = session.group.clone() else { return false };
    let finding = find(session, &id).await;
    session.note("filter-display-name", finding);
    let finding = duplicate(session).await;
    session.note("duplicate-group", finding);
    let finding = foreign_schema(session).await;
    session.note("foreign-schema", finding);
    true
}

pub(super) fn group(name: &str) -> Value {
    json!({ "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "displayName": name })
}

async fn create<E: Exchange>(session: &mut Session<'_, E>) -> Finding {
    let name = session.name("group");
    let seen = session.create("/Groups", &name, group(&name)).await?;
    if seen.is_unsupported() {
        session.quirks.no_groups = true;
        return Err(Trouble::tolerated(format!("{} came: there are no groups", seen.shown())));
    }
    if !seen.is_success() {
        return Err(Trouble::failed(format!("{} came for a group without members", seen.shown())));
    }
    let Some(id) = seen.id() else {
        return Err(Trouble::failed(format!("{} without an id came", seen.shown())));
    };
    session.group = Some(id);
    if seen.text("/displayName") == Some(&name) {
        return passed();
    }
    Err(Trouble::failed("the answer does not hold the displayName that was sent"))
}

async fn find<E: Exchange>(session: &mut Session<'_, E>, id: &str) -> Finding {
    let text = format!("displayName eq \"{}\"", session.name("group"));
    let seen = session.get(&format!("/Groups?excludedAttributes=members&{}", filter(&text))).await?;
    if seen.status == 200 && seen.resources().len() == 1 && seen.has_resource(id) {
        return passed();
    }
    session.quirks.no_filter = true;
    Err(Trouble::failed(format!(
        "{} with {} groups came, not the one; Entra and Okta look up before they create",
        seen.shown(),
        seen.resources().len()
    )))
}

async fn duplicate<E: Exchange>(session: &mut Session<'_, E>) -> Finding {
    let name = session.name("group");
    let seen = session.create("/Groups", &name, group(&name)).await?;
    if seen.status == 409 {
        return passed();
    }
    if seen.is_success() {
        session.quirks.group_names_not_unique = true;
        if let Some(id) = seen.id() {
            session.delete("/Groups", &id).await?;
        }
        return Err(Trouble::tolerated(format!(
            "{} came, which the standard allows: a POST that is repeated makes a second group",
            seen.status
        )));
    }
    Err(Trouble::failed(format!("{} came, not 409", seen.shown())))
}

async fn foreign_schema<E: Exchange>(session: &mut Session<'_, E>) -> Finding {
    let name = session.name("foreign");
    let mut body = group(&name);
    if let Some(urns) = body.get_mut("schemas").and_then(Value::as_array_mut) {
        urns.push(json!("http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group"));
    }
    let seen = session.create("/Groups", &name, body).await?;
    if !seen.is_success() {
        return Err(Trouble::tolerated(format!(
            "{} came; Entra lists such a schema, the gateway does not",
            seen.shown()
        )));
    }
    if let Some(id) = seen.id() {
        session.delete("/Groups", &id).await?;
    }
    passed()
}
