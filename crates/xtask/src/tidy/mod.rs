//! `tidy`: the laws of ARCHITECTURE.md that need no compiler.
//!
//! A law is a function from a tree (or from what cargo says of it) to its faults. Each has two tests: the tree of
//! today obeys it, and a made-up tree that breaks it is refused. A new law is a function, a line in [`LAWS`] and the
//! two tests.

mod crates;
mod files;

use std::path::Path;

use crate::out::{Failure, Outcome, say};
use crate::sh;

/// Looks at a tree and returns one line for each place that breaks the law.
type Law = fn(&Path) -> Outcome<Vec<String>>;

const LAWS: [(&str, Law); 11] = [
    ("every .rs file begins with //!", files::headers),
    ("no .rs file is longer than 600 lines", files::lengths),
    ("every crate and top folder is named in ARCHITECTURE.md", files::map),
    ("both databases have the same migrations", files::migrations),
    ("a secret has no Debug, Clone, Serialize, Display", files::secrets),
    ("every crate takes the workspace's lints", files::lints),
    ("a page writes its views down at once", files::views),
    ("what ships has no feature of tests and benches", crates::features),
    ("no server code in wasm", crates::wasm_tree),
    ("crates depend on each other in one direction", crates::directions),
    ("only store knows sqlx", crates::sqlx),
];

/// Checks every law on this tree.
///
/// # Errors
/// When a law is broken, after all were checked.
pub fn tidy() -> Outcome {
    let root = sh::root();
    let mut broken = 0;
    for (name, law) in LAWS {
        let faults = law(&root)?;
        say(format_args!("  {} {name}", if faults.is_empty() { "ok    " } else { "BROKEN" }));
        for fault in &faults {
            say(format_args!("         {fault}"));
        }
        broken += usize::from(!faults.is_empty());
    }
    if broken == 0 {
        return Ok(());
    }
    Err(Failure::new(format!("{broken} of {} laws are broken", LAWS.len()))
        .cure("each line above names the place; ARCHITECTURE.md says why the law is there"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_tree_obeys_every_law() {
        let root = sh::root();
        let broken: Vec<_> = LAWS
            .into_iter()
            .map(|(name, law)| (name, law(&root).unwrap()))
            .filter(|(_, faults)| !faults.is_empty())
            .collect();
        assert!(broken.is_empty(), "{broken:#?}");
    }
}
