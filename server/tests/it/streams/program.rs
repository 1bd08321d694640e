//! The program itself, with streams in its configuration.

use std::{collections::BTreeSet, fs};

use domain::audit::Action;
use store::testing::{databases, run_sql};

use super::{
    assert_complete, first_of,
    receivers::{Hook, LogHost, SIGNING},
};
use crate::process::{Place, Running, http_client};

async fn users(running: &Running, secret: &str, names: &[String]) {
    let http = http_client();
    for name in names {
        let body = serde_json::json!({ "userName": name }).to_string();
        let made = http.post(running.url("/scim/okta/v2/Users")).bearer_auth(secret).body(body).send().await;
        assert_eq!(made.unwrap().status(), 201);
    }
}

/// Ten users whose making must arrive.
fn kept(from: usize) -> Vec<String> {
    (from..from + 10).map(|number| format!("kept-{number}")).collect()
}

/// How many of them a receiver was told.
fn told(hook: &Hook) -> usize {
    let records = hook.records();
    let created = records.iter().filter(|record| record["action"] == Action::UserCreated.as_str());
    let names: BTreeSet<&str> = created.filter_map(|record| record["target"].as_str()).collect();
    names.into_iter().filter(|name| name.starts_with("kept-")).count()
}

#[tokio::test]
async fn a_server_that_is_killed_while_its_receiver_is_away_leaves_no_gap() {
    for database in databases().await {
        let hook = Hook::start().await;
        let host = LogHost::start().await;
        let place = Place::on(database);
        let secret = place.with_key("okta").await;
        let config = format!(
            "[stream]\nwebhook = \"{}\"\nwebhook_secret = \"{SIGNING}\"\nsyslog = \"{}\"\n",
            hook.url, host.target
        );
        fs::write(place.folder().join("keyward.toml"), config).unwrap();
        // The first round of the first start is where the streams begin: what was before it does not come.
        let running = place.start("info").await;
        let mut begun = 0;
        while hook.ids().is_empty() {
            users(&running, &secret, &[format!("before-{begun}")]).await;
            begun += 1;
        }
        users(&running, &secret, &kept(10)).await;
        hook.refuses(503);
        users(&running, &secret, &kept(20)).await;
        running.kill().await;
        // As if its lease had ended, which takes half a minute.
        let over = "UPDATE leases SET expires_ms = 0 WHERE name LIKE 'stream-%'";
        run_sql(&place.database.target, over.to_owned()).await;

        let running = place.start("info").await;
        users(&running, &secret, &kept(30)).await;
        hook.accepts();
        hook.until(|hook| told(hook) == 30).await;
        running.stop().await;
        assert_complete(&first_of(&hook.ids()), "audit");
        assert_complete(&first_of(&host.ids()), "audit");
        assert!(host.ids().iter().any(|id| id.starts_with("audit-")), "the log host had its own place");
    }
}

#[tokio::test]
async fn a_stream_that_cannot_be_used_is_refused_with_its_key() {
    let place = Place::on(store::testing::sqlite());
    let words = |output: &std::process::Output| {
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    };
    for (stream, key) in [
        ("webhook = \"https://siem.example.com/\"", "stream.webhook"),
        ("webhook_secret = \"whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD\"", "stream.webhook_secret"),
        ("webhook = \"https://siem.example.com/\"\nwebhook_secret = \"short\"", "stream.webhook_secret"),
        ("webhook_format = \"csv\"", "stream.webhook_format"),
        ("syslog = \"http://log:1\"", "stream.syslog"),
        ("syslog = \"tcp://log:1\"\nsyslog_ca_file = \"ca.pem\"", "stream.syslog_ca_file"),
        ("syslog = \"tls://log:1\"\nsyslog_ca_file = \"nowhere.pem\"", "stream.syslog_ca_file"),
        ("records = []", "stream.records"),
        ("records = [\"findings\"]", "stream.records"),
        ("behind_minutes = 1", "stream.behind_minutes"),
    ] {
        fs::write(place.folder().join("keyward.toml"), format!("[stream]\n{stream}\n")).unwrap();
        let refused = place.run(&["config", "check"]).await;
        assert_eq!(refused.status.code(), Some(78), "{stream}: {}", words(&refused));
        assert!(words(&refused).contains(key), "{stream}: {}", words(&refused));
    }
    let barred =
        "webhook = \"https://10.0.0.1/\"\nwebhook_secret = \"whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD\"";
    fs::write(place.folder().join("keyward.toml"), format!("[stream]\n{barred}\n")).unwrap();
    let refused = place.run(&["serve"]).await;
    assert_eq!(refused.status.code(), Some(1), "{}", words(&refused));
    assert!(words(&refused).contains("the webhook of the stream"), "{}", words(&refused));
}
