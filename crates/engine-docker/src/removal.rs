//! The end of an app: once its replicas are gone, all else that belongs to it goes, its state file last.

use std::collections::HashMap;

use bollard::query_parameters::ListContainersOptionsBuilder;

use super::jobs::{DockerHost, message};
use super::tasks::AppHandle;
use super::{Inner, firewall, names, network};
use engine::EngineError;

/// Does nothing while replicas are left; a later pass comes back.
pub async fn finish(inner: &Inner, app: &AppHandle) -> Result<(), EngineError> {
    if !app.state().replicas.is_empty() {
        return Ok(());
    }
    let place = DockerHost { docker: &inner.client, settings: &inner.settings };
    let removed = place.remove_app(&app.name).await;
    removed.map_err(|error| inner.failed("remove the app's images and build cache", error))?;
    match network::remove(inner, &app.name).await {
        // The app is gone all the same; one of the same name has the network again.
        Err(error @ EngineError::Refused { .. }) => inner.orphans.add(&app.name, &error),
        removed => removed?,
    }
    app.forget(inner).await
}

/// Removes what belongs to the platform as a whole, unless replicas run on without it.
pub async fn finish_platform(inner: &Inner) {
    let labels =
        vec![format!("{}={}", names::INSTANCE_LABEL, inner.settings.instance), names::APP_LABEL.to_owned()];
    let filters = HashMap::from([("label", labels)]);
    let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
    match inner.client.list_containers(Some(options)).await {
        Ok(containers) if containers.is_empty() => {}
        Ok(_) => return,
        Err(error) => {
            tracing::debug!(error = message(&error), "cannot tell whether containers are left");
            return;
        }
    }
    let place = DockerHost { docker: &inner.client, settings: &inner.settings };
    if let Err(error) = place.remove_builds_network().await {
        tracing::debug!(error = message(&error), "cannot remove the network of builds");
    }
    firewall::stop(inner).await;
}
