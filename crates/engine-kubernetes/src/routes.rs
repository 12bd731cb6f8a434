//! Routes from watches of Services, EndpointSlices and pods, and from the Secrets that Services name.
//!
//! The table is rebuilt after each change and swapped as a whole. During an outage of the API server the last one
//! stays; none is published before all three watches are complete and the certificates were read.

mod certificates;
mod mistakes;
mod platform;
mod table;

use std::collections::HashMap;
use std::fmt::Debug;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use domain::routing::{RouteTable, RouterReport};
use futures_util::StreamExt as _;
use k8s_openapi::api::core::v1::{Pod, PodStatus, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::runtime::reflector::{self, Lookup, Store, store::Writer};
use kube::runtime::watcher::Event;
use kube::{Api, Client, ResourceExt as _};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::task::AbortOnDropHandle;

use self::certificates::Certificates;
use self::mistakes::Mistakes;
use self::platform::PlatformWatch;
use self::table::PodRun;
use super::{KubernetesSettings, names, watching};
use engine::Routes;

/// Changes that come together make one table.
const TOGETHER: Duration = Duration::from_millis(5);
/// Interval at which certificates that could not be read, or may have changed unseen, are read again.
const REFRESH_INTERVAL: Duration = Duration::from_secs(5);

/// The routes; clones are handles to the same ones. The watches end with the last handle.
#[derive(Clone)]
pub struct KubernetesRoutes {
    table: Arc<watch::Sender<Arc<RouteTable>>>,
    _task: Arc<AbortOnDropHandle<()>>,
}

impl KubernetesRoutes {
    /// Begins to watch. The table has version 0 until the first whole one is there.
    pub fn start(client: Client, settings: Arc<KubernetesSettings>) -> Self {
        let table = Arc::new(watch::Sender::new(Arc::default()));
        let task = tokio::spawn(run(client, settings, Arc::clone(&table)));
        Self { table, _task: Arc::new(AbortOnDropHandle::new(task)) }
    }
}

impl Routes for KubernetesRoutes {
    fn watch(&self) -> watch::Receiver<Arc<RouteTable>> {
        self.table.subscribe()
    }

    /// Pods go by their own time: they serve on for a while after they have left the table, and finish what
    /// they have. Nothing waits for routers.
    fn report(&self, _: RouterReport) {}
}

/// Objects of a watch so far.
struct Mirror<K: 'static + Lookup<DynamicType = ()> + Clone> {
    writer: Writer<K>,
    store: Store<K>,
    /// The watch was complete once.
    is_whole: bool,
}

impl<K: 'static + Lookup<DynamicType = ()> + Clone + Debug + kube::Resource<DynamicType = ()>> Mirror<K> {
    fn new() -> Self {
        let (store, writer) = reflector::store();
        Self { writer, store, is_whole: false }
    }

    fn take(&mut self, event: Event<K>) {
        self.is_whole |= matches!(event, Event::InitDone);
        self.writer.apply_watcher_event(&event.modify(|object| object.managed_fields_mut().clear()));
    }
}

async fn run(client: Client, settings: Arc<KubernetesSettings>, table: Arc<watch::Sender<Arc<RouteTable>>>) {
    // Kubernetes gives the slices the labels of their Service.
    let routable = format!("{}=true", names::ROUTABLE_LABEL);
    let own = format!("{}={}", names::HERITAGE_LABEL, names::HERITAGE);
    let mut service_events = pin!(watching::objects(Api::<Service>::all(client.clone()), &routable));
    let mut slice_events = pin!(watching::objects(Api::<EndpointSlice>::all(client.clone()), &routable));
    let mut pod_events = pin!(watching::objects(Api::<Pod>::all(client.clone()), &own));
    let (mut services, mut slices) = (Mirror::<Service>::new(), Mirror::<EndpointSlice>::new());
    let mut pods = Mirror::<Pod>::new();
    let mut certificates = Certificates::new(client.clone());
    let mut platform = PlatformWatch::watch(&client, &settings);
    let mut mistakes = Mistakes::new(client);
    let mut again = tokio::time::interval(REFRESH_INTERVAL);
    let mut due: Option<Instant> = None;
    loop {
        tokio::select! {
            Some(event) = service_events.next() => {
                mistakes.take(&event);
                services.take(event);
            }
            Some(event) = slice_events.next() => slices.take(event),
            Some(event) = pod_events.next() => pods.take(event.modify(strip)),
            () = platform.changed(&mut mistakes) => {}
            is_new = certificates.next() => if !is_new && table.borrow().version > 0 { continue },
            _ = again.tick() => {
                certificates.want(&services.store.state());
                continue;
            }
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                due = None;
                let services = services.store.state();
                certificates.want(&services);
                if table.borrow().version == 0 && certificates.is_reading() {
                    continue;
                }
                let (runs, pairs) = (runs(&pods.store), certificates.pairs());
                let routes = table::routes(&settings, &services, &slices.store.state(), &runs, &pairs);
                publish(&table, RouteTable {
                    version: 0,
                    routes: routes.into_iter().map(Arc::new).collect(),
                    rules: platform.rules(),
                    platform_certificate: platform.certificate(),
                });
                continue;
            }
        }
        if services.is_whole && slices.is_whole && pods.is_whole && platform.is_whole() {
            due = due.or_else(|| Some(Instant::now() + TOGETHER));
        }
    }
}

/// Workload of each pod, by its UID.
fn runs(pods: &Store<Pod>) -> HashMap<String, PodRun> {
    let run = |pod: Arc<Pod>| {
        let containers = pod.status.as_ref().and_then(|status| status.container_statuses.as_ref());
        let restarts = containers.and_then(|all| all.first()).map_or(0, |container| container.restart_count);
        let release = names::release(pod.metadata.labels.as_ref())?;
        Some((pod.metadata.uid.clone()?, PodRun { release, restarts }))
    };
    pods.state().into_iter().filter_map(run).collect()
}

/// Keeps what [`runs`] reads: pods are the many.
fn strip(pod: &mut Pod) {
    let containers = pod.status.take().and_then(|status| status.container_statuses);
    pod.spec = None;
    pod.metadata.annotations = None;
    pod.status = Some(PodStatus { container_statuses: containers, ..PodStatus::default() });
}

/// Replaces the table if it has changed; the version counts up from the one before.
fn publish(table: &watch::Sender<Arc<RouteTable>>, new: RouteTable) {
    table.send_if_modified(|table| {
        let version = table.version + 1;
        let is_new = table.version == 0 || **table != RouteTable { version: table.version, ..new.clone() };
        if is_new {
            *table = Arc::new(RouteTable { version, ..new });
        }
        is_new
    });
}
