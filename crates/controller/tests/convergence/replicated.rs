//! Several controllers on one PostgreSQL: all of them answer, one carries out deploys, and when that one is killed
//! another goes on. The one that is killed is a process of its own.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use controller::{Controller, deployer};
use sha2::{Digest as _, Sha256};
use store::{DeployState, PageRange, Store};
use testkit::{WAIT_MAX, wait_until};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::stand_in::{StandIn, StopPoint};
use crate::world::{World, app};

/// Tells this program that it is the other process, and which database is shared.
const SHARED_DATABASE: &str = "WORKFLOW_TEST_SHARED_DATABASE";
const OTHER_PROCESS: &str = "replicated::the_other_process";
const TOKEN: &str = "0123456789abcdef0123456789abcdef01234567";

/// Another controller in a process of its own, killed when dropped.
struct OtherProcess {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl OtherProcess {
    fn start(database: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--ignored", "--exact", OTHER_PROCESS, "--nocapture"])
            .env(SHARED_DATABASE, database)
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program starts again");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        Self { child, lines }
    }

    /// Reads the rest of the next line that begins with `word`.
    fn hear(&mut self, word: &str) -> String {
        let mut lines = self.lines.by_ref().map_while(Result::ok);
        let heard = lines.find_map(|line| line.strip_prefix(word).map(str::to_owned));
        heard.unwrap_or_else(|| panic!("the other process ended before it said {word}"))
    }

    /// SIGKILL: it has no chance to tidy up.
    fn kill(mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it ends");
    }
}

impl Drop for OtherProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Answers the API on a free port until the test ends.
async fn serve(controller: Controller, shutdown: watch::Receiver<bool>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(controller::serve(listener, controller::public_router(controller), shutdown));
    port
}

async fn ask(port: u16, method: &str, path: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.expect("it listens");
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: deis.example.com\r\nConnection: close\r\nAuthorization: token {TOKEN}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("answered");
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    (status, answer)
}

/// Leads, begins the deploy that it finds, and hangs in the middle of it until it is killed.
#[tokio::test]
#[ignore = "a process of its own for the test below"]
async fn the_other_process() {
    let url = std::env::var(SHARED_DATABASE).expect("it is started by the test below");
    let world = World::on(&url).await;
    let hangs = StandIn::new(world.engine.clone(), StopPoint::After(1));
    let stopped = hangs.stopped.clone();
    let controller = world.controller_with(Arc::new(hangs));
    let (_stop, stopping) = watch::channel(false);
    println!("\nserves {}", serve(controller.clone(), stopping.clone()).await);
    tokio::spawn(deployer::run_while_leading(controller, stopping));
    stopped.notified().await;
    println!("\nhangs");
    std::future::pending::<()>().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_is_killed_in_the_middle_of_a_deploy_loses_nothing() {
    let mut world = World::new().await;
    let url = world.url().to_owned();
    if !url.starts_with("postgres") {
        eprintln!("left out: several controllers share a PostgreSQL, and here is none");
        return;
    }
    world.settings.poll_interval = Duration::from_millis(200);
    world
        .store
        .add_token("alice", &hex::encode(Sha256::digest(TOKEN)), jiff::Timestamp::now())
        .await
        .expect("a token");
    let first = world.built("blog", "web").await;
    let mut other = OtherProcess::start(&url);
    let others_port: u16 = other.hear("serves ").parse().expect("a port");
    other.hear("hangs");
    let ours = World::on(&url).await.store;
    let controller = world.controller_on(ours.clone());
    let (stop, stopping) = watch::channel(false);
    let our_port = serve(controller.clone(), stopping.clone()).await;
    let follower = tokio::spawn(deployer::run_while_leading(controller, stopping));

    // The deploy is under way in the other process; both answer, and a change that comes to us waits for it.
    assert_eq!(state(&ours, first).await, DeployState::Running);
    for port in [others_port, our_port] {
        let (status, answer) = ask(port, "GET", "/v2/apps/blog/releases/", "").await;
        assert!(status == 200 && answer.contains(r#""count":2"#), "{answer}");
    }
    let change = tokio::spawn(async move {
        ask(our_port, "POST", "/v2/apps/blog/config/", r#"{"values":{"COLOR":"teal"}}"#).await
    });
    let changed = async || ours.releases(&app("blog"), PageRange::ALL).await.expect("a list").count == 3;
    wait_until("the change is recorded while another leads", WAIT_MAX, changed).await;
    assert!(ours.lead().await.expect("an answer").is_none() && !change.is_finished());
    other.kill();

    let (status, answer) =
        timeout(Duration::from_secs(20), change).await.expect("another goes on").expect("no panic");
    assert!(status == 201 && answer.contains("teal"), "{answer}");
    let superseded = ours.deploy(first).await.expect("an answer").expect("a deploy");
    assert_eq!((superseded.state, superseded.successor), (DeployState::Superseded, Some(first + 1)));
    assert_eq!(state(&ours, first + 1).await, DeployState::Succeeded);
    assert_eq!(world.wanted().await, "web v3 x1");
    let releases = ours.releases(&app("blog"), PageRange::ALL).await.expect("a list").rows;
    assert_eq!(
        releases.iter().map(|release| (release.version, release.failed)).collect::<Vec<_>>(),
        [(3, false), (2, false), (1, false)]
    );
    // One that is asked to stop hands the lead over at once.
    stop.send_replace(true);
    timeout(Duration::from_secs(20), follower).await.expect("it stops").expect("no panic");
    wait_until("the lead is free", WAIT_MAX, async || ours.lead().await.expect("an answer").is_some()).await;
}

async fn state(store: &Store, deploy: i64) -> DeployState {
    store.deploy(deploy).await.expect("an answer").expect("a deploy").state
}
