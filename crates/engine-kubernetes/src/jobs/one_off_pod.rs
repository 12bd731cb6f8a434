//! The pod of a one-off process and the Secret with its environment.

use std::collections::BTreeMap;

use domain::ProcessType;
use domain::build::OneOff;
use domain::deployment::{Limits, WorkloadId};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{
    Container, EnvVar, LocalObjectReference, Pod, PodSecurityContext, PodSpec, ResourceRequirements,
    SeccompProfile, Secret,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::{JOB_LABEL, OWNER_ANNOTATION};
use crate::{KubernetesSettings, names, objects};

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
    let process = ProcessType::run();
    let value = |(name, value): (&String, &String)| {
        (objects::env::key(&process, name), ByteString(value.as_bytes().to_vec()))
    };
    let data = run.env.iter().map(value).chain([objects::secrets::here()]).collect();
    Secret { metadata: metadata(env_secret_name(run), run), data: Some(data), ..Secret::default() }
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
            volumes: Some(vec![objects::secrets::volume(&env_secret_name(run))]),
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
        env: Some(variables(run)),
        volume_mounts: Some(vec![objects::secrets::mount()]),
        resources: Some(resources(run.limits)),
        security_context: Some(objects::pod::rights(run.user)),
        ..Container::default()
    }
}

/// The environment, by reference.
fn variables(run: &OneOff) -> Vec<EnvVar> {
    let (secret, process) = (env_secret_name(run), ProcessType::run());
    let variables = run.env.keys().map(|name| objects::pod::from_secret(&secret, &process, name));
    variables.chain(run.knows_address.then(objects::pod::address)).collect()
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
