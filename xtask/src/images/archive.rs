//! An image's config and manifest, and the archive that `docker load` and containerd's import read.
//!
//! One tar with an OCI layout for stores of containerd's kind and a `manifest.json` for Docker's classic one.

use std::io::{Read, Seek as _, Write};
use std::sync::Arc;

use anyhow::Context as _;
pub use cluster::images::{digest_of, go_architecture};
use serde_json::json;

use super::{Content, Image, Layer};

/// Engines read sizes and parts of the stack's layers from this label: `docker image inspect` does not show them.
const LAYERS_LABEL: &str = "io.deis.stack.layers";
const CREATED: &str = "1970-01-01T00:00:00Z";

/// Default start of the image's programs.
#[derive(Debug, Clone)]
pub struct Start {
    /// `uid:gid`
    pub user: &'static str,
    pub env: Vec<String>,
    pub entrypoint: &'static str,
    pub folder: &'static str,
}

/// Config and manifest as bytes.
pub struct Described {
    config: Vec<u8>,
    manifest: Vec<u8>,
}

impl Described {
    /// Docker's classic store names an image by its config, containerd's by its manifest.
    pub fn is_stored_as(&self, id: &str) -> bool {
        id == digest_of(&self.config) || id == self.digest()
    }

    /// `sha256:<hex>` of the manifest.
    pub fn digest(&self) -> String {
        digest_of(&self.manifest)
    }
}

/// Describes the image of these layers, the lowest first.
pub fn describe(start: &Start, layers: &[Arc<Layer>]) -> Described {
    let of_label = |layer: &Arc<Layer>| {
        let mut described = json!({ "digest": layer.digest, "size": layer.size_bytes });
        if let Some(part) = layer.part {
            described["part"] = part.into();
        }
        described
    };
    let sizes = serde_json::Value::Array(layers.iter().map(of_label).collect()).to_string();
    let config = json!({
        "created": CREATED,
        "architecture": go_architecture(),
        "os": "linux",
        "config": {
            "User": start.user,
            "Env": start.env,
            "Entrypoint": [start.entrypoint],
            "WorkingDir": start.folder,
            "Labels": { LAYERS_LABEL: sizes },
        },
        "rootfs": {
            "type": "layers",
            "diff_ids": layers.iter().map(|layer| layer.digest.as_str()).collect::<Vec<_>>(),
        },
        "history": layers.iter().map(|_| json!({ "created": CREATED, "created_by": "workflow" })).collect::<Vec<_>>(),
    });
    let config = config.to_string().into_bytes();
    let blob = |media_type: &str, digest: &str, size: u64| json!({ "mediaType": media_type, "digest": digest, "size": size });
    let layer =
        |layer: &Arc<Layer>| blob("application/vnd.oci.image.layer.v1.tar", &layer.digest, layer.size_bytes);
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": blob("application/vnd.oci.image.config.v1+json", &digest_of(&config), config.len() as u64),
        "layers": layers.iter().map(layer).collect::<Vec<_>>(),
    });
    Described { config, manifest: manifest.to_string().into_bytes() }
}

/// Writes the image; layers that are not `sent` must be at its destination already.
pub fn write(target: impl Write, image: &Image, sent: &[Arc<Layer>]) -> anyhow::Result<()> {
    let Image { name, start: _, described, layers } = image;
    let mut archive = tar::Builder::new(std::io::BufWriter::with_capacity(1 << 20, target));
    let config = digest_of(&described.config);
    append(&mut archive, "oci-layout", 30, &br#"{"imageLayoutVersion":"1.0.0"}"#[..])?;
    append_bytes(&mut archive, "index.json", &index(described, name))?;
    append_bytes(&mut archive, "manifest.json", &docker_manifest(layers, &config, name))?;
    append_bytes(&mut archive, &blob_path(&config), &described.config)?;
    append_bytes(&mut archive, &blob_path(&described.digest()), &described.manifest)?;
    for layer in sent {
        append_layer(&mut archive, layer)?;
    }
    archive.into_inner()?.flush().context("cannot write the image")
}

fn append_layer(archive: &mut tar::Builder<impl Write>, layer: &Layer) -> anyhow::Result<()> {
    let path = blob_path(&layer.digest);
    match &layer.content {
        Content::Bytes(bytes) => append_bytes(archive, &path, bytes),
        Content::File(file) => {
            let mut file = file;
            file.rewind().context("cannot rewind a layer")?;
            append(archive, &path, layer.size_bytes, file)
        }
    }
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
    archive.append_data(&mut header, path, content).with_context(|| format!("cannot write {path}"))
}

fn index(image: &Described, name: &str) -> Vec<u8> {
    let index = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [{
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": image.digest(),
            "size": image.manifest.len(),
            "annotations": { "io.containerd.image.name": full_name(name) },
        }],
    });
    index.to_string().into_bytes()
}

fn docker_manifest(layers: &[Arc<Layer>], config: &str, name: &str) -> Vec<u8> {
    let layers: Vec<_> = layers.iter().map(|layer| blob_path(&layer.digest)).collect();
    json!([{ "Config": blob_path(config), "RepoTags": [name], "Layers": layers }]).to_string().into_bytes()
}

fn blob_path(digest: &str) -> String {
    format!("blobs/{}", digest.replace(':', "/"))
}

/// The name with its registry, as containerd stores images: Docker Hub where none is named.
fn full_name(name: &str) -> String {
    let has_host =
        name.split_once('/').is_some_and(|(first, _)| first.contains(['.', ':']) || first == "localhost");
    if has_host { name.to_owned() } else { format!("docker.io/{name}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_layers_give_the_same_image_and_its_label_tells_their_sizes() {
        let layer = |bytes: &[u8], size_bytes| {
            let content = Content::Bytes(bytes.to_vec());
            Layer::new(digest_of(bytes), size_bytes, content)
        };
        let layers = [layer(b"base", 10), layer(b"packs", 20).into_part("packs")].map(Arc::new);
        let start = Start { user: "2000:2000", env: Vec::new(), entrypoint: "/usr/bin/slug", folder: "/app" };

        let image = describe(&start, &layers);

        assert_eq!(describe(&start, &layers).manifest, image.manifest);
        assert!(image.is_stored_as(&digest_of(&image.config)));
        assert!(!image.is_stored_as(&digest_of(b"another")));
        let config: serde_json::Value = serde_json::from_slice(&image.config).expect("config is JSON");
        let label = config["config"]["Labels"][LAYERS_LABEL].as_str().expect("the label is a text");
        let label: serde_json::Value = serde_json::from_str(label).expect("the label is JSON");
        assert_eq!(label[1], json!({ "digest": layers[1].digest, "size": 20, "part": "packs" }));
    }
}
