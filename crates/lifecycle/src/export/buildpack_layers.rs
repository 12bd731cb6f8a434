//! Layers of buildpacks: what their files say, and the launch layers as layers of the image.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use super::Export;
use super::image::{LAYER, NewLayer};
use crate::archive::layer_writer::{LayerWriter, WrittenLayer};
use crate::archive::tree::{Everything, TreeArchiver};
use crate::cache;
use crate::facts::Descriptor;
use crate::failure::{LifecycleError, OrFailure, Result};
use crate::folder::Folder;
use crate::formats::group::{Group, GroupBuildpack, check_id};
use crate::formats::json::from_toml;
use crate::formats::layer::{LayerFile, StoreFile, layer_of_file};
use crate::formats::parse;
use crate::labels::{BuildpackLayers, LayerMetadata, Store};

/// What one buildpack left.
pub struct BuildpackOutput {
    pub buildpack: GroupBuildpack,
    /// `None` if it left nothing.
    pub folder: Option<Folder>,
    pub layers: BTreeMap<String, LayerFile>,
    pub store: Option<StoreFile>,
}

/// Bytes of all `<layer>.toml` of a build together: they go into one label.
const METADATA_BYTES_MAX: u64 = 1 << 20;

/// Reads the files of all buildpacks.
pub fn read_outputs(layers: &Folder, group: &Group) -> Result<Vec<BuildpackOutput>> {
    let mut left = METADATA_BYTES_MAX;
    group.group.iter().map(|buildpack| read_output(layers, buildpack, &mut left)).collect()
}

fn read_output(layers: &Folder, buildpack: &GroupBuildpack, left: &mut u64) -> Result<BuildpackOutput> {
    check_id(&buildpack.id).or_fail("group.toml")?;
    let mut output =
        BuildpackOutput { buildpack: buildpack.clone(), folder: None, layers: BTreeMap::new(), store: None };
    let Some(folder) = layers.folder(buildpack.folder())? else { return Ok(output) };
    for name in folder.text_names()? {
        if let Some(layer) = layer_of_file(&name) {
            let file = bounded_toml(&folder, &name, left)?.unwrap_or_default();
            output.layers.insert(layer.to_owned(), file);
        }
    }
    output.store = bounded_toml(&folder, "store.toml", left)?;
    output.folder = Some(folder);
    Ok(output)
}

/// Reads a file of metadata, within the bytes that are left for all.
fn bounded_toml<T: DeserializeOwned>(folder: &Folder, name: &str, left: &mut u64) -> Result<Option<T>> {
    let Some(text) = folder.text(name)? else { return Ok(None) };
    let name = folder.path.join(name).display().to_string();
    *left = left.checked_sub(text.len() as u64).ok_or_else(|| {
        let bound = format!("metadata of layers have more than {METADATA_BYTES_MAX} bytes together");
        LifecycleError::generic(format!("{name}: {bound}"))
    })?;
    parse(&name, &text).map(Some)
}

impl BuildpackOutput {
    pub fn metadata(&self, layer: &str, sha: String) -> LayerMetadata {
        let file = &self.layers[layer];
        let types = file.types();
        let data = file.metadata.clone().map(from_toml).unwrap_or_default();
        LayerMetadata { sha, data, build: types.build, launch: types.launch, cache: types.cache }
    }

    pub fn layers_without(&self) -> BuildpackLayers {
        let store = self.store.clone().filter(|store| !store.metadata.is_empty());
        BuildpackLayers {
            key: self.buildpack.id.clone(),
            version: self.buildpack.version.clone(),
            layers: BTreeMap::new(),
            store: store.map(|store| Store { metadata: from_toml(store.metadata.into()) }),
        }
    }

    /// The layer's own folder, if the buildpack left one.
    pub fn layer_folder(&self, layer: &str) -> Result<Option<Folder>> {
        self.folder.as_ref().map_or(Ok(None), |folder| folder.folder(layer))
    }
}

impl Export<'_> {
    /// Adds the launch layers of one buildpack, by name.
    pub fn add_launch_layers(&mut self, output: &BuildpackOutput) -> Result<BuildpackLayers> {
        let mut made = output.layers_without();
        for (name, file) in &output.layers {
            if !file.types().launch {
                continue;
            }
            let id = &output.buildpack.id;
            let sha = match output.layer_folder(name)? {
                Some(folder) => {
                    let written = self.archive_layer(&folder, output, name, &self.blobs.clone())?;
                    self.add(written, format!("layer {name} of {id}"))
                }
                None => self.reuse(id, name)?,
            };
            made.layers.insert(name.clone(), output.metadata(name, sha));
        }
        Ok(made)
    }

    /// Archives a layer's folder.
    pub fn archive_layer(
        &mut self,
        folder: &Folder,
        output: &BuildpackOutput,
        name: &str,
        to: &Path,
    ) -> Result<WrittenLayer> {
        let path: PathBuf = self.settings.layers.join(output.buildpack.folder()).join(name);
        let mut layer = LayerWriter::begin(to)?;
        let mut archiver = TreeArchiver::new(&mut layer, &mut self.budget, self.settings.owner);
        archiver.add_parents(&path)?;
        archiver.add(folder, &path, &mut Everything)?;
        let left_out = std::mem::take(&mut archiver.left_out);
        let note = |path: PathBuf| format!("{} is a socket and is left out", path.display());
        self.notes.extend(left_out.into_iter().map(note));
        let is_blob = to == self.blobs;
        layer.finish(|hex| if is_blob { to.join(hex) } else { to.join(format!("{hex}.tar")) })
    }

    /// Takes a layer of the last image that the buildpack left as it was.
    fn reuse(&mut self, id: &str, name: &str) -> Result<String> {
        let lost = || {
            LifecycleError::generic(format!(
                "buildpack {id} keeps layer `{name}` of the last image, which has no such layer: push again \
                 without the cache"
            ))
        };
        let previous = self.settings.previous.as_ref().ok_or_else(lost)?;
        let metadata = previous.lifecycle_metadata().ok_or_else(lost)?;
        let of_buildpack = metadata.buildpacks.iter().find(|it| it.key == id).ok_or_else(lost)?;
        let sha = of_buildpack.layers.get(name).map(|layer| layer.sha.clone()).ok_or_else(lost)?;
        let kept = self.write_kept(&sha)?;
        let descriptor = kept.or_else(|| previous.layer(&sha).cloned()).ok_or_else(lost)?;
        self.layers.push(NewLayer {
            descriptor,
            diff_id: sha.clone(),
            created_by: format!("layer {name} of {id}"),
        });
        Ok(sha)
    }

    /// Writes a kept layer into the layout again, for stores that cannot take a layer from another image.
    fn write_kept(&mut self, sha: &str) -> Result<Option<Descriptor>> {
        let kept = self.cache.as_ref().filter(|_| self.settings.keeps_launch_layers);
        let Some(path) = kept.and_then(|cache| cache.layer(sha)) else { return Ok(None) };
        let size = std::fs::metadata(&path).or_fail(format!("{} cannot be read", path.display()))?.len();
        let to = self.blobs.join(sha.trim_start_matches("sha256:"));
        cache::copy(&path, &to)?;
        self.written.push(WrittenLayer { digest: sha.to_owned(), size, path: to });
        Ok(Some(Descriptor { media_type: LAYER.to_owned(), digest: sha.to_owned(), size }))
    }
}
