//! Scenarios: what a user does with `deis`, `git` and `curl`, against the programs as they were built.
//!
//! Each scenario has a platform of its own, on free ports, with its state in a temporary folder; when it
//! ends, nothing is left in Docker. On a cluster, where an installation takes long, an unchanged one is used by the
//! next scenario. The programs are found by `WORKFLOW_BIN` and `DEIS_BIN`, which
//! `cargo xtask test` sets, else in the target folder.

mod daemon;
mod git_server;
mod http;
mod mirror;
mod on_terminal;
mod platform;
pub mod private_registry;
pub mod samples;
mod user;
mod visitors;
mod websocket;

pub use daemon::Daemon;
pub use git_server::GitServer;
pub use http::{Response, get};
pub use on_terminal::OnTerminal;
pub use platform::Platform;
pub use private_registry::PrivateRegistry;
pub use testkit::wait_until_blocking;
pub use user::{CommandOutput, User};
pub use visitors::Visitors;
pub use websocket::{ECHO_APP, WebSocket};

use std::path::{Path, PathBuf};

/// Root of the checkout.
pub fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("e2e lies in the checkout").to_owned()
}
