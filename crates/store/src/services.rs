//! Services of apps. They have no owner of their own: they are the app's, whoever has it.

use domain::{AppName, ProcessType};
use jiff::Timestamp;
use sqlx::Row as _;
use sqlx::any::AnyRow;

use crate::{Store, StoreError, apps, rows};

/// A service as recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
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

impl Store {
    /// Services of an app, newest first.
    pub async fn services(&self, app: &AppName) -> Result<Vec<Service>, StoreError> {
        let found =
            sqlx::query("SELECT * FROM services WHERE app = $1 ORDER BY created DESC, procfile_type DESC")
                .bind(app.as_str())
                .fetch_all(&self.pool)
                .await?;
        rows::each(&found, read)
    }

    /// Adds a service or changes its patterns; says whether that changed anything.
    pub async fn set_service(&self, new: NewService) -> Result<bool, StoreError> {
        let NewService { app, process, path_pattern, now } = new;
        let mut write = self.write().await?;
        apps::must_be_there(&app, &mut write).await?;
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
        write.commit().await?;
        Ok(changed.rows_affected() > 0)
    }

    /// Removes a service; says whether there was one.
    pub async fn remove_service(&self, app: &AppName, process: &ProcessType) -> Result<bool, StoreError> {
        let removed = sqlx::query("DELETE FROM services WHERE app = $1 AND procfile_type = $2")
            .bind(app.as_str())
            .bind(process.as_str())
            .execute(&self.pool)
            .await?;
        Ok(removed.rows_affected() > 0)
    }
}

fn read(row: &AnyRow) -> Result<Service, StoreError> {
    let process: String = row.try_get("procfile_type")?;
    let process = ProcessType::parse(&process).map_err(|error| StoreError::damaged("a service", error))?;
    Ok(Service {
        app: rows::app_name(row, "app")?,
        process,
        path_pattern: row.try_get("path_pattern")?,
        created: rows::time(row, "created")?,
        updated: rows::time(row, "updated")?,
    })
}
