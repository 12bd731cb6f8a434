//! The new content of the app's cache.

use std::path::Path;

use super::Export;
use super::buildpack_layers::BuildpackOutput;
use crate::archive::layer_writer::{LayerWriter, WrittenLayer};
use crate::archive::tree::{Everything, TreeArchiver};
use crate::cache::{Cache, CacheMetadata};
use crate::failure::Result;
use crate::folder::Folder;

impl Export<'_> {
    /// Stores cached layers and SBOM files, and drops all others.
    pub fn write_cache(&mut self, folder: &Folder, outputs: &[BuildpackOutput]) -> Result<()> {
        let Some(cache) = self.cache.take() else { return Ok(()) };
        let mut metadata =
            CacheMetadata { exec_env: self.settings.exec_env.clone(), ..CacheMetadata::default() };
        for output in outputs {
            let mut cached = output.layers_without();
            for (name, file) in &output.layers {
                if file.types().cache
                    && let Some(sha) = self.cache_layer(&cache, output, name)?
                {
                    cached.layers.insert(name.clone(), output.metadata(name, sha));
                }
            }
            metadata.buildpacks.push(cached);
        }
        self.cache_sboms(&cache, folder, &mut metadata)?;
        if self.settings.keeps_launch_layers {
            metadata.kept = self.keep_launch_layers(&cache)?;
        }
        cache.replace(&metadata)
    }

    fn cache_layer(&mut self, cache: &Cache, output: &BuildpackOutput, name: &str) -> Result<Option<String>> {
        let Some(folder) = output.layer_folder(name)? else {
            let id = &output.buildpack.id;
            self.notes.push(format!("layer `{name}` of {id} has no folder and is not cached"));
            return Ok(None);
        };
        if let Some(written) = self.launch_layer(&output.buildpack.id, name).cloned() {
            cache.store(&written)?;
            return Ok(Some(written.digest));
        }
        Ok(Some(self.archive_layer(&folder, output, name, &cache.layers())?.digest))
    }

    /// The layer as it was written into the image.
    fn launch_layer(&self, id: &str, name: &str) -> Option<&WrittenLayer> {
        let of_buildpack = self.metadata.buildpacks.iter().find(|it| it.key == id)?;
        let sha = &of_buildpack.layers.get(name)?.sha;
        self.written.iter().find(|written| written.digest == *sha)
    }

    fn cache_sboms(&mut self, cache: &Cache, folder: &Folder, metadata: &mut CacheMetadata) -> Result<()> {
        let launch = self.metadata.sbom.as_ref().map(|sbom| sbom.sha.clone());
        if let Some(written) = self.written.iter().find(|written| Some(&written.digest) == launch.as_ref()) {
            cache.store(written)?;
            metadata.sboms.push(written.digest.clone());
        }
        let to = self.settings.layers.join("sbom/cache");
        if let Some(written) = self.archive_sboms_to(folder, "cache", &to, &cache.layers())? {
            metadata.sboms.push(written.digest);
        }
        Ok(())
    }

    fn keep_launch_layers(&self, cache: &Cache) -> Result<Vec<String>> {
        let layers = self.metadata.buildpacks.iter().flat_map(|it| it.layers.values());
        let of_image = |sha: &str| self.written.iter().find(|written| written.digest == sha);
        let written: Vec<_> = layers.filter_map(|layer| of_image(&layer.sha)).collect();
        for layer in &written {
            cache.store(layer)?;
        }
        Ok(written.into_iter().map(|layer| layer.digest.clone()).collect())
    }

    pub fn archive_sboms(&mut self, folder: &Folder, kind: &str, to: &Path) -> Result<Option<WrittenLayer>> {
        let blobs = self.blobs.clone();
        self.archive_sboms_to(folder, kind, to, &blobs)
    }

    /// Archives `<layers>/sbom/<kind>`, if it is there.
    fn archive_sboms_to(
        &mut self,
        folder: &Folder,
        kind: &str,
        to: &Path,
        archives: &Path,
    ) -> Result<Option<WrittenLayer>> {
        let Some(folder) = folder.below(&["sbom", kind])? else { return Ok(None) };
        let mut layer = LayerWriter::begin(archives)?;
        let mut archiver = TreeArchiver::new(&mut layer, &mut self.budget, self.settings.owner);
        archiver.add_parents(to)?;
        archiver.add(&folder, to, &mut Everything)?;
        let is_blob = archives == self.blobs;
        layer
            .finish(|hex| archives.join(if is_blob { hex.to_owned() } else { format!("{hex}.tar") }))
            .map(Some)
    }
}
