//! Layers of the launcher: the program, its config, and a link for each process type.

use std::fs::File;
use std::path::Path;

use super::Export;
use crate::archive::layer_writer::{LayerWriter, ROOT};
use crate::failure::{LifecycleError, OrFailure, Result};
use crate::folder::Folder;
use crate::formats::launch::Metadata;
use crate::labels::LayerDigest;

const LAUNCHER: &str = "/cnb/lifecycle/launcher";

impl Export<'_> {
    pub fn add_launcher(&mut self, layers: &Folder, build: &Metadata) -> Result<()> {
        self.metadata.launcher = self.launcher_layer()?;
        self.metadata.config = self.config_layer(layers)?;
        if !build.processes.is_empty() {
            self.metadata.process_types = Some(self.process_types_layer(build)?);
        }
        Ok(())
    }

    fn launcher_layer(&mut self) -> Result<LayerDigest> {
        let path = &self.settings.launcher;
        let failed = format!("launcher {} cannot be read", path.display());
        let file = File::open(path).or_fail(&failed)?;
        let size = file.metadata().or_fail(failed)?.len();
        self.budget.take(size)?;
        let mut layer = self.layer_with(&["/cnb", "/cnb/lifecycle"])?;
        layer.file(Path::new(LAUNCHER), 0o755, ROOT, size, file)?;
        self.end(layer, "launcher")
    }

    fn config_layer(&mut self, layers: &Folder) -> Result<LayerDigest> {
        let config = layers.folder("config")?;
        let file = config.as_ref().map_or(Ok(None), |config| config.file("metadata.toml"))?;
        let (file, facts) = file.ok_or_else(|| LifecycleError::generic("config/metadata.toml is gone"))?;
        self.budget.take(facts.size)?;
        let root = self.settings.layers.clone();
        let mut layer = LayerWriter::begin(&self.blobs)?;
        for parent in root.ancestors().collect::<Vec<_>>().into_iter().rev().skip(1) {
            layer.folder(parent, 0o755, ROOT)?;
        }
        let config = root.join("config");
        layer.folder(&config, 0o755, ROOT)?;
        layer.file(&config.join("metadata.toml"), 0o644, ROOT, facts.size, file)?;
        self.end(layer, "config of the launcher")
    }

    fn process_types_layer(&mut self, build: &Metadata) -> Result<LayerDigest> {
        let mut layer = self.layer_with(&["/cnb", "/cnb/process"])?;
        let mut types: Vec<_> = build.processes.iter().map(|process| &process.process_type).collect();
        types.sort();
        for process_type in types {
            self.budget.take(0)?;
            layer.symlink(&Path::new("/cnb/process").join(process_type), Path::new(LAUNCHER), ROOT)?;
        }
        self.end(layer, "process types")
    }

    fn layer_with(&self, folders: &[&str]) -> Result<LayerWriter> {
        let mut layer = LayerWriter::begin(&self.blobs)?;
        for folder in folders {
            layer.folder(Path::new(folder), 0o755, ROOT)?;
        }
        Ok(layer)
    }

    fn end(&mut self, layer: LayerWriter, created_by: &str) -> Result<LayerDigest> {
        let written = layer.finish(|hex| self.blobs.join(hex))?;
        Ok(LayerDigest { sha: self.add(written, created_by) })
    }
}
