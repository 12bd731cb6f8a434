//! A registry that requires a login: CNCF Distribution, started for one scenario, with one image in it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::daemon::docker;
use crate::wait_until_blocking;

pub const USERNAME: &str = "robot";
pub const PASSWORD: &str = "wide open";
/// bcrypt of the password, the form that Distribution reads.
const LOGIN: &str = "robot:$2b$05$9tNrLr6JECDNOt013jir8ueF3K6y20mDuHXOLZIRqWi1hIAyHuzSi\n";
/// Address at which clusters reach services beside them, with the port that their settings name.
const CLUSTER_HOST: &str = "10.240.0.1:5002";

/// A registry that ends with the scenario.
pub struct PrivateRegistry {
    /// Host and port.
    pub host: String,
    folder: TempDir,
    process: Child,
}

impl PrivateRegistry {
    /// Starts the registry where the platform reaches it: on the loopback address, or beside the cluster.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let host = match crate::platform::is_on_cluster() {
            true => CLUSTER_HOST.to_owned(),
            false => format!("127.0.0.1:{}", crate::platform::free_port()),
        };
        let config = write_config(folder.path(), &host);
        let program = std::env::var_os("WORKFLOW_E2E_DISTRIBUTION");
        let program = program.expect("CNCF Distribution's program: use `cargo xtask e2e` or `test`");
        let process = Command::new(program)
            .arg("serve")
            .arg(config)
            .env("OTEL_TRACES_EXPORTER", "none")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("Distribution starts");
        let registry = Self { host, folder, process };
        wait_until_blocking("the private registry listens", Duration::from_secs(20), || {
            std::net::TcpStream::connect(&registry.host).ok()
        });
        registry
    }

    /// Pushes a copy of the stack image and returns its name there.
    pub fn push_stack(&self) -> String {
        let name = format!("{}/team/shop:v1", self.host);
        match std::env::var_os("WORKFLOW_E2E_IMAGES") {
            Some(images) => {
                let tag = std::env::var("WORKFLOW_E2E_TAG").expect("it is told");
                self.push_archive(&PathBuf::from(images).join(format!("stack-trixie-{tag}.tar")), &name);
            }
            None => self.push_from_docker(&name),
        }
        name
    }

    fn push_archive(&self, archive: &Path, name: &str) {
        let mut skopeo = Command::new("skopeo");
        skopeo.args(["copy", "--quiet", "--insecure-policy", "--dest-tls-verify=false"]);
        skopeo.args(["--dest-creds", &format!("{USERNAME}:{PASSWORD}")]);
        skopeo.arg(format!("oci-archive:{}", archive.display())).arg(format!("docker://{name}"));
        done(skopeo);
    }

    fn push_from_docker(&self, name: &str) {
        // A separate folder for the login: the developer's own stays unchanged.
        let login = self.folder.path().join("docker");
        let client = |words: &[&str]| {
            let mut docker = docker(None);
            docker.arg("--config").arg(&login).args(words);
            docker
        };
        done(client(&["login", "--username", USERNAME, "--password", PASSWORD, &self.host]));
        done(client(&["tag", "deis/stack:latest", name]));
        done(client(&["push", "--quiet", name]));
        done(client(&["image", "rm", name]));
    }
}

impl Drop for PrivateRegistry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn write_config(folder: &Path, host: &str) -> PathBuf {
    let (passwords, path) = (folder.join("htpasswd"), folder.join("config.yml"));
    std::fs::write(&passwords, LOGIN).expect("a file");
    let text = format!(
        "version: 0.1\nlog: {{ level: warn }}\nstorage: {{ filesystem: {{ rootdirectory: {} }} }}\n\
         http: {{ addr: {host} }}\nauth: {{ htpasswd: {{ realm: private, path: {} }} }}\n",
        folder.join("storage").display(),
        passwords.display()
    );
    std::fs::write(&path, text).expect("a file");
    path
}

fn done(mut command: Command) {
    let output = command.stdin(Stdio::null()).output().expect("it runs");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
