//! The key with which a build fetches private packs and dependencies (config `SSH_KEY`, base64).
//!
//! Host keys are always checked: those of common forges are shipped, others come from config
//! `SSH_KNOWN_HOSTS`, lines as in a `known_hosts` file.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::source::config_value;
use crate::failure::{OrFailure, SlugError};

const KNOWN_HOSTS: &str = include_str!("known_hosts");

/// Writes key, known hosts and client configuration to `~/.ssh`; returns the command that git is to use.
pub fn prepare(env_dir: &Path, home: &Path) -> Result<Option<String>, SlugError> {
    let key = config_value(env_dir, "SSH_KEY").map(|value| decode(&value)).transpose()?;
    let more_hosts = config_value(env_dir, "SSH_KNOWN_HOSTS").unwrap_or_default();
    if key.is_none() && more_hosts.is_empty() {
        return Ok(None);
    }
    let dir = home.join(".ssh");
    let failed = || format!("write the key to {}", dir.display());
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir).or_fail(failed())?;
    if let Some(key) = key {
        write(&dir.join("id_rsa"), 0o400, &key).or_fail(failed())?;
    }
    write(&dir.join("known_hosts"), 0o600, format!("{KNOWN_HOSTS}{more_hosts}\n").as_bytes())
        .or_fail(failed())?;
    let config = format!(
        "Host *\n  BatchMode yes\n  StrictHostKeyChecking yes\n  IdentitiesOnly yes\n  IdentityFile {0}/id_rsa\n  \
         UserKnownHostsFile {0}/known_hosts\n",
        dir.display()
    );
    write(&dir.join("config"), 0o600, config.as_bytes()).or_fail(failed())?;
    // Named in full: OpenSSH finds its files by the user's home in passwd, not by HOME.
    Ok(Some(format!("ssh -F '{}/config'", dir.display())))
}

fn decode(value: &str) -> Result<Vec<u8>, SlugError> {
    let compact: String = value.split_ascii_whitespace().collect();
    let mut key = STANDARD.decode(compact).map_err(|_| {
        SlugError::data(
            "SSH_KEY is not base64: set it with `deis config:set SSH_KEY=<path of the private key>`",
        )
    })?;
    // OpenSSH refuses a key whose last line is not ended.
    if key.last() != Some(&b'\n') {
        key.push(b'\n');
    }
    Ok(key)
}

fn write(path: &Path, mode: u32, bytes: &[u8]) -> std::io::Result<()> {
    if path.exists() {
        fs::remove_file(path)?;
    }
    fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?.write_all(bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_key_is_private_and_host_keys_are_checked() {
        let dir = tempfile::tempdir().expect("dir");
        fs::write(dir.path().join("SSH_KEY"), STANDARD.encode("the key")).expect("file");
        fs::write(dir.path().join("SSH_KNOWN_HOSTS"), "git.example ssh-ed25519 AAAA").expect("file");

        let command = prepare(dir.path(), dir.path()).expect("prepared").expect("a key was given");

        let read = |name: &str| fs::read_to_string(dir.path().join(".ssh").join(name)).expect("file");
        let mode = fs::metadata(dir.path().join(".ssh/id_rsa")).expect("file").permissions().mode();
        assert_eq!((read("id_rsa").as_str(), mode & 0o777), ("the key\n", 0o400));
        assert!(read("known_hosts").contains("\ngit.example ssh-ed25519 AAAA\n"));
        assert!(read("config").contains("StrictHostKeyChecking yes"));
        assert!(command.contains("/.ssh/config"));
    }

    #[test]
    fn without_a_key_nothing_is_written() {
        let dir = tempfile::tempdir().expect("dir");

        assert_eq!(prepare(dir.path(), dir.path()), Ok(None));
        assert!(!dir.path().join(".ssh").exists());
    }

    #[test]
    fn a_key_that_is_not_base64_is_refused_without_showing_it() {
        let dir = tempfile::tempdir().expect("dir");
        fs::write(dir.path().join("SSH_KEY"), "-----BEGIN").expect("file");

        let failure = prepare(dir.path(), dir.path()).expect_err("refused");

        assert!(!failure.message.contains("BEGIN"));
    }
}
