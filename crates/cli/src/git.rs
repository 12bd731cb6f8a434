//! The few git commands that the client runs in the current folder.

use std::process::Command;

use crate::failure::{CommandResult, Failure};

/// A remote that git pushes to.
#[derive(Debug, PartialEq, Eq)]
pub struct Remote {
    pub name: String,
    pub url: String,
}

/// The remotes that git pushes to, in git's order.
pub fn remotes() -> CommandResult<Vec<Remote>> {
    Ok(push_remotes(&run(&["remote", "-v"])?))
}

pub fn add_remote(name: &str, url: &str) -> CommandResult {
    run(&["remote", "add", name, url]).map(drop)
}

pub fn remove_remote(name: &str) -> CommandResult {
    run(&["remote", "remove", name]).map(drop)
}

/// Files of a commit, with `/` between folders, from the root of the repository.
pub fn files(commit: &str) -> CommandResult<Vec<String>> {
    let listed = run(&["ls-tree", "-r", "-z", "--name-only", "--full-tree", "--end-of-options", commit])?;
    Ok(listed.split_terminator('\0').map(str::to_owned).collect())
}

/// The text of a file of a commit.
pub fn text(commit: &str, path: &str) -> CommandResult<String> {
    run(&["cat-file", "blob", &format!("{commit}:{path}")])
}

fn run(words: &[&str]) -> CommandResult<String> {
    let failed =
        |why: &str| Failure::new(format!("Error when running 'git {}'\n{}", words.join(" "), why.trim()));
    let output = Command::new("git")
        .args(words)
        .env("LC_ALL", "C")
        .env_remove("LANGUAGE")
        .output()
        .map_err(|error| failed(&format!("git cannot be started: {error}")))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(failed(&String::from_utf8_lossy(&output.stderr)))
    }
}

fn push_remotes(listing: &str) -> Vec<Remote> {
    let lines = listing.lines().filter_map(|line| line.strip_suffix("(push)"));
    lines
        .filter_map(|line| line.trim().split_once('\t'))
        .map(|(name, url)| Remote { name: name.to_owned(), url: url.to_owned() })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_remotes_to_push_to_count() {
        let listing = "deis\tssh://git@a/x.git (fetch)\ndeis\tssh://git@a/x.git (push)\nup\t/p (push)\n";
        let remote = |name: &str, url: &str| Remote { name: name.to_owned(), url: url.to_owned() };
        assert_eq!(push_remotes(listing), [remote("deis", "ssh://git@a/x.git"), remote("up", "/p")]);
    }
}
