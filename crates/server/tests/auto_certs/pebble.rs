//! Pebble in a process of its own, with its faults on.

use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;
use testkit::{free_address, wait_until_blocking};

use crate::names;

/// Names its program.
const PROGRAM: &str = "WORKFLOW_TEST_PEBBLE";
const START_MAX: Duration = Duration::from_secs(20);

pub struct Pebble {
    address: SocketAddr,
    /// Authority of its TLS certificate, PEM.
    pub ca_bundle: String,
    lines: Arc<Mutex<Vec<String>>>,
    process: Child,
    _folder: TempDir,
}

impl Pebble {
    /// Starts one that looks for hosts at the ports of this router. Of its requests it refuses a quarter for their
    /// nonce, and it takes up to a second for each look at a host.
    pub fn start(http: SocketAddr, https: SocketAddr) -> Self {
        let program = std::env::var_os(PROGRAM)
            .expect("set WORKFLOW_TEST_PEBBLE to Pebble's program; `cargo xtask test` builds it");
        let folder = tempfile::tempdir().expect("a temporary folder");
        // Pebble cannot choose a port itself.
        let (address, ca_bundle) = (free_address(), certificate(folder.path()));
        configure(folder.path(), address, http, https);
        let mut process = Command::new(program)
            .arg("-config")
            .arg(folder.path().join("pebble.json"))
            .arg("-strict")
            .args(["-dnsserver", &names::serve().to_string()])
            .env("PEBBLE_WFE_NONCEREJECT", "25")
            .env("PEBBLE_AUTHZREUSE", "50")
            .env("PEBBLE_VA_SLEEPTIME", "1")
            .env("PEBBLE_CHAIN_LENGTH", "2")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("Pebble starts");
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (output, heard) = (process.stdout.take().expect("it was piped"), Arc::clone(&lines));
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                heard.lock().expect("no test panics while it holds this").push(line);
            }
        });
        let pebble = Self { address, ca_bundle, lines, process, _folder: folder };
        pebble.until_it_listens();
        pebble
    }

    pub fn directory(&self) -> String {
        format!("https://{}/dir", self.address)
    }

    /// Number of orders so far.
    pub fn orders(&self) -> usize {
        self.lines().iter().filter(|line| line.contains("to the db") && line.contains("Added order")).count()
    }

    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().expect("not poisoned").clone()
    }

    fn until_it_listens(&self) {
        let listens = || TcpStream::connect(self.address).map_err(|_| self.lines());
        wait_until_blocking("Pebble listens", START_MAX, listens);
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Makes a certificate for TLS that signs itself.
fn certificate(folder: &Path) -> String {
    let key = rcgen::KeyPair::generate().expect("a key");
    let params = rcgen::CertificateParams::new(["127.0.0.1".to_owned()]).expect("an address");
    let certificate = params.self_signed(&key).expect("a certificate").pem();
    std::fs::write(folder.join("cert.pem"), &certificate).expect("a folder of ours");
    std::fs::write(folder.join("key.pem"), key.serialize_pem()).expect("a folder of ours");
    certificate
}

fn configure(folder: &Path, address: SocketAddr, http: SocketAddr, https: SocketAddr) {
    let ninety_days_s = 90 * 24 * 60 * 60;
    let config = json!({ "pebble": {
        "listenAddress": address.to_string(),
        "managementListenAddress": "",
        "certificate": folder.join("cert.pem"),
        "privateKey": folder.join("key.pem"),
        "httpPort": http.port(),
        "tlsPort": https.port(),
        "retryAfter": { "authz": 1, "order": 1 },
        "keyAlgorithm": "ecdsa",
        "profiles": { "default": { "description": "the only one", "validityPeriod": ninety_days_s } },
    }});
    std::fs::write(folder.join("pebble.json"), config.to_string()).expect("a folder of ours");
}
