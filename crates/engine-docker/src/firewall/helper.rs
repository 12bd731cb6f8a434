//! The helper container: this program in Docker's own network namespace with CAP_NET_ADMIN and nothing else, for a
//! platform that may not change the kernel's rules itself. It outlives the platform, as apps do.
//!
//! Its image holds this program and the libraries that it has loaded, and no shell.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use bollard::errors::Error;
use bollard::models::{
    ContainerCreateBody, HostConfig, HostConfigLogConfig, RestartPolicy, RestartPolicyNameEnum,
};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, CreateImageOptionsBuilder, LogsOptionsBuilder,
    RemoveContainerOptionsBuilder, WaitContainerOptionsBuilder,
};
use bytes::Bytes;
use domain::Digest;
use futures_util::{StreamExt as _, TryStreamExt as _};
use tokio::time::timeout;

use super::{FirewallSettings, Inner, names, spec, warn_open};
use crate::jobs::{message, named_images, remove_image, status};

/// Subcommand of this program that keeps the rules, and its options.
pub const COMMAND: &str = "firewall";
pub const SPEC_OPTION: &str = "--spec";
pub const REMOVE_OPTION: &str = "--remove";

/// Hash of what a helper was made from.
const SPEC_LABEL: &str = "io.deis.firewall";
/// No app has this name: those begin with a letter.
const REPOSITORY: &str = "0firewall";
const PROGRAM: &str = "workflow";
const LOADER: &str = "loader";
const LIBRARIES: &str = "lib";
const MEMORY_BYTES: i64 = 64 << 20;
const PIDS_MAX: i64 = 32;
/// A helper that runs for so long has put its rules in force.
const SETTLED_AFTER: Duration = Duration::from_secs(2);
const REMOVAL_MAX: Duration = Duration::from_secs(30);

/// Starts the helper, unless one of the same rules and program runs.
pub async fn start(inner: &Inner, settings: &FirewallSettings) {
    match ensure(inner, settings).await {
        Ok(()) => {
            tracing::info!(
                container = container_name(inner),
                "a helper container keeps the firewall's rules"
            );
        }
        Err(error) => warn_open(&*error),
    }
}

/// Removes the helper, its rules and its image; `false` where there is none.
pub async fn remove(inner: &Inner, name: &str) -> bool {
    let container = container_name(inner);
    let Ok(found) = inner.client.inspect_container(&container, None).await else { return false };
    if let Err(error) = remove_with_rules(inner, name, found.image.unwrap_or_default()).await {
        tracing::warn!(error = &*error as &dyn std::error::Error, "cannot remove the firewall's rules");
    }
    true
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

async fn ensure(inner: &Inner, settings: &FirewallSettings) -> Result<(), BoxError> {
    let spec = spec(inner, settings).await;
    let text = serde_json::to_string(&spec)?;
    let program = tokio::task::spawn_blocking(HelperProgram::of_this_process).await??;
    let image = image_name(inner, &program.digest);
    let hash = Digest::of(format!("{image} {text}").as_bytes()).hex()[..16].to_owned();
    if is_running(inner, &hash).await? {
        return Ok(());
    }
    remove_container(inner).await?;
    let command = program.command(&[SPEC_OPTION, &text]);
    import(inner, program, &image).await?;
    remove_other_images(inner, &image).await?;
    run(inner, body(inner, &image, command, &hash)).await?;
    settled(inner).await
}

fn container_name(inner: &Inner) -> String {
    format!("{}--firewall", names::namespace(&inner.settings.instance))
}

fn image_name(inner: &Inner, digest: &Digest) -> String {
    format!("{}/{REPOSITORY}:{}", names::namespace(&inner.settings.instance), &digest.hex()[..16])
}

async fn is_running(inner: &Inner, hash: &str) -> Result<bool, Error> {
    match inner.client.inspect_container(&container_name(inner), None).await {
        Ok(found) => {
            let labels = found.config.and_then(|config| config.labels).unwrap_or_default();
            let is_running = found.state.and_then(|state| state.running).unwrap_or(false);
            Ok(is_running && labels.get(SPEC_LABEL).is_some_and(|label| label == hash))
        }
        Err(error) if status(&error) == Some(404) => Ok(false),
        Err(error) => Err(error),
    }
}

fn body(inner: &Inner, image: &str, command: Vec<String>, hash: &str) -> ContainerCreateBody {
    let labels =
        [(names::INSTANCE_LABEL, inner.settings.instance.as_str()), (SPEC_LABEL, hash), ("heritage", "deis")];
    let log =
        HashMap::from([("max-size".to_owned(), "1m".to_owned()), ("max-file".to_owned(), "1".to_owned())]);
    ContainerCreateBody {
        image: Some(image.to_owned()),
        entrypoint: Some(command),
        labels: Some(labels.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()),
        host_config: Some(HostConfig {
            network_mode: Some("host".to_owned()),
            // Of a daemon that maps users, this container is not: its capability must hold in the host's namespace.
            userns_mode: Some("host".to_owned()),
            cap_drop: Some(vec!["ALL".to_owned()]),
            cap_add: Some(vec!["NET_ADMIN".to_owned()]),
            security_opt: Some(vec!["no-new-privileges".to_owned()]),
            readonly_rootfs: Some(true),
            memory: Some(MEMORY_BYTES),
            memory_swap: Some(MEMORY_BYTES),
            pids_limit: Some(PIDS_MAX),
            restart_policy: Some(RestartPolicy {
                name: Some(RestartPolicyNameEnum::UNLESS_STOPPED),
                maximum_retry_count: None,
            }),
            log_config: Some(HostConfigLogConfig { typ: Some("json-file".to_owned()), config: Some(log) }),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    }
}

async fn run(inner: &Inner, body: ContainerCreateBody) -> Result<(), Error> {
    let name = container_name(inner);
    let options = CreateContainerOptionsBuilder::default().name(&name).build();
    inner.client.create_container(Some(options), body).await?;
    inner.client.start_container(&name, None).await
}

/// Waits until the helper has either lasted or said why it cannot.
async fn settled(inner: &Inner) -> Result<(), BoxError> {
    tokio::time::sleep(SETTLED_AFTER).await;
    let found = inner.client.inspect_container(&container_name(inner), None).await?;
    let is_running = found.state.and_then(|state| state.running).unwrap_or(false);
    if is_running && found.restart_count.unwrap_or(0) == 0 {
        return Ok(());
    }
    let options = LogsOptionsBuilder::default().stdout(true).stderr(true).tail("3").build();
    let said: Vec<_> = inner.client.logs(&container_name(inner), Some(options)).try_collect().await?;
    let said: String = said.iter().map(ToString::to_string).collect();
    remove_container(inner).await?;
    Err(format!("the helper container ended: {}", said.trim()).into())
}

async fn remove_container(inner: &Inner) -> Result<(), Error> {
    let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
    match inner.client.remove_container(&container_name(inner), Some(options)).await {
        Err(error) if status(&error) != Some(404) => Err(error),
        _ => Ok(()),
    }
}

async fn remove_other_images(inner: &Inner, keep: &str) -> Result<(), Error> {
    let repository = format!("{}/{REPOSITORY}", names::namespace(&inner.settings.instance));
    for (name, _) in named_images(&inner.client, &repository).await? {
        if name != keep {
            remove_image(&inner.client, &name).await?;
        }
    }
    Ok(())
}

/// The helper goes first, so that it puts nothing back; its image takes the rules away.
async fn remove_with_rules(inner: &Inner, name: &str, image: String) -> Result<(), BoxError> {
    remove_container(inner).await?;
    let program = tokio::task::spawn_blocking(HelperProgram::of_this_process).await??;
    let mut body = body(inner, &image, program.command(&[REMOVE_OPTION, name]), "");
    if let Some(config) = &mut body.host_config {
        config.restart_policy = None;
    }
    run(inner, body).await?;
    let options = WaitContainerOptionsBuilder::default().condition("not-running").build();
    let container = container_name(inner);
    let ended = inner.client.wait_container(&container, Some(options)).try_collect::<Vec<_>>();
    let ended = timeout(REMOVAL_MAX, ended).await;
    remove_container(inner).await?;
    remove_other_images(inner, "").await?;
    ended.map_err(|_| "it took too long")?.map(drop).map_err(|error| message(&error).into())
}

async fn import(inner: &Inner, program: HelperProgram, image: &str) -> Result<(), BoxError> {
    match inner.client.inspect_image(image).await {
        Ok(_) => return Ok(()),
        Err(error) if status(&error) == Some(404) => {}
        Err(error) => return Err(error.into()),
    }
    let (repository, tag) = image.rsplit_once(':').unwrap_or((image, "latest"));
    let archive = tokio::task::spawn_blocking(move || program.archive()).await??;
    let options = CreateImageOptionsBuilder::default().from_src("-").repo(repository).tag(tag).build();
    let body = bollard::body_full(Bytes::from(archive));
    let mut said = inner.client.create_image(Some(options), Some(body), None);
    while let Some(state) = said.next().await {
        state?;
    }
    Ok(())
}

/// The running program as files of an image.
struct HelperProgram {
    /// Shared libraries by file name, and the loader; none for a static program.
    libraries: BTreeMap<String, PathBuf>,
    loader: Option<PathBuf>,
    digest: Digest,
}

impl HelperProgram {
    fn of_this_process() -> io::Result<Self> {
        let executable = std::env::current_exe()?;
        let maps = std::fs::read_to_string("/proc/self/maps")?;
        let mut libraries = BTreeMap::new();
        let mut loader = None;
        for path in mapped(&maps).into_iter().filter(|path| *path != executable) {
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            if name.starts_with("ld-") {
                loader = Some(path.clone());
            } else {
                libraries.insert(name.to_owned(), path.clone());
            }
        }
        let digest = Digest::of(&std::fs::read("/proc/self/exe")?);
        Ok(Self { libraries, loader, digest })
    }

    /// Command line in the container for these arguments.
    fn command(&self, words: &[&str]) -> Vec<String> {
        let program = format!("/{PROGRAM}");
        let start = match &self.loader {
            Some(_) => {
                vec![format!("/{LOADER}"), "--library-path".to_owned(), format!("/{LIBRARIES}"), program]
            }
            None => vec![program],
        };
        let words = [COMMAND].iter().chain(words).map(|word| (*word).to_owned());
        start.into_iter().chain(words).collect()
    }

    fn archive(&self) -> io::Result<Vec<u8>> {
        let mut archive = tar::Builder::new(Vec::new());
        // The running program, although an upgrade may have replaced its file.
        add(&mut archive, PROGRAM, &std::fs::read("/proc/self/exe")?)?;
        if let Some(loader) = &self.loader {
            add(&mut archive, LOADER, &std::fs::read(loader)?)?;
        }
        for (name, path) in &self.libraries {
            add(&mut archive, &format!("{LIBRARIES}/{name}"), &std::fs::read(path)?)?;
        }
        archive.into_inner()
    }
}

fn add(archive: &mut tar::Builder<Vec<u8>>, path: &str, content: &[u8]) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o755);
    header.set_size(content.len() as u64);
    archive.append_data(&mut header, path, content)
}

/// Files whose code is mapped, as `/proc/PID/maps` lists them (proc_pid_maps(5)).
fn mapped(maps: &str) -> BTreeSet<PathBuf> {
    let code = maps.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let (_, permissions) = (words.next()?, words.next()?);
        let path = line.find('/').map(|at| &line[at..])?;
        permissions.contains('x').then(|| PathBuf::from(path))
    });
    code.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_with_code_are_read_from_the_map_of_the_process() {
        let maps = "55d0-55d1 r--p 00000000 08:01 1 /usr/bin/workflow\n\
                    55d1-55d2 r-xp 00001000 08:01 1 /usr/bin/workflow\n\
                    7f00-7f01 r-xp 00000000 08:01 2                  /usr/lib/libc.so.6\n\
                    7f01-7f02 r--p 00000000 08:01 3 /usr/lib/locale/C.utf8\n\
                    7fff-8000 r-xp 00000000 00:00 0 [vdso]\n";

        let found = mapped(maps);

        assert_eq!(found, ["/usr/bin/workflow", "/usr/lib/libc.so.6"].map(PathBuf::from).into());
    }
}
