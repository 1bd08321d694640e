-- OAuth 2.0 clients: how a key proves itself, its public keys, the tokens that were given out, and
-- the assertions that were seen.

ALTER TABLE provisioning_keys ADD COLUMN proof TEXT COLLATE "C" NOT NULL DEFAULT 'static'
    CHECK (proof IN ('static', 'assertion', 'secret'));

-- The public keys of a client that signs: a JWKS, or the address of one.
CREATE TABLE oauth_clients (
    federation_id TEXT COLLATE "C"   NOT NULL,
    key_id        TEXT COLLATE "C"   NOT NULL,
    jwks          TEXT COLLATE "C",
    jwks_uri      TEXT COLLATE "C",
    changed_ms    BIGINT NOT NULL,
    PRIMARY KEY (federation_id, key_id),
    FOREIGN KEY (federation_id, key_id) REFERENCES provisioning_keys (federation_id, id),
    CHECK ((jwks IS NULL) <> (jwks_uri IS NULL))
);

CREATE TABLE oauth_tokens (
    federation_id TEXT COLLATE "C"   NOT NULL,
    key_id        TEXT COLLATE "C"   NOT NULL,
    -- HMAC-SHA-256 under the pepper.
    hash          TEXT COLLATE "C"   NOT NULL,
    -- What narrows it; nothing is what the key may do.
    scope         TEXT COLLATE "C",
    -- The thumbprint of the public key that proved the client; empty for a secret.
    proven_by     TEXT COLLATE "C"   NOT NULL,
    issued_ms     BIGINT NOT NULL,
    expires_ms    BIGINT NOT NULL,
    PRIMARY KEY (federation_id, key_id, hash),
    FOREIGN KEY (federation_id, key_id) REFERENCES provisioning_keys (federation_id, id)
);
-- Forgetting is the installation's.
CREATE INDEX oauth_tokens_expires ON oauth_tokens (expires_ms);

-- An assertion counts once: its jti, hashed, until it has expired.
CREATE TABLE oauth_assertions (
    federation_id TEXT COLLATE "C"   NOT NULL,
    key_id        TEXT COLLATE "C"   NOT NULL,
    jti_hash      TEXT COLLATE "C"   NOT NULL,
    expires_ms    BIGINT NOT NULL,
    PRIMARY KEY (federation_id, key_id, jti_hash)
);
CREATE INDEX oauth_assertions_expires ON oauth_assertions (expires_ms);
