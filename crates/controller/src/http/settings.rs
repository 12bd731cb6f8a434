//! App settings: maintenance, routability, access log, whitelist, autoscale rules, labels (docs/spec/api.md 4.16), the
//! branch that deploys, the stack. The rules are in `domain::settings`; no release is made.

use api::settings::SETTINGS_PATH;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use domain::AppName;
use domain::access::Action::{Read, Write};
use domain::access::{Resource, needs};
use domain::settings::{AppSettings, SettingsChange, SettingsPatch};
use serde_json::json;
use store::SettingsRecord;

use super::access::{Caller, ThisApp};
use super::body::RawBody;
use super::error::ApiError;
use super::operation::{Operation, get, post};
use super::outcome;
use super::paging::wire_time;
use crate::Controller;

pub(super) fn operations() -> Vec<Operation> {
    vec![
        get(SETTINGS_PATH, needs(Read, Resource::Settings), "Shows settings", info)
            .gives::<api::settings::Settings>(200),
        post(
            SETTINGS_PATH,
            needs(Write, Resource::Settings),
            "Changes settings; null removes an entry",
            change,
        )
        .takes::<api::settings::SettingsChange>()
        .gives::<api::settings::Settings>(201),
    ]
}

/// `GET …/settings/`.
async fn info(
    State(controller): State<Controller>,
    ThisApp(app): ThisApp,
) -> Result<Json<api::settings::Settings>, ApiError> {
    Ok(Json(show(&controller, controller.store.settings(&app).await?)))
}

/// `POST …/settings/`: responds when the routers are updated and the app runs with the new settings.
async fn change(
    State(controller): State<Controller>,
    caller: Caller,
    ThisApp(app): ThisApp,
    body: RawBody,
) -> Result<(StatusCode, Json<api::settings::Settings>), ApiError> {
    let patch = SettingsPatch::parse(body.fields()?.object())?;
    if let Some(stack) = patch.stack() {
        let found = controller.settings.stacks.get(stack);
        found.map_err(|unknown| ApiError::field("stack", unknown.to_string()))?;
    }
    if patch.wants_default_builder() && controller.settings.default_builder.is_none() {
        let reason = "the platform has no builder of its own; give the name of an image";
        return Err(ApiError::field("builder", reason.to_owned()));
    }
    let record = carried_out(&controller, &app, caller.name(), SettingsChange::Patched(&patch)).await?;
    Ok((StatusCode::CREATED, Json(show(&controller, record))))
}

/// Records a change and waits until it holds; one that cannot run is taken back.
pub(super) async fn carried_out(
    controller: &Controller,
    app: &AppName,
    user: &str,
    change: SettingsChange<'_>,
) -> Result<SettingsRecord, ApiError> {
    let recorded = controller.change_settings(app, user, change).await?;
    if let Err(failed) = outcome::of_settings(controller, recorded.deploy).await {
        controller.store.take_settings_back(&recorded).await?;
        outcome::of_routing(controller, app).await?;
        return Err(failed);
    }
    outcome::of_routing(controller, app).await?;
    Ok(recorded.record)
}

fn show(controller: &Controller, record: SettingsRecord) -> api::settings::Settings {
    let SettingsRecord { uuid, app, owner, settings, created } = record;
    let stack = Some(settings.stack().into());
    let AppSettings {
        maintenance,
        routable,
        access_log,
        whitelist,
        autoscale,
        label,
        git_branch,
        build_kind,
        stack: _,
        builder,
    } = settings;
    let created = wire_time(created);
    api::settings::Settings {
        uuid,
        app: app.to_string(),
        owner,
        autoscale: autoscale.into_iter().map(|(process, rule)| (process.to_string(), json!(rule))).collect(),
        label,
        updated: created.clone(),
        created,
        maintenance: Some(maintenance),
        routable: Some(routable),
        whitelist,
        access_log: Some(access_log),
        git_branch: git_branch.map(String::from),
        build_kind: build_kind.map(|kind| kind.as_str().to_owned()),
        stack,
        builder: builder.map(String::from),
        default_builder: controller.settings.default_builder.clone(),
    }
}
