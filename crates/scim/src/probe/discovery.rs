//! What the server says about itself.

use serde_json::Value;

use super::{
    Exchange,
    report::About,
    session::{Finding, Session, Trouble, passed},
};

const USER_URN: &str = "urn:ietf:params:scim:schemas:core:2.0:User";

pub(super) const ENTERPRISE_URN: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

pub(super) const CHECKS: &[About] = &[
    About { id: "config", title: "/ServiceProviderConfig says what is supported", section: "RFC 7643 5" },
    About { id: "resource-types", title: "/ResourceTypes lists User and Group", section: "RFC 7643 6" },
    About { id: "resource-type", title: "/ResourceTypes/User is there", section: "RFC 7644 4, SailPoint" },
    About { id: "schemas", title: "/Schemas lists the schema of users", section: "RFC 7643 7" },
];

pub(super) async fn probe<E: Exchange>(session: &mut Session<'_, E>) {
    let finding = config(session).await;
    session.note("config", finding);
    let finding = resource_types(session).await;
    session.note("resource-types", finding);
    let finding = resource_type(session).await;
    session.note("resource-type", finding);
    let finding = schemas(session).await;
    session.note("schemas", finding);
}

async fn config<E: Exchange>(session: &mut Session<'_, E>) -> Finding {
    let seen = session.get("/ServiceProviderConfig").await?;
    if seen.status != 200 || !seen.body.is_object() {
        return Err(Trouble::failed(format!(
            "{} came; authentik and SailPoint begin with it and take nothing for supported",
            seen.shown()
        )));
    }
    let mut missing = Vec::new();
    for feature in ["patch", "bulk", "filter", "changePassword", "sort", "etag"] {
        if seen
            .body
            .get(feature)
            .and_then(|feature| feature.get("supported"))
            .is_none_or(|value| !value.is_boolean())
        {
            missing.push(format!("{feature}.supported"));
        }
    }
    if seen.body.get("authenticationSchemes").is_none_or(|schemes| !schemes.is_array()) {
        missing.push("authenticationSchemes".to_owned());
    }
    session.config = seen.body;
    if missing.is_empty() {
        return passed();
    }
    Err(Trouble::failed(format!(
        "missing: {}; authentik takes nothing for supported then",
        missing.join(", ")
    )))
}

async fn resource_types<E: Exchange>(session: &mut Session<'_, E>) -> Finding {
    let seen = session.get("/ResourceTypes").await?;
    if seen.status != 200 {
        return Err(Trouble::failed(format!("{} came; SailPoint needs it", seen.shown())));
    }
    let endpoints: Vec<&str> =
        seen.resources().iter().filter_map(|found| found.get("endpoint").and_then(Value::as_str)).collect();
    if !endpoints.iter().any(|endpoint| endpoint.ends_with("/Users")) {
        return Err(Trouble::failed("no type has the endpoint /Users"));
    }
    if !endpoints.iter().any(|endpoint| endpoint.ends_with("/Groups")) {
        session.quirks.no_groups = true;
        return Err(Trouble::tolerated("no type has the endpoint /Groups: no groups can be sent"));
    }
    passed()
}

async fn resource_type<E: Exchange>(session: &mut Session<'_, E>) -> Finding {
    let seen = session.get("/ResourceTypes/User").await?;
    if seen.status == 200 && seen.text("/id") == Some("User") {
        return passed();
    }
    Err(Trouble::tolerated(format!("{} came; SailPoint asks for it by this id", seen.shown())))
}

async fn schemas<E: Exchange>(session: &mut Session<'_, E>) -> Finding {
    let seen = session.get("/Schemas").await?;
    if seen.status != 200 {
        return Err(Trouble::failed(format!("{} came; SailPoint and Entra read it", seen.shown())));
    }
    let of = |urn: &str| {
        seen.resources().iter().find(|schema| {
            schema.get("id").and_then(Value::as_str).is_some_and(|id| id.eq_ignore_ascii_case(urn))
        })
    };
    let Some(user) = of(USER_URN) else {
        return Err(Trouble::failed(format!("no schema has the id {USER_URN}")));
    };
    let attributes = user.get("attributes").and_then(Value::as_array).into_iter().flatten();
    let names =
        attributes.filter_map(|attribute| attribute.get("name")?.as_str()).map(str::to_ascii_lowercase);
    let mut names: Vec<String> = names.collect();
    if names.is_empty() {
        return Err(Trouble::failed("the schema of users has no attributes"));
    }
    if of(ENTERPRISE_URN).is_some() {
        names.push(ENTERPRISE_URN.to_ascii_lowercase());
    } else {
        session.quirks.no_enterprise = true;
    }
    session.attributes = Some(names);
    passed()
}
