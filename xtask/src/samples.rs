//! `cargo xtask samples`: pushes of all apps of `examples/`, which the scenarios have of each language one.

use crate::{packages, progress, test};

/// Push every app of `examples/` to a platform of its own: first, with one changed line, and without a change.
#[derive(Debug, clap::Args)]
pub struct Samples {
    /// Only those whose names contain this text.
    only: Option<String>,
}

impl Samples {
    pub fn run(self) -> anyhow::Result<()> {
        // Serves the mirrors.
        packages::ensure(&[packages::PYTHON])?;
        let run = test::scenarios()?.selecting(&["--test=samples"]).arguments(&["--ignored", "--nocapture"]);
        progress::run(&mut run.env("WORKFLOW_SAMPLES", self.only.unwrap_or_default()).command()?)
    }
}
