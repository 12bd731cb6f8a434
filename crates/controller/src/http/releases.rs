//! Releases (docs/spec/api.md 4.9).

use api::releases::{RELEASE_PATH, RELEASES_PATH, ROLLBACK_PATH};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use domain::AppName;
use domain::access::Action::{Read, Write};
use domain::access::{Resource, needs};
use domain::release::rollback_target;
use domain::retention::image_is_gone;
use engine::ImageError;
use jiff::Timestamp;
use serde_json::Value;
use store::{DeployStep, ReleaseChange, ReleaseRecord};

use super::access::{Caller, ThisApp};
use super::body::RawBody;
use super::error::ApiError;
use super::numbers::whole_number;
use super::operation::{Operation, get, post};
use super::outcome;
use super::paging::{Paging, wire_time};
use crate::Controller;

pub(super) fn operations() -> Vec<Operation> {
    vec![
        get(RELEASES_PATH, needs(Read, Resource::Releases), "Lists releases", list)
            .page::<api::releases::Release>(),
        post(
            ROLLBACK_PATH,
            needs(Write, Resource::Releases),
            "Goes back to an earlier release, which makes a new one",
            rollback,
        )
        .takes::<api::releases::Rollback>()
        .gives::<api::releases::RolledBack>(201),
        get(RELEASE_PATH, needs(Read, Resource::Releases), "Shows a release, such as v3", info)
            .gives::<api::releases::Release>(200),
    ]
}

/// `GET …/releases/`, newest first, failed ones included.
async fn list(
    State(controller): State<Controller>,
    ThisApp(app): ThisApp,
    paging: Paging,
) -> Result<Json<api::Page<api::releases::Release>>, ApiError> {
    let releases = controller.store.releases(&app, paging.page).await?;
    Ok(paging.answer(releases, show))
}

/// `GET …/releases/v{N}/`.
async fn info(
    State(controller): State<Controller>,
    ThisApp(app): ThisApp,
    Path((_, version)): Path<(String, String)>,
) -> Result<Json<api::releases::Release>, ApiError> {
    let digits = digits_of(&version).ok_or_else(ApiError::unknown_url)?;
    let missing = || ApiError::missing("Release");
    // A number that is too large for a version is one that no release has.
    let version = digits.parse::<u32>().map_err(|_| missing())?;
    let release = controller.store.release(&app, version.into()).await?.ok_or_else(missing)?;
    let steps = controller.store.steps_of_release(&app, version.into()).await?;
    let steps = Some(steps.into_iter().map(show_step).collect());
    Ok(Json(api::releases::Release { steps, ..show(release) }))
}

fn show_step(DeployStep { kind, began, end }: DeployStep) -> api::releases::DeployStep {
    api::releases::DeployStep {
        name: kind.as_str().to_owned(),
        began: precise(began),
        ended: end.map(|(ended, _)| precise(ended)),
        outcome: end.map(|(_, outcome)| outcome.as_str().to_owned()),
    }
}

/// Steps often take less than a second.
fn precise(time: Timestamp) -> String {
    format!("{time:.3}")
}

/// `POST …/releases/rollback/`: a new release with the build and config of an old one.
pub(crate) async fn rollback(
    State(controller): State<Controller>,
    caller: Caller,
    ThisApp(app): ThisApp,
    body: RawBody,
) -> Result<(StatusCode, Json<api::releases::RolledBack>), ApiError> {
    let version = match body.fields()?.value("version") {
        None | Some(Value::Null) => None,
        Some(version) => Some(whole_number(version).map_err(ApiError::bad_request)?),
    };
    must_have_image(&controller, &app, version).await?;
    let change = ReleaseChange::RolledBack { version };
    let recorded = controller.add_release(&app, caller.name(), change).await?;
    outcome::of_release(&controller, recorded.deploy).await?;
    Ok((StatusCode::CREATED, Json(api::releases::RolledBack { version: recorded.release.version })))
}

/// Refuses a release whose image was removed: it could not run. All else is judged where the release is recorded.
async fn must_have_image(
    controller: &Controller,
    app: &AppName,
    version: Option<i64>,
) -> Result<(), ApiError> {
    let current = controller.store.current_release(app).await?;
    let Ok(version) = rollback_target(current.version, version) else { return Ok(()) };
    let content = controller.store.release_content(app, version).await?;
    let Some(build) = content.and_then(|content| content.build) else { return Ok(()) };
    for image in build.build.images() {
        // An engine that does not answer is waited for by the deploy.
        if let Err(ImageError::NotFound { .. }) = controller.images.keep(app, image).await {
            let reason = image_is_gone(version, controller.settings.builds_kept);
            return Err(ApiError::bad_request(reason));
        }
    }
    Ok(())
}

/// `3` of `v3`.
fn digits_of(version: &str) -> Option<&str> {
    let digits = version.strip_prefix('v')?;
    (!digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())).then_some(digits)
}

fn show(release: ReleaseRecord) -> api::releases::Release {
    let ReleaseRecord {
        uuid,
        app,
        owner,
        version,
        config,
        build,
        summary,
        created,
        updated,
        failed,
        exception,
    } = release;
    api::releases::Release {
        uuid,
        app: app.to_string(),
        owner,
        created: wire_time(created),
        updated: wire_time(updated),
        version,
        summary,
        failed,
        exception: exception.map(|reason| format!("error: {reason}")),
        config,
        build,
        steps: None,
    }
}
