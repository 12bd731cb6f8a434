//! An interactive one-off process.

use bollard::models::ContainerCreateBody;
use domain::build::OneOff;
use domain::terminal::TerminalSize;
use serde_json::Value;

use super::wire::RawConnection;
use super::{ResizeTarget, carry};
use crate::jobs::one_off::{check_tags, container_of, create, not_started, out_of_memory};
use crate::jobs::{DockerHost, job_error, with_timeout};
use crate::{DockerEngine, disk};
use engine::session::SessionChannels;
use engine::{JobError, Output};

/// Runs it to its end; the caller bounds its time.
pub async fn run(
    engine: &DockerEngine,
    run: &OneOff,
    terminal: Option<TerminalSize>,
    mut ends: SessionChannels,
) -> Result<i64, JobError> {
    let docker = with_timeout(engine.docker(), run.deadline_seconds);
    let place = DockerHost { docker: &docker, settings: engine.settings() };
    check_tags(&place, &run.tags)?;
    let network = engine.app_network(&run.app).await?;
    let body = fronted(container_of(&place, run, engine.inner.cpus, network), terminal);
    let container = create(&place, run, body).await?;
    let path = format!("/containers/{}/attach?stream=1&stdin=1&stdout=1&stderr=1", container.name());
    // Attached first: not a byte is missed.
    let wire = RawConnection::open(&engine.inner.socket, &path, &Value::Null).await;
    let wire = wire.map_err(|error| job_error("attach to the process", error))?;
    if let Err(error) = docker.start_container(container.name(), None).await {
        let finished = not_started(error)?;
        _ = ends.output.send(Output::Stderr(finished.output.into())).await;
        return Ok(finished.exit_code);
    }
    let front = ResizeTarget::Container(container.name());
    let exceeded = disk::exceeded(&place, container.name());
    tokio::select! {
        carried = carry(wire, terminal, &mut ends, &docker, front) => {
            carried.map_err(|error| job_error("carry the session", error))?;
        }
        reason = exceeded => return Err(JobError::Refused { reason }),
    }
    let exit = container.exit().await.map_err(|error| job_error("wait for the process", error))?;
    if exit.out_of_memory && exit.code != 0 {
        _ = ends.output.send(Output::Stderr(out_of_memory(run).into())).await;
    }
    container.remove().await.map_err(|error| job_error("remove the container", error))?;
    Ok(exit.code)
}

fn fronted(body: ContainerCreateBody, terminal: Option<TerminalSize>) -> ContainerCreateBody {
    ContainerCreateBody {
        tty: Some(terminal.is_some()),
        open_stdin: Some(true),
        stdin_once: Some(true),
        attach_stdin: Some(true),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        ..body
    }
}
