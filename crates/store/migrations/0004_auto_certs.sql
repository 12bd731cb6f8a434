-- Certificates that the platform gets by itself, from an ACME certificate authority.

-- Apps whose domains are to have one.
CREATE TABLE auto_certs (
    app TEXT COLLATE "BINARY" NOT NULL PRIMARY KEY REFERENCES apps (id) ON DELETE CASCADE,
    created TEXT COLLATE "BINARY" NOT NULL
);

-- How far the newest order of each domain is, so that any controller can go on with it.
CREATE TABLE auto_orders (
    domain TEXT COLLATE "BINARY" NOT NULL PRIMARY KEY REFERENCES domains (domain) ON DELETE CASCADE,
    directory TEXT NOT NULL,
    order_url TEXT,
    -- What the domain answers to the authority.
    key_authorization TEXT,
    -- The key that the certificate will be for; sealed.
    sealed_key TEXT,
    failures BIGINT NOT NULL,
    error TEXT,
    tried TEXT COLLATE "BINARY",
    next_try TEXT COLLATE "BINARY"
);

-- Our account at each authority, by the address of its directory; the key is sealed.
CREATE TABLE acme_accounts (
    directory TEXT COLLATE "BINARY" NOT NULL PRIMARY KEY,
    sealed_key TEXT NOT NULL,
    created TEXT COLLATE "BINARY" NOT NULL
);

-- Of a certificate that the platform got by itself: the domain, with which it goes, and when the next is due.
ALTER TABLE certs ADD COLUMN automatic TEXT COLLATE "BINARY" REFERENCES domains (domain) ON DELETE CASCADE;
ALTER TABLE certs ADD COLUMN renew_at TEXT COLLATE "BINARY";
CREATE UNIQUE INDEX automatic_certs ON certs (automatic);
