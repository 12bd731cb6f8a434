//! What the operator tells all routers: settings on their Deployment, and the platform's certificate. Both are
//! taken over as they change.

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

use super::mistakes::{Mistakes, Subject};
use crate::kubernetes::objects::certificate;
use crate::kubernetes::{KubernetesSettings, names, watching};

/// Routes are told without these where they cannot be seen for so long: somebody may have left out the right.
const PATIENCE: Duration = Duration::from_secs(5);

type Events<K> = Pin<Box<dyn Stream<Item = Event<K>> + Send>>;

pub struct Platform {
    deployments: Events<PartialObjectMeta<Deployment>>,
    secrets: Events<Secret>,
    rules: Arc<RouterRules>,
    certificate: Option<Arc<Pair>>,
    heard_rules: Heard,
    heard_certificate: Heard,
    /// The routers' Deployment.
    router: Subject,
    begun: Instant,
}

/// What a watch of one object has told.
#[derive(Default)]
struct Heard {
    /// There is one, as far as the last list went.
    object: bool,
    /// A list was heard to its end.
    all: bool,
}

impl Heard {
    /// A list has ended; whether it told that there is none.
    fn end(&mut self) -> bool {
        self.all = true;
        !self.object
    }
}

impl Platform {
    pub fn watch(client: &Client, settings: &KubernetesSettings) -> Self {
        let space = &settings.platform_namespace;
        let deployments = Api::<PartialObjectMeta<Deployment>>::namespaced(client.clone(), space);
        let secrets = Api::<Secret>::namespaced(client.clone(), space);
        Self {
            deployments: Box::pin(watching::named(deployments, names::ROUTER)),
            secrets: Box::pin(watching::named(secrets, names::PLATFORM_CERT)),
            rules: Arc::default(),
            certificate: None,
            heard_rules: Heard::default(),
            heard_certificate: Heard::default(),
            router: Subject {
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

    /// Whether both were heard, or have been waited for long enough.
    pub fn is_whole(&self) -> bool {
        self.heard_rules.all && self.heard_certificate.all || self.begun.elapsed() >= PATIENCE
    }

    /// Waits until one of them may have changed, or the patience has ended.
    pub async fn changed(&mut self, mistakes: &mut Mistakes) {
        let (begun, is_whole) = (self.begun, self.is_whole());
        tokio::select! {
            Some(event) = self.deployments.next() => self.take_rules(event, mistakes),
            Some(event) = self.secrets.next() => self.take_certificate(event),
            () = tokio::time::sleep_until(begun + PATIENCE), if !is_whole => {}
        }
    }

    fn take_rules(&mut self, event: Event<PartialObjectMeta<Deployment>>, mistakes: &mut Mistakes) {
        match event {
            Event::Init => self.heard_rules.object = false,
            Event::InitDone if !self.heard_rules.end() => {}
            Event::InitDone | Event::Delete(_) => {
                self.rules = Arc::default();
                mistakes.stand(self.router.clone(), None, Vec::new());
            }
            Event::Apply(router) | Event::InitApply(router) => {
                self.heard_rules.object = true;
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
            Event::Init => self.heard_certificate.object = false,
            Event::InitDone if self.heard_certificate.end() => self.certificate = None,
            Event::InitDone => {}
            Event::Delete(_) => self.certificate = None,
            Event::Apply(secret) | Event::InitApply(secret) => {
                self.heard_certificate.object = true;
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
