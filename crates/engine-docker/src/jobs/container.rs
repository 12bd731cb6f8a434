//! The container of one job: made, filled, watched to its end, and always removed.

use std::collections::HashMap;
use std::io;

use bollard::Docker;
use bollard::container::{AttachContainerResults, LogOutput};
use bollard::errors::Error;
use bollard::exec::{CreateExecOptions, StartExecOptions, StartExecResults};
use bollard::models::{ContainerCreateBody, HostConfig, HostConfigLogConfig};
use bollard::query_parameters::{
    AttachContainerOptionsBuilder, ContainerArchiveInfoOptionsBuilder, CreateContainerOptionsBuilder,
    DownloadFromContainerOptionsBuilder, ListContainersOptionsBuilder, RemoveContainerOptionsBuilder,
    UploadToContainerOptionsBuilder, WaitContainerOptionsBuilder,
};
use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt as _};
use tokio::io::AsyncRead;
use tokio_stream::wrappers::ReceiverStream;

use super::archive::{self, Sink};
use super::failure;
use super::outward_links::OutwardLinks;
use engine::JobError;

const WHAT_SOURCE: &str = "take in the source";

/// A container that is removed when this goes out of scope, whatever the reason.
pub struct JobContainer {
    docker: Docker,
    /// Its name, which is never used again.
    id: String,
    is_removed: bool,
}

/// Exit of a container's process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContainerExit {
    pub code: i64,
    /// Some process of the container was killed because the memory bound was reached.
    pub out_of_memory: bool,
}

/// A command beside the process.
pub struct Exec {
    id: String,
    pub output: BoxStream<'static, Result<Bytes, Error>>,
}

impl JobContainer {
    pub async fn create(docker: &Docker, name: &str, body: ContainerCreateBody) -> Result<Self, Error> {
        // Guarded by its name before it exists: the future may be dropped while Docker makes it.
        let mut container = Self { docker: docker.clone(), id: name.to_owned(), is_removed: false };
        let options = CreateContainerOptionsBuilder::default().name(name).build();
        let created = docker.create_container(Some(options), body).await;
        // A container of that name that was there already is not ours to remove.
        container.is_removed = created.as_ref().is_err_and(|error| failure::status(error) == Some(409));
        created.map(|_| container)
    }

    pub fn name(&self) -> &str {
        &self.id
    }

    /// Unpacks a small archive below `path`.
    pub async fn put(&self, path: &str, archive: Bytes) -> Result<(), Error> {
        let options = UploadToContainerOptionsBuilder::default().path(path).build();
        self.docker.upload_to_container(&self.id, Some(options), bollard::body_full(archive)).await
    }

    /// Unpacks an archive of any size below `path`, all of it owned by `owner`.
    pub async fn put_source(
        &self,
        path: &str,
        source: impl AsyncRead + Unpin,
        owner: (u64, u64),
    ) -> Result<(), JobError> {
        let (send, body) = Sink::body(async move |sink| archive::send_owned_by(source, sink, owner).await);
        let (taken, sent) = tokio::join!(self.put_stream(path, body), send);
        let (sent, links) = match sent {
            Ok(links) => (Ok(()), links),
            Err(error) => (Err(error), OutwardLinks::default()),
        };
        both(WHAT_SOURCE, taken, sent)?;
        if links.is_empty() {
            return Ok(());
        }
        let links = links.archive(path, owner).map_err(|error| failure::file_error(WHAT_SOURCE, &error))?;
        self.put("/", links).await.map_err(|error| failure::job_error(WHAT_SOURCE, error))
    }

    /// Unpacks an archive below `path` as it comes.
    pub async fn put_stream(&self, path: &str, body: ReceiverStream<io::Result<Bytes>>) -> Result<(), Error> {
        let options = UploadToContainerOptionsBuilder::default().path(path).build();
        let body = bollard::body_try_stream(body);
        self.docker.upload_to_container(&self.id, Some(options), body).await
    }

    /// The archive of one file of the container; works before the start and after the end too.
    pub fn get(&self, path: &str) -> impl AsyncRead + Unpin + use<> {
        let options = DownloadFromContainerOptionsBuilder::default().path(path).build();
        archive::reader(self.docker.download_from_container(&self.id, Some(options)).boxed())
    }

    /// Returns true if the container has this file.
    pub async fn has(&self, path: &str) -> Result<bool, Error> {
        let options = ContainerArchiveInfoOptionsBuilder::default().path(path).build();
        match self.docker.get_container_archive_info(&self.id, Some(options)).await {
            Ok(_) => Ok(true),
            Err(error) if failure::status(&error) == Some(404) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Starts the process; the stream of its output ends with it.
    pub async fn start(&self) -> Result<impl Stream<Item = Result<Bytes, Error>> + Unpin + use<>, Error> {
        let options = AttachContainerOptionsBuilder::default().stream(true).stdout(true).stderr(true);
        // Attached first: not a byte is missed, and no log file has to be kept.
        let AttachContainerResults { output, input: _ } =
            self.docker.attach_container(&self.id, Some(options.build())).await?;
        self.docker.start_container(&self.id, None).await?;
        Ok(output.map(|chunk| chunk.map(LogOutput::into_bytes)))
    }

    /// Runs a command beside the process; the stream of its output ends with it.
    pub async fn exec(&self, command: Vec<String>) -> Result<Exec, Error> {
        let options = CreateExecOptions {
            cmd: Some(command),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            ..CreateExecOptions::default()
        };
        let id = self.docker.create_exec(&self.id, options).await?.id;
        let output = match self.docker.start_exec(&id, None::<StartExecOptions>).await? {
            StartExecResults::Attached { output, input: _ } => output,
            StartExecResults::Detached => futures_util::stream::empty().boxed(),
        };
        Ok(Exec { id, output: output.map(|chunk| chunk.map(LogOutput::into_bytes)).boxed() })
    }

    /// The exit code of a command whose output has ended.
    pub async fn exit_code(&self, exec: Exec) -> Result<Option<i64>, Error> {
        let Exec { id, output: _ } = exec;
        Ok(self.docker.inspect_exec(&id).await?.exit_code)
    }

    /// Bytes that the container's processes wrote outside volumes.
    pub async fn written_bytes(&self) -> Result<u64, Error> {
        let filters = HashMap::from([("name", vec![format!("^/{}$", self.id)])]);
        let options = ListContainersOptionsBuilder::default().all(true).size(true).filters(&filters).build();
        let listed = self.docker.list_containers(Some(options)).await?;
        let size = listed.first().and_then(|container| container.size_rw).unwrap_or_default();
        Ok(size.max(0).unsigned_abs())
    }

    /// Waits for the end of the process.
    pub async fn exit(&self) -> Result<ContainerExit, Error> {
        let options = WaitContainerOptionsBuilder::default().condition("not-running").build();
        // An exit code other than 0 comes as an error; the state has it too, so only the end matters.
        if let Some(Err(error)) = self.docker.wait_container(&self.id, Some(options)).next().await {
            match error {
                Error::DockerContainerWaitError { .. } => {}
                other => return Err(other),
            }
        }
        let state = self.docker.inspect_container(&self.id, None).await?.state.unwrap_or_default();
        Ok(ContainerExit {
            code: state.exit_code.unwrap_or(-1),
            out_of_memory: state.oom_killed.unwrap_or(false),
        })
    }

    /// Returns true if a process of the container was killed because the memory limit was reached.
    pub async fn is_out_of_memory(&self) -> bool {
        let inspected = self.docker.inspect_container(&self.id, None).await;
        inspected.ok().and_then(|it| it.state?.oom_killed).unwrap_or(false)
    }

    /// Removes the container and waits for it; what still runs in it is killed.
    pub async fn remove(mut self) -> Result<(), Error> {
        let removed = remove(&self.docker, &self.id).await;
        self.is_removed = removed.is_ok();
        removed
    }
}

impl Drop for JobContainer {
    fn drop(&mut self) {
        if self.is_removed {
            return;
        }
        let (docker, id) = (self.docker.clone(), self.id.clone());
        // Without a runtime the process is ending; the next one removes orphans when it starts.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(async move {
            if let Err(error) = remove(&docker, &id).await {
                tracing::warn!(
                    container = id,
                    error = failure::message(&error),
                    "cannot remove a job's container"
                );
            }
        });
    }
}

/// Removes a container, killing what runs in it; a missing one is no error.
pub async fn remove(docker: &Docker, id: &str) -> Result<(), Error> {
    let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
    match docker.remove_container(id, Some(options)).await {
        // Gone, or being removed: both are as requested.
        Err(error) if matches!(failure::status(&error), Some(404 | 409)) => Ok(()),
        removed => removed,
    }
}

/// Bounds that every job has: no gain of privileges, a reaping init, no log file (jobs are watched live).
pub fn bounded(memory_bytes: u64, pids_max: u32) -> HostConfig {
    let memory = i64::try_from(memory_bytes).unwrap_or(i64::MAX);
    HostConfig {
        memory: Some(memory),
        // Equal to the memory: no swap on top of it.
        memory_swap: Some(memory),
        pids_limit: Some(i64::from(pids_max)),
        init: Some(true),
        security_opt: Some(vec!["no-new-privileges".to_owned()]),
        log_config: Some(HostConfigLogConfig { typ: Some("none".to_owned()), config: None }),
        ..HostConfig::default()
    }
}

/// The outcome of a request whose body was sent at the same time: the first cause counts.
pub fn both(what: &str, taken: Result<(), Error>, sent: io::Result<()>) -> Result<(), JobError> {
    match (taken, sent) {
        (Ok(()), Ok(())) => Ok(()),
        (Err(error), Err(cut)) if cut.kind() == io::ErrorKind::BrokenPipe => {
            Err(failure::job_error(what, error))
        }
        (_, Err(error)) => Err(failure::file_error(what, &error)),
        (Err(error), Ok(())) => Err(failure::job_error(what, error)),
    }
}
