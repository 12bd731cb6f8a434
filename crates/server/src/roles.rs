//! The roles of a cluster: each runs alone, in a pod of its own, with rights of its own.
//!
//! A role is a file: its settings, their check, and how it starts. `workflow up` runs the same parts in one
//! process.

mod builder;
mod controller;
mod log_agent;
mod logger;
mod registry;
mod registry_proxy;
mod router;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ::router::{HttpsSettings, Listeners, Metrics};
use anyhow::Context as _;
use listener::http::HttpLimits;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::handover::Sockets;
use crate::health::{self, Check};
use crate::process::{self, Process, stopped};
use crate::settings::OptionalListen;

pub use builder::BuilderRole;
pub use controller::ControllerRole;
pub use log_agent::LogAgentRole;
pub use logger::LoggerRole;
pub use registry::RegistryRole;
pub use registry_proxy::RegistryProxyRole;
pub use router::RouterRole;

/// HTTPS at this address, for a platform with this domain.
pub fn https(listen: SocketAddr, domain: &str) -> HttpsSettings {
    HttpsSettings {
        self_signed_names: vec![domain.to_owned(), format!("*.{domain}")],
        ..HttpsSettings::new(listen)
    }
}

/// The sockets of visitors that the program before has left.
pub fn inherited_listeners(inherited: &mut Sockets, http: SocketAddr, https: OptionalListen) -> Listeners {
    let secure = https.0.map(|https| inherited.take("https", https)).unwrap_or_default();
    Listeners { plain: inherited.take("http", http), secure }
}

/// Keeps them for the program that comes after.
pub fn keep_listeners(sockets: &mut Sockets, listeners: &Listeners) -> anyhow::Result<()> {
    sockets.keep("http", &listeners.plain)?;
    sockets.keep("https", &listeners.secure)
}

/// Settings of every role.
#[derive(Debug, Clone, clap::Args)]
pub struct RoleSettings {
    /// Address and port that answer probes: `/healthz` and `/readyz`; of a router also `/metrics`.
    #[arg(long, env = "WORKFLOW_HEALTH_LISTEN", default_value = "0.0.0.0:9090")]
    health_listen: SocketAddr,

    /// Seconds that stopping may take, work under way included.
    #[arg(long, env = "WORKFLOW_STOP_TIMEOUT", default_value_t = 20)]
    stop_timeout: u64,
}

impl RoleSettings {
    /// Serves probes; `check` says whether the role can do its work.
    async fn add_health(&self, process: &mut Process, check: Check) -> anyhow::Result<()> {
        self.add_health_and_metrics(process, check, None).await
    }

    /// The same, with `/metrics` beside them.
    async fn add_health_and_metrics(
        &self,
        process: &mut Process,
        check: Check,
        metrics: Option<Arc<Metrics>>,
    ) -> anyhow::Result<()> {
        let listener = process::bind("--health-listen", self.health_listen).await?;
        let stopping = process.stopping();
        process.add("health", health::serve(listener, check, metrics, stopping));
        Ok(())
    }

    fn stop_timeout(&self) -> Duration {
        Duration::from_secs(self.stop_timeout)
    }

    /// Time for parts to drain, so that the process ends in time.
    fn drain_timeout(&self) -> Duration {
        self.stop_timeout() * 3 / 4
    }
}

/// Adds the parts of a controller: the API, the builder's hooks, the deployer.
pub fn add_controller(
    process: &mut Process,
    controller: ::controller::Controller,
    (api, api_limits): (TcpListener, HttpLimits),
    (hooks, hooks_limits): (TcpListener, HttpLimits),
) {
    use ::controller::{deployer, hooks_router, public_router, serve_within};
    let public = public_router(controller.clone());
    process.add("api", serve_within(api, public, api_limits, process.stopping()));
    let internal = hooks_router(controller.clone());
    process.add("hooks", serve_within(hooks, internal, hooks_limits, process.stopping()));
    process.add_plain("deployer", deployer::run_while_leading(controller, process.stopping()));
}

/// Command line of git's hook.
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    enum Only {
        Controller(Box<ControllerRole>),
        Builder(Box<BuilderRole>),
        Router(Box<RouterRole>),
        Logger(Box<LoggerRole>),
        LogAgent(Box<LogAgentRole>),
        Registry(Box<RegistryRole>),
        RegistryProxy(Box<RegistryProxyRole>),
    }

    /// A key file that will do for all of them: 64 hex digits.
    fn key_file(folder: &Path) -> String {
        let file = folder.join("key");
        std::fs::write(&file, format!("{}\n", "0123456789abcdef".repeat(4))).expect("a folder of ours");
        file.display().to_string()
    }

    fn check(arguments: &[&str]) -> Result<(), String> {
        let only = Only::try_parse_from([&["workflow"], arguments].concat());
        let checked = match only.map_err(|error| error.to_string())? {
            Only::Controller(role) => role.check(),
            Only::Builder(role) => role.check(),
            Only::Router(role) => role.check(),
            Only::Logger(role) => role.check(),
            Only::LogAgent(role) => role.check(),
            Only::Registry(role) => role.check(),
            Only::RegistryProxy(role) => role.check(),
        };
        checked.map_err(|error| error.to_string())
    }

    #[test]
    fn each_role_starts_with_little_more_than_its_keys() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let key = &key_file(folder.path());
        let shared = ["--registry-key-file", key, "--lines-key-file", key, "--builder-key-file", key];
        let keys = ["--sealing-key-file", key, "--logger-key-file", key];
        let database = ["--database-url", "sqlite:///var/lib/workflow/workflow.db"];

        let controller = [&["controller"], &shared[..], &keys, &database].concat();
        assert_eq!(check(&controller), Ok(()));
        assert_eq!(check(&[&["builder", "--domain", "a.example.com"], &shared[..]].concat()), Ok(()));
        assert_eq!(check(&["router", "--domain", "a.example.com"]), Ok(()));
        assert_eq!(check(&["logger", "--logger-key-file", key, "--lines-key-file", key]), Ok(()));
        assert_eq!(check(&["log-agent", "--node", "a", "--lines-key-file", key]), Ok(()));
        assert_eq!(check(&["registry", "--registry-key-file", key]), Ok(()));
        assert_eq!(check(&["registry-proxy"]), Ok(()));
    }

    #[test]
    fn a_wrong_value_is_refused_with_the_name_of_its_flag() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let key = &key_file(folder.path());
        let short = folder.path().join("short");
        std::fs::write(&short, "short").expect("a folder of ours");
        let short = &short.display().to_string();
        let keys = ["--registry-key-file", key, "--lines-key-file", key, "--builder-key-file", key];
        let builder = |wrong| [&["builder", "--domain=a.example.com"], &keys[..], wrong].concat();
        for (arguments, named) in [
            (vec!["router"], "--domain"),
            (vec!["router", "--domain", "a.example.com", "--state-dir", "/none"], "--state-dir"),
            (vec!["router", "--domain", "UPPER"], "--domain"),
            (vec!["logger", "--logger-key-file", "/none", "--lines-key-file", key], "--logger-key-file"),
            (vec!["logger", "--logger-key-file", key, "--lines-key-file", short], "--lines-key-file"),
            (vec!["log-agent", "--lines-key-file", key], "--node"),
            (
                vec!["log-agent", "--node=a", "--lines-key-file", key, "--logger-url=ftp://x"],
                "the logger's address",
            ),
            (vec!["registry", "--registry-key-file", key, "--storage", "tape"], "storage `tape`"),
            (vec!["registry-proxy", "--registry", "nowhere"], "--registry"),
            (vec!["builder", "--domain=a.example.com"], "--registry-key-file"),
            (builder(&["--build-caches-size-max=63"]), "--build-caches-size-max"),
            (builder(&["--build-caches-size-max=1073741825"]), "--build-caches-size-max"),
            (builder(&["--build-caches-max=0"]), "--build-caches-max"),
        ] {
            let error = check(&arguments).expect_err(named);
            assert!(error.contains(named), "{arguments:?}: {error}");
        }
    }
}
