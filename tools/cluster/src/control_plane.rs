//! The control plane: etcd, the API server, the controllers and the scheduler, in the network of the first node.

use std::path::Path;
use std::time::Duration;

use crate::kubectl;
use crate::layout::{self, API_PORT, Node, PODS, SERVICES};
use crate::namespaces::Namespace;
use crate::pki::{self, AUTHORITY, FRONT_AUTHORITY, SERVICE_ACCOUNTS};
use crate::process::Process;
use crate::programs::Programs;

const ETCD: &str = "127.0.0.1:2379";
const ETCD_PEERS: &str = "http://127.0.0.1:2380";
const START_MAX: Duration = Duration::from_secs(60);

/// Starts etcd and waits for it: without it the API server exits.
pub fn start_etcd(programs: &Programs, inside: &Namespace, group: &str) -> anyhow::Result<()> {
    let client = format!("http://{ETCD}");
    let mut command = inside.command(programs.path("etcd"));
    command.args(["--name", "workflow", "--data-dir"]).arg(layout::state().join("etcd"));
    command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
    command.args(["--listen-peer-urls", ETCD_PEERS, "--initial-advertise-peer-urls", ETCD_PEERS]);
    command.args(["--initial-cluster", &format!("workflow={ETCD_PEERS}")]);
    // The data need not survive a crash of the machine, and disks of test machines are slow.
    command.arg("--unsafe-no-fsync");
    Process::start("etcd", group, &command)?.wait_until(START_MAX, || inside.listens(ETCD))
}

/// Starts the API server, without waiting; see [`wait_for_api`].
pub fn start_api(programs: &Programs, inside: &Namespace, group: &str) -> anyhow::Result<()> {
    start("kube-apiserver", api_server(), programs, inside, group)
}

/// Waits until the API server answers an administrator.
pub fn wait_for_api(programs: &Programs, gateway: &Namespace) -> anyhow::Result<()> {
    let address = format!("{}:{API_PORT}", Node(1).address());
    let answers = || gateway.listens(&address) && kubectl::api_is_ready(&mut kubectl::own(programs, gateway));
    Process::find("kube-apiserver")?.wait_until(START_MAX, answers)
}

/// Starts the controllers and the scheduler. The API must be ready: before, it grants them nothing, and they
/// exit.
pub fn start_controllers(programs: &Programs, inside: &Namespace, group: &str) -> anyhow::Result<()> {
    start("kube-controller-manager", controller_manager(), programs, inside, group)?;
    start("kube-scheduler", scheduler(), programs, inside, group)
}

fn start(
    name: &str,
    flags: Vec<String>,
    programs: &Programs,
    inside: &Namespace,
    group: &str,
) -> anyhow::Result<()> {
    Process::start(name, group, inside.command(programs.path(name)).args(flags)).map(drop)
}

fn api_server() -> Vec<String> {
    let address = Node(1).address();
    let mut flags = vec![
        format!("--etcd-servers=http://{ETCD}"),
        format!("--bind-address={address}"),
        format!("--advertise-address={address}"),
        format!("--secure-port={API_PORT}"),
        format!("--service-cluster-ip-range={SERVICES}"),
        "--authorization-mode=Node,RBAC".to_owned(),
        "--enable-admission-plugins=NodeRestriction".to_owned(),
        "--allow-privileged=true".to_owned(),
        "--kubelet-preferred-address-types=InternalIP".to_owned(),
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local".to_owned(),
    ];
    flags.extend(extension_flags());
    let files = [
        ("client-ca-file", pki::certificate(AUTHORITY)),
        ("tls-cert-file", pki::certificate("apiserver")),
        ("tls-private-key-file", pki::key("apiserver")),
        ("kubelet-certificate-authority", pki::certificate(AUTHORITY)),
        ("kubelet-client-certificate", pki::certificate("apiserver-to-kubelets")),
        ("kubelet-client-key", pki::key("apiserver-to-kubelets")),
        ("requestheader-client-ca-file", pki::certificate(FRONT_AUTHORITY)),
        ("proxy-client-cert-file", pki::certificate("front-proxy")),
        ("proxy-client-key-file", pki::key("front-proxy")),
        ("service-account-key-file", pki::certificate(SERVICE_ACCOUNTS)),
        ("service-account-signing-key-file", pki::key(SERVICE_ACCOUNTS)),
    ];
    flags.extend(files.map(|(flag, path)| file_flag(flag, &path)));
    flags
}

/// Flags for servers that extend the API, such as metrics-server.
fn extension_flags() -> [String; 5] {
    [
        "--requestheader-allowed-names=front-proxy-client",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        "--enable-aggregator-routing=true",
    ]
    .map(str::to_owned)
}

fn controller_manager() -> Vec<String> {
    let mut flags = client_flags("controller-manager");
    flags.extend([
        format!("--cluster-cidr={PODS}"),
        "--allocate-node-cidrs=false".to_owned(),
        "--use-service-account-credentials=true".to_owned(),
        "--node-monitor-period=2s".to_owned(),
        // With the usual limit of 20 requests a second its controllers take five seconds to start.
        "--kube-api-qps=200".to_owned(),
        "--kube-api-burst=400".to_owned(),
        file_flag("root-ca-file", &pki::certificate(AUTHORITY)),
        file_flag("service-account-private-key-file", &pki::key(SERVICE_ACCOUNTS)),
        file_flag("cluster-signing-cert-file", &pki::certificate(AUTHORITY)),
        file_flag("cluster-signing-key-file", &pki::key(AUTHORITY)),
    ]);
    flags
}

fn scheduler() -> Vec<String> {
    client_flags("scheduler")
}

/// Flags of both clients of the API server; there is one of each, so that no election is needed.
fn client_flags(user: &str) -> Vec<String> {
    let kubeconfig = layout::kubeconfig(user);
    let files = ["kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig"];
    let mut flags: Vec<_> = files.iter().map(|flag| file_flag(flag, &kubeconfig)).collect();
    flags.extend(["--bind-address=127.0.0.1", "--leader-elect=false"].map(str::to_owned));
    flags
}

fn file_flag(flag: &str, path: &Path) -> String {
    format!("--{flag}={}", path.display())
}
