//! The app as layers: one for each slice that has files, and one for all other files.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::glob::PathPattern;
use crate::archive::budget::Budget;
use crate::archive::layer_writer::{LayerWriter, Owner, WrittenLayer};
use crate::archive::tree::{Choice, TreeArchiver};
use crate::failure::{OrFailure, Result};
use crate::folder::Folder;
use crate::formats::launch::Slice;

/// Patterns of one slice, or all that is left; files of earlier layers are no longer there.
struct Unused<'a> {
    patterns: Option<&'a [PathPattern]>,
    used: &'a mut HashSet<PathBuf>,
    /// Without slices nothing need be remembered.
    is_only: bool,
}

impl Choice for Unused<'_> {
    fn has(&mut self, path: &Path, is_folder: bool, is_below: bool) -> bool {
        let matches = |patterns: &[PathPattern]| patterns.iter().any(|pattern| pattern.matches(path));
        let is_wanted = is_below || self.patterns.is_none_or(matches);
        is_wanted && (is_folder || self.is_only || self.used.insert(path.to_owned()))
    }

    fn may_have_below(&self, path: &Path) -> bool {
        self.patterns.is_none_or(|patterns| patterns.iter().any(|pattern| pattern.may_match_below(path)))
    }
}

/// Layers of the app, and the sockets that were left out.
pub struct AppLayers {
    pub layers: Vec<WrittenLayer>,
    pub left_out: Vec<PathBuf>,
}

/// Archives the app folder.
pub fn app_layers(
    app: &Folder,
    slices: &[Slice],
    owner: Owner,
    blobs: &Path,
    budget: &mut Budget,
) -> Result<AppLayers> {
    let mut made = AppLayers { layers: Vec::new(), left_out: Vec::new() };
    let mut used = HashSet::new();
    let parse = |slice: &Slice| slice.paths.iter().map(|path| PathPattern::parse(path, &app.path)).collect();
    let slices: Vec<Vec<PathPattern>> =
        slices.iter().map(parse).collect::<Result<_, _>>().or_fail("launch.toml")?;
    let is_only = slices.is_empty();
    for patterns in slices.iter().map(|patterns| Some(&patterns[..])).chain([None]) {
        let mut layer = LayerWriter::begin(blobs)?;
        let mut archiver = TreeArchiver::new(&mut layer, budget, owner);
        archiver.add_parents(&app.path)?;
        let mut choice = Unused { patterns, used: &mut used, is_only };
        archiver.add(app, &app.path, &mut choice)?;
        made.left_out.append(&mut archiver.left_out);
        // The rest is a layer also without files: it makes the folder.
        if archiver.chosen > 0 || patterns.is_none() {
            made.layers.push(layer.finish(|hex| blobs.join(hex))?);
        }
    }
    Ok(made)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use super::*;

    fn files(layer: &WrittenLayer) -> Vec<String> {
        let mut archive = tar::Archive::new(File::open(&layer.path).expect("a layer"));
        let entries = archive.entries().expect("entries").map(|entry| entry.expect("an entry"));
        let files = entries.filter(|entry| entry.header().entry_type().is_file());
        let name = |entry: tar::Entry<'_, File>| {
            entry.path().expect("a path").file_name().expect("a name").to_owned()
        };
        files.map(name).map(|name| name.into_string().expect("text")).collect()
    }

    fn layers(patterns: &[&[&str]]) -> Vec<Vec<String>> {
        let dir = tempfile::tempdir().expect("a folder");
        for path in ["app/public/a.css", "app/public/b.js", "app/c.js", "app/d.rb"] {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("folders");
            fs::write(path, "").expect("a file");
        }
        let slice = |paths: &&[&str]| Slice { paths: paths.iter().map(|path| (*path).to_owned()).collect() };
        let slices: Vec<_> = patterns.iter().map(slice).collect();
        let app = Folder::open(&dir.path().join("app")).expect("open");
        let owner = Owner { uid: 1, gid: 1 };
        let made = app_layers(&app, &slices, owner, dir.path(), &mut Budget::default()).expect("layers");
        made.layers.iter().map(files).collect()
    }

    #[test]
    fn an_app_without_slices_is_one_layer() {
        assert_eq!(layers(&[]), [["c.js", "d.rb", "a.css", "b.js"]]);
    }

    #[test]
    fn each_file_is_in_the_first_slice_that_has_it_and_the_rest_in_the_last_layer() {
        assert_eq!(
            layers(&[&["*.js", "*/*.js"], &["public"]]),
            [&["c.js", "b.js"][..], &["a.css"], &["d.rb"]]
        );
    }

    #[test]
    fn slices_without_files_are_no_layers() {
        assert_eq!(layers(&[&["absent"], &["d.rb"]]), [&["d.rb"][..], &["c.js", "a.css", "b.js"]]);
    }
}
