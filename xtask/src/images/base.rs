//! An image's lower layer: Debian with packages, and a user.
//!
//! Made from Docker Hub's Debian where a registry responds, else bootstrapped from Debian's packages.
//! Kept in the cache under the hash of its inputs; the file's name also has its digest, so
//! that 500 MB are hashed once only.

mod bootstrap;
mod pulled;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

use super::archive::{digest_of, go_architecture};
use super::{Content, Layer};
use crate::progress;

const RELEASE: &str = "bookworm";

/// Files that neither image needs.
const EXCLUDED: &[&str] = &[
    "/usr/share/doc/*",
    "/usr/share/info/*",
    "/usr/share/locale/*",
    "/usr/share/man/*",
    "/usr/bin/*-lto-dump-*",
    "/usr/lib/python3*/config-*/*.a",
];

/// Parts of a base.
#[derive(Debug, Clone, Copy)]
pub struct Recipe<'a> {
    /// Names of Debian packages.
    pub packages: &'a [&'a str],
    /// Shell commands that make users and folders, run in the root file system.
    pub prepare: &'a str,
    /// Patterns of files of the packages that nothing in the image uses.
    pub unused: &'a [&'a str],
}

impl Recipe<'_> {
    /// Shell command that runs in the root file system after the packages are installed.
    fn finish(&self) -> String {
        let Self { packages: _, prepare, unused } = self;
        let remove = unused.iter().map(|pattern| format!(" && rm -r {pattern}"));
        std::iter::once((*prepare).to_owned()).chain(remove).collect()
    }
}

/// Finds the layer in `cache` or makes it.
pub fn ensure(packages_file: &Path, prepare: &str, unused: &[&str], cache: &Path) -> anyhow::Result<Layer> {
    let text = std::fs::read_to_string(packages_file)
        .with_context(|| format!("cannot read {}", packages_file.display()))?;
    let packages = names(&text);
    let recipe = Recipe { packages: &packages, prepare, unused };
    let key = key(recipe);
    if let Some(base) = find(cache, &key)? {
        return Ok(base);
    }
    let unfinished = cache.join(format!("unfinished-{}.tar", std::process::id()));
    let made = make(recipe, &unfinished).and_then(|()| keep(&unfinished, cache, &key));
    if made.is_err() {
        // A partial file must not fill the disk; if it is missing, that is no second error.
        let _ = std::fs::remove_file(&unfinished);
    }
    made
}

fn make(recipe: Recipe<'_>, target: &Path) -> anyhow::Result<()> {
    if pulled::debian_is_here()? {
        progress::step("Install packages into Debian's image", || pulled::make(recipe, target))
    } else {
        println!("    no registry gives Debian's image; bootstrapping it from Debian's packages");
        progress::step("Bootstrap the image's base (about one minute)", || bootstrap::make(recipe, target))
    }
}

/// Runs a command whose output is the layer; its stderr goes to the terminal.
fn run_into(command: &mut Command, file: File) -> anyhow::Result<()> {
    let line = progress::shown(command);
    let status = command.stdin(Stdio::null()).stdout(file).status();
    let status = status.with_context(|| format!("cannot run `{line}`"))?;
    if !status.success() {
        bail!("`{line}` failed ({status})");
    }
    Ok(())
}

/// Package names of a list with comments.
fn names(text: &str) -> Vec<&str> {
    text.lines()
        .map(|line| line.split('#').next().unwrap_or("").trim())
        .filter(|name| !name.is_empty())
        .collect()
}

/// Changes whenever the layer would be made differently.
fn key(recipe: Recipe<'_>) -> String {
    let (packages, finish) = (recipe.packages, recipe.finish());
    let inputs = format!("{RELEASE}\n{finish}\n{EXCLUDED:?}\n{packages:?}\n{}", go_architecture());
    digest_of(inputs.as_bytes())["sha256:".len()..][..16].to_owned()
}

/// The layer is in a file `base-<key>-<hex of its digest>.tar`.
fn find(cache: &Path, key: &str) -> anyhow::Result<Option<Layer>> {
    let prefix = format!("base-{key}-");
    for entry in std::fs::read_dir(cache).with_context(|| format!("cannot read {}", cache.display()))? {
        let name = entry?.file_name();
        let Some(name) = name.to_str() else { continue };
        if let Some(hex) = name.strip_prefix(&prefix).and_then(|rest| rest.strip_suffix(".tar")) {
            return open(&cache.join(name), hex).map(Some);
        }
    }
    Ok(None)
}

fn open(path: &Path, hex: &str) -> anyhow::Result<Layer> {
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let size_bytes = file.metadata()?.len();
    Ok(Layer { digest: format!("sha256:{hex}"), size_bytes, content: Content::File(file) })
}

/// Renames the finished file, once all of it is on disk, and removes those of other recipes.
fn keep(unfinished: &Path, cache: &Path, key: &str) -> anyhow::Result<Layer> {
    File::open(unfinished)?.sync_all()?;
    let sum = progress::output(Command::new("sha256sum").arg(unfinished))?;
    let hex = sum.split_whitespace().next().context("`sha256sum` printed nothing")?.to_owned();
    for entry in std::fs::read_dir(cache)? {
        let old: PathBuf = entry?.path();
        if old.file_name().is_some_and(|name| name.to_string_lossy().starts_with("base-")) {
            std::fs::remove_file(old)?;
        }
    }
    let path = cache.join(format!("base-{key}-{hex}.tar"));
    std::fs::rename(unfinished, &path).with_context(|| format!("cannot make {}", path.display()))?;
    open(&path, &hex)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn package_names_are_told_from_comments() {
        assert_eq!(names("# all\nbash\n\n git # for packs\n"), ["bash", "git"]);
    }

    #[test]
    fn another_list_of_packages_has_another_key() {
        let key = |packages| key(Recipe { packages, prepare: "true", unused: &[] });

        assert_eq!(key(&["bash"]), key(&["bash"]));
        assert_ne!(key(&["bash"]), key(&["bash", "git"]));
    }

    #[test]
    fn a_pattern_that_matches_nothing_fails_the_image() {
        let recipe = Recipe { packages: &[], prepare: "true", unused: &["/usr/share/perl*", "/usr/bin/a"] };

        assert_eq!(recipe.finish(), "true && rm -r /usr/share/perl* && rm -r /usr/bin/a");
    }
}
