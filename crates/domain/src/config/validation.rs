//! Validation of each group of texts, with the messages of docs/spec/api.md 4.7.

use super::{Group, limits};
use crate::bool_text::bool_of_variable;
use crate::deployment::PullPolicy;
use crate::names::{NameError, ProcessType};

const KEY_FORMAT: &str = "Config keys must start with a letter or underscore and only contain [A-z0-9_]";
const MEMORY_FORMAT: &str = "Memory limit format: <number><unit> or <number><unit>/<number><unit>, \
                             where unit = B, K, M or G";
/// Nothing starts with less (docs/spec/journeys.md A9).
const MEMORY_LIMIT_BYTES_MIN: u64 = 4 << 20;
const MEMORY_TOO_SMALL: &str = "Memory limit must be at least 4M, or 0 for none";
const CPU_FORMAT: &str = "CPU limit format: <value> or <value>/<value>, where value must be a numeric";
const GRACE_FORMAT: &str = "Termination Grace Period format: <value>, where value must be a numeric";
const TAG_PREFIX_TOO_LONG: &str = "Tag key prefixes must 253 characters or less.";
const TAG_PREFIX: &str = "Tag key prefixes must be DNS subdomains.";
const TAG_KEY: &str = "Tag keys must be alphanumeric or \"-_.\", and 1-63 characters.";
const TAG_VALUE: &str = "Tag values must be alphanumeric or \"-_.\", and 1-63 characters.";
const PULL_POLICY: &str = "IMAGE_PULL_POLICY can only be Always or IfNotPresent";
const EXPOSE_ADDRESS: &str = "DEIS_EXPOSE_POD_IP can only be true or false";
const NO_NUL: &str = "Config values can not contain a null character";

/// Variables that the platform itself reads as whole numbers, besides `HEALTHCHECK_*`.
const NUMBERS: [&str; 4] = [
    "DEIS_DEPLOY_BATCHES",
    "DEIS_DEPLOY_TIMEOUT",
    "KUBERNETES_DEPLOYMENTS_REVISION_HISTORY_LIMIT",
    "KUBERNETES_POD_TERMINATION_GRACE_PERIOD_SECONDS",
];

/// Checks one entry that is to be set.
pub(super) fn check(group: Group, key: &str, value: &str) -> Result<(), String> {
    match group {
        Group::Values => check_variable(key, value),
        Group::Memory => check_memory(key, value),
        Group::Cpu => check_limit(key, limits::parse_cpu(value).is_some(), CPU_FORMAT),
        Group::TerminationGracePeriod => check_limit(key, is_number(value), GRACE_FORMAT),
        Group::Tags => check_tag(key, value),
        Group::Registry => when(is_variable_name(key), KEY_FORMAT),
        Group::LifecyclePostStart | Group::LifecyclePreStop => Ok(()),
    }
}

fn check_variable(key: &str, value: &str) -> Result<(), String> {
    when(is_variable_name(key), KEY_FORMAT)?;
    when(!value.contains('\0'), NO_NUL)?;
    let numeric = format!("{key} can only be a numeric value");
    match key {
        "PORT" => check_port(value, &numeric),
        "HEALTHCHECK_URL" => check_health_path(value),
        "IMAGE_PULL_POLICY" => when(PullPolicy::parse(value).is_some(), PULL_POLICY),
        "DEIS_EXPOSE_POD_IP" => when(bool_of_variable(value).is_some(), EXPOSE_ADDRESS),
        _ if key.starts_with("HEALTHCHECK_") || NUMBERS.contains(&key) => when(is_number(value), &numeric),
        _ => Ok(()),
    }
}

fn check_port(value: &str, numeric: &str) -> Result<(), String> {
    when(!value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()), numeric)?;
    let in_range = value.parse::<u16>().is_ok_and(|port| port > 0);
    when(in_range, "PORT needs to be between 1 and 65535")
}

fn check_health_path(value: &str) -> Result<(), String> {
    let (rest, fragment) = value.split_once('#').unwrap_or((value, ""));
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let after_scheme = rest.split_once("://").map(|(_, rest)| rest).or_else(|| rest.strip_prefix("//"));
    let path = match after_scheme {
        Some(host_and_path) => host_and_path.find('/').map_or("", |slash| &host_and_path[slash..]),
        None => rest,
    };
    when(
        !path.is_empty(),
        "HEALTHCHECK_URL is missing a URI path (such as /healthz). Without it no health check can be done",
    )?;
    when(
        after_scheme.is_none() && fragment.is_empty() && query.is_empty(),
        "HEALTHCHECK_URL can only be a URI path (such as /healthz) that does not contain other things \
         such as query params",
    )
}

fn check_limit(key: &str, well_formed: bool, format: &str) -> Result<(), String> {
    ProcessType::parse(key).map_err(|_| NameError::ProcessType.to_string())?;
    when(well_formed, format)
}

fn check_memory(key: &str, value: &str) -> Result<(), String> {
    check_limit(key, limits::parse_memory(value).is_some(), MEMORY_FORMAT)?;
    let (_, limit_bytes) = limits::memory_bytes(value);
    when(limit_bytes == 0 || limit_bytes >= MEMORY_LIMIT_BYTES_MIN, MEMORY_TOO_SMALL)
}

fn check_tag(key: &str, value: &str) -> Result<(), String> {
    let name = match key.split_once('/') {
        Some((prefix, name)) => {
            when(prefix.len() <= 253, TAG_PREFIX_TOO_LONG)?;
            when(is_label_value(prefix), TAG_PREFIX)?;
            name
        }
        None => key,
    };
    when(is_label_value(name), TAG_KEY)?;
    when(value.is_empty() || is_label_value(value), TAG_VALUE)
}

/// `^[a-z_]+[a-z0-9_]*$`, in any case.
fn is_variable_name(key: &str) -> bool {
    let starts_well = key.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    starts_well && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// `^([A-Za-z0-9][-.\w]{0,61})?[A-Za-z0-9]$`
fn is_label_value(text: &str) -> bool {
    let is_end = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    let inner = bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'));
    bytes.len() <= 63 && is_end(bytes.first()) && is_end(bytes.last()) && inner
}

/// A whole number that the platform can count with.
fn is_number(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u32>().is_ok()
}

fn when(holds: bool, otherwise: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise.to_owned()) }
}
