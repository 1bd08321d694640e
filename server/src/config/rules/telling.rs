//! The mail server, and the key of whoever reports leaks.

use std::path::PathBuf;

use domain::channels::mail_address;

use super::super::{layers::shown, problem::Fault, reader::Reader};
use crate::{
    edge::leaks::ReporterKey,
    out::mail::{MailSettings, MailTls},
};

/// The settings of mail that mean nothing without a host.
const OF_HOST: [&str; 5] =
    ["mail.user", "mail.password", "mail.password_file", "mail.from", "mail.trusted_ca_file"];

/// The mail server: `Some(None)` when there is none, `None` when a setting of it cannot be used.
#[expect(
    clippy::option_option,
    reason = "the outer one is whether the settings can be used, the inner one whether there are any"
)]
pub(super) fn mail(reader: &mut Reader) -> Option<Option<MailSettings>> {
    let port = reader.number("mail.port", 1, 65_535);
    let words = [("starttls", MailTls::StartTls), ("tls", MailTls::Implicit), ("none", MailTls::None)];
    let tls = reader.choice("mail.tls", &words);
    if !reader.is_set("mail.host") {
        for key in OF_HOST {
            if reader.is_set(key) {
                let fix = "set mail.host, or remove this setting";
                reader.refuse(key, Fault::new("mail.host beside it", fix));
                return None;
            }
        }
        return (port.is_some() && tls.is_some()).then_some(None);
    }
    let host = reader.parse("mail.host", host);
    if !reader.is_set("mail.from") {
        let fix = "write from = \"Keyward <keyward@example.com>\" under [mail]";
        reader.refuse("mail.host", Fault::new("mail.from beside it: who mail is from", fix));
        return None;
    }
    let from = reader.parse("mail.from", from);
    let (has_user, has_password) =
        (reader.is_set("mail.user"), reader.is_set("mail.password") || reader.is_set("mail.password_file"));
    let credentials = match (has_user, has_password) {
        (false, false) => Some(None),
        (true, true) => {
            let user = reader.text("mail.user");
            let password = reader.secret("mail.password", "mail.password_file");
            match (user, password) {
                (Some(user), Some((password, _))) => Some(Some((user, password))),
                (Some(_) | None, Some(_) | None) => None,
            }
        }
        (true, false) => {
            let fix = "set mail.password_file, or remove mail.user";
            reader.refuse("mail.user", Fault::new("mail.password or mail.password_file beside it", fix));
            None
        }
        (false, true) => {
            let key = if reader.is_set("mail.password") { "mail.password" } else { "mail.password_file" };
            reader.refuse(key, Fault::new("mail.user beside it", "set mail.user, or remove the password"));
            None
        }
    };
    let trusted_ca = if reader.is_set("mail.trusted_ca_file") {
        file(reader, "mail.trusted_ca_file").map(Some)
    } else {
        Some(None)
    };
    let (host, tls, credentials) = (host?, tls?, credentials?);
    if tls == MailTls::None && credentials.is_some() && !is_loopback(&host) {
        let fix = "set mail.tls = \"starttls\", or remove mail.user: the password would be sent in the open";
        reader.refuse("mail.tls", Fault::new("starttls or tls where a password is sent", fix));
        return None;
    }
    Some(Some(MailSettings {
        host,
        port: u16::try_from(port?).ok()?,
        tls,
        credentials,
        from: from?,
        trusted_ca: trusted_ca?,
    }))
}

fn host(text: &str) -> Result<String, Fault> {
    let is_host = text.len() <= 253
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.:[]".contains(&byte));
    if is_host {
        return Ok(text.trim_matches(['[', ']']).to_owned());
    }
    Err(Fault::new("the name or address of a host", "write it without a scheme and without a port"))
}

fn from(text: &str) -> Result<String, Fault> {
    let address = match text.split_once('<') {
        Some((_, rest)) => rest.strip_suffix('>').unwrap_or_default(),
        None => text,
    };
    if mail_address(address).is_some() && !text.chars().any(char::is_control) {
        return Ok(text.to_owned());
    }
    let fix = "write Keyward <keyward@example.com>, or the address alone";
    Err(Fault::new("a mail address, with or without a name before it", fix))
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

pub(super) fn file(reader: &mut Reader, key: &'static str) -> Option<String> {
    let path = PathBuf::from(reader.text(key)?);
    match std::fs::read_to_string(&path) {
        Ok(text) => Some(text),
        Err(error) => {
            let expected = format!("a file that Keyward may read ({})", super::super::layers::reason(&error));
            reader.refuse(key, Fault::new(expected, format!("correct the path {}", shown(&path))));
            None
        }
    }
}

/// The key of whoever reports leaks: `Some(None)` when reports need no signature.
#[expect(
    clippy::option_option,
    reason = "the outer one is whether the settings can be used, the inner one whether there are any"
)]
pub(super) fn reporter_key(reader: &mut Reader) -> Option<Option<ReporterKey>> {
    let key = "leaks.public_key_file";
    if !reader.is_set(key) {
        return Some(None);
    }
    let pem = file(reader, key)?;
    match ReporterKey::parse(&pem) {
        Ok(parsed) => Some(Some(parsed)),
        Err(expected) => {
            reader.refuse(key, Fault::new(expected, "ask the scanner for its public key in this form"));
            None
        }
    }
}
