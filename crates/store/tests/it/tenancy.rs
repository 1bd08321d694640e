//! Every row of the directory belongs to one federation, and no statement reads or writes one
//! without naming it.

use std::{fs, path::Path};

/// What a statement does to a table of the directory.
const TOUCHES: [&str; 5] = ["FROM scim_", "JOIN scim_", "INTO scim_", "UPDATE scim_", "DELETE FROM scim_"];

/// What stands behind such words in the same statement: up to the end of its text, or of what is
/// composed of it.
const NEAR: usize = 500;

#[test]
fn every_statement_on_the_directory_names_the_federation() {
    let statements: Vec<_> =
        store::all_statements().into_iter().filter(|(_, _, sql)| sql.contains("scim_")).collect();
    assert!(statements.len() >= 15, "only {} statements were found", statements.len());
    for (module, name, sql) in statements {
        for (place, _) in TOUCHES.iter().flat_map(|words| sql.match_indices(words)) {
            assert!(sql[place..].contains("federation_id"), "{module}::{name}: {sql}");
        }
        // An UPDATE or a SELECT narrows by it; an INSERT writes it.
        let narrows = ["federation_id = $1", "federation_id = f.id", "INSERT INTO"];
        assert!(
            narrows.iter().any(|text| sql.contains(text)) || is_count_of_all(module, sql),
            "{module}::{name}: {sql}"
        );
    }
}

/// The overview counts by federation.
fn is_count_of_all(module: &str, sql: &str) -> bool {
    matches!(module, "federations" | "users" | "groups") && sql.contains("GROUP BY federation_id")
}

#[test]
fn so_does_what_is_composed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut seen = 0;
    for file in fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "rs") || path.ends_with("testing.rs") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        for (place, words) in TOUCHES.iter().flat_map(|words| text.match_indices(words)) {
            let end = (place..text.len()).find(|end| *end >= place + NEAR && text.is_char_boundary(*end));
            let near = &text[place..end.unwrap_or(text.len())];
            assert!(near.contains("federation_id"), "{}: {words}: {near}", path.display());
            seen += 1;
        }
    }
    assert!(seen > 30, "only {seen} places were found");
}
