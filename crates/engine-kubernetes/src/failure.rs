//! Messages for errors of Kubernetes, with the fix.

use kube::Error;

use engine::EngineError;

const CONFLICT: u16 = 409;

/// Sorts an error of Kubernetes while it did `what`.
pub fn failed(what: &str, error: Error) -> EngineError {
    match &error {
        Error::Api(status) if is_refusal(status.code, &status.message) => {
            EngineError::Refused { what: what.to_owned(), reason: status.message.clone() }
        }
        _ => EngineError::Unreachable {
            what: format!("{what}: no answer from Kubernetes (is its API server up and reachable?)"),
            source: Box::new(error),
        },
    }
}

/// Returns true if a retry cannot help; conflicts and rate limits can be retried.
fn is_refusal(code: u16, message: &str) -> bool {
    const TRY_AGAIN: [u16; 3] = [408, CONFLICT, 429];
    (400..500).contains(&code) && !TRY_AGAIN.contains(&code) && !message.contains("is being terminated")
}

pub fn code(error: &Error) -> Option<u16> {
    match error {
        Error::Api(status) => Some(status.code),
        _ => None,
    }
}

/// Someone else changed the object in the meantime.
pub fn is_conflict(error: &Error) -> bool {
    code(error) == Some(CONFLICT)
}

/// Removing an object that does not exist succeeds.
pub fn gone_is_fine<T>(result: Result<T, Error>) -> Result<(), Error> {
    match result {
        Err(error) if code(&error) != Some(404) => Err(error),
        _ => Ok(()),
    }
}

/// An answer in time, or what to say about its absence.
pub fn late(what: &str, seconds: u64) -> EngineError {
    EngineError::Unreachable { what: what.to_owned(), source: format!("not done after {seconds} s").into() }
}

/// Returns true if a container could not be made or run because its node was overloaded; the node tries again.
pub fn is_of_a_busy_node(message: &str) -> bool {
    // The first try continues in the runtime and holds the container's name meanwhile.
    ["context deadline exceeded", "DeadlineExceeded", "is reserved for"].iter().any(|it| message.contains(it))
}
