//! Images of a stack in the platform's registry: slug images stand on the layers of a run image, so they must be
//! there, and uncompressed, since a slug's manifest names them by what they unpack to.
//!
//! An image that lies elsewhere, or was pushed by a tool that compresses, is taken over once. So is one that is put
//! together: with the layers of several toolchains, or from an image of others and the platform's own layers.

use std::collections::{BTreeSet, HashMap};
use std::io::{self, Read as _};

use bytes::Bytes;
use domain::build::BuildJob;
use domain::image_reference::ImageReference;
use domain::registry_access::STACK_REPOSITORY;
use domain::slug_image::{Layer, MANIFEST_MEDIA_TYPE, Stack, StackConfig, part_layers};
use domain::stacks::{ImageParts, ImageUse, StackName, other_base};
use futures_util::{StreamExt as _, TryStreamExt as _};
use serde_json::json;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::io::{StreamReader, SyncIoBridge};

use super::KubernetesJobs;
use super::failure::refused;
use crate::images::engine_error;
use engine::JobError;
use engine::origin::image_manifest;
use oci::{
    Access, BlobStream, DOCUMENT_BYTES_MAX, Descriptor, Manifest, OciError, Repository, gzip_layer_type,
    media_type,
};

const CHUNK_BYTES: usize = 256 << 10;
const CHUNKS_IN_FLIGHT_MAX: usize = 4;

/// Most images that a process remembers; it finds others again.
const KNOWN_MAX: usize = 200;

/// Location of an image in the platform's registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StackImage {
    pub repository: String,
    /// Tag or digest.
    pub version: String,
}

/// Images that this process has looked at.
#[derive(Default)]
pub struct KnownImages {
    /// Those in the platform's registry, by what they are put together of.
    own: HashMap<String, StackImage>,
    /// References of the settings under which nodes pull an image as it is.
    direct: BTreeSet<String>,
}

/// Images of a build.
pub struct BuildImages {
    /// Reference of the image in which it runs, as nodes pull it.
    pub build: String,
    /// Image that its slug stands on.
    pub run: StackImage,
}

/// An image of a stack, wherever it lies.
struct Source {
    reference: String,
    /// Its repository in the platform's registry, if it is there.
    own: Option<String>,
    version: String,
    origin: Repository,
    manifest: Manifest,
    config_json: Bytes,
    config: StackConfig,
}

/// An uncompressed layer, and the place that has it, perhaps compressed.
struct PlacedLayer<'a> {
    layer: Layer,
    origin: &'a Repository,
    blob: &'a Descriptor,
}

impl KubernetesJobs {
    /// Finds the images of a build with buildpacks, and puts them together first if need be.
    pub(super) async fn build_images(&self, job: &BuildJob) -> Result<BuildImages, JobError> {
        let parts = self.stack_parts(&job.stack, &job.toolchains)?;
        let build = match self.direct_reference(&parts.0).await? {
            Some(reference) => reference,
            None => {
                let StackImage { repository, version } = self.known_image(&parts.0, ImageUse::Build).await?;
                format!("{}/{repository}:{version}", self.settings.registry.node_host)
            }
        };
        Ok(BuildImages { build, run: self.known_image(&parts.1, ImageUse::Run).await? })
    }

    /// The run image of the default stack, which Dockerfiles name as their base.
    pub(super) async fn default_stack_image(&self) -> Result<StackImage, JobError> {
        self.run_image(self.settings.stacks.default_name(), &BTreeSet::new()).await
    }

    /// The run image of a stack with these toolchains.
    pub(super) async fn run_image(
        &self,
        stack: &StackName,
        toolchains: &BTreeSet<String>,
    ) -> Result<StackImage, JobError> {
        let (_, run) = self.stack_parts(stack, toolchains)?;
        self.known_image(&run, ImageUse::Run).await
    }

    fn stack_parts(
        &self,
        name: &StackName,
        toolchains: &BTreeSet<String>,
    ) -> Result<(ImageParts, ImageParts), JobError> {
        let stack = self.settings.stacks.get(name).map_err(|error| refused(error.to_string()))?;
        stack.parts(name, toolchains).map_err(|error| refused(error.to_string()))
    }

    /// The image of a build that nodes can pull as it is.
    async fn direct_reference(&self, parts: &ImageParts) -> Result<Option<String>, JobError> {
        let ImageParts { stack: _, base, toolchains, variable } = parts;
        if variable.is_some() || toolchains.len() > 1 {
            return Ok(None);
        }
        let reference = toolchains.first().unwrap_or(base);
        // A push asks nobody about an image that an earlier one has seen: it may lie in a registry of others.
        let is_known = self.stacks.lock().await.direct.contains(reference);
        if !is_known {
            if !self.source(reference).await?.config.is_stack() {
                return Ok(None);
            }
            self.stacks.lock().await.direct.insert(reference.clone());
        }
        Ok(Some(reference.clone()))
    }

    /// Finds an image, and makes it first if need be, one caller at a time.
    async fn known_image(&self, parts: &ImageParts, used_for: ImageUse) -> Result<StackImage, JobError> {
        let key = format!("{parts:?} {used_for:?}");
        let known = self.stacks.lock().await.own.get(&key).cloned();
        if let Some(image) = known {
            let own = self.settings.registry.repository(&self.transport, &image.repository, Access::Pull);
            let is_there = own.has_manifest(&image.version).await;
            let failed = |error| JobError::Engine(engine_error("look for the stack in the registry", error));
            // A registry that lost its volume starts empty.
            if is_there.map_err(failed)? {
                return Ok(image);
            }
        }
        let mut known = self.stacks.lock().await;
        let image = self.find_image(parts, used_for).await?;
        if known.own.len() >= KNOWN_MAX {
            known.own.clear();
        }
        known.own.insert(key, image.clone());
        Ok(image)
    }

    async fn find_image(&self, parts: &ImageParts, used_for: ImageUse) -> Result<StackImage, JobError> {
        let ImageParts { stack, base, toolchains, variable } = parts;
        let base = self.source(base).await?;
        let mut sources = Vec::new();
        for toolchain in toolchains {
            sources.push(self.source(toolchain).await?);
        }
        let failed = |error| JobError::Engine(engine_error(&format!("take over the stack {stack}"), error));
        let is_ours = base.config.is_stack();
        let whole = sources.first().unwrap_or(&base);
        if variable.is_none() && is_ours && sources.len() < 2 && whole.config.is_stack() {
            let layers = whole.config.stack().map_err(|error| whole.refused(&error))?.layers;
            if let Some(repository) = whole.own.clone().filter(|_| is_plain(&whole.manifest, &layers)) {
                return Ok(StackImage { repository, version: whole.version.clone() });
            }
            let placed = whole.placed(layers)?;
            return self.take_over(&placed, whole.config_json.clone()).await.map_err(failed);
        }

        let platform = if is_ours { Vec::new() } else { self.platform_layers(used_for).await? };
        let mut placed = base.plain_layers().await?;
        for (source, layers) in &platform {
            placed.extend(source.placed(layers.iter().cloned())?);
        }
        for source in &sources {
            let above = source.config.layers_above(&base.config);
            let above = above.ok_or_else(|| source.refused(&other_base(&base.reference)))?;
            let all = source.plain_layers().await?;
            placed.extend(
                all.into_iter().filter(|it| above.iter().any(|digest| it.layer.digest.as_str() == digest)),
            );
        }
        let StackConfig { architecture, os, env, .. } = base.config.clone();
        let mut whole = Stack { architecture, os, env, layers: Vec::new() };
        if !is_ours {
            whole = whole.with_slug_environment();
        }
        let whole = whole.with_layers(placed.iter().map(|it| it.layer.clone()));
        let config = whole.with_variable(variable.as_deref()).image().config;
        self.take_over(&placed, Bytes::from(config)).await.map_err(failed)
    }

    /// Finds an image in the platform's registry, else where its reference leads.
    async fn source(&self, text: &str) -> Result<Source, JobError> {
        let reference = ImageReference::parse(text)
            .map_err(|error| refused(format!("stack image reference `{text}` is not valid: {error}")))?;
        let version = reference.digest.as_ref().map(ToString::to_string).or(reference.tag.clone());
        let version = version.unwrap_or_default();
        let failed =
            |error| JobError::Engine(engine_error(&format!("look for the stack image {text}"), error));

        let (own, origin, manifest) = match self.in_own_registry(&reference, &version).await {
            Ok(Some((own_name, own, manifest))) => (Some(own_name), own, manifest),
            Ok(None) => {
                let origin = self.stack_origin(&reference);
                let manifest = image_manifest(&origin, &version).await.map_err(failed)?;
                (None, origin, manifest)
            }
            Err(error) => return Err(failed(error)),
        };
        let config = manifest.content.config.as_ref();
        let config = config.ok_or_else(|| refused(format!("stack image {text}: it has no config")))?;
        let config_json = origin.blob(&config.digest, DOCUMENT_BYTES_MAX).await.map_err(failed)?;
        let config = StackConfig::parse(&config_json).map_err(|error| refused(format!("{text}: {error}")))?;
        if config.diff_ids.len() != manifest.content.layers.len() {
            return Err(refused(format!("{text}: its config and its manifest have different layers")));
        }
        Ok(Source { reference: text.to_owned(), own, version, origin, manifest, config_json, config })
    }

    /// The image in the platform's registry, where the platform's own images may be pushed by their tags alone.
    async fn in_own_registry(
        &self,
        reference: &ImageReference,
        version: &str,
    ) -> Result<Option<(String, Repository, Manifest)>, OciError> {
        let is_ours = reference.path.rsplit('/').next() == STACK_REPOSITORY.rsplit('/').next();
        let pushed = Some(STACK_REPOSITORY).filter(|_| is_ours);
        let Some(name) = self.settings.registry.own_repository(reference).or(pushed) else { return Ok(None) };
        let own = self.settings.registry.repository(&self.transport, name, Access::Pull);
        match image_manifest(&own, version).await {
            Ok(manifest) => Ok(Some((name.to_owned(), own, manifest))),
            Err(OciError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Layers that an image of others lacks: `slug`, and for builds the packs.
    async fn platform_layers(&self, used_for: ImageUse) -> Result<Vec<(Source, Vec<Layer>)>, JobError> {
        let mut found = Vec::new();
        for (image, part) in self.settings.stacks.platform_parts(used_for) {
            let source = self.source(image).await?;
            let label = source.config.layers_label.as_deref().unwrap_or_default();
            let layers = part_layers(label, part).map_err(|error| source.refused(&error))?;
            found.push((source, layers));
        }
        Ok(found)
    }

    fn stack_origin(&self, reference: &ImageReference) -> Repository {
        let registry = &self.settings.registry;
        if let Some(own) = registry.own_repository(reference) {
            return registry.repository(&self.transport, own, Access::Pull);
        }
        Repository::new(
            &self.transport,
            &registry.base_of(&reference.host),
            &reference.path,
            None,
            Access::Pull,
        )
    }

    /// Copies an image, its layers uncompressed.
    async fn take_over(&self, layers: &[PlacedLayer<'_>], config: Bytes) -> Result<StackImage, OciError> {
        let to = self.settings.registry.repository(&self.transport, STACK_REPOSITORY, Access::Push);
        let version = format!("stack-{}", domain::Digest::of(&config).hex());
        let taken = StackImage { repository: STACK_REPOSITORY.to_owned(), version };
        if to.has_manifest(&taken.version).await? {
            return Ok(taken);
        }
        tracing::info!(image = taken.version, "taking an image of a stack over into the registry");
        let mut descriptors: Vec<Descriptor> = Vec::new();
        for PlacedLayer { layer, origin, blob } in layers {
            if descriptors.iter().any(|known| known.digest == layer.digest) {
                continue;
            }
            if !to.has_blob(&layer.digest).await? {
                let content = plain(origin, blob).await?;
                to.push_blob(&layer.digest, layer.size_bytes, content).await?;
            }
            descriptors.push(described(layer));
        }
        let config_bytes = config.len() as u64;
        let config_digest = to.push_bytes(config).await?;
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST_MEDIA_TYPE,
            "config": Descriptor::new(media_type::CONFIG, config_digest, config_bytes),
            "layers": descriptors,
        });
        to.put_manifest(&taken.version, MANIFEST_MEDIA_TYPE, Bytes::from(manifest.to_string())).await?;
        Ok(taken)
    }
}

impl Source {
    fn refused(&self, error: &impl std::fmt::Display) -> JobError {
        refused(format!("{}: {error}", self.reference))
    }

    /// These layers of the image with the blobs that hold them.
    fn placed(&self, layers: impl IntoIterator<Item = Layer>) -> Result<Vec<PlacedLayer<'_>>, JobError> {
        let place = |layer: Layer| {
            let index = self.config.diff_ids.iter().position(|digest| digest == layer.digest.as_str());
            let blob = index.and_then(|index| self.manifest.content.layers.get(index));
            let blob = blob.ok_or_else(|| self.refused(&format!("it has no layer {}", layer.digest)))?;
            Ok(PlacedLayer { layer, origin: &self.origin, blob })
        };
        layers.into_iter().map(place).collect()
    }

    /// All layers with their sizes, which an image of others tells only with their content.
    async fn plain_layers(&self) -> Result<Vec<PlacedLayer<'_>>, JobError> {
        if let Ok(stack) = self.config.stack() {
            return self.placed(stack.layers);
        }
        let mut layers = Vec::new();
        for (digest, blob) in self.config.diff_ids.iter().zip(&self.manifest.content.layers) {
            let digest = domain::Digest::parse(digest).map_err(|error| self.refused(&error))?;
            let size_bytes = plain_bytes(&self.origin, blob).await.map_err(|error| self.refused(&error))?;
            layers.push(Layer { digest, size_bytes });
        }
        self.placed(layers)
    }
}

/// Content of a layer as it unpacks.
async fn plain(origin: &Repository, blob: &Descriptor) -> Result<BlobStream, OciError> {
    let content = origin.blob_stream(blob).await?;
    Ok(if gzip_layer_type(&blob.media_type) { unzipped(content) } else { content })
}

async fn plain_bytes(origin: &Repository, blob: &Descriptor) -> Result<u64, String> {
    if !gzip_layer_type(&blob.media_type) {
        return Ok(blob.size_bytes);
    }
    let content = plain(origin, blob).await.map_err(|error| error.to_string())?;
    content
        .try_fold(0, async |sum, chunk| Ok(sum + chunk.len() as u64))
        .await
        .map_err(|error| error.to_string())
}

/// Returns true if the manifest names the layers by their uncompressed digests.
fn is_plain(manifest: &Manifest, layers: &[Layer]) -> bool {
    let named = manifest.content.layers.iter().map(|layer| &layer.digest);
    manifest.media_type == MANIFEST_MEDIA_TYPE && named.eq(layers.iter().map(|layer| &layer.digest))
}

fn described(layer: &Layer) -> Descriptor {
    Descriptor::new(media_type::LAYER, layer.digest.clone(), layer.size_bytes)
}

/// Unpacks gzip in passing.
fn unzipped(content: BlobStream) -> BlobStream {
    let (sender, receiver) = mpsc::channel::<io::Result<Bytes>>(CHUNKS_IN_FLIGHT_MAX);
    let reader = SyncIoBridge::new(StreamReader::new(content.map_err(io::Error::other)));
    tokio::task::spawn_blocking(move || {
        let mut plain = flate2::read::MultiGzDecoder::new(reader);
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            let part = match plain.read(&mut chunk) {
                Ok(0) => return,
                Ok(count) => Ok(Bytes::copy_from_slice(&chunk[..count])),
                Err(error) => Err(error),
            };
            let is_last = part.is_err();
            if sender.blocking_send(part).is_err() || is_last {
                return;
            }
        }
    });
    ReceiverStream::new(receiver).boxed()
}
