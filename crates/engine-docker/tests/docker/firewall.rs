//! Ports of the host that containers reach, on the machine's real Docker. Rules as such, with both backends, are
//! tested in network namespaces by the server's tests.

use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use domain::build::{BuildJob, BuildKind};
use domain::build_plan::DockerfileOptions;
use engine::conformance::{AnyEngine, Subject as _, get, only_backend, setting::*};
use engine_docker::firewall::{Firewall, FirewallSettings, HostServices};
use testkit::docker::docker;
use testkit::wait_until;

use crate::world::World;

/// Longest until rules that someone removed are back.
const HEALED_WITHIN: Duration = Duration::from_secs(15);

/// Listeners of the host: an internal one of the platform, a public one, and a service of someone else.
struct Host {
    listeners: [TcpListener; 3],
}

impl Host {
    fn new() -> Self {
        Self {
            listeners: [(); 3].map(|()| TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("a free port")),
        }
    }

    fn ports(&self) -> [u16; 3] {
        self.listeners.each_ref().map(|listener| listener.local_addr().expect("bound").port())
    }

    fn settings(&self, host_services: HostServices) -> FirewallSettings {
        let [internal, public, _] = self.ports();
        FirewallSettings { closed_ports: [internal].into(), public_ports: [public].into(), host_services }
    }

    async fn world(&self, host_services: HostServices) -> World {
        let firewall = self.settings(host_services);
        World::set(None, |settings| settings.firewall = Some(firewall)).await
    }
}

fn none() -> HostServices {
    HostServices::Only([].into())
}

/// The first address of the network's range, which Docker gives to its bridge.
fn gateway(network: &str) -> Ipv4Addr {
    let subnet =
        docker(&["network", "inspect", "--format", "{{(index .IPAM.Config 0).Subnet}}", network]).concat();
    let (first, _) = subnet.split_once('/').expect("a network");
    let first: Ipv4Addr = first.parse().expect("an address");
    Ipv4Addr::from_bits(first.to_bits() + 1)
}

/// Results of connecting from a replica to each of these ports of its gateway.
async fn seen_by_replica(world: &World, ports: [u16; 3]) -> [String; 3] {
    let backend = only_backend(&world.engine()).await;
    let gateway = gateway(&world.networks()[0]);
    let asked = ports.map(|port| {
        let path = format!("/reach/{gateway}:{port}");
        async move { get(backend.address, &path).await.expect("it answers") }
    });
    let [internal, public, other] = asked;
    tokio::join!(internal, public, other).into()
}

async fn deployed(world: &World) {
    let engine = world.engine();
    engine.route(&routing()).await.expect("reachable");
    deploy_well(&engine, &web(world, 2)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_reaches_public_ports_of_the_platform_and_never_its_internal_ones() {
    let host = Host::new();
    let world = host.world(HostServices::Open).await;
    deployed(&world).await;

    let open = seen_by_replica(&world, host.ports()).await;
    Firewall::remove(&name(&world)).expect("we are root");

    assert_eq!(open, ["closed", "open", "open"]);
    let is_closed = async || seen_by_replica(&world, host.ports()).await[0] == "closed";
    wait_until("the rules are put back", HEALED_WITHIN, is_closed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn builds_and_replicas_reach_no_service_of_the_host_where_the_operator_says_none() {
    let host = Host::new();
    let world = host.world(none()).await;
    deployed(&world).await;

    assert_eq!(seen_by_replica(&world, host.ports()).await, ["closed", "open", "closed"]);

    let builds = network_of_builds(&world).await;
    let [_, public, other] = host.ports();
    for (port, expected) in [(public, "open"), (other, "closed")] {
        let address = format!("{}:{port}", gateway(&builds));
        let seen = docker(&["run", "--rm", "--network", &builds, &world.reference, "reach", &address]);
        assert_eq!(seen, [expected], "{port}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn networks_of_others_are_no_concern_of_the_firewall() {
    let host = Host::new();
    let world = host.world(none()).await;
    let [internal, ..] = host.ports();

    let address = format!("{}:{internal}", gateway("bridge"));
    let seen = docker(&["run", "--rm", &world.reference, "reach", &address]);

    assert_eq!(seen, ["open"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_rule_and_no_network_is_left_of_a_platform_without_apps() {
    let host = Host::new();
    let world = host.world(none()).await;
    deployed(&world).await;
    network_of_builds(&world).await;

    world.docker_engine().remove_if_unused().await;
    let while_it_runs = seen_by_replica(&world, host.ports()).await;
    world.engine().remove_app(&app()).await.expect("reachable");
    world.docker_engine().remove_if_unused().await;

    assert_eq!(while_it_runs[0], "closed", "the app runs on");
    assert_eq!(world.networks(), [""; 0]);
    let mut whole = Firewall::in_force(&name(&world)).expect("we are root");
    assert!(!whole, "rules are left");
    // Nor does a task put them back.
    tokio::time::sleep(Duration::from_secs(3)).await;
    whole = Firewall::in_force(&name(&world)).expect("we are root");
    assert!(!whole, "rules came back");
}

fn name(world: &World) -> String {
    engine_docker::firewall::name(&world.settings.instance)
}

/// Made by the first build, here of nothing.
async fn network_of_builds(world: &World) -> String {
    let job = BuildJob {
        app: app(),
        sha: "0123abcd".to_owned(),
        kind: BuildKind::Dockerfile,
        stack: domain::stacks::StackName::parse("trixie").expect("a good name"),
        toolchains: std::collections::BTreeSet::new(),
        submodules: Vec::new(),
        env: std::collections::BTreeMap::new(),
        cache: true,
        dockerfile: DockerfileOptions::default(),
        cnb: domain::build_plan::CnbOptions::default(),
        deadline_seconds: 60,
    };
    let mut archive = tar::Builder::new(Vec::new());
    let content = "FROM scratch\nCOPY Dockerfile /\n";
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o644);
    header.set_size(content.len() as u64);
    archive.append_data(&mut header, "Dockerfile", content.as_bytes()).expect("memory takes it");
    let source = Box::pin(std::io::Cursor::new(archive.into_inner().expect("memory takes it")));
    let (output, mut said) = tokio::sync::mpsc::channel(64);
    let engine: std::sync::Arc<dyn AnyEngine> = world.engine();
    let (built, ()) =
        tokio::join!(engine.build(&job, source, output), async { while said.recv().await.is_some() {} });
    built.expect("nothing can fail in it");
    format!("deis-{}--builds", world.settings.instance)
}
