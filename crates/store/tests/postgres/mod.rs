//! A PostgreSQL server that a test may kill, and a line to it that a test may cut.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Fate of the next `COMMIT`; later ones pass.
pub enum Fate {
    Pass,
    /// The line breaks before the server has it.
    CutBefore,
    /// The connection breaks after the server's response, which nobody reads.
    CutAfter,
    /// The server is killed once it has it, and started anew.
    Killed(Arc<Mutex<Server>>),
}

/// A line to a server.
pub struct Line {
    pub address: SocketAddr,
    next: Arc<Mutex<Fate>>,
}

impl Line {
    pub async fn to(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let next = Arc::new(Mutex::new(Fate::Pass));
        let shared = Arc::clone(&next);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (server, next) = (server.clone(), Arc::clone(&shared));
                tokio::spawn(async move {
                    // Nobody there: the client sees the line break.
                    let Ok(server) = TcpStream::connect(server).await else { return };
                    let _ = carry(client, server, &next).await;
                });
            }
        });
        Self { address, next }
    }

    pub fn fate(&self, fate: Fate) {
        *self.next.lock().expect("no panic") = fate;
    }
}

async fn carry(mut client: TcpStream, mut server: TcpStream, next: &Mutex<Fate>) -> std::io::Result<()> {
    let (mut sent, mut answered) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    loop {
        tokio::select! {
            read = client.read(&mut sent) => {
                let sent = match read? { 0 => return Ok(()), count => &sent[..count] };
                let is_commit = sent.windows(7).any(|window| window == b"COMMIT\0");
                let fate = if is_commit {
                    std::mem::replace(&mut *next.lock().expect("no panic"), Fate::Pass)
                } else {
                    Fate::Pass
                };
                match fate {
                    Fate::Pass => server.write_all(sent).await?,
                    Fate::CutBefore => return Ok(()),
                    Fate::CutAfter => {
                        server.write_all(sent).await?;
                        // The first byte is enough: it has decided.
                        server.read_u8().await?;
                        return Ok(());
                    }
                    Fate::Killed(process) => {
                        server.write_all(sent).await?;
                        let restarted = tokio::task::spawn_blocking(move || process.lock().expect("no panic").restart());
                        drop((client, server));
                        return restarted.await.map_err(std::io::Error::other);
                    }
                }
            }
            read = server.read(&mut answered) => match read? {
                0 => return Ok(()),
                count => client.write_all(&answered[..count]).await?,
            },
        }
    }
}

/// A server in a temporary folder, which runs as `nobody` where we are root, as it refuses to be root.
pub struct Server {
    folder: tempfile::TempDir,
    postgres: PathBuf,
    port: u16,
    process: Child,
}

impl Server {
    /// `None`, with a note on stderr, if there is no PostgreSQL.
    pub fn start() -> Option<Self> {
        let Some(initdb) = find_initdb() else {
            eprintln!("SKIPPED: PostgreSQL is not installed here; nothing was tried");
            return None;
        };
        let folder = tempfile::tempdir().expect("a temporary folder");
        let chowned = Command::new("chown").arg("nobody").arg(folder.path()).status();
        let _ = chowned.expect("chown runs");
        let made = unprivileged(&initdb)
            .args(["--username=workflow", "--auth=trust", "--encoding=UTF8", "--no-sync", "--pgdata"])
            .arg(folder.path().join("data"))
            .output();
        let made = made.expect("initdb runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let port = free.expect("a free port").port();
        let postgres = initdb.with_file_name("postgres");
        let process = run(&postgres, folder.path(), port);
        Some(Self { folder, postgres, port, process })
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Kills it as a crash does (immediate shutdown: nothing is written any more), and starts it again.
    fn restart(&mut self) {
        self.signal("-QUIT");
        self.process = run(&self.postgres, self.folder.path(), self.port);
    }

    fn signal(&mut self, signal: &str) {
        let killed = Command::new("kill").args([signal, &self.process.id().to_string()]).status();
        assert!(killed.expect("kill runs").success());
        self.process.wait().expect("it ends");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-INT", &self.process.id().to_string()]).status();
        let _ = self.process.wait();
    }
}

fn run(postgres: &Path, folder: &Path, port: u16) -> Child {
    let mut command = unprivileged(postgres);
    command.arg("-D").arg(folder.join("data")).args(["-p", &port.to_string()]);
    command.args(["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("postgres starts")
}

fn unprivileged(program: &Path) -> Command {
    let is_root = Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout == b"0\n");
    if !is_root {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=nobody", "--regid=nogroup", "--clear-groups", "--pdeathsig=INT"]).arg(program);
    command.current_dir("/");
    command
}

/// Debian keeps it apart, by version.
fn find_initdb() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let debian = versions.map(|version| version.path().join("bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    debian.chain(std::env::split_paths(&path)).map(|folder| folder.join("initdb")).find(|file| file.is_file())
}
