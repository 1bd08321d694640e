-- The house: installation, federations, keys, the embedded directory, usage, audit, sessions,
-- leases, outbox. Times are milliseconds since 1970. Ids are text in order of time.

CREATE TABLE installation (
    name          TEXT   NOT NULL PRIMARY KEY CHECK (name = 'main'),
    master_key_id TEXT   NOT NULL,
    created_ms    BIGINT NOT NULL,
    -- Counted up to force a sync of what was written without one; see the committer.
    synced        BIGINT NOT NULL DEFAULT 0
);

CREATE TABLE federations (
    id             TEXT   NOT NULL PRIMARY KEY,
    slug           TEXT   NOT NULL,
    name           TEXT   NOT NULL,
    vendor         TEXT   NOT NULL,
    status         TEXT   NOT NULL CHECK (status IN ('live', 'paused', 'archived')),
    owners         TEXT   NOT NULL,
    notes          TEXT   NOT NULL,
    max_age_days   BIGINT NOT NULL CHECK (max_age_days BETWEEN 1 AND 365),
    overlap_hours  BIGINT NOT NULL CHECK (overlap_hours BETWEEN 1 AND 720),
    warn_days      BIGINT NOT NULL CHECK (warn_days BETWEEN 1 AND 90),
    version        BIGINT NOT NULL,
    created_ms     BIGINT NOT NULL,
    updated_ms     BIGINT NOT NULL
);
CREATE UNIQUE INDEX federations_slug ON federations (slug);

CREATE TABLE provisioning_keys (
    federation_id    TEXT   NOT NULL REFERENCES federations (id),
    id               TEXT   NOT NULL,
    name             TEXT   NOT NULL,
    -- Lower-cased while the key is accepted, with the id appended afterwards: names of ended keys are free.
    live_name        TEXT   NOT NULL,
    hash             TEXT   NOT NULL,
    last_four        TEXT   NOT NULL,
    scope            TEXT   NOT NULL,
    justification    TEXT,
    issued_by        TEXT   NOT NULL,
    issued_ms        BIGINT NOT NULL,
    expires_ms       BIGINT NOT NULL,
    retires_ms       BIGINT,
    revoked_ms       BIGINT,
    revoked_by       TEXT,
    predecessor_id   TEXT,
    successor_id     TEXT,
    first_used_ms    BIGINT,
    last_used_ms     BIGINT,
    last_used_source TEXT,
    uses             BIGINT NOT NULL DEFAULT 0,
    version          BIGINT NOT NULL,
    PRIMARY KEY (federation_id, id)
);
-- The one look-up that knows no federation yet: a presented key, by the id in it.
CREATE UNIQUE INDEX provisioning_keys_id ON provisioning_keys (id);
CREATE UNIQUE INDEX provisioning_keys_name ON provisioning_keys (federation_id, live_name);

CREATE TABLE idempotency (
    actor       TEXT   NOT NULL,
    token       TEXT   NOT NULL,
    fingerprint TEXT   NOT NULL,
    key_id      TEXT   NOT NULL,
    created_ms  BIGINT NOT NULL,
    PRIMARY KEY (actor, token)
);

CREATE TABLE scim_users (
    federation_id   TEXT   NOT NULL REFERENCES federations (id),
    id              TEXT   NOT NULL,
    user_name       TEXT   NOT NULL,
    user_name_lower TEXT   NOT NULL,
    external_id     TEXT,
    active          BIGINT NOT NULL CHECK (active IN (0, 1)),
    body            TEXT   NOT NULL,
    made_by         TEXT   NOT NULL,
    version         BIGINT NOT NULL,
    created_ms      BIGINT NOT NULL,
    modified_ms     BIGINT NOT NULL,
    PRIMARY KEY (federation_id, id)
);
CREATE UNIQUE INDEX scim_users_user_name ON scim_users (federation_id, user_name_lower);
CREATE INDEX scim_users_external_id ON scim_users (federation_id, external_id);

CREATE TABLE scim_groups (
    federation_id      TEXT   NOT NULL REFERENCES federations (id),
    id                 TEXT   NOT NULL,
    display_name       TEXT   NOT NULL,
    display_name_lower TEXT   NOT NULL,
    external_id        TEXT,
    body               TEXT   NOT NULL,
    made_by            TEXT   NOT NULL,
    version            BIGINT NOT NULL,
    created_ms         BIGINT NOT NULL,
    modified_ms        BIGINT NOT NULL,
    PRIMARY KEY (federation_id, id)
);
CREATE UNIQUE INDEX scim_groups_display_name ON scim_groups (federation_id, display_name_lower);
CREATE INDEX scim_groups_external_id ON scim_groups (federation_id, external_id);

CREATE TABLE scim_group_members (
    federation_id TEXT NOT NULL,
    group_id      TEXT NOT NULL,
    member_id     TEXT NOT NULL,
    member_kind   TEXT NOT NULL CHECK (member_kind IN ('User', 'Group')),
    PRIMARY KEY (federation_id, group_id, member_id),
    FOREIGN KEY (federation_id, group_id) REFERENCES scim_groups (federation_id, id)
);
CREATE INDEX scim_group_members_member ON scim_group_members (federation_id, member_id);

CREATE TABLE usage_records (
    -- Empty for a key that belongs to no federation.
    federation_id TEXT   NOT NULL,
    request_id    TEXT   NOT NULL,
    at_ms         BIGINT NOT NULL,
    key_id        TEXT   NOT NULL,
    method        TEXT   NOT NULL,
    resource_type TEXT   NOT NULL,
    resource_id   TEXT,
    status        BIGINT NOT NULL,
    decision      TEXT   NOT NULL CHECK (decision IN ('allowed', 'denied', 'refused')),
    reason        TEXT,
    duration_us   BIGINT NOT NULL,
    source        TEXT,
    user_agent    TEXT,
    PRIMARY KEY (federation_id, request_id)
);
CREATE INDEX usage_records_key ON usage_records (federation_id, key_id, request_id);
CREATE INDEX usage_records_time ON usage_records (at_ms);

CREATE TABLE audit_records (
    seq           BIGINT NOT NULL PRIMARY KEY,
    at_ms         BIGINT NOT NULL,
    actor_kind    TEXT   NOT NULL,
    actor_id      TEXT   NOT NULL,
    actor_name    TEXT   NOT NULL,
    action        TEXT   NOT NULL,
    outcome       TEXT   NOT NULL,
    reason        TEXT,
    federation_id TEXT,
    key_id        TEXT,
    target        TEXT,
    source        TEXT,
    request_id    TEXT   NOT NULL,
    detail        TEXT   NOT NULL,
    prev_hash     TEXT   NOT NULL,
    hash          TEXT   NOT NULL
);
CREATE INDEX audit_records_federation ON audit_records (federation_id, seq);
CREATE INDEX audit_records_key ON audit_records (key_id, seq);
CREATE INDEX audit_records_actor ON audit_records (actor_id, seq);

CREATE TABLE audit_head (
    name TEXT   NOT NULL PRIMARY KEY CHECK (name = 'main'),
    seq  BIGINT NOT NULL,
    hash TEXT   NOT NULL
);
INSERT INTO audit_head (name, seq, hash)
VALUES ('main', 0, '0000000000000000000000000000000000000000000000000000000000000000');

CREATE TABLE sessions (
    id_hash    TEXT   NOT NULL PRIMARY KEY,
    sealed     TEXT   NOT NULL,
    data_key   TEXT   NOT NULL,
    version    BIGINT NOT NULL,
    expires_ms BIGINT NOT NULL
);
CREATE INDEX sessions_expires ON sessions (expires_ms);

CREATE TABLE leases (
    name       TEXT   NOT NULL PRIMARY KEY,
    holder     TEXT   NOT NULL,
    fence      BIGINT NOT NULL,
    expires_ms BIGINT NOT NULL
);

CREATE TABLE outbox (
    federation_id TEXT   NOT NULL,
    id            TEXT   NOT NULL,
    kind          TEXT   NOT NULL,
    payload       TEXT   NOT NULL,
    attempts      BIGINT NOT NULL DEFAULT 0,
    due_ms        BIGINT NOT NULL,
    last_error    TEXT,
    done_ms       BIGINT,
    PRIMARY KEY (federation_id, id)
);
CREATE INDEX outbox_due ON outbox (due_ms);

-- Audit records are only inserted.
CREATE TRIGGER audit_records_no_update BEFORE UPDATE ON audit_records
BEGIN
    SELECT RAISE(ABORT, 'audit records are append-only');
END;
CREATE TRIGGER audit_records_no_delete BEFORE DELETE ON audit_records
BEGIN
    SELECT RAISE(ABORT, 'audit records are append-only');
END;
CREATE TRIGGER audit_head_stays BEFORE DELETE ON audit_head
BEGIN
    SELECT RAISE(ABORT, 'audit records are append-only');
END;
