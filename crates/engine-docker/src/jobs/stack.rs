//! Images of a stack for a build and for the app that it makes.
//!
//! Most are there under a name. One with several toolchains, or on an image of others, is put together from layers of
//! images that Docker has, once, and kept under the hash of what it is made of.

use std::collections::{BTreeSet, HashMap};
use std::io;

use bollard::models::ImageInspect;
use bytes::Bytes;
use domain::Digest;
use domain::build::BuildJob;
use domain::slug_archive::{blob_path, documents};
use domain::slug_image::{Layer, STACK_LAYERS_LABEL, SlugImage, Stack, StackConfig, part_layers};
use domain::stacks::{ImageParts, ImageUse, StackName, other_base};
use serde_json::json;
use tokio::fs::File;
use tokio::io::AsyncSeekExt as _;

use super::archive::{self, Entries, Sink};
use super::failure::{self, file_error, job_error};
use super::slug::{self, FOLDER, TemporaryFile, name_it};
use super::{DockerHost, saved};
use engine::JobError;

const WHAT: &str = "put the stack's image together";
/// Most files of an image as Docker saves it: two or three a layer.
const ENTRIES_MAX: usize = 2_000;
/// Images that were put together are called `deis/composed-<hash of names>:<hash of layers>`.
const COMPOSED: &str = "deis/composed";
const HASH_LENGTH: usize = 16;

/// Images of a build, by a name that Docker has.
pub struct BuildImages {
    /// Name of the image in which the build runs.
    pub build: String,
    /// Image that its slug stands on.
    pub run: Stack,
}

/// Finds the images of a build or puts them together.
pub async fn images(place: &DockerHost<'_>, job: &BuildJob) -> Result<BuildImages, JobError> {
    let (build, run) = parts(place, &job.stack, &job.toolchains)?;
    let (build, _) = image(place, &build, ImageUse::Build).await?;
    let (_, run) = image(place, &run, ImageUse::Run).await?;
    Ok(BuildImages { build, run })
}

/// Finds the image that a slug stands on, or puts it together.
pub async fn run_image(
    place: &DockerHost<'_>,
    stack: &StackName,
    toolchains: &BTreeSet<String>,
) -> Result<Stack, JobError> {
    let (_, run) = parts(place, stack, toolchains)?;
    Ok(image(place, &run, ImageUse::Run).await?.1)
}

fn parts(
    place: &DockerHost<'_>,
    name: &StackName,
    toolchains: &BTreeSet<String>,
) -> Result<(ImageParts, ImageParts), JobError> {
    let refused = |reason: String| JobError::Refused { reason };
    let stack = place.settings.stacks.get(name).map_err(|error| refused(error.to_string()))?;
    stack.parts(name, toolchains).map_err(|error| refused(error.to_string()))
}

/// An image that Docker has.
struct LocalImage {
    name: String,
    id: String,
    config: StackConfig,
}

fn refused(image: &str, error: &impl std::fmt::Display) -> JobError {
    JobError::Refused { reason: format!("{image}: {error}") }
}

async fn image(
    place: &DockerHost<'_>,
    parts: &ImageParts,
    used_for: ImageUse,
) -> Result<(String, Stack), JobError> {
    let ImageParts { stack: _, base, toolchains, variable } = parts;
    let base = find(place, parts, base).await?;
    let mut found = Vec::new();
    for toolchain in toolchains {
        found.push(find(place, parts, toolchain).await?);
    }
    if variable.is_none() && base.config.is_stack() {
        let whole = match &found[..] {
            [] => Some(&base),
            [one] if one.config.is_stack() && one.config.diff_ids.starts_with(&base.config.diff_ids) => {
                Some(one)
            }
            _ => None,
        };
        if let Some(whole) = whole {
            let stack = whole.config.stack().map_err(|error| refused(&whole.name, &error))?;
            return Ok((whole.name.clone(), stack));
        }
    }
    composed(place, parts, &base, &found, used_for).await
}

/// Reads an image of the stack from Docker.
async fn find(place: &DockerHost<'_>, parts: &ImageParts, name: &str) -> Result<LocalImage, JobError> {
    let ImageInspect { id, config, root_fs, architecture, os, .. } =
        place.docker.inspect_image(name).await.map_err(|error| {
            if failure::status(&error) != Some(404) {
                return job_error("look for the stack's image", error);
            }
            let stack = &parts.stack;
            JobError::Refused {
                reason: format!(
                    "Docker has no image {name} of the stack {stack}; the operator can make those of the platform's own \
                     stacks with `cargo xtask stack --stack {stack} --toolchain all`, or `docker pull` those of others"
                ),
            }
        })?;
    let config = config.unwrap_or_default();
    let config = StackConfig {
        architecture: architecture.unwrap_or_default(),
        os: os.unwrap_or_default(),
        layers_label: config.labels.unwrap_or_default().remove(STACK_LAYERS_LABEL),
        env: config.env.unwrap_or_default(),
        diff_ids: root_fs.and_then(|files| files.layers).unwrap_or_default(),
    };
    Ok(LocalImage { name: name.to_owned(), id: id.unwrap_or_default(), config })
}

/// A layer that comes on top of the base, and the image that has it.
struct AddedLayer {
    digest: String,
    image: String,
}

/// Finds or makes the image with the layers of all.
async fn composed(
    place: &DockerHost<'_>,
    parts: &ImageParts,
    base: &LocalImage,
    toolchains: &[LocalImage],
    used_for: ImageUse,
) -> Result<(String, Stack), JobError> {
    let mut added = Vec::new();
    if !base.config.is_stack() {
        added.extend(platform_layers(place, parts, used_for).await?);
    }
    for toolchain in toolchains {
        added.extend(toolchain_layers(base, toolchain)?);
    }
    let names: Vec<_> = [&base.name].into_iter().chain(toolchains.iter().map(|it| &it.name)).collect();
    let digests: Vec<_> = added.iter().map(|layer| &layer.digest).collect();
    let repository = format!("{COMPOSED}-{}", hash(&json!([names, used_for == ImageUse::Run])));
    let name = format!("{repository}:{}", hash(&json!([base.id, digests, parts.variable])));
    if let Ok(found) = find(place, parts, &name).await {
        let stack = found.config.stack().map_err(|error| refused(&name, &error))?;
        return Ok((name, stack));
    }
    tracing::info!(stack = %parts.stack, image = name, "putting an image of the stack together");
    let stack = make(place, parts, base, &added, &name).await?;
    forget_older(place, &repository, &name).await;
    Ok((name, stack))
}

fn hash(value: &serde_json::Value) -> String {
    Digest::of(value.to_string().as_bytes()).hex().chars().take(HASH_LENGTH).collect()
}

/// Layers that an image of others lacks: `slug`, and for builds the packs.
async fn platform_layers(
    place: &DockerHost<'_>,
    parts: &ImageParts,
    used_for: ImageUse,
) -> Result<Vec<AddedLayer>, JobError> {
    let mut added = Vec::new();
    for (image, part) in place.settings.stacks.platform_parts(used_for) {
        let found = find(place, parts, image).await?;
        let label = found.config.layers_label.unwrap_or_default();
        let layers = part_layers(&label, part).map_err(|error| refused(image, &error))?;
        let layer = |layer: Layer| AddedLayer { digest: layer.digest.to_string(), image: image.to_owned() };
        added.extend(layers.into_iter().map(layer));
    }
    Ok(added)
}

/// Layers that a toolchain adds to the base.
fn toolchain_layers(base: &LocalImage, toolchain: &LocalImage) -> Result<Vec<AddedLayer>, JobError> {
    let name = &toolchain.name;
    let digests = toolchain.config.layers_above(&base.config);
    let digests = digests.ok_or_else(|| refused(name, &other_base(&base.name)))?;
    Ok(digests.into_iter().map(|digest| AddedLayer { digest, image: name.clone() }).collect())
}

async fn make(
    place: &DockerHost<'_>,
    parts: &ImageParts,
    base: &LocalImage,
    added: &[AddedLayer],
    name: &str,
) -> Result<Stack, JobError> {
    let mut contents = LayerContents::default();
    let lower = match base.config.stack() {
        Ok(stack) => stack,
        Err(_) => {
            // Docker tells sizes of layers only with their content.
            contents.read(place, &base.name, &[]).await?;
            let layer = |digest: &String| contents.layer(&base.name, digest);
            let StackConfig { architecture, os, env, diff_ids, .. } = base.config.clone();
            let layers = diff_ids.iter().map(layer).collect::<Result<Vec<_>, _>>()?;
            Stack { architecture, os, env, layers }.with_slug_environment()
        }
    };
    let mut images: Vec<_> = added.iter().map(|layer| layer.image.as_str()).collect();
    images.dedup();
    for image in images {
        let wanted = added.iter().filter(|layer| layer.image == image).map(|layer| layer.digest.as_str());
        contents.read(place, image, &wanted.collect::<Vec<_>>()).await?;
    }
    let layers = added.iter().map(|layer| contents.layer(&layer.image, &layer.digest));
    let layers = layers.collect::<Result<Vec<_>, _>>()?;
    let there = lower.layers.len();
    let stack = lower.with_layers(layers).with_variable(parts.variable.as_deref());
    load(place, &stack.image(), there, &contents, name).await?;
    Ok(stack)
}

/// Layers that were read from images.
#[derive(Default)]
pub struct LayerContents {
    sizes: HashMap<String, u64>,
    files: HashMap<String, TemporaryFile>,
}

impl LayerContents {
    /// Reads an image as Docker saves it; keeps the wanted layers in files of ours.
    pub async fn read(
        &mut self,
        place: &DockerHost<'_>,
        image: &str,
        wanted: &[&str],
    ) -> Result<(), JobError> {
        let failed = |error: io::Error| file_error(WHAT, &error);
        let folder = place.settings.state_dir.join(FOLDER);
        let exported = archive::reader(Box::pin(place.docker.export_image(image)));
        let mut entries = Entries::new(exported);
        let (mut file, mut writer) = TemporaryFile::create(&folder).await.map_err(failed)?;
        let mut count = 0;
        while let Some(header) = entries.next().await.map_err(failed)? {
            count += 1;
            if count > ENTRIES_MAX {
                return Err(refused(image, &"it has too many files"));
            }
            let size_bytes = header.entry_size().map_err(failed)?;
            let writer_of_content = Some(&mut writer).filter(|_| !wanted.is_empty());
            let digest = entries.hashed(size_bytes, writer_of_content).await.map_err(failed)?.to_string();
            if wanted.contains(&digest.as_str()) {
                let next = TemporaryFile::create(&folder).await.map_err(failed)?;
                let kept = std::mem::replace(&mut file, next.0);
                writer = next.1;
                self.files.insert(digest.clone(), kept);
            } else {
                writer.set_len(0).await.map_err(failed)?;
                writer.rewind().await.map_err(failed)?;
            }
            self.sizes.insert(digest, size_bytes);
        }
        entries.drain().await.map_err(failed)
    }

    pub fn layer(&self, image: &str, digest: &str) -> Result<Layer, JobError> {
        let compressed = "Docker keeps its layers compressed, as its containerd image store does; use Docker's overlay2 store";
        let size_bytes = *self.sizes.get(digest).ok_or_else(|| refused(image, &compressed))?;
        let digest = Digest::parse(digest).map_err(|error| refused(image, &error))?;
        Ok(Layer { digest, size_bytes })
    }
}

/// Loads the image; its lowest layers are in Docker already.
pub async fn load(
    place: &DockerHost<'_>,
    image: &SlugImage,
    there: usize,
    contents: &LayerContents,
    name: &str,
) -> Result<(), JobError> {
    let send = async |sink: &Sink| send(image, there, contents, name, sink).await;
    slug::load_archive(place.docker, WHAT, send).await?;
    let named = name_it(place.docker, &image.digest, &image.config_digest, name).await;
    named.map_err(|error| job_error(WHAT, error))
}

async fn send(
    image: &SlugImage,
    there: usize,
    contents: &LayerContents,
    name: &str,
    sink: &Sink,
) -> io::Result<()> {
    sink.send(Bytes::from(documents(image, name))).await?;
    for layer in &image.layers[there..] {
        let file = contents.files.get(layer.digest.as_str());
        let file = file.ok_or_else(|| io::Error::other(format!("layer {} was not read", layer.digest)))?;
        let content = File::open(file.path()).await?;
        saved::send_content(sink, &blob_path(&layer.digest), layer.size_bytes, content).await?;
    }
    archive::send_end(sink).await
}

/// Takes their names from what was made of the same images before; slugs that stand on it keep its layers.
async fn forget_older(place: &DockerHost<'_>, repository: &str, newest: &str) {
    let named = match super::named_images(place.docker, repository).await {
        Ok(named) => named,
        Err(error) => {
            tracing::warn!(repository, error = failure::message(&error), "cannot list images of stacks");
            return;
        }
    };
    for (name, _) in named.into_iter().filter(|(name, _)| name != newest) {
        if let Err(error) = super::remove_image(place.docker, &name).await {
            tracing::debug!(image = name, error = failure::message(&error), "an image of a stack is in use");
        }
    }
}
