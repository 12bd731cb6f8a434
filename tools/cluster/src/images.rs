//! Images without a registry: one layer over nothing, as an archive that containerd imports.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;
use chores::{paths, progress};
use serde_json::json;
use sha2::Digest as _;

use crate::layout::Node;
use crate::node;
use crate::programs::Programs;

/// Image of the container that keeps a pod's namespaces open.
pub const PAUSE: &str = "localhost/workflow-cluster/pause:1";
/// Also in `addons/coredns.yaml`.
const COREDNS: &str = "localhost/workflow-cluster/coredns:1";
/// Also in `addons/metrics-server.yaml`.
const METRICS_SERVER: &str = "localhost/workflow-cluster/metrics-server:1";

/// Longest time of the import of an image into one node; half a gigabyte takes twelve seconds.
const IMPORT_MAX: Duration = Duration::from_secs(10 * 60);

/// The images that every cluster needs, in the cache.
pub fn ensure(programs: &Programs) -> anyhow::Result<Vec<PathBuf>> {
    let pause = ensure_pause()?;
    let wanted = [
        (PAUSE, pause),
        (COREDNS, programs.path("coredns")),
        (METRICS_SERVER, programs.path("metrics-server")),
    ];
    wanted.iter().map(|(name, program)| ensure_image(name, program)).collect()
}

/// Makes the image that only has this program, beside the program, so that it is renewed with it.
fn ensure_image(name: &str, program: &Path) -> anyhow::Result<PathBuf> {
    let archive = program.with_extension("image.tar");
    if archive.is_file() {
        return Ok(archive);
    }
    progress::step(&format!("Make the image {name}"), || {
        let content = std::fs::read(program).with_context(|| format!("cannot read {}", program.display()))?;
        let file_name = program.file_name().context("a program has a name")?.to_string_lossy().into_owned();
        let unfinished = archive.with_extension("unfinished");
        let mut file = std::fs::File::create(&unfinished)?;
        write_image(&mut file, name, &file_name, &content)?;
        file.sync_all()?;
        std::fs::rename(&unfinished, &archive)?;
        Ok(archive.clone())
    })
}

/// Compiles `pause.c`; its folder is named after its content.
fn ensure_pause() -> anyhow::Result<PathBuf> {
    let source = paths::checkout().join("tools/cluster/pause.c");
    let text = std::fs::read(&source).with_context(|| format!("cannot read {}", source.display()))?;
    let folder = paths::cache().join("cluster/bin").join(format!("pause-{}", &digest_of(&text)[7..23]));
    let program = folder.join("pause");
    if !program.is_file() {
        std::fs::create_dir_all(&folder)?;
        let unfinished = folder.join("unfinished-pause");
        progress::run(Command::new("cc").args(["-Os", "-static", "-s", "-o"]).arg(&unfinished).arg(&source))?;
        std::fs::rename(unfinished, &program)?;
    }
    Ok(program)
}

/// Writes an OCI image whose only file is a program at the root, which is also what it runs.
fn write_image(file: &mut impl Write, name: &str, program: &str, content: &[u8]) -> anyhow::Result<()> {
    let layer = layer(program, content)?;
    let config = json!({
        "architecture": go_architecture(),
        "os": "linux",
        "config": { "Entrypoint": [format!("/{program}")] },
        "rootfs": { "type": "layers", "diff_ids": [digest_of(&layer)] },
    });
    let config = config.to_string().into_bytes();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": described("application/vnd.oci.image.config.v1+json", &config),
        "layers": [described("application/vnd.oci.image.layer.v1.tar", &layer)],
    });
    let manifest = manifest.to_string().into_bytes();
    let mut entry = described("application/vnd.oci.image.manifest.v1+json", &manifest);
    entry["annotations"] = json!({ "io.containerd.image.name": name });
    let index = json!({ "schemaVersion": 2, "manifests": [entry] }).to_string().into_bytes();
    let mut archive = tar::Builder::new(file);
    append(&mut archive, "oci-layout", 0o644, br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    append(&mut archive, "index.json", 0o644, &index)?;
    for blob in [&layer, &config, &manifest] {
        append(&mut archive, &format!("blobs/{}", digest_of(blob).replace(':', "/")), 0o644, blob)?;
    }
    archive.into_inner()?;
    Ok(())
}

fn layer(program: &str, content: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::with_capacity(content.len() + 4096));
    append(&mut archive, program, 0o755, content)?;
    Ok(archive.into_inner()?)
}

fn described(media_type: &str, blob: &[u8]) -> serde_json::Value {
    json!({ "mediaType": media_type, "digest": digest_of(blob), "size": blob.len() })
}

fn append(
    archive: &mut tar::Builder<impl Write>,
    path: &str,
    mode: u32,
    content: &[u8],
) -> std::io::Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_size(content.len() as u64);
    header.set_mode(mode);
    archive.append_data(&mut header, path, content)
}

/// `sha256:<hex>` of these bytes.
pub fn digest_of(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(sha2::Sha256::digest(bytes)))
}

/// The OCI name of this machine's architecture.
pub fn go_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// Imports an archive of OCI's or Docker's kind into a node.
pub fn import(node: Node, archive: &Path) -> anyhow::Result<()> {
    let mut command = node::ctr(node);
    command.args(["images", "import"]).arg(archive);
    progress::output(&mut progress::within(IMPORT_MAX, &command))
        .with_context(|| format!("{} does not take {}", node.name(), archive.display()))
        .map(drop)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn an_image_names_its_program_and_all_its_blobs_are_there() {
        let mut bytes = Vec::new();

        write_image(&mut bytes, PAUSE, "pause", b"a program").expect("memory takes it");

        let mut files = std::collections::BTreeMap::new();
        for entry in tar::Archive::new(&bytes[..]).entries().expect("an archive") {
            let mut entry = entry.expect("an entry");
            let path = entry.path().expect("a path").display().to_string();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).expect("content");
            files.insert(path, content);
        }
        let json = |path: &str| serde_json::from_slice::<serde_json::Value>(&files[path]).expect("JSON");
        let blob = |it: &serde_json::Value| {
            format!("blobs/{}", it["digest"].as_str().expect("a digest").replace(':', "/"))
        };
        let manifest = json(&blob(&json("index.json")["manifests"][0]));
        assert_eq!(json(&blob(&manifest["config"]))["config"]["Entrypoint"][0], "/pause");
        assert!(files.contains_key(&blob(&manifest["layers"][0])));
    }
}
