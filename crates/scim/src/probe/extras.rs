//! What a server may leave out, and the end of a user.

use serde_json::{Value, json};

use super::{
    Exchange, groups,
    patches::one,
    report::About,
    session::{Finding, Session, Trouble, filter, passed, path},
};

pub(super) const CHECKS: &[About] = &[
    About { id: "etag", title: "If-Match with an old version is 412", section: "RFC 7644 3.14" },
    About { id: "search", title: "POST /Users/.search", section: "RFC 7644 3.4.3" },
    About { id: "bulk", title: "Bulk with a reference between its operations", section: "RFC 7644 3.7" },
    About { id: "delete-group", title: "DELETE of a group: 204, then 404", section: "RFC 7644 3.6" },
    About {
        id: "delete-user",
        title: "DELETE of a user: 204, then 404 and in no list",
        section: "RFC 7644 3.6",
    },
    About { id: "create-again", title: "The name of a deleted user is free", section: "RFC 7644 3.6" },
    About {
        id: "media-type",
        title: "Answers are application/scim+json, errors too",
        section: "RFC 7644 3.1, Entra",
    },
    About {
        id: "retry-after",
        title: "Who asks to wait says how many seconds",
        section: "RFC 9110 10.2.3, Okta",
    },
    About { id: "clean-up", title: "Everything that was created is deleted again", section: "RFC 7644 3.6" },
];

pub(super) async fn probe<E: Exchange>(session: &mut Session<'_, E>) {
    let finding = etag(session).await;
    session.note("etag", finding);
    let finding = search(session).await;
    session.note("search", finding);
    let finding = bulk(session).await;
    session.note("bulk", finding);
    if let Some(group) = session.group.clone() {
        let finding = delete(session, "/Groups", &group).await;
        session.note("delete-group", finding);
    }
    let Some(user) = session.users.first().cloned() else { return };
    let finding = delete(session, "/Users", &user).await;
    let is_gone = finding.is_ok();
    session.note("delete-user", finding);
    if is_gone {
        let finding = create_again(session).await;
        session.note("create-again", finding);
    }
}

fn is_advertised<E: Exchange>(session: &Session<'_, E>, feature: &str) -> bool {
    session.config.get(feature).and_then(|feature| feature.get("supported")).and_then(Value::as_bool)
        == Some(true)
}

async fn etag<E: Exchange>(session: &mut Session<'_, E>) -> Finding {
    let user = session.users.first().cloned().unwrap_or_default();
    let path = path("/Users", &user);
    session.quirks.no_etag = true;
    if !is_advertised(session, "etag") {
        return Err(Trouble::skipped("not advertised: changes of two writers can overtake each other"));
    }
    if session.quirks.no_patch && session.quirks.no_put {
        return Err(Trouble::skipped("neither PUT nor PATCH works"));
    }
    let seen = session.get(&path).await?;
    let Some(tag) = seen.etag.clone().or_else(|| seen.text("/meta/version").map(str::to_owned)) else {
        return Err(Trouble::failed("advertised, and there is neither ETag nor meta.version"));
    };
    let (method, change) = if session.quirks.no_patch {
        let mut body = seen.body.clone();
        if let Some(object) = body.as_object_mut() {
            object.insert("displayName".to_owned(), json!("Tagged"));
        }
        ("PUT", body)
    } else {
        ("PATCH", one("replace", Some("displayName"), json!("Tagged")))
    };
    let stale = session
        .send(method, &path, &[("If-Match", "W/\"keyward-probe-stale\"")], Some(change.clone()))
        .await?;
    if stale.is_success() {
        return Err(Trouble::failed(format!(
            "{} came for a version that never was: of two writers the last one wins and nobody is told",
            stale.status
        )));
    }
    if stale.status != 412 {
        return Err(Trouble::tolerated(format!("{} came, not 412", stale.shown())));
    }
    let current = session.send(method, &path, &[("If-Match", &tag)], Some(change)).await?;
    if !current.is_success() {
        return Err(Trouble::failed(format!("{} came for the version that was just read", current.shown())));
    }
    session.quirks.no_etag = false;
    passed()
}

async fn search<E: Exchange>(session: &mut Session<'_, E>) -> Finding {
    let user = session.users.first().cloned().unwrap_or_default();
    let body = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"],
        "filter": format!("userName eq \"{}\"", session.name("user")),
        "startIndex": 1,
        "count": 10,
    });
    // `.search` creates nothing; where it is taken for the id of a user, POST is refused.
    let seen = session.send("POST", "/Users/.search", &[], Some(body)).await?;
    if seen.status == 200 && seen.resources().len() == 1 && seen.has_resource(&user) {
        return passed();
    }
    session.quirks.no_search = true;
    if seen.is_success() {
        return Err(Trouble::failed(format!(
            "{} came with {} users, not the one",
            seen.shown(),
            seen.resources().len()
        )));
    }
    Err(Trouble::tolerated(format!("{} came: look-ups go by GET", seen.shown())))
}

async fn bulk<E: Exchange>(session: &mut Session<'_, E>) -> Finding {
    session.quirks.no_bulk = true;
    if !is_advertised(session, "bulk") {
        return Err(Trouble::skipped("not advertised"));
    }
    let (user_name, group_name) = (session.name("bulk-user"), session.name("bulk-group"));
    let mut group = groups::group(&group_name);
    if let Some(object) = group.as_object_mut() {
        object.insert("members".to_owned(), json!([{ "value": "bulkId:user" }]));
    }
    let body = json!({
        "schemas": [crate::bulk::BULK_REQUEST_URN],
        "Operations": [
            { "method": "POST", "path": "/Users", "bulkId": "user", "data": {
                "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
                "userName": user_name,
                "name": { "givenName": "Probe", "familyName": "Bulk" },
                "emails": [{ "value": format!("{user_name}@example.com"), "type": "work", "primary": true }],
            }},
            { "method": "POST", "path": "/Groups", "bulkId": "group", "data": group },
        ],
    });
    session.expect_created("/Users", &user_name);
    session.expect_created("/Groups", &group_name);
    let seen = session.send("POST", "/Bulk", &[], Some(body)).await?;
    if seen.status != 200 {
        return Err(Trouble::failed(format!("advertised, and {} came", seen.shown())));
    }
    let mut ids = Vec::new();
    for (name, endpoint, made) in [("user", "/Users", &user_name), ("group", "/Groups", &group_name)] {
        let operations = seen.body.get("Operations").and_then(Value::as_array).into_iter().flatten();
        let operation =
            operations.into_iter().find(|found| found.get("bulkId").and_then(Value::as_str) == Some(name));
        let text = |key: &str| operation.and_then(|found| found.get(key)).and_then(Value::as_str);
        let location = text("location").map(str::to_owned);
        if text("status") != Some("201") {
            return Err(Trouble::failed(format!(
                "the operation {name} has the status {}",
                text("status").unwrap_or("none")
            )));
        }
        let Some(id) = location.and_then(|location| session.adopt(endpoint, made, &location)) else {
            return Err(Trouble::failed(format!("the operation {name} has no location")));
        };
        ids.push(id);
    }
    let [user, group] = ids.as_slice() else { return Err(Trouble::failed("not two resources came")) };
    let read = session.get(&path("/Groups", group)).await?;
    let members = read.body.get("members").and_then(Value::as_array).into_iter().flatten();
    if members.filter_map(|member| member.get("value")?.as_str()).any(|id| id == user) {
        session.quirks.no_bulk = false;
        return passed();
    }
    Err(Trouble::failed("the reference between the two operations was not replaced"))
}

async fn delete<E: Exchange>(session: &mut Session<'_, E>, endpoint: &'static str, id: &str) -> Finding {
    let seen = session.delete(endpoint, id).await?;
    if !seen.is_success() {
        return Err(Trouble::failed(format!("{} came", seen.shown())));
    }
    let read = session.get(&path(endpoint, id)).await?;
    if read.status != 404 {
        return Err(Trouble::failed(format!("{} came afterwards, not 404: it is still there", read.shown())));
    }
    if endpoint == "/Users" && !session.quirks.no_filter {
        let text = format!("userName eq \"{}\"", session.name("user"));
        let found = session.get(&format!("/Users?{}", filter(&text))).await?;
        if found.has_resource(id) {
            return Err(Trouble::failed("it is still found by its userName"));
        }
    }
    if seen.status == 204 {
        passed()
    } else {
        Err(Trouble::tolerated(format!("{} came, not 204", seen.status)))
    }
}

async fn create_again<E: Exchange>(session: &mut Session<'_, E>) -> Finding {
    let name = session.name("user");
    let body = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
        "userName": name,
        "name": { "givenName": "Probe", "familyName": "Again" },
        "emails": [{ "value": format!("{name}@example.com"), "type": "work", "primary": true }],
    });
    let seen = session.create("/Users", &name, body).await?;
    if !seen.is_success() {
        return Err(Trouble::failed(format!("{} came: who was deleted cannot come back", seen.shown())));
    }
    let is_new = seen.text("/id").is_some_and(|id| session.users.first().is_none_or(|first| first != id));
    if is_new { passed() } else { Err(Trouble::failed("the id of the deleted user came back")) }
}
