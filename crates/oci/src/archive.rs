//! Images from files: archives of `docker save`, OCI archives, OCI layouts in a folder.
//!
//! A layout may have been written by the user's code, so no link in it is followed: a link could lead to
//! what only we may read. The registry checks every digest.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use domain::Digest;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde::Deserialize;
use serde_json::json;
use sha2::Digest as _;
use tokio::io::AsyncReadExt as _;
use tokio_util::io::ReaderStream;

use super::blobs::BlobStream;
use super::{
    DOCUMENT_BYTES_MAX, Descriptor, Manifest, OciError, Repository, architecture, is_index, media_type,
};

const CHUNK_BYTES: usize = 256 << 10;
const BLOBS_AT_ONCE: usize = 3;
/// Entries of an archive that are looked at.
const ENTRIES_MAX: usize = 100_000;

/// An image file that was not sent.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    #[error("cannot read {path}: {source}")]
    Read { path: String, source: io::Error },
    #[error("{path} holds no image: {reason}")]
    NoImage { path: String, reason: String },
    #[error("it has {mib} MB, {mib_max} MB are allowed")]
    TooLarge { mib: u64, mib_max: u64 },
    #[error(transparent)]
    Registry(#[from] OciError),
}

/// Sends the first image of an archive under `tag`; gives back its manifest's digest.
pub async fn push_archive(path: &Path, to: &Repository, tag: &str) -> Result<Digest, ArchiveError> {
    let source = ImageSource::archive(path).map_err(|source| read_error(path, source))?;
    let image = image_in(&source).map_err(|error| match error {
        Failure::Io(source) => read_error(path, source),
        Failure::NoImage(reason) => ArchiveError::NoImage { path: path.display().to_string(), reason },
    })?;
    send(image, &source, path, to, &LayoutPush { tag: Some(tag), mounts: &[], bytes_max: None }).await
}

/// Options for pushing a layout.
pub struct LayoutPush<'a> {
    /// Its name; without one it is under the hex of its digest.
    pub tag: Option<&'a str>,
    /// Repositories that may have some of its layers, which are then taken over from there.
    pub mounts: &'a [&'a str],
    /// Largest sum of its blobs.
    pub bytes_max: Option<u64>,
}

/// Sends an image whose blobs are in an OCI layout in `folder` below `root`, without those that the registry has.
pub async fn push_image(
    manifest: Manifest,
    root: &Path,
    folder: &str,
    to: &Repository,
    how: &LayoutPush<'_>,
) -> Result<Digest, ArchiveError> {
    let source = ImageSource::Folder { root: root.to_owned(), folder: folder.to_owned() };
    send(Image::in_layout(manifest), &source, &root.join(folder), to, how).await
}

async fn send(
    image: Image,
    source: &ImageSource,
    path: &Path,
    to: &Repository,
    LayoutPush { tag, mounts, bytes_max }: &LayoutPush<'_>,
) -> Result<Digest, ArchiveError> {
    let size_bytes = image.blobs.iter().map(|(blob, _)| blob.size_bytes).fold(0, u64::saturating_add);
    if let Some(bytes_max) = bytes_max.filter(|max| size_bytes > *max) {
        return Err(ArchiveError::TooLarge { mib: size_bytes.div_ceil(1 << 20), mib_max: bytes_max >> 20 });
    }
    let sent = image.blobs.iter().map(async |(blob, file)| {
        if is_there(to, &blob.digest, mounts).await? {
            return Ok(());
        }
        let content = source.stream(file, blob.size_bytes).map_err(|source| read_error(path, source))?;
        Ok::<(), ArchiveError>(to.push_blob(&blob.digest, blob.size_bytes, content).await?)
    });
    stream::iter(sent).buffer_unordered(BLOBS_AT_ONCE).try_collect::<()>().await?;
    let digest = image.manifest.digest.clone();
    to.put_manifest(tag.unwrap_or(digest.hex()), &image.manifest.media_type, image.manifest.bytes).await?;
    Ok(digest)
}

/// True if the repository has the blob, or could mount it from one of the others.
async fn is_there(to: &Repository, digest: &Digest, mounts: &[&str]) -> Result<bool, OciError> {
    if to.has_blob(digest).await? {
        return Ok(true);
    }
    for other in mounts {
        if to.mount_blob(digest, other).await? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn read_error(path: &Path, source: io::Error) -> ArchiveError {
    ArchiveError::Read { path: path.display().to_string(), source }
}

enum Failure {
    Io(io::Error),
    NoImage(String),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// A manifest, and the files of the blobs that it needs.
struct Image {
    manifest: Manifest,
    blobs: Vec<(Descriptor, String)>,
}

impl Image {
    fn in_layout(manifest: Manifest) -> Self {
        let blobs = manifest.blobs().map(|blob| (blob.clone(), blob_path(&blob.digest))).collect();
        Self { manifest, blobs }
    }
}

/// Finds the image that an archive or a layout holds.
fn image_in(source: &ImageSource) -> Result<Image, Failure> {
    if source.has("index.json") {
        return image_of_layout(source);
    }
    if source.has("manifest.json") {
        return image_of_docker(source);
    }
    Err(Failure::NoImage("it has neither index.json nor manifest.json".to_owned()))
}

fn image_of_layout(source: &ImageSource) -> Result<Image, Failure> {
    let mut document = source.read("index.json")?;
    let mut kind = "application/vnd.oci.image.index.v1+json".to_owned();
    // The layout's own index, and at most one more for platforms.
    for _ in 0..3 {
        let manifest = Manifest::parse(Bytes::from(document), &kind).map_err(Failure::NoImage)?;
        if !is_index(&manifest) {
            return Ok(Image::in_layout(manifest));
        }
        let next = manifest.only_or_for_platform(architecture()).map_err(Failure::NoImage)?;
        document = source.read(&blob_path(&next.digest))?;
        kind.clone_from(&next.media_type);
    }
    Err(Failure::NoImage("its index leads to indexes only".to_owned()))
}

fn blob_path(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// One entry of the `manifest.json` of `docker save`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DockerEntry {
    config: String,
    layers: Vec<String>,
}

/// Describes what `docker save` wrote: layers are uncompressed there.
fn image_of_docker(source: &ImageSource) -> Result<Image, Failure> {
    let saved: Vec<DockerEntry> = serde_json::from_slice(&source.read("manifest.json")?)
        .map_err(|error| Failure::NoImage(error.to_string()))?;
    let Some(DockerEntry { config, layers }) = saved.into_iter().next() else {
        return Err(Failure::NoImage("its manifest.json is empty".to_owned()));
    };
    let mut blobs = vec![(described(source, &config, media_type::CONFIG)?, config)];
    for layer in layers {
        blobs.push((described(source, &layer, media_type::LAYER)?, layer));
    }
    let descriptors: Vec<_> = blobs.iter().map(|(descriptor, _)| descriptor).collect();
    let manifest = json!({
        "schemaVersion": 2, "mediaType": media_type::MANIFEST,
        "config": descriptors[0], "layers": descriptors[1..],
    });
    let manifest =
        Manifest::parse(Bytes::from(manifest.to_string()), media_type::MANIFEST).map_err(Failure::NoImage)?;
    Ok(Image { manifest, blobs })
}

fn described(source: &ImageSource, file: &str, media_type: &str) -> Result<Descriptor, Failure> {
    let (mut content, size_bytes) = source.open(file)?;
    let mut hash = sha2::Sha256::new();
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        let count = content.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        hash.update(&buffer[..count]);
    }
    let digest = Digest::parse(&format!("sha256:{}", hex::encode(hash.finalize())))
        .expect("a SHA-256 in hex has 64 digits");
    Ok(Descriptor::new(media_type, digest, size_bytes))
}

/// Location of an image's files.
enum ImageSource {
    Folder {
        root: PathBuf,
        folder: String,
    },
    /// An archive, and where in it each plain file begins and how long it is.
    Archive {
        path: PathBuf,
        files: HashMap<String, (u64, u64)>,
    },
}

impl ImageSource {
    fn archive(path: &Path) -> io::Result<Self> {
        let mut files = HashMap::new();
        let mut links = Vec::new();
        let mut archive = tar::Archive::new(File::open(path)?);
        for entry in archive.entries_with_seek()?.take(ENTRIES_MAX) {
            let entry = entry?;
            let name = entry.path()?.to_string_lossy().trim_start_matches("./").to_owned();
            match entry.header().entry_type() {
                kind if kind.is_file() => {
                    files.insert(name, (entry.raw_file_position(), entry.size()));
                }
                // `docker save` writes a layer that two images share once.
                kind if kind.is_symlink() || kind.is_hard_link() => {
                    let target = entry.link_name()?.unwrap_or_default().to_string_lossy().into_owned();
                    links.push((name, target.trim_start_matches("../").to_owned()));
                }
                _ => {}
            }
        }
        for (name, target) in links {
            if let Some(source) = files.get(&target).copied() {
                files.insert(name, source);
            }
        }
        Ok(Self::Archive { path: path.to_owned(), files })
    }

    fn has(&self, file: &str) -> bool {
        self.open(file).is_ok()
    }

    /// The content of a file and its size.
    fn open(&self, file: &str) -> io::Result<(io::Take<File>, u64)> {
        match self {
            Self::Folder { root, folder } => {
                let opened = open_beneath(root, &format!("{folder}/{file}"))?;
                let size_bytes = opened.metadata()?.len();
                Ok((opened.take(size_bytes), size_bytes))
            }
            Self::Archive { path, files } => {
                let (at, size_bytes) = *files.get(file).ok_or(io::ErrorKind::NotFound)?;
                let mut opened = File::open(path)?;
                opened.seek(SeekFrom::Start(at))?;
                Ok((opened.take(size_bytes), size_bytes))
            }
        }
    }

    /// A small file, whole.
    fn read(&self, file: &str) -> io::Result<Vec<u8>> {
        let (content, size_bytes) = self.open(file)?;
        if size_bytes > DOCUMENT_BYTES_MAX as u64 {
            return Err(io::Error::other(format!("{file} has more than {DOCUMENT_BYTES_MAX} bytes")));
        }
        let mut bytes = Vec::new();
        content.take(DOCUMENT_BYTES_MAX as u64).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn stream(&self, file: &str, size_bytes: u64) -> io::Result<BlobStream> {
        let (content, found_bytes) = self.open(file)?;
        if found_bytes != size_bytes {
            return Err(io::Error::other(format!("{file} has {found_bytes} bytes instead of {size_bytes}")));
        }
        let content = tokio::fs::File::from_std(content.into_inner()).take(size_bytes);
        Ok(ReaderStream::with_capacity(content, CHUNK_BYTES).boxed())
    }
}

/// Opens a plain file below `root`, through no link.
pub fn open_beneath(root: &Path, path: &str) -> io::Result<File> {
    use nix::fcntl::{OFlag, openat};
    use nix::sys::stat::Mode;

    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
    let mut folder = std::os::fd::OwnedFd::from(File::open(root)?);
    let (folders, file) = path.rsplit_once('/').map_or((None, path), |(folders, file)| (Some(folders), file));
    for name in folders.into_iter().flat_map(|folders| folders.split('/')) {
        check_name(name)?;
        folder = openat(&folder, name, flags | OFlag::O_DIRECTORY, Mode::empty())?;
    }
    check_name(file)?;
    let opened = File::from(openat(&folder, file, flags, Mode::empty())?);
    // A pipe would be waited for, a device read without end.
    if opened.metadata()?.is_file() {
        Ok(opened)
    } else {
        Err(io::Error::other(format!("{path} is no plain file")))
    }
}

fn check_name(name: &str) -> io::Result<()> {
    if matches!(name, "" | "." | "..") { Err(io::ErrorKind::InvalidInput.into()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn no_link_and_no_pipe_of_a_layout_is_followed() {
        let root = tempfile::tempdir().expect("a temporary folder");
        let secret = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::create_dir(root.path().join("blobs")).expect("made");
        std::fs::write(root.path().join("blobs/a"), "a").expect("written");
        symlink(secret.path(), root.path().join("blobs/link")).expect("made");
        symlink(secret.path().parent().expect("a folder"), root.path().join("away")).expect("made");
        nix::unistd::mkfifo(&root.path().join("pipe"), nix::sys::stat::Mode::S_IRWXU).expect("made");

        assert!(open_beneath(root.path(), "blobs/a").is_ok());
        let name = secret.path().file_name().expect("a name").to_string_lossy().into_owned();
        for path in ["blobs/link", &format!("away/{name}"), "pipe", "blobs", "../a", "blobs/../blobs/a"] {
            assert!(open_beneath(root.path(), path).is_err(), "{path}");
        }
    }

    #[test]
    fn what_docker_saved_is_described_with_uncompressed_layers() {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        let mut archive = tar::Builder::new(file.reopen().expect("opened"));
        let mut add = |name: &str, content: &[u8]| {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            archive.append_data(&mut header, name, content).expect("written");
        };
        add("manifest.json", br#"[{"Config":"c.json","RepoTags":["a:b"],"Layers":["1/layer.tar"]}]"#);
        add("c.json", b"{}");
        add("1/layer.tar", b"layer");
        archive.into_inner().expect("written");

        let Ok(image) = image_in(&ImageSource::archive(file.path()).expect("read")) else {
            panic!("an image")
        };

        assert_eq!(image.manifest.content.layers[0].digest, Digest::of(b"layer"));
        assert_eq!(image.manifest.content.layers[0].media_type, media_type::LAYER);
        assert_eq!(image.blobs[0].0.digest, Digest::of(b"{}"));
    }
}
