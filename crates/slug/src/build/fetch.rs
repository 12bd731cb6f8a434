//! Gets a pack from where its URL points: a git repository, or a tar archive by http(s) or file.

use std::fmt;
use std::fs;
use std::path::Path;
use std::process::Command;

use source::urls::without_credentials;

use super::step::{StepEnvironment, catch_both};
use crate::failure::{OrFailure, SlugError};

/// Lines of a failing program that are shown.
const REASON_LINES: usize = 5;
/// Bytes read of a program's output.
const PRINTED_BYTES_MAX: u64 = 64 * 1024;
/// Transports that git may use, also for submodules: not those that run a command (`ext`) or read a descriptor (`fd`).
const GIT_PROTOCOLS: &str = "https:http:git:ssh:file";
/// Seconds that a download of an archive may take.
const DOWNLOAD_SECONDS_MAX: &str = "300";

/// Source of a pack: a URL, and after `#` a branch, tag or commit.
#[derive(Debug, PartialEq, Eq)]
pub struct PackUrl {
    url: String,
    reference: Option<String>,
}

impl PackUrl {
    pub fn parse(text: &str) -> Result<Self, SlugError> {
        let (url, reference) = match text.trim().split_once('#') {
            Some((url, reference)) => (url, Some(reference).filter(|reference| !reference.is_empty())),
            None => (text.trim(), None),
        };
        let option_like =
            url.starts_with('-') || reference.is_some_and(|reference| reference.starts_with('-'));
        if url.is_empty() || option_like || url.contains(char::is_whitespace) {
            return Err(SlugError::data(format!(
                "buildpack `{text}` is not a URL: give that of a git repository or a tar archive"
            )));
        }
        Ok(Self { url: url.to_owned(), reference: reference.map(str::to_owned) })
    }

    /// Last part of the URL without endings: what a pack is called that gives itself no name.
    pub fn short_name(&self) -> &str {
        let path = self.url.split('?').next().unwrap_or_default().trim_end_matches('/');
        let name = path.rsplit(['/', ':']).next().unwrap_or(path);
        [".git", ".tar.gz", ".tgz", ".tar"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name)
    }

    fn is_archive(&self) -> bool {
        let path = self.url.split('?').next().unwrap_or_default();
        let fetchable = ["http://", "https://", "file://"].iter().any(|scheme| path.starts_with(scheme));
        fetchable && [".tgz", ".tar.gz", ".tar"].iter().any(|end| path.ends_with(end))
    }
}

/// Without the password that a URL may carry.
impl fmt::Display for PackUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&without_credentials(&self.url))?;
        self.reference.as_ref().map_or(Ok(()), |reference| write!(f, "#{reference}"))
    }
}

/// Fetches the pack into `to`, which does not exist yet.
pub fn fetch(pack: &PackUrl, to: &Path, surroundings: &StepEnvironment) -> Result<(), SlugError> {
    if pack.is_archive() { fetch_archive(pack, to, surroundings) } else { fetch_git(pack, to, surroundings) }
}

fn fetch_git(pack: &PackUrl, to: &Path, surroundings: &StepEnvironment) -> Result<(), SlugError> {
    let mut shallow =
        vec!["clone", "--quiet", "--depth", "1", "--recurse-submodules", "--shallow-submodules"];
    if let Some(reference) = &pack.reference {
        shallow.extend(["--branch", reference.as_str()]);
    }
    let Err(reason) = clone(&shallow, pack, to, surroundings) else { return Ok(()) };
    let _ = fs::remove_dir_all(to);
    // A commit cannot be cloned by name, and not every server gives shallow clones.
    let whole = clone(&["clone", "--quiet", "--recurse-submodules"], pack, to, surroundings);
    whole.map_err(|_| could_not_fetch(pack, &reason))?;
    let Some(reference) = &pack.reference else { return Ok(()) };
    for words in [
        &["checkout", "--quiet", reference][..],
        &["submodule", "--quiet", "update", "--init", "--recursive"],
    ] {
        let mut git = Command::new("git");
        surroundings.dress(&mut git);
        git.env("GIT_ALLOW_PROTOCOL", GIT_PROTOCOLS);
        git.arg("-C").arg(to).args(words);
        run(git).map_err(|reason| could_not_fetch(pack, &reason))?;
    }
    Ok(())
}

fn clone(words: &[&str], pack: &PackUrl, to: &Path, surroundings: &StepEnvironment) -> Result<(), String> {
    let mut git = Command::new("git");
    surroundings.dress(&mut git);
    git.env("GIT_ALLOW_PROTOCOL", GIT_PROTOCOLS);
    git.args(words).arg("--").arg(&pack.url).arg(to);
    run(git)
}

fn fetch_archive(pack: &PackUrl, to: &Path, surroundings: &StepEnvironment) -> Result<(), SlugError> {
    let archive = to.with_extension("archive");
    let mut curl = Command::new("curl");
    surroundings.dress(&mut curl);
    curl.args(["--fail", "--silent", "--show-error", "--location", "--max-time", DOWNLOAD_SECONDS_MAX]);
    curl.args(["--proto", "=http,https,file", "--proto-redir", "=http,https", "--retry", "2", "--output"]);
    curl.arg(&archive).arg("--url").arg(&pack.url);
    run(curl).map_err(|reason| could_not_fetch(pack, &reason))?;
    fs::create_dir_all(to).or_fail(format!("create {}", to.display()))?;
    let mut tar = Command::new("tar");
    surroundings.dress(&mut tar);
    tar.args(["--extract", "--no-same-owner", "--file"]).arg(&archive).arg("--directory").arg(to);
    run(tar).map_err(|reason| could_not_fetch(pack, &reason))?;
    let _ = fs::remove_file(&archive);
    unwrap_single_folder(to).or_fail(format!("unpack {}", to.display()))
}

/// Archives of forges hold everything in one folder named after the commit.
fn unwrap_single_folder(dir: &Path) -> std::io::Result<()> {
    let entries = fs::read_dir(dir)?.collect::<Result<Vec<_>, _>>()?;
    let [only] = entries.as_slice() else { return Ok(()) };
    if !only.path().join("bin").is_dir() {
        return Ok(());
    }
    let aside = dir.with_extension("unwrapped");
    fs::rename(only.path(), &aside)?;
    fs::remove_dir(dir)?;
    fs::rename(aside, dir)
}

fn could_not_fetch(pack: &PackUrl, reason: &str) -> SlugError {
    let reason = reason.replace(&pack.url, &without_credentials(&pack.url));
    SlugError::unavailable(format!("buildpack {pack} could not be fetched: {reason}"))
}

/// Runs a program and gives the last lines that it printed when it fails.
fn run(command: Command) -> Result<(), String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let (status, printed) =
        catch_both(command, PRINTED_BYTES_MAX).map_err(|error| format!("{program}: {error}"))?;
    if status.success() {
        return Ok(());
    }
    let lines: Vec<_> = printed.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    Err(lines[lines.len().saturating_sub(REASON_LINES)..].join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pack(text: &str) -> PackUrl {
        PackUrl::parse(text).expect("a URL")
    }

    #[test]
    fn what_follows_the_hash_is_the_reference() {
        assert_eq!(pack("https://git.example/pack.git#v1.2").reference.as_deref(), Some("v1.2"));
        assert_eq!(pack("https://git.example/pack.git#").reference, None);
        assert_eq!(pack("git@git.example:team/pack").url, "git@git.example:team/pack");
    }

    #[test]
    fn archives_are_told_from_repositories_by_their_ending() {
        for archive in ["https://a.example/p.tgz", "http://a.example/p.tar.gz?token=1", "file:///tmp/p.tar"] {
            assert!(pack(archive).is_archive(), "{archive}");
        }
        for repository in ["https://a.example/p.git", "git@a.example:p.tar", "https://a.example/p"] {
            assert!(!pack(repository).is_archive(), "{repository}");
        }
    }

    #[test]
    fn a_pack_is_called_by_the_last_part_of_its_url() {
        for url in
            ["https://a.example/x/ruby.git#v1", "git@a.example:ruby", "https://a.example/ruby.tgz?x=/y"]
        {
            assert_eq!(pack(url).short_name(), "ruby", "{url}");
        }
    }

    #[test]
    fn credentials_are_never_shown() {
        assert_eq!(pack("https://me:secret@a.example/p#main").to_string(), "https://a.example/p#main");
        assert_eq!(pack("https://a.example/p@2").to_string(), "https://a.example/p@2");
    }

    #[test]
    fn what_git_would_take_for_an_option_is_refused() {
        for bad in ["", "--upload-pack=x", "https://a.example/p#--orphan", "a b"] {
            assert!(PackUrl::parse(bad).is_err(), "{bad:?}");
        }
    }
}
