//! Gathers SBOM files below `<layers>/sbom`, where export finds them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::BuildpackBuild;
use crate::failure::{OrFailure, Result};
use crate::formats::layer::{LayerTypes, SBOM_EXTENSIONS, sbom_of_file};

/// Removes what was there before the build: SBOM files are those of this build alone.
pub fn remove_all(layers: &Path) -> Result<()> {
    let folder = layers.join("sbom");
    match fs::remove_dir_all(&folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        removed => removed.or_fail(format!("{} cannot be removed", folder.display())),
    }
}

/// Copies the files of one buildpack: `launch`, `build` and of each layer.
pub fn gather(build: &BuildpackBuild<'_>, types: &BTreeMap<String, LayerTypes>) -> Result<()> {
    let failed = format!("{} cannot be listed", build.layers.display());
    for entry in fs::read_dir(&build.layers).or_fail(&failed)? {
        let name = entry.or_fail(&failed)?.file_name();
        let Some((layer, extension)) = name.to_str().and_then(sbom_of_file) else { continue };
        check_format(build, extension)?;
        for folder in folders(layer, types) {
            copy(build, &name, &folder, extension)?;
        }
    }
    Ok(())
}

fn check_format(build: &BuildpackBuild<'_>, extension: &str) -> Result<()> {
    let media_type =
        SBOM_EXTENSIONS.iter().find(|(it, _)| *it == extension).map(|(_, media_type)| *media_type);
    let declared = &build.buildpack.descriptor.buildpack.sbom_formats;
    match declared.iter().any(|it| media_type == Some(it)) {
        true => Ok(()),
        false => {
            Err(build
                .refused(&format!("it wrote an SBOM `{extension}` that its sbom-formats do not declare")))
        }
    }
}

/// Places below `<layers>/sbom`, each the kind and the folder behind the buildpack's.
fn folders(layer: &str, types: &BTreeMap<String, LayerTypes>) -> Vec<(&'static str, PathBuf)> {
    match layer {
        "launch" => vec![("launch", PathBuf::new())],
        "build" => vec![("build", PathBuf::new())],
        _ => {
            let types = types.get(layer).copied().unwrap_or_default();
            let kinds = [(types.launch, "launch"), (!types.launch, "build"), (types.cache, "cache")];
            kinds.into_iter().filter(|(is_kind, _)| *is_kind).map(|(_, kind)| (kind, layer.into())).collect()
        }
    }
}

fn copy(
    build: &BuildpackBuild<'_>,
    name: &std::ffi::OsStr,
    (kind, layer): &(&str, PathBuf),
    extension: &str,
) -> Result<()> {
    let own = build.layers.file_name().unwrap_or_default();
    let folder = build.settings.layers.join("sbom").join(kind).join(own).join(layer);
    let to = folder.join(format!("sbom.{extension}"));
    let copied = fs::create_dir_all(&folder).and_then(|()| fs::copy(build.layers.join(name), &to));
    copied.map(|_| ()).or_fail(format!("{} cannot be written", to.display()))
}
