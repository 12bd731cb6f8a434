//! Packages of an image, from the archive that Docker makes of it (`docker save`), in passing.

use std::collections::HashMap;
use std::io::{self, Read};

use bollard::Docker;
use domain::sbom::Inventory;
use domain::sbom::layers::{Layer, inventory};
use engine::ImageError;
use engine::packages::{Scan, read_blocking, unreadable, within_time};
use futures_util::TryStreamExt as _;
use tar::{Archive, EntryType};

use crate::jobs::saved::{DOCUMENT_BYTES_MAX, ENTRIES_MAX, SavedManifest, beside, malformed, path_of};

/// Lists the packages of Docker's image of this name; `shown` names it in errors.
pub async fn list(docker: &Docker, name: &str, shown: &str) -> Result<Inventory, ImageError> {
    let content = docker.export_image(name).map_err(io::Error::other);
    within_time(shown, async {
        read_blocking(content, read).await.map_err(|error| unreadable(shown, &error))
    })
    .await
}

/// Reads each layer as it comes; the archive names their order at its end.
fn read(content: impl Read) -> io::Result<Inventory> {
    let mut archive = Archive::new(content);
    let (mut scan, mut saved) = (Scan::default(), Saved::default());
    for (count, entry) in archive.entries()?.enumerate() {
        let mut entry = entry?;
        if count >= ENTRIES_MAX {
            return Err(malformed("it has too many files"));
        }
        let path = path_of(&entry.path_bytes());
        match entry.header().entry_type() {
            EntryType::Symlink => {
                let target = entry.link_name_bytes().unwrap_or_default();
                saved.links.insert(path.clone(), beside(&path, &String::from_utf8_lossy(&target)));
            }
            EntryType::Regular if path == "manifest.json" => {
                (&mut entry).take(DOCUMENT_BYTES_MAX).read_to_end(&mut saved.manifest)?;
            }
            EntryType::Regular if path.starts_with("blobs/") || path.ends_with("/layer.tar") => {
                saved.read_blob(path, entry, &mut scan)?;
            }
            _ => {}
        }
    }
    saved.inventory()
}

/// What was read of an archive.
#[derive(Default)]
struct Saved {
    manifest: Vec<u8>,
    layers: HashMap<String, Layer>,
    /// Paths of layers that the image has twice, and what they lead to.
    links: HashMap<String, String>,
}

impl Saved {
    /// Reads a layer; blobs are documents, too, which are objects of JSON.
    fn read_blob(&mut self, path: String, mut blob: impl Read, scan: &mut Scan) -> io::Result<()> {
        let mut start = [0];
        let length = blob.read(&mut start)?;
        if start != [b'{'] {
            let layer = scan.layer(start[..length].chain(blob))?;
            self.layers.insert(path, layer);
        }
        Ok(())
    }

    fn inventory(&self) -> io::Result<Inventory> {
        let images: Vec<SavedManifest> = serde_json::from_slice(&self.manifest)
            .map_err(|error| malformed(&format!("manifest.json: {error}")))?;
        let image = images.first().ok_or_else(|| malformed("manifest.json is empty"))?;
        let layers = image.layers.iter().map(|path| {
            let path = self.links.get(path).unwrap_or(path);
            self.layers.get(path).ok_or_else(|| malformed(&format!("it has no {path}")))
        });
        Ok(inventory(layers.collect::<io::Result<Vec<_>>>()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(files: &[(&str, &[u8])], links: &[(&str, &str)]) -> Vec<u8> {
        let mut archive = tar::Builder::new(Vec::new());
        for (path, content) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            archive.append_data(&mut header, path, *content).expect("memory takes it");
        }
        for (path, target) in links {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(EntryType::Symlink);
            header.set_size(0);
            archive.append_link(&mut header, path, target).expect("memory takes it");
        }
        archive.into_inner().expect("memory takes it")
    }

    fn names(content: &[u8]) -> Vec<String> {
        let inventory = read(content).expect("an image");
        inventory.packages.into_iter().map(|package| package.name).collect()
    }

    fn layers() -> (Vec<u8>, Vec<u8>) {
        let lower: &[(&str, &[u8])] = &[
            ("node_modules/a/package.json", br#"{"name":"a","version":"1"}"#),
            ("node_modules/b/package.json", br#"{"name":"b","version":"1"}"#),
        ];
        (archive(lower, &[]), archive(&[("node_modules/.wh.a", b"")], &[]))
    }

    /// Newer archives have blobs, in the order of their digests.
    #[test]
    fn layers_are_put_in_the_order_of_the_manifest() {
        let (lower, upper) = layers();
        let saved = archive(
            &[
                ("blobs/sha256/1", &upper),
                ("blobs/sha256/2", br#"{"config":{}}"#),
                ("blobs/sha256/3", &lower),
                ("index.json", b"{}"),
                (
                    "manifest.json",
                    br#"[{"Config":"blobs/sha256/2","Layers":["blobs/sha256/3","blobs/sha256/1"]}]"#,
                ),
            ],
            &[],
        );
        assert_eq!(names(&saved), ["b"]);
    }

    /// Docker 20.10 has a link for a layer that the image has twice.
    #[test]
    fn a_layer_that_comes_twice_counts_twice() {
        let (lower, upper) = layers();
        let saved = archive(
            &[
                ("x/layer.tar", &lower),
                ("y/layer.tar", &upper),
                (
                    "manifest.json",
                    br#"[{"Config":"c","Layers":["x/layer.tar","y/layer.tar","z/layer.tar"]}]"#,
                ),
            ],
            &[("z/layer.tar", "../x/layer.tar")],
        );
        assert_eq!(names(&saved), ["a", "b"]);
    }

    #[test]
    fn an_archive_without_an_image_is_an_error() {
        for content in [archive(&[("readme", b"x")], &[]), archive(&[("manifest.json", b"[]")], &[])] {
            assert!(read(&content[..]).expect_err("it has no image").to_string().contains("manifest.json"));
        }
    }
}
