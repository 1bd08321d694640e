//! The table of settings: name, shape, default, and the words that explain it.
//!
//! Everything that speaks of settings reads this table: the layers, the refusal of unknown keys,
//! `config check`, `config example`. To add a setting, add a row here and a field in
//! [`super::rules`].

/// How a setting is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// A text.
    Text,
    /// A whole number.
    Integer,
    /// A list of texts; in the environment also separated by commas.
    List,
    /// A table from a text to a list of texts; in the environment an inline TOML table.
    Map,
}

/// Whether the value may be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// As it is.
    Open,
    /// Never; only whether it is set.
    Secret,
    /// An address that may hold a password: shown without it.
    Address,
}

/// One setting.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// Its name, a dot between table and key.
    pub key: &'static str,
    /// How it is written.
    pub shape: Shape,
    /// Whether its value may be shown.
    pub shown: Shown,
    /// The default, in TOML.
    pub default: Option<&'static str>,
    /// Whether the start is refused without it.
    pub required: bool,
    /// An example, in TOML.
    pub example: &'static str,
    /// What it does.
    pub help: &'static str,
}

impl Setting {
    /// The variable of the environment that sets it.
    pub fn variable(&self) -> String {
        format!("{PREFIX}{}", self.key.replace('.', "__").to_uppercase())
    }

    /// Finds a setting by name.
    pub fn find(key: &str) -> Option<&'static Self> {
        SETTINGS.iter().find(|setting| setting.key == key)
    }

    /// The flag of `keyward serve` that sets it.
    pub fn flag(&self) -> Option<&'static str> {
        FLAGS.iter().find(|(key, _)| *key == self.key).map(|(_, flag)| *flag)
    }
}

/// What every variable of the environment begins with.
pub const PREFIX: &str = "KEYWARD_";

/// The variable that names the configuration file; not a setting itself.
pub const FILE_VARIABLE: &str = "KEYWARD_CONFIG";

/// Settings that `keyward serve` also takes as flags. No secret is among them: a command line is
/// visible to every user of the machine.
pub const FLAGS: &[(&str, &str)] = &[
    ("public_url", "--public-url"),
    ("listen", "--listen"),
    ("metrics_listen", "--metrics-listen"),
    ("data_dir", "--data-dir"),
    ("log.format", "--log-format"),
    ("log.level", "--log-level"),
];

const fn text(key: &'static str, example: &'static str, help: &'static str) -> Setting {
    Setting { key, shape: Shape::Text, shown: Shown::Open, default: None, required: false, example, help }
}

const fn number(key: &'static str, default: &'static str, help: &'static str) -> Setting {
    Setting {
        key,
        shape: Shape::Integer,
        shown: Shown::Open,
        default: Some(default),
        required: false,
        example: default,
        help,
    }
}

const fn or(setting: Setting, default: &'static str) -> Setting {
    Setting { default: Some(default), ..setting }
}

const fn required(setting: Setting) -> Setting {
    Setting { required: true, ..setting }
}

const fn shaped(setting: Setting, shape: Shape) -> Setting {
    Setting { shape, ..setting }
}

const fn shown(setting: Setting, shown: Shown) -> Setting {
    Setting { shown, ..setting }
}

/// Every setting, in the order of the example file: keys without a table first.
pub const SETTINGS: &[Setting] = &[
    required(shown(
        text(
            "public_url",
            "\"https://keyward.example.com\"",
            "The address that browsers and identity providers use: https, host, port if any; no path.\n\
         Plain http is accepted for localhost, 127.0.0.1 and [::1] only.",
        ),
        Shown::Address,
    )),
    or(
        text(
            "listen",
            "\"127.0.0.1:8080\"",
            "Where Keyward listens: IP address and port. A reverse proxy in front of it adds TLS.",
        ),
        "\"127.0.0.1:8080\"",
    ),
    text(
        "metrics_listen",
        "\"127.0.0.1:9090\"",
        "Where /metrics is answered, apart from everything else. Off when not set.",
    ),
    or(
        text("data_dir", "\"./data\"", "The folder of the SQLite database. Made when it is missing."),
        "\"./data\"",
    ),
    shown(
        text(
            "database_url",
            "\"postgres://keyward@db.internal/keyward\"",
            "sqlite:PATH or postgres://USER:PASSWORD@HOST/DATABASE.\n\
             A SQLite database in data_dir when not set.",
        ),
        Shown::Address,
    ),
    text("database_url_file", "\"/run/secrets/database_url\"", "A file that holds database_url."),
    shown(
        text(
            "master_key",
            "\"…\"",
            "32 bytes in base64 that seal the secrets in the database. Without it no key is accepted any more:\n\
             keep a copy apart from the backups. `keyward master-key generate` makes one.\n\
             Exactly one of master_key and master_key_file is set.",
        ),
        Shown::Secret,
    ),
    text(
        "master_key_file",
        "\"/etc/keyward/master.key\"",
        "A file that holds the master key. Only its owner may read it (chmod 600).",
    ),
    or(
        shaped(
            text(
                "trusted_proxies",
                "[\"10.0.0.0/8\"]",
                "Networks of your reverse proxies. X-Forwarded-For is read only when the connection comes\n\
                 from one of them; otherwise the address of the connection counts.",
            ),
            Shape::List,
        ),
        "[]",
    ),
    required(shown(
        text(
            "oidc.issuer",
            "\"https://id.example.com\"",
            "The issuer of your OpenID Connect provider, exactly as its discovery document says it.",
        ),
        Shown::Address,
    )),
    required(text("oidc.client_id", "\"keyward\"", "The client that is registered for Keyward there.")),
    shown(
        text("oidc.client_secret", "\"…\"", "The secret of that client. Not set for a public client."),
        Shown::Secret,
    ),
    text("oidc.client_secret_file", "\"/run/secrets/oidc_client_secret\"", "A file that holds it."),
    or(
        shaped(
            text(
                "oidc.scopes",
                "[\"openid\", \"profile\", \"email\", \"groups\"]",
                "What is asked for at sign-in. openid must be among them; add what carries the roles.",
            ),
            Shape::List,
        ),
        "[\"openid\", \"profile\", \"email\"]",
    ),
    or(
        text("oidc.roles_claim", "\"groups\"", "The claim whose values decide the role of an admin."),
        "\"groups\"",
    ),
    required(shaped(
        text(
            "roles.admin",
            "[\"keyward-admins\"]",
            "Values of that claim that make an admin: may do everything. At least one.",
        ),
        Shape::List,
    )),
    or(
        shaped(
            text(
                "roles.manager",
                "[\"keyward-managers\"]",
                "Values that make a manager: sees everything but secrets, changes nothing.",
            ),
            Shape::List,
        ),
        "[]",
    ),
    or(
        shaped(
            text(
                "roles.operator",
                "{ \"okta-team\" = [\"okta-prod\", \"okta-test\"] }",
                "Values that make an operator of the named federations, and of no other.",
            ),
            Shape::Map,
        ),
        "{}",
    ),
    or(
        text(
            "usage.reads",
            "\"batched\"",
            "How records of reads are kept. batched: they survive the death of the process at once and a\n\
             power cut after 50 ms. strict: on disk before the answer leaves, at a few ms for each read.",
        ),
        "\"batched\"",
    ),
    number(
        "usage.retention_days",
        "400",
        "How many days usage records are kept: 1 to 3650. Older ones are removed in sealed stretches; the\n\
         counts by the hour stay, and the audit log says what went.",
    ),
    number(
        "journal.retention_days",
        "400",
        "How many days the journal keeps what changes of users and groups replaced: 1 to 3650. What is\n\
         older cannot be taken back any more.",
    ),
    or(
        shaped(
            text(
                "egress.allow",
                "[\"10.20.0.0/16\", \"scim.internal\", \"http://192.0.2.7\"]",
                "Networks and hosts that upstreams may live in beside the public internet, on any port. Public\n\
                 addresses need no entry. With http:// before it, plain http will do. Addresses that hand out\n\
                 the credentials of a machine are never called.",
            ),
            Shape::List,
        ),
        "[]",
    ),
    or(
        shaped(
            text("egress.ports", "[\"443\", \"8443\"]", "The ports of upstreams at public addresses."),
            Shape::List,
        ),
        "[\"443\"]",
    ),
    text(
        "audit.origin",
        "\"keyward.example.com/audit\"",
        "The name of the audit log in its checkpoints, and of the key that signs them: no space, no plus.\n\
         keyward/ and the id of the master key when not set. Who verifies names it: keep it as it is.",
    ),
    text(
        "audit.anchor_file",
        "\"/mnt/worm/keyward.anchor\"",
        "A file that every checkpoint of the audit log is appended to. It is compared at the start. Put it where\n\
         whoever has the database cannot write: another host, a disk that only appends.",
    ),
    shown(
        text(
            "audit.anchor_webhook",
            "\"https://siem.example.com/keyward\"",
            "A webhook that is told every checkpoint (Standard Webhooks). egress.allow and egress.ports hold for it.",
        ),
        Shown::Address,
    ),
    shown(
        text("audit.anchor_webhook_secret", "\"whsec_…\"", "The secret that signs its calls."),
        Shown::Secret,
    ),
    text("audit.anchor_webhook_secret_file", "\"/run/secrets/anchor\"", "A file that holds it."),
    text(
        "audit.anchor_syslog",
        "\"tcp://logs.internal:601\"",
        "A log host that is told every checkpoint (RFC 5424): udp://HOST:PORT, tcp://HOST:PORT, tls://HOST:PORT or\n\
         unix:///PATH.",
    ),
    or(
        text(
            "audit.on_rollback",
            "\"refuse\"",
            "What happens when the anchor file has seen more records than the database holds, or other ones.\n\
             refuse: the server does not start. warn: it starts and raises a critical finding.",
        ),
        "\"refuse\"",
    ),
    shown(
        text(
            "stream.webhook",
            "\"https://siem.example.com/keyward\"",
            "A webhook that is sent records as they come, a batch a call, one record a line (Standard Webhooks).\n\
             egress.allow and egress.ports hold for it.",
        ),
        Shown::Address,
    ),
    shown(text("stream.webhook_secret", "\"whsec_…\"", "The secret that signs its calls."), Shown::Secret),
    text("stream.webhook_secret_file", "\"/run/secrets/stream\"", "A file that holds it."),
    or(text("stream.webhook_format", "\"ocsf\"", "The form of its records: jsonl or ocsf."), "\"jsonl\""),
    text(
        "stream.syslog",
        "\"tls://logs.internal:6514\"",
        "A log host that is sent records as they come (RFC 5424): udp://HOST:PORT, tcp://HOST:PORT, tls://HOST:PORT\n\
         or unix:///PATH. Only tcp and tls tell what has arrived.",
    ),
    text(
        "stream.syslog_ca_file",
        "\"/etc/ssl/logs-ca.pem\"",
        "Certificates in PEM that are trusted for tls:// beside those of the operating system.",
    ),
    or(text("stream.syslog_format", "\"ocsf\"", "The form of its records: jsonl or ocsf."), "\"jsonl\""),
    or(
        shaped(text("stream.records", "[\"audit\"]", "What is sent: audit, usage, or both."), Shape::List),
        "[\"audit\", \"usage\"]",
    ),
    number(
        "stream.behind_minutes",
        "15",
        "After how many minutes a record that waits is told as a finding: 5 to 1440.",
    ),
    number(
        "stream.hold_days",
        "30",
        "For how many days beyond usage.retention_days usage records that a stream has not sent are kept: 0 to\n\
         3650. What is removed then is told to the stream, and as a finding.",
    ),
    number(
        "stream.hold_records",
        "10000000",
        "How many records that a stream has not sent are kept beyond usage.retention_days: 0 to 1000000000.",
    ),
    text("log.format", "\"json\"", "json or text. When not set: text on a terminal, json otherwise."),
    or(text("log.level", "\"info\"", "error, warn, info, debug or trace."), "\"info\""),
    number("limits.body_bytes", "1048576", "The largest request body, in bytes: 1024 to 67108864."),
    number(
        "limits.header_timeout_ms",
        "10000",
        "How long a client may take to send the headers of a request, in milliseconds: 100 to 60000.",
    ),
    number("limits.connections", "4096", "How many connections may be open at once: 1 to 100000."),
    number(
        "limits.connections_per_address",
        "256",
        "How many of them from one address (IPv6: one /64). Trusted proxies are not counted.",
    ),
    number(
        "limits.key_requests_per_second",
        "200",
        "How many requests of one key are answered in a second, for long: 0 to 1000000. 0 switches this off.",
    ),
    number("limits.key_burst", "2000", "How many of them at once, after a rest: 1 to 1000000."),
    number(
        "limits.refused_per_minute",
        "20",
        "How many requests without an accepted key, and failed sign-ins, from one address (IPv6: one /64)\n\
         are recorded in a minute, for long: 0 to 1000000. More are answered with 429. 0 switches this off.",
    ),
    number("limits.refused_burst", "100", "How many of them at once, after a rest: 1 to 1000000."),
    text(
        "mail.host",
        "\"smtp.example.com\"",
        "The mail server that Keyward sends through. No mail is sent when it is not set.",
    ),
    number("mail.port", "587", "Its port: 1 to 65535. 587 with starttls, 465 with tls, 25 on a relay."),
    or(
        text(
            "mail.tls",
            "\"starttls\"",
            "starttls (or nothing is sent), tls (from the first byte), or none: for a relay on this machine.",
        ),
        "\"starttls\"",
    ),
    text("mail.user", "\"keyward\"", "The user name at the mail server, when it asks for one."),
    shown(text("mail.password", "\"…\"", "The password that goes with it."), Shown::Secret),
    text("mail.password_file", "\"/run/secrets/mail\"", "A file that holds the password."),
    text("mail.from", "\"Keyward <keyward@example.com>\"", "Who mail is from. Needed with mail.host."),
    text(
        "mail.trusted_ca_file",
        "\"/etc/ssl/mail-ca.pem\"",
        "Certificates in PEM that are trusted for the mail server beside those of the operating system.",
    ),
    text(
        "leaks.public_key_file",
        "\"/etc/keyward/scanner.pem\"",
        "The public key (P-256, PEM) of the scanner that reports leaks at /api/leaks. When it is set, a report\n\
         without its signature is refused. A whole key proves itself without.",
    ),
    number(
        "session.idle_minutes",
        "30",
        "After how many minutes without a request an admin is signed out: 1 to 1440.",
    ),
    number(
        "session.absolute_hours",
        "12",
        "After how many hours an admin signs in again in any case: 1 to 168.",
    ),
];
