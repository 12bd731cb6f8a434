//! A platform of its own in the cluster, for one test; nothing of it is left behind.

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::AppName;
use domain::build::{BuildJob, BuildKind, BuiltImage};
use domain::outbound::OutboundPolicy;
use engine::{JobError, Jobs as _, SourceStream};
use engine_kubernetes::{
    ImageRegistrySettings, KubernetesJobs, KubernetesSettings, RegistryAccess, RegistryKey,
};

use crate::registry::{Registry, apply, builder_image, delete_namespace, kubectl, workflow_image};
use crate::sources::{run_build, source};

/// Jobs and all that they make.
pub struct World {
    pub jobs: KubernetesJobs,
    pub settings: KubernetesSettings,
    pub registry: Arc<Registry>,
    prefix: String,
}

impl World {
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(change: impl FnOnce(&mut KubernetesSettings)) -> Self {
        // Both TLS stacks of the tree have one provider; a process chooses it once.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let registry = Registry::shared().await;
        let prefix = format!("wf-{:08x}-", rand::random::<u32>());
        let mut settings = KubernetesSettings {
            namespace_prefix: prefix.clone(),
            platform_namespace: registry.namespace.clone(),
            builds_namespace: format!("{prefix}builds"),
            registry: ImageRegistrySettings {
                node_host: registry.node_host.clone(),
                push_url: registry.url.clone(),
                access: RegistryAccess::Managed { key: RegistryKey(registry.key.clone()) },
                keeps_copies: true,
                insecure_hosts: Vec::new(),
                outbound: OutboundPolicy::new(["127.0.0.0/8".parse().expect("a range")]),
            },
            stack_image: format!("{}/deis/stack:latest", registry.node_host),
            builder_image: builder_image(),
            workflow_image: workflow_image(),
            build_memory_bytes: 512 << 20,
            slug_bytes_max: 100 << 20,
            job_start_seconds: 60,
            ..KubernetesSettings::new("test.local")
        };
        change(&mut settings);
        let builds = &settings.builds_namespace;
        apply(&format!(
            "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {builds}\n  labels:\n    \
             pod-security.kubernetes.io/enforce: baseline\n"
        ));
        let jobs = jobs(&settings).await;
        Self { jobs, settings, registry, prefix }
    }

    /// Runs a build of these files to its end; gives back its outcome and its output.
    pub async fn build(
        &self,
        job: &BuildJob,
        files: &[(&str, &str)],
    ) -> (Result<BuiltImage, JobError>, String) {
        self.build_source(job, source(files)).await
    }

    pub async fn build_source(
        &self,
        job: &BuildJob,
        source: SourceStream,
    ) -> (Result<BuiltImage, JobError>, String) {
        run_build(|output| self.jobs.build(job, source, output)).await
    }

    /// Objects that builds left.
    pub fn builds_left(&self) -> Vec<String> {
        let builds = &self.settings.builds_namespace;
        let found = kubectl(&["get", "jobs,pods,secrets", "--namespace", builds, "-o", "name"]);
        found.lines().map(str::to_owned).collect()
    }

    /// Deletes the pods of builds, as a drain of their nodes does.
    pub fn delete_build_pods(&self) {
        kubectl(&["delete", "pods", "--all", "--wait=false", "--namespace", &self.settings.builds_namespace]);
    }

    /// Waits until nothing is left of builds.
    pub async fn no_build_is_left(&self) {
        for _ in 0..300 {
            if self.builds_left().is_empty() {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        panic!("left: {:?}", self.builds_left());
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // Each app of a test has a namespace of its own under the prefix.
        let listing = ["get", "namespaces", "-o", "jsonpath={.items[*].metadata.name}"];
        let Ok(listed) = std::process::Command::new("kubectl").args(listing).output() else { return };
        let names = String::from_utf8_lossy(&listed.stdout);
        for namespace in names.split(' ').filter(|name| name.starts_with(&self.prefix)) {
            delete_namespace(namespace);
        }
    }
}

/// As another process of the platform.
pub async fn jobs(settings: &KubernetesSettings) -> KubernetesJobs {
    let client = engine_kubernetes::connect().await.expect("the cluster answers");
    KubernetesJobs::new(client, settings.clone(), format!("builder-{:08x}", rand::random::<u32>()))
}

/// An app that no other test has: the registry is shared.
pub fn new_app() -> AppName {
    AppName::parse(&format!("blog-{:08x}", rand::random::<u32>())).expect("a good name")
}

pub fn job(kind: BuildKind) -> BuildJob {
    BuildJob {
        app: new_app(),
        sha: "0123abcd".to_owned(),
        kind,
        submodules: Vec::new(),
        env: BTreeMap::new(),
        cache: true,
        dockerfile: DockerfileOptions::default(),
        deadline_seconds: 240,
    }
}
