-- Attestations: what somebody signed for a period, and where the records are found that a past is computed from.

-- The body is everything that was signed, as canonical JSON; the other columns repeat what a list shows of it.
-- Its digest also stands in the audit log.
CREATE TABLE attestations (
    id        TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    label     TEXT COLLATE "C" NOT NULL,
    signed_ms BIGINT NOT NULL,
    signed_by TEXT COLLATE "C" NOT NULL,
    inside    BIGINT NOT NULL,
    excepted  BIGINT NOT NULL,
    counted   BIGINT NOT NULL,
    body      TEXT COLLATE "C" NOT NULL,
    hash      TEXT COLLATE "C" NOT NULL
);
CREATE INDEX attestations_label ON attestations (label, id);

-- What was signed stays.
CREATE FUNCTION attestations_are_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'attestations are append-only';
END
$$;
CREATE TRIGGER attestations_no_update BEFORE UPDATE OR DELETE ON attestations
    FOR EACH ROW EXECUTE FUNCTION attestations_are_append_only();
CREATE TRIGGER attestations_no_truncate BEFORE TRUNCATE ON attestations
    FOR EACH STATEMENT EXECUTE FUNCTION attestations_are_append_only();

-- Few of many records: what policies were, and where the digest of an attestation stands.
CREATE INDEX audit_records_policies ON audit_records (seq)
    WHERE action IN ('policy.set', 'federation.edited');
CREATE INDEX audit_records_attestations ON audit_records (target, seq)
    WHERE action = 'attestation.signed';
