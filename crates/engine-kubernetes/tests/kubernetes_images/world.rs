//! A managed registry of its own for one test, with the real Distribution.

use std::path::PathBuf;

use bytes::Bytes;
use domain::outbound::OutboundPolicy;
use domain::registry_access::AccessKey;
use domain::{AppName, Digest};
use engine_kubernetes::{ImageRegistrySettings, KubernetesImages, RegistryAccess, RegistryKey};
use oci::{Access, Login, Repository, Transport};
use registry::{CollectSettings, FrontSettings, Storage};
use serde_json::json;
use testkit::{WAIT_MAX, free_port, wait_until};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

pub const KEY: &str = "the key of this test's registry";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// A registry; it ends with the test.
pub struct World {
    /// `127.0.0.1:<port>`
    pub host: String,
    pub transport: Transport,
    _stop: DropGuard,
    folder: tempfile::TempDir,
}

/// Distribution's program, built by `cargo xtask cluster`.
fn program() -> PathBuf {
    let path = std::env::var_os("WORKFLOW_TEST_REGISTRY")
        .expect("set WORKFLOW_TEST_REGISTRY to Distribution's program; `cargo xtask cluster` builds it");
    path.into()
}

impl World {
    pub async fn new() -> Self {
        Self::collecting(None).await
    }

    /// A world whose registry removes unused blobs at this interval.
    pub async fn collecting(collect: Option<CollectSettings>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let host = listener.local_addr().expect("it is bound").to_string();
        let folder = tempfile::tempdir().expect("a temporary folder");
        let settings = registry::RegistrySettings {
            key: AccessKey::new(KEY),
            program: program(),
            folder: folder.path().join("config"),
            storage: Storage::folder(&folder.path().join("data").to_string_lossy()),
            distribution_port: free_port(),
            front: FrontSettings::default(),
            collect,
        };
        let stop = CancellationToken::new();
        tokio::spawn({
            let stop = stop.clone();
            async move { registry::run(&settings, listener, stop).await.expect("the registry runs") }
        });
        let world = Self { host, transport: Transport::new(), _stop: stop.drop_guard(), folder };
        world.is_up().await;
        world
    }

    async fn is_up(&self) {
        let probe = self.as_controller("probe", Access::Pull);
        wait_until("the registry comes up", WAIT_MAX, async || probe.tags().await).await;
    }

    /// Bytes of all blobs on the disk.
    pub fn blob_bytes(&self) -> u64 {
        fn below(folder: &std::path::Path) -> u64 {
            let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
            entries
                .map(|entry| match entry.metadata() {
                    Ok(found) if found.is_dir() => below(&entry.path()),
                    Ok(found) => found.len(),
                    Err(_) => 0,
                })
                .sum()
        }
        below(&self.folder.path().join("data/docker/registry/v2/blobs"))
    }

    pub fn repository(&self, name: &str, login: Option<Login>, access: Access) -> Repository {
        Repository::new(&self.transport, &format!("http://{}", self.host), name, login, access)
    }

    pub fn as_controller(&self, name: &str, access: Access) -> Repository {
        self.repository(name, Some(login(AccessKey::new(KEY).for_controller())), access)
    }

    pub fn settings(&self) -> ImageRegistrySettings {
        ImageRegistrySettings {
            node_host: "127.0.0.1:5555".to_owned(),
            push_url: format!("http://{}", self.host),
            access: RegistryAccess::Managed { key: RegistryKey(KEY.to_owned()) },
            keeps_copies: true,
            insecure_hosts: Vec::new(),
            outbound: OutboundPolicy::new(["127.0.0.0/8".parse().expect("a range")]),
        }
    }

    pub fn images(&self) -> KubernetesImages {
        KubernetesImages::new(self.settings())
    }
}

pub fn login(credential: domain::registry_access::Credential) -> Login {
    Login { username: credential.username, password: credential.password }
}

pub fn app(name: &str) -> AppName {
    AppName::parse(name).expect("a good name")
}

/// Pushes an image with one layer; its text makes it different from others.
pub async fn push_image(to: &Repository, tag: &str, text: &str) -> Digest {
    let manifest = push_parts(to, text).await;
    to.put_manifest(tag, MANIFEST, manifest.clone()).await.expect("it is taken");
    Digest::of(&manifest)
}

/// Pushes an index over an image of this platform and one of another; gives back the digest of ours.
pub async fn push_index(to: &Repository, tag: &str, text: &str) -> Digest {
    let mut entries = Vec::new();
    for architecture in ["s390x", oci::architecture()] {
        let manifest = push_parts(to, &format!("{text} {architecture}")).await;
        let digest = Digest::of(&manifest);
        to.put_manifest(digest.as_str(), MANIFEST, manifest.clone()).await.expect("it is taken");
        entries.push(json!({
            "mediaType": MANIFEST, "digest": digest, "size": manifest.len(),
            "platform": { "os": "linux", "architecture": architecture },
        }));
    }
    let ours = entries[1]["digest"].as_str().map(|text| Digest::parse(text).expect("a digest"));
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": entries });
    to.put_manifest(tag, INDEX, Bytes::from(index.to_string())).await.expect("it is taken");
    ours.expect("a text")
}

/// Pushes config and layer; gives back the manifest.
async fn push_parts(to: &Repository, text: &str) -> Bytes {
    let layer = Bytes::from(text.to_owned());
    let config = json!({
        "architecture": "amd64", "os": "linux",
        "config": { "ExposedPorts": { "9090/tcp": {}, "8080/tcp": {} }, "User": "1001" },
        "rootfs": { "type": "layers", "diff_ids": [Digest::of(&layer)] },
    });
    let config = Bytes::from(config.to_string());
    let described = |kind: &str, bytes: &Bytes| json!({ "mediaType": format!("application/vnd.oci.image.{kind}"), "digest": Digest::of(bytes), "size": bytes.len() });
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": described("config.v1+json", &config),
        "layers": [described("layer.v1.tar", &layer)],
    });
    to.push_bytes(config).await.expect("it is taken");
    to.push_bytes(layer).await.expect("it is taken");
    Bytes::from(manifest.to_string())
}
