//! Puts the source where packs expect it, and the config where packs read it.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::Path;

use nix::unistd::geteuid;
use source::packs::{self, SourceListing};

use super::text_file;
use crate::failure::{OrFailure, SlugError};

/// Moves the source into the build folder; copies what cannot be moved.
pub fn place(source: &Path, build_dir: &Path) -> Result<(), SlugError> {
    let failed = || format!("put the source into {}", build_dir.display());
    if build_dir.exists() {
        fs::remove_dir_all(build_dir).or_fail(failed())?;
    }
    fs::create_dir_all(build_dir).or_fail(failed())?;
    let mut entries = fs::read_dir(source).or_fail(format!("read {}", source.display()))?.peekable();
    if entries.peek().is_none() {
        return Err(SlugError::data("the source is empty: commit at least one file and push again"));
    }
    for entry in entries {
        let entry = entry.or_fail(failed())?;
        move_or_copy(&entry.path(), &build_dir.join(entry.file_name())).or_fail(failed())?;
    }
    fs::create_dir_all(build_dir.join(".profile.d")).or_fail(failed())
}

/// Packs write into what they get, so files of another user are copied even where they could be moved.
fn move_or_copy(from: &Path, to: &Path) -> io::Result<()> {
    let is_ours = fs::symlink_metadata(from)?.uid() == geteuid().as_raw();
    if is_ours && fs::rename(from, to).is_ok() { Ok(()) } else { copy_tree(from, to) }
}

/// Copies files, folders and links with their modes. The depth is bounded by the longest path of the system.
pub fn copy_tree(from: &Path, to: &Path) -> io::Result<()> {
    let metadata = fs::symlink_metadata(from)?;
    if metadata.is_symlink() {
        return symlink(fs::read_link(from)?, to);
    }
    if !metadata.is_dir() {
        return fs::copy(from, to).map(drop);
    }
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        copy_tree(&entry.path(), &to.join(entry.file_name()))?;
    }
    fs::set_permissions(to, fs::Permissions::from_mode(metadata.mode() | 0o700))
}

/// Copies the config's files, regular ones only, to the folder that becomes `ENV_DIR`.
///
/// A mounted secret holds links to its files, so links are followed.
pub fn place_config(env: &Path, env_dir: &Path) -> Result<(), SlugError> {
    let failed = || format!("put the config into {}", env_dir.display());
    if env_dir.exists() {
        fs::remove_dir_all(env_dir).or_fail(failed())?;
    }
    fs::create_dir_all(env_dir).or_fail(failed())?;
    fs::set_permissions(env_dir, fs::Permissions::from_mode(0o700)).or_fail(failed())?;
    if !env.is_dir() {
        return Ok(());
    }
    for entry in fs::read_dir(env).or_fail(failed())? {
        let entry = entry.or_fail(failed())?;
        if fs::metadata(entry.path()).is_ok_and(|metadata| metadata.is_file()) {
            copy_private(&entry.path(), &env_dir.join(entry.file_name())).or_fail(failed())?;
        }
    }
    Ok(())
}

fn copy_private(from: &Path, to: &Path) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(to)?;
    io::copy(&mut fs::File::open(from)?, &mut file).map(drop)
}

/// Variables that a build sets for itself; the app's config never takes them over. What only a run needs is left out as well.
const NOT_FROM_CONFIG: &[&str] = &[
    "APP_DIR",
    "BASH_ENV",
    "BUILDPACK_URL",
    "BUILD_DIR",
    "CACHE_DIR",
    "CPATH",
    "CPPATH",
    "ENV",
    "ENV_DIR",
    "GIT_DIR",
    "GIT_SSH_COMMAND",
    "HOME",
    "IFS",
    "LD_LIBRARY_PATH",
    "LD_PRELOAD",
    "LIBRARY_PATH",
    "PATH",
    "PORT",
    "PWD",
    "REQUEST_ID",
    "SHELL",
    "SHELLOPTS",
    "BASHOPTS",
    "SSH_KEY",
    "STACK",
    "TMPDIR",
    "USER",
];

/// The app's config as a build's steps have it in their environment, as on Heroku.
///
/// A file that holds no text, or no variable's name, stays a file of `ENV_DIR` only.
pub fn config(env_dir: &Path) -> Result<Vec<(String, String)>, SlugError> {
    let failed = || format!("read the config in {}", env_dir.display());
    let mut values = Vec::new();
    for entry in fs::read_dir(env_dir).or_fail(failed())? {
        let entry = entry.or_fail(failed())?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let is_name = !name.is_empty()
            && !name.starts_with(|first: char| first.is_ascii_digit())
            && name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
        if !is_name || NOT_FROM_CONFIG.contains(&name.as_str()) {
            continue;
        }
        let bytes = fs::read(entry.path()).or_fail(failed())?;
        if let Some(value) = String::from_utf8(bytes).ok().filter(|value| !value.contains('\0')) {
            values.push((name, value));
        }
    }
    Ok(values)
}

/// A value of the config that `slug` itself obeys, without the line's end that a file may have.
pub fn config_value(env_dir: &Path, name: &str) -> Option<String> {
    let bytes = fs::read(env_dir.join(name)).ok()?;
    Some(String::from_utf8_lossy(&bytes).trim().to_owned())
}

/// Lists the files of the source by which packs are chosen.
pub fn listing(build_dir: &Path) -> Result<SourceListing, SlugError> {
    let is_there = |path: &&str| build_dir.join(path).is_file();
    let mut listing = SourceListing::new(packs::candidates().filter(is_there).map(str::to_owned));
    for name in listing.wanted_texts().collect::<Vec<_>>() {
        if let Some(text) = text_file::read(build_dir, name)? {
            listing.add_text(name, text);
        }
    }
    Ok(listing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_source_arrives_with_modes_and_links() {
        let dir = tempfile::tempdir().expect("dir");
        let (source, build_dir) = (dir.path().join("source"), dir.path().join("build"));
        fs::create_dir_all(source.join("bin")).expect("folder");
        fs::write(source.join("bin/run"), "#!/bin/sh\n").expect("file");
        fs::set_permissions(source.join("bin/run"), fs::Permissions::from_mode(0o755)).expect("mode");
        symlink("bin/run", source.join("start")).expect("link");

        copy_tree(&source, &dir.path().join("copy")).expect("copy");
        place(&source, &build_dir).expect("placed");

        for root in [build_dir, dir.path().join("copy")] {
            assert_eq!(fs::metadata(root.join("start")).expect("start").mode() & 0o777, 0o755);
            assert_eq!(fs::read_link(root.join("start")).expect("link"), Path::new("bin/run"));
        }
    }

    #[test]
    fn an_empty_source_is_refused() {
        let dir = tempfile::tempdir().expect("dir");
        fs::create_dir(dir.path().join("source")).expect("folder");

        let failure = place(&dir.path().join("source"), &dir.path().join("build")).expect_err("refused");

        assert_eq!(failure.exit_code, crate::failure::BAD_DATA);
    }

    #[test]
    fn config_is_regular_files_that_only_the_build_reads() {
        let dir = tempfile::tempdir().expect("dir");
        let (env, env_dir) = (dir.path().join("env"), dir.path().join("environment"));
        fs::create_dir_all(env.join("..data")).expect("folder");
        fs::write(env.join("..data/COLOR"), "teal\n").expect("file");
        symlink("..data/COLOR", env.join("COLOR")).expect("link");

        place_config(&env, &env_dir).expect("placed");

        assert_eq!(config_value(&env_dir, "COLOR").as_deref(), Some("teal"));
        assert_eq!(config_value(&env_dir, "..data"), None);
        assert_eq!(fs::metadata(env_dir.join("COLOR")).expect("file").mode() & 0o777, 0o600);
    }
}
