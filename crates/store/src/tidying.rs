//! Tidying: rows of apps that are gone, configs of older versions that share nothing, room that a file can give back.
//!
//! It goes in batches, each in a transaction of its own, so that others hardly wait, and remembers nothing in the
//! database: it can be broken off and begun again at any moment.

use domain::AppName;
use sqlx::{AnyConnection, AssertSqlSafe, Row as _};

use crate::{Database, Store, StoreError, configs};

/// Rows that are removed in one transaction.
const REMOVED_ROWS: i64 = 100;
/// Configs that are looked at in one transaction. Those of older versions may be of 2 MiB each.
const SHARED_CONFIGS: i64 = 8;
/// Pages (of 4 KiB) that SQLite gives back at a time.
const PAGES: u32 = 1_000;
/// Free pages that a file keeps: the next rows go there.
const FREE_PAGES_KEPT: i64 = 1_000;
/// A file of an older version cannot shrink in steps and is written anew once: where this many pages (32 MiB), and a
/// quarter of all, are free, and no more than 256 MiB are in use, which takes a few seconds.
const REWRITE_FREE_PAGES_MIN: i64 = 8 << 10;
const REWRITE_USED_PAGES_MAX: i64 = 64 << 10;
/// Pages (64 MiB) in SQLite's journal that cannot go into the file, from which on the operator is warned.
const JOURNAL_PAGES_TOLD: i64 = 16 << 10;

/// Tables with rows of apps, and the key of each. Releases come first, as they refer to configs and builds.
const TABLES: [(&str, &str); 11] = [
    ("releases", "uuid"),
    ("deploys", "id"),
    ("builds", "uuid"),
    ("configs", "uuid"),
    ("config_parts", "id"),
    ("app_settings", "uuid"),
    ("app_tls", "uuid"),
    ("services", "procfile_type"),
    ("collaborators", "username"),
    ("auto_certs", "app"),
    ("domains", "domain"),
];

/// A walk over all that can be tidied.
pub struct TidyWalk {
    store: Store,
    stage: TidyStage,
    /// Rows that were removed as their app is gone.
    pub removed: u64,
    /// Configs that share their parts now.
    pub shared: u64,
    /// Configs that no available key opens; left as they are.
    pub unopened: u64,
}

enum TidyStage {
    /// The table to look for rows of apps that are gone.
    Orphans(usize),
    /// The config that was looked at last.
    Configs(String),
    Room,
}

impl Store {
    /// Begins to tidy.
    pub fn tidying(&self) -> TidyWalk {
        TidyWalk { store: self.clone(), stage: TidyStage::Orphans(0), removed: 0, shared: 0, unopened: 0 }
    }

    /// Drops the rows of an app that is being removed, once nothing runs of it any more: in batches, of which the app's
    /// own row is the last.
    pub async fn forget_app(&self, id: &AppName) -> Result<(), StoreError> {
        for table in 0..TABLES.len() {
            while self.remove_batch(table, id.as_str()).await? == REMOVED_ROWS as u64 {}
        }
        let mut write = self.write().await?;
        sqlx::query("DELETE FROM apps WHERE id = $1 AND removing = 1")
            .bind(id.as_str())
            .execute(&mut *write)
            .await?;
        write.commit().await
    }

    /// Gives room in SQLite's file back to the disk, in steps.
    pub async fn give_back_room(&self) -> Result<(), StoreError> {
        while self.give_back_some().await? {}
        Ok(())
    }

    /// Removes some rows of an app that is gone or being removed; returns their number.
    async fn remove_batch(&self, table: usize, app: &str) -> Result<u64, StoreError> {
        let (table, key) = TABLES[table];
        let text = format!(
            "DELETE FROM {table} WHERE app = $1 AND {key} IN \
             (SELECT {key} FROM {table} WHERE app = $1 ORDER BY {key} LIMIT $2) \
             AND NOT EXISTS (SELECT 1 FROM apps WHERE apps.id = $1 AND apps.removing = 0)"
        );
        let mut write = self.write().await?;
        let removed =
            sqlx::query(AssertSqlSafe(text)).bind(app).bind(REMOVED_ROWS).execute(&mut *write).await?;
        write.commit().await?;
        Ok(removed.rows_affected())
    }

    /// Says whether there may be more.
    async fn give_back_some(&self) -> Result<bool, StoreError> {
        if self.database == Database::Postgres {
            return Ok(false);
        }
        let mut connection = self.pool.acquire().await?;
        let free = pragma(&mut connection, "freelist_count").await?;
        if pragma(&mut connection, "auto_vacuum").await? == 0 {
            return rewrite(free, &mut connection).await;
        }
        if free <= FREE_PAGES_KEPT {
            return Ok(false);
        }
        let step = format!("PRAGMA incremental_vacuum({PAGES})");
        sqlx::query(AssertSqlSafe(step)).fetch_all(&mut *connection).await?;
        Ok(pragma(&mut connection, "freelist_count").await? < free)
    }

    /// Warns the operator of a growing journal, which a long reader causes.
    async fn watch_journal(&self) -> Result<(), StoreError> {
        if self.database == Database::Postgres {
            return Ok(());
        }
        let asked = sqlx::query("PRAGMA wal_checkpoint(PASSIVE)").fetch_one(&self.pool).await?;
        let (journal, kept): (i64, i64) = (asked.try_get(1)?, asked.try_get(2)?);
        if journal - kept > JOURNAL_PAGES_TOLD {
            let mib = (journal - kept) >> 8;
            tracing::warn!(
                "{mib} MiB of the database's journal wait for another process that reads its file"
            );
        }
        Ok(())
    }
}

impl TidyWalk {
    /// Tidies one batch; says whether there may be more.
    pub async fn step(&mut self) -> Result<bool, StoreError> {
        match &self.stage {
            TidyStage::Orphans(table) => {
                let table = *table;
                self.stage = if self.remove_orphans(table).await? {
                    TidyStage::Orphans(table)
                } else if table + 1 < TABLES.len() {
                    TidyStage::Orphans(table + 1)
                } else {
                    TidyStage::Configs(String::new())
                };
            }
            TidyStage::Configs(after) => {
                let after = after.clone();
                self.stage = self.share_configs(&after).await?.map_or(TidyStage::Room, TidyStage::Configs);
            }
            TidyStage::Room => {
                if !self.store.give_back_some().await? {
                    self.store.watch_journal().await?;
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// Removes a batch of one app that is gone, as from a database that was mended by hand; whether there was one.
    async fn remove_orphans(&mut self, table: usize) -> Result<bool, StoreError> {
        let (name, _) = TABLES[table];
        let text = format!(
            "SELECT app FROM {name} WHERE NOT EXISTS (SELECT 1 FROM apps WHERE apps.id = {name}.app) LIMIT 1"
        );
        let found = sqlx::query(AssertSqlSafe(text)).fetch_optional(&self.store.pool).await?;
        let Some(row) = found else { return Ok(false) };
        let removed = self.store.remove_batch(table, row.try_get("app")?).await?;
        self.removed += removed;
        Ok(removed > 0)
    }

    /// The id to continue after; `None` at the end.
    async fn share_configs(&mut self, after: &str) -> Result<Option<String>, StoreError> {
        let mut write = self.store.write().await?;
        let found = configs::whole_ones(after, SHARED_CONFIGS, &mut write).await?;
        let (mut shared, mut unopened) = (0, 0);
        for uuid in &found {
            match configs::share(&self.store, uuid, &mut write).await {
                Ok(()) => shared += 1,
                Err(StoreError::Damaged { .. }) => unopened += 1,
                Err(error) => return Err(error),
            }
        }
        write.commit().await?;
        (self.shared, self.unopened) = (self.shared + shared, self.unopened + unopened);
        Ok(found.into_iter().next_back())
    }
}

/// Writes a file of an older version anew where that is worth it and soon done; from then on it shrinks in steps.
async fn rewrite(free: i64, connection: &mut AnyConnection) -> Result<bool, StoreError> {
    let all = pragma(connection, "page_count").await?;
    if free < REWRITE_FREE_PAGES_MIN || free < all / 4 {
        return Ok(false);
    }
    if all - free > REWRITE_USED_PAGES_MAX {
        tracing::warn!(
            "{} MiB of the database's file are free: stop the platform and run `sqlite3 FILE 'PRAGMA \
             auto_vacuum=2; VACUUM;'` to give them back",
            free >> 8
        );
        return Ok(false);
    }
    sqlx::raw_sql("VACUUM").execute(connection).await?;
    Ok(false)
}

async fn pragma(connection: &mut AnyConnection, name: &'static str) -> Result<i64, StoreError> {
    let asked = AssertSqlSafe(format!("PRAGMA {name}"));
    Ok(sqlx::query(asked).fetch_one(connection).await?.try_get(0)?)
}
