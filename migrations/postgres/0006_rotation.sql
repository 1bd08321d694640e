-- Rotation on evidence, delivery, hand-off, findings, cases, channels.

-- Set for good when a key was retired; retires_ms is from now on only the date by which an overlap
-- should be over. While it is set and nothing has ended the key, the key is accepted: an overlap has
-- no end of its own.
ALTER TABLE provisioning_keys ADD COLUMN retired_ms BIGINT;
UPDATE provisioning_keys SET retired_ms = retires_ms
WHERE retires_ms IS NOT NULL AND retires_ms <= CAST(EXTRACT(EPOCH FROM now()) AS BIGINT) * 1000;
UPDATE provisioning_keys SET retires_ms = NULL
WHERE retires_ms IS NOT NULL AND expires_ms <= CAST(EXTRACT(EPOCH FROM now()) AS BIGINT) * 1000;
-- 503 with Retry-After; everything else is kept.
ALTER TABLE provisioning_keys ADD COLUMN held_ms BIGINT;
ALTER TABLE provisioning_keys ADD COLUMN held_by TEXT COLLATE "C";
ALTER TABLE provisioning_keys ADD COLUMN held_reason TEXT COLLATE "C";
-- A key that opens nothing and whose use is a compromise.
ALTER TABLE provisioning_keys ADD COLUMN canary BIGINT NOT NULL DEFAULT 0 CHECK (canary IN (0, 1));
-- The last connection test, and real work of the consumer: first_used_ms and last_used_ms are of either.
ALTER TABLE provisioning_keys ADD COLUMN tested_ms BIGINT;
ALTER TABLE provisioning_keys ADD COLUMN first_work_ms BIGINT;
ALTER TABLE provisioning_keys ADD COLUMN last_work_ms BIGINT;
ALTER TABLE provisioning_keys ADD COLUMN last_used_agent TEXT COLLATE "C";
-- Nobody knows which requests before this were tests.
UPDATE provisioning_keys SET tested_ms = first_used_ms, first_work_ms = first_used_ms, last_work_ms = last_used_ms;

-- What a federation says of its rotation beside max_age_days, overlap_hours and warn_days, as JSON;
-- what it does not say is the installation's.
ALTER TABLE federations ADD COLUMN rotation TEXT COLLATE "C" NOT NULL DEFAULT '{}';

-- What holds for the whole installation, as JSON, by name.
CREATE TABLE installation_settings (
    name       TEXT COLLATE "C"   NOT NULL PRIMARY KEY,
    body       TEXT COLLATE "C"   NOT NULL,
    version    BIGINT NOT NULL,
    updated_ms BIGINT NOT NULL
);

CREATE TABLE policy_exceptions (
    federation_id TEXT COLLATE "C"   NOT NULL REFERENCES federations (id),
    id            TEXT COLLATE "C"   NOT NULL,
    -- None is every key of the federation.
    key_id        TEXT COLLATE "C",
    owner         TEXT COLLATE "C"   NOT NULL,
    reason        TEXT COLLATE "C"   NOT NULL,
    made_by       TEXT COLLATE "C"   NOT NULL,
    made_ms       BIGINT NOT NULL,
    ends_ms       BIGINT NOT NULL,
    -- Ended before its time.
    ended_ms      BIGINT,
    ended_by      TEXT COLLATE "C",
    PRIMARY KEY (federation_id, id)
);

CREATE TABLE rotations (
    federation_id TEXT COLLATE "C"   NOT NULL REFERENCES federations (id),
    id            TEXT COLLATE "C"   NOT NULL,
    old_key_id    TEXT COLLATE "C"   NOT NULL,
    new_key_id    TEXT COLLATE "C"   NOT NULL,
    -- issued, delivered, tested, in-use, draining, retired, rolled-back, revoked.
    step          TEXT COLLATE "C"   NOT NULL,
    -- open, stalled, held, ended.
    condition     TEXT COLLATE "C"   NOT NULL CHECK (condition IN ('open', 'stalled', 'held', 'ended')),
    cause         TEXT COLLATE "C"   NOT NULL,
    begun_by      TEXT COLLATE "C"   NOT NULL,
    begun_ms      BIGINT NOT NULL,
    -- When it came to its step.
    since_ms      BIGINT NOT NULL,
    deadline_ms   BIGINT NOT NULL,
    -- How often the overlap was extended.
    extended      BIGINT NOT NULL,
    -- The moments of the steps that are behind it, and what was last seen, as JSON.
    moments       TEXT COLLATE "C"   NOT NULL,
    note          TEXT COLLATE "C"   NOT NULL,
    ended_ms      BIGINT,
    version       BIGINT NOT NULL,
    PRIMARY KEY (federation_id, id)
);
-- One open rotation for a federation and a key, whoever begins it.
CREATE UNIQUE INDEX rotations_open ON rotations (federation_id, old_key_id) WHERE ended_ms IS NULL;
CREATE INDEX rotations_condition ON rotations (condition, federation_id, id);
CREATE INDEX rotations_new_key ON rotations (federation_id, new_key_id);
-- Whatever happens to a rotation finds it by its id alone.
CREATE UNIQUE INDEX rotations_id ON rotations (id);
CREATE INDEX rotations_ended ON rotations (ended_ms, id);

-- Overlaps that are under way become rotations.
INSERT INTO rotations (federation_id, id, old_key_id, new_key_id, step, condition, cause, begun_by, begun_ms,
    since_ms, deadline_ms, extended, moments, note, ended_ms, version)
SELECT o.federation_id, 'rot_' || substr(n.id, 5), o.id, n.id,
    CASE WHEN n.first_used_ms IS NULL THEN 'delivered' ELSE 'in-use' END, 'open', 'by-hand', n.issued_by,
    n.issued_ms, COALESCE(n.first_used_ms, n.issued_ms), o.retires_ms, 0, '{}', '', NULL, 1
FROM provisioning_keys o JOIN provisioning_keys n ON n.federation_id = o.federation_id AND n.id = o.successor_id
WHERE o.retires_ms IS NOT NULL AND o.retired_ms IS NULL AND o.revoked_ms IS NULL AND n.revoked_ms IS NULL;

-- Where the successor of a key is brought to.
CREATE TABLE delivery_targets (
    federation_id TEXT COLLATE "C"   NOT NULL REFERENCES federations (id),
    id            TEXT COLLATE "C"   NOT NULL,
    -- 1 is tried first.
    position      BIGINT NOT NULL,
    connector     TEXT COLLATE "C"   NOT NULL,
    name          TEXT COLLATE "C"   NOT NULL,
    -- What is not secret of it, as JSON.
    settings      TEXT COLLATE "C"   NOT NULL,
    -- The credential that Keyward presents there, and its data key; empty when it needs none.
    sealed        TEXT COLLATE "C"   NOT NULL,
    data_key      TEXT COLLATE "C"   NOT NULL,
    seal_version  BIGINT NOT NULL,
    -- What was approved: a digest of everything that says where the secret goes.
    pinned        TEXT COLLATE "C"   NOT NULL,
    approved_by   TEXT COLLATE "C"   NOT NULL,
    approved_ms   BIGINT NOT NULL,
    last_result   TEXT COLLATE "C",
    version       BIGINT NOT NULL,
    PRIMARY KEY (federation_id, id)
);
CREATE UNIQUE INDEX delivery_targets_position ON delivery_targets (federation_id, position);

CREATE TABLE deliveries (
    federation_id TEXT COLLATE "C"   NOT NULL REFERENCES federations (id),
    id            TEXT COLLATE "C"   NOT NULL,
    rotation_id   TEXT COLLATE "C"   NOT NULL,
    key_id        TEXT COLLATE "C"   NOT NULL,
    -- None is the hand-off to a person.
    target_id     TEXT COLLATE "C",
    -- waiting, under-way, delivered, failed, given-up, promoted, cancelled.
    state         TEXT COLLATE "C"   NOT NULL,
    attempts      BIGINT NOT NULL,
    due_ms        BIGINT NOT NULL,
    -- The secret, until it has left.
    sealed        TEXT COLLATE "C"   NOT NULL,
    data_key      TEXT COLLATE "C"   NOT NULL,
    -- The steps of the last attempt and what became of each, as JSON.
    report        TEXT COLLATE "C"   NOT NULL,
    made_ms       BIGINT NOT NULL,
    ended_ms      BIGINT,
    version       BIGINT NOT NULL,
    PRIMARY KEY (federation_id, id)
);
CREATE INDEX deliveries_rotation ON deliveries (federation_id, rotation_id, id);
-- Looked for every second across all federations: by time, and only what has not ended.
CREATE INDEX deliveries_due ON deliveries (due_ms) WHERE ended_ms IS NULL;

-- A link for one person, opened once.
CREATE TABLE hand_offs (
    federation_id TEXT COLLATE "C"   NOT NULL REFERENCES federations (id),
    id            TEXT COLLATE "C"   NOT NULL,
    delivery_id   TEXT COLLATE "C"   NOT NULL,
    rotation_id   TEXT COLLATE "C"   NOT NULL,
    key_id        TEXT COLLATE "C"   NOT NULL,
    -- The e-mail address of the person who may open it, folded.
    person        TEXT COLLATE "C"   NOT NULL,
    -- HMAC-SHA-256 of the text in the link, under the pepper.
    token_hash    TEXT COLLATE "C"   NOT NULL,
    sealed        TEXT COLLATE "C"   NOT NULL,
    data_key      TEXT COLLATE "C"   NOT NULL,
    made_ms       BIGINT NOT NULL,
    expires_ms    BIGINT NOT NULL,
    opened_ms     BIGINT,
    opened_by     TEXT COLLATE "C",
    closed_ms     BIGINT,
    version       BIGINT NOT NULL,
    PRIMARY KEY (federation_id, id)
);
CREATE UNIQUE INDEX hand_offs_token ON hand_offs (token_hash);
CREATE INDEX hand_offs_rotation ON hand_offs (federation_id, rotation_id);

CREATE TABLE findings (
    -- Empty for the installation as a whole.
    federation_id TEXT COLLATE "C"   NOT NULL,
    id            TEXT COLLATE "C"   NOT NULL,
    rule          TEXT COLLATE "C"   NOT NULL,
    severity      TEXT COLLATE "C"   NOT NULL CHECK (severity IN ('low', 'medium', 'high', 'critical')),
    -- What it is about: the same finding again is counted, not raised anew.
    subject       TEXT COLLATE "C"   NOT NULL,
    -- The subject while it is open, with the id appended afterwards.
    live_subject  TEXT COLLATE "C"   NOT NULL,
    key_id        TEXT COLLATE "C",
    rotation_id   TEXT COLLATE "C",
    case_id       TEXT COLLATE "C",
    -- What was expected, what came, why it matters, as JSON.
    detail        TEXT COLLATE "C"   NOT NULL,
    count         BIGINT NOT NULL,
    first_ms      BIGINT NOT NULL,
    last_ms       BIGINT NOT NULL,
    closed_ms     BIGINT,
    closed_by     TEXT COLLATE "C",
    closed_reason TEXT COLLATE "C",
    version       BIGINT NOT NULL,
    PRIMARY KEY (federation_id, id)
);
CREATE UNIQUE INDEX findings_subject ON findings (federation_id, rule, live_subject);
CREATE INDEX findings_open ON findings (closed_ms, severity, last_ms);

CREATE TABLE cases (
    federation_id TEXT COLLATE "C"   NOT NULL REFERENCES federations (id),
    id            TEXT COLLATE "C"   NOT NULL,
    kind          TEXT COLLATE "C"   NOT NULL,
    key_id        TEXT COLLATE "C"   NOT NULL,
    rotation_id   TEXT COLLATE "C",
    title         TEXT COLLATE "C"   NOT NULL,
    opened_by     TEXT COLLATE "C"   NOT NULL,
    opened_ms     BIGINT NOT NULL,
    closed_ms     BIGINT,
    closed_by     TEXT COLLATE "C",
    summary       TEXT COLLATE "C"   NOT NULL,
    version       BIGINT NOT NULL,
    PRIMARY KEY (federation_id, id)
);
CREATE INDEX cases_open ON cases (closed_ms, opened_ms);
CREATE INDEX cases_rotation ON cases (federation_id, rotation_id);

CREATE TABLE case_moments (
    federation_id TEXT COLLATE "C"   NOT NULL,
    case_id       TEXT COLLATE "C"   NOT NULL,
    -- t0 … t11 of a compromise, or note.
    moment        TEXT COLLATE "C"   NOT NULL,
    id            TEXT COLLATE "C"   NOT NULL,
    at_ms         BIGINT NOT NULL,
    made_by       TEXT COLLATE "C"   NOT NULL,
    text          TEXT COLLATE "C"   NOT NULL,
    PRIMARY KEY (federation_id, case_id, id),
    FOREIGN KEY (federation_id, case_id) REFERENCES cases (federation_id, id)
);

-- Where people are told.
CREATE TABLE channels (
    id           TEXT COLLATE "C"   NOT NULL PRIMARY KEY,
    kind         TEXT COLLATE "C"   NOT NULL CHECK (kind IN ('mail', 'webhook')),
    name         TEXT COLLATE "C"   NOT NULL,
    settings     TEXT COLLATE "C"   NOT NULL,
    sealed       TEXT COLLATE "C"   NOT NULL,
    data_key     TEXT COLLATE "C"   NOT NULL,
    seal_version BIGINT NOT NULL,
    last_result  TEXT COLLATE "C",
    version      BIGINT NOT NULL,
    updated_ms   BIGINT NOT NULL
);
