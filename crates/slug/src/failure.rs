//! Failures of `slug`: one message for the person who must act, and an exit code for the side that must.

use std::fmt::Display;

/// A step of the app or of a pack failed, or no pack fits.
pub const STEP_FAILED: u8 = 1;
/// `slug` was called wrongly, or a process type is not known (EX_USAGE).
pub const USAGE: u8 = 64;
/// A file of the app cannot be understood, or a bound is broken (EX_DATAERR).
pub const BAD_DATA: u8 = 65;
/// A pack could not be fetched (EX_UNAVAILABLE).
pub const UNAVAILABLE: u8 = 69;
/// Reading or writing failed (EX_IOERR).
pub const IO_ERROR: u8 = 74;

/// A failure; the message goes to stderr, the code to the parent process.
#[derive(Debug, PartialEq, Eq)]
pub struct SlugError {
    pub exit_code: u8,
    pub message: String,
}

impl SlugError {
    pub fn step(message: impl Into<String>) -> Self {
        Self { exit_code: STEP_FAILED, message: message.into() }
    }

    pub fn usage(message: impl Into<String>) -> Self {
        Self { exit_code: USAGE, message: message.into() }
    }

    pub fn data(message: impl Into<String>) -> Self {
        Self { exit_code: BAD_DATA, message: message.into() }
    }

    pub fn unavailable(message: impl Into<String>) -> Self {
        Self { exit_code: UNAVAILABLE, message: message.into() }
    }
}

/// Names what was tried when input or output fails.
pub trait OrFailure<T> {
    /// Turns the error into a [`Failure`] that begins with `what`.
    fn or_fail(self, what: impl Display) -> Result<T, SlugError>;
}

impl<T> OrFailure<T> for std::io::Result<T> {
    fn or_fail(self, what: impl Display) -> Result<T, SlugError> {
        self.map_err(|error| SlugError { exit_code: IO_ERROR, message: format!("{what}: {error}") })
    }
}
