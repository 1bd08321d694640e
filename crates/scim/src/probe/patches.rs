//! PATCH of users, in the standard's form and in those of the providers.

use serde_json::{Value, json};

use super::{
    Exchange,
    discovery::ENTERPRISE_URN,
    report::About,
    session::{Finding, Seen, Session, Trouble, passed, path},
    users,
};

pub(super) const CHECKS: &[About] = &[
    About { id: "patch-replace", title: "replace of an attribute", section: "RFC 7644 3.5.2.3" },
    About {
        id: "patch-answer",
        title: "The answer to PATCH is 200 with the resource, or 204",
        section: "RFC 7644 3.5.2",
    },
    About { id: "patch-add", title: "add of an attribute", section: "RFC 7644 3.5.2.1" },
    About { id: "patch-remove", title: "remove of an attribute", section: "RFC 7644 3.5.2.2" },
    About { id: "patch-sub-attribute", title: "replace of name.familyName", section: "RFC 7644 3.5.2.3" },
    About {
        id: "patch-value-path",
        title: "replace of emails[type eq \"work\"].value",
        section: "RFC 7644 3.5.2.3",
    },
    About {
        id: "patch-object",
        title: "replace without a path, as Okta deactivates",
        section: "RFC 7644 3.5.2.3, Okta",
    },
    About { id: "patch-extension", title: "add of an attribute with a URN", section: "RFC 7644 3.10" },
    About { id: "patch-op-case", title: "Replace with a capital letter", section: "Entra" },
    About { id: "patch-string-boolean", title: "A boolean as a string", section: "Entra" },
    About { id: "patch-upsert", title: "A value path to a value that is not there yet", section: "Entra" },
    About {
        id: "patch-dotted-name",
        title: "Names with dots inside a value",
        section: "Entra with aadOptscim062020",
    },
    About {
        id: "patch-urn-name",
        title: "Names with a URN inside a value",
        section: "Entra with aadOptscim062020",
    },
    About { id: "patch-bare-manager", title: "The manager as a bare id", section: "Entra" },
    About { id: "patch-null", title: "null takes a value away", section: "RFC 7643 2.5, Rauthy" },
    About { id: "patch-unknown-path", title: "A path to nothing is refused", section: "RFC 7644 3.5.2" },
    About { id: "patch-atomic", title: "A PATCH that fails changes nothing", section: "RFC 7644 3.5.2" },
];

/// What is sent, and what must be so afterwards.
struct Form {
    id: &'static str,
    /// Whether the standard has it in this form.
    is_standard: bool,
    /// The attributes that the server must serve.
    needs: &'static [&'static str],
    /// The operations; the argument is the id of another user.
    operations: fn(&str) -> Value,
    /// What is read where afterwards; null for nothing. The argument is the id of another user.
    expected: fn(&str) -> Vec<(String, Value)>,
}

/// A PATCH of one operation.
pub(super) fn one(op: &str, path: Option<&str>, value: Value) -> Value {
    let mut operation = serde_json::Map::new();
    operation.insert("op".to_owned(), Value::from(op));
    if let Some(path) = path {
        operation.insert("path".to_owned(), Value::from(path));
    }
    if !value.is_null() {
        operation.insert("value".to_owned(), value);
    }
    message(Value::Array(vec![Value::Object(operation)]))
}

/// A PATCH.
pub(super) fn message(operations: Value) -> Value {
    let schemas = Value::Array(vec![Value::from(crate::patch::PATCH_URN)]);
    [("schemas".to_owned(), schemas), ("Operations".to_owned(), operations)].into_iter().collect()
}

fn at(pointer: &str, value: Value) -> Vec<(String, Value)> {
    vec![(pointer.to_owned(), value)]
}

fn enterprise(name: &str) -> String {
    format!("/{ENTERPRISE_URN}/{name}")
}

const FORMS: &[Form] = &[
    Form {
        id: "patch-add",
        is_standard: true,
        needs: &["nickName"],
        operations: |_| one("add", Some("nickName"), json!("Probe")),
        expected: |_| at("/nickName", json!("Probe")),
    },
    Form {
        id: "patch-null",
        is_standard: false,
        needs: &["nickName"],
        operations: |_| one("replace", None, json!({ "nickName": null })),
        expected: |_| at("/nickName", Value::Null),
    },
    Form {
        id: "patch-remove",
        is_standard: true,
        needs: &["displayName"],
        operations: |_| one("remove", Some("displayName"), Value::Null),
        expected: |_| at("/displayName", Value::Null),
    },
    Form {
        id: "patch-sub-attribute",
        is_standard: true,
        needs: &["name"],
        operations: |_| one("replace", Some("name.familyName"), json!("Sub")),
        expected: |_| {
            vec![
                ("/name/familyName".to_owned(), json!("Sub")),
                ("/name/givenName".to_owned(), json!("Probe")),
            ]
        },
    },
    Form {
        id: "patch-value-path",
        is_standard: true,
        needs: &["emails"],
        operations: |_| one("replace", Some("emails[type eq \"work\"].value"), json!("work@example.com")),
        expected: |_| at("/emails/0/value", json!("work@example.com")),
    },
    Form {
        id: "patch-object",
        is_standard: true,
        needs: &["active"],
        operations: |_| one("replace", None, json!({ "active": false })),
        expected: |_| at("/active", json!(false)),
    },
    Form {
        id: "patch-string-boolean",
        is_standard: false,
        needs: &["active"],
        operations: |_| one("replace", Some("active"), json!("True")),
        expected: |_| at("/active", json!(true)),
    },
    Form {
        id: "patch-extension",
        is_standard: true,
        needs: &[ENTERPRISE_URN],
        operations: |_| one("add", Some(&format!("{ENTERPRISE_URN}:department")), json!("Probes")),
        expected: |_| at(&enterprise("department"), json!("Probes")),
    },
    Form {
        id: "patch-op-case",
        is_standard: false,
        needs: &["displayName"],
        operations: |_| one("Replace", Some("displayName"), json!("Case")),
        expected: |_| at("/displayName", json!("Case")),
    },
    Form {
        id: "patch-upsert",
        is_standard: false,
        needs: &["phoneNumbers"],
        operations: |_| one("add", Some("phoneNumbers[type eq \"mobile\"].value"), json!("+15550100")),
        expected: |_| {
            vec![
                ("/phoneNumbers/0/value".to_owned(), json!("+15550100")),
                ("/phoneNumbers/0/type".to_owned(), json!("mobile")),
            ]
        },
    },
    Form {
        id: "patch-dotted-name",
        is_standard: false,
        needs: &["name"],
        operations: |_| one("replace", None, json!({ "name.givenName": "Dotted" })),
        expected: |_| at("/name/givenName", json!("Dotted")),
    },
    Form {
        id: "patch-urn-name",
        is_standard: false,
        needs: &[ENTERPRISE_URN],
        operations: |_| one("replace", None, json!({ (format!("{ENTERPRISE_URN}:costCenter")): "Urn" })),
        expected: |_| at(&enterprise("costCenter"), json!("Urn")),
    },
    Form {
        id: "patch-bare-manager",
        is_standard: false,
        needs: &[ENTERPRISE_URN],
        operations: |other| one("add", Some(&format!("{ENTERPRISE_URN}:manager")), json!(other)),
        expected: |other| at(&enterprise("manager/value"), json!(other)),
    },
];

pub(super) async fn probe<E: Exchange>(session: &mut Session<'_, E>) {
    let Some(id) = session.users.first().cloned() else { return };
    let finding = first(session, &id).await;
    session.note("patch-replace", finding);
    if session.quirks.no_patch {
        session.quirks.put_only = !session.quirks.no_put;
        for about in CHECKS.iter().filter(|about| about.id != "patch-replace") {
            session.note(about.id, Err(Trouble::skipped("PATCH does not work")));
        }
        return;
    }
    for form in FORMS {
        let finding = try_form(session, &id, form).await;
        session.note(form.id, finding);
    }
    let finding = unknown_path(session, &id).await;
    session.note("patch-unknown-path", finding);
    let finding = atomic(session, &id).await;
    session.note("patch-atomic", finding);
}

async fn patch<E: Exchange>(session: &mut Session<'_, E>, id: &str, body: Value) -> Result<Seen, Trouble> {
    session.send("PATCH", &path("/Users", id), &[], Some(body)).await
}

/// The plainest PATCH there is: when it does not work, none does.
async fn first<E: Exchange>(session: &mut Session<'_, E>, id: &str) -> Finding {
    let seen = patch(session, id, one("replace", Some("displayName"), json!("Patched"))).await?;
    if !seen.is_success() {
        session.quirks.no_patch = true;
        if !session.quirks.no_put {
            return Err(Trouble::tolerated(format!("{} came: changes go by PUT", seen.shown())));
        }
        return Err(Trouble::failed(format!(
            "{} came, and PUT does not work: nothing can be changed",
            seen.shown()
        )));
    }
    let answer = match seen.status {
        200 if seen.text("/id") == Some(id) => passed(),
        204 => {
            session.quirks.patch_answers_204 = true;
            Ok("204 came, which the standard allows: the user is read after each change".to_owned())
        }
        _ => {
            session.quirks.patch_answers_204 = true;
            Err(Trouble::tolerated(format!(
                "{} came, not the user: it is read after each change",
                seen.shown()
            )))
        }
    };
    session.note("patch-answer", answer);
    let read = session.get(&path("/Users", id)).await?;
    if read.text("/displayName") == Some("Patched") {
        return passed();
    }
    session.quirks.no_patch = true;
    Err(Trouble::failed(format!("{} came and nothing was changed", seen.status)))
}

async fn try_form<E: Exchange>(session: &mut Session<'_, E>, id: &str, form: &Form) -> Finding {
    if let Some(missing) = form.needs.iter().find(|name| !users::serves(session, name)) {
        return Err(Trouble::skipped(format!("/Schemas does not name {missing}")));
    }
    let other = session.users.get(1).cloned().unwrap_or_else(|| id.to_owned());
    let seen = patch(session, id, (form.operations)(&other)).await?;
    if !seen.is_success() {
        if form.is_standard {
            return Err(Trouble::failed(format!("{} came for what the standard has", seen.shown())));
        }
        session.quirks.standard_patch_only = true;
        return Err(Trouble::tolerated(format!(
            "{} came: it must be brought into the standard's form",
            seen.shown()
        )));
    }
    let read = session.get(&path("/Users", id)).await?;
    let expected = (form.expected)(&other);
    let is_so =
        |(pointer, value): &&(String, Value)| read.body.pointer(pointer).unwrap_or(&Value::Null) == value;
    match expected.iter().find(|expected| !is_so(expected)) {
        None => passed(),
        Some((pointer, value)) => {
            session.quirks.standard_patch_only |= !form.is_standard;
            let shown = if value.is_null() { "nothing".to_owned() } else { value.to_string() };
            let pointer = pointer.trim_start_matches('/');
            let detail = format!(
                "{} came, but {pointer} is not {shown}: the change is lost and nobody is told",
                seen.status
            );
            Err(Trouble::failed(detail))
        }
    }
}

async fn unknown_path<E: Exchange>(session: &mut Session<'_, E>, id: &str) -> Finding {
    let seen = patch(session, id, one("replace", Some("noSuchAttribute"), json!("x"))).await?;
    match seen.status {
        400 => passed(),
        _ if seen.is_success() => {
            Err(Trouble::tolerated(format!("{} came: what is unknown is dropped in silence", seen.status)))
        }
        _ => Err(Trouble::tolerated(format!("{} came, not 400", seen.shown()))),
    }
}

async fn atomic<E: Exchange>(session: &mut Session<'_, E>, id: &str) -> Finding {
    let operations = json!([
        { "op": "replace", "path": "displayName", "value": "Half" },
        { "op": "replace", "path": "id", "value": "another" },
    ]);
    let seen = patch(session, id, message(operations)).await?;
    if seen.is_success() {
        return Err(Trouble::tolerated(format!("{} came for a change of the id", seen.status)));
    }
    let read = session.get(&path("/Users", id)).await?;
    if read.text("/displayName") == Some("Half") {
        return Err(Trouble::failed(format!("{} came, and half of it was done", seen.shown())));
    }
    passed()
}
