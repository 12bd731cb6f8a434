//! One-off processes: `deis run` (api.md 4.12).

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use domain::AppName;
use domain::build::{Finished, OneOff};
use domain::settings::RunSettings;
use domain::workload_plan::Plan;
use engine::JobError;
use rand::seq::IndexedRandom as _;
use store::{BuildRecord, ReleaseContent};

use super::access::{Caller, ThisApp};
use super::body::Body;
use super::error::ApiError;
use crate::Controller;
use crate::deployer::plan_settings;

/// Longest command, in characters: as much as a process takes in one argument.
pub(super) const COMMAND_CHARS_MAX: usize = 128 * 1024;
const SUFFIX_ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
const SUFFIX_CHARS: usize = 5;

/// `POST …/run`: answers when the process has ended, whatever its exit code.
pub(crate) async fn run(
    State(controller): State<Controller>,
    caller: Caller,
    ThisApp(app): ThisApp,
    body: Body,
) -> Result<Json<api::run::RunResult>, ApiError> {
    let command = command(&body)?;
    let one_off = one_off(&controller, &app, &command).await?;
    controller.say(&app, format!("{} on {} runs '{command}'", caller.name(), one_off.name));
    match controller.jobs.run(&one_off).await {
        Ok(Finished { exit_code, output }) => Ok(Json(api::run::RunResult { exit_code, output })),
        Err(error) => Err(unavailable(&one_off.name, error)),
    }
}

fn command(body: &Body) -> Result<String, ApiError> {
    let required = || ApiError::bad_request("command is a required field");
    let mut fields = body.fields()?;
    if fields.value("command").is_none_or(serde_json::Value::is_null) {
        return Err(required());
    }
    let command = fields.text_or_blank("command", COMMAND_CHARS_MAX);
    fields.finish()?;
    if command.is_empty() { Err(required()) } else { Ok(command) }
}

/// The process as the newest release that has not failed would run it.
async fn one_off(controller: &Controller, app: &AppName, command: &str) -> Result<OneOff, ApiError> {
    let content = content(controller, app).await?;
    let build = content.build.as_ref().ok_or_else(no_build)?;
    let run = RunSettings::default();
    Ok(plan(controller, app, &content, build, &run).one_off(run_name(app), command))
}

/// The newest release that has not failed, which must have something to run.
pub(super) async fn content(controller: &Controller, app: &AppName) -> Result<ReleaseContent, ApiError> {
    let content = controller.store.current_content(app).await?;
    if content.build.is_some() { Ok(content) } else { Err(no_build()) }
}

fn no_build() -> ApiError {
    ApiError::bad_request("No build associated with this release to run this command")
}

/// The release as a plan; nobody reaches or scales a one-off process, so `run` is the usual.
pub(super) fn plan<'a>(
    controller: &Controller,
    app: &'a AppName,
    content: &'a ReleaseContent,
    build: &'a BuildRecord,
    run: &'a RunSettings,
) -> Plan<'a> {
    let ReleaseContent { release, config, build: _ } = content;
    Plan {
        app,
        version: release.version,
        summary: &release.summary,
        created: release.created,
        config: &config.config,
        build: &build.build,
        run,
        settings: plan_settings(controller),
    }
}

pub(super) fn run_name(app: &AppName) -> String {
    let mut random = rand::rng();
    let suffix = std::iter::repeat_with(|| SUFFIX_ALPHABET.choose(&mut random).copied().unwrap_or(b'a'));
    let suffix: String = suffix.take(SUFFIX_CHARS).map(char::from).collect();
    format!("{app}-run-{suffix}")
}

fn unavailable(name: &str, error: JobError) -> ApiError {
    let reason = match &error {
        JobError::TimedOut { .. } => "Timed out (20 mins) while running".to_owned(),
        other => other.to_string(),
    };
    let detail = format!("{name} (run): {reason}");
    match error {
        // The platform is well: the process or its image is not.
        JobError::Failed { .. } | JobError::TimedOut { .. } | JobError::Refused { .. } => {
            ApiError::detail(StatusCode::SERVICE_UNAVAILABLE, detail)
        }
        JobError::Engine(cause) => ApiError::unavailable(detail, cause),
    }
}
