//! Git repositories over https: git's own `http-backend` behind a small server with an authority of the test's own.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

type Stream = BufReader<StreamOwned<ServerConnection, TcpStream>>;

/// Serves `/NAME` by all that git knows, `/old/NAME` by the first protocol alone, and sends `/away/NAME` to plain http.
pub struct GitServer {
    folder: tempfile::TempDir,
    address: IpAddr,
    port: u16,
}

impl GitServer {
    /// Serves until the process ends, at the address that this machine has for `client`.
    pub fn start(client: Ipv4Addr) -> Self {
        let socket = UdpSocket::bind("0.0.0.0:0").expect("a free port");
        // Nothing is sent: the way there decides the address.
        socket.connect((client, 9)).expect("there is a way");
        let address = socket.local_addr().expect("it is connected").ip();
        let folder = tempfile::tempdir().expect("a folder");
        let key = rcgen::KeyPair::generate().expect("a key");
        let params = rcgen::CertificateParams::new(vec![address.to_string()]).expect("an address");
        let certificate = params.self_signed(&key).expect("a certificate");
        fs::write(folder.path().join("ca.pem"), certificate.pem()).expect("a file");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("they are there")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], private)
            .expect("the key is the certificate's");
        let listener = TcpListener::bind((address, 0)).expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let (config, root) = (Arc::new(config), folder.path().to_owned());
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let (config, root) = (Arc::clone(&config), root.clone());
                std::thread::spawn(move || serve(config, connection, &root));
            }
        });
        Self { folder, address, port }
    }

    /// Serves containers, at the address that this machine has in Docker's own network.
    #[allow(dead_code, reason = "tests without containers include this file too")]
    pub fn for_containers() -> Self {
        let words = ["network", "inspect", "--format", "{{(index .IPAM.Config 0).Subnet}}", "bridge"];
        let subnet = Command::new("docker").args(words).output().expect("docker runs").stdout;
        let subnet = String::from_utf8_lossy(&subnet);
        let (first, _) = subnet.split_once('/').expect("Docker has one");
        let [a, b, c, d] = first.parse::<Ipv4Addr>().expect("an address").octets();
        Self::start([a, b, c, d + 1].into())
    }

    /// The certificate of its authority.
    pub fn authority(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    pub fn url(&self, path: &str) -> String {
        format!("https://{}:{}/{path}", self.address, self.port)
    }

    /// Path of one of its repositories.
    pub fn repository(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Commits files to a repository, which is made where it is missing; gives back the commit's id.
    pub fn commit(&self, name: &str, files: &[(&str, &str)]) -> String {
        let repository = self.repository(name);
        fs::create_dir_all(&repository).expect("a folder");
        git(&repository, &["init", "--quiet", "--initial-branch", "main"]);
        for (path, content) in files {
            let path = repository.join(path);
            fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            fs::write(path, content).expect("a file");
        }
        git(&repository, &["add", "."]);
        let person = ["-c", "user.name=a", "-c", "user.email=a@a.example"];
        git(&repository, &[&person[..], &["commit", "--quiet", "--allow-empty", "-m", "x"]].concat());
        git(&repository, &["rev-parse", "HEAD"])
    }
}

/// Runs git in a folder; gives back what it prints.
pub fn git(folder: &Path, words: &[&str]) -> String {
    let mut git = Command::new("git");
    git.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_SYSTEM", "/dev/null");
    let output = git.arg("-C").arg(folder).args(words).output().expect("git starts");
    assert!(output.status.success(), "git {words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Answers one request; a client that goes away is no matter.
fn serve(config: Arc<ServerConfig>, connection: TcpStream, root: &Path) {
    let Ok(tls) = ServerConnection::new(config) else { return };
    let mut stream = BufReader::new(StreamOwned::new(tls, connection));
    if let Some(answer) = answer(&mut stream, root) {
        let stream = stream.get_mut();
        let _ = stream.write_all(&answer).and_then(|()| stream.flush());
        stream.conn.send_close_notify();
        let _ = stream.flush();
    }
}

fn answer(stream: &mut Stream, root: &Path) -> Option<Vec<u8>> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).ok()?;
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let header = |name: &str| {
        let mut headers = lines.iter().filter_map(|line| line.split_once(": "));
        headers.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned())
    };
    let mut words = lines.first()?.split(' ');
    let (method, target) = (words.next()?, words.next()?);
    if let Some(path) = target.strip_prefix("/away/") {
        let away =
            format!("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/{path}\r\nContent-Length: 0\r\n\r\n");
        return Some(away.into_bytes());
    }
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let protocol = if path.starts_with("/old/") { None } else { header("git-protocol") };
    let length = header("content-length").unwrap_or_default();
    let mut body = vec![0; length.parse().unwrap_or(0)];
    stream.read_exact(&mut body).ok()?;

    let mut backend = Command::new("git");
    backend.arg("http-backend").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    backend.env("GIT_PROJECT_ROOT", root).env("GIT_HTTP_EXPORT_ALL", "1").env("REMOTE_ADDR", "127.0.0.1");
    backend.env("PATH_INFO", path.strip_prefix("/old").unwrap_or(path)).env("QUERY_STRING", query);
    backend.env("REQUEST_METHOD", method).env("CONTENT_LENGTH", length);
    backend.env("CONTENT_TYPE", header("content-type").unwrap_or_default());
    backend.env("HTTP_CONTENT_ENCODING", header("content-encoding").unwrap_or_default());
    backend.envs(protocol.map(|protocol| ("GIT_PROTOCOL", protocol)));
    let mut backend = backend.spawn().ok()?;
    backend.stdin.take()?.write_all(&body).ok()?;
    let output = backend.wait_with_output().ok()?.stdout;
    let head_end = output.windows(4).position(|bytes| bytes == b"\r\n\r\n")? + 4;
    let (head, body) = output.split_at(head_end);
    let head = String::from_utf8_lossy(head);
    let status = head.lines().find_map(|line| line.strip_prefix("Status: ")).unwrap_or("200 OK");
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n{head}");
    Some([head.as_bytes(), body].concat())
}
