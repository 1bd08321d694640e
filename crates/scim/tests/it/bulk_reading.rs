//! Bulk requests: what is refused as a whole, and what fails one operation alone.

use scim::{
    Reading, ResourceType, ScimError, ScimType,
    bulk::{BULK_REQUEST_URN, Limits, Method, Plan, parse, read},
};
use serde_json::{Value, json};

use crate::bulk::{group, request, results, run, user};

fn refuse(body: Value, status: u16, scim_type: Option<ScimType>) -> ScimError {
    let err = parse(body.to_string().as_bytes(), &Limits::default()).expect_err("refused");
    assert_eq!((err.status, err.scim_type), (status, scim_type), "{body}: {err}");
    err
}

/// One operation alone fails, and the one beside it is done.
fn check_fault(operation: Value, status: &str, detail: &str) {
    let (steps, answer) =
        run(&json!([operation, user("good", json!({"userName": "u"}))]), json!({}), |_| false);
    assert_eq!(steps.iter().map(|step| step.index).collect::<Vec<_>>(), [1], "{operation}");
    let results = results(&answer);
    assert_eq!((results[0].0, results[1].0), (status, "201"), "{operation}");
    assert!(results[0].1.contains(detail), "{operation}: {}", results[0].1);
    let response = &answer["Operations"][0]["response"];
    assert_eq!(response["status"], status, "{operation}");
}

#[test]
fn request_of_another_shape_is_refused_as_a_whole() {
    let syntax = Some(ScimType::InvalidSyntax);
    let value = Some(ScimType::InvalidValue);
    let fine = user("a", json!({"userName": "u"}));
    for (body, scim_type) in [
        (json!([]), syntax),
        (json!({}), syntax),
        (json!({"Operations": null}), syntax),
        (json!({"Operations": "x"}), syntax),
        (json!({"Operations": []}), value),
        (json!({"Operations": [1]}), syntax),
        (json!({"Operations": [{}]}), syntax),
        (json!({"Operations": [{"method": 1}]}), syntax),
        (json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": [fine]}), syntax),
        (json!({"schemas": 5, "Operations": [fine]}), syntax),
        (json!({"failOnErrors": "1", "Operations": [fine]}), value),
        (json!({"failOnErrors": -1, "Operations": [fine]}), value),
        (json!({"failOnErrors": 1.5, "Operations": [fine]}), value),
    ] {
        refuse(body, 400, scim_type);
    }
}

#[test]
fn spelling_of_the_request_does_not_matter() {
    for body in [
        json!({"operations": [{"Method": "post", "PATH": "Users/", "bulkid": "a", "Data": {"userName": "u"}}]}),
        json!({"schemas": [], "failOnErrors": null, "Operations": {"method": " POST ", "path": "/users", "bulkId": "a",
            "data": {"userName": "u"}, "version": ""}}),
        json!({"schemas": BULK_REQUEST_URN.to_uppercase(), "Operations": [user("a", json!({"userName": "u"}))]}),
        // Clients built on SCIM-SDK.
        json!({"Operations": [user("a", json!(json!({"userName": "u"}).to_string()))]}),
    ] {
        let mut plan = Plan::new(request(&body));
        let step = plan.next_step().expect("a step");
        assert_eq!((step.method, step.kind, step.id), (Method::Post, ResourceType::User, None), "{body}");
        assert_eq!(step.data, Some(json!({"userName": "u"})), "{body}");
    }
}

#[test]
fn as_many_operations_as_the_limit_pass_and_one_more_is_refused() {
    let of = |count: usize| {
        let operation = json!({"method": "DELETE", "path": "/Users/a"});
        json!({"Operations": vec![operation; count]})
    };
    assert_eq!(request(&of(1_000)).operations.len(), 1_000);
    let err = refuse(of(1_001), 413, None);
    assert!(err.detail.contains("1000 (maxOperations)"), "{err}");
}

#[test]
fn as_many_bytes_as_the_limit_pass_and_one_more_is_refused() {
    let limits = Limits { max_payload_bytes: 200, ..Limits::default() };
    let mut body = br#"{"Operations":[{"method":"DELETE","path":"/Users/a"}]}"#.to_vec();
    body.resize(200, b' ');
    assert!(parse(&body, &limits).is_ok());
    body.push(b' ');
    let err = parse(&body, &limits).expect_err("too large");
    assert_eq!((err.status, err.scim_type), (413, None));
    assert!(err.detail.contains("200 (maxPayloadSize)"), "{err}");
    assert_eq!(Limits::default().max_payload_bytes, 1_048_576);
}

#[test]
fn nesting_without_a_bound_is_refused() {
    for open in ["[", "{\"a\":"] {
        let body = format!("{{\"Operations\":{}", open.repeat(100_000));
        let err = parse(body.as_bytes(), &Limits::default()).expect_err("too deep");
        assert_eq!(err.scim_type, Some(ScimType::InvalidSyntax));
    }
    let data = "[".repeat(1_000);
    check_fault(user("a", json!(format!("{{\"a\":{data}"))), "400", "nested deeper");
}

#[test]
fn what_is_wrong_with_one_operation_fails_it_alone() {
    let data = json!({"userName": "u"});
    for (operation, status, detail) in [
        (json!({"method": "GET", "path": "/Users/a"}), "405", "'GET'"),
        (json!({"method": "", "path": "/Users/a"}), "405", "method"),
        (json!({"method": "POST", "path": "/Users", "data": data}), "400", "bulkId: required"),
        (json!({"method": "POST", "path": "/Users", "bulkId": "", "data": data}), "400", "bulkId: required"),
        (
            json!({"method": "POST", "path": "/Users", "bulkId": 5, "data": data}),
            "400",
            "bulkId: expected a string",
        ),
        (json!({"method": "POST", "path": "/Users", "bulkId": "a"}), "400", "data: required"),
        (
            json!({"method": "POST", "path": "/Users", "bulkId": "a", "data": [1]}),
            "400",
            "data: expected an object",
        ),
        (
            json!({"method": "POST", "path": "/Users", "bulkId": "a", "data": "{"}),
            "400",
            "data: the body is not JSON",
        ),
        (json!({"method": "PUT", "path": "/Users/a", "data": null}), "400", "data: required"),
        (json!({"method": "POST", "path": "/Users/a", "bulkId": "a", "data": data}), "405", "POST expects"),
        (json!({"method": "DELETE", "path": "/Users"}), "405", "DELETE expects"),
        (json!({"method": "DELETE"}), "400", "path: missing"),
        (json!({"method": "DELETE", "path": 1}), "400", "path: expected a string"),
        (json!({"method": "DELETE", "path": "/Devices/a"}), "404", "no endpoint"),
        (json!({"method": "POST", "path": "/Bulk", "bulkId": "a", "data": {}}), "404", "no endpoint"),
        (json!({"method": "DELETE", "path": ""}), "400", "path: missing"),
        (json!({"method": "DELETE", "path": "/Users/a/b"}), "400", "path"),
        (json!({"method": "DELETE", "path": "/Users/a?x=1"}), "400", "path"),
        (json!({"method": "DELETE", "path": "/Users/bulkId:"}), "400", "path"),
        (json!({"method": "DELETE", "path": "/Users/bulkId:nobody"}), "409", "'nobody'"),
        (
            json!({"method": "PATCH", "path": "/Users/a", "version": 3, "data": {"Operations": [
            {"op": "add", "path": "members", "value": [{"value": "bulkId:nobody"}]}]}}),
            "409",
            "'nobody'",
        ),
    ] {
        check_fault(operation, status, detail);
    }
}

#[test]
fn a_bulk_id_for_two_resources_creates_neither_and_links_neither() {
    let operations = json!([
        user("twin", json!({"userName": "a"})),
        user("twin", json!({"userName": "b"})),
        group("g", json!([{"value": "bulkId:twin"}])),
        {"method": "PUT", "path": "/Users/x", "bulkId": "twin", "data": {"userName": "c"}},
    ]);
    let (steps, answer) = run(&operations, json!({}), |_| false);
    assert_eq!(steps.iter().map(|step| step.index).collect::<Vec<_>>(), [3]);
    let results = results(&answer);
    assert_eq!(results.iter().map(|(status, _)| *status).collect::<Vec<_>>(), ["400", "400", "409", "200"]);
    assert!(results[0].1.contains("more than one"), "{}", results[0].1);
}

#[test]
fn what_is_tolerated_is_noted_and_refused_in_strict_mode() {
    let data = json!({"userName": "u"});
    let text = json!(data.to_string());
    let noted = |body: &Value, words: &[&str]| {
        let mut reading = Reading::lenient();
        read(body.to_string().as_bytes(), &Limits::default(), &mut reading).expect("understood");
        assert_eq!(reading.seen.words(), words, "{body}");
        read(body.to_string().as_bytes(), &Limits::default(), &mut Reading::strict())
    };
    let whole = json!({"schemas": [BULK_REQUEST_URN], "Operations": [user("a", data.clone())]});
    assert!(noted(&whole, &[]).is_ok());
    let err = noted(&json!({"Operations": [user("a", data.clone())]}), &["missing-schemas"]);
    assert!(err.is_err_and(|err| err.detail.contains("missing-schemas")));
    let single = json!({"schemas": BULK_REQUEST_URN, "Operations": user("a", data.clone())});
    assert!(noted(&single, &["single-for-list"]).is_err());
    // Of an operation, it fails that operation.
    let body = json!({"schemas": [BULK_REQUEST_URN], "Operations": [user("a", text), user("b", data)]});
    let strict = noted(&body, &["bulk-data-text"]).expect("read");
    let jobs: Vec<bool> = strict.operations.iter().map(|operation| operation.job.is_ok()).collect();
    assert_eq!(jobs, [false, true]);
}
