//! Configurations that are refused: the setting, its place, what was expected, what to do.

use crate::support::{GOOD, KEY, Place};

/// What is done to the accepted configuration.
enum Change {
    /// A text of the file is replaced by another.
    File(&'static str, &'static str),
    /// Lines are added before the first table.
    Top(&'static str),
    /// Lines are added at the end.
    End(&'static str),
    /// A variable is set.
    Variable(&'static str, &'static str),
    /// A flag is set.
    Flag(&'static str, &'static str),
}

use Change::{End, File, Flag, Top, Variable};

/// The change; setting, place, and words that must stand in "expected" or "fix".
#[rustfmt::skip]
const CASES: &[(Change, &str, &str, &str)] = &[
    // Names.
    (Top("listn = \"127.0.0.1:1\"\n"), "listn", "keyward.toml:1", "did you mean listen?"),
    (Top("xyzzy = 1\n"), "xyzzy", "keyward.toml:1", "keyward config example"),
    (End("[sesion]\nidle_minutes = 5\n"), "sesion.idle_minutes", "keyward.toml:13", "did you mean session.idle_minutes?"),
    (End("[empty]\n"), "empty", "keyward.toml:12", "remove it"),
    (End("[oidc.client]\nid = \"x\"\n"), "oidc.client.id", "keyward.toml:13", "the name of a setting"),
    (File("client_id = ", "clientid = "), "oidc.clientid", "keyward.toml:7", "did you mean oidc.client_id?"),
    (File("[oidc]\n", "[log]\nlevle = \"info\"\n[oidc]\n"), "log.levle", "keyward.toml:6", "did you mean log.level?"),
    (File("[roles]", "[rolls]"), "rolls.admin", "keyward.toml:11", "did you mean roles.admin?"),
    (Top("session = 5\n"), "session", "keyward.toml:1", "the name of a setting"),
    (Variable("KEYWARD_LISTN", "x"), "listn", "environment KEYWARD_LISTN", "did you mean KEYWARD_LISTEN?"),
    (Variable("KEYWARD_OIDC_ISSUER", "x"), "oidc_issuer", "environment KEYWARD_OIDC_ISSUER", "did you mean KEYWARD_OIDC__ISSUER?"),
    (Variable("KEYWARD_CLIENT_SECRET", "x"), "client_secret", "environment KEYWARD_CLIENT_SECRET", "did you mean KEYWARD_OIDC__CLIENT_SECRET?"),
    (Variable("keyward_listen", "127.0.0.1"), "listen", "environment keyward_listen", "an IP address and a port"),
    // TOML.
    (Top("listen = 127.0.0.1\n"), "config", "keyward.toml:1", "TOML"),
    (Top("public_url = \"https://a.example\"\n"), "config", "keyward.toml:2", "a key stands once"),
    (End("[oidc]\n"), "config", "keyward.toml:12", "TOML"),
    // Addresses of Keyward.
    (File("https://keyward.example.com", "http://keyward.example.com"), "public_url", "keyward.toml:1", "reverse proxy"),
    (File("https://keyward.example.com", "http://10.0.0.1"), "public_url", "keyward.toml:1", "plain http only for localhost"),
    (File("https://keyward.example.com", "http://localhost.example.com"), "public_url", "keyward.toml:1", "plain http only"),
    (File("https://keyward.example.com", "keyward.example.com"), "public_url", "keyward.toml:1", "did you mean https://keyward.example.com?"),
    (File("https://keyward.example.com", "https://keyward.example.com/app"), "public_url", "keyward.toml:1", "no path"),
    (File("https://keyward.example.com", "https://keyward.example.com?x=1"), "public_url", "keyward.toml:1", "no path, no ?"),
    (File("https://keyward.example.com", "https://me:pw@keyward.example.com"), "public_url", "keyward.toml:1", "without user and password"),
    (File("https://keyward.example.com", "ftp://keyward.example.com"), "public_url", "keyward.toml:1", "https"),
    (File("https://keyward.example.com", "  "), "public_url", "keyward.toml:1", "not empty"),
    (File("public_url = \"https://keyward.example.com\"", ""), "public_url", "not set", "KEYWARD_PUBLIC_URL"),
    (File("\"https://keyward.example.com\"", "443"), "public_url", "keyward.toml:1", "a text in quotes"),
    // Where it listens.
    (File("127.0.0.1:0", "localhost:8080"), "listen", "keyward.toml:2", "did you mean 127.0.0.1:8080?"),
    (File("127.0.0.1:0", ":8080"), "listen", "keyward.toml:2", "did you mean 0.0.0.0:8080"),
    (File("127.0.0.1:0", "8080"), "listen", "keyward.toml:2", "did you mean 127.0.0.1:8080?"),
    (File("127.0.0.1:0", "127.0.0.1:99999"), "listen", "keyward.toml:2", "an IP address and a port"),
    (File("\"127.0.0.1:0\"", "8080"), "listen", "keyward.toml:2", "a text in quotes"),
    (Flag("listen", "nowhere"), "listen", "flag --listen", "an IP address and a port"),
    (Variable("KEYWARD_METRICS_LISTEN", "metrics"), "metrics_listen", "environment KEYWARD_METRICS_LISTEN", "an IP address"),
    (File("listen = \"127.0.0.1:0\"", "listen = \"0.0.0.0:81\"\nmetrics_listen = \"127.0.0.1:81\""), "metrics_listen", "keyward.toml:3", "another address than listen"),
    (Top("data_dir = \"FOLDER/keyward.toml\"\n"), "data_dir", "keyward.toml:1", "a folder"),
    // The database.
    (Top("database_url = \"mysql://db/keyward\"\n"), "database_url", "keyward.toml:1", "sqlite:PATH or postgres://"),
    (Top("database_url = \"keyward.db\"\n"), "database_url", "keyward.toml:1", "sqlite:PATH or postgres://"),
    (Top("database_url = \"sqlite::memory:\"\n"), "database_url", "keyward.toml:1", "lost at the end"),
    (Top("database_url = \"sqlite://\"\n"), "database_url", "keyward.toml:1", "sqlite:PATH"),
    (Top("database_url = \"postgres://db\"\n"), "database_url", "keyward.toml:1", "/DATABASE"),
    (Variable("KEYWARD_DATABASE_URL_FILE", "/nowhere/at/all"), "database_url_file", "environment KEYWARD_DATABASE_URL_FILE", "correct the path"),
    // The master key.
    (File("master_key_file = \"MASTER\"", ""), "master_key", "not set", "keyward master-key generate"),
    (Variable("KEYWARD_MASTER_KEY", "x"), "master_key", "environment KEYWARD_MASTER_KEY and keyward.toml:3", "one of them"),
    (File("\"MASTER\"", "\"/nowhere/at/all\""), "master_key_file", "keyward.toml:3", "no such file"),
    (File("\"MASTER\"", "\"FOLDER/empty\""), "master_key_file", "keyward.toml:3", "not empty"),
    (File("\"MASTER\"", "\"FOLDER/open.key\""), "master_key_file", "keyward.toml:3", "chmod 600"),
    (File("\"MASTER\"", "\"FOLDER/group.key\""), "master_key_file", "keyward.toml:3", "not mode 640"),
    (File("\"MASTER\"", "\"FOLDER/short.key\""), "master_key_file", "keyward.toml:3", "not 16"),
    (File("master_key_file = \"MASTER\"", "master_key = \"not base64!\""), "master_key", "keyward.toml:3", "32 bytes in base64"),
    (File("master_key_file = \"MASTER\"", "master_key = \"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\""), "master_key", "keyward.toml:3", "can be guessed"),
    (File("master_key_file = \"MASTER\"", "master_key = \"dGhpcyBpcyBhIHNlY3JldCBvZiBhIHBlcnNvbiEhISE=\""), "master_key", "keyward.toml:3", "can be guessed"),
    // Proxies.
    (Top("trusted_proxies = [\"proxy.internal\"]\n"), "trusted_proxies", "keyward.toml:1", "host names are not looked up"),
    (Top("trusted_proxies = [\"10.1.2.3/8\"]\n"), "trusted_proxies", "keyward.toml:1", "did you mean 10.0.0.0/8 or 10.1.2.3?"),
    (Top("trusted_proxies = [\"0.0.0.0/0\"]\n"), "trusted_proxies", "keyward.toml:1", "anybody could claim any address"),
    (Top("trusted_proxies = [\"10.0.0.0/33\"]\n"), "trusted_proxies", "keyward.toml:1", "networks such as"),
    (Top("trusted_proxies = \"10.0.0.0/8\"\n"), "trusted_proxies", "keyward.toml:1", "a list of texts"),
    // Sign-in.
    (File("https://id.example.com", "http://id.example.com"), "oidc.issuer", "keyward.toml:6", "plain http only for localhost"),
    (File("/realms/main", "/.well-known/openid-configuration"), "oidc.issuer", "keyward.toml:6", "did you mean https://id.example.com?"),
    (File("/realms/main", "?realm=main"), "oidc.issuer", "keyward.toml:6", "without ? and #"),
    (File("https://id.example.com/realms/main", "id.example.com"), "oidc.issuer", "keyward.toml:6", "did you mean https://id.example.com?"),
    (File("issuer = \"https://id.example.com/realms/main\"\n", ""), "oidc.issuer", "not set", "KEYWARD_OIDC__ISSUER"),
    (File("client_id = \"keyward\"\n", ""), "oidc.client_id", "not set", "under [oidc]"),
    (File("client_id = \"keyward\"", "client_id = 7"), "oidc.client_id", "keyward.toml:7", "a text in quotes"),
    (Variable("KEYWARD_OIDC__CLIENT_SECRET", ""), "oidc.client_secret", "environment KEYWARD_OIDC__CLIENT_SECRET", "not empty"),
    (Variable("KEYWARD_OIDC__CLIENT_SECRET_FILE", "FOLDER/empty"), "oidc.client_secret", "keyward.toml:8 and environment KEYWARD_OIDC__CLIENT_SECRET_FILE", "one of them"),
    (Variable("KEYWARD_OIDC__SCOPES", "profile email"), "oidc.scopes", "environment KEYWARD_OIDC__SCOPES", "openid"),
    // Mail, and who reports leaks.
    (Variable("KEYWARD_MAIL__FROM", "a@example.com"), "mail.from", "environment KEYWARD_MAIL__FROM", "mail.host"),
    (Variable("KEYWARD_MAIL__HOST", "smtp.example.com"), "mail.host", "environment KEYWARD_MAIL__HOST", "mail.from"),
    (Variable("KEYWARD_MAIL__TLS", "ssl"), "mail.tls", "environment KEYWARD_MAIL__TLS", "starttls"),
    (File("[oidc]\n", "[mail]\nhost = \"smtp.example.com\"\nfrom = \"a@example.com\"\ntls = \"none\"\nuser = \"a\"\npassword = \"b\"\n[oidc]\n"), "mail.tls", "keyward.toml:8", "sent in the open"),
    (Variable("KEYWARD_LEAKS__PUBLIC_KEY_FILE", "/nowhere/at/all"), "leaks.public_key_file", "environment KEYWARD_LEAKS__PUBLIC_KEY_FILE", "correct the path"),
    // Roles.
    (File("admin = [\"keyward-admins\"]", ""), "roles.admin", "not set", "KEYWARD_ROLES__ADMIN"),
    (File("[\"keyward-admins\"]", "[]"), "roles.admin", "keyward.toml:11", "nobody could ever sign in"),
    (File("[\"keyward-admins\"]", "[\"\"]"), "roles.admin", "keyward.toml:11", "none of them empty"),
    (End("operator = { team = [\"Okta Prod\"] }\n"), "roles.operator", "keyward.toml:12", "slugs of federations"),
    (End("operator = { team = [] }\n"), "roles.operator", "keyward.toml:12", "at least one federation"),
    (End("operator = [\"team\"]\n"), "roles.operator", "keyward.toml:12", "a table from a text to a list"),
    (Variable("KEYWARD_ROLES__OPERATOR", "team=okta"), "roles.operator", "environment KEYWARD_ROLES__OPERATOR", "a table from a text"),
    // Words and numbers.
    (End("[usage]\nreads = \"stict\"\n"), "usage.reads", "keyward.toml:13", "did you mean \"strict\"?"),
    (End("[log]\nformat = \"xml\"\n"), "log.format", "keyward.toml:13", "one of json, text"),
    (Flag("log.level", "INFO"), "log.level", "flag --log-level", "did you mean \"info\"?"),
    (End("[limits]\nbody_bytes = 10\n"), "limits.body_bytes", "keyward.toml:13", "from 1024 to 67108864"),
    (End("[limits]\nheader_timeout_ms = -1\n"), "limits.header_timeout_ms", "keyward.toml:13", "from 100 to 60000"),
    (End("[limits]\nconnections = \"many\"\n"), "limits.connections", "keyward.toml:13", "a whole number"),
    (End("[limits]\nconnections = 1.5\n"), "limits.connections", "keyward.toml:13", "a whole number"),
    (End("[limits]\nconnections = 10\nconnections_per_address = 11\n"), "limits.connections_per_address", "keyward.toml:14", "at most limits.connections, 10"),
    (Variable("KEYWARD_LIMITS__CONNECTIONS", "1e3"), "limits.connections", "environment KEYWARD_LIMITS__CONNECTIONS", "a whole number"),
    (End("[session]\nidle_minutes = 0\n"), "session.idle_minutes", "keyward.toml:13", "from 1 to 1440"),
    (End("[session]\nabsolute_hours = 1000\n"), "session.absolute_hours", "keyward.toml:13", "from 1 to 168"),
    (End("[session]\nidle_minutes = 100\nabsolute_hours = 1\n"), "session.idle_minutes", "keyward.toml:13", "at most session.absolute_hours"),
];

fn place(change: &Change) -> Place {
    let place = match *change {
        File(from, to) => {
            assert!(GOOD.contains(from), "{from}");
            Place::with(&GOOD.replacen(from, to, 1))
        }
        Top(lines) => Place::with(&format!("{lines}{GOOD}")),
        End(lines) => Place::with(&format!("{GOOD}{lines}")),
        Variable(name, value) => Place::good().set(name, value),
        Flag(key, value) => Place::good().flag(key, value),
    };
    place.file("empty", "\n", 0o600);
    place.file("open.key", KEY, 0o644);
    place.file("group.key", KEY, 0o640);
    place.file("short.key", "q83vEjRWeJCrze8SNFZ4kA==", 0o600);
    place
}

#[test]
fn each_bad_configuration_names_the_setting_its_place_and_the_remedy() {
    assert!(CASES.len() >= 40);
    for (change, key, source, words) in CASES {
        let problems = place(change).problems();
        let told = problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        let found = problems.iter().any(|problem| {
            problem.key == *key
                && problem.source == *source
                && format!("{} {}", problem.expected, problem.fix).contains(words)
        });
        assert!(found, "{key} ({source}), {words:?} is not in:\n{told}");
        let expected =
            if ["oidc.clientid", "rolls.admin", "sesion.idle_minutes"].contains(key) { 2 } else { 1 };
        assert!(problems.len() <= expected, "{key}: more than that is said:\n{told}");
    }
}

#[test]
fn no_message_holds_a_secret() {
    for (change, ..) in CASES {
        let place = place(change);
        let told = place.problems().iter().map(ToString::to_string).collect::<String>();
        for secret in [KEY, "s3cret-of-the-client", "q83vEjRWeJCrze8SNFZ4kA", "AAAAAAAAAA", "not base64!"] {
            assert!(!told.contains(secret), "{told}");
        }
    }
    let place = Place::good()
        .set("KEYWARD_DATABASE_URL", "postgres://keyward:hunter2@")
        .set("KEYWARD_CLIENT_SECRT", "hunter2")
        .set("KEYWARD_PUBLIC_URL", "https://me:hunter2@keyward.example.com")
        .set("KEYWARD_OIDC__ISSUER", "nonsense");
    let told = place.problems().iter().map(ToString::to_string).collect::<String>();
    assert!(
        told.contains("database_url") && told.contains("oidc.issuer") && !told.contains("hunter2"),
        "{told}"
    );
}

#[test]
fn all_problems_are_told_at_once() {
    let place = Place::with("public_url = 1\nlisten = \"x\"\nnonsense = 1\n[session]\nidle_minutes = 0\n");
    let keys: Vec<String> = place.problems().into_iter().map(|problem| problem.key).collect();
    let expected = [
        "nonsense",
        "public_url",
        "listen",
        "master_key",
        "oidc.issuer",
        "oidc.client_id",
        "roles.admin",
        "session.idle_minutes",
    ];
    assert_eq!(keys, expected);
}

#[test]
fn a_missing_file_is_a_problem_only_when_it_was_named() {
    let mut place = Place::good();
    std::fs::remove_file(place.path().join("keyward.toml")).unwrap();
    assert!(!place.problems().iter().any(|problem| problem.key == "config"));
    place.sources.file = Some(place.path().join("keyward.toml"));
    let problem = place.problems().remove(0);
    assert_eq!((problem.key.as_str(), problem.source.as_str()), ("config", "flag --config"));
}

#[test]
fn an_inline_master_key_asks_for_a_closed_file() {
    let place =
        Place::with(&GOOD.replace("master_key_file = \"MASTER\"", &format!("master_key = \"{KEY}\"")));
    assert_eq!(place.problems(), []);
    let path = place.path().join("keyward.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    place.file("keyward.toml", &text, 0o644);
    let problems = place.problems();
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].key, "master_key");
    assert!(problems[0].fix.starts_with("chmod 600 "), "{}", problems[0].fix);
}

#[test]
fn two_variables_for_one_setting_are_refused() {
    let place = Place::good().set("KEYWARD_LISTEN", "127.0.0.1:1").set("keyward_listen", "127.0.0.1:2");
    let problems = place.problems();
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].source, "environment KEYWARD_LISTEN and environment keyward_listen");
}
