//! What an upstream says that it can do (`/ServiceProviderConfig`, RFC 7643 5), as far as a list and
//! our own word to the provider depend on it. It is asked when somebody needs to know, and believed
//! for a while.

use domain::Millis;
use serde_json::Value;

use super::{Gate, locked, told::Told};
use crate::{Cx, Error, Keyward, ScimClient};

/// How long it is believed, in milliseconds.
const BELIEVED_MS: Millis = 10 * 60 * 1_000;

/// What an upstream offers; what it does not speak of, it does not offer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Offers {
    /// `sortBy`.
    pub sort: bool,
    /// Entity tags and `If-Match`.
    pub etag: bool,
    /// Paging by cursor (RFC 9865).
    pub cursor: bool,
}

impl Offers {
    fn read(config: &Value) -> Self {
        let is = |pointer: &str| config.pointer(pointer).and_then(Value::as_bool) == Some(true);
        Self { sort: is("/sort/supported"), etag: is("/etag/supported"), cursor: is("/pagination/cursor") }
    }
}

impl Gate {
    /// What the upstream offers. One that says nothing about itself offers nothing of it.
    pub(super) async fn offers(&self, keyward: &Keyward) -> Result<Offers, Told> {
        let now_ms = keyward.clock.now_ms();
        let federation_id = &self.upstream.federation_id;
        let known = locked(&keyward.gateway.offers).get(federation_id).copied();
        if let Some((version, at_ms, offers)) = known
            && version == self.upstream.version
            && now_ms - at_ms < BELIEVED_MS
        {
            return Ok(offers);
        }
        let request = Self::get("/ServiceProviderConfig".to_owned());
        let offers = match self.call(keyward, request).await.body() {
            Ok((config, _)) => Offers::read(&config),
            Err(Told::Refused { .. }) => Offers::default(),
            Err(told) => return Err(told),
        };
        let known = (self.upstream.version, now_ms, offers);
        locked(&keyward.gateway.offers).insert(federation_id.clone(), known);
        Ok(offers)
    }
}

/// What the upstream of a federation offers; nothing while it cannot be asked.
///
/// # Errors
/// [`Error::Unavailable`] when the database cannot be read.
pub async fn offers(cx: &Cx<ScimClient>) -> Result<Offers, Error> {
    let gate = match cx.gate(&cx.actor.federation).await {
        Ok(gate) => gate,
        Err(Error::Upstream { .. }) => return Ok(Offers::default()),
        Err(error) => return Err(error),
    };
    Ok(gate.offers(&cx.keyward).await.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_not_said_is_not_offered() {
        assert_eq!(Offers::read(&json!({})), Offers::default());
        assert_eq!(Offers::read(&json!({ "sort": { "supported": "true" } })), Offers::default());
        let all = json!({
            "sort": { "supported": true }, "etag": { "supported": true }, "pagination": { "cursor": true },
        });
        assert_eq!(Offers::read(&all), Offers { sort: true, etag: true, cursor: true });
    }
}
