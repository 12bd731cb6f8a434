//! The system's `git`, run so that nothing but our own settings reaches it.
//!
//! A cleared environment, no configuration of the machine or of a user, no hooks but ours.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::process::Command;

use crate::host_keys::make_private_folder;
use crate::{BuilderError, BuilderSettings};

/// Longest time that a small question may take.
const QUESTION_MAX: Duration = Duration::from_secs(60);

/// How git is called.
pub(crate) struct Git {
    program_path: String,
    configuration: Vec<String>,
}

impl Git {
    /// Writes the hook and decides the configuration.
    pub(crate) fn new(settings: &BuilderSettings) -> Result<Self, BuilderError> {
        let hooks = settings.data_dir.join("hooks");
        make_private_folder(&hooks)?;
        let hook = hooks.join("pre-receive");
        let script = hook_script(&settings.hook_command)?;
        let write = || {
            let unfinished = hooks.join("pre-receive.new");
            fs::write(&unfinished, script)?;
            fs::set_permissions(&unfinished, fs::Permissions::from_mode(0o700))?;
            fs::rename(&unfinished, &hook)
        };
        write().map_err(|source| BuilderError::Prepare { path: hook.clone(), source })?;
        let hooks =
            fs::canonicalize(&hooks).map_err(|source| BuilderError::Prepare { path: hooks, source })?;
        let configuration = configuration(&hooks, settings.push_bytes_max);
        Ok(Self { program_path: settings.program_path.clone(), configuration })
    }

    /// `git <arguments>`, ready to be started. It dies with the value that holds it.
    pub(crate) fn command<I, S>(&self, arguments: I) -> Command
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        let mut command = Command::new("git");
        command.env_clear().env("PATH", &self.program_path).env("LC_ALL", "C").current_dir("/");
        command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
        command.env("GIT_TERMINAL_PROMPT", "0");
        for setting in &self.configuration {
            command.arg("-c").arg(setting);
        }
        // A group of its own: a Ctrl-C in our terminal is not meant for a push under way.
        command.args(arguments).stdin(Stdio::null()).kill_on_drop(true).process_group(0);
        command
    }

    /// `git <arguments>` about one repository; sees the objects of a quarantine where `environment` names one.
    pub(crate) fn about<S: AsRef<OsStr>>(
        &self,
        repository: &Path,
        environment: &Quarantine,
        arguments: &[S],
    ) -> Command {
        let mut command = self.command(arguments);
        command.env("GIT_DIR", repository).envs(environment);
        command
    }

    /// Runs a small question to its end.
    pub(crate) async fn answer(&self, mut command: Command) -> std::io::Result<Output> {
        let output = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?.wait_with_output();
        tokio::time::timeout(QUESTION_MAX, output).await.map_err(std::io::Error::other)?
    }
}

/// The variables by which git's hook shows where the new objects are.
pub(crate) type Quarantine = std::collections::BTreeMap<String, PathBuf>;

fn configuration(hooks: &Path, push_bytes_max: u64) -> Vec<String> {
    vec![
        format!("core.hooksPath={}", hooks.display()),
        "safe.directory=*".to_owned(),
        "receive.fsckObjects=true".to_owned(),
        "transfer.fsckObjects=true".to_owned(),
        // Old repositories are full of these; none of them can do harm.
        "receive.fsck.zeroPaddedFilemode=ignore".to_owned(),
        "receive.fsck.missingSpaceBeforeDate=ignore".to_owned(),
        "receive.fsck.badTimezone=ignore".to_owned(),
        format!("receive.maxInputSize={push_bytes_max}"),
        "receive.denyDeletes=true".to_owned(),
        "receive.autogc=false".to_owned(),
        "receive.keepAlive=5".to_owned(),
        // Big files are streamed instead of being held in memory.
        "core.bigFileThreshold=16m".to_owned(),
        "pack.threads=2".to_owned(),
        "gc.autoDetach=false".to_owned(),
        "core.fsync=committed".to_owned(),
        "core.fsyncMethod=batch".to_owned(),
    ]
}

fn hook_script(command: &[String]) -> Result<String, BuilderError> {
    if command.is_empty() {
        return Err(BuilderError::HookCommand);
    }
    let quoted: Vec<_> = command.iter().map(|word| format!("'{}'", word.replace('\'', r"'\''"))).collect();
    Ok(format!("#!/bin/sh\nexec {}\n", quoted.join(" ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hook_is_quoted_whatever_the_path_of_the_program() {
        let command = ["/opt/it's here/workflow".to_owned(), "git-hook".to_owned()];

        let script = hook_script(&command).unwrap();

        assert_eq!(script, "#!/bin/sh\nexec '/opt/it'\\''s here/workflow' 'git-hook'\n");
        assert!(hook_script(&[]).is_err());
    }
}
