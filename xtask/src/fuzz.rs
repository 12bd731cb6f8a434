//! `cargo xtask fuzz`: requests that nobody would write, against what the platform says of itself.

mod api;
mod schemathesis;

use clap::Subcommand;

pub use api::FuzzApi;

/// Send requests that nobody would write: `api`.
#[derive(Debug, clap::Args)]
pub struct Fuzz {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Hold the API to its own description at /v2/openapi.json, with schemathesis.
    Api(FuzzApi),
}

impl Fuzz {
    pub fn run(&self) -> anyhow::Result<()> {
        match &self.what {
            What::Api(api) => api.run(),
        }
    }
}
