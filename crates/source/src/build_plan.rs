//! Choice of the kind of a build, made before it begins (docs/spec/components.md 1.7). Pure: the builder decides by it
//! about a push, and the client shows what a push would do.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::heroku_yml::{self, Manifest};
use crate::packs::{self, Detected, SourceListing};
use crate::project_toml::{self, ProjectDescriptor};

/// Config variable with the folder of the app in a repository of several.
pub const PROJECT_PATH: &str = "PROJECT_PATH";
/// Config variable with the path of the Dockerfile, from the folder of the app.
pub const DOCKERFILE_PATH: &str = "DOCKERFILE_PATH";
/// Config variable with the stage of the Dockerfile at which the build ends.
pub const DOCKERFILE_TARGET: &str = "DOCKERFILE_TARGET";
/// Config variable that names a buildpack.
pub const BUILDPACK_URL: &str = "BUILDPACK_URL";
/// Config variable whose presence passes the config as build arguments.
pub const BUILD_ARGS_ENABLED: &str = "DEIS_DOCKER_BUILD_ARGS_ENABLED";
/// The Dockerfile that is looked for.
const DOCKERFILE: &str = "Dockerfile";
/// Longest path in bytes.
const PATH_BYTES_MAX: usize = 1_000;
/// Longest name of a stage in bytes.
const TARGET_BYTES_MAX: usize = 128;

/// Kind of a build (docs/spec/components.md 1.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BuildKind {
    /// `slug build` in the stack's build image; the result is its run image plus one layer.
    Buildpack,
    /// The Dockerfile of the source.
    Dockerfile,
    /// Cloud Native Buildpacks of a builder image; the result is its run image plus layers.
    Cnb,
}

impl BuildKind {
    /// Parses the value of `deis builds:kind`.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "buildpack" => Some(Self::Buildpack),
            "dockerfile" => Some(Self::Dockerfile),
            "cnb" => Some(Self::Cnb),
            _ => None,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Buildpack => "buildpack",
            Self::Dockerfile => "dockerfile",
            Self::Cnb => "cnb",
        }
    }
}

/// A relative path of a repository, without `.` and `..`; empty for its root.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourcePath(String);

impl SourcePath {
    /// Parses a path as people write it; `./api/` is `api`.
    pub fn parse(text: &str) -> Option<Self> {
        let parts: Vec<_> = text.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
        let is_plain = |part: &&str| *part != ".." && !part.chars().any(char::is_control);
        let is_good = text.len() <= PATH_BYTES_MAX && !text.starts_with('/') && parts.iter().all(is_plain);
        is_good.then(|| Self(parts.join("/")))
    }

    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// Path of a file of this folder.
    pub fn join(&self, path: &str) -> String {
        if self.is_root() { path.to_owned() } else { format!("{}/{path}", self.0) }
    }

    /// The path below this folder; `None` for one that lies elsewhere.
    pub fn relative<'a>(&self, path: &'a str) -> Option<&'a str> {
        if self.is_root() { Some(path) } else { path.strip_prefix(&self.0)?.strip_prefix('/') }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The folder and the name of a file.
    pub fn split(&self) -> (&str, &str) {
        self.0.rsplit_once('/').unwrap_or(("", &self.0))
    }
}

impl fmt::Display for SourcePath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Options of a build of a Dockerfile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DockerfileOptions {
    /// The build's context, from the folder of the app.
    pub context: SourcePath,
    /// From the folder of the app.
    pub path: SourcePath,
    /// The stage that is the result; `None` for the last one.
    pub target: Option<String>,
    /// Passes the config as build arguments.
    pub build_args: bool,
    /// Further build arguments.
    pub args: BTreeMap<String, String>,
}

impl Default for DockerfileOptions {
    fn default() -> Self {
        Self {
            context: SourcePath::default(),
            path: SourcePath(DOCKERFILE.to_owned()),
            target: None,
            build_args: false,
            args: BTreeMap::new(),
        }
    }
}

/// Choices that an app's config and settings make before anything of the source is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildChoices {
    /// Folder of the app.
    pub project: SourcePath,
    pub dockerfile: DockerfileOptions,
    is_path_given: bool,
    kind: Option<(BuildKind, String)>,
    /// The buildpack that the config names.
    pack: Option<String>,
    /// Builder that the app names, and that of the platform for apps that name none.
    builder: Option<String>,
    default_builder: Option<String>,
}

/// Settings that choose how an app is built.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct BuildSettings {
    /// `deis builds:kind`
    pub kind: Option<BuildKind>,
    /// `deis builder:set`
    pub builder: Option<String>,
    /// The builder of the platform.
    pub default_builder: Option<String>,
}

/// A choice that cannot be; the text is shown to the user.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChoiceError {
    #[error("{name} is `{value}`: give a path from the root of the repository, such as `services/api`")]
    Path { name: &'static str, value: String },
    #[error(
        "{DOCKERFILE_TARGET} is `{0}`, no name of a stage: use the name behind `AS` of one of the Dockerfile's `FROM` lines"
    )]
    Target(String),
    #[error(
        "{PROJECT_PATH} is `{0}`, and the commit has no such folder: change it with `deis config:set`, or commit the folder"
    )]
    NoProject(SourcePath),
    #[error("there is no {path}, which {because}: commit it, or choose otherwise")]
    NoDockerfile { path: String, because: String },
    #[error(
        "it is to be built with Cloud Native Buildpacks as {0}, and no builder is known: choose one with `deis builder:set \
         <image>`, or name it in project.toml"
    )]
    NoBuilder(String),
}

impl BuildChoices {
    /// Reads the settings and the config.
    pub fn read(settings: BuildSettings, config: &BTreeMap<String, String>) -> Result<Self, ChoiceError> {
        let BuildSettings { kind, builder, default_builder } = settings;
        let value = |name: &str| config.get(name).map(|value| value.trim()).filter(|value| !value.is_empty());
        let path = |name: &'static str| {
            let parse = |value| {
                SourcePath::parse(value)
                    .ok_or_else(|| ChoiceError::Path { name, value: value.escape_default().to_string() })
            };
            value(name).map(parse).transpose()
        };
        let given = path(DOCKERFILE_PATH)?;
        let given = given.filter(|path| !path.is_root());
        let target = value(DOCKERFILE_TARGET).map(parse_target).transpose()?;
        let pack = value(BUILDPACK_URL).map(str::to_owned);
        let set = |name: &str| format!("{name} is set");
        let kind = match kind {
            Some(kind) => Some((kind, format!("`deis builds:kind` says {}", kind.as_str()))),
            None if builder.is_some() => {
                Some((BuildKind::Cnb, "`deis builder:set` has chosen a builder".to_owned()))
            }
            None if given.is_some() => Some((BuildKind::Dockerfile, set(DOCKERFILE_PATH))),
            None if pack.is_some() => Some((BuildKind::Buildpack, set(BUILDPACK_URL))),
            None => None,
        };
        let dockerfile = DockerfileOptions {
            path: given.unwrap_or_else(|| DockerfileOptions::default().path),
            target,
            build_args: config.contains_key(BUILD_ARGS_ENABLED),
            ..DockerfileOptions::default()
        };
        let is_path_given = value(DOCKERFILE_PATH).is_some();
        let project = path(PROJECT_PATH)?.unwrap_or_default();
        Ok(Self { project, dockerfile, is_path_given, kind, pack, builder, default_builder })
    }

    /// Returns true if a heroku.yml of the source decides about Dockerfiles.
    pub fn reads_manifest(&self) -> bool {
        let is_other = self.kind.as_ref().is_some_and(|(kind, _)| *kind != BuildKind::Dockerfile);
        !is_other && !self.is_path_given
    }

    /// Returns true if a project.toml of the source has a say.
    pub fn reads_descriptor(&self) -> bool {
        self.kind.as_ref().is_none_or(|(kind, _)| *kind == BuildKind::Cnb)
    }

    /// The plan of a source with a heroku.yml; `has_file` answers for paths from the root of the repository.
    pub fn plan_of_manifest(
        &self,
        manifest: Manifest,
        has_file: impl Fn(&str) -> bool,
    ) -> Result<BuildPlan, ChoiceError> {
        for image in &manifest.images {
            let path = self.project.join(image.path.as_str());
            if !has_file(&path) {
                let because = format!("{} names", heroku_yml::FILE);
                return Err(ChoiceError::NoDockerfile { path, because });
            }
        }
        let reason = format!("there is a {}", heroku_yml::FILE);
        Ok(BuildPlan { manifest: Some(manifest), ..BuildPlan::of(BuildKind::Dockerfile, reason) })
    }

    /// Decides how a source without a heroku.yml is built; `descriptor` is its project.toml.
    pub fn plan(
        &self,
        has_dockerfile: bool,
        descriptor: Option<ProjectDescriptor>,
        listing: &SourceListing,
    ) -> Result<BuildPlan, ChoiceError> {
        match self.cnb(descriptor)? {
            Some(plan) => Ok(plan),
            None => self.plan_of_files(has_dockerfile, listing),
        }
    }

    /// The plan with a builder, if that is the choice. A project.toml counts where it has one to be used with.
    fn cnb(&self, descriptor: Option<ProjectDescriptor>) -> Result<Option<BuildPlan>, ChoiceError> {
        let is_named = |descriptor: &ProjectDescriptor| descriptor.builder.is_some();
        let reason = match &self.kind {
            Some((BuildKind::Cnb, because)) => because.clone(),
            None if descriptor.as_ref().is_some_and(|it| is_named(it) || self.default_builder.is_some()) => {
                format!("there is a {}", project_toml::FILE)
            }
            _ => return Ok(None),
        };
        let descriptor = descriptor.unwrap_or_default();
        let named = [&self.builder, &descriptor.builder, &self.default_builder];
        let builder = named.into_iter().flatten().next().cloned();
        let builder = builder.ok_or_else(|| ChoiceError::NoBuilder(reason.clone()))?;
        let cnb = CnbOptions { builder, descriptor };
        Ok(Some(BuildPlan { cnb: Some(cnb), ..BuildPlan::of(BuildKind::Cnb, reason) }))
    }

    fn plan_of_files(&self, has_dockerfile: bool, listing: &SourceListing) -> Result<BuildPlan, ChoiceError> {
        let path = self.project.join(self.dockerfile.path.as_str());
        let shown = match self.project.is_root() {
            true => self.dockerfile.path.to_string(),
            false => format!("{} in {}", self.dockerfile.path, self.project),
        };
        let (kind, reason) = match &self.kind {
            Some((BuildKind::Dockerfile, because)) if !has_dockerfile => {
                let because = format!("is to be built as {because}");
                return Err(ChoiceError::NoDockerfile { path, because });
            }
            Some((kind, because)) => (*kind, because.clone()),
            None if has_dockerfile => (BuildKind::Dockerfile, format!("there is a {shown}")),
            None => (BuildKind::Buildpack, format!("there is no {shown}")),
        };
        let hint = self.kind.is_none() && kind == BuildKind::Dockerfile;
        let packs = packs::detect(listing);
        let other = packs.first().filter(|_| hint).copied();
        let (pack, has_list) = (self.pack.clone(), listing.has_list());
        Ok(BuildPlan { packs, pack, has_list, other, ..BuildPlan::of(kind, reason) })
    }
}

fn parse_target(text: &str) -> Result<String, ChoiceError> {
    let shown = || text.chars().take(TARGET_BYTES_MAX).flat_map(char::escape_default).collect();
    stage_name(text).map(str::to_owned).ok_or_else(|| ChoiceError::Target(shown()))
}

/// The name of a stage of a Dockerfile, if it can be one.
pub(crate) fn stage_name(text: &str) -> Option<&str> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    let is_good = !text.is_empty() && text.len() <= TARGET_BYTES_MAX && text.bytes().all(is_plain);
    is_good.then_some(text)
}

/// Decision about one source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildPlan {
    pub kind: BuildKind,
    /// The half sentence that says why.
    pub reason: String,
    /// Packs of the stack that fit; the first builds the source if its kind is that of buildpacks.
    pub packs: Vec<Detected>,
    /// The buildpack that the config names, which fits any source.
    pub pack: Option<String>,
    /// The source has a list of buildpacks, which fit it.
    pub has_list: bool,
    /// The pack that would build a source whose Dockerfile was taken without a choice.
    pub other: Option<Detected>,
    /// Several Dockerfiles, and the process types.
    pub manifest: Option<Manifest>,
    /// Of a build with Cloud Native Buildpacks.
    pub cnb: Option<CnbOptions>,
}

/// Options of a build with Cloud Native Buildpacks.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CnbOptions {
    /// Image of the builder.
    pub builder: String,
    pub descriptor: ProjectDescriptor,
}

impl BuildPlan {
    fn of(kind: BuildKind, reason: String) -> Self {
        let (packs, pack, has_list) = (Vec::new(), None, false);
        Self { kind, reason, packs, pack, has_list, other: None, manifest: None, cnb: None }
    }

    /// Returns false if a push would fail for want of a pack.
    pub fn has_builder(&self) -> bool {
        let names_packs = self.pack.is_some() || self.has_list;
        self.kind != BuildKind::Buildpack || names_packs || !self.packs.is_empty()
    }

    /// Tool chains of the stack that the packs of this build need: the one that the config names, all that fit a source
    /// with a list of its own, else the first that fits. Packs by URL bring theirs.
    pub fn toolchains(&self) -> BTreeSet<String> {
        if self.kind != BuildKind::Buildpack {
            return BTreeSet::new();
        }
        let fitting = self.packs.iter().map(|detected| detected.pack);
        let packs: Vec<_> = match &self.pack {
            Some(pack) => packs::find(packs::own_name(pack)).into_iter().collect(),
            None if self.has_list => fitting.collect(),
            None => fitting.take(1).collect(),
        };
        packs.iter().flat_map(|pack| pack.toolchains).map(|name| (*name).to_owned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(values: &[(&str, &str)]) -> BTreeMap<String, String> {
        values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn listing(paths: &[&str]) -> SourceListing {
        SourceListing::new(paths.iter().map(|path| (*path).to_owned()))
    }

    fn planned(
        kind: Option<BuildKind>,
        values: &[(&str, &str)],
        has_dockerfile: bool,
    ) -> Result<(BuildKind, String), ChoiceError> {
        let choices =
            BuildChoices::read(BuildSettings { kind, ..BuildSettings::default() }, &config(values))?;
        choices.plan(has_dockerfile, None, &listing(&["Procfile"])).map(|plan| (plan.kind, plan.reason))
    }

    #[test]
    fn an_explicit_choice_wins_and_a_dockerfile_counts_before_packs() {
        use BuildKind::{Buildpack, Dockerfile};
        let pack = ("BUILDPACK_URL", "python");
        let path = ("DOCKERFILE_PATH", "docker/web.Dockerfile");
        for (kind, values, has_dockerfile, expected, reason) in [
            (None, &[][..], true, Dockerfile, "there is a Dockerfile"),
            (None, &[], false, Buildpack, "there is no Dockerfile"),
            (None, &[pack], true, Buildpack, "BUILDPACK_URL is set"),
            (None, &[("BUILDPACK_URL", " ")], true, Dockerfile, "there is a Dockerfile"),
            (None, &[pack, path], true, Dockerfile, "DOCKERFILE_PATH is set"),
            (Some(Dockerfile), &[pack], true, Dockerfile, "`deis builds:kind` says dockerfile"),
            (Some(Buildpack), &[path], true, Buildpack, "`deis builds:kind` says buildpack"),
        ] {
            let plan = planned(kind, values, has_dockerfile);
            assert_eq!(plan, Ok((expected, reason.to_owned())), "{kind:?} {values:?}");
        }
    }

    #[test]
    fn a_dockerfile_that_was_asked_for_and_is_missing_is_named() {
        let told = planned(None, &[("DOCKERFILE_PATH", "docker/web"), ("PROJECT_PATH", "./api/")], false);

        assert_eq!(
            told.expect_err("there is none").to_string(),
            "there is no api/docker/web, which is to be built as DOCKERFILE_PATH is set: commit it, or choose otherwise"
        );
        assert!(planned(Some(BuildKind::Dockerfile), &[], false).is_err());
    }

    #[test]
    fn a_path_never_leads_out_of_the_repository() {
        for bad in ["..", "a/../b", "/etc", "a\nb", &"a".repeat(1_001)] {
            for name in ["PROJECT_PATH", "DOCKERFILE_PATH"] {
                let told = BuildChoices::read(BuildSettings::default(), &config(&[(name, bad)]))
                    .expect_err(bad)
                    .to_string();
                assert!(told.starts_with(&format!("{name} is `")), "{told}");
            }
        }
        for (given, path) in [("./api//v1/", "api/v1"), (".", ""), ("a b", "a b"), ("..x", "..x")] {
            assert_eq!(SourcePath::parse(given), Some(SourcePath(path.to_owned())));
        }
        let folder = SourcePath::parse("api").expect("a path");
        let relative = ["api/lib/x", "apis/x", "x"].map(|path| folder.relative(path));
        assert_eq!(relative, [Some("lib/x"), None, None]);
    }

    #[test]
    fn the_name_of_a_stage_is_checked() {
        let target =
            |name| BuildChoices::read(BuildSettings::default(), &config(&[("DOCKERFILE_TARGET", name)]));
        assert_eq!(target("runtime-2").map(|it| it.dockerfile.target), Ok(Some("runtime-2".to_owned())));
        assert_eq!(target("").map(|it| it.dockerfile.target), Ok(None));
        assert!(target("a b").is_err());
    }

    #[test]
    fn a_dockerfile_that_was_taken_without_a_choice_has_its_alternative_named() {
        let source = listing(&["requirements.txt", "Procfile"]);
        let other = |values: &[(&str, &str)], has_dockerfile| {
            let choices = BuildChoices::read(BuildSettings::default(), &config(values)).expect("good");
            choices
                .plan(has_dockerfile, None, &source)
                .expect("a plan")
                .other
                .map(|detected| detected.pack.name)
        };

        assert_eq!(other(&[], true), Some("python"));
        assert_eq!(other(&[], false), None);
        assert_eq!(other(&[("DOCKERFILE_PATH", "Dockerfile")], true), None);
    }

    #[test]
    fn a_build_needs_the_tool_chains_of_the_packs_that_build_it() {
        let toolchains = |values: &[(&str, &str)], has_dockerfile, paths: &[&str]| {
            let config = config(values);
            let choices = BuildChoices::read(BuildSettings::default(), &config).expect("good");
            let plan = choices.plan(has_dockerfile, None, &listing(paths)).expect("a plan");
            plan.toolchains().into_iter().collect::<Vec<_>>().join(" ")
        };
        let several = ["Gemfile", "pom.xml", "package.json"];

        assert_eq!(toolchains(&[], false, &several), "ruby");
        assert_eq!(toolchains(&[], true, &several), "");
        assert_eq!(toolchains(&[("BUILDPACK_URL", "heroku/gradle")], false, &several), "java");
        assert_eq!(toolchains(&[("BUILDPACK_URL", "https://example.com/pack.git")], false, &several), "");
        assert_eq!(toolchains(&[], false, &[&several[..], &[".buildpacks"]].concat()), "java ruby");
        assert_eq!(toolchains(&[], false, &["package.json"]), "");
    }

    #[test]
    fn a_builder_that_was_chosen_wins_and_a_project_descriptor_counts_before_a_dockerfile() {
        let descriptor = |builder: Option<&str>| ProjectDescriptor {
            builder: builder.map(str::to_owned),
            ..ProjectDescriptor::default()
        };
        let (own, default) = (Some("own"), Some("default"));
        let cnb = Some(BuildKind::Cnb);
        for (kind, builder, default_builder, described, expected) in [
            (
                None,
                own,
                default,
                Some(descriptor(Some("described"))),
                "own: `deis builder:set` has chosen a builder",
            ),
            (None, None, default, Some(descriptor(Some("described"))), "described: there is a project.toml"),
            (None, None, default, Some(descriptor(None)), "default: there is a project.toml"),
            (None, None, None, Some(descriptor(None)), "there is a Dockerfile"),
            (None, None, default, None, "there is a Dockerfile"),
            (Some(BuildKind::Dockerfile), own, default, None, "`deis builds:kind` says dockerfile"),
            (cnb, None, default, None, "default: `deis builds:kind` says cnb"),
        ] {
            let [builder, default_builder] = [builder, default_builder].map(|name| name.map(str::to_owned));
            let settings = BuildSettings { kind, builder, default_builder };
            let choices = BuildChoices::read(settings, &BTreeMap::new()).expect("good");
            let BuildPlan { cnb, reason, .. } = choices.plan(true, described, &listing(&[])).expect("a plan");
            let said = cnb.map_or(reason.clone(), |cnb| format!("{}: {reason}", cnb.builder));
            assert_eq!(said, expected);
        }
        let choices =
            BuildChoices::read(BuildSettings { kind: cnb, ..BuildSettings::default() }, &BTreeMap::new());
        let told = choices.expect("good").plan(true, None, &listing(&[])).expect_err("no builder");
        assert!(told.to_string().contains("no builder is known"), "{told}");
    }
}
