//! The NetworkPolicy of an app's namespace: the app is reached by the router, by itself and by
//! apps of the same owner, and reaches
//! the world, but neither the platform nor the API server, the cloud's metadata service and what else the operator
//! has closed.

use domain::AppName;
use k8s_openapi::api::networking::v1::{
    IPBlock, NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer,
    NetworkPolicyPort, NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::metadata;
use crate::names::{self, Labels};
use crate::{ClosedAddress, KubernetesSettings};

/// Label that Kubernetes itself puts on each namespace.
const NAMESPACE_NAME_LABEL: &str = "kubernetes.io/metadata.name";
const ROUTER: (&str, &str) = ("app", "deis-router");
const DNS_PORT: i32 = 53;

pub fn name(app: &AppName) -> String {
    format!("{app}-network")
}

/// `owner` is the value of the owner's label, where one is known.
pub fn policy(settings: &KubernetesSettings, app: &AppName, owner: Option<&str>) -> NetworkPolicy {
    let same_owner = owner.map(|owner| of_owner(settings, owner));
    NetworkPolicy {
        metadata: metadata(&name(app), names::app_labels(app)),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(LabelSelector::default()),
            policy_types: Some(["Ingress", "Egress"].map(str::to_owned).to_vec()),
            ingress: Some(vec![NetworkPolicyIngressRule {
                from: Some([own_pods(), router(settings)].into_iter().chain(same_owner.clone()).collect()),
                ports: None,
            }]),
            egress: Some(egress(settings, same_owner)),
        }),
    }
}

fn egress(
    settings: &KubernetesSettings,
    same_owner: Option<NetworkPolicyPeer>,
) -> Vec<NetworkPolicyEgressRule> {
    let inside = [own_pods(), router(settings), other_namespaces(settings)];
    let usual = [to(inside.into_iter().chain(same_owner).collect()), name_service(), to(outside(settings))];
    usual.into_iter().chain(settings.closed_addresses.iter().filter_map(beside_closed_port)).collect()
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
    of_namespace(&settings.platform_namespace, names::labels([ROUTER]))
}

fn of_namespace(name: &str, pods: Labels) -> NetworkPolicyPeer {
    let selector = |labels: Labels| LabelSelector { match_labels: Some(labels), ..LabelSelector::default() };
    NetworkPolicyPeer {
        namespace_selector: Some(selector(names::labels([(NAMESPACE_NAME_LABEL, name)]))),
        pod_selector: Some(selector(pods)),
        ip_block: None,
    }
}

/// Apps of the same owner on this platform.
fn of_owner(settings: &KubernetesSettings, owner: &str) -> NetworkPolicyPeer {
    let labels = [
        (names::HERITAGE_LABEL, names::HERITAGE),
        (names::PLATFORM_LABEL, settings.platform_namespace.as_str()),
        (names::OWNER_LABEL, owner),
    ];
    NetworkPolicyPeer {
        namespace_selector: Some(LabelSelector {
            match_labels: Some(names::labels(labels)),
            match_expressions: None,
        }),
        ..NetworkPolicyPeer::default()
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

/// Addresses outside of the cluster, except closed ones. The inside ranges are unknown here: some network plug-ins
/// count pods among these addresses, and then the policies of the target decide.
fn outside(settings: &KubernetesSettings) -> Vec<NetworkPolicyPeer> {
    let closed = settings.closed_addresses.iter().map(|closed| &closed.cidr);
    let closed: Vec<_> = settings.metadata_addresses.iter().chain(closed).collect();
    let block = |all: &str, is_v6: bool| {
        let except: Vec<_> =
            closed.iter().filter(|it| it.contains(':') == is_v6).map(|it| (*it).clone()).collect();
        network(all, (!except.is_empty()).then_some(except))
    };
    vec![block("0.0.0.0/0", false), block("::/0", true)]
}

/// If only one port is closed, the others stay open.
fn beside_closed_port(closed: &ClosedAddress) -> Option<NetworkPolicyEgressRule> {
    let port = closed.port?;
    let range = |protocol: &str, first: u16, last: u16| NetworkPolicyPort {
        port: Some(IntOrString::Int(first.into())),
        end_port: Some(last.into()),
        protocol: Some(protocol.to_owned()),
    };
    let below = (port > 1).then(|| range("TCP", 1, port - 1));
    let above = (port < u16::MAX).then(|| range("TCP", port + 1, u16::MAX));
    let ports = below.into_iter().chain(above).chain([range("UDP", 1, u16::MAX)]);
    Some(NetworkPolicyEgressRule {
        to: Some(vec![network(&closed.cidr, None)]),
        ports: Some(ports.collect()),
    })
}

fn network(cidr: &str, except: Option<Vec<String>>) -> NetworkPolicyPeer {
    NetworkPolicyPeer {
        ip_block: Some(IPBlock { cidr: cidr.to_owned(), except }),
        ..NetworkPolicyPeer::default()
    }
}
