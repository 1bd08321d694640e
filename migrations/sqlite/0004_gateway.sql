-- The gateway: where a federation forwards to, how ids are mapped, and each call from its intent to
-- its outcome.

CREATE TABLE upstreams (
    federation_id  TEXT   NOT NULL PRIMARY KEY REFERENCES federations (id),
    base_url       TEXT   NOT NULL,
    -- What is not secret of how Keyward signs in there.
    sign_in        TEXT   NOT NULL,
    -- The secret part, and its data key; bound to this row and this version of the seal.
    sealed         TEXT   NOT NULL,
    data_key       TEXT   NOT NULL,
    seal_version   BIGINT NOT NULL,
    trusted_ca     TEXT,
    quirks         TEXT   NOT NULL,
    timeout_ms     BIGINT NOT NULL CHECK (timeout_ms BETWEEN 500 AND 120000),
    concurrency    BIGINT NOT NULL CHECK (concurrency BETWEEN 1 AND 256),
    version        BIGINT NOT NULL,
    updated_ms     BIGINT NOT NULL,
    -- The last test of the connection and the last probe, as JSON.
    last_test      TEXT,
    last_probe     TEXT
);

CREATE TABLE upstream_links (
    federation_id    TEXT   NOT NULL REFERENCES federations (id),
    resource_type    TEXT   NOT NULL CHECK (resource_type IN ('User', 'Group')),
    id               TEXT   NOT NULL,
    -- None while it is not known whether the upstream created it.
    upstream_id      TEXT,
    external_id      TEXT,
    -- userName or displayName, folded.
    name_lower       TEXT   NOT NULL,
    -- The same while it is ours, with the id appended otherwise: two requests make one resource.
    live_name        TEXT   NOT NULL,
    upstream_version TEXT,
    state            TEXT   NOT NULL CHECK (state IN ('live', 'unknown', 'foreign', 'waiting', 'gone')),
    -- The resource as the upstream last showed it.
    body             TEXT   NOT NULL,
    made_by          TEXT   NOT NULL,
    created_ms       BIGINT NOT NULL,
    modified_ms      BIGINT NOT NULL,
    PRIMARY KEY (federation_id, resource_type, id)
);
CREATE UNIQUE INDEX upstream_links_upstream_id ON upstream_links (federation_id, resource_type, upstream_id);
CREATE UNIQUE INDEX upstream_links_name ON upstream_links (federation_id, resource_type, live_name);
CREATE INDEX upstream_links_state ON upstream_links (federation_id, state, id);

CREATE TABLE upstream_calls (
    federation_id TEXT   NOT NULL REFERENCES federations (id),
    id            TEXT   NOT NULL,
    key_id        TEXT   NOT NULL,
    request_id    TEXT   NOT NULL,
    verb          TEXT   NOT NULL CHECK (verb IN ('create', 'replace', 'patch', 'delete')),
    resource_type TEXT   NOT NULL CHECK (resource_type IN ('User', 'Group')),
    resource_id   TEXT   NOT NULL,
    -- SHA-256 of what was sent; the body itself is personal data and is not kept.
    payload_hash  TEXT   NOT NULL,
    state         TEXT   NOT NULL CHECK (state IN ('intended', 'done', 'failed', 'unknown')),
    attempts      BIGINT NOT NULL,
    note          TEXT   NOT NULL,
    intended_ms   BIGINT NOT NULL,
    settled_ms    BIGINT,
    PRIMARY KEY (federation_id, id)
);
CREATE INDEX upstream_calls_state ON upstream_calls (federation_id, state, id);
CREATE INDEX upstream_calls_resource ON upstream_calls (federation_id, resource_id, state);
