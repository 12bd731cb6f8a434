//! The agent of a node: reads the log files of app containers and sends their lines to the logger.
//!
//! One loop does all: look for files (`files`), read on in each (`tail`, `cri`), send what was read, then
//! note how far that was (`positions`). While the logger is away nothing more is read: lines wait in the
//! node's files, and memory stays bounded. What was sent and not noted before a crash is sent again.

mod cri;
mod files;
mod positions;
mod tail;

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use domain::logs::LogLine;
use domain::logs::{PodName, PodOrigin};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use crate::batch::LineBatch;
use crate::client::LoggerClient;
use positions::Positions;
use tail::Tail;

/// Pause after a pass that found nothing new.
const READ_EVERY: Duration = Duration::from_millis(250);
/// Interval at which the folder is scanned for new files and positions are saved.
const SCAN_INTERVAL: Duration = Duration::from_secs(1);
/// Longest wait for a batch under way when the agent stops.
const STOP_MAX: Duration = Duration::from_secs(2);
/// Bytes of lines that are sent at once.
const BATCH_BYTES_MAX: usize = 512 << 10;

/// Origins of the pods of the node.
pub type PodMap = watch::Receiver<Arc<BTreeMap<PodName, PodOrigin>>>;

/// Settings of an agent.
#[derive(Debug, Clone)]
pub struct AgentSettings {
    /// Folder in which the node keeps links to the logs of its containers.
    pub logs_dir: PathBuf,
    /// File for the read positions.
    pub positions_file: PathBuf,
}

/// A failed start of the agent.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    #[error("cannot read the logs of containers in {}: {source}", path.display())]
    Logs { path: PathBuf, source: std::io::Error },
    #[error("cannot note positions in {}: {source}", path.display())]
    Positions { path: PathBuf, source: std::io::Error },
}

/// Reads and sends until `shutdown` turns true or closes.
pub async fn run(
    settings: AgentSettings,
    client: LoggerClient,
    pods: PodMap,
    mut shutdown: watch::Receiver<bool>,
) -> Result<(), AgentError> {
    let mut agent = Agent::new(settings, pods)?;
    agent.serve(&client, &mut shutdown).await?;
    agent.positions.save()
}

async fn stopped(shutdown: &mut watch::Receiver<bool>) {
    // A closed channel means that the sender of the stop signal is gone.
    let _ = shutdown.wait_for(|stop| *stop).await;
}

struct Agent {
    settings: AgentSettings,
    pods: PodMap,
    /// In the order of reading: the runs of a container one after the other.
    tails: Vec<(String, Tail)>,
    positions: Positions,
}

impl Agent {
    fn new(settings: AgentSettings, pods: PodMap) -> Result<Self, AgentError> {
        let positions = Positions::load(&settings.positions_file)?;
        Ok(Self { settings, pods, tails: Vec::new(), positions })
    }

    /// Ends at the stop signal, when the batch under way has arrived: it would be sent again after a restart.
    async fn serve(
        &mut self,
        client: &LoggerClient,
        shutdown: &mut watch::Receiver<bool>,
    ) -> Result<(), AgentError> {
        let mut scanned_at: Option<Instant> = None;
        let mut batch = LineBatch::default();
        loop {
            if scanned_at.is_none_or(|then| then.elapsed() >= SCAN_INTERVAL) {
                self.scan()?;
                self.positions.save()?;
                scanned_at = Some(Instant::now());
            }
            // Short reads of files that are mostly in memory; nothing else runs in this process.
            let mut left = self.read(&mut batch);
            if batch.is_empty() {
                tokio::select! {
                    () = sleep(READ_EVERY) => continue,
                    () = stopped(shutdown) => return Ok(()),
                }
            }
            while !batch.is_empty() {
                if !send(client, &batch, shutdown).await {
                    return Ok(());
                }
                batch.clear();
                while left.front().is_some_and(|line| batch.add(line)) {
                    left.pop_front();
                }
            }
            for (name, tail) in &self.tails {
                self.positions.note(name, tail.position());
            }
            if *shutdown.borrow() {
                return Ok(());
            }
        }
    }

    /// Takes up new files, lets go of those that are gone and read to their end.
    fn scan(&mut self) -> Result<(), AgentError> {
        let names = files::names(&self.settings.logs_dir)?;
        let pods = Arc::clone(&self.pods.borrow_and_update());
        for name in &names {
            let Some(pod) = files::pod_of(name) else { continue };
            let Some(origin) = pods.get(&pod) else { continue };
            if !has(&self.tails, name) {
                let link = self.settings.logs_dir.join(name);
                let tail = Tail::open(link, origin.clone(), &pod.name, self.positions.of(name));
                let Some(tail) = tail else { continue };
                // Before anything is read: after a crash, a file that was rotated meanwhile is found by it.
                self.positions.note(name, tail.position());
                self.tails.push((name.clone(), tail));
                self.tails.sort_by(|(_, one), (_, other)| one.order().cmp(other.order()));
            }
        }
        self.tails.retain(|(name, tail)| names.contains(name) || !tail.is_at_end());
        let tails = &self.tails;
        self.positions.keep_only(|name| names.contains(name) || has(tails, name));
        Ok(())
    }

    /// Reads on in every file, in turns, until the batch is full or nothing is new. Gives what had no room in it: no
    /// more than one turn brings.
    fn read(&mut self, batch: &mut LineBatch) -> VecDeque<LogLine> {
        let mut left = VecDeque::new();
        loop {
            let mut found = false;
            for (_, tail) in &mut self.tails {
                found |= tail.read(|line| {
                    if !left.is_empty() || !batch.add(&line) {
                        left.push_back(line);
                    }
                });
                if batch.bytes().len() >= BATCH_BYTES_MAX || !left.is_empty() {
                    return left;
                }
            }
            if !found {
                return left;
            }
        }
    }
}

fn has(tails: &[(String, Tail)], name: &str) -> bool {
    tails.iter().any(|(known, _)| known == name)
}

/// Sends until the batch has arrived; returns false if the agent stops before.
async fn send(client: &LoggerClient, batch: &LineBatch, shutdown: &mut watch::Receiver<bool>) -> bool {
    let mut sending = std::pin::pin!(client.send(batch));
    tokio::select! {
        () = &mut sending => true,
        () = stopped(shutdown) => timeout(STOP_MAX, sending).await.is_ok(),
    }
}
