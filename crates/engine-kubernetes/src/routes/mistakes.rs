//! Settings that cannot be read: logged once by the router, and on the object itself as an Event that stands
//! as long as they do. Everything else goes on without them.
//!
//! Events are forgotten after an hour, so they are renewed before that. Each router writes the same Event, and
//! a router without the right to write one only logs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Event as Report, EventSource, ObjectReference, Service};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::runtime::watcher::Event;
use kube::{Api, Client};
use tokio::sync::watch;
use tokio::time::{Instant, interval, timeout};
use tokio_util::task::AbortOnDropHandle;

use crate::names;
use crate::objects::service::annotated;

const REASON: &str = "SettingIgnored";
/// Kubernetes takes no longer message.
const MESSAGE_BYTES_MAX: usize = 1_000;
/// Before Kubernetes forgets an Event.
const RENEW_AFTER: Duration = Duration::from_secs(30 * 60);
/// Interval at which an Event that could not be written is tried again.
const RETRY_INTERVAL: Duration = Duration::from_secs(60);
const EVENT_REQUEST_MAX: Duration = Duration::from_secs(5);

/// An object with settings on it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectRef {
    pub api_version: &'static str,
    pub kind: &'static str,
    pub namespace: String,
    pub name: String,
}

/// Current faults of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ObjectMistakes {
    uid: Option<String>,
    wrong: Vec<String>,
}

type MistakeMap = Arc<BTreeMap<ObjectRef, ObjectMistakes>>;

/// The mistakes that stand.
pub struct Mistakes {
    all: watch::Sender<MistakeMap>,
    /// Subjects not seen since a list began.
    unheard: Vec<ObjectRef>,
    _publisher: AbortOnDropHandle<()>,
}

impl Mistakes {
    /// `client` is for the Events.
    pub fn new(client: Client) -> Self {
        let (all, standing) = watch::channel(MistakeMap::default());
        let publisher = AbortOnDropHandle::new(tokio::spawn(publish(client, standing)));
        Self { all, unheard: Vec::new(), _publisher: publisher }
    }

    /// Takes an event of the watch on Services.
    pub fn take(&mut self, event: &Event<Service>) {
        match event {
            Event::Init => self.unheard = self.of_kind("Service"),
            Event::InitDone => {
                for gone in std::mem::take(&mut self.unheard) {
                    self.stand(gone, None, Vec::new());
                }
            }
            Event::Delete(service) => {
                let Some(subject) = subject(service) else { return };
                self.stand(subject, None, Vec::new());
            }
            Event::Apply(service) | Event::InitApply(service) => {
                let Some(subject) = subject(service) else { return };
                self.unheard.retain(|unheard| *unheard != subject);
                let wrong = annotated(service.metadata.annotations.as_ref(), 0).wrong;
                self.stand(subject, service.metadata.uid.clone(), wrong);
            }
        }
    }

    /// From now on this is wrong with the object, and nothing else. What was not wrong before is logged.
    pub fn stand(&mut self, subject: ObjectRef, uid: Option<String>, wrong: Vec<String>) {
        let before = self.all.borrow().get(&subject).cloned();
        let known = before.as_ref().map_or(&[][..], |before| &before.wrong);
        let ObjectRef { kind, namespace, name, .. } = &subject;
        for mistake in wrong.iter().filter(|mistake| !known.contains(mistake)) {
            tracing::warn!(namespace, kind, name, "{mistake}; it is ignored");
        }
        let now = Some(ObjectMistakes { uid, wrong }).filter(|standing| !standing.wrong.is_empty());
        if now == before {
            return;
        }
        self.all.send_modify(|all| {
            let all = Arc::make_mut(all);
            match now {
                Some(standing) => all.insert(subject, standing),
                None => all.remove(&subject),
            };
        });
    }

    fn of_kind(&self, kind: &str) -> Vec<ObjectRef> {
        self.all.borrow().keys().filter(|subject| subject.kind == kind).cloned().collect()
    }
}

fn subject(service: &Service) -> Option<ObjectRef> {
    let (namespace, name) = (service.metadata.namespace.clone()?, service.metadata.name.clone()?);
    Some(ObjectRef { api_version: "v1", kind: "Service", namespace, name })
}

/// Publishes Events of mistakes that have changed, until the sender is gone.
async fn publish(client: Client, mut standing: watch::Receiver<MistakeMap>) {
    let mut published: BTreeMap<ObjectRef, (ObjectMistakes, Instant)> = BTreeMap::new();
    let mut again = interval(RETRY_INTERVAL);
    loop {
        tokio::select! {
            changed = standing.changed() => if changed.is_err() { return },
            _ = again.tick() => {}
        }
        let all = Arc::clone(&standing.borrow_and_update());
        published.retain(|subject, _| all.contains_key(subject));
        for (subject, standing) in all.iter() {
            let is_published = |(published, at): &(ObjectMistakes, Instant)| {
                published == standing && at.elapsed() < RENEW_AFTER
            };
            if published.get(subject).is_some_and(is_published) {
                continue;
            }
            match timeout(EVENT_REQUEST_MAX, put(&client, subject, standing)).await {
                Ok(Ok(())) => drop(published.insert(subject.clone(), (standing.clone(), Instant::now()))),
                Ok(Err(error)) => tracing::debug!(%error, ?subject, "cannot tell of a setting by an Event"),
                Err(_) => tracing::debug!(?subject, "no answer to an Event in time"),
            }
        }
    }
}

/// Makes or renews the Event.
async fn put(client: &Client, subject: &ObjectRef, standing: &ObjectMistakes) -> kube::Result<()> {
    let report = report(subject, standing, Timestamp::now());
    let name = report.metadata.name.clone().unwrap_or_default();
    let params = PatchParams::apply(names::FIELD_MANAGER).force();
    let reports: Api<Report> = Api::namespaced(client.clone(), &subject.namespace);
    reports.patch(&name, &params, &Patch::Apply(&report)).await.map(drop)
}

fn report(subject: &ObjectRef, standing: &ObjectMistakes, now: Timestamp) -> Report {
    let ObjectRef { api_version, kind, namespace, name } = subject;
    // Another object of the same name has another Event.
    let uid = standing.uid.as_deref().unwrap_or_default();
    let short = uid.get(..8).unwrap_or(uid);
    let mut message = format!("ignored: {}", standing.wrong.join("; "));
    message.truncate(message.floor_char_boundary(MESSAGE_BYTES_MAX));
    Report {
        metadata: ObjectMeta {
            name: Some(format!("{name}.{short}.settings")),
            namespace: Some(namespace.clone()),
            ..ObjectMeta::default()
        },
        involved_object: ObjectReference {
            api_version: Some((*api_version).to_owned()),
            kind: Some((*kind).to_owned()),
            namespace: Some(namespace.clone()),
            name: Some(name.clone()),
            uid: standing.uid.clone(),
            ..ObjectReference::default()
        },
        type_: Some("Warning".to_owned()),
        reason: Some(REASON.to_owned()),
        message: Some(message),
        source: Some(EventSource { component: Some(names::ROUTER.to_owned()), host: None }),
        first_timestamp: Some(Time(now)),
        last_timestamp: Some(Time(now)),
        count: Some(1),
        ..Report::default()
    }
}

#[cfg(test)]
#[allow(clippy::needless_pass_by_value, reason = "it reads better with `json!`")]
mod tests {
    use std::convert::Infallible;

    use http::{Request, Response};
    use http_body_util::BodyExt as _;
    use kube::client::Body;
    use serde_json::{Value, json};
    use tokio::sync::mpsc;

    use super::*;

    /// A fake API server that accepts everything, and its requests.
    fn server() -> (Client, mpsc::UnboundedReceiver<(String, Value)>) {
        let (asked, seen) = mpsc::unbounded_channel();
        let answer = move |request: Request<Body>| {
            let asked = asked.clone();
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect().await.expect("a body").to_bytes();
                let line = format!("{} {}", parts.method, parts.uri.path());
                let told = serde_json::from_slice(&body).expect("JSON");
                asked.send((line, told)).expect("the test listens");
                let response = Response::builder().status(200).body(Body::from(body.to_vec()));
                Ok::<_, Infallible>(response.expect("a response"))
            }
        };
        (Client::new(tower::service_fn(answer), "x"), seen)
    }

    fn service(name: &str, annotations: Value) -> Service {
        let metadata =
            json!({ "namespace": "shop", "name": name, "uid": "0123456789", "annotations": annotations });
        serde_json::from_value(json!({ "metadata": metadata })).expect("a Service")
    }

    fn standing(mistakes: &Mistakes) -> Vec<(String, Vec<String>)> {
        let all = mistakes.all.borrow();
        all.iter().map(|(subject, standing)| (subject.name.clone(), standing.wrong.clone())).collect()
    }

    #[tokio::test]
    async fn a_setting_that_cannot_be_read_is_told_on_its_service_and_only_once() {
        let (client, mut seen) = server();
        let mut mistakes = Mistakes::new(client);
        let wrong = service("shop", json!({ "router.deis.io/bodySize": "huge" }));

        mistakes.take(&Event::Apply(wrong.clone()));
        let (line, told) = seen.recv().await.expect("an Event");
        mistakes.take(&Event::Apply(wrong));
        mistakes.take(&Event::Apply(service("blog", json!({ "router.deis.io/nonsense": "1" }))));
        let (next, _) = seen.recv().await.expect("an Event");

        assert_eq!(line, "PATCH /api/v1/namespaces/shop/events/shop.01234567.settings");
        assert_eq!(next, "PATCH /api/v1/namespaces/shop/events/blog.01234567.settings", "the first is told");
        let object = &told["involvedObject"];
        assert_eq!(
            (&object["kind"], &object["name"], &object["uid"]),
            (&"Service".into(), &"shop".into(), &"0123456789".into())
        );
        assert_eq!((&told["type"], &told["reason"]), (&"Warning".into(), &REASON.into()));
        let message = told["message"].as_str().expect("a text");
        assert!(message.contains("`huge` in router.deis.io/bodySize"), "{message}");
    }

    #[tokio::test]
    async fn what_is_mended_or_gone_no_longer_stands() {
        let mut mistakes = Mistakes::new(server().0);
        let wrong = |name| service(name, json!({ "router.deis.io/maintenance": "maybe" }));
        for name in ["blog", "old", "shop"] {
            mistakes.take(&Event::Apply(wrong(name)));
        }
        assert_eq!(standing(&mistakes).len(), 3);

        mistakes.take(&Event::Apply(service("blog", json!({ "router.deis.io/maintenance": "TRUE" }))));
        mistakes.take(&Event::Delete(wrong("shop")));
        assert_eq!(standing(&mistakes)[0].0, "old");
        // A list that it is not in.
        for event in [Event::Init, Event::InitApply(wrong("new")), Event::InitDone] {
            mistakes.take(&event);
        }

        let left = standing(&mistakes);
        assert_eq!((left.len(), left[0].0.as_str(), left[0].1.len()), (1, "new", 1));
    }

    #[test]
    fn a_long_message_is_cut_between_letters() {
        let subject =
            ObjectRef { api_version: "v1", kind: "Service", namespace: "a".to_owned(), name: "a".to_owned() };
        let standing = ObjectMistakes { uid: None, wrong: vec!["ä".repeat(2_000)] };

        let message = report(&subject, &standing, Timestamp::UNIX_EPOCH).message.expect("a message");

        assert!(message.len() <= MESSAGE_BYTES_MAX && message.ends_with('ä'));
    }
}
