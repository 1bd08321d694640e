-- Brakes: what is counted, what is held, planned work, marks.

-- What a federation has spent of its brakes, as JSON; whoever counts locks its row until the commit.
CREATE TABLE brake_ledgers (
    federation_id TEXT COLLATE "C"   NOT NULL PRIMARY KEY REFERENCES federations (id),
    body          TEXT COLLATE "C"   NOT NULL,
    version       BIGINT NOT NULL
);
-- Nothing was counted so far: what is usual is known from now on.
INSERT INTO brake_ledgers (federation_id, body, version)
SELECT id, '{"since_ms":' || CAST(CAST(EXTRACT(EPOCH FROM now()) AS BIGINT) * 1000 AS TEXT) || '}', 1 FROM federations;

-- Users whose name, address or externalId was rewritten, and when the last time.
CREATE TABLE brake_rewrites (
    federation_id TEXT COLLATE "C"   NOT NULL REFERENCES federations (id),
    user_id       TEXT COLLATE "C"   NOT NULL,
    at_ms         BIGINT NOT NULL,
    PRIMARY KEY (federation_id, user_id)
);
CREATE INDEX brake_rewrites_time ON brake_rewrites (federation_id, at_ms);

-- Counts the changes of marks and of what was learned.
CREATE TABLE brake_guards (
    federation_id TEXT COLLATE "C"   NOT NULL PRIMARY KEY REFERENCES federations (id),
    version       BIGINT NOT NULL
);

-- Users and groups that an admin marked.
CREATE TABLE protected_resources (
    federation_id TEXT COLLATE "C"   NOT NULL REFERENCES federations (id),
    resource_id   TEXT COLLATE "C"   NOT NULL,
    resource_type TEXT COLLATE "C"   NOT NULL CHECK (resource_type IN ('User', 'Group')),
    -- Its name when it was marked.
    name          TEXT COLLATE "C"   NOT NULL,
    kind          TEXT COLLATE "C"   NOT NULL CHECK (kind IN ('protected', 'privileged', 'canary')),
    reason        TEXT COLLATE "C"   NOT NULL,
    marked_by     TEXT COLLATE "C"   NOT NULL,
    marked_ms     BIGINT NOT NULL,
    PRIMARY KEY (federation_id, resource_id)
);

-- Mail domains and shapes of externalId that a federation has.
CREATE TABLE brake_learned (
    federation_id TEXT COLLATE "C"   NOT NULL REFERENCES federations (id),
    kind          TEXT COLLATE "C"   NOT NULL CHECK (kind IN ('domain', 'shape')),
    value         TEXT COLLATE "C"   NOT NULL,
    since_ms      BIGINT NOT NULL,
    -- None when it was learned.
    allowed_by    TEXT COLLATE "C",
    PRIMARY KEY (federation_id, kind, value)
);
-- The directories that are there have domains.
INSERT INTO brake_learned (federation_id, kind, value, since_ms)
SELECT federation_id, 'domain', split_part(value, '@', 2), 0 FROM scim_user_values
WHERE attribute = 'emails.value' AND strpos(value, '@') > 1 AND split_part(value, '@', 3) = ''
AND strpos(split_part(value, '@', 2), '.') > 0
GROUP BY federation_id, split_part(value, '@', 2);

-- Operations that a brake holds, and what became of them.
CREATE TABLE held_operations (
    federation_id TEXT COLLATE "C"   NOT NULL REFERENCES federations (id),
    id            TEXT COLLATE "C"   NOT NULL,
    case_id       TEXT COLLATE "C"   NOT NULL,
    -- 1, 2, 3 … in the federation.
    number        BIGINT NOT NULL,
    brake         TEXT COLLATE "C"   NOT NULL CHECK (brake IN ('r1', 'r2', 'r4', 'a5', 'a13')),
    -- held, approved, rejected, expired; done, lapsed, over have ended.
    state         TEXT COLLATE "C"   NOT NULL,
    fingerprint   TEXT COLLATE "C"   NOT NULL,
    -- The fingerprint while the operation is recognised by it, with the id appended afterwards.
    live_print    TEXT COLLATE "C"   NOT NULL,
    verb          TEXT COLLATE "C"   NOT NULL,
    resource_type TEXT COLLATE "C"   NOT NULL,
    resource_id   TEXT COLLATE "C"   NOT NULL,
    name          TEXT COLLATE "C"   NOT NULL,
    -- Before and after, as JSON.
    image         TEXT COLLATE "C"   NOT NULL,
    -- What A13 has never seen: words with a line feed between them.
    subject       TEXT COLLATE "C"   NOT NULL,
    key_id        TEXT COLLATE "C"   NOT NULL,
    request_id    TEXT COLLATE "C"   NOT NULL,
    source        TEXT COLLATE "C",
    agent         TEXT COLLATE "C",
    count         BIGINT NOT NULL,
    first_ms      BIGINT NOT NULL,
    last_ms       BIGINT NOT NULL,
    decided_ms    BIGINT,
    decided_by    TEXT COLLATE "C",
    reason        TEXT COLLATE "C"   NOT NULL,
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
    federation_id TEXT COLLATE "C"   NOT NULL REFERENCES federations (id),
    id            TEXT COLLATE "C"   NOT NULL,
    ceiling       BIGINT NOT NULL,
    used          BIGINT NOT NULL,
    begins_ms     BIGINT NOT NULL,
    ends_ms       BIGINT NOT NULL,
    reason        TEXT COLLATE "C"   NOT NULL,
    made_by       TEXT COLLATE "C"   NOT NULL,
    -- Issuer and subject.
    made_by_id    TEXT COLLATE "C"   NOT NULL,
    made_ms       BIGINT NOT NULL,
    agreed_by     TEXT COLLATE "C",
    agreed_ms     BIGINT,
    ended_ms      BIGINT,
    ended_by      TEXT COLLATE "C",
    version       BIGINT NOT NULL,
    PRIMARY KEY (federation_id, id)
);
CREATE INDEX maintenance_windows_end ON maintenance_windows (federation_id, ends_ms);
