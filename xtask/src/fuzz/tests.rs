//! `cargo xtask fuzz router` and `annotations`: tests by chance that are among all others too, for longer.

use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::{packages, paths, progress};

/// A test that draws its cases, and where it lies.
#[derive(Debug, Clone, Copy)]
pub enum Drawn {
    /// `crates/router/tests/edge/fuzz.rs`.
    Router,
    /// `crates/domain/tests/annotations.rs`.
    Annotations,
}

/// How long, and where chance begins.
#[derive(Debug, clap::Args)]
pub struct FuzzTest {
    /// Minutes that it takes.
    #[arg(long, default_value_t = 10)]
    minutes: u64,
    /// Where chance begins; the same number makes the same cases. Without it, one that is told.
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
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.current_dir(paths::checkout()).args(["test", "--locked"]).args(words);
        cargo.env("WORKFLOW_FUZZ_SECONDS", (self.minutes * 60).to_string());
        cargo.env("WORKFLOW_FUZZ_SEED", self.seed.unwrap_or(now).to_string());
        progress::run(&mut cargo)
    }
}
