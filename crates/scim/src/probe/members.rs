//! Members of a group, in every form in which they are sent.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{
    Exchange, groups,
    patches::{message, one},
    report::About,
    session::{Finding, Seen, Session, Trouble, passed, path},
};

pub(super) const CHECKS: &[About] = &[
    About { id: "member-add", title: "add of a member", section: "RFC 7644 3.5.2.1" },
    About { id: "user-groups", title: "User.groups names the group", section: "RFC 7643 4.1.2, Rauthy" },
    About {
        id: "members-excluded",
        title: "excludedAttributes=members leaves them out",
        section: "RFC 7644 3.9, Entra",
    },
    About {
        id: "member-again",
        title: "A member that is there already is no change",
        section: "RFC 7644 3.5.2.1",
    },
    About { id: "member-each", title: "One operation for each member", section: "authentik" },
    About { id: "member-object", title: "A single member that is not in an array", section: "Rippling" },
    About {
        id: "member-remove-filter",
        title: "remove of members[value eq \"…\"]",
        section: "RFC 7644 3.5.2.2, Okta",
    },
    About {
        id: "member-remove-values",
        title: "remove of members with a list of values removes those only",
        section: "Entra, authentik",
    },
    About { id: "members-replace", title: "replace of all members", section: "RFC 7644 3.5.2.3, Okta" },
    About { id: "members-replace-none", title: "replace of all members by none", section: "Okta" },
    About { id: "group-rename", title: "A new name keeps the members", section: "RFC 7644 3.5.2.3, Entra" },
    About {
        id: "group-rename-object",
        title: "A new name beside the id, without a path, keeps the members",
        section: "Okta",
    },
    About {
        id: "group-replace",
        title: "PUT replaces the group with its members",
        section: "RFC 7644 3.5.1, Okta",
    },
    About { id: "members-many", title: "Many members in one PATCH", section: "scim.md, gateway" },
];

/// What is sent to a group with known members, and who must be in it afterwards.
struct Form {
    id: &'static str,
    is_standard: bool,
    /// The members before, by their places among the users of the probe.
    before: &'static [usize],
    /// The operations. The arguments are the users and the id of the group.
    operations: fn(&[String], &str) -> Value,
    after: &'static [usize],
    /// What it says of the server when the form is refused or goes wrong.
    quirk: fn(&mut super::Quirks),
}

fn value(users: &[String], place: usize) -> Value {
    json!({ "value": users.get(place) })
}

fn filtered(users: &[String], place: usize) -> String {
    format!("members[value eq \"{}\"]", users.get(place).map_or("", String::as_str))
}

const NOTHING: fn(&mut super::Quirks) = |_| {};
const ITS_FORM: fn(&mut super::Quirks) = |quirks| quirks.standard_patch_only = true;

const FORMS: &[Form] = &[
    Form {
        id: "member-again",
        is_standard: true,
        before: &[0],
        operations: |users, _| one("add", Some("members"), json!([value(users, 0)])),
        after: &[0],
        quirk: NOTHING,
    },
    Form {
        id: "member-each",
        is_standard: true,
        before: &[],
        operations: |users, _| {
            let operation = |place| json!({ "op": "add", "path": "members", "value": [value(users, place)] });
            message(json!([operation(0), operation(1)]))
        },
        after: &[0, 1],
        quirk: NOTHING,
    },
    Form {
        id: "member-object",
        is_standard: false,
        before: &[],
        operations: |users, _| one("add", Some("members"), value(users, 0)),
        after: &[0],
        quirk: ITS_FORM,
    },
    Form {
        id: "member-remove-filter",
        is_standard: true,
        before: &[0, 1, 2],
        operations: |users, _| one("remove", Some(&filtered(users, 0)), Value::Null),
        after: &[1, 2],
        quirk: |quirks| quirks.remove_members_needs_values = true,
    },
    Form {
        id: "member-remove-values",
        is_standard: false,
        before: &[0, 1, 2],
        operations: |users, _| one("remove", Some("members"), json!([value(users, 0)])),
        after: &[1, 2],
        quirk: |quirks| quirks.remove_members_needs_filter = true,
    },
    Form {
        id: "members-replace",
        is_standard: true,
        before: &[0],
        operations: |users, _| one("replace", Some("members"), json!([value(users, 1), value(users, 2)])),
        after: &[1, 2],
        quirk: NOTHING,
    },
    Form {
        id: "members-replace-none",
        is_standard: true,
        before: &[0, 1],
        operations: |_, _| one("replace", Some("members"), json!([])),
        after: &[],
        quirk: NOTHING,
    },
    Form {
        id: "group-rename",
        is_standard: true,
        before: &[0, 1],
        operations: |_, _| one("replace", Some("displayName"), json!("{name}-renamed")),
        after: &[0, 1],
        quirk: NOTHING,
    },
    Form {
        id: "group-rename-object",
        is_standard: false,
        before: &[0, 1],
        operations: |_, id| one("replace", None, json!({ "id": id, "displayName": "{name}-again" })),
        after: &[0, 1],
        quirk: ITS_FORM,
    },
];

pub(super) async fn probe<E: Exchange>(session: &mut Session<'_, E>, many: usize) {
    let (Some(group), users) = (session.group.clone(), session.users.clone()) else { return };
    if users.len() < 3 {
        for about in CHECKS {
            session.note(about.id, Err(Trouble::skipped("there are not three users to be members")));
        }
        return;
    }
    let finding = replace(session, &group, &users).await;
    session.note("group-replace", finding);
    if session.quirks.no_patch {
        for form in FORMS.iter().map(|form| form.id).chain(["member-add", "members-many"]) {
            session.note(form, Err(Trouble::skipped("PATCH does not work")));
        }
    } else {
        let finding = add(session, &group, &users).await;
        let can_add = finding.is_ok();
        session.note("member-add", finding);
        for form in FORMS {
            let finding = if can_add {
                try_form(session, &group, &users, form).await
            } else {
                Err(Trouble::skipped("members cannot be added"))
            };
            session.note(form.id, finding);
        }
    }
    let finding = user_groups(session, &group, &users).await;
    session.note("user-groups", finding);
    let finding = excluded(session, &group).await;
    session.note("members-excluded", finding);
    if !session.quirks.no_patch {
        let finding = add_many(session, &group, many).await;
        session.note("members-many", finding);
    }
}

async fn patch<E: Exchange>(session: &mut Session<'_, E>, group: &str, body: Value) -> Result<Seen, Trouble> {
    session.send("PATCH", &path("/Groups", group), &[], Some(body)).await
}

/// Who is in the group.
async fn members<E: Exchange>(
    session: &mut Session<'_, E>,
    group: &str,
) -> Result<BTreeSet<String>, Trouble> {
    let seen = session.get(&path("/Groups", group)).await?;
    if seen.status != 200 {
        return Err(Trouble::failed(format!("{} came for the group", seen.shown())));
    }
    let members = seen.body.get("members").and_then(Value::as_array).into_iter().flatten();
    Ok(members.filter_map(|member| member.get("value")?.as_str()).map(str::to_owned).collect())
}

fn chosen(users: &[String], places: &[usize]) -> BTreeSet<String> {
    places.iter().filter_map(|place| users.get(*place).cloned()).collect()
}

/// Brings the group to certain members, by whatever works.
async fn begin_with<E: Exchange>(
    session: &mut Session<'_, E>,
    group: &str,
    wanted: &BTreeSet<String>,
) -> Result<(), Trouble> {
    if members(session, group).await? == *wanted {
        return Ok(());
    }
    let values: Vec<Value> = wanted.iter().map(|id| json!({ "value": id })).collect();
    if session.quirks.no_put {
        patch(session, group, one("replace", Some("members"), json!(values))).await?;
    } else {
        let mut body = groups::group(&session.name("group"));
        if let Some(object) = body.as_object_mut() {
            object.insert("members".to_owned(), Value::Array(values));
        }
        session.send("PUT", &path("/Groups", group), &[], Some(body)).await?;
    }
    if members(session, group).await? == *wanted {
        return Ok(());
    }
    Err(Trouble::skipped("the group could not be brought to the members that it begins with"))
}

async fn replace<E: Exchange>(session: &mut Session<'_, E>, group: &str, users: &[String]) -> Finding {
    if session.quirks.no_put {
        return Err(Trouble::skipped("PUT does not work"));
    }
    let mut body = groups::group(&session.name("group"));
    if let Some(object) = body.as_object_mut() {
        object.insert("id".to_owned(), json!(group));
        object.insert("members".to_owned(), json!([value(users, 0), value(users, 1)]));
    }
    let seen = session.send("PUT", &path("/Groups", group), &[], Some(body)).await?;
    if !seen.is_success() {
        return Err(Trouble::failed(format!("{} came; custom apps of Okta send nothing else", seen.shown())));
    }
    if members(session, group).await? == chosen(users, &[0, 1]) {
        return passed();
    }
    Err(Trouble::failed(format!("{} came, and others are members than those that were sent", seen.status)))
}

async fn add<E: Exchange>(session: &mut Session<'_, E>, group: &str, users: &[String]) -> Finding {
    if !session.quirks.no_put {
        begin_with(session, group, &BTreeSet::new()).await?;
    }
    let seen = patch(session, group, one("add", Some("members"), json!([value(users, 2)]))).await?;
    if !seen.is_success() {
        return Err(Trouble::failed(format!("{} came: nobody can become a member by PATCH", seen.shown())));
    }
    if members(session, group).await? == chosen(users, &[2]) {
        return passed();
    }
    Err(Trouble::failed(format!("{} came, and others are members than the one that was added", seen.status)))
}

async fn try_form<E: Exchange>(
    session: &mut Session<'_, E>,
    group: &str,
    users: &[String],
    form: &Form,
) -> Finding {
    begin_with(session, group, &chosen(users, form.before)).await?;
    let body = (form.operations)(users, group).to_string().replace("{name}", &session.name("group"));
    let body = serde_json::from_str(&body).unwrap_or_default();
    let seen = patch(session, group, body).await?;
    if !seen.is_success() {
        (form.quirk)(&mut session.quirks);
        let detail = format!("{} came", seen.shown());
        return Err(match (form.is_standard, form.id) {
            (false, _) | (true, "member-remove-filter") => {
                Trouble::tolerated(format!("{detail}: the gateway uses another form"))
            }
            (true, _) => Trouble::failed(format!("{detail} for what the standard has")),
        });
    }
    let found = members(session, group).await?;
    if found == chosen(users, form.after) {
        return passed();
    }
    (form.quirk)(&mut session.quirks);
    let how = if found.is_empty() && !form.after.is_empty() {
        "the group was emptied"
    } else {
        "others are members than there should be"
    };
    Err(Trouble::failed(format!("{} came, and {how}: nobody is told", seen.status)))
}

async fn user_groups<E: Exchange>(session: &mut Session<'_, E>, group: &str, users: &[String]) -> Finding {
    begin_with(session, group, &chosen(users, &[0])).await?;
    let user = users.first().map_or("", String::as_str);
    let seen = session.get(&path("/Users", user)).await?;
    let groups = seen.body.get("groups").and_then(Value::as_array).into_iter().flatten();
    if groups.filter_map(|found| found.get("value")?.as_str()).any(|id| id == group) {
        return passed();
    }
    session.quirks.no_user_groups = true;
    Err(Trouble::tolerated("the group is not there; Rauthy compares them"))
}

async fn excluded<E: Exchange>(session: &mut Session<'_, E>, group: &str) -> Finding {
    let seen = session.get(&(path("/Groups", group) + "?excludedAttributes=members")).await?;
    if seen.status == 200 && seen.body.get("members").is_none() && seen.text("/displayName").is_some() {
        return passed();
    }
    session.quirks.no_excluded_attributes = true;
    Err(Trouble::tolerated(format!("{} came with members; Entra never asks for them", seen.shown())))
}

/// Adds as many members as wanted in one PATCH; when that is refused, fewer and fewer.
async fn add_many<E: Exchange>(session: &mut Session<'_, E>, group: &str, many: usize) -> Finding {
    if many <= session.users.len() {
        return Err(Trouble::skipped("not wanted"));
    }
    let mut ids = session.users.clone();
    while ids.len() < many {
        let name = session.name(&format!("member{}", ids.len()));
        let body = json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
            "userName": name,
            "name": { "givenName": "Probe", "familyName": "Member" },
            "emails": [{ "value": format!("{name}@example.com"), "type": "work", "primary": true }],
        });
        let seen = session.create("/Users", &name, body).await?;
        let Some(id) = seen.id().filter(|_| seen.is_success()) else {
            return Err(Trouble::skipped(format!("{} came after {} users", seen.shown(), ids.len())));
        };
        ids.push(id);
    }
    let mut refused = None;
    for size in [many, 100, 50, 20, 10, 1] {
        if size > many || (size == many && refused.is_some()) {
            continue;
        }
        begin_with(session, group, &BTreeSet::new()).await?;
        let some: Vec<String> = ids.iter().take(size).cloned().collect();
        let values: Vec<Value> = some.iter().map(|id| json!({ "value": id })).collect();
        let seen = patch(session, group, one("add", Some("members"), json!(values))).await?;
        if seen.is_success() && members(session, group).await? == some.into_iter().collect() {
            let Some(refused) = refused else { return Ok(format!("{size} were added at once")) };
            session.quirks.max_members_per_patch = u32::try_from(size).ok();
            return Err(Trouble::tolerated(format!("{refused} came for {many}; {size} were added at once")));
        }
        refused.get_or_insert_with(|| seen.shown());
    }
    Err(Trouble::failed("not even one member could be added"))
}
