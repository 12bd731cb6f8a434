//! Settings of stacks: the names of the platform's own images, and the operator's file with more.

use std::fs::File;
use std::io::Read as _;

use anyhow::{Context as _, ensure};
use domain::stacks::Stacks;

/// Largest file of stacks.
const FILE_BYTES_MAX: u64 = 1 << 20;

#[derive(Debug, Clone, clap::Args)]
pub struct StackSettings {
    /// Names of the run images of the platform's own stacks, with `{stack}` for the name of the stack; those for builds
    /// and of toolchains have `-build`, `-<toolchain>` and `-<toolchain>-build` behind.
    #[arg(long, env = "WORKFLOW_STACK_IMAGES", default_value = "deis/stack:{stack}")]
    pub stack_images: String,

    /// JSON file with more stacks (their images for runs and builds, toolchains, value of STACK) and the default one;
    /// or the JSON itself.
    #[arg(long = "stacks", env = "WORKFLOW_STACKS", value_name = "FILE")]
    pub stacks_file: Option<String>,
}

impl StackSettings {
    /// The platform's own stacks and those of the operator.
    pub fn read(&self) -> anyhow::Result<Stacks> {
        let own = Stacks::own(&self.stack_images)
            .with_context(|| format!("--stack-images `{}`", self.stack_images))?;
        let Some(given) = self.stacks_file.as_deref().filter(|given| !given.is_empty()) else {
            return Ok(own);
        };
        if given.trim_start().starts_with('{') {
            return own.with_file(given.as_bytes()).context("--stacks");
        }
        let context = || format!("--stacks {given}");
        let mut json = Vec::new();
        let file = File::open(given).with_context(context)?;
        file.take(FILE_BYTES_MAX + 1).read_to_end(&mut json).with_context(context)?;
        ensure!(json.len() as u64 <= FILE_BYTES_MAX, "{}: it is larger than 1 MiB", context());
        own.with_file(&json).with_context(context)
    }
}
