//! Phases as commands: reads flags and files, runs the phase, says what was done.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use nix::unistd::{getegid, geteuid};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::api::{ApiVersion, platform_api};
use crate::archive::budget::{BYTES_MAX_DEFAULT, Budget, ENTRIES_MAX_DEFAULT};
use crate::archive::layer_writer::Owner;
use crate::arguments::Flags;
use crate::build::{BuildSettings, build};
use crate::detect::{DetectSettings, detect};
use crate::export::{ExportSettings, Exported, export, layout};
use crate::facts::ImageFacts;
use crate::failure::{LifecycleError, OfPhase, OrFailure, Result, code};
use crate::formats::analyzed::{Analyzed, Target, analyzed};
use crate::formats::json::from_toml;
use crate::formats::order::{Order, SystemFile};
use crate::formats::{read, read_or_default, write};
use crate::launch::{LaunchSettings, launch};
use crate::phase::Phase;
use crate::rebase::rebase;
use crate::restore::{RestoreSettings, restore};

/// Bytes of a file of image facts: a config and a list of layers.
const FACTS_BYTES_MAX: u64 = 16 << 20;

/// Runs a phase; `called` is the name of the program, which the launcher takes for a process type.
pub fn run(phase: Phase, called: &str, words: Vec<OsString>) -> Result<()> {
    let ran = match phase {
        Phase::Launcher => run_launcher(called, words),
        _ => run_phase(phase, words),
    };
    ran.of_phase(phase.exit_code())
}

fn run_phase(phase: Phase, words: Vec<OsString>) -> Result<()> {
    let api = platform_api(variable("CNB_PLATFORM_API").as_deref())?;
    let text = |word: OsString| {
        word.into_string()
            .map_err(|word| LifecycleError::new(code::USAGE, format!("{} is no text", word.display())))
    };
    let words = words.into_iter().map(text).collect::<Result<Vec<_>>>()?;
    let flags = Flags::parse(words, &phase.flags(), variable)?;
    match phase {
        Phase::Analyzer => run_analyzer(&flags),
        Phase::Detector => run_detector(&flags, api),
        Phase::Restorer => run_restorer(&flags, api),
        Phase::Builder => run_builder(&flags, api),
        Phase::Exporter => run_exporter(&flags, api),
        Phase::Rebaser => run_rebaser(&flags),
        Phase::Launcher => unreachable!("it takes no flags"),
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn layers(flags: &Flags) -> PathBuf {
    flags.path("layers", "CNB_LAYERS_DIR", "/layers")
}

fn in_layers(flags: &Flags, flag: &str, variable: &str) -> PathBuf {
    flags.path(flag, variable, layers(flags).join(format!("{flag}.toml")))
}

/// `CNB_EXEC_ENV`, which Platform API 0.15 brought.
fn exec_env(api: ApiVersion) -> Option<String> {
    let value = variable("CNB_EXEC_ENV").filter(|value| !value.is_empty());
    (api >= ApiVersion(0, 15)).then(|| value.unwrap_or_else(|| "production".to_owned()))
}

fn owner(flags: &Flags) -> Result<Owner> {
    let uid = flags.number("uid", "CNB_USER_ID")?.unwrap_or_else(|| geteuid().as_raw());
    let gid = flags.number("gid", "CNB_GROUP_ID")?.unwrap_or_else(|| getegid().as_raw());
    Ok(Owner { uid, gid })
}

fn budget(flags: &Flags) -> Result<Budget> {
    let bytes = flags.number("max-bytes", "")?.unwrap_or(BYTES_MAX_DEFAULT);
    Ok(Budget::new(bytes, flags.number("max-entries", "")?.unwrap_or(ENTRIES_MAX_DEFAULT)))
}

fn facts<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let failed = format!("facts of an image in {}", path.display());
    let mut text = Vec::new();
    let file = File::open(path).or_fail(&failed)?;
    file.take(FACTS_BYTES_MAX).read_to_end(&mut text).or_fail(&failed)?;
    serde_json::from_slice(&text).or_fail(failed)
}

/// Facts of the app's last image, if there is one.
fn previous(flags: &Flags) -> Result<Option<ImageFacts>> {
    flags.given_path("previous").filter(|path| path.exists()).map(|path| facts(&path)).transpose()
}

fn run_analyzer(flags: &Flags) -> Result<()> {
    let run_image: ImageFacts = facts(&flags.needed_path("run-image-facts")?)?;
    write(
        &in_layers(flags, "analyzed", "CNB_ANALYZED_PATH"),
        &analyzed(&run_image, previous(flags)?.as_ref()),
    )
}

/// Target of the run image in `analyzed.toml`.
fn target(flags: &Flags) -> Result<Option<Target>> {
    let analyzed: Analyzed = read_or_default(&in_layers(flags, "analyzed", "CNB_ANALYZED_PATH"))?;
    Ok(analyzed.run_image.and_then(|image| image.target))
}

fn run_detector(flags: &Flags, api: ApiVersion) -> Result<()> {
    let in_layers_order = layers(flags).join("order.toml");
    let order = if in_layers_order.is_file() { in_layers_order } else { PathBuf::from("/cnb/order.toml") };
    let order: Order = read(&flags.path("order", "CNB_ORDER_PATH", order))?;
    let system: SystemFile = read_or_default(&flags.path("system", "CNB_SYSTEM_PATH", "/cnb/system.toml"))?;
    let settings = DetectSettings {
        platform_api: api,
        app: flags.path("app", "CNB_APP_DIR", "/workspace"),
        buildpacks: flags.path("buildpacks", "CNB_BUILDPACKS_DIR", "/cnb/buildpacks"),
        build_config: flags.path("build-config", "CNB_BUILD_CONFIG_DIR", "/cnb/build-config"),
        platform: flags.path("platform", "CNB_PLATFORM_DIR", "/platform"),
        order,
        system: system.system,
        target: target(flags)?,
        exec_env: exec_env(api),
    };
    let (group, plan) = detect(&settings)?;
    for buildpack in &group.group {
        println!("{} {}", buildpack.id, buildpack.version);
    }
    write(&in_layers(flags, "group", "CNB_GROUP_PATH"), &group)?;
    write(&in_layers(flags, "plan", "CNB_PLAN_PATH"), &plan)
}

fn run_restorer(flags: &Flags, api: ApiVersion) -> Result<()> {
    let settings = RestoreSettings {
        layers: layers(flags),
        group: hostile_toml(&in_layers(flags, "group", "CNB_GROUP_PATH"))?,
        previous: previous(flags)?,
        cache: flags.text("cache-dir", "CNB_CACHE_DIR").map(PathBuf::from),
        needs_launch_layers: flags.is_set("keep-launch-layers", ""),
        exec_env: exec_env(api),
        skips_layers: flags.is_set("skip-layers", "CNB_SKIP_LAYERS"),
        owner: owner(flags)?,
        budget: budget(flags)?,
    };
    restore(&settings)?.iter().for_each(|note| println!("{note}"));
    Ok(())
}

/// Reads a file that code of buildpacks could write; it must not be a link or a FIFO.
fn hostile_toml<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let folder = crate::folder::Folder::open(path.parent().unwrap_or(Path::new("/")))?;
    let read = folder.toml(path.file_name().unwrap_or_default())?;
    read.ok_or_else(|| LifecycleError::generic(format!("{} is not there", path.display())))
}

fn run_builder(flags: &Flags, api: ApiVersion) -> Result<()> {
    let settings = BuildSettings {
        platform_api: api,
        app: flags.path("app", "CNB_APP_DIR", "/workspace"),
        buildpacks: flags.path("buildpacks", "CNB_BUILDPACKS_DIR", "/cnb/buildpacks"),
        build_config: flags.path("build-config", "CNB_BUILD_CONFIG_DIR", "/cnb/build-config"),
        platform: flags.path("platform", "CNB_PLATFORM_DIR", "/platform"),
        layers: layers(flags),
        group: read(&in_layers(flags, "group", "CNB_GROUP_PATH"))?,
        plan: read(&in_layers(flags, "plan", "CNB_PLAN_PATH"))?,
        target: target(flags)?,
        exec_env: exec_env(api),
    };
    build(&settings).map(|_| ())
}

/// `lifecycle.toml` of a builder image.
#[derive(Default, Deserialize)]
struct LifecycleDescriptor {
    #[serde(default)]
    lifecycle: LifecycleInfo,
}

#[derive(Default, Deserialize)]
struct LifecycleInfo {
    #[serde(default)]
    version: String,
}

fn run_exporter(flags: &Flags, api: ApiVersion) -> Result<()> {
    let or_default = |flag: &str| flags.given_path(flag).unwrap_or_default();
    let descriptor: LifecycleDescriptor = match flags.given_path("lifecycle-descriptor") {
        Some(path) => read_or_default(&path)?,
        None => LifecycleDescriptor::default(),
    };
    let project: toml::Table = read_or_default(&or_default("project-metadata"))?;
    let settings = ExportSettings {
        platform_api: api,
        layers: layers(flags),
        app: flags.path("app", "CNB_APP_DIR", "/workspace"),
        group: hostile_toml(&in_layers(flags, "group", "CNB_GROUP_PATH"))?,
        run_image: facts(&flags.needed_path("run-image-facts")?)?,
        previous: previous(flags)?,
        launcher: flags.path("launcher", "", "/cnb/lifecycle/launcher"),
        launcher_version: descriptor.lifecycle.version,
        project_metadata: from_toml(project.into()),
        process_type: flags.text("process-type", "CNB_PROCESS_TYPE"),
        exec_env: exec_env(api),
        cache: flags.text("cache-dir", "CNB_CACHE_DIR").map(PathBuf::from),
        keeps_launch_layers: flags.is_set("keep-launch-layers", ""),
        owner: owner(flags)?,
        budget: budget(flags)?,
        out: flags.needed_path("out")?,
    };
    let Exported { digest, notes, .. } = export(&settings)?;
    notes.iter().for_each(|note| println!("{note}"));
    println!("image {digest}");
    Ok(())
}

fn run_rebaser(flags: &Flags) -> Result<()> {
    let app: ImageFacts = facts(&flags.needed_path("image")?)?;
    let run_image: ImageFacts = facts(&flags.needed_path("run-image-facts")?)?;
    let out = flags.needed_path("out")?;
    let documents = rebase(&app, &run_image, flags.is_set("force", "CNB_FORCE_REBASE"))?;
    let Exported { digest, .. } = layout::write(&out, &documents)?;
    println!("image {digest}");
    Ok(())
}

fn run_launcher(called: &str, arguments: Vec<OsString>) -> Result<()> {
    let path =
        |name: &str, default: &str| PathBuf::from(variable(name).unwrap_or_else(|| default.to_owned()));
    let settings = LaunchSettings {
        layers: path("CNB_LAYERS_DIR", "/layers"),
        app: path("CNB_APP_DIR", "/workspace"),
        exec_env: variable("CNB_EXEC_ENV").unwrap_or_else(|| "production".to_owned()),
        called: called.to_owned(),
        arguments,
        variables: std::env::vars_os().collect(),
    };
    launch(&settings).map(|never| match never {})
}
