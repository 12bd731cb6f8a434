//! The end of an app: once its replicas are gone, all else that belongs to it goes, its state file last.

use super::app::App;
use super::jobs::Place;
use super::{Inner, network};
use crate::EngineError;

/// Does nothing while replicas are left; a later pass comes back.
pub async fn finish(inner: &Inner, app: &App) -> Result<(), EngineError> {
    if !app.state().replicas.is_empty() {
        return Ok(());
    }
    let place = Place { docker: &inner.client, settings: &inner.settings };
    let removed = place.remove_app(&app.name).await;
    removed.map_err(|error| inner.failed("remove the app's images and build cache", error))?;
    network::remove(inner, &app.name).await?;
    app.forget(inner).await
}
