//! The archive that brings a slug image into an engine's image store.
//!
//! One tar that both kinds of stores load: the OCI layout for stores of containerd's kind, and
//! `manifest.json` for Docker's classic one. Only the slug's layer travels; the stack's layers are named
//! by digest and must be in the store already. The layer itself is streamed by the caller.

use serde::Serialize;

use crate::image::Digest;
use crate::slug_image::{MANIFEST_MEDIA_TYPE, SlugImage};

const BLOCK_BYTES: usize = 512;

/// The bytes before and after the slug's layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlugArchive {
    /// All small files and the header of the layer's entry.
    pub before_layer: Vec<u8>,
    /// Padding and the end of the archive.
    pub after_layer: Vec<u8>,
}

/// Frames the slug's layer, the last of the image, as an archive that loads under `name`, a
/// `namespace/repository:tag` without a registry.
pub fn slug_archive(image: &SlugImage, name: &str) -> SlugArchive {
    let slug = image.layers.last().expect("a slug image has at least the slug's layer");
    let mut before_layer = documents(image, name);
    before_layer.extend_from_slice(&header(&blob_path(&slug.digest), slug.size_bytes));
    let mut after_layer = padding(slug.size_bytes);
    after_layer.extend([0; 2 * BLOCK_BYTES]);
    SlugArchive { before_layer, after_layer }
}

/// All small files of an archive that loads the image under `name`: the begin of the archive, before its layers.
pub fn documents(image: &SlugImage, name: &str) -> Vec<u8> {
    let mut documents = Vec::new();
    let files = [
        ("oci-layout".to_owned(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()),
        ("index.json".to_owned(), index(image, name)),
        ("manifest.json".to_owned(), docker_manifest(image, name)),
        (blob_path(&image.config_digest), image.config.clone()),
        (blob_path(&image.digest), image.manifest.clone()),
    ];
    for (path, content) in files {
        documents.extend_from_slice(&header(&path, content.len() as u64));
        documents.extend_from_slice(&content);
        documents.extend(padding(content.len() as u64));
    }
    documents
}

/// Path of a blob in the archive.
pub fn blob_path(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

fn index(image: &SlugImage, name: &str) -> Vec<u8> {
    let index = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [{
            "mediaType": MANIFEST_MEDIA_TYPE,
            "digest": image.digest,
            "size": image.manifest.len(),
            // Stores of containerd's kind know names only in full.
            "annotations": { "io.containerd.image.name": format!("docker.io/{name}") },
        }],
    });
    index.to_string().into_bytes()
}

/// One entry of the `manifest.json` of `docker save`.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct DockerManifest<'a> {
    config: String,
    repo_tags: [&'a str; 1],
    layers: Vec<String>,
}

fn docker_manifest(image: &SlugImage, name: &str) -> Vec<u8> {
    let manifest = DockerManifest {
        config: blob_path(&image.config_digest),
        repo_tags: [name],
        layers: image.layers.iter().map(|layer| blob_path(&layer.digest)).collect(),
    };
    serde_json::to_vec(&[manifest]).expect("a manifest of texts is JSON")
}

/// A ustar header of a plain file (POSIX.1-2024, pax, "ustar Interchange Format").
fn header(path: &str, size_bytes: u64) -> [u8; BLOCK_BYTES] {
    let mut block = [0; BLOCK_BYTES];
    let mut put = |at: usize, text: &str| block[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, path);
    put(100, "0000644\0");
    put(108, "0000000\0");
    put(116, "0000000\0");
    put(124, &format!("{size_bytes:011o}\0"));
    put(136, "00000000000\0");
    put(148, "        ");
    put(156, "0");
    put(257, "ustar\u{0}00");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

fn padding(size_bytes: u64) -> Vec<u8> {
    let over = (size_bytes % BLOCK_BYTES as u64) as usize;
    vec![0; (BLOCK_BYTES - over) % BLOCK_BYTES]
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::io::Read as _;

    use super::*;
    use crate::slug_image::{Layer, Slug, Stack};

    #[test]
    fn the_archive_names_the_base_layers_and_holds_only_the_slug() {
        let base = Layer { digest: Digest::of(b"base"), size_bytes: 4 };
        let stack = Stack {
            architecture: "amd64".to_owned(),
            os: "linux".to_owned(),
            env: Vec::new(),
            layers: vec![base.clone()],
        };
        let slug = Layer { digest: Digest::of(b"slug"), size_bytes: 4 };
        let image = Slug { layer: slug.clone(), process_types: BTreeMap::new(), toolchains: BTreeSet::new() };
        let image = image.image(&stack);

        let archive = slug_archive(&image, "deis-test/blog:1");

        let bytes = [&archive.before_layer[..], b"slug", &archive.after_layer[..]].concat();
        let files = files_of(&bytes);
        let names: Vec<&str> = files.keys().map(String::as_str).collect();
        let mut wanted = ["index.json", "manifest.json", "oci-layout"].map(str::to_owned).to_vec();
        wanted.extend([&image.config_digest, &image.digest, &slug.digest].map(blob_path));
        wanted.sort();
        assert_eq!(names, wanted);
        assert_eq!(files[&blob_path(&slug.digest)], b"slug");
        assert_eq!(files[&blob_path(&image.digest)], image.manifest);
        let manifest = String::from_utf8(files["manifest.json"].clone()).expect("JSON is UTF-8");
        assert!(manifest.contains(&blob_path(&base.digest)), "{manifest}");
        assert!(manifest.contains(r#""RepoTags":["deis-test/blog:1"]"#), "{manifest}");
    }

    fn files_of(archive: &[u8]) -> BTreeMap<String, Vec<u8>> {
        let mut archive = tar::Archive::new(archive);
        let entries = archive.entries().expect("the archive is readable");
        let read = |entry: std::io::Result<tar::Entry<'_, &[u8]>>| {
            let mut entry = entry.expect("the header is well formed");
            let path = entry.path().expect("a path").to_string_lossy().into_owned();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).expect("the content is complete");
            (path, content)
        };
        entries.map(read).collect()
    }
}
