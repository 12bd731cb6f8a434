//! Deploys: what became of each release and of each scaling of one.
//!
//! A newer deploy of an app supersedes those that are still open. What was superseded shares the end of
//! its successor: if that fails, so has it, as it never ran.

use std::num::ParseIntError;

use domain::AppName;
use domain::settings::RunSettings;
use domain::structure::{Formation, Structure};
use jiff::Timestamp;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};

use crate::deploy_steps::{self, StepOutcome};
use crate::{Store, StoreError, rows, services, settings};

/// A deploy as recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deploy {
    pub id: i64,
    pub app: AppName,
    pub version: u64,
    /// Replicas wanted with it.
    pub structure: Structure,
    /// Settings of the app that affect processes, as they were when the deploy was recorded.
    pub run: RunSettings,
    pub kind: DeployKind,
    pub state: DeployState,
    /// Reason of the failure.
    pub reason: Option<String>,
    /// The deploy that took its place.
    pub successor: Option<i64>,
    pub created: Timestamp,
    pub updated: Timestamp,
}

/// The change that a deploy carries out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeployKind {
    /// A new release.
    Release,
    /// Other counts or settings of the current release.
    Scale,
}

/// Progress or outcome of a deploy (docs/spec/api.md 5.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeployState {
    /// Recorded, not begun.
    Pending,
    Running,
    Succeeded,
    Failed,
    /// A newer deploy took its place; its outcome is that of its successor.
    Superseded,
}

impl DeployState {
    /// Returns true if the deploy has not ended.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Pending | Self::Running)
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Superseded => "superseded",
        }
    }
}

impl Store {
    /// Finds a deploy by id.
    pub async fn deploy(&self, id: i64) -> Result<Option<Deploy>, StoreError> {
        let found =
            sqlx::query("SELECT * FROM deploys WHERE id = $1").bind(id).fetch_optional(&self.pool).await?;
        found.as_ref().map(read).transpose()
    }

    /// The deploy of an app that is to be carried out, if there is one.
    pub async fn open_deploy(&self, app: &AppName) -> Result<Option<Deploy>, StoreError> {
        let found = sqlx::query(
            "SELECT * FROM deploys WHERE app = $1 AND state IN ('pending', 'running') ORDER BY id DESC LIMIT 1",
        )
        .bind(app.as_str())
        .fetch_optional(&self.pool)
        .await?;
        found.as_ref().map(read).transpose()
    }

    /// The newest deploy of an app that succeeded: what runs, or should.
    pub async fn last_good_deploy(&self, app: &AppName) -> Result<Option<Deploy>, StoreError> {
        let found = sqlx::query(
            "SELECT * FROM deploys WHERE app = $1 AND state = 'succeeded' ORDER BY id DESC LIMIT 1",
        )
        .bind(app.as_str())
        .fetch_optional(&self.pool)
        .await?;
        found.as_ref().map(read).transpose()
    }

    /// Apps with an open deploy or being removed, by name.
    pub async fn apps_with_work(&self) -> Result<Vec<AppName>, StoreError> {
        let found = sqlx::query(
            "SELECT app FROM deploys WHERE state IN ('pending', 'running') \
             UNION SELECT id AS app FROM apps WHERE removing = 1",
        )
        .fetch_all(&self.pool)
        .await?;
        rows::each(&found, |row| rows::app_name(row, "app"))
    }

    /// Replicas that are wanted of an app: those of its newest deploy that has not failed.
    pub async fn structure(&self, app: &AppName) -> Result<Structure, StoreError> {
        Ok(formation(app, &mut *self.pool.acquire().await?).await?.structure)
    }

    /// Records that a deploy is being carried out, from its first step on; returns false if it is no longer the one to
    /// carry out.
    pub async fn begin_deploy(&self, id: i64, now: Timestamp) -> Result<bool, StoreError> {
        self.change_open(id, DeployState::Running, None, now).await
    }

    /// Records that a deploy succeeded; returns false if it was no longer open.
    pub async fn succeed_deploy(&self, id: i64, now: Timestamp) -> Result<bool, StoreError> {
        self.change_open(id, DeployState::Succeeded, None, now).await
    }

    /// Records that a deploy failed, and with it those that it superseded; returns false if it was no longer open.
    pub async fn fail_deploy(&self, id: i64, reason: &str, now: Timestamp) -> Result<bool, StoreError> {
        self.change_open(id, DeployState::Failed, Some(reason), now).await
    }

    async fn change_open(
        &self,
        id: i64,
        state: DeployState,
        reason: Option<&str>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut write = self.write().await?;
        let changed = sqlx::query(
            "UPDATE deploys SET state = $1, reason = $2, updated = $3 \
             WHERE id = $4 AND state IN ('pending', 'running')",
        )
        .bind(state.as_str())
        .bind(reason)
        .bind(rows::time_text(now))
        .bind(id)
        .execute(&mut *write)
        .await?;
        if changed.rows_affected() == 0 {
            return Ok(false);
        }
        match state {
            DeployState::Succeeded => {
                deploy_steps::end_open(id, StepOutcome::Succeeded, now, &mut write).await?;
            }
            DeployState::Failed => deploy_steps::end_open(id, StepOutcome::Failed, now, &mut write).await?,
            _ => deploy_steps::forget(id, &mut write).await?,
        }
        if state == DeployState::Failed {
            sqlx::query(
                "UPDATE deploys SET state = 'failed', reason = $1, updated = $2 \
                 WHERE successor = $3 AND state = 'superseded'",
            )
            .bind(reason)
            .bind(rows::time_text(now))
            .bind(id)
            .execute(&mut *write)
            .await?;
        }
        write.commit().await?;
        Ok(true)
    }
}

/// Wanted counts of an app, and the counts that it remembers.
pub(crate) async fn formation(
    app: &AppName,
    connection: &mut AnyConnection,
) -> Result<Formation, StoreError> {
    let found = sqlx::query(
        "SELECT structure, chosen FROM deploys WHERE app = $1 AND state <> 'failed' ORDER BY id DESC LIMIT 1",
    )
    .bind(app.as_str())
    .fetch_optional(connection)
    .await?;
    found.as_ref().map_or_else(|| Ok(Formation::default()), read_formation)
}

/// Records a deploy to be carried out, which supersedes the app's open ones.
pub(crate) async fn insert(
    app: &AppName,
    version: u64,
    formation: &Formation,
    kind: DeployKind,
    now: Timestamp,
    connection: &mut AnyConnection,
) -> Result<i64, StoreError> {
    let id = next_id(connection).await?;
    supersede_open(app, id, now, connection).await?;
    let services = services::types(app, connection).await?;
    let run = settings::current(app, connection).await?.settings.of_running(services);
    sqlx::query(
        "INSERT INTO deploys (id, app, version, structure, chosen, run, kind, state, created, updated) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, 'pending', $8, $8)",
    )
    .bind(id)
    .bind(app.as_str())
    .bind(rows::stored(version))
    .bind(rows::json_text(&formation.structure))
    .bind(rows::json_text(&formation.chosen))
    .bind(rows::json_text(&run))
    .bind(match kind {
        DeployKind::Release => "release",
        DeployKind::Scale => "scale",
    })
    .bind(rows::time_text(now))
    .execute(connection)
    .await?;
    Ok(id)
}

/// Ids are never reused, also when the app of the newest is gone: a caller may still wait for it.
async fn next_id(connection: &mut AnyConnection) -> Result<i64, StoreError> {
    let last = sqlx::query("SELECT value FROM meta WHERE name = 'last_deploy'")
        .fetch_optional(&mut *connection)
        .await?;
    let last: String = last.map_or_else(|| Ok("0".to_owned()), |row| row.try_get("value"))?;
    let damaged = |error: ParseIntError| StoreError::damaged("the last deploy's id", error);
    let last: i64 = last.parse().map_err(damaged)?;
    sqlx::query(
        "INSERT INTO meta (name, value) VALUES ('last_deploy', $1) \
         ON CONFLICT (name) DO UPDATE SET value = excluded.value",
    )
    .bind((last + 1).to_string())
    .execute(connection)
    .await?;
    Ok(last + 1)
}

async fn supersede_open(
    app: &AppName,
    by: i64,
    now: Timestamp,
    connection: &mut AnyConnection,
) -> Result<(), StoreError> {
    for statement in [
        "UPDATE deploy_steps SET outcome = 'superseded', ended = $2 WHERE ended IS NULL AND deploy IN \
         (SELECT id FROM deploys WHERE app = $3 AND id <> $1 AND state IN ('pending', 'running'))",
        "UPDATE deploys SET state = 'superseded', successor = $1, updated = $2 \
         WHERE app = $3 AND state IN ('pending', 'running')",
        // Those whose successor has now been superseded itself.
        "UPDATE deploys SET successor = $1, updated = $2 WHERE app = $3 AND state = 'superseded' \
         AND successor IN (SELECT id FROM deploys WHERE successor = $1)",
    ] {
        sqlx::query(statement)
            .bind(by)
            .bind(rows::time_text(now))
            .bind(app.as_str())
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

fn read_structure(row: &AnyRow) -> Result<Structure, StoreError> {
    let text: String = row.try_get("structure")?;
    rows::from_json("a structure", text.as_bytes())
}

/// Deploys of before counts were remembered have those that ran.
fn read_formation(row: &AnyRow) -> Result<Formation, StoreError> {
    let structure = read_structure(row)?;
    let chosen: Option<String> = row.try_get("chosen")?;
    let chosen = chosen.map(|text| rows::from_json("chosen counts", text.as_bytes())).transpose()?;
    Ok(Formation { chosen: chosen.unwrap_or_else(|| structure.clone()), structure })
}

/// That of a row beside which there may be no deploy.
pub(crate) fn read_structure_or_none(row: &AnyRow) -> Result<Structure, StoreError> {
    let text: Option<String> = row.try_get("structure")?;
    text.map_or_else(|| Ok(Structure::new()), |text| rows::from_json("a structure", text.as_bytes()))
}

/// Deploys of before there were settings ran with those of a new app.
fn read_run(row: &AnyRow) -> Result<RunSettings, StoreError> {
    let text: Option<String> = row.try_get("run")?;
    text.map_or_else(|| Ok(RunSettings::default()), |text| rows::from_json("settings", text.as_bytes()))
}

fn read(row: &AnyRow) -> Result<Deploy, StoreError> {
    let kind: String = row.try_get("kind")?;
    let state: String = row.try_get("state")?;
    Ok(Deploy {
        id: row.try_get("id")?,
        app: rows::app_name(row, "app")?,
        version: rows::number(row, "version")?,
        structure: read_structure(row)?,
        run: read_run(row)?,
        kind: if kind == "scale" { DeployKind::Scale } else { DeployKind::Release },
        state: read_state(&state)?,
        reason: row.try_get("reason")?,
        successor: row.try_get("successor")?,
        created: rows::time(row, "created")?,
        updated: rows::time(row, "updated")?,
    })
}

fn read_state(text: &str) -> Result<DeployState, StoreError> {
    let all = [
        DeployState::Pending,
        DeployState::Running,
        DeployState::Succeeded,
        DeployState::Failed,
        DeployState::Superseded,
    ];
    let unknown = || StoreError::damaged("a deploy", format!("its state `{text}` is not known"));
    all.into_iter().find(|state| state.as_str() == text).ok_or_else(unknown)
}
