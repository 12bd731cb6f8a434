//! The step that builds a Dockerfile, by BuildKit without privileges. It has no credential: it pushes the result to the
//! last step, which stages it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use domain::build_steps::{BUILD_FIFO, SOURCE_FIFO};
use domain::image_reference::ImageReference;
use domain::registry_access::STACK_REPOSITORY;
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;

use super::fifos::{self, NextStep};
use super::staging::{self, CACHE, IMAGE};
use super::{BuildPod, OrFailed as _, Spec, StepError, layers};
use crate::buildkit::{self, Base, BasePlace, ClientOutput, Compression, Layers, Output, ProcessSandbox};
use oci::{Access, Repository};

const VALUE_BYTES_MAX: u64 = 1 << 20;
const CHUNK_BYTES: usize = 16 << 10;

/// Builds the Dockerfile of the workspace's source.
pub async fn build(pod: &BuildPod) -> Result<(), StepError> {
    let spec = &pod.spec;
    write_config(spec)?;
    let log = Path::new(buildkit::STATE).join("daemon.log");
    // It starts while the source comes.
    let mut daemon = daemon(&log)?;
    let next = NextStep::open(pod, BUILD_FIFO);
    fifos::wait(pod, SOURCE_FIFO).await?;
    let next = next.opened().await?;
    fetch_submodules(pod).await?;
    let host = staging::host();
    let cache = Repository::new(&pod.transport, &format!("http://{host}"), CACHE, None, Access::Pull);
    let is_filled = spec.cache && cache.has_manifest(layers::TAG).await?;
    let cache = format!("{host}/{CACHE}:{}", layers::TAG);
    let config = config_files(pod)?;
    let secrets = config.iter().map(|(name, path)| (name.clone(), path.display().to_string())).collect();
    let words = buildkit::build(&buildkit::FrontendBuild {
        source: &pod.folder("source").display().to_string(),
        dockerfile: &spec.dockerfile,
        secrets: &secrets,
        output: Output::Registry(&format!("{host}/{IMAGE}:built")),
        // Nodes of any Kubernetes that the platform runs on read it.
        compression: Compression::Zstd,
        args: &build_args(pod, &config)?,
        labels: &BTreeMap::new(),
        bases: &bases(spec),
        cache: spec.cache,
        layers: spec.cache.then_some(Layers { name: &cache, is_filled }),
        other_frontends: spec.frontends,
    });
    // The daemon and leftover processes of steps end with this process, which is the first of its namespace.
    tokio::select! {
        done = client(&words) => done.and_then(|()| next.begin()),
        ended = daemon.wait() => {
            let status = ended.or_failed("wait for BuildKit")?;
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            let last = said.lines().rev().take(3).collect::<Vec<_>>().join("; ");
            let cause = std::io::Error::other(format!("{status}: {last}"));
            Err(cause).or_failed("BuildKit does not run on this node")
        }
    }
}

/// By a process as the owner of the source.
async fn fetch_submodules(pod: &BuildPod) -> Result<(), StepError> {
    if pod.spec.submodules.is_empty() {
        return Ok(());
    }
    let what = "fetch the submodules";
    let owner_id = std::fs::metadata(pod.folder("source")).or_failed(what)?.uid();
    let status = command(&buildkit::submodules(owner_id)).status().await.or_failed(what)?;
    if status.success() { Ok(()) } else { Err(StepError::Exited(status.code().unwrap_or(1))) }
}

fn daemon(log: &Path) -> Result<tokio::process::Child, StepError> {
    let what = "start BuildKit";
    let log = std::fs::File::create(log).or_failed(what)?;
    let mut command = command(&buildkit::daemon(ProcessSandbox::No));
    command.envs(buildkit::ENVIRONMENT).stdout(log.try_clone().or_failed(what)?).stderr(log);
    command.spawn().or_failed(what)
}

/// Runs the client to its end and forwards its output.
async fn client(words: &[String]) -> Result<(), StepError> {
    let what = "run BuildKit's client";
    let mut child = command(words).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().or_failed(what)?;
    let mut said = ClientOutput::default();
    if let Some(mut stderr) = child.stderr.take() {
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            let count = stderr.read(&mut chunk).await.or_failed(what)?;
            let shown = if count == 0 { said.rest() } else { said.take(&chunk[..count]) };
            let mut output = std::io::stdout().lock();
            output.write_all(&shown).and_then(|()| output.flush()).or_failed(what)?;
            if count == 0 {
                break;
            }
        }
    }
    if child.wait().await.or_failed(what)?.success() {
        return Ok(());
    }
    Err(StepError::Exited(i32::try_from(said.exit_code()).unwrap_or(1)))
}

fn command(words: &[String]) -> Command {
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).stdin(Stdio::null());
    command
}

fn write_config(spec: &Spec) -> Result<(), StepError> {
    let what = "write BuildKit's configuration";
    let path = Path::new("/").join(buildkit::config_path());
    std::fs::create_dir_all(path.parent().unwrap_or(&path)).or_failed(what)?;
    let own = Some(registry_host(spec)).filter(|_| spec.registry_url.starts_with("http:"));
    let staging = staging::host();
    // BuildKit reads no configuration that names a registry twice.
    let hosts: BTreeSet<&str> =
        spec.insecure_hosts.iter().map(String::as_str).chain(own).chain([staging.as_str()]).collect();
    std::fs::write(path, buildkit::config(hosts)).or_failed(what)
}

fn registry_host(spec: &Spec) -> &str {
    spec.registry_url.split("//").nth(1).unwrap_or_default()
}

/// The stack, which is in the platform's own registry and nowhere else.
fn bases(spec: &Spec) -> Vec<Base> {
    let mark = if spec.stack_version.starts_with("sha256:") { '@' } else { ':' };
    let version = format!("{mark}{}", spec.stack_version);
    let host = registry_host(spec);
    let place = format!("{host}/{}{}{version}", spec.registry_prefix, spec.stack_repository);
    let names = [
        STACK_REPOSITORY.to_owned(),
        format!("{STACK_REPOSITORY}{version}"),
        format!("{}/{}", spec.node_host, spec.stack_repository),
        format!("{}/{}{version}", spec.node_host, spec.stack_repository),
    ];
    let mut names: Vec<_> = names.iter().filter_map(|name| ImageReference::parse(name).ok()).collect();
    names.dedup();
    names.into_iter().map(|name| Base { name, place: BasePlace::Registry(place.clone()) }).collect()
}

/// The app's config: files of a Secret, by the names of the variables.
fn config_files(pod: &BuildPod) -> Result<BTreeMap<String, PathBuf>, StepError> {
    let what = "read the config";
    let entries = match std::fs::read_dir(pod.folder("env")) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        entries => entries.or_failed(what)?,
    };
    let mut files = BTreeMap::new();
    for entry in entries {
        let path = entry.or_failed(what)?.path();
        // A mounted Secret holds links to its files.
        let is_value = std::fs::metadata(&path).is_ok_and(|it| it.is_file() && it.len() <= VALUE_BYTES_MAX);
        if let Some(name) = path.file_name().filter(|_| is_value) {
            files.insert(name.to_string_lossy().into_owned(), path);
        }
    }
    Ok(files)
}

/// The platform's proxies, and the app's config where it asked for that.
fn build_args(
    pod: &BuildPod,
    config: &BTreeMap<String, PathBuf>,
) -> Result<BTreeMap<String, String>, StepError> {
    let platform: BTreeMap<String, String> = std::env::vars().collect();
    if !pod.spec.dockerfile.build_args {
        return Ok(buildkit::build_args(&platform, None));
    }
    let mut values = BTreeMap::new();
    for (name, path) in config {
        let value = std::fs::read(path).or_failed("read the config")?;
        values.insert(name.clone(), String::from_utf8_lossy(&value).into_owned());
    }
    Ok(buildkit::build_args(&platform, Some(&values)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stack_is_had_from_the_platforms_registry_by_each_of_its_names() {
        let spec = super::super::receive::tests::spec();

        let names: Vec<_> = bases(&spec).into_iter().map(|base| base.name.to_string()).collect();

        assert_eq!(names, ["deis/stack:latest", "127.0.0.1:5555/deis/stack:latest"]);
        let place = "deis-registry.deis.svc.cluster.local/deis/stack:latest".to_owned();
        assert_eq!(bases(&spec)[0].place, BasePlace::Registry(place));
    }
}
