//! Preparation of the cluster's nodes for the tests: the image, a label, and their limit of processes.

use std::process::Command;

use domain::{Digest, Image};
use k8s_openapi::api::core::v1::Node;
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, Client};
use oci::{Access, Repository, Transport};
use serde_json::{Value, json};

use crate::{image, registries};

/// Repository of the image in the registry.
const REPOSITORY: &str = "deis-conformance-app";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// Command that loads an archive on every node.
const LOADER: &str = "DEIS_IMAGE_LOADER";
const LOADER_DEFAULT: &str = "cargo xtask cluster load";

/// The image, which is in the registry and on every node: nodes have no way to a registry of this process.
pub async fn image() -> Image {
    static IMAGE: tokio::sync::OnceCell<Image> = tokio::sync::OnceCell::const_new();
    IMAGE.get_or_init(make).await.clone()
}

async fn make() -> Image {
    let parts = Parts::new();
    let host = tokio::task::spawn_blocking(registries::users).await.expect("the registry starts");
    parts.push(host).await;
    let digest = Digest::of(&parts.manifest);
    let reference = format!("{host}/{REPOSITORY}:latest");
    tokio::task::spawn_blocking(move || parts.load(host)).await.expect("the image is loaded");
    Image::External { reference, digest }
}

/// Parts of an OCI image.
struct Parts {
    layer: Vec<u8>,
    config: Vec<u8>,
    manifest: Vec<u8>,
}

impl Parts {
    fn new() -> Self {
        let layer = image::layer();
        let config = json!({
            "architecture": oci::architecture(),
            "os": "linux",
            "config": { "Entrypoint": ["/app"] },
            "rootfs": { "type": "layers", "diff_ids": [Digest::of(&layer)] },
        });
        let config = config.to_string().into_bytes();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": described("application/vnd.oci.image.config.v1+json", &config),
            "layers": [described("application/vnd.oci.image.layer.v1.tar", &layer)],
        });
        let manifest = manifest.to_string().into_bytes();
        Self { layer, config, manifest }
    }

    async fn push(&self, host: &str) {
        let base = format!("http://{host}");
        let to = Repository::new(&Transport::new(), &base, REPOSITORY, None, Access::Push);
        for blob in [&self.layer, &self.config] {
            to.push_bytes(blob.clone().into()).await.expect("it is taken");
        }
        to.put_manifest("latest", MANIFEST, self.manifest.clone().into()).await.expect("it is taken");
    }

    /// Under the name with the digest, by which nodes look for a pinned image.
    fn load(&self, host: &str) {
        let Self { layer, config, manifest } = self;
        let mut entry = described(MANIFEST, manifest);
        let name = format!("{host}/{REPOSITORY}@{}", Digest::of(manifest));
        entry["annotations"] = json!({ "io.containerd.image.name": name });
        let index = json!({ "schemaVersion": 2, "manifests": [entry] }).to_string().into_bytes();
        let layout = br#"{"imageLayoutVersion":"1.0.0"}"#;
        let mut files = vec![("oci-layout".to_owned(), &layout[..]), ("index.json".to_owned(), &index[..])];
        let path = |blob: &[u8]| format!("blobs/sha256/{}", Digest::of(blob).hex());
        files.extend([layer, config, manifest].map(|blob| (path(blob), &blob[..])));
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), tarred(&files)).expect("the file is ours");
        let loader = std::env::var(LOADER).unwrap_or_else(|_| LOADER_DEFAULT.to_owned());
        let words: Vec<_> = loader.split_whitespace().collect();
        let status = Command::new(words[0]).args(&words[1..]).arg(file.path()).status();
        assert!(
            status.is_ok_and(|status| status.success()),
            "`{loader}` did not load the image; set {LOADER}"
        );
    }
}

fn described(media_type: &str, blob: &[u8]) -> Value {
    json!({ "mediaType": media_type, "digest": Digest::of(blob), "size": blob.len() })
}

fn tarred(files: &[(String, &[u8])]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = tar::Header::new_ustar();
        header.set_mode(0o644);
        header.set_size(content.len() as u64);
        archive.append_data(&mut header, path, *content).expect("memory takes it");
    }
    archive.into_inner().expect("memory takes it")
}

/// Gives one node the label that the suite's tags ask for.
pub async fn label(client: &Client) {
    let nodes = Api::<Node>::all(client.clone());
    let found = nodes.list(&ListParams::default()).await.expect("the cluster answers").items;
    let name = found[0].metadata.name.as_deref().expect("a node has a name");
    let labels = json!({ "metadata": { "labels": { "disk": "ssd" } } });
    nodes.patch(name, &PatchParams::default(), &Patch::Merge(&labels)).await.expect("a node takes a label");
}

/// Most processes of one pod, as the kubelets bound them.
pub async fn pids_max(client: &Client) -> Option<usize> {
    let nodes = Api::<Node>::all(client.clone());
    let found = nodes.list(&ListParams::default()).await.expect("the cluster answers").items;
    let name = found[0].metadata.name.as_deref().expect("a node has a name");
    let request = http::Request::get(format!("/api/v1/nodes/{name}/proxy/configz")).body(Vec::new());
    let config = client.request::<Value>(request.expect("a request")).await.expect("the kubelet answers");
    config["kubeletconfig"]["podPidsLimit"].as_u64().map(|limit| limit as usize)
}
