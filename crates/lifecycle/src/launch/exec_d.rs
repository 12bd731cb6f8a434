//! `exec.d`: programs of layers that print variables, as TOML, to file descriptor 3 before a process starts.

use std::collections::BTreeMap;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Command;

use command_fds::{CommandFdExt, FdMapping};

use super::{Launch, LaunchSettings};
use crate::environment::Variables;
use crate::failure::{LifecycleError, OrFailure, Result, code};
use crate::formats::{bounded_text, parse};
use crate::process::command;

const OUTPUT: i32 = 3;

/// Runs those of all processes, then those of this one.
pub fn run(
    layers: &[Vec<PathBuf>],
    launch: &Launch,
    settings: &LaunchSettings,
    variables: &mut Variables,
) -> Result<()> {
    for layer in layers.iter().flatten() {
        for program in programs(&layer.join("exec.d"))? {
            run_one(&program, &settings.app, variables)?;
        }
    }
    let Some(process_type) = &launch.process_type else { return Ok(()) };
    for layer in layers.iter().flatten() {
        for program in programs(&layer.join("exec.d").join(process_type))? {
            run_one(&program, &settings.app, variables)?;
        }
    }
    Ok(())
}

fn programs(folder: &Path) -> Result<Vec<PathBuf>> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Ok(Vec::new()) };
    let paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<std::io::Result<Vec<_>>>();
    let mut paths = paths.or_fail(format!("{} cannot be listed", folder.display()))?;
    paths.retain(|path| path.is_file());
    paths.sort();
    Ok(paths)
}

fn run_one(program: &Path, app: &Path, variables: &mut Variables) -> Result<()> {
    let name = program.display().to_string();
    let (mut reader, writer) = std::io::pipe().or_fail(format!("{name} cannot be started"))?;
    let mut command: Command = command(program, app, variables);
    let mapping = FdMapping { parent_fd: OwnedFd::from(writer), child_fd: OUTPUT };
    command.fd_mappings(vec![mapping]).or_fail(format!("{name} cannot be started"))?;
    let mut child = command.spawn().or_fail(format!("{name} cannot be started"))?;
    // The command holds the writer's end; without it closed the pipe would never end.
    drop(command);
    let text = bounded_text(&format!("output of {name}"), reader.by_ref());
    drop(reader);
    let status = child.wait().or_fail(format!("{name} is lost"))?;
    if !status.success() {
        return Err(LifecycleError::new(code::LAUNCH, format!("{name} failed: {status}")));
    }
    let set: BTreeMap<String, String> = parse(&format!("output of {name}"), &text?)?;
    for (key, value) in set {
        match key.is_empty() || key.contains(['=', '\0']) || value.contains('\0') {
            true => {
                return Err(LifecycleError::generic(format!(
                    "output of {name}: `{key}` cannot be a variable"
                )));
            }
            false => variables.insert(key.into(), value.into()),
        };
    }
    Ok(())
}
