//! A platform of a scenario's own: started, killed, started again, wiped.

use std::fs::File;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::daemon::{Daemon, docker};
use crate::user::User;
use crate::{checkout, get, wait_for};

/// Ends with the scenario, also when that fails.
pub struct Platform {
    pub http_port: u16,
    pub ssh_port: u16,
    folder: TempDir,
    process: Option<Child>,
    extra: Vec<String>,
    /// Socket of the Docker daemon, where it is not the machine's own.
    docker_socket: Option<PathBuf>,
}

impl Platform {
    /// Starts one and waits for its API.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts one with more flags.
    pub fn start_with(extra: &[&str]) -> Self {
        Self::start_on(None, extra)
    }

    /// Starts one on a Docker daemon of the scenario's own.
    pub fn start_on_daemon(daemon: &Daemon) -> Self {
        let socket = daemon.socket();
        let flag = socket.display().to_string();
        // A range of its own: both daemons' networks are routes of this machine.
        Self::start_on(Some(socket), &["--docker-socket", &flag, "--network-range", "10.214.0.0/16"])
    }

    fn start_on(docker_socket: Option<PathBuf>, extra: &[&str]) -> Self {
        let folder = tempfile::Builder::new().prefix("workflow-e2e-").tempdir().expect("a temporary folder");
        let extra = extra.iter().map(|flag| (*flag).to_owned()).collect();
        let (http_port, ssh_port) = (free_port(), free_port());
        let mut platform = Self { http_port, ssh_port, folder, process: None, extra, docker_socket };
        platform.resume();
        platform
    }

    /// The `docker` client of this platform's daemon.
    fn docker(&self) -> Command {
        docker(self.docker_socket.as_deref())
    }

    /// Starts the process on the state that is there, and waits for the API.
    pub fn resume(&mut self) {
        self.launch();
        self.wait_for_api();
    }

    pub fn wait_for_api(&mut self) {
        let process = self.process.as_mut().expect("it was just started");
        let port = self.http_port;
        let log = self.folder.path().join("platform.log");
        wait_for("the API answers", Duration::from_secs(60), || {
            if let Ok(Some(status)) = process.try_wait() {
                let log = std::fs::read_to_string(&log).unwrap_or_default();
                panic!("the platform ended with {status}:\n{log}");
            }
            get(port, "deis.localhost", "/healthz").ok().filter(|answer| answer.status == 200)
        });
    }

    /// Starts the process without waiting for anything.
    pub fn launch(&mut self) {
        let log = File::options().create(true).append(true).open(self.log_path()).expect("a log file");
        let process = Command::new(program("WORKFLOW_BIN", "workflow"))
            .arg("up")
            .arg("--data-dir")
            .arg(self.data_dir())
            .args(["--http-listen", &format!("127.0.0.1:{}", self.http_port)])
            .args(["--ssh-listen", &format!("127.0.0.1:{}", self.ssh_port)])
            .args(&self.extra)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn()
            .expect("workflow starts: build it first, or run `cargo xtask test`");
        self.process = Some(process);
    }

    /// Kills it without a warning, as a power cut would.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().expect("it is our child");
            process.wait().expect("it is our child");
        }
    }

    /// Asks it to stop and waits; gives the exit code.
    pub fn stop(&mut self) -> Option<i32> {
        let mut process = self.process.take().expect("it runs");
        let signal = Command::new("kill").arg(process.id().to_string()).status().expect("kill runs");
        assert!(signal.success());
        let ended = wait_for("the platform stops", Duration::from_secs(60), || {
            process.try_wait().expect("our child")
        });
        ended.code()
    }

    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("it runs").id()
    }

    /// The first user, who is the administrator, with an SSH key added.
    pub fn admin(&self) -> User<'_> {
        let admin = self.newcomer("admin");
        admin.register(&[]);
        admin.add_key();
        admin
    }

    /// Somebody with a home folder and an SSH key, not registered yet.
    pub fn newcomer(&self, name: &str) -> User<'_> {
        User::new(self, name, self.folder.path().join("homes").join(name))
    }

    /// A user whose home folder is there already.
    pub fn newcomer_again(&self, name: &str) -> User<'_> {
        User::again(self, name, self.folder.path().join("homes").join(name))
    }

    /// Asks for a path of an app.
    pub fn get(&self, app: &str, path: &str) -> Result<crate::Answer, String> {
        get(self.http_port, &format!("{app}.localhost:{}", self.http_port), path)
    }

    /// Waits until the app answers 200 with a text that holds `wanted`.
    pub fn wait_for_answer(&self, app: &str, wanted: &str) {
        let mut last = None;
        let deadline = std::time::Instant::now() + Duration::from_secs(30);
        while std::time::Instant::now() < deadline {
            last = Some(self.get(app, "/"));
            if let Some(Ok(answer)) = &last
                && answer.status == 200
                && answer.body.contains(wanted)
            {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("{app} should answer {wanted:?}, but gave {last:?}\n{}", self.log());
    }

    pub fn url(&self) -> String {
        format!("http://deis.localhost:{}", self.http_port)
    }

    pub fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// What the platform logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("platform.log")
    }

    /// Name of this platform among those on the same Docker.
    pub fn instance(&self) -> String {
        let text = std::fs::read_to_string(self.data_dir().join("instance")).expect("made on first start");
        text.trim().to_owned()
    }

    /// Ids of what this platform has in Docker: `kind` is `ps`, `network`, `volume` or `image`.
    pub fn in_docker(&self, kind: &str) -> Vec<String> {
        let filter = format!("label=io.deis.instance={}", self.instance());
        let images = format!("deis-{}/*", self.instance());
        let arguments: Vec<&str> = match kind {
            "ps" => vec!["ps", "--all", "--quiet", "--no-trunc", "--filter", &filter],
            "image" => vec!["image", "ls", "--format", "{{.Repository}}:{{.Tag}}", &images],
            kind => vec![kind, "ls", "--quiet", "--filter", &filter],
        };
        let output = self.docker().args(arguments).output().expect("docker runs");
        String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
    }

    /// Waits until just `count` containers of the app are left, the drained ones gone.
    pub fn settled_containers(&self, app: &str, count: usize) -> Vec<String> {
        crate::wait_for("old replicas are gone", Duration::from_secs(60), || {
            Some(self.containers(app)).filter(|containers| containers.len() == count)
        })
    }

    /// Running containers of one app with their start times: a restart changes the list.
    pub fn containers(&self, app: &str) -> Vec<String> {
        let label = format!("label=io.deis.app={app}");
        let instance = format!("label=io.deis.instance={}", self.instance());
        let list = ["ps", "--quiet", "--no-trunc", "--filter", &label, "--filter", &instance];
        let ids = self.docker().args(list).output().expect("docker runs").stdout;
        let ids = String::from_utf8_lossy(&ids).into_owned();
        let mut inspect = self.docker();
        inspect.args(["inspect", "--format", "{{.Id}} {{.State.StartedAt}}"]).args(ids.lines());
        let mut lines: Vec<String> = match ids.is_empty() {
            true => Vec::new(),
            false => {
                let output = inspect.output().expect("docker runs").stdout;
                String::from_utf8_lossy(&output).lines().map(str::to_owned).collect()
            }
        };
        lines.sort();
        lines
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("---- the platform's log\n{}", self.log());
        }
        if !self.data_dir().join("instance").exists() {
            return;
        }
        for (kind, remove) in [
            ("ps", &["rm", "--force", "--volumes"][..]),
            ("network", &["network", "rm"]),
            ("volume", &["volume", "rm", "--force"]),
            ("image", &["image", "rm", "--force"]),
        ] {
            let ids = self.in_docker(kind);
            if !ids.is_empty() {
                let _ = self.docker().args(remove).args(ids).output();
            }
        }
    }
}

/// A program by its variable, else from the target folder.
pub fn program(variable: &str, name: &str) -> PathBuf {
    std::env::var_os(variable).map_or_else(
        || {
            let target =
                std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| checkout().join("target"), PathBuf::from);
            target.join("debug").join(name)
        },
        PathBuf::from,
    )
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it is bound").port()
}
