//! Commands with somebody in front of them: `deis run -it` and `deis ps:exec` (docs/terminal-protocol.md).

mod relay;

use api::terminal::{MESSAGE_BYTES_MAX, SUBPROTOCOL, Start};
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse as _, Response};
use domain::AppName;
use domain::pods::{Pod, full_name};
use domain::settings::RunSettings;
use domain::terminal::{TerminalSize, term};
use domain::workload_plan::{SESSION_SECONDS_MAX, inside};
use engine::{Inside, Session};
use store::ReleaseContent;
use tokio::sync::OwnedSemaphorePermit;

use super::access::{Caller, ThisApp};
use super::error::ApiError;
use super::run::{COMMAND_CHARS_MAX, content, plan, run_name};
use super::websocket::{Upgrading, asked_wrongly};
use crate::Controller;
use crate::serve::Closing;
use relay::Line;

const UNREACHABLE: &str = "The engine that runs apps does not answer, try again.";

/// `GET …/run/terminal`: a one-off process.
pub(crate) async fn run(
    State(controller): State<Controller>,
    caller: Caller,
    ThisApp(app): ThisApp,
    closing: Closing,
    request: Request,
) -> Result<Response, ApiError> {
    let what = What::OneOff(Box::new(content(&controller, &app).await?));
    answer(Door { controller, caller, app, closing }, what, request)
}

/// `GET …/pods/{type}/{name}/exec`: a command in a pod that runs. The name alone decides.
pub(crate) async fn exec(
    State(controller): State<Controller>,
    caller: Caller,
    ThisApp(app): ThisApp,
    closing: Closing,
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
    answer(Door { controller, caller, app, closing }, What::Inside { pod, content }, request)
}

/// Who came, and to which app.
struct Door {
    controller: Controller,
    caller: Caller,
    app: AppName,
    closing: Closing,
}

/// What is to be run once its command is known.
enum What {
    OneOff(Box<ReleaseContent>),
    Inside { pod: Pod, content: Box<ReleaseContent> },
}

fn answer(door: Door, what: What, mut request: Request) -> Result<Response, ApiError> {
    let Some(upgrading) = Upgrading::of(&mut request, SUBPROTOCOL, MESSAGE_BYTES_MAX) else {
        return Ok(asked_wrongly(SUBPROTOCOL));
    };
    let full = || ApiError::too_many("Too many sessions are open at the moment, try again later.");
    let place = door.controller.rooms.sessions.clone().try_acquire_owned().map_err(|_| full())?;
    let response = upgrading.answer();
    tokio::spawn(serve(door, what, upgrading, place));
    Ok(response.into_response())
}

async fn serve(door: Door, what: What, upgrading: Upgrading, _place: OwnedSemaphorePermit) {
    let Some(socket) = upgrading.socket().await else { return };
    let mut line = Line::new(socket);
    let Some(start) = line.start(COMMAND_CHARS_MAX).await else { return };
    let (name, session) = match begin(&door, &what, &start) {
        Ok(begun) => begun,
        Err(reason) => return line.refuse(reason).await,
    };
    let Door { controller, caller, app, closing } = door;
    let ended = line.relay(session, closing).await;
    controller.say(&app, format!("{} on {name} {ended}", caller.name()));
}

/// Starts what was asked for and records who asked.
fn begin(door: &Door, what: &What, start: &Start) -> Result<(String, Session), String> {
    let Door { controller, caller, app, .. } = door;
    let Start { command, terminal, term: kind } = start;
    let terminal = terminal.map(|size| TerminalSize::new(size.columns, size.rows));
    let no_build = || "No build associated with this release to run this command".to_owned();
    let (name, session) = match what {
        What::OneOff(content) => {
            let build = content.build.as_ref().ok_or_else(no_build)?;
            let run = RunSettings::default();
            let mut one_off = plan(controller, app, content, build, &run).session(run_name(app), command);
            if terminal.is_some() {
                one_off.env.entry("TERM".to_owned()).or_insert_with(|| term(kind).to_owned());
            }
            (one_off.name.clone(), controller.terminals.open(one_off, terminal))
        }
        What::Inside { pod, content } => {
            let build = content.build.as_ref().ok_or_else(no_build)?;
            let command = Inside {
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
    controller.say(app, format!("{} on {name} runs '{command}'{how}", caller.name()));
    Ok((name, session))
}
