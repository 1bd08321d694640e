//! What fuzzing found worth keeping (`fuzz/corpus`), through the promises that it was found with.

use std::path::Path;

#[path = "../../../../fuzz/src/lib.rs"]
mod targets;

/// As many as the fuzzer is given for one input, in bytes.
const MOST_BYTES: usize = 4_096;

fn check(name: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(name);
    let (_, promise) = targets::TARGETS.iter().find(|target| target.0 == name).unwrap();
    let mut count = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        assert!(bytes.len() <= MOST_BYTES, "{} is longer than what is fed", path.display());
        // The file that breaks a promise is what a person looks for.
        let kept = std::panic::catch_unwind(|| promise(&bytes));
        assert!(kept.is_ok(), "{} breaks the promise of {name}", path.display());
        count += 1;
    }
    assert!(count >= 10, "{} holds what was found: {count}", folder.display());
}

/// One test for each target, so that they run beside each other.
macro_rules! replays {
    ($($name:ident = $target:literal;)*) => {
        $(
            #[test]
            fn $name() {
                check($target);
            }
        )*

        #[test]
        fn every_target_is_replayed() {
            let replayed = [$($target),*];
            assert_eq!(targets::TARGETS.map(|target| target.0), replayed);
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
            let mut kept: Vec<String> = std::fs::read_dir(folder)
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            kept.sort();
            assert_eq!(kept, replayed, "a folder for each target and no other");
        }
    };
}

replays! {
    what_was_found_in_bodies_keeps_their_promise = "body";
    what_was_found_in_bulk_requests_keeps_their_promise = "bulk";
    what_was_found_in_cursors_keeps_their_promise = "cursor";
    what_was_found_in_filters_keeps_their_promise = "filter";
    what_was_found_in_keys_keeps_their_promise = "key";
    what_was_found_in_queries_keeps_their_promise = "list_query";
    what_was_found_in_patches_keeps_their_promise = "patch";
    what_was_found_in_paths_keeps_their_promise = "path";
}
