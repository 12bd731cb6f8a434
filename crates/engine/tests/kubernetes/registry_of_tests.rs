//! One managed registry for all tests of this process, with the real Distribution.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{OnceLock, mpsc};

use domain::registry_access::AccessKey;
use registry::{FrontSettings, RegistrySettings, Storage};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub const KEY: &str = "the key of the conformance suite's registry";
/// Distribution's program.
const PROGRAM: &str = "WORKFLOW_TEST_REGISTRY";

/// `127.0.0.1:<port>`, where it answers until the process ends.
pub fn host() -> &'static str {
    static HOST: OnceLock<String> = OnceLock::new();
    HOST.get_or_init(|| {
        let program = std::env::var_os(PROGRAM);
        let program = program.expect("set WORKFLOW_TEST_REGISTRY to the program of Distribution");
        let (tell, told) = mpsc::channel();
        // A runtime of its own: that of a test ends with it.
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(run(program.into(), tell));
        });
        told.recv().expect("the registry starts")
    })
}

async fn run(program: PathBuf, tell: mpsc::Sender<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
    let free = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
    let distribution_port = free.local_addr().expect("it is bound").port();
    drop(free);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let program = mortal(folder.path(), &program);
    let settings = RegistrySettings {
        key: AccessKey::new(KEY),
        program,
        folder: folder.path().join("config"),
        storage: Storage::folder(&folder.path().join("data").to_string_lossy()),
        distribution_port,
        front: FrontSettings::default(),
    };
    tell.send(listener.local_addr().expect("it is bound").to_string()).expect("someone waits");
    registry::run(&settings, listener, CancellationToken::new()).await.expect("the registry runs");
}

/// The program, which ends with this process however that ends: nothing runs at the end of a test binary.
fn mortal(folder: &Path, program: &Path) -> PathBuf {
    let script = folder.join("registry");
    let text =
        format!("#!/bin/sh\nexec setpriv --pdeathsig KILL -- '{}' \"$@\" 2>\"$0.log\"\n", program.display());
    std::fs::write(&script, text).expect("the folder is ours");
    std::fs::set_permissions(&script, Permissions::from_mode(0o755)).expect("the file is ours");
    script
}
