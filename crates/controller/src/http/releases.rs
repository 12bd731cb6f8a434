//! Releases (docs/spec/api.md 4.9).

use std::collections::BTreeMap;

use api::hooks::{RebaseOutcome, RebaseResult};
use api::releases::{REBASE_PATH, RELEASE_PATH, RELEASES_PATH, ROLLBACK_PATH, SBOM_PATH};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use domain::AppName;
use domain::access::AccessRule::Builder;
use domain::access::Action::{Read, Write};
use domain::access::{Resource, needs};
use domain::names::APP_NAME_LENGTH_MAX;
use domain::release::rollback_target;
use domain::retention::image_is_gone;
use domain::sbom::cyclonedx::{ImageContent, Subject, document};
use domain::stacks::{STACK_NAME_LENGTH_MAX, StackName};
use engine::image_text::shown;
use engine::{ImageError, JobError};
use jiff::Timestamp;
use serde_json::Value;
use store::{BuildRecord, DeployStep, ReleaseChange, ReleaseContent, ReleaseRecord};

use super::access::{Caller, ThisApp};
use super::body::RawBody;
use super::error::ApiError;
use super::numbers::whole_number;
use super::operation::{Operation, get, post};
use super::outcome;
use super::paging::{Paging, wire_time};
use crate::Controller;
use crate::inventories::InventoryError;

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
        post(
            REBASE_PATH,
            needs(Write, Resource::Releases),
            "Puts the app on the newest images of its stack, which makes a new release",
            rebase,
        )
        .gives::<api::releases::Rebased>(200),
        get(RELEASE_PATH, needs(Read, Resource::Releases), "Shows a release, such as v3", info)
            .gives::<api::releases::Release>(200),
        get(
            SBOM_PATH,
            needs(Read, Resource::Releases),
            "Lists the packages of a release as a CycloneDX document",
            sbom,
        )
        .any(),
        post(
            api::hooks::REBASE_PATH,
            Builder,
            "Puts an app on the newest images of a stack",
            rebase_of_stack,
        )
        .takes::<api::hooks::RebaseWanted>()
        .gives::<RebaseOutcome>(200),
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
    let version = number_of(&version)?;
    let release = controller.store.release(&app, version).await?.ok_or_else(missing)?;
    let steps = controller.store.steps_of_release(&app, version).await?;
    let steps = Some(steps.into_iter().map(show_step).collect());
    Ok(Json(api::releases::Release { steps, ..show(release) }))
}

/// `GET …/releases/v{N}/sbom`.
async fn sbom(
    State(controller): State<Controller>,
    ThisApp(app): ThisApp,
    Path((_, version)): Path<(String, String)>,
) -> Result<Json<Value>, ApiError> {
    let version = number_of(&version)?;
    let ReleaseContent { release, build, .. } =
        controller.store.release_content(&app, version).await?.ok_or_else(missing)?;
    let Some(build) = build else {
        let reason = format!("v{version} has no build, so it has no packages");
        return Err(ApiError::detail(StatusCode::NOT_FOUND, reason));
    };
    let images: BTreeMap<_, _> = build.build.images().map(|image| (image.digest(), image)).collect();
    let mut inventories = Vec::new();
    for image in images.into_values() {
        let inventory = controller.inventories.of(&*controller.images, &app, image).await;
        inventories.push((image, inventory.map_err(not_listed)?));
    }
    let content: Vec<_> = inventories
        .iter()
        .map(|(image, inventory)| ImageContent {
            name: shown(image),
            digest: image.digest().clone(),
            inventory,
        })
        .collect();
    let created = wire_time(release.created);
    let subject = Subject { app: &app, version, uuid: &release.uuid, created: &created };
    Ok(Json(document(&subject, &content)))
}

fn not_listed(error: InventoryError) -> ApiError {
    match error {
        InventoryError::Image(error @ ImageError::NotFound { .. }) => ApiError::detail(
            StatusCode::NOT_FOUND,
            format!("{error}: images of old builds are removed. Push that commit again."),
        ),
        error => ApiError::unavailable(error.to_string(), error),
    }
}

fn missing() -> ApiError {
    ApiError::missing("Release")
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

/// `POST …/releases/rebase/`: a new release with the slug of the current one on the newest images of its stack.
pub(crate) async fn rebase(
    State(controller): State<Controller>,
    caller: Caller,
    ThisApp(app): ThisApp,
) -> Result<Json<api::releases::Rebased>, ApiError> {
    let Some((record, stack)) = slug_of(&controller, &app).await? else {
        let reason =
            "only what a buildpack has built stands on a stack: push the app once, or a newer image of it";
        return Err(ApiError::bad_request(reason));
    };
    let version = rebase_build(&controller, &app, caller.name(), &record, &stack).await?;
    Ok(Json(api::releases::Rebased { stack: stack.into(), version }))
}

/// `POST /v2/hooks/rebase/`: the same for one app of a fleet, in the name of its owner.
async fn rebase_of_stack(
    State(controller): State<Controller>,
    body: RawBody,
) -> Result<Json<RebaseOutcome>, ApiError> {
    let mut fields = body.fields()?;
    let app = fields.text("app", APP_NAME_LENGTH_MAX);
    let stack = fields.text("stack", STACK_NAME_LENGTH_MAX);
    let is_dry_run = fields.value("dry_run") == Some(&Value::Bool(true));
    fields.finish()?;
    let wanted = StackName::parse(&stack).map_err(|wrong| ApiError::field("stack", wrong.to_string()))?;
    let known = controller.settings.stacks.get(&wanted);
    known.map_err(|wrong| ApiError::bad_request(wrong.to_string()))?;
    let app = AppName::parse(&app).map_err(|wrong| ApiError::field("app", wrong.to_string()))?;
    let owner = controller.store.app(&app).await?.ok_or_else(|| ApiError::missing("App"))?.owner;
    let slug = slug_of(&controller, &app).await?.filter(|(_, stack)| *stack == wanted);
    let (outcome, version) = match slug {
        None => (RebaseResult::Elsewhere, None),
        Some(_) if is_dry_run => (RebaseResult::OnStack, None),
        Some((record, stack)) => match rebase_build(&controller, &app, &owner, &record, &stack).await? {
            None => (RebaseResult::Current, None),
            version => (RebaseResult::Rebased, version),
        },
    };
    Ok(Json(RebaseOutcome { outcome, version }))
}

/// The current build and its stack, if it is a slug.
async fn slug_of(
    controller: &Controller,
    app: &AppName,
) -> Result<Option<(BuildRecord, StackName)>, ApiError> {
    let current = controller.store.current_release(app).await?;
    let content = controller.store.release_content(app, current.version).await?;
    let build = content.and_then(|content| content.build);
    Ok(build.and_then(|record| record.build.slug_stack().map(|stack| (record, stack))))
}

/// Number of the new release, once it runs; `None` where the slug stands on the newest images.
async fn rebase_build(
    controller: &Controller,
    app: &AppName,
    user: &str,
    record: &BuildRecord,
    stack: &StackName,
) -> Result<Option<u64>, ApiError> {
    controller.store.app_must_be_unlocked(app).await?;
    let image = &record.build.launch.image;
    let rebased = controller.jobs.rebase(app, image, stack).await.map_err(not_rebased)?;
    if rebased == *image {
        return Ok(None);
    }
    let build = Box::new(record.build.rebased(app, rebased));
    let change = ReleaseChange::Rebased { build, of: &record.uuid };
    let recorded = controller.add_release(app, user, change).await?;
    outcome::of_release(controller, recorded.deploy).await?;
    Ok(Some(recorded.release.version))
}

fn not_rebased(error: JobError) -> ApiError {
    match error {
        JobError::Refused { reason } => ApiError::bad_request(reason),
        error => ApiError::unavailable("the app was not rebased, try again", error),
    }
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

/// 3 for `v3`.
fn number_of(version: &str) -> Result<u64, ApiError> {
    let digits = digits_of(version).ok_or_else(ApiError::unknown_url)?;
    // A number that is too large for a version is one that no release has.
    digits.parse::<u32>().map(u64::from).map_err(|_| missing())
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
