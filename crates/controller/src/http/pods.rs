//! Pods: what runs of an app, and restarting it (docs/spec/api.md 4.11).

use api::pods::{POD_PATH, PODS_OF_TYPE_PATH, PODS_PATH, RESTART_PATH, RESTART_POD_PATH, RESTART_TYPE_PATH};
use axum::Json;
use axum::extract::{Path, State};
use domain::access::Action::{Read, Write};
use domain::access::{Resource, needs};
use domain::crashes::Crashes;
use domain::pods::{Pod, PodSelection, full_name, listed};
use domain::{AppName, ProcessType};
use jiff::Timestamp;

use super::access::ThisApp;
use super::error::ApiError;
use super::operation::{Operation, get, post};
use super::paging::wire_time;
use crate::Controller;

const UNREACHABLE: &str = "The engine that runs apps does not answer, try again.";

pub(super) fn operations() -> Vec<Operation> {
    vec![
        get(PODS_PATH, needs(Read, Resource::Processes), "Lists processes", list)
            .gives::<api::pods::Pods>(200),
        post(RESTART_PATH, needs(Write, Resource::Processes), "Restarts all processes", restart)
            .list::<api::pods::Pod>(),
        get(PODS_OF_TYPE_PATH, needs(Read, Resource::Processes), "Lists processes of a type", list_of_type)
            .gives::<api::pods::Pods>(200),
        post(RESTART_TYPE_PATH, needs(Write, Resource::Processes), "Restarts a process type", restart_type)
            .list::<api::pods::Pod>(),
        get(POD_PATH, needs(Read, Resource::Processes), "Lists one process", list_named)
            .gives::<api::pods::Pods>(200),
        post(RESTART_POD_PATH, needs(Write, Resource::Processes), "Restarts one process", restart_named)
            .list::<api::pods::Pod>(),
    ]
}

/// `GET …/pods/`.
async fn list(
    State(controller): State<Controller>,
    ThisApp(app): ThisApp,
) -> Result<Json<api::pods::Pods>, ApiError> {
    page(&controller, &app, &PodSelection::All).await
}

/// `GET …/pods/{type}`.
async fn list_of_type(
    State(controller): State<Controller>,
    ThisApp(app): ThisApp,
    Path((_, process)): Path<(String, String)>,
) -> Result<Json<api::pods::Pods>, ApiError> {
    page(&controller, &app, &of_type(process)).await
}

/// `GET …/pods/{type}/{name}`: the name alone decides.
async fn list_named(
    State(controller): State<Controller>,
    ThisApp(app): ThisApp,
    Path((_, _process, name)): Path<(String, String, String)>,
) -> Result<Json<api::pods::Pods>, ApiError> {
    page(&controller, &app, &PodSelection::Named(name)).await
}

/// `POST …/pods/restart/`.
async fn restart(
    State(controller): State<Controller>,
    ThisApp(app): ThisApp,
) -> Result<Json<Vec<api::pods::Pod>>, ApiError> {
    replace(&controller, &app, &PodSelection::All).await
}

/// `POST …/pods/{type}/restart/`.
async fn restart_type(
    State(controller): State<Controller>,
    ThisApp(app): ThisApp,
    Path((_, process)): Path<(String, String)>,
) -> Result<Json<Vec<api::pods::Pod>>, ApiError> {
    replace(&controller, &app, &of_type(process)).await
}

/// `POST …/pods/{type}/{name}/restart/`. Old clients make up the type from the pod's name and get it
/// wrong, so the name alone decides.
async fn restart_named(
    State(controller): State<Controller>,
    ThisApp(app): ThisApp,
    Path((_, _process, name)): Path<(String, String, String)>,
) -> Result<Json<Vec<api::pods::Pod>>, ApiError> {
    let pods =
        controller.engine.pods(&app).await.map_err(|error| ApiError::unavailable(UNREACHABLE, error))?;
    match full_name(&pods, &app, &name) {
        Some(name) => replace(&controller, &app, &PodSelection::Named(name.to_owned())).await,
        None => Ok(Json(Vec::new())),
    }
}

/// A text that is no process type selects nothing: no pod has such a name either.
fn of_type(process: String) -> PodSelection {
    match ProcessType::parse(&process) {
        Ok(process) => PodSelection::Process(process),
        Err(_) => PodSelection::Named(process),
    }
}

async fn page(
    controller: &Controller,
    app: &AppName,
    selection: &PodSelection,
) -> Result<Json<api::pods::Pods>, ApiError> {
    let results = current(controller, app, selection).await?;
    let count = u64::try_from(results.len()).unwrap_or(u64::MAX);
    Ok(Json(api::pods::Pods { results, count }))
}

/// The selected pods of the newest release that has not failed.
async fn current(
    controller: &Controller,
    app: &AppName,
    selection: &PodSelection,
) -> Result<Vec<api::pods::Pod>, ApiError> {
    let release = controller.store.current_release(app).await?;
    let pods =
        controller.engine.pods(app).await.map_err(|error| ApiError::unavailable(UNREACHABLE, error))?;
    Ok(listed(pods, release.version, selection).into_iter().map(show).collect())
}

/// A failed restart is logged for the operator only: the response is the running pods in any case.
async fn replace(
    controller: &Controller,
    app: &AppName,
    selection: &PodSelection,
) -> Result<Json<Vec<api::pods::Pod>>, ApiError> {
    match controller.engine.restart(app, selection).await {
        Ok(pods) => {
            let release = controller.store.current_release(app).await?;
            let all = &PodSelection::All;
            Ok(Json(listed(pods, release.version, all).into_iter().map(show).collect()))
        }
        Err(error) => {
            tracing::error!(%app, error = &error as &dyn std::error::Error, "restart failed");
            current(controller, app, selection).await.map(Json)
        }
    }
}

fn show(pod: Pod) -> api::pods::Pod {
    let Pod { name, app: _, process, release, state, started, crashes } = pod;
    api::pods::Pod {
        name,
        state: state.as_str().to_owned(),
        release: format!("v{release}"),
        process_type: process.to_string(),
        started: wire_time(started.unwrap_or_else(Timestamp::now)),
        crashes: crashes.map(show_crashes),
    }
}

fn show_crashes(crashes: Crashes) -> api::pods::Crashes {
    let Crashes { exit, times, since, last } = crashes;
    api::pods::Crashes {
        reason: exit.to_string(),
        exit_code: exit.code,
        out_of_memory: exit.is_out_of_memory,
        times,
        since: wire_time(since),
        last: wire_time(last),
    }
}
