-- What long lists are found by.

-- Of the installation: the newest packed rows of all federations.
CREATE INDEX usage_batches_recent ON usage_batches (last_request_id);

-- Of an action, but for those of which there are so many that the end of the log has them.
CREATE INDEX audit_records_action ON audit_records (action, seq)
WHERE action NOT IN ('user.created', 'user.updated', 'group.updated');
-- What was refused.
CREATE INDEX audit_records_outcome ON audit_records (outcome, seq) WHERE outcome <> 'done';
-- The people who stand in the log.
CREATE INDEX audit_records_people ON audit_records (actor_id, seq) WHERE actor_kind = 'admin';
