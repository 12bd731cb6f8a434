//! Effects of process settings: docs/spec/journeys.md A6-A11 and A15 on one machine and on a cluster.

use std::path::PathBuf;
use std::time::Duration;

use e2e::{Platform, User, wait_until_blocking};

/// Serves HTTP on the port; paths and variables make it misbehave.
const SERVER: &str = r#"
import http.server, os

is_broken = False

def limits():
    for memory, cpu in [("memory/memory.limit_in_bytes", "cpu/cpu.cfs_quota_us"), ("memory.max", "cpu.max")]:
        try:
            return " ".join(open("/sys/fs/cgroup/" + name).read().split()[0] for name in (memory, cpu))
        except OSError:
            pass

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        global is_broken
        status, body = 200, os.environ.get("WORD", "up")
        if self.path == "/limits":
            body = limits()
        elif self.path == "/eat":
            body = str(len(bytearray(os.urandom(256 << 20))))
        elif self.path == "/break":
            is_broken = True
        elif self.path == "/alive" and is_broken or self.path == "/ready" and "SICK" in os.environ:
            status = 500
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

http.server.ThreadingHTTPServer(("", int(os.environ["PORT"])), Handler).serve_forever()
"#;

fn pushed_app(platform: &Platform, admin: &User<'_>) -> PathBuf {
    let procfile = "web: exec python3 server.py\nworker: exec sleep 100000\n";
    let folder = admin.app_from_files("blog", &[("Procfile", procfile), ("server.py", SERVER)]);
    admin.push(&folder).ok();
    platform.wait_for_answer("blog", "up");
    folder
}

/// Waits until this path has this response: old replicas may serve for a moment longer.
fn answers(platform: &Platform, path: &str, wanted: &str) {
    wait_until_blocking(&format!("{path} gives {wanted:?}"), Duration::from_secs(30), || {
        match platform.get("blog", path) {
            Ok(answer) if answer.status == 200 && answer.body.trim() == wanted => Ok(()),
            other => Err(other),
        }
    });
}

#[test]
fn limits_bound_memory_and_processors() {
    let platform = Platform::start();
    let admin = platform.admin();
    let folder = pushed_app(&platform, &admin);
    let deis = |words: &[&str]| admin.deis_in(&folder, words);

    deis(&["limits:set", "web=64M"]).ok();
    deis(&["limits:set", "web=250m", "--cpu"]).ok();

    let shown = deis(&["limits"]).ok().stdout;
    assert!(shown.contains("64M") && shown.contains("250m"), "{shown}");
    answers(&platform, "/limits", "67108864 25000");
    let eaten = platform.get("blog", "/eat");
    assert!(!matches!(&eaten, Ok(answer) if answer.status == 200), "{eaten:?}");
    platform.wait_for_answer("blog", "up");

    deis(&["limits:set", "web=1M"]).fails(1, "Memory limit must be at least 4M");
    deis(&["limits:unset", "web", "--cpu"]).ok();
    answers(&platform, "/limits", "67108864 -1");
}

#[test]
fn health_checks_gate_a_release_and_restart_what_is_sick() {
    let platform = Platform::start();
    let admin = platform.admin();
    let folder = pushed_app(&platform, &admin);
    let deis = |words: &[&str]| admin.deis_in(&folder, words);
    // One late answer of a busy machine is no sick replica.
    let soon = ["--initial-delay-timeout=1", "--period-seconds=1", "--failure-threshold=3", "--type=web"];
    let check = |kind: &str, path: &str| {
        let words = ["healthchecks:set", kind, "httpGet", "5000", "--path", path];
        deis(&[&words[..], &soon].concat())
    };
    deis(&["config:set", "DEIS_DEPLOY_TIMEOUT=20"]).ok();
    check("readiness", "/ready").ok();
    check("liveness", "/alive").ok();
    let before = platform.settled_containers("blog", 1);

    let sick = deis(&["config:set", "SICK=1", "WORD=new"]);
    assert_eq!(sick.code, Some(1), "{}", sick.all());
    platform.wait_for_answer("blog", "up");
    assert_eq!(platform.settled_containers("blog", 1), before, "the old replica serves on");

    platform.get("blog", "/break").expect("an answer");
    wait_until_blocking("the sick replica is restarted", Duration::from_secs(60), || {
        (platform.containers("blog") != before).then_some(())
    });
    platform.wait_for_answer("blog", "up");
    deis(&["healthchecks:unset", "readiness", "--type=web"]).ok();
    let listed = deis(&["healthchecks"]).ok().stdout;
    assert!(listed.contains("/alive") && !listed.contains("/ready"), "{listed}");
}

#[test]
fn process_types_scale_apart_and_go_with_their_line() {
    let platform = Platform::start();
    let admin = platform.admin();
    let folder = pushed_app(&platform, &admin);
    let deis = |words: &[&str]| admin.deis_in(&folder, words);

    let listed = deis(&["scale", "worker=1"]).ok().stdout;
    assert!(listed.contains("--- worker:") && listed.contains("--- web:"), "{listed}");
    deis(&["scale", "web=0"]).ok();
    wait_until_blocking("visitors are told that nothing runs", Duration::from_secs(30), || {
        platform.get("blog", "/").ok().filter(|answer| answer.status == 503)
    });
    deis(&["scale", "web=1"]).ok();
    platform.wait_for_answer("blog", "up");

    // A backing service is attached and detached by a variable.
    deis(&["config:set", "WORD=postgres://db.example.com/blog"]).ok();
    platform.wait_for_answer("blog", "postgres://db.example.com/blog");
    deis(&["config:unset", "WORD"]).ok();
    platform.wait_for_answer("blog", "up");

    let workers = || {
        let pods = deis(&["ps"]).ok().stdout;
        pods.lines().filter(|line| line.contains("blog-worker-")).count()
    };
    assert_eq!(workers(), 1);
    admin.change(&folder, &[("Procfile", "web: exec python3 server.py\n")]);
    admin.push(&folder).ok();
    wait_until_blocking("the worker is gone", Duration::from_secs(60), || (workers() == 0).then_some(()));

    deis(&["scale", "worker=1"]).fails(1, "Container type worker does not exist in application");

    // Rolling back brings the type back, with its last count.
    deis(&["rollback", "v2"]).ok();
    assert_eq!(workers(), 1);
    let releases = deis(&["releases"]).ok().stdout;
    assert!(releases.contains("admin rolled back to v2"), "{releases}");
}

#[test]
fn tags_choose_nodes() {
    let platform = Platform::with_labelled_node("environ", "prod");
    let admin = platform.admin();
    let folder = pushed_app(&platform, &admin);
    let deis = |words: &[&str]| admin.deis_in(&folder, words);

    deis(&["tags:set", "environ=nowhere"]).fails(1, "No nodes matched the provided labels");
    deis(&["tags:set", "environ=prod"]).ok();

    let listed = deis(&["tags"]).ok().stdout;
    assert!(listed.contains("environ") && listed.contains("prod"), "{listed}");
    platform.settled_containers("blog", 1);
    assert_eq!(platform.nodes_of("blog"), platform.labelled_nodes("environ", "prod"));
    platform.wait_for_answer("blog", "up");
    deis(&["tags:unset", "environ"]).ok();
}
