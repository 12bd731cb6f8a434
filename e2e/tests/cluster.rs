//! What only a cluster can show: pods, nodes and parts of the platform go away while apps serve.
//!
//! These scenarios take away things that others stand on, so they run one after another.

use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use e2e::{Platform, User, Visitors, wait_for};

/// Longer than watches and leases take to notice.
const API_OUTAGE: Duration = Duration::from_secs(60);
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
fn apps_reach_one_another_inside_the_cluster_also_when_nobody_outside_does() {
    let _alone = alone();
    let platform = Platform::start();
    let admin = platform.admin();
    running_app(&platform, &admin, 1);
    let visitor = admin.app_from_files("visitor", &[("Procfile", SERVER), ("index.html", "visitor\n")]);
    admin.push(&visitor).ok();

    admin.deis(&["routing:disable", "--app=blog"]).ok();

    wait_for("the router lets nobody in", Duration::from_secs(10), || {
        platform.get("blog", "/").ok().filter(|answer| answer.status == 404)
    });
    let url = format!("http://blog.{}/", platform.namespace_of("blog"));
    let said = admin.deis_in(&visitor, &["run", &format!("curl --silent --max-time 10 {url}")]).ok().stdout;
    assert!(said.ends_with("up\n"), "{said}");
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

    let until = Instant::now() + API_OUTAGE;
    wait_for("the outage", API_OUTAGE * 2, || (Instant::now() > until).then_some(()));
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
fn apps_serve_while_the_database_is_away() {
    let _alone = alone();
    let platform = Platform::start();
    let admin = platform.admin();
    let folder = running_app(&platform, &admin, 2);
    let visitors = Visitors::of(&platform, "blog");

    platform.let_into_database(false);
    admin.deis_in(&folder, &["ps"]).fails(1, "The database does not answer, try again.");
    // What Kubernetes does needs no database either: a new pod comes, pulls its image and gets visitors.
    let before = pods(&platform);
    let namespace = format!("--namespace={}", platform.namespace_of("blog"));
    platform.kubectl(&["delete", &before[0], &namespace]);
    platform.settled_containers("blog", 2);
    admin.change(&folder, &[("index.html", "not accepted\n")]);
    let refused = admin.push(&folder);
    assert_ne!(refused.code, Some(0), "{}", refused.all());
    platform.let_into_database(true);

    wait_for("the API answers", Duration::from_secs(60), || {
        (admin.deis_in(&folder, &["ps"]).code == Some(0)).then_some(())
    });
    let (asked, lost) = visitors.leave();
    assert!(asked > 50, "{asked}");
    assert_eq!(lost, Vec::<String>::new());
    admin.change(&folder, &[("index.html", "pushed again\n")]);
    admin.push(&folder).ok();
    platform.wait_for_answer("blog", "pushed again");
}

#[test]
fn an_upgrade_with_a_push_under_way_loses_neither() {
    /// Longer than the new pods take to come up.
    const SLOW: &str = "#!/bin/sh\necho at work; sleep 20\n";
    let _alone = alone();
    let platform = Platform::start();
    let admin = platform.admin();
    let folder = running_app(&platform, &admin, 1);
    let visitors = Visitors::of(&platform, "blog");

    admin.change(&folder, &[("index.html", "pushed\n"), ("bin/pre-compile", SLOW)]);
    let mut push = admin.push_until(&folder, "at work");
    let again = ["router", "builder", "controller"].map(|role| format!("{role}.podAnnotations.again=yes"));
    platform.upgrade(&again.each_ref().map(String::as_str));

    assert!(push.wait().expect("our child").success(), "the push must be carried out");
    platform.wait_for_answer("blog", "pushed");
    let (_, lost) = visitors.leave();
    assert_eq!(lost, Vec::<String>::new());
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

/// The second node, cut off from everybody until this is dropped: nothing tells it from one without power.
struct LostNode<'a>(&'a Platform);

const SECOND_NODE: &str = "node-2";

impl<'a> LostNode<'a> {
    fn cut_off(platform: &'a Platform) -> Result<Self, ()> {
        if set_link(SECOND_NODE, "down") { Ok(Self(platform)) } else { Err(()) }
    }

    fn wait_for_return(self) {
        let platform = self.0;
        drop(self);
        let node = format!("node/{SECOND_NODE}");
        let ready = platform.kubectl(&["wait", &node, "--for=condition=Ready", "--timeout=120s"]);
        assert!(ready.contains("condition met"), "{ready}");
    }
}

impl Drop for LostNode<'_> {
    fn drop(&mut self) {
        set_link(SECOND_NODE, "up");
    }
}

fn set_link(name: &str, state: &str) -> bool {
    let set = Command::new("ip").args(["link", "set", name, state]).output();
    set.is_ok_and(|set| set.status.success())
}

#[test]
fn apps_of_a_lost_node_come_back_on_another_one() {
    let _alone = alone();
    // What has a volume would wait for its node; this is about apps, and about what has none.
    let values = ["builder", "logger", "registry"]
        .map(|role| format!(r"{role}.nodeSelector.kubernetes\.io/hostname=node-1"));
    let platform = Platform::install(&values.each_ref().map(String::as_str));
    let admin = platform.admin();
    let folder = running_app(&platform, &admin, 2);
    let before = pods(&platform);
    let namespace = format!("--namespace={}", platform.namespace_of("blog"));
    let on_nodes = "jsonpath={range .items[*]}{.spec.nodeName}{\"\\n\"}{end}";
    let nodes = platform.kubectl(&["get", "pods", &namespace, "--selector=app=blog", "-o", on_nodes]);
    assert!(nodes.contains("node-1") && nodes.contains("node-2"), "replicas must be spread: {nodes}");

    let Ok(lost) = LostNode::cut_off(&platform) else {
        // Somebody else's cluster: its nodes are not ours to cut off.
        return;
    };
    // 40 s until Kubernetes takes the node for lost, 30 s that its pods may stay, and their start elsewhere.
    wait_for("replacements", Duration::from_secs(150), || {
        let new = pods(&platform).into_iter().filter(|pod| !before.contains(pod)).collect::<Vec<_>>();
        let ready = |pod: &String| {
            let state = "jsonpath={.status.conditions[?(@.type==\"Ready\")].status}";
            platform.kubectl(&["get", pod, &namespace, "-o", state]) == "True"
        };
        (!new.is_empty() && new.iter().all(ready)).then_some(())
    });
    for _ in 0..100 {
        let answer = platform.get("blog", "/").expect("an answer");
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
    admin.deis_in(&folder, &["config:set", "A=1"]).ok();
    lost.wait_for_return();

    platform.wait_for_answer("blog", "up");
    assert_eq!(platform.settled_containers("blog", 2).len(), 2);
}
