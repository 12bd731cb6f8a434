//! Removes the repositories of apps that are gone and packs those that stay.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use domain::AppName;

use crate::Builder;
use crate::access::AccessError;
use crate::git::Quarantine;
use crate::limits::GitTask;

const INTERVAL: Duration = Duration::from_secs(3_600);
/// Longest time that packing one repository may take; until then its app takes no push.
const PACK_MAX: Duration = Duration::from_secs(600);

/// Looks at start and then every hour, until dropped.
pub(crate) async fn run(builder: Arc<Builder>) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(error) = pass(&builder).await {
            tracing::debug!(%error, "repositories of removed apps stay for now");
        }
    }
}

/// Looks here before it asks which apps there are: a repository is only made for an app that exists.
async fn pass(builder: &Builder) -> Result<(), AccessError> {
    let here = builder.repositories.apps();
    if here.is_empty() {
        return Ok(());
    }
    let there: HashSet<String> = builder.hooks.apps().await?.into_iter().collect();
    for app in &here {
        let Some(_lock) = builder.locks.try_lock(app) else { continue };
        if there.contains(app.as_str()) {
            pack(builder, app).await;
        } else {
            remove(builder, app);
        }
    }
    Ok(())
}

fn remove(builder: &Builder, app: &AppName) {
    match builder.repositories.remove(app) {
        Ok(()) => tracing::info!(%app, "removed the repository of an app that is gone"),
        Err(error) => tracing::warn!(%app, %error, "cannot remove a repository"),
    }
}

/// Does nothing until a repository holds thousands of loose objects. Under the lock, as it moves what pushes write.
async fn pack(builder: &Builder, app: &AppName) {
    for repository in builder.repositories.of(app) {
        let arguments = ["gc", "--auto", "--quiet"];
        let git = builder.git.about(GitTask::Maintain, &repository, &Quarantine::new(), &arguments);
        match git.output(PACK_MAX).await {
            Ok(output) if output.status.success() => {}
            ended => tracing::warn!(%app, ?ended, "cannot pack a repository"),
        }
    }
}
