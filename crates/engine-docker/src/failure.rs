//! Messages for errors of Docker, with the fix.

use bollard::errors::Error;

use super::Inner;
use super::jobs::{message, reason};
use engine::EngineError;

impl Inner {
    /// Sorts an error of Docker while it did `what`. No answer at all names the socket and the fix.
    pub(super) fn failed(&self, what: &str, error: Error) -> EngineError {
        if is_answer(&error) {
            return EngineError::Refused { what: what.to_owned(), reason: reason(&message(&error)) };
        }
        self.unreachable(what, Box::new(error))
    }

    /// The daemon gave no answer while it was asked to do `what`.
    pub(super) fn unreachable(
        &self,
        what: &str,
        source: Box<dyn std::error::Error + Send + Sync>,
    ) -> EngineError {
        let what = format!(
            "{what}: no answer from Docker at {} (is the Docker daemon running? try `systemctl start docker`)",
            self.socket
        );
        EngineError::Unreachable { what, source }
    }
}

/// Returns true if the daemon itself answered with an error.
pub(super) fn is_answer(error: &Error) -> bool {
    matches!(error, Error::DockerResponseServerError { .. } | Error::DockerStreamError { .. })
}
