//! Workloads: the complete input of an engine, free of Kubernetes and Docker.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::image::Image;
use crate::names::{AppName, ProcessType};

/// Replicas of a process type that may be starting at the same time, where nobody says otherwise.
pub const BATCH_DEFAULT: u32 = 4;

/// Variable with the address of the replica, for processes that ask for it.
pub const ADDRESS_VARIABLE: &str = "POD_IP";

/// One process type of one app.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct WorkloadId {
    pub app: AppName,
    pub process: ProcessType,
}

impl fmt::Display for WorkloadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.app, self.process)
    }
}

/// The full wanted state of one process type: an engine needs nothing else to run it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Workload {
    pub id: WorkloadId,
    /// Number of the release, `7` for `v7`.
    pub release: u64,
    pub image: Image,
    /// User id to run as; `None` leaves it to the image, which may mean root.
    #[serde(default)]
    pub user: Option<u32>,
    /// Replaces the image's entrypoint; `None` keeps it.
    pub command: Option<Vec<String>>,
    /// Replaces the image's command; `None` keeps it.
    pub args: Option<Vec<String>>,
    /// Complete environment, `PORT` included.
    pub env: BTreeMap<String, String>,
    /// Port the process listens on; `None` for one that serves nothing.
    pub port: Option<u16>,
    pub replicas: Replicas,
    pub limits: Limits,
    /// Labels that a node must carry.
    pub tags: BTreeMap<String, String>,
    pub probes: Probes,
    pub hooks: Hooks,
    /// Seconds between TERM and KILL.
    pub grace_seconds: u32,
    /// Seconds that a new replica may take until it is ready before the rollout has failed.
    pub start_timeout_seconds: u32,
    /// New replicas that may be starting at the same time, at least one.
    #[serde(default = "batch_default", skip_serializing_if = "is_batch_default")]
    pub batch: u32,
    /// When nodes pull the image; `None` leaves it to the engine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull_policy: Option<PullPolicy>,
    /// Former versions that an engine which keeps any keeps; `None` leaves it to the engine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revisions_kept: Option<u32>,
    /// Sets [`ADDRESS_VARIABLE`] to the replica's address.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub knows_address: bool,
}

fn batch_default() -> u32 {
    BATCH_DEFAULT
}

/// Skipped in stored records, so that records of versions without batches stay the same.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_batch_default(batch: &u32) -> bool {
    *batch == BATCH_DEFAULT
}

/// When a node asks the registry for an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PullPolicy {
    /// At each start, so that a node shows its right to the image each time.
    Always,
    /// Only where the node does not have it.
    IfNotPresent,
}

impl PullPolicy {
    /// Both policies.
    pub const ALL: [Self; 2] = [Self::Always, Self::IfNotPresent];

    /// Its name in settings, which is that of Kubernetes.
    pub fn name(self) -> &'static str {
        match self {
            Self::Always => "Always",
            Self::IfNotPresent => "IfNotPresent",
        }
    }

    /// Parses the name of a policy as Kubernetes spells it.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|policy| policy.name() == text)
    }
}

/// Number of replicas to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Replicas {
    Fixed(u32),
    /// Between `min` and `max`, aiming at `cpu_percent` of the CPU request.
    Auto {
        min: u32,
        max: u32,
        cpu_percent: u32,
    },
}

impl Replicas {
    /// The fewest replicas that should be running.
    pub fn at_least(self) -> u32 {
        match self {
            Self::Fixed(count) => count,
            Self::Auto { min, .. } => min,
        }
    }
}

/// Resource requests and limits; `None` means the engine's default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    pub memory_request_bytes: Option<u64>,
    pub memory_limit_bytes: Option<u64>,
    pub cpu_request_millis: Option<u64>,
    pub cpu_limit_millis: Option<u64>,
}

/// Health checks of a process.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Probes {
    /// Failing restarts the replica.
    pub liveness: Option<Probe>,
    /// Failing keeps traffic away; a rollout waits for it.
    pub readiness: Option<Probe>,
}

/// One health check; numbers as in Kubernetes' `Probe`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Probe {
    pub action: ProbeAction,
    pub initial_delay_seconds: u32,
    pub timeout_seconds: u32,
    pub period_seconds: u32,
    pub success_threshold: u32,
    pub failure_threshold: u32,
}

/// Action of a probe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProbeAction {
    /// Passes on a status from 200 to 399.
    HttpGet { port: u16, path: String, headers: Vec<(String, String)> },
    /// Passes on exit code 0 of a command inside the container.
    Exec { command: Vec<String> },
    /// Passes when the port takes a connection.
    TcpSocket { port: u16 },
    /// The platform's own readiness check where the user set none: passes when the port takes a
    /// connection and, if it speaks HTTP, has answered a request with any status. An app server
    /// takes connections long before it answers; requests sent in between would wait or be lost.
    Serving { port: u16 },
}

/// Commands run by the engine inside a replica, each a shell text of the user's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hooks {
    pub post_start: Option<String>,
    pub pre_stop: Option<String>,
}
