-- What every change of a directory replaced, and the taking back of changes.

CREATE TABLE journal (
    federation_id TEXT   NOT NULL,
    -- In order of time.
    id            TEXT   NOT NULL,
    at_ms         BIGINT NOT NULL,
    request_id    TEXT   NOT NULL,
    -- None when no key did it.
    key_id        TEXT,
    actor_kind    TEXT   NOT NULL,
    -- Empty for a key, whose id stands above.
    actor_id      TEXT   NOT NULL,
    actor_name    TEXT   NOT NULL,
    source        TEXT,
    resource_type TEXT   NOT NULL CHECK (resource_type IN ('User', 'Group')),
    resource_id   TEXT   NOT NULL,
    name          TEXT   NOT NULL,
    change        TEXT   NOT NULL CHECK (change IN ('create', 'update', 'delete')),
    -- The version that it had before.
    version       BIGINT NOT NULL,
    -- The attributes that differ, as JSON; the whole resource of what is created or deleted.
    was           TEXT,
    became        TEXT,
    -- The ids of those who joined and left, and of the groups that a deleted one was in, as JSON.
    members       TEXT,
    -- What else the row of a deleted one said, as JSON.
    facts         TEXT,
    -- The taking back that it belongs to.
    undo_of       TEXT,
    PRIMARY KEY (federation_id, id)
);
CREATE INDEX journal_resource ON journal (federation_id, resource_id, id);
CREATE INDEX journal_key ON journal (federation_id, key_id, id) WHERE key_id IS NOT NULL;
CREATE INDEX journal_undo ON journal (federation_id, undo_of, id) WHERE undo_of IS NOT NULL;

-- Changes that are taken back, from the confirmed plan on.
CREATE TABLE undos (
    federation_id TEXT   NOT NULL,
    id            TEXT   NOT NULL,
    -- What was chosen, as JSON, and in words.
    selection     TEXT   NOT NULL,
    title         TEXT   NOT NULL,
    -- The digest of the plan that was confirmed.
    plan_hash     TEXT   NOT NULL,
    case_id       TEXT,
    made_by       TEXT   NOT NULL,
    made_ms       BIGINT NOT NULL,
    units         BIGINT NOT NULL,
    ended_ms      BIGINT,
    PRIMARY KEY (federation_id, id)
);

CREATE TABLE undo_units (
    federation_id TEXT   NOT NULL,
    undo_id       TEXT   NOT NULL,
    position      BIGINT NOT NULL,
    -- What is to be done, as JSON.
    body          TEXT   NOT NULL,
    done_ms       BIGINT,
    -- How much was done, and what was not and why, as JSON.
    report        TEXT   NOT NULL,
    PRIMARY KEY (federation_id, undo_id, position)
);
