//! A platform of its own in the cluster, for one test; nothing of it is left behind.

use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use domain::Image;
use domain::build::ProcessResult;
use domain::deployment::Workload;
use domain::outbound::OutboundPolicy;
use engine::LogSource;
use engine::conformance::{AnyEngine, RealSubject, Subject};
use engine_kubernetes::{ImageRegistrySettings, KubernetesSettings, RegistryAccess, RegistryKey, connect};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{DeleteParams, ListParams};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;

use crate::platform::Platform;
use crate::{nodes, registries};

pub struct World {
    pub settings: KubernetesSettings,
    /// The engine's.
    engines: Client,
    pub client: Client,
    image: Image,
    pids_max: Option<usize>,
    engine: Mutex<Option<Platform>>,
}

impl World {
    pub async fn new() -> Self {
        Self::with(client().await).await
    }

    /// With the policies that keep visitors off who are no routers, as these tests are.
    pub async fn policed() -> Self {
        Self::set(client().await, true).await
    }

    /// With an engine that has this client.
    pub async fn with(engines: Client) -> Self {
        Self::set(engines, false).await
    }

    async fn set(engines: Client, network_policies: bool) -> Self {
        assert!(
            std::env::var_os("KUBECONFIG").is_some(),
            "KUBECONFIG names no cluster: run this in `cargo xtask cluster exec -- ...`"
        );
        let image = nodes::image().await;
        let client = connect().await.expect("KUBECONFIG names a cluster");
        nodes::label(&client).await;
        let pids_max = nodes::pids_max(&client).await;
        let settings = settings(&format!("conf-{:08x}-", rand::random::<u32>()));
        let settings = KubernetesSettings { network_policies, ..settings };
        let world = Self { settings, engines, client, image, pids_max, engine: Mutex::new(None) };
        world.start().await;
        world
    }

    /// The process ends, and with it the engine's tasks.
    pub fn stop(&self) {
        self.engine.lock().expect("nobody panics with it").take();
    }

    pub async fn start(&self) {
        let engine = Platform::start(self.engines.clone(), self.settings.clone()).await;
        self.engine.lock().expect("nobody panics with it").replace(engine);
    }

    /// A second process of the same platform.
    pub async fn another(&self) -> Arc<dyn AnyEngine> {
        Arc::new(Platform::start(self.client.clone(), self.settings.clone()).await)
    }

    /// The objects of a kind in the app's namespace.
    pub async fn objects<K>(&self) -> Vec<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
    {
        let objects = Api::<K>::namespaced(self.client.clone(), &self.namespace());
        objects.list(&ListParams::default()).await.expect("the cluster answers").items
    }

    pub fn namespace(&self) -> String {
        format!("{}blog", self.settings.namespace_prefix)
    }
}

async fn client() -> Client {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    connect().await.expect("KUBECONFIG names a cluster")
}

impl World {
    fn platform(&self) -> Platform {
        self.engine.lock().expect("nobody panics with it").clone().expect("it was started")
    }
}

impl RealSubject for World {
    fn log_source(&self) -> Arc<dyn LogSource> {
        self.platform().logs
    }
}

impl Subject for World {
    fn engine(&self) -> Arc<dyn AnyEngine> {
        Arc::new(self.platform())
    }

    fn image(&self) -> Image {
        self.image.clone()
    }

    fn crashes(&self, workload: &mut Workload, times: u64) {
        workload.env.insert("CRASHES".to_owned(), times.to_string());
    }

    fn stalls(&self, workload: &mut Workload) {
        workload.env.insert("MODE".to_owned(), "silent".to_owned());
    }

    fn resumes(&self) {}

    fn pids_max(&self) -> usize {
        self.pids_max.expect("the kubelets bound no processes: set their podPidsLimit")
    }

    fn will_finish(&self, _: &ProcessResult) {}
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop();
        let prefix = self.settings.namespace_prefix.clone();
        // A runtime of its own: the test's may be ending.
        let cleaning = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(remove(&prefix));
        });
        let _ = cleaning.join();
    }
}

async fn remove(prefix: &str) {
    let namespaces = Api::<Namespace>::all(connect().await.expect("KUBECONFIG names a cluster"));
    let own = ListParams::default().labels("heritage=deis");
    let found = namespaces.list_metadata(&own).await.expect("the cluster answers").items;
    for name in found.into_iter().filter_map(|namespace| namespace.metadata.name) {
        if name.starts_with(prefix) {
            let _ = namespaces.delete(&name, &DeleteParams::background()).await;
        }
    }
}

fn settings(prefix: &str) -> KubernetesSettings {
    KubernetesSettings {
        namespace_prefix: prefix.to_owned(),
        platform_namespace: format!("{prefix}deis"),
        builds_namespace: format!("{prefix}builds"),
        registry: ImageRegistrySettings {
            node_host: "127.0.0.1:5555".to_owned(),
            push_url: format!("http://{}", registries::platforms()),
            access: RegistryAccess::Managed { key: RegistryKey(registries::KEY.to_owned()) },
            // Nodes have no way to a registry of this process.
            keeps_copies: false,
            insecure_hosts: Vec::new(),
            outbound: OutboundPolicy::new(["127.0.0.0/8".parse().expect("a range")]),
        },
        pre_stop_sleep_seconds: 2,
        ..KubernetesSettings::new("localhost")
    }
}
