//! The exporter: makes the app image of layers, app and launcher, as an OCI layout without the run image's layers.
//!
//! Everything that buildpacks wrote is read as hostile ([`crate::folder`]). Of the run image and the last image only the
//! platform's facts count.

mod buildpack_layers;
mod cached;
mod glob;
pub mod image;
mod labels;
mod launcher;
pub mod layout;
mod slices;

use std::fs;
use std::path::{Path, PathBuf};

use crate::api::ApiVersion;
use crate::archive::budget::Budget;
use crate::archive::layer_writer::{Owner, WrittenLayer};
use crate::cache::Cache;
use crate::facts::{Descriptor, ImageFacts};
use crate::failure::{LifecycleError, OrFailure, Result};
use crate::folder::Folder;
use crate::formats::group::Group;
use crate::formats::launch::{Metadata, check_process_types};
use crate::labels::{LayerDigest, LifecycleMetadata};
use buildpack_layers::{BuildpackOutput, read_outputs};
use image::{AppConfig, NewLayer};

/// Layers of an image: no store on overlayfs takes more.
const LAYERS_MAX: usize = 127;

/// What the exporter is told.
pub struct ExportSettings {
    pub platform_api: ApiVersion,
    pub layers: PathBuf,
    pub app: PathBuf,
    pub group: Group,
    pub run_image: ImageFacts,
    pub previous: Option<ImageFacts>,
    pub launcher: PathBuf,
    /// Version of the launcher, for the label.
    pub launcher_version: String,
    /// JSON of the project's metadata.
    pub project_metadata: serde_json::Value,
    /// Default process type; else that of the buildpacks.
    pub process_type: Option<String>,
    pub exec_env: Option<String>,
    pub cache: Option<PathBuf>,
    /// Launch layers are kept in the cache as well, so that reused ones can be written again.
    pub keeps_launch_layers: bool,
    pub owner: Owner,
    pub budget: Budget,
    pub out: PathBuf,
}

/// What was exported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exported {
    /// Digest of the manifest.
    pub digest: String,
    /// Digest of the config.
    pub image_id: String,
    pub manifest_size: u64,
    /// For people.
    pub notes: Vec<String>,
}

/// The export under way.
struct Export<'a> {
    settings: &'a ExportSettings,
    budget: Budget,
    blobs: PathBuf,
    cache: Option<Cache>,
    layers: Vec<NewLayer>,
    /// Files of new layers, for the cache.
    written: Vec<WrittenLayer>,
    metadata: LifecycleMetadata,
    notes: Vec<String>,
}

/// Exports an app image.
pub fn export(settings: &ExportSettings) -> Result<Exported> {
    image::check(&settings.run_image)?;
    let folder = Folder::open(&settings.layers)?;
    let config = folder.folder("config")?;
    let build: Metadata = match config {
        Some(config) => config.toml("metadata.toml")?,
        None => None,
    }
    .ok_or_else(|| {
        LifecycleError::generic("config/metadata.toml is not in the layers: the build did not end")
    })?;
    check_process_types(&build.processes).or_fail("config/metadata.toml")?;
    let entrypoint = entrypoint(settings.process_type.as_deref(), &build)?;
    let outputs = read_outputs(&folder, &settings.group)?;

    let mut export = Export::begin(settings)?;
    export.add_buildpacks(&outputs)?;
    export.add_sboms(&folder)?;
    export.add_app(&build)?;
    export.add_launcher(&folder, &build)?;
    let exported = export.write_image(&build, entrypoint)?;
    layout::copy_build_sboms(&folder, &settings.out, &mut export.budget)?;
    export.write_cache(&folder, &outputs)?;
    Ok(Exported { notes: export.notes, ..exported })
}

/// Program that starts the app image.
fn entrypoint(wanted: Option<&str>, build: &Metadata) -> Result<String> {
    let default = Some(build.default_process_type.as_str()).filter(|default| !default.is_empty());
    match wanted.or(default) {
        Some(process_type) if build.process(process_type).is_some() => {
            Ok(format!("/cnb/process/{process_type}"))
        }
        Some(process_type) if wanted.is_some() => {
            let types: Vec<_> = build.processes.iter().map(|process| process.process_type.as_str()).collect();
            let message =
                format!("process type `{process_type}` is not one of the image's: {}", types.join(", "));
            Err(LifecycleError::generic(message))
        }
        _ => Ok("/cnb/lifecycle/launcher".to_owned()),
    }
}

impl<'a> Export<'a> {
    fn begin(settings: &'a ExportSettings) -> Result<Self> {
        let blobs = settings.out.join("blobs/sha256");
        fs::create_dir_all(&blobs).or_fail(format!("{} cannot be made", blobs.display()))?;
        let metadata = LifecycleMetadata {
            exec_env: settings.exec_env.clone(),
            run_image: labels::run_image(&settings.run_image),
            ..LifecycleMetadata::default()
        };
        Ok(Self {
            settings,
            budget: settings.budget,
            blobs,
            cache: settings.cache.as_deref().map(Cache::open).transpose()?,
            layers: Vec::new(),
            written: Vec::new(),
            metadata,
            notes: Vec::new(),
        })
    }

    fn add_buildpacks(&mut self, outputs: &[BuildpackOutput]) -> Result<()> {
        for output in outputs {
            let layers = self.add_launch_layers(output)?;
            self.metadata.buildpacks.push(layers);
        }
        Ok(())
    }

    /// Adds a written layer to the image, and returns its digest.
    fn add(&mut self, written: WrittenLayer, created_by: impl Into<String>) -> String {
        let digest = written.digest.clone();
        let descriptor =
            Descriptor { media_type: image::LAYER.to_owned(), digest: digest.clone(), size: written.size };
        self.layers.push(NewLayer { descriptor, diff_id: digest.clone(), created_by: created_by.into() });
        self.written.push(written);
        digest
    }

    fn add_sboms(&mut self, folder: &Folder) -> Result<()> {
        let to = self.settings.layers.join("sbom/launch");
        if let Some(written) = self.archive_sboms(folder, "launch", &to)? {
            let sha = self.add(written, "SBOM of buildpacks");
            self.metadata.sbom = Some(LayerDigest { sha });
        }
        Ok(())
    }

    fn add_app(&mut self, build: &Metadata) -> Result<()> {
        let settings = self.settings;
        let app = Folder::open(&settings.app)?;
        let made = slices::app_layers(&app, &build.slices, settings.owner, &self.blobs, &mut self.budget)?;
        for written in made.layers {
            let sha = self.add(written, "app");
            self.metadata.app.push(LayerDigest { sha });
        }
        let note = |path: PathBuf| format!("{} is a socket and is left out", path.display());
        self.notes.extend(made.left_out.into_iter().map(note));
        Ok(())
    }

    fn write_image(&mut self, build: &Metadata, entrypoint: String) -> Result<Exported> {
        let settings = self.settings;
        let layers = settings.run_image.layers.len() + self.layers.len();
        if layers > LAYERS_MAX {
            let message = format!("the image would have {layers} layers, more than {LAYERS_MAX}");
            return Err(LifecycleError::generic(message));
        }
        let app = AppConfig {
            entrypoint,
            working_dir: text(&settings.app),
            env: vec![
                ("CNB_LAYERS_DIR".to_owned(), text(&settings.layers)),
                ("CNB_APP_DIR".to_owned(), text(&settings.app)),
                ("CNB_PLATFORM_API".to_owned(), settings.platform_api.to_string()),
                ("CNB_DEPRECATION_MODE".to_owned(), "quiet".to_owned()),
                ("PATH".to_owned(), "/cnb/process:/cnb/lifecycle".to_owned()),
            ],
            labels: labels::labels(settings, build, &self.metadata)?,
            layers: std::mem::take(&mut self.layers),
        };
        let config = image::config(&settings.run_image, &app);
        layout::write(&settings.out, &image::documents(&config, &settings.run_image, &app.layers)?)
    }
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(default: &str) -> Metadata {
        let text = format!(
            "buildpack-default-process-type = \"{default}\"\n[[processes]]\ntype = \"web\"\ncommand = [\"a\"]\n"
        );
        toml::from_str(&text).expect("metadata")
    }

    #[test]
    fn the_entrypoint_is_the_wanted_process_type_or_the_default_or_the_launcher() {
        assert_eq!(entrypoint(Some("web"), &build("")).as_deref(), Ok("/cnb/process/web"));
        assert_eq!(entrypoint(None, &build("web")).as_deref(), Ok("/cnb/process/web"));
        assert_eq!(entrypoint(None, &build("")).as_deref(), Ok("/cnb/lifecycle/launcher"));
        assert!(entrypoint(Some("x"), &build("web")).expect_err("refused").message.contains("web"));
    }
}
