//! `setup`: installs what is missing, from package registries only. Quick when all is there.

use std::path::PathBuf;
use std::process::Command;

use crate::out::{During, Failure, Outcome, say, step};
use crate::sh;

/// cargo-deny builds with the pinned toolchain at this version.
const CARGO_DENY: &str = "0.20.2";
/// The target of the front end.
const WASM: &str = "wasm32-unknown-unknown";

/// What is wanted beyond the build.
#[derive(Clone, Copy, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is wanted or not, whatever the others are")]
pub struct Wanted {
    /// chromium, postgresql, npm packages, cargo-deny.
    pub tests: bool,
    /// The public SCIM checkers and oracles: a Python environment in target/conformance, npm packages.
    pub conformance: bool,
    /// wrk.
    pub bench: bool,
    /// The SCIM services that others made, which the bench compares with: npm packages, a Python environment in
    /// target/peers.
    pub peers: bool,
}

/// Installs what the build needs, and what else is wanted.
///
/// # Errors
/// When something is missing and cannot be installed from here; the failure names the command to run.
pub fn setup(wanted: Wanted) -> Outcome {
    wasm_target()?;
    if wanted.tests {
        debian(&[("chromium", "chromium"), ("postgresql", "pg_ctlcluster")])?;
        npm()?;
        cargo_deny()?;
    }
    if wanted.conformance {
        npm()?;
        python("install the public SCIM checkers (Python) into target/conformance", "conformance")?;
    }
    if wanted.peers {
        npm()?;
        python("install the peers of the bench (Python) into target/peers", "peers")?;
    }
    // Without wrk the bench uses a loop of its own.
    if wanted.bench && !sh::has("wrk") && sh::is_root() && sh::has("apt-get") {
        debian(&[("wrk", "wrk")])?;
    }
    Ok(())
}

/// `rustup target add`, when rustc has no standard library for wasm.
fn wasm_target() -> Outcome {
    let sysroot = sh::read(sh::program("rustc").args(["--print", "sysroot"]))
        .map_err(|failure| failure.cure("install Rust 1.95 with rustup: https://rustup.rs"))?;
    if PathBuf::from(sysroot.trim()).join("lib/rustlib").join(WASM).join("lib").is_dir() {
        return Ok(());
    }
    if !sh::has("rustup") {
        return Err(Failure::new(format!("this Rust has no {WASM} target, and rustup is not installed")).cure(
            format!("install Rust with rustup (https://rustup.rs), or add your system's package of Rust's {WASM} standard library"),
        ));
    }
    step(format_args!("add the {WASM} target"), || {
        sh::run(sh::program("rustup").args(["target", "add", WASM]))
    })
    .map_err(|failure| failure.cure(format!("check the network, then run `rustup target add {WASM}`")))
}

/// Installs Debian packages whose program is not on the path.
fn debian(packages: &[(&str, &str)]) -> Outcome {
    let missing: Vec<&str> =
        packages.iter().filter(|(_, program)| !sh::has(program)).map(|(package, _)| *package).collect();
    if missing.is_empty() { Ok(()) } else { install(&missing) }
}

/// Installs Debian packages.
fn install(missing: &[&str]) -> Outcome {
    let command =
        format!("apt-get update && apt-get install --yes --no-install-recommends {}", missing.join(" "));
    if !sh::is_root() || !sh::has("apt-get") {
        return Err(Failure::new(format!("missing: {}", missing.join(", ")))
            .cure(format!("as root, on Debian or Ubuntu: {command}")));
    }
    step(format_args!("install {}", missing.join(", ")), || {
        sh::run(apt(&["update", "--quiet"]).env("DEBIAN_FRONTEND", "noninteractive"))?;
        let install = ["install", "--yes", "--quiet", "--no-install-recommends"];
        sh::run(apt(&install).args(missing).env("DEBIAN_FRONTEND", "noninteractive"))
    })
    .map_err(|failure| failure.cure(format!("run it by hand to see more: {command}")))
}

fn apt(args: &[&str]) -> Command {
    let mut command = sh::program("apt-get");
    command.args(args);
    command
}

/// `npm ci` in end2end, when the lock file is newer than what is installed. Also brings binaryen for releases.
///
/// # Errors
/// When node or npm is missing, or the registry does not answer.
pub fn npm() -> Outcome {
    let folder = sh::root().join("end2end");
    if !sh::has("npm") {
        return Err(Failure::new("npm is not installed")
            .cure("install Node 20 or later (nodejs.org or your system's package)"));
    }
    let lock = std::fs::read(folder.join("package-lock.json")).during("read end2end/package-lock.json")?;
    let stamp = folder.join("node_modules/.keyward-lock");
    if std::fs::read(&stamp).is_ok_and(|installed| installed == lock) {
        return Ok(());
    }
    step("install the npm packages of end2end", || {
        let mut ci = sh::program("npm");
        ci.args(["ci", "--no-audit", "--no-fund"]).current_dir(&folder);
        sh::run(ci.env("PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD", "1"))?;
        std::fs::write(&stamp, &lock).during("note what npm installed")
    })
    .map_err(|failure| failure.cure("check the network, then run `npm ci` in end2end"))
}

/// The Python of the conformance stage, with the packages of end2end/conformance/requirements.txt.
pub fn python_path() -> PathBuf {
    sh::target().join("conformance/venv/bin/python")
}

/// The Python of the peers, when it has the packages of end2end/peers/requirements.txt.
pub fn peers_python() -> Option<PathBuf> {
    let venv = sh::target().join("peers/venv");
    let wanted = std::fs::read(sh::root().join("end2end/peers/requirements.txt")).ok()?;
    let installed = std::fs::read(venv.join(REQUIREMENTS)).ok()?;
    (installed == wanted).then(|| venv.join("bin/python"))
}

/// What a Python environment was made of; in it.
const REQUIREMENTS: &str = ".keyward-requirements";

/// A Python environment of our own for a folder of end2end, made again when the requirements are others than those
/// that are installed.
fn python(label: &str, name: &str) -> Outcome {
    let requirements = sh::root().join("end2end").join(name).join("requirements.txt");
    let wanted = std::fs::read(&requirements).during(format_args!("read {}", requirements.display()))?;
    let venv = sh::target().join(name).join("venv");
    let stamp = venv.join(REQUIREMENTS);
    if std::fs::read(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    // Debian's python3 comes without what makes an environment.
    let can_make = || sh::succeeds(sh::program("python3").args(["-c", "import ensurepip, venv"]));
    if !can_make() {
        install(&["python3", "python3-venv"])?;
    }
    step(label, || {
        sh::run(sh::program("python3").args(["-m", "venv", "--clear"]).arg(&venv))?;
        let mut pip = sh::program(venv.join("bin/python"));
        pip.args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--only-binary",
            ":all:",
        ]);
        sh::run(pip.arg("--requirement").arg(&requirements))?;
        std::fs::write(&stamp, &wanted).during("note what pip installed")
    })
    .map_err(|failure| failure.cure("Python 3.11 or later and the network are needed; then run it again"))
}

/// The cargo-deny to use: the one on the path, or the one in target/tools.
pub fn deny_path() -> PathBuf {
    let own = sh::root().join("target/tools/bin/cargo-deny");
    if own.is_file() { own } else { PathBuf::from("cargo-deny") }
}

fn cargo_deny() -> Outcome {
    if sh::has("cargo-deny") || sh::root().join("target/tools/bin/cargo-deny").is_file() {
        return Ok(());
    }
    say("cargo-deny is missing: it is built once, which takes about two minutes");
    step(format_args!("install cargo-deny {CARGO_DENY} into target/tools"), || {
        let mut install = sh::cargo();
        install.args(["install", "cargo-deny", "--locked", "--version", CARGO_DENY, "--root"]);
        install.arg(sh::root().join("target/tools"));
        // Its own folder, so that no later build finds foreign artifacts; kept, so that a second try goes on.
        sh::run(install.env("CARGO_TARGET_DIR", sh::root().join("target/tools/build")))?;
        std::fs::remove_dir_all(sh::root().join("target/tools/build"))
            .during("remove what cargo-deny was built from")
    })
    .map_err(|failure| {
        failure.cure("install cargo-deny yourself, or run `cargo xtask test --only …` without deny")
    })
}
