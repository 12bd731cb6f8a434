//! The out folder: an OCI image layout of what is new, a report, and SBOM files of the build.

use std::fs;
use std::io::Read;
use std::path::Path;

use serde::Serialize;
use serde_json::json;

use super::Exported;
use super::image::{self, Documents};
use crate::archive::budget::Budget;
use crate::failure::{OrFailure, Result};
use crate::folder::{Folder, Kind};
use crate::formats;

#[derive(Serialize)]
struct Report {
    image: ReportImage,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct ReportImage {
    tags: Vec<String>,
    digest: String,
    image_id: String,
    manifest_size: u64,
}

/// Writes config, manifest, index and report; layers are there already.
pub fn write(out: &Path, image: &Documents) -> Result<Exported> {
    let Documents { config, config_digest, manifest, digest } = image.clone();
    write_blob(out, &config_digest, &config)?;
    write_blob(out, &digest, &manifest)?;
    let manifest_size = manifest.len() as u64;
    let index = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [{"mediaType": image::MANIFEST, "digest": digest, "size": manifest_size}],
    });
    write_file(out, "index.json", index.to_string().as_bytes())?;
    write_file(out, "oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    let image_id = config_digest;
    let report =
        ReportImage { tags: Vec::new(), digest: digest.clone(), image_id: image_id.clone(), manifest_size };
    formats::write(&out.join("report.toml"), &Report { image: report })?;
    Ok(Exported { digest, image_id, manifest_size, notes: Vec::new() })
}

fn write_blob(out: &Path, digest: &str, bytes: &[u8]) -> Result<()> {
    write_file(&out.join("blobs/sha256"), digest.trim_start_matches("sha256:"), bytes)
}

fn write_file(folder: &Path, name: &str, bytes: &[u8]) -> Result<()> {
    let path = folder.join(name);
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(&path, bytes))
        .or_fail(format!("{} cannot be written", path.display()))
}

/// Folders inside each other of SBOM files: kind, buildpack, layer.
const SBOM_DEPTH_MAX: usize = 3;

/// Copies `<layers>/sbom/build` into the out folder.
pub fn copy_build_sboms(layers: &Folder, out: &Path, budget: &mut Budget) -> Result<()> {
    match layers.below(&["sbom", "build"])? {
        Some(folder) => copy_files(&folder, &out.join("sbom/build"), budget, SBOM_DEPTH_MAX),
        None => Ok(()),
    }
}

fn copy_files(folder: &Folder, to: &Path, budget: &mut Budget, depth: usize) -> Result<()> {
    for name in folder.names()? {
        let facts = folder.facts(&name)?;
        if facts.kind == Kind::Folder && depth > 0 {
            if let Some(below) = folder.folder(&name)? {
                copy_files(&below, &to.join(&name), budget, depth - 1)?;
            }
        } else if let Some((file, facts)) = folder.file(&name)? {
            budget.take(facts.size)?;
            let mut content = file.take(facts.size);
            let path = to.join(&name);
            let copied = fs::create_dir_all(to)
                .and_then(|()| fs::File::create(&path))
                .and_then(|mut file| std::io::copy(&mut content, &mut file));
            copied.or_fail(format!("{} cannot be written", path.display()))?;
        }
    }
    Ok(())
}
