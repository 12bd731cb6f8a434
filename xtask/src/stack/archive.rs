//! The stack image's config and manifest, and the archive that `docker load` takes.
//!
//! One tar with an OCI layout for stores of containerd's kind and a `manifest.json` for Docker's classic
//! one. It goes straight into `docker load`; no file is written.

use std::io::{Read, Seek as _, Write};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, bail};
use serde_json::json;
use sha2::Digest as _;

use super::Layer;
use super::base::Base;
use super::packs::Packs;

/// Engines read sizes of the stack's layers from this label: `docker image inspect` does not tell them.
const LAYERS_LABEL: &str = "io.deis.stack.layers";
const CREATED: &str = "1970-01-01T00:00:00Z";
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Config and manifest as bytes, with their digests.
pub struct Described {
    config: Vec<u8>,
    manifest: Vec<u8>,
    layers: Vec<Layer>,
}

impl Described {
    /// Docker's classic store names an image by its config, containerd's by its manifest.
    pub fn is_stored_as(&self, id: &str) -> bool {
        id == digest_of(&self.config) || id == digest_of(&self.manifest)
    }
}

/// Describes the image of these layers, the lowest first.
pub fn describe(layers: &[Layer]) -> Described {
    let sizes: Vec<_> =
        layers.iter().map(|layer| json!({ "digest": layer.digest, "size": layer.size_bytes })).collect();
    let sizes = serde_json::Value::Array(sizes).to_string();
    let config = json!({
        "created": CREATED,
        "architecture": go_architecture(),
        "os": "linux",
        "config": {
            "User": "2000:2000",
            "Env": [format!("PATH={PATH}"), "HOME=/app", "STACK=bookworm", "LANG=C.UTF-8"],
            "Entrypoint": ["/usr/bin/slug"],
            "WorkingDir": "/app",
            "Labels": { LAYERS_LABEL: sizes },
        },
        "rootfs": {
            "type": "layers",
            "diff_ids": layers.iter().map(|layer| layer.digest.as_str()).collect::<Vec<_>>(),
        },
        "history": [
            { "created": CREATED, "created_by": "debian packages" },
            { "created": CREATED, "created_by": "slug and buildpacks" },
        ],
    });
    let config = config.to_string().into_bytes();
    let blob = |media_type: &str, digest: &str, size: u64| json!({ "mediaType": media_type, "digest": digest, "size": size });
    let layer =
        |layer: &Layer| blob("application/vnd.oci.image.layer.v1.tar", &layer.digest, layer.size_bytes);
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": blob("application/vnd.oci.image.config.v1+json", &digest_of(&config), config.len() as u64),
        "layers": layers.iter().map(layer).collect::<Vec<_>>(),
    });
    Described { config, manifest: manifest.to_string().into_bytes(), layers: layers.to_vec() }
}

/// Loads the image under `name`; without `base` its lower layer must be in Docker already.
pub fn load(image: &Described, name: &str, base: Option<&Base>, packs: &Packs) -> anyhow::Result<()> {
    let mut docker = Command::new("docker")
        .args(["load", "--quiet"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot run `docker load`")?;
    let sent = send(&mut docker, image, name, base, packs);
    let output = docker.wait_with_output().context("`docker load` did not end")?;
    if !output.status.success() {
        bail!("`docker load` failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    sent
}

fn send(
    docker: &mut Child,
    image: &Described,
    name: &str,
    base: Option<&Base>,
    packs: &Packs,
) -> anyhow::Result<()> {
    let pipe = docker.stdin.take().expect("the pipe was asked for");
    let mut archive = tar::Builder::new(std::io::BufWriter::with_capacity(1 << 20, pipe));
    let config = digest_of(&image.config);
    let manifest = digest_of(&image.manifest);
    append(&mut archive, "oci-layout", 30, &br#"{"imageLayoutVersion":"1.0.0"}"#[..])?;
    append_bytes(&mut archive, "index.json", &index(image, &manifest, name))?;
    append_bytes(&mut archive, "manifest.json", &docker_manifest(image, &config, name))?;
    append_bytes(&mut archive, &blob_path(&config), &image.config)?;
    append_bytes(&mut archive, &blob_path(&manifest), &image.manifest)?;
    append_bytes(&mut archive, &blob_path(&packs.layer.digest), &packs.content)?;
    if let Some(base) = base {
        let mut file = &base.file;
        file.rewind().context("cannot rewind the base of the stack")?;
        append(&mut archive, &blob_path(&base.layer.digest), base.layer.size_bytes, file)?;
    }
    archive.into_inner()?.flush().context("cannot send the image to Docker")
}

fn append_bytes(archive: &mut tar::Builder<impl Write>, path: &str, content: &[u8]) -> anyhow::Result<()> {
    append(archive, path, content.len() as u64, content)
}

fn append(
    archive: &mut tar::Builder<impl Write>,
    path: &str,
    size_bytes: u64,
    content: impl Read,
) -> anyhow::Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_size(size_bytes);
    header.set_mode(0o644);
    archive.append_data(&mut header, path, content).with_context(|| format!("cannot send {path} to Docker"))
}

fn index(image: &Described, manifest: &str, name: &str) -> Vec<u8> {
    let index = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [{
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": manifest,
            "size": image.manifest.len(),
            "annotations": { "io.containerd.image.name": format!("docker.io/{name}") },
        }],
    });
    index.to_string().into_bytes()
}

fn docker_manifest(image: &Described, config: &str, name: &str) -> Vec<u8> {
    let layers: Vec<_> = image.layers.iter().map(|layer| blob_path(&layer.digest)).collect();
    json!([{ "Config": blob_path(config), "RepoTags": [name], "Layers": layers }]).to_string().into_bytes()
}

fn blob_path(digest: &str) -> String {
    format!("blobs/{}", digest.replace(':', "/"))
}

/// `sha256:<hex>` of these bytes.
pub fn digest_of(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(sha2::Sha256::digest(bytes)))
}

/// The OCI name of this machine's architecture.
pub fn go_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_layers_give_the_same_image_and_its_label_tells_their_sizes() {
        let layers = [
            Layer { digest: digest_of(b"base"), size_bytes: 10 },
            Layer { digest: digest_of(b"packs"), size_bytes: 20 },
        ];

        let image = describe(&layers);

        assert_eq!(describe(&layers).manifest, image.manifest);
        assert!(image.is_stored_as(&digest_of(&image.config)));
        assert!(!image.is_stored_as(&digest_of(b"another")));
        let config: serde_json::Value = serde_json::from_slice(&image.config).expect("config is JSON");
        let label = config["config"]["Labels"][LAYERS_LABEL].as_str().expect("the label is a text");
        let label: serde_json::Value = serde_json::from_str(label).expect("the label is JSON");
        assert_eq!(label[1], json!({ "digest": layers[1].digest, "size": 20 }));
    }
}
