-- Usage records are sealed, may be muted in what is found of them, and leave for other systems in order.

-- A row is sealed with others by a record of the audit log; 0 until then. A record that comes late for a request
-- whose row is sealed makes a row of its own, so the seal stands in the key. marks says in bits what a row holds
-- (store::usage), and -1 that nobody knows.
ALTER TABLE usage_batches ADD COLUMN seal BIGINT NOT NULL DEFAULT 0;
ALTER TABLE usage_batches ADD COLUMN marks BIGINT NOT NULL DEFAULT -1;
ALTER TABLE usage_batches DROP CONSTRAINT usage_batches_pkey;
ALTER TABLE usage_batches ADD PRIMARY KEY (federation_id, key_id, last_request_id, seal);
-- Of the installation: what is not sealed yet, and the rows of a seal.
CREATE INDEX usage_batches_seal ON usage_batches (seal, last_request_id);

-- What the audit log says of each seal, to be found by its number. The audit log is what counts.
CREATE TABLE usage_seals (
    id           BIGINT             NOT NULL PRIMARY KEY,
    at_ms        BIGINT             NOT NULL,
    from_ms      BIGINT             NOT NULL,
    to_ms        BIGINT             NOT NULL,
    batches      BIGINT             NOT NULL,
    records      BIGINT             NOT NULL,
    digest       TEXT   COLLATE "C" NOT NULL,
    forgotten_ms BIGINT
);
CREATE INDEX usage_seals_kept ON usage_seals (to_ms) WHERE forgotten_ms IS NULL;

-- Findings that people do not want to be told of for a while.
CREATE TABLE finding_mutes (
    -- Empty for every federation.
    federation_id TEXT   COLLATE "C" NOT NULL,
    id            TEXT   COLLATE "C" NOT NULL,
    rule          TEXT   COLLATE "C" NOT NULL,
    -- Empty for every subject.
    subject       TEXT   COLLATE "C" NOT NULL,
    reason        TEXT   COLLATE "C" NOT NULL,
    made_by       TEXT   COLLATE "C" NOT NULL,
    made_ms       BIGINT             NOT NULL,
    ends_ms       BIGINT             NOT NULL,
    ended_by      TEXT   COLLATE "C",
    PRIMARY KEY (federation_id, id)
);
CREATE INDEX finding_mutes_rule ON finding_mutes (federation_id, rule, ends_ms);

-- How far each stream to another system has come.
CREATE TABLE stream_places (
    sink  TEXT   COLLATE "C" NOT NULL,
    what  TEXT   COLLATE "C" NOT NULL CHECK (what IN ('audit', 'usage')),
    -- The last audit record, or the last seal, of which everything was taken.
    place BIGINT             NOT NULL,
    -- How many records of the next seal were taken.
    part  BIGINT             NOT NULL,
    at_ms BIGINT             NOT NULL,
    PRIMARY KEY (sink, what)
);
