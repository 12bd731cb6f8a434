//! The phases of a build: detect and build in the builder image, restore and export in the platform's own.

use std::collections::BTreeMap;

use bollard::models::{ContainerCreateBody, HostConfig};
use bytes::Bytes;
use domain::build::BuildJob;
use tokio::sync::mpsc;

use super::folders::{Folders, LAYERS, WORKSPACE};
use super::images::BuildImages;
use super::{CACHE, OUT, PREVIOUS, RUN_IMAGE};
use crate::jobs::archive::SmallArchive;
use crate::jobs::bases::mount;
use crate::jobs::buildpack::{check_file_name, read_bundle};
use crate::jobs::container::{JobContainer, bounded};
use crate::jobs::failure::{self, file_error, job_error};
use crate::jobs::{DockerHost, builder, caches, forward, slug};
use engine::JobError;
use engine::job::{CA_BUNDLE, CA_VARIABLES};

const LIFECYCLE: &str = "/usr/local/bin/lifecycle";
/// The choice of buildpacks that the source makes.
const ORDER: &str = "/given/order.toml";
const GROUP: &str = "/layers/group.toml";
const GROUP_GIVEN: &str = "given/group.toml";
const GROUP_BYTES_MAX: u64 = 1 << 20;
const WHAT_FILL: &str = "fill the build's container";
/// Exit codes of detection without a group that fits (Platform API).
const NO_GROUP: [i64; 2] = [20, 21];
/// Exit codes of a buildpack that failed in the phase build.
const BUILD_FAILED: [i64; 2] = [51, 52];
/// By these the platform's program reads files of the build's user and gives it others.
const CAPABILITIES: [&str; 3] = ["CHOWN", "DAC_OVERRIDE", "FOWNER"];
/// Most files and links of an image's new layers.
const ENTRIES_MAX: u64 = 1_000_000;

/// One build under way.
pub struct Phases<'a> {
    pub place: &'a DockerHost<'a>,
    pub job: &'a BuildJob,
    pub images: &'a BuildImages,
    pub folders: &'a Folders,
    /// Volume of the app's cache.
    pub cache: &'a str,
    pub output: &'a mpsc::Sender<Bytes>,
}

/// Uses of the app's cache by the platform's program.
#[derive(Clone, Copy, PartialEq, Eq)]
enum CacheAccess {
    Read,
    Write,
}

impl Phases<'_> {
    /// The builder's own detection; gives back its `group.toml`, which no later phase can rewrite.
    pub async fn detect(&self) -> Result<Vec<u8>, JobError> {
        let container = self.user_phase("detector").await?;
        let exit = self.run(&container).await?;
        remove(container).await?;
        let builder = &self.images.builder_name;
        match exit {
            0 => slug::read_small(&self.folders.container, GROUP, GROUP_BYTES_MAX).await,
            code if NO_GROUP.contains(&code) => Err(refused(format!(
                "no buildpacks of the builder {builder} fit the source, as each said above; choose another builder with \
                 `deis builder:set`, or name buildpacks in project.toml"
            ))),
            code => Err(refused(format!(
                "the detection of the builder {builder} failed with code {code}, as it said above"
            ))),
        }
    }

    /// Brings the layers of the last build back.
    pub async fn restore(&self, group: &[u8]) -> Result<(), JobError> {
        let container =
            self.own_phase("restorer", CacheAccess::Read, &[], &[(GROUP_GIVEN, group, 0o444)]).await?;
        let exit = self.run(&container).await?;
        remove(container).await?;
        own_exit("restoring layers of the last build", exit)
    }

    /// The builder's own build.
    pub async fn build(&self) -> Result<(), JobError> {
        let container = self.user_phase("builder").await?;
        let exit = self.run(&container).await?;
        remove(container).await?;
        match exit {
            0 => Ok(()),
            exit_code if BUILD_FAILED.contains(&exit_code) => Err(JobError::Failed { exit_code }),
            code => Err(refused(format!(
                "the build of the builder {} failed with code {code}, as it said above",
                self.images.builder_name
            ))),
        }
    }

    /// Makes the image; it is in the container that is given back.
    pub async fn export(&self, facts: &[u8], group: &[u8]) -> Result<JobContainer, JobError> {
        let files = [
            (GROUP_GIVEN, group, 0o444),
            ("given/run.json", facts, 0o444),
            ("given/launcher", &self.folders.launcher[..], 0o555),
            ("given/lifecycle.toml", &self.folders.descriptor, 0o444),
        ];
        let bytes_max = self.place.settings.build_disk_bytes.to_string();
        let options = [
            "-app",
            WORKSPACE,
            "-run-image-facts",
            "/given/run.json",
            "-launcher",
            "/given/launcher",
            "-lifecycle-descriptor",
            "/given/lifecycle.toml",
            "-out",
            OUT,
            "-max-bytes",
            &bytes_max,
        ];
        let container = self.own_phase("exporter", CacheAccess::Write, &options, &files).await?;
        let exit = self.run(&container).await?;
        own_exit("making the image", exit)?;
        Ok(container)
    }

    /// A container of the builder with the app's config.
    async fn user_phase(&self, program: &str) -> Result<JobContainer, JobError> {
        let settings = self.place.settings;
        let builder = &self.images.builder;
        let order = builder.order(&self.job.cnb).map_err(|error| refused(error.to_string()))?;
        let mut env = vec![
            format!("CNB_PLATFORM_API={}", builder.platform_api),
            format!("CNB_APP_DIR={WORKSPACE}"),
            format!("CNB_LAYERS_DIR={LAYERS}"),
            "CNB_PLATFORM_DIR=/platform".to_owned(),
        ];
        env.extend(order.as_ref().map(|_| format!("CNB_ORDER_PATH={ORDER}")));
        env.extend(settings.build_env.iter().map(|(name, value)| format!("{name}={value}")));
        let body = ContainerCreateBody {
            image: Some(self.images.builder_id.clone()),
            entrypoint: Some(vec![format!("/cnb/lifecycle/{program}")]),
            cmd: Some(Vec::new()),
            user: Some(format!("{}:{}", builder.user, builder.group)),
            working_dir: Some(WORKSPACE.to_owned()),
            env: Some(env),
            labels: Some(self.place.labels(&self.job.app, "build")),
            host_config: Some(HostConfig {
                network_mode: Some(self.place.builds_network().await?),
                cap_drop: Some(vec!["ALL".to_owned()]),
                volumes_from: Some(vec![self.folders.container.name().to_owned()]),
                ..bounded(settings.build_memory_bytes, settings.build_pids_max)
            }),
            ..ContainerCreateBody::default()
        };
        let container = self.create(program, body).await?;
        let files = self.user_files(order).await?;
        container.put("/", files).await.map_err(|error| job_error(WHAT_FILL, error))?;
        Ok(container)
    }

    /// The config as files of the platform's folder, for the build's user alone.
    async fn user_files(&self, order: Option<String>) -> Result<Bytes, JobError> {
        let settings = self.place.settings;
        let builder = &self.images.builder;
        let owner = (u64::from(builder.user), u64::from(builder.group));
        let mut archive = SmallArchive::new();
        let failed = |error: std::io::Error| file_error(WHAT_FILL, &error);
        let mut variables: BTreeMap<&str, &str> = BTreeMap::new();
        let bundle = read_bundle(self.place).await?;
        if let Some(bundle) = &bundle {
            variables.extend(CA_VARIABLES.iter().map(|name| (*name, CA_BUNDLE)));
            archive.add(CA_BUNDLE.trim_start_matches('/'), bundle, 0o644, (0, 0)).map_err(failed)?;
        }
        for given in [&settings.build_env, &self.job.cnb.descriptor.env, &self.job.env] {
            variables.extend(given.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        }
        for (name, value) in variables {
            check_file_name(name)?;
            archive.add(&format!("platform/env/{name}"), value.as_bytes(), 0o400, owner).map_err(failed)?;
        }
        if let Some(order) = order {
            archive.add(ORDER.trim_start_matches('/'), order.as_bytes(), 0o444, (0, 0)).map_err(failed)?;
        }
        archive.finish().map_err(failed)
    }

    /// A container with the platform's own program and these files; it reads what user code left.
    async fn own_phase(
        &self,
        program: &str,
        access: CacheAccess,
        options: &[&str],
        files: &[(&str, &[u8], u32)],
    ) -> Result<JobContainer, JobError> {
        let settings = self.place.settings;
        let builder = &self.images.builder;
        let (uid, gid) = (builder.user.to_string(), builder.group.to_string());
        let previous = format!("{CACHE}/{PREVIOUS}");
        let entries_max = ENTRIES_MAX.to_string();
        let mut words =
            vec![LIFECYCLE, program, "-layers", LAYERS, "-cache-dir", CACHE, "-previous", &previous];
        words.extend(["-group", "/given/group.toml", "-keep-launch-layers"]);
        words.extend(["-uid", &uid, "-gid", &gid, "-max-entries", &entries_max]);
        words.extend(options);
        let labels = self.place.labels(&self.job.app, "build");
        let cache = mount(self.cache, CACHE, access == CacheAccess::Read, Some(labels.clone()));
        let run_image = mount(self.images.run_layout.volume(), RUN_IMAGE, true, None);
        let body = ContainerCreateBody {
            image: Some(settings.builder_image.clone()),
            entrypoint: Some(words.into_iter().map(str::to_owned).collect()),
            cmd: Some(Vec::new()),
            user: Some("0:0".to_owned()),
            env: Some(vec![format!("CNB_PLATFORM_API={}", builder.platform_api)]),
            labels: Some(labels),
            host_config: Some(HostConfig {
                network_mode: Some("none".to_owned()),
                cap_drop: Some(vec!["ALL".to_owned()]),
                cap_add: Some(CAPABILITIES.map(str::to_owned).to_vec()),
                volumes_from: Some(vec![self.folders.container.name().to_owned()]),
                mounts: Some(vec![cache, run_image]),
                ..bounded(settings.build_memory_bytes, settings.build_pids_max)
            }),
            ..ContainerCreateBody::default()
        };
        let container = self.create(program, body).await?;
        let mut archive = SmallArchive::new();
        for (path, content, mode) in files {
            archive.add(path, content, *mode, (0, 0)).map_err(|error| file_error(WHAT_FILL, &error))?;
        }
        let archive = archive.finish().map_err(|error| file_error(WHAT_FILL, &error))?;
        container.put("/", archive).await.map_err(|error| job_error(WHAT_FILL, error))?;
        Ok(container)
    }

    async fn create(&self, program: &str, body: ContainerCreateBody) -> Result<JobContainer, JobError> {
        let name = self.place.job_name(&format!("cnb{program}"), self.job);
        let container = JobContainer::create(self.place.docker, &name, body).await;
        container.map_err(|error| builder::image_error(self.place, error))
    }

    /// Runs a phase to its end; gives back its exit code.
    async fn run(&self, container: &JobContainer) -> Result<i64, JobError> {
        let stream =
            container.start().await.map_err(|error| job_error("start a phase of the build", error))?;
        let volumes: Vec<_> = self.folders.volumes.iter().map(String::as_str).chain([self.cache]).collect();
        let image = &self.place.settings.builder_image;
        tokio::select! {
            seen = forward(stream, self.output) => seen.map_err(|error| job_error("watch the build", error))?,
            beyond = caches::beyond_bound(self.place, container, &volumes, image) => return Err(beyond),
        }
        let exit = container.exit().await.map_err(|error| job_error("wait for the build", error))?;
        match (exit.code, exit.out_of_memory) {
            (code, true) if code != 0 => Err(refused(format!(
                "the build needed more than its bound of {} of memory; build less in parallel, or have the platform's operator \
                 raise the bound",
                failure::size(self.place.settings.build_memory_bytes)
            ))),
            (code, _) => Ok(code),
        }
    }
}

fn own_exit(what: &str, code: i64) -> Result<(), JobError> {
    match code {
        0 => Ok(()),
        code => Err(refused(format!("{what} failed with code {code}, as it said above"))),
    }
}

async fn remove(container: JobContainer) -> Result<(), JobError> {
    container.remove().await.map_err(|error| job_error("remove the container of a phase", error))
}

fn refused(reason: String) -> JobError {
    JobError::Refused { reason }
}
