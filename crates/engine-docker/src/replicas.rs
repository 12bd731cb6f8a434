//! Replicas as Docker has them: the containers of one app's processes, read afresh each time.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use bollard::errors::Error;
use bollard::models::{ContainerInspectResponse, ContainerStateStatusEnum as Status};
use bollard::query_parameters::ListContainersOptionsBuilder;
use domain::crashes::Crashes;
use domain::pods::{Pod, PodState};
use domain::{AppName, ProcessType};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;

use super::jobs::status;
use super::{Inner, Reach, names};

/// Questions to Docker at the same time.
const INSPECTIONS_MAX: usize = 8;
const GRACE_SECONDS_DEFAULT: i64 = 30;

/// One container of an app's process.
#[derive(Debug, Clone)]
pub struct Replica {
    pub id: String,
    /// Identity of this run of the container: another one after a restart.
    pub key: String,
    pub name: String,
    pub process: ProcessType,
    pub release: u64,
    /// Hash of the workload that it was made from.
    pub spec: String,
    pub created: Timestamp,
    pub started: Option<Timestamp>,
    pub status: Status,
    /// Number of restarts by Docker itself.
    pub restarts: i64,
    pub exit_code: i64,
    pub is_out_of_memory: bool,
    pub grace_seconds: i64,
    pub pre_stop: Option<String>,
    /// Has the app's network, which someone may have taken away.
    pub is_attached: bool,
    address: Option<IpAddr>,
    published: HashMap<u16, SocketAddr>,
}

/// Lists the replicas of an app, oldest first.
pub async fn observe(inner: &Inner, app: &AppName) -> Result<Vec<Replica>, Error> {
    let ids = ids(inner, Some(app)).await?;
    let network = names::network(&inner.settings.instance, app);
    let inspections = ids.into_iter().map(|id| inspect(inner, id, &network));
    let found: Vec<Option<Replica>> =
        stream::iter(inspections).buffer_unordered(INSPECTIONS_MAX).try_collect().await?;
    let mut replicas: Vec<_> = found.into_iter().flatten().collect();
    replicas.sort_by(|one, other| (one.created, &one.id).cmp(&(other.created, &other.id)));
    Ok(replicas)
}

/// Ids of the containers of processes: of one app, or of all.
pub async fn ids(inner: &Inner, app: Option<&AppName>) -> Result<Vec<String>, Error> {
    let mut labels = vec![
        format!("{}={}", names::INSTANCE_LABEL, inner.settings.instance),
        names::PROCESS_LABEL.to_owned(),
    ];
    labels.extend(app.map(|app| format!("{}={app}", names::APP_LABEL)));
    let filters = HashMap::from([("label", labels)]);
    let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
    let containers = inner.client.list_containers(Some(options)).await?;
    Ok(containers.into_iter().filter_map(|container| container.id).collect())
}

/// `None` when the container has gone in the meantime.
async fn inspect(inner: &Inner, id: String, network: &str) -> Result<Option<Replica>, Error> {
    match inner.client.inspect_container(&id, None).await {
        Ok(found) => Ok(read(id, found, network)),
        Err(error) if status(&error) == Some(404) => Ok(None),
        Err(error) => Err(error),
    }
}

fn read(id: String, found: ContainerInspectResponse, network: &str) -> Option<Replica> {
    let config = found.config?;
    let labels = config.labels.unwrap_or_default();
    let state = found.state.unwrap_or_default();
    let settings = found.network_settings.unwrap_or_default();
    let started = state.started_at.as_deref().and_then(moment);
    let networks = settings.networks.unwrap_or_default();
    let is_attached = networks.contains_key(network);
    let address = networks.get(network).and_then(|endpoint| endpoint.ip_address.as_deref()?.parse().ok());
    Some(Replica {
        key: format!("{id}@{}", started.map_or(0, Timestamp::as_nanosecond)),
        id,
        name: found.name.unwrap_or_default().trim_start_matches('/').to_owned(),
        process: ProcessType::parse(labels.get(names::PROCESS_LABEL)?).ok()?,
        release: labels.get(names::RELEASE_LABEL)?.parse().ok()?,
        spec: labels.get(names::SPEC_LABEL)?.clone(),
        created: found.created.as_deref().and_then(moment).unwrap_or_default(),
        started,
        status: state.status.unwrap_or(Status::EMPTY),
        restarts: found.restart_count.unwrap_or(0),
        exit_code: state.exit_code.unwrap_or(0),
        is_out_of_memory: state.oom_killed.unwrap_or(false),
        grace_seconds: config.stop_timeout.unwrap_or(GRACE_SECONDS_DEFAULT),
        pre_stop: labels.get(names::PRE_STOP_LABEL).cloned(),
        is_attached,
        address,
        published: published(settings.ports.unwrap_or_default()),
    })
}

/// Docker writes the year 1 for "never".
fn moment(text: &str) -> Option<Timestamp> {
    text.parse().ok().filter(|moment: &Timestamp| moment.as_second() > 0)
}

fn published(ports: bollard::models::PortMap) -> HashMap<u16, SocketAddr> {
    let bound = ports.into_iter().filter_map(|(port, bindings)| {
        let inside = port.strip_suffix("/tcp")?.parse().ok()?;
        let outside: u16 = bindings?.into_iter().find_map(|binding| binding.host_port?.parse().ok())?;
        Some((inside, SocketAddr::from((Ipv4Addr::LOCALHOST, outside))))
    });
    bound.collect()
}

impl Replica {
    pub fn is_running(&self) -> bool {
        self.status == Status::RUNNING
    }

    /// Address of one of its ports for the platform.
    pub fn address(&self, reach: Reach, port: u16) -> Option<SocketAddr> {
        match reach {
            Reach::Direct => self.address.map(|address| SocketAddr::new(address, port)),
            Reach::Published => self.published.get(&port).copied(),
        }
    }

    /// As users see it.
    pub fn pod(&self, app: &AppName, is_ready: bool, is_retiring: bool, crashes: Option<Crashes>) -> Pod {
        Pod {
            name: self.name.clone(),
            app: app.clone(),
            process: self.process.clone(),
            release: self.release,
            state: self.pod_state(is_ready, is_retiring),
            started: self.started,
            crashes,
        }
    }

    fn pod_state(&self, is_ready: bool, is_retiring: bool) -> PodState {
        match self.status {
            _ if is_retiring => PodState::Terminating,
            Status::RUNNING if is_ready => PodState::Up,
            Status::RUNNING => PodState::Starting,
            Status::CREATED => PodState::Creating,
            Status::REMOVING => PodState::Terminating,
            Status::EXITED if self.exit_code == 0 => PodState::Down,
            Status::EXITED => PodState::Crashed,
            Status::PAUSED => PodState::Other("paused".to_owned()),
            // Waiting for its next start after a crash.
            _ => PodState::Error,
        }
    }
}
