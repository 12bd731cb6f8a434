//! Shared parts of tests' worlds: waits that end, free ports, Docker's command.
//!
//! Only tests depend on it, and it depends on no other crate of ours.

pub mod cnb;
pub mod docker;
mod ports;
mod wait;

pub use ports::{free_address, free_port};
#[cfg(feature = "tokio")]
pub use wait::wait_until;
pub use wait::{Attempt, WAIT_MAX, wait_until_blocking};
