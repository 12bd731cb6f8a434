//! A platform of its own in the cluster, for one test; nothing of it is left behind.

use std::sync::Arc;

use domain::build::BuildKind;
use domain::outbound::OutboundPolicy;
use domain::registry_access::{STACK_REPOSITORY, cache_repository};
use domain::sbom::Inventory;
use domain::{AppName, Image};
use engine::build_steps::cache_tag;
use engine::conformance::builds::{BuildLimits, BuildSubject, with_newer_stack};
use engine::{ImageError, Images as _};
use engine_kubernetes::{
    ImageRegistrySettings, KubernetesImages, KubernetesJobs, KubernetesSettings, RegistryAccess, RegistryKey,
};
use oci::Access;

use crate::registry::{Registry, apply, builder_image, delete_namespace, kubectl, workflow_image};

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
            stacks: domain::stacks::Stacks::own(&format!("{}/deis/stack:{{stack}}", registry.node_host))
                .expect("it names the stack"),
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

    /// Deletes the pods of builds, as a drain of their nodes does.
    pub fn delete_build_pods(&self) {
        kubectl(&["delete", "pods", "--all", "--wait=false", "--namespace", &self.settings.builds_namespace]);
    }

    fn of_builds(&self, kinds: &str) -> Vec<String> {
        let listed = kubectl(&["get", kinds, "--namespace", &self.settings.builds_namespace, "-o", "name"]);
        listed.lines().map(str::to_owned).collect()
    }

    /// Layers of an image, by what they unpack to.
    async fn layers_of(&self, repository: &str, version: &str) -> Vec<String> {
        let repository = self.registry.repository(repository, Access::Pull);
        let manifest = repository.manifest(version).await.expect("it is there");
        let config = manifest.content.config.expect("an image has a config");
        let config = repository.blob(&config.digest, oci::DOCUMENT_BYTES_MAX).await.expect("it is there");
        let config: serde_json::Value = serde_json::from_slice(&config).expect("a config is JSON");
        serde_json::from_value(config["rootfs"]["diff_ids"].clone()).expect("a list of texts")
    }
}

impl BuildSubject for World {
    type Jobs = KubernetesJobs;

    async fn start(limits: BuildLimits) -> Self {
        Self::with(|settings| {
            let (memory, slug) = (&mut settings.build_memory_bytes, &mut settings.slug_bytes_max);
            limits.replace(memory, slug, &mut settings.build_caches);
            settings.stacks = with_newer_stack(settings.stacks.clone());
        })
        .await
    }

    fn jobs(&self) -> &KubernetesJobs {
        &self.jobs
    }

    async fn take_over(&mut self) {
        self.jobs = jobs(&self.settings).await;
        self.jobs.remove_orphaned_builds().await.expect("the cluster answers");
    }

    /// The registry is shared.
    fn new_app(&self) -> AppName {
        AppName::parse(&format!("blog-{:08x}", rand::random::<u32>())).expect("a good name")
    }

    fn deploy(&self, app: &AppName) {
        let prefix = &self.prefix;
        apply(&format!(
            "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {prefix}{app}\n  labels:\n    heritage: deis\n    \
             app: {app}\n"
        ));
    }

    fn base(&self) -> &str {
        "deis/stack"
    }

    async fn stack_of(&self, app: &AppName) -> Image {
        let images = KubernetesImages::new(self.settings.registry.clone());
        let resolved = images
            .resolve(self.settings.stacks.default_run_image(), None)
            .await
            .expect("the stack is in the registry");
        let Image::External { digest, .. } = resolved.image else { panic!("it was brought") };
        // Under a name that is no app's: what lies in the registry belongs to the app of that name.
        let stack = self.registry.repository(STACK_REPOSITORY, Access::Pull);
        let own = self.registry.repository(app.as_str(), Access::Push).mounting_from(&[STACK_REPOSITORY]);
        let manifest = stack.manifest(digest.as_str()).await.expect("it is there");
        oci::copy_image(&stack, &manifest, &own, digest.hex()).await.expect("it can be copied");
        Image::Built { app: app.clone(), digest }
    }

    async fn stack_layers(&self) -> Vec<String> {
        self.layers_of(STACK_REPOSITORY, "latest").await
    }

    async fn base_layers(&self) -> Vec<String> {
        self.stack_layers().await
    }

    async fn layers(&self, app: &AppName, image: &Image) -> Vec<String> {
        self.layers_of(app.as_str(), image.digest().as_str()).await
    }

    async fn packages(&self, app: &AppName, image: &Image) -> Result<Inventory, ImageError> {
        KubernetesImages::new(self.settings.registry.clone()).packages(app, image).await
    }

    /// As nodes pull it, and by the address of the registry itself.
    fn names_of(&self, app: &AppName, image: &Image) -> Vec<String> {
        let (digest, own) = (image.digest(), self.registry.url.replace("http://", ""));
        vec![format!("{}/{app}:{}", self.registry.node_host, digest.hex()), format!("{own}/{app}@{digest}")]
    }

    async fn has_cache(&self, app: &AppName, kind: BuildKind) -> bool {
        let repository = self.registry.repository(&cache_repository(app), Access::Pull);
        repository.has_manifest(cache_tag(kind)).await.expect("the registry answers")
    }

    fn running(&self) -> Vec<String> {
        self.of_builds("jobs")
    }

    fn objects(&self) -> Vec<String> {
        let names =
            "-o=jsonpath={range .items[*]}{.metadata.namespace}/{.kind}/{.metadata.name}{\"\\n\"}{end}";
        let runs = kubectl(&["get", "pods,secrets", "--selector=deis.io/job=run", "--all-namespaces", names]);
        let runs = runs.lines().filter(|name| name.starts_with(&self.prefix)).map(str::to_owned);
        self.of_builds("jobs,pods,secrets").into_iter().chain(runs).collect()
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
