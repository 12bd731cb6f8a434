//! A PostgreSQL for the tests: in a temporary folder, on a free port, removed afterwards.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};

use crate::{packages, progress};

/// A running server; stopped and removed when dropped.
pub struct Postgres {
    server: Child,
    folder: PathBuf,
    /// Host and port.
    address: String,
}

impl Postgres {
    /// Starts Debian's PostgreSQL for programs of this machine.
    pub fn start() -> anyhow::Result<Self> {
        Self::start_at("127.0.0.1", free_port()?, &|program| Ok(Command::new(program)))
    }

    /// Starts it at an address, by commands that may run in another network. It refuses to run as root, so root
    /// runs it as `nobody`.
    pub fn start_at(
        address: &str,
        port: u16,
        command: &dyn Fn(&OsStr) -> anyhow::Result<Command>,
    ) -> anyhow::Result<Self> {
        let folder = std::env::temp_dir().join(format!("workflow-postgres-{}", std::process::id()));
        let data = folder.join("data");
        std::fs::create_dir_all(&folder)?;
        let initdb = packages::find("initdb").context("initdb is not installed")?;
        if nix::unistd::geteuid().is_root() {
            progress::run(Command::new("chown").arg("nobody").arg(&folder))?;
        }
        let options =
            ["--username=workflow", "--auth=trust", "--encoding=UTF8", "--no-sync", "--no-instructions"];
        let here = |program: &OsStr| Ok(Command::new(program));
        progress::output(unprivileged(&initdb, &here)?.args(options).arg("--pgdata").arg(&data))?;
        // Every client that reaches the address is trusted: it is the loopback one, or of a network for tests.
        let mut rules = File::options().append(true).open(data.join("pg_hba.conf"))?;
        writeln!(rules, "host all all 0.0.0.0/0 trust")?;
        let listen = format!("listen_addresses={address}");
        let server = unprivileged(&initdb.with_file_name("postgres"), command)?
            .arg("-D")
            .arg(&data)
            .args(["-p", &port.to_string(), "-c", &listen, "-c", "fsync=off"])
            .args(["-c", "unix_socket_directories=", "-c", "max_connections=200"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start postgres")?;
        let postgres = Self { server, folder, address: format!("{address}:{port}") };
        let is_ready = packages::find("pg_isready").context("pg_isready is not installed")?;
        let answers = || {
            command(is_ready.as_os_str()).is_ok_and(|mut it| {
                progress::succeeds(it.args(["--host", address, "--port", &port.to_string()]))
            })
        };
        ensure!(progress::wait_until(Duration::from_secs(30), answers), "PostgreSQL does not come up");
        Ok(postgres)
    }

    /// URL of the server, where tests may create databases.
    pub fn url(&self) -> String {
        format!("postgres://workflow@{}/postgres", self.address)
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

fn unprivileged(
    program: &Path,
    command: &dyn Fn(&OsStr) -> anyhow::Result<Command>,
) -> anyhow::Result<Command> {
    if !nix::unistd::geteuid().is_root() {
        return command(program.as_os_str());
    }
    let mut command = command(OsStr::new("setpriv"))?;
    command.args(["--reuid=nobody", "--regid=nogroup", "--clear-groups", "--pdeathsig=INT"]).arg(program);
    // The checkout and root's home may be closed to others.
    command.current_dir("/");
    Ok(command)
}

fn free_port() -> anyhow::Result<u16> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").context("no free port")?;
    Ok(listener.local_addr()?.port())
}
