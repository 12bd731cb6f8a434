//! `cargo xtask stack`: the images of builds in Docker, the stacks' and the one that builds Dockerfiles.
//!
//! Layers that Docker has below the others are not sent again.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;

use anyhow::{Context as _, bail};

use crate::images::{BUILDER, BuildKit, Image, Layer, archive, stacks};
use crate::{binaries, progress};

/// Repository of the stacks' images: `deis/stack:<stack>`, `...-build`, `...-<toolchain>`, `...-<toolchain>-build`.
const STACK_REPOSITORY: &str = "deis/stack";
/// Another name of the run image of the default stack, for Dockerfiles.
const STACK_IMAGE: &str = "deis/stack:latest";

/// Name under which the platform finds the image that builds Dockerfiles.
pub const BUILDER_IMAGE: &str = "deis/builder:latest";
/// Label of volumes with layouts of base images, which all platforms of a daemon share.
const BASES_LABEL: &str = "io.deis.base-image";

/// `cargo xtask stack`
#[derive(Debug, clap::Args)]
pub struct Stack {
    /// Stacks to make [default: trixie].
    #[arg(long = "stack", value_name = "STACK")]
    stacks: Vec<String>,

    /// Toolchains of these stacks to make, such as `ruby`; all with `all`.
    #[arg(long = "toolchain", value_name = "NAME")]
    toolchains: Vec<String>,

    /// Use this `slug` instead of building it.
    #[arg(long)]
    slug: Option<PathBuf>,
}

impl Stack {
    pub fn run(self) -> anyhow::Result<()> {
        let slug = self.slug.map_or_else(binaries::build_slug, Ok)?;
        ensure(&StackOptions { stacks: stacks::chosen(&self.stacks), toolchains: self.toolchains, slug })
    }
}

/// Images to make.
#[derive(Debug, Clone)]
pub struct StackOptions {
    pub stacks: Vec<String>,
    pub toolchains: Vec<String>,
    /// The static `slug` program.
    pub slug: PathBuf,
}

impl StackOptions {
    /// The default stack without a toolchain, with the given `slug`.
    pub fn standard(slug: PathBuf) -> Self {
        Self { stacks: stacks::chosen(&[]), toolchains: Vec::new(), slug }
    }

    /// The default stack with all toolchains.
    pub fn with_all_toolchains(slug: PathBuf) -> Self {
        Self { toolchains: vec!["all".to_owned()], ..Self::standard(slug) }
    }
}

/// Makes the images unless Docker has these very images.
pub fn ensure(options: &StackOptions) -> anyhow::Result<()> {
    for stack in &options.stacks {
        let prefix = format!("{STACK_REPOSITORY}:{stack}");
        for image in stacks::images(stack, &options.toolchains, &options.slug, &prefix)? {
            ensure_image(&image)?;
        }
        if stack == stacks::DEFAULT {
            progress::output(Command::new("docker").args(["tag", &prefix, STACK_IMAGE]))?;
        }
    }
    let files = BuildKit::ensure()?.builder_files(&options.slug, None)?;
    ensure_image(&Image::make(&BUILDER, BUILDER_IMAGE.to_owned(), &files)?)
}

fn ensure_image(image: &Image) -> anyhow::Result<()> {
    let stored = Stored::find(&image.name)?;
    if stored.as_ref().is_some_and(|stored| image.described.is_stored_as(&stored.id)) {
        println!("    the image {} is up to date", image.name);
        return Ok(());
    }
    let mut there = stored.as_ref().map_or(0, |stored| image.layers_below(&stored.layers));
    if there == 0 {
        // The other images of a stack begin with the layers of its run image, which was sent first.
        let run = image.name.split('-').next().unwrap_or_default();
        there = Stored::find(run)?.map_or(0, |run| image.layers_below(&run.layers));
    }
    let sent = there > 0
        && progress::step(&format!("Update the upper layers of the image {}", image.name), || {
            load(image, &image.layers[there..])
        })
        .is_ok();
    if !sent {
        progress::step(&format!("Load the image {}", image.name), || load(image, &image.layers))?;
    }
    stored.map_or(Ok(()), |old| old.forget_if_unnamed())
}

/// Loads the image; layers that are not `sent` must be in Docker already. No file is written.
pub fn load(image: &Image, sent: &[Arc<Layer>]) -> anyhow::Result<()> {
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

/// Removes the images from Docker; slugs that are based on the stack keep its layers.
pub fn remove() -> anyhow::Result<()> {
    let label = format!("label={BASES_LABEL}");
    let volumes =
        progress::output(Command::new("docker").args(["volume", "ls", "--quiet", "--filter", &label]))?;
    for volume in volumes.lines() {
        progress::output(Command::new("docker").args(["volume", "rm", "--force", volume]))?;
    }
    let named = ["image", "ls", "--format", "{{.Repository}}:{{.Tag}}", STACK_REPOSITORY];
    let stacks = progress::output(Command::new("docker").args(named))?;
    for image in stacks.lines().chain([BUILDER_IMAGE]) {
        if Stored::find(image)?.is_some() {
            progress::output(Command::new("docker").args(["image", "rm", image]))?;
        }
    }
    Ok(())
}

/// Docker's description of an image that it has.
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
            println!("    the image before it, {}, is still in use and stays", self.id);
        }
        Ok(())
    }
}
