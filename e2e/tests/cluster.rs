//! Failures of pods, nodes and parts of the platform in a cluster, while apps serve.
//!
//! These scenarios remove things that others need, so they run one after another.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use e2e::{Platform, User, Visitors, wait_until_blocking};

/// Longer than the timeouts of watches and leases.
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
    wait_until_blocking("a new pod", Duration::from_secs(30), || {
        let now = pods(&platform);
        (now.len() == 2 && !now.contains(&before[0])).then_some(())
    });
}

#[test]
fn apps_reach_one_another_inside_the_cluster_also_when_nobody_outside_does() {
    let _alone = alone();
    // A new one: the state of a network plug-in about earlier namespaces of these names does not count.
    let platform = Platform::install(&[]);
    let admin = platform.admin();
    running_app(&platform, &admin, 1);
    let visitor = admin.app_from_files("visitor", &[("Procfile", SERVER), ("index.html", "visitor\n")]);
    admin.push(&visitor).ok();

    admin.deis(&["routing:disable", "--app=blog"]).ok();

    wait_until_blocking("the router lets nobody in", Duration::from_secs(10), || {
        platform.get("blog", "/").ok().filter(|answer| answer.status == 404)
    });
    let url = format!("http://blog.{}/", platform.namespace_of("blog"));
    // A policy applies to a new pod after a moment; until then the pod's connections are refused.
    let ask = format!("curl --silent --retry 180 --retry-delay 1 --retry-all-errors --max-time 10 {url}");
    let said = admin.deis_in(&visitor, &["run", &ask]).ok().stdout;
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
    wait_until_blocking("the controller is gone", Duration::from_secs(60), || {
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
    wait_until_blocking("the controller answers", Duration::from_secs(30), || {
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
        // A cluster that `KUBECONFIG` names is not stopped.
        return;
    };
    let visitors = Visitors::of(&platform, "blog");

    let until = Instant::now() + API_OUTAGE;
    wait_until_blocking("the outage", API_OUTAGE * 2, || (Instant::now() > until).then_some(()));
    let (asked, lost) = visitors.leave();
    drop(api_server);

    assert!(asked > 100, "{asked}");
    assert_eq!(lost, Vec::<String>::new());
    wait_until_blocking("deploys work again", Duration::from_secs(60), || {
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
    // Kubernetes needs no database either: a new pod starts, pulls its image and gets requests.
    let before = pods(&platform);
    let namespace = format!("--namespace={}", platform.namespace_of("blog"));
    platform.kubectl(&["delete", &before[0], &namespace]);
    platform.settled_containers("blog", 2);
    admin.change(&folder, &[("index.html", "not accepted\n")]);
    let refused = admin.push(&folder);
    assert_ne!(refused.code, Some(0), "{}", refused.all());
    platform.let_into_database(true);

    wait_until_blocking("the API answers", Duration::from_secs(60), || {
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
    /// Takes longer than the start of the new pods.
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

#[test]
fn a_registry_that_lost_its_volume_gets_the_stack_again() {
    let _alone = alone();
    let platform = Platform::start();
    let admin = platform.admin();
    let folder = running_app(&platform, &admin, 1);

    platform.kubectl(&["delete", "pods", "--selector=app=deis-registry"]);
    platform.kubectl(&["rollout", "status", "deployment/deis-registry", "--timeout=60s"]);

    admin.change(&folder, &[("index.html", "up again\n")]);
    admin.push(&folder).ok();
    platform.wait_for_answer("blog", "up again");
}

/// The second node, without network until this is dropped: it looks like one without power.
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
    // A part with a volume would wait for its node; this is about apps, and about parts without volumes.
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
        // The nodes of a cluster that `KUBECONFIG` names are not cut off.
        return;
    };
    // 40 s until Kubernetes marks the node as lost, 30 s of toleration of its pods, and their start elsewhere.
    wait_until_blocking("replacements", Duration::from_secs(150), || {
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

/// Warnings of missing objects before an app's first pod: reasons and messages of Kubernetes.
fn missing_objects(platform: &Platform, app: &str) -> Vec<String> {
    let namespace = format!("--namespace={}", platform.namespace_of(app));
    let format = "jsonpath={range .items[*]}{.reason}: {.message}{\"\\n\"}{end}";
    let events =
        platform.kubectl(&["get", "events", &namespace, "--field-selector=type=Warning", "-o", format]);
    // A probe that fails before the process listens, or a kubelet that is late, is not one of them.
    let is_about_missing =
        |line: &&str| line.contains("not found") || line.starts_with("FailedToRetrieveImagePullSecret");
    events.lines().filter(is_about_missing).map(str::to_owned).collect()
}

#[test]
fn the_first_deploy_of_an_app_waits_for_no_secret() {
    let _alone = alone();
    let platform = Platform::start();
    let admin = platform.admin();

    for app in ["one", "two", "three"] {
        let folder = admin.app_from_files(app, &[("Procfile", SERVER), ("index.html", "up\n")]);
        admin.push(&folder).ok();
        platform.wait_for_answer(app, "up");
        assert_eq!(missing_objects(&platform, app), Vec::<String>::new());
    }
}

/// Rights of the controller, tested as its service account.
struct Controller<'a> {
    platform: &'a Platform,
    account: String,
}

impl<'a> Controller<'a> {
    fn of(platform: &'a Platform) -> Self {
        let account = format!("--as=system:serviceaccount:{}:deis-controller", platform.namespace());
        Self { platform, account }
    }

    fn may(&self, words: &[&str]) -> bool {
        let answer = self.platform.kubectl(&[&["auth", "can-i"], words, &[&self.account]].concat());
        answer.lines().any(|line| line == "yes")
    }

    /// Runs kubectl as the controller; returns its output.
    fn does(&self, words: &[&str]) -> String {
        self.platform.kubectl(&[words, &[&self.account]].concat())
    }
}

#[test]
fn the_controller_reaches_secrets_and_pods_of_its_apps_and_of_nobody_else() {
    let _alone = alone();
    let platform = Platform::start();
    let admin = platform.admin();
    running_app(&platform, &admin, 1);
    let controller = Controller::of(&platform);
    let (own, role) = (platform.namespace_of("blog"), format!("{}:deis-apps", platform.namespace()));
    let in_own = format!("--namespace={own}");

    for right in [["get", "secrets"], ["create", "pods/exec"], ["delete", "deployments"]] {
        assert!(controller.may(&[&right[..], &[&in_own]].concat()), "{right:?}");
        for elsewhere in ["--namespace=kube-system", "--all-namespaces"] {
            assert!(!controller.may(&[&right[..], &[elsewhere]].concat()), "{right:?} {elsewhere}");
        }
        assert!(!controller.may(&right), "{right:?} beside the platform's own pods");
    }
    // Labels alone do not make a namespace an app's: the admission policy decides what the controller may change.
    let denied = "denied request";
    let labels = ["heritage=deis", "app=kube-system"];
    let taken = controller.does(&[&["label", "namespace", "kube-system"], &labels[..]].concat());
    assert!(taken.contains(denied), "{taken}");
    let made = controller.does(&["create", "namespace", &format!("{}-other", platform.namespace())]);
    assert!(made.contains(denied), "{made}");
    let gone = controller.does(&["delete", "namespace", platform.namespace()]);
    assert!(gone.contains(denied), "{gone}");
    let opened = "pod-security.kubernetes.io/enforce=privileged";
    let opened = controller.does(&["label", "namespace", &own, opened, "--overwrite"]);
    assert!(opened.contains(denied), "{opened}");
    let bind = |role: &str, namespace: &str, whom: &str| {
        let (role, whom) = (format!("--clusterrole={role}"), format!("--serviceaccount={whom}"));
        let namespace = format!("--namespace={namespace}");
        controller.does(&["create", "rolebinding", "more", &role, &whom, &namespace])
    };
    let itself = format!("{}:deis-controller", platform.namespace());
    let bound = bind(&role, "kube-system", &itself);
    assert!(bound.contains(denied), "{bound}");
    let bound = bind(&role, &own, "kube-system:default");
    assert!(bound.contains(denied), "{bound}");
    let bound = bind("cluster-admin", &own, &itself);
    assert!(bound.contains("attempting to grant RBAC permissions not currently held"), "{bound}");
}

#[test]
fn an_app_cannot_be_called_as_a_namespace_of_others() {
    let _alone = alone();
    let platform = Platform::start();
    let admin = platform.admin();
    platform.kubectl(&["create", "namespace", &platform.namespace_of("taken")]);

    let refused = admin.deis(&["create", "taken", "--no-remote"]);

    let namespace = platform.namespace_of("taken");
    refused.fails(1, &format!("the namespace {namespace} is there and not the platform's"));
    let apps = admin.deis(&["apps"]).ok().stdout;
    assert!(!apps.contains("taken"), "{apps}");
}

#[test]
fn a_one_off_process_has_no_capability_and_gains_none() {
    let _alone = alone();
    let platform = Platform::start();
    let admin = platform.admin();
    let folder = running_app(&platform, &admin, 1);

    let said = admin.deis_in(&folder, &["run", "grep -E '^Cap(Prm|Eff|Bnd)|^NoNewPrivs' /proc/self/status"]);

    let said = said.ok().stdout;
    for line in ["CapPrm:\t0000000000000000", "CapEff:\t0000000000000000", "CapBnd:\t0000000000000000"] {
        assert!(said.contains(line), "{said}");
    }
    assert!(said.contains("NoNewPrivs:\t1"), "{said}");
}

/// An address that represents a server outside of the cluster, served by this test until it is dropped.
struct Outside {
    address: &'static str,
}

/// Address of the metadata service of clouds, which has credentials.
const METADATA: &str = "169.254.169.254";
/// Address on the internet, which all pods may reach.
const WORLD: &str = "10.240.0.77";
const PORT: u16 = 8_099;

impl Outside {
    fn at(address: &'static str) -> Result<Self, ()> {
        let network = format!("{address}/32");
        let made = Command::new("ip").args(["addr", "add", &network, "dev", "nodes"]).output();
        if !made.is_ok_and(|made| made.status.success()) {
            return Err(());
        }
        let outside = Self { address };
        let listener = TcpListener::bind((address, PORT)).expect("the address is ours");
        std::thread::spawn(move || {
            for mut client in listener.incoming().flatten() {
                let _ = client.read(&mut [0; 4096]);
                let _ = client.write_all(b"HTTP/1.0 200 OK\r\n\r\nreached\n");
            }
        });
        Ok(outside)
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        let network = format!("{}/32", self.address);
        let _ = Command::new("ip").args(["addr", "del", &network, "dev", "nodes"]).output();
    }
}

/// A command that waits, with a bound, until a pod's policy applies: a plug-in may notice the pod after its start.
fn is_held(closed: &str) -> String {
    format!("for _ in $(seq 60); do curl -sk --max-time 1 -o /dev/null {closed} || break; sleep 0.5; done; ")
}

/// A command that prints for each URL whether a server answers there.
fn tries(urls: &[&str]) -> String {
    let urls = urls.join(" ");
    format!(
        "for url in {urls}; do curl -sk --max-time 4 --connect-timeout 3 -o /dev/null $url; \
         case $? in 0|52|56) echo $url yes;; *) echo $url no;; esac; done"
    )
}

#[test]
fn policies_keep_apps_and_builds_from_metadata_api_servers_the_database_and_apps_of_others() {
    let _alone = alone();
    let platform = Platform::start();
    let admin = platform.admin();
    running_app(&platform, &admin, 1);
    let (Ok(_metadata), Ok(_world)) = (Outside::at(METADATA), Outside::at(WORLD)) else {
        // The network of a cluster that `KUBECONFIG` names is not changed.
        return;
    };
    // Registered by the administrator, who stays logged in.
    let (name, email) = ("--username=bob", "--email=bob@example.com");
    let fields = ["register", &*platform.url(), name, "--password=correct horse", email, "--login=false"];
    admin.deis(&fields).ok();
    let bob = platform.newcomer("bob");
    bob.login().ok();
    bob.add_key();
    let (metadata, world) = (format!("http://{METADATA}:{PORT}/"), format!("http://{WORLD}:{PORT}/"));
    let blog = format!("http://blog.{}/", platform.namespace_of("blog"));
    let hooks = format!("http://deis-controller-hooks.{}/", platform.namespace());
    let api = "https://kubernetes.default.svc.cluster.local/healthz";
    let server = std::env::var("WORKFLOW_E2E_POSTGRES").expect("`cargo xtask e2e --cluster` starts one");
    let database = server.split(['@', '/']).nth(3).expect("the URL names a host");
    let database = format!("http://{database}/");
    let all = [&*metadata, &*world, &*blog, &*hooks, api, &*database];
    let told = |said: &str, url: &str| {
        // The last two words of the line: git prefixes it, and `deis run` repeats the command.
        let answer = |line: &str| {
            let mut words = line.split_whitespace().rev();
            let answer = words.next().filter(|word| ["yes", "no"].contains(word))?;
            (words.next()? == url).then_some(answer == "yes")
        };
        said.lines().filter_map(answer).next_back().unwrap_or_else(|| panic!("{url} was not tried: {said}"))
    };

    // Without policies all of them can be reached: otherwise this test would show nothing.
    let open = platform.namespace_of("open");
    platform.kubectl(&["create", "namespace", &open]);
    let image =
        format!("--image=deis/stack:trixie-{}", std::env::var("WORKFLOW_E2E_TAG").expect("it is told"));
    let namespace = format!("--namespace={open}");
    let run = ["run", "probe", &namespace, &image, "--restart=Never", "--command", "--", "/bin/sh", "-c"];
    platform.kubectl(&[&run[..], &[&tries(&all)]].concat());
    // Not by `--attach`, which may come too late for what the container printed.
    let ended = "--for=jsonpath={.status.phase}=Succeeded";
    platform.kubectl(&["wait", "pod/probe", &namespace, ended, "--timeout=120s"]);
    let said = platform.kubectl(&["logs", "probe", &namespace]);
    for url in [&*metadata, &*world, api, &*database] {
        assert!(told(&said, url), "{url}: {said}");
    }
    for url in [&*blog, &*hooks] {
        assert!(!told(&said, url), "{url}: {said}");
    }

    let tries = is_held(&metadata) + &tries(&all);
    let build = format!("#!/bin/sh\n{tries}\n");
    let folder = bob.app_from_files(
        "visitor",
        &[("Procfile", SERVER), ("index.html", "visitor\n"), ("bin/pre-compile", &build)],
    );
    let pushed = bob.push(&folder).ok().all();
    // The router reaches the app, and DNS works.
    platform.wait_for_answer("visitor", "visitor");
    let run = bob.deis_in(&folder, &["run", &tries]).ok().stdout;
    for said in [&pushed, &run] {
        for url in [&*metadata, &*blog, &*hooks, api, &*database] {
            assert!(!told(said, url), "{url}: {said}");
        }
        assert!(told(said, &world), "{said}");
    }
    let namespace = format!("--namespace={}", platform.namespace_of("visitor"));
    let pods = ["get", "pods", &namespace, "--selector=type=web", "-o", "name"];
    let pod = platform.kubectl(&pods);
    let inside = platform.kubectl(&["exec", pod.trim(), &namespace, "--", "/bin/sh", "-c", &tries]);
    for url in [&*metadata, &*blog, &*hooks, api, &*database] {
        assert!(!told(&inside, url), "{url}: {inside}");
    }
    assert!(told(&inside, &world), "{inside}");
}
