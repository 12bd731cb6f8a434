//! `cargo xtask wire`: the router examined by programs that others wrote for it.

mod edge;
mod h2spec;
mod tls;

use clap::Subcommand;

/// Examine how the router speaks: `h2spec` or `tls`.
#[derive(Debug, clap::Args)]
pub struct Wire {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Hold HTTP/2 to RFC 9113 with h2spec, built from its pins the first time.
    H2spec,
    /// Look for weak TLS with testssl.sh; some minutes.
    Tls,
}

impl Wire {
    pub fn run(&self) -> anyhow::Result<()> {
        match &self.what {
            What::H2spec => h2spec::run(),
            What::Tls => tls::run(),
        }
    }
}

/// What `cargo xtask test` runs of it.
pub fn h2spec() -> anyhow::Result<()> {
    h2spec::run()
}
