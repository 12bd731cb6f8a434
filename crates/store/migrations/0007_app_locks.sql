-- Locked apps are neither deployed, scaled nor destroyed.

-- User who locked the app, also after the end of the account; NULL: the app is not locked.
ALTER TABLE apps ADD COLUMN locked_by TEXT COLLATE "BINARY";
ALTER TABLE apps ADD COLUMN locked_at TEXT COLLATE "BINARY";
ALTER TABLE apps ADD COLUMN lock_reason TEXT;
