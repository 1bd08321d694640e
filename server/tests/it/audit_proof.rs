//! The program proves its audit log: anchors, exports, proofs of single records, and what a verifier that is
//! not ours says of them (T-AUD-03, T-AUD-05).

use std::{fs, path::PathBuf, process::Output};

use domain::audit::checkpoint::{Checkpoint, found_in};
use store::{
    Engine,
    testing::{databases, run_sql},
};

use crate::process::{Place, http_client};

struct Scene {
    place: Place,
    anchor: PathBuf,
    key: String,
}

fn words(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The line that names the root.
fn root(output: &Output) -> String {
    let told = words(output);
    told.lines().find(|line| line.starts_with("Root over")).unwrap_or_else(|| panic!("{told}")).to_owned()
}

fn python(arguments: &[&str]) -> Output {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/audit-verify.py");
    std::process::Command::new("python3").arg(script).args(arguments).output().unwrap()
}

impl Scene {
    /// A server that has run with an anchor file, and ended in order.
    async fn on(database: store::testing::TestDatabase) -> Self {
        let place = Place::on(database);
        let folder = place.folder().to_owned();
        fs::write(folder.join("keyward.toml"), "[audit]\nanchor_file = \"kept.anchor\"\n").unwrap();
        let secret = place.with_key("okta").await;
        let scene = Self { anchor: folder.join("kept.anchor"), place, key: String::new() };
        scene.serve(&secret, 3).await;
        let key = scene.place.run(&["audit", "key"]).await;
        assert_eq!(key.status.code(), Some(0), "{}", words(&key));
        Self { key: String::from_utf8(key.stdout).unwrap().trim().to_owned(), ..scene }
    }

    async fn serve(&self, secret: &str, users: usize) {
        let running = self.place.start("info").await;
        let http = http_client();
        for number in 0..users {
            let body = serde_json::json!({ "userName": format!("u{number}-{}", running.id()) }).to_string();
            let made =
                http.post(running.url("/scim/okta/v2/Users")).bearer_auth(secret).body(body).send().await;
            assert_eq!(made.unwrap().status(), 201);
        }
        running.stop().await;
    }

    fn file(&self, name: &str) -> String {
        self.place.folder().join(name).display().to_string()
    }

    fn anchored(&self) -> Vec<Checkpoint> {
        let text = fs::read_to_string(&self.anchor).unwrap();
        found_in(&text).iter().map(|note| Checkpoint::open(note, &[]).unwrap().0).collect()
    }

    /// A bundle of everything.
    async fn export(&self, name: &str) -> String {
        let path = self.file(name);
        let exported = self.place.run(&["audit", "export", &path]).await;
        assert_eq!(exported.status.code(), Some(0), "{}", words(&exported));
        path
    }
}

#[tokio::test]
async fn a_server_anchors_what_came_last_before_it_ends() {
    for database in databases().await {
        let scene = Scene::on(database).await;
        let anchored = scene.anchored();
        assert!(anchored.is_sorted_by_key(|checkpoint| checkpoint.size), "{anchored:?}");
        let verified = scene.place.run(&["audit", "verify"]).await;
        assert_eq!(verified.status.code(), Some(0), "{}", words(&verified));
        let told = words(&verified);
        assert!(told.contains("Verified: the anchor "), "{told}");
        assert!(
            told.contains(&format!("vouches for all {} records", anchored.last().unwrap().size)),
            "{told}"
        );
    }
}

#[tokio::test]
async fn the_verifier_in_python_agrees_on_an_export_and_on_whatever_is_changed_in_it() {
    for database in databases().await {
        let scene = Scene::on(database).await;
        let path = scene.export("audit.jsonl").await;
        let anchor = scene.anchor.display().to_string();
        let ours = scene
            .place
            .run(&["audit", "verify", "--export", &path, "--key", &scene.key, "--anchor", &anchor])
            .await;
        let theirs = python(&[&path, "--key", &scene.key, "--anchor", &anchor]);
        assert_eq!(
            (ours.status.code(), theirs.status.code()),
            (Some(0), Some(0)),
            "{}{}",
            words(&ours),
            words(&theirs)
        );
        assert_eq!(root(&ours), root(&theirs), "byte for byte");
        assert!(words(&theirs).contains("Verified up to record"), "{}", words(&theirs));
        let unanchored = python(&[&path, "--key", &scene.key]);
        assert!(words(&unanchored).contains("Unanchored since record 1"), "{}", words(&unanchored));
        assert!(!words(&unanchored).to_lowercase().contains("verified"));

        let lines: Vec<String> = fs::read_to_string(&path).unwrap().lines().map(str::to_owned).collect();
        let mut cases: Vec<(String, Vec<String>)> = Vec::new();
        for at in 1..lines.len() {
            if lines[at].starts_with("{\"checkpoint") {
                continue;
            }
            let mut cut = lines.clone();
            cut.remove(at);
            cases.push((format!("without line {at}"), cut));
        }
        for (what, from, to) in [
            ("an edit", "\"outcome\":\"done\"", "\"outcome\":\"refused\""),
            ("another time", "\"at_ms\":1", "\"at_ms\":2"),
            ("another root", "\"root\":\"", "\"root\":\"00"),
            ("another hash", "\"hash\":\"", "\"hash\":\"0"),
            ("another subtree", "\"subtrees\":[]", "\"subtrees\":[\"00\"]"),
        ] {
            let text = lines.join("\n");
            assert!(text.contains(from), "{what}");
            cases.push((what.to_owned(), text.replacen(from, to, 1).lines().map(str::to_owned).collect()));
        }
        let mut swapped = lines.clone();
        swapped.swap(3, 4);
        cases.push(("a swap".to_owned(), swapped));
        let bent = scene.file("bent.jsonl");
        for (what, lines) in cases {
            fs::write(&bent, lines.join("\n") + "\n").unwrap();
            let theirs = python(&[&bent, "--key", &scene.key, "--anchor", &anchor]);
            assert_eq!(theirs.status.code(), Some(1), "{what}: {}", words(&theirs));
            let trust = {
                let key = domain::audit::note::VerifierKey::parse(&scene.key).unwrap();
                let mut trust = domain::audit::verify::Trust::new(vec![key]);
                trust.add_anchor("the file", &fs::read_to_string(&anchor).unwrap());
                trust
            };
            let ours = domain::audit::bundle::check(lines.into_iter().map(Ok), &trust);
            assert!(ours.is_err() || ours.unwrap().report.fault.is_some(), "{what}");
        }
        // A stranger's key has signed nothing here.
        let stranger = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
        assert_eq!(python(&[&path, "--key", stranger]).status.code(), Some(1));
        let ours = scene.place.run(&["audit", "verify", "--export", &path, "--key", stranger]).await;
        assert_eq!(ours.status.code(), Some(1), "{}", words(&ours));
    }
}

#[tokio::test]
async fn the_proof_of_one_record_is_a_file_that_both_verifiers_take() {
    let scene = Scene::on(store::testing::sqlite()).await;
    let path = scene.file("three.tlog-proof");
    let written = scene.place.run(&["audit", "proof", "3", "--out", &path]).await;
    assert_eq!(written.status.code(), Some(0), "{}", words(&written));
    let ours = scene.place.run(&["audit", "verify", "--proof", &path, "--key", &scene.key]).await;
    let theirs = python(&["--proof", &path, "--key", &scene.key]);
    assert_eq!(
        (ours.status.code(), theirs.status.code()),
        (Some(0), Some(0)),
        "{}{}",
        words(&ours),
        words(&theirs)
    );
    assert!(words(&ours).starts_with("Proven: record 3:"), "{}", words(&ours));
    let text = fs::read_to_string(&path).unwrap();
    for (from, to) in [("index 2", "index 3"), ("extra ey", "extra eX"), ("keyward/mk", "keyward/nk")] {
        assert!(text.contains(from), "{text}");
        fs::write(&path, text.replacen(from, to, 1)).unwrap();
        let ours = scene.place.run(&["audit", "verify", "--proof", &path, "--key", &scene.key]).await;
        let theirs = python(&["--proof", &path, "--key", &scene.key]);
        assert_eq!((ours.status.code(), theirs.status.code()), (Some(1), Some(1)), "{from}");
    }
    let none = scene.place.run(&["audit", "proof", "999"]).await;
    assert_eq!(none.status.code(), Some(1), "{}", words(&none));
}

#[tokio::test]
async fn an_export_beside_a_running_server_is_made_and_recorded_by_it() {
    let scene = Scene::on(store::testing::sqlite()).await;
    let mut running = scene.place.start("info").await;
    let path = scene.export("beside.jsonl").await;
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains("\"action\":\"audit.exported\""), "the export is in itself");
    let theirs = python(&[&path, "--key", &scene.key]);
    assert_eq!(theirs.status.code(), Some(0), "{}", words(&theirs));
    let again = scene.place.run(&["audit", "export", &path]).await;
    assert_eq!(again.status.code(), Some(1), "no file is overwritten");
    running.terminate().await;
    assert!(running.ended().await.success());
}

#[tokio::test]
async fn a_database_that_was_rolled_back_ends_the_start_unless_the_operator_means_it() {
    for database in databases().await {
        let engine = database.engine;
        let scene = Scene::on(database).await;
        let drop = match engine {
            Engine::Sqlite => {
                "DROP TRIGGER audit_records_no_update; DROP TRIGGER audit_records_no_delete; DROP TRIGGER audit_head_stays;
                DROP TRIGGER checkpoints_no_update; DROP TRIGGER checkpoints_no_delete"
            }
            Engine::Postgres => {
                "DROP TRIGGER audit_records_no_update ON audit_records; DROP TRIGGER audit_head_stays ON audit_head;
                DROP TRIGGER checkpoints_no_update ON checkpoints"
            }
        };
        let sql = format!(
            "{drop}; DELETE FROM audit_records WHERE seq > 3; DELETE FROM checkpoints; DELETE FROM audit_nodes;
            UPDATE audit_head SET seq = 3, hash = (SELECT hash FROM audit_records WHERE seq = 3)"
        );
        run_sql(&scene.place.database.target, sql).await;
        let refused = scene.place.run(&["serve"]).await;
        let told = words(&refused);
        assert_eq!(refused.status.code(), Some(1), "{told}");
        assert!(
            told.contains("the database was rolled back") && told.contains("Keyward does not start"),
            "{told}"
        );
        let verified = scene.place.run(&["audit", "verify"]).await;
        assert!(words(&verified).contains("rollback: the log ends at record"), "{}", words(&verified));

        let toml = "[audit]\nanchor_file = \"kept.anchor\"\non_rollback = \"warn\"\n";
        fs::write(scene.place.folder().join("keyward.toml"), toml).unwrap();
        let running = scene.place.start("info").await;
        assert!(running.log().contains("the database was rolled back"), "{}", running.log());
        running.stop().await;
        let keyward = scene.place.open().await;
        let admin = ops::testing::cx(&keyward, domain::admins::Role::Admin);
        let found = ops::findings::list(&admin, &ops::findings::Wanted::default()).await.unwrap();
        let rules: Vec<_> = found.iter().map(|view| view.finding.rule).collect();
        assert!(rules.contains(&domain::findings::Rule::AuditRolledBack), "{rules:?}");
        keyward.close().await;
        // What was signed since is anchored, behind what the file had.
        let anchored = scene.anchored();
        assert!(
            anchored.last().unwrap().size < anchored[anchored.len() - 2].size || anchored.len() > 2,
            "{anchored:?}"
        );
    }
}

#[tokio::test]
async fn an_anchor_that_cannot_be_used_ends_the_start() {
    let place = Place::on(store::testing::sqlite());
    for (audit, told) in [
        ("anchor_file = \"/nowhere/anchor\"", "cannot be used"),
        (
            "anchor_webhook = \"https://10.0.0.1/\"\nanchor_webhook_secret = \"whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD\"",
            "the webhook of the audit log",
        ),
    ] {
        fs::write(place.folder().join("keyward.toml"), format!("[audit]\n{audit}\n")).unwrap();
        let refused = place.run(&["serve"]).await;
        assert_eq!(refused.status.code(), Some(1), "{}", words(&refused));
        assert!(words(&refused).contains(told), "{}", words(&refused));
    }
    for (audit, key) in [
        ("origin = \"a b\"", "audit.origin"),
        ("anchor_syslog = \"http://log:1\"", "audit.anchor_syslog"),
        ("anchor_webhook = \"https://siem.example.com/\"", "audit.anchor_webhook"),
        ("anchor_webhook_secret = \"whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD\"", "audit.anchor_webhook_secret"),
        ("on_rollback = \"ignore\"", "audit.on_rollback"),
    ] {
        fs::write(place.folder().join("keyward.toml"), format!("[audit]\n{audit}\n")).unwrap();
        let refused = place.run(&["config", "check"]).await;
        assert_eq!(refused.status.code(), Some(78), "{audit}: {}", words(&refused));
        assert!(words(&refused).contains(key), "{audit}: {}", words(&refused));
    }
}
