//! Lines of the apps' processes, read through the API server, and those that the platform writes.
//!
//! In a cluster an agent on each node reads the log files; this is for one process that is everything. A
//! reader has a task that follows each pod. Where a stream ends (the container ended, the API server went
//! away) it is taken up again behind the last line that was read.

use std::collections::BTreeMap;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use domain::AppName;
use domain::logs::{LogLine, LogSource};
use futures_util::{AsyncBufReadExt as _, Stream, StreamExt as _};
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
use crate::Logs;
use crate::lines::{self, Queue};
use crate::log_text::Reader;

/// Bounds of the pause before a stream that ended is taken up again.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(2);

impl Logs for KubernetesEngine {
    fn follow(&self, since: BTreeMap<AppName, Timestamp>) -> Pin<Box<dyn Stream<Item = LogLine> + Send>> {
        let queue = self.inner.lines.read(&since);
        let session = Session {
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
struct Session {
    inner: Arc<Inner>,
    queue: Arc<Queue>,
    since: BTreeMap<AppName, Timestamp>,
    begun: Timestamp,
    /// By the pod's UID.
    followers: BTreeMap<String, AbortOnDropHandle<()>>,
}

impl Session {
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
        let follower = Follower {
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

/// Whose lines these are.
fn origin(inner: &Inner, meta: &ObjectMeta) -> Option<(AppName, LogSource)> {
    let id = inner.workload_of(meta)?;
    let source = LogSource::Process {
        process: id.process,
        release: names::release(meta.labels.as_ref())?,
        pod: meta.name.as_deref()?.rsplit('-').next()?.to_owned(),
    };
    Some((id.app, source))
}

/// Follows one pod until it is gone.
struct Follower {
    client: Client,
    namespace: String,
    pod: String,
    queue: Arc<Queue>,
    app: AppName,
    source: LogSource,
}

impl Follower {
    async fn run(self, from: Timestamp) {
        let mut reader = Reader::from(from);
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
    async fn read(&self, reader: &mut Reader) -> Result<bool, kube::Error> {
        let pods = Api::<Pod>::namespaced(self.client.clone(), &self.namespace);
        let since = k8s_openapi::jiff::Timestamp::from_second(reader.since().as_second()).ok();
        let params = LogParams { follow: true, timestamps: true, since_time: since, ..LogParams::default() };
        let mut stream = pin!(pods.log_stream(&self.pod, &params).await?);
        let mut is_news = false;
        let mut message = Vec::new();
        while stream.read_until(b'\n', &mut message).await.is_ok_and(|count| count > 0) {
            reader.take(0, &message);
            message.clear();
            for (time, text) in reader.lines() {
                is_news = true;
                let (app, source) = (self.app.clone(), self.source.clone());
                self.queue.push(LogLine { time, app, source, text });
            }
        }
        Ok(is_news)
    }
}
