//! The launcher: the program that starts processes of app images.

mod exec_d;
mod shell;

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::api::ApiVersion;
use crate::environment::{Variables, add_launch_layers};
use crate::failure::{LifecycleError, OrFailure, Result, code};
use crate::formats::group::folder_of;
use crate::formats::launch::Metadata;
use crate::formats::process::Process;
use crate::formats::read_or_default;

/// What the launcher is told.
pub struct LaunchSettings {
    pub layers: PathBuf,
    pub app: PathBuf,
    pub exec_env: String,
    /// Name under which the launcher was called: a process type, if the image has it.
    pub called: String,
    pub arguments: Vec<OsString>,
    pub variables: Variables,
}

/// A command that is decided: process type, program, arguments, folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launch {
    pub process_type: Option<String>,
    pub program: OsString,
    pub arguments: Vec<OsString>,
    pub folder: PathBuf,
    /// Without a shell in between.
    pub is_direct: bool,
}

/// Variables that processes do not see.
const HIDDEN: &[&str] =
    &["CNB_APP_DIR", "CNB_LAYERS_DIR", "CNB_PROCESS_TYPE", "CNB_PLATFORM_API", "CNB_DEPRECATION_MODE"];
/// Folders that are in `PATH` for the launcher alone.
const OWN_FOLDERS: &[&str] = &["/cnb/process", "/cnb/lifecycle"];

/// Replaces this program by the process; returns only if that fails.
pub fn launch(settings: &LaunchSettings) -> Result<std::convert::Infallible> {
    let metadata: Metadata = read_or_default(&settings.layers.join("config/metadata.toml"))?;
    let launch = decide(settings, &metadata)?;
    let layers = launch_layers(settings, &metadata)?;
    let mut variables = shown(settings.variables.clone());
    for layers in &layers {
        add_launch_layers(&mut variables, layers, launch.process_type.as_deref())?;
    }
    exec_d::run(&layers, &launch, settings, &mut variables)?;
    let mut command = match launch.is_direct {
        true => direct(&launch),
        false => shell::command(&launch, &layers, &settings.app),
    };
    let folder = if launch.is_direct { &launch.folder } else { &settings.app };
    let error = command.current_dir(folder).env_clear().envs(&variables).exec();
    Err(error).or_fail(format!("`{}` cannot be started", launch.program.display()))
}

fn direct(launch: &Launch) -> Command {
    let mut command = Command::new(&launch.program);
    command.args(&launch.arguments);
    command
}

/// Decides the command by the name under which the launcher was called, and its arguments.
pub fn decide(settings: &LaunchSettings, metadata: &Metadata) -> Result<Launch> {
    let LaunchSettings { called, arguments, app, .. } = settings;
    let is_defined = metadata.process(called).is_some();
    if is_defined {
        let process = metadata.process(called).filter(|it| it.fits(&settings.exec_env)).ok_or_else(|| {
            refused(format!("process type `{called}` is not for the environment {}", settings.exec_env))
        })?;
        return Ok(of_process(process, metadata.api_of(process), arguments, app));
    }
    let of_user = |words: &[OsString], is_direct| match words {
        [program, arguments @ ..] => Ok(Launch {
            process_type: None,
            program: program.clone(),
            arguments: arguments.to_vec(),
            folder: app.clone(),
            is_direct,
        }),
        [] => Err(refused("no command is given, and the image has no default process type".to_owned())),
    };
    match arguments.as_slice() {
        [dashes, words @ ..] if dashes == "--" => of_user(words, true),
        words => of_user(words, false),
    }
}

fn of_process(process: &Process, api: Option<ApiVersion>, given: &[OsString], app: &Path) -> Launch {
    let own = |words: &[String]| words.iter().map(OsString::from).collect::<Vec<_>>();
    let has_default_arguments = api.is_none_or(|api| api >= ApiVersion(0, 9));
    let (program, fixed) = process
        .command
        .split_first()
        .map_or((OsString::new(), Vec::new()), |(program, rest)| (OsString::from(program), own(rest)));
    let arguments = match has_default_arguments && !given.is_empty() {
        true => given.to_vec(),
        false => [own(&process.args), given.to_vec()].concat(),
    };
    Launch {
        process_type: Some(process.process_type.clone()),
        program,
        arguments: [fixed, arguments].concat(),
        folder: process.working_dir.as_ref().map_or_else(|| app.to_owned(), |folder| app.join(folder)),
        is_direct: process.direct || has_default_arguments,
    }
}

/// Folders of each buildpack's layers in the order of the build, by name.
fn launch_layers(settings: &LaunchSettings, metadata: &Metadata) -> Result<Vec<Vec<PathBuf>>> {
    let folders = |id: &str| {
        let folder = settings.layers.join(folder_of(id));
        let Ok(entries) = std::fs::read_dir(&folder) else { return Ok(Vec::new()) };
        let paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<std::io::Result<Vec<_>>>();
        let mut paths = paths.or_fail(format!("{} cannot be listed", folder.display()))?;
        paths.retain(|path| path.is_dir());
        paths.sort();
        Ok(paths)
    };
    metadata.buildpacks.iter().map(|buildpack| folders(&buildpack.id)).collect()
}

/// The image's variables without the launcher's own.
fn shown(mut variables: Variables) -> Variables {
    variables.retain(|name, _| !HIDDEN.iter().any(|it| name == *it));
    if let Some(path) = variables.get_mut(OsStr::new("PATH")) {
        let is_shown = |folder: &&[u8]| !OWN_FOLDERS.iter().any(|own| own.as_bytes() == *folder);
        let folders: Vec<_> = path.as_bytes().split(|byte| *byte == b':').filter(is_shown).collect();
        *path = OsString::from_vec(folders.join(&b':'));
    }
    variables
}

fn refused(message: String) -> LifecycleError {
    LifecycleError::new(code::LAUNCH, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    const METADATA: &str = r#"
        buildpacks = [{id = "old", version = "1", api = "0.8"}, {id = "new", version = "1", api = "0.10"}]
        [[processes]]
        type = "web"
        command = ["run", "--fixed"]
        args = ["--port", "1"]
        buildpack-id = "new"
        working-dir = "/elsewhere"
        [[processes]]
        type = "old"
        command = ["run web"]
        args = ["a"]
        buildpack-id = "old"
        [[processes]]
        type = "test"
        command = ["a"]
        buildpack-id = "new"
        exec-env = ["test"]
    "#;

    fn decided(called: &str, arguments: &[&str]) -> Result<(String, bool)> {
        let settings = LaunchSettings {
            layers: PathBuf::from("/layers"),
            app: PathBuf::from("/workspace"),
            exec_env: "production".to_owned(),
            called: called.to_owned(),
            arguments: arguments.iter().map(OsString::from).collect(),
            variables: Variables::new(),
        };
        let launch = decide(&settings, &toml::from_str(METADATA).expect("metadata"))?;
        let words: Vec<_> = [&launch.program]
            .into_iter()
            .chain(&launch.arguments)
            .map(|it| it.display().to_string())
            .collect();
        Ok((format!("{} in {}", words.join("|"), launch.folder.display()), launch.is_direct))
    }

    #[test]
    fn given_arguments_replace_default_ones_and_follow_those_of_old_buildpacks() {
        assert_eq!(decided("web", &[]), Ok(("run|--fixed|--port|1 in /elsewhere".to_owned(), true)));
        assert_eq!(decided("web", &["x"]), Ok(("run|--fixed|x in /elsewhere".to_owned(), true)));
        assert_eq!(decided("old", &["x"]), Ok(("run web|a|x in /workspace".to_owned(), false)));
    }

    #[test]
    fn commands_of_users_run_directly_behind_two_dashes_and_else_in_a_shell() {
        assert_eq!(decided("launcher", &["--", "ls", "-l"]), Ok(("ls|-l in /workspace".to_owned(), true)));
        assert_eq!(decided("launcher", &["ls -l"]), Ok(("ls -l in /workspace".to_owned(), false)));
        assert_eq!(decided("launcher", &[]).expect_err("refused").exit_code, code::LAUNCH);
    }

    #[test]
    fn a_process_of_another_execution_environment_is_refused() {
        assert!(decided("test", &[]).expect_err("refused").message.contains("production"));
    }

    #[test]
    fn processes_do_not_see_what_is_the_launchers() {
        let all = [("PATH", "/cnb/process:/cnb/lifecycle:/bin:/usr/bin"), ("CNB_APP_DIR", "/a"), ("A", "b")];

        let shown = shown(all.iter().map(|(name, value)| (name.into(), value.into())).collect());

        let expected = [("A", "b"), ("PATH", "/bin:/usr/bin")];
        assert_eq!(shown, expected.iter().map(|(name, value)| (name.into(), value.into())).collect());
    }
}
