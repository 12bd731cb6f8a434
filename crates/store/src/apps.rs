//! Apps: made whole in one write, handed over, locked, and removed in two steps, so that a crash in between
//! is finished later.

use std::fmt;

use domain::AppName;
use domain::config::Config;
use domain::release::initial_summary;
use domain::settings::AppSettings;
use domain::stacks::StackName;
use domain::structure::Structure;
use domain::times;
use jiff::Timestamp;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};

use crate::changes::ChangeContext;
use crate::releases::NewRelease;
use crate::{
    ConfigRecord, DomainRecord, NewDomain, PageRange, ReleaseRecord, Rows, SettingsRecord, Store, StoreError,
    access_version, configs, deploys, domains, releases, rows, settings, tls,
};

/// An app as recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppRecord {
    pub uuid: String,
    pub id: AppName,
    pub owner: String,
    pub created: Timestamp,
    pub updated: Timestamp,
    /// Its removal is recorded; what runs of it is being removed.
    pub removing: bool,
    /// `None` if it is not locked.
    pub lock: Option<AppLock>,
}

/// Lock of an app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppLock {
    /// User who locked it.
    pub user: String,
    pub since: Timestamp,
    pub reason: Option<String>,
}

impl fmt::Display for AppLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { user, since, reason } = self;
        write!(f, "{user} since {}", times::second(*since))?;
        reason.as_ref().map_or(Ok(()), |reason| write!(f, ": \"{reason}\""))
    }
}

/// An app to be made.
#[derive(Debug, Clone)]
pub struct NewApp {
    pub id: AppName,
    pub owner: String,
    /// Its first config.
    pub config: Config,
    /// Stack of its builds.
    pub stack: StackName,
    pub now: Timestamp,
}

/// An app and all that is made with it.
#[derive(Debug, Clone)]
pub struct CreatedApp {
    pub app: AppRecord,
    pub config: ConfigRecord,
    pub release: ReleaseRecord,
    pub domain: DomainRecord,
    pub settings: SettingsRecord,
}

/// A page ($2, $3) of the apps among `$seen`, and only then their rows and what their newest deploys want.
macro_rules! paged {
    ($seen:literal) => {
        concat!(
            "SELECT apps.*, (SELECT deploys.structure FROM deploys WHERE deploys.app = apps.id AND \
             deploys.state <> 'failed' ORDER BY deploys.id DESC LIMIT 1) AS structure FROM \
             (SELECT id AS seen FROM apps WHERE removing = 0 AND ",
            $seen,
            " ORDER BY id LIMIT $2 OFFSET $3) AS page JOIN apps ON apps.id = page.seen ORDER BY apps.id"
        )
    };
}

impl Store {
    /// Creates an app with its first config, release v1, settings and its own domain.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`] about `id` for a taken name, about `domain` for one that another app has as a
    /// domain.
    pub async fn create_app(&self, new: NewApp) -> Result<CreatedApp, StoreError> {
        let NewApp { id, owner, config, stack, now } = new;
        let now = rows::kept(now);
        let mut write = self.write().await?;
        if rows::any(sqlx::query("SELECT 1 FROM apps WHERE id = $1").bind(id.as_str()), &mut write).await? {
            return Err(StoreError::conflict("id"));
        }
        let uuid = rows::new_uuid();
        let app = AppRecord {
            uuid,
            id: id.clone(),
            owner: owner.clone(),
            created: now,
            updated: now,
            removing: false,
            lock: None,
        };
        insert(&app, &mut write).await?;
        count_apps(1, &mut write).await?;
        let summary = initial_summary(&owner, &config);
        let config = configs::insert(self, &id, &owner, config, now, &mut write).await?;
        let release = NewRelease {
            version: 1,
            config: config.uuid.clone(),
            build: None,
            summary_if_failed: summary.clone(),
            summary,
        };
        let release = releases::insert(&id, &owner, release, now, &mut write).await?;
        let by = ChangeContext { store: self, app: &id, owner: &owner, now };
        let settings = AppSettings { stack: Some(stack), ..AppSettings::default() };
        let settings = settings::replace(&by, settings, &mut write).await?;
        tls::replace(&by, None, &mut write).await?;
        let domain = NewDomain { domain: id.to_string(), app: id, owner, now };
        let domain = domains::insert(domain, &mut write).await?;
        write.commit().await?;
        Ok(CreatedApp { app, config, release, domain, settings })
    }

    /// Finds an app by name.
    pub async fn app(&self, id: &AppName) -> Result<Option<AppRecord>, StoreError> {
        find(id, &mut *self.pool.acquire().await?).await
    }

    /// Apps that a user sees, by name, each with its wanted counts: all for an administrator, else own and shared
    /// ones. Apps being removed are left out.
    pub async fn apps_of(
        &self,
        username: &str,
        is_admin: bool,
        page: PageRange,
    ) -> Result<Rows<(AppRecord, Structure)>, StoreError> {
        let (count, list) =
            if is_admin { (COUNT_OF_ALL, PAGE_OF_ALL) } else { (COUNT_OF_USER, PAGE_OF_USER) };
        let mut connection = self.pool.acquire().await?;
        let count = sqlx::query(count).bind(username).fetch_one(&mut *connection).await?;
        let found = sqlx::query(list)
            .bind(username)
            .bind(page.limit)
            .bind(page.offset)
            .fetch_all(&mut *connection)
            .await?;
        let app = |row: &AnyRow| Ok((read(row)?, deploys::read_structure_or_none(row)?));
        Ok(Rows { count: rows::count(&count)?, rows: rows::each(&found, app)? })
    }

    /// Names of all apps, those being removed included.
    pub async fn app_names(&self) -> Result<Vec<AppName>, StoreError> {
        let found = sqlx::query("SELECT id FROM apps ORDER BY id").fetch_all(&self.pool).await?;
        rows::each(&found, |row| rows::app_name(row, "id"))
    }

    /// Hands an app over with all of its rows that the old owner owns; what collaborators made stays
    /// theirs.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] for an unknown app or user.
    pub async fn transfer_app(&self, id: &AppName, to: &str, now: Timestamp) -> Result<(), StoreError> {
        let mut write = self.write().await?;
        let found = sqlx::query("SELECT owner FROM apps WHERE id = $1")
            .bind(id.as_str())
            .fetch_optional(&mut *write)
            .await?;
        let from: String =
            found.ok_or_else(|| StoreError::not_found(format!("app {id}")))?.try_get("owner")?;
        if !rows::any(sqlx::query("SELECT 1 FROM users WHERE username = $1").bind(to), &mut write).await? {
            return Err(StoreError::not_found(format!("user {to}")));
        }
        for handing_over in OWNED_ROWS {
            sqlx::query(*handing_over).bind(to).bind(id.as_str()).bind(&from).execute(&mut *write).await?;
        }
        touch(id, now, &mut write).await?;
        access_version::bump(&mut write).await?;
        write.commit().await
    }

    /// Updates the time of an app, so that its missing objects are created again.
    pub async fn touch_app(&self, id: &AppName, now: Timestamp) -> Result<(), StoreError> {
        touch(id, now, &mut *self.pool.acquire().await?).await
    }

    /// Records the removal of an app: from now on nothing more is deployed of it. [`Store::forget_app`] ends it.
    /// Repeating it changes nothing.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] for an unknown app, [`StoreError::Locked`] for one that is locked.
    pub async fn remove_app(&self, id: &AppName, now: Timestamp) -> Result<(), StoreError> {
        let mut write = self.write().await?;
        let app = find(id, &mut write).await?.ok_or_else(|| StoreError::not_found(format!("app {id}")))?;
        if !app.removing {
            refuse_locked(&app)?;
            count_apps(-1, &mut write).await?;
        }
        sqlx::query("UPDATE apps SET removing = 1, updated = $1 WHERE id = $2")
            .bind(rows::time_text(now))
            .bind(id.as_str())
            .execute(&mut *write)
            .await?;
        access_version::bump(&mut write).await?;
        write.commit().await
    }
}

impl Store {
    /// Locks an app.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] for an app that does not exist or is being removed, [`StoreError::Locked`] for one
    /// that is locked.
    pub async fn lock_app(&self, id: &AppName, lock: AppLock) -> Result<AppLock, StoreError> {
        let lock = AppLock { since: rows::kept(lock.since), ..lock };
        let mut write = self.write().await?;
        must_be_unlocked(id, &mut write).await?;
        set_lock(id, Some(&lock), &mut write).await?;
        write.commit().await?;
        Ok(lock)
    }

    /// Unlocks an app; false if it was not locked.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] for an app that does not exist or is being removed.
    pub async fn unlock_app(&self, id: &AppName) -> Result<bool, StoreError> {
        let mut write = self.write().await?;
        let app = there(id, &mut write).await?;
        set_lock(id, None, &mut write).await?;
        write.commit().await?;
        Ok(app.lock.is_some())
    }

    /// Refuses an app that is locked, before work on a change begins; recording it asks again.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] for an app that does not exist or is being removed, [`StoreError::Locked`] for one
    /// that is locked.
    pub async fn app_must_be_unlocked(&self, id: &AppName) -> Result<(), StoreError> {
        must_be_unlocked(id, &mut *self.pool.acquire().await?).await
    }
}

// The kind of caller selects the query text instead of a condition in it, so that each query has an index.
const COUNT_OF_ALL: &str = "SELECT CAST(value AS BIGINT) FROM meta WHERE name = 'apps' AND $1 = $1";
const COUNT_OF_USER: &str = "SELECT COUNT(*) FROM apps WHERE removing = 0 AND id IN \
     (SELECT id FROM apps WHERE owner = $1 UNION SELECT app FROM collaborators WHERE username = $1)";
const PAGE_OF_ALL: &str = paged!("$1 = $1");
const PAGE_OF_USER: &str = paged!(
    "id IN (SELECT id FROM apps WHERE owner = $1 UNION SELECT app FROM collaborators WHERE username = $1)"
);

/// Keeps the number of apps that are not being removed.
async fn count_apps(change: i64, connection: &mut AnyConnection) -> Result<(), StoreError> {
    sqlx::query("UPDATE meta SET value = CAST(CAST(value AS BIGINT) + $1 AS TEXT) WHERE name = 'apps'")
        .bind(change)
        .execute(connection)
        .await?;
    Ok(())
}

/// Rows that change hands with their app: $1 the new owner, $2 the app, $3 the old owner.
const OWNED_ROWS: &[&str] = &[
    "UPDATE apps SET owner = $1 WHERE id = $2 AND owner = $3",
    "UPDATE configs SET owner = $1 WHERE app = $2 AND owner = $3",
    "UPDATE builds SET owner = $1 WHERE app = $2 AND owner = $3",
    "UPDATE releases SET owner = $1 WHERE app = $2 AND owner = $3",
    "UPDATE domains SET owner = $1 WHERE app = $2 AND owner = $3",
    "UPDATE app_settings SET owner = $1 WHERE app = $2 AND owner = $3",
    "UPDATE app_tls SET owner = $1 WHERE app = $2 AND owner = $3",
];

async fn insert(app: &AppRecord, connection: &mut AnyConnection) -> Result<(), StoreError> {
    // A new app is not locked.
    let AppRecord { uuid, id, owner, created, updated, removing, lock: _ } = app;
    sqlx::query(
        "INSERT INTO apps (uuid, id, owner, created, updated, removing) VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(uuid)
    .bind(id.as_str())
    .bind(owner)
    .bind(rows::time_text(*created))
    .bind(rows::time_text(*updated))
    .bind(i64::from(*removing))
    .execute(connection)
    .await?;
    Ok(())
}

/// Refuses an app that does not exist or is being removed, inside a write.
pub(crate) async fn must_be_there(id: &AppName, connection: &mut AnyConnection) -> Result<(), StoreError> {
    let there = sqlx::query("SELECT 1 FROM apps WHERE id = $1 AND removing = 0").bind(id.as_str());
    if rows::any(there, connection).await? { Ok(()) } else { Err(StoreError::not_found(format!("app {id}"))) }
}

/// The same, and refuses one that is locked.
pub(crate) async fn must_be_unlocked(id: &AppName, connection: &mut AnyConnection) -> Result<(), StoreError> {
    refuse_locked(&there(id, connection).await?)
}

async fn there(id: &AppName, connection: &mut AnyConnection) -> Result<AppRecord, StoreError> {
    let app = find(id, connection).await?.filter(|app| !app.removing);
    app.ok_or_else(|| StoreError::not_found(format!("app {id}")))
}

fn refuse_locked(app: &AppRecord) -> Result<(), StoreError> {
    match &app.lock {
        Some(lock) => Err(StoreError::Locked { app: app.id.clone(), lock: lock.clone() }),
        None => Ok(()),
    }
}

async fn set_lock(
    id: &AppName,
    lock: Option<&AppLock>,
    connection: &mut AnyConnection,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE apps SET locked_by = $1, locked_at = $2, lock_reason = $3 WHERE id = $4")
        .bind(lock.map(|lock| &lock.user))
        .bind(lock.map(|lock| rows::time_text(lock.since)))
        .bind(lock.and_then(|lock| lock.reason.as_ref()))
        .bind(id.as_str())
        .execute(connection)
        .await?;
    Ok(())
}

pub(crate) async fn touch(
    id: &AppName,
    now: Timestamp,
    connection: &mut AnyConnection,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE apps SET updated = $1 WHERE id = $2")
        .bind(rows::time_text(now))
        .bind(id.as_str())
        .execute(connection)
        .await?;
    Ok(())
}

async fn find(id: &AppName, connection: &mut AnyConnection) -> Result<Option<AppRecord>, StoreError> {
    let found =
        sqlx::query("SELECT * FROM apps WHERE id = $1").bind(id.as_str()).fetch_optional(connection).await?;
    found.as_ref().map(read).transpose()
}

fn read(row: &AnyRow) -> Result<AppRecord, StoreError> {
    Ok(AppRecord {
        uuid: row.try_get("uuid")?,
        id: rows::app_name(row, "id")?,
        owner: row.try_get("owner")?,
        created: rows::time(row, "created")?,
        updated: rows::time(row, "updated")?,
        removing: rows::bool(row, "removing")?,
        lock: read_lock(row)?,
    })
}

fn read_lock(row: &AnyRow) -> Result<Option<AppLock>, StoreError> {
    let (user, since): (Option<String>, _) =
        (row.try_get("locked_by")?, rows::time_or_none(row, "locked_at")?);
    let reason = row.try_get("lock_reason")?;
    Ok(user.zip(since).map(|(user, since)| AppLock { user, since, reason }))
}
