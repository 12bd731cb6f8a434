//! Stacks: the images that buildpack builds run in and that slugs stand on, from the lists of packages in
//! `images/stacks/<stack>/`.
//!
//! Layers from the lowest up. Run image: Debian, the platform's own files. Build image: these two, the packages of
//! builds, the packs. An image of a toolchain is one of the two with one more layer. The label of layers names these
//! parts, so that engines can put together what a source with several languages needs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};

use super::archive::Start;
use super::files::{self, Files};
use super::recipes::PATH;
use super::{Cached, Image, Layer, added, base};
use crate::paths;

/// Stack of new apps; its run image is `deis/stack:latest` too.
pub const DEFAULT: &str = "trixie";

/// Shell commands that make the user of slugs in a base.
const PREPARE: &str = "groupadd --gid 2000 slug \
    && useradd --uid 2000 --gid 2000 --home-dir /app --no-create-home --shell /bin/bash slug";
/// Folders of the user of slugs, in the layer of the platform's own files.
const FOLDERS: &[&str] =
    &["app", "workspace", "workspace/source", "workspace/env", "workspace/cache", "workspace/out"];
/// User and group of [`FOLDERS`].
const SLUG_ID: u64 = 2000;
/// Most bytes of a layer: nodes pull it before they run the first app that needs it.
const LAYER_BYTES_MAX: u64 = 350_000_000;

/// Use of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    Run,
    Build,
}

/// Lists of packages of a toolchain; none where the image has all that it needs.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Toolchain {
    run: Option<PathBuf>,
    build: Option<PathBuf>,
}

/// One stack of this checkout.
#[derive(Debug)]
pub struct Stack {
    /// The release of Debian, which is also the value of `STACK`.
    pub name: String,
    folder: PathBuf,
    toolchains: BTreeMap<String, Toolchain>,
}

impl Stack {
    pub fn named(name: &str) -> anyhow::Result<Self> {
        let all = paths::checkout().join("images/stacks");
        let folder = all.join(name);
        let names = folders(&all)?;
        if !names.iter().any(|known| known == name) {
            bail!("there is no stack `{name}` in {}, there are {}", all.display(), names.join(", "));
        }
        let toolchains = toolchains(&folder.join("toolchains"))?;
        Ok(Self { name: name.to_owned(), folder, toolchains })
    }

    pub fn toolchains(&self) -> impl Iterator<Item = &str> {
        self.toolchains.keys().map(String::as_str)
    }

    /// Makes the two images of the stack; `slug` is the static program.
    pub fn make(&self, slug: &Path) -> anyhow::Result<StackImages<'_>> {
        let cache = self.cache("run");
        let list = self.folder.join("run.txt");
        let base = Arc::new(cache.locked(|folder| base::ensure(&self.name, &list, PREPARE, &[], folder))?);
        let platform = Files::from([(PathBuf::from("usr/bin/slug"), slug.to_owned())]);
        let platform =
            Arc::new(files::layer_with_folders(&platform, FOLDERS, SLUG_ID)?.into_part("platform"));
        let tools = self.folder.join("build.txt");
        let tools = self.added("build", &tools, &[&base], added::Keeps::Database)?;
        let mut packs = Files::new();
        files::add_folder(&mut packs, "buildpacks", &paths::checkout().join("buildpacks"))?;
        let packs = Arc::new(files::layer(&packs)?.into_part("packs"));
        Ok(StackImages { stack: self, base, platform, tools, packs })
    }

    /// The layers of a list of packages.
    fn added(
        &self,
        name: &str,
        list: &Path,
        below: &[&Arc<Layer>],
        keeps: added::Keeps,
    ) -> anyhow::Result<Vec<Arc<Layer>>> {
        let text =
            std::fs::read_to_string(list).with_context(|| format!("cannot read {}", list.display()))?;
        let mut layers: Vec<Arc<Layer>> = Vec::new();
        for (index, packages) in base::parts(&text).enumerate() {
            let name = if index == 0 { name.to_owned() } else { format!("{name}-{}", index + 1) };
            let below: Vec<&Layer> = below.iter().copied().chain(&layers).map(Arc::as_ref).collect();
            let layer = self.layer(&name, &packages, &below, keeps)?;
            layers.push(layer);
        }
        Ok(layers)
    }

    fn layer(
        &self,
        name: &str,
        packages: &[&str],
        below: &[&Layer],
        keeps: added::Keeps,
    ) -> anyhow::Result<Arc<Layer>> {
        let downloads = self.cache("downloads");
        let layer =
            self.cache(name).locked(|folder| added::ensure(packages, below, keeps, &downloads, folder))?;
        println!("    {}-{name}: {} MB", self.name, layer.size_bytes / 1_000_000);
        if layer.size_bytes > LAYER_BYTES_MAX {
            bail!(
                "the layer {}-{name} has more than {} MB; divide its list by a line of hyphens",
                self.name,
                LAYER_BYTES_MAX / 1_000_000
            );
        }
        Ok(Arc::new(match keeps {
            added::Keeps::Database => layer,
            added::Keeps::Files => layer.into_part("toolchain"),
        }))
    }

    fn cache(&self, layer: &str) -> Cached {
        Cached(paths::cache().join("stacks").join(&self.name).join(layer))
    }

    fn start(&self) -> Start {
        let env = [PATH, "HOME=/app", &format!("STACK={}", self.name), "LANG=C.UTF-8"];
        Start {
            user: "2000:2000",
            env: env.map(str::to_owned).to_vec(),
            entrypoint: "/usr/bin/slug",
            folder: "/app",
        }
    }
}

/// Layers of a stack's two images.
pub struct StackImages<'a> {
    stack: &'a Stack,
    base: Arc<Layer>,
    /// `slug` and its folders, which images of others get too.
    platform: Arc<Layer>,
    tools: Vec<Arc<Layer>>,
    packs: Arc<Layer>,
}

impl StackImages<'_> {
    /// The image for this use, without any toolchain.
    pub fn image(&self, used_for: Use, name: String) -> Image {
        self.with(used_for, &[], name)
    }

    /// The images with a toolchain, named `<prefix>-<toolchain>` and `<prefix>-<toolchain>-build`; none for a use where
    /// the stack has all.
    pub fn toolchain(&self, name: &str, prefix: &str) -> anyhow::Result<Vec<Image>> {
        let known = &self.stack.toolchains;
        let Some(Toolchain { run, build }) = known.get(name) else {
            let names: Vec<_> = self.stack.toolchains().collect();
            bail!("the stack {} has no toolchain `{name}`, it has {}", self.stack.name, names.join(", "));
        };
        let mut images = Vec::new();
        let mut shared = None;
        if let Some(list) = run {
            let layers = self.stack.added(name, list, &[&self.base], added::Keeps::Files)?;
            images.push(self.with(Use::Run, &layers, format!("{prefix}-{name}")));
            shared = (Some(list) == build.as_ref()).then_some(layers);
        }
        if let Some(list) = build {
            let below: Vec<_> = std::iter::once(&self.base).chain(&self.tools).collect();
            let cache = format!("{name}-build");
            // Layers for the run image fit the build image, which stands on it.
            let layers =
                shared.map_or_else(|| self.stack.added(&cache, list, &below, added::Keeps::Files), Ok)?;
            images.push(self.with(Use::Build, &layers, format!("{prefix}-{name}-build")));
        }
        Ok(images)
    }

    fn with(&self, used_for: Use, toolchain: &[Arc<Layer>], name: String) -> Image {
        let build = self.tools.iter().chain([&self.packs]);
        let build = build.filter(|_| used_for == Use::Build);
        let layers = [&self.base, &self.platform].into_iter().chain(build).chain(toolchain);
        let layers: Vec<_> = layers.map(Arc::clone).collect();
        Image::new(name, self.stack.start(), layers)
    }
}

/// The stacks that a chore was asked for, else the default one.
pub fn chosen(asked: &[String]) -> Vec<String> {
    if asked.is_empty() { vec![DEFAULT.to_owned()] } else { asked.to_vec() }
}

/// All images of a stack with these toolchains, or with every one for `all`; their names begin with `prefix`.
pub fn images(stack: &str, toolchains: &[String], slug: &Path, prefix: &str) -> anyhow::Result<Vec<Image>> {
    let stack = Stack::named(stack)?;
    let made = stack.make(slug)?;
    let mut images =
        vec![made.image(Use::Run, prefix.to_owned()), made.image(Use::Build, format!("{prefix}-build"))];
    let all = stack.toolchains().map(str::to_owned).collect();
    let wanted: Vec<String> = if toolchains == ["all"] { all } else { toolchains.to_vec() };
    for toolchain in &wanted {
        images.extend(made.toolchain(toolchain, prefix)?);
    }
    Ok(images)
}

/// Names of the folders in a folder, in order.
fn folders(folder: &Path) -> anyhow::Result<Vec<String>> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// Toolchains by name: `<name>.txt` is the list for builds and for runs, else `<name>.build.txt` and `<name>.run.txt`.
fn toolchains(folder: &Path) -> anyhow::Result<BTreeMap<String, Toolchain>> {
    let mut toolchains: BTreeMap<String, Toolchain> = BTreeMap::new();
    for entry in std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        let file = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let Some(stem) = file.strip_suffix(".txt") else { continue };
        let (name, uses) = match stem.split_once('.') {
            None => (stem, (true, true)),
            Some((name, "run")) => (name, (true, false)),
            Some((name, "build")) => (name, (false, true)),
            Some(_) => bail!("{}: name it <toolchain>.txt, .run.txt or .build.txt", path.display()),
        };
        let toolchain = toolchains.entry(name.to_owned()).or_insert(Toolchain { run: None, build: None });
        for (place, is_meant) in [(&mut toolchain.run, uses.0), (&mut toolchain.build, uses.1)] {
            if is_meant && place.replace(path.clone()).is_some() {
                bail!("{}: the toolchain {name} has two lists for the same use", path.display());
            }
        }
    }
    Ok(toolchains)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_toolchain_has_one_list_for_both_uses_or_one_for_each() {
        let folder = std::env::temp_dir().join(format!("toolchains-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a temporary folder");
        for file in ["ruby.txt", "java.run.txt", "java.build.txt", "rust.build.txt"] {
            std::fs::write(folder.join(file), "").expect("it can be written");
        }

        let found = toolchains(&folder).expect("all names are good");
        std::fs::write(folder.join("java.txt"), "").expect("it can be written");
        let twice = toolchains(&folder);
        std::fs::remove_dir_all(&folder).expect("it is ours");

        let list = |file: &str| Some(folder.join(file));
        assert_eq!(found["ruby"], Toolchain { run: list("ruby.txt"), build: list("ruby.txt") });
        assert_eq!(found["java"], Toolchain { run: list("java.run.txt"), build: list("java.build.txt") });
        assert_eq!(found["rust"], Toolchain { run: None, build: list("rust.build.txt") });
        assert!(twice.is_err_and(|error| error.to_string().contains("two lists")));
    }

    #[test]
    fn every_stack_of_the_checkout_has_its_lists_and_the_same_toolchains() {
        let all = folders(&paths::checkout().join("images/stacks")).expect("there are stacks");
        let names = |name: &str| Stack::named(name).expect(name).toolchains().map(str::to_owned).collect();
        let default: Vec<String> = names(DEFAULT);

        assert!(all.iter().any(|name| name == "bookworm"), "{all:?}");
        for name in &all {
            assert_eq!(names(name), default, "{name}");
        }
        let missing = Stack::named("sid").expect_err("there is none").to_string();
        assert!(missing.contains("there are bookworm, trixie"), "{missing}");
    }
}
