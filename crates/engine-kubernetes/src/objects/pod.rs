//! The pod of a workload: its container, bounds and rights.

use std::collections::BTreeMap;

use domain::ProcessType;
use domain::deployment::{ADDRESS_VARIABLE, Hooks, Limits, PullPolicy, Workload};
use k8s_openapi::api::core::v1::{
    Capabilities, Container, ContainerPort, EnvVar, EnvVarSource, ExecAction, Lifecycle, LifecycleHandler,
    LocalObjectReference, ObjectFieldSelector, PodSecurityContext, PodSpec, ResourceRequirements,
    SeccompProfile, SecretKeySelector, SecurityContext, SleepAction, Toleration,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::{env, secrets};
use crate::{KubernetesSettings, names};
use domain::shell::shell;

/// Capabilities that a container of Kubernetes' default set does without, also where it runs as root.
const DROPPED_CAPABILITIES: [&str; 4] = ["AUDIT_WRITE", "MKNOD", "NET_RAW", "SETFCAP"];

/// The spec of the workload's pods; `image` is what nodes pull.
pub fn spec(settings: &KubernetesSettings, workload: &Workload, image: &str) -> PodSpec {
    PodSpec {
        containers: vec![Container {
            volume_mounts: Some(vec![secrets::mount()]),
            ..container(settings, workload, image)
        }],
        volumes: Some(vec![secrets::volume(&names::env_secret(&workload.id.app, workload.release))]),
        node_selector: (!workload.tags.is_empty()).then(|| workload.tags.clone()),
        termination_grace_period_seconds: Some(grace_seconds(settings, workload)),
        image_pull_secrets: Some(vec![LocalObjectReference { name: names::PULL_SECRET.to_owned() }]),
        priority_class_name: settings.priority_class.clone(),
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        tolerations: Some(tolerations(settings.node_failure_seconds)),
        security_context: Some(PodSecurityContext {
            seccomp_profile: Some(SeccompProfile {
                type_: "RuntimeDefault".to_owned(),
                ..SeccompProfile::default()
            }),
            ..PodSecurityContext::default()
        }),
        ..PodSpec::default()
    }
}

fn container(settings: &KubernetesSettings, workload: &Workload, image: &str) -> Container {
    let words = |words: &Option<Vec<String>>| words.clone().filter(|words| !words.is_empty());
    let port = |port: u16| ContainerPort {
        name: Some(names::PORT_NAME.to_owned()),
        container_port: port.into(),
        protocol: Some("TCP".to_owned()),
        ..ContainerPort::default()
    };
    Container {
        name: names::container(&workload.id),
        image: Some(image.to_owned()),
        image_pull_policy: Some(pull_policy(settings, workload.pull_policy)),
        command: words(&workload.command),
        args: words(&workload.args),
        env: Some(variables(workload)),
        ports: workload.port.map(|number| vec![port(number)]),
        resources: Some(resources(workload.limits)),
        liveness_probe: workload.probes.liveness.as_ref().map(super::probe::liveness),
        readiness_probe: workload.probes.readiness.as_ref().map(super::probe::readiness),
        lifecycle: lifecycle(settings, workload),
        security_context: Some(rights(workload.user)),
        ..Container::default()
    }
}

/// The environment, by reference: no value is in the pod's spec.
fn variables(workload: &Workload) -> Vec<EnvVar> {
    let secret = names::env_secret(&workload.id.app, workload.release);
    let variables = workload.env.keys().map(|name| from_secret(&secret, &workload.id.process, name));
    variables.chain(workload.knows_address.then(address)).collect()
}

/// A variable whose value is in a Secret.
pub fn from_secret(secret: &str, process: &ProcessType, name: &str) -> EnvVar {
    EnvVar {
        name: name.to_owned(),
        value_from: Some(EnvVarSource {
            secret_key_ref: Some(SecretKeySelector {
                name: secret.to_owned(),
                key: env::key(process, name),
                optional: None,
            }),
            ..EnvVarSource::default()
        }),
        value: None,
    }
}

/// The app's own policy, else the operator's.
pub fn pull_policy(settings: &KubernetesSettings, own: Option<PullPolicy>) -> String {
    own.map_or_else(|| settings.image_pull_policy.clone(), |policy| policy.name().to_owned())
}

/// The pod's address, as a variable.
pub fn address() -> EnvVar {
    EnvVar {
        name: ADDRESS_VARIABLE.to_owned(),
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector {
                field_path: "status.podIP".to_owned(),
                ..ObjectFieldSelector::default()
            }),
            ..EnvVarSource::default()
        }),
        value: None,
    }
}

fn resources(limits: Limits) -> ResourceRequirements {
    let Limits { memory_request_bytes, memory_limit_bytes, cpu_request_millis, cpu_limit_millis } = limits;
    let amounts = |memory: Option<u64>, cpu: Option<u64>| {
        let memory = memory.map(|bytes| ("memory".to_owned(), Quantity(bytes_text(bytes))));
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

/// `128Mi` rather than 134217728, as people write it.
fn bytes_text(bytes: u64) -> String {
    let units = [("Gi", 30), ("Mi", 20), ("Ki", 10)];
    let whole = units.iter().find(|(_, shift)| bytes > 0 && bytes.is_multiple_of(1 << shift));
    whole.map_or_else(|| bytes.to_string(), |(unit, shift)| format!("{}{unit}", bytes >> shift))
}

/// A serving replica continues for a while after it has left the routes, so that no router sends a request to a
/// stopped one; the user's own hook replaces that.
fn lifecycle(settings: &KubernetesSettings, workload: &Workload) -> Option<Lifecycle> {
    let Hooks { post_start, pre_stop } = &workload.hooks;
    let run = |text: &String| LifecycleHandler {
        exec: Some(ExecAction { command: Some(shell(text)) }),
        ..LifecycleHandler::default()
    };
    let sleep = sleep_seconds(settings, workload).map(|seconds| LifecycleHandler {
        sleep: Some(SleepAction { seconds }),
        ..LifecycleHandler::default()
    });
    let lifecycle = Lifecycle {
        post_start: post_start.as_ref().map(run),
        pre_stop: pre_stop.as_ref().map(run).or(sleep),
        ..Lifecycle::default()
    };
    (lifecycle != Lifecycle::default()).then_some(lifecycle)
}

fn sleep_seconds(settings: &KubernetesSettings, workload: &Workload) -> Option<i64> {
    let serves = workload.port.is_some() && workload.hooks.pre_stop.is_none();
    Some(i64::from(settings.pre_stop_sleep_seconds)).filter(|seconds| serves && *seconds > 0)
}

/// Kubernetes counts the sleep as part of the grace period; the process is to have all of its own.
pub fn grace_seconds(settings: &KubernetesSettings, workload: &Workload) -> i64 {
    i64::from(workload.grace_seconds) + sleep_seconds(settings, workload).unwrap_or(0)
}

/// Privileges of a process: one that is known not to be root has no capability and can gain none.
pub fn rights(user: Option<u32>) -> SecurityContext {
    let dropped = match user {
        Some(_) => vec!["ALL".to_owned()],
        None => DROPPED_CAPABILITIES.map(str::to_owned).to_vec(),
    };
    SecurityContext {
        allow_privilege_escalation: Some(false),
        capabilities: Some(Capabilities { drop: Some(dropped), add: None }),
        run_as_non_root: user.map(|id| id != 0),
        run_as_user: user.map(i64::from),
        run_as_group: user.map(i64::from),
        ..SecurityContext::default()
    }
}

fn tolerations(seconds: u32) -> Vec<Toleration> {
    let toleration = |key: &str| Toleration {
        key: Some(format!("node.kubernetes.io/{key}")),
        operator: Some("Exists".to_owned()),
        effect: Some("NoExecute".to_owned()),
        toleration_seconds: Some(seconds.into()),
        value: None,
    };
    ["not-ready", "unreachable"].map(toleration).to_vec()
}
