//! What a connector needs to know, and what of it says where a secret goes.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{Connector, Pins};
use crate::{Invalid, hex, secret::signing_bytes};

/// The longest credential, in bytes.
const LONGEST_CREDENTIAL: usize = 8_000;

/// Where a connector leads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "connector", rename_all = "kebab-case")]
pub enum Connection {
    /// A signed webhook.
    Webhook(Webhook),
    /// Vault or OpenBao.
    Vault(Vault),
    /// AWS Secrets Manager.
    AwsSecretsManager(AwsSecretsManager),
    /// Kubernetes.
    Kubernetes(Kubernetes),
    /// Entra ID.
    EntraGraph(EntraGraph),
    /// Okta.
    OktaConnection(OktaConnection),
}

/// Where a signed webhook goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Webhook {
    /// Gets the POST.
    pub url: String,
    /// A JWK, or nothing.
    pub receiver_key: String,
    /// Gets the GET, or nothing.
    pub read_back_url: String,
}

/// Where a secret of Vault is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vault {
    /// Scheme, host and port.
    pub address: String,
    /// `X-Vault-Namespace`, or nothing.
    pub namespace: String,
    /// The engine.
    pub mount: String,
    /// The secret.
    pub path: String,
    /// The field of it.
    pub field: String,
    /// How Keyward signs in.
    pub sign_in: VaultSignIn,
    /// For an AppRole.
    pub role_id: String,
    /// For an AppRole.
    pub approle_mount: String,
}

/// How Keyward signs in at Vault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VaultSignIn {
    /// With a token.
    Token,
    /// With an AppRole.
    Approle,
}

/// Where a secret of AWS is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AwsSecretsManager {
    /// It names region, account and secret.
    pub arn: String,
    /// The field of a secret that is JSON, or nothing.
    pub field: String,
    /// Whose right it is.
    pub access_key_id: String,
    /// When AWSCURRENT moves.
    pub current: AwsCurrent,
    /// Another endpoint than the region's, or nothing.
    pub endpoint: String,
}

/// When AWSCURRENT moves to the new key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AwsCurrent {
    /// When it has done real work.
    OnProof,
    /// When it is written.
    AtOnce,
}

impl AwsSecretsManager {
    /// The region that the ARN names.
    pub fn region(&self) -> &str {
        self.arn.split(':').nth(3).unwrap_or_default()
    }

    /// Where the region is called.
    pub fn url(&self) -> String {
        if !self.endpoint.is_empty() {
            return self.endpoint.clone();
        }
        let region = self.region();
        let suffix = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
        format!("https://secretsmanager.{region}.{suffix}")
    }
}

/// Where a Secret of Kubernetes is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kubernetes {
    /// The API server.
    pub server: String,
    /// The namespace.
    pub namespace: String,
    /// The Secret.
    pub name: String,
    /// The entry of its data.
    pub key: String,
}

/// Where a provisioning job of Entra ID is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntraGraph {
    /// The tenant.
    pub tenant_id: String,
    /// The app registration that Keyward uses.
    pub client_id: String,
    /// The enterprise application.
    pub service_principal_id: String,
    /// The job.
    pub job_id: String,
    /// Microsoft Graph.
    pub graph_url: String,
    /// The sign-in.
    pub login_url: String,
}

/// Where an application of Okta is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OktaConnection {
    /// The org.
    pub org_url: String,
    /// The application.
    pub app_id: String,
}

/// Whom Keyward takes for the target.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Trust {
    /// Certificates in PEM that are trusted beside those of the operating system; empty for none.
    pub trusted_ca: String,
    /// The public keys that the target's certificates must have, as [`Pins`] writes them; empty for any.
    pub public_key: String,
}

impl Trust {
    /// The public keys that were approved. A text that says nothing clear admits none.
    pub fn pins(&self) -> Option<Pins> {
        Pins::parse(&self.public_key)
    }
}

/// What is not secret of a target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Where it leads.
    pub connection: Connection,
    /// Whom Keyward takes for it.
    #[serde(default)]
    pub trust: Trust,
}

impl Settings {
    /// The connector.
    pub const fn connector(&self) -> Connector {
        match self.connection {
            Connection::Webhook(_) => Connector::Webhook,
            Connection::Vault(_) => Connector::Vault,
            Connection::AwsSecretsManager(_) => Connector::AwsSecretsManager,
            Connection::Kubernetes(_) => Connector::Kubernetes,
            Connection::EntraGraph(_) => Connector::EntraGraph,
            Connection::OktaConnection(_) => Connector::OktaConnection,
        }
    }

    /// The text of a field, to be shown in a form again.
    pub fn text(&self, field: &str) -> String {
        let values = [serde_json::json!(self.connection), serde_json::json!(self.trust)];
        let found = values.iter().find_map(|values| values.get(field).and_then(Value::as_str));
        found.unwrap_or_default().to_owned()
    }

    /// Where it leads, in a few words.
    pub fn place(&self) -> String {
        match &self.connection {
            Connection::Webhook(webhook) => webhook.url.clone(),
            Connection::Vault(vault) => {
                format!("{} in {}/{} at {}", vault.field, vault.mount, vault.path, vault.address)
            }
            Connection::AwsSecretsManager(aws) => aws.arn.clone(),
            Connection::Kubernetes(kubernetes) => {
                format!(
                    "{} in {}/{} at {}",
                    kubernetes.key, kubernetes.namespace, kubernetes.name, kubernetes.server
                )
            }
            Connection::EntraGraph(entra) => {
                format!(
                    "job {} of {} in tenant {}",
                    entra.job_id, entra.service_principal_id, entra.tenant_id
                )
            }
            Connection::OktaConnection(okta) => format!("application {} of {}", okta.app_id, okta.org_url),
        }
    }

    /// The addresses that are called, each with the field that names it.
    pub fn urls(&self) -> Vec<(&'static str, String)> {
        match &self.connection {
            Connection::Webhook(webhook) => {
                let mut urls = vec![("url", webhook.url.clone())];
                if !webhook.read_back_url.is_empty() {
                    urls.push(("read_back_url", webhook.read_back_url.clone()));
                }
                urls
            }
            Connection::Vault(vault) => vec![("address", vault.address.clone())],
            Connection::AwsSecretsManager(aws) => vec![("endpoint", aws.url())],
            Connection::Kubernetes(kubernetes) => vec![("server", kubernetes.server.clone())],
            Connection::EntraGraph(entra) => {
                vec![("graph_url", entra.graph_url.clone()), ("login_url", entra.login_url.clone())]
            }
            Connection::OktaConnection(okta) => vec![("org_url", okta.org_url.clone())],
        }
    }

    /// Whether the proof of use has something to do there.
    pub const fn waits_for_proof(&self) -> bool {
        match &self.connection {
            Connection::AwsSecretsManager(aws) => matches!(aws.current, AwsCurrent::OnProof),
            Connection::Webhook(_)
            | Connection::Vault(_)
            | Connection::Kubernetes(_)
            | Connection::EntraGraph(_)
            | Connection::OktaConnection(_) => false,
        }
    }

    /// SHA-256 over everything that says where the secret goes and whom Keyward takes for the target, in
    /// hexadecimal. A field that is added later is left out of the text while it is empty, or every target
    /// would have to be approved again.
    pub fn digest(&self) -> String {
        // The order of the fields is that of the structs; it cannot fail, for all of them are texts.
        hex(&Sha256::digest(serde_json::to_string(self).unwrap_or_default().as_bytes()))
    }

    /// Checks a credential for it.
    ///
    /// # Errors
    /// [`Invalid`] on `credential`; it never repeats the credential.
    pub fn check_credential(&self, credential: &str) -> Result<(), Invalid> {
        let invalid = |message: &str| Err(Invalid::new("credential", message));
        if credential.is_empty() || credential.len() > LONGEST_CREDENTIAL {
            return invalid("it is empty, or longer than any credential");
        }
        match self.connector() {
            Connector::Webhook => {
                if signing_bytes(credential).is_none() {
                    return invalid("whsec_ and 24 to 64 bytes in base64 are expected");
                }
            }
            Connector::Vault
            | Connector::AwsSecretsManager
            | Connector::Kubernetes
            | Connector::EntraGraph
            | Connector::OktaConnection => {
                if credential.contains(|c: char| !c.is_ascii_graphic()) {
                    return invalid(
                        "it has a space, a line break or another character that no such credential has",
                    );
                }
                if credential.len() < 8 {
                    return invalid("it is shorter than any such credential");
                }
            }
        }
        Ok(())
    }
}
