//! From settings to a [`Config`]: what each value must be.

mod audit;
mod streams;
mod telling;

use std::{io::ErrorKind, net::SocketAddr, path::PathBuf, time::Duration};

use domain::{Secret, federations::Slug};

use super::{
    Config, DatabaseKind, Limits, LogFormat, LogLevel, Logging, Oidc, Operators, Roles, Session, UsageReads,
    layers::shown,
    master_key::{MasterKeyBytes, open_to_others},
    problem::{ConfigProblem, Fault},
    proxies::TrustedProxies,
    public_url::{PublicUrl, web_address},
    reader::{Held, Reader},
};
use crate::out::egress::{Allowed, Egress};

/// Reads every setting, so that every problem is found, and makes the configuration when there is
/// none.
pub(super) fn build(reader: &mut Reader) -> Option<Config> {
    let public_url = reader.parse("public_url", PublicUrl::parse);
    let listen = reader.parse("listen", address);
    let metrics_listen = reader.parse("metrics_listen", address);
    if let (Some(listen), Some(metrics)) = (listen, metrics_listen)
        && listen.port() != 0
        && overlap(listen, metrics)
    {
        let fix = "choose another port, so that metrics can be closed off";
        reader.refuse("metrics_listen", Fault::new(format!("another address than listen, {listen}"), fix));
    }
    let data_dir = reader.parse("data_dir", folder);
    let database = database(reader, data_dir.as_deref());
    let master_key = master_key(reader);
    let trusted_proxies = trusted_proxies(reader);
    let oidc = oidc(reader);
    let roles = roles(reader);
    let usage_reads =
        reader.choice("usage.reads", &[("batched", UsageReads::Batched), ("strict", UsageReads::Strict)]);
    let usage_retention_days = reader.number("usage.retention_days", 1, 3_650);
    let journal_retention_days = reader.number("journal.retention_days", 1, 3_650);
    let audit = audit::audit(reader);
    let streams = streams::streams(reader);
    let egress = egress(reader);
    let logging = logging(reader);
    let limits = limits(reader);
    let session = session(reader);
    let mail = telling::mail(reader);
    let reporter_key = telling::reporter_key(reader);
    let (database_url, database_kind) = database?;
    let config = Config {
        public_url: public_url?,
        listen: listen?,
        metrics_listen,
        data_dir: data_dir?,
        database_url,
        database_kind,
        master_key: master_key?,
        trusted_proxies: trusted_proxies?,
        oidc: oidc?,
        roles: roles?,
        usage_reads: usage_reads?,
        usage_retention_days: i64::try_from(usage_retention_days?).unwrap_or(i64::MAX),
        journal_retention_days: i64::try_from(journal_retention_days?).unwrap_or(i64::MAX),
        audit: audit?,
        streams: streams?,
        egress: egress?,
        logging: logging?,
        limits: limits?,
        session: session?,
        mail: mail?,
        reporter_key: reporter_key?,
        origins: Vec::new(),
    };
    reader.problems.is_empty().then_some(config)
}

pub(super) fn address(text: &str) -> Result<SocketAddr, Fault> {
    text.parse().map_err(|_| {
        let expected = "an IP address and a port, such as 127.0.0.1:8080 or [::1]:8080";
        let fix = match text.rsplit_once(':') {
            _ if text.parse::<u16>().is_ok() => format!("did you mean 127.0.0.1:{text}?"),
            Some(("localhost", port)) => format!("did you mean 127.0.0.1:{port}?"),
            Some(("" | "*", port)) => format!("did you mean 0.0.0.0:{port}, every address of this machine?"),
            _ => "host names are not looked up: write an IP address, a colon and a port".to_owned(),
        };
        Fault::new(expected, fix)
    })
}

fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    a.port() == b.port() && (a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified())
}

fn folder(text: &str) -> Result<PathBuf, Fault> {
    let path = PathBuf::from(text);
    if path.exists() && !path.is_dir() {
        return Err(Fault::new("a folder, or a path where one can be made", "name another path"));
    }
    Ok(path)
}

fn database(reader: &mut Reader, data_dir: Option<&std::path::Path>) -> Option<(Secret, DatabaseKind)> {
    if !reader.is_set("database_url") && !reader.is_set("database_url_file") {
        let path = data_dir?.join("keyward.db");
        return Some((Secret::new(format!("sqlite:{}", path.display())), DatabaseKind::Sqlite));
    }
    let (url, held) = reader.secret("database_url", "database_url_file")?;
    let key = if matches!(held, Held::Setting) { "database_url" } else { "database_url_file" };
    let expected = "sqlite:PATH or postgres://USER:PASSWORD@HOST/DATABASE";
    let (scheme, rest) = url.expose().split_once(':').unwrap_or(("", ""));
    let kind = match scheme {
        "sqlite" if rest.contains(":memory:") => {
            let fix = "name a file: what is in memory only is lost at the end, audit records too";
            reader.refuse(key, Fault::new(expected, fix));
            return None;
        }
        "sqlite" if rest.trim_start_matches('/').is_empty() => None,
        "sqlite" => Some(DatabaseKind::Sqlite),
        "postgres" | "postgresql" => url::Url::parse(url.expose())
            .ok()
            .filter(|url| url.path().len() > 1)
            .map(|_| DatabaseKind::Postgres),
        _ => None,
    };
    if kind.is_none() {
        let fix = "Keyward keeps its data in SQLite or PostgreSQL; remove the setting for a file in data_dir";
        reader.refuse(key, Fault::new(expected, fix));
    }
    Some((url, kind?))
}

fn master_key(reader: &mut Reader) -> Option<MasterKeyBytes> {
    if !reader.is_set("master_key") && !reader.is_set("master_key_file") {
        if !reader.layered.is_unread {
            reader.problems.push(ConfigProblem {
                key: "master_key".to_owned(),
                source: "not set".to_owned(),
                found: None,
                expected: "32 bytes in base64 in master_key, or a file that holds them in master_key_file"
                    .to_owned(),
                fix: "run `keyward master-key generate --out master.key`, keep a copy in a safe place, \
                  and set master_key_file = \"master.key\" or KEYWARD_MASTER_KEY_FILE=master.key"
                    .to_owned(),
            });
        }
        return None;
    }
    let (text, held) = reader.secret("master_key", "master_key_file")?;
    let (key, file) = match held {
        Held::File(path) => ("master_key_file", Some(path)),
        Held::Setting if reader.layered.is_from_file("master_key") => {
            ("master_key", reader.layered.file.clone())
        }
        Held::Setting => ("master_key", None),
    };
    let mut open = false;
    if let Some(fault) = file.as_deref().and_then(open_to_others) {
        open = true;
        reader.refuse(key, fault);
    }
    match MasterKeyBytes::parse(text.expose()) {
        Ok(bytes) => (!open).then_some(bytes),
        Err(fault) => {
            reader.refuse(key, fault);
            None
        }
    }
}

fn trusted_proxies(reader: &mut Reader) -> Option<TrustedProxies> {
    let texts = reader.list("trusted_proxies")?;
    match TrustedProxies::parse(&texts) {
        Ok(proxies) => Some(proxies),
        Err(fault) => {
            reader.refuse("trusted_proxies", fault);
            None
        }
    }
}

fn oidc(reader: &mut Reader) -> Option<Oidc> {
    let issuer = reader.parse("oidc.issuer", |text| {
        let url = web_address(text)?;
        if url.query().is_some() || url.fragment().is_some() {
            let fix = "write the issuer of the discovery document, without ? and #";
            return Err(Fault::new("an address without ? and #", fix));
        }
        if text.contains("/.well-known/") {
            let issuer = text.split("/.well-known/").next().unwrap_or_default();
            return Err(Fault::new(
                "the issuer, not its discovery document",
                format!("did you mean {issuer}?"),
            ));
        }
        // OpenID Connect Discovery 1.0, 4.3: the issuer is compared as text, a slash at its end counts.
        Ok(text.to_owned())
    });
    let client_id = reader.text("oidc.client_id");
    let has_secret = reader.is_set("oidc.client_secret") || reader.is_set("oidc.client_secret_file");
    let client_secret = reader.secret("oidc.client_secret", "oidc.client_secret_file");
    let scopes = reader.list("oidc.scopes").and_then(|scopes| {
        let bad = scopes.iter().any(|scope| scope.contains(char::is_whitespace));
        if bad || !scopes.iter().any(|scope| scope == "openid") {
            let expected = "a list of scopes with openid among them, one scope in each text";
            reader.refuse("oidc.scopes", Fault::new(expected, "add \"openid\""));
            return None;
        }
        Some(scopes)
    });
    let roles_claim = reader.text("oidc.roles_claim");
    if has_secret && client_secret.is_none() {
        return None;
    }
    Some(Oidc {
        issuer: issuer?,
        client_id: client_id?,
        client_secret: client_secret.map(|(secret, _)| secret),
        scopes: scopes?,
        roles_claim: roles_claim?,
    })
}

fn roles(reader: &mut Reader) -> Option<Roles> {
    let admin = reader.list("roles.admin").and_then(|values| {
        if values.is_empty() {
            let expected = "at least one value, or nobody could ever sign in as an admin";
            reader.refuse("roles.admin", Fault::new(expected, "name a group of your identity provider"));
            return None;
        }
        Some(values)
    });
    let manager = reader.list("roles.manager");
    let operator = reader.map("roles.operator").and_then(|pairs| operators(reader, &pairs));
    Some(Roles { admin: admin?, manager: manager?, operator: operator? })
}

fn operators(reader: &mut Reader, pairs: &[(String, Vec<String>)]) -> Option<Operators> {
    let mut operators = Operators::new();
    for (value, texts) in pairs {
        if value.trim().is_empty() || texts.is_empty() {
            let expected = "for each claim value at least one federation";
            reader.refuse("roles.operator", Fault::new(expected, format!("complete or remove {value:?}")));
            return None;
        }
        let slugs: Result<Vec<Slug>, _> = texts.iter().map(|text| Slug::parse(text)).collect();
        match slugs {
            Ok(slugs) => {
                operators.insert(value.clone(), slugs);
            }
            Err(invalid) => {
                let fix = format!("correct the federations of {value:?}: {}", invalid.message);
                let expected = "the slugs of federations, as they stand in their SCIM base URLs";
                reader.refuse("roles.operator", Fault::new(expected, fix));
                return None;
            }
        }
    }
    Some(operators)
}

fn logging(reader: &mut Reader) -> Option<Logging> {
    let formats = [("json", LogFormat::Json), ("text", LogFormat::Text)];
    let (is_set, format) = (reader.is_set("log.format"), reader.choice("log.format", &formats));
    let levels = [
        ("error", LogLevel::Error),
        ("warn", LogLevel::Warn),
        ("info", LogLevel::Info),
        ("debug", LogLevel::Debug),
        ("trace", LogLevel::Trace),
    ];
    let level = reader.choice("log.level", &levels);
    if is_set && format.is_none() {
        return None;
    }
    Some(Logging { format, level: level? })
}

fn egress(reader: &mut Reader) -> Option<Egress> {
    let allowed = reader.list("egress.allow").and_then(|texts| {
        let parsed: Result<Vec<Allowed>, _> =
            texts.iter().map(|text| Allowed::parse(text).map_err(|expected| (text, expected))).collect();
        parsed
            .map_err(|(text, expected)| {
                reader.refuse("egress.allow", Fault::new(expected, format!("correct or remove {text:?}")));
            })
            .ok()
    });
    let ports = reader.list("egress.ports").and_then(|texts| {
        let ports: Result<Vec<u16>, _> = texts.iter().map(|text| text.trim().parse::<u16>()).collect();
        match ports {
            Ok(ports) if !ports.is_empty() && !ports.contains(&0) => Some(ports),
            Ok(_) | Err(_) => {
                let expected = "a list of ports, 1 to 65535, each in quotes";
                reader.refuse("egress.ports", Fault::new(expected, "the default is [\"443\"]"));
                None
            }
        }
    });
    Some(Egress::new(allowed?, ports?))
}

fn limits(reader: &mut Reader) -> Option<Limits> {
    let body_bytes = reader.number("limits.body_bytes", 1024, 64 * 1024 * 1024);
    let header_timeout = reader.number("limits.header_timeout_ms", 100, 60_000);
    let connections = reader.number("limits.connections", 1, 100_000);
    let per_address = reader.number("limits.connections_per_address", 1, 100_000);
    let key_rate = reader.number("limits.key_requests_per_second", 0, 1_000_000);
    let key_burst = reader.number("limits.key_burst", 1, 1_000_000);
    let refused = reader.number("limits.refused_per_minute", 0, 1_000_000);
    let refused_burst = reader.number("limits.refused_burst", 1, 1_000_000);
    if let (Some(all), Some(one)) = (connections, per_address)
        && one > all
    {
        let fix = "lower it, or raise limits.connections";
        let expected = format!("at most limits.connections, {all}");
        reader.refuse("limits.connections_per_address", Fault::new(expected, fix));
    }
    Some(Limits {
        body_bytes: usize::try_from(body_bytes?).ok()?,
        header_timeout: Duration::from_millis(header_timeout?),
        connections: usize::try_from(connections?).ok()?,
        connections_per_address: usize::try_from(per_address?).ok()?,
        key_requests_per_second: u32::try_from(key_rate?).ok()?,
        key_burst: u32::try_from(key_burst?).ok()?,
        refused_per_minute: u32::try_from(refused?).ok()?,
        refused_burst: u32::try_from(refused_burst?).ok()?,
    })
}

fn session(reader: &mut Reader) -> Option<Session> {
    let idle = reader.number("session.idle_minutes", 1, 1440);
    let absolute = reader.number("session.absolute_hours", 1, 168);
    if let (Some(idle), Some(absolute)) = (idle, absolute)
        && idle > absolute * 60
    {
        let expected = format!("at most session.absolute_hours, {absolute} h");
        reader.refuse("session.idle_minutes", Fault::new(expected, "lower it, or raise the other"));
    }
    Some(Session { idle: Duration::from_mins(idle?), absolute: Duration::from_hours(absolute?) })
}

/// Reads the address of a demo, which is refused on anything but loopback: its identity provider
/// lets everybody in.
pub(super) fn demo_address(text: &str) -> Result<SocketAddr, ConfigProblem> {
    let problem = |fault: Fault| ConfigProblem {
        key: "listen".to_owned(),
        source: "flag --listen".to_owned(),
        found: Some(format!("{text:?}")),
        expected: fault.expected,
        fix: fault.fix,
    };
    let address = address(text).map_err(problem)?;
    if !address.ip().to_canonical().is_loopback() {
        return Err(problem(Fault::new(
            "a loopback address, such as 127.0.0.1:8080 or [::1]:8080",
            format!(
                "did you mean 127.0.0.1:{}? The demo signs in anybody who asks; for other machines use `keyward serve`",
                address.port()
            ),
        )));
    }
    Ok(address)
}

/// The problem of an address on which nobody can listen.
pub(super) fn unusable(
    key: &str,
    source: String,
    address: SocketAddr,
    error: &std::io::Error,
) -> ConfigProblem {
    let port = address.port();
    let (expected, fix) = if error.kind() == ErrorKind::AddrInUse {
        let fix =
            format!("stop what uses port {port} (`ss -ltnp 'sport = :{port}'` names it), or choose another");
        ("a port that is free".to_owned(), fix)
    } else if error.kind() == ErrorKind::PermissionDenied {
        let fix = "choose a port of 1024 or more, or give the program CAP_NET_BIND_SERVICE".to_owned();
        ("a port that this user may use".to_owned(), fix)
    } else if error.kind() == ErrorKind::AddrNotAvailable {
        let fix = format!("did you mean 0.0.0.0:{port}, every address of this machine?");
        ("an address of this machine".to_owned(), fix)
    } else {
        let expected = format!("an address to listen on ({})", super::layers::reason(error));
        (expected, "choose another address".to_owned())
    };
    ConfigProblem {
        key: key.to_owned(),
        source,
        found: Some(format!("{:?}", address.to_string())),
        expected,
        fix,
    }
}

/// The problem of a folder that cannot be made.
pub(super) fn unmakeable(source: String, path: &std::path::Path, error: &std::io::Error) -> ConfigProblem {
    ConfigProblem {
        key: "data_dir".to_owned(),
        source,
        found: Some(shown(path)),
        expected: format!("a folder that Keyward may make and write ({})", super::layers::reason(error)),
        fix: "name another folder, or make it and give it to the user that runs Keyward".to_owned(),
    }
}
