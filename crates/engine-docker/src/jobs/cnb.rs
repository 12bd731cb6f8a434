//! Builds with Cloud Native Buildpacks, in phases, each a container of its own.
//!
//! Code of the builder and its buildpacks runs in the phases detect and build. What they may rely on, restore and export
//! are the platform's program, in an image of the platform and without a network. No container of a build has a
//! credential or a socket. The phases share two folders, and export alone writes the app's cache.

mod folders;
mod images;
mod phases;

use std::collections::BTreeMap;

use bytes::Bytes;
use domain::ProcessType;
use domain::build::{BuildJob, BuiltImage};
use domain::cnb::Builder;
use oci::Manifest;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::DockerHost;
use super::archive::SmallArchive;
use super::caches::{self, CacheUse};
use super::container::JobContainer;
use super::failure::{self, file_error, job_error};
use super::load::{self, BuiltLayout, LoadedLayout};
use crate::DockerEngine;
use engine::{JobError, SourceStream};
use folders::Folders;
use images::BuildImages;
use phases::Phases;

/// Folder of the app's cache in the containers of restore and export.
const CACHE: &str = "/cache";
/// Facts of the app's last image, in its cache.
const PREVIOUS: &str = "previous.json";
/// Layout of the run image in the container of export.
const RUN_IMAGE: &str = "/run-image";
/// The layout that export makes.
const OUT: &str = "/out";
const WHAT_EXPORT: &str = "export the image";

/// Runs the build; the caller bounds its time.
pub async fn build(
    engine: &DockerEngine,
    place: &DockerHost<'_>,
    job: &BuildJob,
    source: SourceStream,
    output: &mpsc::Sender<Bytes>,
) -> Result<BuiltImage, JobError> {
    if let Some(submodule) = job.submodules.first() {
        let reason = format!(
            "builds with Cloud Native Buildpacks do not fetch submodules yet; commit the files of {}, or choose another kind \
             with `deis builds:kind`",
            submodule.path
        );
        return Err(JobError::Refused { reason });
    }
    let images = images::find(engine, place, job).await?;
    let volume = place.cnb_volume(&job.app);
    caches::remove_unless_kept(place, job, &volume).await?;
    let cache = CacheUse::new(&engine.inner, &job.app, volume.clone(), &place.settings.builder_image);
    let folders = Folders::make(place, job, &images, source).await?;
    let phases = Phases { place, job, images: &images, folders: &folders, cache: &volume, output };
    let built = phases.all().await;
    if let Err(error) = folders.container.remove().await {
        tracing::warn!(app = %job.app, error = failure::message(&error), "cannot remove the build's folders");
    }
    cache.end(place, job, None).await;
    built
}

impl Phases<'_> {
    async fn all(&self) -> Result<BuiltImage, JobError> {
        let group = self.detect().await?;
        self.restore(&group).await?;
        self.build().await?;
        let facts = run_image_facts(self.place, self.images).await?;
        let container = self.export(&facts, &group).await?;
        let built = load_image(self.place, self.job, self.images, &container).await;
        container.remove().await.map_err(|error| job_error(WHAT_EXPORT, error))?;
        built
    }
}

/// Facts of the run image for the exporter, from its layout.
async fn run_image_facts(place: &DockerHost<'_>, images: &BuildImages) -> Result<Vec<u8>, JobError> {
    let (manifest, config) = images.run_layout.contents(place).await?;
    facts(&images.builder, &images.run_reference, &manifest, &config)
}

fn facts(builder: &Builder, reference: &str, manifest: &[u8], config: &[u8]) -> Result<Vec<u8>, JobError> {
    let malformed = |error: serde_json::Error| JobError::Refused {
        reason: format!("{WHAT_EXPORT}: the run image {reference} is malformed: {error}"),
    };
    let manifest: Value = serde_json::from_slice(manifest).map_err(malformed)?;
    let config: Value = serde_json::from_slice(config).map_err(malformed)?;
    let facts = json!({
        "image": builder.run_image.image,
        "mirrors": builder.run_image.mirrors,
        "reference": reference,
        "config": config,
        "layers": manifest["layers"],
    });
    Ok(facts.to_string().into_bytes())
}

/// Loads what the exporter made, and keeps its facts for the next build.
async fn load_image(
    place: &DockerHost<'_>,
    job: &BuildJob,
    images: &BuildImages,
    container: &JobContainer,
) -> Result<BuiltImage, JobError> {
    let blobs = format!("{RUN_IMAGE}/{}/blobs/sha256", images.run_layout.folder());
    let layout = BuiltLayout { container, folder: OUT, below: Some(&blobs) };
    let LoadedLayout { image, manifest, config } =
        load::load(place, job, &layout, &images.layers_there()).await?;
    let process_types = process_types(&config)?;
    keep_facts(container, &manifest, &config).await?;
    Ok(BuiltImage { process_types, ..image })
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct BuildMetadata {
    processes: Vec<Process>,
}

#[derive(Deserialize)]
struct Process {
    r#type: String,
}

/// Process types of the image, each with its own command.
fn process_types(config: &[u8]) -> Result<BTreeMap<ProcessType, String>, JobError> {
    let refused = |reason: String| JobError::Refused { reason };
    let config: Value = serde_json::from_slice(config)
        .map_err(|error| refused(format!("{WHAT_EXPORT}: the config is malformed: {error}")))?;
    let label = config["config"]["Labels"]["io.buildpacks.build.metadata"].as_str().unwrap_or("{}");
    let metadata: BuildMetadata = serde_json::from_str(label)
        .map_err(|error| refused(format!("{WHAT_EXPORT}: its list of processes is malformed: {error}")))?;
    let parse = |process: Process| {
        let parsed = ProcessType::parse(&process.r#type);
        let wrong = |error| {
            refused(format!(
                "a buildpack made the process type `{}`: {error}",
                process.r#type.escape_default()
            ))
        };
        parsed.map(|process| (process, String::new())).map_err(wrong)
    };
    metadata.processes.into_iter().map(parse).collect()
}

/// Leaves the facts of the new image in the cache, by which the next build restores and reuses layers.
async fn keep_facts(container: &JobContainer, manifest: &Manifest, config: &[u8]) -> Result<(), JobError> {
    let config: Value = serde_json::from_slice(config).unwrap_or_default();
    let content: Value = serde_json::from_slice(&manifest.bytes).unwrap_or_default();
    let facts = json!({ "config": config, "layers": content["layers"] }).to_string();
    let mut archive = SmallArchive::new();
    let written = archive.add(PREVIOUS, facts.as_bytes(), 0o644, (0, 0)).and_then(|()| archive.finish());
    let archive = written.map_err(|error| file_error(WHAT_EXPORT, &error))?;
    container.put(CACHE, archive).await.map_err(|error| job_error("keep the facts of the image", error))
}
