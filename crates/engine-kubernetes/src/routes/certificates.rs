//! Reads the Secrets that routes name, one by one and by name: a router may list none.
//!
//! A Secret is read again when the stamp beside its name changes. One without a stamp, which is somebody
//! else's, is looked at again every minute. One that could not be read is tried again soon, with pauses that
//! grow: the right to read it is as young as the certificate, and takes a moment to be known everywhere.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use domain::certs::Pair;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use k8s_openapi::api::core::v1::{Secret, Service};
use kube::{Api, Client};
use tokio::time::{Instant, sleep_until, timeout};

use crate::objects::certificate::{self, secret_name};
use crate::objects::service::annotated;

const READ_SECONDS_MAX: Duration = Duration::from_secs(5);
const READS_AT_ONCE_MAX: usize = 16;
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(30);
const AGAIN_WITHOUT_STAMP: Duration = Duration::from_secs(60);

/// Namespace and name of a certificate.
pub type CertName = (String, String);
/// Certificates that were read, by name.
pub type Pairs = HashMap<CertName, Arc<Pair>>;

type CertificateRead = (CertName, Option<String>, Result<Option<Pair>, String>);
type PendingRead = Pin<Box<dyn Future<Output = CertificateRead> + Send>>;

/// Known state of the certificates that routes name.
pub struct Certificates {
    client: Client,
    wanted: BTreeMap<CertName, Option<String>>,
    known: HashMap<CertName, CachedCertificate>,
    waiting: BTreeSet<CertName>,
    reading: FuturesUnordered<PendingRead>,
    pairs: Arc<Pairs>,
}

struct CachedCertificate {
    stamp: Option<String>,
    at: Instant,
    failures: u32,
    /// When a read that failed is tried again.
    again_at: Option<Instant>,
}

impl Certificates {
    pub fn new(client: Client) -> Self {
        Self {
            client,
            wanted: BTreeMap::new(),
            known: HashMap::new(),
            waiting: BTreeSet::new(),
            reading: FuturesUnordered::new(),
            pairs: Arc::default(),
        }
    }

    /// Certificates read so far.
    pub fn pairs(&self) -> Arc<Pairs> {
        Arc::clone(&self.pairs)
    }

    /// Returns true if certificates are still to be read.
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
        self.waiting.retain(|name| wanted.contains_key(name));
        let due =
            wanted.iter().filter(|(name, stamp)| self.is_due(name, stamp)).map(|(name, _)| name.clone());
        let due: Vec<_> = due.collect();
        self.waiting.extend(due);
        self.fill();
    }

    fn is_due(&self, name: &CertName, stamp: &Option<String>) -> bool {
        let Some(known) = self.known.get(name) else { return true };
        let is_old = stamp.is_none() && known.again_at.is_none() && known.at.elapsed() > AGAIN_WITHOUT_STAMP;
        known.stamp != *stamp || is_old
    }

    fn fill(&mut self) {
        while self.reading.len() < READS_AT_ONCE_MAX
            && let Some(name) = self.waiting.pop_first()
        {
            let stamp = self.wanted.get(&name).cloned().flatten();
            // Known from now on, so that it is not asked for twice at once.
            let failures =
                self.known.get(&name).filter(|known| known.stamp == stamp).map_or(0, |it| it.failures);
            let begun =
                CachedCertificate { stamp: stamp.clone(), at: Instant::now(), failures, again_at: None };
            self.known.insert(name.clone(), begun);
            self.reading.push(Box::pin(read(self.client.clone(), name, stamp)));
        }
    }

    /// Waits for the end of a read; whether something changed by it. Never ends while there is none.
    pub async fn next(&mut self) -> bool {
        let again_at = self.known.values().filter_map(|known| known.again_at).min();
        tokio::select! {
            Some(read) = self.reading.next() => self.take(read),
            () = sleep_until(again_at.unwrap_or_else(Instant::now)), if again_at.is_some() => {
                self.try_again();
                false
            }
            else => std::future::pending().await,
        }
    }

    fn try_again(&mut self) {
        let now = Instant::now();
        for (name, known) in &mut self.known {
            if known.again_at.take_if(|at| *at <= now).is_some() {
                self.waiting.insert(name.clone());
            }
        }
        self.fill();
    }

    fn take(&mut self, (name, stamp, result): CertificateRead) -> bool {
        self.fill();
        let is_wanted = self.wanted.contains_key(&name);
        let known = self.known.get_mut(&name).filter(|known| known.stamp == stamp);
        match result {
            Ok(pair) => {
                if let Some(known) = known {
                    known.failures = 0;
                }
                is_wanted && self.keep(name, pair)
            }
            Err(reason) => {
                if let Some(known) = known {
                    let pause = PAUSE_MIN * 2_u32.saturating_pow(known.failures.min(16));
                    known.again_at = Some(Instant::now() + pause.min(PAUSE_MAX));
                    known.failures += 1;
                }
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

async fn read(client: Client, name: CertName, stamp: Option<String>) -> CertificateRead {
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

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::Mutex;

    use http::{Request, Response};
    use kube::client::Body;
    use serde_json::{Value, json};

    use super::*;

    /// A fake API server with these responses, one after the other, which records requests.
    fn server(answers: Vec<(u16, Value)>) -> (Client, Arc<Mutex<Vec<String>>>) {
        let answers = Mutex::new(answers.into_iter());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&asked);
        let answer = move |request: Request<Body>| {
            noted.lock().expect("nobody panics with it").push(request.uri().path().to_owned());
            let next = answers.lock().expect("nobody panics with it").next();
            async move {
                let Some((code, body)) = next else { return std::future::pending().await };
                let body = Body::from(body.to_string().into_bytes());
                Ok::<_, Infallible>(Response::builder().status(code).body(body).expect("a response"))
            }
        };
        (Client::new(tower::service_fn(answer), "x"), asked)
    }

    fn secret(key: &str) -> (u16, Value) {
        let data = json!({ "tls.crt": "Y2hhaW4=", "tls.key": key });
        (200, json!({ "kind": "Secret", "apiVersion": "v1", "metadata": {}, "data": data }))
    }

    fn refused() -> (u16, Value) {
        let status = json!({ "kind": "Status", "status": "Failure", "code": 403, "reason": "Forbidden",
            "message": "not yet" });
        (403, status)
    }

    fn named(stamp: &str) -> Vec<Arc<Service>> {
        let annotations = json!({ "router.deis.io/certificates": "www.foo.com:foo",
            "deis.io/certificates": format!("foo:{stamp}") });
        let metadata = json!({ "namespace": "blog", "name": "blog", "annotations": annotations });
        vec![Arc::new(serde_json::from_value(json!({ "metadata": metadata })).expect("a Service"))]
    }

    async fn until_changed(certificates: &mut Certificates) {
        let changed = async { while !certificates.next().await {} };
        timeout(Duration::from_secs(10), changed).await.expect("it changes in time");
    }

    fn key(certificates: &Certificates) -> Option<String> {
        let name = ("blog".to_owned(), "foo".to_owned());
        certificates.pairs().get(&name).map(|pair| pair.key.clone())
    }

    #[tokio::test]
    async fn a_secret_is_read_by_name_and_again_when_it_was_refused_or_its_stamp_changed() {
        let (client, asked) = server(vec![refused(), secret("MQ=="), secret("Mg==")]);
        let mut certificates = Certificates::new(client);

        certificates.want(&named("one"));
        assert!(certificates.is_reading());
        until_changed(&mut certificates).await;
        assert_eq!(key(&certificates).as_deref(), Some("1"));

        certificates.want(&named("one"));
        assert!(!certificates.is_reading(), "what is known is not read again");
        certificates.want(&named("two"));
        assert_eq!(key(&certificates).as_deref(), Some("1"), "served until the new one is there");
        until_changed(&mut certificates).await;
        assert_eq!(key(&certificates).as_deref(), Some("2"));

        certificates.want(&[]);
        assert_eq!(key(&certificates), None);
        let asked = asked.lock().expect("nobody panics with it");
        assert!(asked.iter().all(|path| path == "/api/v1/namespaces/blog/secrets/foo-cert"), "{asked:?}");
    }
}
