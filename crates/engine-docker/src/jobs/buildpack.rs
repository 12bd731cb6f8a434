//! Buildpack builds: `slug build` in a container of the stack's build image, and the slug image from its layer.
//!
//! The container gets the source, the config as files and nothing of the platform: no socket, no
//! secret, no network but the builds' own. What it leaves in `/workspace/out` is read after its end, so
//! user code cannot change it any more.

use std::collections::BTreeMap;

use bollard::models::{ContainerCreateBody, HostConfig};
use bytes::Bytes;
use domain::build::{BuildJob, BuiltImage};
use domain::image_reference::kept_name;
use domain::slug_image::{SLUG_PORT, SLUG_USER, Slug};
use domain::submodules::SUBMODULES_FILE;
use domain::{Image, ProcessType};
use serde::Deserialize;
use tokio::sync::mpsc;

use super::archive::SmallArchive;
use super::bases::mount;
use super::caches::{self, CacheUse};
use super::container::{JobContainer, bounded};
use super::failure::{self, file_error, job_error};
use super::slug::SlugFile;
use super::stack::BuildImages;
use super::{DockerHost, forward, stack};
use crate::DockerEngine;
use engine::job::{CA_BUNDLE, CA_VARIABLES, submodule_list};
use engine::{JobError, SourceStream};

/// User and group of [`SLUG_USER`], for archives.
const SLUG_OWNER: (u64, u64) = (2000, 2000);
/// Largest `result.json`.
const RESULT_BYTES_MAX: u64 = 1 << 20;

/// Report of `slug build` about its layer.
#[derive(Debug, Deserialize)]
struct BuildResult {
    process_types: BTreeMap<ProcessType, String>,
}

/// Runs the build; the caller bounds its time.
pub async fn build(
    engine: &DockerEngine,
    place: &DockerHost<'_>,
    job: &BuildJob,
    source: SourceStream,
    output: &mpsc::Sender<Bytes>,
) -> Result<BuiltImage, JobError> {
    let BuildImages { build: build_image, run: stack } = stack::images(place, job).await?;
    let volume = prepare_cache(place, job).await?;
    let of_stack = |volume| CacheUse::new(&engine.inner, &job.app, volume, &build_image);
    let cache = volume.clone().map(of_stack);
    let container = create(place, job, &build_image, volume.clone()).await?;
    container.put("/", given_files(place, job).await?).await.map_err(|error| job_error(WHAT_FILL, error))?;
    container.put_source("/workspace/source", source, SLUG_OWNER).await?;
    let volumes: Vec<_> = volume.as_deref().into_iter().collect();
    tokio::select! {
        compiled = compile(place, &container, output) => compiled?,
        beyond = caches::beyond_bound(place, &container, &volumes, &build_image) => {
            return Err(beyond);
        }
    }

    let result = result(&container).await?;
    let folder = place.settings.state_dir.join(super::slug::FOLDER);
    let slug = SlugFile::take(&container, "/workspace/out/layer.tar", &folder, place.settings.slug_bytes_max)
        .await?;
    let BuildResult { process_types } = result;
    let made = Slug { layer: slug.layer.clone(), process_types, toolchains: job.toolchains.clone() };
    let image = made.image(&stack);
    let built = Image::Built { app: job.app.clone(), digest: image.digest.clone() };
    let name = kept_name(&place.namespace(), &job.app, &built);
    let settle = async {
        if let Some(cache) = cache {
            cache.settle(None).await;
        }
    };
    let (loaded, removed, ()) =
        tokio::join!(slug.load(place.docker, &image, &name), container.remove(), settle);
    if let Err(error) = removed {
        tracing::warn!(app = %job.app, error = failure::message(&error), "cannot remove the build's container");
    }
    loaded?;
    Ok(BuiltImage {
        image: built,
        ports: vec![SLUG_PORT],
        user: SLUG_USER.to_owned(),
        process_types: made.process_types,
    })
}

const WHAT_FILL: &str = "fill the build's container";

/// Name of the cache's volume; without a cache, the volume of earlier builds is removed.
async fn prepare_cache(place: &DockerHost<'_>, job: &BuildJob) -> Result<Option<String>, JobError> {
    let name = place.cache_volume(&job.app);
    caches::remove_unless_kept(place, job, &name).await?;
    Ok(job.cache.then_some(name))
}

async fn create(
    place: &DockerHost<'_>,
    job: &BuildJob,
    image: &str,
    cache: Option<String>,
) -> Result<JobContainer, JobError> {
    let settings = place.settings;
    let network = place.builds_network().await?;
    let labels = place.labels(&job.app, "build");
    let volume = cache.map(|volume| mount(&volume, "/workspace/cache", false, Some(labels.clone())));
    let body = ContainerCreateBody {
        image: Some(image.to_owned()),
        entrypoint: Some(vec!["/usr/bin/slug".to_owned(), "build".to_owned()]),
        cmd: Some(Vec::new()),
        user: Some(SLUG_USER.to_owned()),
        env: Some(environment(place, job)),
        labels: Some(labels),
        host_config: Some(HostConfig {
            network_mode: Some(network),
            cap_drop: Some(vec!["ALL".to_owned()]),
            mounts: volume.map(|volume| vec![volume]),
            ..bounded(settings.build_memory_bytes, settings.build_pids_max)
        }),
        ..ContainerCreateBody::default()
    };
    let name = place.job_name("slugbuild", job);
    JobContainer::create(place.docker, &name, body)
        .await
        .map_err(|error| job_error("make the build's container", error))
}

/// The platform's own variables; the app's config comes as files only.
fn environment(place: &DockerHost<'_>, job: &BuildJob) -> Vec<String> {
    let settings = place.settings;
    let mut env: BTreeMap<&str, String> =
        CA_VARIABLES.iter().map(|name| (*name, CA_BUNDLE.to_owned())).collect();
    env.extend(settings.build_env.iter().map(|(name, value)| (name.as_str(), value.clone())));
    env.insert("SOURCE_VERSION", job.sha.clone());
    env.insert("DEIS_SLUG_BYTES_MAX", settings.slug_bytes_max.to_string());
    env.into_iter().map(|(name, value)| format!("{name}={value}")).collect()
}

/// The config and the list of submodules as files that only the build's user reads, and the bundle of certificate authorities.
async fn given_files(place: &DockerHost<'_>, job: &BuildJob) -> Result<Bytes, JobError> {
    let bundle = read_bundle(place).await?;
    let mut archive = SmallArchive::new();
    let mut add = |path: &str, content: &[u8], mode, owner| {
        archive.add(path, content, mode, owner).map_err(|error| file_error(WHAT_FILL, &error))
    };
    for (name, value) in &job.env {
        check_file_name(name)?;
        add(&format!("workspace/env/{name}"), value.as_bytes(), 0o400, SLUG_OWNER)?;
    }
    if let Some(list) = submodule_list(&job.submodules) {
        add(&format!("workspace/{SUBMODULES_FILE}"), &list, 0o400, SLUG_OWNER)?;
    }
    if let Some(bundle) = bundle {
        add(CA_BUNDLE.trim_start_matches('/'), &bundle, 0o644, (0, 0))?;
    }
    archive.finish().map_err(|error| file_error(WHAT_FILL, &error))
}

/// The certificate authorities of builds, where the operator gives some.
pub async fn read_bundle(place: &DockerHost<'_>) -> Result<Option<Vec<u8>>, JobError> {
    let Some(path) = &place.settings.build_ca_bundle else { return Ok(None) };
    let bundle = tokio::fs::read(path).await.map_err(|error| JobError::Refused {
        reason: format!("cannot read the CA bundle of builds, {}: {error}", path.display()),
    })?;
    Ok(Some(bundle))
}

/// Refuses variables whose names are none of files.
pub fn check_file_name(name: &str) -> Result<(), JobError> {
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    if !name.is_empty() && name != "." && name != ".." && name.bytes().all(is_good) {
        return Ok(());
    }
    let reason = format!("config variable `{name}` cannot be given to a build; unset it or rename it");
    Err(JobError::Refused { reason })
}

/// Runs `slug build` to its end.
async fn compile(
    place: &DockerHost<'_>,
    container: &JobContainer,
    output: &mpsc::Sender<Bytes>,
) -> Result<(), JobError> {
    let stream = container.start().await.map_err(|error| job_error("start the build", error))?;
    forward(stream, output).await.map_err(|error| job_error("watch the build", error))?;
    let exit = container.exit().await.map_err(|error| job_error("wait for the build", error))?;
    match (exit.code, exit.out_of_memory) {
        (0, _) => Ok(()),
        (_, true) => Err(JobError::Refused {
            reason: format!(
                "the build needed more than its bound of {} of memory; build less in parallel, or have \
                 the platform's operator raise the bound",
                failure::size(place.settings.build_memory_bytes)
            ),
        }),
        (exit_code, false) => Err(JobError::Failed { exit_code }),
    }
}

async fn result(container: &JobContainer) -> Result<BuildResult, JobError> {
    let content = super::slug::read_small(container, "/workspace/out/result.json", RESULT_BYTES_MAX).await?;
    serde_json::from_slice(&content)
        .map_err(|error| JobError::Refused { reason: format!("the build's result cannot be read: {error}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_leave_the_folder_are_refused() {
        for good in ["A", "A_B-1.x", "..."] {
            assert!(check_file_name(good).is_ok(), "{good:?}");
        }
        for bad in ["", ".", "..", "../x", "a/b", "a b", "ä", "a\0"] {
            assert!(check_file_name(bad).is_err(), "{bad:?}");
        }
    }
}
