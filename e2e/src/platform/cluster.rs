//! A platform on Kubernetes, installed by Helm into namespaces of its own.
//!
//! Several exist at once: names of namespaces begin with the release's name, and each has a port of its
//! own for the registry on the nodes. `cargo xtask e2e` provides the cluster, the images and the variables.
//!
//! A platform that a scenario leaves as it was installed, without apps and users, is used by the next scenario, also of
//! another test program: `WORKFLOW_E2E_PLATFORMS` is a folder with a file for each. `cargo xtask e2e` removes the rest.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::forward::Forward;
use super::random;
use crate::{checkout, get, wait_until_blocking};

/// Longest time from `helm install` until everything is ready.
const INSTALL_SECONDS_MAX: u64 = 240;
/// Range of node ports, of which each platform uses two for its registry.
const NODE_PORTS: std::ops::Range<u32> = 20_000..29_000;

pub(super) struct Cluster {
    pub http: Forward,
    pub https: Forward,
    pub ssh: Forward,
    release: String,
    /// True for an installation with the usual values, which another scenario can use.
    is_usual: AtomicBool,
    is_left_to_others: AtomicBool,
}

/// Verbs of kubectl that do not change an installation for good.
const HARMLESS: &[&str] =
    &["get", "logs", "exec", "auth", "wait", "rollout", "delete", "scale", "label", "drain", "uncordon"];

/// Folder of the platforms that are free.
fn platforms() -> Option<PathBuf> {
    std::env::var_os("WORKFLOW_E2E_PLATFORMS").map(PathBuf::from)
}

/// Takes the release of a free platform by removing its file, which only one scenario can.
fn taken() -> Option<String> {
    let mut files = std::fs::read_dir(platforms()?).ok()?.flatten();
    let file = files.find(|file| std::fs::remove_file(file.path()).is_ok())?;
    file.file_name().into_string().ok()
}

/// Returns true if scenarios run on a cluster.
pub(super) fn is_wanted() -> bool {
    std::env::var_os("WORKFLOW_E2E_CLUSTER").is_some()
}

impl Cluster {
    /// Installs the chart with these values in addition to a scenario's usual ones, and waits until the API answers.
    pub fn install(values: &[&str]) -> Self {
        let release = format!("e{}", random() % 100_000_000);
        install(&release, values);
        Self::of(release, values.is_empty())
    }

    /// A platform with the usual values: that of an earlier scenario, where one is free.
    pub fn usual() -> Self {
        taken().map_or_else(|| Self::install(&[]), |release| Self::of(release, true))
    }

    fn of(release: String, is_usual: bool) -> Self {
        let address =
            kubectl(&["get", "service", "deis-router", "-o", "jsonpath={.spec.clusterIP}"], &release);
        let cluster = Self {
            http: Forward::to((address.trim(), 80)),
            https: Forward::to((address.trim(), 443)),
            ssh: Forward::to((address.trim(), 2222)),
            release,
            is_usual: AtomicBool::new(is_usual),
            is_left_to_others: AtomicBool::new(false),
        };
        cluster.wait_for_api();
        cluster
    }

    pub fn wait_for_api(&self) {
        wait_until_blocking("the API answers", Duration::from_secs(60), || {
            get(self.http.port, "deis.localhost", "/healthz").ok().filter(|answer| answer.status == 200)
        });
    }

    /// Logs of the roles.
    pub fn log(&self) -> String {
        let selector = "app.kubernetes.io/name=workflow";
        kubectl(
            &["logs", "--selector", selector, "--all-containers", "--prefix", "--tail=200"],
            &self.release,
        )
    }

    /// Containers of the app's pods: a restart changes the list.
    pub fn containers(&self, app: &str) -> Vec<String> {
        let format = "jsonpath={range .items[*]}{.metadata.uid} {.status.containerStatuses[*].containerID}{\"\\n\"}{end}";
        let selector = format!("app={app},heritage=deis");
        let pods = kubectl(&["get", "pods", "--selector", &selector, "-o", format], &self.namespace_of(app));
        let mut pods: Vec<String> =
            pods.lines().filter(|line| line.contains("://")).map(str::to_owned).collect();
        pods.sort();
        pods
    }

    /// Remains of a destroyed app.
    pub fn left_of(&self, app: &str) -> Vec<String> {
        let namespace = self.namespace_of(app);
        let namespaces = kubectl(&["get", "namespaces", "-o", "name"], &self.release);
        let builds = kubectl(
            &["get", "jobs,pods,secrets", "--selector", &format!("app={app}"), "-o", "name"],
            &self.builds(),
        );
        let namespaces = namespaces.lines().filter(|line| **line == format!("namespace/{namespace}"));
        namespaces.chain(builds.lines()).map(str::to_owned).collect()
    }

    /// kubectl in the platform's namespace.
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        if !arguments.first().is_some_and(|verb| HARMLESS.contains(verb)) {
            self.is_usual.store(false, Ordering::Relaxed);
        }
        kubectl(arguments, &self.release)
    }

    /// Returns true if another scenario may use it.
    pub fn is_usual(&self) -> bool {
        self.is_usual.load(Ordering::Relaxed)
    }

    /// Marks the emptied platform as free for the next scenario.
    pub fn leave_to_others(&self) {
        let is_told =
            platforms().is_some_and(|folder| std::fs::write(folder.join(&self.release), "").is_ok());
        self.is_left_to_others.store(is_told, Ordering::Relaxed);
    }

    pub fn set_platform_certificate(&self, certificate: &Path, key: &Path) {
        let (certificate, key) =
            (format!("--cert={}", certificate.display()), format!("--key={}", key.display()));
        let said =
            self.kubectl(&["create", "secret", "tls", "deis-router-platform-cert", &certificate, &key]);
        assert!(said.contains("created"), "{said}");
    }

    pub fn set_router_rule(&self, key: &str, value: &str) {
        let rule = format!("router.deis.io/nginx.{key}={value}");
        let said = self.kubectl(&["annotate", "--overwrite", "deployment", "deis-router", &rule]);
        assert!(said.contains("annotated"), "{said}");
    }

    /// Upgrades with these values in addition to those of the installation.
    pub fn upgrade(&self, values: &[&str]) {
        self.is_usual.store(false, Ordering::Relaxed);
        let mut helm = helm("upgrade", &self.release);
        helm.arg("--reuse-values");
        for value in values {
            helm.args(["--set", value]);
        }
        run(helm, &self.release);
    }

    /// Makes the database refuse all connections, or accept them again.
    pub fn let_into_database(&self, allowed: bool) {
        let release = &self.release;
        psql(&format!("ALTER DATABASE {release} ALLOW_CONNECTIONS {allowed}"));
        if !allowed {
            psql(&format!(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{release}'"
            ));
        }
    }

    pub fn namespace(&self) -> &str {
        &self.release
    }

    pub fn namespace_of(&self, app: &str) -> String {
        format!("{}-{app}", self.release)
    }

    fn builds(&self) -> String {
        format!("{}-builds", self.release)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.is_left_to_others.load(Ordering::Relaxed) {
            return;
        }
        let namespace = format!("--namespace={}", self.release);
        let _ = Command::new("helm").args(["uninstall", &self.release, &namespace]).output();
        let namespaces = kubectl(&["get", "namespaces", "-o", "name"], &self.release);
        let own = |name: &&str| **name == self.release || name.starts_with(&format!("{}-", self.release));
        let names: Vec<_> =
            namespaces.lines().filter_map(|line| line.strip_prefix("namespace/")).filter(own).collect();
        let delete = ["delete", "namespace", "--wait=false", "--ignore-not-found"];
        kubectl(&[&delete[..], &names].concat(), &self.release);
    }
}

fn install(release: &str, more: &[&str]) {
    let first_port = NODE_PORTS.start + (random() % (NODE_PORTS.end - NODE_PORTS.start)) / 2 * 2;
    let values = [
        format!("database.url={}", database(release)),
        "domain=localhost".to_owned(),
        "persistence.enabled=false".to_owned(),
        "router.service.type=ClusterIP".to_owned(),
        "apps.preStopSleepSeconds=2".to_owned(),
        format!("apps.namespacePrefix={release}-"),
        format!("builds.namespace={release}-builds"),
        format!("priorityClass.name={release}"),
        format!("logAgent.hostPath=/var/lib/workflow/{release}"),
        format!("registryProxy.port={first_port}"),
        format!("registryProxy.healthPort={}", first_port + 1),
    ];
    let mut helm = helm("install", release);
    helm.arg("--create-namespace");
    if let Some(file) = std::env::var_os("WORKFLOW_E2E_VALUES") {
        helm.arg("--values").arg(file);
    }
    for value in values.iter().map(String::as_str).chain(more.iter().copied()) {
        helm.args(["--set", value]);
    }
    run(helm, release);
}

/// Creates a database for the release; returns its URL.
fn database(release: &str) -> String {
    psql(&format!("CREATE DATABASE {release}"));
    let server = database_server();
    let (server, _) = server.rsplit_once('/').expect("the URL names a database");
    format!("{server}/{release}")
}

fn database_server() -> String {
    std::env::var("WORKFLOW_E2E_POSTGRES").expect("`cargo xtask e2e --cluster` starts one")
}

/// Runs a statement as the server's administrator.
fn psql(statement: &str) {
    let done = Command::new("psql").args([&database_server(), "--quiet", "--command", statement]).output();
    let done = done.expect("psql runs");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

fn helm(verb: &str, release: &str) -> Command {
    let mut helm = Command::new("helm");
    helm.args([verb, release]).arg(checkout().join("charts/workflow"));
    helm.args([&format!("--namespace={release}"), "--wait", &format!("--timeout={INSTALL_SECONDS_MAX}s")]);
    helm
}

fn run(mut helm: Command, release: &str) {
    let output = helm.output().expect("helm runs: use `cargo xtask e2e --cluster`");
    if !output.status.success() {
        let pods = kubectl(&["get", "pods,events", "-o", "wide"], release);
        panic!("helm failed: {}\n{pods}", String::from_utf8_lossy(&output.stderr));
    }
}

fn kubectl(arguments: &[&str], namespace: &str) -> String {
    let namespace = format!("--namespace={namespace}");
    let output = Command::new("kubectl").arg(namespace).args(arguments).output().expect("kubectl runs");
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}
