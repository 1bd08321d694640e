-- What proves the audit log: signed checkpoints, nodes of the tree over the records, and what each anchor has.

-- How large the log was, and the root over its records, as a signed note (C2SP tlog-checkpoint).
CREATE TABLE checkpoints (
    size  BIGINT NOT NULL PRIMARY KEY,
    root  TEXT COLLATE "C" NOT NULL,
    at_ms BIGINT NOT NULL,
    note  TEXT COLLATE "C" NOT NULL
);

-- The roots of the complete subtrees over 256, 65536, … records: enough to make any proof from few rows.
CREATE TABLE audit_nodes (
    level BIGINT NOT NULL,
    idx   BIGINT NOT NULL,
    hash  TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (level, idx)
);

-- How far each anchor has come: up to which size it was told, when, and what is wrong with it.
CREATE TABLE audit_anchors (
    name       TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    size       BIGINT NOT NULL,
    told_ms    BIGINT,
    tries      BIGINT NOT NULL,
    next_ms    BIGINT NOT NULL,
    failing_ms BIGINT,
    error      TEXT COLLATE "C"
);

-- What was signed stays.
CREATE TRIGGER checkpoints_no_update BEFORE UPDATE OR DELETE ON checkpoints
    FOR EACH ROW EXECUTE FUNCTION audit_records_are_append_only();
CREATE TRIGGER checkpoints_no_truncate BEFORE TRUNCATE ON checkpoints
    FOR EACH STATEMENT EXECUTE FUNCTION audit_records_are_append_only();
