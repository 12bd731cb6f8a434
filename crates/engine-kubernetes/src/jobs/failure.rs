//! Messages for errors of Kubernetes and of pods in a job, with the fix.

use kube::Error;

use crate::failure::failed;
use engine::JobError;

pub fn job_error(what: &str, error: Error) -> JobError {
    JobError::Engine(failed(what, error))
}

pub fn refused(reason: impl Into<String>) -> JobError {
    JobError::Refused { reason: reason.into() }
}

/// `512 MB`, `2 GB`: the largest unit of 1,024 that leaves a whole number.
pub fn size(bytes: u64) -> String {
    let units = [("GB", 1 << 30), ("MB", 1 << 20), ("KB", 1 << 10)];
    let fitting = units.into_iter().find(|(_, unit)| bytes >= *unit && bytes.is_multiple_of(*unit));
    fitting.map_or_else(|| format!("{bytes} bytes"), |(name, unit)| format!("{} {name}", bytes / unit))
}
