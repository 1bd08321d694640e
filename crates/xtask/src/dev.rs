//! `dev`: `demo` that builds again and restarts when a source changes.
//!
//! It looks at modification times twice a second: a few hundred files, no dependency, and it works on every file system.

use std::path::Path;
use std::process::Child;
use std::thread;
use std::time::{Duration, SystemTime};

use crate::build::{self, Profile};
use crate::out::{During, Outcome, say};
use crate::{sh, site};

const WATCHED: [&str; 6] = ["app", "server", "frontend", "style", "crates", "migrations"];

/// Builds, starts, and does both again on every change, until Ctrl+C.
pub fn dev() -> Outcome {
    let root = sh::root();
    loop {
        let seen = newest(&root);
        // What cargo printed says what is wrong; the next save is the next try.
        let running = match build::build(Profile::Dev) {
            Ok(()) => Some(start()?),
            Err(failure) => {
                say(format_args!("{failure}\n▸ waiting for a change"));
                None
            }
        };
        while newest(&root) == seen {
            thread::sleep(Duration::from_millis(500));
        }
        say("▸ a source changed");
        if let Some(mut running) = running {
            stop(&mut running);
        }
    }
}

fn start() -> Outcome<Child> {
    say("▸ starting `keyward demo` (Ctrl+C stops it)");
    sh::program(Profile::Dev.binary()).arg("demo").spawn().during("start keyward")
}

/// Asks it to stop, and ends it when it has not stopped after some seconds.
fn stop(running: &mut Child) {
    sh::succeeds(sh::program("kill").arg(running.id().to_string()));
    for _ in 0..50 {
        if !matches!(running.try_wait(), Ok(None)) {
            return;
        }
        thread::sleep(Duration::from_millis(100));
    }
    let _ = running.kill();
    let _ = running.wait();
}

/// The newest modification and the number of files: a deleted file is a change too.
fn newest(root: &Path) -> (Option<SystemTime>, usize) {
    let files = WATCHED.iter().filter_map(|folder| site::files_under(&root.join(folder)).ok()).flatten();
    let times: Vec<_> =
        files.filter_map(|path| path.metadata().and_then(|meta| meta.modified()).ok()).collect();
    (times.iter().max().copied(), times.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_file_is_a_change() {
        let dir = tempfile::tempdir().unwrap();
        for folder in WATCHED {
            std::fs::create_dir(dir.path().join(folder)).unwrap();
        }
        let before = newest(dir.path());
        std::fs::write(dir.path().join("app/page.rs"), "").unwrap();
        assert_ne!(newest(dir.path()), before);
    }
}
