//! App settings. An app has one row of them, replaced as a whole: only the newest mean anything.

use std::collections::BTreeSet;

use domain::AppName;
use domain::branch::DeployBranch;
use domain::settings::{AppSettings, SettingsChange};
use jiff::Timestamp;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};

use crate::changes::ChangeContext;
use crate::{ChangeError, DeployKind, Store, StoreError, apps, deploys, releases, rows};

/// Settings as recorded.
#[derive(Debug, Clone, PartialEq)]
pub struct SettingsRecord {
    pub uuid: String,
    pub app: AppName,
    /// User who made this change.
    pub owner: String,
    pub settings: AppSettings,
    pub created: Timestamp,
}

/// A change of settings that was recorded.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordedSettings {
    pub record: SettingsRecord,
    pub before: SettingsRecord,
    /// The deploy that carries it out; `None` where nothing runs differently.
    pub deploy: Option<i64>,
}

impl Store {
    /// The settings of an app as they are now.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] for an unknown app.
    pub async fn settings(&self, app: &AppName) -> Result<SettingsRecord, StoreError> {
        current(app, &mut *self.pool.acquire().await?).await
    }

    /// Changes the settings and, where that changes what runs, records the deploy that carries it out.
    ///
    /// # Errors
    ///
    /// [`ChangeError::Store`] with [`StoreError::NotFound`] for an app that does not exist or is being removed;
    /// [`ChangeError::Settings`] for a change that `domain` refuses, or that changes nothing.
    pub async fn change_settings(
        &self,
        app: &AppName,
        owner: &str,
        change: SettingsChange<'_>,
        now: Timestamp,
    ) -> Result<RecordedSettings, ChangeError> {
        let mut write = self.write().await?;
        apps::must_be_there(app, &mut write).await?;
        let before = current(app, &mut write).await?;
        let next = before.settings.changed(owner, change)?;
        // Services are the same before and after.
        let of_running = |settings: &AppSettings| settings.of_running(BTreeSet::new());
        let runs_differently = of_running(&next) != of_running(&before.settings);
        let by = ChangeContext { store: self, app, owner, now };
        let record = replace(&by, next, &mut write).await?;
        let release = releases::current(app, &mut write).await?;
        let deploy = match release.build {
            Some(_) if runs_differently => {
                let formation = deploys::formation(app, &mut write).await?;
                let kind = DeployKind::Scale;
                Some(deploys::insert(app, release.version, &formation, kind, now, &mut write).await?)
            }
            _ => None,
        };
        write.commit().await?;
        Ok(RecordedSettings { record, before, deploy })
    }

    /// Records the branch that was deployed, unless the app has a deploy branch already.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] for an unknown app.
    pub async fn keep_git_branch(
        &self,
        app: &AppName,
        owner: &str,
        branch: DeployBranch,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut write = self.write().await?;
        let settings = current(app, &mut write).await?.settings;
        if settings.git_branch.is_none() {
            let by = ChangeContext { store: self, app, owner, now };
            let git_branch = Some(branch);
            replace(&by, AppSettings { git_branch, ..settings }, &mut write).await?;
        }
        write.commit().await
    }

    /// Undoes a change that could not be carried out, unless there is a newer one.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] for an app that is gone.
    pub async fn take_settings_back(&self, recorded: &RecordedSettings) -> Result<(), StoreError> {
        let RecordedSettings { record, before, deploy: _ } = recorded;
        let mut write = self.write().await?;
        let newest = current(&record.app, &mut write).await?;
        if newest.uuid == record.uuid {
            insert(before, &mut write).await?;
        }
        write.commit().await
    }
}

/// The settings of an app; those of a new one where an older platform recorded none.
pub(crate) async fn current(
    app: &AppName,
    connection: &mut AnyConnection,
) -> Result<SettingsRecord, StoreError> {
    let found = sqlx::query("SELECT * FROM app_settings WHERE app = $1")
        .bind(app.as_str())
        .fetch_optional(&mut *connection)
        .await?;
    if let Some(row) = found {
        return read(&row);
    }
    let app_row = sqlx::query("SELECT uuid, id AS app, owner, created FROM apps WHERE id = $1")
        .bind(app.as_str())
        .fetch_optional(connection)
        .await?;
    let row = app_row.ok_or_else(|| StoreError::not_found(format!("app {app}")))?;
    read_with(&row, AppSettings::default())
}

/// Puts `settings` in the place of those that the app had.
pub(crate) async fn replace(
    by: &ChangeContext<'_>,
    settings: AppSettings,
    connection: &mut AnyConnection,
) -> Result<SettingsRecord, StoreError> {
    let record = SettingsRecord {
        uuid: rows::new_uuid(),
        app: by.app.clone(),
        owner: by.owner.to_owned(),
        settings,
        created: rows::kept(by.now),
    };
    insert(&record, connection).await?;
    Ok(record)
}

async fn insert(record: &SettingsRecord, connection: &mut AnyConnection) -> Result<(), StoreError> {
    let SettingsRecord { uuid, app, owner, settings, created } = record;
    sqlx::query("DELETE FROM app_settings WHERE app = $1")
        .bind(app.as_str())
        .execute(&mut *connection)
        .await?;
    sqlx::query("INSERT INTO app_settings (uuid, app, owner, body, created) VALUES ($1, $2, $3, $4, $5)")
        .bind(uuid)
        .bind(app.as_str())
        .bind(owner)
        .bind(rows::json_text(settings))
        .bind(rows::time_text(*created))
        .execute(connection)
        .await?;
    Ok(())
}

fn read(row: &AnyRow) -> Result<SettingsRecord, StoreError> {
    let body: String = row.try_get("body")?;
    read_with(row, rows::from_json("settings", body.as_bytes())?)
}

fn read_with(row: &AnyRow, settings: AppSettings) -> Result<SettingsRecord, StoreError> {
    Ok(SettingsRecord {
        uuid: row.try_get("uuid")?,
        app: rows::app_name(row, "app")?,
        owner: row.try_get("owner")?,
        settings,
        created: rows::time(row, "created")?,
    })
}
