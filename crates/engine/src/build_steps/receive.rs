//! The first step: the source comes by standard input, the cache from the registry. No user code has run
//! yet.

use std::io::{self, Read, Write};
use std::path::Path;

use domain::build::BuildKind;
use domain::build_steps::SOURCE_FIFO;
use domain::submodules::SUBMODULES_FILE;

use super::fifos::NextStep;
use super::{BuildPod, OrFailed as _, PROBE, READY, SOURCE_BEGIN, SOURCE_END, StepError, cache};
use crate::job::submodule_list;

/// Unpacks the source from standard input and fetches the cache of the previous build.
pub async fn receive(pod: &BuildPod) -> Result<(), StepError> {
    let next = NextStep::open(pod, SOURCE_FIFO);
    let source = pod.folder("source");
    for folder in ["source", "cache", "out"] {
        std::fs::create_dir_all(pod.folder(folder)).or_failed(format!("make the folder {folder}"))?;
    }
    let unpacking = tokio::task::spawn_blocking({
        let source = source.clone();
        move || {
            let mut input = io::BufReader::with_capacity(256 << 10, io::stdin().lock());
            answer_probes(&mut input, io::stdout().lock()).or_failed("wait for the source")?;
            take_source(input, &source)
        }
    });
    let (unpacked, ()) = tokio::join!(unpacking, fetch_cache(pod));
    unpacked.map_err(io::Error::other).or_failed("take the source")??;
    // `slug` fetches them, in a container without a credential.
    if let Some(list) = submodule_list(&pod.spec.submodules) {
        std::fs::write(pod.folder(SUBMODULES_FILE), list).or_failed("write the list of submodules")?;
    }
    next.begin().await
}

async fn fetch_cache(pod: &BuildPod) {
    // BuildKit fetches layers when it wants them.
    if !pod.spec.cache || pod.spec.kind == BuildKind::Dockerfile {
        return;
    }
    if let Err(error) = cache::fetch(pod).await {
        println!(" !     the cache cannot be had, building without it: {error}");
    }
}

/// Answers until the source begins.
fn answer_probes(input: &mut impl Read, mut output: impl Write) -> io::Result<()> {
    let mut byte = [0];
    loop {
        input.read_exact(&mut byte)?;
        match byte[0] {
            PROBE => output.write_all(READY).and_then(|()| output.flush())?,
            SOURCE_BEGIN => return Ok(()),
            other => return Err(io::Error::other(format!("byte {other} before the source"))),
        }
    }
}

/// Unpacks an archive and makes sure that it came to its end.
fn take_source(mut input: impl Read, folder: &Path) -> Result<(), StepError> {
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

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeSet;

    use domain::AppName;
    use domain::build_plan::DockerfileOptions;

    use super::*;
    use crate::build_steps::{Spec, Step};

    /// Surroundings of a step, for tests.
    pub fn pod(workspace: &Path, step: Step) -> BuildPod {
        BuildPod {
            step,
            spec: spec(),
            password: None,
            workspace: workspace.to_owned(),
            transport: oci::Transport::new(),
        }
    }

    /// Spec of a Dockerfile build, for tests of the steps.
    pub fn spec() -> Spec {
        Spec {
            app: AppName::parse("blog").expect("a name"),
            kind: BuildKind::Dockerfile,
            submodules: Vec::new(),
            registry_url: "http://deis-registry.deis.svc.cluster.local".to_owned(),
            registry_prefix: String::new(),
            node_host: "127.0.0.1:5555".to_owned(),
            stack_repository: "deis/stack".to_owned(),
            stack_version: "latest".to_owned(),
            toolchains: BTreeSet::new(),
            cache: true,
            dockerfile: DockerfileOptions::default(),
            frontends: false,
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
    fn links_that_lead_out_are_kept_and_not_followed() {
        let outside = tempfile::tempdir().expect("a temporary folder");
        let folder = outside.path().join("source");
        let mut archive = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        archive.append_link(&mut header, "log", "../../shared/log").expect("memory takes it");
        archive.append_link(&mut header, "site/up", "../..").expect("memory takes it");
        let mut header = tar::Header::new_gnu();
        header.set_size(1);
        header.set_mode(0o644);
        archive.append_data(&mut header, "site/up/harm", &b"x"[..]).expect("memory takes it");
        let through = archive.into_inner().expect("memory takes it");
        let links = [&through[..1024], &[0; 1024]].concat();

        take_source(&[links, SOURCE_END.to_vec()].concat()[..], &folder).expect("it is taken");
        assert_eq!(std::fs::read_link(folder.join("log")).expect("a link"), Path::new("../../shared/log"));
        assert_eq!(std::fs::read_link(folder.join("site/up")).expect("a link"), Path::new("../.."));
        // git gives no file below a link; an archive that does is not unpacked through it.
        let _ = take_source(&[through, SOURCE_END.to_vec()].concat()[..], &folder);
        assert!(!outside.path().join("harm").exists());
    }

    #[test]
    fn each_probe_is_answered_until_the_source_begins() {
        let mut output = Vec::new();
        let mut input = &b"??!source"[..];

        answer_probes(&mut input, &mut output).expect("it begins");

        assert_eq!((input, output), (&b"source"[..], [READY, READY].concat()));
        assert!(answer_probes(&mut &b"?x"[..], Vec::new()).is_err());
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
}
