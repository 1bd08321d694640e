-- What a stream to another system was told when it did not go on; the same for every node.
ALTER TABLE stream_places ADD COLUMN tries BIGINT NOT NULL DEFAULT 0;
ALTER TABLE stream_places ADD COLUMN next_ms BIGINT NOT NULL DEFAULT 0;
ALTER TABLE stream_places ADD COLUMN failing_ms BIGINT;
ALTER TABLE stream_places ADD COLUMN error TEXT;
