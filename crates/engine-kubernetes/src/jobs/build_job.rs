//! The Job of a build, and the Secrets that live and die with it.

use std::collections::BTreeMap;

use domain::build::BuildJob;
use k8s_openapi::ByteString;
use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::{PodSpec, PodTemplateSpec, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

use super::{JOB_LABEL, OWNER_ANNOTATION};

/// Kubernetes' bound of a name that is also a label is 63 characters.
const APP_IN_NAME_LENGTH_MAX: usize = 30;
/// Time after its end, for debugging; the platform itself removes it at once.
const KEPT_SECONDS: i32 = 300;
/// The process that waits gives up at the deadline; this is for when it has died.
const GRACE_SECONDS: i64 = 60;

/// A name that is never used again.
pub fn name(job: &BuildJob, random: u32) -> String {
    let app: String = job.app.as_str().chars().take(APP_IN_NAME_LENGTH_MAX).collect();
    let kind = match job.kind {
        domain::build::BuildKind::Buildpack => "slugbuild",
        domain::build::BuildKind::Dockerfile => "dockerbuild",
        domain::build::BuildKind::Cnb => "cnbbuild",
    };
    format!("{kind}-{}-{}-{random:08x}", app.trim_end_matches('-'), job.sha)
}

/// The Job, still suspended: it begins when its Secrets are there.
pub fn job(name: &str, job: &BuildJob, owner: &str, spec: PodSpec) -> Job {
    let labels = labels(job);
    Job {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            labels: Some(labels.clone()),
            annotations: Some([(OWNER_ANNOTATION.to_owned(), owner.to_owned())].into()),
            ..ObjectMeta::default()
        },
        spec: Some(JobSpec {
            suspend: Some(true),
            backoff_limit: Some(0),
            active_deadline_seconds: Some(i64::from(job.deadline_seconds) + GRACE_SECONDS),
            ttl_seconds_after_finished: Some(KEPT_SECONDS),
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta { labels: Some(labels), ..ObjectMeta::default() }),
                spec: Some(spec),
            },
            ..JobSpec::default()
        }),
        ..Job::default()
    }
}

/// A Secret that Kubernetes removes with the Job.
pub fn secret(name: &str, job: &BuildJob, owner: &Job, data: BTreeMap<String, ByteString>) -> Secret {
    Secret {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            labels: Some(labels(job)),
            owner_references: Some(vec![OwnerReference {
                api_version: "batch/v1".to_owned(),
                kind: "Job".to_owned(),
                name: owner.metadata.name.clone().unwrap_or_default(),
                uid: owner.metadata.uid.clone().unwrap_or_default(),
                ..OwnerReference::default()
            }]),
            ..ObjectMeta::default()
        },
        data: Some(data),
        ..Secret::default()
    }
}

fn labels(job: &BuildJob) -> BTreeMap<String, String> {
    let labels = [("heritage", "deis"), ("app", job.app.as_str()), (JOB_LABEL, "build")];
    labels.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use domain::AppName;
    use domain::build::BuildKind;

    use super::*;

    #[test]
    fn names_fit_into_a_label_also_for_the_longest_app() {
        let job = BuildJob {
            app: AppName::parse(&format!("a{}b", "-".repeat(61))).expect("a name"),
            sha: "0123abcd".to_owned(),
            kind: BuildKind::Dockerfile,
            stack: domain::stacks::StackName::parse("trixie").expect("a good name"),
            toolchains: std::collections::BTreeSet::new(),
            submodules: Vec::new(),
            env: BTreeMap::new(),
            cache: true,
            dockerfile: domain::build_plan::DockerfileOptions::default(),
            cnb: domain::build_plan::CnbOptions::default(),
            deadline_seconds: 1,
        };
        assert_eq!(name(&job, 7), "dockerbuild-a-0123abcd-00000007");
        let long = BuildJob { app: AppName::parse(&"a".repeat(63)).expect("a name"), ..job };
        assert!(name(&long, u32::MAX).len() <= 63);
    }
}
