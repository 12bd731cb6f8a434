//! Secrets of the roles: files, as Kubernetes mounts them, so that they are in no command line and in no
//! environment that other processes inherit.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use domain::sealing::SealingKeys;

use super::check_database_url;

/// Shortest key that is taken for one.
const KEY_LENGTH_MIN: usize = 16;

/// The database of a role: its URL holds a password, which a file keeps out of the environment.
#[derive(Debug, Clone, clap::Args)]
pub struct DatabaseFlags {
    /// Database: `sqlite:///path/file.db` or `postgres://user:password@host/name`.
    #[arg(
        long,
        env = "WORKFLOW_DATABASE_URL",
        hide_env_values = true,
        required_unless_present = "database_url_file"
    )]
    database_url: Option<String>,

    /// File with the URL of the database, instead of --database-url.
    #[arg(long, env = "WORKFLOW_DATABASE_URL_FILE")]
    database_url_file: Option<PathBuf>,
}

impl DatabaseFlags {
    /// The URL, checked as far as it can be without a database.
    pub fn url(&self) -> anyhow::Result<String> {
        let file = self.database_url_file.as_deref();
        let url = given_or_in("--database-url", self.database_url.as_deref(), file)?;
        let url = url.context("give --database-url or --database-url-file")?;
        check_database_url(&url)?;
        Ok(url)
    }
}

/// Reads a key that is shared between roles; `flag` named the file.
pub fn key_in(flag: &str, path: &Path) -> anyhow::Result<String> {
    let text = read(flag, path)?;
    let key = text.trim();
    let is_plain = key.bytes().all(|byte| byte.is_ascii_graphic());
    ensure!(
        is_plain && key.len() >= KEY_LENGTH_MIN,
        "{flag} {}: expected at least {KEY_LENGTH_MIN} letters and digits",
        path.display()
    );
    Ok(key.to_owned())
}

/// Reads the keys that seal config values in the database.
pub fn sealing_keys_in(flag: &str, path: &Path) -> anyhow::Result<SealingKeys> {
    SealingKeys::parse(&read(flag, path)?).with_context(|| format!("{flag} {}", path.display()))
}

/// A secret that is given as it is, or by a file; `None` where neither is.
///
/// # Errors
/// Where both are given, or the file cannot be read.
pub fn given_or_in(flag: &str, given: Option<&str>, file: Option<&Path>) -> anyhow::Result<Option<String>> {
    let flag_of_file = format!("{flag}-file");
    match (given, file) {
        (Some(_), Some(_)) => bail!("{flag} and {flag_of_file}: give one of them"),
        (None, Some(file)) => {
            let text = read(&flag_of_file, file)?;
            let text = text.trim_end_matches(['\r', '\n']);
            ensure!(!text.is_empty(), "{flag_of_file} {}: it is empty", file.display());
            Ok(Some(text.to_owned()))
        }
        (given, None) => Ok(given.map(str::to_owned)),
    }
}

fn read(flag: &str, path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("{flag} {}: cannot read it", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_comes_from_one_place_and_from_a_file_without_its_end_of_line() {
        let file = std::env::temp_dir().join(format!("workflow-secret-{}", std::process::id()));
        std::fs::write(&file, "two words\n").expect("it can be written");
        let from = |given, file| given_or_in("--x", given, file).map_err(|error| error.to_string());

        assert_eq!(from(None, Some(&*file)), Ok(Some("two words".to_owned())));
        assert_eq!(from(Some("a"), None), Ok(Some("a".to_owned())));
        assert_eq!(from(None, None), Ok(None));
        assert_eq!(from(Some("a"), Some(&*file)), Err("--x and --x-file: give one of them".to_owned()));
        std::fs::write(&file, "\n").expect("it can be written");
        assert!(
            from(None, Some(&*file))
                .is_err_and(|error| error.contains("--x-file") && error.contains("empty"))
        );
        std::fs::remove_file(&file).expect("it is ours");
        assert!(from(None, Some(&*file)).is_err_and(|error| error.contains("--x-file")));
    }
}
