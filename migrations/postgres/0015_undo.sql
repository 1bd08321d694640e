-- Taking back goes on by itself, and at upstreams too: who confirmed it, and what waits for what.

-- The person who confirmed the plan, by issuer and subject, and the request in which they did.
ALTER TABLE undos ADD COLUMN made_by_id TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE undos ADD COLUMN request_id TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE undos ADD COLUMN source TEXT COLLATE "C";
CREATE INDEX undos_open ON undos (federation_id, id) WHERE ended_ms IS NULL;

-- Nobody takes a unit up before this moment: somebody has it, or it waits.
ALTER TABLE undo_units ADD COLUMN due_ms BIGINT NOT NULL DEFAULT 0;
-- How often it was tried in vain.
ALTER TABLE undo_units ADD COLUMN tries BIGINT NOT NULL DEFAULT 0;
-- What it waits for, as JSON; empty when it was not tried yet.
ALTER TABLE undo_units ADD COLUMN waits TEXT COLLATE "C" NOT NULL DEFAULT '';

-- The taking back that a call belongs to; such a call has no key.
ALTER TABLE upstream_calls ADD COLUMN undo_id TEXT COLLATE "C";
