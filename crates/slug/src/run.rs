//! `slug run`: starts a process of the app in its slug, or a one-off command.

mod family;
mod init;

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::arguments::PORT_DEFAULT;
use crate::failure::{OrFailure, SlugError};
use crate::process_types;
use crate::release::PackRelease;

/// Sources the scripts, then runs the command in a shell of its own: so `exec`, pipes and lists mean what
/// they mean in a terminal, and a simple command takes the shell's place.
const START: &str =
    r#"command=$1; shift; for script; do . "$script"; done; unset script; exec bash -c "$command""#;

/// Command to start.
pub enum RunTarget {
    /// A process type of the app.
    Type(String),
    /// A command line of the user.
    Command(String),
}

/// Starts the process and stays beside it until it ends; returns its exit code.
pub fn run(app_dir: &Path, what: &RunTarget) -> Result<u8, SlugError> {
    let release = PackRelease::read(app_dir)?;
    let command = match what {
        RunTarget::Type(name) => process_types::command_of(app_dir, &release, name)?,
        RunTarget::Command(command) => command.clone(),
    };
    let mut bash = Command::new("bash");
    bash.args(["-c", START, "slug", &command]).args(profile_scripts(app_dir)?).current_dir(app_dir);
    for (name, value) in defaults(app_dir, &release, what) {
        if std::env::var_os(&name).is_none() {
            bash.env(name, value);
        }
    }
    init::supervise(bash).or_fail("start bash")
}

/// Values for variables that nobody has set: what the user or the platform sets always wins.
fn defaults(app_dir: &Path, release: &PackRelease, what: &RunTarget) -> Vec<(String, String)> {
    let own =
        [("PORT", PORT_DEFAULT.to_string()), ("HOME", app_dir.display().to_string()), ("DYNO", dyno(what))];
    let own = own.into_iter().map(|(name, value)| (name.to_owned(), value));
    let usable = |name: &str| !name.is_empty() && !name.contains(['=', '\0']);
    let of_pack = release.config_vars.iter().filter(|(name, value)| usable(name) && !value.contains('\0'));
    of_pack.map(|(name, value)| (name.clone(), value.clone())).chain(own).collect()
}

/// The name that Heroku gives a process. By this variable apps know that they run behind a router which ends TLS; its text
/// has a number there, which would be the same for all replicas here.
fn dyno(what: &RunTarget) -> String {
    let process = match what {
        RunTarget::Type(name) => name,
        RunTarget::Command(_) => "run",
    };
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{process}.{}", host.trim())
}

/// Scripts of `.profile.d` in the order of their names, then the app's own `.profile`.
fn profile_scripts(app_dir: &Path) -> Result<Vec<PathBuf>, SlugError> {
    let own = Some(app_dir.join(".profile")).filter(|path| path.is_file());
    let dir = app_dir.join(".profile.d");
    if !dir.is_dir() {
        return Ok(own.into_iter().collect());
    }
    let entries = std::fs::read_dir(&dir).and_then(|entries| entries.collect::<Result<Vec<_>, _>>());
    let entries = entries.or_fail(format!("read {}", dir.display()))?;
    let is_script =
        |path: &PathBuf| path.extension().is_some_and(|extension| extension == "sh") && path.is_file();
    let mut scripts: Vec<_> = entries.iter().map(std::fs::DirEntry::path).filter(is_script).collect();
    scripts.sort();
    scripts.extend(own);
    Ok(scripts)
}
