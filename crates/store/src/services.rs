//! Services of apps. They have no owner of their own: they belong to the app.

use std::collections::BTreeSet;

use domain::{AppName, ProcessType};
use jiff::Timestamp;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};

use crate::{DeployKind, Store, StoreError, apps, deploys, releases, rows};

/// A service as recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceRecord {
    pub app: AppName,
    pub process: ProcessType,
    pub path_pattern: String,
    pub created: Timestamp,
    pub updated: Timestamp,
}

/// A service to be added or changed.
#[derive(Debug, Clone)]
pub struct NewService {
    pub app: AppName,
    pub process: ProcessType,
    pub path_pattern: String,
    pub now: Timestamp,
}

/// The outcome of setting a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServiceChange {
    Unchanged,
    /// Other paths go to the same process type.
    Changed,
    /// The process type has to listen from now on.
    Added {
        /// The deploy that carries that out; `None` where nothing of the type runs.
        deploy: Option<i64>,
    },
}

impl Store {
    /// Services of an app, newest first.
    pub async fn services(&self, app: &AppName) -> Result<Vec<ServiceRecord>, StoreError> {
        let found =
            sqlx::query("SELECT * FROM services WHERE app = $1 ORDER BY created DESC, procfile_type DESC")
                .bind(app.as_str())
                .fetch_all(&self.pool)
                .await?;
        rows::each(&found, read)
    }

    /// Adds a service or changes its patterns and, where its process type runs, records the deploy by which it
    /// listens.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] for an app that does not exist or is being removed.
    pub async fn set_service(&self, new: NewService) -> Result<ServiceChange, StoreError> {
        let NewService { app, process, path_pattern, now } = new;
        let mut write = self.write().await?;
        apps::must_be_there(&app, &mut write).await?;
        let is_known = types(&app, &mut write).await?.contains(&process);
        let changed = sqlx::query(
            "INSERT INTO services (app, procfile_type, path_pattern, created, updated) VALUES ($1, $2, $3, $4, $4) \
             ON CONFLICT (app, procfile_type) DO UPDATE SET path_pattern = excluded.path_pattern, \
             updated = excluded.updated WHERE services.path_pattern <> excluded.path_pattern",
        )
        .bind(app.as_str())
        .bind(process.as_str())
        .bind(path_pattern)
        .bind(rows::time_text(now))
        .execute(&mut *write)
        .await?;
        let change = match (is_known, changed.rows_affected()) {
            (true, 0) => ServiceChange::Unchanged,
            (true, _) => ServiceChange::Changed,
            (false, _) => ServiceChange::Added { deploy: listening(&app, &process, now, &mut write).await? },
        };
        write.commit().await?;
        Ok(change)
    }

    /// Removes a service; returns true if there was one.
    pub async fn remove_service(&self, app: &AppName, process: &ProcessType) -> Result<bool, StoreError> {
        let removed = sqlx::query("DELETE FROM services WHERE app = $1 AND procfile_type = $2")
            .bind(app.as_str())
            .bind(process.as_str())
            .execute(&self.pool)
            .await?;
        Ok(removed.rows_affected() > 0)
    }
}

/// Records the deploy by which a process type with a new service listens.
async fn listening(
    app: &AppName,
    process: &ProcessType,
    now: Timestamp,
    write: &mut AnyConnection,
) -> Result<Option<i64>, StoreError> {
    let release = releases::current(app, write).await?;
    let formation = deploys::formation(app, write).await?;
    // Those that are the target already listen.
    let is_idle =
        process.is_routable() || formation.structure.get(process).is_none_or(|replicas| *replicas == 0);
    if release.build.is_none() || is_idle {
        return Ok(None);
    }
    Ok(Some(deploys::insert(app, release.version, &formation, DeployKind::Scale, now, write).await?))
}

/// Process types of an app that have a service.
pub(crate) async fn types(
    app: &AppName,
    connection: &mut AnyConnection,
) -> Result<BTreeSet<ProcessType>, StoreError> {
    let found =
        sqlx::query("SELECT * FROM services WHERE app = $1").bind(app.as_str()).fetch_all(connection).await?;
    Ok(rows::each(&found, read)?.into_iter().map(|service| service.process).collect())
}

fn read(row: &AnyRow) -> Result<ServiceRecord, StoreError> {
    let process: String = row.try_get("procfile_type")?;
    let process = ProcessType::parse(&process).map_err(|error| StoreError::damaged("a service", error))?;
    Ok(ServiceRecord {
        app: rows::app_name(row, "app")?,
        process,
        path_pattern: row.try_get("path_pattern")?,
        created: rows::time(row, "created")?,
        updated: rows::time(row, "updated")?,
    })
}
