//! Watches that never end: after an outage, a restart of the API server or a version that it has forgotten
//! (410) they go on by themselves, with pauses that grow.

use std::fmt::Debug;
use std::time::Duration;

use futures_util::{Stream, StreamExt as _, TryStream};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::utils::Backoff;
use kube::runtime::watcher::{self, Config, Event};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;

/// The API server ends a watch after this time and it is taken up again: so a connection that is dead
/// without anyone knowing is found soon.
const WATCH_SECONDS: u32 = 55;
const PAUSE_MIN: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// All that happens to the objects with these labels. `PartialObjectMeta<K>` leaves out spec and status.
pub fn objects<K>(api: Api<K>, labels: &str) -> impl Stream<Item = Event<K>> + Send + use<K>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
{
    patient(K::plural(&()).into_owned(), watcher::watcher(api, config(labels)))
}

fn config(labels: &str) -> Config {
    Config::default().labels(labels).timeout(WATCH_SECONDS)
}

fn patient<T: Send>(
    what: String,
    stream: impl TryStream<Ok = T, Error = watcher::Error, Item = watcher::Result<T>> + Send,
) -> impl Stream<Item = T> + Send {
    stream.backoff(Pauses::default()).filter_map(move |event| {
        let event = event.inspect_err(|error| {
            tracing::warn!(
                error = error as &dyn std::error::Error,
                "watch of {what} was cut; will try again"
            );
        });
        std::future::ready(event.ok())
    })
}

/// Doubles from one failure to the next.
struct Pauses(Duration);

impl Default for Pauses {
    fn default() -> Self {
        Self(PAUSE_MIN)
    }
}

impl Iterator for Pauses {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let pause = self.0;
        self.0 = (pause * 2).min(PAUSE_MAX);
        // Not all watches of all processes at the same moment.
        Some(pause.mul_f64(rand::random_range(0.5..1.0)))
    }
}

impl Backoff for Pauses {
    fn reset(&mut self) {
        *self = Self::default();
    }
}
