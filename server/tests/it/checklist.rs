//! The checklist of RFC 7643, 7644, 9865 and 9967, row by row, over HTTP on each database.
//!
//! `docs/scim-checklist.md` names the tests of every row; the test here holds it to that. What other files show already
//! is not shown again. A new row is a line there and a test here.

mod bulk;
mod paging;
mod patch;
mod query;
mod resources;

use std::{collections::BTreeMap, fs, path::Path};

const ROWS: usize = 80;

#[test]
fn every_row_of_the_checklist_names_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let text = fs::read_to_string(root.join("docs/scim-checklist.md")).unwrap();
    let mut rows: BTreeMap<usize, usize> = BTreeMap::new();
    let mut faults = Vec::new();
    for line in text.lines().filter(|line| line.starts_with('|')) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let Some(row) = cells.first().and_then(|cell| cell.parse().ok()) else { continue };
        let tests: Vec<&str> = cells.last().unwrap().split('`').skip(1).step_by(2).collect();
        if rows.insert(row, tests.len()).is_some() {
            faults.push(format!("row {row} is there twice"));
        }
        if tests.is_empty() {
            faults.push(format!("row {row} names no test"));
        }
        for test in tests {
            let (file, name) = test.split_once("::").unwrap_or((test, ""));
            // A file of this folder, or one by its path from the root of the project.
            let is_path = Path::new(file).extension().is_some_and(|end| end == "rs");
            let path =
                root.join(if is_path { file.to_owned() } else { format!("server/tests/it/{file}.rs") });
            let is_there = fs::read_to_string(&path).is_ok_and(|text| text.contains(&format!("fn {name}(")));
            if name.is_empty() || !is_there {
                faults.push(format!("row {row}: there is no test {test}"));
            }
        }
    }
    faults
        .extend((1..=ROWS).filter(|row| !rows.contains_key(row)).map(|row| format!("row {row} is missing")));
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
