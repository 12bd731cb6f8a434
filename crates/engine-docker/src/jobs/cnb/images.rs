//! Images of a build: the builder, and the run image on which the app stands.

use domain::Image;
use domain::build::BuildJob;
use domain::cnb::{Builder, ImageParts, LAUNCHER};
use engine::{ImageError, JobError};

use crate::DockerEngine;
use crate::jobs::DockerHost;
use crate::jobs::bases::{self, Layout};
use crate::jobs::failure::job_error;

/// Images of a build, both in Docker.
pub struct BuildImages {
    /// Name of the builder as it was chosen.
    pub builder_name: String,
    /// Docker's id of the builder.
    pub builder_id: String,
    pub builder: Builder,
    pub run_reference: String,
    pub run_parts: ImageParts,
    pub run_layout: Layout,
    run_id: String,
    run_layers: Vec<String>,
}

impl BuildImages {
    /// Layers that need not be sent to Docker: those of the run image, where its store calls an image by its config.
    pub fn layers_there(&self) -> Vec<Vec<String>> {
        let is_known = self.run_id == self.run_layout.documents().config.as_str();
        if is_known { vec![self.run_layers.clone()] } else { Vec::new() }
    }
}

/// Finds both images, pulling those that are not here, and reads what the builder says.
pub async fn find(
    engine: &DockerEngine,
    place: &DockerHost<'_>,
    job: &BuildJob,
) -> Result<BuildImages, JobError> {
    let name = &job.cnb.builder;
    let found = local(engine, place, job, name).await?;
    let found = found.map_err(|error| refused(format!("the builder {name} cannot be had: {error}")))?;
    let host =
        place.docker.version().await.map_err(|error| job_error("ask Docker for its platform", error))?;
    let builder = Builder::read(name, &found.parts, &host.arch.unwrap_or_default());
    let builder = builder.map_err(|error| refused(error.to_string()))?;
    let mut last = None;
    for run_name in builder.run_image.names(name) {
        match local(engine, place, job, run_name).await? {
            Ok(run) => {
                let label = run_name.to_owned();
                let layout = bases::layout(place, &engine.inner.bases, &label, &run.id).await?;
                return Ok(BuildImages {
                    builder_name: name.clone(),
                    builder_id: found.id,
                    run_reference: format!("{run_name}@{}", run.image.digest()),
                    run_parts: run.parts,
                    run_layout: layout,
                    run_id: run.id,
                    run_layers: run.layers,
                    builder,
                });
            }
            Err(error) => last = Some(error.to_string()),
        }
    }
    let reason = last.unwrap_or_else(|| format!("it has no {LAUNCHER}"));
    Err(refused(format!("the run image of the builder {name} cannot be had: {reason}")))
}

fn refused(reason: String) -> JobError {
    JobError::Refused { reason }
}

/// An image that Docker has.
struct LocalImage {
    image: Image,
    id: String,
    parts: ImageParts,
    layers: Vec<String>,
}

/// Finds an image that this app may use; the inner error is about the image.
async fn local(
    engine: &DockerEngine,
    place: &DockerHost<'_>,
    job: &BuildJob,
    name: &str,
) -> Result<Result<LocalImage, ImageError>, JobError> {
    let (image, id) = match engine.usable(&job.app, name).await {
        Ok(found) => found,
        Err(ImageError::Engine(error @ engine::EngineError::Unreachable { .. })) => return Err(error.into()),
        Err(error) => return Ok(Err(error)),
    };
    let inspected =
        place.docker.inspect_image(&id).await.map_err(|error| job_error("look for the image", error))?;
    let config = inspected.config.unwrap_or_default();
    let parts = ImageParts {
        architecture: inspected.architecture.unwrap_or_default(),
        os: inspected.os.unwrap_or_default(),
        env: config.env.unwrap_or_default(),
        labels: config.labels.unwrap_or_default().into_iter().collect(),
    };
    let layers = inspected.root_fs.and_then(|files| files.layers).unwrap_or_default();
    Ok(Ok(LocalImage { image, id, parts, layers }))
}
