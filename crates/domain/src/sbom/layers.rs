//! The layers of an image, and which of their packages are seen from the top (OCI image spec, layer).

use std::collections::{BTreeMap, HashSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use super::files::FileFacts;
use super::{Inventory, Package};

const WHITEOUT: &str = ".wh.";
const OPAQUE: &str = ".wh..wh..opq";

/// What one layer adds, and what of the layers below it hides.
///
/// Of hidden paths only hashes are kept: a layer may have a million files.
#[derive(Debug, Default)]
pub struct Layer {
    found: BTreeMap<String, FileFacts>,
    /// Whiteouts, and all that is not a folder: it hides what has its path, and what is below that.
    replaced: HashSet<u64>,
    /// Folders whose lower content is hidden.
    emptied: HashSet<u64>,
}

impl Layer {
    /// Records an entry; `path` has no slash at its ends.
    pub fn entry(&mut self, path: &str, is_folder: bool) {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        if name == OPAQUE {
            self.emptied.insert(hash(folder));
        } else if let Some(hidden) = name.strip_prefix(WHITEOUT) {
            let joint = if folder.is_empty() { "" } else { "/" };
            self.replaced.insert(hash(&format!("{folder}{joint}{hidden}")));
        } else if !is_folder {
            self.replaced.insert(hash(path));
        }
    }

    /// Records what a file of the layer says.
    pub fn add(&mut self, path: &str, facts: FileFacts) {
        self.found.insert(path.to_owned(), facts);
    }

    fn hides(&self, path: &str) -> bool {
        self.replaced.contains(&hash(path))
            || self.emptied.contains(&hash(""))
            || path
                .match_indices('/')
                .map(|(end, _)| hash(&path[..end]))
                .any(|folder| self.replaced.contains(&folder) || self.emptied.contains(&folder))
    }
}

fn hash(path: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    path.hash(&mut hasher);
    hasher.finish()
}

/// The packages of an image of these layers, from the lowest.
pub fn inventory<'a>(layers: impl IntoIterator<Item = &'a Layer>) -> Inventory {
    let mut seen: BTreeMap<&str, &FileFacts> = BTreeMap::new();
    for layer in layers {
        seen.retain(|path, _| !layer.hides(path));
        seen.extend(layer.found.iter().map(|(path, facts)| (path.as_str(), facts)));
    }
    let distribution = seen.values().find_map(|facts| facts.distribution.clone());
    let packages: Vec<&Package> = seen.values().flat_map(|facts| &facts.packages).collect();
    Inventory { distribution, packages: packages.into_iter().cloned().collect() }
}

#[cfg(test)]
mod tests {
    use super::super::files::PackageFile;
    use super::*;

    /// A layer of these entries; folders end with a slash, files are modules of Node.js with their path as version.
    fn layer(entries: &[&str]) -> Layer {
        let mut layer = Layer::default();
        for entry in entries {
            let path = entry.trim_end_matches('/');
            layer.entry(path, path.len() < entry.len());
            if let Some(file) = PackageFile::at(path) {
                let name = path.rsplit('/').nth(1).expect("a folder");
                let content = format!(r#"{{"name":"{name}","version":"1"}}"#);
                layer.add(path, file.read(path, content.as_bytes()));
            }
        }
        layer
    }

    fn names(layers: &[Layer]) -> Vec<String> {
        inventory(layers).packages.into_iter().map(|package| package.name).collect()
    }

    const BASE: &[&str] = &[
        "app/",
        "app/node_modules/a/package.json",
        "app/node_modules/b/package.json",
        "opt/node_modules/c/package.json",
    ];

    #[test]
    fn packages_of_all_layers_are_there() {
        assert_eq!(names(&[layer(BASE), layer(&["srv/node_modules/d/package.json"])]), ["a", "b", "c", "d"]);
    }

    #[test]
    fn what_an_upper_layer_removes_replaces_or_empties_is_gone() {
        let cases: [(&[&str], &[&str]); 7] = [
            (&["app/node_modules/a/.wh.package.json"], &["b", "c"]),
            (&["app/node_modules/.wh.a"], &["b", "c"]),
            (&[".wh.app"], &["c"]),
            // A file or a link in the place of a folder.
            (&["app/node_modules"], &["c"]),
            (&["app/", "app/.wh..wh..opq", "app/node_modules/d/package.json"], &["c", "d"]),
            (&[".wh..wh..opq"], &[]),
            // A folder again, or something beside.
            (&["app/", "app/node_modules/", "app/.wh.node"], &["a", "b", "c"]),
        ];
        for (upper, wanted) in cases {
            assert_eq!(names(&[layer(BASE), layer(upper)]), wanted, "{upper:?}");
        }
    }

    #[test]
    fn what_was_removed_may_come_back() {
        let layers = [layer(BASE), layer(&[".wh.app"]), layer(&["app/node_modules/b/package.json"])];
        assert_eq!(names(&layers), ["b", "c"]);
    }
}
