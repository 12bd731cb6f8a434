//! The program itself starts while its engine is away and serves the last routes: at first, and when HUP restarts
//! it in place, under load. No client may notice it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use domain::AppName;
use domain::routing::{Backend, Route, RouteOwner, RouteTable};
use domain::sealing::{NONCE_BYTES, SealingKeys};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use testkit::wait_until_blocking;

const RESTARTS: usize = 4;
/// First line of the file.
const FORMAT: &str = "workflow route table 1\n";
/// Bound of each wait.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Time that the app takes for `/slow`.
const SLOW: Duration = Duration::from_millis(700);

/// An app that answers every request on every connection.
fn app() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut stream = BufReader::new(stream);
                while let Some(head) = head(&mut stream) {
                    if head.starts_with("GET /slow") {
                        std::thread::sleep(SLOW);
                    }
                    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
                    if stream.get_mut().write_all(answer).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

/// A head with its empty line; `None` where the connection has ended instead.
fn head(stream: &mut BufReader<TcpStream>) -> Option<String> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).unwrap_or(0) == 0 {
            return None;
        }
    }
    Some(head)
}

/// The last routes of a router that served the app, as they are kept.
fn last_routes(app: SocketAddr) -> String {
    let owner = RouteOwner::App(AppName::parse("blog").expect("a good name"));
    let backend = Backend { key: "a".to_owned(), address: app, release: 2 };
    let routes = vec![Arc::new(Route::plain(owner, "blog.test".to_owned(), vec![backend]))];
    serde_json::to_string(&RouteTable { routes, ..RouteTable::default() }).expect("a table")
}

fn write(folder: &Path, name: &str, text: &str) {
    std::fs::write(folder.join(name), text).expect("a folder of ours");
}

/// A Kubernetes that refuses every connection.
const NOBODY: &str = r#"{"apiVersion":"v1","kind":"Config","current-context":"a","contexts":[{"name":"a","context":
    {"cluster":"a","user":"a"}}],"clusters":[{"name":"a","cluster":{"server":"http://127.0.0.1:1"}}],"users":[{"name":"a","user":{}}]}"#;

/// The program, and where it says that it serves: once for each of its lives.
struct Router {
    program: Running,
    serving: mpsc::Receiver<SocketAddr>,
}

impl Router {
    fn start(folder: &Path) -> Self {
        let config = folder.join("kubeconfig");
        write(folder, "kubeconfig", NOBODY);
        let state = folder.display().to_string();
        let mut program = Command::new(env!("CARGO_BIN_EXE_workflow"))
            .args(["router", "--domain=test", "--https-listen=none", "--builder=none", "--workers=2"])
            .args(["--http-listen=127.0.0.1:0", "--health-listen=127.0.0.1:0", "--state-dir", &state])
            .env("KUBECONFIG", config)
            // That nobody answers there is no news.
            .env("WORKFLOW_LOG", "info,engine=off,kube_client=off")
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let said = BufReader::new(program.stderr.take().expect("it is piped"));
        let (tell, serving) = mpsc::channel();
        std::thread::spawn(move || {
            for line in said.lines().map_while(Result::ok) {
                let address =
                    line.split_once("serving HTTP on ").and_then(|(_, text)| text.trim().parse().ok());
                address.map(|address| tell.send(address));
                println!("{line}");
            }
        });
        Self { program: Running(program), serving }
    }

    fn serves(&self) -> SocketAddr {
        self.serving.recv_timeout(TIMEOUT).expect("it says where it serves")
    }

    fn hang_up(&self) {
        let pid = i32::try_from(self.program.0.id()).expect("a process id");
        kill(Pid::from_raw(pid), Signal::SIGHUP).expect("it runs");
    }
}

/// A program that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Gone already where the test has failed.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Responses and failures of all clients together.
#[derive(Default)]
struct Seen {
    answers: AtomicU64,
    faults: Mutex<Vec<String>>,
    is_over: AtomicBool,
}

impl Seen {
    /// Asks again and again, on one connection while the router keeps it, or each time on a new one.
    fn request(&self, address: SocketAddr, path: &str, keeps: bool) {
        let mut connection = None;
        while !self.is_over.load(Ordering::Relaxed) {
            match ask(connection.take(), address, path) {
                Ok(left) => {
                    self.answers.fetch_add(1, Ordering::Relaxed);
                    connection = left.filter(|_| keeps);
                }
                Err(fault) => self.faults.lock().expect("not poisoned").push(fault),
            }
        }
    }
}

/// One request; returns the connection if it stays open.
fn ask(
    connection: Option<BufReader<TcpStream>>,
    address: SocketAddr,
    path: &str,
) -> Result<Option<BufReader<TcpStream>>, String> {
    let is_new = connection.is_none();
    let connect = || -> std::io::Result<_> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        Ok(BufReader::new(stream))
    };
    let connected = connection.map_or_else(connect, Ok);
    let mut stream = connected.map_err(|error| format!("cannot connect: {error}"))?;
    let fault = |what: &str| format!("{what} on a connection that is {}", if is_new { "new" } else { "old" });
    let request = format!("GET {path} HTTP/1.1\r\nHost: blog.test\r\n\r\n");
    stream.get_mut().write_all(request.as_bytes()).map_err(|error| fault(&error.to_string()))?;
    let head = head(&mut stream).ok_or_else(|| fault("no answer"))?;
    let mut body = [0; 5];
    stream.read_exact(&mut body).map_err(|error| fault(&error.to_string()))?;
    if !head.starts_with("HTTP/1.1 200 ") || &body != b"hello" {
        return Err(fault(&head));
    }
    Ok((!head.to_ascii_lowercase().contains("connection: close")).then_some(stream))
}

/// Waits until the last routes are served, which is a moment after the start.
fn is_served(address: SocketAddr) {
    wait_until_blocking("the last routes are served", TIMEOUT, || ask(None, address, "/"));
}

#[test]
fn a_platform_that_starts_while_docker_is_away_serves_the_last_routes() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let key = "0123456789abcdef".repeat(4);
    let keys = SealingKeys::parse(&key).expect("64 hex digits");
    let sealed = keys.seal("route table", last_routes(app()).as_bytes(), [7; NONCE_BYTES]);
    write(folder.path(), "sealing-key", &key);
    write(folder.path(), "routes", &format!("{FORMAT}{sealed}"));
    // Free a moment ago; the platform says where it serves only when all of it does.
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let free = free.expect("a free port");

    let program = Command::new(env!("CARGO_BIN_EXE_workflow"))
        .args(["up", "--https-listen=none", "--ssh-listen=127.0.0.1:0", "--http-listen", &free.to_string()])
        .arg("--data-dir")
        .arg(folder.path())
        .arg("--docker-socket")
        .arg(folder.path().join("nobody"))
        .stdin(Stdio::null())
        .spawn()
        .expect("the program starts");
    let _program = Running(program);

    is_served(free);
}

#[test]
fn a_router_that_is_restarted_under_load_refuses_and_cuts_nobody() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    write(folder.path(), "routes", &format!("{FORMAT}{}", last_routes(app())));
    let mut router = Router::start(folder.path());
    let address = router.serves();
    let seen = Arc::new(Seen::default());
    is_served(address);

    let requests = [("/", true), ("/", true), ("/", true), ("/", false), ("/", false), ("/slow", true)];
    let visitors = requests.map(|(path, keeps)| {
        let seen = Arc::clone(&seen);
        std::thread::spawn(move || seen.request(address, path, keeps))
    });
    for _ in 0..RESTARTS {
        let before = seen.answers.load(Ordering::Relaxed);
        router.hang_up();
        assert_eq!(router.serves(), address);
        let are_served = || seen.answers.load(Ordering::Relaxed) >= before + 100;
        wait_until_blocking("a hundred more are served", TIMEOUT, are_served);
    }
    seen.is_over.store(true, Ordering::Relaxed);
    visitors.into_iter().for_each(|visitor| visitor.join().expect("a visitor's thread"));

    let (answers, faults) = (seen.answers.load(Ordering::Relaxed), seen.faults.lock().expect("not poisoned"));
    assert!(faults.is_empty(), "{} of {answers}: {:?}", faults.len(), &faults[..faults.len().min(5)]);
    assert!(
        router.program.0.try_wait().expect("it is ours").is_none(),
        "it is the same process all the time"
    );
    println!("{answers} answers over {RESTARTS} restarts");
}
