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
use crate::limits::{GitCommand, GitTask, ProcessLimits};
use crate::{BuilderError, BuilderSettings};

/// Longest time that a small question may take.
const QUESTION_MAX: Duration = Duration::from_secs(60);

/// Namespace of the builder's own refs.
pub(crate) const OWN_REFS: &str = "refs/workflow";

/// Faults of git-fsck(1) that old repositories and other programs' commits are full of. Each concerns names, dates and
/// modes that are only shown. What could write outside of a checkout or run something there (`.git`, `..`, `.gitmodules`,
/// names that come twice) stays refused.
const HARMLESS_FAULTS: &[&str] = &[
    "badDate",
    "badDateOverflow",
    "badEmail",
    "badFilemode",
    "badName",
    "badTagName",
    "badTimezone",
    "missingEmail",
    "missingNameBeforeEmail",
    "missingSpaceBeforeDate",
    "missingSpaceBeforeEmail",
    "missingTaggerEntry",
    "multipleAuthors",
    "nulInCommit",
    "zeroPaddedDate",
    "zeroPaddedFilemode",
];

/// Invocation of git.
pub(crate) struct Git {
    program_path: String,
    configuration: Vec<String>,
    settings: BuilderSettings,
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
        Ok(Self { program_path: settings.program_path.clone(), configuration, settings: settings.clone() })
    }

    /// `git <arguments>`, ready to be started, within the limits of such work.
    pub(crate) fn command<I, S>(&self, work: GitTask, arguments: I) -> GitCommand
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        let mut command = Command::new("git");
        command.env_clear().env("PATH", &self.program_path).env("LC_ALL", "C").current_dir("/");
        command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
        command.env("GIT_TERMINAL_PROMPT", "0");
        // Each arena of the allocator reserves 64 MiB of address space, which the limit of memory counts.
        command.env("MALLOC_ARENA_MAX", "1");
        for setting in &self.configuration {
            command.arg("-c").arg(setting);
        }
        // A process group of its own: a Ctrl-C in our terminal is not meant for a push under way.
        command.args(arguments).stdin(Stdio::null()).kill_on_drop(true).process_group(0);
        GitCommand { command, limits: ProcessLimits::of(work, &self.settings) }
    }

    /// `git <arguments>` about one repository; sees the objects of a quarantine where `environment` names one.
    pub(crate) fn about<S: AsRef<OsStr>>(
        &self,
        work: GitTask,
        repository: &Path,
        environment: &Quarantine,
        arguments: &[S],
    ) -> GitCommand {
        let mut git = self.command(work, arguments);
        git.command.env("GIT_DIR", repository).envs(environment);
        git
    }

    /// Runs a small question to its end.
    pub(crate) async fn answer(&self, command: GitCommand) -> std::io::Result<Output> {
        command.output(QUESTION_MAX).await
    }
}

/// The variables by which git's hook shows where the new objects are.
pub(crate) type Quarantine = std::collections::BTreeMap<String, PathBuf>;

fn configuration(hooks: &Path, push_bytes_max: u64) -> Vec<String> {
    let harmless = HARMLESS_FAULTS.iter().map(|fault| format!("receive.fsck.{fault}=ignore"));
    let settings = [
        format!("core.hooksPath={}", hooks.display()),
        "safe.directory=*".to_owned(),
        "receive.fsckObjects=true".to_owned(),
        "transfer.fsckObjects=true".to_owned(),
        // Objects of our own copy were checked when they were pushed.
        "fetch.fsckObjects=false".to_owned(),
        format!("receive.maxInputSize={push_bytes_max}"),
        // Removals are checked in `refs`, before anything is built.
        "receive.denyDeletes=false".to_owned(),
        "receive.denyDeleteCurrent=ignore".to_owned(),
        // CI pushes out of shallow clones.
        "receive.shallowUpdate=true".to_owned(),
        // Neither shown nor changed by clients.
        format!("transfer.hideRefs={OWN_REFS}"),
        // A mirror may bring some; the files of a commit stay those of the commit.
        "core.useReplaceRefs=false".to_owned(),
        "receive.autogc=false".to_owned(),
        "receive.keepAlive=5".to_owned(),
        // Big files are streamed instead of being held in memory.
        "core.bigFileThreshold=16m".to_owned(),
        // Memory of one process beside the objects in use.
        "core.packedGitWindowSize=16m".to_owned(),
        "core.packedGitLimit=64m".to_owned(),
        "core.deltaBaseCacheLimit=32m".to_owned(),
        "pack.deltaCacheSize=32m".to_owned(),
        "pack.windowMemory=64m".to_owned(),
        "pack.threads=1".to_owned(),
        "gc.autoDetach=false".to_owned(),
        "core.fsync=committed".to_owned(),
        "core.fsyncMethod=batch".to_owned(),
    ];
    settings.into_iter().chain(harmless).collect()
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
