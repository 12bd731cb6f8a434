//! The roles of a cluster: each runs alone, in a pod of its own, with rights of its own.
//!
//! A role is a file: its settings, their check, and how it starts. `workflow up` runs the same parts in one
//! process.

mod builder;
mod controller;
mod log_agent;
mod logger;
mod no_jobs;
mod registry;
mod registry_proxy;
mod router;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::health::{self, Check};
use crate::process::{self, Process, stopped};

pub use builder::BuilderRole;
pub use controller::ControllerRole;
pub use log_agent::LogAgentRole;
pub use logger::LoggerRole;
pub use registry::RegistryRole;
pub use registry_proxy::RegistryProxyRole;
pub use router::RouterRole;

/// What every role has.
#[derive(Debug, Clone, clap::Args)]
pub struct RoleSettings {
    /// Address and port that answer probes: `/healthz` and `/readyz`.
    #[arg(long, env = "WORKFLOW_HEALTH_LISTEN", default_value = "0.0.0.0:9090")]
    health_listen: SocketAddr,

    /// Seconds that stopping may take, work under way included.
    #[arg(long, env = "WORKFLOW_STOP_TIMEOUT", default_value_t = 20)]
    stop_timeout: u64,
}

impl RoleSettings {
    /// Serves probes; `check` says whether the role can do its work.
    async fn add_health(&self, process: &mut Process, check: Check) -> anyhow::Result<()> {
        let listener = process::bind("--health-listen", self.health_listen).await?;
        let stopping = process.stopping();
        process.add("health", health::serve(listener, check, stopping));
        Ok(())
    }

    fn stop_timeout(&self) -> Duration {
        Duration::from_secs(self.stop_timeout)
    }

    /// What parts may take to drain, so that the process ends in time.
    fn drain_timeout(&self) -> Duration {
        self.stop_timeout() * 3 / 4
    }
}

/// Adds the parts of a controller: the API, the builder's hooks, the deployer.
pub fn add_controller(
    process: &mut Process,
    controller: ::controller::Controller,
    api: TcpListener,
    hooks: TcpListener,
) {
    use ::controller::{deployer, hooks_router, public_router, serve};
    process.add("api", serve(api, public_router(controller.clone()), process.stopping()));
    process.add("hooks", serve(hooks, hooks_router(controller.clone()), process.stopping()));
    process.add_plain("deployer", deployer::run(controller, stopped(process.stopping())));
}

/// How git's hook finds back to us.
pub fn git_hook_command() -> anyhow::Result<Vec<String>> {
    let program = std::env::current_exe().context("cannot tell where this program lies")?;
    Ok(vec![program.display().to_string(), "git-hook".to_owned()])
}

/// The same signal for parts that wait for a token.
fn cancelled_by(stopping: watch::Receiver<bool>) -> CancellationToken {
    let token = CancellationToken::new();
    let cancelled = token.clone();
    tokio::spawn(async move {
        stopped(stopping).await;
        cancelled.cancel();
    });
    token
}

/// All addresses of the pod.
const fn everywhere(port: u16) -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), port)
}
