//! heroku.yml: an image for each process type, built from Dockerfiles (Heroku's "Building Docker images with heroku.yml").
//!
//! Of the file, `build.docker`, `build.config` and `run` have an effect.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::build_plan::{DockerfileOptions, SourcePath, stage_name};
use crate::names::ProcessType;

/// Name of the file.
pub const FILE: &str = "heroku.yml";
/// Most images of one source.
pub const IMAGES_MAX: usize = 10;
/// The process type that runs before a release; it is no process of the app.
const RELEASE: &str = "release";

/// Images of a source, and the command of each process type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// What is built, each once.
    pub images: Vec<DockerfileOptions>,
    /// Index of the image of each process type, and its command; `None` for the image's own.
    pub processes: BTreeMap<ProcessType, (usize, Option<String>)>,
    /// Sections without an effect.
    pub ignored: Vec<&'static str>,
}

/// A file that cannot be used. The text is shown to the pusher.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    #[error("heroku.yml is not valid: {0}")]
    Malformed(String),
    #[error("heroku.yml: `{0}` can not be a process type: use lower-case letters, digits and hyphens")]
    Name(String),
    #[error(
        "heroku.yml: the Dockerfile of {process} is `{path}`: give a path from the root, such as `web/Dockerfile`"
    )]
    Path { process: String, path: String },
    #[error("heroku.yml: the target of {process} is `{target}`, no name of a stage")]
    Target { process: String, target: String },
    #[error(
        "heroku.yml: run.{process} has no command; add one, or remove it to use the command of its image"
    )]
    NoCommand { process: String },
    #[error("heroku.yml: run.{process} names the image of `{image}`, which build.docker does not have")]
    NoImage { process: String, image: String },
    #[error("heroku.yml: build.docker has more than {IMAGES_MAX} images; build fewer")]
    TooMany,
}

#[derive(Deserialize)]
struct File {
    setup: Option<serde::de::IgnoredAny>,
    build: Option<Build>,
    release: Option<serde::de::IgnoredAny>,
    #[serde(default)]
    run: BTreeMap<String, Run>,
}

#[derive(Deserialize)]
struct Build {
    #[serde(default)]
    docker: BTreeMap<String, Dockerfile>,
    /// Build arguments of all images.
    #[serde(default)]
    config: BTreeMap<String, Scalar>,
}

/// A path, or a path and a stage.
#[derive(Deserialize)]
#[serde(untagged)]
enum Dockerfile {
    Path(String),
    Target { dockerfile: String, target: Option<String> },
}

/// A command, or a command and the process type whose image it runs in.
#[derive(Deserialize)]
#[serde(untagged)]
enum Run {
    Command(String),
    Full { command: Option<Command>, image: Option<String> },
}

/// A command line, or its words.
#[derive(Deserialize)]
#[serde(untagged)]
enum Command {
    Line(String),
    Words(Vec<String>),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Scalar {
    Text(String),
    Number(i64),
    Bool(bool),
}

impl std::fmt::Display for Scalar {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(text) => formatter.write_str(text),
            Self::Number(number) => number.fmt(formatter),
            Self::Bool(value) => value.fmt(formatter),
        }
    }
}

/// Reads the file; `None` if it has no `build.docker`.
///
/// # Errors
///
/// [`ManifestError`] names the entry.
pub fn parse(text: &str, build_args: bool) -> Result<Option<Manifest>, ManifestError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let file: File =
        serde_saphyr::from_str(text).map_err(|error| ManifestError::Malformed(error.to_string()))?;
    let File { setup, build, release, run } = file;
    let Some(Build { docker, config }) = build.filter(|build| !build.docker.is_empty()) else {
        return Ok(None);
    };
    let args: BTreeMap<_, _> = config.into_iter().map(|(name, value)| (name, value.to_string())).collect();
    let mut manifest = Manifest { images: Vec::new(), processes: BTreeMap::new(), ignored: Vec::new() };
    for (section, is_there) in [("setup", setup.is_some()), (RELEASE, release.is_some())] {
        manifest.ignored.extend(is_there.then_some(section));
    }
    for (name, dockerfile) in docker {
        // Its image serves the release phase alone.
        if name == RELEASE {
            continue;
        }
        let image = DockerfileOptions { build_args, args: args.clone(), ..options(&name, dockerfile)? };
        let known = manifest.images.iter().position(|other| *other == image);
        let index = known.unwrap_or(manifest.images.len());
        if known.is_none() {
            manifest.images.push(image);
        }
        manifest.processes.insert(process_type(&name)?, (index, None));
    }
    if manifest.images.is_empty() {
        return Ok(None);
    }
    if manifest.images.len() > IMAGES_MAX {
        return Err(ManifestError::TooMany);
    }
    for (name, run) in run {
        let process = process_type(&name)?;
        let (image, command) = manifest.command(&process, run)?;
        manifest.processes.insert(process, (image, command));
    }
    Ok(Some(manifest))
}

impl Manifest {
    /// Image and command of an entry of `run`.
    fn command(&self, process: &ProcessType, run: Run) -> Result<(usize, Option<String>), ManifestError> {
        let (command, image) = match run {
            Run::Command(line) => (Some(line), None),
            Run::Full { command, image } => {
                let line = command.map(|command| match command {
                    Command::Line(line) => line,
                    Command::Words(words) => words.join(" "),
                });
                (line, image)
            }
        };
        let command = command.filter(|line| !line.trim().is_empty());
        let of = |name: &str| Some(self.processes.iter().find(|(it, _)| it.as_str() == name)?.1.0);
        let image = match image {
            Some(image) => {
                of(&image).ok_or(ManifestError::NoImage { process: process.to_string(), image })?
            }
            // Without one of its own it runs in that of `web`.
            None => of(process.as_str()).or_else(|| of("web")).unwrap_or(0),
        };
        if command.is_none() && of(process.as_str()).is_none() {
            return Err(ManifestError::NoCommand { process: process.to_string() });
        }
        Ok((image, command))
    }
}

fn process_type(name: &str) -> Result<ProcessType, ManifestError> {
    ProcessType::parse(name).map_err(|_| ManifestError::Name(name.escape_default().to_string()))
}

/// The context of a build is the folder of its Dockerfile.
fn options(process: &str, dockerfile: Dockerfile) -> Result<DockerfileOptions, ManifestError> {
    let (path, target) = match dockerfile {
        Dockerfile::Path(path) => (path, None),
        Dockerfile::Target { dockerfile, target } => (dockerfile, target),
    };
    let parsed = SourcePath::parse(&path).filter(|path| !path.is_root());
    let parsed = parsed.ok_or_else(|| ManifestError::Path {
        process: process.escape_default().to_string(),
        path: path.escape_default().to_string(),
    })?;
    if let Some(target) = target.as_ref().filter(|target| stage_name(target).is_none()) {
        let target = target.escape_default().to_string();
        return Err(ManifestError::Target { process: process.escape_default().to_string(), target });
    }
    let context = SourcePath::parse(parsed.split().0).unwrap_or_default();
    Ok(DockerfileOptions { context, path: parsed, target, ..DockerfileOptions::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Manifest {
        parse(text, false).expect("it is valid").expect("it builds images")
    }

    fn process(manifest: &Manifest, name: &str) -> (usize, Option<String>) {
        manifest.processes[&ProcessType::parse(name).expect("a type")].clone()
    }

    #[test]
    fn each_process_type_has_its_image_and_command() {
        let manifest = parsed(
            "setup:\n  addons:\n  - plan: heroku-postgresql\n\
             build:\n  docker:\n    web: Dockerfile\n    worker: worker/Dockerfile\n    clock:\n      dockerfile: Dockerfile\n      target: clock\n\
             \x20   release: Dockerfile\n  config:\n    RAILS_ENV: production\n    LEVEL: 3\n\
             release:\n  image: web\n  command:\n  - rake db:migrate\n\
             run:\n  web: bundle exec puma\n  worker:\n    command:\n    - python\n    - work.py\n  mailer:\n    command: mail\n    image: worker\n  console: irb\n",
        );

        let images: Vec<_> = manifest
            .images
            .iter()
            .map(|image| (image.context.as_str(), image.path.as_str(), image.target.as_deref()))
            .collect();
        assert_eq!(
            images,
            [
                ("", "Dockerfile", Some("clock")),
                ("", "Dockerfile", None),
                ("worker", "worker/Dockerfile", None)
            ]
        );
        let args = &manifest.images[0].args;
        assert_eq!((args["RAILS_ENV"].as_str(), args["LEVEL"].as_str()), ("production", "3"));
        assert_eq!(process(&manifest, "web"), (1, Some("bundle exec puma".to_owned())));
        assert_eq!(process(&manifest, "worker"), (2, Some("python work.py".to_owned())));
        assert_eq!(process(&manifest, "mailer"), (2, Some("mail".to_owned())));
        assert_eq!(process(&manifest, "console"), (1, Some("irb".to_owned())));
        assert_eq!(process(&manifest, "clock"), (0, None));
        assert_eq!(manifest.processes.len(), 5);
        assert_eq!(manifest.ignored, ["setup", "release"]);
    }

    #[test]
    fn without_images_there_is_nothing_to_build() {
        for text in ["", "setup:\n  config:\n    A: b\n", "build:\n  config: {A: b}\n"] {
            assert_eq!(parse(text, false), Ok(None), "{text}");
        }
    }

    #[test]
    fn an_entry_that_makes_no_sense_is_named() {
        for (text, told) in [
            ("build: [", "heroku.yml is not valid: "),
            ("build:\n  docker:\n    Web: Dockerfile\n", "heroku.yml: `Web` can not be a process type"),
            (
                "build:\n  docker:\n    web: ../Dockerfile\n",
                "heroku.yml: the Dockerfile of web is `../Dockerfile`",
            ),
            (
                "build:\n  docker:\n    web: {dockerfile: D, target: a b}\n",
                "heroku.yml: the target of web is `a b`",
            ),
            (
                "build:\n  docker:\n    web: D\nrun:\n  x:\n    image: web\n",
                "heroku.yml: run.x has no command",
            ),
            (
                "build:\n  docker:\n    web: D\nrun:\n  x:\n    command: do\n    image: z\n",
                "run.x names the image of `z`",
            ),
        ] {
            let error = parse(text, false).expect_err(text).to_string();
            assert!(error.contains(told), "{error}");
        }
        let many: String = (0..11).map(|number| format!("    w{number}: d{number}/Dockerfile\n")).collect();
        assert_eq!(parse(&format!("build:\n  docker:\n{many}"), false), Err(ManifestError::TooMany));
    }
}
