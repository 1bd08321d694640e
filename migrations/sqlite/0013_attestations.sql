-- Attestations: what somebody signed for a period, and where the records are found that a past is computed from.

-- The body is everything that was signed, as canonical JSON; the other columns repeat what a list shows of it.
-- Its digest also stands in the audit log.
CREATE TABLE attestations (
    id        TEXT   NOT NULL PRIMARY KEY,
    label     TEXT   NOT NULL,
    signed_ms BIGINT NOT NULL,
    signed_by TEXT   NOT NULL,
    inside    BIGINT NOT NULL,
    excepted  BIGINT NOT NULL,
    counted   BIGINT NOT NULL,
    body      TEXT   NOT NULL,
    hash      TEXT   NOT NULL
);
CREATE INDEX attestations_label ON attestations (label, id);

-- What was signed stays.
CREATE TRIGGER attestations_no_update BEFORE UPDATE ON attestations
BEGIN
    SELECT RAISE(ABORT, 'attestations are append-only');
END;
CREATE TRIGGER attestations_no_delete BEFORE DELETE ON attestations
BEGIN
    SELECT RAISE(ABORT, 'attestations are append-only');
END;

-- Few of many records: what policies were, and where the digest of an attestation stands.
CREATE INDEX audit_records_policies ON audit_records (seq)
    WHERE action IN ('policy.set', 'federation.edited');
CREATE INDEX audit_records_attestations ON audit_records (target, seq)
    WHERE action = 'attestation.signed';
