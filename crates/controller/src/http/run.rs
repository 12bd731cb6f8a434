//! One-off processes: `deis run` (docs/spec/api.md 4.12).

use api::run::{BASE64, RUN_PATH, RunResult};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::AppName;
use domain::access::{AccessRule, Action, Permission, Resource};
use domain::build::{OneOff, ProcessResult};
use domain::settings::RunSettings;
use domain::shell;
use domain::workload_plan::{RUN_SECONDS_MAX, WorkloadPlan};
use engine::{Input, JobError, Output};
use rand::seq::IndexedRandom as _;
use store::{BuildRecord, ReleaseContent};

use super::access::{Caller, CallerToken, ThisApp};
use super::access_watch::AccessWatch;
use super::body::RawBody;
use super::error::ApiError;
use super::operation::{Operation, post};
use crate::Controller;
use crate::concurrency_limits::LimitExceeded;
use crate::deployer::plan_settings;

/// Longest command, in characters: as much as a process takes in one argument.
pub(super) const COMMAND_CHARS_MAX: usize = 128 * 1024;
const ENCODING_CHARS_MAX: usize = 100;
const SUFFIX_ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
const SUFFIX_CHARS: usize = 5;

/// Output that is kept of a process whose bytes are asked for, as much as of one whose text is.
const OUTPUT_BYTES_MAX: usize = 8 << 20;

/// Permission for commands in processes of an app.
pub(super) const RUN: Permission = Permission::new(Action::Run, Resource::Processes);

pub(super) fn operations() -> Vec<Operation> {
    vec![
        post(RUN_PATH, AccessRule::Needs(RUN), "Runs a command in a process of its own", run)
            .takes::<api::run::Run>()
            .gives::<RunResult>(200),
    ]
}

/// `POST …/run`: responds when the process has ended, whatever its exit code. It ends when its user loses access.
async fn run(
    State(controller): State<Controller>,
    caller: Caller,
    token: CallerToken,
    ThisApp(app): ThisApp,
    body: RawBody,
) -> Result<Json<RunResult>, ApiError> {
    let RunRequest { command, wants_bytes } = asked(&body)?;
    let one_off = one_off(&controller, &app, &command, wants_bytes).await?;
    let _permit = controller.limits.runs.acquire(caller.name()).map_err(too_many)?;
    let mut access = AccessWatch::new(&controller, token, &app, RUN);
    controller
        .say(&app, format!("{} on {} runs {}", caller.name(), one_off.name, shell::program_name(&command)));
    let run = async {
        // Jobs give text: a runtime may have gone over its line ends already. Sessions give what the process wrote.
        if wants_bytes { bytes_of(&controller, &one_off).await } else { text_of(&controller, &one_off).await }
    };
    let finished = tokio::select! {
        finished = run => finished,
        () = access.ended() => return Err(ApiError::forbidden()),
    };
    finished.map(Json).map_err(|error| unavailable(&one_off.name, error))
}

async fn text_of(controller: &Controller, one_off: &OneOff) -> Result<RunResult, JobError> {
    let ProcessResult { exit_code, output } = controller.jobs.run(one_off).await?;
    Ok(RunResult { exit_code, output, encoding: None, truncated: false })
}

async fn bytes_of(controller: &Controller, one_off: &OneOff) -> Result<RunResult, JobError> {
    let mut session = controller.terminals.open(one_off.clone(), None);
    // There is no input; a session that has ended reports that itself.
    _ = session.input.send(Input::End).await;
    let (mut kept, mut truncated) = (Vec::new(), false);
    while let Some(said) = session.output.recv().await {
        match said {
            // The rest is read too, so that the process can continue.
            Output::Stdout(bytes) | Output::Stderr(bytes) => {
                let left = OUTPUT_BYTES_MAX - kept.len();
                kept.extend_from_slice(&bytes[..bytes.len().min(left)]);
                truncated |= bytes.len() > left;
            }
            Output::Ended(ended) => {
                let (exit_code, output) = (ended?, STANDARD.encode(&kept));
                return Ok(RunResult { exit_code, output, encoding: Some(BASE64.to_owned()), truncated });
            }
        }
    }
    Err(JobError::Refused { reason: "its end was not told; try again".to_owned() })
}

/// Content of a request.
struct RunRequest {
    command: String,
    wants_bytes: bool,
}

fn too_many(exhausted: LimitExceeded) -> ApiError {
    match exhausted {
        LimitExceeded::Total => {
            ApiError::too_many("Too many one-off processes run at the moment, try again later.")
        }
        LimitExceeded::Share(most) => ApiError::too_many(format!(
            "You wait for {most} one-off processes, which is the most for one user: let one end first."
        )),
    }
}

fn asked(body: &RawBody) -> Result<RunRequest, ApiError> {
    let required = || ApiError::bad_request("command is a required field");
    let mut fields = body.fields()?;
    if fields.value("command").is_none_or(serde_json::Value::is_null) {
        return Err(required());
    }
    let command = fields.text_or_blank("command", COMMAND_CHARS_MAX);
    let encoding = fields.optional_text("encoding", ENCODING_CHARS_MAX);
    if let Some(other) = encoding.as_deref().filter(|encoding| *encoding != BASE64) {
        fields.complain(
            "encoding",
            format!("\"{other}\" is none that is offered: leave it out for text, or give \"{BASE64}\"."),
        );
    }
    fields.finish()?;
    if command.is_empty() {
        Err(required())
    } else {
        Ok(RunRequest { command, wants_bytes: encoding.is_some() })
    }
}

/// The process as the newest release that has not failed would run it.
async fn one_off(
    controller: &Controller,
    app: &AppName,
    command: &str,
    is_session: bool,
) -> Result<OneOff, ApiError> {
    let content = content(controller, app).await?;
    let build = content.build.as_ref().ok_or_else(no_build)?;
    let run = RunSettings::default();
    let plan = plan(controller, app, &content, build, &run);
    Ok(match is_session {
        true => OneOff { deadline_seconds: RUN_SECONDS_MAX, ..plan.session(run_name(app), command) },
        false => plan.one_off(run_name(app), command),
    })
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
) -> WorkloadPlan<'a> {
    let ReleaseContent { release, config, build: _ } = content;
    WorkloadPlan {
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
