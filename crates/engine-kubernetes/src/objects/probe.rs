//! Health checks as Kubernetes does them.

use domain::deployment::{Probe, ProbeAction};
use k8s_openapi::api::core::v1::{
    ExecAction, HTTPGetAction, HTTPHeader, Probe as KubernetesProbe, TCPSocketAction,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::signed;

/// Misses of the platform's own check that take traffic away: a process that is busy for a moment must not
/// lose it to a check that the user never asked for.
const SERVING_MISSES: i32 = 3;
/// Period of the platform's own check, short so that a new replica serves as soon as it can.
const SERVING_PERIOD_SECONDS: i32 = 1;

pub fn liveness(probe: &Probe) -> KubernetesProbe {
    // Kubernetes takes no other number of passes for it.
    KubernetesProbe { success_threshold: Some(1), ..readiness(probe) }
}

pub fn readiness(probe: &Probe) -> KubernetesProbe {
    let Probe {
        action,
        initial_delay_seconds,
        timeout_seconds,
        period_seconds,
        success_threshold,
        failure_threshold,
    } = probe;
    let given = KubernetesProbe {
        initial_delay_seconds: Some(signed(*initial_delay_seconds)),
        timeout_seconds: Some(signed(*timeout_seconds).max(1)),
        period_seconds: Some(signed(*period_seconds).max(1)),
        success_threshold: Some(signed(*success_threshold).max(1)),
        failure_threshold: Some(signed(*failure_threshold).max(1)),
        ..KubernetesProbe::default()
    };
    match action {
        ProbeAction::HttpGet { port, path, headers } => {
            KubernetesProbe { http_get: Some(http_get(*port, path, headers)), ..given }
        }
        ProbeAction::Exec { command } => {
            KubernetesProbe { exec: Some(ExecAction { command: Some(command.clone()) }), ..given }
        }
        ProbeAction::TcpSocket { port } => KubernetesProbe { tcp_socket: Some(tcp(*port)), ..given },
        ProbeAction::Serving { port } => KubernetesProbe {
            tcp_socket: Some(tcp(*port)),
            period_seconds: Some(SERVING_PERIOD_SECONDS),
            failure_threshold: given.failure_threshold.max(Some(SERVING_MISSES)),
            ..given
        },
    }
}

fn http_get(port: u16, path: &str, headers: &[(String, String)]) -> HTTPGetAction {
    let header = |(name, value): &(String, String)| HTTPHeader { name: name.clone(), value: value.clone() };
    HTTPGetAction {
        path: Some(path.to_owned()),
        port: IntOrString::Int(port.into()),
        http_headers: Some(headers.iter().map(header).collect()),
        ..HTTPGetAction::default()
    }
}

fn tcp(port: u16) -> TCPSocketAction {
    TCPSocketAction { port: IntOrString::Int(port.into()), ..TCPSocketAction::default() }
}
