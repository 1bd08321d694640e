//! A webhook that takes records: one call a batch, one record a line, by Standard Webhooks and through the egress
//! guard.

use std::pin::Pin;

use domain::{Secret, exports::Format};
use ops::ports::{Stream, Streaming, WebhookCall};
use url::Url;

use crate::out::{egress::Egress, notify::Notifier, standard_webhooks::check_secret};

/// A webhook.
pub struct WebhookStream {
    url: Url,
    secret: Secret,
    format: Format,
    notifier: Notifier,
}

impl WebhookStream {
    /// A webhook behind a guard.
    ///
    /// # Errors
    /// A sentence when the address or the secret cannot be used.
    pub fn new(url: Url, secret: Secret, format: Format, egress: &Egress) -> Result<Self, String> {
        check_secret(&secret).map_err(|bad| bad.to_string())?;
        egress.admits_url(&url).map_err(|barred| format!("the webhook of the stream: {barred}"))?;
        Ok(Self { url, secret, format, notifier: Notifier::new(egress.clone(), None)? })
    }
}

impl Stream for WebhookStream {
    fn name(&self) -> &'static str {
        "webhook"
    }

    fn place(&self) -> String {
        // A path may hold a token of the receiver.
        self.url.origin().ascii_serialization()
    }

    fn format(&self) -> Format {
        self.format
    }

    fn send<'a>(
        &'a self,
        batch: &'a Streaming,
    ) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send + 'a>> {
        Box::pin(async move {
            let mut body = String::new();
            for record in &batch.records {
                body.push_str(&record.json);
                body.push('\n');
            }
            let call = WebhookCall {
                url: self.url.to_string(),
                id: batch.id.clone(),
                at_s: batch.at_ms.div_euclid(1_000),
                secret: Secret::new(self.secret.expose().to_owned()),
                body: body.into_bytes(),
            };
            self.notifier.call(&call, self.format.media_type()).await.map_err(|fault| fault.text)
        })
    }
}
