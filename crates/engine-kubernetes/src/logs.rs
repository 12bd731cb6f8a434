//! Lines of the apps' processes, read through the API server, and those that the platform writes.
//!
//! In a cluster an agent on each node reads the log files; this is for a single process that runs everything. A
//! reader has a task that follows each pod. When a stream ends (the container exited, the API server stopped) it
//! resumes after the last line that was read.

use std::collections::BTreeMap;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use domain::AppName;
use domain::logs::{LogLine, LogSource};
use futures_util::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, Stream, StreamExt as _};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{LogParams, ObjectMeta};
use kube::core::PartialObjectMeta;
use kube::runtime::watcher::Event;
use kube::{Api, Client};
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;

use super::failure::code;
use super::{Inner, KubernetesEngine, names, watching};
use engine::Logs;
use engine::lines::{self, LineQueue};
use engine::log_text::ContainerLogReader;

/// Largest part of a line that is held at once, its time included.
const MESSAGE_BYTES_MAX: usize = 16 << 10;
/// Limits of the pause before a stream that ended is resumed.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(2);

impl Logs for KubernetesEngine {
    fn follow(&self, since: BTreeMap<AppName, Timestamp>) -> Pin<Box<dyn Stream<Item = LogLine> + Send>> {
        let queue = self.inner.lines.read(&since);
        let session = PodLogReader {
            inner: Arc::clone(&self.inner),
            queue: Arc::clone(&queue),
            since,
            begun: Timestamp::now(),
            followers: BTreeMap::new(),
        };
        // The task goes with the stream, and with the engine.
        let task = AbortOnDropHandle::new(self.inner.spawn(session.run()));
        lines::stream(queue, task)
    }

    fn write(&self, line: LogLine) {
        self.inner.lines.write(line);
    }
}

/// One reader.
struct PodLogReader {
    inner: Arc<Inner>,
    queue: Arc<LineQueue>,
    since: BTreeMap<AppName, Timestamp>,
    begun: Timestamp,
    /// By the pod's UID.
    followers: BTreeMap<String, AbortOnDropHandle<()>>,
}

impl PodLogReader {
    async fn run(mut self) {
        let own = format!("{}={},{}", names::HERITAGE_LABEL, names::HERITAGE, names::TYPE_LABEL);
        let pods = Api::<PartialObjectMeta<Pod>>::all(self.inner.client.clone());
        let mut events = pin!(watching::objects(pods, &own));
        while let Some(event) = events.next().await {
            if let Event::Apply(pod) | Event::InitApply(pod) = event {
                self.add(&pod.metadata);
            }
        }
    }

    fn add(&mut self, meta: &ObjectMeta) {
        self.followers.retain(|_, follower| !follower.is_finished());
        let uid = meta.uid.clone().unwrap_or_default();
        if self.followers.contains_key(&uid) || meta.deletion_timestamp.is_some() {
            return;
        }
        let Some((app, source)) = origin(&self.inner, meta) else { return };
        // Lines of a pod that is younger than the reader are all younger than its begin.
        let from = self.since.get(&app).copied().unwrap_or(self.begun);
        let follower = PodLogFollower {
            client: self.inner.client.clone(),
            namespace: meta.namespace.clone().unwrap_or_default(),
            pod: meta.name.clone().unwrap_or_default(),
            queue: Arc::clone(&self.queue),
            app,
            source,
        };
        self.followers.insert(uid, AbortOnDropHandle::new(tokio::spawn(follower.run(from))));
    }
}

/// Origin of a pod's lines.
fn origin(inner: &Inner, meta: &ObjectMeta) -> Option<(AppName, LogSource)> {
    let id = inner.workload_of(meta)?;
    let source = LogSource::Process {
        process: id.process,
        release: names::release(meta.labels.as_ref())?,
        pod: meta.name.as_deref()?.rsplit('-').next()?.to_owned(),
    };
    Some((id.app, source))
}

/// Cuts what the API server sends, `<time> <line>`, into messages of bounded length: a longer line comes as several with
/// its time. Where the stream ends within a message, that comes again, whole, when it is taken up.
#[derive(Default)]
struct Messages {
    message: Vec<u8>,
    /// Length of the prefix that the next message keeps of the last one: 0, or the time of a line that continues.
    kept_bytes: usize,
}

impl Messages {
    async fn next(&mut self, stream: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Option<&[u8]>> {
        self.message.truncate(self.kept_bytes);
        while self.message.len() < MESSAGE_BYTES_MAX {
            let room_bytes = (MESSAGE_BYTES_MAX - self.message.len()) as u64;
            if (&mut *stream).take(room_bytes).read_until(b'\n', &mut self.message).await? == 0 {
                return Ok(None);
            }
            if self.message.ends_with(b"\n") {
                self.kept_bytes = 0;
                return Ok(Some(&self.message));
            }
        }
        let space = self.message.iter().position(|byte| *byte == b' ');
        // Without a time there is no line to go on with.
        self.kept_bytes = space.map_or(0, |space| space + 1).min(MESSAGE_BYTES_MAX / 2);
        Ok(Some(&self.message))
    }
}

/// Follows one pod until it is gone.
struct PodLogFollower {
    client: Client,
    namespace: String,
    pod: String,
    queue: Arc<LineQueue>,
    app: AppName,
    source: LogSource,
}

impl PodLogFollower {
    async fn run(self, from: Timestamp) {
        let mut reader = ContainerLogReader::from(from);
        let mut pause = PAUSE_MIN;
        loop {
            match self.read(&mut reader).await {
                Ok(true) => pause = PAUSE_MIN,
                Ok(false) => {}
                Err(error) if code(&error) == Some(404) => return,
                // Not started yet, as a rule.
                Err(_) => {}
            }
            reader.resume();
            sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// Reads what there is until the stream ends; whether anything new came.
    async fn read(&self, reader: &mut ContainerLogReader) -> Result<bool, kube::Error> {
        let pods = Api::<Pod>::namespaced(self.client.clone(), &self.namespace);
        let since = k8s_openapi::jiff::Timestamp::from_second(reader.since().as_second()).ok();
        let params = LogParams { follow: true, timestamps: true, since_time: since, ..LogParams::default() };
        let mut stream = pin!(pods.log_stream(&self.pod, &params).await?);
        let mut is_news = false;
        let mut messages = Messages::default();
        while let Ok(Some(message)) = messages.next(&mut stream).await {
            reader.take(0, message);
            for (time, text) in reader.lines() {
                is_news = true;
                let (app, source) = (self.app.clone(), self.source.clone());
                self.queue.push(LogLine { time, app, source, text });
            }
        }
        Ok(is_news)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::io::Cursor;

    use super::*;

    const TIME: &str = "2026-01-02T03:04:05.000000001Z ";

    async fn messages(text: &[u8]) -> Vec<Vec<u8>> {
        let (mut stream, mut messages) = (Cursor::new(text), Messages::default());
        let mut all = Vec::new();
        while let Some(message) = messages.next(&mut stream).await.expect("memory can be read") {
            all.push(message.to_vec());
        }
        assert!(messages.message.capacity() <= 2 * MESSAGE_BYTES_MAX);
        all
    }

    #[tokio::test]
    async fn a_line_of_any_length_is_held_in_bounded_pieces_and_ends_as_the_others() {
        let line = "x".repeat(20 * MESSAGE_BYTES_MAX);
        let text = format!("{TIME}{line}\n{TIME}next\n{TIME}cut off");
        let mut reader = ContainerLogReader::from(Timestamp::UNIX_EPOCH);

        for message in messages(text.as_bytes()).await {
            assert!(message.len() <= MESSAGE_BYTES_MAX && message.starts_with(TIME.as_bytes()));
            reader.take(0, &message);
        }

        let parts: Vec<_> = reader.lines().map(|(_, part)| part).collect();
        let [first, second, next] = &parts[..] else { panic!("{} lines", parts.len()) };
        let of_line = |part: &str| part.rsplit(' ').next().unwrap_or_default().len();
        assert!(first.starts_with("[part 1 of a long line] ") && second.starts_with("[part 2, the last] "));
        assert_eq!((of_line(first) + of_line(second), next.as_str()), (line.len(), "next"));
    }

    #[tokio::test]
    async fn what_has_no_time_is_bounded_too() {
        let text = vec![b'x'; 5 * MESSAGE_BYTES_MAX];

        assert_eq!(messages(&text).await.len(), 5);
    }
}
