//! Interactive commands: `deis run -it` and `deis ps:exec` (docs/terminal-protocol.md).

mod relay;

use api::terminal::{EXEC_PATH, MESSAGE_BYTES_MAX, RUN_TERMINAL_PATH, SUBPROTOCOL, Start};
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse as _, Response};
use domain::AppName;
use domain::access::AccessRule;
use domain::pods::{Pod, full_name};
use domain::settings::RunSettings;
use domain::shell;
use domain::terminal::{TerminalSize, term};
use domain::workload_plan::{SESSION_SECONDS_MAX, inside};
use engine::{PodCommand, Session};
use store::ReleaseContent;

use super::access::{Caller, CallerToken, ThisApp};
use super::access_watch::{AccessWatch, holds_still};
use super::error::ApiError;
use super::operation::{Operation, get};
use super::run::{COMMAND_CHARS_MAX, RUN, content, plan, run_name};
use super::websocket::{PendingUpgrade, asked_wrongly};
use crate::Controller;
use crate::concurrency_limits::{ConcurrencyPermit, LimitExceeded};
use crate::serve::ShutdownSignal;
use relay::TerminalConnection;

const UNREACHABLE: &str = "The engine that runs apps does not answer, try again.";
const RUN_SUMMARY: &str =
    "Runs a command with somebody in front of it: a WebSocket, see docs/terminal-protocol.md";
const EXEC_SUMMARY: &str =
    "Runs a command in a process that runs: a WebSocket, see docs/terminal-protocol.md";

pub(super) fn operations() -> Vec<Operation> {
    vec![
        get(RUN_TERMINAL_PATH, AccessRule::Needs(RUN), RUN_SUMMARY, run).websocket(),
        get(EXEC_PATH, AccessRule::Needs(RUN), EXEC_SUMMARY, exec).websocket(),
    ]
}

/// `GET …/run/terminal`: a one-off process.
async fn run(
    State(controller): State<Controller>,
    caller: Caller,
    token: CallerToken,
    ThisApp(app): ThisApp,
    closing: ShutdownSignal,
    request: Request,
) -> Result<Response, ApiError> {
    let target = SessionTarget::OneOff(Box::new(content(&controller, &app).await?));
    answer(SessionContext { controller, caller, token, app, closing }, target, request)
}

/// `GET …/pods/{type}/{name}/exec`: a command in a pod that runs. The name alone decides.
async fn exec(
    State(controller): State<Controller>,
    caller: Caller,
    token: CallerToken,
    ThisApp(app): ThisApp,
    closing: ShutdownSignal,
    Path((_, _process, name)): Path<(String, String, String)>,
    request: Request,
) -> Result<Response, ApiError> {
    let pods = controller.engine.pods(&app).await;
    let pods = pods.map_err(|error| ApiError::unavailable(UNREACHABLE, error))?;
    let name = full_name(&pods, &app, &name).map(str::to_owned);
    let pod = pods.into_iter().find(|pod| Some(&pod.name) == name.as_ref());
    let pod = pod.ok_or_else(|| ApiError::missing("Pod"))?;
    // A pod may run an older release than the newest.
    let content = controller.store.release_content(&app, pod.release).await?;
    let content = Box::new(content.ok_or_else(|| ApiError::missing("Release"))?);
    answer(
        SessionContext { controller, caller, token, app, closing },
        SessionTarget::Inside { pod, content },
        request,
    )
}

/// Caller and app of a session.
struct SessionContext {
    controller: Controller,
    caller: Caller,
    token: CallerToken,
    app: AppName,
    closing: ShutdownSignal,
}

/// Target of a session, until its command is known.
enum SessionTarget {
    OneOff(Box<ReleaseContent>),
    Inside { pod: Pod, content: Box<ReleaseContent> },
}

fn answer(
    context: SessionContext,
    target: SessionTarget,
    mut request: Request,
) -> Result<Response, ApiError> {
    let Some(upgrading) = PendingUpgrade::of(&mut request, SUBPROTOCOL, MESSAGE_BYTES_MAX) else {
        return Ok(asked_wrongly(SUBPROTOCOL));
    };
    let permit = context.controller.limits.sessions.acquire(context.caller.name()).map_err(too_many)?;
    let response = upgrading.answer();
    tokio::spawn(serve(context, target, upgrading, permit));
    Ok(response.into_response())
}

fn too_many(exhausted: LimitExceeded) -> ApiError {
    match exhausted {
        LimitExceeded::Total => {
            ApiError::too_many("Too many sessions are open at the moment, try again later.")
        }
        LimitExceeded::Share(most) => ApiError::too_many(format!(
            "You have {most} sessions open, which is the most for one user: end one first."
        )),
    }
}

async fn serve(
    context: SessionContext,
    target: SessionTarget,
    upgrading: PendingUpgrade,
    _permit: ConcurrencyPermit,
) {
    let access = AccessWatch::new(&context.controller, context.token.clone(), &context.app, RUN);
    let Some(socket) = upgrading.socket().await else { return };
    let mut client = TerminalConnection::new(socket);
    let Some(start) = client.start(COMMAND_CHARS_MAX).await else { return };
    if !holds_still(&context.controller, &context.token, &context.app, RUN).await {
        return client.forbid().await;
    }
    let (name, session) = match begin(&context, &target, &start) {
        Ok(begun) => begun,
        Err(reason) => return client.refuse(reason).await,
    };
    let SessionContext { controller, caller, app, closing, .. } = context;
    let ended = client.relay(session, closing, access).await;
    controller.say(&app, format!("{} on {name} {ended}", caller.name()));
}

/// Starts the command and logs its user.
fn begin(
    context: &SessionContext,
    target: &SessionTarget,
    start: &Start,
) -> Result<(String, Session), String> {
    let SessionContext { controller, caller, app, .. } = context;
    let Start { command, terminal, term: kind } = start;
    let terminal = terminal.map(|size| TerminalSize::new(size.columns, size.rows));
    let no_build = || "No build associated with this release to run this command".to_owned();
    let (name, session) = match target {
        SessionTarget::OneOff(content) => {
            let build = content.build.as_ref().ok_or_else(no_build)?;
            let run = RunSettings::default();
            let mut one_off = plan(controller, app, content, build, &run).session(run_name(app), command);
            if terminal.is_some() {
                one_off.env.entry("TERM".to_owned()).or_insert_with(|| term(kind).to_owned());
            }
            (one_off.name.clone(), controller.terminals.open(one_off, terminal))
        }
        SessionTarget::Inside { pod, content } => {
            let build = content.build.as_ref().ok_or_else(no_build)?;
            let command = PodCommand {
                app: app.clone(),
                pod: pod.name.clone(),
                command: inside(&build.build, command),
                term: term(kind).to_owned(),
                deadline_seconds: SESSION_SECONDS_MAX,
            };
            (pod.name.clone(), controller.terminals.open_inside(command, terminal))
        }
    };
    let how = if terminal.is_some() { " in a terminal" } else { "" };
    controller.say(app, format!("{} on {name} runs {}{how}", caller.name(), shell::program_name(command)));
    Ok((name, session))
}
