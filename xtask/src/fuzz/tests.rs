//! `cargo xtask fuzz router` and `annotations`: randomized tests of the test suite, run for longer.

use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::{packages, paths, progress};

/// A test with random cases, in the file that its variant names.
#[derive(Debug, Clone, Copy)]
pub enum Drawn {
    /// `crates/router/tests/edge/fuzz.rs`.
    Router,
    /// `crates/domain/tests/annotations.rs`.
    Annotations,
}

/// Duration and seed.
#[derive(Debug, clap::Args)]
pub struct FuzzTest {
    /// Minutes that the test runs.
    #[arg(long, default_value_t = 10)]
    minutes: u64,
    /// Seed; the same number makes the same cases. Without it a random one is used and printed.
    #[arg(long)]
    seed: Option<u64>,
}

impl FuzzTest {
    pub fn run(&self, drawn: Drawn) -> anyhow::Result<()> {
        let words: &[&str] = match drawn {
            Drawn::Router => &["--package=router", "--test=edge", "--", "--nocapture", "fuzz::"],
            Drawn::Annotations => &["--package=domain", "--test=annotations", "--", "--nocapture"],
        };
        packages::ensure(&[packages::C_COMPILER])?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |time| time.as_secs());
        let mut cargo = Command::new(paths::cargo());
        cargo.current_dir(paths::checkout()).args(["test", "--locked"]).args(words);
        cargo.env("WORKFLOW_FUZZ_SECONDS", (self.minutes * 60).to_string());
        cargo.env("WORKFLOW_FUZZ_SEED", self.seed.unwrap_or(now).to_string());
        progress::run(&mut cargo)
    }
}
