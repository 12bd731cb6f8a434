//! Settings that cannot be read: told once in the router's log, and on the object itself as an Event that stands
//! as long as they do. All else goes on without them.
//!
//! Events are forgotten after an hour, so they are told again before that. Each router tells the same Event, and
//! a router without the right to tell one only logs.

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

use crate::kubernetes::names;
use crate::kubernetes::objects::service::annotated;

const REASON: &str = "SettingIgnored";
/// Kubernetes takes no longer message.
const MESSAGE_BYTES_MAX: usize = 1_000;
/// Before Kubernetes forgets an Event.
const TELL_AGAIN: Duration = Duration::from_secs(30 * 60);
/// How often what could not be told is tried again.
const TRY_AGAIN: Duration = Duration::from_secs(60);
const TELLING_MAX: Duration = Duration::from_secs(5);

/// An object with settings on it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Subject {
    pub api_version: &'static str,
    pub kind: &'static str,
    pub namespace: String,
    pub name: String,
}

/// What is wrong with one object now.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Standing {
    uid: Option<String>,
    wrong: Vec<String>,
}

type All = Arc<BTreeMap<Subject, Standing>>;

/// The mistakes that stand.
pub struct Mistakes {
    all: watch::Sender<All>,
    /// Subjects not heard of since a list began.
    unheard: Vec<Subject>,
    _teller: AbortOnDropHandle<()>,
}

impl Mistakes {
    /// `client` is for the Events.
    pub fn new(client: Client) -> Self {
        let (all, standing) = watch::channel(All::default());
        let teller = AbortOnDropHandle::new(tokio::spawn(tell(client, standing)));
        Self { all, unheard: Vec::new(), _teller: teller }
    }

    /// Looks at what a watch told of a Service.
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
    pub fn stand(&mut self, subject: Subject, uid: Option<String>, wrong: Vec<String>) {
        let before = self.all.borrow().get(&subject).cloned();
        let known = before.as_ref().map_or(&[][..], |before| &before.wrong);
        let Subject { kind, namespace, name, .. } = &subject;
        for mistake in wrong.iter().filter(|mistake| !known.contains(mistake)) {
            tracing::warn!(namespace, kind, name, "{mistake}; it is ignored");
        }
        let now = Some(Standing { uid, wrong }).filter(|standing| !standing.wrong.is_empty());
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

    fn of_kind(&self, kind: &str) -> Vec<Subject> {
        self.all.borrow().keys().filter(|subject| subject.kind == kind).cloned().collect()
    }
}

fn subject(service: &Service) -> Option<Subject> {
    let (namespace, name) = (service.metadata.namespace.clone()?, service.metadata.name.clone()?);
    Some(Subject { api_version: "v1", kind: "Service", namespace, name })
}

/// Compares what stands with what was told, for as long as somebody looks.
async fn tell(client: Client, mut standing: watch::Receiver<All>) {
    let mut told: BTreeMap<Subject, (Standing, Instant)> = BTreeMap::new();
    let mut again = interval(TRY_AGAIN);
    loop {
        tokio::select! {
            changed = standing.changed() => if changed.is_err() { return },
            _ = again.tick() => {}
        }
        let all = Arc::clone(&standing.borrow_and_update());
        told.retain(|subject, _| all.contains_key(subject));
        for (subject, standing) in all.iter() {
            let is_told = |(told, at): &(Standing, Instant)| told == standing && at.elapsed() < TELL_AGAIN;
            if told.get(subject).is_some_and(is_told) {
                continue;
            }
            match timeout(TELLING_MAX, put(&client, subject, standing)).await {
                Ok(Ok(())) => drop(told.insert(subject.clone(), (standing.clone(), Instant::now()))),
                Ok(Err(error)) => tracing::debug!(%error, ?subject, "cannot tell of a setting by an Event"),
                Err(_) => tracing::debug!(?subject, "no answer to an Event in time"),
            }
        }
    }
}

/// Makes or renews the Event.
async fn put(client: &Client, subject: &Subject, standing: &Standing) -> kube::Result<()> {
    let report = report(subject, standing, Timestamp::now());
    let name = report.metadata.name.clone().unwrap_or_default();
    let params = PatchParams::apply(names::FIELD_MANAGER).force();
    let reports: Api<Report> = Api::namespaced(client.clone(), &subject.namespace);
    reports.patch(&name, &params, &Patch::Apply(&report)).await.map(drop)
}

fn report(subject: &Subject, standing: &Standing, now: Timestamp) -> Report {
    let Subject { api_version, kind, namespace, name } = subject;
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

    /// An API server that takes everything, and what it was asked.
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
            Subject { api_version: "v1", kind: "Service", namespace: "a".to_owned(), name: "a".to_owned() };
        let standing = Standing { uid: None, wrong: vec!["ä".repeat(2_000)] };

        let message = report(&subject, &standing, Timestamp::UNIX_EPOCH).message.expect("a message");

        assert!(message.len() <= MESSAGE_BYTES_MAX && message.ends_with('ä'));
    }
}
