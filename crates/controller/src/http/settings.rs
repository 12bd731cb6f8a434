//! App settings (api.md 4.16). Every app has those of a new one until they can be changed.

use axum::Json;
use axum::extract::{Path, State};
use serde_json::Map;
use store::App;

use super::access::{Caller, Need, app_access};
use super::error::ApiError;
use super::paging::wire_time;
use crate::Controller;

/// `GET …/settings/`.
pub(crate) async fn info(
    State(controller): State<Controller>,
    caller: Caller,
    Path(app): Path<String>,
) -> Result<Json<api::settings::Settings>, ApiError> {
    let app = app_access(&controller, &caller, &app, Need::Use).await?;
    let app = controller.store.app(&app).await?.ok_or_else(|| ApiError::missing("App"))?;
    Ok(Json(of_new(app)))
}

fn of_new(app: App) -> api::settings::Settings {
    let App { uuid, id, owner, created, updated: _, removing: _ } = app;
    let created = wire_time(created);
    api::settings::Settings {
        uuid,
        app: id.to_string(),
        owner,
        autoscale: Map::new(),
        label: Map::new(),
        updated: created.clone(),
        created,
        maintenance: Some(false),
        routable: Some(true),
        whitelist: Vec::new(),
    }
}
