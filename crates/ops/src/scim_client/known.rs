//! What is known of a presented key.

use std::sync::Arc;

use domain::{KeyId, brakes::Guards, federations::Federation, keys::Life, scopes::Scope};
use store::{
    cache::{Kind, Mark, Proof},
    keys::StoredKey,
};

use crate::{Error, Keyward, vault::parse_hash};

/// What a known key weighs in memory, with its federation and scope.
const KNOWN_KEY_BYTES: usize = 2_000;

/// What is known of a key: read once, and kept until the key or its federation changes. Its states
/// in time are not kept, they are worked out at each use.
pub(super) struct KnownKey {
    pub digest: [u8; 32],
    pub holder: domain::keys::Proof,
    pub canary: bool,
    pub name: Arc<str>,
    pub life: Life,
    pub version: i64,
    pub scope: Arc<Scope>,
    pub federation: Arc<Federation>,
    pub schemas: Arc<scim::Schemas>,
    pub guards: Arc<Guards>,
}

pub(super) async fn known_key(
    keyward: &Keyward,
    id: &KeyId,
) -> Result<Option<(Arc<KnownKey>, Option<Proof>)>, Error> {
    let store = &keyward.store;
    if let Some((known, proof)) = store.cached::<KnownKey>(Kind::Key, None, id.as_str()).await? {
        return Ok(Some((known, Some(proof))));
    }
    // What is rare is boxed here and below, so that the future of what is not stays small: it is moved.
    Box::pin(read_key(keyward, id)).await
}

async fn read_key(keyward: &Keyward, id: &KeyId) -> Result<Option<(Arc<KnownKey>, Option<Proof>)>, Error> {
    let store = &keyward.store;
    let ticket = store.cache().ticket(Kind::Key, None, id.as_str());
    let mut reader = store.read().await?;
    let found = store::keys::with_federation(&mut reader.conn(), id).await?;
    let Some((StoredKey { key, hash }, federation)) = found else { return Ok(None) };
    let schemas = keyward.schemas_of(&mut reader.conn(), &federation).await?;
    let guards = store::protected::guards(&mut reader.conn(), &federation.id).await?;
    drop(reader);
    let digest =
        parse_hash(&hash).ok_or_else(|| Error::Internal(format!("key {id}: its hash cannot be read")))?;
    let known = Arc::new(KnownKey {
        digest,
        holder: key.proof,
        canary: key.canary,
        name: key.name.into(),
        life: key.life,
        version: key.version,
        scope: Arc::new(key.scope),
        federation: Arc::new(federation),
        schemas,
        guards: Arc::new(guards),
    });
    let weight = KNOWN_KEY_BYTES + known.guards.bytes();
    let marks = [Mark::Settings(&known.federation.id)];
    let proof = ticket.and_then(|ticket| store.cache().keep(ticket, &marks, Arc::clone(&known), weight));
    Ok(Some((known, proof)))
}
