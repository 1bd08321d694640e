//! `keyward keys` and `keyward rotations`: the program itself, with a server and without one, on
//! each database that is here.

use std::{os::unix::fs::PermissionsExt as _, process::Output};

use domain::{admins::Role, audit::Action};
use ops::{audit::AuditFilter, testing};
use serde_json::Value;
use store::{
    Engine,
    testing::{databases, sqlite},
};

use crate::process::{Place, Running, http_client};

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Runs a command that must be done.
async fn done(place: &Place, arguments: &[&str]) -> String {
    let output = place.run(arguments).await;
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

async fn json(place: &Place, arguments: &[&str]) -> Value {
    let arguments: Vec<&str> = arguments.iter().copied().chain(["--json"]).collect();
    let told = done(place, &arguments).await;
    serde_json::from_str(&told).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {told}"))
}

/// Runs a command that must be refused; returns what it says.
async fn refused(place: &Place, arguments: &[&str]) -> String {
    let output: Output = place.run(arguments).await;
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {}", text(&output.stdout));
    assert!(output.stdout.is_empty(), "{arguments:?}: {}", text(&output.stdout));
    text(&output.stderr)
}

/// The name of each who acted, and what they did, oldest first.
async fn record(place: &Place) -> Vec<(String, Action)> {
    let keyward = place.open().await;
    let admin = testing::cx(&keyward, Role::Admin);
    let page = ops::audit::list(&admin, &AuditFilter::default(), None, 200).await.unwrap();
    keyward.close().await;
    let events = page.records.into_iter().rev().map(|record| (record.event.actor.name, record.event.action));
    events.filter(|(_, action)| !action.as_str().starts_with("node.")).collect()
}

fn user() -> String {
    let output = std::process::Command::new("id").arg("-un").output().unwrap();
    format!("{} (command line)", text(&output.stdout).trim())
}

/// What the status of a request with a key is.
async fn status(running: &Running, key: &str) -> u16 {
    let url = running.url("/scim/own/v2/Users?count=1");
    http_client().get(url).bearer_auth(key).send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn with_a_server_and_without_one_the_same_is_done_and_recorded() {
    for is_served in [false, true] {
        for database in databases().await {
            let place = Place::on(database);
            let key = place.with_key("own").await;
            let running = if is_served { Some(place.start("info").await) } else { None };

            let keys = json(&place, &["keys", "list"]).await;
            assert_eq!(keys[0]["name"], "everything", "{keys}");
            assert_eq!(keys[0]["state"], "Never used");
            let id = keys[0]["id"].as_str().unwrap();
            assert_eq!(json(&place, &["keys", "list", "--federation", "own"]).await, keys);

            let held = json(&place, &["keys", "hold", "everything", "--reason", "looking into it"]).await;
            assert_eq!(held["state"], "Held", "{held}");
            assert!(held["held"].as_str().unwrap().contains("looking into it"), "{held}");
            if let Some(running) = &running {
                assert_eq!(status(running, &key).await, 503);
            }
            let released = json(&place, &["keys", "release", id]).await;
            assert_eq!(released["held"], Value::Null, "{released}");
            if let Some(running) = &running {
                assert_eq!(status(running, &key).await, 200);
            }

            let secret = done(&place, &["keys", "rotate", "everything", "--show-secret"]).await;
            let secret = secret.trim_end();
            assert!(secret.starts_with("kwd_") && !secret.contains(char::is_whitespace), "{secret}");
            if let Some(running) = &running {
                assert_eq!([status(running, &key).await, status(running, secret).await], [200, 200]);
            }
            let rotations = json(&place, &["rotations", "list"]).await;
            let rotation = rotations[0]["id"].as_str().unwrap();
            assert_eq!(rotations[0]["old"]["id"], id, "{rotations}");
            let held = json(&place, &["rotations", "hold", rotation, "--reason", "not today"]).await;
            assert_eq!(held["condition"], "held", "{held}");
            let open = json(&place, &["rotations", "release", rotation]).await;
            assert_eq!(open["condition"], "open", "{open}");
            let told = refused(&place, &["rotations", "finish", rotation, "--reason", "now"]).await;
            assert!(told.contains("no work was done with the new key"), "{told}");
            let back = json(&place, &["rotations", "roll-back", rotation, "--reason", "later"]).await;
            assert_eq!(
                (&back["step"], &back["condition"]),
                (&"rolled-back".into(), &"ended".into()),
                "{back}"
            );

            let revoked = json(&place, &["keys", "revoke", id, "--reason", "over"]).await;
            assert_eq!(revoked["state"], "Revoked");
            if let Some(running) = running {
                assert_eq!(status(&running, &key).await, 401);
                running.stop().await;
            }
            let record = record(&place).await;
            let by_hand: Vec<_> = record
                .iter()
                .filter(|(name, _)| *name == user())
                .map(|(_, action)| action.as_str())
                .collect();
            assert_eq!(
                by_hand,
                [
                    "key.held",
                    "key.released",
                    "key.rotated",
                    "rotation.held",
                    "rotation.released",
                    "rotation.rolled-back",
                    "key.revoked"
                ],
                "{is_served} {record:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_secret_is_printed_only_when_it_is_asked_for() {
    let place = Place::on(sqlite());
    place.with_key("own").await;
    let told = done(&place, &["keys", "rotate", "everything"]).await;
    assert!(!told.contains("kwd_"), "{told}");
    assert!(told.contains("as soon as a server runs"), "{told}");
    let shown = json(&place, &["keys", "show", "everything"]).await;
    assert!(!shown.to_string().contains("kwd_"), "{shown}");
}

#[tokio::test]
async fn a_compromise_is_answered_from_the_command_line() {
    for database in databases().await {
        let place = Place::on(database);
        place.with_key("own").await;
        let case = json(&place, &["keys", "compromise", "everything", "--reason", "found in a log"]).await;
        assert_eq!(case["key"]["state"], "Held", "{case}");
        assert!(case["successor"]["id"].is_string(), "{case}");
        assert!(case["page"].as_str().unwrap().contains("/cases/"), "{case}");
    }
}

#[tokio::test]
async fn what_cannot_be_done_ends_with_1_and_changes_nothing() {
    let place = Place::on(sqlite());
    place.with_key("own").await;
    let before = record(&place).await;
    for (arguments, words) in [
        (vec!["keys", "show", "nobody"], "There is no such key."),
        (vec!["keys", "hold", "nobody", "--reason", "a"], "There is no such key."),
        (vec!["keys", "release", "everything"], "not held"),
        (vec!["rotations", "show", "rot_1"], "There is no such rotation."),
        (vec!["keys", "list", "--federation", "No Slug"], "There is no such federation."),
    ] {
        let told = refused(&place, &arguments).await;
        assert!(told.to_lowercase().contains(&words.to_lowercase()), "{arguments:?}: {told}");
    }
    assert_eq!(record(&place).await, before);
    for arguments in [vec!["keys"], vec!["keys", "hold", "everything"], vec!["keys", "list", "--loud"]] {
        let output = place.run(&arguments).await;
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", text(&output.stderr));
    }
}

#[tokio::test]
async fn where_there_is_no_database_none_is_made() {
    let place = Place::on(sqlite());
    let told = refused(&place, &["keys", "list"]).await;
    assert!(told.contains("there is no database at"), "{told}");
    assert!(!crate::process::sqlite_file(&place.database).exists());
}

#[tokio::test]
async fn the_socket_is_for_its_user_and_a_dead_one_is_nobody() {
    let place = Place::on(sqlite());
    assert_eq!(place.database.engine, Engine::Sqlite);
    place.with_key("own").await;
    let running = place.start("info").await;
    let socket = place.folder.path().join("data/keyward.sock");
    let mode = std::fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // A process that was killed leaves its socket; it answers nobody.
    running.kill().await;
    assert!(socket.exists());
    assert_eq!(json(&place, &["keys", "list"]).await[0]["name"], "everything");
    let running = place.start("info").await;
    assert_eq!(json(&place, &["keys", "list"]).await[0]["name"], "everything");
    running.stop().await;
    assert!(!socket.exists(), "the socket goes with the server");
}
