//! Failures of a phase: one message for the person who must act, and an exit code of the Platform API.

use std::fmt::Display;

/// Ranges of exit codes that the Platform API gives each phase.
pub mod code {
    pub const GENERIC: u8 = 1;
    pub const USAGE: u8 = 3;
    pub const PLATFORM_API: u8 = 11;
    pub const BUILDPACK_API: u8 = 12;
    /// No group passed detection.
    pub const NO_GROUP: u8 = 20;
    /// No group passed detection, and a buildpack failed with an error.
    pub const DETECT_ERROR: u8 = 21;
    pub const DETECT: u8 = 22;
    pub const ANALYZE: u8 = 32;
    pub const RESTORE: u8 = 42;
    pub const BUILD: u8 = 52;
    /// A buildpack's own `bin/build` failed.
    pub const BUILDPACK_FAILED: u8 = 51;
    pub const EXPORT: u8 = 62;
    pub const REBASE: u8 = 72;
    pub const LAUNCH: u8 = 82;
}

/// A failure; the message goes to stderr, the code to the parent process.
#[derive(Debug, PartialEq, Eq)]
pub struct LifecycleError {
    pub exit_code: u8,
    pub message: String,
}

impl LifecycleError {
    pub fn new(exit_code: u8, message: impl Into<String>) -> Self {
        Self { exit_code, message: message.into() }
    }

    /// A failure of no phase in particular; [`OfPhase`] gives it the code of the phase it ended.
    pub fn generic(message: impl Into<String>) -> Self {
        Self::new(code::GENERIC, message)
    }
}

pub type Result<T, E = LifecycleError> = std::result::Result<T, E>;

/// Names what was tried when input or output fails.
pub trait OrFailure<T> {
    /// Turns the error into a [`LifecycleError`] that begins with `what`.
    fn or_fail(self, what: impl Display) -> Result<T>;
}

impl<T, E: Display> OrFailure<T> for std::result::Result<T, E> {
    fn or_fail(self, what: impl Display) -> Result<T> {
        self.map_err(|error| LifecycleError::generic(format!("{what}: {error}")))
    }
}

/// Gives generic failures the exit code of a phase.
pub trait OfPhase<T> {
    fn of_phase(self, exit_code: u8) -> Result<T>;
}

impl<T> OfPhase<T> for Result<T> {
    fn of_phase(self, exit_code: u8) -> Result<T> {
        self.map_err(|error| match error.exit_code {
            code::GENERIC => LifecycleError { exit_code, ..error },
            _ => error,
        })
    }
}
