//! Settling: the engine runs what the last good deploy says, and nothing else of the app.

use std::collections::BTreeSet;

use domain::AppName;
use domain::structure::Structure;
use store::Deploy;

use super::engine_call::until_reachable;
use super::rollout::{DeployError, bring_up, workloads};
use super::routing::route;
use crate::Controller;

/// Applies the desired state again; nothing changes if the engine runs it.
pub(super) async fn settle(controller: &Controller, app: &AppName) -> Result<(), DeployError> {
    let last_good = controller.store.last_good_deploy(app).await?;
    restore(controller, app, last_good.as_ref()).await
}

/// Goes to `good`, or to nothing at all where no deploy has ever succeeded.
pub(super) async fn restore(
    controller: &Controller,
    app: &AppName,
    good: Option<&Deploy>,
) -> Result<(), DeployError> {
    let wanted = match good {
        Some(deploy) => workloads(controller, deploy).await?,
        None => Vec::new(),
    };
    let ids: BTreeSet<_> = wanted.iter().map(|workload| &workload.id).collect();
    let running = until_reachable(controller, || controller.engine.wanted_of(app)).await?;
    let orphans = running.iter().map(|workload| &workload.id);
    for id in orphans.filter(|id| !ids.contains(id)) {
        until_reachable(controller, || controller.engine.remove(id)).await?;
    }
    let empty = Structure::new();
    let routing = route(controller, app, good.map_or(&empty, |deploy| &deploy.structure)).await?;
    until_reachable(controller, || controller.engine.route(&routing)).await?;
    match bring_up(controller, &wanted).await {
        // It ran once and does not any more. The engine was told; telling it again and again would
        // start the app over and over.
        Err(DeployError::App(reason)) => {
            tracing::warn!(%app, reason, "the last good deploy does not run any more");
            Ok(())
        }
        ended => ended,
    }
}
