//! What is accepted, and which layer counts.

use std::{net::SocketAddr, time::Duration};

use server::config::{self, DatabaseKind, LogFormat, UsageReads};

use crate::support::{GOOD, KEY, Place};

#[test]
fn a_small_file_is_enough() {
    let config = Place::good().load();
    assert_eq!(config.public_url.origin(), "https://keyward.example.com");
    assert!(config.public_url.is_https());
    assert_eq!(config.database_url.expose(), "sqlite:./data/keyward.db");
    assert_eq!(config.database_kind, DatabaseKind::Sqlite);
    assert_eq!(config.oidc.issuer, "https://id.example.com/realms/main");
    assert_eq!(config.oidc.client_secret.unwrap().expose(), "s3cret-of-the-client");
    assert_eq!(config.oidc.scopes, ["openid", "profile", "email"]);
    assert_eq!(config.oidc.roles_claim, "groups");
    assert_eq!(config.usage_reads, UsageReads::Batched);
    assert_eq!(config.logging.format, None);
    assert_eq!(config.limits, config::Limits::default());
    assert_eq!(config.session, config::Session::default());
    assert_eq!(config.metrics_listen, None);
}

#[test]
fn flags_stand_over_the_environment_over_the_file_over_defaults() {
    let place = Place::good();
    assert_eq!(place.load().source("listen"), "keyward.toml:2");
    assert_eq!(place.load().source("data_dir"), "default");
    assert_eq!(place.load().source("master_key"), "keyward.toml:3", "the place of the file that holds it");
    let place = place.set("KEYWARD_LISTEN", "127.0.0.1:1000");
    assert_eq!(place.load().listen, "127.0.0.1:1000".parse::<SocketAddr>().unwrap());
    assert_eq!(place.load().source("listen"), "environment KEYWARD_LISTEN");
    let place = place.flag("listen", "127.0.0.1:2000");
    assert_eq!(place.load().listen, "127.0.0.1:2000".parse::<SocketAddr>().unwrap());
    assert_eq!(place.load().source("listen"), "flag --listen");
}

#[test]
fn everything_can_come_from_the_environment() {
    let place = Place::with("")
        .set("KEYWARD_PUBLIC_URL", "http://localhost:8080/")
        .set("KEYWARD_MASTER_KEY", KEY)
        .set("KEYWARD_DATABASE_URL", "postgres://keyward:hunter2@db/keyward")
        .set("KEYWARD_TRUSTED_PROXIES", "10.0.0.0/8, 192.0.2.1")
        .set("KEYWARD_OIDC__ISSUER", "http://127.0.0.1:9000")
        .set("KEYWARD_OIDC__CLIENT_ID", "007")
        .set("KEYWARD_OIDC__SCOPES", "openid,groups")
        .set("KEYWARD_ROLES__ADMIN", "[\"a, b\", \"c\"]")
        .set("KEYWARD_ROLES__OPERATOR", "{ \"okta.team\" = [\"okta-prod\"] }")
        .set("KEYWARD_USAGE__READS", "strict")
        .set("KEYWARD_LOG__FORMAT", "text")
        .set("KEYWARD_LIMITS__HEADER_TIMEOUT_MS", "2500")
        .set("KEYWARD_SESSION__IDLE_MINUTES", "10")
        .set("PATH", "/bin");
    let config = place.load();
    assert_eq!(config.public_url.origin(), "http://localhost:8080");
    assert_eq!(config.database_kind, DatabaseKind::Postgres);
    assert!(config.trusted_proxies.trusts("10.1.2.3".parse().unwrap()));
    assert!(config.trusted_proxies.trusts("::ffff:192.0.2.1".parse().unwrap()));
    assert!(!config.trusted_proxies.trusts("192.0.2.2".parse().unwrap()));
    assert_eq!(config.oidc.client_id, "007");
    assert!(config.oidc.client_secret.is_none());
    assert_eq!(config.oidc.scopes, ["openid", "groups"]);
    assert_eq!(config.roles.admin, ["a, b", "c"]);
    assert_eq!(config.roles.operator["okta.team"][0].as_str(), "okta-prod");
    assert_eq!(config.usage_reads, UsageReads::Strict);
    assert_eq!(config.logging.format, Some(LogFormat::Text));
    assert_eq!(config.limits.header_timeout, Duration::from_millis(2500));
    assert_eq!(config.session.idle, Duration::from_mins(10));
}

#[test]
fn a_later_layer_replaces_a_map_whole() {
    let text = format!("{GOOD}operator = {{ old = [\"okta-prod\"] }}\n");
    let place = Place::with(&text);
    assert_eq!(place.load().roles.operator.len(), 1);
    let config = place.set("KEYWARD_ROLES__OPERATOR", "{ new = [\"entra\"] }").load();
    assert_eq!(config.roles.operator.keys().collect::<Vec<_>>(), ["new"]);
}

#[test]
fn secrets_come_from_files_without_their_line_break() {
    let place = Place::with(&GOOD.replace("client_secret = \"s3cret-of-the-client\"", ""));
    place.file("secret", "of the file\r\n", 0o600);
    place.file("database", "postgres://keyward@db/keyward\n", 0o600);
    let place = place
        .set("KEYWARD_OIDC__CLIENT_SECRET_FILE", "FOLDER/secret")
        .set("KEYWARD_DATABASE_URL_FILE", "FOLDER/database");
    let config = place.load();
    assert_eq!(config.oidc.client_secret.unwrap().expose(), "of the file");
    assert_eq!(config.database_url.expose(), "postgres://keyward@db/keyward");
}

#[test]
fn a_master_key_is_read_in_any_usual_writing() {
    use base64::Engine as _;
    let bytes = base64::engine::general_purpose::STANDARD.decode(KEY).unwrap();
    let hex = bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
    let url_safe = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(&bytes);
    for text in [KEY, KEY.trim_end_matches('='), &hex, &hex.to_uppercase(), &url_safe] {
        let place = Place::with(&GOOD.replace("master_key_file = \"MASTER\"", ""));
        let config = place.set("KEYWARD_MASTER_KEY", text).load();
        assert_eq!(config.master_key.expose().as_slice(), bytes, "{text}");
    }
}

#[test]
fn variables_of_kubernetes_are_not_taken_for_settings() {
    let place = Place::good()
        .set("KEYWARD_SERVICE_HOST", "10.0.0.1")
        .set("KEYWARD_SERVICE_PORT", "80")
        .set("KEYWARD_SERVICE_PORT_HTTP", "80")
        .set("KEYWARD_PORT", "tcp://10.0.0.1:80")
        .set("KEYWARD_PORT_80_TCP", "tcp://10.0.0.1:80")
        .set("KEYWARD_PORT_80_TCP_ADDR", "10.0.0.1");
    assert_eq!(place.problems(), []);
    assert_eq!(place.set("KEYWARD_PORT", "8080").problems().len(), 1);
}

#[test]
fn another_file_is_read_when_named() {
    let place = Place::good();
    let other = place.file("other.toml", "nonsense = 1\n", 0o600);
    let named = place.set("KEYWARD_CONFIG", other.to_str().unwrap());
    assert!(named.problems().iter().any(|problem| problem.source == "other.toml:1"));
    let mut by_flag = named;
    by_flag.sources.file = Some(by_flag.path().join("keyward.toml"));
    assert_eq!(by_flag.problems(), []);
}

#[test]
fn the_example_is_accepted_once_its_keys_are_filled_in() {
    let example = config::example()
        .replace("# master_key_file = \"/etc/keyward/master.key\"", "master_key_file = \"MASTER\"");
    let place = Place::with(&example);
    assert_eq!(place.problems(), []);
    // Every line that is commented out is a setting that is accepted, too.
    let all: String = example
        .lines()
        .map(|line| {
            line.strip_prefix("# ").filter(|rest| is_assignment(rest)).unwrap_or(line).to_owned() + "\n"
        })
        .collect();
    let place = Place::with(&all.replace("./data", "FOLDER/data"));
    let keys: Vec<String> = place.problems().into_iter().map(|problem| problem.key).collect();
    // Alternatives of one setting, side by side.
    let alternatives = [
        "database_url",
        "master_key",
        "oidc.client_secret",
        "audit.anchor_webhook_secret",
        "stream.webhook_secret",
        "mail.password",
    ];
    // Files that are not there.
    let files = ["stream.syslog_ca_file", "mail.trusted_ca_file", "leaks.public_key_file"];
    let (absent, both): (Vec<&str>, Vec<&str>) =
        keys.iter().map(String::as_str).partition(|key| files.contains(key));
    assert_eq!((both.as_slice(), absent.as_slice()), (alternatives.as_slice(), files.as_slice()));
}

fn is_assignment(line: &str) -> bool {
    let name = line.split(" = ").next().unwrap_or_default();
    line.contains(" = ") && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

#[test]
fn the_table_names_every_setting_and_no_secret() {
    let place = Place::good().set("KEYWARD_DATABASE_URL", "postgres://keyward:hunter2@db/keyward");
    let table = config::table(&place.load().origins);
    assert_eq!(table.lines().count(), config::settings::SETTINGS.len());
    for secret in ["hunter2", "s3cret", KEY] {
        assert!(!table.contains(secret), "{table}");
    }
    let line = |key: &str| table.lines().find(|line| line.split_whitespace().next() == Some(key)).unwrap();
    assert!(line("oidc.client_secret").contains(" set "), "{table}");
    assert!(line("oidc.client_secret").ends_with("keyward.toml:8"), "{table}");
    assert!(line("oidc.client_secret_file").ends_with("not set"), "{table}");
    assert!(line("database_url").contains("postgres://keyward:password-not-shown@db/keyward"), "{table}");
}

#[test]
fn a_generated_master_key_is_accepted() {
    let key = config::MasterKeyBytes::generate(&server::tasks::clock::OsEntropy);
    let place = Place::with(&GOOD.replace("MASTER", "FOLDER/new.key"));
    let path = place.path().join("new.key");
    key.write_new(&path).unwrap();
    assert_eq!(place.load().master_key.expose(), key.expose());
    assert!(key.write_new(&path).is_err(), "a key is never overwritten");
}

#[tokio::test]
async fn a_port_in_use_names_the_setting() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let config = Place::good().set("KEYWARD_METRICS_LISTEN", &address).flag("listen", "192.0.2.1:9").load();
    let problems = config.bind().await.unwrap_err().0;
    let told: Vec<_> =
        problems.iter().map(|p| (p.key.as_str(), p.source.as_str(), p.expected.as_str())).collect();
    assert_eq!(
        told,
        [
            ("listen", "flag --listen", "an address of this machine"),
            ("metrics_listen", "environment KEYWARD_METRICS_LISTEN", "a port that is free"),
        ]
    );
}

#[test]
fn a_demo_listens_on_loopback_only() {
    for text in ["127.0.0.1:8080", "127.8.8.8:1", "[::1]:8080"] {
        assert!(config::demo_address(text).is_ok(), "{text}");
    }
    for text in ["0.0.0.0:8080", "192.0.2.1:8080", "[::]:8080", "[::ffff:192.0.2.1]:80", "localhost:8080", ""]
    {
        let problem = config::demo_address(text).unwrap_err();
        assert_eq!(problem.key, "listen", "{text}");
    }
}

#[test]
fn the_data_folder_is_closed_to_other_users() {
    use std::os::unix::fs::PermissionsExt as _;
    let place = Place::good().set("KEYWARD_DATA_DIR", "FOLDER/deep/data");
    place.load().make_data_dir().unwrap();
    let mode = std::fs::metadata(place.path().join("deep/data")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}
