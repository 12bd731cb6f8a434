//! Docker daemon of jobs, and the names of this platform's objects in it.

use std::collections::HashMap;
use std::path::Path;

use bollard::Docker;
use bollard::errors::Error;
use bollard::models::NetworkCreateRequest;
use bollard::query_parameters::{
    ListContainersOptionsBuilder, ListImagesOptionsBuilder, RemoveImageOptionsBuilder,
    RemoveVolumeOptionsBuilder,
};
use domain::AppName;
use domain::build::BuildJob;

use super::failure::{job_error, status};
use crate::DockerSettings;
use crate::names::{self, APP_LABEL, INSTANCE_LABEL};
use engine::JobError;

/// Kind of the job that a container runs; no other container has this label.
const JOB_LABEL: &str = "io.deis.job";
/// Docker's bound of a name is 128 characters; a host name has 63.
const APP_IN_NAME_LENGTH_MAX: usize = 30;

/// A daemon and the settings of the platform that uses it.
#[derive(Clone, Copy)]
pub struct DockerHost<'a> {
    pub docker: &'a Docker,
    pub settings: &'a DockerSettings,
}

impl DockerHost<'_> {
    /// First part of the names of all images, networks and volumes of this platform.
    pub fn namespace(&self) -> String {
        names::namespace(&self.settings.instance)
    }

    /// Volume of the cache that an app's packs keep between builds.
    pub fn cache_volume(&self, app: &AppName) -> String {
        format!("{}-cache-{app}", self.namespace())
    }

    /// Volume of the layers that an app's Dockerfile builds keep between them.
    pub fn layers_volume(&self, app: &AppName) -> String {
        format!("{}-layers-{app}", self.namespace())
    }

    /// Volume of the layers that an app's Cloud Native Buildpacks keep between builds.
    pub fn cnb_volume(&self, app: &AppName) -> String {
        format!("{}-cnb-{app}", self.namespace())
    }

    /// A name for a build's container that is never used again.
    pub fn job_name(&self, kind: &str, job: &BuildJob) -> String {
        let app: String = job.app.as_str().chars().take(APP_IN_NAME_LENGTH_MAX).collect();
        format!("{}-{kind}-{app}-{}-{:08x}", self.namespace(), job.sha, rand::random::<u32>())
    }

    pub fn labels(&self, app: &AppName, job: &str) -> HashMap<String, String> {
        let labels =
            [(INSTANCE_LABEL, self.settings.instance.as_str()), (APP_LABEL, app.as_str()), (JOB_LABEL, job)];
        labels.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    /// Labels of a job that is no app's.
    pub fn job_labels(&self, job: &str) -> HashMap<String, String> {
        let labels = [(INSTANCE_LABEL, self.settings.instance.as_str()), (JOB_LABEL, job)];
        labels.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    fn builds_network_name(&self) -> String {
        // No app's network has this name: no app's name begins with a hyphen.
        format!("{}--builds", self.namespace())
    }

    /// Removes the network of builds; a missing one is no error.
    pub async fn remove_builds_network(&self) -> Result<(), Error> {
        match self.docker.remove_network(&self.builds_network_name()).await {
            Err(error) if status(&error) != Some(404) => Err(error),
            _ => Ok(()),
        }
    }

    /// The network of builds, created if missing: with access to the Internet, but not to apps or other builds.
    pub async fn builds_network(&self) -> Result<String, JobError> {
        let name = self.builds_network_name();
        if self.docker.inspect_network(&name, None).await.is_ok() {
            return Ok(name);
        }
        let no_neighbours = ("com.docker.network.bridge.enable_icc".to_owned(), "false".to_owned());
        let request = NetworkCreateRequest {
            name: name.clone(),
            driver: Some("bridge".to_owned()),
            options: Some(HashMap::from([
                no_neighbours,
                (names::BRIDGE_OPTION.to_owned(), names::bridge(&self.settings.instance, &name)),
            ])),
            labels: Some(HashMap::from([(INSTANCE_LABEL.to_owned(), self.settings.instance.clone())])),
            ..NetworkCreateRequest::default()
        };
        match self.docker.create_network(request).await {
            // 409: another build made it in the meantime.
            Err(error) if status(&error) != Some(409) => Err(job_error("make the network of builds", error)),
            _ => Ok(name),
        }
    }

    /// Removes what jobs of an earlier process left.
    pub async fn remove_orphans(&self) -> Result<(), Error> {
        self.remove_jobs(None).await?;
        remove_files(&self.settings.state_dir.join(super::slug::FOLDER)).await;
        Ok(())
    }

    /// Removes the app's jobs, its caches and every image that has a name of the platform's for it.
    pub async fn remove_app(&self, app: &AppName) -> Result<(), Error> {
        self.remove_jobs(Some(app)).await?;
        remove_volume(self.docker, &self.cache_volume(app)).await?;
        remove_volume(self.docker, &self.layers_volume(app)).await?;
        remove_volume(self.docker, &self.cnb_volume(app)).await?;
        let repository = format!("{}/{app}", self.namespace());
        for (name, _) in named_images(self.docker, &repository).await? {
            remove_image(self.docker, &name).await?;
        }
        Ok(())
    }

    /// Removes the containers of jobs: those of one app, or all.
    async fn remove_jobs(&self, app: Option<&AppName>) -> Result<(), Error> {
        let mut labels = vec![format!("{INSTANCE_LABEL}={}", self.settings.instance), JOB_LABEL.to_owned()];
        labels.extend(app.map(|app| format!("{APP_LABEL}={app}")));
        let filters = HashMap::from([("label", labels)]);
        let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        for container in self.docker.list_containers(Some(options)).await? {
            let id = container.id.unwrap_or_default();
            super::container::remove(self.docker, &id).await?;
            tracing::info!(container = id, "removed the container of a job that was cut off");
        }
        Ok(())
    }
}

/// Removes a volume; a missing one is no error.
pub async fn remove_volume(docker: &Docker, name: &str) -> Result<(), Error> {
    let options = RemoveVolumeOptionsBuilder::default().force(true).build();
    match docker.remove_volume(name, Some(options)).await {
        Err(error) if status(&error) != Some(404) => Err(error),
        _ => Ok(()),
    }
}

/// Names in a repository and the ids behind them.
pub async fn named_images(docker: &Docker, repository: &str) -> Result<Vec<(String, String)>, Error> {
    let filters = HashMap::from([("reference", vec![repository.to_owned()])]);
    let options = ListImagesOptionsBuilder::default().filters(&filters).build();
    let prefix = format!("{repository}:");
    let images = docker.list_images(Some(options)).await?.into_iter();
    // An image of several names is listed with those outside the repository too.
    let named = images.flat_map(|image| {
        let id = image.id;
        image.repo_tags.into_iter().map(move |name| (name, id.clone()))
    });
    Ok(named.filter(|(name, _)| name.starts_with(&prefix)).collect())
}

/// Takes a name of an image away; the image goes with its last one. A missing one is no error.
pub async fn remove_image(docker: &Docker, name: &str) -> Result<(), Error> {
    match docker.remove_image(name, Some(RemoveImageOptionsBuilder::default().build()), None).await {
        Err(error) if status(&error) != Some(404) => Err(error),
        _ => Ok(()),
    }
}

async fn remove_files(folder: &Path) {
    match tokio::fs::remove_dir_all(folder).await {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            tracing::warn!(folder = %folder.display(), %error, "cannot remove unfinished slugs");
        }
        _ => {}
    }
}
