//! Dashboard sessions, sealed at rest, found by the hash of their id.

use domain::Millis;
use store::{Conn, sessions::SealedSession};

use crate::{
    Error, Keyward,
    vault::{Place, Sealed},
};

fn place(id_hash: &str, version: i64) -> Place<'_> {
    Place { table: "sessions", id: id_hash, column: "sealed", version }
}

/// Adds a session under the hash of its id.
pub async fn create(keyward: &Keyward, id_hash: &str, data: &[u8], expires_ms: Millis) -> Result<(), Error> {
    let session = sealed(keyward, id_hash, data, expires_ms)?;
    let id_hash = id_hash.to_owned();
    let create = async move |conn: &mut Conn<'_>| store::sessions::insert(conn, &id_hash, &session).await;
    Ok(keyward.store.committer().upkeep(create).await?)
}

/// Saves a session that is there. One that was ended in the meantime stays ended: a request that
/// was under way at the sign-out does not bring it back. False then.
pub async fn save(keyward: &Keyward, id_hash: &str, data: &[u8], expires_ms: Millis) -> Result<bool, Error> {
    let session = sealed(keyward, id_hash, data, expires_ms)?;
    let id_hash = id_hash.to_owned();
    let save = async move |conn: &mut Conn<'_>| store::sessions::update(conn, &id_hash, &session).await;
    Ok(keyward.store.committer().upkeep(save).await?)
}

fn sealed(keyward: &Keyward, id_hash: &str, data: &[u8], expires_ms: Millis) -> Result<SealedSession, Error> {
    let version = keyward.clock.now_ms();
    let sealed = keyward
        .vault
        .seal(keyward.entropy.as_ref(), place(id_hash, version), data)
        .map_err(Error::Internal)?;
    Ok(SealedSession { sealed: sealed.text, data_key: sealed.data_key, version, expires_ms })
}

/// Loads a session that has not ended; one that does not open is as good as none.
pub async fn load(keyward: &Keyward, id_hash: &str) -> Result<Option<Vec<u8>>, Error> {
    let mut reader = keyward.store.read().await?;
    let Some(session) = store::sessions::load(&mut reader.conn(), id_hash).await? else { return Ok(None) };
    if session.expires_ms <= keyward.clock.now_ms() {
        return Ok(None);
    }
    let sealed = Sealed { text: session.sealed, data_key: session.data_key };
    match keyward.vault.open(place(id_hash, session.version), &sealed) {
        Ok(data) => Ok(Some(data.to_vec())),
        Err(error) => {
            tracing::warn!(%error, "a session was dropped");
            Ok(None)
        }
    }
}

/// Ends a session.
pub async fn delete(keyward: &Keyward, id_hash: &str) -> Result<(), Error> {
    let id_hash = id_hash.to_owned();
    let delete = async move |conn: &mut Conn<'_>| store::sessions::delete(conn, &id_hash).await;
    Ok(keyward.store.committer().upkeep(delete).await?)
}
