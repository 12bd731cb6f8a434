//! The app's cache: `metadata.json` and the layers that it names, `layers/<hex>.tar`.
//!
//! Only the platform's own phases see this folder. The metadata is replaced by a rename after its layers are there, and
//! layers that nothing names are removed after that: whenever the process is killed, one whole content is left.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::archive::layer_writer::WrittenLayer;
use crate::failure::{OrFailure, Result};
use crate::labels::BuildpackLayers;

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct CacheMetadata {
    #[serde(default, rename = "exec-env", skip_serializing_if = "Option::is_none")]
    pub exec_env: Option<String>,
    /// Layers with `cache = true`.
    #[serde(default)]
    pub buildpacks: Vec<BuildpackLayers>,
    /// Digests of the layers that hold SBOM files.
    #[serde(default)]
    pub sboms: Vec<String>,
    /// Digests of launch layers that are kept although they are not cached layers.
    #[serde(default)]
    pub kept: Vec<String>,
}

impl CacheMetadata {
    fn digests(&self) -> BTreeSet<&str> {
        let layers = self.buildpacks.iter().flat_map(|it| it.layers.values()).map(|layer| layer.sha.as_str());
        layers.chain(self.sboms.iter().chain(&self.kept).map(String::as_str)).collect()
    }
}

pub struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// A cache that is read alone; its folder may be absent.
    pub fn reading(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// A cache that is changed.
    pub fn open(folder: &Path) -> Result<Self> {
        let layers = folder.join("layers");
        fs::create_dir_all(&layers).or_fail(format!("{} cannot be made", layers.display()))?;
        Ok(Self { folder: folder.to_owned() })
    }

    pub fn layers(&self) -> PathBuf {
        self.folder.join("layers")
    }

    fn path(&self, digest: &str) -> Option<PathBuf> {
        let hex = digest.strip_prefix("sha256:")?;
        let is_hex = hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_hex.then(|| self.layers().join(format!("{hex}.tar")))
    }

    /// File of a layer, if it is here.
    pub fn layer(&self, digest: &str) -> Option<PathBuf> {
        self.path(digest).filter(|path| path.is_file())
    }

    /// Content of the cache; a damaged one is an empty one.
    pub fn metadata(&self) -> CacheMetadata {
        let read = || serde_json::from_slice(&fs::read(self.folder.join("metadata.json")).ok()?).ok();
        read().unwrap_or_default()
    }

    /// Stores a copy of a layer that was written elsewhere.
    pub fn store(&self, layer: &WrittenLayer) -> Result<()> {
        let to = self.path(&layer.digest).ok_or("no digest").or_fail("a layer cannot be cached")?;
        match to.is_file() {
            true => Ok(()),
            false => copy(&layer.path, &to),
        }
    }

    /// Makes this the content of the cache.
    pub fn replace(&self, metadata: &CacheMetadata) -> Result<()> {
        let (new, to) = (self.folder.join("metadata.json.new"), self.folder.join("metadata.json"));
        let failed = format!("{} cannot be written", to.display());
        let text = serde_json::to_vec(metadata).or_fail(&failed)?;
        fs::write(&new, text).and_then(|()| fs::rename(&new, &to)).or_fail(failed)?;
        self.remove_all_but(&metadata.digests())
    }

    fn remove_all_but(&self, digests: &BTreeSet<&str>) -> Result<()> {
        let failed = format!("{} cannot be tidied", self.layers().display());
        let kept: BTreeSet<_> = digests.iter().filter_map(|digest| self.path(digest)).collect();
        for entry in fs::read_dir(self.layers()).or_fail(&failed)? {
            let path = entry.or_fail(&failed)?.path();
            if !kept.contains(&path) {
                fs::remove_file(path).or_fail(&failed)?;
            }
        }
        Ok(())
    }
}

/// Copies a layer whole or not at all; as a second name of the file where both places are on one file system.
pub fn copy(from: &Path, to: &Path) -> Result<()> {
    let new = to.with_extension("new");
    let failed = format!("{} cannot be copied to {}", from.display(), to.display());
    let _ = fs::remove_file(&new);
    fs::hard_link(from, &new).or_else(|_| fs::copy(from, &new).map(|_| ())).or_fail(&failed)?;
    fs::rename(&new, to).or_fail(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_that_the_metadata_does_not_name_are_removed() {
        let dir = tempfile::tempdir().expect("a folder");
        let cache = Cache::open(dir.path()).expect("a cache");
        let digest = |digit: char| format!("sha256:{}", digit.to_string().repeat(64));
        for digit in ['a', 'b'] {
            fs::write(cache.path(&digest(digit)).expect("a path"), "layer").expect("a file");
        }
        fs::write(cache.layers().join("layer.tmp"), "half").expect("a file");

        cache
            .replace(&CacheMetadata { kept: vec![digest('a')], ..CacheMetadata::default() })
            .expect("replaced");

        assert!(cache.layer(&digest('a')).is_some() && cache.layer(&digest('b')).is_none());
        assert_eq!(fs::read_dir(cache.layers()).expect("a folder").count(), 1);
        assert_eq!(cache.metadata().kept, [digest('a')]);
    }

    #[test]
    fn a_damaged_cache_is_an_empty_one_and_digests_are_no_paths() {
        let dir = tempfile::tempdir().expect("a folder");
        let cache = Cache::open(dir.path()).expect("a cache");
        fs::write(dir.path().join("metadata.json"), "{").expect("a file");

        assert_eq!(cache.metadata(), CacheMetadata::default());
        assert!(cache.path("sha256:../../metadata").is_none() && cache.path("md5:00").is_none());
    }
}
