-- SCIM in full: settings and target of a federation, extensions of its schemas, what is indexed
-- beside the resources, and what was tolerated of each key.

ALTER TABLE federations ADD COLUMN scim TEXT COLLATE "C" NOT NULL DEFAULT '{}';
ALTER TABLE federations ADD COLUMN target TEXT COLLATE "C" NOT NULL DEFAULT 'embedded' CHECK (target IN ('embedded', 'upstream'));

-- Schemas that an admin registered; the body is RFC 7643 7's form of one.
CREATE TABLE scim_extensions (
    federation_id TEXT COLLATE "C"   NOT NULL REFERENCES federations (id),
    urn_lower     TEXT COLLATE "C"   NOT NULL,
    resource_type TEXT COLLATE "C"   NOT NULL CHECK (resource_type IN ('User', 'Group')),
    body          TEXT COLLATE "C"   NOT NULL,
    created_ms    BIGINT NOT NULL,
    PRIMARY KEY (federation_id, urn_lower)
);

-- What was understood although no standard says so, by key and word.
CREATE TABLE key_tolerances (
    federation_id TEXT COLLATE "C"   NOT NULL,
    key_id        TEXT COLLATE "C"   NOT NULL,
    word          TEXT COLLATE "C"   NOT NULL,
    count         BIGINT NOT NULL,
    first_ms      BIGINT NOT NULL,
    last_ms       BIGINT NOT NULL,
    PRIMARY KEY (federation_id, key_id, word)
);

-- Group names are unique by policy: where they are not, the id follows the name.
ALTER TABLE scim_groups ADD COLUMN display_name_unique TEXT COLLATE "C" NOT NULL DEFAULT '';
UPDATE scim_groups SET display_name_unique = display_name_lower;
DROP INDEX scim_groups_display_name;
CREATE UNIQUE INDEX scim_groups_unique_name ON scim_groups (federation_id, display_name_unique);
CREATE INDEX scim_groups_display_name ON scim_groups (federation_id, display_name_lower, id);

CREATE INDEX scim_users_modified ON scim_users (federation_id, modified_ms, id);
CREATE INDEX scim_groups_modified ON scim_groups (federation_id, modified_ms, id);
-- Most users are active: those who are not are few and asked for.
CREATE INDEX scim_users_inactive ON scim_users (federation_id, id) WHERE active = 0;

-- Who somebody's groups are is read from the index alone; SQLite would rather read every membership
-- of the federation from the primary key than look into the table.
DROP INDEX scim_group_members_member;
CREATE INDEX scim_group_members_member ON scim_group_members (federation_id, member_id, group_id);

-- Folded values of attributes that are looked up and have no column: emails.value, and the
-- employeeNumber of the enterprise extension. ('absent', 'active') stands for a user who had that
-- attribute removed: the column cannot say so.
CREATE TABLE scim_user_values (
    federation_id TEXT COLLATE "C" NOT NULL,
    attribute     TEXT COLLATE "C" NOT NULL,
    value         TEXT COLLATE "C" NOT NULL,
    user_id       TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (federation_id, attribute, value, user_id),
    FOREIGN KEY (federation_id, user_id) REFERENCES scim_users (federation_id, id) ON DELETE CASCADE
);
CREATE INDEX scim_user_values_user ON scim_user_values (federation_id, user_id);
INSERT INTO scim_user_values (federation_id, attribute, value, user_id)
SELECT DISTINCT u.federation_id, 'emails.value', lower(e.value ->> 'value'), u.id
FROM scim_users u, jsonb_array_elements(COALESCE(u.body::jsonb -> 'emails', '[]'::jsonb)) e
WHERE e.value ->> 'value' IS NOT NULL;
INSERT INTO scim_user_values (federation_id, attribute, value, user_id)
SELECT u.federation_id, 'employeeNumber', lower(u.body::jsonb -> 'urn:ietf:params:scim:schemas:extension:enterprise:2.0:User' ->> 'employeeNumber'), u.id
FROM scim_users u
WHERE u.body::jsonb -> 'urn:ietf:params:scim:schemas:extension:enterprise:2.0:User' ->> 'employeeNumber' IS NOT NULL;
INSERT INTO scim_user_values (federation_id, attribute, value, user_id)
SELECT u.federation_id, 'absent', 'active', u.id FROM scim_users u WHERE u.body::jsonb ->> 'active' IS NULL;
