//! The base from Debian's packages alone, with mmdebstrap.
//!
//! Uses the mirrors of the machine's apt if that is a Debian of the same release.

use std::fs::File;
use std::path::Path;

use anyhow::Context as _;

use super::{EXCLUDED, RELEASE, Recipe};
use crate::{packages, progress};

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Bootstraps into the archive `target`.
pub fn make(recipe: Recipe<'_>, target: &Path) -> anyhow::Result<()> {
    let (wanted, finish) = (recipe.packages, recipe.finish());
    packages::ensure(&[packages::MMDEBSTRAP])?;
    if !Path::new(KEYRING).exists() {
        let install = ["install", "--yes", "--quiet=2", "debian-archive-keyring"];
        progress::run(packages::as_root("apt-get").args(install))?;
    }
    let mut command = packages::as_root("mmdebstrap");
    command.args(["--variant=minbase", "--format=tar", "--skip=output/dev"]);
    command.arg(format!("--include={}", wanted.join(",")));
    command.args(EXCLUDED.iter().map(|path| format!("--dpkgopt=path-exclude={path}")));
    command.arg("--dpkgopt=path-include=/usr/share/doc/*/copyright");
    command.arg(format!(r#"--customize-hook=chroot "$1" sh -c '{finish}'"#));
    command.args([RELEASE, "-"]);
    command.args(debian_sources(Path::new("/etc/apt")));
    let file = File::create(target).with_context(|| format!("cannot make {}", target.display()))?;
    super::run_into(&mut command, file)
}

/// Lines of the machine's apt sources for this release of Debian; none on another system, where
/// mmdebstrap uses Debian's own mirror.
fn debian_sources(apt: &Path) -> Vec<String> {
    let mut files = vec![apt.join("sources.list")];
    if let Ok(entries) = std::fs::read_dir(apt.join("sources.list.d")) {
        files.extend(entries.flatten().map(|entry| entry.path()));
    }
    files.sort();
    let texts = files.iter().filter_map(|file| {
        let text = std::fs::read_to_string(file).ok()?;
        Some(match file.extension()?.to_str()? {
            "list" => one_line_sources(&text),
            "sources" => deb822_sources(&text),
            _ => Vec::new(),
        })
    });
    texts.flatten().collect()
}

fn is_ours(suite: &str) -> bool {
    suite.strip_prefix(RELEASE).is_some_and(|rest| matches!(rest, "" | "-updates" | "-security"))
}

/// `deb [options] URI suite components` lines.
fn one_line_sources(text: &str) -> Vec<String> {
    let read = |line: &str| {
        let rest = line.trim().strip_prefix("deb ")?.trim_start();
        let rest = rest.strip_prefix('[').map_or(Some(rest), |rest| Some(rest.split_once(']')?.1))?;
        let mut words = rest.split_whitespace();
        let (uri, suite) = (words.next()?, words.next()?);
        (is_ours(suite) && words.any(|component| component == "main")).then(|| source(uri, suite))
    };
    text.lines().filter_map(read).collect()
}

/// Paragraphs with `Types`, `URIs`, `Suites` and `Components`.
fn deb822_sources(text: &str) -> Vec<String> {
    let mut sources = Vec::new();
    for paragraph in text.split("\n\n") {
        let field = |name: &str| {
            let is_field = |line: &&str| line.to_ascii_lowercase().starts_with(&format!("{name}:"));
            let line = paragraph.lines().find(is_field)?;
            Some(line.split_once(':')?.1.split_whitespace().collect::<Vec<_>>())
        };
        let all = (field("types"), field("uris"), field("suites"), field("components"));
        let (Some(types), Some(uris), Some(suites), Some(components)) = all else { continue };
        let enabled = field("enabled").is_none_or(|value| value != ["no"]);
        if enabled && types.contains(&"deb") && components.contains(&"main") {
            for suite in suites.into_iter().filter(|suite| is_ours(suite)) {
                sources.extend(uris.iter().map(|uri| source(uri, suite)));
            }
        }
    }
    sources
}

fn source(uri: &str, suite: &str) -> String {
    format!("deb [signed-by={KEYRING}] {uri} {suite} main")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrors_of_this_debian_are_taken_and_foreign_archives_left() {
        let list = "# deb http://old bookworm main\n\
            deb [arch=amd64] https://mirror/debian bookworm main contrib\n\
            deb https://apt.example.com bookworm-pgdg main\n\
            deb https://download.example.com bookworm stable\n";
        let deb822 = "Types: deb\n# a comment\nURIs: http://a/debian\nSuites: bookworm bookworm-updates\n\
            Components: main\n\nTypes: deb\nURIs: http://b\nSuites: nodistro\nComponents: main\n";

        let one = format!("deb [signed-by={KEYRING}] https://mirror/debian bookworm main");
        assert_eq!(one_line_sources(list), [one]);
        let two = ["bookworm", "bookworm-updates"].map(|suite| source("http://a/debian", suite));
        assert_eq!(deb822_sources(deb822), two);
    }
}
