//! Commands from elsewhere: `deis accounts:list` runs `deis-accounts list` from `PATH`.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::terminal;

/// A program that takes over, and its arguments.
pub struct Plugin {
    name: String,
    program: PathBuf,
    words: Vec<String>,
}

/// Finds the plugin for a group that the client does not know; `command` is the first word as typed.
pub fn find(command: &str, words: &[String]) -> Option<Plugin> {
    let (group, action) = match command.split_once(':') {
        Some((group, action)) => (group, Some(action)),
        None => (command, None),
    };
    if group.is_empty() || group.contains(['/', '\\']) {
        return None;
    }
    let name = format!("deis-{group}");
    let program = on_path(&name)?;
    let action = action.filter(|action| !action.is_empty()).map(str::to_owned);
    Some(Plugin { name, program, words: action.into_iter().chain(words.iter().cloned()).collect() })
}

fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let file = format!("{name}{}", std::env::consts::EXE_SUFFIX);
    std::env::split_paths(&path).map(|folder| folder.join(&file)).find(|file| is_program(file))
}

#[cfg(unix)]
fn is_program(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_program(file: &Path) -> bool {
    file.is_file()
}

impl Plugin {
    /// Becomes the plugin; returns only when that failed.
    #[cfg(unix)]
    pub fn run(self) -> u8 {
        use std::os::unix::process::CommandExt;
        let error = Command::new(&self.program).arg0(&self.name).args(&self.words).exec();
        self.not_started(&error)
    }

    /// Runs the plugin and gives its exit code.
    #[cfg(not(unix))]
    pub fn run(self) -> u8 {
        match Command::new(&self.program).args(&self.words).status() {
            Ok(status) => status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1),
            Err(error) => self.not_started(&error),
        }
    }

    fn not_started(&self, error: &std::io::Error) -> u8 {
        let Self { name, program, .. } = self;
        terminal::complain(&format!(
            "Error: the plugin {name} ({}) cannot be started: {error}\n",
            program.display()
        ));
        1
    }
}
