//! The fields of each connector, for forms and documents.

use super::Connector;

/// A field of a connector.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// Its name in the form and in the settings.
    pub name: &'static str,
    /// What stands above it.
    pub label: &'static str,
    /// What stands below it.
    pub hint: &'static str,
    /// What stands in it at first.
    pub preset: &'static str,
    /// The words among which to choose and what people read; empty for text.
    pub choices: &'static [(&'static str, &'static str)],
    /// Whether it may stay empty.
    pub is_optional: bool,
}

impl Field {
    /// Whether it is an address.
    pub fn is_url(&self) -> bool {
        matches!(
            self.name,
            "url"
                | "read_back_url"
                | "address"
                | "endpoint"
                | "server"
                | "graph_url"
                | "login_url"
                | "org_url"
        )
    }
}

const fn field(name: &'static str, label: &'static str, hint: &'static str, preset: &'static str) -> Field {
    Field { name, label, hint, preset, choices: &[], is_optional: false }
}

const fn optional(
    name: &'static str,
    label: &'static str,
    hint: &'static str,
    preset: &'static str,
) -> Field {
    Field { is_optional: true, ..field(name, label, hint, preset) }
}

impl Connector {
    /// What of it is not secret.
    #[expect(clippy::too_many_lines, reason = "a table")]
    pub const fn fields(self) -> &'static [Field] {
        match self {
            Self::Webhook => {
                const {
                    &[
                        field("url", "Address", "Gets a POST. Only a 2xx is taken for an answer.", ""),
                        optional(
                            "receiver_key",
                            "Public key of the receiver",
                            "A JWK of type OKP (X25519) or EC (P-256). With one, the key travels as a JWE (ECDH-ES, A256GCM) that \
                     only the receiver opens. Leave it empty to rely on TLS alone.",
                            "",
                        ),
                        optional(
                            "read_back_url",
                            "Read-back address",
                            "Gets a signed GET, and answers {\"last_four\": …} of the key that it holds. Without one, the 2xx is \
                     the proof.",
                            "",
                        ),
                    ]
                }
            }
            Self::Vault => {
                const {
                    &[
                        field("address", "Address", "Without /v1.", ""),
                        optional("namespace", "Namespace", "Leave it empty when you have none.", ""),
                        field("mount", "Mount", "Of the engine KV version 2.", "secret"),
                        field("path", "Path", "Of the secret, without the mount and without /data.", ""),
                        field("field", "Field", "The key goes into this field of the secret.", "scim_token"),
                        Field {
                            is_optional: false,
                            name: "sign_in",
                            label: "Keyward signs in with",
                            hint: "An AppRole is exchanged for a token each time.",
                            preset: "token",
                            choices: &[("token", "A token"), ("approle", "An AppRole")],
                        },
                        optional("role_id", "Role id", "For an AppRole.", ""),
                        optional("approle_mount", "Mount of AppRole", "For an AppRole.", "approle"),
                    ]
                }
            }
            Self::AwsSecretsManager => {
                const {
                    &[
                        field(
                            "arn",
                            "ARN of the secret",
                            "The whole ARN: it names the account, and no other is written to.",
                            "",
                        ),
                        optional(
                            "field",
                            "Field",
                            "Of a secret that is JSON. Leave it empty when the secret is the key itself.",
                            "",
                        ),
                        field("access_key_id", "Access key id", "Of the IAM user.", ""),
                        Field {
                            is_optional: false,
                            name: "current",
                            label: "AWSCURRENT moves",
                            hint: "A consumer that reads AWSPENDING proves itself before anybody else gets the key. One that reads \
                           AWSCURRENT only needs it at once.",
                            preset: "on-proof",
                            choices: &[
                                ("on-proof", "When the new key has done real work"),
                                ("at-once", "At once"),
                            ],
                        },
                        optional("endpoint", "Endpoint", "Leave it empty for the one of the region.", ""),
                    ]
                }
            }
            Self::Kubernetes => {
                const {
                    &[
                        field("server", "API server", "Its address, such as https://10.0.0.1:6443.", ""),
                        field("namespace", "Namespace", "", ""),
                        field("name", "Secret", "It must exist.", ""),
                        field(
                            "key",
                            "Entry",
                            "The key of the Secret's data that gets the provisioning key.",
                            "scim-token",
                        ),
                    ]
                }
            }
            Self::EntraGraph => {
                const {
                    &[
                        field("tenant_id", "Tenant id", "Directory (tenant) id.", ""),
                        field(
                            "client_id",
                            "Client id",
                            "Application (client) id of the app registration that Keyward uses.",
                            "",
                        ),
                        field(
                            "service_principal_id",
                            "Object id of the enterprise application",
                            "The object id, not the application id.",
                            "",
                        ),
                        field("job_id", "Job id", "Of the provisioning job, such as scim.1234….", ""),
                        field(
                            "graph_url",
                            "Microsoft Graph",
                            "Another one for a national cloud.",
                            "https://graph.microsoft.com",
                        ),
                        field(
                            "login_url",
                            "Sign-in",
                            "Another one for a national cloud.",
                            "https://login.microsoftonline.com",
                        ),
                    ]
                }
            }
            Self::OktaConnection => {
                const {
                    &[
                        field("org_url", "Org", "Its address, such as https://example.okta.com.", ""),
                        field(
                            "app_id",
                            "Application id",
                            "The id in the address of the application's page.",
                            "",
                        ),
                    ]
                }
            }
        }
    }
}
