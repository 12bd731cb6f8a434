//! The base from Debian's packages alone, with mmdebstrap.
//!
//! Uses the mirrors of the machine's apt if that is a Debian, of whatever release.

use std::fs::File;
use std::path::Path;

use anyhow::Context as _;

use super::{EXCLUDED, Recipe};
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
    command.args([recipe.release, "-"]);
    command.args(debian_sources(Path::new("/etc/apt"), &own_release()?, recipe.release));
    let file = File::create(target).with_context(|| format!("cannot make {}", target.display()))?;
    super::run_into(&mut command, file)
}

/// Name of this machine's release of Debian; of another system, a name that Debian does not have.
fn own_release() -> anyhow::Result<String> {
    let file = "/etc/os-release";
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {file}"))?;
    let name = text.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    Ok(name.unwrap_or_default().trim_matches('"').to_owned())
}

/// Lines of apt sources for a release of Debian, from the mirrors that this machine has for its `own`; none on another
/// system, where mmdebstrap uses Debian's own mirror.
fn debian_sources(apt: &Path, own: &str, release: &str) -> Vec<String> {
    let mut files = vec![apt.join("sources.list")];
    if let Ok(entries) = std::fs::read_dir(apt.join("sources.list.d")) {
        files.extend(entries.flatten().map(|entry| entry.path()));
    }
    files.sort();
    let releases = Releases { own, release };
    let texts = files.iter().filter_map(|file| {
        let text = std::fs::read_to_string(file).ok()?;
        Some(match file.extension()?.to_str()? {
            "list" => releases.one_line_sources(&text),
            "sources" => releases.deb822_sources(&text),
            _ => Vec::new(),
        })
    });
    texts.flatten().collect()
}

/// The release whose mirrors are listed, and the one that is wanted of them.
struct Releases<'a> {
    own: &'a str,
    release: &'a str,
}

impl Releases<'_> {
    /// The wanted suite in place of this machine's.
    fn suite(&self, suite: &str) -> Option<String> {
        let rest = suite.strip_prefix(self.own).filter(|_| !self.own.is_empty())?;
        matches!(rest, "" | "-updates" | "-security").then(|| format!("{}{rest}", self.release))
    }

    /// `deb [options] URI suite components` lines.
    fn one_line_sources(&self, text: &str) -> Vec<String> {
        let read = |line: &str| {
            let rest = line.trim().strip_prefix("deb ")?.trim_start();
            let rest = rest.strip_prefix('[').map_or(Some(rest), |rest| Some(rest.split_once(']')?.1))?;
            let mut words = rest.split_whitespace();
            let (uri, suite) = (words.next()?, self.suite(words.next()?)?);
            words.any(|component| component == "main").then(|| source(uri, &suite))
        };
        text.lines().filter_map(read).collect()
    }

    /// Paragraphs with `Types`, `URIs`, `Suites` and `Components`.
    fn deb822_sources(&self, text: &str) -> Vec<String> {
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
                for suite in suites.into_iter().filter_map(|suite| self.suite(suite)) {
                    sources.extend(uris.iter().map(|uri| source(uri, &suite)));
                }
            }
        }
        sources
    }
}

fn source(uri: &str, suite: &str) -> String {
    format!("deb [signed-by={KEYRING}] {uri} {suite} main")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrors_of_this_debian_serve_every_release_and_foreign_archives_are_left() {
        let list = "# deb http://old bookworm main\n\
            deb [arch=amd64] https://mirror/debian bookworm main contrib\n\
            deb https://apt.example.com bookworm-pgdg main\n\
            deb https://download.example.com bookworm stable\n";
        let deb822 = "Types: deb\n# a comment\nURIs: http://a/debian\nSuites: bookworm bookworm-updates\n\
            Components: main\n\nTypes: deb\nURIs: http://b\nSuites: nodistro\nComponents: main\n";

        let releases = Releases { own: "bookworm", release: "trixie" };
        let one = format!("deb [signed-by={KEYRING}] https://mirror/debian trixie main");
        assert_eq!(releases.one_line_sources(list), [one]);
        let two = ["trixie", "trixie-updates"].map(|suite| source("http://a/debian", suite));
        assert_eq!(releases.deb822_sources(deb822), two);
        let other = Releases { own: "jammy", release: "trixie" };
        assert!(other.one_line_sources(list).is_empty());
    }
}
