//! What the operator configured about the identity provider of the administrators.

use std::collections::BTreeMap;

use domain::{Secret, federations::Slug};
use url::Url;

/// How administrators sign in. Read from the configuration at start; no route changes it.
pub struct OidcSettings {
    /// The issuer, to the letter: discovery and every token must name exactly this text.
    pub issuer: String,
    /// Keyward's name at the provider.
    pub client_id: String,
    /// Keyward's secret at the provider; `None` for a public client, which PKCE protects.
    pub client_secret: Option<Secret>,
    /// Where the provider sends the browser back: `<public URL>/auth/callback`.
    pub redirect_uri: Url,
    /// Scopes to ask for beside `openid`.
    pub scopes: Vec<String>,
    /// Where the claim with roles is: a name, a dotted path or a JSON pointer (RFC 6901).
    pub roles_claim: String,
    /// Which values of that claim give which role.
    pub roles: RoleMap,
    /// Where the provider sends the browser after sign-out: `<public URL>/sign-in`.
    pub post_logout_redirect: Url,
    /// The provider's name as people know it.
    pub provider_name: String,
}

/// Which claim values give which role. Somebody with several gets the widest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RoleMap {
    /// Values that make an admin.
    pub admin: Vec<String>,
    /// Values that make a manager.
    pub manager: Vec<String>,
    /// Values that make an operator, and of which federations.
    pub operator: BTreeMap<String, Vec<Slug>>,
}
