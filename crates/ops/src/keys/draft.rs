//! A key that is about to be: its id, its secret and its row.

use domain::{
    DAY_MS, KeyId, Millis, Secret,
    audit::GENESIS,
    keys::{self, Key, Life, Proof, SecretKind},
    scopes::Scope,
};
use serde_json::json;
use store::{Conn, keys::StoredKey, oauth::StoredClient};

use crate::{Error, Keyward, oauth::Registered, unit::detail};

/// What a key is to be.
pub(crate) struct Wanted {
    pub federation_id: domain::FederationId,
    pub name: String,
    pub scope: Scope,
    pub lifetime_days: i64,
    pub justification: String,
    pub predecessor_id: Option<KeyId>,
    pub registered: Registered,
    /// The name of who issues it.
    pub issued_by: String,
}

/// A key that is about to be.
pub(crate) struct Draft {
    pub key: Key,
    /// That of no key when there is no secret.
    pub hash: String,
    pub secret: Option<Secret>,
    pub client: Option<StoredClient>,
}

impl Draft {
    pub(crate) fn compose(keyward: &Keyward, wanted: Wanted, now_ms: Millis) -> Self {
        let Wanted {
            federation_id,
            name,
            scope,
            lifetime_days,
            justification,
            predecessor_id,
            registered,
            issued_by,
        } = wanted;
        let id = KeyId::new(now_ms, keyward.id_chance());
        let (proof, kind, client) = match registered {
            Registered::Static => (Proof::Static, Some(SecretKind::Key), None),
            Registered::Secret => (Proof::Secret, Some(SecretKind::ClientSecret), None),
            Registered::Keys(client) => (Proof::Assertion, None, Some(client)),
        };
        let secret = kind.map(|kind| keyward.new_secret(kind, &id));
        let last_four = match &secret {
            Some(secret) => keys::last_four(secret),
            None => id.as_str().chars().skip(id.as_str().len() - 4).collect(),
        };
        let key = Key {
            id,
            federation_id,
            name,
            last_four,
            proof,
            justification: scope.is_full_directory().then_some(justification),
            scope,
            next_scope: None,
            life: Life::new(now_ms, now_ms + lifetime_days * DAY_MS),
            predecessor_id,
            successor_id: None,
            issued_by,
            revoked_by: None,
            held_by: None,
            held_reason: None,
            last_used_source: None,
            last_used_agent: None,
            canary: false,
            uses: 0,
            version: 1,
        };
        // The one look at the secret besides showing it: its keyed hash.
        let hash = secret.as_ref().map(|secret| keyward.vault.hash_key(secret.expose()));
        Self { key, hash: hash.unwrap_or_else(|| GENESIS.to_owned()), secret, client }
    }

    pub(crate) fn detail(&self) -> String {
        let mut told = json!({
            "last_four": self.key.last_four, "scope": self.key.scope, "proof": self.key.proof,
            "expires_ms": self.key.life.expires_ms, "justification": self.key.justification,
        });
        if let Some(client) = &self.client {
            told["client"] = crate::oauth::told(client);
        }
        detail(&told)
    }
}

/// Writes a drafted key under a name that is free: a name that an ended key holds becomes free for it; where a
/// living key has it, a successor counts on.
pub(crate) async fn write(
    conn: &mut Conn<'_>,
    key: &Key,
    hash: &str,
    client: Option<&StoredClient>,
    may_count_on: bool,
    now_ms: Millis,
) -> Result<Key, Error> {
    let mut key = key.clone();
    while let Some(holder) = store::keys::named(conn, &key.federation_id, &key.name).await? {
        if !holder.life.state(now_ms).is_accepted() {
            store::keys::free_name(conn, &holder).await?;
        } else if may_count_on {
            key.name = successor_name(&key.name);
        } else {
            // The unique index says so, in its words.
            break;
        }
    }
    let stored = StoredKey { key, hash: hash.to_owned() };
    store::keys::insert(conn, &stored).await?;
    if let Some(client) = client {
        store::oauth::insert_client(conn, &stored.key, client, now_ms).await?;
    }
    Ok(stored.key)
}

/// `okta` → `okta-2`, `okta-2` → `okta-3`; at most 80 characters.
pub(crate) fn successor_name(name: &str) -> String {
    let (stem, number) = match name.rsplit_once('-') {
        Some((stem, digits)) if !stem.is_empty() => match digits.parse::<u32>() {
            Ok(number) if number < u32::MAX => (stem, number + 1),
            Ok(_) | Err(_) => (name, 2),
        },
        Some(_) | None => (name, 2),
    };
    let suffix = format!("-{number}");
    let stem: String = stem.chars().take(80 - suffix.len()).collect();
    stem + &suffix
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn successors_count_on() {
        let check = |name: &str, expect: &str| assert_eq!(successor_name(name), expect);
        check("okta", "okta-2");
        check("okta-2", "okta-3");
        check("okta-prod", "okta-prod-2");
        check("-7", "-7-2");
        check("okta-4294967295", "okta-4294967295-2");
        assert_eq!(successor_name(&"é".repeat(80)).chars().count(), 80);
    }
}
