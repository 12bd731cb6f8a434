//! The stack image: what buildpack builds run in and what their slugs stand on.
//!
//! Two layers: Debian with the packages of `images/stack/packages.txt`, dear to make and kept outside the
//! checkout, and on top of it `slug` and the buildpacks, made anew each time. The image is written by us,
//! with uncompressed layers whose sizes are in a label, so that an engine can describe slug images from
//! `docker image inspect` alone. Where Docker has the lower layer, only the upper one is sent.

mod archive;
mod base;
mod packs;

use std::path::PathBuf;
use std::process::Command;

use anyhow::Context as _;

pub use archive::{digest_of, go_architecture};

use crate::{binaries, paths, progress};

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
    pub buildpacks: PathBuf,
    /// Names of Debian packages.
    pub packages: PathBuf,
    /// Where the lower layer is kept.
    pub cache: PathBuf,
}

impl StackOptions {
    /// The image of this checkout with the given `slug`.
    pub fn standard(slug: PathBuf) -> Self {
        Self {
            image: STACK_IMAGE.to_owned(),
            slug,
            buildpacks: paths::checkout().join("buildpacks"),
            packages: paths::checkout().join("images/stack/packages.txt"),
            cache: paths::cache().join("stack"),
        }
    }
}

/// One uncompressed layer, its content aside.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Layer {
    /// `sha256:<hex>`
    digest: String,
    size_bytes: u64,
}

/// Makes the image unless Docker has exactly this one.
pub fn ensure(options: &StackOptions) -> anyhow::Result<()> {
    std::fs::create_dir_all(&options.cache)
        .with_context(|| format!("cannot make {}", options.cache.display()))?;
    // Two chores at once would bootstrap twice and load over each other.
    let lock = std::fs::File::create(options.cache.join("lock")).context("cannot make the lock file")?;
    lock.lock().context("cannot lock the cache of the stack image")?;

    let base = base::ensure(&options.packages, &options.cache)?;
    let packs = packs::layer(&options.slug, &options.buildpacks)?;
    let image = archive::describe(&[base.layer.clone(), packs.layer.clone()]);
    let stored = Stored::find(&options.image)?;
    if stored.as_ref().is_some_and(|stored| image.is_stored_as(&stored.id)) {
        println!("    the stack image {} is up to date", options.image);
        return Ok(());
    }
    let has_base = stored.as_ref().is_some_and(|stored| stored.layers.contains(&base.layer.digest));
    let sent = has_base
        && progress::step("Update the stack image's upper layer", || {
            archive::load(&image, &options.image, None, &packs)
        })
        .is_ok();
    if !sent {
        progress::step(&format!("Load the stack image {}", options.image), || {
            archive::load(&image, &options.image, Some(&base), &packs)
        })?;
    }
    stored.map_or(Ok(()), |old| old.forget_if_unnamed())
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
