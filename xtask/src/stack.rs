//! `cargo xtask stack`: the stack image in Docker.
//!
//! Where Docker has the lower layer, only the upper one is sent.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

use crate::images::{self, Image, Layer, archive};
use crate::{binaries, progress};

/// The name under which the platform looks for the stack.
pub const STACK_IMAGE: &str = "deis/stack:latest";

/// `cargo xtask stack`
#[derive(Debug, clap::Args)]
pub struct Stack {
    /// Take this `slug` instead of building it.
    #[arg(long)]
    slug: Option<PathBuf>,
}

impl Stack {
    pub fn run(self) -> anyhow::Result<()> {
        let slug = self.slug.map_or_else(binaries::build_slug, Ok)?;
        ensure(&StackOptions::standard(slug))
    }
}

/// What the image is made of.
#[derive(Debug, Clone)]
pub struct StackOptions {
    pub image: String,
    /// The static `slug` program.
    pub slug: PathBuf,
}

impl StackOptions {
    /// The image of this checkout with the given `slug`.
    pub fn standard(slug: PathBuf) -> Self {
        Self { image: STACK_IMAGE.to_owned(), slug }
    }
}

/// Makes the image unless Docker has exactly this one.
pub fn ensure(options: &StackOptions) -> anyhow::Result<()> {
    let files = images::stack_files(&options.slug)?;
    let image = Image::make(&images::STACK, options.image.clone(), &files)?;
    let stored = Stored::find(&image.name)?;
    if stored.as_ref().is_some_and(|stored| image.described.is_stored_as(&stored.id)) {
        println!("    the stack image {} is up to date", image.name);
        return Ok(());
    }
    let has_base = stored.as_ref().is_some_and(|stored| stored.layers.contains(&image.base.digest));
    let sent = has_base
        && progress::step("Update the stack image's upper layer", || load(&image, &[&image.top])).is_ok();
    if !sent {
        progress::step(&format!("Load the stack image {}", image.name), || {
            load(&image, &[&image.base, &image.top])
        })?;
    }
    stored.map_or(Ok(()), |old| old.forget_if_unnamed())
}

/// Loads the image; layers that are not sent must be in Docker already. No file is written.
fn load(image: &Image, sent: &[&Layer]) -> anyhow::Result<()> {
    let mut docker = Command::new("docker")
        .args(["load", "--quiet"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot run `docker load`")?;
    let pipe = docker.stdin.take().expect("the pipe was asked for");
    let sent = archive::write(pipe, image, sent);
    let output = docker.wait_with_output().context("`docker load` did not end")?;
    if !output.status.success() {
        bail!("`docker load` failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    sent
}

/// Removes the image from Docker; slugs that stand on it keep its layers.
pub fn remove() -> anyhow::Result<()> {
    if Stored::find(STACK_IMAGE)?.is_some() {
        progress::output(Command::new("docker").args(["image", "rm", STACK_IMAGE]))?;
    }
    Ok(())
}

/// What Docker says about an image that it has.
struct Stored {
    id: String,
    layers: Vec<String>,
}

impl Stored {
    /// `None` when there is no such image; an error when Docker does not answer.
    fn find(name: &str) -> anyhow::Result<Option<Self>> {
        progress::output(Command::new("docker").args(["version", "--format", "{{.Server.Version}}"]))
            .context("Docker does not answer; is its daemon running?")?;
        let format = "{{.Id}}{{range .RootFS.Layers}} {{.}}{{end}}";
        let inspected =
            progress::output(Command::new("docker").args(["image", "inspect", "--format", format, name]));
        let Ok(text) = inspected else { return Ok(None) };
        let mut words = text.split_whitespace().map(str::to_owned);
        Ok(words.next().map(|id| Self { id, layers: words.collect() }))
    }

    /// Removes an image that lost its name to a newer one; one that is still in use stays.
    fn forget_if_unnamed(self) -> anyhow::Result<()> {
        let tags = ["image", "inspect", "--format", "{{len .RepoTags}}", &self.id];
        let unnamed =
            progress::output(Command::new("docker").args(tags)).is_ok_and(|count| count.trim() == "0");
        if unnamed && !progress::succeeds(Command::new("docker").args(["image", "rm", &self.id])) {
            println!("    the stack image before it, {}, is still in use and stays", self.id);
        }
        Ok(())
    }
}
