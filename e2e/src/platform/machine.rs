//! A platform as one process, `workflow up`, on this machine's Docker.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::program;
use crate::daemon::{Daemon, docker};
use crate::{get, wait_until_blocking};

pub(super) struct Machine {
    pub http_port: u16,
    pub https_port: u16,
    pub ssh_port: u16,
    /// Holds the data folder and the log.
    folder: PathBuf,
    process: Option<Child>,
    extra: Vec<String>,
    /// Socket of the Docker daemon, if it is not the machine's.
    docker_socket: Option<PathBuf>,
}

impl Machine {
    pub fn new(folder: &Path, daemon: Option<&Daemon>) -> Self {
        let docker_socket = daemon.map(Daemon::socket);
        let extra = docker_socket.iter().flat_map(|socket| {
            // A separate range: the networks of both daemons are routes of this machine.
            ["--docker-socket", &socket.display().to_string(), "--network-range", "10.214.0.0/16"]
                .map(str::to_owned)
        });
        let (http_port, https_port) = (super::free_port(), super::free_port());
        let ssh_port = super::free_port();
        let extra = extra.collect();
        Self {
            http_port,
            https_port,
            ssh_port,
            folder: folder.to_owned(),
            process: None,
            extra,
            docker_socket,
        }
    }

    /// Adds arguments to the command line.
    pub fn with(mut self, arguments: &[&str]) -> Self {
        self.extra.extend(arguments.iter().map(|&argument| argument.to_owned()));
        self
    }

    /// Starts the process without waiting for its API.
    pub fn launch(&mut self) {
        let log = File::options().create(true).append(true).open(self.log_path()).expect("a log file");
        let process = Command::new(program("WORKFLOW_BIN", "workflow"))
            .arg("up")
            .arg("--data-dir")
            .arg(self.data_dir())
            .args(["--http-listen", &format!("127.0.0.1:{}", self.http_port)])
            .args(["--https-listen", &format!("127.0.0.1:{}", self.https_port)])
            .args(["--ssh-listen", &format!("127.0.0.1:{}", self.ssh_port)])
            .args(&self.extra)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn()
            .expect("workflow starts: build it first, or run `cargo xtask test`");
        self.process = Some(process);
    }

    pub fn wait_for_api(&mut self) {
        let process = self.process.as_mut().expect("it was just started");
        let port = self.http_port;
        let log = self.folder.join("platform.log");
        wait_until_blocking("the API answers", Duration::from_secs(60), || {
            if let Ok(Some(status)) = process.try_wait() {
                let log = std::fs::read_to_string(&log).unwrap_or_default();
                panic!("the platform ended with {status}:\n{log}");
            }
            get(port, "deis.localhost", "/healthz").ok().filter(|answer| answer.status == 200)
        });
    }

    pub fn set_platform_certificate(&mut self, certificate: &Path, key: &Path) {
        let words = ["--platform-cert", &certificate.display().to_string()].map(str::to_owned);
        self.extra.extend(words);
        self.extra.extend(["--platform-key", &key.display().to_string()].map(str::to_owned));
        self.start_again();
    }

    pub fn set_router_rule(&mut self, key: &str, value: &str) {
        self.extra.extend(["--router-setting".to_owned(), format!("{key}={value}")]);
        self.start_again();
    }

    fn start_again(&mut self) {
        self.stop();
        self.launch();
        self.wait_for_api();
    }

    /// Kills the process with SIGKILL, as a power cut would.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().expect("it is our child");
            process.wait().expect("it is our child");
        }
    }

    /// Stops the process with TERM and waits; returns the exit code.
    pub fn stop(&mut self) -> Option<i32> {
        let mut process = self.process.take().expect("it runs");
        let signal = Command::new("kill").arg(process.id().to_string()).status().expect("kill runs");
        assert!(signal.success());
        let ended = wait_until_blocking("the platform stops", Duration::from_secs(60), || {
            process.try_wait().expect("our child")
        });
        ended.code()
    }

    /// Log of the platform.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// Running containers of one app with their start times: a restart changes the list.
    pub fn containers(&self, app: &str) -> Vec<String> {
        let label = format!("label=io.deis.app={app}");
        let instance = format!("label=io.deis.instance={}", self.instance());
        let list = ["ps", "--quiet", "--no-trunc", "--filter", &label, "--filter", &instance];
        let ids = self.docker_lines(&list);
        if ids.is_empty() {
            return ids;
        }
        let format = "{{.Id}} {{.State.StartedAt}}";
        let ids = ids.iter().map(String::as_str);
        self.docker_lines(&["inspect", "--format", format].into_iter().chain(ids).collect::<Vec<_>>())
    }

    /// Ids of this platform's objects in Docker of this kind: `ps`, `network`, `volume` or `image`.
    pub fn in_docker(&self, kind: &str) -> Vec<String> {
        let filter = format!("label=io.deis.instance={}", self.instance());
        let images = format!("deis-{}/*", self.instance());
        match kind {
            "ps" => self.docker_lines(&["ps", "--all", "--quiet", "--no-trunc", "--filter", &filter]),
            "image" => self.docker_lines(&["image", "ls", "--format", "{{.Repository}}:{{.Tag}}", &images]),
            kind => self.docker_lines(&[kind, "ls", "--quiet", "--filter", &filter]),
        }
    }

    fn docker_lines(&self, arguments: &[&str]) -> Vec<String> {
        let output = self.docker().args(arguments).output().expect("docker runs").stdout;
        String::from_utf8_lossy(&output).lines().map(str::to_owned).collect()
    }

    fn docker(&self) -> Command {
        docker(self.docker_socket.as_deref())
    }

    /// Name of this platform among those on the same Docker.
    fn instance(&self) -> String {
        let text = std::fs::read_to_string(self.data_dir().join("instance")).expect("made on first start");
        text.trim().to_owned()
    }

    pub fn data_dir(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn log_path(&self) -> PathBuf {
        self.folder.join("platform.log")
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.kill();
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
