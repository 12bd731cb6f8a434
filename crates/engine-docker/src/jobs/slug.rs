//! The layer that a build left: taken out of its container, measured, and loaded as an image.

use std::path::{Path, PathBuf};

use bollard::Docker;
use bollard::query_parameters::ImportImageOptionsBuilder;
use bytes::Bytes;
use domain::Digest;
use domain::slug_archive::slug_archive;
use domain::slug_image::{Layer, SlugImage};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio::fs::File;
use tokio::io::AsyncRead;
use tokio_util::io::ReaderStream;

use super::archive::{Entries, Sink};
use super::container::{JobContainer, both};
use super::failure::{self, file_error, job_error};
use engine::JobError;

/// Folder of unfinished slugs in the engine's own; emptied when the engine starts.
pub const FOLDER: &str = "slugs";
const CHUNK_BYTES: usize = 256 * 1024;
const WHAT_TAKE: &str = "take the slug from the build's container";
const WHAT_LOAD: &str = "load the slug's image";

/// A layer in a file of ours, which goes when this goes out of scope.
pub struct SlugFile {
    pub layer: Layer,
    file: TemporaryFile,
}

impl SlugFile {
    /// Copies the container's file at `path` into `folder`.
    pub async fn take(
        container: &JobContainer,
        path: &str,
        folder: &Path,
        size_bytes_max: u64,
    ) -> Result<Self, JobError> {
        let error = |error: std::io::Error| file_error(WHAT_TAKE, &error);
        let mut entries = Entries::new(container.get(path));
        let size_bytes = find_file(&mut entries).await?;
        if size_bytes > size_bytes_max {
            return Err(too_large(size_bytes, size_bytes_max));
        }
        let (file, mut writer) = TemporaryFile::create(folder).await.map_err(error)?;
        let digest = entries.hashed(size_bytes, Some(&mut writer)).await.map_err(error)?;
        Ok(Self { layer: Layer { digest, size_bytes }, file })
    }

    /// Loads `image`, whose last layer this is, under `name`, which names its digest: what has that name already is it.
    pub async fn load(&self, docker: &Docker, image: &SlugImage, name: &str) -> Result<(), JobError> {
        if docker.inspect_image(name).await.is_ok() {
            return Ok(());
        }
        let archive = slug_archive(image, name);
        let file = File::open(&self.file.path).await.map_err(|error| file_error(WHAT_LOAD, &error))?;
        let part = |bytes: Vec<u8>| stream::iter([Ok(Bytes::from(bytes))]);
        let body = part(archive.before_layer)
            .chain(ReaderStream::with_capacity(file, CHUNK_BYTES))
            .chain(part(archive.after_layer));
        let options = ImportImageOptionsBuilder::default().quiet(true).build();
        let said = docker.import_image(options, bollard::body_try_stream(body), None);
        said.try_for_each(async |_| Ok(())).await.map_err(|error| job_error(WHAT_LOAD, error))?;
        name_it(docker, &image.digest, &image.config_digest, name)
            .await
            .map_err(|error| job_error(WHAT_LOAD, error))
    }
}

/// Loads the image of the archive that `send` writes.
pub async fn load_archive(
    docker: &Docker,
    what: &str,
    send: impl AsyncFnOnce(&Sink) -> std::io::Result<()>,
) -> Result<(), JobError> {
    let (sending, body) = Sink::body(send);
    let options = ImportImageOptionsBuilder::default().quiet(true).build();
    let loading = docker.import_image(options, bollard::body_try_stream(body), None);
    let (loaded, sent) = tokio::join!(loading.try_for_each(async |_| Ok(())), sending);
    both(what, loaded, sent)
}

/// Makes sure that an image has its name: stores differ in which of the archive's names they take.
pub async fn name_it(
    docker: &Docker,
    digest: &Digest,
    config_digest: &Digest,
    name: &str,
) -> Result<(), bollard::errors::Error> {
    if docker.inspect_image(name).await.is_ok() {
        return Ok(());
    }
    let by_config = super::tag(docker, config_digest.as_str(), name).await;
    match by_config {
        Err(error) if failure::status(&error) == Some(404) => super::tag(docker, digest.as_str(), name).await,
        tagged => tagged,
    }
}

/// Reads a small file of the container.
pub async fn read_small(
    container: &JobContainer,
    path: &str,
    size_bytes_max: u64,
) -> Result<Vec<u8>, JobError> {
    let mut entries = Entries::new(container.get(path));
    let size_bytes = find_file(&mut entries).await?;
    if size_bytes > size_bytes_max {
        return Err(too_large(size_bytes, size_bytes_max));
    }
    let mut content = Vec::new();
    while let Some(chunk) = entries.chunk().await.map_err(|error| file_error(WHAT_TAKE, &error))? {
        content.extend_from_slice(&chunk);
    }
    content.truncate(usize::try_from(size_bytes).unwrap_or(usize::MAX));
    Ok(content)
}

/// Skips to the first plain file of the archive and returns its size.
async fn find_file(entries: &mut Entries<impl AsyncRead + Unpin>) -> Result<u64, JobError> {
    let error = |error: std::io::Error| file_error(WHAT_TAKE, &error);
    while let Some(header) = entries.next().await.map_err(error)? {
        if header.entry_type().is_file() {
            return header.entry_size().map_err(error);
        }
        while entries.chunk().await.map_err(error)?.is_some() {}
    }
    Err(JobError::Refused { reason: "the build left no slug".to_owned() })
}

fn too_large(size_bytes: u64, size_bytes_max: u64) -> JobError {
    let reason = format!(
        "the slug has {} MB, {} are allowed; list what the app does not need in .slugignore",
        size_bytes.div_ceil(1 << 20),
        failure::size(size_bytes_max)
    );
    JobError::Refused { reason }
}

/// A file with a name of its own that is removed when this goes out of scope.
pub struct TemporaryFile {
    path: PathBuf,
}

impl TemporaryFile {
    pub async fn create(folder: &Path) -> std::io::Result<(Self, File)> {
        tokio::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).await?;
        let file = Self { path: folder.join(format!("{:016x}.tar", rand::random::<u64>())) };
        let mut options = tokio::fs::OpenOptions::new();
        let writer = options.write(true).create_new(true).mode(0o600).open(&file.path).await?;
        Ok((file, writer))
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::warn!(file = %self.path.display(), %error, "cannot remove an unfinished slug");
        }
    }
}
