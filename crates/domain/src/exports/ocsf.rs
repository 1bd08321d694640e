//! OCSF 1.3.0: API Activity for requests, Account Change and Entity Management for what was done, and
//! Detection Finding. <https://schema.ocsf.io/1.3.0/>

use serde_json::{Value, json};

use super::{compact, rfc3339};
use crate::{
    audit::{Action, ActorKind, AuditRecord, Outcome},
    findings::{Finding, Severity},
    usage::{Decision, UsageRecord},
};

/// The version of the schema.
pub const VERSION: &str = "1.3.0";

const API_ACTIVITY: i64 = 6003;
const ACCOUNT_CHANGE: i64 = 3001;
const ENTITY_MANAGEMENT: i64 = 3004;
const DETECTION_FINDING: i64 = 2004;

const CREATE: i64 = 1;
const READ: i64 = 2;
const UPDATE: i64 = 3;
const DELETE: i64 = 4;
const OTHER: i64 = 99;

fn event(
    class: i64,
    class_name: &str,
    activity: i64,
    at_ms: i64,
    severity: i64,
    uid: &str,
    rest: Value,
) -> Value {
    let (category, category_name) = match class / 1_000 {
        2 => (2, "Findings"),
        3 => (3, "Identity & Access Management"),
        _ => (6, "Application Activity"),
    };
    let mut event = json!({
        "activity_id": activity,
        "category_uid": category,
        "category_name": category_name,
        "class_uid": class,
        "class_name": class_name,
        "type_uid": class * 100 + activity,
        "time": at_ms,
        "severity_id": severity,
        "metadata": {
            "version": VERSION,
            "product": { "name": "Keyward", "vendor_name": "Keyward" },
            "uid": uid,
        },
    });
    if let (Some(event), Value::Object(rest)) = (event.as_object_mut(), rest) {
        event.extend(rest);
    }
    compact(event)
}

/// A request: API Activity.
pub fn usage(record: &UsageRecord, federation: Option<&str>) -> Value {
    let activity = match record.method.as_str() {
        "POST" => CREATE,
        "GET" => READ,
        "PUT" | "PATCH" => UPDATE,
        "DELETE" => DELETE,
        _ => OTHER,
    };
    let (status, severity) = match record.decision {
        Decision::Allowed if record.status < 400 => (1, 1),
        Decision::Allowed => (2, 1),
        Decision::Denied => (2, 2),
        Decision::Refused => (2, 3),
    };
    let path = match &record.resource_id {
        Some(id) => format!("/{}/{id}", record.resource_type),
        None => format!("/{}", record.resource_type),
    };
    let rest = json!({
        "actor": { "user": {
            "uid": record.key_id,
            "name": record.key_id,
            "type_id": 3,
            "type": "System",
            "org": federation.map(|name| json!({ "name": name, "uid": record.federation_id })),
        } },
        "api": {
            "operation": format!("{} {}", record.method, record.resource_type),
            "service": { "name": "SCIM" },
            "request": { "uid": record.request_id },
            "response": { "code": record.status, "message": record.reason },
        },
        "src_endpoint": { "ip": record.source, "name": record.source.is_none().then_some("unknown") },
        "http_request": {
            "http_method": record.method,
            "uid": record.request_id,
            "user_agent": record.user_agent,
            "url": { "path": path },
        },
        "http_response": { "code": record.status },
        "resources": record.resource_id.as_ref().map(|id| json!([{ "uid": id, "type": record.resource_type }])),
        "status_id": status,
        "status": if status == 1 { "Success" } else { "Failure" },
        "status_code": record.status.to_string(),
        "status_detail": record.reason,
        "duration": record.duration_us / 1_000,
        "unmapped": {
            "decision": record.decision,
            "attributes": record.attributes,
            "is_work": record.is_work,
        },
    });
    event(API_ACTIVITY, "API Activity", activity, record.at_ms, severity, record.request_id.as_str(), rest)
}

/// What was done: Account Change for users of a directory, else Entity Management.
pub fn audit(record: &AuditRecord, federation: Option<&str>) -> Value {
    let audited = &record.event;
    let is_done = audited.outcome == Outcome::Done;
    let kind = match audited.actor.kind {
        ActorKind::Admin | ActorKind::Visitor => (1, "User"),
        ActorKind::Key | ActorKind::System => (3, "System"),
    };
    let target = audited.target.clone().unwrap_or_default();
    let detail = serde_json::from_str::<Value>(&audited.detail).unwrap_or(Value::Null);
    let uid = detail.get("id").and_then(Value::as_str).map(str::to_owned);
    let common = json!({
        "actor": { "user": {
            "uid": audited.actor.id,
            "name": audited.actor.name,
            "type_id": kind.0,
            "type": kind.1,
            "org": federation.map(|name| json!({ "name": name, "uid": audited.federation_id })),
        } },
        "src_endpoint": audited.source.as_ref().map(|ip| json!({ "ip": ip })),
        "http_request": (!audited.request_id.is_empty()).then(|| json!({ "uid": audited.request_id })),
        "status_id": if is_done { 1 } else { 2 },
        "status": if is_done { "Success" } else { "Failure" },
        "status_detail": audited.reason,
        "message": format!("{} {} {target}", audited.actor.name, audited.action.label()).trim_end(),
        "unmapped": {
            "action": audited.action,
            "seq": record.seq,
            "hash": record.hash,
            "key_id": audited.key_id,
            "detail": audited.detail,
        },
    });
    let severity = if is_done { 1 } else { 2 };
    let uid_of =
        |name: &str| if name.is_empty() { audited.action.as_str().to_owned() } else { name.to_owned() };
    // Which attribute was changed stands in the detail; no activity of the class says changed.
    let accounts = [(Action::UserCreated, 1), (Action::UserUpdated, OTHER), (Action::UserDeleted, 6)];
    let account =
        accounts.into_iter().find_map(|(action, activity)| (action == audited.action).then_some(activity));
    let (class, name, activity, mut rest) = if let Some(activity) = account {
        let user = json!({ "user": { "name": uid_of(&target), "uid": uid } });
        (ACCOUNT_CHANGE, "Account Change", activity, user)
    } else {
        let word = audited.action.as_str();
        let (noun, verb) = word.split_once('.').unwrap_or((word, ""));
        let activity = match verb {
            "created" | "registered" | "issued" | "made" | "added" | "begun" | "raised" | "sealed" => CREATE,
            "read" | "searched" | "exported" => READ,
            "deleted" | "removed" | "revoked" | "forgotten" => DELETE,
            _ => UPDATE,
        };
        let entity = json!({ "entity": { "name": uid_of(&target), "uid": uid, "type": noun } });
        (ENTITY_MANAGEMENT, "Entity Management", activity, entity)
    };
    if let (Some(rest), Value::Object(common)) = (rest.as_object_mut(), common) {
        rest.extend(common);
        if class == ACCOUNT_CHANGE && activity == OTHER {
            rest.insert("activity_name".to_owned(), "Update".into());
        }
    }
    event(class, name, activity, audited.at_ms, severity, &format!("audit-{}", record.seq), rest)
}

/// A finding: Detection Finding.
pub fn finding(finding: &Finding, federation: Option<&str>) -> Value {
    let severity = match finding.severity {
        Severity::Low => 2,
        Severity::Medium => 3,
        Severity::High => 4,
        Severity::Critical => 5,
    };
    let (activity, at_ms) = match finding.closed_ms {
        Some(at_ms) => (3, at_ms),
        None if finding.count > 1 => (2, finding.last_ms),
        None => (1, finding.first_ms),
    };
    let rest = json!({
        "finding_info": {
            "uid": finding.id,
            "title": finding.rule.title(),
            "desc": format!("Expected: {} Came: {}", finding.detail.expected, finding.detail.came),
            "first_seen_time": finding.first_ms,
            "last_seen_time": finding.last_ms,
            "created_time": finding.first_ms,
            "analytic": { "name": finding.rule, "type_id": 1, "type": "Rule" },
        },
        "count": finding.count,
        "is_alert": finding.closed_ms.is_none(),
        "resources": [{ "uid": finding.subject, "name": federation, "owner": null }],
        "evidences": finding.detail.source.as_ref().map(|ip| json!([{ "src_endpoint": { "ip": ip } }])),
        "comment": finding.closed_reason,
        "message": finding.rule.why(),
        "status_id": if finding.closed_ms.is_some() { 4 } else { 1 },
        "unmapped": {
            "federation_id": finding.federation_id,
            "key_id": finding.key_id,
            "case_id": finding.case_id,
            "closed": finding.closed_ms.map(rfc3339),
        },
    });
    event(DETECTION_FINDING, "Detection Finding", activity, at_ms, severity, finding.id.as_str(), rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        FederationId, FindingId, KeyId, RequestId,
        audit::{ActorRef, AuditEvent, ChainHead},
        findings::{Detail, Rule},
    };

    /// What the schema requires of every event, and of each class.
    fn check(event: &Value, class: i64, required: &[&str]) {
        let base =
            ["activity_id", "category_uid", "class_uid", "metadata", "severity_id", "time", "type_uid"];
        for name in base.iter().chain(required) {
            assert!(event.get(name).is_some_and(|value| !value.is_null()), "{name} of {event}");
        }
        assert_eq!(event["class_uid"], class);
        assert_eq!(event["category_uid"], class / 1_000);
        let activity = event["activity_id"].as_i64().unwrap();
        assert_eq!(event["type_uid"], class * 100 + activity);
        assert!((0..=6).contains(&event["severity_id"].as_i64().unwrap()));
        assert!(event["time"].is_i64(), "milliseconds since 1970");
        assert_eq!(event["metadata"]["version"], VERSION);
        assert!(event["metadata"]["product"]["vendor_name"].is_string());
        assert!(!event.to_string().contains("null"), "{event}");
        if activity == OTHER {
            assert!(event["activity_name"].is_string() || class == API_ACTIVITY, "99 says which it was");
        }
    }

    fn record(method: &str, source: Option<&str>) -> UsageRecord {
        UsageRecord {
            request_id: RequestId::new(5, [1; 10]),
            at_ms: 5,
            federation_id: Some(FederationId::new(1, [1; 10])),
            key_id: KeyId::new(1, [1; 10]),
            method: method.to_owned(),
            resource_type: "Users".to_owned(),
            resource_id: None,
            status: 403,
            decision: Decision::Denied,
            reason: Some("scope".to_owned()),
            duration_us: 1_500,
            source: source.map(str::to_owned),
            user_agent: None,
            tolerated: Vec::new(),
            is_work: false,
            facts: crate::usage::Facts::default(),
            attributes: Vec::new(),
        }
    }

    #[test]
    fn a_request_has_what_api_activity_requires() {
        for (method, activity) in [("POST", 1), ("GET", 2), ("PUT", 3), ("PATCH", 3), ("DELETE", 4)] {
            for source in [Some("192.0.2.1"), None] {
                let event = usage(&record(method, source), Some("okta"));
                check(&event, API_ACTIVITY, &["actor", "api", "src_endpoint"]);
                assert_eq!(event["activity_id"], activity);
                assert!(event["api"]["operation"].is_string());
                assert!(event["src_endpoint"].as_object().is_some_and(|endpoint| !endpoint.is_empty()));
                assert!(event["actor"]["user"]["uid"].is_string());
            }
        }
    }

    #[test]
    fn every_action_has_what_its_class_requires() {
        for action in Action::ALL {
            for target in [None, Some("okta-prod".to_owned())] {
                let event = AuditEvent {
                    at_ms: 5,
                    actor: ActorRef { kind: ActorKind::Admin, id: "i s".to_owned(), name: "Ada".to_owned() },
                    action: *action,
                    outcome: Outcome::Done,
                    reason: None,
                    federation_id: None,
                    key_id: None,
                    target,
                    source: None,
                    request_id: String::new(),
                    detail: "{\"id\":\"x\"}".to_owned(),
                };
                let event = audit(&ChainHead::default().append(event), None);
                if event["class_uid"] == ACCOUNT_CHANGE {
                    check(&event, ACCOUNT_CHANGE, &["user"]);
                    assert!(event["user"]["name"].is_string());
                } else {
                    check(&event, ENTITY_MANAGEMENT, &["entity"]);
                    assert!(event["entity"]["name"].is_string(), "{event}");
                }
            }
        }
    }

    #[test]
    fn every_finding_has_what_detection_finding_requires() {
        for rule in Rule::ALL {
            for closed_ms in [None, Some(9)] {
                let found = Finding {
                    id: FindingId::new(1, [1; 10]),
                    federation_id: None,
                    rule: *rule,
                    severity: rule.severity(),
                    subject: "s".to_owned(),
                    key_id: None,
                    rotation_id: None,
                    case_id: None,
                    detail: Detail::default(),
                    count: 1,
                    first_ms: 1,
                    last_ms: 1,
                    closed_ms,
                    closed_by: None,
                    closed_reason: None,
                    version: 1,
                };
                let event = finding(&found, None);
                check(&event, DETECTION_FINDING, &["finding_info"]);
                assert!(
                    event["finding_info"]["title"].is_string() && event["finding_info"]["uid"].is_string()
                );
            }
        }
    }
}
