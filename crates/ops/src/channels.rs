//! Channels: where the people who run Keyward are told. Made, tested and removed by admins.

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use domain::{
    ChannelId, Invalid, Millis, Secret,
    admins::{Admin, Right},
    audit::{Action, AuditEvent},
    channels::{Channel, ChannelKind, ChannelSettings, LastResult, parse_addresses},
    federations::check_name,
    findings::Severity,
    secret::SIGNING_PREFIX,
};
use serde_json::json;
use store::{Change, Conn, channels::StoredChannel};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    Cx, Error, Keyward, notify,
    ports::WebhookCall,
    unit::detail,
    vault::{Place, Sealed},
};

/// The most channels.
const LIMIT: usize = 20;

/// A channel to be added.
#[derive(Debug, Clone, Default)]
pub struct NewChannel {
    /// The word of the kind.
    pub kind: String,
    /// The name that people read.
    pub name: String,
    /// Addresses of a mail channel, by lines or commas.
    pub to: String,
    /// The address of a webhook.
    pub url: String,
    /// The word of the mildest severity that is told.
    pub least: String,
}

/// A channel that was added; the only holder of the secret that signs its webhook.
pub struct AddedChannel {
    /// The channel.
    pub channel: Channel,
    /// `whsec_…`; none for mail.
    pub secret: Option<Secret>,
}

/// The channels, and whether the viewer may change them.
#[derive(Debug, Clone)]
pub struct Channels {
    /// In the order in which they were added.
    pub channels: Vec<Channel>,
    /// Whether mail is set up in the configuration.
    pub can_mail: bool,
    /// Whether the viewer may add, test and remove.
    pub may_change: bool,
}

/// Every channel.
///
/// # Errors
/// NotFound for whoever may not see the installation.
pub async fn list(cx: &Cx<Admin>) -> Result<Channels, Error> {
    if !cx.actor.role.may(Right::ReadInstallation, None) {
        return Err(Error::NotFound("page"));
    }
    let stored = store::channels::list(&mut cx.read().await?.conn()).await?;
    Ok(Channels {
        channels: stored.into_iter().map(|stored| stored.channel).collect(),
        can_mail: cx.keyward.can_mail(),
        may_change: cx.actor.role.may(Right::RegisterFederation, None),
    })
}

/// Only an admin changes what holds for the whole installation; else the refusal is recorded.
async fn allowed(cx: &Cx<Admin>, action: Action, target: &str) -> Result<(), Error> {
    if cx.actor.role.may(Right::RegisterFederation, None) {
        return Ok(());
    }
    let event = AuditEvent { target: Some(target.to_owned()), ..cx.event(action) };
    let refused = cx.forbid(event, "only an admin may do this".to_owned()).await;
    if cx.actor.role.may(Right::ReadInstallation, None) {
        refused
    } else {
        refused.map_err(
            |error| if matches!(error, Error::Forbidden(_)) { Error::NotFound("page") } else { error },
        )
    }
}

/// Adds a channel. A webhook gets a secret that signs its messages, which is shown once.
///
/// # Errors
/// Invalid with every fault; Conflict beyond twenty; Forbidden but for admins.
pub async fn add(cx: &Cx<Admin>, new: NewChannel) -> Result<AddedChannel, Error> {
    allowed(cx, Action::ChannelSet, &new.name).await?;
    let mut faults = Vec::new();
    let name = check_name("name", &new.name).map_err(|fault| faults.push(fault));
    let kind = ChannelKind::parse(&new.kind)
        .ok_or_else(|| faults.push(Invalid::new("kind", "choose mail or webhook")));
    let least = Severity::parse(&new.least)
        .ok_or_else(|| faults.push(Invalid::new("least", "choose from which severity on")));
    let (mut to, mut url) = (Vec::new(), String::new());
    if kind == Ok(ChannelKind::Mail) {
        match parse_addresses(&new.to) {
            Ok(addresses) => to = addresses,
            Err(fault) => faults.push(fault),
        }
        if !cx.keyward.can_mail() {
            faults.push(Invalid::new("kind", "mail is not set up: see mail.host in the configuration"));
        }
    }
    if kind == Ok(ChannelKind::Webhook) {
        new.url.trim().clone_into(&mut url);
        if url.len() > 2_000 {
            faults.push(Invalid::new("url", "at most 2,000 characters are allowed"));
        } else if let Err(barred) = admits(&cx.keyward, &url) {
            faults.push(Invalid::new("url", barred));
        }
    }
    let (Ok(name), Ok(kind), Ok(least), true) = (name, kind, least, faults.is_empty()) else {
        return Err(Error::Invalid(faults));
    };
    let now_ms = cx.now_ms();
    let id = ChannelId::new(now_ms, cx.keyward.id_chance());
    let secret = (kind == ChannelKind::Webhook).then(|| new_secret(&cx.keyward));
    let sealed = match &secret {
        Some(secret) => cx
            .keyward
            .vault
            .seal(cx.keyward.entropy.as_ref(), place(&id, 1), secret.expose().as_bytes())
            .map_err(Error::Internal)?,
        None => Sealed { text: String::new(), data_key: String::new() },
    };
    let channel = Channel {
        id,
        kind,
        name,
        settings: ChannelSettings { to, url, least },
        last_result: None,
        version: 1,
        updated_ms: now_ms,
    };
    let event = AuditEvent {
        target: Some(channel.name.clone()),
        detail: detail(&json!({
            "channel": channel.id, "kind": channel.kind, "to": channel.settings.to, "url": channel.settings.url,
            "least": least,
        })),
        ..cx.event(Action::ChannelSet)
    };
    let stored = StoredChannel { channel, sealed: sealed.text, data_key: sealed.data_key, seal_version: 1 };
    let channel = cx
        .keyward
        .commit(async move |conn: &mut Conn<'_>| {
            if store::channels::list(conn).await?.len() >= LIMIT {
                return Err(Error::Conflict(format!("at most {LIMIT} channels are allowed")));
            }
            store::channels::insert(conn, &stored).await?;
            Ok(Change::new(stored.channel.clone(), event.clone()))
        })
        .await?;
    Ok(AddedChannel { channel, secret })
}

/// Removes a channel; what waits for it is given up.
///
/// # Errors
/// NotFound; Forbidden but for admins.
pub async fn remove(cx: &Cx<Admin>, id: &ChannelId) -> Result<(), Error> {
    allowed(cx, Action::ChannelRemoved, id.as_str()).await?;
    let stored = find(cx, id).await?;
    let event = AuditEvent {
        target: Some(stored.channel.name),
        detail: detail(&json!({ "channel": id })),
        ..cx.event(Action::ChannelRemoved)
    };
    let (id, now_ms) = (id.clone(), cx.now_ms());
    cx.keyward
        .commit(async move |conn: &mut Conn<'_>| {
            if !store::channels::delete(conn, &id).await? {
                return Err(Error::NotFound("channel"));
            }
            let rule = domain::findings::Rule::ChannelFailed;
            crate::findings::settle(conn, None, rule, id.as_str(), "the channel was removed", now_ms).await?;
            Ok(Change::new((), event.clone()))
        })
        .await
}

/// Sends a test and says what became of it.
///
/// # Errors
/// NotFound; Forbidden but for admins. A test that failed is no error: its result says so.
pub async fn test(cx: &Cx<Admin>, id: &ChannelId) -> Result<LastResult, Error> {
    allowed(cx, Action::ChannelTested, id.as_str()).await?;
    let stored = find(cx, id).await?;
    let by = cx.actor.name.clone();
    let sent = match cx.keyward.notify.port() {
        None => Err("nothing is connected that could send it".to_owned()),
        Some(port) => {
            let sent = match stored.channel.kind {
                ChannelKind::Mail => port.mail(&notify::test_mail(&stored.channel, &by)).await,
                ChannelKind::Webhook => {
                    let now = rfc3339(cx.now_ms());
                    let call = WebhookCall {
                        url: stored.channel.settings.url.clone(),
                        id: format!("msg_{}", cx.request.id),
                        at_s: cx.now_ms() / 1_000,
                        secret: signing_secret(&cx.keyward, &stored)?,
                        body: notify::test_webhook(&stored.channel, &by, &now),
                    };
                    port.webhook(&call).await
                }
            };
            sent.map_err(|fault| fault.text)
        }
    };
    let result = LastResult { at_ms: cx.now_ms(), fault: sent.err() };
    let event = AuditEvent {
        target: Some(stored.channel.name.clone()),
        detail: detail(&json!({ "channel": id, "fault": result.fault })),
        ..cx.event(Action::ChannelTested)
    };
    let id = id.clone();
    cx.keyward
        .commit(async move |conn: &mut Conn<'_>| {
            store::channels::set_last_result(conn, &id, &result).await?;
            if result.fault.is_none() {
                let rule = domain::findings::Rule::ChannelFailed;
                let reason = "a test arrived";
                crate::findings::settle(conn, None, rule, id.as_str(), reason, result.at_ms).await?;
            }
            Ok(Change::new(result.clone(), event.clone()))
        })
        .await
}

async fn find(cx: &Cx<Admin>, id: &ChannelId) -> Result<StoredChannel, Error> {
    let found = store::channels::by_id(&mut cx.read().await?.conn(), id).await?;
    found.ok_or(Error::NotFound("channel"))
}

fn admits(keyward: &Keyward, url: &str) -> Result<(), String> {
    match keyward.notify.port() {
        Some(port) => port.admits(url),
        None => Err("nothing is connected that could call it".to_owned()),
    }
}

fn place(id: &ChannelId, version: i64) -> Place<'_> {
    Place { table: "channels", id: id.as_str(), column: "sealed", version }
}

/// A signing secret in the form of Standard Webhooks: `whsec_` and 32 bytes in base64.
fn new_secret(keyward: &Keyward) -> Secret {
    let mut chance = zeroize::Zeroizing::new([0; 32]);
    keyward.entropy.fill(chance.as_mut());
    Secret::new(format!("{SIGNING_PREFIX}{}", BASE64.encode(chance.as_slice())))
}

/// The secret that signs the messages of a webhook.
pub(crate) fn signing_secret(keyward: &Keyward, stored: &StoredChannel) -> Result<Secret, Error> {
    let id = &stored.channel.id;
    let sealed = Sealed { text: stored.sealed.clone(), data_key: stored.data_key.clone() };
    let bytes = keyward
        .vault
        .open(place(id, stored.seal_version), &sealed)
        .map_err(|error| Error::Internal(format!("channel {id}: {error}")))?;
    let text = String::from_utf8(bytes.to_vec());
    text.map(Secret::new).map_err(|_| Error::Internal(format!("channel {id}: not a text")))
}

/// A moment as RFC 3339 writes it, in UTC and whole seconds.
pub fn rfc3339(at_ms: Millis) -> String {
    let moment = OffsetDateTime::from_unix_timestamp(at_ms.div_euclid(1_000)).ok();
    moment.and_then(|moment| moment.format(&Rfc3339).ok()).unwrap_or_else(|| format!("{at_ms} ms"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_as_rfc_3339_has_them() {
        assert_eq!(rfc3339(951_782_400_999), "2000-02-29T00:00:00Z");
        assert_eq!(rfc3339(1_795_465_751_000), "2026-11-23T20:29:11Z");
    }
}
