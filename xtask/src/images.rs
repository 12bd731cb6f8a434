//! The platform's images: `stack`, in which buildpack builds run and on which slugs are based, `workflow`, from which
//! every role of the platform in a cluster runs, and `builder`, in which Dockerfiles are built.
//!
//! Each has two layers: Debian with the packages of `images/<name>/packages.txt`, slow to make and kept
//! outside of the checkout, and on top of it our own files, made each time. The image is written here,
//! with uncompressed layers whose sizes are in a label, so that an engine can describe slug images from
//! `docker image inspect` alone.

pub mod archive;
mod base;
pub mod files;
mod recipes;

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use cluster::Programs;

use crate::binaries::{self, Profile};
use crate::{paths, progress};
use archive::Described;
use files::Files;

pub use recipes::{BUILDER, BuildKit, STACK, WORKFLOW, WorkflowFiles, stack_files};

/// `cargo xtask images`
#[derive(Debug, clap::Args)]
pub struct Images {
    /// Folder for the archives `workflow.tar`, `stack.tar` and `builder.tar` [default: images/ in cargo's target folder].
    #[arg(long)]
    out: Option<PathBuf>,

    /// Registry and path before the names, and the tag behind them: `<prefix>/workflow:<tag>`.
    #[arg(long, default_value = "deis")]
    prefix: String,

    #[arg(long, default_value = "latest")]
    tag: String,

    /// Use programs without optimization, which are built sooner.
    #[arg(long)]
    debug: bool,

    /// Use programs as they are published: minutes longer to build, a tenth less of a core to run.
    #[arg(long, conflicts_with = "debug")]
    dist: bool,

    /// Use this `registry` of CNCF Distribution instead of building it.
    #[arg(long)]
    registry: Option<PathBuf>,
}

impl Images {
    pub fn run(self) -> anyhow::Result<()> {
        let out = self.out.unwrap_or_else(|| paths::target().join("images"));
        let profile = match (self.debug, self.dist) {
            (true, _) => Profile::Debug,
            (_, true) => Profile::Dist,
            _ => Profile::Release,
        };
        let binaries = binaries::build(profile)?;
        let registry = self.registry.map_or_else(distribution, Ok)?;
        let named = |name: &str| format!("{}/{name}:{}", self.prefix, self.tag);
        let stack = Image::make(&STACK, named("stack"), &stack_files(&binaries.slug)?)?;
        let buildkit = BuildKit::ensure()?;
        let programs = WorkflowFiles { workflow: &binaries.workflow, registry: &registry };
        let workflow = Image::make(&WORKFLOW, named("workflow"), &programs.files()?)?;
        let builder = buildkit.builder_files(&binaries.slug, Some(&binaries.workflow))?;
        let builder = Image::make(&BUILDER, named("builder"), &builder)?;
        for image in [stack, workflow, builder] {
            image.save(&out)?;
        }
        Ok(())
    }
}

/// CNCF Distribution's program, built from the same pins as those of the test cluster.
pub fn distribution() -> anyhow::Result<PathBuf> {
    const PROGRAM: &str = "registry";
    Ok(Programs::ensure_only(|program| program == PROGRAM)?.path(PROGRAM))
}

/// Parts of one of the images, besides our own files.
pub struct Recipe {
    /// Its folder below `images/` and in the cache.
    pub folder: &'static str,
    /// Shell commands that make users and folders of the base.
    prepare: &'static str,
    /// Patterns of files of its packages that nothing in it uses.
    unused: &'static [&'static str],
    start: archive::Start,
}

/// One uncompressed layer.
#[derive(Debug)]
pub struct Layer {
    /// `sha256:<hex>`
    pub digest: String,
    pub size_bytes: u64,
    content: Content,
}

#[derive(Debug)]
enum Content {
    File(File),
    Bytes(Vec<u8>),
}

/// An image that can be sent or saved.
pub struct Image {
    pub name: String,
    pub described: Described,
    pub base: Layer,
    pub top: Layer,
}

impl Image {
    /// Makes the image of these files, and its base if that is not in the cache.
    pub fn make(recipe: &Recipe, name: String, files: &Files) -> anyhow::Result<Self> {
        let Recipe { folder, prepare, unused, start } = recipe;
        let cache = paths::cache().join(folder);
        std::fs::create_dir_all(&cache).with_context(|| format!("cannot make {}", cache.display()))?;
        // Without the lock, two chores at once would bootstrap twice.
        let lock = File::create(cache.join("lock")).context("cannot make the lock file")?;
        lock.lock().with_context(|| format!("cannot lock {}", cache.display()))?;

        let packages = paths::checkout().join("images").join(folder).join("packages.txt");
        let base = base::ensure(&packages, prepare, unused, &cache)?;
        let top = files::layer(files)?;
        let described = archive::describe(start, &[&base, &top]);
        Ok(Self { name, described, base, top })
    }

    /// Output file of [`Image::save`]: `<its last name>.tar`.
    pub fn archive(&self, folder: &Path) -> PathBuf {
        let last = self.name.rsplit('/').next().unwrap_or(&self.name);
        folder.join(format!("{}.tar", last.split(':').next().unwrap_or(last)))
    }

    /// Writes the whole image.
    pub fn save(&self, folder: &Path) -> anyhow::Result<PathBuf> {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let path = self.archive(folder);
        progress::step(&format!("Write {} to {}", self.name, path.display()), || {
            let unfinished = path.with_extension("unfinished");
            let file = File::create(&unfinished)?;
            archive::write(&file, self, &[&self.base, &self.top])?;
            std::fs::rename(&unfinished, &path)?;
            println!("    {}", self.described.digest());
            Ok(())
        })?;
        Ok(path)
    }
}
