//! The pod of a build: three steps on one volume, each a container, side by side.
//!
//! `source` takes the source, `build` runs the user's code, `upload` sends the result; each waits for the one before by
//! a FIFO. Only `source` and `upload` hold a credential: user code never shares a container with one, and containers
//! of a pod do not see one another's processes.

use std::collections::BTreeMap;

use domain::build::{BuildJob, BuildKind};
use k8s_openapi::api::core::v1::{
    Capabilities, ConfigMapVolumeSource, Container, EmptyDirVolumeSource, EnvVar, EnvVarSource, KeyToPath,
    PodSecurityContext, PodSpec, ResourceRequirements, SeccompProfile, SecretKeySelector, SecretVolumeSource,
    SecurityContext, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::KubernetesSettings;
use engine::build_steps::{PASSWORD_VARIABLE, SPEC_VARIABLE, STAGING, Step, WORKSPACE};
use engine::buildkit;
use engine::job::{CA_BUNDLE, CA_VARIABLES};

pub const SOURCE: &str = "source";
pub const BUILD: &str = "build";
pub const UPLOAD: &str = "upload";
/// Key of the Secret with the credential.
pub const PASSWORD_KEY: &str = "password";

/// User and group of slugs, and of the steps around them.
const SLUG_ID: i64 = 2000;
const CA_KEY: &str = "ca-certificates.crt";
/// Our own steps stream: they need little.
const STEP_MEMORY_BYTES: u64 = 256 << 20;
const STEP_MEMORY_REQUEST_BYTES: u64 = 32 << 20;
/// For their output, and what a runtime keeps beside it.
const STEP_DISK_BYTES: u64 = 64 << 20;
const BUILD_MEMORY_REQUEST_BYTES: u64 = 256 << 20;
const DISK: &str = "ephemeral-storage";

/// Names of what belongs to a build.
pub struct BuildSecretNames<'a> {
    /// Secret of the config.
    pub config: &'a str,
    /// Secret of the registry's password.
    pub credential: &'a str,
}

/// The pod's spec; the user's code runs in `image`, and `spec_json` goes to the steps.
pub fn pod_spec(
    settings: &KubernetesSettings,
    job: &BuildJob,
    image: &str,
    names: &BuildSecretNames<'_>,
    spec_json: &str,
) -> PodSpec {
    let parts = BuildPodParts { settings, job, image, names, spec_json };
    PodSpec {
        containers: vec![parts.source(), parts.build(), parts.upload()],
        volumes: Some(parts.volumes()),
        restart_policy: Some("Never".to_owned()),
        termination_grace_period_seconds: Some(5),
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        // By it the slug's user reads the config. On BuildKit's volume it would be a group without a place in the
        // daemon's user namespace; the kernel then mounts no overlay, and each step copies all that is below it.
        security_context: Some(PodSecurityContext {
            fs_group: (!parts.is_dockerfile()).then_some(SLUG_ID),
            ..PodSecurityContext::default()
        }),
        ..PodSpec::default()
    }
}

struct BuildPodParts<'a> {
    settings: &'a KubernetesSettings,
    job: &'a BuildJob,
    image: &'a str,
    names: &'a BuildSecretNames<'a>,
    spec_json: &'a str,
}

impl BuildPodParts<'_> {
    fn is_dockerfile(&self) -> bool {
        self.job.kind == BuildKind::Dockerfile
    }

    fn source(&self) -> Container {
        let mut container = self.step(SOURCE, Step::Receive, 0);
        container.stdin = Some(true);
        container.stdin_once = Some(true);
        container
    }

    fn upload(&self) -> Container {
        // It packs the cache.
        let mut container = self.step(UPLOAD, Step::Upload, self.settings.build_caches.app_bytes_max);
        if self.is_dockerfile() {
            container.volume_mounts.get_or_insert_default().push(mount("staging", STAGING));
        }
        container
    }

    /// A step of ours, with the credential.
    fn step(&self, name: &str, step: Step, files_bytes_max: u64) -> Container {
        let password = EnvVar {
            name: PASSWORD_VARIABLE.to_owned(),
            value_from: Some(EnvVarSource {
                secret_key_ref: Some(SecretKeySelector {
                    name: self.names.credential.to_owned(),
                    key: PASSWORD_KEY.to_owned(),
                    optional: None,
                }),
                ..EnvVarSource::default()
            }),
            value: None,
        };
        Container {
            name: name.to_owned(),
            image: Some(self.settings.workflow_image.clone()),
            image_pull_policy: Some(self.settings.image_pull_policy.clone()),
            command: Some(command(step)),
            env: Some(vec![variable(SPEC_VARIABLE, self.spec_json), password]),
            resources: Some(step_resources(
                self.settings.build_disk_bytes.min(files_bytes_max + STEP_DISK_BYTES),
            )),
            security_context: Some(restricted()),
            volume_mounts: Some([mount("workspace", WORKSPACE)].into_iter().chain(self.ca_mount()).collect()),
            ..Container::default()
        }
    }

    /// The user's code, without any credential.
    fn build(&self) -> Container {
        let settings = self.settings;
        let mut mounts = vec![mount("workspace", WORKSPACE)];
        mounts.push(self.config_mount());
        mounts.extend(self.ca_mount());
        let (command, rights) = if self.is_dockerfile() {
            mounts.push(mount("buildkit", buildkit::STATE));
            (command(Step::Dockerfile), for_buildkit())
        } else {
            let words = ["/usr/bin/slug", "build", "--fifos"].map(str::to_owned).to_vec();
            (words, restricted())
        };
        Container {
            name: BUILD.to_owned(),
            image: Some(self.image.to_owned()),
            image_pull_policy: Some(settings.image_pull_policy.clone()),
            command: Some(command),
            env: Some(self.build_environment()),
            resources: Some(build_resources(settings)),
            security_context: Some(rights),
            volume_mounts: Some(mounts),
            ..Container::default()
        }
    }

    /// The platform's own variables; the app's config comes as files only.
    fn build_environment(&self) -> Vec<EnvVar> {
        let settings = self.settings;
        let mut env: BTreeMap<&str, String> = BTreeMap::new();
        if settings.build_ca_config_map.is_some() {
            env.extend(CA_VARIABLES.iter().map(|name| (*name, CA_BUNDLE.to_owned())));
        }
        env.extend(settings.build_env.iter().map(|(name, value)| (name.as_str(), value.clone())));
        env.insert("SOURCE_VERSION", self.job.sha.clone());
        env.insert("DEIS_SLUG_BYTES_MAX", settings.slug_bytes_max.to_string());
        if self.is_dockerfile() {
            env.insert(SPEC_VARIABLE, self.spec_json.to_owned());
        }
        env.into_iter().map(|(name, value)| variable(name, &value)).collect()
    }

    fn config_mount(&self) -> VolumeMount {
        VolumeMount { read_only: Some(true), ..mount("config", &format!("{WORKSPACE}/env")) }
    }

    fn ca_mount(&self) -> Option<VolumeMount> {
        self.settings.build_ca_config_map.as_ref().map(|_| VolumeMount {
            sub_path: Some(CA_KEY.to_owned()),
            read_only: Some(true),
            ..mount("ca", CA_BUNDLE)
        })
    }

    fn volumes(&self) -> Vec<Volume> {
        let folder = |name: &str| Volume {
            name: name.to_owned(),
            empty_dir: Some(EmptyDirVolumeSource {
                size_limit: Some(Quantity(self.settings.build_disk_bytes.to_string())),
                medium: None,
            }),
            ..Volume::default()
        };
        let config = Volume {
            name: "config".to_owned(),
            secret: Some(SecretVolumeSource {
                secret_name: Some(self.names.config.to_owned()),
                // Only the build's container mounts it; BuildKit's client has neither of its ids.
                default_mode: Some(if self.is_dockerfile() { 0o444 } else { 0o440 }),
                ..SecretVolumeSource::default()
            }),
            ..Volume::default()
        };
        let ca = self.settings.build_ca_config_map.as_ref().map(|name| Volume {
            name: "ca".to_owned(),
            config_map: Some(ConfigMapVolumeSource {
                name: name.clone(),
                items: Some(vec![KeyToPath { key: CA_KEY.to_owned(), path: CA_KEY.to_owned(), mode: None }]),
                ..ConfigMapVolumeSource::default()
            }),
            ..Volume::default()
        });
        let for_buildkit = ["buildkit", "staging"].map(folder).into_iter().filter(|_| self.is_dockerfile());
        [folder("workspace"), config].into_iter().chain(ca).chain(for_buildkit).collect()
    }
}

fn command(step: Step) -> Vec<String> {
    ["workflow", "build-step", step.as_str()].map(str::to_owned).to_vec()
}

fn variable(name: &str, value: &str) -> EnvVar {
    EnvVar { name: name.to_owned(), value: Some(value.to_owned()), value_from: None }
}

fn mount(name: &str, path: &str) -> VolumeMount {
    VolumeMount { name: name.to_owned(), mount_path: path.to_owned(), ..VolumeMount::default() }
}

/// Limits of user code, and the part of them that the node sets aside.
fn build_resources(settings: &KubernetesSettings) -> ResourceRequirements {
    let memory_bytes = settings.build_memory_bytes;
    let disk = settings.build_disk_bytes.to_string();
    let limits = [("memory", memory_bytes.to_string()), (DISK, disk.clone())];
    let requested = BUILD_MEMORY_REQUEST_BYTES.min(memory_bytes).to_string();
    resources(limits, [("memory", requested), ("cpu", "100m".to_owned()), (DISK, disk)])
}

/// The requests of all containers of a pod add up, so those of our own steps are small.
fn step_resources(disk_bytes: u64) -> ResourceRequirements {
    let limits = [("memory", STEP_MEMORY_BYTES.to_string()), (DISK, disk_bytes.to_string())];
    let requested = STEP_MEMORY_REQUEST_BYTES.to_string();
    let disk_requested = disk_bytes.min(STEP_DISK_BYTES).to_string();
    resources(limits, [("memory", requested), ("cpu", "50m".to_owned()), (DISK, disk_requested)])
}

fn resources(limits: [(&str, String); 2], requests: [(&str, String); 3]) -> ResourceRequirements {
    let amount = |(name, text): (&str, String)| (name.to_owned(), Quantity(text));
    ResourceRequirements {
        limits: Some(limits.map(amount).into()),
        requests: Some(requests.map(amount).into()),
        ..ResourceRequirements::default()
    }
}

/// As the slug's user, without any right.
fn restricted() -> SecurityContext {
    SecurityContext {
        run_as_user: Some(SLUG_ID),
        run_as_group: Some(SLUG_ID),
        run_as_non_root: Some(true),
        allow_privilege_escalation: Some(false),
        capabilities: Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), add: None }),
        seccomp_profile: Some(SeccompProfile {
            type_: "RuntimeDefault".to_owned(),
            ..SeccompProfile::default()
        }),
        ..SecurityContext::default()
    }
}

/// BuildKit's daemon maps a user namespace and runs in it as another user; that takes two capabilities at the
/// start, and a container without the runtime's seccomp profile, which forbids the namespace. The profile is
/// not named: `Unconfined` by name is more than the namespace's Pod Security Standard lets through.
fn for_buildkit() -> SecurityContext {
    SecurityContext {
        run_as_user: Some(0),
        run_as_group: Some(0),
        run_as_non_root: Some(false),
        allow_privilege_escalation: Some(false),
        capabilities: Some(Capabilities {
            drop: Some(vec!["ALL".to_owned()]),
            add: Some(buildkit::CAPABILITIES.map(str::to_owned).to_vec()),
        }),
        ..SecurityContext::default()
    }
}
