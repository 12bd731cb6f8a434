//! Config: values, limits, tags, registry, health checks (docs/spec/api.md 4.7). The rules are in `domain::config`.

use api::config::CONFIG_PATH;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use domain::AppName;
use domain::access::Action::{Read, Write};
use domain::access::{Resource, needs};
use domain::config::{Config, ConfigPatch, Healthchecks, Texts};
use serde_json::{Map, Value};
use store::{ConfigRecord, ReleaseChange};

use super::access::{Caller, ThisApp};
use super::body::RawBody;
use super::error::ApiError;
use super::operation::{Operation, get, post};
use super::outcome;
use super::paging::wire_time;
use crate::Controller;

pub(super) fn operations() -> Vec<Operation> {
    vec![
        get(CONFIG_PATH, needs(Read, Resource::Config), "Shows the config", info)
            .gives::<api::config::Config>(200),
        post(
            CONFIG_PATH,
            needs(Write, Resource::Config),
            "Changes the config, which makes a release; null removes an entry",
            change,
        )
        .takes::<api::config::ConfigChange>()
        .gives::<api::config::Config>(201),
    ]
}

/// `GET …/config/`: that of the newest release that has not failed.
async fn info(
    State(controller): State<Controller>,
    ThisApp(app): ThisApp,
) -> Result<Json<api::config::Config>, ApiError> {
    current(&controller, &app).await
}

pub(super) async fn current(
    controller: &Controller,
    app: &AppName,
) -> Result<Json<api::config::Config>, ApiError> {
    Ok(Json(show(controller, controller.store.current_config(app).await?)))
}

/// `POST …/config/`: makes a release, and answers when it runs where there is something to run.
pub(crate) async fn change(
    State(controller): State<Controller>,
    caller: Caller,
    ThisApp(app): ThisApp,
    body: RawBody,
) -> Result<(StatusCode, Json<api::config::Config>), ApiError> {
    let patch = ConfigPatch::parse(body.fields()?.object())?;
    check_nodes(&controller, &app, &patch).await?;
    let default_tags = &controller.settings.default_tags;
    let change = ReleaseChange::Configured { patch: &patch, default_tags };
    let recorded = controller.add_release(&app, caller.name(), change).await?;
    outcome::of_release(&controller, recorded.deploy).await?;
    let config = recorded.config.ok_or_else(|| ApiError::internal("a change of a config made no config"))?;
    Ok((StatusCode::CREATED, Json(show(&controller, config))))
}

/// Tags that no node carries would leave the app without a place to run.
async fn check_nodes(controller: &Controller, app: &AppName, patch: &ConfigPatch) -> Result<(), ApiError> {
    let before = controller.store.current_config(app).await?.config;
    let after = before.patched(patch, &controller.settings.default_tags)?;
    if after.tags == before.tags || after.tags.is_empty() {
        return Ok(());
    }
    match controller.engine.has_node_with(&after.tags).await {
        Ok(true) => Ok(()),
        Ok(false) => Err(ApiError::bad_request(after.no_node_matches(&before))),
        Err(error) => Err(ApiError::unavailable(error.to_string(), error)),
    }
}

fn show(controller: &Controller, record: ConfigRecord) -> api::config::Config {
    let ConfigRecord { uuid, app, owner, config, created } = record;
    let Config {
        values,
        memory,
        lifecycle_post_start,
        lifecycle_pre_stop,
        cpu,
        tags,
        registry,
        healthcheck,
        termination_grace_period,
    } = config;
    let created = wire_time(created);
    api::config::Config {
        uuid,
        app: app.to_string(),
        owner,
        values: texts(values),
        memory: texts(memory),
        lifecycle_post_start: texts(lifecycle_post_start),
        lifecycle_pre_stop: texts(lifecycle_pre_stop),
        cpu: texts(cpu),
        tags: texts(tags),
        registry: texts(registry),
        healthcheck: probes(healthcheck),
        termination_grace_period: texts(termination_grace_period),
        updated: created.clone(),
        created,
        default_memory: controller.settings.default_memory.clone(),
    }
}

fn texts(group: Texts) -> Map<String, Value> {
    group.into_iter().map(|(key, text)| (key, Value::String(text))).collect()
}

fn probes(group: Healthchecks) -> Map<String, Value> {
    group.into_iter().map(|(process, probes)| (process, probes.into_iter().collect())).collect()
}
