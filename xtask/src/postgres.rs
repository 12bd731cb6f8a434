//! A PostgreSQL of our own for the tests: in a temporary folder, on a port of its own, gone afterwards.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};

use crate::{packages, progress};

/// A running server; stopped and removed when dropped.
pub struct Postgres {
    server: Child,
    folder: PathBuf,
    port: u16,
}

impl Postgres {
    /// Starts Debian's PostgreSQL. It refuses to run as root, so root runs it as `nobody`.
    pub fn start() -> anyhow::Result<Self> {
        let folder = std::env::temp_dir().join(format!("workflow-postgres-{}", std::process::id()));
        let data = folder.join("data");
        std::fs::create_dir_all(&folder)?;
        let port = free_port()?;
        let initdb = packages::find("initdb").context("initdb is not installed")?;
        if nix::unistd::geteuid().is_root() {
            progress::run(Command::new("chown").arg("nobody").arg(&folder))?;
        }
        let options =
            ["--username=workflow", "--auth=trust", "--encoding=UTF8", "--no-sync", "--no-instructions"];
        progress::output(unprivileged(&initdb).args(options).arg("--pgdata").arg(&data))?;
        let server = unprivileged(&initdb.with_file_name("postgres"))
            .arg("-D")
            .arg(&data)
            .args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"])
            .args(["-c", "unix_socket_directories=", "-c", "max_connections=200"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start postgres")?;
        let postgres = Self { server, folder, port };
        let answers = || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
        ensure!(progress::wait_until(Duration::from_secs(30), answers), "PostgreSQL does not come up");
        Ok(postgres)
    }

    /// A server where the tests may make databases.
    pub fn url(&self) -> String {
        format!("postgres://workflow@127.0.0.1:{}/postgres", self.port)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // INT: fast shutdown, without waiting for clients.
        progress::succeeds(Command::new("kill").args(["-INT", &self.server.id().to_string()]));
        let _ = self.server.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn unprivileged(program: &Path) -> Command {
    if !nix::unistd::geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=nobody", "--regid=nogroup", "--clear-groups"]).arg(program);
    // The checkout and root's home may be closed to others.
    command.current_dir("/");
    command
}

fn free_port() -> anyhow::Result<u16> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").context("no free port")?;
    Ok(listener.local_addr()?.port())
}
