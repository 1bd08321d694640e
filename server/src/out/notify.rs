//! How people are told: mail by the configured server, webhooks behind the egress guard.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use ops::ports::{Mail, Notify, NotifyFault, WebhookCall};
use reqwest::header::CONTENT_TYPE;
use url::Url;

use super::{
    egress::{Egress, GuardedResolver},
    http::install_crypto,
    mail::SmtpMail,
    standard_webhooks,
};

/// From the first byte out to the last byte in.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Mail and webhooks.
pub struct Notifier {
    mail: Option<SmtpMail>,
    client: reqwest::Client,
    egress: Arc<Egress>,
}

impl Notifier {
    /// A notifier behind a guard; without mail when there is no mail server.
    ///
    /// # Errors
    /// A sentence when the machine has no usable certificate store.
    pub fn new(egress: Egress, mail: Option<SmtpMail>) -> Result<Self, String> {
        install_crypto();
        let egress = Arc::new(egress);
        let client = reqwest::Client::builder()
            .user_agent(concat!("Keyward/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .timeout(TIMEOUT)
            .connect_timeout(TIMEOUT)
            .dns_resolver(Arc::new(GuardedResolver(Arc::clone(&egress))))
            .build()
            .map_err(|error| format!("webhooks cannot be called: {error}"))?;
        Ok(Self { mail, client, egress })
    }

    /// Calls a webhook with a body of some media type.
    ///
    /// # Errors
    /// [`NotifyFault`].
    pub async fn call(&self, call: &WebhookCall, media_type: &str) -> Result<(), NotifyFault> {
        let last = |text: String| NotifyFault { text, is_final: true };
        let url = Url::parse(&call.url).map_err(|_| last("the address cannot be read".to_owned()))?;
        // Judged at each call: the operator may have allowed less since.
        self.egress.admits_url(&url).map_err(|barred| last(barred.to_string()))?;
        let headers = standard_webhooks::headers(&call.secret, &call.id, call.at_s, &call.body)
            .map_err(|bad| last(bad.to_string()))?;
        let mut request = self.client.post(url).header(CONTENT_TYPE, media_type);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        // A URL may hold a token of the receiver: it goes into no text.
        let answer = request.body(call.body.clone()).send().await.map_err(|error| {
            let what = if error.is_timeout() {
                "it did not answer within 10 seconds"
            } else if error.is_connect() {
                "no connection could be made"
            } else {
                "the exchange came to nothing"
            };
            NotifyFault { text: what.to_owned(), is_final: false }
        })?;
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        // 410 is how Standard Webhooks says that nobody listens any more.
        let text = format!("it answered with status {}", status.as_u16());
        Err(NotifyFault { text, is_final: status == reqwest::StatusCode::GONE })
    }
}

impl Notify for Notifier {
    fn has_mail(&self) -> bool {
        self.mail.is_some()
    }

    fn admits(&self, url: &str) -> Result<(), String> {
        let url = Url::parse(url).map_err(|_| "it is not an address that can be called".to_owned())?;
        self.egress.admits_url(&url).map_err(|barred| barred.to_string())
    }

    fn mail<'a>(
        &'a self,
        mail: &'a Mail,
    ) -> Pin<Box<dyn Future<Output = Result<(), NotifyFault>> + Send + 'a>> {
        Box::pin(async move {
            match &self.mail {
                Some(smtp) => smtp.send(mail).await,
                None => Err(NotifyFault { text: "mail is not set up".to_owned(), is_final: true }),
            }
        })
    }

    fn webhook<'a>(
        &'a self,
        call: &'a WebhookCall,
    ) -> Pin<Box<dyn Future<Output = Result<(), NotifyFault>> + Send + 'a>> {
        Box::pin(self.call(call, "application/json"))
    }
}
