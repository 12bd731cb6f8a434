//! FIFOs between the steps of a build that run side by side: one tells that the source is there, by another the
//! upload is told to begin. Each is open at both ends before any code of the user runs.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use source::build_steps::{BUILD_FIFO, EXIT_NOT_RUN, OUTPUT_END, SOURCE_FIFO, SUCCEEDED};

use crate::failure::{OrFailure as _, SlugError};

/// The step that begins when this one has succeeded.
pub struct NextStep(File);

impl NextStep {
    /// Waits for the source, and until the next step waits.
    pub fn after_source(workspace: &Path) -> Result<Self, SlugError> {
        let what = "wait for the source";
        let mut said = Vec::new();
        let source = fifo(workspace, SOURCE_FIFO).and_then(File::open).or_fail(what)?;
        source.take(SUCCEEDED.len() as u64).read_to_end(&mut said).or_fail(what)?;
        if said != SUCCEEDED {
            let message = "the source was not taken".to_owned();
            return Err(SlugError { exit_code: EXIT_NOT_RUN, message });
        }
        let next = fifo(workspace, BUILD_FIFO).and_then(|path| OpenOptions::new().write(true).open(path));
        next.map(Self).or_fail("wait for the next step")
    }

    /// Lets it begin, and marks the end of this one's output.
    pub fn begin(mut self) -> Result<(), SlugError> {
        self.0.write_all(SUCCEEDED).or_fail("let the next step begin")?;
        print!("{OUTPUT_END}");
        eprint!("{OUTPUT_END}");
        Ok(())
    }
}

/// Makes a FIFO that every step may open, unless another step has made it already.
fn fifo(workspace: &Path, name: &str) -> io::Result<PathBuf> {
    let (path, unfinished) = (workspace.join(name), workspace.join(format!("{name}-slug")));
    mkfifo(&unfinished, Mode::S_IRWXU)?;
    fs::set_permissions(&unfinished, fs::Permissions::from_mode(0o666))?;
    let linked = fs::hard_link(&unfinished, &path);
    fs::remove_file(&unfinished)?;
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workspace() -> tempfile::TempDir {
        tempfile::tempdir().expect("a temporary folder")
    }

    #[test]
    fn a_build_begins_with_its_source_and_the_next_step_with_its_success() {
        let workspace = workspace();
        let source = fifo(workspace.path(), SOURCE_FIFO).expect("it is made");
        let next = fifo(workspace.path(), BUILD_FIFO).expect("it is made");
        let around = std::thread::spawn(move || {
            fs::write(source, SUCCEEDED).expect("it is read");
            fs::read(next).expect("it is written")
        });

        NextStep::after_source(workspace.path()).and_then(NextStep::begin).expect("it begins");

        assert_eq!(around.join().expect("no panic"), SUCCEEDED);
    }

    #[test]
    fn a_build_without_a_source_does_not_run() {
        let workspace = workspace();
        let source = fifo(workspace.path(), SOURCE_FIFO).expect("it is made");
        let failing = std::thread::spawn(move || fs::write(source, "").expect("it is read"));

        let failure = NextStep::after_source(workspace.path()).err().expect("there is no source");

        assert_eq!(failure.exit_code, EXIT_NOT_RUN);
        failing.join().expect("no panic");
    }
}
