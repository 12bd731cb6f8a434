//! `cargo xtask bench api`: cost of a request to the API, with 10, 1,000 and 10,000 apps, on SQLite and PostgreSQL.
//!
//! The server is the controller with an engine in memory, a release build; it runs in a separate process, whose
//! CPU time is read before and after. The clients, in this process, keep their connections.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};

use super::figures::Figures;
use super::processes;
use crate::postgres::Postgres;
use crate::{packages, paths, progress};

/// Goal for the list, with any number of apps.
const LIST_P99_MAX: Duration = Duration::from_millis(50);
/// Seconds of requests, one after another, of each client, after the warm-up.
const SECONDS: u64 = 6;
const WARM_UP: Duration = Duration::from_secs(1);
const CLIENTS: usize = 2;
/// Most requests of one client in that time whose durations are kept.
const REQUESTS_MAX: usize = 1_000_000;
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// Cost of requests to the API, on SQLite and PostgreSQL.
#[derive(Debug, clap::Args)]
pub struct Api {
    /// Number of apps; several numbers are joined by commas.
    #[arg(long, value_delimiter = ',', default_values_t = [10, 1_000, 10_000])]
    apps: Vec<usize>,
}

impl Api {
    pub fn run(&self) -> anyhow::Result<Figures> {
        packages::ensure(&[packages::POSTGRESQL])?;
        let program = build()?;
        let mut figures = Figures::new("api");
        let folder = paths::state().join("bench-api");
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder)?;
        for apps in &self.apps {
            ensure!(*apps >= 3, "--apps {apps}: expected at least 3, so that each client has one to change");
            let sqlite = format!("sqlite://{}", folder.join(format!("{apps}.db")).display());
            measure(&program, "SQLite", &sqlite, *apps, &mut figures)?;
            // A separate PostgreSQL server for each number of apps.
            let postgres = Postgres::start()?;
            measure(&program, "PostgreSQL", &postgres.url(), *apps, &mut figures)?;
        }
        std::fs::remove_dir_all(&folder)?;
        Ok(figures)
    }
}

fn build() -> anyhow::Result<std::path::PathBuf> {
    progress::step("Build the controller to be measured (release)", || {
        let build = ["build", "--release", "--package=controller", "--example=bench_world"];
        let mut cargo = Command::new(paths::cargo());
        progress::run(cargo.current_dir(paths::checkout()).args(build))
    })?;
    Ok(paths::target().join("release/examples/bench_world"))
}

fn measure(
    program: &std::path::Path,
    database: &str,
    url: &str,
    apps: usize,
    figures: &mut Figures,
) -> anyhow::Result<()> {
    let server =
        progress::step(&format!("Seed {apps} apps in {database}"), || Server::start(program, url, apps))?;
    let list = "/v2/apps/?limit=100";
    let offset = apps.saturating_sub(10);
    for (name, request) in [
        ("list of apps", Request::Get(list.to_owned())),
        ("page of 10 apps", Request::Get("/v2/apps/?limit=10".to_owned())),
        ("last page of 10 apps", Request::Get(format!("/v2/apps/?limit=10&offset={offset}"))),
        ("releases", Request::Get("/v2/apps/app-00000/releases/".to_owned())),
        ("config", Request::Config),
    ] {
        let Measured { p50, p99, per_cpu_second } = server.ask_for_a_while(&request)?;
        let figure = |what: &str| format!("{name}, {apps} apps, {database}: {what}");
        figures.add(figure("p50"), p50.as_secs_f64() * 1e3, "ms");
        figures.add(figure("p99"), p99.as_secs_f64() * 1e3, "ms");
        figures.add(figure("requests a CPU-second"), per_cpu_second, "");
        if name == "list of apps" && p99 > LIST_P99_MAX {
            figures.miss(figure(&format!("p99 above {} ms", LIST_P99_MAX.as_millis())));
        }
    }
    Ok(())
}

/// The repeated request.
enum Request {
    Get(String),
    /// Sets a variable of an app without a build, to another value each time.
    Config,
}

struct Measured {
    p50: Duration,
    p99: Duration,
    /// Requests divided by the CPU time of the server; that of the database is not included.
    per_cpu_second: f64,
}

struct Server {
    child: Child,
    port: u16,
    token: String,
}

impl Server {
    fn start(program: &std::path::Path, url: &str, apps: usize) -> anyhow::Result<Self> {
        let mut child = Command::new(program)
            .args([url, &apps.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the controller to be measured")?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("it was piped")?).read_line(&mut line)?;
        let mut words = line.split_whitespace();
        let (Some("ready"), Some(port), Some(token)) = (words.next(), words.next(), words.next()) else {
            bail!("the controller to be measured did not come up: {line:?}");
        };
        Ok(Self { child, port: port.parse()?, token: token.to_owned() })
    }

    fn ask_for_a_while(&self, request: &Request) -> anyhow::Result<Measured> {
        self.ask_until(request, Instant::now() + WARM_UP)?;
        let before = processes::cpu(self.child.id())?;
        let mut times = self.ask_until(request, Instant::now() + Duration::from_secs(SECONDS))?;
        let cpu = (processes::cpu(self.child.id())? - before).as_secs_f64();
        ensure!(times.len() >= 100 && cpu > 0.0, "only {} answers: too few to measure", times.len());
        times.sort_unstable();
        let at = |percent: usize| times[(times.len() * percent / 100).min(times.len() - 1)];
        Ok(Measured { p50: at(50), p99: at(99), per_cpu_second: times.len() as f64 / cpu })
    }

    /// Durations of all requests.
    fn ask_until(&self, request: &Request, end: Instant) -> anyhow::Result<Vec<Duration>> {
        std::thread::scope(|scope| {
            let client = |number| scope.spawn(move || self.client(number, request, end));
            let clients: Vec<_> = (0..CLIENTS).map(client).collect();
            let mut times = Vec::new();
            for client in clients {
                times.extend(client.join().map_err(|_| anyhow::anyhow!("a client panicked"))??);
            }
            Ok(times)
        })
    }

    fn client(&self, number: usize, request: &Request, end: Instant) -> anyhow::Result<Vec<Duration>> {
        let mut connection = BufReader::new(TcpStream::connect(("127.0.0.1", self.port))?);
        connection.get_ref().set_nodelay(true)?;
        connection.get_ref().set_read_timeout(Some(ANSWER_LIMIT))?;
        let mut times = Vec::new();
        while Instant::now() < end && times.len() < REQUESTS_MAX {
            let text = self.text(request, number, times.len());
            let begun = Instant::now();
            connection.get_mut().write_all(text.as_bytes())?;
            let status = read_answer(&mut connection)?;
            times.push(begun.elapsed());
            ensure!((200..300).contains(&status), "the controller answers {status} to {text}");
        }
        Ok(times)
    }

    fn text(&self, request: &Request, client: usize, turn: usize) -> String {
        let (method, path, body) = match request {
            Request::Get(path) => ("GET", path.clone(), String::new()),
            Request::Config => {
                // The time makes the value differ in each round.
                let value = format!("{turn}-{:?}", Instant::now());
                let body = serde_json::json!({ "values": { format!("CLIENT_{client}"): value } });
                // A separate app for each client, so that clients rarely wait for one another.
                ("POST", format!("/v2/apps/app-{:05}/config/", client + 1), body.to_string())
            }
        };
        format!(
            "{method} {path} HTTP/1.1\r\nHost: deis.example.com\r\nAuthorization: token {}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.token,
            body.len()
        )
    }
}

/// Reads one response to its end; returns its status.
fn read_answer(connection: &mut BufReader<TcpStream>) -> anyhow::Result<u16> {
    let mut status = None;
    let mut length = 0;
    loop {
        let mut line = String::new();
        ensure!(connection.read_line(&mut line)? > 0, "the controller closed the connection");
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        if status.is_none() {
            status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
        } else if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse()?;
        }
    }
    std::io::copy(&mut connection.take(length), &mut std::io::sink())?;
    status.context("the answer has no status")
}

impl Drop for Server {
    fn drop(&mut self) {
        // The server ends with its input.
        drop(self.child.stdin.take());
        if !progress::wait_until(Duration::from_secs(10), || matches!(self.child.try_wait(), Ok(Some(_)))) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
