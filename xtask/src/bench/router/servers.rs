//! The two measured routers, and the app behind both.

use std::cell::{Cell, RefCell};
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use rcgen::CertifiedKey;

use super::SERVER_CORE;
use crate::{packages, paths, progress};

/// Longest start: nginx with 10,000 servers reads the certificate for each.
const START_MAX: Duration = Duration::from_secs(120);
const STOP_MAX: Duration = Duration::from_secs(20);
/// Idle connections to each app that nginx keeps. It reserves memory for them, so they are few with many hosts;
/// ours keeps at most 1,024, and allocates memory for each when it is opened.
const IDLE_FEW_HOSTS: usize = 1_024;
const IDLE_MANY_HOSTS: usize = 8;
const HOSTS_FEW: usize = 100;

/// Either server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ServerName {
    Ours,
    Peer,
}

/// Both, ours first.
pub(super) const WHO: [ServerName; 2] = [ServerName::Ours, ServerName::Peer];

/// Server that ours is compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Peer {
    Nginx,
    /// Our router of another commit.
    Build(PathBuf),
}

/// Options of a server.
#[derive(Debug, Clone, Copy)]
pub(super) struct Options {
    pub(super) hosts: usize,
    pub(super) access_log: bool,
}

/// Host name of an app.
pub(super) fn host(number: usize) -> String {
    format!("app-{number:05}.example.com")
}

/// Environment of servers: a folder, a certificate for all hosts, and the app at two addresses.
pub(super) struct Bed {
    folder: PathBuf,
    /// Our router.
    program: PathBuf,
    pub(super) peer: Peer,
    pub(super) backends: [SocketAddr; 2],
    started: Cell<usize>,
    app: Running,
}

impl Bed {
    pub(super) fn make(program: PathBuf, peer: Peer) -> anyhow::Result<Self> {
        let folder = paths::state().join("bench-router");
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        make_certificate(&folder)?;
        let [first, second] = free_ports()?;
        let words = [("FIRST", first.to_string()), ("SECOND", second.to_string())];
        let app = folder.join("app");
        write_conf(&app, include_str!("backend.conf"), &words)?;
        let app = Running::start(nginx(Command::new(nginx_program()?), &app)?)?;
        let backends = [first, second].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        wait_for_port(backends[0])?;
        Ok(Self { folder, program, peer, backends, started: Cell::new(0), app })
    }

    pub(super) fn start(&self, who: ServerName, options: Options) -> anyhow::Result<Server> {
        self.started.set(self.started.get() + 1);
        let folder = self.folder.join(format!("{}-{who:?}", self.started.get()));
        std::fs::create_dir_all(&folder)?;
        match (who, &self.peer) {
            (ServerName::Ours, _) => self.start_ours(&self.program, &folder, options),
            (ServerName::Peer, Peer::Build(program)) => self.start_ours(program, &folder, options),
            (ServerName::Peer, Peer::Nginx) => self.start_nginx(&folder, options),
        }
    }

    fn start_ours(&self, program: &Path, folder: &Path, options: Options) -> anyhow::Result<Server> {
        let Options { hosts, access_log } = options;
        let mut command = on_server_core();
        command
            .arg(program)
            .arg(hosts.to_string())
            .args(["certificate", "key"].map(|it| self.folder.join(it)));
        command.args(self.backends.map(|backend| backend.to_string()));
        command.env("WORKFLOW_LOG", if access_log { "info,access=debug" } else { "info" });
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(File::create(folder.join("log"))?);
        let mut running = Running::start(command)?;
        let mut line = String::new();
        BufReader::new(running.0.stdout.take().context("it was piped")?).read_line(&mut line)?;
        let mut words = line.split_whitespace();
        let (Some("ready"), Some(http), Some(https)) = (words.next(), words.next(), words.next()) else {
            bail!("our router did not come up: {line:?}; {}/log says why", folder.display());
        };
        Ok(Server { http: http.parse()?, https: https.parse()?, running: RefCell::new(running), nginx: None })
    }

    fn start_nginx(&self, folder: &Path, options: Options) -> anyhow::Result<Server> {
        let Options { hosts, access_log } = options;
        let [http, https] = free_ports()?;
        let file = |name: &str| self.folder.join(name).display().to_string();
        let words = [
            ("ACCESS_LOG", if access_log { "access.log" } else { "off" }.to_owned()),
            ("CERTIFICATE", file("certificate")),
            ("KEY", file("key")),
            ("HTTP", http.to_string()),
            ("HTTPS", https.to_string()),
        ];
        write_conf(folder, include_str!("nginx.conf"), &words)?;
        let apps = Apps {
            file: folder.join("apps.conf"),
            ports: [http, https],
            backends: self.backends,
            chosen: RefCell::new(vec![0; hosts]),
        };
        apps.write()?;
        let mut command = on_server_core();
        command.arg(nginx_program()?);
        let running = Running::start(nginx(command, folder)?)?;
        wait_for_port(([127, 0, 0, 1], https).into())?;
        Ok(Server { http, https, running: RefCell::new(running), nginx: Some(apps) })
    }

    pub(super) fn take_down(self) -> anyhow::Result<()> {
        drop(self.app);
        std::fs::remove_dir_all(&self.folder)
            .with_context(|| format!("cannot remove {}", self.folder.display()))
    }
}

/// A running router; it ends when dropped.
pub(super) struct Server {
    http: u16,
    https: u16,
    running: RefCell<Running>,
    /// The apps of nginx; `None` for ours.
    nginx: Option<Apps>,
}

impl Server {
    pub(super) fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.http).into()
    }

    pub(super) fn url(&self, is_tls: bool) -> String {
        if is_tls {
            format!("https://127.0.0.1:{}", self.https)
        } else {
            format!("http://127.0.0.1:{}", self.http)
        }
    }

    /// The process with its children: nginx has a master and a worker.
    pub(super) fn processes(&self) -> anyhow::Result<Vec<u32>> {
        let first = self.running.borrow().0.id();
        let children = std::fs::read_to_string(format!("/proc/{first}/task/{first}/children"))?;
        let children = children.split_whitespace().map(str::parse).collect::<Result<Vec<u32>, _>>()?;
        Ok([vec![first], children].concat())
    }

    /// Routes an app to another backend from now on.
    pub(super) fn route(&self, app: usize, backend: usize) -> anyhow::Result<()> {
        let running = &mut self.running.borrow_mut().0;
        match &self.nginx {
            None => {
                let control = running.stdin.as_mut().context("it was piped")?;
                control.write_all(format!("{app} {backend}\n").as_bytes()).context("our router has ended")
            }
            Some(apps) => {
                *apps.chosen.borrow_mut().get_mut(app).context("there is no such app")? = backend;
                apps.write()?;
                let master = Pid::from_raw(i32::try_from(running.id())?);
                signal::kill(master, Signal::SIGHUP).context("nginx has ended")
            }
        }
    }
}

/// The apps of nginx, each with the backend that serves it now.
struct Apps {
    file: PathBuf,
    ports: [u16; 2],
    backends: [SocketAddr; 2],
    chosen: RefCell<Vec<usize>>,
}

impl Apps {
    fn write(&self) -> anyhow::Result<()> {
        let Self { file, ports: [http, https], backends, chosen } = self;
        let chosen = chosen.borrow();
        let idle = if chosen.len() > HOSTS_FEW { IDLE_MANY_HOSTS } else { IDLE_FEW_HOSTS };
        let mut text = String::new();
        for (number, backend) in chosen.iter().enumerate() {
            let backend = backends[*backend];
            let host = host(number);
            writeln!(
                text,
                "upstream app-{number:05} {{ server {backend}; keepalive {idle}; keepalive_requests 1000000000; }}\n\
                 server {{ listen 127.0.0.1:{http}; listen 127.0.0.1:{https} ssl http2; server_name {host}; \
                 location / {{ proxy_pass http://app-{number:05}; }} }}"
            )?;
        }
        std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
    }
}

/// A program that ends when dropped: by the end of its input or SIGTERM, then by SIGKILL.
struct Running(Child);

impl Running {
    fn start(mut command: Command) -> anyhow::Result<Self> {
        let line = progress::shown(&command);
        Ok(Self(command.spawn().with_context(|| format!("cannot start `{line}`"))?))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let child = &mut self.0;
        if child.stdin.take().is_none()
            && let Ok(id) = i32::try_from(child.id())
        {
            let _ = signal::kill(Pid::from_raw(id), Signal::SIGTERM);
        }
        if !progress::wait_until(STOP_MAX, || matches!(child.try_wait(), Ok(Some(_)))) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn on_server_core() -> Command {
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", &SERVER_CORE.to_string()]);
    command
}

/// `command` (nginx, or a program that runs it) with the configuration of a folder.
fn nginx(mut command: Command, folder: &Path) -> anyhow::Result<Command> {
    command.arg("-e").arg("stderr").arg("-p").arg(folder).args(["-c", "nginx.conf"]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(folder.join("log"))?);
    Ok(command)
}

/// Path of nginx, which Debian installs in a folder that is not in `PATH` of ordinary users.
fn nginx_program() -> anyhow::Result<PathBuf> {
    packages::find("nginx").context("nginx is not there: install Debian's package `nginx`")
}

/// Writes `nginx.conf` from its template, whose placeholders stand between @ signs.
fn write_conf(folder: &Path, template: &str, words: &[(&str, String)]) -> anyhow::Result<()> {
    let mut text = template.to_owned();
    for (word, value) in words {
        text = text.replace(&format!("@{word}@"), value);
    }
    std::fs::create_dir_all(folder)?;
    std::fs::write(folder.join("nginx.conf"), text)
        .with_context(|| format!("cannot write into {}", folder.display()))
}

/// Makes a certificate with an ECDSA key on P-256, the usual kind.
fn make_certificate(folder: &Path) -> anyhow::Result<()> {
    let CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["example.com", "*.example.com"].map(str::to_owned))?;
    std::fs::write(folder.join("certificate"), cert.pem())?;
    Ok(std::fs::write(folder.join("key"), signing_key.serialize_pem())?)
}

fn free_ports() -> anyhow::Result<[u16; 2]> {
    let listeners = [TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?];
    Ok([listeners[0].local_addr()?.port(), listeners[1].local_addr()?.port()])
}

fn wait_for_port(address: SocketAddr) -> anyhow::Result<()> {
    let is_up = progress::wait_until(START_MAX, || TcpStream::connect(address).is_ok());
    ensure!(is_up, "nothing listens at {address} after {START_MAX:?}");
    Ok(())
}
