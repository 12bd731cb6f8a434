//! What only a cluster can show: pods, nodes and parts of the platform go away while apps serve.
//!
//! These scenarios take away things that others stand on, so they run one after another.

use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use e2e::{Platform, User, Visitors, wait_for};

const SERVER: &str = "web: exec python3 -m http.server $PORT\n";

/// Held by a scenario from its beginning to its end.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn running_app(platform: &Platform, admin: &User<'_>, replicas: usize) -> PathBuf {
    let folder = admin.app_from_files("blog", &[("Procfile", SERVER), ("index.html", "up\n")]);
    admin.push(&folder).ok();
    platform.wait_for_answer("blog", "up");
    if replicas > 1 {
        admin.deis_in(&folder, &["scale", &format!("web={replicas}")]).ok();
    }
    folder
}

fn pods(platform: &Platform) -> Vec<String> {
    let namespace = format!("--namespace={}", platform.namespace_of("blog"));
    let pods = platform.kubectl(&["get", "pods", &namespace, "--selector=app=blog,type=web", "-o", "name"]);
    pods.lines().map(str::to_owned).collect()
}

#[test]
fn a_pod_deleted_in_the_middle_of_a_roll_costs_no_request() {
    let _alone = alone();
    let platform = Platform::start();
    let admin = platform.admin();
    let folder = running_app(&platform, &admin, 2);
    let visitors = Visitors::of(&platform, "blog");

    let mut roll = admin.deis_in_background(&["config:set", "A=1", "--app=blog"]);
    let namespace = format!("--namespace={}", platform.namespace_of("blog"));
    platform.kubectl(&["delete", &pods(&platform)[0], &namespace, "--wait=false"]);
    assert!(roll.wait().expect("our child").success());
    admin.deis_in(&folder, &["config:set", "A=2"]).ok();

    let (asked, lost) = visitors.leave();
    assert!(asked > 50, "{asked}");
    assert_eq!(lost, Vec::<String>::new());
}

#[test]
fn a_pod_that_is_killed_is_replaced() {
    let _alone = alone();
    let platform = Platform::start();
    let admin = platform.admin();
    running_app(&platform, &admin, 2);
    let before = pods(&platform);

    let namespace = format!("--namespace={}", platform.namespace_of("blog"));
    platform.kubectl(&["delete", &before[0], &namespace, "--grace-period=0", "--force"]);

    platform.wait_for_answer("blog", "up");
    wait_for("a new pod", Duration::from_secs(30), || {
        let now = pods(&platform);
        (now.len() == 2 && !now.contains(&before[0])).then_some(())
    });
}

#[test]
fn apps_serve_while_the_rest_of_the_platform_is_down() {
    let _alone = alone();
    let platform = Platform::start();
    let admin = platform.admin();
    let folder = running_app(&platform, &admin, 1);
    let before = platform.containers("blog");
    let visitors = Visitors::of(&platform, "blog");

    let parts = ["deployment/deis-controller", "deployment/deis-builder"];
    for part in parts {
        platform.kubectl(&["scale", part, "--replicas=0"]);
    }
    wait_for("the controller is gone", Duration::from_secs(60), || {
        let pods = platform.kubectl(&["get", "pods", "--selector=app=deis-controller", "-o", "name"]);
        (!pods.contains("pod/")).then_some(())
    });
    platform.wait_for_answer("blog", "up");
    for part in parts {
        platform.kubectl(&["scale", part, "--replicas=1"]);
        platform.kubectl(&["rollout", "status", part, "--timeout=60s"]);
    }

    let (_, lost) = visitors.leave();
    assert_eq!(lost, Vec::<String>::new());
    assert_eq!(platform.containers("blog"), before, "pods must not notice");
    wait_for("the controller answers", Duration::from_secs(30), || {
        (admin.deis_in(&folder, &["ps"]).code == Some(0)).then_some(())
    });
    admin.deis_in(&folder, &["config:set", "A=1"]).ok();
    admin.change(&folder, &[("index.html", "pushed again\n")]);
    admin.push(&folder).ok();
    platform.wait_for_answer("blog", "pushed again");
}

#[test]
fn apps_serve_while_the_api_server_is_away() {
    let _alone = alone();
    let platform = Platform::start();
    let admin = platform.admin();
    let folder = running_app(&platform, &admin, 1);
    let Ok(api_server) = ApiServer::stop() else {
        // Somebody else's cluster: it is not ours to stop.
        return;
    };
    let visitors = Visitors::of(&platform, "blog");

    // As long as watches take to notice, and then some.
    let until = Instant::now() + Duration::from_secs(40);
    wait_for("the outage", Duration::from_secs(60), || (Instant::now() > until).then_some(()));
    let (asked, lost) = visitors.leave();
    drop(api_server);

    assert!(asked > 100, "{asked}");
    assert_eq!(lost, Vec::<String>::new());
    wait_for("deploys work again", Duration::from_secs(60), || {
        (admin.deis_in(&folder, &["config:set", "A=1"]).code == Some(0)).then_some(())
    });
}

/// The API server of the cluster for tests, stopped until this is dropped.
struct ApiServer;

impl ApiServer {
    fn stop() -> Result<Self, ()> {
        let stopped = Command::new("pkill").args(["-STOP", "-x", "kube-apiserver"]).status();
        if stopped.is_ok_and(|status| status.success()) { Ok(Self) } else { Err(()) }
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        let _ = Command::new("pkill").args(["-CONT", "-x", "kube-apiserver"]).status();
    }
}

#[test]
fn an_upgrade_changes_no_secret_and_drops_no_request() {
    let _alone = alone();
    let platform = Platform::start();
    let admin = platform.admin();
    let folder = running_app(&platform, &admin, 1);
    let secrets = || {
        platform.kubectl(&[
            "get",
            "secrets",
            "-o",
            "jsonpath={range .items[?(@.type==\"Opaque\")]}{.metadata.name}={.data}{\"\\n\"}{end}",
        ])
    };
    let before = secrets();
    let visitors = Visitors::of(&platform, "blog");

    platform.upgrade(&[
        "router.podAnnotations.again=yes",
        "builder.podAnnotations.again=yes",
        "controller.podAnnotations.again=yes",
    ]);

    let (_, lost) = visitors.leave();
    assert_eq!(lost, Vec::<String>::new());
    assert_eq!(secrets(), before);
    admin.deis_in(&folder, &["config:set", "A=1"]).ok();
}

#[test]
fn a_drained_node_costs_no_request() {
    let _alone = alone();
    let platform = Platform::start();
    let admin = platform.admin();
    running_app(&platform, &admin, 2);
    let node = platform.kubectl(&["get", "nodes", "-o", "jsonpath={.items[-1:].metadata.name}"]);
    let visitors = Visitors::of(&platform, "blog");

    let drained = platform.kubectl(&[
        "drain",
        &node,
        "--ignore-daemonsets",
        "--delete-emptydir-data",
        "--force",
        "--timeout=150s",
    ]);
    let uncordoned = platform.kubectl(&["uncordon", &node]);

    let (_, lost) = visitors.leave();
    assert!(drained.contains("drained"), "{drained}");
    assert!(uncordoned.contains("uncordoned"), "{uncordoned}");
    assert_eq!(lost, Vec::<String>::new());
    platform.wait_for_answer("blog", "up");
}
