//! Reading the fields of a target as a form brings them, each with its own check.

use super::{
    Connection, Connector, Pins, Settings, Trust,
    receiver::ReceiverKey,
    settings::{
        AwsCurrent, AwsSecretsManager, EntraGraph, Kubernetes, OktaConnection, Vault, VaultSignIn, Webhook,
    },
};
use crate::{Invalid, upstreams::check_url};

/// The longest chain of certificates, in bytes.
const LONGEST_PEM: usize = 40_000;

impl Settings {
    /// Reads and checks the fields of a form; `text` gives the text of a field.
    ///
    /// # Errors
    /// [`Invalid`] for each field that cannot be accepted.
    pub fn read(connector: Connector, text: impl Fn(&str) -> String) -> Result<Self, Vec<Invalid>> {
        let mut form = Form { text: &text, faults: Vec::new() };
        let connection = match connector {
            Connector::Webhook => Connection::Webhook(Webhook {
                url: form.url("url"),
                receiver_key: form.receiver_key("receiver_key"),
                read_back_url: form.optional_url("read_back_url"),
            }),
            Connector::Vault => form.vault(),
            Connector::AwsSecretsManager => form.aws(),
            Connector::Kubernetes => Connection::Kubernetes(Kubernetes {
                server: form.url("server"),
                namespace: form.name("namespace"),
                name: form.name("name"),
                key: form.matching(
                    "key",
                    253,
                    "letters, digits, hyphens, underscores and dots are expected",
                    |c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'),
                ),
            }),
            Connector::EntraGraph => Connection::EntraGraph(EntraGraph {
                tenant_id: form.segment("tenant_id"),
                client_id: form.segment("client_id"),
                service_principal_id: form.segment("service_principal_id"),
                job_id: form.segment("job_id"),
                graph_url: form.url("graph_url"),
                login_url: form.url("login_url"),
            }),
            Connector::OktaConnection => Connection::OktaConnection(OktaConnection {
                org_url: form.url("org_url"),
                app_id: form.segment("app_id"),
            }),
        };
        let (trust, pins) = form.trust();
        let (settings, mut faults) = (Self { connection, trust }, form.faults);
        if faults.is_empty() {
            let urls: Vec<String> = settings.urls().into_iter().map(|(_, url)| url).collect();
            faults.extend(pins.fault(&urls).map(|message| Invalid::new("public_key", message)));
        }
        if faults.is_empty() { Ok(settings) } else { Err(faults) }
    }
}

struct Form<'t> {
    text: &'t dyn Fn(&str) -> String,
    faults: Vec<Invalid>,
}

impl Form<'_> {
    fn raw(&self, field: &str) -> String {
        (self.text)(field).trim().to_owned()
    }

    fn fault(&mut self, field: &str, message: &str) {
        self.faults.push(Invalid::new(field, message));
    }

    fn url(&mut self, field: &str) -> String {
        check_url(field, &(self.text)(field)).unwrap_or_else(|fault| {
            self.faults.push(fault);
            String::new()
        })
    }

    fn optional_url(&mut self, field: &str) -> String {
        if self.raw(field).is_empty() { String::new() } else { self.url(field) }
    }

    fn matching(
        &mut self,
        field: &str,
        longest: usize,
        expected: &str,
        fits: impl Fn(char) -> bool,
    ) -> String {
        let text = self.raw(field);
        if text.is_empty() || text.len() > longest || !text.chars().all(fits) {
            self.fault(field, expected);
        }
        text
    }

    /// What stands in a path of its own, and can neither climb out nor end it.
    fn segment(&mut self, field: &str) -> String {
        let text =
            self.matching(field, 200, "letters, digits, hyphens, underscores and dots are expected", |c| {
                c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')
            });
        if !text.is_empty() && text.trim_matches('.') != text {
            self.fault(field, "it begins and ends with no dot");
        }
        text
    }

    /// A name of Kubernetes (RFC 1123).
    fn name(&mut self, field: &str) -> String {
        let text =
            self.matching(field, 253, "lower-case letters, digits, hyphens and dots are expected", |c| {
                c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.')
            });
        if text.starts_with(['-', '.']) || text.ends_with(['-', '.']) {
            self.fault(field, "it begins and ends with a letter or a digit");
        }
        text
    }

    /// A path of segments.
    fn path(&mut self, field: &str) -> String {
        let text = self.matching(
            field,
            500,
            "segments of letters, digits, hyphens, underscores and dots are expected",
            |c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/'),
        );
        let text = text.trim_matches('/').to_owned();
        if text.split('/').any(|segment| matches!(segment, "" | "." | "..")) && !text.is_empty() {
            self.fault(field, "a segment is empty or consists of dots");
        }
        text
    }

    fn entry(&mut self, field: &str) -> String {
        self.matching(field, 100, "letters, digits, hyphens, underscores and dots are expected", |c| {
            c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')
        })
    }

    fn vault(&mut self) -> Connection {
        let sign_in = match self.raw("sign_in").as_str() {
            "approle" => VaultSignIn::Approle,
            "token" => VaultSignIn::Token,
            _ => {
                self.fault("sign_in", "choose how Keyward signs in");
                VaultSignIn::Token
            }
        };
        let is_approle = sign_in == VaultSignIn::Approle;
        Connection::Vault(Vault {
            address: self.url("address"),
            namespace: if self.raw("namespace").is_empty() { String::new() } else { self.path("namespace") },
            mount: self.path("mount"),
            path: self.path("path"),
            field: self.entry("field"),
            sign_in,
            role_id: if is_approle { self.entry("role_id") } else { String::new() },
            approle_mount: if is_approle { self.path("approle_mount") } else { String::new() },
        })
    }

    fn aws(&mut self) -> Connection {
        let arn = self.raw("arn");
        let parts: Vec<&str> = arn.split(':').collect();
        let is_arn = match parts.as_slice() {
            ["arn", partition, "secretsmanager", region, account, "secret", name] => {
                partition.starts_with("aws")
                    && !region.is_empty()
                    && region.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
                    && account.len() == 12
                    && account.chars().all(|c| c.is_ascii_digit())
                    && !name.is_empty()
                    && name.len() <= 519
                    && name.chars().all(|c| c.is_ascii_alphanumeric() || "/_+=.@-".contains(c))
            }
            _ => false,
        };
        if !is_arn {
            self.fault("arn", "an ARN such as arn:aws:secretsmanager:eu-central-1:123456789012:secret:scim-AbCdEf is expected");
        }
        let current = match self.raw("current").as_str() {
            "on-proof" => AwsCurrent::OnProof,
            "at-once" => AwsCurrent::AtOnce,
            _ => {
                self.fault("current", "choose when AWSCURRENT moves");
                AwsCurrent::OnProof
            }
        };
        Connection::AwsSecretsManager(AwsSecretsManager {
            arn,
            field: if self.raw("field").is_empty() { String::new() } else { self.entry("field") },
            access_key_id: self.matching("access_key_id", 128, "letters and digits are expected", |c| {
                c.is_ascii_alphanumeric()
            }),
            current,
            endpoint: self.optional_url("endpoint"),
        })
    }

    fn receiver_key(&mut self, field: &str) -> String {
        let text = self.raw(field);
        if text.is_empty() {
            return text;
        }
        if text.len() > 2_000 {
            self.fault(field, "it is longer than a public key");
            return text;
        }
        match ReceiverKey::parse(&text) {
            // A private key is not kept, not even to be shown again.
            Err(message) => {
                self.fault(field, message);
                String::new()
            }
            Ok(_) => text,
        }
    }

    fn trust(&mut self) -> (Trust, Pins) {
        let trusted_ca = self.raw("trusted_ca");
        if !trusted_ca.is_empty()
            && (!trusted_ca.contains("BEGIN CERTIFICATE")
                || trusted_ca.contains("PRIVATE KEY")
                || trusted_ca.len() > LONGEST_PEM)
        {
            self.fault("trusted_ca", "certificates in PEM, and nothing else, are expected");
        }
        let pins = Pins::parse(&self.raw("public_key")).unwrap_or_else(|| {
            self.fault(
                "public_key",
                "each host and 64 hexadecimal digits are expected, as a test of the target shows them",
            );
            Pins::default()
        });
        (Trust { trusted_ca, public_key: pins.to_string() }, pins)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn good(connector: Connector) -> BTreeMap<&'static str, &'static str> {
        let mut form: BTreeMap<_, _> =
            connector.fields().iter().map(|field| (field.name, field.preset)).collect();
        form.extend(match connector {
            Connector::Webhook => vec![("url", "https://hooks.example.com/keys")],
            Connector::Vault => {
                vec![("address", "https://vault.example.com:8200/"), ("path", "/teams/hr/scim")]
            }
            Connector::AwsSecretsManager => vec![
                ("arn", "arn:aws:secretsmanager:eu-central-1:123456789012:secret:scim/okta-AbCdEf"),
                ("access_key_id", "AKIDEXAMPLE"),
            ],
            Connector::Kubernetes => {
                vec![("server", "https://k8s.example.com:6443"), ("namespace", "apps"), ("name", "scim.key")]
            }
            Connector::EntraGraph => {
                vec![
                    ("tenant_id", "t-1"),
                    ("client_id", "c-1"),
                    ("service_principal_id", "s-1"),
                    ("job_id", "scim.1a.2b"),
                ]
            }
            Connector::OktaConnection => vec![("org_url", "https://example.okta.com"), ("app_id", "0oa1")],
        });
        form
    }

    fn read(
        connector: Connector,
        form: &BTreeMap<&'static str, &'static str>,
    ) -> Result<Settings, Vec<Invalid>> {
        Settings::read(connector, |field| form.get(field).copied().unwrap_or_default().to_owned())
    }

    #[test]
    fn every_connector_reads_its_fields_and_shows_them_again() {
        for connector in Connector::ALL {
            let form = good(connector);
            let settings = read(connector, &form).unwrap();
            assert_eq!(settings.connector(), connector);
            let text = serde_json::to_string(&settings).unwrap();
            assert_eq!(serde_json::from_str::<Settings>(&text).unwrap(), settings);
            let again = Settings::read(connector, |field| settings.text(field)).unwrap();
            assert_eq!(again, settings);
            for field in connector.fields() {
                let value = serde_json::json!(settings.connection);
                assert!(value.get(field.name).is_some(), "{connector:?} has no {}", field.name);
            }
            assert!(!settings.urls().is_empty() && !settings.place().is_empty());
        }
    }

    #[test]
    fn whatever_leads_elsewhere_has_another_digest() {
        for connector in Connector::ALL {
            let form = good(connector);
            let before = read(connector, &form).unwrap();
            let with = |name, value| {
                read(connector, &form.iter().map(|(n, v)| (*n, *v)).chain([(name, value)]).collect())
            };
            for field in connector.fields() {
                let other = match (field.choices, form[field.name]) {
                    ([_, (word, _), ..], _) => *word,
                    (_, "https://graph.microsoft.com" | "https://login.microsoftonline.com") => {
                        "https://other.example.com"
                    }
                    _ => match field.name {
                        "url" | "read_back_url" | "address" | "server" | "org_url" | "endpoint" => {
                            "https://other.example.com"
                        }
                        "receiver_key" => {
                            r#"{"kty":"OKP","crv":"X25519","x":"3p7bfXt9wbTTW2HC7OQ1Nz-DQ8hbeGdNrfx-FG-IK08"}"#
                        }
                        "arn" => "arn:aws:secretsmanager:eu-central-1:123456789013:secret:scim/okta-AbCdEf",
                        // Read with an AppRole only.
                        "role_id" | "approle_mount" => continue,
                        _ => "other",
                    },
                };
                let Ok(after) = with(field.name, other) else {
                    // An AppRole wants its role as well.
                    assert_eq!(field.name, "sign_in");
                    continue;
                };
                assert_ne!(after.digest(), before.digest(), "{connector:?} {}", field.name);
            }
            let pinned = with(
                "public_key",
                "AB:ab:ab:ab:ab:ab:ab:ab:ab:ab:ab:ab:ab:ab:ab:ab:ab:ab:ab:ab:ab:ab:ab:ab:ab:ab:ab:ab:ab:ab:ab:ab",
            );
            match (connector, pinned) {
                // It calls two hosts.
                (Connector::EntraGraph, Err(faults)) => assert_eq!(faults[0].field, "public_key"),
                (_, pinned) => assert_ne!(pinned.unwrap().digest(), before.digest()),
            }
        }
    }

    #[test]
    fn what_cannot_be_is_told_field_by_field() {
        let check = |connector, name: &'static str, value: &'static str| {
            let mut form = good(connector);
            form.insert(name, value);
            let faults = read(connector, &form).unwrap_err();
            assert!(
                faults.iter().any(|fault| fault.field == name),
                "{connector:?} {name} {value}: {faults:?}"
            );
        };
        check(Connector::Webhook, "url", "ftp://hooks.example.com");
        check(Connector::Webhook, "read_back_url", "hooks");
        check(Connector::Webhook, "receiver_key", "{}");
        check(Connector::Webhook, "receiver_key", r#"{"kty":"OKP","crv":"X25519","x":"AA"}"#);
        check(Connector::Webhook, "trusted_ca", "-----BEGIN RSA PRIVATE KEY----- BEGIN CERTIFICATE");
        check(Connector::Webhook, "public_key", "abc");
        check(Connector::Vault, "path", "a/../../sys");
        check(Connector::Vault, "path", "a b");
        check(Connector::Vault, "mount", "");
        check(Connector::Vault, "sign_in", "github");
        check(Connector::AwsSecretsManager, "arn", "scim");
        check(
            Connector::AwsSecretsManager,
            "arn",
            "arn:aws:secretsmanager:eu.evil.com/:123456789012:secret:scim",
        );
        check(Connector::AwsSecretsManager, "current", "never");
        check(Connector::Kubernetes, "name", "../secrets");
        check(Connector::Kubernetes, "namespace", "-apps");
        check(Connector::EntraGraph, "job_id", "a/b");
        check(Connector::EntraGraph, "tenant_id", "");
        check(Connector::OktaConnection, "app_id", "0oa?x=");
    }

    #[test]
    fn a_private_key_is_refused_and_not_repeated() {
        let jwk = r#"{"kty":"OKP","crv":"X25519","x":"3p7bfXt9wbTTW2HC7OQ1Nz-DQ8hbeGdNrfx-FG-IK08","d":"c2VjcmV0"}"#;
        assert!(ReceiverKey::parse(jwk).unwrap_err().contains("private key"));
        assert!(ReceiverKey::parse(&jwk.replace(",\"d\":\"c2VjcmV0\"", "")).is_ok());
    }

    #[test]
    fn credentials_are_what_their_kind_is() {
        let webhook = read(Connector::Webhook, &good(Connector::Webhook)).unwrap();
        assert!(webhook.check_credential("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD").is_ok());
        for text in ["C2FVsBQIhrscChlQIMV+b5sSYspob7oD", "whsec_AAAA", "whsec_!!", ""] {
            assert!(webhook.check_credential(text).is_err(), "{text}");
        }
        let okta = read(Connector::OktaConnection, &good(Connector::OktaConnection)).unwrap();
        assert!(okta.check_credential("00abcdefgh").is_ok());
        for text in ["q7", "with a space in it", "with\na line break"] {
            let fault = okta.check_credential(text).unwrap_err();
            assert!(!fault.message.contains(text));
        }
    }

    #[test]
    fn a_region_is_called_where_it_is() {
        let aws = |arn: &str| AwsSecretsManager {
            arn: arn.to_owned(),
            field: String::new(),
            access_key_id: String::new(),
            current: AwsCurrent::OnProof,
            endpoint: String::new(),
        };
        assert_eq!(
            aws("arn:aws:secretsmanager:eu-central-1:123456789012:secret:a").url(),
            "https://secretsmanager.eu-central-1.amazonaws.com"
        );
        assert_eq!(
            aws("arn:aws-cn:secretsmanager:cn-north-1:123456789012:secret:a").url(),
            "https://secretsmanager.cn-north-1.amazonaws.com.cn"
        );
    }
}
