-- Settings of apps that make no release: HTTPS, certificates, services; and what a deploy ran with.

-- The settings that decide what runs, as they were when the deploy was wished for; NULL: those of a new app.
ALTER TABLE deploys ADD COLUMN run TEXT;

CREATE TABLE app_tls (
    uuid TEXT COLLATE "BINARY" NOT NULL PRIMARY KEY,
    app TEXT COLLATE "BINARY" NOT NULL UNIQUE REFERENCES apps (id) ON DELETE CASCADE,
    owner TEXT COLLATE "BINARY" NOT NULL REFERENCES users (username),
    https_enforced BIGINT,
    created TEXT COLLATE "BINARY" NOT NULL
);
CREATE INDEX app_tls_of_user ON app_tls (owner);

-- The key is sealed; of a certificate everything that is shown is kept beside its text.
CREATE TABLE certs (
    id BIGINT NOT NULL PRIMARY KEY,
    name TEXT COLLATE "BINARY" NOT NULL UNIQUE,
    owner TEXT COLLATE "BINARY" NOT NULL REFERENCES users (username),
    certificate TEXT NOT NULL,
    sealed_key TEXT NOT NULL,
    facts TEXT NOT NULL,
    created TEXT COLLATE "BINARY" NOT NULL,
    updated TEXT COLLATE "BINARY" NOT NULL
);
CREATE INDEX certs_of_user ON certs (owner, name);

-- A domain has one certificate at most.
CREATE TABLE cert_domains (
    domain TEXT COLLATE "BINARY" NOT NULL PRIMARY KEY REFERENCES domains (domain) ON DELETE CASCADE,
    cert TEXT COLLATE "BINARY" NOT NULL REFERENCES certs (name) ON DELETE CASCADE,
    created TEXT COLLATE "BINARY" NOT NULL
);
CREATE INDEX domains_of_cert ON cert_domains (cert, domain);

-- Paths of an app that go to another process type.
CREATE TABLE services (
    app TEXT COLLATE "BINARY" NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    procfile_type TEXT COLLATE "BINARY" NOT NULL,
    path_pattern TEXT NOT NULL,
    created TEXT COLLATE "BINARY" NOT NULL,
    updated TEXT COLLATE "BINARY" NOT NULL,
    PRIMARY KEY (app, procfile_type)
);
