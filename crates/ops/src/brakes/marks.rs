//! Marking users and groups, and allowing mail domains and shapes of externalId.

use domain::{
    ResourceId,
    admins::{Admin, Right},
    audit::{Action, AuditEvent},
    brakes::{Brake, HeldState, LearnedKind, Mark, MarkKind, NewMark},
    federations::{Federation, FederationTarget, Slug, check_reason},
    findings::Rule,
};
use scim::ResourceType;
use serde_json::json;
use store::{
    Change, Conn,
    directory::{Term, Window},
};

use crate::{
    Cx, Error,
    federations::{about, allowed},
    findings,
    unit::detail,
};

/// The most marks of a federation: they are kept in memory.
const MOST: i64 = 2_000;

/// A user or group that is to be marked.
struct Found {
    id: ResourceId,
    kind: ResourceType,
    name: String,
}

/// Marks a user or group, in the place of a mark that it had.
///
/// # Errors
/// Invalid with every field that cannot be accepted; Conflict when there are too many; NotFound; Forbidden.
pub async fn mark(cx: &Cx<Admin>, slug: &Slug, new: NewMark) -> Result<Mark, Error> {
    let federation = allowed(cx, slug, Right::RegisterFederation, Action::ResourceMarked).await?;
    let checked = new.check();
    let mut reader = cx.read().await?;
    let found = find(&mut reader.conn(), &federation, new.resource.trim()).await?;
    if store::protected::count(&mut reader.conn(), &federation.id).await? >= MOST {
        return Err(Error::Conflict(format!("{MOST} marks are the most: take one away first")));
    }
    drop(reader);
    let missing = "no user or group here has this id, userName or displayName";
    let (found, kind, reason) = match (found, checked) {
        (Some(found), Ok((kind, reason))) => (found, kind, reason),
        (None, Ok(_)) => return Err(Error::invalid("resource", missing)),
        (Some(_), Err(faults)) => return Err(faults.into()),
        (None, Err(mut faults)) => {
            faults.insert(0, domain::Invalid::new("resource", missing));
            return Err(faults.into());
        }
    };
    if kind == MarkKind::Privileged && found.kind == ResourceType::User {
        return Err(Error::invalid("kind", "only a group gives privilege: protect the user instead"));
    }
    let mark = Mark {
        federation_id: federation.id.clone(),
        resource_id: found.id,
        resource_type: found.kind.name().to_owned(),
        name: found.name,
        kind,
        reason,
        marked_by: cx.actor.name.clone(),
        marked_ms: cx.now_ms(),
    };
    let event = event(cx, Action::ResourceMarked, &mark, &mark.reason);
    cx.keyward
        .commit(async move |conn: &mut Conn<'_>| {
            store::protected::set(conn, &mark).await?;
            Ok(Change::new(mark.clone(), event.clone()))
        })
        .await
}

fn event(cx: &Cx<Admin>, action: Action, mark: &Mark, reason: &str) -> AuditEvent {
    AuditEvent {
        federation_id: Some(mark.federation_id.clone()),
        target: Some(mark.name.clone()),
        detail: detail(&json!({
            "id": mark.resource_id, "type": mark.resource_type, "kind": mark.kind, "reason": reason,
        })),
        ..cx.event(action)
    }
}

/// The user or group with an id, or with a name of its own.
async fn find(conn: &mut Conn<'_>, federation: &Federation, text: &str) -> Result<Option<Found>, Error> {
    if text.is_empty() {
        return Ok(None);
    }
    if federation.target == FederationTarget::Upstream {
        for kind in [ResourceType::User, ResourceType::Group] {
            let mut link = store::links::by_id(conn, &federation.id, kind, text).await?;
            if link.is_none() {
                let folded = scim::fold_case(text);
                link = store::links::by_live_name(conn, &federation.id, kind, &folded).await?;
            }
            if let Some(link) = link {
                return Ok(Some(Found { id: link.id, kind, name: link.name_lower }));
            }
        }
        return Ok(None);
    }
    if let Some(id) = ResourceId::parse(text) {
        if let Some(user) = store::users::by_id(conn, &federation.id, &id).await? {
            return Ok(Some(Found { id: user.id, kind: ResourceType::User, name: user.user_name }));
        }
        let group = store::groups::by_id(conn, &federation.id, &id).await?;
        return Ok(group.map(|group| Found {
            id: group.id,
            kind: ResourceType::Group,
            name: group.display_name,
        }));
    }
    let (terms, window) =
        ([Term::Name(vec![scim::fold_case(text)])], Window { limit: 2, ..Window::default() });
    let users = store::users::page(conn, &federation.id, &terms, &window).await?;
    if let [user] = users.as_slice() {
        let (id, name) = (user.id.clone(), user.user_name.clone());
        return Ok(Some(Found { id, kind: ResourceType::User, name }));
    }
    let groups = store::groups::page(conn, &federation.id, &terms, &window).await?;
    Ok(match groups.as_slice() {
        [group] => {
            let (id, name) = (group.id.clone(), group.display_name.clone());
            Some(Found { id, kind: ResourceType::Group, name })
        }
        _ => None,
    })
}

/// Takes a mark away.
///
/// # Errors
/// Invalid without a reason; NotFound when there is no such mark; Forbidden.
pub async fn unmark(cx: &Cx<Admin>, slug: &Slug, id: &str, reason: &str) -> Result<(), Error> {
    let federation = allowed(cx, slug, Right::RegisterFederation, Action::ResourceUnmarked).await?;
    let id = ResourceId::parse(id).ok_or(Error::NotFound("mark"))?;
    let found = store::protected::mark(&mut cx.read().await?.conn(), &federation.id, &id).await?;
    let mark = found.ok_or(Error::NotFound("mark"))?;
    let reason = check_reason(reason)?;
    let event = event(cx, Action::ResourceUnmarked, &mark, &reason);
    cx.keyward
        .commit(async move |conn: &mut Conn<'_>| {
            if !store::protected::remove(conn, &mark.federation_id, &mark.resource_id).await? {
                return Err(Error::NotFound("mark"));
            }
            Ok(Change::new((), event.clone()))
        })
        .await
}

/// Allows a mail domain or a shape of externalId: what is held for it alone passes when it comes again.
///
/// # Errors
/// Invalid when it is none, or without a reason; NotFound; Forbidden for a role that may not.
pub async fn allow(cx: &Cx<Admin>, slug: &Slug, kind: &str, value: &str, reason: &str) -> Result<(), Error> {
    let federation = allowed(cx, slug, Right::Approve, Action::IdentityAllowed).await?;
    let value = value.trim().trim_start_matches('@').to_lowercase();
    let mut faults = Vec::new();
    let kind = LearnedKind::parse(kind);
    match kind {
        Some(LearnedKind::Domain) => {
            let user = json!({ "userName": format!("x@{value}") });
            if domain::brakes::mail_domains(&user).next().as_deref() != Some(value.as_str()) {
                faults.push(domain::Invalid::new("value", "a mail domain was expected, such as example.com"));
            }
        }
        Some(LearnedKind::Shape) => {
            if !SHAPES.contains(&value.as_str()) {
                faults.push(domain::Invalid::new("value", format!("it is none of {}", SHAPES.join(", "))));
            }
        }
        None => faults.push(domain::Invalid::new("kind", "choose a mail domain or a kind of externalId")),
    }
    let reason = check_reason(reason).unwrap_or_else(|fault| {
        faults.push(fault);
        String::new()
    });
    let Some(kind) = kind.filter(|_| faults.is_empty()) else { return Err(faults.into()) };
    let event = AuditEvent {
        target: Some(value.clone()),
        detail: detail(&json!({ "kind": kind.as_str(), "value": value, "reason": reason })),
        ..about(cx, Action::IdentityAllowed, &federation)
    };
    let (name, now_ms) = (cx.actor.name.clone(), cx.now_ms());
    cx.keyward
        .commit(async move |conn: &mut Conn<'_>| {
            let of = &federation.id;
            super::decide::lock_only(conn, &federation).await?;
            store::protected::learn(conn, of, &[(kind, value.as_str())], now_ms, Some(name.as_str())).await?;
            let known = store::protected::guards(conn, of).await?;
            for held in store::held::live_of_brake(conn, of, Brake::A13).await? {
                let is_known = held.subject.lines().all(|line| match line.split_once(' ') {
                    Some(("domain", domain)) => known.knows_domain(domain),
                    Some(("shape", shape)) => known.knows_shape(shape),
                    Some(_) | None => false,
                });
                if is_known {
                    store::held::end(conn, &held, HeldState::Over, None).await?;
                    let waits = store::held::pending(conn, of, &held.case_id, i64::MAX).await?;
                    if waits.is_empty() {
                        let why = format!("{name} allowed it");
                        let subject = held.case_id.as_str();
                        findings::settle(conn, Some(of), Rule::NewIdentity, subject, &why, now_ms).await?;
                    }
                }
            }
            Ok(Change::new((), event.clone()))
        })
        .await
}

/// The shapes that [`domain::brakes::shape`] tells apart.
const SHAPES: [&str; 6] = ["uuid", "number", "mail", "dn", "alphanumeric", "text"];

#[cfg(test)]
mod tests {
    use super::SHAPES;

    #[test]
    fn every_shape_can_be_allowed() {
        let ids =
            ["0f8fad5b-d9cb-469f-a165-70867728950e", "10023", "ada@a.example", "CN=Ada,OU=x", "00u1", "a.b"];
        assert_eq!(ids.map(domain::brakes::shape), SHAPES);
    }
}
