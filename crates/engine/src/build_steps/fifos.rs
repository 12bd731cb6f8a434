//! FIFOs of the workspace, by which one step lets the next begin: the steps run side by side.
//!
//! Each FIFO is open at both ends before any code of the user runs, so that nothing can take its place. One that is
//! closed without [`SUCCEEDED`] belongs to a step that failed, or was killed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use domain::build_steps::SUCCEEDED;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use tokio::sync::oneshot;

use super::{BuildPod, OrFailed as _, Step, StepError};

const WHAT_NEXT: &str = "let the next step begin";

/// Waits until the step before this one has succeeded.
pub async fn wait(pod: &BuildPod, name: &str) -> Result<(), StepError> {
    let path = make(&pod.workspace, name, pod.step);
    let read = in_a_thread(move || {
        let mut said = Vec::new();
        File::open(path?)?.take(SUCCEEDED.len() as u64).read_to_end(&mut said)?;
        Ok(said)
    });
    let said = read.await.or_failed("wait for the step before")?;
    if said == SUCCEEDED { Ok(()) } else { Err(StepError::NotRun) }
}

/// The step that begins when this one has succeeded.
pub struct NextStep(oneshot::Receiver<io::Result<File>>);

impl NextStep {
    /// Opens its FIFO, which takes until it runs.
    pub fn open(pod: &BuildPod, name: &str) -> Self {
        let path = make(&pod.workspace, name, pod.step);
        Self(spawn(move || OpenOptions::new().write(true).open(path?)))
    }

    pub async fn begin(self) -> Result<(), StepError> {
        self.opened().await?.begin()
    }

    /// Waits until it runs.
    pub async fn opened(self) -> Result<OpenedStep, StepError> {
        received(self.0).await.map(OpenedStep).or_failed(WHAT_NEXT)
    }
}

/// The next step, which waits.
pub struct OpenedStep(File);

impl OpenedStep {
    pub fn begin(mut self) -> Result<(), StepError> {
        self.0.write_all(SUCCEEDED).or_failed(WHAT_NEXT)
    }
}

/// A thread of the runtime would hold up the end of the process if the other end is never opened.
fn spawn<T: Send + 'static>(
    blocking: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> oneshot::Receiver<io::Result<T>> {
    let (sender, receiver) = oneshot::channel();
    std::thread::spawn(move || sender.send(blocking()));
    receiver
}

async fn received<T>(receiver: oneshot::Receiver<io::Result<T>>) -> io::Result<T> {
    receiver.await.map_err(io::Error::other)?
}

async fn in_a_thread<T: Send + 'static>(
    blocking: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    received(spawn(blocking)).await
}

/// Makes a FIFO that every step may open, unless another step has made it already.
fn make(workspace: &Path, name: &str, step: Step) -> io::Result<PathBuf> {
    let path = workspace.join(name);
    let unfinished = workspace.join(format!("{name}-{}", step.as_str()));
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
    use domain::build_steps::BUILD_FIFO;

    use super::*;
    use crate::build_steps::receive::tests::pod;

    #[tokio::test]
    async fn a_step_begins_when_the_one_before_it_has_succeeded() {
        let workspace = tempfile::tempdir().expect("a temporary folder");
        let (before, after) = (pod(workspace.path(), Step::Dockerfile), pod(workspace.path(), Step::Upload));
        let next = NextStep::open(&before, BUILD_FIFO);

        let (began, waited) = tokio::join!(next.begin(), wait(&after, BUILD_FIFO));

        began.and(waited).expect("it begins");
    }

    #[tokio::test]
    async fn a_step_does_not_run_if_the_one_before_it_ended_without_success() {
        let workspace = tempfile::tempdir().expect("a temporary folder");
        let (before, after) = (pod(workspace.path(), Step::Dockerfile), pod(workspace.path(), Step::Upload));
        let next = NextStep::open(&before, BUILD_FIFO);

        let (opened, waited) = tokio::join!(async { drop(next.opened().await) }, wait(&after, BUILD_FIFO));

        assert!(matches!((opened, waited), ((), Err(StepError::NotRun))));
    }
}
