//! Work of one app, until it runs its newest deploy.

use domain::AppName;
use jiff::Timestamp;
use store::{Deploy, DeployKind, DeployStepKind, StepOutcome, StoreError};
use tokio::sync::watch;

use super::engine_call::until_reachable;
use super::rollout::{DeployError, roll_out};
use super::settle::{restore, settle};
use crate::Controller;

/// Works until the app has no open deploy left. A deploy that comes meanwhile takes over at once: dropping
/// the work on the older one is the same as dying in the middle of it.
pub(super) async fn converge(
    controller: &Controller,
    app: &AppName,
    mut is_settled: bool,
    mut ticks: watch::Receiver<u64>,
) -> Result<(), DeployError> {
    loop {
        match controller.store.app(app).await? {
            None => return Ok(()),
            Some(record) if record.removing => return remove(controller, app).await,
            Some(_) => {}
        }
        let Some(deploy) = controller.store.open_deploy(app).await? else {
            if is_settled {
                return Ok(());
            }
            settle(controller, app).await?;
            is_settled = true;
            continue;
        };
        tokio::select! {
            went_back = carry_out(controller, &deploy) => is_settled = went_back?,
            () = overtaken(controller, &deploy, &mut ticks) => {}
        }
    }
}

/// Carries out one deploy and records its end; returns true if the engine now runs what it should.
async fn carry_out(controller: &Controller, deploy: &Deploy) -> Result<bool, DeployError> {
    let store = &controller.store;
    if !store.begin_deploy(deploy.id, Timestamp::now()).await? {
        return Ok(true);
    }
    let is_settled = match roll_out(controller, deploy).await {
        Ok(()) => {
            store.succeed_deploy(deploy.id, Timestamp::now()).await?;
            if deploy.kind == DeployKind::Release
                && let Some(warning) = controller.nobody_serves(deploy.id).await?
            {
                controller.warn(&deploy.app, warning);
            }
            true
        }
        Err(DeployError::Store(error)) if error.can_be_retried() => return Err(error.into()),
        Err(error) => fail(controller, deploy, error.to_string()).await?,
    };
    controller.ended.send_modify(|count| *count += 1);
    Ok(is_settled)
}

/// Goes back to the last good deploy, then records the failure. Where going back fails itself,
/// the failure is recorded all the same and the caller goes on settling.
async fn fail(controller: &Controller, deploy: &Deploy, reason: String) -> Result<bool, DeployError> {
    let last_good = controller.store.last_good_deploy(&deploy.app).await?;
    let reason = match &last_good {
        Some(good) if deploy.kind == DeployKind::Release => {
            let notice = format!(
                "There was a problem deploying v{}. Rolling back process types to release v{}.",
                deploy.version, good.version
            );
            controller.say(&deploy.app, notice.as_str());
            format!("{notice}\n{reason}")
        }
        _ => reason,
    };
    let store = &controller.store;
    let begun = store.begin_step(deploy.id, DeployStepKind::GoBack, StepOutcome::Failed, Timestamp::now());
    if let Err(error) = begun.await {
        // The app comes before its records.
        tracing::warn!(app = %deploy.app, error = &error as &dyn std::error::Error, "cannot record a step");
    }
    let is_restored = match restore(controller, &deploy.app, last_good.as_ref()).await {
        Ok(()) => {
            store.end_step(deploy.id, StepOutcome::Succeeded, Timestamp::now()).await?;
            true
        }
        Err(error) => {
            tracing::warn!(app = %deploy.app, %error, "could not go back to the last good deploy yet");
            false
        }
    };
    store.fail_deploy(deploy.id, &reason, Timestamp::now()).await?;
    Ok(is_restored)
}

/// Waits until there is a newer deploy than `deploy`.
async fn overtaken(controller: &Controller, deploy: &Deploy, ticks: &mut watch::Receiver<u64>) {
    while ticks.changed().await.is_ok() {
        match is_still_wanted(controller, deploy).await {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => {
                tracing::warn!(app = %deploy.app, error = &error as &dyn std::error::Error, "can not look for newer deploys");
            }
        }
    }
    // Nobody is left to record anything.
    std::future::pending::<()>().await;
}

async fn is_still_wanted(controller: &Controller, deploy: &Deploy) -> Result<bool, StoreError> {
    let app = controller.store.app(&deploy.app).await?;
    let open = controller.store.open_deploy(&deploy.app).await?;
    // A deploy that has just ended is no longer open either; then there is no newer one yet.
    Ok(app.is_some_and(|app| !app.removing) && open.is_none_or(|open| open.id == deploy.id))
}

/// Ends an app: first all that runs, then the lines of its log, then its rows.
async fn remove(controller: &Controller, app: &AppName) -> Result<(), DeployError> {
    until_reachable(controller, || controller.engine.remove_app(app)).await?;
    if let Some(logger) = &controller.logger
        && let Err(error) = logger.forget(app).await
    {
        tracing::warn!(%app, error = &error as &dyn std::error::Error, "lines of a removed app stay");
    }
    controller.store.forget_app(app).await?;
    controller.room_freed.notify_one();
    controller.ended.send_modify(|count| *count += 1);
    Ok(())
}
