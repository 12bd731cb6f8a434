-- Releases of an app share what their configs have in common.

-- The variables of a large config, in parts: each holds those whose names hash alike and is kept once. The name is
-- a keyed hash of what is in it. A part is never changed, but for the key that it is sealed with.
CREATE TABLE config_parts (
    id TEXT COLLATE "BINARY" NOT NULL PRIMARY KEY,
    app TEXT COLLATE "BINARY" NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    name TEXT COLLATE "BINARY" NOT NULL,
    sealed TEXT NOT NULL,
    UNIQUE (app, name)
);

-- The config, or the names of its parts; sealed. NULL: written before there were parts, all of it is in `sealed`,
-- which is empty otherwise.
ALTER TABLE configs ADD COLUMN outline TEXT;
CREATE INDEX whole_configs ON configs (uuid) WHERE outline IS NULL;
