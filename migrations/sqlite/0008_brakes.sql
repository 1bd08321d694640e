-- Brakes: what is counted, what is held, planned work, marks.

-- What a federation has spent of its brakes, as JSON; whoever counts locks its row until the commit.
CREATE TABLE brake_ledgers (
    federation_id TEXT   NOT NULL PRIMARY KEY REFERENCES federations (id),
    body          TEXT   NOT NULL,
    version       BIGINT NOT NULL
);
-- Nothing was counted so far: what is usual is known from now on.
INSERT INTO brake_ledgers (federation_id, body, version)
SELECT id, '{"since_ms":' || CAST(CAST(strftime('%s', 'now') AS BIGINT) * 1000 AS TEXT) || '}', 1 FROM federations;

-- Users whose name, address or externalId was rewritten, and when the last time.
CREATE TABLE brake_rewrites (
    federation_id TEXT   NOT NULL REFERENCES federations (id),
    user_id       TEXT   NOT NULL,
    at_ms         BIGINT NOT NULL,
    PRIMARY KEY (federation_id, user_id)
);
CREATE INDEX brake_rewrites_time ON brake_rewrites (federation_id, at_ms);

-- Counts the changes of marks and of what was learned.
CREATE TABLE brake_guards (
    federation_id TEXT   NOT NULL PRIMARY KEY REFERENCES federations (id),
    version       BIGINT NOT NULL
);

-- Users and groups that an admin marked.
CREATE TABLE protected_resources (
    federation_id TEXT   NOT NULL REFERENCES federations (id),
    resource_id   TEXT   NOT NULL,
    resource_type TEXT   NOT NULL CHECK (resource_type IN ('User', 'Group')),
    -- Its name when it was marked.
    name          TEXT   NOT NULL,
    kind          TEXT   NOT NULL CHECK (kind IN ('protected', 'privileged', 'canary')),
    reason        TEXT   NOT NULL,
    marked_by     TEXT   NOT NULL,
    marked_ms     BIGINT NOT NULL,
    PRIMARY KEY (federation_id, resource_id)
);

-- Mail domains and shapes of externalId that a federation has.
CREATE TABLE brake_learned (
    federation_id TEXT   NOT NULL REFERENCES federations (id),
    kind          TEXT   NOT NULL CHECK (kind IN ('domain', 'shape')),
    value         TEXT   NOT NULL,
    since_ms      BIGINT NOT NULL,
    -- None when it was learned.
    allowed_by    TEXT,
    PRIMARY KEY (federation_id, kind, value)
);
-- The directories that are there have domains.
INSERT INTO brake_learned (federation_id, kind, value, since_ms)
SELECT federation_id, 'domain', substr(value, instr(value, '@') + 1), 0 FROM scim_user_values
WHERE attribute = 'emails.value' AND instr(value, '@') > 1
AND instr(substr(value, instr(value, '@') + 1), '@') = 0 AND instr(substr(value, instr(value, '@') + 1), '.') > 0
GROUP BY federation_id, substr(value, instr(value, '@') + 1);

-- Operations that a brake holds, and what became of them.
CREATE TABLE held_operations (
    federation_id TEXT   NOT NULL REFERENCES federations (id),
    id            TEXT   NOT NULL,
    case_id       TEXT   NOT NULL,
    -- 1, 2, 3 … in the federation.
    number        BIGINT NOT NULL,
    brake         TEXT   NOT NULL CHECK (brake IN ('r1', 'r2', 'r4', 'a5', 'a13')),
    -- held, approved, rejected, expired; done, lapsed, over have ended.
    state         TEXT   NOT NULL,
    fingerprint   TEXT   NOT NULL,
    -- The fingerprint while the operation is recognised by it, with the id appended afterwards.
    live_print    TEXT   NOT NULL,
    verb          TEXT   NOT NULL,
    resource_type TEXT   NOT NULL,
    resource_id   TEXT   NOT NULL,
    name          TEXT   NOT NULL,
    -- Before and after, as JSON.
    image         TEXT   NOT NULL,
    -- What A13 has never seen: words with a line feed between them.
    subject       TEXT   NOT NULL,
    key_id        TEXT   NOT NULL,
    request_id    TEXT   NOT NULL,
    source        TEXT,
    agent         TEXT,
    count         BIGINT NOT NULL,
    first_ms      BIGINT NOT NULL,
    last_ms       BIGINT NOT NULL,
    decided_ms    BIGINT,
    decided_by    TEXT,
    reason        TEXT   NOT NULL,
    done_ms       BIGINT,
    PRIMARY KEY (federation_id, id)
);
CREATE UNIQUE INDEX held_operations_print ON held_operations (federation_id, live_print);
CREATE INDEX held_operations_case ON held_operations (federation_id, case_id, number);
-- Looked for every minute across all federations, and only what has not ended.
CREATE INDEX held_operations_live ON held_operations (federation_id, last_ms)
WHERE state IN ('held', 'approved', 'rejected', 'expired');

-- Planned work: a ceiling, an end, two people.
CREATE TABLE maintenance_windows (
    federation_id TEXT   NOT NULL REFERENCES federations (id),
    id            TEXT   NOT NULL,
    ceiling       BIGINT NOT NULL,
    used          BIGINT NOT NULL,
    begins_ms     BIGINT NOT NULL,
    ends_ms       BIGINT NOT NULL,
    reason        TEXT   NOT NULL,
    made_by       TEXT   NOT NULL,
    -- Issuer and subject.
    made_by_id    TEXT   NOT NULL,
    made_ms       BIGINT NOT NULL,
    agreed_by     TEXT,
    agreed_ms     BIGINT,
    ended_ms      BIGINT,
    ended_by      TEXT,
    version       BIGINT NOT NULL,
    PRIMARY KEY (federation_id, id)
);
CREATE INDEX maintenance_windows_end ON maintenance_windows (federation_id, ends_ms);
