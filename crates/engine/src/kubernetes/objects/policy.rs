//! The NetworkPolicy of an app's namespace: the app is reached by the router and by itself, and reaches
//! the world, but neither the platform nor the cloud's metadata service.

use domain::AppName;
use k8s_openapi::api::networking::v1::{
    IPBlock, NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer,
    NetworkPolicyPort, NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::metadata;
use crate::kubernetes::KubernetesSettings;
use crate::kubernetes::names::{self, Labels};

/// Label that Kubernetes itself puts on each namespace.
const NAMESPACE_NAME_LABEL: &str = "kubernetes.io/metadata.name";
/// Addresses that belong to the node alone: clouds give credentials there.
const LINK_LOCAL: [&str; 2] = ["169.254.0.0/16", "fd00:ec2::254/128"];
const ROUTER: (&str, &str) = ("app", "deis-router");
const DNS_PORT: i32 = 53;

pub fn name(app: &AppName) -> String {
    format!("{app}-network")
}

pub fn policy(settings: &KubernetesSettings, app: &AppName) -> NetworkPolicy {
    NetworkPolicy {
        metadata: metadata(&name(app), names::app_labels(app)),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(LabelSelector::default()),
            policy_types: Some(["Ingress", "Egress"].map(str::to_owned).to_vec()),
            ingress: Some(vec![NetworkPolicyIngressRule {
                from: Some(vec![own_pods(), of_namespace(&settings.platform_namespace, None)]),
                ports: None,
            }]),
            egress: Some(vec![
                to(vec![own_pods(), router(settings), other_namespaces(settings)]),
                name_service(),
                to(outside()),
            ]),
        }),
    }
}

fn to(peers: Vec<NetworkPolicyPeer>) -> NetworkPolicyEgressRule {
    NetworkPolicyEgressRule { to: Some(peers), ports: None }
}

/// Names are asked for wherever the cluster's name service runs, also on its nodes.
fn name_service() -> NetworkPolicyEgressRule {
    let port = |protocol: &str| NetworkPolicyPort {
        port: Some(IntOrString::Int(DNS_PORT)),
        protocol: Some(protocol.to_owned()),
        end_port: None,
    };
    NetworkPolicyEgressRule { to: None, ports: Some(vec![port("UDP"), port("TCP")]) }
}

fn own_pods() -> NetworkPolicyPeer {
    NetworkPolicyPeer { pod_selector: Some(LabelSelector::default()), ..NetworkPolicyPeer::default() }
}

fn router(settings: &KubernetesSettings) -> NetworkPolicyPeer {
    of_namespace(&settings.platform_namespace, Some(names::labels([ROUTER])))
}

fn of_namespace(name: &str, pods: Option<Labels>) -> NetworkPolicyPeer {
    let selector = |labels: Labels| LabelSelector { match_labels: Some(labels), ..LabelSelector::default() };
    NetworkPolicyPeer {
        namespace_selector: Some(selector(names::labels([(NAMESPACE_NAME_LABEL, name)]))),
        pod_selector: pods.map(selector),
        ip_block: None,
    }
}

/// Databases and the like that the operator runs in the cluster; not the platform, and no other app.
fn other_namespaces(settings: &KubernetesSettings) -> NetworkPolicyPeer {
    let not_in = |key: &str, values: &[&str]| LabelSelectorRequirement {
        key: key.to_owned(),
        operator: "NotIn".to_owned(),
        values: Some(values.iter().map(|value| (*value).to_owned()).collect()),
    };
    let platform = [settings.platform_namespace.as_str(), settings.builds_namespace.as_str()];
    NetworkPolicyPeer {
        namespace_selector: Some(LabelSelector {
            match_expressions: Some(vec![
                not_in(NAMESPACE_NAME_LABEL, &platform),
                not_in(names::HERITAGE_LABEL, &[names::HERITAGE]),
            ]),
            match_labels: None,
        }),
        ..NetworkPolicyPeer::default()
    }
}

/// Addresses outside of the cluster. Which are inside is not known here: some network plug-ins count pods among
/// them, and then the policies of those who are reached decide.
fn outside() -> Vec<NetworkPolicyPeer> {
    let block = |all: &str, except: &str| NetworkPolicyPeer {
        ip_block: Some(IPBlock { cidr: all.to_owned(), except: Some(vec![except.to_owned()]) }),
        ..NetworkPolicyPeer::default()
    };
    vec![block("0.0.0.0/0", LINK_LOCAL[0]), block("::/0", LINK_LOCAL[1])]
}
