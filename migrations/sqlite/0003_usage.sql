-- Usage records packed: a row for the records of one key in one batch of the committer, and counts
-- by the hour. What was written one by one moves here; the old table stays, empty, until no
-- program that writes it can be running any more.

CREATE TABLE usage_batches (
    -- Empty for a key that belongs to no federation.
    federation_id    TEXT   NOT NULL,
    key_id           TEXT   NOT NULL,
    last_request_id  TEXT   NOT NULL,
    first_request_id TEXT   NOT NULL,
    first_ms         BIGINT NOT NULL,
    last_ms          BIGINT NOT NULL,
    count            BIGINT NOT NULL,
    -- A JSON list of lists; store::usage knows their order.
    records          TEXT   NOT NULL,
    PRIMARY KEY (federation_id, key_id, last_request_id)
);
CREATE INDEX usage_batches_federation ON usage_batches (federation_id, last_request_id);

CREATE TABLE usage_hours (
    hour          BIGINT NOT NULL,
    federation_id TEXT   NOT NULL,
    decision      TEXT   NOT NULL CHECK (decision IN ('allowed', 'denied', 'refused')),
    count         BIGINT NOT NULL,
    PRIMARY KEY (hour, federation_id, decision)
);

INSERT INTO usage_batches (federation_id, key_id, last_request_id, first_request_id, first_ms, last_ms, count, records)
SELECT federation_id, key_id, MAX(request_id), MIN(request_id), MIN(at_ms), MAX(at_ms), COUNT(*),
    '[' || group_concat(record, ',') || ']'
FROM (
    SELECT federation_id, key_id, request_id, at_ms,
        (ROW_NUMBER() OVER (PARTITION BY federation_id, key_id ORDER BY request_id) - 1) / 256 AS part,
        json_array(request_id, at_ms, method, resource_type, resource_id, status, decision, reason, duration_us,
            source, user_agent, json('[]')) AS record
    FROM usage_records
) AS numbered
GROUP BY federation_id, key_id, part;

INSERT INTO usage_hours (hour, federation_id, decision, count)
SELECT at_ms / 3600000, federation_id, decision, COUNT(*) FROM usage_records
GROUP BY at_ms / 3600000, federation_id, decision;

DROP INDEX usage_records_key;
DROP INDEX usage_records_time;
DELETE FROM usage_records;
