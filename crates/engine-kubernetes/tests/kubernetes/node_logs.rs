//! Lines as a cluster has them: an agent for each node reads the files of its containers, and a logger keeps them on
//! disk.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::OnceLock;
use std::time::Duration;

use domain::AppName;
use domain::logs::LogLine;
use engine::LogSource;
use engine::conformance::setting::app;
use engine_kubernetes::watch_node_pods;
use futures_util::{Stream, stream};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use kube::api::ListParams;
use kube::{Api, Client};
use logger::agent::{self, AgentSettings};
use logger::{LoggerClient, LoggerSettings};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::sleep;

/// Folder with `/var/log` of each node, by the node's name in place of `NODE`.
const FOLDERS: &str = "WORKFLOW_TEST_NODE_LOGS";
const KEY: &str = "a key that writes lines";
/// Pause between two looks at a folder or file.
const PAUSE: Duration = Duration::from_millis(20);

/// The logger with its agents; they run from the first time on that someone follows.
pub struct NodeLogs {
    client: Client,
    namespace_prefix: String,
    folder: tempfile::TempDir,
    running: OnceLock<watch::Sender<bool>>,
}

impl NodeLogs {
    pub fn new(client: Client, namespace_prefix: String) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        Self { client, namespace_prefix, folder, running: OnceLock::new() }
    }

    fn start(&self) -> watch::Sender<bool> {
        let logs = std::env::var(FOLDERS);
        let logs = logs.unwrap_or_else(|_| panic!("{FOLDERS} names no folder such as /nodes/NODE/log"));
        let (stop, stopping) = watch::channel(false);
        let folder = self.folder.path().to_owned();
        let (client, prefix) = (self.client.clone(), self.namespace_prefix.clone());
        tokio::spawn(async move {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
            let address = listener.local_addr().expect("it is bound");
            let mut settings = LoggerSettings::new(folder.join("logs"));
            (settings.lines_per_app_max, settings.lines_key) = (10_000, Some(KEY.to_owned()));
            tokio::spawn(logger::run(settings, Some(listener), None, stopping.clone()));
            let lines = LoggerClient::new(&format!("http://{address}"), Some(KEY.to_owned()));
            let nodes = Api::<Node>::all(client.clone()).list_metadata(&ListParams::default()).await;
            for node in nodes.expect("the cluster answers").items {
                let node = node.metadata.name.expect("a node has a name");
                let folder = folder.join(&node);
                std::fs::create_dir_all(folder.join("containers")).expect("the folder is ours");
                tokio::spawn(link(
                    logs.replace("NODE", &node).into(),
                    folder.join("containers"),
                    stopping.clone(),
                ));
                let settings = AgentSettings {
                    logs_dir: folder.join("containers"),
                    positions_file: folder.join("positions.json"),
                };
                let pods = watch_node_pods(client.clone(), &node, &prefix);
                tokio::spawn(agent::run(settings, lines.clone(), pods, stopping.clone()));
            }
        });
        stop
    }
}

impl LogSource for NodeLogs {
    /// Lines of the promises' app.
    fn follow(&self, since: BTreeMap<AppName, Timestamp>) -> Pin<Box<dyn Stream<Item = LogLine> + Send>> {
        let from = since.get(&app()).copied().unwrap_or_else(Timestamp::now);
        self.running.get_or_init(|| self.start());
        let file = self.folder.path().join(format!("logs/{}.log", app()));
        Box::pin(stream::unfold((file, 0), move |(file, mut read)| async move {
            loop {
                // The logger may be in the middle of a line.
                let text = std::fs::read_to_string(&file).unwrap_or_default();
                let whole = text.get(read..).and_then(|unread| Some(&unread[..=unread.find('\n')?]));
                let Some(whole) = whole else {
                    sleep(PAUSE).await;
                    continue;
                };
                read += whole.len();
                let line: LogLine = serde_json::from_str(whole).expect("a line of the logger");
                if line.time > from {
                    return Some((line, (file, read)));
                }
            }
        }))
    }
}

/// Keeps links to the files that a node's own links name: those are right only on the node.
async fn link(node: PathBuf, to: PathBuf, mut stopping: watch::Receiver<bool>) {
    let links = async {
        loop {
            for entry in std::fs::read_dir(node.join("containers")).into_iter().flatten().flatten() {
                let link = to.join(entry.file_name());
                let target = std::fs::read_link(entry.path()).unwrap_or_default();
                if let Ok(inside) = target.strip_prefix("/var/log")
                    && std::fs::symlink_metadata(&link).is_err()
                {
                    std::os::unix::fs::symlink(node.join(inside), &link).expect("the folder is ours");
                }
            }
            forget_ended(&node.join("containers"), &to);
            sleep(PAUSE).await;
        }
    };
    tokio::select! {
        () = links => {}
        _ = stopping.wait_for(|stop| *stop) => {}
    }
}

fn forget_ended(there: &Path, here: &Path) {
    for entry in std::fs::read_dir(here).into_iter().flatten().flatten() {
        if std::fs::symlink_metadata(there.join(entry.file_name())).is_err() {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}
