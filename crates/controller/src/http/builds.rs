//! Builds (docs/spec/api.md 4.8): images that users bring, and those that the builder has made (docs/spec/api.md 4.20).

use std::collections::{BTreeMap, BTreeSet};

use api::builds::{BUILD_PATH, BUILDS_PATH};
use api::hooks::ProcessImage;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use domain::access::AccessRule::Builder;
use domain::access::Action::{Read, Write};
use domain::access::{Resource, needs};
use domain::branch::{DeployBranch, REF_NAME_BYTES_MAX};
use domain::build::{Build, Launch, Origin};
use domain::image_reference::ImageReference;
use domain::release::ProcfileRules;
use domain::stacks::{STACK_NAME_LENGTH_MAX, StackName};
use domain::{AppName, Digest, Image, ProcessType};
use engine::{ImageError, RegistryCredentials};
use jiff::Timestamp;
use serde_json::Value;
use store::{BuildRecord, RecordedChange, ReleaseChange};

use super::access::{Caller, ThisApp};
use super::body::{Fields, RawBody};
use super::error::ApiError;
use super::hooks::PushTarget;
use super::operation::{Operation, get, post};
use super::outcome;
use super::paging::{Paging, wire_time};
use crate::Controller;

/// Longest image reference, in characters; the parts of a well-formed one have tighter bounds.
const IMAGE_CHARS_MAX: usize = 1024;
const SHA_CHARS_MAX: usize = 40;
/// Longest reason of a kind of build.
const REASON_CHARS_MAX: usize = 2_000;
/// Longest text in `dockerfile`, of which only the presence counts.
const DOCKERFILE_CHARS_MAX: usize = 1 << 20;

pub(super) fn operations() -> Vec<Operation> {
    vec![
        get(BUILDS_PATH, needs(Read, Resource::Builds), "Lists builds", list).page::<api::builds::Build>(),
        post(BUILDS_PATH, needs(Write, Resource::Builds), "Releases an image", create)
            .takes::<api::builds::NewBuild>()
            .gives::<api::builds::Build>(201)
            .found_by("uuid"),
        get(BUILD_PATH, needs(Read, Resource::Builds), "Shows a build", info)
            .gives::<api::builds::Build>(200),
        post(api::hooks::BUILD_PATH, Builder, "Releases what the builder has made of a push", pushed)
            .takes::<api::hooks::BuildDone>()
            .gives::<api::hooks::BuildOutcome>(200),
    ]
}

/// `GET …/builds/`, newest first.
async fn list(
    State(controller): State<Controller>,
    ThisApp(app): ThisApp,
    paging: Paging,
) -> Result<Json<api::Page<api::builds::Build>>, ApiError> {
    let builds = controller.store.builds(&app, paging.page).await?;
    Ok(paging.answer(builds, show))
}

/// `GET …/builds/{uuid}`.
async fn info(
    State(controller): State<Controller>,
    ThisApp(app): ThisApp,
    Path((_, uuid)): Path<(String, String)>,
) -> Result<Json<api::builds::Build>, ApiError> {
    let build = controller.store.build(&app, &uuid).await?;
    build.map(|build| Json(show(build))).ok_or_else(|| ApiError::missing("Build"))
}

/// `POST …/builds/`: releases an image that the user brings; answers when it runs.
async fn create(
    State(controller): State<Controller>,
    caller: Caller,
    ThisApp(app): ThisApp,
    body: RawBody,
) -> Result<(StatusCode, Json<api::builds::Build>), ApiError> {
    let mut fields = body.fields()?;
    let reference = fields.text("image", IMAGE_CHARS_MAX);
    let procfile = procfile(&mut fields);
    // Checked as ever, but of no meaning: what was built from source comes from the builder alone.
    fields.text_or_blank("sha", SHA_CHARS_MAX);
    fields.text_or_blank("dockerfile", DOCKERFILE_CHARS_MAX);
    fields.finish()?;
    let build = external(&controller, &app, reference, procfile).await?;
    let recorded = record(&controller, &caller, &app, build).await?;
    outcome::of_release(&controller, recorded.deploy).await?;
    let build = recorded.build.ok_or_else(|| ApiError::internal("a build made no build"))?;
    Ok((StatusCode::CREATED, Json(show(build))))
}

/// `POST /v2/hooks/build/`: releases what the builder has made of a push.
async fn pushed(
    State(controller): State<Controller>,
    body: RawBody,
) -> Result<Json<api::hooks::BuildOutcome>, ApiError> {
    let mut fields = body.fields()?;
    let receiver = PushTarget::of(&mut fields);
    let sha = fields.text("sha", SHA_CHARS_MAX);
    let image = fields.text("image", IMAGE_CHARS_MAX);
    let procfile = procfile(&mut fields);
    let dockerfile = !fields.text_or_blank("dockerfile", DOCKERFILE_CHARS_MAX).is_empty();
    let ports = ports(&mut fields);
    let images = images(&mut fields);
    let branch = fields.text_or_blank("branch", REF_NAME_BYTES_MAX);
    let stack = fields.text_or_blank("stack", STACK_NAME_LENGTH_MAX);
    let reason = fields.text_or_blank("reason", REASON_CHARS_MAX);
    let image_processes = image_processes(&mut fields);
    fields.finish()?;
    let stack = given("stack", &stack, StackName::parse)?;
    let branch = given("branch", &branch, DeployBranch::parse)?;
    let digest = Digest::parse(&image).map_err(|wrong| ApiError::field("image", wrong.to_string()))?;
    let (caller, app) = receiver.admitted(&controller).await?;
    let reference = format!("{app}@{digest}");
    let origin = match (dockerfile, &image_processes) {
        (true, _) => Origin::Dockerfile,
        (false, Some(_)) => Origin::Cnb,
        (false, None) => Origin::Buildpack,
    };
    let launch_of =
        |digest, ports: &[u16]| Launch::of(origin, Image::Built { app: app.clone(), digest }, ports);
    let launch = launch_of(digest, &ports);
    let mut launches = BTreeMap::new();
    let mut procfile = procfile;
    let commanded: BTreeSet<_> = procfile.keys().cloned().collect();
    for (process, (digest, ports)) in images {
        procfile.entry(process.clone()).or_default();
        launches.insert(process, launch_of(digest, &ports));
    }
    for process in image_processes.into_iter().flatten().filter(|process| !commanded.contains(process)) {
        procfile.insert(process.clone(), String::new());
        launches.insert(process.clone(), launch.clone().of_image_process(&process));
    }
    launches.retain(|_, own| *own != launch);
    let stack = stack.filter(|_| origin == Origin::Buildpack);
    let build = Build { origin, reference, sha, procfile, launch, stack, launches, reason };
    let recorded = record(&controller, &caller, &app, build).await?;
    outcome::of_release(&controller, recorded.deploy).await?;
    if let Some(branch) = branch {
        keep_branch(&controller, &caller, &app, branch).await;
    }
    let warning = match recorded.deploy {
        Some(deploy) => controller.nobody_serves(deploy).await?,
        None => None,
    };
    let release = api::hooks::ReleasedVersion { version: recorded.release.version };
    Ok(Json(api::hooks::BuildOutcome { release, warning }))
}

/// The value of a field that may be blank.
fn given<T, E: std::fmt::Display>(
    field: &'static str,
    text: &str,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> Result<Option<T>, ApiError> {
    if text.is_empty() {
        return Ok(None);
    }
    parse(text).map(Some).map_err(|wrong| ApiError::field(field, wrong.to_string()))
}

/// The release runs already, so a failure is no reason to reject the push: the next one brings the branch again.
async fn keep_branch(controller: &Controller, caller: &Caller, app: &AppName, branch: DeployBranch) {
    let kept = controller.store.keep_git_branch(app, caller.name(), branch, Timestamp::now()).await;
    if let Err(error) = kept {
        tracing::warn!(%app, error = &error as &dyn std::error::Error, "cannot record the branch that was deployed");
    }
}

/// Pins the image that a reference means now.
async fn external(
    controller: &Controller,
    app: &AppName,
    reference: String,
    procfile: BTreeMap<ProcessType, String>,
) -> Result<Build, ApiError> {
    if let Err(wrong) = ImageReference::parse(&reference) {
        return Err(refused(ImageError::Malformed { reference, reason: wrong.to_string() }));
    }
    let account = controller.store.current_config(app).await?.config.registry_account();
    let credentials = account.map(|account| RegistryCredentials {
        username: account.username,
        password: account.password,
        hostname: account.hostname,
    });
    let found = controller.images.resolve(&reference, credentials.as_ref()).await.map_err(refused)?;
    let launch = Launch::of(Origin::Image, found.image, &found.ports);
    let (sha, launches, reason) = (String::new(), BTreeMap::new(), String::new());
    Ok(Build { origin: Origin::Image, reference, sha, procfile, launch, stack: None, launches, reason })
}

/// Keeps the image first: a release must not name one that may vanish. The engine refuses other apps'.
async fn record(
    controller: &Controller,
    caller: &Caller,
    app: &AppName,
    build: Build,
) -> Result<RecordedChange, ApiError> {
    for image in build.images() {
        controller.images.keep(app, image).await.map_err(refused)?;
    }
    let rules = ProcfileRules {
        reject_if_missing: controller.settings.reject_if_procfile_missing,
        remove_if_missing: controller.settings.procfile_missing_remove,
    };
    let change = ReleaseChange::Built { build: Box::new(build), rules };
    Ok(controller.add_release(app, caller.name(), change).await?)
}

fn refused(error: ImageError) -> ApiError {
    let refusal = ApiError::bad_request(error.to_string());
    match error {
        ImageError::Engine(cause) => refusal.because(cause),
        ImageError::NotFound { .. } | ImageError::Denied { .. } | ImageError::Malformed { .. } => refusal,
    }
}

/// Process types and their commands; nothing where the field is missing.
fn procfile(fields: &mut Fields) -> BTreeMap<ProcessType, String> {
    let entries = match fields.value("procfile") {
        None => return BTreeMap::new(),
        Some(Value::Object(entries)) => entries.clone(),
        Some(Value::Null) => {
            fields.complain("procfile", "This field may not be null.");
            return BTreeMap::new();
        }
        Some(_) => {
            fields.complain("procfile", "Expected an object of process types and commands.");
            return BTreeMap::new();
        }
    };
    let mut procfile = BTreeMap::new();
    for (name, command) in entries {
        match (ProcessType::parse(&name), command) {
            (Err(wrong), _) => fields.complain("procfile", wrong.to_string()),
            (Ok(process), Value::String(command)) if !command.trim().is_empty() => {
                procfile.insert(process, command);
            }
            (Ok(_), Value::String(_) | Value::Null) => {
                fields.complain("procfile", "Command can't be empty for process type");
            }
            (Ok(_), _) => fields.complain("procfile", "Not a valid string."),
        }
    }
    procfile
}

/// Images of process types, with their ports.
fn images(fields: &mut Fields) -> BTreeMap<ProcessType, (Digest, Vec<u16>)> {
    let Some(given) = fields.value("images").cloned() else { return BTreeMap::new() };
    let images = serde_json::from_value::<BTreeMap<String, ProcessImage>>(given);
    let images = images.map_err(|error| error.to_string()).and_then(|images| {
        let parsed = images.into_iter().map(|(process, ProcessImage { image, ports })| {
            let process = ProcessType::parse(&process).map_err(|wrong| wrong.to_string())?;
            let digest = Digest::parse(&image).map_err(|wrong| wrong.to_string())?;
            Ok((process, (digest, ports)))
        });
        parsed.collect::<Result<_, String>>()
    });
    images.unwrap_or_else(|wrong| {
        fields.complain("images", wrong);
        BTreeMap::new()
    })
}

/// Process types of an image that Cloud Native Buildpacks made; `None` where the field is missing.
fn image_processes(fields: &mut Fields) -> Option<BTreeSet<ProcessType>> {
    let given = fields.value("image_processes").cloned().filter(|given| !given.is_null())?;
    let names = serde_json::from_value::<BTreeSet<String>>(given).map_err(|error| error.to_string());
    let parse = |name: String| ProcessType::parse(&name).map_err(|wrong| wrong.to_string());
    match names.and_then(|names| names.into_iter().map(parse).collect()) {
        Ok(processes) => Some(processes),
        Err(wrong) => {
            fields.complain("image_processes", wrong);
            None
        }
    }
}

fn ports(fields: &mut Fields) -> Vec<u16> {
    let Some(ports) = fields.value("ports") else { return Vec::new() };
    let ports = ports.as_array().map(|ports| {
        ports.iter().map(|port| port.as_u64().and_then(|port| u16::try_from(port).ok())).collect()
    });
    match ports {
        Some(Some(ports)) => ports,
        _ => {
            fields.complain("ports", "Expected a list of ports.");
            Vec::new()
        }
    }
}

fn show(record: BuildRecord) -> api::builds::Build {
    let BuildRecord { uuid, app, owner, build, created } = record;
    let Build { origin, reference, sha, procfile, launch: _, stack, launches: _, reason } = build;
    let created = wire_time(created);
    api::builds::Build {
        owner,
        app: app.to_string(),
        image: reference,
        sha,
        procfile: procfile.into_iter().map(|(process, command)| (process.to_string(), command)).collect(),
        dockerfile: if origin == Origin::Dockerfile { "true".to_owned() } else { String::new() },
        stack: stack.map(String::from),
        kind: origin.kind().map(|kind| kind.as_str().to_owned()),
        reason,
        updated: created.clone(),
        created,
        uuid,
    }
}
