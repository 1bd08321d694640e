//! Servers with one fault each: the probe finds it, names it, and finds nothing else.

use scim::probe::{Quirks, Verdict};
use serde_json::{Value, json};

use crate::{
    directory::{Answer, Directory, Request},
    probe::{
        FAILED, Fault, Server, TOLERATED, body, change, check, check_all, expect, is, probe, refused, with,
    },
};

// A server without something.

#[test]
fn a_server_without_patch_is_found() {
    for status in [404, 405, 501, 400] {
        let before: fn(&mut Request) -> Option<Answer> = match status {
            404 => |request| if request.method == "PATCH" { refused(404) } else { None },
            405 => |request| if request.method == "PATCH" { refused(405) } else { None },
            501 => |request| if request.method == "PATCH" { refused(501) } else { None },
            _ => |request| if request.method == "PATCH" { refused(400) } else { None },
        };
        let report = check(Fault { before, ..Fault::default() }, "patch-replace", TOLERATED);
        assert_eq!(report.quirks, Quirks { no_patch: true, put_only: true, ..Quirks::default() });
        assert!(report.is_ready());
    }
}

#[test]
fn a_server_without_put_is_found() {
    let before: fn(&mut Request) -> Option<Answer> =
        |request| if request.method == "PUT" { refused(404) } else { None };
    let report = check(Fault { before, ..Fault::default() }, "replace-user", TOLERATED);
    assert_eq!(report.quirks, Quirks { no_put: true, ..Quirks::default() });
    assert!(report.check("replace-user").is_some_and(|check| check.detail.contains("authentik")));
}

#[test]
fn a_server_that_can_change_nothing_is_found() {
    let before: fn(&mut Request) -> Option<Answer> =
        |request| if ["PUT", "PATCH"].contains(&request.method.as_str()) { refused(501) } else { None };
    let report = check_all(
        Fault { before, ..Fault::default() },
        &[("replace-user", TOLERATED), ("patch-replace", FAILED)],
    );
    assert_eq!(report.quirks, Quirks { no_put: true, no_patch: true, no_etag: true, ..Quirks::default() });
}

#[test]
fn a_server_without_groups_is_found() {
    let before: fn(&mut Request) -> Option<Answer> = |request| {
        if request.path.starts_with("/Groups") {
            return refused(404);
        }
        None
    };
    let after: fn(&Request, &mut Answer) = |request, answer| {
        if request.path == "/ResourceTypes" {
            change(answer, |body| body["Resources"] = json!([body["Resources"][0]]));
        }
        if request.path == "/ServiceProviderConfig" {
            change(answer, |body| body["bulk"]["supported"] = json!(false));
        }
    };
    let report = check_all(
        Fault { before, after, ..Fault::default() },
        &[("resource-types", TOLERATED), ("create-group", TOLERATED)],
    );
    assert!(report.quirks.no_groups && report.is_ready());
    assert_eq!(report.check("member-add").map(|check| check.verdict), Some(Verdict::Skipped));
}

#[test]
fn a_server_without_search_bulk_and_tags_is_found() {
    let before: fn(&mut Request) -> Option<Answer> =
        |request| if request.path.ends_with("/.search") { refused(404) } else { None };
    let prepare: fn(&mut Directory) = |directory| {
        directory.features.bulk = None;
        directory.features.etag = false;
    };
    let report = check(Fault { prepare, before, ..Fault::default() }, "search", TOLERATED);
    assert_eq!(report.quirks, Quirks { no_search: true, no_bulk: true, no_etag: true, ..Quirks::default() });
}

// Answers.

#[test]
fn a_patch_that_is_answered_with_204_is_a_quirk_and_no_fault() {
    let after: fn(&Request, &mut Answer) = |request, answer| {
        if request.method == "PATCH" && answer.status == 200 {
            *answer = Answer::empty(204);
        }
    };
    let report = check_all(Fault { after, ..Fault::default() }, &[]);
    assert_eq!(report.quirks, Quirks { patch_answers_204: true, ..Quirks::default() });
}

#[test]
fn wrong_media_types_are_found() {
    let html: fn(&Request, &mut Answer) = |request, answer| {
        if request.path.ends_with("nobody") {
            answer.headers = vec![("content-type".to_owned(), "text/html".to_owned())];
            answer.body = b"<html>".to_vec();
        }
    };
    let report = check_all(
        Fault { after: html, ..Fault::default() },
        &[("media-type", FAILED), ("unknown-user", TOLERATED)],
    );
    assert!(report.check("media-type").is_some_and(|check| check.detail.starts_with("1 × text/html")));
    let json: fn(&Request, &mut Answer) = |_, answer| {
        answer.headers.retain(|(name, _)| name != "content-type");
        answer.headers.push(("content-type".to_owned(), "application/json".to_owned()));
    };
    check(Fault { after: json, ..Fault::default() }, "media-type", TOLERATED);
}

#[test]
fn faults_of_the_answer_to_a_create_are_found() {
    check(
        Fault {
            after: |request, answer| {
                if is(request, "POST", "/Users") && answer.status == 201 {
                    answer.headers.retain(|(name, _)| name != "location");
                }
            },
            ..Fault::default()
        },
        "location",
        TOLERATED,
    );
    check(
        Fault {
            after: |request, answer| {
                if request.path == "/Users" && answer.status == 201 {
                    answer.status = 200;
                }
            },
            ..Fault::default()
        },
        "create-user",
        TOLERATED,
    );
    check(
        Fault {
            after: |request, answer| {
                if request.path == "/Users" && answer.status == 201 {
                    change(answer, |body| body["meta"] = json!({"resourceType": "User"}));
                }
            },
            ..Fault::default()
        },
        "meta",
        TOLERATED,
    );
    let echo: fn(&Request, &mut Answer) = |request, answer| {
        if request.path == "/Users" && answer.status == 201 {
            let password = body(request)["password"].clone();
            change(answer, |body| body["password"] = password.clone());
        }
    };
    check(Fault { after: echo, ..Fault::default() }, "password", FAILED);
}

#[test]
fn a_create_without_an_id_ends_the_probe_and_is_cleaned_up() {
    let report = check(
        Fault {
            after: |request, answer| {
                if request.path == "/Users" && answer.status == 201 {
                    *answer = Answer::empty(201);
                }
            },
            ..Fault::default()
        },
        "create-user",
        FAILED,
    );
    assert_eq!(report.check("patch-add").map(|check| check.verdict), Some(Verdict::Skipped));
    assert_eq!(report.check("clean-up").map(|check| check.verdict), Some(Verdict::Passed));
}

#[test]
fn an_id_that_changes_is_found() {
    let after: fn(&Request, &mut Answer) = |request, answer| {
        if request.method == "GET" && request.path.starts_with("/Users/") && answer.status == 200 {
            change(answer, |body| body["id"] = json!("another"));
        }
    };
    check(Fault { after, ..Fault::default() }, "id-stable", FAILED);
}

#[test]
fn answers_that_ask_to_wait_are_judged() {
    let wait = |value: &'static str| match value {
        "30" => |request: &mut Request| busy(request, "30"),
        _ => |request: &mut Request| busy(request, "Wed, 21 Oct 2026 07:28:00 GMT"),
    };
    let report = with(Fault { before: wait("30"), ..Fault::default() });
    assert_eq!(report.check("retry-after").map(|check| check.verdict), Some(TOLERATED));
    let report = with(Fault { before: wait("date"), ..Fault::default() });
    assert_eq!(report.check("retry-after").map(|check| check.verdict), Some(FAILED));
}

fn busy(request: &Request, value: &str) -> Option<Answer> {
    (request.path == "/Schemas").then(|| {
        let mut answer = Answer::from(scim::ScimError::too_many_requests("later"));
        answer.headers.push(("retry-after".to_owned(), value.to_owned()));
        answer
    })
}

// Look-ups.

#[test]
fn a_look_up_that_answers_404_is_found() {
    let after: fn(&Request, &mut Answer) = |_, answer| {
        if answer.value()["totalResults"] == json!(0) {
            *answer = scim::ScimError::not_found("no one").into();
        }
    };
    let report = check_all(Fault { after, ..Fault::default() }, &[("filter-none", FAILED)]);
    assert!(report.quirks.empty_is_404);
}

#[test]
fn a_filter_that_is_ignored_is_found() {
    let before: fn(&mut Request) -> Option<Answer> = |request| {
        let kept: Vec<&str> = request.query.split('&').filter(|pair| !pair.starts_with("filter=")).collect();
        request.query = kept.join("&");
        None
    };
    let prepare: fn(&mut Directory) = |directory| {
        for (path, body) in [("/Users", json!({"userName": "a"})), ("/Groups", json!({"displayName": "a"}))] {
            let mut request = Request::new("POST", path);
            request.body = body.to_string().into_bytes();
            directory.answer(&request);
        }
    };
    let server = Server::new(Fault { prepare, before, ..Fault::default() });
    let report = probe(&server, 0);
    expect(
        &report,
        &[
            ("filter-none", FAILED),
            ("filter-user-name", FAILED),
            ("filter-bad", FAILED),
            ("filter-display-name", FAILED),
        ],
    );
    assert!(report.quirks.no_filter);
    // What was there before is not taken for the probe's own, though every look-up brings it.
    assert_eq!(server.everything()[0].as_array().map(Vec::len), Some(1));
    assert_eq!(server.everything()[1].as_array().map(Vec::len), Some(1));
}

#[test]
fn a_look_up_by_external_id_that_finds_nothing_is_found() {
    let before: fn(&mut Request) -> Option<Answer> = |request| {
        request.query = request.query.replace("filter=externalId", "filter=title");
        None
    };
    let report = check(Fault { before, ..Fault::default() }, "filter-external-id", TOLERATED);
    assert!(report.quirks.no_external_id_filter);
}

#[test]
fn excluded_attributes_that_are_ignored_are_found() {
    let before: fn(&mut Request) -> Option<Answer> = |request| {
        request.query = request.query.replace("excludedAttributes", "x");
        None
    };
    let report = check_all(
        Fault { before, ..Fault::default() },
        &[("attributes", TOLERATED), ("members-excluded", TOLERATED)],
    );
    assert!(report.quirks.no_excluded_attributes);
}

#[test]
fn pages_that_count_wrongly_are_found() {
    let found = |after: fn(&Request, &mut Answer), detail: &str| {
        let report = check(Fault { after, ..Fault::default() }, "paging", FAILED);
        assert!(report.check("paging").is_some_and(|check| check.detail.contains(detail)), "{report}");
    };
    found(
        |request, answer| spoil(request, answer, |body| body["totalResults"] = json!("1")),
        "totalResults is no number",
    );
    found(|request, answer| spoil(request, answer, |body| body["itemsPerPage"] = json!(100)), "itemsPerPage");
    found(
        |request, answer| {
            spoil(request, answer, |body| {
                body["Resources"][0].as_object_mut().map(|user| user.remove("schemas"));
            });
        },
        "no schemas",
    );
    found(
        |request, answer| {
            spoil(request, answer, |body| {
                body["Resources"] = json!([body["Resources"][0], body["Resources"][0]]);
                body["itemsPerPage"] = json!(2);
            });
        },
        "count=1 brought 2",
    );
}

fn spoil(request: &Request, answer: &mut Answer, fault: fn(&mut Value)) {
    if request.query == "startIndex=1&count=1" {
        change(answer, fault);
    }
}

// Changes.

#[test]
fn a_second_user_of_one_name_is_found_and_deleted() {
    let prepare: fn(&mut Directory) = |directory| directory.unique = false;
    let report = check_all(
        Fault { prepare, ..Fault::default() },
        &[("duplicate-user", FAILED), ("duplicate-group", TOLERATED)],
    );
    assert!(report.quirks.group_names_not_unique);
}

#[test]
fn a_patch_that_does_nothing_is_found() {
    let before: fn(&mut Request) -> Option<Answer> = |request| {
        if request.method == "PATCH" {
            request.method = "GET".to_owned();
            request.body.clear();
        }
        None
    };
    let report = with(Fault { before, ..Fault::default() });
    assert_eq!(report.check("patch-replace").map(|check| check.verdict), Some(FAILED), "{report}");
    assert!(report.quirks.no_patch && report.quirks.put_only);
}

#[test]
fn a_server_that_knows_the_exact_form_only_is_found() {
    let before: fn(&mut Request) -> Option<Answer> = |request| {
        let text = String::from_utf8_lossy(&request.body).into_owned();
        let is_dialect = [
            "\"Replace\"",
            "\"True\"",
            ":costCenter\"",
            "name.givenName",
            ":manager\"",
            "\"value\":{\"value\"",
        ]
        .iter()
        .any(|form| text.contains(form));
        if request.method == "PATCH" && is_dialect { refused(400) } else { None }
    };
    let report = check_all(
        Fault { before, ..Fault::default() },
        &[
            ("patch-op-case", TOLERATED),
            ("patch-string-boolean", TOLERATED),
            ("patch-urn-name", TOLERATED),
            ("patch-dotted-name", TOLERATED),
            ("patch-bare-manager", TOLERATED),
            ("member-object", TOLERATED),
        ],
    );
    assert_eq!(report.quirks, Quirks { standard_patch_only: true, ..Quirks::default() });
}

#[test]
fn a_remove_with_values_that_empties_the_group_is_found() {
    let before: fn(&mut Request) -> Option<Answer> = |request| {
        let mut value = body(request);
        if request.method == "PATCH"
            && value["Operations"][0]["op"] == "remove"
            && value["Operations"][0]["path"] == "members"
        {
            if let Some(operation) = value["Operations"][0].as_object_mut() {
                operation.remove("value");
            }
            request.body = value.to_string().into_bytes();
        }
        None
    };
    let report = check(Fault { before, ..Fault::default() }, "member-remove-values", FAILED);
    assert!(report.quirks.remove_members_needs_filter);
    assert!(report.check("member-remove-values").is_some_and(|check| check.detail.contains("emptied")));
}

#[test]
fn a_remove_by_filter_that_is_refused_is_found() {
    let before: fn(&mut Request) -> Option<Answer> = |request| {
        let path = body(request)["Operations"][0]["path"].clone();
        let is_filtered = path.as_str().is_some_and(|path| path.starts_with("members["));
        if request.method == "PATCH" && is_filtered { refused(400) } else { None }
    };
    let report = check(Fault { before, ..Fault::default() }, "member-remove-filter", TOLERATED);
    assert!(report.quirks.remove_members_needs_values);
}

#[test]
fn a_new_name_that_loses_the_members_is_found() {
    let before: fn(&mut Request) -> Option<Answer> = |request| {
        let mut value = body(request);
        if request.method == "PATCH"
            && value["Operations"][0]["path"] == "displayName"
            && is(request, "PATCH", "/Groups")
        {
            if let Some(operations) = value["Operations"].as_array_mut() {
                operations.push(json!({"op": "remove", "path": "members"}));
            }
            request.body = value.to_string().into_bytes();
        }
        None
    };
    check(Fault { before, ..Fault::default() }, "group-rename", FAILED);
}

#[test]
fn a_limit_of_members_is_found_and_its_size_too() {
    let before: fn(&mut Request) -> Option<Answer> = |request| {
        let value = body(request);
        let members = value["Operations"][0]["value"].as_array().map_or(0, Vec::len);
        if request.method == "PATCH" && members > 100 { refused(413) } else { None }
    };
    let server = Server::new(Fault { before, ..Fault::default() });
    let report = probe(&server, 101);
    expect(&report, &[("members-many", TOLERATED)]);
    assert_eq!(report.quirks, Quirks { max_members_per_patch: Some(100), ..Quirks::default() });
    assert_eq!(server.everything(), json!([[], []]));
}

#[test]
fn groups_of_a_user_that_are_not_filled_in_are_found() {
    let after: fn(&Request, &mut Answer) = |request, answer| {
        if is(request, "GET", "/Users/") && answer.status == 200 {
            change(answer, |body| {
                if let Some(user) = body.as_object_mut() {
                    user.remove("groups");
                }
            });
        }
    };
    let report = check(Fault { after, ..Fault::default() }, "user-groups", TOLERATED);
    assert!(report.quirks.no_user_groups);
}

#[test]
fn an_if_match_that_is_ignored_is_found() {
    let before: fn(&mut Request) -> Option<Answer> = |request| {
        request.headers.retain(|(name, _)| name != "If-Match");
        None
    };
    let report = check(Fault { before, ..Fault::default() }, "etag", FAILED);
    assert!(report.quirks.no_etag);
}

#[test]
fn a_bulk_that_is_advertised_and_not_there_is_found() {
    let before: fn(&mut Request) -> Option<Answer> =
        |request| if request.path == "/Bulk" { refused(501) } else { None };
    let report = check(Fault { before, ..Fault::default() }, "bulk", FAILED);
    assert!(report.quirks.no_bulk);
}

// The end.

#[test]
fn a_delete_that_only_hides_is_found() {
    let server = Server::new(Fault {
        before: |request| (request.method == "DELETE").then(|| Answer::empty(204)),
        ..Fault::default()
    });
    let report = probe(&server, 0);
    expect(&report, &[("delete-user", FAILED), ("delete-group", FAILED)]);
}

#[test]
fn a_delete_that_is_refused_is_told_with_what_is_left() {
    let server = Server::new(Fault {
        before: |request| if request.method == "DELETE" { refused(403) } else { None },
        ..Fault::default()
    });
    let report = probe(&server, 0);
    expect(&report, &[("delete-user", FAILED), ("delete-group", FAILED), ("clean-up", FAILED)]);
    let all = server.everything();
    let count = all.as_array().into_iter().flatten().filter_map(Value::as_array).map(Vec::len).sum::<usize>();
    assert_eq!(report.left_behind.len(), count);
    assert!(report.to_string().contains(&format!("please delete it: {}\n", report.left_behind[0])));
}

#[test]
fn a_name_that_stays_taken_is_found() {
    let before: fn(&mut Request) -> Option<Answer> =
        |request| if body(request)["name"]["familyName"] == "Again" { refused(409) } else { None };
    check(Fault { before, ..Fault::default() }, "create-again", FAILED);
}
