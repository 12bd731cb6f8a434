//! The step that carries out a Dockerfile, by buildah without privileges. It has no credential: what it made
//! is left as an OCI layout for the last step.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;

use domain::registry_access::STACK_REPOSITORY;
use tokio::process::Command;

use super::{OrFailed as _, Pod, Spec, StepError};

/// Where the layout lies below the workspace.
pub const LAYOUT: &str = "out/image";
/// buildah's own folders, on a volume of the container's.
const STATE: &str = "/var/lib/deis-build";
const NAME: &str = "localhost/result:latest";
/// Variables that steps of a Dockerfile get without declaring them.
const PROXIES: &[&str] = &["HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY"];
const VALUE_BYTES_MAX: u64 = 1 << 20;

pub async fn build(pod: &Pod) -> Result<(), StepError> {
    write_settings(&pod.spec)?;
    let args = build_args(pod)?;
    let driver = storage_driver().await?;
    let mut bud = buildah(driver);
    bud.args(["bud", "--isolation", "chroot", "--format", "oci", "--pull", "--file"]);
    bud.arg(pod.folder("source").join("Dockerfile"));
    bud.args(["--signature-policy", &format!("{STATE}/policy.json"), "--tag", NAME]);
    if !pod.spec.cache {
        bud.arg("--no-cache");
    }
    for (name, value) in &args {
        // The value comes by the environment: command lines are for everyone to read.
        bud.args(["--build-arg", name]).env(name, value);
    }
    bud.arg(pod.folder("source"));
    run(&mut bud).await?;
    let layout = format!("oci:{}", pod.folder(LAYOUT).display());
    let mut push = buildah(driver);
    push.args(["push", "--quiet", "--disable-compression", "--signature-policy"]);
    push.args([&format!("{STATE}/policy.json"), NAME, &layout]);
    run(&mut push).await
}

/// Layers on top of each other where the kernel lets root of a user namespace mount them so, else a copy
/// of all files for each step.
async fn storage_driver() -> Result<&'static str, StepError> {
    let mut probe = buildah("overlay");
    let probed = probe.arg("info").stdout(Stdio::null()).stderr(Stdio::null()).status().await;
    Ok(if probed.or_failed("run buildah")?.success() { "overlay" } else { "vfs" })
}

fn buildah(driver: &str) -> Command {
    let mut command = Command::new("buildah");
    command.args(["--root", &format!("{STATE}/storage"), "--runroot", &format!("{STATE}/run")]);
    command.args(["--storage-driver", driver, "--registries-conf", &format!("{STATE}/registries.conf")]);
    command.env("TMPDIR", format!("{STATE}/tmp")).stdin(Stdio::null()).kill_on_drop(true);
    command
}

async fn run(command: &mut Command) -> Result<(), StepError> {
    let status = command.status().await.or_failed("run buildah")?;
    if status.success() { Ok(()) } else { Err(StepError::Exited(status.code().unwrap_or(137))) }
}

fn write_settings(spec: &Spec) -> Result<(), StepError> {
    let what = "write buildah's settings";
    std::fs::create_dir_all(Path::new(STATE).join("tmp")).or_failed(what)?;
    let policy = r#"{"default":[{"type":"insecureAcceptAnything"}]}"#;
    std::fs::write(Path::new(STATE).join("policy.json"), policy).or_failed(what)?;
    std::fs::write(Path::new(STATE).join("registries.conf"), registries(spec)).or_failed(what)
}

/// Short names mean Docker Hub, the stack is the platform's own (containers-registries.conf(5)).
fn registries(spec: &Spec) -> String {
    let mut text =
        "unqualified-search-registries = [\"docker.io\"]\nshort-name-mode = \"disabled\"\n".to_owned();
    let host = spec.registry_url.split("//").nth(1).unwrap_or_default();
    let is_plain = spec.registry_url.starts_with("http:");
    let own = format!("{host}/{}{}", spec.registry_prefix, spec.stack_repository);
    for name in
        [format!("docker.io/{STACK_REPOSITORY}"), format!("{}/{}", spec.node_host, spec.stack_repository)]
    {
        text.push_str(&format!(
            "\n[[registry]]\nprefix = \"{name}\"\nlocation = \"{own}\"\ninsecure = {is_plain}\n"
        ));
    }
    let plain = spec.insecure_hosts.iter().map(String::as_str).chain(Some(host).filter(|_| is_plain));
    for host in plain {
        text.push_str(&format!("\n[[registry]]\nlocation = \"{host}\"\ninsecure = true\n"));
    }
    text
}

/// The platform's proxies, and the app's config where it asked for that: files of a Secret.
pub fn build_args(pod: &Pod) -> Result<BTreeMap<String, String>, StepError> {
    let is_proxy = |name: &str| PROXIES.contains(&name.to_ascii_uppercase().as_str());
    let mut args: BTreeMap<_, _> = std::env::vars().filter(|(name, _)| is_proxy(name)).collect();
    if !pod.spec.build_args {
        return Ok(args);
    }
    let what = "read the config";
    let folder = pod.folder("env");
    let entries = match std::fs::read_dir(&folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(args),
        entries => entries.or_failed(what)?,
    };
    for entry in entries {
        let path = entry.or_failed(what)?.path();
        // A mounted Secret holds links to its files.
        let is_value = std::fs::metadata(&path).is_ok_and(|it| it.is_file() && it.len() <= VALUE_BYTES_MAX);
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if is_value {
            let value = std::fs::read(&path).or_failed(what)?;
            args.insert(name, String::from_utf8_lossy(&value).into_owned());
        }
    }
    Ok(args)
}
