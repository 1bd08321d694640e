//! A signed webhook: Standard Webhooks, the body encrypted for the receiver when it has a public key.
//!
//! The same delivery has the same `webhook-id`, however often it is sent: a receiver that has seen it answers 2xx and
//! does nothing.

use domain::deliveries::{DeliveryStep, FailureKind, Holds, receiver::ReceiverKey, settings::Webhook};
use http::{HeaderMap, Method};
use ops::ports::{StepDone, StepFault};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{Way, done, fault, is_same, line::Answer, line::headers, sealing, seen, told::Told};
use crate::out::standard_webhooks;

pub(super) async fn step(
    way: &Way<'_>,
    webhook: &Webhook,
    step: DeliveryStep,
) -> Result<StepDone, StepFault> {
    match step {
        DeliveryStep::Validate => validate(way, webhook).await.map_err(Answer::weather),
        DeliveryStep::Write => write(way, webhook).await,
        DeliveryStep::ReadBack => read_back(way, webhook).await.map_err(Answer::weather),
        DeliveryStep::Kick | DeliveryStep::Promote => Ok(done("there is nothing to do")),
    }
}

/// Whether anybody is there, and who, before anything is sent.
async fn validate(way: &Way<'_>, webhook: &Webhook) -> Result<StepDone, StepFault> {
    let answer = way.line.send(Method::HEAD, &webhook.url, HeaderMap::new(), Zeroizing::default()).await?;
    let sealed = if webhook.receiver_key.is_empty() {
        "the key travels under TLS alone"
    } else {
        "the key is encrypted for the receiver"
    };
    Ok(done(format!("the receiver is there, and answers a HEAD with {}; {sealed}", answer.status)))
}

fn signed(way: &Way<'_>, body: &[u8], content_type: Option<&str>) -> Result<HeaderMap, StepFault> {
    let id = way.job.parcel.delivery_id.as_ref().map_or("test", |id| id.as_str());
    let at_s = way.clock.now_ms() / 1_000;
    let signature = standard_webhooks::headers(&way.job.credential, id, at_s, body)
        .map_err(|bad| fault(FailureKind::Refused, bad.to_string()))?;
    let mut pairs: Vec<(&'static str, &str)> =
        signature.iter().map(|(name, value)| (*name, value.as_str())).collect();
    pairs.extend(content_type.map(|value| ("content-type", value)));
    headers(&pairs)
}

/// What a receiver reads.
fn message(way: &Way<'_>) -> Result<Told, StepFault> {
    let parcel = &way.job.parcel;
    let made = ops::rfc3339(parcel.made_ms);
    Ok(Told::new(json!({
        "type": "key.rotated",
        "timestamp": made,
        "data": {
            "federation": parcel.federation, "base_url": parcel.base_url, "key_id": parcel.key_id,
            "rotation_id": parcel.rotation_id, "last_four": parcel.last_four, "secret": way.secret()?,
        },
    })))
}

async fn write(way: &Way<'_>, webhook: &Webhook) -> Result<StepDone, StepFault> {
    let plain = message(way)?.bytes();
    let (body, content_type) = if webhook.receiver_key.is_empty() {
        (plain, "application/json")
    } else {
        let (receiver, kid) = ReceiverKey::parse(&webhook.receiver_key).map_err(|expected| {
            fault(FailureKind::Refused, format!("the key of the receiver: {expected}"))
        })?;
        let sealed = sealing::seal(way.entropy, &receiver, kid.as_deref(), &plain)
            .map_err(|error| fault(FailureKind::Refused, error))?;
        (Zeroizing::new(sealed.into_bytes()), "application/jose")
    };
    let headers = signed(way, &body, Some(content_type))?;
    let answer = way.line.send(Method::POST, &webhook.url, headers, body).await?;
    let answer = answer.good("the webhook")?;
    Ok(done(format!("the receiver took it ({})", answer.status)))
}

async fn read_back(way: &Way<'_>, webhook: &Webhook) -> Result<StepDone, StepFault> {
    if webhook.read_back_url.is_empty() {
        return Ok(seen(Holds::CannotTell, "the receiver has no read-back address: its 2xx is the proof"));
    }
    let headers = signed(way, b"", None)?;
    let answer = way.line.send(Method::GET, &webhook.read_back_url, headers, Zeroizing::default()).await?;
    let body = answer.good("the read-back")?.json("the read-back")?;
    let Some(found) = body.get("last_four").and_then(Value::as_str) else {
        return Err(fault(FailureKind::Unclear, "the read-back says nothing of last_four"));
    };
    let parcel = &way.job.parcel;
    Ok(if parcel.last_four.is_empty() {
        seen(Holds::CannotTell, "the receiver says which key it holds")
    } else if is_same(found, &parcel.last_four) {
        seen(Holds::Yes, format!("the receiver holds the key that ends in {}", parcel.last_four))
    } else {
        seen(Holds::No, "the receiver holds another key")
    })
}
