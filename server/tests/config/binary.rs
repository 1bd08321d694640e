//! The program itself: exit codes, streams, time.

use std::{
    path::Path,
    process::{Command, Output},
    time::{Duration, SystemTime},
};

use crate::support::{GOOD, Place};

/// The file, the arguments, the environment, and words of the refusal.
type Case<'a> = (&'a str, &'a [&'a str], &'a [(&'a str, &'a str)], &'a str);

fn keyward(folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_keyward"))
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .envs(environment.iter().copied())
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the time until the refusal is what is tested")]
fn a_bad_setting_ends_the_start_with_78_within_two_seconds() {
    let plain_http = GOOD.replace("https://keyward", "http://keyward");
    let cases: &[Case<'_>] = &[
        (GOOD, &["serve"], &[("KEYWARD_LISTN", "x")], "listn (environment KEYWARD_LISTN)"),
        (&plain_http, &["serve"], &[], "public_url (keyward.toml:1)"),
        (GOOD, &["serve", "--listen", "nowhere"], &[], "listen (flag --listen)"),
        // The switch of a bench is no setting of a build that ships.
        (
            GOOD,
            &["serve"],
            &[("KEYWARD_BENCH_WITHOUT", "records")],
            "bench_without (environment KEYWARD_BENCH_WITHOUT)",
        ),
        ("", &["serve"], &[], "keyward master-key generate"),
        (GOOD, &["migrate", "--config", "missing.toml"], &[], "config (flag --config)"),
        (
            GOOD,
            &["audit", "verify"],
            &[("KEYWARD_LOG__LEVEL", "loud")],
            "log.level (environment KEYWARD_LOG__LEVEL)",
        ),
        (GOOD, &["config", "check"], &[("KEYWARD_OIDC__ISSUER", "http://id.example.com")], "oidc.issuer"),
        (GOOD, &["demo", "--listen", "0.0.0.0:8080"], &[], "did you mean 127.0.0.1:8080?"),
    ];
    for (file, arguments, environment, words) in cases {
        let place = Place::with(file);
        let began = SystemTime::now();
        let output = keyward(place.path(), arguments, environment);
        let took = began.elapsed().unwrap();
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(78), "{arguments:?}: {told}");
        assert!(told.contains(words), "{arguments:?}: {words:?} is not in {told}");
        assert!(output.stdout.is_empty());
        assert!(took < Duration::from_secs(2), "{arguments:?} took {took:?}");
    }
}

#[test]
fn what_is_not_understood_is_2() {
    let place = Place::good();
    for arguments in [&["serv"][..], &["serve", "--lisen", "x"], &[], &["config"]] {
        let output = keyward(place.path(), arguments, &[]);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn help_teaches_with_examples() {
    let place = Place::good();
    for arguments in [
        &["--help"][..],
        &["serve", "--help"],
        &["demo", "--help"],
        &["migrate", "--help"],
        &["config", "check", "--help"],
        &["audit", "verify", "--help"],
        &["master-key", "generate", "--help"],
    ] {
        let output = keyward(place.path(), arguments, &[]);
        let told = text(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        let examples = ["Example", "Look around"].iter().any(|word| told.contains(word));
        assert!(examples && told.contains("keyward "), "{arguments:?}: {told}");
    }
}

#[test]
fn a_good_configuration_is_printed_with_its_origins() {
    let place = Place::good();
    let output = keyward(place.path(), &["config", "check"], &[("KEYWARD_LOG__LEVEL", "warn")]);
    let told = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(told.contains("environment KEYWARD_LOG__LEVEL") && !told.contains("s3cret"), "{told}");
}

#[test]
fn the_example_goes_to_standard_output() {
    let output = keyward(Path::new("/"), &["config", "example"], &[]);
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stdout).contains("\n[oidc]\n"));
}

#[test]
fn a_master_key_is_made_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let place = Place::good();
    let printed = text(&keyward(place.path(), &["master-key", "generate"], &[]).stdout);
    assert_eq!(printed.trim().len(), 44);
    let arguments = ["master-key", "generate", "--out", "made.key"];
    assert_eq!(keyward(place.path(), &arguments, &[]).status.code(), Some(0));
    let path = place.path().join("made.key");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let again = keyward(place.path(), &arguments, &[]);
    assert_eq!(again.status.code(), Some(1), "an existing key is not overwritten");
    assert!(text(&again.stderr).contains("no key was made"));
}

#[test]
fn the_version_is_one_line() {
    let output = keyward(Path::new("/"), &["version"], &[]);
    assert_eq!(text(&output.stdout), concat!("keyward ", env!("CARGO_PKG_VERSION"), "\n"));
}
