//! A command inside a replica that runs. Docker lets it run on when nobody is connected to it any more, so
//! its processes are marked, and those with the mark are ended with the session.

use bollard::Docker;
use bollard::errors::Error;
use bollard::exec::CreateExecOptions;
use bollard::models::ContainerStateStatusEnum as Status;
use domain::shell;
use domain::terminal::TerminalSize;
use serde_json::json;

use super::wire::RawConnection;
use super::{ResizeTarget, carry};
use crate::jobs::{job_error, message, with_timeout};
use crate::{DockerEngine, probe, replicas};
use engine::session::SessionChannels;
use engine::{JobError, PodCommand};

/// Runs it to its end; the caller bounds its time.
pub async fn run(
    engine: &DockerEngine,
    inside: &PodCommand,
    terminal: Option<TerminalSize>,
    mut ends: SessionChannels,
) -> Result<i64, JobError> {
    let container = container(engine, inside).await?;
    let docker = with_timeout(engine.docker(), inside.deadline_seconds);
    let mark = format!("{:016x}", rand::random::<u64>());
    let options = CreateExecOptions {
        cmd: Some(shell::marked(&mark, &inside.term, &inside.command)),
        attach_stdin: Some(true),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        tty: Some(terminal.is_some()),
        ..CreateExecOptions::default()
    };
    let exec = docker.create_exec(&container, options).await;
    let exec = exec.map_err(|error| job_error("make the command", error))?.id;
    let _hang_up = SessionGuard { docker: docker.clone(), container, mark };
    let body = json!({ "Detach": false, "Tty": terminal.is_some() });
    let wire = RawConnection::open(&engine.inner.socket, &format!("/exec/{exec}/start"), &body).await;
    let wire = wire.map_err(|error| job_error("start the command", error))?;
    let carried = carry(wire, terminal, &mut ends, &docker, ResizeTarget::Command(&exec)).await;
    carried.map_err(|error| job_error("carry the session", error))?;
    let ended =
        docker.inspect_exec(&exec).await.map_err(|error| job_error("ask for the exit code", error))?;
    Ok(ended.exit_code.unwrap_or(-1))
}

/// The container of a replica of this app that runs.
async fn container(engine: &DockerEngine, inside: &PodCommand) -> Result<String, JobError> {
    let PodCommand { app, pod, .. } = inside;
    let replicas = replicas::observe(&engine.inner, app).await;
    let replicas = replicas.map_err(|error| job_error("look for the process", error))?;
    match replicas.into_iter().find(|replica| replica.name == *pod) {
        Some(replica) if replica.status == Status::RUNNING => Ok(replica.id),
        Some(_) => {
            Err(JobError::Refused { reason: format!("{pod} does not run at the moment; see deis ps") })
        }
        None => Err(JobError::Refused { reason: format!("no process {pod} of {app} runs; see deis ps") }),
    }
}

/// Ends all processes of the session, whatever the reason for its end.
pub struct SessionGuard {
    pub docker: Docker,
    pub container: String,
    pub mark: String,
}

impl Drop for SessionGuard {
    fn drop(&mut self) {
        let Self { docker, container, mark } = self;
        let (docker, container, command) = (docker.clone(), container.clone(), shell::hang_up(mark));
        // Without a runtime the process is ending, and this goes with the replica.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(async move {
            let ended: Result<i64, Error> = probe::exec(&docker, &container, command).await;
            if let Err(error) = ended {
                tracing::debug!(container, error = message(&error), "cannot end the processes of a session");
            }
        });
    }
}
