//! The platform's images: `workflow`, from which every role of the platform in a cluster runs, `builder`, in which
//! Dockerfiles are built, and the stacks, in which buildpack builds run and on which slugs are based.
//!
//! Layers of Debian's packages are slow to make and kept outside of the checkout; those of our own files are made each
//! time. The images are written here, with uncompressed layers whose sizes are in a label, so that an engine can describe
//! slug images from `docker image inspect` alone.

mod added;
pub mod archive;
mod base;
pub mod files;
mod layer_store;
mod recipes;
pub mod stacks;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use cluster::Programs;

use crate::binaries::{self, Profile};
use crate::{paths, progress};
use archive::Described;
use files::Files;
use layer_store::{Cached, LayerStore};

pub use recipes::{BUILDER, BuildKit, WORKFLOW, WorkflowFiles};

/// Release of Debian of the platform's own images.
const RELEASE: &str = "bookworm";

/// `cargo xtask images`
#[derive(Debug, clap::Args)]
pub struct Images {
    /// Folder for the archives `workflow.tar`, `builder.tar` and those of stacks, such as `stack-trixie-build.tar`
    /// [default: images/ in cargo's target folder].
    #[arg(long)]
    out: Option<PathBuf>,

    /// Registry and path before the names, and the tag behind them: `<prefix>/workflow:<tag>`.
    #[arg(long, default_value = "deis")]
    prefix: String,

    #[arg(long, default_value = "latest")]
    tag: String,

    /// Stacks to make [default: trixie].
    #[arg(long = "stack", value_name = "STACK")]
    stacks: Vec<String>,

    /// Toolchains of the stacks to make, such as `ruby`; all with `all`.
    #[arg(long = "toolchain", value_name = "NAME")]
    toolchains: Vec<String>,

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
        let buildkit = BuildKit::ensure()?;
        let programs = WorkflowFiles { workflow: &binaries.workflow, registry: &registry };
        let workflow = Image::make(&WORKFLOW, named("workflow"), &programs.files()?)?;
        let builder = buildkit.builder_files(&binaries.slug, Some(&binaries.workflow))?;
        let builder = Image::make(&BUILDER, named("builder"), &builder)?;
        for image in [workflow, builder] {
            image.save(&out)?;
        }
        for stack in stacks::chosen(&self.stacks) {
            // A registry keeps stacks apart by their tags, and versions of the platform too.
            let tag = if self.tag == "latest" { stack.clone() } else { format!("{stack}-{}", self.tag) };
            for image in stacks::images(
                &stack,
                &self.toolchains,
                &binaries.slug,
                &format!("{}/stack:{tag}", self.prefix),
            )? {
                image.save(&out)?;
            }
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
    entrypoint: &'static str,
}

/// One uncompressed layer.
#[derive(Debug)]
pub struct Layer {
    /// `sha256:<hex>`
    pub digest: String,
    pub size_bytes: u64,
    /// Name of the part that engines put other images together with.
    part: Option<&'static str>,
    content: Content,
}

#[derive(Debug)]
enum Content {
    File(File),
    Bytes(Vec<u8>),
}

impl Layer {
    fn new(digest: String, size_bytes: u64, content: Content) -> Self {
        Self { digest, size_bytes, part: None, content }
    }

    fn into_part(self, part: &'static str) -> Self {
        Self { part: Some(part), ..self }
    }

    fn try_clone(&self) -> anyhow::Result<Self> {
        let content = match &self.content {
            Content::File(file) => Content::File(file.try_clone().context("cannot open a layer again")?),
            Content::Bytes(bytes) => Content::Bytes(bytes.clone()),
        };
        Ok(Self { digest: self.digest.clone(), size_bytes: self.size_bytes, part: self.part, content })
    }
}

/// An image that can be sent or saved.
pub struct Image {
    pub name: String,
    start: archive::Start,
    pub described: Described,
    /// From the lowest up.
    pub layers: Vec<Arc<Layer>>,
}

impl Image {
    fn new(name: String, start: archive::Start, layers: Vec<Arc<Layer>>) -> Self {
        let described = archive::describe(&start, &layers);
        Self { name, start, described, layers }
    }

    /// Makes the image of these files, and its base if that is not in the cache.
    pub fn make(recipe: &Recipe, name: String, files: &Files) -> anyhow::Result<Self> {
        let Recipe { folder, prepare, unused, entrypoint } = recipe;
        let packages = paths::checkout().join("images").join(folder).join("packages.txt");
        let base = Cached(paths::cache().join(folder))
            .locked(|cache| base::ensure(RELEASE, &packages, prepare, unused, cache))?;
        let layers = [base, files::layer(files)?].map(Arc::new).to_vec();
        let env = [recipes::PATH, "HOME=/var/lib/workflow", "LANG=C.UTF-8"].map(str::to_owned).to_vec();
        let start = archive::Start { user: "1000:1000", env, entrypoint, folder: "/var/lib/workflow" };
        Ok(Self::new(name, start, layers))
    }

    /// The image with these files in a layer on top.
    pub fn with(self, files: &Files) -> anyhow::Result<Self> {
        let Self { name, start, described: _, mut layers } = self;
        layers.push(Arc::new(files::layer(files)?));
        Ok(Self::new(name, start, layers))
    }

    /// Number of layers that the image has in common with these, from the lowest up.
    pub fn layers_below(&self, digests: &[String]) -> usize {
        self.layers.iter().zip(digests).take_while(|(layer, digest)| layer.digest == **digest).count()
    }

    /// Output file of [`Image::save`]: its last name, for a stack with the part of its tag that names the image.
    pub fn archive(&self, folder: &Path) -> PathBuf {
        let last = self.name.rsplit('/').next().unwrap_or(&self.name);
        let (name, tag) = last.split_once(':').unwrap_or((last, ""));
        folder.join(if name == "stack" { format!("{name}-{tag}.tar") } else { format!("{name}.tar") })
    }

    /// Writes the whole image.
    pub fn save(&self, folder: &Path) -> anyhow::Result<PathBuf> {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let path = self.archive(folder);
        progress::step(&format!("Write {} to {}", self.name, path.display()), || {
            let unfinished = path.with_extension("unfinished");
            let file = File::create(&unfinished)?;
            archive::write(&file, self, &self.layers)?;
            std::fs::rename(&unfinished, &path)?;
            println!("    {}", self.described.digest());
            Ok(())
        })?;
        Ok(path)
    }
}
