//! Names, labels and annotations of everything that the engine makes in the cluster (docs/spec/api.md 6).

use std::collections::BTreeMap;

use domain::AppName;
use domain::ProcessType;
use domain::deployment::WorkloadId;

use super::KubernetesSettings;

/// Field manager of the fields that the engine sets.
pub const FIELD_MANAGER: &str = "deis-workflow";

pub const HERITAGE_LABEL: &str = "heritage";
pub const HERITAGE: &str = "deis";
pub const APP_LABEL: &str = "app";
pub const TYPE_LABEL: &str = "type";
/// `v7`: the release that a pod runs.
pub const VERSION_LABEL: &str = "version";
/// Content of a Secret of the engine, or purpose of a Service.
pub const PART_LABEL: &str = "deis.io/part";
/// On the namespace of an app: the namespace of the platform that it belongs to.
pub const PLATFORM_LABEL: &str = "deis.io/platform";
/// On the namespace of an app: whose it is, as a hash, since labels take fewer names.
pub const OWNER_LABEL: &str = "deis.io/owner";
/// On the namespace of an app: changes with each desired state of it.
pub const DESIRED_STATE_ANNOTATION: &str = "deis.io/wished";
pub const DESIRED_STATE_PART: &str = "wish";
pub const CERTIFICATE_PART: &str = "certificate";
pub const PATHS_PART: &str = "paths";
/// On a pod that a restart took out of its ReplicaSet: its former template hash.
pub const DETACHED_LABEL: &str = "deis.io/detached";
/// Kubernetes' own: which ReplicaSet a pod belongs to.
pub const TEMPLATE_LABEL: &str = "pod-template-hash";

pub const ROUTABLE_LABEL: &str = "router.deis.io/routable";
/// Prefix of an app's settings, on its Service.
pub const ROUTER_PREFIX: &str = "router.deis.io/";
/// Prefix of the routers' settings, on their Deployment.
pub const ROUTER_RULES_PREFIX: &str = "router.deis.io/nginx.";
pub const DOMAINS_ANNOTATION: &str = "router.deis.io/domains";
/// `domain:certificate` pairs.
pub const CERTIFICATES_ANNOTATION: &str = "router.deis.io/certificates";
/// `certificate:stamp` pairs.
pub const STAMPS_ANNOTATION: &str = "deis.io/certificates";
/// `host=key authorization` pairs: what hosts answer to certificate authorities. Nothing of it is secret.
pub const CHALLENGES_ANNOTATION: &str = "deis.io/challenges";
/// A domain of the Service whose paths go to this one, and which.
pub const PROXY_DOMAIN_ANNOTATION: &str = "router.deis.io/proxyDomain";
pub const PROXY_LOCATIONS_ANNOTATION: &str = "router.deis.io/proxyLocations";
/// Since when each of the domains is claimed, in milliseconds since 1970.
pub const CLAIMED_ANNOTATION: &str = "deis.io/claimed";
/// Replicas that should be serving.
pub const WANTED_ANNOTATION: &str = "deis.io/wanted";
/// Hash of all that a pod was made from.
pub const SPEC_ANNOTATION: &str = "deis.io/spec";
/// Hash of all that the engine set when it applied a workload last.
pub const APPLIED_ANNOTATION: &str = "deis.io/applied";

/// Name of the port that an app's process listens on: each pod says its own number, so a release that
/// changes it takes no traffic away from those that still run.
pub const PORT_NAME: &str = "http";
/// Deployment and service account of the routers.
pub const ROUTER: &str = "deis-router";
pub const ROUTER_ACCOUNT: &str = ROUTER;
/// Service account of the controller, and its RoleBinding in each app's namespace.
pub const CONTROLLER_ACCOUNT: &str = "deis-controller";
/// The platform's certificate, in its own namespace.
pub const PLATFORM_CERT: &str = "deis-router-platform-cert";
/// Pull secret of an app's namespace.
pub const PULL_SECRET: &str = "deis-registry";

/// Longest name of a container and longest value of a label.
const LABEL_LENGTH_MAX: usize = 63;

pub type Labels = BTreeMap<String, String>;

pub fn namespace(settings: &KubernetesSettings, app: &AppName) -> String {
    format!("{}{app}", settings.namespace_prefix)
}

/// The app whose thing this is, if it is one of this platform's.
pub fn app_of(settings: &KubernetesSettings, space: &str, labels: Option<&Labels>) -> Option<AppName> {
    let app = AppName::parse(labels?.get(APP_LABEL)?).ok()?;
    (namespace(settings, &app) == space).then_some(app)
}

/// The workload whose thing this is, if it is one of this platform's.
pub fn workload_of(
    settings: &KubernetesSettings,
    space: &str,
    labels: Option<&Labels>,
) -> Option<WorkloadId> {
    let app = app_of(settings, space, labels)?;
    let process = ProcessType::parse(labels?.get(TYPE_LABEL)?).ok()?;
    Some(WorkloadId { app, process })
}

pub fn app_labels(app: &AppName) -> Labels {
    labels([(APP_LABEL, app.as_str()), (HERITAGE_LABEL, HERITAGE)])
}

/// Labels that select the pods of a workload.
pub fn workload_labels(id: &WorkloadId) -> Labels {
    labels([(APP_LABEL, id.app.as_str()), (HERITAGE_LABEL, HERITAGE), (TYPE_LABEL, id.process.as_str())])
}

/// Selects what the engine makes.
pub fn heritage() -> String {
    format!("{HERITAGE_LABEL}={HERITAGE}")
}

pub fn version(release: u64) -> String {
    format!("v{release}")
}

/// The number in `v7`.
pub fn release(labels: Option<&Labels>) -> Option<u64> {
    labels?.get(VERSION_LABEL)?.strip_prefix('v')?.parse().ok()
}

pub fn env_secret(app: &AppName, release: u64) -> String {
    format!("{app}-v{release}-env")
}

pub fn desired_state_secret(id: &WorkloadId) -> String {
    format!("{id}-wish")
}

/// `<app>-<type>`, cut where an app with a long name would make it too long.
pub fn container(id: &WorkloadId) -> String {
    let name: String = id.to_string().chars().take(LABEL_LENGTH_MAX).collect();
    name.trim_end_matches('-').to_owned()
}

/// `a=b,c=d`
pub fn selector(labels: &Labels) -> String {
    let pairs: Vec<_> = labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join(",")
}

pub fn labels<const N: usize>(pairs: [(&str, &str); N]) -> Labels {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_container_of_an_app_with_a_long_name_has_a_name_that_kubernetes_takes() {
        let app = AppName::parse(&format!("a{}", "b".repeat(61))).expect("a good name");
        let id = WorkloadId { app, process: ProcessType::web() };

        assert_eq!(container(&id).len(), 62);
        assert!(container(&id).ends_with('b'));
    }
}
