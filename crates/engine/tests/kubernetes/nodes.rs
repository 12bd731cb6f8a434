//! What the tests need of the cluster's nodes: the image, a label, and their bound on processes.

use std::process::Command;
use std::sync::OnceLock;

use domain::Digest;
use k8s_openapi::api::core::v1::Node;
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use crate::image;

/// Repository of the image on the nodes.
pub const REPOSITORY: &str = "docker.io/library/deis-conformance-app";
/// Command that loads an archive on every node.
const LOADER: &str = "DEIS_IMAGE_LOADER";
const LOADER_DEFAULT: &str = "cargo xtask cluster load";

/// The image's digest; it is loaded on the nodes once for all tests.
pub fn image() -> Digest {
    static DIGEST: OnceLock<Digest> = OnceLock::new();
    DIGEST.get_or_init(load).clone()
}

fn load() -> Digest {
    let (digest, archive) = archive();
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), archive).expect("the file is ours");
    let loader = std::env::var(LOADER).unwrap_or_else(|_| LOADER_DEFAULT.to_owned());
    let words: Vec<_> = loader.split_whitespace().collect();
    let status = Command::new(words[0]).args(&words[1..]).arg(file.path()).status();
    assert!(status.is_ok_and(|status| status.success()), "`{loader}` did not load the image; set {LOADER}");
    digest
}

/// An OCI archive of the image under its digest: so nodes find it by the reference of a pinned image.
fn archive() -> (Digest, Vec<u8>) {
    let layer = image::layer();
    let config = json!({
        "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
        "os": "linux",
        "config": { "Entrypoint": ["/app"] },
        "rootfs": { "type": "layers", "diff_ids": [Digest::of(&layer)] },
    });
    let config = config.to_string().into_bytes();
    let described = |kind: &str, blob: &[u8]| {
        json!({ "mediaType": format!("application/vnd.oci.image.{kind}"), "digest": Digest::of(blob),
            "size": blob.len() })
    };
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": described("config.v1+json", &config),
        "layers": [described("layer.v1.tar", &layer)],
    });
    let manifest = manifest.to_string().into_bytes();
    let digest = Digest::of(&manifest);
    let mut entry = described("manifest.v1+json", &manifest);
    entry["annotations"] = json!({ "io.containerd.image.name": format!("{REPOSITORY}@{digest}") });
    let index = json!({ "schemaVersion": 2, "manifests": [entry] }).to_string().into_bytes();
    let mut files = vec![
        ("oci-layout".to_owned(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()),
        ("index.json".to_owned(), index),
    ];
    let blobs = [layer, config, manifest];
    files.extend(blobs.map(|blob| (format!("blobs/sha256/{}", Digest::of(&blob).hex()), blob)));
    (digest, tarred(&files))
}

fn tarred(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = tar::Header::new_ustar();
        header.set_mode(0o644);
        header.set_size(content.len() as u64);
        archive.append_data(&mut header, path, &content[..]).expect("memory takes it");
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
pub async fn pids_max(client: &Client) -> usize {
    let nodes = Api::<Node>::all(client.clone());
    let found = nodes.list(&ListParams::default()).await.expect("the cluster answers").items;
    let name = found[0].metadata.name.as_deref().expect("a node has a name");
    let request = http::Request::get(format!("/api/v1/nodes/{name}/proxy/configz")).body(Vec::new());
    let config = client.request::<Value>(request.expect("a request")).await.expect("the kubelet answers");
    config["kubeletconfig"]["podPidsLimit"].as_u64().map_or(usize::MAX, |limit| limit as usize)
}
