//! The front end: compiled for wasm, bound to JavaScript, made small for releases.

use std::path::{Path, PathBuf};

use wasm_bindgen_cli_support::Bindgen;

use crate::build::Profile;
use crate::out::{During, Failure, Outcome, step};
use crate::{setup, sh};

/// The features that browsers of the last years have. `--all-features` makes a module that Chromium refuses.
const WASM_FEATURES: [&str; 6] = [
    "--enable-bulk-memory",
    "--enable-nontrapping-float-to-int",
    "--enable-sign-ext",
    "--enable-mutable-globals",
    "--enable-reference-types",
    "--enable-multivalue",
];

/// Compiles `frontend` and returns the module as rustc leaves it.
pub fn compile(profile: Profile) -> Outcome<PathBuf> {
    step("compile the front end (wasm)", || {
        let mut cargo = sh::cargo();
        cargo.args(["build", "--package", "frontend", "--target", "wasm32-unknown-unknown"]);
        let folder = match profile {
            Profile::Release => {
                cargo.args(["--profile", "wasm-release"]);
                "wasm-release"
            }
            // The dev profile, so that proc-macros are shared with the server's build; a little smaller and without
            // the debug sections that nothing reads.
            Profile::Dev => {
                cargo.args(["--config", "profile.dev.opt-level=1", "--config", "profile.dev.debug=false"]);
                "debug"
            }
        };
        sh::run(&mut cargo)?;
        Ok(sh::target().join("wasm32-unknown-unknown").join(folder).join("frontend.wasm"))
    })
}

/// Writes `keyward.js`, `keyward.wasm` and their snippets into `folder`, which is emptied first.
pub fn bind(module: &Path, folder: &Path, profile: Profile) -> Outcome {
    step("bind the front end to JavaScript", || {
        if folder.exists() {
            std::fs::remove_dir_all(folder).during(format_args!("empty {}", folder.display()))?;
        }
        let release = matches!(profile, Profile::Release);
        let mut bindgen = Bindgen::new();
        bindgen.input_path(module).out_name("keyward").typescript(false).keep_debug(false);
        bindgen.remove_name_section(release).remove_producers_section(release);
        bindgen.web(true).during("choose the web target")?;
        bindgen.generate(folder).map_err(|cause| Failure::new(format!("wasm-bindgen: {cause:?}")))?;
        rename(folder)
    })?;
    if matches!(profile, Profile::Release) { shrink(&folder.join("keyward.wasm")) } else { Ok(()) }
}

/// wasm-bindgen writes `keyward_bg.wasm`; a page of Leptos asks for `keyward.wasm` when it was compiled with
/// `LEPTOS_OUTPUT_NAME`, as ours is (`.cargo/config.toml`).
fn rename(folder: &Path) -> Outcome {
    let script = folder.join("keyward.js");
    let text = std::fs::read_to_string(&script).during("read keyward.js")?;
    std::fs::write(&script, text.replace("keyward_bg.wasm", "keyward.wasm")).during("write keyward.js")?;
    std::fs::rename(folder.join("keyward_bg.wasm"), folder.join("keyward.wasm"))
        .during("rename keyward_bg.wasm")
}

/// `wasm-opt -Oz`, in place.
fn shrink(module: &Path) -> Outcome {
    setup::npm()?;
    step("make the wasm small (wasm-opt -Oz)", || {
        let mut node = sh::program("node");
        node.arg(sh::root().join("end2end/node_modules/binaryen/bin/wasm-opt"));
        sh::run(node.arg(module).arg("-Oz").args(WASM_FEATURES).arg("-o").arg(module))
    })
}
