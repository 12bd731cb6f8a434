//! A builder of its own for each test: folder, port, controller, engine.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use builder::{BuilderError, BuilderSettings};
use domain::AppName;
use engine::fake::LogRecorder;
use tempfile::TempDir;
use testkit::wait_until;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::client::Client;
use crate::copies::TestBundles;
use crate::engine::TestEngine;
use crate::hooks::{BUILDER_KEY, Hooks};

/// Longest wait for something that must happen.
const WAIT_MAX: Duration = Duration::from_secs(30);

pub struct World {
    pub folder: TempDir,
    pub engine: TestEngine,
    pub hooks: Hooks,
    pub bundles: TestBundles,
    log_recorder: Arc<LogRecorder>,
    port: u16,
    stop: watch::Sender<bool>,
    serving: JoinHandle<Result<(), BuilderError>>,
}

impl World {
    /// The app `blog` belongs to alice; mallory has a key and nothing else.
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(change: impl FnOnce(&mut BuilderSettings)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let hooks = Hooks::start();
        for user in ["alice", "mallory"] {
            let public = make_key(&folder.path().join(user), "ed25519").await;
            hooks.controller().keys.insert(public, user.to_owned());
        }
        let engine = TestEngine::new();
        let bundles = TestBundles::default();
        let log_recorder = Arc::default();
        let parts = (&engine, &bundles, &log_recorder);
        let (port, stop, serving) = start(folder.path(), &hooks, parts, change).await;
        let world = Self { folder, engine, hooks, bundles, log_recorder, port, stop, serving };
        world.add_app("blog", "11");
        world
    }

    pub fn add_app(&self, app: &str, id: &str) {
        let users = vec!["alice".to_owned()];
        self.hooks.controller().apps.insert(app.to_owned(), (id.to_owned(), users));
    }

    /// A working copy of the user's.
    pub async fn client(&self, user: &str) -> Client {
        let number = rand::random::<u32>();
        let folder = self.folder.path().join(format!("work-{user}-{number}"));
        Client::new(folder, &self.folder.path().join(user), self.port).await
    }

    /// A working copy of alice's with one commit that has these files.
    pub async fn client_with(&self, files: &[(&str, &str)]) -> Client {
        let client = self.client("alice").await;
        client.commit(files).await;
        client
    }

    pub fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The repository that the builder keeps for an app.
    pub fn repository(&self, app: &str, id: &str) -> PathBuf {
        self.data_dir().join("repositories").join(app).join(format!("{id}.git"))
    }

    /// Asks the builder to stop and does not wait.
    pub fn ask_to_stop(&self) {
        self.stop.send_replace(true);
    }

    /// Ends the builder as a crash would: nothing of it runs on.
    pub async fn crash(&mut self) {
        self.serving.abort();
        let _ = (&mut self.serving).await;
    }

    /// Starts another builder on the same folder.
    pub async fn restart(&mut self) {
        let parts = (&self.engine, &self.bundles, &self.log_recorder);
        (self.port, self.stop, self.serving) = start(self.folder.path(), &self.hooks, parts, |_| {}).await;
    }

    /// Starts another builder on an empty disk.
    pub async fn lose_disk(&mut self) {
        self.crash().await;
        std::fs::remove_dir_all(self.data_dir()).unwrap();
        self.restart().await;
    }

    /// The builder's lines in the app's log.
    pub fn log(&self, app: &str) -> String {
        let app = AppName::parse(app).unwrap();
        let lines = self.log_recorder.lines().into_iter().filter(|line| line.app == app);
        lines.map(|line| line.render() + "\n").collect()
    }

    /// Waits until `is_so`.
    pub async fn until(&self, what: &str, mut is_so: impl FnMut(&Self) -> bool) {
        wait_until(what, WAIT_MAX, async || is_so(self)).await;
    }
}

async fn start(
    folder: &Path,
    hooks: &Hooks,
    (engine, bundles, log_recorder): (&TestEngine, &TestBundles, &Arc<LogRecorder>),
    change: impl FnOnce(&mut BuilderSettings),
) -> (u16, watch::Sender<bool>, JoinHandle<Result<(), BuilderError>>) {
    let us = std::env::current_exe().unwrap().display().to_string();
    let hook =
        [&us, "--ignored", "--exact", "git_hook", "--nocapture", "--quiet"].map(str::to_owned).to_vec();
    let mut settings = BuilderSettings::new(folder.join("data"), hooks.url.clone(), BUILDER_KEY, hook);
    settings.disk_free_bytes_min = 0;
    change(&mut settings);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (stop, stopped) = watch::channel(false);
    let engine = Arc::new(engine.clone());
    let bundles: Arc<dyn engine::Bundles> = Arc::new(bundles.clone());
    let log_sink = log_recorder.clone();
    let serving = builder::run(settings, Some(listener), engine, log_sink, Some(bundles), stopped);
    (port, stop, tokio::spawn(serving))
}

/// Makes a key pair and returns type and base64 of the public half.
pub async fn make_key(path: &Path, kind: &str) -> String {
    let mut keygen = tokio::process::Command::new("ssh-keygen");
    let made = keygen.args(["-q", "-N", "", "-t", kind, "-f"]).arg(path).status().await.unwrap();
    assert!(made.success());
    let line = std::fs::read_to_string(path.with_extension("pub")).unwrap();
    line.split(' ').take(2).collect::<Vec<_>>().join(" ").trim().to_owned()
}
