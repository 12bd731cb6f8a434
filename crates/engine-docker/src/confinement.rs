//! Confinement: what every process of an app runs with, a replica as a one-off process, so that neither has more than
//! the other.

use bollard::models::HostConfig;
use domain::deployment::Limits;

/// Capabilities of Docker's default set that ordinary images do without.
const DROPPED_CAPABILITIES: [&str; 4] = ["AUDIT_WRITE", "MKNOD", "NET_RAW", "SETFCAP"];
/// Bound of `/dev/shm`, which counts as memory of the container: Docker's own default, said aloud.
const SHM_BYTES: i64 = 64 << 20;

/// Limits, capabilities and bounds of a container of an app, on a machine with so many processors.
pub fn confined(limits: &Limits, cpus: i64, pids_max: u32) -> HostConfig {
    let Limits { memory_request_bytes, memory_limit_bytes, cpu_request_millis, cpu_limit_millis } = *limits;
    let signed = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    HostConfig {
        memory: memory_limit_bytes.map(signed),
        // Equal to the memory: no swap on top of it.
        memory_swap: memory_limit_bytes.map(signed),
        memory_reservation: memory_request_bytes.map(signed),
        // Docker refuses more than the machine has; a limit above that bounds nothing anyway.
        nano_cpus: cpu_limit_millis
            .map(|millis| signed(millis.saturating_mul(1_000_000)).min(cpus * 1_000_000_000)),
        cpu_shares: cpu_request_millis.map(|millis| signed(millis.saturating_mul(1024) / 1000).max(2)),
        pids_limit: Some(i64::from(pids_max)),
        shm_size: Some(SHM_BYTES),
        init: Some(true),
        cap_drop: Some(DROPPED_CAPABILITIES.map(str::to_owned).to_vec()),
        security_opt: Some(vec!["no-new-privileges".to_owned()]),
        ..HostConfig::default()
    }
}
