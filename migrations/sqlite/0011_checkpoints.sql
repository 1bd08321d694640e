-- What proves the audit log: signed checkpoints, nodes of the tree over the records, and what each anchor has.

-- How large the log was, and the root over its records, as a signed note (C2SP tlog-checkpoint).
CREATE TABLE checkpoints (
    size  BIGINT NOT NULL PRIMARY KEY,
    root  TEXT NOT NULL,
    at_ms BIGINT NOT NULL,
    note  TEXT NOT NULL
);

-- The roots of the complete subtrees over 256, 65536, … records: enough to make any proof from few rows.
CREATE TABLE audit_nodes (
    level BIGINT NOT NULL,
    idx   BIGINT NOT NULL,
    hash  TEXT NOT NULL,
    PRIMARY KEY (level, idx)
);

-- How far each anchor has come: up to which size it was told, when, and what is wrong with it.
CREATE TABLE audit_anchors (
    name       TEXT NOT NULL PRIMARY KEY,
    size       BIGINT NOT NULL,
    told_ms    BIGINT,
    tries      BIGINT NOT NULL,
    next_ms    BIGINT NOT NULL,
    failing_ms BIGINT,
    error      TEXT
);

-- What was signed stays.
CREATE TRIGGER checkpoints_no_update BEFORE UPDATE ON checkpoints
BEGIN
    SELECT RAISE(ABORT, 'audit records are append-only');
END;
CREATE TRIGGER checkpoints_no_delete BEFORE DELETE ON checkpoints
BEGIN
    SELECT RAISE(ABORT, 'audit records are append-only');
END;
