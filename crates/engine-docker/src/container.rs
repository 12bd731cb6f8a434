//! The container of a new replica: made from a workload, started, and removed again if it does not start.

use std::collections::BTreeSet;

use bollard::errors::Error;
use bollard::models::{
    ContainerCreateBody, HostConfig, HostConfigLogConfig, PortBinding, RestartPolicy, RestartPolicyNameEnum,
};
use bollard::query_parameters::{CreateContainerOptionsBuilder, RemoveContainerOptionsBuilder};
use domain::deployment::{Limits, Probe, ProbeAction, Workload};
use domain::image_reference::kept_name;
use domain::{AppName, Image};

use super::confinement::confined;
use super::failure::is_answer;
use super::jobs::{message, status};
use super::{Inner, Reach, address, names, network};
use engine::EngineError;
use engine::image_text::shown;
use engine::rollout::failure_text::cannot_start;
use engine::rollout::replica::new_name;

/// Bounds of a replica's log on disk; the logger has taken the lines long before.
const LOG_FILE_SIZE_MAX: &str = "10m";
const LOG_FILES_MAX: &str = "2";
/// Linux' bound of a host name.
const HOSTNAME_LENGTH_MAX: usize = 63;

/// A failed start of a replica.
#[derive(Debug)]
pub enum StartError {
    /// Docker cannot run the workload.
    Workload(String),
    Engine(EngineError),
}

/// Makes and starts one replica.
pub async fn start(inner: &Inner, workload: &Workload) -> Result<(), StartError> {
    let network = network::ensure(inner, &workload.id.app).await.map_err(StartError::Engine)?;
    let image = local_image(inner, &workload.id.app, &workload.image).await?;
    let name = new_name(workload);
    let options = CreateContainerOptionsBuilder::default().name(&name).build();
    let mut body = body(inner, workload, &name, image, network);
    if workload.knows_address {
        let told = address::with_address(&inner.client, body).await;
        body = told.map_err(|error| sort(inner, "look at the image", error))?;
    }
    let made = inner.client.create_container(Some(options), body).await;
    made.map_err(|error| sort(inner, "make a container", error))?;
    let started = inner.client.start_container(&name, None).await;
    if let Err(error) = started {
        remove(inner, &name).await.map_err(StartError::Engine)?;
        return Err(sort(inner, "start a container", error));
    }
    Ok(())
}

/// Kills and removes a container with its anonymous volumes; a missing one is no error.
pub async fn remove(inner: &Inner, id: &str) -> Result<(), EngineError> {
    let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
    match inner.client.remove_container(id, Some(options)).await {
        // Gone, or being removed.
        Err(error) if !matches!(status(&error), Some(404 | 409)) => {
            Err(inner.failed("remove a container", error))
        }
        _ => Ok(()),
    }
}

fn sort(inner: &Inner, what: &str, error: Error) -> StartError {
    if is_answer(&error) {
        return StartError::Workload(cannot_start(&message(&error)));
    }
    StartError::Engine(inner.failed(what, error))
}

/// The image under the name that the platform keeps it by, else as the user has it.
async fn local_image(inner: &Inner, app: &AppName, image: &Image) -> Result<String, StartError> {
    let digest = image.digest();
    let mut candidates = vec![kept_name(&names::namespace(&inner.settings.instance), app, image)];
    if let Image::External { reference, .. } = image {
        let repository = domain::image_reference::ImageReference::parse(reference).ok();
        candidates.extend(repository.map(|parsed| format!("{}@{digest}", parsed.repository())));
    }
    candidates.push(digest.to_string());
    for name in candidates {
        match inner.client.inspect_image(&name).await {
            Ok(found) => return Ok(found.id.unwrap_or(name)),
            Err(error) if status(&error) == Some(404) => {}
            Err(error) => return Err(sort(inner, "look for the image", error)),
        }
    }
    Err(StartError::Workload(format!("image {} is not in Docker any more; deploy again", shown(image))))
}

fn body(
    inner: &Inner,
    workload: &Workload,
    name: &str,
    image: String,
    network: String,
) -> ContainerCreateBody {
    let words = |words: &Option<Vec<String>>| words.clone().filter(|words| !words.is_empty());
    let ports: Vec<u16> = match inner.reach {
        Reach::Direct => Vec::new(),
        Reach::Published => ports(workload).into_iter().collect(),
    };
    ContainerCreateBody {
        image: Some(image),
        hostname: Some(name.chars().take(HOSTNAME_LENGTH_MAX).collect()),
        user: workload.user.map(|id| format!("{id}:{id}")),
        entrypoint: words(&workload.command),
        cmd: words(&workload.args),
        env: Some(workload.env.iter().map(|(name, value)| format!("{name}={value}")).collect()),
        labels: Some(names::labels(&inner.settings.instance, workload)),
        stop_timeout: Some(i64::from(workload.grace_seconds)),
        exposed_ports: Some(ports.iter().map(|port| format!("{port}/tcp")).collect()),
        host_config: Some(HostConfig {
            network_mode: Some(network),
            port_bindings: Some(ports.into_iter().map(on_loopback).collect()),
            ..host_config(inner, &workload.limits)
        }),
        ..ContainerCreateBody::default()
    }
}

fn on_loopback(port: u16) -> (String, Option<Vec<PortBinding>>) {
    let binding = PortBinding { host_ip: Some("127.0.0.1".to_owned()), host_port: None };
    (format!("{port}/tcp"), Some(vec![binding]))
}

/// The ports that the platform itself asks: the app's and those of its probes.
fn ports(workload: &Workload) -> BTreeSet<u16> {
    let probes = workload.probes.liveness.iter().chain(&workload.probes.readiness);
    let probed = probes.filter_map(|Probe { action, .. }| match action {
        ProbeAction::HttpGet { port, .. }
        | ProbeAction::TcpSocket { port }
        | ProbeAction::Serving { port } => Some(*port),
        ProbeAction::Exec { .. } => None,
    });
    workload.port.into_iter().chain(probed).collect()
}

fn host_config(inner: &Inner, limits: &Limits) -> HostConfig {
    let log = [("max-size", LOG_FILE_SIZE_MAX), ("max-file", LOG_FILES_MAX)];
    HostConfig {
        // Docker's own, so that a crash is healed while the platform is away too.
        restart_policy: Some(RestartPolicy {
            name: Some(RestartPolicyNameEnum::UNLESS_STOPPED),
            maximum_retry_count: None,
        }),
        log_config: Some(HostConfigLogConfig {
            // `json-file` would spoil a character at each end of a piece of a long line.
            typ: Some("local".to_owned()),
            config: Some(log.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()),
        }),
        ..confined(limits, inner.cpus, inner.settings.pids_max)
    }
}
