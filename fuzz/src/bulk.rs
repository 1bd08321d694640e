//! Bulk: no request panics or goes on for ever; every operation is done at most once, no reference is handed
//! out, and what is answered is in the order of the request.

use std::collections::HashSet;

use scim::{
    ScimError,
    bulk::{Limits, Method, Outcome, Plan, parse},
};

/// See the top of this file.
pub fn check(bytes: &[u8]) {
    let Ok(request) = parse(bytes, &Limits::default()) else { return };
    let count = request.operations.len();
    let names: HashSet<String> =
        request.operations.iter().filter_map(|operation| operation.bulk_id.clone()).collect();
    let mut plan = Plan::new(request);
    let mut done = HashSet::new();
    while let Some(step) = plan.next_step() {
        assert!(step.index < count);
        assert!(done.insert((step.index, step.is_completion)), "done twice: {}", step.index);
        assert!(!step.is_completion || done.contains(&(step.index, false)));
        if let Some(data) = &step.data {
            has_no_reference(data, &names);
        }
        // Every seventh step fails.
        plan.record(if done.len() % 7 == 6 {
            Outcome::failed(ScimError::invalid_value("made to fail"))
        } else {
            let status = if step.method == Method::Post { 201 } else { 200 };
            let id = step.id.unwrap_or_else(|| format!("id-{}", step.index));
            Outcome { status, id: Some(id), ..Outcome::default() }
        });
    }
    let answer = plan.into_response("https://h/v2");
    let answered = answer["Operations"].as_array().map_or(0, Vec::len);
    assert!(answered <= count);
}

fn has_no_reference(data: &serde_json::Value, names: &HashSet<String>) {
    let mut open = vec![data];
    while let Some(value) = open.pop() {
        match value {
            serde_json::Value::String(text) => {
                let name = text.strip_prefix("bulkId:");
                assert!(name.is_none_or(|name| !names.contains(name)), "{text} was handed out");
            }
            serde_json::Value::Array(items) => open.extend(items),
            serde_json::Value::Object(object) => open.extend(object.values()),
            _ => {}
        }
    }
}
