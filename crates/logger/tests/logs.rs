//! Lines from an engine and from the platform to disk and out over HTTP, with a stand-in for the engine.

#[path = "../../store/tests/disk/mod.rs"]
mod disk;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use domain::AppName;
use domain::ProcessType;
use domain::logs::{LogLine, LogOrigin};
use engine::log_queue::LogQueue;
use engine::{LogSink as _, LogSource};
use futures_util::{Stream, StreamExt as _, stream};
use jiff::Timestamp;
use logger::{LocalLines, LoggerError, LoggerSettings};
use tempfile::TempDir;
use testkit::{WAIT_MAX, wait_until};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use disk::SmallDisk;

/// An engine that remembers every line, as container logs do.
#[derive(Clone, Default)]
struct Lines {
    all: Arc<Mutex<Vec<LogLine>>>,
    followers: Arc<Mutex<Vec<mpsc::UnboundedSender<LogLine>>>>,
}

impl LogSource for Lines {
    fn follow(&self, since: BTreeMap<AppName, Timestamp>) -> Pin<Box<dyn Stream<Item = LogLine> + Send>> {
        let is_new = |line: &&LogLine| since.get(&line.app).is_some_and(|since| line.time > *since);
        let missed: Vec<_> = self.all.lock().unwrap().iter().filter(is_new).cloned().collect();
        let (sender, receiver) = mpsc::unbounded_channel();
        self.followers.lock().unwrap().push(sender);
        let live = stream::unfold(receiver, async |mut receiver| Some((receiver.recv().await?, receiver)));
        Box::pin(stream::iter(missed).chain(live))
    }
}

impl Lines {
    fn write(&self, line: &LogLine) {
        self.all.lock().unwrap().push(line.clone());
        self.followers.lock().unwrap().retain(|follower| follower.send(line.clone()).is_ok());
    }
}

struct World {
    folder: TempDir,
    lines: Lines,
    platform: Arc<LogQueue>,
    address: SocketAddr,
    stop: watch::Sender<bool>,
    serving: JoinHandle<Result<(), LoggerError>>,
}

impl World {
    async fn new() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut LoggerSettings)) -> Self {
        Self::on(Arc::default(), change).await
    }

    /// With a queue into which the platform may have written already.
    async fn on(platform: Arc<LogQueue>, change: impl FnOnce(&mut LoggerSettings)) -> Self {
        let (folder, lines) = (tempfile::tempdir().unwrap(), Lines::default());
        let (address, stop, serving) = start(&folder, &lines, &platform, change).await;
        Self { folder, lines, platform, address, stop, serving }
    }

    async fn restart(&mut self) {
        (self.address, self.stop, self.serving) =
            start(&self.folder, &self.lines, &self.platform, |_| {}).await;
    }

    async fn crash(&mut self) {
        self.serving.abort();
        let _ = (&mut self.serving).await;
        self.lines.followers.lock().unwrap().clear();
    }

    async fn stop(&mut self) {
        self.stop.send_replace(true);
        (&mut self.serving).await.unwrap().unwrap();
    }

    fn say(&self, app: &str, second: i64, text: &str) {
        self.lines.write(&line(app, second, text));
    }

    async fn ask(&self, method: &str, path: &str) -> (u16, String) {
        self.ask_with(method, path, "").await
    }

    async fn ask_with(&self, method: &str, path: &str, headers: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    /// The app's lines, once the last of them holds `last`.
    async fn until(&self, path: &str, last: &str) -> String {
        wait_until("the line comes", WAIT_MAX, async || {
            let (_, text) = self.ask("GET", path).await;
            let has_come = text.lines().next_back().is_some_and(|line| line.contains(last));
            if has_come { Ok(text) } else { Err(text) }
        })
        .await
    }
}

async fn start(
    folder: &TempDir,
    lines: &Lines,
    platform: &Arc<LogQueue>,
    change: impl FnOnce(&mut LoggerSettings),
) -> (SocketAddr, watch::Sender<bool>, JoinHandle<Result<(), LoggerError>>) {
    let mut settings = LoggerSettings::new(folder.path().join("logs"));
    change(&mut settings);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = watch::channel(false);
    let before = lines.followers.lock().unwrap().len();
    let local = LocalLines { source: Arc::new(lines.clone()), platform: Arc::clone(platform) };
    let serving = tokio::spawn(logger::run(settings, Some(listener), Some(local), stopped));
    let follows = async || lines.followers.lock().unwrap().len() > before;
    wait_until("the logger follows", WAIT_MAX, follows).await;
    (address, stop, serving)
}

fn line(app: &str, second: i64, text: &str) -> LogLine {
    let origin = LogOrigin::Process { process: ProcessType::web(), release: 2, pod: "2ggow".to_owned() };
    let time = Timestamp::from_second(1_767_323_045 + second).unwrap();
    LogLine { time, app: AppName::parse(app).unwrap(), origin, text: text.to_owned() }
}

#[tokio::test]
async fn the_last_lines_of_an_app_are_answered_as_text() {
    let world = World::new().await;
    for second in 0..150 {
        world.say("foo", second, &format!("hello {second}"));
    }
    world.say("bar", 0, "other");

    let all = world.until("/logs/foo", "hello 149").await;
    let bad = world.ask("GET", "/logs/foo?log_lines=x").await;
    let (status, two) = world.ask("GET", "/logs/foo?log_lines=2").await;

    assert_eq!(all.lines().count(), 100);
    assert_eq!(bad, (200, all));
    assert_eq!(status, 200);
    assert_eq!(
        two,
        "2026-01-02T03:06:33+00:00 foo[web.v2.2ggow]: hello 148\n\
         2026-01-02T03:06:34+00:00 foo[web.v2.2ggow]: hello 149\n"
    );
}

#[tokio::test]
async fn an_app_without_lines_is_204_and_a_name_that_is_none_is_404() {
    let world = World::new().await;

    assert_eq!(world.ask("GET", "/logs/foo").await, (204, String::new()));
    assert_eq!(world.ask("GET", "/logs/..%2Fetc").await.0, 404);
    assert_eq!(world.ask("DELETE", "/logs/FOO").await.0, 404);
    assert_eq!(world.ask("GET", "/healthz").await.0, 200);
}

#[tokio::test]
async fn lines_are_kept_up_to_the_bound_and_the_disk_holds_little_more() {
    let world = World::new().await;
    for second in 0..5_000 {
        world.say("foo", second, &format!("hello {second}"));
    }

    let text = world.until("/logs/foo?log_lines=9999", "hello 4999").await;

    assert_eq!(text.lines().count(), 1_000);
    let stored = std::fs::read_to_string(world.folder.path().join("logs/foo.log")).unwrap();
    assert!(stored.lines().count() <= 1_000);
}

#[tokio::test]
async fn long_lines_are_whole_up_to_a_bound_and_bytes_are_bounded() {
    let world = World::with(|settings| settings.bytes_per_app_max = 1_000_000).await;
    for second in 0..100 {
        world.say("foo", second, &"ä".repeat(200_000));
    }
    let json = format!("{{\"message\":\"{}\"}}", "ü".repeat(131_000));
    world.say("foo", 100, &json);
    world.say("foo", 101, "last");

    let text = world.until("/logs/foo", "last").await;

    assert!(text.lines().all(|line| line.len() < 263_000));
    assert!(text.lines().rev().nth(1).is_some_and(|line| line.ends_with(&json)), "{}", text.len());
    let folder = std::fs::read_dir(world.folder.path().join("logs")).unwrap();
    let size_bytes: u64 = folder.map(|entry| entry.unwrap().metadata().unwrap().len()).sum();
    assert!(size_bytes < 1_600_000, "{size_bytes}");
}

#[tokio::test]
async fn a_line_break_inside_cannot_fake_a_line() {
    let world = World::new().await;
    world.say("foo", 0, "a\n2026-01-02T03:06:33+00:00 deis[controller]: INFO fake");

    assert_eq!(world.until("/logs/foo", "fake").await.lines().count(), 1);
}

#[tokio::test]
async fn lines_survive_a_stop_and_are_not_doubled() {
    let mut world = World::new().await;
    world.say("foo", 0, "before");
    world.until("/logs/foo", "before").await;
    world.say("foo", 1, "just before");
    world.until("/logs/foo", "just before").await;

    world.stop().await;
    world.lines.followers.lock().unwrap().clear();
    world.say("foo", 2, "while away");
    world.restart().await;

    assert_eq!(world.until("/logs/foo", "while away").await.lines().count(), 3);
}

/// A line of the platform, as the controller writes it.
fn platform_line(app: &str, second: i64, text: &str) -> LogLine {
    let origin = LogOrigin::Platform { component: "controller".to_owned(), level: "INFO".to_owned() };
    LogLine { origin, ..line(app, second, text) }
}

#[tokio::test]
async fn lines_of_the_platform_are_kept_beside_those_of_processes_also_from_before_the_start() {
    let platform = Arc::<LogQueue>::default();
    platform.write(platform_line("foo", 0, "alice created initial release"));
    let world = World::on(platform, |_| {}).await;
    world.until("/logs/foo", "initial release").await;
    world.say("foo", 1, "hello");
    world.until("/logs/foo", "hello").await;
    world.platform.write(platform_line("foo", 2, "alice scaled pods web=2"));

    let text = world.until("/logs/foo", "web=2").await;

    assert_eq!(
        text,
        "2026-01-02T03:04:05+00:00 deis[controller]: INFO alice created initial release\n\
         2026-01-02T03:04:06+00:00 foo[web.v2.2ggow]: hello\n\
         2026-01-02T03:04:07+00:00 deis[controller]: INFO alice scaled pods web=2\n"
    );
}

#[tokio::test]
async fn lines_of_the_platform_that_wait_when_the_logger_stops_are_on_disk() {
    let mut world = World::new().await;

    // In one turn, so that the stop comes before the logger has looked.
    world.platform.write(platform_line("foo", 0, "the last"));
    world.stop().await;

    let stored = std::fs::read_to_string(world.folder.path().join("logs/foo.log")).unwrap();
    assert!(stored.contains("the last"), "{stored}");
}

#[tokio::test]
async fn after_a_crash_the_last_lines_are_asked_for_again() {
    let mut world = World::new().await;
    world.say("foo", 0, "on disk");
    world.until("/logs/foo", "on disk").await;
    world.say("foo", 1, "in memory");

    world.crash().await;
    let path = world.folder.path().join("logs/foo.log");
    let mut torn = std::fs::read(&path).unwrap();
    torn.extend_from_slice(b"{\"time\":\"2026-01");
    std::fs::write(&path, torn).unwrap();
    world.restart().await;

    assert_eq!(world.until("/logs/foo", "in memory").await.lines().count(), 2);
    world.say("foo", 2, "after");
    assert_eq!(world.until("/logs/foo", "after").await.lines().count(), 3);
}

#[tokio::test]
async fn a_removed_app_has_no_lines_and_late_ones_bring_none_back() {
    let world = World::new().await;
    world.say("foo", 0, "hello");
    world.until("/logs/foo", "hello").await;

    assert_eq!(world.ask("DELETE", "/logs/foo").await.0, 204);
    world.say("foo", 1, "late");
    world.say("bar", 0, "marker");
    world.until("/logs/bar", "marker").await;

    assert_eq!(world.ask("GET", "/logs/foo").await.0, 204);
    assert!(!world.folder.path().join("logs/foo.log").exists());
}

#[tokio::test]
async fn only_the_key_opens_logs_where_one_is_set() {
    let world = World::with(|settings| settings.key = Some("secret".to_owned())).await;

    assert_eq!(world.ask("GET", "/logs/foo").await.0, 401);
    assert_eq!(world.ask_with("GET", "/logs/foo", "X-Deis-Logger-Auth: secres\r\n").await.0, 401);
    assert_eq!(world.ask_with("GET", "/logs/foo", "X-Deis-Logger-Auth: secret\r\n").await.0, 204);
    assert_eq!(world.ask("GET", "/healthz").await.0, 200);
}

#[tokio::test]
async fn files_are_ours_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let world = World::new().await;
    world.say("foo", 0, "hello");
    world.until("/logs/foo", "hello").await;

    let mode = |path: &str| std::fs::metadata(world.folder.path().join(path)).unwrap().permissions().mode();
    assert_eq!((mode("logs") & 0o777, mode("logs/foo.log") & 0o777), (0o700, 0o600));
}

#[tokio::test]
async fn lines_that_find_a_full_disk_wait_and_are_kept_once_there_is_room() {
    let Some(disk) = SmallDisk::new(1 << 10) else { return };
    let world = World::with(|settings| settings.data_dir = disk.path().join("logs")).await;
    world.say("foo", 0, "before");
    world.until("/logs/foo", "before").await;
    disk.fill(0);
    let long = "x".repeat(8_000);
    for second in 1..4 {
        world.say("foo", second, &format!("{long} {second}"));
    }

    let full = world.until("/logs/foo", "before").await;
    disk.free();
    let kept = world.until("/logs/foo", " 3").await;

    assert_eq!(full.lines().count(), 1, "what is read is whole lines");
    assert_eq!(kept.lines().count(), 4);
}

#[tokio::test]
async fn a_batch_that_finds_a_full_disk_is_507_and_neither_lost_nor_doubled_when_it_comes_again() {
    let Some(disk) = SmallDisk::new(1 << 10) else { return };
    let world = World::with(|settings| {
        (settings.data_dir, settings.lines_key) = (disk.path().join("logs"), Some("write".to_owned()));
    })
    .await;
    let batch: Vec<_> = (0..3).map(|second| line("foo", second, &"x".repeat(8_000))).collect();
    let batch = batch.iter().map(|line| serde_json::to_string(line).unwrap() + "\n").collect::<String>();
    let send = async || {
        let head = format!("{}: write\r\nContent-Length: {}\r\n\r\n{batch}", logger::KEY_HEADER, batch.len());
        world.ask_with("POST", "/lines", &head).await
    };
    disk.fill(0);

    for _ in 0..3 {
        let (status, text) = send().await;
        assert_eq!((status, text.contains("disk is full")), (507, true), "{text}");
    }
    disk.free();

    assert_eq!(send().await.0, 204);
    assert_eq!(world.ask("GET", "/logs/foo").await.1.lines().count(), 3);
}
