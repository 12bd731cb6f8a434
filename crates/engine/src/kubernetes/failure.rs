//! What an error of Kubernetes means for the one who must act.

use kube::Error;

use crate::EngineError;

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

/// Whether trying again cannot help: not where others were faster, or where there are too many at once.
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

/// What is to go and is not there has gone.
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

/// Whether a container could not be made or run because its node had too much to do; the node tries again.
pub fn is_of_a_busy_node(message: &str) -> bool {
    // The first try goes on in the runtime and holds the container's name for as long.
    ["context deadline exceeded", "DeadlineExceeded", "is reserved for"].iter().any(|it| message.contains(it))
}
