//! Other programs and the folders of this project.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use crate::out::{During, Failure, Outcome, say};

/// The folder with the workspace's `Cargo.toml`.
pub fn root() -> PathBuf {
    let crate_dir =
        std::env::var("CARGO_MANIFEST_DIR").unwrap_or_else(|_| env!("CARGO_MANIFEST_DIR").to_owned());
    let crate_dir = PathBuf::from(crate_dir);
    crate_dir.ancestors().nth(2).map_or_else(|| crate_dir.clone(), Path::to_path_buf)
}

/// Where cargo writes: `CARGO_TARGET_DIR`, or `target`.
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// A program, to be run in the project's folder.
pub fn program(name: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(name);
    command.current_dir(root());
    command
}

/// The cargo that runs this task.
pub fn cargo() -> Command {
    let mut command = program(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // They describe xtask, not the crate that is built next; a build script that watches them would run each time.
    for name in
        ["CARGO_MANIFEST_DIR", "CARGO_MANIFEST_PATH", "CARGO_PKG_NAME", "CARGO_PKG_VERSION", "CARGO_BIN_NAME"]
    {
        command.env_remove(name);
    }
    command
}

/// Runs it with this terminal.
///
/// # Errors
/// When it cannot be started, or ends with anything but 0.
pub fn run(command: &mut Command) -> Outcome {
    let shown = shown(command);
    let status = command.status().during(format_args!("start `{shown}`"))?;
    if status.success() { Ok(()) } else { Err(Failure::new(format!("`{shown}` ended with {status}"))) }
}

/// Runs it and returns what it wrote to standard output; its standard error goes to this terminal.
///
/// # Errors
/// As [`run`].
pub fn read(command: &mut Command) -> Outcome<String> {
    let shown = shown(command);
    let output = command.stderr(Stdio::inherit()).output().during(format_args!("start `{shown}`"))?;
    if !output.status.success() {
        return Err(Failure::new(format!("`{shown}` ended with {}", output.status)));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Whether it starts and ends with 0; says nothing.
pub fn succeeds(command: &mut Command) -> bool {
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

/// What a program wrote while it was shown, and whether it ended with 0.
pub struct Seen {
    /// Both outputs, line by line as they came.
    pub text: String,
    /// It ended with 0.
    pub success: bool,
}

/// Runs it, shows what it writes, and keeps it.
///
/// # Errors
/// When it cannot be started.
pub fn watch(command: &mut Command) -> Outcome<Seen> {
    let shown = shown(command);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .during(format_args!("start `{shown}`"))?;
    let err = child.stderr.take().map(|pipe| thread::spawn(move || echo(pipe)));
    let mut text = child.stdout.take().map(echo).unwrap_or_default();
    if let Some(lines) = err.and_then(|thread| thread.join().ok()) {
        text.push_str(&lines);
    }
    let status = child.wait().during(format_args!("wait for `{shown}`"))?;
    Ok(Seen { text, success: status.success() })
}

fn echo(pipe: impl Read) -> String {
    let mut text = String::new();
    let mut pipe = BufReader::new(pipe);
    let mut line = Vec::new();
    while pipe.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
        let shown = String::from_utf8_lossy(&line);
        say(shown.trim_end());
        text.push_str(&shown);
        line.clear();
    }
    text
}

/// Whether a program of this name is on the path.
pub fn has(name: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(name).is_file()))
}

/// Whether this runs as root.
pub fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

fn shown(command: &Command) -> String {
    let mut text = command.get_program().to_string_lossy().into_owned();
    if let Some(name) = Path::new(&text).file_name() {
        text = name.to_string_lossy().into_owned();
    }
    for arg in command.get_args() {
        text.push(' ');
        text.push_str(&arg.to_string_lossy());
    }
    text
}
