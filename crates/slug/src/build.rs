//! `slug build`: turns source into one image layer by classic buildpacks.
//!
//! One story in order: fetch the submodules of the source, read what the app says about itself, place source and config, choose the packs, let
//! them work, pack the result. A mistake in a file of the app is told before anything long begins.

mod cache;
mod fetch;
pub mod fifos;
mod layer;
mod output;
mod packs;
mod slugignore;
mod source;
mod ssh;
mod step;
pub mod submodules;
pub mod text_file;
mod tools;

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Instant;

use ::source::packs::SourceListing;
use serde::Serialize;

use crate::failure::{OrFailure, SlugError};
use crate::process_types::{self, ProcessTypes};
use crate::release::{self, PackRelease};
use cache::CacheDir;
use layer::Contents;
use packs::{Pack, PackSources};
use slugignore::SlugIgnore;
use step::StepEnvironment;

/// Bound on the slug's size in bytes, set by the platform.
const BYTES_MAX_VARIABLE: &str = "DEIS_SLUG_BYTES_MAX";

/// Paths of a build; the defaults are the stack image's.
#[derive(Debug)]
pub struct BuildPaths {
    /// Holds `source`, `env`, `cache` and `out`, and the list of submodules, if there are any.
    pub workspace: PathBuf,
    /// `BUILD_DIR` of the packs; its parent takes what only the build needs.
    pub build_dir: PathBuf,
    /// Folder of the slug at run time.
    pub app_dir: PathBuf,
    pub buildpacks: PathBuf,
}

impl Default for BuildPaths {
    fn default() -> Self {
        Self {
            workspace: "/workspace".into(),
            build_dir: "/tmp/build".into(),
            app_dir: "/app".into(),
            buildpacks: "/buildpacks".into(),
        }
    }
}

/// `result.json`: what the platform learns beside the layer.
#[derive(Serialize)]
struct BuildResult {
    process_types: ProcessTypes,
    /// Name that the pack reports; of several packs, all in order.
    buildpack: String,
    slug_bytes: u64,
    /// Duration of each part of the build.
    seconds: BTreeMap<&'static str, f64>,
}

/// Builds the source of the workspace.
pub fn build(paths: &BuildPaths) -> Result<(), SlugError> {
    let mut clock = Clock::start();
    submodules::fetch(&paths.workspace)?;
    clock.lap("submodules");
    let build = BuildRun::prepare(paths)?;
    let packs = build.choose_packs()?;
    clock.lap("detect");
    let (build, release) = build.compile(&packs)?;
    clock.lap("compile");
    let process_types = build.discover(&packs, &release)?;
    let slug_bytes = build.pack_slug()?;
    build.cache.close()?;
    output::title(&format!("Compiled slug size is {}", output::human(slug_bytes)));
    clock.lap("pack");
    let buildpack = packs.iter().map(|pack| pack.name.as_str()).collect::<Vec<_>>().join(", ");
    build.write_result(&BuildResult { process_types, buildpack, slug_bytes, seconds: clock.laps })
}

/// A build whose source is in place.
struct BuildRun<'a> {
    paths: &'a BuildPaths,
    scratch: &'a Path,
    env_dir: PathBuf,
    cache: CacheDir,
    procfile: Option<ProcessTypes>,
    bytes_max: Option<u64>,
    /// What was pushed, before packs added anything.
    listing: SourceListing,
    surroundings: StepEnvironment,
}

impl<'a> BuildRun<'a> {
    fn prepare(paths: &'a BuildPaths) -> Result<Self, SlugError> {
        let source = paths.workspace.join("source");
        let procfile = process_types::of_procfile(&source)?;
        let ignore = read_slugignore(&source)?;
        let bytes_max = bytes_max()?;
        let scratch = paths.build_dir.parent().unwrap_or(Path::new("/tmp"));
        let env_dir = scratch.join("environment");
        source::place_config(&paths.workspace.join("env"), &env_dir)?;
        let wanted = source::config_value(&env_dir, "DEIS_DISABLE_CACHE").is_none();
        let stack = std::env::var("STACK").ok();
        let cache = CacheDir::open(&paths.workspace.join("cache"), scratch, wanted, stack.as_deref())?;
        source::place(&source, &paths.build_dir)?;
        ignore.remove_from(&paths.build_dir).or_fail("leave out what .slugignore names")?;
        let listing = source::listing(&paths.build_dir)?;
        let surroundings = StepEnvironment {
            app_dir: paths.app_dir.clone(),
            build_dir: paths.build_dir.clone(),
            request_id: random_id()?,
            ssh_command: ssh::prepare(&env_dir, &paths.app_dir)?,
            exports: Vec::new(),
            config: source::config(&env_dir)?,
        };
        Ok(Self { paths, scratch, env_dir, cache, procfile, bytes_max, listing, surroundings })
    }

    fn choose_packs(&self) -> Result<Vec<Pack>, SlugError> {
        let shelf = PackSources {
            built_in: &self.paths.buildpacks,
            scratch: self.scratch,
            build_dir: &self.paths.build_dir,
            env_dir: &self.env_dir,
            listing: &self.listing,
        };
        shelf.choose(&self.surroundings)
    }

    /// Lets every pack have its turn; the last one's release counts.
    fn compile(mut self, packs: &[Pack]) -> Result<(Self, PackRelease), SlugError> {
        self.run_hook(["bin/pre-compile", "bin/pre_compile"])?;
        for pack in packs {
            if packs.len() > 1 {
                output::title(&format!("{} app detected", pack.name));
            }
            self.run_compile(pack)?;
        }
        let release = packs.last().map_or(Ok(PackRelease::default()), |pack| self.run_release(pack))?;
        self.run_hook(["bin/post-compile", "bin/post_compile"])?;
        Ok((self, release))
    }

    /// Runs a script of the app, by the first of the spellings of its name that is there.
    fn run_hook(&self, spellings: [&str; 2]) -> Result<(), SlugError> {
        let build_dir = &self.paths.build_dir;
        let found =
            spellings.into_iter().map(|name| (name, build_dir.join(name))).find(|(_, path)| path.is_file());
        let Some((name, program)) = found else { return Ok(()) };
        output::title(&format!("Running {name} hook"));
        // Commits from Windows lose the bit.
        packs::set_executable(&program).or_fail(format!("make {name} executable"))?;
        let status = step::run(self.surroundings.command_with_config(&program, []))
            .or_fail(format!("run {name} (has it a line such as #!/bin/bash?)"))?;
        if status.success() {
            Ok(())
        } else {
            Err(SlugError::step(format!("{name} {}", step::ending(status))))
        }
    }

    fn run_compile(&mut self, pack: &Pack) -> Result<(), SlugError> {
        let arguments = [self.paths.build_dir.as_path(), &self.cache.dir, &self.env_dir];
        let command = self.surroundings.command_with_config(&pack.program("compile"), arguments);
        let status = step::run(command).or_fail(format!("run bin/compile of buildpack {}", pack.name))?;
        if !status.success() {
            return Err(SlugError::step(format!(
                "buildpack {}: compile {}",
                pack.name,
                step::ending(status)
            )));
        }
        let export = pack.dir.join("export");
        if export.is_file() {
            self.surroundings.exports.push(export);
        }
        Ok(())
    }

    fn run_release(&self, pack: &Pack) -> Result<PackRelease, SlugError> {
        let program = pack.program("release");
        let mut text = String::new();
        if program.is_file() {
            let command = self.surroundings.command(&program, [self.paths.build_dir.as_path()]);
            let (status, printed) = step::catch(command, release::BYTES_MAX, true)
                .or_fail(format!("run bin/release of buildpack {}", pack.name))?;
            if !status.success() {
                return Err(SlugError::step(format!(
                    "buildpack {}: release {}",
                    pack.name,
                    step::ending(status)
                )));
            }
            text = printed;
        }
        let release = PackRelease::parse(&text).map_err(|reason| {
            SlugError::data(format!("buildpack {}: its release is not valid: {reason}", pack.name))
        })?;
        fs::write(self.paths.build_dir.join(release::FILE), text).or_fail("write .release")?;
        Ok(release)
    }

    /// Process types of the app: the Procfile's (also one that the build wrote), else the pack's defaults.
    fn discover(&self, packs: &[Pack], release: &PackRelease) -> Result<ProcessTypes, SlugError> {
        output::title("Discovering process types");
        let declared = match &self.procfile {
            Some(declared) => Some(declared.clone()),
            None => process_types::of_procfile(&self.paths.build_dir)?,
        };
        let declared = declared.filter(|declared| !declared.is_empty());
        let defaults = process_types::of_release(release)?;
        if let Some(declared) = &declared {
            output::line(&format!("Procfile declares types -> {}", names(declared)));
        } else if !defaults.is_empty() {
            // None of these runs by itself if a Procfile declares types.
            let pack = packs.last().map_or("the buildpack", |pack| &pack.name);
            output::line(&format!("Default process types for {pack} -> {}", names(&defaults)));
        }
        let types = declared.unwrap_or(defaults);
        if types.is_empty() {
            output::warning("no process types: add a Procfile with a line such as `web: <command>`");
        }
        if packs.iter().all(Pack::is_last_resort) {
            tools::check(&types, &self.surroundings, &self.listing)?;
        }
        Ok(types)
    }

    fn pack_slug(&self) -> Result<u64, SlugError> {
        let contents = Contents::list(&self.paths.build_dir).or_fail("list the slug's files")?;
        for path in &contents.left_out {
            output::warning(&format!("{} is neither file, folder nor link and stays out", path.display()));
        }
        let bytes = contents.bytes();
        if let Some(most) = self.bytes_max.filter(|most| bytes > *most) {
            return Err(SlugError::data(format!(
                "the slug is {}, more than {}: keep large files out of git or list them in .slugignore",
                output::human(bytes),
                output::human(most)
            )));
        }
        let out = self.paths.workspace.join("out");
        fs::create_dir_all(&out).or_fail(format!("create {}", out.display()))?;
        contents.write(&out.join("layer.tar")).or_fail("write the slug")
    }

    fn write_result(&self, result: &BuildResult) -> Result<(), SlugError> {
        let json = serde_json::to_vec_pretty(result).expect("a result has only text keys");
        fs::write(self.paths.workspace.join("out/result.json"), json).or_fail("write result.json")
    }
}

fn names(types: &ProcessTypes) -> String {
    let names: Vec<_> = types.keys().map(|name| name.as_str()).collect();
    if names.is_empty() { "(none)".to_owned() } else { names.join(", ") }
}

fn read_slugignore(source: &Path) -> Result<SlugIgnore, SlugError> {
    let Some(text) = text_file::read(source, ".slugignore")? else { return Ok(SlugIgnore::default()) };
    let (ignore, without_effect) = SlugIgnore::parse(text.as_bytes());
    for line in without_effect {
        output::warning(&format!(".slugignore has no negation, `{line}` is without effect"));
    }
    Ok(ignore)
}

fn bytes_max() -> Result<Option<u64>, SlugError> {
    match std::env::var(BYTES_MAX_VARIABLE) {
        Ok(text) if !text.is_empty() => text.parse().map(Some).map_err(|_| {
            SlugError::usage(format!("{BYTES_MAX_VARIABLE} is `{text}`, not a number of bytes"))
        }),
        _ => Ok(None),
    }
}

fn random_id() -> Result<String, SlugError> {
    let mut bytes = [0; 16];
    fs::File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut bytes))
        .or_fail("read /dev/urandom")?;
    Ok(hex::encode(bytes))
}

/// Seconds between the ends of the build's parts.
struct Clock {
    last: Instant,
    laps: BTreeMap<&'static str, f64>,
}

impl Clock {
    fn start() -> Self {
        Self { last: Instant::now(), laps: BTreeMap::new() }
    }

    fn lap(&mut self, part: &'static str) {
        let now = Instant::now();
        let milliseconds = now.duration_since(self.last).as_millis() as f64;
        self.laps.insert(part, milliseconds / 1000.0);
        self.last = now;
    }
}
