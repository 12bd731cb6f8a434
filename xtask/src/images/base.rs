//! An image's lower layer: Debian with packages, and a user.
//!
//! Made from Docker Hub's Debian where a registry responds, else bootstrapped from Debian's packages.
//! Kept in the cache under the hash of its inputs.

mod bootstrap;
mod pulled;

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

use super::archive::{digest_of, go_architecture};
use super::{Layer, LayerStore};
use crate::progress;

pub use pulled::PROXY_VARIABLES;

/// Files that no image needs.
pub const EXCLUDED: &[&str] = &[
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
    /// Name of a release of Debian.
    pub release: &'a str,
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
        let Self { release: _, packages: _, prepare, unused } = self;
        let remove = unused.iter().map(|pattern| format!(" && rm -r {pattern}"));
        std::iter::once((*prepare).to_owned()).chain(remove).collect()
    }
}

/// Finds the layer in `cache` or makes it.
pub fn ensure(
    release: &str,
    packages_file: &Path,
    prepare: &str,
    unused: &[&str],
    cache: &Path,
) -> anyhow::Result<Layer> {
    let text = std::fs::read_to_string(packages_file)
        .with_context(|| format!("cannot read {}", packages_file.display()))?;
    let packages = names(&text);
    let recipe = Recipe { release, packages: &packages, prepare, unused };
    LayerStore::new(cache, "base", &key(recipe)).ensure(|target| make(recipe, target))
}

fn make(recipe: Recipe<'_>, target: &Path) -> anyhow::Result<()> {
    if pulled::debian_is_here(recipe.release)? {
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
pub fn names(text: &str) -> Vec<&str> {
    text.lines()
        .map(|line| line.split('#').next().unwrap_or("").trim())
        .filter(|name| !name.is_empty())
        .collect()
}

/// The parts of a list for layers of their own: a line of hyphens ends one.
pub fn parts(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.split("\n---\n").map(names)
}

/// Changes whenever the layer would be made differently.
fn key(recipe: Recipe<'_>) -> String {
    let (release, packages, finish) = (recipe.release, recipe.packages, recipe.finish());
    let inputs = format!("{release}\n{finish}\n{EXCLUDED:?}\n{packages:?}\n{}", go_architecture());
    key_of(&inputs)
}

/// Key of a layer that is made of these inputs.
pub fn key_of(inputs: &str) -> String {
    digest_of(inputs.as_bytes())["sha256:".len()..][..16].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn package_names_are_told_from_comments() {
        assert_eq!(names("# all\nbash\n\n git # for packs\n"), ["bash", "git"]);
    }

    #[test]
    fn a_line_of_hyphens_begins_another_layer() {
        let parts: Vec<_> = parts("# first\nlibllvm19\n---\ncargo\nrustc\n").collect();

        assert_eq!(parts, [vec!["libllvm19"], vec!["cargo", "rustc"]]);
    }

    #[test]
    fn another_list_of_packages_has_another_key() {
        let key = |packages| key(Recipe { release: "trixie", packages, prepare: "true", unused: &[] });

        assert_eq!(key(&["bash"]), key(&["bash"]));
        assert_ne!(key(&["bash"]), key(&["bash", "git"]));
    }

    #[test]
    fn a_pattern_that_matches_nothing_fails_the_image() {
        let unused = &["/usr/share/perl*", "/usr/bin/a"];
        let recipe = Recipe { release: "trixie", packages: &[], prepare: "true", unused };

        assert_eq!(recipe.finish(), "true && rm -r /usr/share/perl* && rm -r /usr/bin/a");
    }
}
