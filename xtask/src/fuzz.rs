//! `cargo xtask fuzz`: random input against the promises of the platform.

mod api;
mod schemathesis;
mod tests;

use clap::Subcommand;

pub use api::FuzzApi;
use tests::{Drawn, FuzzTest};

/// Test with random input: `api`, `router` or `annotations`.
#[derive(Debug, clap::Args)]
pub struct Fuzz {
    #[command(subcommand)]
    what: FuzzTarget,
}

#[derive(Debug, Subcommand)]
enum FuzzTarget {
    /// Test the API against its own description at /v2/openapi.json, with schemathesis.
    Api(FuzzApi),
    /// Send random heads and bodies through the router; what it forwards must be unambiguous.
    Router(FuzzTest),
    /// Parse random settings; invalid ones must be reported and leave the others in force.
    Annotations(FuzzTest),
}

impl Fuzz {
    pub fn run(&self) -> anyhow::Result<()> {
        match &self.what {
            FuzzTarget::Api(api) => api.run(),
            FuzzTarget::Router(test) => test.run(Drawn::Router),
            FuzzTarget::Annotations(test) => test.run(Drawn::Annotations),
        }
    }
}
