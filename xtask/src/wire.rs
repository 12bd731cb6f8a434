//! `cargo xtask wire`: the router tested by conformance programs of others.

mod edge;
mod h2spec;
mod tls;

use clap::Subcommand;

/// Test the router's protocols: `h2spec` or `tls`.
#[derive(Debug, clap::Args)]
pub struct Wire {
    #[command(subcommand)]
    what: WireCheck,
}

#[derive(Debug, Subcommand)]
enum WireCheck {
    /// Test HTTP/2 against RFC 9113 with h2spec, built from its pins the first time.
    H2spec,
    /// Look for weak TLS with testssl.sh; some minutes.
    Tls,
}

impl Wire {
    pub fn run(&self) -> anyhow::Result<()> {
        match &self.what {
            WireCheck::H2spec => h2spec::run(),
            WireCheck::Tls => tls::run(),
        }
    }
}

/// Part of it that `cargo xtask test` runs.
pub fn h2spec() -> anyhow::Result<()> {
    h2spec::run()
}
