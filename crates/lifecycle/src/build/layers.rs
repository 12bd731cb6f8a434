//! Types of the layers that a buildpack left.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::failure::{OrFailure, Result};
use crate::formats::layer::{LayerFile, LayerTypes, layer_of_file};
use crate::formats::read;

/// Types by name of the layer.
pub fn read_types(layers: &Path) -> Result<BTreeMap<String, LayerTypes>> {
    let failed = format!("{} cannot be listed", layers.display());
    let mut types = BTreeMap::new();
    for entry in fs::read_dir(layers).or_fail(&failed)? {
        let name = entry.or_fail(&failed)?.file_name();
        if let Some(layer) = name.to_str().and_then(layer_of_file) {
            let file: LayerFile = read(&layers.join(&name))?;
            types.insert(layer.to_owned(), file.types());
        }
    }
    Ok(types)
}

/// Renames folders of layers without any type, lest later buildpacks depend on them.
pub fn set_ignored_aside(layers: &Path, types: &BTreeMap<String, LayerTypes>) -> Result<()> {
    for (name, _) in types.iter().filter(|(_, types)| types.is_ignored()) {
        let (from, to) = (layers.join(name), layers.join(format!("{name}.ignore")));
        if from.is_dir() {
            let _ = fs::remove_dir_all(&to);
            fs::rename(&from, &to).or_fail(format!("{} cannot be renamed", from.display()))?;
        }
    }
    Ok(())
}
