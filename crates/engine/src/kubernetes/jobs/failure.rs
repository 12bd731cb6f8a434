//! What errors of Kubernetes and of pods mean for a job, in words for the one who must act.

use kube::Error;

use crate::{EngineError, JobError};

/// Sorts an error of Kubernetes while it did `what`.
pub fn engine_error(what: &str, error: Error) -> EngineError {
    match &error {
        Error::Api(status)
            if (400..500).contains(&status.code) && ![408, 409, 429].contains(&status.code) =>
        {
            EngineError::Refused { what: what.to_owned(), reason: status.message.clone() }
        }
        _ => EngineError::Unreachable {
            what: format!("{what}: no answer from Kubernetes (is its API server up and reachable?)"),
            source: Box::new(error),
        },
    }
}

pub fn job_error(what: &str, error: Error) -> JobError {
    JobError::Engine(engine_error(what, error))
}

pub fn is_missing(error: &Error) -> bool {
    matches!(error, Error::Api(status) if status.code == 404)
}

/// What is to go and is not there has gone.
pub fn gone_is_fine<T>(result: Result<T, Error>) -> Result<(), Error> {
    match result {
        Err(error) if !is_missing(&error) => Err(error),
        _ => Ok(()),
    }
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
