//! Runs programs of buildpacks.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use crate::environment::Variables;
use crate::failure::{OrFailure, Result};

/// Bytes of a program's output that are kept for the user.
const OUTPUT_BYTES_MAX: u64 = 1 << 20;

/// A program with nothing of the lifecycle's own environment.
pub fn command(program: &Path, folder: &Path, variables: &Variables) -> Command {
    let mut command = Command::new(program);
    command.current_dir(folder).env_clear().envs(variables);
    command
}

/// Runs a program and keeps the beginning of what it prints, both streams in order.
pub fn captured(mut command: Command) -> io::Result<(ExitStatus, Vec<u8>)> {
    let (mut reader, writer) = io::pipe()?;
    command.stdin(std::process::Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
    let mut child = command.spawn()?;
    // The command holds the writer's ends; without them closed the pipe would never end.
    drop(command);
    let mut output = Vec::new();
    reader.by_ref().take(OUTPUT_BYTES_MAX).read_to_end(&mut output)?;
    io::copy(&mut reader, &mut io::sink())?;
    Ok((child.wait()?, output))
}

/// A folder of this process alone, removed with the value.
pub struct TemporaryFolder(PathBuf);

impl TemporaryFolder {
    pub fn make(purpose: &str) -> Result<Self> {
        use std::os::unix::fs::DirBuilderExt;
        for number in 0..1000 {
            let name = format!("lifecycle-{purpose}-{}-{number}", std::process::id());
            let path = std::env::temp_dir().join(name);
            match fs::DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Self(path)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error).or_fail(format!("{} cannot be made", path.display())),
            }
        }
        Err("all names are taken").or_fail("no temporary folder can be made")
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
