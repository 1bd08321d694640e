-- Scopes in full: ceilings, and the scope that a successor will have.

-- As JSON; none is the scope of the key itself.
ALTER TABLE provisioning_keys ADD COLUMN next_scope TEXT COLLATE "C";

-- How often something was done with the keys of one line, by the minute, for the scopes that have
-- ceilings. The first key of the line names it, so a successor goes on counting.
CREATE TABLE scope_counters (
    federation_id TEXT COLLATE "C"   NOT NULL REFERENCES federations (id),
    line_id       TEXT COLLATE "C"   NOT NULL,
    resource      TEXT COLLATE "C"   NOT NULL,
    verb          TEXT COLLATE "C"   NOT NULL,
    -- Pairs of a minute since 1970 and a number, oldest first, as JSON; what is older than an hour is gone.
    minutes       TEXT COLLATE "C"   NOT NULL,
    uses          BIGINT NOT NULL,
    PRIMARY KEY (federation_id, line_id, resource, verb)
);
