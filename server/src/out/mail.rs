//! Mail out, by SMTP (RFC 5321) to the server that the operator configured: TLS from the first byte or by
//! STARTTLS (RFC 3207), never a fallback to plain text, plain text only where the configuration says so.

use std::{error::Error as _, time::Duration};

use domain::Secret;
use lettre::{
    AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor,
    address::Envelope,
    message::{Mailbox, header::ContentType},
    transport::smtp::{
        authentication::Credentials,
        client::{Certificate, Tls, TlsParameters},
        extension::ClientId,
    },
};
use ops::ports::{Mail, NotifyFault};

/// From the first byte out to the last byte in.
const TIMEOUT: Duration = Duration::from_secs(15);

/// How the connection to the mail server is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MailTls {
    /// STARTTLS, or nothing is sent.
    StartTls,
    /// From the first byte.
    Implicit,
    /// Not at all: for a relay on this machine or inside a tunnel.
    None,
}

/// The mail server. It holds a secret and has no Debug.
pub struct MailSettings {
    /// Its host.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is protected.
    pub tls: MailTls,
    /// With what Keyward signs in there, when it does.
    pub credentials: Option<(String, Secret)>,
    /// Who mail is from: `Keyward <keyward@example.com>`.
    pub from: String,
    /// Certificates in PEM that are trusted beside those of the operating system.
    pub trusted_ca: Option<String>,
}

/// A client of one mail server.
pub struct SmtpMail {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
}

impl SmtpMail {
    /// Makes the client; nothing is connected yet.
    ///
    /// # Errors
    /// A sentence when the sender or a certificate cannot be read.
    pub fn new(settings: &MailSettings) -> Result<Self, String> {
        super::http::install_crypto();
        let from: Mailbox =
            settings.from.parse().map_err(|_| "mail.from is not a mail address".to_owned())?;
        let tls = match settings.tls {
            MailTls::None => Tls::None,
            MailTls::StartTls => Tls::Required(tls(settings)?),
            MailTls::Implicit => Tls::Wrapper(tls(settings)?),
        };
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&settings.host)
            .port(settings.port)
            .tls(tls)
            .timeout(Some(TIMEOUT))
            .hello_name(ClientId::Domain(from.email.domain().to_owned()));
        if let Some((user, password)) = &settings.credentials {
            builder = builder.credentials(Credentials::new(user.clone(), password.expose().to_owned()));
        }
        Ok(Self { transport: builder.build(), from })
    }

    /// Hands one mail to the server.
    ///
    /// # Errors
    /// [`NotifyFault`]: final when the server said no for good (5xx), or the mail cannot be written.
    pub async fn send(&self, mail: &Mail) -> Result<(), NotifyFault> {
        let mut message = Message::builder()
            .from(self.from.clone())
            .subject(mail.subject.clone())
            // The same for each try of the same mail, so that a reader shows it once (RFC 5322 3.6.4).
            .message_id(Some(format!("<{}@{}>", id(&mail.id), self.from.email.domain())))
            // Nobody's out-of-office need answer (RFC 3834 5).
            .header(AutoSubmitted);
        let mut recipients = Vec::new();
        for address in &mail.to {
            let mailbox: Mailbox =
                address.parse().map_err(|_| unwritable(&format!("{address:?} is not a mail address")))?;
            recipients.push(mailbox.email.clone());
            message = message.to(mailbox);
        }
        let envelope = Envelope::new(Some(self.from.email.clone()), recipients)
            .map_err(|error| unwritable(&error.to_string()))?;
        let message = message
            .envelope(envelope)
            .header(ContentType::TEXT_PLAIN)
            .body(mail.text.expose().to_owned())
            .map_err(|error| unwritable(&error.to_string()))?;
        match self.transport.send(message).await {
            Ok(_) => Ok(()),
            Err(error) => Err(NotifyFault { is_final: error.is_permanent(), text: told(&error) }),
        }
    }
}

fn tls(settings: &MailSettings) -> Result<TlsParameters, String> {
    let mut builder = TlsParameters::builder(settings.host.clone());
    if let Some(pem) = &settings.trusted_ca {
        let certificate = Certificate::from_pem(pem.as_bytes())
            .map_err(|_| "mail.trusted_ca_file holds no certificate in PEM".to_owned())?;
        builder = builder.add_root_certificate(certificate);
    }
    builder.build_rustls().map_err(|error| format!("TLS for mail cannot be set up: {error}"))
}

fn unwritable(text: &str) -> NotifyFault {
    NotifyFault { text: format!("the mail cannot be written: {text}"), is_final: true }
}

/// What the mail server said, or why it said nothing; one line, of bounded length.
fn told(error: &lettre::transport::smtp::Error) -> String {
    let mut text = error.to_string();
    if let Some(source) = error.source() {
        text = format!("{text}: {source}");
    }
    domain::usage::clean(&text, 300)
}

/// What may stand in a message id.
fn id(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' || c == '_' { c } else { '-' }).collect()
}

/// `Auto-Submitted: auto-generated` (RFC 3834).
#[derive(Clone)]
struct AutoSubmitted;

impl lettre::message::header::Header for AutoSubmitted {
    fn name() -> lettre::message::header::HeaderName {
        lettre::message::header::HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self)
    }

    fn display(&self) -> lettre::message::header::HeaderValue {
        lettre::message::header::HeaderValue::new(Self::name(), "auto-generated".to_owned())
    }
}
