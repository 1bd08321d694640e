-- Usage records are sealed, may be muted in what is found of them, and leave for other systems in order.

-- A row is sealed with others by a record of the audit log; 0 until then. A record that comes late for a request
-- whose row is sealed makes a row of its own, so the seal stands in the key. marks says in bits what a row holds
-- (store::usage), and -1 that nobody knows.
CREATE TABLE usage_batches_sealed (
    federation_id    TEXT   NOT NULL,
    key_id           TEXT   NOT NULL,
    last_request_id  TEXT   NOT NULL,
    seal             BIGINT NOT NULL DEFAULT 0,
    first_request_id TEXT   NOT NULL,
    first_ms         BIGINT NOT NULL,
    last_ms          BIGINT NOT NULL,
    count            BIGINT NOT NULL,
    marks            BIGINT NOT NULL DEFAULT -1,
    records          TEXT   NOT NULL,
    PRIMARY KEY (federation_id, key_id, last_request_id, seal)
);
INSERT INTO usage_batches_sealed (federation_id, key_id, last_request_id, seal, first_request_id, first_ms, last_ms,
    count, marks, records)
SELECT federation_id, key_id, last_request_id, 0, first_request_id, first_ms, last_ms, count, -1, records
FROM usage_batches;
DROP TABLE usage_batches;
ALTER TABLE usage_batches_sealed RENAME TO usage_batches;
CREATE INDEX usage_batches_federation ON usage_batches (federation_id, last_request_id);
-- Of the installation: what is not sealed yet, and the rows of a seal.
CREATE INDEX usage_batches_seal ON usage_batches (seal, last_request_id);

-- What the audit log says of each seal, to be found by its number. The audit log is what counts.
CREATE TABLE usage_seals (
    id           BIGINT NOT NULL PRIMARY KEY,
    at_ms        BIGINT NOT NULL,
    from_ms      BIGINT NOT NULL,
    to_ms        BIGINT NOT NULL,
    batches      BIGINT NOT NULL,
    records      BIGINT NOT NULL,
    digest       TEXT   NOT NULL,
    forgotten_ms BIGINT
);
CREATE INDEX usage_seals_kept ON usage_seals (to_ms) WHERE forgotten_ms IS NULL;

-- Findings that people do not want to be told of for a while.
CREATE TABLE finding_mutes (
    -- Empty for every federation.
    federation_id TEXT   NOT NULL,
    id            TEXT   NOT NULL,
    rule          TEXT   NOT NULL,
    -- Empty for every subject.
    subject       TEXT   NOT NULL,
    reason        TEXT   NOT NULL,
    made_by       TEXT   NOT NULL,
    made_ms       BIGINT NOT NULL,
    ends_ms       BIGINT NOT NULL,
    ended_by      TEXT,
    PRIMARY KEY (federation_id, id)
);
CREATE INDEX finding_mutes_rule ON finding_mutes (federation_id, rule, ends_ms);

-- How far each stream to another system has come.
CREATE TABLE stream_places (
    sink  TEXT   NOT NULL,
    what  TEXT   NOT NULL CHECK (what IN ('audit', 'usage')),
    -- The last audit record, or the last seal, of which everything was taken.
    place BIGINT NOT NULL,
    -- How many records of the next seal were taken.
    part  BIGINT NOT NULL,
    at_ms BIGINT NOT NULL,
    PRIMARY KEY (sink, what)
);
