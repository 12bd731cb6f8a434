//! Steps of deploys: each with its begin, end and outcome. A deploy that begins again begins with its first step.

use jiff::Timestamp;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};

use crate::{Store, StoreError, rows};

/// A step of a deploy as recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeployStep {
    pub kind: DeployStepKind,
    pub began: Timestamp,
    /// End and outcome; `None` for a step under way.
    pub end: Option<(Timestamp, StepOutcome)>,
}

/// Work of a step, in the order in which a deploy has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeployStepKind {
    /// Let requests wait for the app's first replica.
    Hold,
    /// Start the processes of the release.
    Start,
    /// Send requests to them.
    Shift,
    /// Stop process types at 0.
    Stop,
    /// Run the last good deploy again.
    GoBack,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepOutcome {
    Succeeded,
    Failed,
    /// A newer deploy took over.
    Superseded,
}

impl DeployStepKind {
    const ALL: [Self; 5] = [Self::Hold, Self::Start, Self::Shift, Self::Stop, Self::GoBack];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hold => "hold",
            Self::Start => "start",
            Self::Shift => "shift",
            Self::Stop => "stop",
            Self::GoBack => "go_back",
        }
    }
}

impl StepOutcome {
    const ALL: [Self; 3] = [Self::Succeeded, Self::Failed, Self::Superseded];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Superseded => "superseded",
        }
    }
}

impl Store {
    /// Steps of the newest deploy of a release, in their order; none if it was not deployed or has not begun.
    pub async fn steps_of_release(
        &self,
        app: &domain::AppName,
        version: u64,
    ) -> Result<Vec<DeployStep>, StoreError> {
        let found = sqlx::query(
            "SELECT * FROM deploy_steps WHERE deploy = (SELECT MAX(id) FROM deploys WHERE app = $1 AND version = $2 \
             AND kind = 'release') ORDER BY position",
        )
        .bind(app.as_str())
        .bind(rows::stored(version))
        .fetch_all(&self.pool)
        .await?;
        rows::each(&found, read)
    }

    /// Records that a step of a running deploy begins, and the outcome of the step before it. A deploy that is not
    /// running gets no step.
    pub async fn begin_step(
        &self,
        deploy: i64,
        kind: DeployStepKind,
        before: StepOutcome,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut write = self.write().await?;
        end_open(deploy, before, now, &mut write).await?;
        sqlx::query(
            "INSERT INTO deploy_steps (deploy, position, kind, began) \
             SELECT id, (SELECT COUNT(*) FROM deploy_steps WHERE deploy = $1), $2, $3 FROM deploys \
             WHERE id = $1 AND state = 'running'",
        )
        .bind(deploy)
        .bind(kind.as_str())
        .bind(rows::time_text(now))
        .execute(&mut *write)
        .await?;
        write.commit().await
    }

    /// Records the outcome of the step that is under way.
    pub async fn end_step(
        &self,
        deploy: i64,
        outcome: StepOutcome,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut write = self.write().await?;
        end_open(deploy, outcome, now, &mut write).await?;
        write.commit().await
    }
}

/// Ends the step that is under way, if one is.
pub(crate) async fn end_open(
    deploy: i64,
    outcome: StepOutcome,
    now: Timestamp,
    connection: &mut AnyConnection,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE deploy_steps SET ended = $1, outcome = $2 WHERE deploy = $3 AND ended IS NULL")
        .bind(rows::time_text(now))
        .bind(outcome.as_str())
        .bind(deploy)
        .execute(connection)
        .await?;
    Ok(())
}

/// Removes the steps of an earlier attempt.
pub(crate) async fn forget(deploy: i64, connection: &mut AnyConnection) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM deploy_steps WHERE deploy = $1").bind(deploy).execute(connection).await?;
    Ok(())
}

fn read(row: &AnyRow) -> Result<DeployStep, StoreError> {
    let unknown = |text: &str| StoreError::damaged("a step of a deploy", format!("`{text}` is not known"));
    let kind: String = row.try_get("kind")?;
    let kind =
        DeployStepKind::ALL.into_iter().find(|known| known.as_str() == kind).ok_or_else(|| unknown(&kind))?;
    let outcome: Option<String> = row.try_get("outcome")?;
    let end = match (rows::time_or_none(row, "ended")?, outcome) {
        (Some(ended), Some(text)) => {
            let outcome = StepOutcome::ALL.into_iter().find(|known| known.as_str() == text);
            Some((ended, outcome.ok_or_else(|| unknown(&text))?))
        }
        _ => None,
    };
    Ok(DeployStep { kind, began: rows::time(row, "began")?, end })
}
