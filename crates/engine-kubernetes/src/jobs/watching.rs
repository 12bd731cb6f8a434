//! A job's pod, followed by a watch: each change is judged, none is asked for.

use std::time::Duration;

use futures_util::{Stream, StreamExt as _};
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::api::ListParams;
use kube::runtime::watcher::{self, Event as Change};
use kube::{Api, Client, ResourceExt as _};
use tokio::time::Instant;

use super::failure::refused;
use super::state::{self, ContainerState, ContainerTermination};
use crate::watching;
use engine::JobError;

/// The node's first pause is 10 s, its second 20 s.
const FALTERS_FOR: Duration = Duration::from_secs(35);
const KILL_TOLD_WITHIN: Duration = Duration::from_secs(5);

/// Looks after a pod from its being asked for to its end.
pub struct PodWatch {
    changes: std::pin::Pin<Box<dyn Stream<Item = Change<Pod>> + Send>>,
    pod: Option<Pod>,
    /// True if the listing under way has named it.
    is_listed: bool,
    client: Client,
    namespace: String,
    /// Name of the pod or of the Job that makes it, for its events.
    name: String,
    /// Until when it must have begun.
    begins_until: Instant,
    begins_seconds: u32,
    /// Since when its image does not come.
    falters_since: Option<Instant>,
}

impl PodWatch {
    /// Watches the one pod that a selector finds.
    pub fn new(
        client: &Client,
        namespace: &str,
        name: &str,
        selector: watcher::Config,
        begins_seconds: u32,
    ) -> Self {
        let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
        Self {
            changes: watching::selected(pods, selector).boxed(),
            pod: None,
            is_listed: false,
            client: client.clone(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            begins_until: Instant::now() + Duration::from_secs(begins_seconds.into()),
            begins_seconds,
            falters_since: None,
        }
    }

    /// Waits until the pod has a node, and gives back its name.
    pub async fn scheduled(&mut self) -> Result<String, JobError> {
        self.until(|pod| pod.spec.as_ref()?.node_name.as_ref().map(|_| pod.name_any())).await
    }

    /// Waits until the container runs or has run.
    pub async fn begun(&mut self, container: &str) -> Result<(), JobError> {
        self.until(|pod| (state::container(pod, container) != ContainerState::Waiting).then_some(())).await
    }

    /// Waits until the container has ended.
    pub async fn ended(&mut self, container: &str) -> Result<ContainerTermination, JobError> {
        self.until(|pod| match state::container(pod, container) {
            ContainerState::Ended(ending) => Some(ending),
            ContainerState::Waiting | ContainerState::Running => None,
        })
        .await
    }

    /// Reason why the pod was killed, if not by itself: Kubernetes reports it a moment after its container has
    /// ended.
    pub async fn cause_of_kill(&mut self) -> Option<String> {
        let told = async {
            loop {
                if let Some(reason) = self.pod.as_ref().and_then(state::failure) {
                    return Some(reason);
                }
                if let Err(JobError::Refused { reason }) = self.next_change().await {
                    return Some(reason);
                }
            }
        };
        tokio::time::timeout(KILL_TOLD_WITHIN, told).await.unwrap_or(None)
    }

    /// Waits until the pod's state is as wanted, or will never be.
    pub async fn until<T>(&mut self, mut found: impl FnMut(&Pod) -> Option<T>) -> Result<T, JobError> {
        loop {
            if let Some(pod) = &self.pod {
                if let Some(found) = found(pod) {
                    return Ok(found);
                }
                if let Some(reason) = state::failure(pod) {
                    return Err(refused(reason));
                }
                if let Some(reason) = state::falters(pod) {
                    self.change_while_faltering(reason).await?;
                    continue;
                }
            }
            self.falters_since = None;
            self.next_change().await?;
        }
    }

    /// Gives the node time to try again once or twice.
    async fn change_while_faltering(&mut self, reason: String) -> Result<(), JobError> {
        let since = *self.falters_since.get_or_insert_with(Instant::now);
        match tokio::time::timeout_at(since + FALTERS_FOR, self.next_change()).await {
            Ok(changed) => changed,
            Err(_) => Err(refused(reason)),
        }
    }

    async fn next_change(&mut self) -> Result<(), JobError> {
        let begins = self.pod.as_ref().is_some_and(state::has_begun);
        let change = if begins {
            self.changes.next().await
        } else {
            match tokio::time::timeout_at(self.begins_until, self.changes.next()).await {
                Ok(change) => change,
                Err(_) => return Err(self.never_began().await),
            }
        };
        match change {
            Some(Change::Apply(pod)) => self.pod = Some(pod),
            Some(Change::Init) => self.is_listed = false,
            Some(Change::InitApply(pod)) => {
                self.is_listed = true;
                self.pod = Some(pod);
            }
            Some(Change::InitDone) => {
                if let Some(pod) = self.pod.take_if(|_| !self.is_listed) {
                    return Err(removed(&pod));
                }
            }
            Some(Change::Delete(pod)) => return Err(removed(&pod)),
            None => return Err(refused("the job's watch has ended")),
        }
        Ok(())
    }

    async fn never_began(&mut self) -> JobError {
        let reason = match &self.pod {
            Some(pod) => state::waits_for(pod),
            None => self.last_warning().await.unwrap_or_else(|| "Kubernetes makes no pod for it".to_owned()),
        };
        refused(format!("the job did not begin within {} s: {reason}", self.begins_seconds))
    }

    /// Kubernetes' warning about a Job that gets no pod, such as a quota or a policy.
    async fn last_warning(&mut self) -> Option<String> {
        let events: Api<Event> = Api::namespaced(self.client.clone(), &self.namespace);
        let of_it = ListParams::default().fields(&format!("involvedObject.name={},type=Warning", self.name));
        let events = events.list(&of_it.limit(50)).await.ok()?;
        events.items.into_iter().next_back().and_then(|event| event.message)
    }
}

fn removed(pod: &Pod) -> JobError {
    let reason =
        state::failure(pod).unwrap_or_else(|| "its pod was removed, as when a node is drained".to_owned());
    refused(format!("the job did not end: {reason}; try again"))
}
