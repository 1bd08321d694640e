-- What is expected of a federation and of its keys.

-- The numbers that its brakes and rules count from, as JSON; what is not said has its default.
ALTER TABLE federations ADD COLUMN behaviour TEXT COLLATE "C" NOT NULL DEFAULT '{}';

-- What was learned: a row for the federation as a whole (its key_id is empty) and one for each key. Every node
-- adds what it saw since it last wrote.
CREATE TABLE behaviours (
    federation_id TEXT   COLLATE "C" NOT NULL REFERENCES federations (id),
    key_id        TEXT   COLLATE "C" NOT NULL,
    profile       TEXT   COLLATE "C" NOT NULL,
    version       BIGINT NOT NULL,
    updated_ms    BIGINT NOT NULL,
    PRIMARY KEY (federation_id, key_id)
);
