//! `workflow router`: the edge. It needs neither controller nor database to serve.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use domain::edge::ProxyHeader;
use domain::routing::RouteTable;
use engine::log_queue::LogQueue;
use engine::{LogSink, Routes};
use engine_kubernetes::{KubernetesRoutes, KubernetesSettings};
use router::passthrough::{self, PassthroughSettings};
use router::{HttpsSettings, LastTable, RememberedRoutes, Router, RouterParts, RouterSettings};
use tokio::sync::watch;

use super::{RoleSettings, everywhere, inherited_listeners, keep_listeners};
use crate::handover::Sockets;
use crate::health;
use crate::process::{self, Process};
use crate::settings::{ConnectionSettings, Namespaces, OptionalLines, OptionalListen, check_domain};

/// Version of a PROXY protocol header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum SentHeader {
    Off,
    V1,
    V2,
}

/// Proxies requests to the replicas of apps, and git's connections to the builder.
#[derive(Debug, Clone, clap::Args)]
pub struct RouterRole {
    /// Platform domain: apps answer at `<app>.<domain>`.
    #[arg(long, env = "WORKFLOW_DOMAIN")]
    domain: String,

    /// Address and port of HTTP.
    #[arg(long, env = "WORKFLOW_HTTP_LISTEN", default_value_t = everywhere(8080))]
    http_listen: SocketAddr,

    /// Address and port of HTTPS; `none` leaves it out.
    #[arg(long, env = "WORKFLOW_HTTPS_LISTEN", default_value = "0.0.0.0:6443")]
    https_listen: OptionalListen,

    /// Public port of HTTP.
    #[arg(long, env = "WORKFLOW_HTTP_PORT", default_value_t = 80)]
    http_port: u16,

    /// Public port of HTTPS.
    #[arg(long, env = "WORKFLOW_HTTPS_PORT", default_value_t = 443)]
    https_port: u16,

    /// Address and port whose connections go to the builder.
    #[arg(long, env = "WORKFLOW_SSH_LISTEN", default_value_t = everywhere(2222))]
    ssh_listen: SocketAddr,

    /// Host and port of the builder; `none` leaves git out.
    #[arg(long, env = "WORKFLOW_BUILDER", default_value = "deis-builder:2222")]
    builder: String,

    /// Version of the PROXY protocol header with the client's address for the builder; only for a builder that
    /// trusts this router's address (`--ssh-trusted-proxies`).
    #[arg(long, env = "WORKFLOW_BUILDER_PROXY_PROTOCOL", value_enum, default_value_t = SentHeader::Off)]
    builder_proxy_protocol: SentHeader,

    /// Folder in memory for the last routes, with keys of certificates, which are served after a restart while the API
    /// of Kubernetes does not answer; `none` keeps none.
    #[arg(long, env = "WORKFLOW_ROUTER_STATE_DIR", default_value = "none")]
    state_dir: String,

    /// Worker threads; 0 means one for each core.
    #[arg(long, env = "WORKFLOW_ROUTER_WORKERS", default_value_t = 0)]
    workers: usize,

    /// Seconds that a request waits for a first ready replica.
    #[arg(long, env = "WORKFLOW_HOLD_TIMEOUT", default_value_t = 10)]
    hold_timeout: u64,

    /// Name of this pod, which identifies it in the logs of apps.
    #[arg(long, env = "HOSTNAME", default_value = "router")]
    pod_name: String,

    #[command(flatten)]
    connections: ConnectionSettings,

    #[command(flatten)]
    lines: OptionalLines,

    #[command(flatten)]
    namespaces: Namespaces,

    #[command(flatten)]
    role: RoleSettings,
}

impl RouterRole {
    pub fn check(&self) -> anyhow::Result<()> {
        check_domain(&self.domain)?;
        let is_there = self.state_dir == "none" || Path::new(&self.state_dir).is_dir();
        ensure!(is_there, "--state-dir {}: expected a folder, or none", self.state_dir);
        self.connections.check()?;
        self.lines.client().map(drop)
    }

    pub fn run(&self) -> anyhow::Result<()> {
        process::run(self.serve())
    }

    async fn serve(&self) -> anyhow::Result<()> {
        let mut process = Process::restartable()?;
        let client = engine_kubernetes::connect().await?;
        let (stopping, leaving) = (process.stopping(), process.leaving());
        let mut inherited = Sockets::inherited()?;
        let engine: Arc<dyn Routes> = Arc::new(KubernetesRoutes::start(client, Arc::new(self.cluster())));
        let remembered = RememberedRoutes::new(self.last_table());
        if !inherited.is_empty() {
            // Clients wait at the sockets.
            remembered.recall();
        }
        process.add_to_edge("routes", Arc::clone(&remembered).follow(engine, leaving.clone()));
        let routes: Arc<dyn Routes> = remembered.clone();
        let ready = health::check(move || {
            let is_serving = remembered.is_serving();
            async move { if is_serving { Ok(()) } else { Err("the routes are not known yet".to_owned()) } }
        });
        let lines = self.lines.client()?.map(|client| (Arc::<LogQueue>::default(), client));
        let parts = RouterParts {
            routes: Arc::clone(&routes),
            log_sink: lines.as_ref().map(|(lines, _)| Arc::clone(lines) as Arc<dyn LogSink>),
            listeners: inherited_listeners(&mut inherited, self.http_listen, self.https_listen),
            restarting: process.restarting(),
        };
        let mut router = Router::start_with(&self.router(), parts, &leaving)?;
        keep_listeners(process.sockets(), &router.take_listeners())?;
        self.role.add_health_and_metrics(&mut process, ready, Some(router.metrics())).await?;
        if self.builder != "none" {
            let sockets = (&mut inherited, process.sockets());
            let listener = process::bind_or_take(sockets, "ssh", "--ssh-listen", self.ssh_listen).await?;
            process.add(
                "way to the builder",
                passthrough::run(self.passthrough(routes.watch()), listener, stopping),
            );
        }
        tracing::info!("serving HTTP on {}", router.address());
        if let Some(https) = router.https_address() {
            tracing::info!("serving HTTPS on {https}");
        }
        // Its last lines come when its last requests have ended.
        let (all_said, has_said_all) = watch::channel(false);
        if let Some((lines, client)) = lines {
            process.add_to_edge("log publisher", logger::publish(lines, client, has_said_all));
        }
        process.add_thread_to_edge("router", move || {
            router.join();
            all_said.send_replace(true);
        });
        process.run(self.role.stop_timeout()).await
    }

    fn cluster(&self) -> KubernetesSettings {
        let Namespaces { namespace_prefix, platform_namespace } = self.namespaces.clone();
        KubernetesSettings { namespace_prefix, platform_namespace, ..KubernetesSettings::new(&self.domain) }
    }

    fn last_table(&self) -> Option<LastTable> {
        let is_kept = self.state_dir != "none";
        is_kept.then(|| LastTable::new(PathBuf::from(&self.state_dir).join("routes"), None))
    }

    fn router(&self) -> RouterSettings {
        let https = self.https_listen.0.map(|listen| super::https(listen, &self.domain));
        let mut settings = RouterSettings {
            public_port: Some(self.http_port),
            https: https.map(|https| HttpsSettings { public_port: Some(self.https_port), ..https }),
            name: Some(self.pod_name.clone()),
            workers: self.workers,
            hold_timeout: Duration::from_secs(self.hold_timeout),
            drain_timeout: self.role.drain_timeout(),
            ..RouterSettings::new(self.http_listen)
        };
        self.connections.add_to(&mut settings, std::env::temp_dir());
        settings
    }

    fn passthrough(&self, tables: watch::Receiver<Arc<RouteTable>>) -> PassthroughSettings {
        PassthroughSettings {
            tables: Some(tables),
            proxy_header: match self.builder_proxy_protocol {
                SentHeader::Off => None,
                SentHeader::V1 => Some(ProxyHeader::V1),
                SentHeader::V2 => Some(ProxyHeader::V2),
            },
            drain_timeout: self.role.drain_timeout(),
            ..PassthroughSettings::new(&self.builder)
        }
    }
}
