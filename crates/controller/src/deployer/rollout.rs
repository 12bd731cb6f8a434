//! One rollout: from a recorded deploy to running workloads.

use std::time::Duration;

use domain::deployment::Workload;
use domain::settings::RunSettings;
use domain::workload_plan::{PlanSettings, WorkloadPlan};
use engine::Outcome;
use futures_util::future::try_join_all;
use jiff::Timestamp;
use store::{Deploy, DeployStepKind, ReleaseContent, StepOutcome, StoreError};
use tokio::time::timeout;

use super::engine_call::until_reachable;
use super::routing::route;
use crate::Controller;

/// Longest wait for one workload; below what the callers of a deploy wait.
const OUTCOME_SECONDS_MAX: u64 = 1_200;
/// Number of times that a workload is applied again after the engine reported it superseded.
const SUPERSEDED_MAX: u32 = 3;

/// Failure of a deploy, by who can act on it.
#[derive(Debug, thiserror::Error)]
pub(super) enum DeployError {
    /// The records do not answer: trying again may help, and nothing can be noted meanwhile.
    #[error("records: {0}")]
    Store(#[from] StoreError),
    /// The engine did not answer within its timeout: trying again later may help.
    #[error("{0}")]
    Engine(String),
    /// The app, in words for its users: trying again helps only once something of it has changed.
    #[error("{0}")]
    App(String),
}

/// Carries out a deploy, step by step. Serving workloads start first, then requests go there, and only then workloads
/// at 0 stop: a process type that goes away serves until the others do.
pub(super) async fn roll_out(controller: &Controller, deploy: &Deploy) -> Result<(), DeployError> {
    let workloads = workloads(controller, deploy).await?;
    let (starting, resting): (Vec<_>, Vec<_>) =
        workloads.into_iter().partition(|workload| workload.replicas.at_least() > 0);
    if controller.store.last_good_deploy(&deploy.app).await?.is_none() {
        // The first requests may come before the first replica is ready; they wait for it.
        step(controller, deploy, DeployStepKind::Hold, send_requests(controller, deploy)).await?;
    }
    step(controller, deploy, DeployStepKind::Start, bring_up(controller, &starting)).await?;
    step(controller, deploy, DeployStepKind::Shift, send_requests(controller, deploy)).await?;
    if resting.is_empty() {
        return Ok(());
    }
    step(controller, deploy, DeployStepKind::Stop, bring_up(controller, &resting)).await
}

/// Records a step, then carries it out. Its outcome is recorded with the next step, or with the end of the deploy.
async fn step(
    controller: &Controller,
    deploy: &Deploy,
    kind: DeployStepKind,
    work: impl Future<Output = Result<(), DeployError>>,
) -> Result<(), DeployError> {
    controller.store.begin_step(deploy.id, kind, StepOutcome::Succeeded, Timestamp::now()).await?;
    work.await
}

/// The workloads that a deploy means.
pub(super) async fn workloads(
    controller: &Controller,
    deploy: &Deploy,
) -> Result<Vec<Workload>, DeployError> {
    let Deploy { app, version, structure, run, .. } = deploy;
    let missing = |what: &str| DeployError::App(format!("v{version} of {app} has no {what}"));
    let content = controller.store.release_content(app, *version).await?;
    let content = content.ok_or_else(|| missing("record"))?;
    let plan = plan(controller, &content, run).ok_or_else(|| missing("build"))?;
    plan.workloads(structure).map_err(|error| DeployError::App(error.to_string()))
}

/// A release as it is to run; `None` where there is no build to run.
fn plan<'a>(
    controller: &Controller,
    content: &'a ReleaseContent,
    run: &'a RunSettings,
) -> Option<WorkloadPlan<'a>> {
    let ReleaseContent { release, config, build } = content;
    Some(WorkloadPlan {
        app: &release.app,
        version: release.version,
        summary: &release.summary,
        created: release.created,
        config: &config.config,
        build: &build.as_ref()?.build,
        run,
        settings: plan_settings(controller),
    })
}

/// The operator's defaults for every app.
pub(crate) fn plan_settings(controller: &Controller) -> PlanSettings {
    PlanSettings {
        deploy_timeout_seconds: controller.settings.deploy_timeout_seconds,
        grace_seconds: controller.settings.grace_seconds,
        deploy_batches: controller.settings.deploy_batches,
        revisions_kept: controller.settings.revisions_kept,
        expose_addresses: controller.settings.expose_addresses,
        default_memory_bytes: controller.settings.default_memory_bytes(),
    }
}

/// Applies workloads and waits until all of them run as asked for.
pub(super) async fn bring_up(controller: &Controller, workloads: &[Workload]) -> Result<(), DeployError> {
    for workload in workloads {
        until_reachable(controller, || controller.engine.apply(workload)).await?;
    }
    try_join_all(workloads.iter().map(|workload| outcome(controller, workload))).await?;
    Ok(())
}

async fn outcome(controller: &Controller, workload: &Workload) -> Result<(), DeployError> {
    let Workload { id, release, .. } = workload;
    for _ in 0..SUPERSEDED_MAX {
        let waiting = until_reachable(controller, || controller.engine.outcome(id, *release));
        match timeout(Duration::from_secs(OUTCOME_SECONDS_MAX), waiting).await {
            Ok(Ok(Outcome::Running)) => return Ok(()),
            Ok(Ok(Outcome::Failed { reason })) => return Err(DeployError::App(reason)),
            Ok(Ok(Outcome::Superseded)) => {
                until_reachable(controller, || controller.engine.apply(workload)).await?;
            }
            Ok(Err(error)) => return Err(error),
            Err(_) => {
                let reason = format!("{id} was not running after {OUTCOME_SECONDS_MAX} seconds");
                return Err(DeployError::App(reason));
            }
        }
    }
    Err(DeployError::App(format!("{id} did not stay at v{release}: something else changed it at the engine")))
}

async fn send_requests(controller: &Controller, deploy: &Deploy) -> Result<(), DeployError> {
    let routing = route(controller, &deploy.app, &deploy.structure).await?;
    until_reachable(controller, || controller.engine.route(&routing)).await
}
