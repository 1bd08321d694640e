//! A receiver of webhooks that keeps what it is told, by Standard Webhooks and through the egress guard.

use std::pin::Pin;

use domain::Secret;
use ops::ports::{Anchor, Anchoring, Notify as _, WebhookCall};
use serde_json::json;
use url::Url;

use crate::out::{egress::Egress, notify::Notifier, standard_webhooks::check_secret};

/// A webhook.
pub struct WebhookAnchor {
    url: Url,
    secret: Secret,
    notifier: Notifier,
}

impl WebhookAnchor {
    /// A webhook behind a guard.
    ///
    /// # Errors
    /// A sentence when the address or the secret cannot be used.
    pub fn new(url: Url, secret: Secret, egress: &Egress) -> Result<Self, String> {
        check_secret(&secret).map_err(|bad| bad.to_string())?;
        egress.admits_url(&url).map_err(|barred| format!("the webhook of the audit log: {barred}"))?;
        Ok(Self { url, secret, notifier: Notifier::new(egress.clone(), None)? })
    }
}

impl Anchor for WebhookAnchor {
    fn name(&self) -> &'static str {
        "webhook"
    }

    fn place(&self) -> String {
        // A path may hold a token of the receiver.
        self.url.origin().ascii_serialization()
    }

    fn last(&self) -> Option<i64> {
        None
    }

    fn tell<'a>(
        &'a self,
        checkpoint: &'a Anchoring,
    ) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send + 'a>> {
        Box::pin(async move {
            let Anchoring { size, root, at_ms, note } = checkpoint;
            let body = json!({
                "type": "audit.checkpoint",
                "timestamp": ops::rfc3339(*at_ms),
                "data": { "size": size, "root": root, "note": note },
            });
            let call = WebhookCall {
                url: self.url.to_string(),
                // The same however often it is sent: a receiver knows what it has.
                id: format!("checkpoint_{size}_{}", root.get(..16).unwrap_or_default()),
                at_s: at_ms.div_euclid(1_000),
                secret: Secret::new(self.secret.expose().to_owned()),
                body: body.to_string().into_bytes(),
            };
            self.notifier.webhook(&call).await.map_err(|fault| fault.text)
        })
    }
}
