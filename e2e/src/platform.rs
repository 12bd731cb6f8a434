//! A platform for one scenario: on this machine, or on a cluster where `WORKFLOW_E2E_CLUSTER` is set.

mod cluster;
mod forward;
mod machine;

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;
use testkit::WAIT_MAX;

use crate::daemon::Daemon;
use crate::user::{CommandOutput, User};
use crate::{checkout, get, wait_until_blocking};
use cluster::Cluster;
use machine::Machine;

/// Returns true if scenarios run on a cluster.
pub(crate) fn is_on_cluster() -> bool {
    cluster::is_wanted()
}

/// A platform; it is removed with the scenario, also when that fails.
pub struct Platform {
    pub http_port: u16,
    pub https_port: u16,
    pub ssh_port: u16,
    place: Place,
    folder: TempDir,
}

enum Place {
    Machine(Machine),
    Cluster(Cluster),
}

impl Platform {
    /// Starts a platform and waits for its API.
    pub fn start() -> Self {
        if cluster::is_wanted() { Self::on(Cluster::usual()) } else { Self::start_on(None, &[]) }
    }

    /// Starts a platform that accepts images from this registry too, which uses plain HTTP.
    pub fn trusting(registry: &str) -> Self {
        if !cluster::is_wanted() {
            // Loopback addresses are connected to without TLS.
            return Self::start_on(None, &["--allow-outbound", registry]);
        }
        let usual = std::env::var("WORKFLOW_E2E_INSECURE_REGISTRY").unwrap_or_default();
        Self::install(&[&format!("registry.insecureHosts={{{usual},{registry}}}")])
    }

    /// Starts a platform on this machine whose builds trust only these authorities.
    pub fn whose_builds_trust(authorities: &Path) -> Self {
        Self::start_on(None, &["--build-ca-bundle", &authorities.display().to_string()])
    }

    /// Starts a platform on this machine with the stacks of this file.
    pub fn with_stacks(file: &Path) -> Self {
        Self::start_on(None, &["--stacks", &file.display().to_string()])
    }

    /// Runs a command of the operator on this machine's platform.
    pub fn workflow(&self, arguments: &[&str]) -> CommandOutput {
        let Place::Machine(machine) = &self.place else { panic!("the platform is on a cluster") };
        let mut command = Command::new(program("WORKFLOW_BIN", "workflow"));
        command.args(arguments).arg("--data-dir").arg(machine.data_dir());
        CommandOutput::of(&command.output().expect("workflow runs"))
    }

    /// Starts a platform on this machine that wants proofs of domains, and asks this DNS server for them.
    pub fn that_asks_for_proofs(dns_server: SocketAddr) -> Self {
        Self::start_on(None, &["--domain-proof", "txt", "--dns-servers", &dns_server.to_string()])
    }

    /// Starts a platform where a node has this label; on a cluster it is the last node.
    pub fn with_labelled_node(name: &str, value: &str) -> Self {
        let label = format!("{name}={value}");
        if !cluster::is_wanted() {
            return Self::start_on(None, &["--node-label", &label]);
        }
        let platform = Self::start();
        let node = platform.kubectl(&["get", "nodes", "-o", "jsonpath={.items[-1:].metadata.name}"]);
        platform.kubectl(&["label", "node", &node, &label, "--overwrite"]);
        platform
    }

    /// Names of the nodes with this label; one machine is a node without a name.
    pub fn labelled_nodes(&self, name: &str, value: &str) -> Vec<String> {
        let Place::Cluster(cluster) = &self.place else { return vec![String::new()] };
        let format = "jsonpath={range .items[*]}{.metadata.name}{\"\\n\"}{end}";
        let nodes =
            cluster.kubectl(&["get", "nodes", "--selector", &format!("{name}={value}"), "-o", format]);
        nodes.lines().map(str::to_owned).collect()
    }

    /// Names of the nodes that the app's web processes run on.
    pub fn nodes_of(&self, app: &str) -> Vec<String> {
        let Place::Cluster(cluster) = &self.place else { return vec![String::new()] };
        let format = "jsonpath={range .items[*]}{.spec.nodeName}{\"\\n\"}{end}";
        let namespace = format!("--namespace={}", cluster.namespace_of(app));
        let pods = cluster.kubectl(&["get", "pods", &namespace, "--selector=type=web", "-o", format]);
        let mut nodes: Vec<_> = pods.lines().map(str::to_owned).collect();
        nodes.dedup();
        nodes
    }

    /// Installs a platform on the cluster, with these values of the chart in addition to the usual ones.
    pub fn install(values: &[&str]) -> Self {
        Self::on(Cluster::install(values))
    }

    fn on(cluster: Cluster) -> Self {
        let (http_port, https_port) = (cluster.http.port, cluster.https.port);
        let ssh_port = cluster.ssh.port;
        Self { http_port, https_port, ssh_port, place: Place::Cluster(cluster), folder: folder() }
    }

    /// Starts a platform on the scenario's Docker daemon.
    pub fn start_on_daemon(daemon: &Daemon) -> Self {
        Self::start_on(Some(daemon), &[])
    }

    fn start_on(daemon: Option<&Daemon>, arguments: &[&str]) -> Self {
        let folder = folder();
        let machine = Machine::new(folder.path(), daemon).with(arguments);
        let (http_port, https_port, ssh_port) = (machine.http_port, machine.https_port, machine.ssh_port);
        let mut platform = Self { http_port, https_port, ssh_port, place: Place::Machine(machine), folder };
        platform.launch();
        platform.wait_for_api();
        platform
    }

    pub fn wait_for_api(&mut self) {
        match &mut self.place {
            Place::Machine(machine) => machine.wait_for_api(),
            Place::Cluster(cluster) => cluster.wait_for_api(),
        }
    }

    /// Starts the process without waiting for its API.
    pub fn launch(&mut self) {
        self.machine().launch();
    }

    /// Kills the platform with SIGKILL, as a power cut would.
    pub fn kill(&mut self) {
        self.machine().kill();
    }

    /// Stops the platform with TERM and waits; returns the exit code.
    pub fn stop(&mut self) -> Option<i32> {
        self.machine().stop()
    }

    fn machine(&mut self) -> &mut Machine {
        match &mut self.place {
            Place::Machine(machine) => machine,
            Place::Cluster(_) => panic!("this is a scenario of one machine"),
        }
    }

    /// Sets the platform's certificate, as an operator does.
    pub fn set_platform_certificate(&mut self, certificate: &Path, key: &Path) {
        match &mut self.place {
            Place::Machine(machine) => machine.set_platform_certificate(certificate, key),
            Place::Cluster(cluster) => cluster.set_platform_certificate(certificate, key),
        }
    }

    /// Sets a rule of the routers, as an operator does.
    pub fn set_router_rule(&mut self, key: &str, value: &str) {
        match &mut self.place {
            Place::Machine(machine) => machine.set_router_rule(key, value),
            Place::Cluster(cluster) => cluster.set_router_rule(key, value),
        }
    }

    /// kubectl in the platform's namespace.
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        self.cluster().kubectl(arguments)
    }

    /// `helm upgrade` with these values in addition to those of the installation.
    pub fn upgrade(&self, values: &[&str]) {
        self.cluster().upgrade(values);
    }

    /// Makes the platform's database refuse all connections, or accept them again.
    pub fn let_into_database(&self, allowed: bool) {
        self.cluster().let_into_database(allowed);
    }

    /// Namespace of the platform.
    pub fn namespace(&self) -> &str {
        self.cluster().namespace()
    }

    /// Namespace of an app.
    pub fn namespace_of(&self, app: &str) -> String {
        self.cluster().namespace_of(app)
    }

    fn cluster(&self) -> &Cluster {
        match &self.place {
            Place::Cluster(cluster) => cluster,
            Place::Machine(_) => panic!("this is a scenario of a cluster"),
        }
    }

    /// Registers the first user, the administrator, and adds an SSH key.
    pub fn admin(&self) -> User<'_> {
        let admin = self.newcomer("admin");
        admin.register(&[]);
        admin.add_key();
        admin
    }

    /// A person with a home folder and an SSH key, not yet registered.
    pub fn newcomer(&self, name: &str) -> User<'_> {
        User::new(self, name, self.folder.path().join("homes").join(name))
    }

    /// A user whose home folder exists already.
    pub fn newcomer_again(&self, name: &str) -> User<'_> {
        User::again(self, name, self.folder.path().join("homes").join(name))
    }

    /// Requests a path of an app.
    pub fn get(&self, app: &str, path: &str) -> Result<crate::Response, String> {
        get(self.http_port, &format!("{app}.localhost:{}", self.http_port), path)
    }

    /// Waits until the app responds with 200 and a text that contains `wanted`.
    pub fn wait_for_answer(&self, app: &str, wanted: &str) {
        wait_until_blocking(&format!("{app} answers {wanted:?}"), WAIT_MAX, || match self.get(app, "/") {
            Ok(answer) if answer.status == 200 && answer.body.contains(wanted) => Ok(()),
            other => Err(other),
        });
    }

    pub fn url(&self) -> String {
        format!("http://deis.localhost:{}", self.http_port)
    }

    /// Reference of the stack image, for users who deploy it as an image.
    pub fn stack_image(&self) -> String {
        std::env::var("WORKFLOW_E2E_STACK_IMAGE").unwrap_or_else(|_| "deis/stack:latest".to_owned())
    }

    /// Remains of a destroyed app; on one machine, of all apps.
    pub fn left_of(&self, app: &str) -> Vec<String> {
        match &self.place {
            Place::Machine(machine) => {
                ["ps", "volume", "image"].iter().flat_map(|kind| machine.in_docker(kind)).collect()
            }
            Place::Cluster(cluster) => cluster.left_of(app),
        }
    }

    /// Waits until the app has exactly `count` containers, after the drained ones are gone.
    pub fn settled_containers(&self, app: &str, count: usize) -> Vec<String> {
        wait_until_blocking("old replicas are gone", Duration::from_secs(60), || {
            Some(self.containers(app)).filter(|containers| containers.len() == count)
        })
    }

    /// Running containers of one app: a restart changes the list.
    pub fn containers(&self, app: &str) -> Vec<String> {
        let mut containers = match &self.place {
            Place::Machine(machine) => machine.containers(app),
            Place::Cluster(cluster) => cluster.containers(app),
        };
        containers.sort();
        containers
    }

    /// Removes all apps and users through the API, the administrator last; `None` where that fails.
    fn emptied(&self) -> Option<()> {
        let admin = User::new(self, "admin", self.folder.path().join("homes/-last"));
        let done = |words: &[&str]| Some(admin.deis(words)).filter(|said| said.code == Some(0));
        let list = |words: &[&str]| -> Option<Vec<serde_json::Value>> {
            let listed: serde_json::Value = serde_json::from_str(&done(words)?.stdout).ok()?;
            listed.as_array().cloned()
        };
        Some(admin.login()).filter(|said| said.code == Some(0))?;
        for app in list(&["apps:list", "--limit=1000", "--output=json"])? {
            let app = app["id"].as_str()?;
            done(&["apps:destroy", &format!("--app={app}"), &format!("--confirm={app}")])?;
        }
        let users = list(&["users:list", "--limit=1000", "--output=json"])?;
        let names = users.iter().filter_map(|user| user["username"].as_str()).filter(|name| *name != "admin");
        for name in names.chain(["admin"]) {
            done(&["auth:cancel", &format!("--username={name}"), "--yes"])?;
        }
        Some(())
    }

    fn log(&self) -> String {
        match &self.place {
            Place::Machine(machine) => machine.log(),
            Place::Cluster(cluster) => cluster.log(),
        }
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("---- the platform's log\n{}", self.log());
            return;
        }
        if let Place::Cluster(cluster) = &self.place
            && cluster.is_usual()
            && self.emptied().is_some()
        {
            cluster.leave_to_others();
        }
    }
}

fn folder() -> TempDir {
    tempfile::Builder::new().prefix("workflow-e2e-").tempdir().expect("a temporary folder")
}

/// Path of a program, from its variable or else in the target folder.
pub fn program(variable: &str, name: &str) -> PathBuf {
    std::env::var_os(variable).map_or_else(
        || {
            let target =
                std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| checkout().join("target"), PathBuf::from);
            target.join("debug").join(name)
        },
        PathBuf::from,
    )
}

/// A port that nothing listens on, below the range of ephemeral ports: an outgoing connection could take one of
/// those before the platform does.
pub(crate) fn free_port() -> u16 {
    loop {
        let port = 10_000 + (random() % 10_000) as u16;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

fn random() -> u32 {
    use std::hash::{BuildHasher as _, Hasher as _};
    let hash = std::collections::hash_map::RandomState::new().build_hasher().finish();
    (hash & u64::from(u32::MAX)) as u32
}
