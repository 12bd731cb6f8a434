//! A registry on the loopback of a build's pod, for BuildKit, which has no credential. It gives the layers that earlier
//! builds of the app kept, each when BuildKit wants it, and stages what BuildKit pushes for the upload. Blobs that the
//! platform's registry has are not sent at all, and so BuildKit does not even fetch those of a base that no step reads.
//!
//! Code of the user can reach it too: what it could read are layers of its own app, what it writes is untrusted anyway.

mod server;

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use domain::Digest;
use tokio::net::TcpListener;

use super::{BuildPod, OrFailed as _, StepError, layers};
use oci::{
    Access, ArchiveError, Descriptor, LayoutPush, Manifest, Repository, architecture, is_index, push_image,
};

const PORT: u16 = 5_899;
/// Name of the image in it.
pub const IMAGE: &str = "image";
/// Name of the layer cache in it.
pub const CACHE: &str = "cache";
/// Mount path of a volume of the upload's own.
pub const FOLDER: &str = "/staging";
/// Folder with the blobs, an OCI layout without an index.
const LAYOUT: &str = "layout";

/// Host and port for BuildKit.
pub fn host() -> String {
    address().to_string()
}

fn address() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, PORT))
}

/// The layers that earlier builds kept, in the registry.
struct KeptLayers {
    repository: Repository,
    manifest: Manifest,
}

/// Blobs and manifests of a build.
pub struct Staging {
    folder: PathBuf,
    kept: Option<KeptLayers>,
    /// Sizes of blobs that the registry has.
    known: HashMap<Digest, u64>,
    pushed: Mutex<Pushed>,
    uploads: AtomicU64,
}

#[derive(Default)]
struct Pushed {
    blobs: HashMap<Digest, u64>,
    manifests: HashMap<Digest, Manifest>,
    /// The newest manifest of each name.
    newest: HashMap<String, Digest>,
}

impl Staging {
    /// Finds out what the registry has, and listens until this process ends.
    pub async fn start(pod: &BuildPod) -> Result<Arc<Self>, StepError> {
        let kept = layers::kept(pod).await.map(|(repository, manifest)| KeptLayers { repository, manifest });
        let stack = pod.repository(&pod.spec.stack_repository, Access::Pull);
        let stack = stack.find_manifest(&pod.spec.stack_version).await?;
        let manifests = stack.iter().chain(kept.as_ref().map(|kept| &kept.manifest));
        let known = manifests.flat_map(Manifest::blobs).map(|blob| (blob.digest.clone(), blob.size_bytes));
        let known = known.collect();
        let staging = Self::new(Path::new(FOLDER), kept, known).or_failed("make room for layers")?;
        let listener = TcpListener::bind(address()).await.or_failed("listen for BuildKit")?;
        tokio::spawn(server::serve(listener, Arc::clone(&staging)));
        Ok(staging)
    }

    fn new(folder: &Path, kept: Option<KeptLayers>, known: HashMap<Digest, u64>) -> io::Result<Arc<Self>> {
        std::fs::create_dir_all(folder.join(LAYOUT).join("blobs/sha256"))?;
        let folder = folder.to_owned();
        Ok(Arc::new(Self { folder, kept, known, pushed: Mutex::default(), uploads: AtomicU64::new(0) }))
    }

    /// Uploads an image with the blobs that the registry lacks.
    pub async fn upload(
        &self,
        name: &str,
        to: &Repository,
        how: &LayoutPush<'_>,
    ) -> Result<Digest, StepError> {
        let manifest = self.manifest_of_image(name).ok_or_else(|| {
            StepError::Refused(format!("the build left no image for linux/{}", architecture()))
        })?;
        push_image(manifest, &self.folder, LAYOUT, to, how).await.map_err(|error| match error {
            ArchiveError::Registry(error) => error.into(),
            other => other.into(),
        })
    }

    /// Returns true if BuildKit has pushed something under a name.
    pub fn has(&self, name: &str) -> bool {
        self.pushed().newest.contains_key(name)
    }

    /// The manifest that was pushed under a name; of an index the one for this platform.
    fn manifest_of_image(&self, name: &str) -> Option<Manifest> {
        let pushed = self.pushed();
        let newest = pushed.manifests.get(pushed.newest.get(name)?)?;
        if !is_index(newest) {
            return Some(newest.clone());
        }
        let wanted = newest.only_or_for_platform(architecture()).ok()?;
        pushed.manifests.get(&wanted.digest).filter(|manifest| !is_index(manifest)).cloned()
    }

    fn pushed(&self) -> std::sync::MutexGuard<'_, Pushed> {
        self.pushed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Size of a blob that is here or need not be.
    fn size_of(&self, digest: &Digest) -> Option<u64> {
        self.known.get(digest).or(self.pushed().blobs.get(digest)).copied()
    }

    /// The manifest of the cache, by its tag or digest, or one that was pushed.
    fn find_manifest(&self, name: &str, reference: &str) -> Option<Manifest> {
        if let Some(KeptLayers { manifest, .. }) = self.kept.as_ref().filter(|_| name == CACHE)
            && (reference == layers::TAG || reference == manifest.digest.as_str())
        {
            return Some(manifest.clone());
        }
        self.pushed().manifests.get(&Digest::parse(reference).ok()?).cloned()
    }

    /// A blob of the cache, and the repository that has it.
    fn find_kept(&self, digest: &Digest) -> Option<(&Repository, &Descriptor)> {
        let KeptLayers { repository, manifest } = self.kept.as_ref()?;
        manifest.blobs().find(|blob| blob.digest == *digest).map(|blob| (repository, blob))
    }

    fn next_upload(&self) -> u64 {
        self.uploads.fetch_add(1, Ordering::Relaxed)
    }

    fn blobs_folder(&self) -> PathBuf {
        self.folder.join(LAYOUT).join("blobs/sha256")
    }

    fn add_blob(&self, digest: Digest, size_bytes: u64) {
        self.pushed().blobs.insert(digest, size_bytes);
    }

    fn add_manifest(&self, name: &str, manifest: Manifest) {
        let mut pushed = self.pushed();
        pushed.newest.insert(name.to_owned(), manifest.digest.clone());
        pushed.manifests.insert(manifest.digest.clone(), manifest);
    }
}

#[cfg(test)]
mod tests;
