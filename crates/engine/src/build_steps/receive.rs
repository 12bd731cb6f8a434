//! The first step: the source comes by standard input, the cache from the registry. No user code has run
//! yet. A Dockerfile that uses other apps' images is refused here.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::Path;

use domain::build::BuildKind;
use domain::dockerfile::images_used;
use domain::image_reference::ImageReference;

use super::{OrFailed as _, Pod, SOURCE_END, Spec, StepError, cache, dockerfile};
use crate::oci::open_beneath;

const DOCKERFILE_BYTES_MAX: u64 = 1 << 20;

pub async fn receive(pod: &Pod) -> Result<(), StepError> {
    let source = pod.folder("source");
    for folder in ["source", "cache", "out"] {
        std::fs::create_dir_all(pod.folder(folder)).or_failed(format!("make the folder {folder}"))?;
    }
    let unpacking = tokio::task::spawn_blocking({
        let source = source.clone();
        move || take_source(io::stdin().lock(), &source)
    });
    let (unpacked, ()) = tokio::join!(unpacking, fetch_cache(pod));
    unpacked.map_err(io::Error::other).or_failed("take the source")??;
    if pod.spec.kind == BuildKind::Dockerfile {
        let args = dockerfile::build_args(pod)?;
        check(&pod.spec, &read_dockerfile(&source)?, &args)?;
    }
    Ok(())
}

async fn fetch_cache(pod: &Pod) {
    if pod.spec.kind != BuildKind::Buildpack || !pod.spec.cache {
        return;
    }
    if let Err(error) = cache::fetch(pod).await {
        println!(" !     the cache cannot be had, building without it: {error}");
    }
}

/// Unpacks an archive and makes sure that it came to its end.
fn take_source(input: impl Read, folder: &Path) -> Result<(), StepError> {
    let mut input = io::BufReader::with_capacity(256 << 10, input);
    let mut archive = tar::Archive::new(&mut input);
    archive.set_preserve_mtime(true);
    archive.unpack(folder).or_failed("unpack the source")?;
    // Padding, then the mark.
    let mut rest = Vec::new();
    let mut chunk = [0; 4096];
    while !rest.ends_with(SOURCE_END) {
        let count = input.read(&mut chunk).or_failed("take the source")?;
        if count == 0 {
            let cut = io::Error::from(io::ErrorKind::UnexpectedEof);
            return Err(cut).or_failed("the source was cut off");
        }
        rest.extend_from_slice(&chunk[..count]);
        let keep_from = rest.len().saturating_sub(SOURCE_END.len());
        rest.drain(..keep_from);
    }
    Ok(())
}

fn read_dockerfile(source: &Path) -> Result<String, StepError> {
    let refused = |reason: String| StepError::Refused(reason);
    let file = open_beneath(source, "Dockerfile").map_err(|error| {
        refused(match error.kind() {
            io::ErrorKind::NotFound => "the source has no Dockerfile at its root".to_owned(),
            _ => "Dockerfile must be a plain file of at most 1 MB, no link or folder".to_owned(),
        })
    })?;
    let mut bytes = Vec::new();
    file.take(DOCKERFILE_BYTES_MAX + 1).read_to_end(&mut bytes).or_failed("read the Dockerfile")?;
    if bytes.len() as u64 > DOCKERFILE_BYTES_MAX {
        return Err(refused("Dockerfile must be a plain file of at most 1 MB, no link or folder".to_owned()));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Refuses a Dockerfile that uses images of other apps or of the platform.
fn check(spec: &Spec, dockerfile: &str, args: &BTreeMap<String, String>) -> Result<(), StepError> {
    let images = images_used(dockerfile, args).map_err(|error| StepError::Refused(error.to_string()))?;
    for image in images {
        let refused =
            |reason: &str| Err(StepError::Refused(format!("Dockerfile uses image `{image}`{reason}")));
        // Ways around a registry: files, folders, other stores (containers-transports(5)).
        let transport = image.split_once(':').is_some_and(|(word, rest)| {
            rest.starts_with("//")
                || ["oci", "oci-archive", "dir", "docker-archive", "docker-daemon", "containers-storage"]
                    .contains(&word)
        });
        if transport {
            return refused("; name an image of a registry instead");
        }
        match ImageReference::parse(&image) {
            Err(error) => return refused(&format!(": {error}")),
            Ok(reference) if reference.is_part_of_platform() => {
                return refused(", which is a part of the platform");
            }
            Ok(reference) if owner(spec, &reference).is_some_and(|owner| owner != spec.app.as_str()) => {
                return refused(", which belongs to another app");
            }
            Ok(_) => {}
        }
    }
    Ok(())
}

/// The app whose image this is, if it lies in the platform's registry.
fn owner<'a>(spec: &Spec, reference: &'a ImageReference) -> Option<&'a str> {
    let push_host = spec.registry_url.split("//").nth(1).unwrap_or_default();
    let (node_host, node_prefix) = spec.node_host.split_once('/').unwrap_or((&spec.node_host, ""));
    let is_name_of_it = |host: &str| host.split(':').next() == reference.host.split(':').next();
    // Any port of these hosts: no other registry is to be had there.
    let prefix = if is_name_of_it(push_host) {
        spec.registry_prefix.trim_end_matches('/')
    } else if is_name_of_it(node_host) {
        node_prefix
    } else {
        return None;
    };
    let path = reference.path.strip_prefix(prefix)?.trim_start_matches('/');
    if path == spec.stack_repository { None } else { path.split('/').next() }
}

#[cfg(test)]
mod tests {
    use domain::AppName;

    use super::*;

    fn spec() -> Spec {
        Spec {
            app: AppName::parse("blog").expect("a name"),
            kind: BuildKind::Dockerfile,
            registry_url: "http://deis-registry.deis.svc.cluster.local".to_owned(),
            registry_prefix: String::new(),
            node_host: "127.0.0.1:5555".to_owned(),
            stack_repository: "deis/stack".to_owned(),
            stack_version: "latest".to_owned(),
            cache: true,
            build_args: false,
            slug_bytes_max: 1,
            cache_bytes_max: 1,
            insecure_hosts: Vec::new(),
            username: "build-blog".to_owned(),
        }
    }

    fn archive() -> Vec<u8> {
        let mut archive = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(1);
        header.set_mode(0o755);
        archive.append_data(&mut header, "bin/x", &b"x"[..]).expect("memory takes it");
        let mut bytes = archive.into_inner().expect("memory takes it");
        bytes.extend([0; 8192]);
        bytes
    }

    #[test]
    fn a_source_is_whole_only_with_its_mark() {
        let folder = tempfile::tempdir().expect("a temporary folder");

        take_source(&[archive(), SOURCE_END.to_vec()].concat()[..], folder.path()).expect("it is whole");
        assert_eq!(std::fs::read(folder.path().join("bin/x")).expect("it is there"), b"x");
        for cut in [archive(), archive()[..700].to_vec(), Vec::new()] {
            assert!(take_source(&cut[..], folder.path()).is_err());
        }
    }

    #[test]
    fn images_of_other_apps_and_of_the_platform_are_refused() {
        let said = |image: &str| {
            check(&spec(), &format!("FROM {image}\n"), &BTreeMap::new()).map_err(|error| error.to_string())
        };
        for good in
            ["debian", "ghcr.io/a/b:c", "deis/stack", "127.0.0.1:5555/blog:x", "127.0.0.1:5555/deis/stack"]
        {
            assert_eq!(said(good), Ok(()), "{good}");
        }
        for (bad, reason) in [
            ("127.0.0.1:5555/shop:x", "another app"),
            ("127.0.0.1:80/shop/cache", "another app"),
            ("deis-registry.deis.svc.cluster.local/shop", "another app"),
            ("deis/controller", "part of the platform"),
            ("oci:/workspace/x", "registry instead"),
            ("docker://debian", "registry instead"),
        ] {
            let said = said(bad).expect_err(bad);
            assert!(said.contains(reason), "{said}");
        }
    }
}
