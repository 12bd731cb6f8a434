//! The image that a Dockerfile made: read from its layout in the builder, loaded into Docker's store.
//!
//! Names come from us alone, digests are checked, and layers of listed bases, which Docker has, stay behind.

use std::io;

use bytes::Bytes;
use domain::build::{BuildJob, BuiltImage};
use domain::image_reference::kept_name;
use domain::slug_archive::blob_path;
use domain::{Digest, Image};
use serde::Deserialize;
use serde_json::json;

use super::archive::{self, Sink};
use super::container::JobContainer;
use super::failure::{job_error, size};
use super::{DockerHost, saved, slug};
use crate::images::ports_and_user;
use engine::JobError;
use oci::{Descriptor, Manifest, is_index, media_type, null_as_none};

const WHAT: &str = "load the built image";
const DOCUMENT_BYTES_MAX: u64 = 4 << 20;

/// Used parts of an image's config.
#[derive(Deserialize)]
struct LoadedConfig {
    rootfs: RootFs,
}

#[derive(Deserialize)]
struct RootFs {
    #[serde(default, deserialize_with = "null_as_none")]
    diff_ids: Vec<String>,
}

/// An image in the container.
struct LoadedImage {
    manifest: Manifest,
    config: (Descriptor, Vec<u8>),
    diff_ids: Vec<String>,
}

/// A layout in a container.
pub struct BuiltLayout<'a> {
    pub container: &'a JobContainer,
    pub folder: &'a str,
    /// Folder with the layers of the image below, which the layout itself lacks.
    pub below: Option<&'a str>,
}

/// An image that Docker has now, and what it is made of.
pub struct LoadedLayout {
    pub image: BuiltImage,
    pub manifest: Manifest,
    pub config: Vec<u8>,
}

/// Loads the image and pins it.
pub async fn load(
    place: &DockerHost<'_>,
    job: &BuildJob,
    layout: &BuiltLayout<'_>,
    bases: &[Vec<String>],
) -> Result<LoadedLayout, JobError> {
    let built = read(layout.container, layout.folder).await?;
    let image = Image::Built { app: job.app.clone(), digest: built.manifest.digest.clone() };
    let name = kept_name(&place.namespace(), &job.app, &image);
    check_size(place, &built.manifest)?;
    let there = layers_there(&built.diff_ids, bases);
    let send = async |sink: &Sink| send(layout, &built, there, &name, sink).await;
    slug::load_archive(place.docker, WHAT, send).await?;
    let named = slug::name_it(place.docker, &built.manifest.digest, &built.config.0.digest, &name).await;
    named.map_err(|error| job_error(WHAT, error))?;
    let inspected = place.docker.inspect_image(&name).await.map_err(|error| job_error(WHAT, error))?;
    let (ports, user) = ports_and_user(&inspected);
    let image = BuiltImage { image, ports, user, process_types: Default::default() };
    let LoadedImage { manifest, config: (_, config), diff_ids: _ } = built;
    Ok(LoadedLayout { image, manifest, config })
}

async fn read(container: &JobContainer, layout: &str) -> Result<LoadedImage, JobError> {
    let index = slug::read_small(container, &format!("{layout}/index.json"), DOCUMENT_BYTES_MAX).await?;
    let index = Manifest::parse(Bytes::from(index), media_type::INDEX).map_err(malformed)?;
    let [descriptor] = index.content.manifests.as_slice() else {
        return Err(malformed("its index does not name one image".to_owned()));
    };
    let manifest = document(container, layout, descriptor).await?;
    let manifest = Manifest::parse(Bytes::from(manifest), &descriptor.media_type).map_err(malformed)?;
    let config = manifest.content.config.clone().filter(|_| !is_index(&manifest));
    let config = config.ok_or_else(|| malformed("it is for several platforms".to_owned()))?;
    let bytes = document(container, layout, &config).await?;
    let LoadedConfig { rootfs } =
        serde_json::from_slice(&bytes).map_err(|error| malformed(format!("its config: {error}")))?;
    if rootfs.diff_ids.len() != manifest.content.layers.len() {
        return Err(malformed("its config and its manifest have different layers".to_owned()));
    }
    Ok(LoadedImage { manifest, config: (config, bytes), diff_ids: rootfs.diff_ids })
}

/// A blob that is small enough to be read whole.
async fn document(container: &JobContainer, layout: &str, blob: &Descriptor) -> Result<Vec<u8>, JobError> {
    let bytes = slug::read_small(container, &format!("{layout}/{}", path(blob)), DOCUMENT_BYTES_MAX).await?;
    if Digest::of(&bytes) != blob.digest {
        return Err(malformed(format!("blob {} has another content", blob.digest)));
    }
    Ok(bytes)
}

fn malformed(mut reason: String) -> JobError {
    reason.insert_str(0, ": ");
    reason.insert_str(0, WHAT);
    JobError::Refused { reason }
}

fn path(blob: &Descriptor) -> String {
    blob_path(&blob.digest)
}

fn check_size(place: &DockerHost<'_>, manifest: &Manifest) -> Result<(), JobError> {
    let bound = place.settings.build_disk_bytes;
    let total: u64 = manifest.blobs().fold(0, |sum, blob| sum.saturating_add(blob.size_bytes));
    if total <= bound {
        return Ok(());
    }
    let reason = format!("the image has {} MB, a build may use {}", total.div_ceil(1 << 20), size(bound));
    Err(JobError::Refused { reason })
}

impl BuiltLayout<'_> {
    /// Path of the file with a layer.
    async fn layer(&self, layer: &Descriptor) -> io::Result<String> {
        let own = format!("{}/{}", self.folder, path(layer));
        let Some(below) = self.below else { return Ok(own) };
        let has_own = self.container.has(&own).await.map_err(io::Error::other)?;
        Ok(if has_own { own } else { format!("{below}/{}", layer.digest.hex()) })
    }
}

/// Number of the lowest layers that Docker has: those of the base that has most in common.
fn layers_there(diff_ids: &[String], bases: &[Vec<String>]) -> usize {
    let is_below = |base: &&Vec<String>| diff_ids.starts_with(base);
    bases.iter().filter(is_below).map(Vec::len).max().unwrap_or_default()
}

/// Sends an archive that both of Docker's kinds of stores take.
async fn send(
    layout: &BuiltLayout<'_>,
    built: &LoadedImage,
    there: usize,
    name: &str,
    sink: &Sink,
) -> io::Result<()> {
    let LoadedImage { manifest, config: (config, config_bytes), diff_ids: _ } = built;
    let index = manifest.archive_index(&format!("docker.io/{name}"));
    let layers: Vec<_> = manifest.content.layers.iter().map(path).collect();
    let docker = json!([{ "Config": path(config), "RepoTags": [name], "Layers": layers }]);
    saved::send_file(sink, "oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#).await?;
    saved::send_file(sink, "index.json", &index).await?;
    saved::send_file(sink, "manifest.json", docker.to_string().as_bytes()).await?;
    saved::send_file(sink, &path(config), config_bytes).await?;
    saved::send_file(sink, &blob_path(&manifest.digest), &manifest.bytes).await?;
    for (number, layer) in manifest.content.layers.iter().enumerate().skip(there) {
        // A layer that an image has twice is sent once.
        if manifest.content.layers[there..number].contains(layer) {
            continue;
        }
        let file = layout.layer(layer).await?;
        let content = layout.container.get(&file);
        saved::send_blob(sink, &path(layer), layer.size_bytes, content).await?;
    }
    archive::send_end(sink).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_layers_of_a_base_at_the_bottom_stay_behind() {
        let ids = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let bases = [ids("a b"), ids("a"), ids("x y")];

        assert_eq!(layers_there(&ids("a b c"), &bases), 2);
        assert_eq!(layers_there(&ids("a c"), &bases), 1);
        assert_eq!(layers_there(&ids("c a b"), &bases), 0);
        assert_eq!(layers_there(&ids("x"), &bases), 0);
    }
}
