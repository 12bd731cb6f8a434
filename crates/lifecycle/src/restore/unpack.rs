//! Unpacks cached layers, which the exporter wrote.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, lchown};
use std::path::{Component, Path, PathBuf};

use tar::{Archive, Entry, EntryType};

use crate::archive::budget::Budget;
use crate::archive::layer_writer::Owner;
use crate::failure::{OrFailure, Result};
use crate::folder::Folder;
use crate::formats::bounded_text;
use crate::formats::layer::sbom_of_file;

/// Unpacks what an archive has below `path` into a folder that nobody else can enter.
pub fn unpack(archive: &Path, path: &Path, to: &Folder, owner: Owner, budget: &mut Budget) -> Result<()> {
    let failed = format!("cached layer {} cannot be unpacked", archive.display());
    let mut archive = Archive::new(File::open(archive).or_fail(&failed)?);
    archive.set_preserve_permissions(true);
    archive.set_preserve_mtime(true);
    let root = to.pinned_path();
    let prefix = path.strip_prefix("/").unwrap_or(path);
    let mut folders = Vec::new();
    for entry in archive.entries().or_fail(&failed)? {
        let mut entry = entry.or_fail(&failed)?;
        let entry_path = entry.path().or_fail(&failed)?.into_owned();
        let Ok(place) = entry_path.strip_prefix(prefix) else { continue };
        budget.take(entry.size())?;
        let place = root.join(inside(place).or_fail(&failed)?);
        if entry.header().entry_type().is_dir() {
            fs::create_dir_all(&place).or_fail(&failed)?;
            folders.push((place, entry.header().mode().or_fail(&failed)?));
        } else {
            unpack_entry(&mut entry, &place, &root, prefix).or_fail(&failed)?;
            lchown(&place, Some(owner.uid), Some(owner.gid)).or_fail(&failed)?;
        }
    }
    // Modes and owners of folders last: one that may not be written to has entries too.
    for (place, mode) in folders.iter().rev() {
        fs::set_permissions(place, fs::Permissions::from_mode(*mode))
            .and_then(|()| lchown(place, Some(owner.uid), Some(owner.gid)))
            .or_fail(&failed)?;
    }
    Ok(())
}

fn unpack_entry(
    entry: &mut Entry<'_, File>,
    place: &Path,
    root: &Path,
    prefix: &Path,
) -> std::io::Result<()> {
    if entry.header().entry_type() != EntryType::Link {
        return entry.unpack(place).map(|_| ());
    }
    // The archive names the first name of a file as it is in the image.
    let first = entry.link_name()?.ok_or_else(|| std::io::Error::other("a link without target"))?;
    let first = first.strip_prefix(prefix).map_err(std::io::Error::other)?;
    std::fs::hard_link(root.join(inside(first).map_err(std::io::Error::other)?), place)
}

/// A path without a way up.
fn inside(path: &Path) -> Result<PathBuf, String> {
    match path.components().all(|part| matches!(part, Component::Normal(_))) {
        true => Ok(path.to_owned()),
        false => Err(format!("it has an entry {}", path.display())),
    }
}

/// SBOM files of a buildpack's layers in an archive: `.../<buildpack>/<layer>/sbom.<ext>`, as `<layer>.sbom.<ext>`.
pub fn sboms(
    archive: &Path,
    buildpack: &str,
    is_wanted: &dyn Fn(&str) -> bool,
    budget: &mut Budget,
) -> Result<Vec<(String, String)>> {
    let failed = format!("cached SBOM files {} cannot be unpacked", archive.display());
    let mut archive = Archive::new(File::open(archive).or_fail(&failed)?);
    let mut files = Vec::new();
    for entry in archive.entries().or_fail(&failed)? {
        let mut entry = entry.or_fail(&failed)?;
        let path = entry.path().or_fail(&failed)?.into_owned();
        let names: Vec<_> = path.iter().filter_map(|name| name.to_str()).collect();
        let [.., of, layer, file] = names.as_slice() else { continue };
        let name = format!("{layer}.{file}");
        if *of != buildpack || !is_wanted(layer) || sbom_of_file(&name).is_none_or(|(it, _)| it != *layer) {
            continue;
        }
        budget.take(entry.size())?;
        let text = bounded_text(&path.display().to_string(), entry.by_ref())?;
        files.push((name, text));
    }
    Ok(files)
}
