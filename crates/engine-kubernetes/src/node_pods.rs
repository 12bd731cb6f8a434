//! The app pods of one node, for the agent that reads their logs there: whose lines are they?
//!
//! A watch of metadata only, of this node's pods. One-off pods are left out: their output goes to the caller.

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::logs::{PodName, PodOrigin};
use domain::{AppName, ProcessType};
use futures_util::StreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::core::PartialObjectMeta;
use kube::runtime::watcher;
use kube::{Api, Client, ResourceExt as _};
use tokio::sync::watch;

use super::watching;

/// The pods of a node by name; replaced whole.
type PodTable = Arc<BTreeMap<PodName, PodOrigin>>;

/// Watches the pods of `node` for as long as someone holds the receiver.
pub fn watch_node_pods(client: Client, node: &str, namespace_prefix: &str) -> watch::Receiver<PodTable> {
    let (sender, receiver) = watch::channel(PodTable::default());
    let config = watcher::Config::default().fields(&format!("spec.nodeName={node}")).labels("heritage=deis");
    let prefix = namespace_prefix.to_owned();
    tokio::spawn(async move {
        tokio::select! {
            () = follow(client, config, &prefix, &sender) => {}
            () = sender.closed() => {}
        }
    });
    receiver
}

async fn follow(client: Client, config: watcher::Config, prefix: &str, sender: &watch::Sender<PodTable>) {
    let pods = Api::<PartialObjectMeta<Pod>>::all(client);
    let mut events = std::pin::pin!(watching::selected(pods, config));
    // Pods of a list that is not complete yet.
    let mut listed = BTreeMap::new();
    while let Some(event) = events.next().await {
        match event {
            watcher::Event::Init => listed.clear(),
            watcher::Event::InitApply(pod) => listed.extend(origin(&pod, prefix)),
            watcher::Event::InitDone => {
                sender.send_replace(Arc::new(std::mem::take(&mut listed)));
            }
            watcher::Event::Apply(pod) => {
                let Some((name, origin)) = origin(&pod, prefix) else { continue };
                sender.send_if_modified(|table| {
                    let is_new = table.get(&name) != Some(&origin);
                    if is_new {
                        Arc::make_mut(table).insert(name, origin);
                    }
                    is_new
                });
            }
            watcher::Event::Delete(pod) => {
                let name = name(&pod);
                sender.send_if_modified(|table| Arc::make_mut(table).remove(&name).is_some());
            }
        }
    }
}

fn name(pod: &PartialObjectMeta<Pod>) -> PodName {
    PodName { namespace: pod.namespace().unwrap_or_default(), name: pod.name_any() }
}

/// Workload of the pod; `None` for one that is not a process of an app in the app's own namespace.
fn origin(pod: &PartialObjectMeta<Pod>, prefix: &str) -> Option<(PodName, PodOrigin)> {
    let name = name(pod);
    let label = |key| pod.labels().get(key);
    let app = AppName::parse(label("app")?).ok()?;
    let process = label("type").filter(|process| *process != "run")?;
    let origin = PodOrigin {
        process: ProcessType::parse(process).ok()?,
        release: label("version")?.strip_prefix('v')?.parse().ok()?,
        app,
    };
    (name.namespace == format!("{prefix}{}", origin.app)).then_some((name, origin))
}

#[cfg(test)]
mod tests {
    use kube::core::ObjectMeta;

    use super::*;

    fn pod(namespace: &str, labels: &[(&str, &str)]) -> PartialObjectMeta<Pod> {
        let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let metadata = ObjectMeta {
            name: Some("blog-web-5d9c-x2v4k".to_owned()),
            namespace: Some(namespace.to_owned()),
            labels: Some(labels),
            ..ObjectMeta::default()
        };
        PartialObjectMeta { metadata, ..PartialObjectMeta::default() }
    }

    #[test]
    fn a_process_of_an_app_is_known_by_its_labels() {
        let labels = [("app", "blog"), ("type", "web"), ("version", "v12")];

        let (_, origin) = origin(&pod("t-blog", &labels), "t-").expect("a process");

        assert_eq!((origin.app.as_str(), origin.process.as_str(), origin.release), ("blog", "web", 12));
    }

    #[test]
    fn pods_elsewhere_and_one_off_pods_are_left_out() {
        let web = [("app", "blog"), ("type", "web"), ("version", "v12")];
        let run = [("app", "blog"), ("type", "run"), ("version", "v12")];

        assert_eq!(origin(&pod("other", &web), ""), None);
        assert_eq!(origin(&pod("blog", &run), ""), None);
        assert_eq!(origin(&pod("blog", &web[..2]), ""), None);
    }
}
