//! Two registries for all tests of this process, both with the real Distribution: the platform's own, and one
//! of a user's that asks for nothing.

use std::fs::Permissions;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{OnceLock, mpsc};
use std::time::Duration;

use domain::registry_access::AccessKey;
use registry::{FrontSettings, RegistrySettings, Storage};
use serde_json::json;
use testkit::{free_address, free_port, wait_until_blocking};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub const KEY: &str = "the key of the conformance suite's registry";
/// Distribution's program.
const PROGRAM: &str = "WORKFLOW_TEST_REGISTRY";
const START_MAX: Duration = Duration::from_secs(20);

/// Address of the platform's registry until this process ends: `127.0.0.1:<port>`.
pub fn platforms() -> &'static str {
    static HOST: OnceLock<String> = OnceLock::new();
    HOST.get_or_init(|| {
        let (tell, told) = mpsc::channel();
        // A runtime of its own: that of a test ends with it.
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(run(tell));
        });
        let host: SocketAddr = told.recv().expect("the registry starts");
        host.to_string()
    })
}

/// Address of the user's registry until this process ends.
pub fn users() -> &'static str {
    static HOST: OnceLock<String> = OnceLock::new();
    HOST.get_or_init(|| {
        let address = free_address();
        let folder = folder();
        let config = json!({
            "version": "0.1",
            "storage": { "filesystem": { "rootdirectory": folder.join("data") }, "delete": { "enabled": true } },
            "http": { "addr": address.to_string() },
        });
        let file = folder.join("config.yml");
        std::fs::write(&file, config.to_string()).expect("the folder is ours");
        let program = mortal(&folder);
        // It ends with the thread that started it, so that one stays.
        std::thread::spawn(move || Command::new(program).arg("serve").arg(file).status());
        is_up(address);
        address.to_string()
    })
}

fn is_up(address: SocketAddr) {
    wait_until_blocking("Distribution comes up", START_MAX, || TcpStream::connect(address));
}

async fn run(tell: mpsc::Sender<SocketAddr>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
    let folder = folder();
    let settings = RegistrySettings {
        key: AccessKey::new(KEY),
        program: mortal(&folder),
        folder: folder.join("config"),
        storage: Storage::folder(&folder.join("data").to_string_lossy()),
        distribution_port: free_port(),
        front: FrontSettings::default(),
        collect: None,
    };
    let address = SocketAddr::from(([127, 0, 0, 1], settings.distribution_port));
    let up = std::thread::spawn(move || is_up(address));
    let host = listener.local_addr().expect("it is bound");
    std::thread::spawn(move || {
        up.join().expect("the registry comes up");
        tell.send(host).expect("someone waits");
    });
    registry::run(&settings, listener, CancellationToken::new()).await.expect("the registry runs");
}

/// The program, which ends with this process however that ends: nothing runs at the end of a test binary.
fn mortal(folder: &Path) -> PathBuf {
    let program = std::env::var(PROGRAM).expect("set WORKFLOW_TEST_REGISTRY to the program of Distribution");
    let script = folder.join("registry");
    let text = format!("#!/bin/sh\nexec setpriv --pdeathsig KILL -- '{program}' \"$@\" 2>\"$0.log\"\n");
    std::fs::write(&script, text).expect("the folder is ours");
    std::fs::set_permissions(&script, Permissions::from_mode(0o755)).expect("the file is ours");
    script
}

/// It stays after this process, so it is one that `cargo clean` knows.
fn folder() -> PathBuf {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"));
    folder.expect("the target folder is ours").keep()
}
