//! The profile file: which controller, who, and with which token.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::failure::{CommandResult, Failure};

/// Rows of a list where the profile sets none.
const RESPONSE_LIMIT_DEFAULT: i64 = 100;

#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Profile {
    pub username: String,
    pub ssl_verify: bool,
    /// URL of the controller.
    pub controller: String,
    pub token: String,
    /// Rows of a list; none where 0 or less.
    pub response_limit: i64,
}

impl Profile {
    /// Number of rows of a list when the user names none.
    pub fn limit(&self) -> i64 {
        if self.response_limit > 0 { self.response_limit } else { RESPONSE_LIMIT_DEFAULT }
    }

    /// Reads a profile that must exist.
    pub fn load(path: &Path) -> CommandResult<Self> {
        match Self::find(path)? {
            Some(profile) => Ok(profile),
            None => Err(Failure::new(format!(
                "Client configuration file not found at: {}\n\
                 Are you logged in? Use 'deis login' or 'deis register' to get started.",
                path.display()
            ))),
        }
    }

    /// Reads a profile if there is one.
    pub fn find(path: &Path) -> CommandResult<Option<Self>> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Failure::new(format!("open {}: {error}", path.display()))),
        };
        let broken = |error| {
            let path = path.display();
            Failure::new(format!("the profile {path} is broken ({error}); log in again to rewrite it"))
        };
        serde_json::from_str(&text).map(Some).map_err(broken)
    }

    /// Writes the profile, readable by its owner alone, in one step.
    pub fn save(&self, path: &Path) -> CommandResult {
        let write = || -> io::Result<()> {
            make_folder(&home_folder()?)?;
            replace(path, serde_json::to_string(self)?.as_bytes())
        };
        write().map_err(|error| Failure::new(format!("writing {}: {error}", path.display())))
    }
}

/// The file that holds the profile; the option is stronger than `DEIS_PROFILE`.
pub fn path(option: Option<&str>) -> CommandResult<PathBuf> {
    let environment = std::env::var("DEIS_PROFILE").ok();
    let choice = option.or(environment.as_deref()).unwrap_or("client");
    if is_path(choice) {
        return Ok(PathBuf::from(choice));
    }
    let folder = home_folder().map_err(|error| Failure::new(error.to_string()))?;
    Ok(folder.join(format!("{choice}.json")))
}

fn is_path(choice: &str) -> bool {
    let behind_slash = choice.rsplit_once(['/', '\\']).is_some_and(|(_, name)| !name.is_empty());
    behind_slash && choice.ends_with(".json")
}

fn home_folder() -> io::Result<PathBuf> {
    Ok(home()?.join(".deis"))
}

/// The user's home folder.
pub fn home() -> io::Result<PathBuf> {
    let home = std::env::home_dir().filter(|home| !home.as_os_str().is_empty());
    home.ok_or_else(|| io::Error::other("there is no home folder; set HOME"))
}

#[cfg(unix)]
fn make_folder(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

#[cfg(not(unix))]
fn make_folder(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)
}

/// Writes a private file beside `path` and moves it over it, so that no reader sees half of it.
pub fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mut name = target.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let new = target.with_file_name(name);
    let written = private_file(&new).and_then(|mut file| {
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&new, &target)
    });
    if written.is_err() {
        fs::remove_file(&new).ok();
    }
    written
}

fn private_file(path: &Path) -> io::Result<fs::File> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_with_a_slash_and_json_is_a_path() {
        for path in ["/tmp/x.json", "./x.json", "a\\b.json", "/.json"] {
            assert!(is_path(path), "{path}");
        }
        for name in ["client", "x.json", "/tmp/x", "a/", "a.json/"] {
            assert!(!is_path(name), "{name}");
        }
    }

    #[test]
    fn the_limit_is_a_hundred_unless_the_profile_sets_one() {
        let limit = |response_limit| Profile { response_limit, ..Profile::default() }.limit();
        assert_eq!([limit(0), limit(-1), limit(7)], [100, 100, 7]);
    }

    #[test]
    fn absent_and_unknown_keys_do_no_harm() {
        let profile: Profile = serde_json::from_str(r#"{"username":"bob","other":1}"#).unwrap();
        assert_eq!(profile.username, "bob");
        assert!(!profile.ssl_verify);
    }

    #[test]
    fn the_keys_of_the_file_have_their_order() {
        let profile = Profile { username: "bob".into(), controller: "http://x".into(), ..Profile::default() };
        assert_eq!(
            serde_json::to_string(&profile).unwrap(),
            r#"{"username":"bob","ssl_verify":false,"controller":"http://x","token":"","response_limit":0}"#
        );
    }
}
