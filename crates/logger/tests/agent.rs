//! From the log files of a node to the logger's disk, with a folder in place of the node's.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use domain::logs::{PodName, PodOrigin};
use domain::{AppName, ProcessType};
use logger::agent::{self, AgentError, AgentSettings};
use logger::{LoggerClient, LoggerSettings};
use tempfile::TempDir;
use testkit::{WAIT_MAX, wait_until};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

const KEY: &str = "a key that writes lines";

/// Stop signal and end of a running agent.
type Running<T> = (watch::Sender<bool>, JoinHandle<T>);

struct World {
    folder: TempDir,
    address: SocketAddr,
    pods: watch::Sender<Arc<BTreeMap<PodName, PodOrigin>>>,
    agent: Option<Running<Result<(), AgentError>>>,
    logger: Option<Running<()>>,
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["containers", "pods/blog/web", "node"] {
            std::fs::create_dir_all(folder.path().join(name)).unwrap();
        }
        let origin =
            PodOrigin { app: AppName::parse("blog").unwrap(), process: ProcessType::web(), release: 2 };
        let pod = PodName { namespace: "blog".to_owned(), name: "blog-web-5d9c-x2v4k".to_owned() };
        let pods = watch::Sender::new(Arc::new(BTreeMap::from([(pod, origin)])));
        let address = "127.0.0.1:0".parse().unwrap();
        let mut world = Self { folder, address, pods, agent: None, logger: None };
        world.start_logger().await;
        world
    }

    async fn start_logger(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.address = listener.local_addr().unwrap();
        let mut settings = LoggerSettings::new(self.folder.path().join("logs"));
        settings.lines_key = Some(KEY.to_owned());
        let (stop, stopping) = watch::channel(false);
        let serving = tokio::spawn(async move {
            logger::run(settings, Some(listener), None, stopping).await.unwrap();
        });
        self.logger = Some((stop, serving));
    }

    async fn stop_logger(&mut self) {
        let (stop, serving) = self.logger.take().unwrap();
        stop.send_replace(true);
        serving.await.unwrap();
    }

    fn start_agent(&mut self) {
        let settings = AgentSettings {
            logs_dir: self.folder.path().join("containers"),
            positions_file: self.folder.path().join("node/positions.json"),
        };
        let client = LoggerClient::new(&format!("http://{}", self.address), Some(KEY.to_owned()));
        let (stop, stopping) = watch::channel(false);
        let running = tokio::spawn(agent::run(settings, client, self.pods.subscribe(), stopping));
        self.agent = Some((stop, running));
    }

    async fn stop_agent(&mut self) {
        let (stop, running) = self.agent.take().unwrap();
        stop.send_replace(true);
        running.await.unwrap().unwrap();
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("pods/blog/web/0.log")
    }

    /// Appends to the container's log, linking it as the kubelet does.
    fn say(&self, text: &str) {
        self.say_in(&self.file(), "0123", text);
    }

    /// As [`World::say`], of a container with this id.
    fn say_in(&self, path: &Path, id: &str, text: &str) {
        use std::io::Write as _;
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
        // As runtimes do, cut at any byte.
        let mut parts = text.as_bytes().chunks(16 << 10).peekable();
        while let Some(part) = parts.next() {
            let tag = if parts.peek().is_some() { "P" } else { "F" };
            let head = format!("2026-01-02T03:04:05.000000006Z stdout {tag} ");
            file.write_all(&[head.as_bytes(), part, b"\n"].concat()).unwrap();
        }
        let link = self.folder.path().join(format!("containers/blog-web-5d9c-x2v4k_blog_blog-web-{id}.log"));
        if !link.exists() {
            std::os::unix::fs::symlink(path, link).unwrap();
        }
    }

    fn rotate(&self) {
        std::fs::rename(self.file(), self.file().with_extension("log.20260102-030405")).unwrap();
    }

    /// The texts that the logger has, once the last of them is `last`.
    async fn until(&self, last: &str) -> Vec<String> {
        let stored = self.folder.path().join("logs/blog.log");
        let stored_lines = async || {
            let text = std::fs::read_to_string(&stored).unwrap_or_default();
            let read = |line: &str| serde_json::from_str::<domain::logs::LogLine>(line).unwrap().render();
            // The logger may be in the middle of a line.
            let whole = text.rfind('\n').map_or("", |end| &text[..end]);
            let lines: Vec<_> = whole.lines().map(read).collect();
            if lines.last().is_some_and(|line| line.ends_with(last)) { Ok(lines) } else { Err(lines) }
        };
        let lines = wait_until("the line comes", WAIT_MAX, stored_lines).await;
        let prefix = "2026-01-02T03:04:05+00:00 blog[web.v2.x2v4k]: ";
        lines.iter().map(|line| line.strip_prefix(prefix).unwrap().to_owned()).collect()
    }
}

#[tokio::test]
async fn lines_of_app_containers_arrive_as_those_of_docker_do_and_others_stay() {
    let mut world = World::new().await;
    std::fs::write(world.folder.path().join("containers/coredns-1_kube-system_coredns-2.log"), "x\n")
        .unwrap();
    world.say("one");
    world.start_agent();

    assert_eq!(world.until("one").await, ["one"]);
    world.say("two");
    assert_eq!(world.until("two").await, ["one", "two"]);
}

#[tokio::test]
async fn a_long_line_arrives_whole_and_beyond_the_bound_in_parts_that_make_it_up() {
    let mut world = World::new().await;
    let json = format!("{{\"message\":\"{}\"}}", "ü".repeat(131_000));
    let longer = format!("a{}", "ü".repeat(200_000));
    // JSON writes each of these as six.
    let odd = "\u{1}".repeat(200_000);
    [&json, &longer, &odd, "last"].iter().for_each(|text| world.say(text));
    world.start_agent();

    let lines = world.until("last").await;

    assert!(lines.len() == 5 && lines[0] == json && lines[3] == odd, "{:?}", lines.iter().map(String::len));
    let parts =
        [lines[1].strip_prefix("[part 1 of a long line] "), lines[2].strip_prefix("[part 2, the last] ")];
    assert!(parts.map(Option::unwrap).concat() == longer);
}

#[tokio::test]
async fn lines_of_a_crashed_run_come_before_those_of_the_next_that_is_found_with_it() {
    let mut world = World::new().await;
    world.say("one");
    // The id of a container says nothing of its age.
    world.say_in(&world.folder.path().join("pods/blog/web/1.log"), "0000", "two");
    world.start_agent();

    assert_eq!(world.until("two").await, ["one", "two"]);
}

#[tokio::test]
async fn a_rotation_loses_and_repeats_nothing() {
    let mut world = World::new().await;
    world.say("one");
    world.start_agent();
    world.until("one").await;

    world.say("two");
    world.rotate();
    world.say("three");

    assert_eq!(world.until("three").await, ["one", "two", "three"]);
}

#[tokio::test]
async fn a_restart_goes_on_where_it_was_also_in_a_file_that_was_rotated_meanwhile() {
    let mut world = World::new().await;
    world.say("one");
    world.start_agent();
    world.until("one").await;
    world.stop_agent().await;

    world.say("two");
    world.rotate();
    world.say("three");
    world.start_agent();

    assert_eq!(world.until("three").await, ["one", "two", "three"]);
}

#[tokio::test]
async fn lines_of_a_file_that_was_rotated_after_a_crash_arrive_though_none_of_it_was_sent_before() {
    let mut world = World::new().await;
    world.stop_logger().await;
    world.say("one");
    world.start_agent();
    let positions = world.folder.path().join("node/positions.json");
    let is_recorded =
        async || std::fs::read_to_string(&positions).is_ok_and(|text| text.contains("blog-web"));
    wait_until("the position is recorded", WAIT_MAX, is_recorded).await;
    let (_stop, running) = world.agent.take().unwrap();
    running.abort();

    world.rotate();
    world.say("two");
    world.start_logger().await;
    world.start_agent();

    assert_eq!(world.until("two").await, ["one", "two"]);
}

#[tokio::test]
async fn while_the_logger_is_away_lines_wait_in_the_files() {
    let mut world = World::new().await;
    world.say("one");
    world.start_agent();
    world.until("one").await;

    world.stop_logger().await;
    world.say("two");
    world.say("three");
    world.start_logger().await;

    assert_eq!(world.until("three").await, ["one", "two", "three"]);
}
