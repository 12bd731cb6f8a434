//! `cargo xtask fuzz`: what nobody would write, against what the platform promises.

mod api;
mod schemathesis;
mod tests;

use clap::Subcommand;

pub use api::FuzzApi;
use tests::{Drawn, FuzzTest};

/// Try what nobody would write: `api`, `router` or `annotations`.
#[derive(Debug, clap::Args)]
pub struct Fuzz {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Hold the API to its own description at /v2/openapi.json, with schemathesis.
    Api(FuzzApi),
    /// Send heads and bodies made by chance through the router; what goes out must be clear.
    Router(FuzzTest),
    /// Read settings made by chance; what cannot be read must be told and harm nothing else.
    Annotations(FuzzTest),
}

impl Fuzz {
    pub fn run(&self) -> anyhow::Result<()> {
        match &self.what {
            What::Api(api) => api.run(),
            What::Router(test) => test.run(Drawn::Router),
            What::Annotations(test) => test.run(Drawn::Annotations),
        }
    }
}
