//! Messages for Docker's errors of a job, with the fix.

use std::io;

use bollard::errors::Error;

use engine::{EngineError, JobError};

/// Docker's message, without the wrapping of the client library.
pub fn message(error: &Error) -> String {
    match error {
        Error::DockerResponseServerError { message, .. } => message.trim().to_owned(),
        Error::DockerStreamError { error } => error.trim().to_owned(),
        other => other.to_string(),
    }
}

/// Status code of Docker's answer, where there was one.
pub fn status(error: &Error) -> Option<u16> {
    match error {
        Error::DockerResponseServerError { status_code, .. } => Some(*status_code),
        _ => None,
    }
}

/// Sorts an error of Docker while it did `what`.
pub fn engine_error(what: &str, error: Error) -> EngineError {
    match error {
        Error::DockerResponseServerError { .. } | Error::DockerStreamError { .. } => {
            EngineError::Refused { what: what.to_owned(), reason: reason(&message(&error)) }
        }
        other => EngineError::Unreachable {
            what: format!("{what}: no answer from Docker (is the Docker daemon running?)"),
            source: Box::new(other),
        },
    }
}

/// As [`engine_error`], for jobs.
pub fn job_error(what: &str, error: Error) -> JobError {
    if is_disk_full(&message(&error)) {
        return JobError::Refused { reason: format!("{what}: {DISK_FULL}") };
    }
    JobError::Engine(engine_error(what, error))
}

/// A file of our own could not be written or read while a job did `what`.
pub fn file_error(what: &str, error: &io::Error) -> JobError {
    let reason = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => DISK_FULL.to_owned(),
        _ => reason(&error.to_string()),
    };
    JobError::Refused { reason: format!("{what}: {reason}") }
}

const DISK_FULL: &str = "the disk of the machine that runs Docker is full; free some space and try again";

fn is_disk_full(message: &str) -> bool {
    message.to_ascii_lowercase().contains("no space left on device")
}

/// Docker's words, or what to do where its disk is full.
pub fn reason(message: &str) -> String {
    if is_disk_full(message) { DISK_FULL.to_owned() } else { message.to_owned() }
}

/// `512 MB`, `2 GB`: the largest unit of 1,024 that leaves a whole number.
pub fn size(bytes: u64) -> String {
    let units = [("GB", 1 << 30), ("MB", 1 << 20), ("KB", 1 << 10)];
    let fitting = units.into_iter().find(|(_, unit)| bytes >= *unit && bytes.is_multiple_of(*unit));
    fitting.map_or_else(|| format!("{bytes} bytes"), |(name, unit)| format!("{} {name}", bytes / unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_in_words_that_say_what_to_do() {
        let message = "write /x: no space left on device".to_owned();

        let error = job_error("take in the source", Error::DockerStreamError { error: message });

        assert_eq!(error.to_string(), format!("take in the source: {DISK_FULL}"));
    }

    #[test]
    fn sizes_are_shown_in_the_largest_whole_unit() {
        let shown = [2 << 30, 1536 << 20, 1000].map(size);
        assert_eq!(shown, ["2 GB", "1536 MB", "1000 bytes"]);
    }
}
