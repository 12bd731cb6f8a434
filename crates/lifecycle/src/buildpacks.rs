//! The folder of buildpacks: `<buildpacks>/<id>/<version>`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::api::check_buildpack_api;
use crate::failure::{OrFailure, Result};
use crate::formats::buildpack::BuildpackDescriptor;
use crate::formats::group::{check_id, folder_of};
use crate::formats::read;

/// Buildpacks of a builder image, each read once.
pub struct Buildpacks {
    folder: PathBuf,
    read: BTreeMap<(String, String), Buildpack>,
}

#[derive(Debug, Clone)]
pub struct Buildpack {
    pub folder: PathBuf,
    pub descriptor: BuildpackDescriptor,
}

impl Buildpack {
    /// `id@version`
    pub fn name(&self) -> String {
        format!("{}@{}", self.descriptor.buildpack.id, self.descriptor.buildpack.version)
    }
}

impl Buildpacks {
    pub fn open(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), read: BTreeMap::new() }
    }

    /// Reads a buildpack, and refuses one of an unknown API.
    pub fn find(&mut self, id: &str, version: &str) -> Result<&Buildpack> {
        let key = (id.to_owned(), version.to_owned());
        if !self.read.contains_key(&key) {
            check_id(id).or_fail("order")?;
            check_version(version).or_fail("order")?;
            let folder = self.folder.join(folder_of(id)).join(version);
            let descriptor: BuildpackDescriptor = read(&folder.join("buildpack.toml"))?;
            check_buildpack_api(&format!("{id}@{version}"), descriptor.api)?;
            self.read.insert(key.clone(), Buildpack { folder, descriptor });
        }
        Ok(&self.read[&key])
    }
}

/// Versions are names of folders.
fn check_version(version: &str) -> Result<(), String> {
    match matches!(version, "" | "." | "..") || version.contains(['/', '\0']) {
        true => Err(format!("`{version}` is not a version of a buildpack")),
        false => Ok(()),
    }
}
