//! Images of the host that the operator lists as bases of Dockerfiles, handed over as OCI layouts.
//!
//! A build reaches no store with other images. What it may have is copied once into a volume named after the
//! image's id, which builds mount read-only; volumes are shared by all platforms of the daemon, since their
//! content is.

use std::collections::{BTreeMap, HashMap};

use bollard::models::{
    ContainerCreateBody, HostConfig, Mount, MountType, MountVolumeOptions, VolumeCreateRequest,
};
use bollard::query_parameters::ListVolumesOptionsBuilder;
use domain::Digest;
use domain::image_reference::ImageReference;
use tokio::sync::Mutex;

use super::archive::Sink;
use super::container::{JobContainer, both, bounded};
use super::docker_host::remove_volume;
use super::failure::{self, job_error};
use super::saved::Documents;
use super::{DockerHost, archive, saved};
use engine::JobError;
use engine::buildkit::{Base, BasePlace};

/// Mount path in a build's container of the volume of the base with this number.
const FOLDER: &str = "/bases";
/// Names the folder of the layout and the digests of its documents; written when the layout is whole.
const CURRENT: &str = "current";
const CURRENT_BYTES_MAX: u64 = 1 << 10;
const DOCUMENT_BYTES_MAX: u64 = 4 << 20;
/// Label of the volumes of base images; its value is the image's name.
const LABEL: &str = "io.deis.base-image";
/// Digits of an image's id in the name of its volume.
const ID_LENGTH: usize = 32;

/// Layouts that this process has seen whole, by the id of the image.
pub type LayoutCache = Mutex<BTreeMap<String, Layout>>;

/// One layout in its volume.
#[derive(Debug, Clone)]
pub struct Layout {
    volume: String,
    folder: String,
    documents: Documents,
}

/// Listed images for builds.
#[derive(Debug, Default)]
pub struct Bases {
    pub contexts: Vec<Base>,
    /// By these a build's container has them.
    pub mounts: Vec<Mount>,
    /// The `diff_id`s of each image whose layers need not be sent back to Docker.
    pub layers: Vec<Vec<String>>,
}

/// The bases of a build.
pub async fn bases(place: &DockerHost<'_>, known: &LayoutCache) -> Result<Bases, JobError> {
    let mut bases = Bases::default();
    for (number, text) in place.settings.base_images.iter().enumerate() {
        let Some(LocalBase { name, layout, id, layers }) = base(place, known, text).await? else { continue };
        let target = format!("{FOLDER}/{number}");
        let folder = format!("{target}/{}", layout.folder);
        let Documents { manifest, config } = layout.documents;
        bases.contexts.push(Base { name, place: BasePlace::Layout { folder, digest: manifest } });
        bases.mounts.push(mount(&layout.volume, &target, true, None));
        // Docker's classic store calls an image by its config and finds its layers by their chain; stores of
        // containerd's kind want each blob.
        if id == config.as_str() {
            bases.layers.push(layers);
        }
    }
    Ok(bases)
}

/// A volume in a container.
pub fn mount(volume: &str, target: &str, read_only: bool, labels: Option<HashMap<String, String>>) -> Mount {
    Mount {
        target: Some(target.to_owned()),
        source: Some(volume.to_owned()),
        typ: Some(MountType::VOLUME),
        read_only: Some(read_only),
        volume_options: labels
            .map(|labels| MountVolumeOptions { labels: Some(labels), ..Default::default() }),
        ..Mount::default()
    }
}

/// A listed image that Docker has.
struct LocalBase {
    name: ImageReference,
    layout: Layout,
    id: String,
    layers: Vec<String>,
}

/// The layout of one listed image; `None`, with a log line, if Docker does not have it.
async fn base(
    place: &DockerHost<'_>,
    known: &LayoutCache,
    text: &str,
) -> Result<Option<LocalBase>, JobError> {
    let name = ImageReference::parse(text)
        .map_err(|error| JobError::Refused { reason: format!("base image `{text}`: {error}") })?;
    let image = match place.docker.inspect_image(&name.pinned_name()).await {
        Ok(image) => image,
        Err(error) if failure::status(&error) == Some(404) => {
            tracing::warn!(image = text, "Docker does not have this base image");
            return Ok(None);
        }
        Err(error) => return Err(job_error("look for a base image", error)),
    };
    let id = image.id.unwrap_or_default();
    let layers = image.root_fs.and_then(|files| files.layers).unwrap_or_default();
    let layout = layout(place, known, &name.pinned_name(), &id).await?;
    Ok(Some(LocalBase { name, layout, id, layers }))
}

/// The layout of the image `id`, which has this name.
pub async fn layout(
    place: &DockerHost<'_>,
    known: &LayoutCache,
    name: &str,
    id: &str,
) -> Result<Layout, JobError> {
    // One build lays an image out, the others wait for it.
    let mut known = known.lock().await;
    if let Some(layout) = known.get(id)
        && place.docker.inspect_volume(&layout.volume).await.is_ok()
    {
        return Ok(layout.clone());
    }
    let layout = lay_out(place, name, id).await?;
    known.insert(id.to_owned(), layout.clone());
    Ok(layout)
}

impl Layout {
    pub fn documents(&self) -> &Documents {
        &self.documents
    }

    pub fn volume(&self) -> &str {
        &self.volume
    }

    /// Folder of the layout in its volume.
    pub fn folder(&self) -> &str {
        &self.folder
    }

    /// Its manifest and its config.
    pub async fn contents(&self, place: &DockerHost<'_>) -> Result<(Vec<u8>, Vec<u8>), JobError> {
        let container = holder(place, &self.volume).await?;
        let read = async |digest: &Digest| {
            let path = format!("{FOLDER}/{}/blobs/sha256/{}", self.folder, digest.hex());
            super::slug::read_small(&container, &path, DOCUMENT_BYTES_MAX).await
        };
        let (manifest, config) = (read(&self.documents.manifest).await, read(&self.documents.config).await);
        container.remove().await.map_err(|error| job_error("read the layout of an image", error))?;
        Ok((manifest?, config?))
    }
}

/// Finds the layout in its volume or makes it.
async fn lay_out(place: &DockerHost<'_>, name: &str, id: &str) -> Result<Layout, JobError> {
    let what = "lay out a base image";
    let hex: String = id.rsplit(':').next().unwrap_or(id).chars().take(ID_LENGTH).collect();
    let volume = format!("deis-base-{hex}");
    let labels = HashMap::from([(LABEL.to_owned(), name.to_owned())]);
    let request = VolumeCreateRequest {
        name: Some(volume.clone()),
        labels: Some(labels),
        ..VolumeCreateRequest::default()
    };
    place.docker.create_volume(request).await.map_err(|error| job_error(what, error))?;
    let container = holder(place, &volume).await?;
    let layout = match current(&container, &volume).await {
        Some(layout) => layout,
        None => {
            fill(place, id, &container).await?;
            forget_older(place, name, &volume).await;
            current(&container, &volume).await.ok_or_else(|| JobError::Refused {
                reason: format!("{what}: the volume {volume} does not keep what is written to it"),
            })?
        }
    };
    container.remove().await.map_err(|error| job_error(what, error))?;
    Ok(layout)
}

/// A container that is never started: files go into volumes by way of one.
async fn holder(place: &DockerHost<'_>, volume: &str) -> Result<JobContainer, JobError> {
    let body = ContainerCreateBody {
        image: Some(place.settings.builder_image.clone()),
        cmd: Some(vec!["true".to_owned()]),
        labels: Some(place.job_labels("base")),
        host_config: Some(HostConfig {
            network_mode: Some("none".to_owned()),
            mounts: Some(vec![mount(volume, FOLDER, false, None)]),
            ..bounded(64 << 20, 16)
        }),
        ..ContainerCreateBody::default()
    };
    let name = format!("{}--base-{:016x}", place.namespace(), rand::random::<u64>());
    JobContainer::create(place.docker, &name, body)
        .await
        .map_err(|error| super::builder::image_error(place, error))
}

/// Content of the volume, if it is whole.
async fn current(container: &JobContainer, volume: &str) -> Option<Layout> {
    let path = format!("{FOLDER}/{CURRENT}");
    let text = super::slug::read_small(container, &path, CURRENT_BYTES_MAX).await.ok()?;
    let text = String::from_utf8(text).ok()?;
    let mut words = text.split_whitespace();
    let folder = words.next()?.to_owned();
    let mut digest = || Digest::parse(words.next()?).ok();
    let documents = Documents { manifest: digest()?, config: digest()? };
    Some(Layout { volume: volume.to_owned(), folder, documents })
}

/// Copies the image out of Docker's store, into a folder that nobody else writes to.
async fn fill(place: &DockerHost<'_>, id: &str, container: &JobContainer) -> Result<(), JobError> {
    let what = "lay out a base image";
    let folder = format!("{:016x}", rand::random::<u64>());
    let exported = archive::reader(Box::pin(place.docker.export_image(id)));
    let (send, body) = Sink::body(async move |sink| {
        let Documents { manifest, config } = saved::send_layout(exported, sink, &folder).await?;
        let current = format!("{folder} {manifest} {config}\n");
        saved::send_file(sink, CURRENT, current.as_bytes()).await?;
        archive::send_end(sink).await
    });
    let (taken, sent) = tokio::join!(container.put_stream(FOLDER, body), send);
    both(what, taken, sent)
}

/// Removes layouts of what had this name before; those that a build still reads stay for now.
async fn forget_older(place: &DockerHost<'_>, name: &str, volume: &str) {
    let filters = HashMap::from([("label", vec![format!("{LABEL}={name}")])]);
    let options = ListVolumesOptionsBuilder::default().filters(&filters).build();
    let Ok(listed) = place.docker.list_volumes(Some(options)).await else { return };
    for old in listed.volumes.into_iter().flatten().filter(|old| old.name != volume) {
        if let Err(error) = remove_volume(place.docker, &old.name).await {
            tracing::debug!(volume = old.name, error = failure::message(&error), "a base image is in use");
        }
    }
}
