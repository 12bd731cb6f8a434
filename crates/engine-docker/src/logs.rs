//! Lines of the apps' processes, read from Docker's log files.
//!
//! A reader has a task that follows each container. When a stream ends (the process exited, the daemon stopped) it
//! resumes after the last line that was read.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bollard::container::LogOutput;
use bollard::errors::Error;
use bollard::query_parameters::LogsOptionsBuilder;
use domain::logs::{LogLine, LogOrigin};
use domain::{AppName, ProcessType};
use futures_util::{Stream, StreamExt as _, stream};
use jiff::Timestamp;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;

use super::jobs::status;
use super::{DockerEngine, Inner, names, replicas};
use engine::log_queue::LogQueue;
use engine::log_text::ContainerLogReader;
use engine::{LogSink as _, LogSource};

/// Pause before a stream that ended is resumed.
const PAUSE: Duration = Duration::from_millis(200);
/// A silent stream is opened anew after this time.
const STREAM_SECONDS_MAX: i64 = 3600;

impl LogSource for DockerEngine {
    fn follow(&self, since: BTreeMap<AppName, Timestamp>) -> Pin<Box<dyn Stream<Item = LogLine> + Send>> {
        let queue = Arc::<LogQueue>::default();
        let session = LogReader {
            inner: Arc::clone(&self.inner),
            queue: Arc::clone(&queue),
            since,
            begun: Timestamp::now(),
            followers: BTreeMap::new(),
        };
        // The task goes with the stream, and with the engine.
        let task = AbortOnDropHandle::new(self.inner.spawn(session.run()));
        Box::pin(stream::unfold((queue, task), async |(queue, task)| {
            Some((queue.next().await, (queue, task)))
        }))
    }
}

/// One reader.
struct LogReader {
    inner: Arc<Inner>,
    queue: Arc<LogQueue>,
    since: BTreeMap<AppName, Timestamp>,
    begun: Timestamp,
    /// By container.
    followers: BTreeMap<String, AbortOnDropHandle<()>>,
}

impl LogReader {
    async fn run(mut self) {
        // Before the first list, so that no container is missed.
        let mut events = self.inner.events.subscribe();
        loop {
            match replicas::ids(&self.inner, None).await {
                Ok(ids) => ids.into_iter().for_each(|id| self.add(id)),
                Err(_) => {
                    sleep(PAUSE).await;
                    continue;
                }
            }
            loop {
                match events.recv().await {
                    Ok(event) if event.action == "create" || event.action == "start" => self.add(event.id),
                    Ok(_) => {}
                    Err(RecvError::Lagged(_)) => break,
                    Err(RecvError::Closed) => return,
                }
            }
        }
    }

    fn add(&mut self, id: String) {
        self.followers.retain(|_, follower| !follower.is_finished());
        if self.followers.contains_key(&id) {
            return;
        }
        let follower = follow(
            Arc::clone(&self.inner),
            Arc::clone(&self.queue),
            id.clone(),
            self.since.clone(),
            self.begun,
        );
        self.followers.insert(id, AbortOnDropHandle::new(tokio::spawn(follower)));
    }
}

/// Follows one container until it is removed.
async fn follow(
    inner: Arc<Inner>,
    queue: Arc<LogQueue>,
    id: String,
    since: BTreeMap<AppName, Timestamp>,
    begun: Timestamp,
) {
    let Some((app, origin)) = origin(&inner, &id).await else { return };
    // Lines of a container that is younger than the reader are all younger than its begin.
    let mut reader = ContainerLogReader::from(since.get(&app).copied().unwrap_or(begun));
    let client = inner.with_timeout(STREAM_SECONDS_MAX);
    loop {
        let options = LogsOptionsBuilder::default()
            .follow(true)
            .stdout(true)
            .stderr(true)
            .timestamps(true)
            .since(i32::try_from(reader.since().as_second()).unwrap_or(0))
            .build();
        let mut chunks = std::pin::pin!(client.logs(&id, Some(options)));
        let mut ended = Ok(());
        while let Some(chunk) = chunks.next().await {
            match chunk {
                Ok(LogOutput::StdErr { message }) => reader.take_of_docker(1, &message),
                Ok(chunk) => reader.take_of_docker(0, &chunk.into_bytes()),
                Err(error) => {
                    ended = Err(error);
                    break;
                }
            }
            for (time, text) in reader.lines() {
                queue.write(LogLine { time, app: app.clone(), origin: origin.clone(), text });
            }
        }
        reader.resume();
        if is_gone(ended) {
            return;
        }
        sleep(PAUSE).await;
    }
}

fn is_gone(ended: Result<(), Error>) -> bool {
    // 409: it is being removed.
    ended.is_err_and(|error| matches!(status(&error), Some(404 | 409)))
}

/// Origin of a container's lines; `None` when the container is gone already.
async fn origin(inner: &Inner, id: &str) -> Option<(AppName, LogOrigin)> {
    let found = loop {
        match inner.client.inspect_container(id, None).await {
            Ok(found) => break found,
            Err(error) if status(&error).is_some() => return None,
            Err(_) => sleep(PAUSE).await,
        }
    };
    let labels = found.config?.labels?;
    let name = found.name?;
    let origin = LogOrigin::Process {
        process: ProcessType::parse(labels.get(names::PROCESS_LABEL)?).ok()?,
        release: labels.get(names::RELEASE_LABEL)?.parse().ok()?,
        pod: name.rsplit('-').next()?.to_owned(),
    };
    Some((AppName::parse(labels.get(names::APP_LABEL)?).ok()?, origin))
}
