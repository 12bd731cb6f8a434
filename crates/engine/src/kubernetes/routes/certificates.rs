//! Reads the Secrets that routes name, one by one and by name: a router may list none.
//!
//! A Secret is read again when the stamp beside its name changes. One without a stamp, which is somebody
//! else's, is looked at again every minute; one that could not be read, sooner.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use domain::certs::Pair;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use k8s_openapi::api::core::v1::{Secret, Service};
use kube::{Api, Client};
use tokio::time::{Instant, timeout};

use crate::kubernetes::objects::certificate::{self, secret_name};
use crate::kubernetes::objects::service::annotated;

const READ_SECONDS_MAX: Duration = Duration::from_secs(5);
const READS_AT_ONCE_MAX: usize = 16;
const AGAIN_AFTER_FAILURE: Duration = Duration::from_secs(5);
const AGAIN_WITHOUT_STAMP: Duration = Duration::from_secs(60);

/// Namespace and name of a certificate.
pub type CertName = (String, String);
/// What was read, by certificate.
pub type Pairs = HashMap<CertName, Arc<Pair>>;

type Read = (CertName, Option<String>, Result<Option<Pair>, String>);
type Reading = Pin<Box<dyn Future<Output = Read> + Send>>;

/// What is known of the certificates that routes name.
pub struct Certificates {
    client: Client,
    wanted: BTreeMap<CertName, Option<String>>,
    known: HashMap<CertName, Known>,
    waiting: VecDeque<CertName>,
    reading: FuturesUnordered<Reading>,
    pairs: Arc<Pairs>,
}

struct Known {
    stamp: Option<String>,
    failed: bool,
    at: Instant,
}

impl Certificates {
    pub fn new(client: Client) -> Self {
        Self {
            client,
            wanted: BTreeMap::new(),
            known: HashMap::new(),
            waiting: VecDeque::new(),
            reading: FuturesUnordered::new(),
            pairs: Arc::default(),
        }
    }

    /// What was read so far.
    pub fn pairs(&self) -> Arc<Pairs> {
        Arc::clone(&self.pairs)
    }

    /// Whether something is still to be read.
    pub fn is_reading(&self) -> bool {
        !self.reading.is_empty() || !self.waiting.is_empty()
    }

    /// Begins to read what these Services name and is not known as it is now, and forgets the rest.
    pub fn want(&mut self, services: &[Arc<Service>]) {
        self.wanted = wanted(services);
        let wanted = &self.wanted;
        self.known.retain(|name, _| wanted.contains_key(name));
        if self.pairs.keys().any(|name| !wanted.contains_key(name)) {
            Arc::make_mut(&mut self.pairs).retain(|name, _| wanted.contains_key(name));
        }
        self.waiting = wanted
            .iter()
            .filter(|(name, stamp)| self.is_due(name, stamp))
            .map(|(name, _)| name.clone())
            .collect();
        self.fill();
    }

    fn is_due(&self, name: &CertName, stamp: &Option<String>) -> bool {
        let Some(known) = self.known.get(name) else { return true };
        let age = known.at.elapsed();
        known.stamp != *stamp
            || known.failed && age > AGAIN_AFTER_FAILURE
            || stamp.is_none() && age > AGAIN_WITHOUT_STAMP
    }

    fn fill(&mut self) {
        while self.reading.len() < READS_AT_ONCE_MAX
            && let Some(name) = self.waiting.pop_front()
        {
            let stamp = self.wanted.get(&name).cloned().flatten();
            // Known from now on, so that it is not asked for twice at once.
            let begun = Known { stamp: stamp.clone(), failed: false, at: Instant::now() };
            self.known.insert(name.clone(), begun);
            self.reading.push(Box::pin(read(self.client.clone(), name, stamp)));
        }
    }

    /// Waits for the end of a read; whether something changed by it. Never ends while there is none.
    pub async fn next(&mut self) -> bool {
        let Some((name, stamp, result)) = self.reading.next().await else {
            return std::future::pending().await;
        };
        self.fill();
        let is_wanted = self.wanted.contains_key(&name);
        if let Some(known) = self.known.get_mut(&name).filter(|known| known.stamp == stamp) {
            (known.failed, known.at) = (result.is_err(), Instant::now());
        }
        match result {
            Ok(pair) => is_wanted && self.keep(name, pair),
            Err(reason) => {
                let (namespace, name) = name;
                tracing::warn!(namespace, certificate = name, reason, "cannot read a certificate's Secret");
                false
            }
        }
    }

    fn keep(&mut self, name: CertName, pair: Option<Pair>) -> bool {
        if self.pairs.get(&name).map(|known| &**known) == pair.as_ref() {
            return false;
        }
        let pairs = Arc::make_mut(&mut self.pairs);
        match pair {
            Some(pair) => pairs.insert(name, Arc::new(pair)),
            None => pairs.remove(&name),
        };
        true
    }
}

fn wanted(services: &[Arc<Service>]) -> BTreeMap<CertName, Option<String>> {
    let mut wanted = BTreeMap::new();
    for service in services {
        let Some(space) = service.metadata.namespace.as_deref() else { continue };
        for cert in annotated(service.metadata.annotations.as_ref(), 0).certificates {
            wanted.insert((space.to_owned(), cert.name), cert.stamp);
        }
    }
    wanted
}

async fn read(client: Client, name: CertName, stamp: Option<String>) -> Read {
    let secrets: Api<Secret> = Api::namespaced(client, &name.0);
    let secret = secret_name(&name.1);
    let result = match timeout(READ_SECONDS_MAX, secrets.get_opt(&secret)).await {
        Err(_) => Err("no answer from Kubernetes in time".to_owned()),
        Ok(Err(error)) => Err(error.to_string()),
        Ok(Ok(None)) => Err(format!("there is no Secret {secret}")),
        Ok(Ok(Some(found))) => {
            certificate::pair(&found).map(Some).ok_or_else(|| format!("{secret} lacks tls.crt or tls.key"))
        }
    };
    (name, stamp, result)
}
