//! OAuth clients: their public keys, the tokens that they were given, the assertions that they
//! used. A token is not here: only its keyed hash.

use domain::{FederationId, KeyId, Millis, keys::Key};
use sqlx::FromRow;

use crate::{Conn, Error, db::on_db, statements::statements};

statements! {
    INSERT_CLIENT = "INSERT INTO oauth_clients (federation_id, key_id, jwks, jwks_uri, changed_ms)
        VALUES ($1, $2, $3, $4, $5)";
    UPDATE_CLIENT = "UPDATE oauth_clients SET jwks = $3, jwks_uri = $4, changed_ms = $5
        WHERE federation_id = $1 AND key_id = $2";
    CLIENT = "SELECT jwks, jwks_uri FROM oauth_clients WHERE federation_id = $1 AND key_id = $2";
    INSERT_TOKEN = "INSERT INTO oauth_tokens (federation_id, key_id, hash, scope, proven_by, issued_ms, expires_ms)
        VALUES ($1, $2, $3, $4, $5, $6, $7)";
    TOKEN = "SELECT scope, proven_by, issued_ms, expires_ms FROM oauth_tokens
        WHERE federation_id = $1 AND key_id = $2 AND hash = $3";
    LIVE_TOKENS = "SELECT COUNT(*) FROM oauth_tokens WHERE federation_id = $1 AND key_id = $2 AND expires_ms > $3";
    PROVEN_BY = "SELECT DISTINCT proven_by FROM oauth_tokens WHERE federation_id = $1 AND key_id = $2";
    DELETE_PROVEN_BY = "DELETE FROM oauth_tokens WHERE federation_id = $1 AND key_id = $2 AND proven_by = $3";
    REMEMBER = "INSERT INTO oauth_assertions (federation_id, key_id, jti_hash, expires_ms)
        VALUES ($1, $2, $3, $4) ON CONFLICT (federation_id, key_id, jti_hash) DO NOTHING";
    FORGET_TOKENS = "DELETE FROM oauth_tokens WHERE expires_ms < $1";
    FORGET_ASSERTIONS = "DELETE FROM oauth_assertions WHERE expires_ms < $1";
}

/// Where the public keys of a client are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoredClient {
    /// Here: a JWKS.
    Jwks(String),
    /// At an address.
    JwksUri(String),
}

impl StoredClient {
    fn columns(&self) -> (Option<&str>, Option<&str>) {
        match self {
            Self::Jwks(jwks) => (Some(jwks), None),
            Self::JwksUri(uri) => (None, Some(uri)),
        }
    }
}

#[derive(FromRow)]
struct ClientRow {
    jwks: Option<String>,
    jwks_uri: Option<String>,
}

/// A token as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct StoredToken {
    /// The words that narrow it.
    pub scope: Option<String>,
    /// The thumbprint of the public key that proved the client; empty for a secret.
    pub proven_by: String,
    /// When it was given out.
    pub issued_ms: Millis,
    /// When it ends.
    pub expires_ms: Millis,
}

/// Adds the client of a key.
///
/// # Errors
/// [`Error::Conflict`] when the key has one.
pub async fn insert_client(
    conn: &mut Conn<'_>,
    key: &Key,
    client: &StoredClient,
    at_ms: Millis,
) -> Result<(), Error> {
    let (jwks, uri) = client.columns();
    on_db!(conn, db => sqlx::query(INSERT_CLIENT)
        .bind(key.federation_id.as_str())
        .bind(key.id.as_str())
        .bind(jwks)
        .bind(uri)
        .bind(at_ms)
        .execute(db).await.map(drop))?;
    Ok(())
}

/// Changes the client of a key as it was read, and ends its tokens that were proven by none of the
/// keys with the thumbprints in `kept`.
///
/// # Errors
/// [`Error::Stale`] when the key was changed since.
pub async fn change_client(
    conn: &mut Conn<'_>,
    key: &Key,
    client: &StoredClient,
    kept: &[String],
    at_ms: Millis,
) -> Result<(), Error> {
    crate::keys::new_client(conn, key).await?;
    let (jwks, uri) = client.columns();
    let rows = on_db!(&mut *conn, db => sqlx::query(UPDATE_CLIENT)
        .bind(key.federation_id.as_str())
        .bind(key.id.as_str())
        .bind(jwks)
        .bind(uri)
        .bind(at_ms)
        .execute(db).await.map(|done| done.rows_affected()))?;
    if rows != 1 {
        return Err(Error::Stale);
    }
    let proven: Vec<String> = on_db!(&mut *conn, db => sqlx::query_scalar(PROVEN_BY)
        .bind(key.federation_id.as_str()).bind(key.id.as_str()).fetch_all(db).await)?;
    for thumbprint in proven.iter().filter(|thumbprint| !kept.contains(thumbprint)) {
        on_db!(&mut *conn, db => sqlx::query(DELETE_PROVEN_BY)
            .bind(key.federation_id.as_str())
            .bind(key.id.as_str())
            .bind(thumbprint)
            .execute(db).await.map(drop))?;
    }
    Ok(())
}

/// The client of a key.
pub async fn client(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    key_id: &KeyId,
) -> Result<Option<StoredClient>, Error> {
    let row: Option<ClientRow> = on_db!(conn, db => sqlx::query_as(CLIENT)
        .bind(federation_id.as_str()).bind(key_id.as_str()).fetch_optional(db).await)?;
    row.map(|row| match (row.jwks, row.jwks_uri) {
        (Some(jwks), None) => Ok(StoredClient::Jwks(jwks)),
        (None, Some(uri)) => Ok(StoredClient::JwksUri(uri)),
        (Some(_), Some(_)) | (None, None) => Err(Error::Corrupt(format!("client of key {key_id}"))),
    })
    .transpose()
}

/// Adds a token by its keyed hash.
pub async fn insert_token(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    key_id: &KeyId,
    hash: &str,
    token: &StoredToken,
) -> Result<(), Error> {
    on_db!(conn, db => sqlx::query(INSERT_TOKEN)
        .bind(federation_id.as_str())
        .bind(key_id.as_str())
        .bind(hash)
        .bind(&token.scope)
        .bind(&token.proven_by)
        .bind(token.issued_ms)
        .bind(token.expires_ms)
        .execute(db).await.map(drop))?;
    Ok(())
}

/// The token of a key that has a keyed hash.
pub async fn token(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    key_id: &KeyId,
    hash: &str,
) -> Result<Option<StoredToken>, Error> {
    Ok(on_db!(conn, db => sqlx::query_as(TOKEN)
        .bind(federation_id.as_str()).bind(key_id.as_str()).bind(hash).fetch_optional(db).await)?)
}

/// How many tokens of a key have not expired.
pub async fn live_tokens(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    key_id: &KeyId,
    now_ms: Millis,
) -> Result<i64, Error> {
    Ok(on_db!(conn, db => sqlx::query_scalar(LIVE_TOKENS)
        .bind(federation_id.as_str()).bind(key_id.as_str()).bind(now_ms).fetch_one(db).await)?)
}

/// Remembers that an assertion was used; false when it was used before.
pub async fn remember(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    key_id: &KeyId,
    jti_hash: &str,
    expires_ms: Millis,
) -> Result<bool, Error> {
    let rows = on_db!(conn, db => sqlx::query(REMEMBER)
        .bind(federation_id.as_str())
        .bind(key_id.as_str())
        .bind(jti_hash)
        .bind(expires_ms)
        .execute(db).await.map(|done| done.rows_affected()))?;
    Ok(rows == 1)
}

/// Forgets tokens and assertions that ended before a time; how many.
pub async fn forget(conn: &mut Conn<'_>, before_ms: Millis) -> Result<u64, Error> {
    let tokens = on_db!(&mut *conn, db => sqlx::query(FORGET_TOKENS)
        .bind(before_ms).execute(db).await.map(|done| done.rows_affected()))?;
    let assertions = on_db!(conn, db => sqlx::query(FORGET_ASSERTIONS)
        .bind(before_ms).execute(db).await.map(|done| done.rows_affected()))?;
    Ok(tokens + assertions)
}
