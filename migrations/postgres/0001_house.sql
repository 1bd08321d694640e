-- The house: installation, federations, keys, the embedded directory, usage, audit, sessions,
-- leases, outbox. Times are milliseconds since 1970. Ids are text in order of time; the C
-- collation orders them as SQLite does.

CREATE TABLE installation (
    name          TEXT COLLATE "C"   NOT NULL PRIMARY KEY CHECK (name = 'main'),
    master_key_id TEXT COLLATE "C"   NOT NULL,
    created_ms    BIGINT NOT NULL,
    -- Counted up to force a sync of what was written without one; see the committer.
    synced        BIGINT NOT NULL DEFAULT 0
);

CREATE TABLE federations (
    id             TEXT COLLATE "C"   NOT NULL PRIMARY KEY,
    slug           TEXT COLLATE "C"   NOT NULL,
    name           TEXT COLLATE "C"   NOT NULL,
    vendor         TEXT COLLATE "C"   NOT NULL,
    status         TEXT COLLATE "C"   NOT NULL CHECK (status IN ('live', 'paused', 'archived')),
    owners         TEXT COLLATE "C"   NOT NULL,
    notes          TEXT COLLATE "C"   NOT NULL,
    max_age_days   BIGINT NOT NULL CHECK (max_age_days BETWEEN 1 AND 365),
    overlap_hours  BIGINT NOT NULL CHECK (overlap_hours BETWEEN 1 AND 720),
    warn_days      BIGINT NOT NULL CHECK (warn_days BETWEEN 1 AND 90),
    version        BIGINT NOT NULL,
    created_ms     BIGINT NOT NULL,
    updated_ms     BIGINT NOT NULL
);
CREATE UNIQUE INDEX federations_slug ON federations (slug);

CREATE TABLE provisioning_keys (
    federation_id    TEXT COLLATE "C"   NOT NULL REFERENCES federations (id),
    id               TEXT COLLATE "C"   NOT NULL,
    name             TEXT COLLATE "C"   NOT NULL,
    -- Lower-cased while the key is accepted, with the id appended afterwards: names of ended keys are free.
    live_name        TEXT COLLATE "C"   NOT NULL,
    hash             TEXT COLLATE "C"   NOT NULL,
    last_four        TEXT COLLATE "C"   NOT NULL,
    scope            TEXT COLLATE "C"   NOT NULL,
    justification    TEXT COLLATE "C",
    issued_by        TEXT COLLATE "C"   NOT NULL,
    issued_ms        BIGINT NOT NULL,
    expires_ms       BIGINT NOT NULL,
    retires_ms       BIGINT,
    revoked_ms       BIGINT,
    revoked_by       TEXT COLLATE "C",
    predecessor_id   TEXT COLLATE "C",
    successor_id     TEXT COLLATE "C",
    first_used_ms    BIGINT,
    last_used_ms     BIGINT,
    last_used_source TEXT COLLATE "C",
    uses             BIGINT NOT NULL DEFAULT 0,
    version          BIGINT NOT NULL,
    PRIMARY KEY (federation_id, id)
);
-- The one look-up that knows no federation yet: a presented key, by the id in it.
CREATE UNIQUE INDEX provisioning_keys_id ON provisioning_keys (id);
CREATE UNIQUE INDEX provisioning_keys_name ON provisioning_keys (federation_id, live_name);

CREATE TABLE idempotency (
    actor       TEXT COLLATE "C"   NOT NULL,
    token       TEXT COLLATE "C"   NOT NULL,
    fingerprint TEXT COLLATE "C"   NOT NULL,
    key_id      TEXT COLLATE "C"   NOT NULL,
    created_ms  BIGINT NOT NULL,
    PRIMARY KEY (actor, token)
);

CREATE TABLE scim_users (
    federation_id   TEXT COLLATE "C"   NOT NULL REFERENCES federations (id),
    id              TEXT COLLATE "C"   NOT NULL,
    user_name       TEXT COLLATE "C"   NOT NULL,
    user_name_lower TEXT COLLATE "C"   NOT NULL,
    external_id     TEXT COLLATE "C",
    active          BIGINT NOT NULL CHECK (active IN (0, 1)),
    body            TEXT COLLATE "C"   NOT NULL,
    made_by         TEXT COLLATE "C"   NOT NULL,
    version         BIGINT NOT NULL,
    created_ms      BIGINT NOT NULL,
    modified_ms     BIGINT NOT NULL,
    PRIMARY KEY (federation_id, id)
);
CREATE UNIQUE INDEX scim_users_user_name ON scim_users (federation_id, user_name_lower);
CREATE INDEX scim_users_external_id ON scim_users (federation_id, external_id);

CREATE TABLE scim_groups (
    federation_id      TEXT COLLATE "C"   NOT NULL REFERENCES federations (id),
    id                 TEXT COLLATE "C"   NOT NULL,
    display_name       TEXT COLLATE "C"   NOT NULL,
    display_name_lower TEXT COLLATE "C"   NOT NULL,
    external_id        TEXT COLLATE "C",
    body               TEXT COLLATE "C"   NOT NULL,
    made_by            TEXT COLLATE "C"   NOT NULL,
    version            BIGINT NOT NULL,
    created_ms         BIGINT NOT NULL,
    modified_ms        BIGINT NOT NULL,
    PRIMARY KEY (federation_id, id)
);
CREATE UNIQUE INDEX scim_groups_display_name ON scim_groups (federation_id, display_name_lower);
CREATE INDEX scim_groups_external_id ON scim_groups (federation_id, external_id);

CREATE TABLE scim_group_members (
    federation_id TEXT COLLATE "C" NOT NULL,
    group_id      TEXT COLLATE "C" NOT NULL,
    member_id     TEXT COLLATE "C" NOT NULL,
    member_kind   TEXT COLLATE "C" NOT NULL CHECK (member_kind IN ('User', 'Group')),
    PRIMARY KEY (federation_id, group_id, member_id),
    FOREIGN KEY (federation_id, group_id) REFERENCES scim_groups (federation_id, id)
);
CREATE INDEX scim_group_members_member ON scim_group_members (federation_id, member_id);

CREATE TABLE usage_records (
    -- Empty for a key that belongs to no federation.
    federation_id TEXT COLLATE "C"   NOT NULL,
    request_id    TEXT COLLATE "C"   NOT NULL,
    at_ms         BIGINT NOT NULL,
    key_id        TEXT COLLATE "C"   NOT NULL,
    method        TEXT COLLATE "C"   NOT NULL,
    resource_type TEXT COLLATE "C"   NOT NULL,
    resource_id   TEXT COLLATE "C",
    status        BIGINT NOT NULL,
    decision      TEXT COLLATE "C"   NOT NULL CHECK (decision IN ('allowed', 'denied', 'refused')),
    reason        TEXT COLLATE "C",
    duration_us   BIGINT NOT NULL,
    source        TEXT COLLATE "C",
    user_agent    TEXT COLLATE "C",
    PRIMARY KEY (federation_id, request_id)
);
CREATE INDEX usage_records_key ON usage_records (federation_id, key_id, request_id);
CREATE INDEX usage_records_time ON usage_records (at_ms);

CREATE TABLE audit_records (
    seq           BIGINT NOT NULL PRIMARY KEY,
    at_ms         BIGINT NOT NULL,
    actor_kind    TEXT COLLATE "C"   NOT NULL,
    actor_id      TEXT COLLATE "C"   NOT NULL,
    actor_name    TEXT COLLATE "C"   NOT NULL,
    action        TEXT COLLATE "C"   NOT NULL,
    outcome       TEXT COLLATE "C"   NOT NULL,
    reason        TEXT COLLATE "C",
    federation_id TEXT COLLATE "C",
    key_id        TEXT COLLATE "C",
    target        TEXT COLLATE "C",
    source        TEXT COLLATE "C",
    request_id    TEXT COLLATE "C"   NOT NULL,
    detail        TEXT COLLATE "C"   NOT NULL,
    prev_hash     TEXT COLLATE "C"   NOT NULL,
    hash          TEXT COLLATE "C"   NOT NULL
);
CREATE INDEX audit_records_federation ON audit_records (federation_id, seq);
CREATE INDEX audit_records_key ON audit_records (key_id, seq);
CREATE INDEX audit_records_actor ON audit_records (actor_id, seq);

CREATE TABLE audit_head (
    name TEXT COLLATE "C"   NOT NULL PRIMARY KEY CHECK (name = 'main'),
    seq  BIGINT NOT NULL,
    hash TEXT COLLATE "C"   NOT NULL
);
INSERT INTO audit_head (name, seq, hash)
VALUES ('main', 0, '0000000000000000000000000000000000000000000000000000000000000000');

CREATE TABLE sessions (
    id_hash    TEXT COLLATE "C"   NOT NULL PRIMARY KEY,
    sealed     TEXT COLLATE "C"   NOT NULL,
    data_key   TEXT COLLATE "C"   NOT NULL,
    version    BIGINT NOT NULL,
    expires_ms BIGINT NOT NULL
);
CREATE INDEX sessions_expires ON sessions (expires_ms);

CREATE TABLE leases (
    name       TEXT COLLATE "C"   NOT NULL PRIMARY KEY,
    holder     TEXT COLLATE "C"   NOT NULL,
    fence      BIGINT NOT NULL,
    expires_ms BIGINT NOT NULL
);

CREATE TABLE outbox (
    federation_id TEXT COLLATE "C"   NOT NULL,
    id            TEXT COLLATE "C"   NOT NULL,
    kind          TEXT COLLATE "C"   NOT NULL,
    payload       TEXT COLLATE "C"   NOT NULL,
    attempts      BIGINT NOT NULL DEFAULT 0,
    due_ms        BIGINT NOT NULL,
    last_error    TEXT COLLATE "C",
    done_ms       BIGINT,
    PRIMARY KEY (federation_id, id)
);
CREATE INDEX outbox_due ON outbox (due_ms);

-- Audit records are only inserted.
CREATE FUNCTION audit_records_are_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'audit records are append-only';
END
$$;
CREATE TRIGGER audit_records_no_update BEFORE UPDATE OR DELETE ON audit_records
    FOR EACH ROW EXECUTE FUNCTION audit_records_are_append_only();
CREATE TRIGGER audit_records_no_truncate BEFORE TRUNCATE ON audit_records
    FOR EACH STATEMENT EXECUTE FUNCTION audit_records_are_append_only();
CREATE TRIGGER audit_head_stays BEFORE DELETE OR TRUNCATE ON audit_head
    FOR EACH STATEMENT EXECUTE FUNCTION audit_records_are_append_only();
