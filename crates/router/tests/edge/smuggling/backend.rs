//! Back ends that others wrote, from Debian's packages: each says what it was asked for, and how often.

use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use testkit::{free_port, wait_until_blocking};

use crate::app::App;
use crate::visitor::{Visitor, tcp};

const START_MAX: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Nginx,
    Haproxy,
    Node,
    Python,
    Gunicorn,
}

/// A program at work; it ends when dropped, and with the thread that started it.
pub struct Backend {
    pub app: App,
    kind: Kind,
    child: Child,
    folder: PathBuf,
}

impl Backend {
    pub fn start(kind: Kind) -> Self {
        let port = free_port();
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("{kind:?}-{}-{port}", std::process::id()).to_lowercase());
        std::fs::create_dir_all(&folder).expect("a folder");
        let child = command(kind, port, &folder)
            .current_dir(&folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("setpriv is part of every Debian");
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let app = App { key: format!("{kind:?}"), address, requests: Arc::default() };
        let mut this = Self { app, kind, child, folder };
        this.wait();
        this
    }

    fn wait(&mut self) {
        wait_until_blocking("the server answers", START_MAX, || {
            let ended = self.child.try_wait().expect("it is a child");
            assert!(
                ended.is_none(),
                "{:?} does not start ({ended:?}): install Debian's packages nginx, haproxy, nodejs, python3 and \
                 gunicorn, as `cargo xtask test` does",
                self.kind
            );
            TcpStream::connect(self.app.address)
        });
    }

    /// Number of requests so far, with or without these questions.
    pub fn count(&self) -> u64 {
        let mut asking = Visitor::on(tcp(self.app.address));
        asking.send("GET /count HTTP/1.1\r\nHost: count\r\nConnection: close\r\n\r\n");
        let told = asking.rest();
        let (_, body) = told.split_once("\r\n\r\n").expect("an answer");
        // nginx: `server accepts handled requests`, and below it the numbers.
        let number = match self.kind {
            Kind::Nginx => body.lines().nth(2).and_then(|line| line.split_whitespace().nth(2)),
            _ => body.split_whitespace().find(|word| word.bytes().all(|byte| byte.is_ascii_digit())),
        };
        number.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("a number in {told}"))
    }

    /// Increase of the count by one question itself.
    pub fn count_per_question(&self) -> u64 {
        u64::from(self.kind == Kind::Nginx)
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn command(kind: Kind, port: u16, folder: &Path) -> Command {
    let (name, text) = match kind {
        Kind::Nginx => ("nginx.conf", include_str!("nginx.conf")),
        Kind::Haproxy => ("haproxy.cfg", include_str!("haproxy.cfg")),
        Kind::Node => ("app.js", include_str!("app.js")),
        Kind::Python | Kind::Gunicorn => ("app.py", include_str!("app.py")),
    };
    std::fs::write(folder.join(name), text.replace("@PORT@", &port.to_string())).expect("it is written");
    let (folder, port) = (folder.display().to_string(), port.to_string());
    let bind = format!("--bind=127.0.0.1:{port}");
    let words: &[&str] = match kind {
        Kind::Nginx => &["nginx", "-e", "stderr", "-p", &folder, "-c", "nginx.conf"],
        Kind::Haproxy => &["haproxy", "-db", "-q", "-f", "haproxy.cfg"],
        Kind::Node => &["node", "app.js", &port],
        Kind::Python => &["python3", "app.py", &port],
        Kind::Gunicorn => &[
            "gunicorn",
            &bind,
            "--worker-class=gthread",
            "--threads=8",
            "--keep-alive=60",
            "--log-level=critical",
            "app",
        ],
    };
    let mut command = Command::new("setpriv");
    let path = std::env::var("PATH").unwrap_or_default();
    // Debian has servers out of the way of ordinary users.
    command.env("PATH", format!("{path}:/usr/sbin:/sbin")).arg("--pdeathsig=KILL").args(words);
    command
}
