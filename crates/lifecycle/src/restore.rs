//! The restorer: gives buildpacks the metadata of their last layers, and cached layers' content.
//!
//! Code of buildpacks has run already (`bin/detect`), so `<layers>` may hold anything: each buildpack's folder is made
//! anew, and closed to all others until it is whole.

mod choose;
mod unpack;

use std::io::Write;
use std::os::fd::AsFd;
use std::path::PathBuf;

use nix::sys::stat::{Mode, fchmod};
use nix::unistd::{Gid, Uid, fchown};

use crate::archive::budget::Budget;
use crate::archive::layer_writer::Owner;
use crate::cache::Cache;
use crate::facts::ImageFacts;
use crate::failure::{OrFailure, Result};
use crate::folder::Folder;
use crate::formats::group::{Group, check_id, folder_of};
use crate::formats::json::to_toml;
use crate::formats::layer::{LayerFile, StoreFile};
use crate::formats::to_text;
use choose::{RestoredBuildpack, RestoredLayer, choose};

/// What the restorer is told.
pub struct RestoreSettings {
    pub layers: PathBuf,
    pub group: Group,
    pub previous: Option<ImageFacts>,
    pub cache: Option<PathBuf>,
    /// Launch layers can be reused only if the cache has them.
    pub needs_launch_layers: bool,
    pub exec_env: Option<String>,
    /// Restores `store.toml` alone.
    pub skips_layers: bool,
    pub owner: Owner,
    pub budget: Budget,
}

/// Restores what is left of the last build.
pub fn restore(settings: &RestoreSettings) -> Result<Vec<String>> {
    let layers = Folder::open(&settings.layers)?;
    let cache = settings.cache.as_deref().map(Cache::reading);
    let app = settings.previous.as_ref().and_then(ImageFacts::lifecycle_metadata);
    let is_cached = |sha: &str| cache.as_ref().is_some_and(|cache| cache.layer(sha).is_some());
    let chosen =
        choose(app.as_ref(), &cache.as_ref().map(Cache::metadata).unwrap_or_default(), settings, &is_cached);
    let mut restore = Restore { settings, layers, cache, budget: settings.budget, notes: Vec::new() };
    for buildpack in &chosen {
        restore.buildpack(buildpack)?;
    }
    Ok(restore.notes)
}

struct Restore<'a> {
    settings: &'a RestoreSettings,
    layers: Folder,
    cache: Option<Cache>,
    budget: Budget,
    notes: Vec<String>,
}

impl Restore<'_> {
    fn buildpack(&mut self, buildpack: &RestoredBuildpack) -> Result<()> {
        check_id(&buildpack.id).or_fail("group.toml")?;
        let name = folder_of(&buildpack.id);
        self.layers.remove(&name)?;
        let folder = self.layers.make(&name)?;
        if let Some(store) = &buildpack.store {
            let metadata = to_toml(store).and_then(|it| it.as_table().cloned()).unwrap_or_default();
            self.write(&folder, "store.toml", &to_text(&StoreFile { metadata })?)?;
        }
        for layer in &buildpack.layers {
            self.layer(&folder, &name, layer)?;
            let what = if layer.content.is_some() { "content" } else { "metadata" };
            self.notes.push(format!("{what} of layer `{}` of {} is restored", layer.name, buildpack.id));
        }
        self.sboms(&folder, &name, buildpack)?;
        self.hand_over(&folder)
    }

    fn layer(&mut self, folder: &Folder, buildpack: &str, layer: &RestoredLayer) -> Result<()> {
        let metadata = to_toml(&layer.data);
        let file = LayerFile { types: None, metadata };
        self.write(folder, &format!("{}.toml", layer.name), &to_text(&file)?)?;
        let (Some(digest), Some(cache)) = (&layer.content, &self.cache) else { return Ok(()) };
        let Some(archive) = cache.layer(digest) else { return Ok(()) };
        let path = self.settings.layers.join(buildpack).join(&layer.name);
        let to = folder.make(&layer.name)?;
        unpack::unpack(&archive, &path, &to, self.settings.owner, &mut self.budget)?;
        Ok(())
    }

    fn sboms(&mut self, folder: &Folder, name: &str, buildpack: &RestoredBuildpack) -> Result<()> {
        let Some(cache) = &self.cache else { return Ok(()) };
        let archives: Vec<_> =
            cache.metadata().sboms.iter().filter_map(|digest| cache.layer(digest)).collect();
        let is_restored = |layer: &str| buildpack.layers.iter().any(|it| it.name == layer);
        for archive in archives {
            for (file, text) in unpack::sboms(&archive, name, &is_restored, &mut self.budget)? {
                self.write(folder, &file, &text)?;
            }
        }
        Ok(())
    }

    /// Writes a file into a folder that nobody else can enter. Names come from labels: they may be paths.
    fn write(&mut self, folder: &Folder, name: &str, text: &str) -> Result<()> {
        self.budget.take(text.len() as u64)?;
        let failed = format!("{} cannot be written", folder.path.join(name).display());
        let mut file = folder.create(name)?;
        let Owner { uid, gid } = self.settings.owner;
        file.write_all(text.as_bytes()).or_fail(&failed)?;
        std::os::unix::fs::fchown(&file, Some(uid), Some(gid)).or_fail(failed)
    }

    /// Gives the folder to the user of builds.
    fn hand_over(&self, folder: &Folder) -> Result<()> {
        let Owner { uid, gid } = self.settings.owner;
        let mode = Mode::from_bits_truncate(0o755);
        let fd = folder.as_fd();
        fchmod(fd, mode)
            .and_then(|()| fchown(fd, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid))))
            .or_fail(format!("{} cannot be handed over", folder.path.display()))
    }
}
