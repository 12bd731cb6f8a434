//! Health checks as users write them, and as workloads carry them.

use serde_json::Value;

use super::Healthchecks;
use crate::deployment::{Probe, ProbeAction, Probes};
use crate::names::ProcessType;
use crate::schema::{array, each, integer, object, required, text, texts};

/// The group that holds for `web` and `cmd` where they have none of their own.
pub const PROBES_OF_ROUTABLE: &str = "web/cmd";
const LIVENESS: &str = "livenessProbe";
const READINESS: &str = "readinessProbe";
/// Longest time, in seconds, and highest count that a probe can have.
const NUMBER_MAX: u32 = 24 * 60 * 60;
const NUMBERS: [&str; 5] =
    ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"];

/// The configured probes of a process type; `None` where none are. `port` fills in where a probe
/// names none.
pub fn probes(healthcheck: &Healthchecks, process: &ProcessType, port: Option<u16>) -> Option<Probes> {
    let common = if process.is_routable() { healthcheck.get(PROBES_OF_ROUTABLE) } else { None };
    let own = healthcheck.get(process.as_str()).filter(|probes| !probes.is_empty());
    let given = own.or(common).filter(|probes| !probes.is_empty())?;
    let read = |name: &str| given.get(name).and_then(|probe| read_probe(probe, port));
    Some(Probes { liveness: read(LIVENESS), readiness: read(READINESS) })
}

/// Reads a probe; one without a handler that can be run does nothing. Defaults are Kubernetes'.
fn read_probe(probe: &Value, port: Option<u16>) -> Option<Probe> {
    let number = |name: &str, default| {
        let given = probe.get(name).and_then(Value::as_u64);
        given.map_or(default, |number| u32::try_from(number).unwrap_or(NUMBER_MAX).min(NUMBER_MAX))
    };
    Some(Probe {
        action: read_action(probe, port)?,
        initial_delay_seconds: number(NUMBERS[0], 0),
        timeout_seconds: number(NUMBERS[1], 1).max(1),
        period_seconds: number(NUMBERS[2], 10).max(1),
        success_threshold: number(NUMBERS[3], 1).max(1),
        failure_threshold: number(NUMBERS[4], 3).max(1),
    })
}

fn read_action(probe: &Value, port: Option<u16>) -> Option<ProbeAction> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let port_of = |handler: &Value| {
        let given = handler.get("port").and_then(Value::as_u64);
        given.and_then(|port| u16::try_from(port).ok()).or(port)
    };
    if let Some(handler) = probe.get("exec") {
        let command = handler.get("command")?.as_array()?.iter().filter_map(text).collect();
        return Some(ProbeAction::Exec { command });
    }
    if let Some(handler) = probe.get("httpGet") {
        let path = handler.get("path").and_then(Value::as_str).unwrap_or("/");
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        let header = |header: &Value| Some((text(header.get("name")?)?, text(header.get("value")?)?));
        let headers = handler.get("httpHeaders").and_then(Value::as_array);
        let headers = headers.into_iter().flatten().filter_map(header).collect();
        return Some(ProbeAction::HttpGet { port: port_of(handler)?, path, headers });
    }
    let handler = probe.get("tcpSocket")?;
    Some(ProbeAction::TcpSocket { port: port_of(handler)? })
}

/// Checks one probe that is to be set; null removes one and is always well.
pub(super) fn check(name: &str, probe: &Value) -> Result<(), String> {
    if name != LIVENESS && name != READINESS {
        return Err("Healthcheck keys must be either livenessProbe or readinessProbe".to_owned());
    }
    if probe.is_null() {
        return Ok(());
    }
    check_shape(probe).map_err(|fault| format!("could not validate {probe}: {fault}"))?;
    let successes = probe.get("successThreshold").and_then(Value::as_u64);
    if name == LIVENESS && successes.is_some_and(|count| count != 1) {
        return Err("livenessProbe successThreshold can only be 1".to_owned());
    }
    Ok(())
}

fn check_shape(probe: &Value) -> Result<(), String> {
    let probe = object(probe)?;
    for name in NUMBERS {
        each(probe, name, |number| integer(number, i64::from(NUMBER_MAX)))?;
    }
    each(probe, "exec", |handler| {
        let handler = object(handler)?;
        texts(required(handler, "command")?)
    })?;
    each(probe, "httpGet", |handler| {
        let handler = object(handler)?;
        integer(required(handler, "port")?, 65535)?;
        for name in ["path", "host", "scheme"] {
            each(handler, name, text)?;
        }
        each(handler, "httpHeaders", |headers| array(headers)?.iter().try_for_each(header))
    })?;
    each(probe, "tcpSocket", |handler| integer(required(object(handler)?, "port")?, 65535))
}

fn header(header: &Value) -> Result<(), String> {
    let header = object(header)?;
    ["name", "value"].into_iter().try_for_each(|name| text(required(header, name)?))
}
