-- The first shape of all records. One text for SQLite and PostgreSQL: columns are TEXT and BIGINT only
-- (times as RFC 3339 in UTC with six decimals, truth as 0 and 1, JSON as text), ids are made by us.
-- COLLATE "BINARY" is SQLite's own default; on PostgreSQL the store defines it as "C", so that both
-- order texts byte by byte.

CREATE TABLE meta (
    name TEXT COLLATE "BINARY" NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
);

CREATE TABLE users (
    username TEXT COLLATE "BINARY" NOT NULL PRIMARY KEY,
    email TEXT NOT NULL,
    first_name TEXT NOT NULL,
    last_name TEXT NOT NULL,
    password_hash TEXT NOT NULL,
    is_superuser BIGINT NOT NULL,
    is_staff BIGINT NOT NULL,
    is_active BIGINT NOT NULL,
    last_login TEXT COLLATE "BINARY",
    date_joined TEXT COLLATE "BINARY" NOT NULL
);

-- A user has many tokens; each login makes one. Only the SHA-256 of a token is kept.
CREATE TABLE tokens (
    hash TEXT COLLATE "BINARY" NOT NULL PRIMARY KEY,
    username TEXT COLLATE "BINARY" NOT NULL REFERENCES users (username) ON DELETE CASCADE,
    created TEXT COLLATE "BINARY" NOT NULL
);
CREATE INDEX tokens_of_user ON tokens (username, created);

CREATE TABLE keys (
    uuid TEXT COLLATE "BINARY" NOT NULL PRIMARY KEY,
    owner TEXT COLLATE "BINARY" NOT NULL REFERENCES users (username) ON DELETE CASCADE,
    id TEXT COLLATE "BINARY" NOT NULL UNIQUE,
    public TEXT COLLATE "BINARY" NOT NULL,
    blob_sha256 TEXT COLLATE "BINARY" NOT NULL UNIQUE,
    fingerprint TEXT COLLATE "BINARY" NOT NULL,
    created TEXT COLLATE "BINARY" NOT NULL,
    updated TEXT COLLATE "BINARY" NOT NULL
);
CREATE INDEX keys_of_user ON keys (owner, public);

CREATE TABLE apps (
    uuid TEXT COLLATE "BINARY" NOT NULL UNIQUE,
    id TEXT COLLATE "BINARY" NOT NULL PRIMARY KEY,
    owner TEXT COLLATE "BINARY" NOT NULL REFERENCES users (username),
    created TEXT COLLATE "BINARY" NOT NULL,
    updated TEXT COLLATE "BINARY" NOT NULL,
    removing BIGINT NOT NULL
);
CREATE INDEX apps_of_user ON apps (owner, id);

CREATE TABLE collaborators (
    app TEXT COLLATE "BINARY" NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    username TEXT COLLATE "BINARY" NOT NULL REFERENCES users (username) ON DELETE CASCADE,
    created TEXT COLLATE "BINARY" NOT NULL,
    PRIMARY KEY (app, username)
);
CREATE INDEX collaborations_of_user ON collaborators (username, app);

-- Configs, builds and releases are immutable rows.
CREATE TABLE configs (
    uuid TEXT COLLATE "BINARY" NOT NULL PRIMARY KEY,
    app TEXT COLLATE "BINARY" NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    owner TEXT COLLATE "BINARY" NOT NULL REFERENCES users (username),
    sealed TEXT NOT NULL,
    created TEXT COLLATE "BINARY" NOT NULL
);
CREATE INDEX configs_of_app ON configs (app, created);
CREATE INDEX configs_of_user ON configs (owner);

CREATE TABLE builds (
    uuid TEXT COLLATE "BINARY" NOT NULL PRIMARY KEY,
    app TEXT COLLATE "BINARY" NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    owner TEXT COLLATE "BINARY" NOT NULL REFERENCES users (username),
    body TEXT NOT NULL,
    created TEXT COLLATE "BINARY" NOT NULL
);
CREATE INDEX builds_of_app ON builds (app, created);
CREATE INDEX builds_of_user ON builds (owner);

CREATE TABLE releases (
    uuid TEXT COLLATE "BINARY" NOT NULL PRIMARY KEY,
    app TEXT COLLATE "BINARY" NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    version BIGINT NOT NULL,
    owner TEXT COLLATE "BINARY" NOT NULL REFERENCES users (username),
    config TEXT COLLATE "BINARY" NOT NULL REFERENCES configs (uuid),
    build TEXT COLLATE "BINARY" REFERENCES builds (uuid),
    summary TEXT NOT NULL,
    summary_if_failed TEXT NOT NULL,
    created TEXT COLLATE "BINARY" NOT NULL,
    UNIQUE (app, version)
);
CREATE INDEX releases_of_user ON releases (owner);

-- What became of each release, and of each scaling of one.
CREATE TABLE deploys (
    id BIGINT NOT NULL PRIMARY KEY,
    app TEXT COLLATE "BINARY" NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    version BIGINT NOT NULL,
    structure TEXT NOT NULL,
    kind TEXT COLLATE "BINARY" NOT NULL,
    state TEXT COLLATE "BINARY" NOT NULL,
    reason TEXT,
    successor BIGINT,
    created TEXT COLLATE "BINARY" NOT NULL,
    updated TEXT COLLATE "BINARY" NOT NULL
);
CREATE INDEX deploys_of_app ON deploys (app, id);
CREATE INDEX deploys_of_release ON deploys (app, version, state);
CREATE INDEX deploys_by_state ON deploys (state, id);

CREATE TABLE domains (
    domain TEXT COLLATE "BINARY" NOT NULL PRIMARY KEY,
    app TEXT COLLATE "BINARY" NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    owner TEXT COLLATE "BINARY" NOT NULL REFERENCES users (username),
    created TEXT COLLATE "BINARY" NOT NULL,
    updated TEXT COLLATE "BINARY" NOT NULL
);
CREATE INDEX domains_of_app ON domains (app, domain);
CREATE INDEX domains_of_user ON domains (owner);

CREATE TABLE app_settings (
    uuid TEXT COLLATE "BINARY" NOT NULL PRIMARY KEY,
    app TEXT COLLATE "BINARY" NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    owner TEXT COLLATE "BINARY" NOT NULL REFERENCES users (username),
    body TEXT NOT NULL,
    created TEXT COLLATE "BINARY" NOT NULL
);
CREATE INDEX app_settings_of_app ON app_settings (app, created);
CREATE INDEX app_settings_of_user ON app_settings (owner);
