//! The pod of a one-off process and the Secret with its environment.

use std::collections::BTreeMap;

use domain::build::OneOff;
use domain::deployment::{Limits, WorkloadId};
use domain::{AppName, ProcessType};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{
    Capabilities, Container, EnvFromSource, LocalObjectReference, Namespace, Pod, PodSecurityContext,
    PodSpec, ResourceRequirements, SeccompProfile, Secret, SecretEnvSource, SecurityContext,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Api;
use kube::api::{Patch, PatchParams};

use super::{JOB_LABEL, KubernetesJobs, OWNER_ANNOTATION};
use crate::kubernetes::{KubernetesSettings, names, objects, pull_secret};

/// Capabilities that a container of Kubernetes' default set does without, also where it runs as root.
const DROPPED_CAPABILITIES: [&str; 4] = ["AUDIT_WRITE", "MKNOD", "NET_RAW", "SETFCAP"];

/// `<app>-run`, cut where an app with a long name would make it too long.
pub fn container_name(run: &OneOff) -> String {
    names::container(&WorkloadId { app: run.app.clone(), process: ProcessType::run() })
}

pub fn env_secret_name(run: &OneOff) -> String {
    format!("{}-env", run.name)
}

fn metadata(name: String, run: &OneOff) -> ObjectMeta {
    let mut labels = names::app_labels(&run.app);
    labels.extend(names::labels([
        (names::TYPE_LABEL, ProcessType::run().as_str()),
        (names::VERSION_LABEL, &names::version(run.release)),
        (JOB_LABEL, "run"),
    ]));
    ObjectMeta { name: Some(name), labels: Some(labels), ..ObjectMeta::default() }
}

pub fn env_secret(run: &OneOff) -> Secret {
    let data = run.env.iter().map(|(name, value)| (name.clone(), ByteString(value.as_bytes().to_vec())));
    Secret { metadata: metadata(env_secret_name(run), run), data: Some(data.collect()), ..Secret::default() }
}

/// The pod; `image` is what nodes pull. With `has_stdin` its input stays open.
pub fn pod(settings: &KubernetesSettings, run: &OneOff, image: &str, has_stdin: bool, owner: &str) -> Pod {
    let mut metadata = metadata(run.name.clone(), run);
    metadata.annotations = Some([(OWNER_ANNOTATION.to_owned(), owner.to_owned())].into());
    Pod {
        metadata,
        spec: Some(PodSpec {
            containers: vec![Container { stdin: Some(has_stdin), ..container(settings, run, image) }],
            restart_policy: Some("Never".to_owned()),
            active_deadline_seconds: Some(i64::from(run.deadline_seconds) + 30),
            termination_grace_period_seconds: Some(5),
            node_selector: (!run.tags.is_empty()).then(|| run.tags.clone()),
            image_pull_secrets: Some(vec![LocalObjectReference { name: names::PULL_SECRET.to_owned() }]),
            priority_class_name: settings.priority_class.clone(),
            automount_service_account_token: Some(false),
            enable_service_links: Some(false),
            security_context: Some(PodSecurityContext {
                seccomp_profile: Some(SeccompProfile {
                    type_: "RuntimeDefault".to_owned(),
                    ..SeccompProfile::default()
                }),
                ..PodSecurityContext::default()
            }),
            ..PodSpec::default()
        }),
        ..Pod::default()
    }
}

fn container(settings: &KubernetesSettings, run: &OneOff, image: &str) -> Container {
    let words = |words: &Option<Vec<String>>| words.clone().filter(|words| !words.is_empty());
    Container {
        name: container_name(run),
        image: Some(image.to_owned()),
        image_pull_policy: Some(objects::pod::pull_policy(settings, run.pull_policy)),
        command: words(&run.command),
        args: words(&run.args),
        env: run.knows_address.then(|| vec![objects::pod::address()]),
        env_from: Some(vec![EnvFromSource {
            secret_ref: Some(SecretEnvSource { name: env_secret_name(run), optional: None }),
            ..EnvFromSource::default()
        }]),
        resources: Some(resources(run.limits)),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            capabilities: Some(Capabilities {
                drop: Some(DROPPED_CAPABILITIES.map(str::to_owned).to_vec()),
                add: None,
            }),
            ..SecurityContext::default()
        }),
        ..Container::default()
    }
}

fn resources(limits: Limits) -> ResourceRequirements {
    let Limits { memory_request_bytes, memory_limit_bytes, cpu_request_millis, cpu_limit_millis } = limits;
    let amounts = |memory: Option<u64>, cpu: Option<u64>| {
        let memory = memory.map(|bytes| ("memory".to_owned(), Quantity(bytes.to_string())));
        let cpu = cpu.map(|millis| ("cpu".to_owned(), Quantity(format!("{millis}m"))));
        let amounts: BTreeMap<_, _> = memory.into_iter().chain(cpu).collect();
        (!amounts.is_empty()).then_some(amounts)
    };
    ResourceRequirements {
        limits: amounts(memory_limit_bytes, cpu_limit_millis),
        requests: amounts(memory_request_bytes, cpu_request_millis),
        ..ResourceRequirements::default()
    }
}

/// Makes the app's namespace where no workload has made it yet, and the Secret by which nodes pull.
pub async fn ensure_namespace(jobs: &KubernetesJobs, app: &AppName) -> Result<(), kube::Error> {
    let name = names::namespace(&jobs.settings, app);
    let params = PatchParams::apply(names::FIELD_MANAGER).force();
    let namespaces: Api<Namespace> = Api::all(jobs.client.clone());
    if namespaces.get_opt(&name).await?.is_none() {
        let wanted = objects::namespace::namespace(&jobs.settings, app);
        namespaces.patch(&name, &params, &Patch::Apply(&wanted)).await?;
    }
    let secret = pull_secret::pull_secret(&jobs.settings.registry, app);
    let secrets: Api<Secret> = Api::namespaced(jobs.client.clone(), &name);
    secrets.patch(names::PULL_SECRET, &params, &Patch::Apply(&secret)).await.map(drop)
}
