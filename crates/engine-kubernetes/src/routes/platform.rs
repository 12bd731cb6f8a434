//! Settings of the operator for all routers: annotations of their Deployment, and the platform's certificate. Both
//! take effect as they change.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use domain::certs::Pair;
use domain::edge::{RouterRules, router_rules};
use futures_util::{Stream, StreamExt as _};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Secret;
use kube::core::PartialObjectMeta;
use kube::runtime::watcher::Event;
use kube::{Api, Client};
use tokio::time::Instant;

use super::mistakes::{Mistakes, ObjectRef};
use crate::objects::certificate;
use crate::{KubernetesSettings, names, watching};

/// Routes are published without these if they cannot be read for so long: the right to read them may be missing.
const TIMEOUT: Duration = Duration::from_secs(5);

type Events<K> = Pin<Box<dyn Stream<Item = Event<K>> + Send>>;

pub struct PlatformWatch {
    deployments: Events<PartialObjectMeta<Deployment>>,
    secrets: Events<Secret>,
    rules: Arc<RouterRules>,
    certificate: Option<Arc<Pair>>,
    rules_progress: WatchProgress,
    certificate_progress: WatchProgress,
    /// The routers' Deployment.
    router: ObjectRef,
    begun: Instant,
}

/// Last state of a watched object.
#[derive(Default)]
struct WatchProgress {
    /// There is one, as far as the last list went.
    object: bool,
    /// A list is complete.
    all: bool,
}

impl WatchProgress {
    /// A list has ended; returns true if it showed that there is none.
    fn end(&mut self) -> bool {
        self.all = true;
        !self.object
    }
}

impl PlatformWatch {
    pub fn watch(client: &Client, settings: &KubernetesSettings) -> Self {
        let space = &settings.platform_namespace;
        let deployments = Api::<PartialObjectMeta<Deployment>>::namespaced(client.clone(), space);
        let secrets = Api::<Secret>::namespaced(client.clone(), space);
        Self {
            deployments: Box::pin(watching::named(deployments, names::ROUTER)),
            secrets: Box::pin(watching::named(secrets, names::PLATFORM_CERT)),
            rules: Arc::default(),
            certificate: None,
            rules_progress: WatchProgress::default(),
            certificate_progress: WatchProgress::default(),
            router: ObjectRef {
                api_version: "apps/v1",
                kind: "Deployment",
                namespace: space.clone(),
                name: names::ROUTER.to_owned(),
            },
            begun: Instant::now(),
        }
    }

    pub fn rules(&self) -> Arc<RouterRules> {
        Arc::clone(&self.rules)
    }

    pub fn certificate(&self) -> Option<Arc<Pair>> {
        self.certificate.clone()
    }

    /// Returns true once both are known, or have been waited for long enough.
    pub fn is_whole(&self) -> bool {
        self.rules_progress.all && self.certificate_progress.all || self.begun.elapsed() >= TIMEOUT
    }

    /// Waits until one of them may have changed, or the time is up.
    pub async fn changed(&mut self, mistakes: &mut Mistakes) {
        let (begun, is_whole) = (self.begun, self.is_whole());
        tokio::select! {
            Some(event) = self.deployments.next() => self.take_rules(event, mistakes),
            Some(event) = self.secrets.next() => self.take_certificate(event),
            () = tokio::time::sleep_until(begun + TIMEOUT), if !is_whole => {}
        }
    }

    fn take_rules(&mut self, event: Event<PartialObjectMeta<Deployment>>, mistakes: &mut Mistakes) {
        match event {
            Event::Init => self.rules_progress.object = false,
            Event::InitDone if !self.rules_progress.end() => {}
            Event::InitDone | Event::Delete(_) => {
                self.rules = Arc::default();
                mistakes.stand(self.router.clone(), None, Vec::new());
            }
            Event::Apply(router) | Event::InitApply(router) => {
                self.rules_progress.object = true;
                let texts = router.metadata.annotations.unwrap_or_default();
                let (rules, wrong) = router_rules(&texts, names::ROUTER_RULES_PREFIX);
                if rules != *self.rules {
                    self.rules = Arc::new(rules);
                }
                mistakes.stand(self.router.clone(), router.metadata.uid, wrong);
            }
        }
    }

    fn take_certificate(&mut self, event: Event<Secret>) {
        match event {
            Event::Init => self.certificate_progress.object = false,
            Event::InitDone if self.certificate_progress.end() => self.certificate = None,
            Event::InitDone => {}
            Event::Delete(_) => self.certificate = None,
            Event::Apply(secret) | Event::InitApply(secret) => {
                self.certificate_progress.object = true;
                let pair = certificate::pair(&secret);
                if pair.is_none() {
                    tracing::warn!("Secret {} lacks tls.crt or tls.key", names::PLATFORM_CERT);
                }
                if pair.as_ref() != self.certificate.as_deref() {
                    self.certificate = pair.map(Arc::new);
                }
            }
        }
    }
}
