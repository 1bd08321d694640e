//! Bulk requests: the order, references, circles, and the answer. How they are read is in `bulk_reading`.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use scim::{
    ResourceType, ScimError,
    bulk::{BULK_REQUEST_URN, BULK_RESPONSE_URN, Limits, Method, Outcome, Plan, Request, Step, parse},
};
use serde_json::{Value, json};

use crate::ENT;

const BASE: &str = "https://h/scim/acme/v2";

pub(crate) fn request(body: &Value) -> Request {
    parse(body.to_string().as_bytes(), &Limits::default()).unwrap_or_else(|err| panic!("{body}: {err}"))
}

pub(crate) fn user(bulk_id: &str, data: Value) -> Value {
    json!({"method": "POST", "path": "/Users", "bulkId": bulk_id, "data": data})
}

pub(crate) fn group(bulk_id: &str, members: Value) -> Value {
    let data = json!({"displayName": bulk_id, "members": members});
    json!({"method": "POST", "path": "/Groups", "bulkId": bulk_id, "data": data})
}

/// Does every step: a POST gets the id `id-` and the place of its operation. `fails` says which steps fail.
pub(crate) fn run(operations: &Value, more: Value, fails: impl Fn(&Step) -> bool) -> (Vec<Step>, Value) {
    let mut body = json!({"schemas": [BULK_REQUEST_URN], "Operations": operations});
    body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    let mut plan = Plan::new(request(&body));
    let mut steps = Vec::new();
    while let Some(step) = plan.next_step() {
        plan.record(outcome(&step, fails(&step)));
        steps.push(step);
    }
    (steps, plan.into_response(BASE))
}

fn outcome(step: &Step, fails: bool) -> Outcome {
    if fails {
        return Outcome::failed(ScimError::invalid_value("made to fail"));
    }
    let id = step.id.clone().unwrap_or_else(|| format!("id-{}", step.index));
    let version = if step.is_completion { "W/\"2\"" } else { "W/\"1\"" };
    Outcome {
        status: match step.method {
            Method::Post => 201,
            Method::Put | Method::Patch => 200,
            Method::Delete => 204,
        },
        location: Some(format!("{BASE}{}/{id}", step.kind.endpoint())),
        version: (step.method != Method::Delete).then(|| version.to_owned()),
        id: Some(id),
        error: None,
    }
}

fn order(operations: &Value) -> Vec<usize> {
    run(operations, json!({}), |_| false).0.iter().map(|step| step.index).collect()
}

/// The status, and the detail of the error if there is one, of each operation that was answered.
pub(crate) fn results(answer: &Value) -> Vec<(&str, &str)> {
    assert_eq!(answer["schemas"], json!([BULK_RESPONSE_URN]));
    answer["Operations"]
        .as_array()
        .expect("operations")
        .iter()
        .map(|operation| {
            (
                operation["status"].as_str().expect("a status that is a string"),
                operation.pointer("/response/detail").and_then(Value::as_str).unwrap_or_default(),
            )
        })
        .collect()
}

// The order and the references.

#[test]
fn document_order_is_kept_when_nothing_refers_ahead() {
    let operations = json!([
        user("a", json!({"userName": "a"})),
        {"method": "DELETE", "path": "/Users/old"},
        group("g", json!([{"value": "bulkId:a"}])),
        {"method": "PATCH", "path": "/Groups/bulkId:g", "data": {"Operations": [{"op": "remove", "path": "members"}]}},
        {"method": "PUT", "path": "/Users/old2", "data": {"userName": "x"}},
    ]);
    assert_eq!(order(&operations), [0, 1, 2, 3, 4]);
}

#[test]
fn references_become_ids_wherever_they_stand() {
    let operations = json!([
        group("g", json!([{"value": "bulkId:b", "display": "bulkId"}, "bulkId:a", {"value": "bulkId:inner"}])),
        user("a", json!({"userName": "a", (ENT): {"manager": {"value": "bulkId:b", "displayName": "B"}}})),
        user("b", json!({"userName": "b", "title": "bulkId:", "nickName": "see bulkId:a", "externalId": "bulkId:inner"})),
        group("inner", json!([])),
        {"method": "PATCH", "path": "/Groups/known", "version": "W/\"7\"", "data": {"schemas": ["x"], "Operations": [
            {"op": "add", "path": "members", "value": [{"value": "bulkId:a"}]},
            {"op": "replace", "value": {"members": [{"deep": {"er": ["bulkId:g"]}}]}},
        ]}},
        {"method": "DELETE", "path": "/Users/bulkId:a"},
    ]);
    // `title` is a reference without a name, which nothing can have.
    let (_, answer) = run(&operations, json!({}), |_| false);
    assert_eq!(results(&answer)[2].0, "409");

    let mut operations = operations;
    operations[2]["data"]["title"] = json!("T");
    let (steps, answer) = run(&operations, json!({}), |_| false);
    assert!(results(&answer).iter().all(|(_, detail)| detail.is_empty()), "{answer}");
    assert_eq!(steps.iter().map(|step| step.index).collect::<Vec<_>>(), [3, 2, 1, 0, 4, 5]);
    let data = |index: usize| {
        let step = steps.iter().find(|step| step.index == index).expect("done");
        step.data.clone().unwrap_or_default()
    };
    assert_eq!(
        data(0)["members"],
        json!([{"value": "id-2", "display": "bulkId"}, "id-1", {"value": "id-3"}])
    );
    assert_eq!(data(1)[ENT], json!({"manager": {"value": "id-2", "displayName": "B"}}));
    assert_eq!(data(2)["nickName"], "see bulkId:a");
    assert_eq!(data(2)["externalId"], "id-3");
    assert_eq!(data(4)["Operations"][0]["value"], json!([{"value": "id-1"}]));
    assert_eq!(data(4)["Operations"][1]["value"], json!({"members": [{"deep": {"er": ["id-0"]}}]}));
    let last = steps.last().expect("steps");
    assert_eq!((last.id.as_deref(), last.method, &last.data), (Some("id-1"), Method::Delete, &None));
    assert_eq!(steps[4].version.as_deref(), Some("W/\"7\""));
}

#[test]
fn operations_on_one_resource_never_overtake_each_other() {
    let patch = |path: &str, member: &str| {
        json!({"method": "PATCH", "path": path, "data": {"Operations": [
            {"op": "add", "path": "members", "value": [{"value": member}]}]}})
    };
    let operations = json!([
        patch("/Groups/known", "bulkId:late"),
        patch("/groups/known/", "x"),
        patch("/Groups/other", "x"),
        {"method": "DELETE", "path": "/Groups/known"},
        user("late", json!({"userName": "late"})),
    ]);
    assert_eq!(order(&operations), [2, 4, 0, 1, 3]);
}

#[test]
fn what_refers_to_a_failure_fails_and_the_rest_is_done() {
    let operations = json!([
        group("outer", json!([{"value": "bulkId:g"}])),
        group("g", json!([{"value": "bulkId:a"}])),
        user("a", json!({"userName": "taken"})),
        {"method": "PUT", "path": "/Users/bulkId:a", "data": {"userName": "x"}},
        user("b", json!({"userName": "b"})),
    ]);
    let (steps, answer) = run(&operations, json!({}), |step| step.index == 2);
    assert_eq!(steps.iter().map(|step| step.index).collect::<Vec<_>>(), [2, 4]);
    let results = results(&answer);
    assert_eq!(
        results.iter().map(|(status, _)| *status).collect::<Vec<_>>(),
        ["409", "409", "400", "409", "201"]
    );
    assert!(results[1].1.contains("'a'") && results[1].1.contains("Operations[2]"), "{}", results[1].1);
    assert!(results[0].1.contains("'g'"), "{}", results[0].1);
}

// Circles.

#[test]
fn groups_in_a_circle_are_created_and_then_completed() {
    let operations = json!([
        group("a", json!([{"value": "bulkId:b", "type": "Group"}, {"value": "known"}])),
        group("b", json!([{"value": "bulkId:a"}, {"value": "bulkId:u"}])),
        user("u", json!({"userName": "u"})),
    ]);
    let (steps, answer) = run(&operations, json!({}), |_| false);
    assert_eq!(
        steps.iter().map(|step| (step.index, step.is_completion)).collect::<Vec<_>>(),
        [(2, false), (0, false), (1, false), (0, true)]
    );
    assert_eq!(steps[1].data, Some(json!({"displayName": "a", "members": [{"value": "known"}]})));
    assert_eq!(
        steps[2].data,
        Some(json!({"displayName": "b", "members": [{"value": "id-0"}, {"value": "id-2"}]}))
    );
    let completion = &steps[3];
    assert_eq!((completion.method, completion.kind), (Method::Patch, ResourceType::Group));
    assert_eq!((completion.id.as_deref(), &completion.version), (Some("id-0"), &None));
    assert_eq!(
        completion.data,
        Some(json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
            "Operations": [{"op": "add", "path": "members", "value": [{"value": "id-1", "type": "Group"}]}],
        }))
    );
    assert_eq!(
        answer["Operations"][0],
        json!({
            "method": "POST", "bulkId": "a", "status": "201", "version": "W/\"2\"",
            "location": format!("{BASE}/Groups/id-0"),
        })
    );
}

#[test]
fn managers_in_a_circle_are_created_and_then_completed() {
    for manager in [json!({"value": "bulkId:b"}), json!("bulkId:b"), json!([{"value": "bulkId:b"}])] {
        let operations = json!([
            user(
                "a",
                json!({"userName": "a", (ENT.to_uppercase()): {"Manager": manager, "department": "d"}})
            ),
            user("b", json!({"userName": "b", (ENT): {"manager": {"value": "bulkId:a"}}})),
        ]);
        let (steps, answer) = run(&operations, json!({}), |_| false);
        assert_eq!(
            steps.iter().map(|step| (step.index, step.is_completion)).collect::<Vec<_>>(),
            [(0, false), (1, false), (0, true)]
        );
        assert_eq!(
            steps[0].data.as_ref().map(|data| &data[ENT.to_uppercase()]["department"]),
            Some(&json!("d"))
        );
        assert!(!steps[0].data.clone().unwrap_or_default().to_string().contains("anager\":{"));
        let operation = steps[2].data.as_ref().map(|data| data["Operations"][0].clone()).unwrap_or_default();
        assert_eq!(operation["path"], format!("{ENT}:manager"));
        assert!(operation["value"].to_string().contains("id-1"), "{operation}");
        assert!(results(&answer).iter().all(|(status, _)| *status == "201"));
    }
}

#[test]
fn a_group_that_is_its_own_member_is_tried() {
    let (steps, _) = run(&json!([group("a", json!("bulkId:a"))]), json!({}), |_| false);
    assert_eq!(steps.len(), 2);
    assert_eq!(steps[1].data.as_ref().map(|data| &data["Operations"][0]["value"]), Some(&json!(["id-0"])));
}

#[test]
fn only_members_of_the_circle_are_done_in_two_halves() {
    let operations = json!([
        group("outside", json!([{"value": "bulkId:a"}])),
        group("a", json!([{"value": "bulkId:b"}])),
        group("b", json!([{"value": "bulkId:a"}])),
        {"method": "DELETE", "path": "/Groups/bulkId:a"},
    ]);
    let (steps, _) = run(&operations, json!({}), |_| false);
    // The DELETE waits until its group is complete.
    assert_eq!(
        steps.iter().map(|step| (step.index, step.is_completion)).collect::<Vec<_>>(),
        [(1, false), (0, false), (2, false), (1, true), (3, false)]
    );
}

#[test]
fn a_circle_through_anything_else_is_a_conflict() {
    let operations = json!([
        user("a", json!({"userName": "a", "externalId": "bulkId:b"})),
        user("b", json!({"userName": "b", "externalId": "bulkId:a"})),
        group("g", json!([{"value": "bulkId:a"}])),
        user("self", json!({"userName": "bulkId:self"})),
        user("fine", json!({"userName": "fine"})),
    ]);
    let (steps, answer) = run(&operations, json!({}), |_| false);
    assert_eq!(steps.iter().map(|step| step.index).collect::<Vec<_>>(), [4]);
    let results = results(&answer);
    assert_eq!(
        results.iter().map(|(status, _)| *status).collect::<Vec<_>>(),
        ["409", "409", "409", "409", "201"]
    );
    assert!(results[0].1.contains("circle"), "{}", results[0].1);
    assert_eq!(answer["Operations"][0]["response"]["scimType"], "invalidValue");
}

#[test]
fn a_circle_is_broken_where_it_can_be() {
    let operations = json!([
        user("a", json!({"userName": "a", "title": "bulkId:g"})),
        group("g", json!([{"value": "bulkId:a"}])),
    ]);
    let (steps, _) = run(&operations, json!({}), |_| false);
    assert_eq!(
        steps.iter().map(|step| (step.index, step.is_completion)).collect::<Vec<_>>(),
        [(1, false), (0, false), (1, true)]
    );
}

#[test]
fn a_resource_that_could_not_be_completed_says_so_and_where_it_is() {
    let operations =
        json!([group("a", json!([{"value": "bulkId:b"}])), group("b", json!([{"value": "bulkId:a"}])),]);
    let check = |fails: fn(&Step) -> bool, expect: &[&str], detail: &str| {
        let (_, answer) = run(&operations, json!({}), fails);
        let results = results(&answer);
        assert_eq!(results.iter().map(|(status, _)| *status).collect::<Vec<_>>(), expect);
        assert!(results[0].1.contains(detail), "{}", results[0].1);
        assert_eq!(answer["Operations"][0]["location"], format!("{BASE}/Groups/id-0"));
    };
    check(|step| step.index == 1, &["409", "400"], "b was not created");
    check(|step| step.is_completion, &["409", "201"], "made to fail");
}

// failOnErrors and the answer.

#[test]
fn fail_on_errors_ends_the_request_at_that_many() {
    let operations = json!([
        user("a", json!({"userName": "a"})),
        {"method": "DELETE", "path": "/Nothing/x"},
        user("c", json!({"userName": "c"})),
        user("d", json!({"userName": "d"})),
        user("e", json!({"userName": "e"})),
    ]);
    let check = |limit: Value, expect: &[&str]| {
        let (_, answer) = run(&operations, json!({"failOnErrors": limit}), |step| step.index == 3);
        let statuses: Vec<_> = results(&answer).into_iter().map(|(status, _)| status.to_owned()).collect();
        assert_eq!(statuses, expect, "{limit}");
    };
    check(json!(0), &["201", "404"]);
    check(json!(1), &["201", "404"]);
    check(json!(2), &["201", "404", "201", "400"]);
    check(json!(3), &["201", "404", "201", "400", "201"]);
    check(json!(null), &["201", "404", "201", "400", "201"]);
}

#[test]
fn an_end_between_two_halves_is_told() {
    let operations =
        json!([group("a", json!([{"value": "bulkId:b"}])), group("b", json!([{"value": "bulkId:a"}])),]);
    let (steps, answer) = run(&operations, json!({"failOnErrors": 1}), |step| step.index == 1);
    assert_eq!(steps.len(), 2);
    let results = results(&answer);
    assert_eq!((results[0].0, results[1].0), ("409", "400"));
    assert!(results[0].1.contains("failOnErrors"), "{}", results[0].1);
}

#[test]
fn the_answer_is_that_of_the_standard() {
    let operations = json!([
        user("qwerty", json!({"userName": "Alice"})),
        {"method": "put", "path": "/Users/b7c14771", "version": "W/\"3694e05e9dff591\"", "data": {"userName": "Bob"}},
        {"method": "PATCH", "path": "/Users/5d8d29d3", "data": {"Operations": []}},
        {"method": "DELETE", "path": "/Users/e9025315", "bulkId": "gone"},
        user("bad", json!({"userName": ""})),
        {"method": "DELETE", "path": "/Groups/bulkId:bad"},
    ]);
    let (_, answer) = run(&operations, json!({}), |step| [2, 4].contains(&step.index));
    let error = |status: &str, detail: &str| {
        json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"],
            "scimType": "invalidValue", "status": status, "detail": detail,
        })
    };
    assert_eq!(
        answer,
        json!({
            "schemas": [BULK_RESPONSE_URN],
            "Operations": [
                {"method": "POST", "bulkId": "qwerty", "version": "W/\"1\"", "status": "201",
                    "location": format!("{BASE}/Users/id-0")},
                {"method": "PUT", "version": "W/\"1\"", "status": "200", "location": format!("{BASE}/Users/b7c14771")},
                {"method": "PATCH", "status": "400", "location": format!("{BASE}/Users/5d8d29d3"),
                    "response": error("400", "made to fail")},
                {"method": "DELETE", "bulkId": "gone", "status": "204", "location": format!("{BASE}/Users/e9025315")},
                {"method": "POST", "bulkId": "bad", "status": "400", "response": error("400", "made to fail")},
                {"method": "DELETE", "status": "409",
                    "response": error("409", "bulkId: 'bad' was not created, see Operations[4]")},
            ],
        })
    );
}

#[test]
fn an_outcome_that_is_not_told_is_a_failure() {
    let body = json!({"Operations": [user("a", json!({"userName": "a"})), group("g", json!(["bulkId:a"]))]});
    let mut plan = Plan::new(request(&body));
    assert!(plan.next_step().is_some());
    assert!(plan.next_step().is_none());
    plan.record(Outcome { status: 201, ..Outcome::default() });
    assert_eq!(plan.errors(), 2);
    assert_eq!(results(&plan.into_response(BASE)).iter().map(|r| r.0).collect::<Vec<_>>(), ["500", "409"]);

    let mut plan = Plan::new(request(&body));
    assert!(plan.next_step().is_some());
    plan.record(Outcome { status: 201, ..Outcome::default() });
    assert!(plan.next_step().is_none(), "a POST without an id cannot be referred to");
}

#[test]
fn as_many_references_as_fit_into_a_request_are_resolved() {
    // Every group refers to every one, itself too: 72,900 references.
    const GROUPS: usize = 270;
    let members: Vec<Value> = (0..GROUPS).map(|index| json!(format!("bulkId:{index}"))).collect();
    let groups: Vec<Value> = (0..GROUPS)
        .map(|index| json!({"method": "POST", "path": "/Groups", "bulkId": index.to_string(), "data": {"members": members}}))
        .collect();
    let mut plan = Plan::new(request(&json!({"Operations": groups})));
    let mut references = 0;
    while let Some(step) = plan.next_step() {
        references += step.data.as_ref().map_or(0, |data| data.to_string().matches("id-").count());
        plan.record(outcome(&step, false));
    }
    assert_eq!((references, plan.errors()), (GROUPS * GROUPS, 0));
}

// Whatever refers to whatever.

#[derive(Debug, Clone)]
enum Shape {
    User { soft: Option<usize>, hard: Option<usize> },
    Group { members: Vec<usize> },
    Change { on: usize, is_created: bool, members: Vec<usize> },
    Deletion { on: usize, is_created: bool },
}

fn shapes() -> impl Strategy<Value = Vec<(Shape, bool)>> {
    let name = 0..14_usize;
    let shape = prop_oneof![
        3 => (prop::option::of(name.clone()), prop::option::weighted(0.1, name.clone()))
            .prop_map(|(soft, hard)| Shape::User { soft, hard }),
        3 => prop::collection::vec(name.clone(), 0..4).prop_map(|members| Shape::Group { members }),
        2 => (name.clone(), any::<bool>(), prop::collection::vec(name.clone(), 0..3))
            .prop_map(|(on, is_created, members)| Shape::Change { on, is_created, members }),
        1 => (name, any::<bool>()).prop_map(|(on, is_created)| Shape::Deletion { on, is_created }),
    ];
    prop::collection::vec((shape, prop::bool::weighted(0.1)), 1..12)
}

fn operation(index: usize, shape: &Shape) -> Value {
    let references = |names: &[usize]| {
        names.iter().map(|name| json!({"value": format!("bulkId:{name}")})).collect::<Vec<_>>()
    };
    let path = |on: usize, is_created: bool| {
        format!("/Groups/{}{on}", if is_created { "bulkId:" } else { "known-" })
    };
    match shape {
        Shape::User { soft, hard } => {
            let mut data = json!({"userName": index.to_string()});
            if let Some(name) = soft {
                data[ENT] = json!({"manager": {"value": format!("bulkId:{name}")}});
            }
            if let Some(name) = hard {
                data["title"] = json!(format!("bulkId:{name}"));
            }
            user(&index.to_string(), data)
        }
        Shape::Group { members } => group(&index.to_string(), json!(references(members))),
        Shape::Change { on, is_created, members } => json!({
            "method": "PATCH", "path": path(*on, *is_created),
            "data": {"Operations": [{"op": "add", "path": "members", "value": references(members)}]},
        }),
        Shape::Deletion { on, is_created } => json!({"method": "DELETE", "path": path(*on, *is_created)}),
    }
}

proptest! {
    #[test]
    fn plans_hold_their_promises(shapes in shapes(), limit in prop::option::weighted(0.3, 0..4_u64)) {
        let operations: Vec<Value> =
            shapes.iter().enumerate().map(|(index, (shape, _))| operation(index, shape)).collect();
        let body = json!({"failOnErrors": limit, "Operations": operations});
        let mut plan = Plan::new(request(&body));
        let mut created = BTreeSet::new();
        let mut done = BTreeMap::<(usize, bool), usize>::new();
        let mut last_on = BTreeMap::<String, usize>::new();
        while let Some(step) = plan.next_step() {
            prop_assert!(limit.is_none_or(|limit| plan.errors() < limit.max(1)));
            *done.entry((step.index, step.is_completion)).or_default() += 1;
            let text = step.data.as_ref().map(Value::to_string).unwrap_or_default();
            prop_assert!(!text.contains("bulkId:"), "{text}");
            // Every id in it was given before by a step that succeeded.
            let ids = text.split("id-").skip(1).map(|rest| rest.split('"').next().unwrap_or_default().to_owned());
            for id in ids.chain(step.id.iter().filter_map(|id| id.strip_prefix("id-")).map(str::to_owned)) {
                prop_assert!(created.contains(&id), "{id} in {text}");
            }
            if let Some(id) = &step.id && !step.is_completion {
                let before = last_on.insert(id.clone(), step.index);
                prop_assert!(before.is_none_or(|before| before < step.index), "{id} out of order");
            }
            let fails = shapes[step.index].1;
            if step.method == Method::Post && !fails {
                created.insert(step.index.to_string());
            }
            plan.record(outcome(&step, fails));
        }
        prop_assert!(done.values().all(|count| *count == 1), "{done:?}");
        prop_assert!(done.keys().all(|(index, is_completion)| !is_completion || done.contains_key(&(*index, false))));
        let errors = plan.errors();
        let answer = plan.into_response(BASE);
        let results = results(&answer);
        prop_assert!(!answer.to_string().contains("bulkId:\""));
        // All is answered unless the request was ended.
        if limit.is_none_or(|limit| errors < limit.max(1)) {
            prop_assert_eq!(results.len(), operations.len());
            let failed = results.iter().filter(|(_, detail)| !detail.is_empty()).count();
            prop_assert_eq!(failed, usize::try_from(errors).unwrap());
        }
    }

    #[test]
    fn what_refers_only_back_is_done_as_it_came(shapes in shapes()) {
        let back = |index: usize, name: usize| (index > 0).then(|| name % index);
        let posts: Vec<bool> =
            shapes.iter().map(|(shape, _)| matches!(shape, Shape::User { .. } | Shape::Group { .. })).collect();
        let to_post = |index: usize, name: usize| back(index, name).filter(|&name| posts[name]);
        let operations: Vec<Value> = shapes.iter().enumerate().map(|(index, (shape, _))| {
            let all = |names: &[usize]| names.iter().filter_map(|&name| to_post(index, name)).collect::<Vec<_>>();
            operation(index, &match shape.clone() {
                Shape::User { soft, hard } => Shape::User {
                    soft: soft.and_then(|name| to_post(index, name)),
                    hard: hard.and_then(|name| to_post(index, name)),
                },
                Shape::Group { members } => Shape::Group { members: all(&members) },
                Shape::Change { on, members, .. } => {
                    let post = to_post(index, on);
                    Shape::Change { on: post.unwrap_or(on), is_created: post.is_some(), members: all(&members) }
                }
                Shape::Deletion { on, .. } => Shape::Deletion { on, is_created: false },
            })
        }).collect();
        let (steps, _) = run(&json!(operations), json!({}), |_| false);
        prop_assert_eq!(steps.iter().map(|step| step.index).collect::<Vec<_>>(), (0..shapes.len()).collect::<Vec<_>>());
    }

    #[test]
    fn bytes_never_panic(bytes in any::<Vec<u8>>()) {
        let _ = parse(&bytes, &Limits::default());
    }
}
