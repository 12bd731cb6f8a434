//! Removal of jobs that dead processes left. A job belongs to the pod of the platform that started it; another
//! replica's jobs, or those of one that is ending, are left alone.

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, ListParams};
use kube::{Api, ResourceExt as _};

use super::{JOB_LABEL, KubernetesJobs, OWNER_ANNOTATION};
use crate::failure::{failed, gone_is_fine};
use crate::names;
use engine::EngineError;

const LISTED_MAX: u32 = 500;

/// Removes builds of pods that are gone.
pub async fn remove_builds(jobs: &KubernetesJobs) -> Result<(), EngineError> {
    let what = "remove builds that were cut off";
    let api: Api<Job> = Api::namespaced(jobs.client.clone(), &jobs.settings.builds_namespace);
    let builds = ListParams::default().labels(&format!("{JOB_LABEL}=build")).limit(LISTED_MAX);
    for build in api.list(&builds).await.map_err(|error| failed(what, error))? {
        if lives(jobs, build.annotations().get(OWNER_ANNOTATION)).await? {
            continue;
        }
        let gone = gone_is_fine(api.delete(&build.name_any(), &DeleteParams::background()).await);
        gone.map_err(|error| failed(what, error))?;
        tracing::info!(build = build.name_any(), "removed a build that was cut off");
    }
    Ok(())
}

/// Removes one-off pods of controllers that are gone, and those that are past their time.
pub async fn remove_runs(jobs: &KubernetesJobs) -> Result<(), EngineError> {
    let what = "remove one-off pods that were cut off";
    let all: Api<Pod> = Api::all(jobs.client.clone());
    let runs = ListParams::default().labels(&format!("heritage=deis,{JOB_LABEL}=run")).limit(LISTED_MAX);
    for run in all.list(&runs).await.map_err(|error| failed(what, error))? {
        let Some(space) = run.namespace() else { continue };
        let is_ours = names::app_of(&jobs.settings, &space, Some(run.labels())).is_some();
        if !is_ours || lives(jobs, run.annotations().get(OWNER_ANNOTATION)).await? {
            continue;
        }
        let api: Api<Pod> = Api::namespaced(jobs.client.clone(), &space);
        let gone = gone_is_fine(api.delete(&run.name_any(), &DeleteParams::background()).await);
        gone.map_err(|error| failed(what, error))?;
        tracing::info!(pod = run.name_any(), since = %Timestamp::now(), "removed a one-off pod that was cut off");
    }
    Ok(())
}

/// Returns true if the pod that started a job still exists; one of our own name is an earlier run of this process.
async fn lives(jobs: &KubernetesJobs, owner: Option<&String>) -> Result<bool, EngineError> {
    let Some(owner) = owner.filter(|owner| **owner != jobs.owner) else { return Ok(false) };
    let pods: Api<Pod> = Api::namespaced(jobs.client.clone(), &jobs.settings.platform_namespace);
    let found =
        pods.get_metadata_opt(owner).await.map_err(|error| failed("look for a job's owner", error))?;
    Ok(found.is_some())
}
