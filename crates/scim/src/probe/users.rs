//! A user from its creation to what finds it.

use serde_json::{Value, json};

use super::{
    Exchange,
    report::About,
    session::{Finding, Session, Trouble, filter, passed, path},
};

pub(super) const CHECKS: &[About] = &[
    About {
        id: "create-user",
        title: "POST /Users answers 201 with the whole user",
        section: "RFC 7644 3.3, Okta",
    },
    About { id: "location", title: "The answer to POST says where the user is", section: "RFC 7644 3.3" },
    About { id: "meta", title: "meta says type, location and instants", section: "RFC 7643 3.1" },
    About { id: "read-user", title: "GET /Users/{id} answers what was sent", section: "RFC 7644 3.4.1" },
    About { id: "password", title: "No answer holds the password", section: "RFC 7643 4.1.1" },
    About {
        id: "unknown-user",
        title: "A user that is not there is 404, with an error in SCIM",
        section: "RFC 7644 3.12, Okta",
    },
    About {
        id: "filter-none",
        title: "A look-up that finds nothing is an empty list",
        section: "RFC 7644 3.4.2, Entra",
    },
    About { id: "filter-user-name", title: "userName eq finds", section: "RFC 7644 3.4.2.2" },
    About { id: "filter-case", title: "userName eq ignores case", section: "RFC 7643 4.1.1" },
    About { id: "filter-external-id", title: "externalId eq finds", section: "RFC 7643 3.1, Entra" },
    About { id: "filter-email", title: "emails[type eq \"work\"].value eq finds", section: "Entra" },
    About {
        id: "filter-bad",
        title: "A filter that is none is refused, not ignored",
        section: "RFC 7644 3.4.2.2",
    },
    About {
        id: "paging",
        title: "Pages have the size that was asked for and count in numbers",
        section: "RFC 7644 3.4.2.4, pocket-id",
    },
    About {
        id: "attributes",
        title: "attributes and excludedAttributes are followed",
        section: "RFC 7644 3.9",
    },
    About {
        id: "duplicate-user",
        title: "A userName that is taken is 409 uniqueness",
        section: "RFC 7644 3.3, authentik",
    },
    About { id: "replace-user", title: "PUT replaces the user", section: "RFC 7644 3.5.1, Okta" },
    About {
        id: "replace-read-only",
        title: "PUT ignores what is read-only",
        section: "RFC 7644 3.5.1, Okta",
    },
    About { id: "charset", title: "A charset in Content-Type is understood", section: "scimgateway, Okta" },
    About { id: "id-stable", title: "The id stays the same", section: "RFC 7643 3.1" },
];

/// The user that the checks work on.
fn user<E>(session: &Session<'_, E>, what: &str) -> Value
where
    E: Exchange,
{
    let name = session.name(what);
    json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
        "userName": name,
        "externalId": format!("{name}-external"),
        "displayName": name,
        "name": { "givenName": "Probe", "familyName": session.tag },
        "emails": [{ "value": format!("{name}@example.com"), "type": "work", "primary": true }],
        "active": true,
    })
}

/// Creates users and looks at the first. Whether there is one to go on with.
pub(super) async fn probe<E: Exchange>(session: &mut Session<'_, E>) -> bool {
    let finding = create(session).await;
    session.note("create-user", finding);
    let Some(id) = session.users.first().cloned() else { return false };
    let finding = read(session, &id).await;
    session.note("read-user", finding);
    let finding = unknown(session).await;
    session.note("unknown-user", finding);
    find(session, &id).await;
    let finding = paging(session).await;
    session.note("paging", finding);
    let finding = selection(session, &id).await;
    session.note("attributes", finding);
    let finding = duplicate(session).await;
    session.note("duplicate-user", finding);
    let finding = replace(session, &id).await;
    session.note("replace-user", finding);
    let finding = replace_read_only(session, &id).await;
    session.note("replace-read-only", finding);
    for what in ["manager", "third"] {
        let (name, body) = (session.name(what), user(session, what));
        if let Ok(seen) = session.create("/Users", &name, body).await
            && let Some(id) = seen.id()
        {
            session.users.push(id);
        }
    }
    let finding = charset(session, &id).await;
    session.note("charset", finding);
    let finding = id_stays(session, &id).await;
    session.note("id-stable", finding);
    true
}

async fn create<E: Exchange>(session: &mut Session<'_, E>) -> Finding {
    let name = session.name("user");
    let mut body = user(session, "user");
    let password = format!("P1-{}-{}", session.tag, session.tag);
    if let Some(object) = body.as_object_mut() {
        object.insert("password".to_owned(), Value::from(password.as_str()));
    }
    let seen = session.create("/Users", &name, body).await?;
    if !seen.is_success() {
        return Err(Trouble::failed(format!("{} came: no user can be created", seen.shown())));
    }
    let has_password = seen.body.to_string().contains(&password) || seen.body.get("password").is_some();
    session.note(
        "password",
        if has_password { Err(Trouble::failed("the answer to POST holds a password")) } else { passed() },
    );
    let Some(id) = seen.id() else {
        return Err(Trouble::failed(format!(
            "{} without an id came; Okta takes it for a failure",
            seen.shown()
        )));
    };
    session.users.push(id.clone());
    let location = match &seen.location {
        Some(location) if location.trim_end_matches('/').ends_with(&path("/Users", &id)) => passed(),
        Some(_) => Err(Trouble::failed("Location does not end in /Users/ and the id")),
        None => Err(Trouble::tolerated("there is no Location")),
    };
    session.note("location", location);
    let missing: Vec<&str> = ["resourceType", "created", "lastModified", "location"]
        .into_iter()
        .filter(|name| seen.text(&format!("/meta/{name}")).is_none())
        .collect();
    session.note(
        "meta",
        if missing.is_empty() {
            passed()
        } else {
            Err(Trouble::tolerated(format!("missing: {}", missing.join(", "))))
        },
    );
    if seen.status != 201 {
        return Err(Trouble::tolerated(format!("{} came, not 201", seen.status)));
    }
    if seen.text("/userName") != Some(&name) {
        return Err(Trouble::failed("the answer does not hold the userName that was sent"));
    }
    passed()
}

async fn read<E: Exchange>(session: &mut Session<'_, E>, id: &str) -> Finding {
    let seen = session.get(&path("/Users", id)).await?;
    if seen.status != 200 {
        return Err(Trouble::failed(format!("{} came for a user that was just created", seen.shown())));
    }
    let name = session.name("user");
    let email = format!("{name}@example.com");
    let external = format!("{name}-external");
    let expected = [
        ("/userName", name.as_str()),
        ("/externalId", external.as_str()),
        ("/displayName", name.as_str()),
        ("/name/givenName", "Probe"),
        ("/emails/0/value", email.as_str()),
    ];
    let other: Vec<&str> = expected
        .into_iter()
        .filter(|(pointer, value)| seen.text(pointer) != Some(value))
        .map(|(p, _)| p)
        .collect();
    if other.is_empty() {
        return passed();
    }
    if other == ["/externalId"] {
        session.quirks.no_external_id_filter = true;
        return Err(Trouble::tolerated("externalId is not kept: matching goes by name"));
    }
    Err(Trouble::failed(format!("not as it was sent: {}", other.join(", "))))
}

async fn unknown<E: Exchange>(session: &mut Session<'_, E>) -> Finding {
    let path = format!("/Users/{}", session.name("nobody"));
    let seen = session.get(&path).await?;
    if seen.status != 404 {
        return Err(Trouble::failed(format!(
            "{} came, not 404: a gateway cannot tell what is gone",
            seen.shown()
        )));
    }
    if seen.is_error_body() {
        return passed();
    }
    Err(Trouble::tolerated(format!("{} came, not an error of SCIM; Okta hides the cause then", seen.shown())))
}

/// The look-ups.
async fn find<E: Exchange>(session: &mut Session<'_, E>, id: &str) {
    let name = session.name("user");
    let finding = find_nobody(session).await;
    session.note("filter-none", finding);
    let finding = find_by(session, &format!("userName eq \"{name}\""), id).await;
    let is_found = finding.is_ok();
    if !is_found {
        session.quirks.no_filter = true;
    }
    let finding =
        finding.map_err(|seen| Trouble::failed(format!("{seen}; every provider looks up before it creates")));
    session.note("filter-user-name", finding);
    if is_found {
        let finding = find_by(session, &format!("userName eq \"{}\"", name.to_ascii_uppercase()), id).await;
        session.note("filter-case", finding.map_err(Trouble::tolerated));
        let finding = find_by(session, &format!("externalId eq \"{name}-external\""), id).await;
        session.quirks.no_external_id_filter |= finding.is_err();
        session.note(
            "filter-external-id",
            finding.map_err(|seen| Trouble::tolerated(format!("{seen}; matching goes by name"))),
        );
        let finding =
            find_by(session, &format!("emails[type eq \"work\"].value eq \"{name}@example.com\""), id).await;
        session.note(
            "filter-email",
            finding.map_err(|seen| Trouble::tolerated(format!("{seen}; Entra can match by it"))),
        );
    } else {
        for id in ["filter-case", "filter-external-id", "filter-email"] {
            session.note(id, Err(Trouble::skipped("userName eq does not find")));
        }
    }
    let finding = find_nonsense(session).await;
    session.note("filter-bad", finding);
}

/// Whether a filter finds the one user and nobody else; what came when it does not.
async fn find_by<E: Exchange>(session: &mut Session<'_, E>, text: &str, id: &str) -> Result<String, String> {
    let seen = session.get(&format!("/Users?{}", filter(text))).await;
    let seen = seen.map_err(|_| "no answer came".to_owned())?;
    if seen.status != 200 {
        return Err(format!("{} came", seen.shown()));
    }
    match seen.resources().len() {
        1 if seen.has_resource(id) => Ok(String::new()),
        count => Err(format!("{count} users came, not the one")),
    }
}

async fn find_nobody<E: Exchange>(session: &mut Session<'_, E>) -> Finding {
    let text = format!("userName eq \"{}\"", session.name("nobody"));
    let seen = session.get(&format!("/Users?{}", filter(&text))).await?;
    match (seen.status, seen.total()) {
        (200, Some(0)) if seen.resources().is_empty() => passed(),
        (404, _) => {
            session.quirks.empty_is_404 = true;
            Err(Trouble::failed(
                "404 came; Entra tests a connection with it and takes 404 for a broken server",
            ))
        }
        (200, Some(_)) if !seen.resources().is_empty() => Err(Trouble::failed(
            "users came that were not asked for; a provider would take one of them for its own",
        )),
        (200, Some(_) | None) => Err(Trouble::failed("totalResults is not the number 0")),
        (_, _) => Err(Trouble::failed(format!("{} came, not an empty list", seen.shown()))),
    }
}

async fn find_nonsense<E: Exchange>(session: &mut Session<'_, E>) -> Finding {
    let seen = session.get(&format!("/Users?{}", filter("userName resembles \"a\""))).await?;
    match seen.status {
        400 => passed(),
        200 if !seen.resources().is_empty() => Err(Trouble::failed(
            "the filter was ignored and users came: a provider would take one of them for its own",
        )),
        _ => Err(Trouble::tolerated(format!("{} came, not 400", seen.shown()))),
    }
}

async fn paging<E: Exchange>(session: &mut Session<'_, E>) -> Finding {
    let mut faults = Vec::new();
    let first = session.get("/Users?startIndex=1&count=1").await?;
    if first.status != 200 {
        return Err(Trouble::failed(format!("{} came; imports read page by page", first.shown())));
    }
    if first.total().is_none() {
        faults.push("totalResults is no number".to_owned());
    }
    if first.resources().len() > 1 {
        faults.push(format!("count=1 brought {}", first.resources().len()));
    }
    if first.body.get("itemsPerPage").and_then(Value::as_u64) != Some(first.resources().len() as u64) {
        faults.push("itemsPerPage is not the number that came; pocket-id advances by it".to_owned());
    }
    if first.resources().iter().any(|user| user.get("schemas").is_none()) {
        faults.push("an element has no schemas; SailPoint needs them".to_owned());
    }
    let beyond = session.get("/Users?startIndex=1000000&count=10").await?;
    if beyond.status != 200 || !beyond.resources().is_empty() {
        faults.push(format!("a page behind the end brought {}, not nothing", beyond.shown()));
    }
    if faults.is_empty() { passed() } else { Err(Trouble::failed(faults.join("; "))) }
}

async fn selection<E: Exchange>(session: &mut Session<'_, E>, id: &str) -> Finding {
    let only = session.get(&(path("/Users", id) + "?attributes=userName")).await?;
    let without = session.get(&(path("/Users", id) + "?excludedAttributes=emails")).await?;
    let mut faults = Vec::new();
    if only.status != 200 || only.body.get("emails").is_some() {
        faults.push("attributes is not followed");
    }
    if without.status != 200 || without.body.get("emails").is_some() || without.text("/userName").is_none() {
        faults.push("excludedAttributes is not followed");
        session.quirks.no_excluded_attributes = true;
    }
    if faults.is_empty() { passed() } else { Err(Trouble::tolerated(faults.join("; "))) }
}

async fn duplicate<E: Exchange>(session: &mut Session<'_, E>) -> Finding {
    let name = session.name("user");
    let mut body = user(session, "user");
    if let Some(object) = body.as_object_mut() {
        object.remove("externalId");
    }
    let seen = session.create("/Users", &name, body).await?;
    if seen.is_success() {
        if let Some(id) = seen.id().filter(|id| !session.users.contains(id)) {
            session.delete("/Users", &id).await?;
        }
        return Err(Trouble::failed(format!(
            "{} came: a POST that is repeated makes a second user",
            seen.status
        )));
    }
    match (seen.status, seen.text("/scimType")) {
        (409, Some("uniqueness")) => passed(),
        (409, _) => Err(Trouble::tolerated("409 came without the keyword uniqueness")),
        _ => Err(Trouble::failed(format!(
            "{} came, not 409: authentik and Rippling look for the user only after 409",
            seen.shown()
        ))),
    }
}

async fn replace<E: Exchange>(session: &mut Session<'_, E>, id: &str) -> Finding {
    let mut body = user(session, "user");
    if let Some(object) = body.as_object_mut() {
        object.insert("displayName".to_owned(), json!("Replaced"));
    }
    let seen = session.send("PUT", &path("/Users", id), &[], Some(body)).await?;
    if seen.is_unsupported() {
        session.quirks.no_put = true;
        let why = if seen.status == 404 {
            "; authentik takes 404 for a user that is gone and creates it again"
        } else {
            ""
        };
        return Err(Trouble::tolerated(format!("{} came: changes go by PATCH{why}", seen.shown())));
    }
    if !seen.is_success() {
        session.quirks.no_put = true;
        return Err(Trouble::failed(format!("{} came for a user as it was created", seen.shown())));
    }
    let read = session.get(&path("/Users", id)).await?;
    if read.text("/displayName") == Some("Replaced") {
        return passed();
    }
    session.quirks.no_put = true;
    Err(Trouble::failed(format!("{} came and nothing was replaced", seen.status)))
}

async fn replace_read_only<E: Exchange>(session: &mut Session<'_, E>, id: &str) -> Finding {
    if session.quirks.no_put {
        return Err(Trouble::skipped("PUT does not work"));
    }
    let mut body = user(session, "user");
    if let Some(object) = body.as_object_mut() {
        object.insert("id".to_owned(), json!(id));
        object.insert("groups".to_owned(), json!([]));
        object
            .insert("meta".to_owned(), json!({ "resourceType": "User", "created": "1999-01-01T00:00:00Z" }));
    }
    let seen = session.send("PUT", &path("/Users", id), &[], Some(body)).await?;
    if !seen.is_success() {
        return Err(Trouble::failed(format!(
            "{} came; Okta sends back the whole user that it read",
            seen.shown()
        )));
    }
    let read = session.get(&path("/Users", id)).await?;
    if read.text("/meta/created").is_some_and(|instant| instant.starts_with("1999")) {
        return Err(Trouble::failed("meta.created was overwritten"));
    }
    passed()
}

async fn charset<E: Exchange>(session: &mut Session<'_, E>, id: &str) -> Finding {
    let headers = [("Content-Type", "application/scim+json; charset=utf-8")];
    let (method, body) = if session.quirks.no_put {
        ("PATCH", super::patches::one("replace", Some("displayName"), json!("Zoë")))
    } else {
        let mut body = user(session, "user");
        if let Some(object) = body.as_object_mut() {
            object.insert("displayName".to_owned(), json!("Zoë"));
        }
        ("PUT", body)
    };
    let seen = session.send(method, &path("/Users", id), &headers, Some(body)).await?;
    if seen.is_unsupported() {
        return Err(Trouble::skipped("neither PUT nor PATCH works"));
    }
    if !seen.is_success() {
        return Err(Trouble::failed(format!("{} came", seen.shown())));
    }
    let read = session.get(&path("/Users", id)).await?;
    match read.text("/displayName") {
        Some("Zoë") => passed(),
        Some(_) | None => Err(Trouble::failed("a letter beyond ASCII did not come back as it was sent")),
    }
}

async fn id_stays<E: Exchange>(session: &mut Session<'_, E>, id: &str) -> Finding {
    let seen = session.get(&path("/Users", id)).await?;
    match (seen.status, seen.text("/id")) {
        (200, Some(found)) if found == id => passed(),
        (200, found) => Err(Trouble::failed(format!(
            "the user has the id {} now: whoever kept the first one has lost it",
            found
                .unwrap_or("none")
                .chars()
                .filter(|character| !character.is_control())
                .take(60)
                .collect::<String>()
        ))),
        (_, _) => Err(Trouble::failed(format!("{} came for the id that POST gave", seen.shown()))),
    }
}

/// Whether the server is known to serve an attribute of users.
pub(super) fn serves<E: Exchange>(session: &Session<'_, E>, attribute: &str) -> bool {
    session
        .attributes
        .as_ref()
        .is_none_or(|names| names.iter().any(|name| name.eq_ignore_ascii_case(attribute)))
}
