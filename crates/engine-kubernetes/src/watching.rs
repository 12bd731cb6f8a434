//! Watches that never end: after an outage, a restart of the API server or a version that it has forgotten
//! (410) they go on by themselves, with pauses that grow.

use std::fmt::Debug;
use std::time::{Duration, Instant};

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
    with_backoff(K::plural(&()).into_owned(), watcher::watcher(api, config(labels)))
}

/// All that happens to the one object of this name; whoever asks may be allowed to see no other.
pub fn named<K>(api: Api<K>, name: &str) -> impl Stream<Item = Event<K>> + Send + use<K>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let config = Config::default().fields(&format!("metadata.name={name}")).timeout(WATCH_SECONDS);
    with_backoff(format!("{} {name}", K::plural(&())), watcher::watcher(api, config))
}

/// All that happens to the objects that this configuration finds.
pub fn selected<K>(api: Api<K>, config: Config) -> impl Stream<Item = Event<K>> + Send + use<K>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
{
    with_backoff(K::plural(&()).into_owned(), watcher::watcher(api, config.timeout(WATCH_SECONDS)))
}

fn config(labels: &str) -> Config {
    Config::default().labels(labels).timeout(WATCH_SECONDS)
}

fn with_backoff<T: Send>(
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

/// Doubles from one failure to the next, until there was none for a while.
#[derive(Default)]
struct Pauses {
    last: Option<(Duration, Instant)>,
}

impl Pauses {
    /// A watch that has held for so long starts again with the shortest pause.
    const FORGOTTEN_AFTER: Duration = Duration::from_secs(15);

    fn next_at(&mut self, now: Instant) -> Duration {
        let recent = self.last.filter(|(_, at)| now.duration_since(*at) < Self::FORGOTTEN_AFTER);
        let pause = recent.map_or(PAUSE_MIN, |(pause, _)| (pause * 2).min(PAUSE_MAX));
        self.last = Some((pause, now));
        pause
    }
}

impl Iterator for Pauses {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        // Not all watches of all processes at the same moment.
        Some(self.next_at(Instant::now()).mul_f64(rand::random_range(0.5..1.0)))
    }
}

impl Backoff for Pauses {
    /// Nothing: each attempt begins with an event of its own, before the server has been asked.
    fn reset(&mut self) {}
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::pin::pin;
    use std::sync::Mutex;

    use http::{Request, Response};
    use k8s_openapi::api::core::v1::Service;
    use kube::Client;
    use kube::client::Body;
    use serde_json::{Value, json};

    use super::*;

    fn list(version: &str, name: &str) -> Value {
        let item = json!({ "metadata": { "name": name, "namespace": "x" } });
        json!({ "kind": "ServiceList", "apiVersion": "v1", "metadata": { "resourceVersion": version },
            "items": [item] })
    }

    fn status(code: u16, reason: &str) -> Value {
        json!({ "kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": reason })
    }

    /// An API server that gives these answers, one after the other, and then none.
    fn server(answers: Vec<(u16, Value)>) -> Client {
        let answers = Mutex::new(answers.into_iter());
        let answer = move |_: Request<Body>| {
            let next = answers.lock().expect("nobody panics with it").next();
            async move {
                let Some((code, body)) = next else { return std::future::pending().await };
                let body = Body::from(body.to_string().into_bytes());
                let response = Response::builder().status(code).body(body);
                Ok::<_, Infallible>(response.expect("a response"))
            }
        };
        Client::new(tower::service_fn(answer), "x")
    }

    async fn names(answers: Vec<(u16, Value)>, count: usize) -> Vec<String> {
        let events = pin!(objects(Api::<Service>::all(server(answers)), "a=b"));
        let names = events.filter_map(|event| {
            let name = match event {
                Event::Apply(it) | Event::InitApply(it) => it.metadata.name,
                Event::Init => Some("init".to_owned()),
                Event::InitDone => Some("done".to_owned()),
                Event::Delete(_) => None,
            };
            std::future::ready(name)
        });
        names.take(count).collect().await
    }

    #[test]
    fn pauses_grow_while_every_attempt_fails_and_are_forgotten_after_a_quiet_time() {
        let (mut pauses, mut now) = (Pauses::default(), Instant::now());
        let mut told = Vec::new();
        for _ in 0..7 {
            let pause = pauses.next_at(now);
            now += pause;
            pauses.reset();
            told.push(pause.as_millis());
        }

        assert_eq!(told, [200, 400, 800, 1_600, 3_200, 5_000, 5_000]);
        assert_eq!(pauses.next_at(now + Pauses::FORGOTTEN_AFTER), PAUSE_MIN);
    }

    #[tokio::test]
    async fn a_watch_whose_version_was_forgotten_begins_anew() {
        let gone = json!({ "type": "ERROR", "object": status(410, "Expired") });
        let answers = vec![(200, list("1", "old")), (200, gone), (200, list("9", "new"))];

        assert_eq!(names(answers, 6).await, ["init", "old", "done", "init", "new", "done"]);
    }

    #[tokio::test]
    async fn a_server_that_asks_for_a_pause_is_asked_again() {
        let answers = vec![
            (429, status(429, "TooManyRequests")),
            (500, status(500, "InternalError")),
            (200, list("1", "at last")),
        ];

        let told = names(answers, 5);

        let told = tokio::time::timeout(Duration::from_secs(10), told).await.expect("in time");
        // Each attempt begins anew.
        assert_eq!(told, ["init", "init", "init", "at last", "done"]);
    }
}
