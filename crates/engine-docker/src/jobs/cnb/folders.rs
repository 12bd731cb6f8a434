//! Folders that the phases of one build share: nameless volumes of a container that is never started, which go with the
//! last container that has them.

use std::io;

use bollard::models::{ContainerCreateBody, HostConfig, Mount, MountType};
use bytes::Bytes;
use domain::build::BuildJob;
use domain::cnb::{LAUNCHER, analyzed};

use super::images::BuildImages;
use crate::jobs::DockerHost;
use crate::jobs::archive::SmallArchive;
use crate::jobs::container::{JobContainer, bounded};
use crate::jobs::failure::{file_error, job_error};
use crate::jobs::slug;
use engine::{JobError, SourceStream};

pub const WORKSPACE: &str = "/workspace";
pub const LAYERS: &str = "/layers";
const DESCRIPTOR: &str = "/cnb/lifecycle/lifecycle.toml";
/// Programs of others' lifecycles have a few megabytes.
const LAUNCHER_BYTES_MAX: u64 = 64 << 20;
const DESCRIPTOR_BYTES_MAX: u64 = 64 << 10;
const WHAT: &str = "fill the build's folders";

/// The folders, and the files of the builder that export needs, taken before any code ran.
pub struct Folders {
    pub container: JobContainer,
    /// Names of the volumes.
    pub volumes: Vec<String>,
    pub launcher: Vec<u8>,
    pub descriptor: Vec<u8>,
}

impl Folders {
    pub async fn make(
        place: &DockerHost<'_>,
        job: &BuildJob,
        images: &BuildImages,
        source: SourceStream,
    ) -> Result<Self, JobError> {
        let body = ContainerCreateBody {
            image: Some(images.builder_id.clone()),
            entrypoint: Some(vec!["/cnb/lifecycle/detector".to_owned()]),
            cmd: Some(Vec::new()),
            labels: Some(place.labels(&job.app, "build")),
            host_config: Some(HostConfig {
                network_mode: Some("none".to_owned()),
                mounts: Some([WORKSPACE, LAYERS].map(nameless).to_vec()),
                ..bounded(64 << 20, 16)
            }),
            ..ContainerCreateBody::default()
        };
        let name = place.job_name("cnbfolders", job);
        let container = JobContainer::create(place.docker, &name, body);
        let container = container.await.map_err(|error| job_error("make the build's folders", error))?;
        let read = async |path, bytes_max| slug::read_small(&container, path, bytes_max).await;
        let name = &images.builder_name;
        let launcher = read(LAUNCHER, LAUNCHER_BYTES_MAX).await.map_err(|_| JobError::Refused {
            reason: format!(
                "the builder {name} has no {LAUNCHER}, with which apps are started; choose one that is whole with \
                 `deis builder:set`"
            ),
        })?;
        let descriptor = read(DESCRIPTOR, DESCRIPTOR_BYTES_MAX).await.unwrap_or_default();
        let owner = (u64::from(images.builder.user), u64::from(images.builder.group));
        let files = given(images, owner).map_err(|error| file_error(WHAT, &error))?;
        container.put("/", files).await.map_err(|error| job_error(WHAT, error))?;
        container.put_source(WORKSPACE, source, owner).await?;
        let volumes = volumes(place, &container).await?;
        Ok(Self { container, volumes, launcher, descriptor })
    }
}

/// A volume that Docker names.
fn nameless(target: &str) -> Mount {
    Mount { target: Some(target.to_owned()), typ: Some(MountType::VOLUME), ..Mount::default() }
}

/// The folders themselves, owned by the user of builds, and what detection has to know of the run image.
fn given(images: &BuildImages, owner: (u64, u64)) -> io::Result<Bytes> {
    let mut archive = SmallArchive::new();
    for folder in ["workspace/", "layers/"] {
        archive.add_folder(folder, 0o755, owner)?;
    }
    let analyzed = analyzed(&images.run_reference, &images.builder.run_image, &images.run_parts);
    archive.add("layers/analyzed.toml", analyzed.as_bytes(), 0o644, owner)?;
    archive.finish()
}

async fn volumes(place: &DockerHost<'_>, container: &JobContainer) -> Result<Vec<String>, JobError> {
    let inspected = place.docker.inspect_container(container.name(), None).await;
    let mounts = inspected.map_err(|error| job_error(WHAT, error))?.mounts.unwrap_or_default();
    Ok(mounts.into_iter().filter_map(|mount| mount.name).collect())
}
