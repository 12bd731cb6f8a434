//! Workload plan: the workloads that one release of an app means (docs/spec/api.md 5.4 to 5.6, 6.7).
//!
//! The same release, structure and settings always give the same workloads, so that applying them
//! again changes nothing.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::build::{Build, Launch, OneOff};
use crate::config::{Config, cpu_millis, memory_bytes, probes};
use crate::deployment::{
    ADDRESS_VARIABLE, BATCH_DEFAULT, Hooks, Limits, Probe, ProbeAction, Probes, PullPolicy, Replicas,
    Workload, WorkloadId,
};
use crate::names::{AppName, ProcessType};
use crate::settings::{AutoscaleRule, RunSettings};
use crate::structure::Structure;
use crate::times::second;

/// Longest time that an app can ask for, in seconds; more is a slip.
const SECONDS_MAX: u32 = 24 * 60 * 60;
/// Most replicas of a process type that an app can have starting at the same time.
const BATCH_MAX: u32 = 100;
/// Time limit of a one-off process.
pub const RUN_SECONDS_MAX: u32 = 20 * 60;
/// Time limit of a session.
pub const SESSION_SECONDS_MAX: u32 = 8 * 60 * 60;

/// A release as it is to run.
#[derive(Debug, Clone, Copy)]
pub struct WorkloadPlan<'a> {
    pub app: &'a AppName,
    pub version: u64,
    pub summary: &'a str,
    pub created: Timestamp,
    pub config: &'a Config,
    pub build: &'a Build,
    pub run: &'a RunSettings,
    pub settings: PlanSettings,
}

/// The operator's defaults for apps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlanSettings {
    pub deploy_timeout_seconds: u32,
    pub grace_seconds: u32,
    /// Replicas that may be starting at the same time; 0 leaves it to the platform.
    pub deploy_batches: u32,
    /// Former versions that an engine which keeps any keeps; `None` leaves it to the engine.
    pub revisions_kept: Option<u32>,
    /// Sets the address of the replica in the environment.
    pub expose_addresses: bool,
    /// Memory limit of process types that have none of their own; `None` leaves them without one.
    pub default_memory_bytes: Option<u64>,
}

/// A release that cannot run. The display text is the answer of the API.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    #[error("Expose a port or make the app non routable by changing the process type")]
    NoPort,
}

impl WorkloadPlan<'_> {
    /// The workloads of all process types, those at 0 included.
    ///
    /// # Errors
    ///
    /// [`PlanError::NoPort`] for a process type that must listen and has no port.
    pub fn workloads(&self, structure: &Structure) -> Result<Vec<Workload>, PlanError> {
        structure.iter().map(|(process, replicas)| self.workload(process, *replicas)).collect()
    }

    fn workload(&self, process: &ProcessType, replicas: u32) -> Result<Workload, PlanError> {
        let launch = self.build.launch(process);
        let port = self.port(launch);
        let listens = process.is_routable() || self.run.services.contains(process);
        let serves = listens && self.run.routable;
        if serves && replicas > 0 && port.is_none() {
            return Err(PlanError::NoPort);
        }
        let probes = self.probes(process, port.filter(|_| serves), port);
        let (command, args) = self.command(launch, process);
        Ok(Workload {
            id: WorkloadId { app: self.app.clone(), process: process.clone() },
            release: self.version,
            image: launch.image.clone(),
            user: launch.user,
            command,
            args,
            env: self.env(port),
            port: port.filter(|_| listens),
            replicas: self.replicas(process, replicas),
            limits: self.limits(process),
            tags: self.config.tags.clone(),
            start_timeout_seconds: self.start_timeout_seconds(&probes),
            probes,
            hooks: self.hooks(process),
            grace_seconds: self.grace_seconds(process),
            batch: self.batch(),
            pull_policy: self.pull_policy(),
            revisions_kept: self.revisions_kept(),
            knows_address: self.knows_address(),
        })
    }

    /// A rule takes over from the number that was asked for, but a type at 0 rests.
    fn replicas(&self, process: &ProcessType, wanted: u32) -> Replicas {
        match self.run.autoscale.get(process) {
            Some(AutoscaleRule { min, max, cpu_percent }) if wanted > 0 => {
                Replicas::Auto { min: *min, max: *max, cpu_percent: *cpu_percent }
            }
            _ => Replicas::Fixed(wanted),
        }
    }

    /// A one-off process that runs `command_line` in a shell.
    pub fn one_off(&self, name: String, command_line: &str) -> OneOff {
        let launch = &self.build.launch;
        let (command, args) = match (&launch.entrypoint, &launch.prefix) {
            (Some(_), Some(prefix)) => (Some(prefix.clone()), vec![command_line.to_owned()]),
            (None, Some(_)) => (None, vec!["--".to_owned(), command_line.to_owned()]),
            (_, None) => (Some(shell()), vec![command_line.to_owned()]),
        };
        OneOff {
            app: self.app.clone(),
            name,
            release: self.version,
            image: launch.image.clone(),
            command,
            args: Some(args),
            env: self.env(self.port(launch)),
            user: launch.user,
            limits: self.limits(&ProcessType::run()),
            tags: self.config.tags.clone(),
            pull_policy: self.pull_policy(),
            knows_address: self.knows_address(),
            deadline_seconds: RUN_SECONDS_MAX,
        }
    }

    /// A one-off process with a terminal or input: its command is complete, whatever the image's entrypoint.
    pub fn session(&self, name: String, command_line: &str) -> OneOff {
        let mut command = self.build.launch.prefix.clone().unwrap_or_else(shell);
        command.push(command_line.to_owned());
        OneOff {
            command: Some(command),
            args: None,
            deadline_seconds: SESSION_SECONDS_MAX,
            ..self.one_off(name, command_line)
        }
    }

    /// The app's own `PORT`, else that of the launch.
    fn port(&self, launch: &Launch) -> Option<u16> {
        let own = self.config.values.get("PORT").and_then(|port| port.parse().ok());
        own.or(launch.port)
    }

    /// The platform's variables, and the app's own over them.
    fn env(&self, port: Option<u16>) -> BTreeMap<String, String> {
        let mut env = BTreeMap::from([
            ("DEIS_APP".to_owned(), self.app.to_string()),
            ("WORKFLOW_RELEASE".to_owned(), format!("v{}", self.version)),
            ("WORKFLOW_RELEASE_SUMMARY".to_owned(), self.summary.to_owned()),
            ("WORKFLOW_RELEASE_CREATED_AT".to_owned(), second(self.created)),
        ]);
        if !self.build.sha.is_empty() {
            env.insert("SOURCE_VERSION".to_owned(), self.build.sha.clone());
        }
        if let Some(port) = port {
            env.insert("PORT".to_owned(), port.to_string());
        }
        env.extend(self.config.values.clone());
        env
    }

    /// Entrypoint and command of a process; `None` leaves the image's.
    fn command(&self, launch: &Launch, process: &ProcessType) -> (Option<Vec<String>>, Option<Vec<String>>) {
        let own = self.build.procfile.get(process);
        if launch.entrypoint.is_some() {
            let line = own.filter(|line| !line.is_empty());
            return (launch.entrypoint.clone(), line.map(|line| vec![line.clone()]));
        }
        if launch.prefix.is_some() {
            return (None, Some(vec![process.to_string()]));
        }
        if *process == ProcessType::cmd() {
            return (None, own.map(|line| line.split_whitespace().map(str::to_owned).collect()));
        }
        match own {
            // The image's own command.
            Some(line) if line.is_empty() => (None, None),
            Some(line) => (Some(shell()), Some(vec![line.clone()])),
            // An orphan of an older Procfile: it has nothing to run and normally rests at 0.
            None => (Some(shell()), Some(vec!["start".to_owned(), process.to_string()])),
        }
    }

    fn limits(&self, process: &ProcessType) -> Limits {
        let given = |texts: &BTreeMap<String, String>, read: fn(&str) -> (u64, u64)| {
            let (request, limit) = texts.get(process.as_str()).map_or((0, 0), |text| read(text));
            let some = |amount: u64| (amount > 0).then_some(amount);
            (some(request), some(limit))
        };
        let own = given(&self.config.memory, memory_bytes);
        let default =
            self.settings.default_memory_bytes.filter(|_| !self.config.memory.contains_key(process.as_str()));
        // Nothing is reserved for the default: Kubernetes takes the limit for the request where none is given.
        let (memory_request_bytes, memory_limit_bytes) = default.map_or(own, |limit| (Some(0), Some(limit)));
        let (cpu_request_millis, cpu_limit_millis) = given(&self.config.cpu, cpu_millis);
        Limits { memory_request_bytes, memory_limit_bytes, cpu_request_millis, cpu_limit_millis }
    }

    /// The configured probes, else the platform's own for what serves requests.
    fn probes(&self, process: &ProcessType, serving: Option<u16>, port: Option<u16>) -> Probes {
        let configured = probes(&self.config.healthcheck, process, port);
        configured.unwrap_or_else(|| Probes { liveness: None, readiness: serving.map(default_readiness) })
    }

    fn hooks(&self, process: &ProcessType) -> Hooks {
        Hooks {
            post_start: self.config.lifecycle_post_start.get(process.as_str()).cloned(),
            pre_stop: self.config.lifecycle_pre_stop.get(process.as_str()).cloned(),
        }
    }

    fn grace_seconds(&self, process: &ProcessType) -> u32 {
        let own = self.config.termination_grace_period.get(process.as_str());
        let own = own.and_then(|seconds| seconds.parse().ok());
        own.or_else(|| self.config.number("KUBERNETES_POD_TERMINATION_GRACE_PERIOD_SECONDS"))
            .unwrap_or(self.settings.grace_seconds)
            .min(SECONDS_MAX)
    }

    /// A probe that waits before it first looks does so on top of the time that is allowed.
    fn start_timeout_seconds(&self, probes: &Probes) -> u32 {
        let allowed =
            self.config.number("DEIS_DEPLOY_TIMEOUT").unwrap_or(self.settings.deploy_timeout_seconds);
        let delays = [&probes.liveness, &probes.readiness];
        let delay = delays.into_iter().flatten().map(|probe| probe.initial_delay_seconds).max();
        allowed.clamp(1, SECONDS_MAX).saturating_add(delay.unwrap_or(0)).min(SECONDS_MAX)
    }

    /// The app's own number, unless it is 0, else the operator's, else ours.
    fn batch(&self) -> u32 {
        let own = self.config.number("DEIS_DEPLOY_BATCHES").filter(|batch| *batch > 0);
        match own.unwrap_or(self.settings.deploy_batches) {
            0 => BATCH_DEFAULT,
            batch => batch.min(BATCH_MAX),
        }
    }

    /// The app's own; the operator's is a setting of the engine, which asks it also about builds.
    fn pull_policy(&self) -> Option<PullPolicy> {
        PullPolicy::parse(self.config.values.get("IMAGE_PULL_POLICY")?)
    }

    fn revisions_kept(&self) -> Option<u32> {
        self.config.number("KUBERNETES_DEPLOYMENTS_REVISION_HISTORY_LIMIT").or(self.settings.revisions_kept)
    }

    /// A variable of that name which the app sets itself wins.
    fn knows_address(&self) -> bool {
        let own = self.config.bool_value("DEIS_EXPOSE_POD_IP");
        let is_set = self.config.values.contains_key(ADDRESS_VARIABLE);
        own.unwrap_or(self.settings.expose_addresses) && !is_set
    }
}

/// Command line that runs `command_line` in a running container of this build, with the environment of its
/// processes.
pub fn inside(build: &Build, command_line: &str) -> Vec<String> {
    match &build.launch.prefix {
        Some(prefix) => [prefix.as_slice(), &[command_line.to_owned()]].concat(),
        None => crate::shell::shell(command_line),
    }
}

fn default_readiness(port: u16) -> Probe {
    Probe {
        action: ProbeAction::Serving { port },
        initial_delay_seconds: 0,
        timeout_seconds: 5,
        period_seconds: 1,
        success_threshold: 1,
        failure_threshold: 1,
    }
}

fn shell() -> Vec<String> {
    vec!["/bin/bash".to_owned(), "-c".to_owned()]
}

#[cfg(test)]
mod tests;
