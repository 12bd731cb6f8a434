//! Rules of builds with Cloud Native Buildpacks: the facts of a builder image and the files that the platform gives to
//! its lifecycle (Platform API 0.12 to 0.15). Pure; engines read images and run the phases.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::build_plan::CnbOptions;
use crate::image_reference::ImageReference;
use crate::project_toml::GroupEntry;

/// Program of the builder image that starts processes, which the app image gets too.
pub const LAUNCHER: &str = "/cnb/lifecycle/launcher";
/// Folder of the app image with a program for each process type.
pub const PROCESSES: &str = "/cnb/process";
/// Platform APIs that the platform knows, the best first.
const PLATFORM_APIS: [&str; 4] = ["0.15", "0.14", "0.13", "0.12"];
const METADATA: &str = "io.buildpacks.builder.metadata";
const APIS: &str = "io.buildpacks.lifecycle.apis";
const BUILDPACKS: &str = "io.buildpacks.buildpack.layers";
const EXTENSIONS: &str = "io.buildpacks.buildpack.order-extensions";
const DISTRO_NAME: &str = "io.buildpacks.base.distro.name";
const DISTRO_VERSION: &str = "io.buildpacks.base.distro.version";
/// Most mirrors of a run image that are tried.
const MIRRORS_MAX: usize = 10;
/// Word for the platform's builder.
const DEFAULT: &str = "default";
const NAME_LENGTH_MAX: usize = 500;

/// The builder that an app chose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum BuilderChoice {
    /// The one of the platform.
    Default,
    Image(String),
}

/// The text names no image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no builder: give the name of an image, such as `builders/base:1`, or `default` for the platform's"
)]
pub struct BuilderNameError(String);

impl BuilderChoice {
    /// Parses the name of an image, or `default`.
    pub fn parse(text: &str) -> Result<Self, BuilderNameError> {
        if text == DEFAULT {
            return Ok(Self::Default);
        }
        let is_good = text.len() <= NAME_LENGTH_MAX && ImageReference::parse(text).is_ok();
        let shown = || text.chars().take(NAME_LENGTH_MAX).flat_map(char::escape_default).collect();
        if is_good { Ok(Self::Image(text.to_owned())) } else { Err(BuilderNameError(shown())) }
    }

    pub fn as_str(&self) -> &str {
        match self {
            Self::Default => DEFAULT,
            Self::Image(name) => name,
        }
    }

    /// The image, where `default` is that of the platform.
    pub fn image<'a>(&'a self, default: Option<&'a str>) -> Option<&'a str> {
        match self {
            Self::Default => default,
            Self::Image(name) => Some(name),
        }
    }
}

impl TryFrom<String> for BuilderChoice {
    type Error = BuilderNameError;
    fn try_from(text: String) -> Result<Self, BuilderNameError> {
        Self::parse(&text)
    }
}

impl From<BuilderChoice> for String {
    fn from(choice: BuilderChoice) -> Self {
        choice.as_str().to_owned()
    }
}

/// A builder that cannot be used. The text is shown to the pusher.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BuilderError {
    #[error("the image {0} is no builder: it has no label {METADATA}; choose one with `deis builder:set`")]
    NoBuilder(String),
    #[error("the builder {0} has no lifecycle; choose one that is whole with `deis builder:set`")]
    NoLifecycle(String),
    #[error(
        "the lifecycle of the builder {builder} has the Platform APIs {known}, and the platform needs one of 0.12 to 0.15; \
         choose a newer version of the builder"
    )]
    OtherApis { builder: String, known: String },
    #[error("the builder {builder} is for {own}, and builds run on {host}; choose one for {host}")]
    Architecture { builder: String, own: String, host: String },
    #[error(
        "the builder {0} has image extensions, which the platform does not run; choose a builder without, or build a Dockerfile"
    )]
    Extensions(String),
    #[error(
        "the builder {0} does not say as which user it builds: CNB_USER_ID and CNB_GROUP_ID must be numbers above 0"
    )]
    NoUser(String),
    #[error("the builder {0} names no run image, on which apps could stand; choose one that does")]
    NoRunImage(String),
    #[error("project.toml: the builder {builder} has no buildpack {id}; it has {known}")]
    NoBuildpack { builder: String, id: String, known: String },
    #[error(
        "project.toml: the builder {builder} has several versions of the buildpack {id}, {known}; add the version"
    )]
    SeveralVersions { builder: String, id: String, known: String },
}

/// Parts of an image that builds are decided by.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct ImageParts {
    pub architecture: String,
    pub os: String,
    pub env: Vec<String>,
    pub labels: BTreeMap<String, String>,
}

/// Facts of a builder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Builder {
    pub user: u32,
    pub group: u32,
    /// The best that both sides know.
    pub platform_api: &'static str,
    pub run_image: RunImage,
    /// Versions of each buildpack.
    buildpacks: BTreeMap<String, Vec<String>>,
    name: String,
}

/// An image that apps of a builder stand on.
#[derive(Debug, Default, Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct RunImage {
    pub image: String,
    pub mirrors: Vec<String>,
}

impl RunImage {
    /// Names to try, those in the builder's own registry first.
    pub fn names<'a>(&'a self, builder: &str) -> Vec<&'a str> {
        let host = |name: &str| ImageReference::parse(name).ok().map(|name| name.host);
        let mut names: Vec<_> = [&self.image].into_iter().chain(&self.mirrors).map(String::as_str).collect();
        names.truncate(MIRRORS_MAX);
        names.sort_by_key(|name| host(name) != host(builder));
        names
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Metadata {
    images: Vec<RunImage>,
    stack: StackMetadata,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct StackMetadata {
    run_image: RunImage,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Apis {
    platform: ApiList,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ApiList {
    deprecated: Vec<String>,
    supported: Vec<String>,
}

impl Builder {
    /// Reads the facts of the builder image `name`; `host` is the architecture of builds.
    ///
    /// # Errors
    ///
    /// [`BuilderError`] for an image that cannot build here.
    pub fn read(name: &str, image: &ImageParts, host: &str) -> Result<Self, BuilderError> {
        let builder = name.to_owned();
        let label = |name: &str| image.labels.get(name).map(String::as_str);
        let metadata = label(METADATA).and_then(|text| serde_json::from_str::<Metadata>(text).ok());
        let Metadata { images, stack } = metadata.ok_or_else(|| BuilderError::NoBuilder(builder.clone()))?;
        if !host.is_empty() && image.architecture != host {
            let own = image.architecture.clone();
            return Err(BuilderError::Architecture { builder, own, host: host.to_owned() });
        }
        let apis = label(APIS).and_then(|text| serde_json::from_str::<Apis>(text).ok());
        let Apis { platform } = apis.ok_or_else(|| BuilderError::NoLifecycle(builder.clone()))?;
        let known = [platform.supported, platform.deprecated].concat();
        let best = PLATFORM_APIS.into_iter().find(|api| known.iter().any(|known| known == api));
        let other = || BuilderError::OtherApis { builder: builder.clone(), known: list(&known) };
        let platform_api = best.ok_or_else(other)?;
        if has_extensions(label(EXTENSIONS)) {
            return Err(BuilderError::Extensions(builder));
        }
        let user = |name| image.number(name).ok_or_else(|| BuilderError::NoUser(builder.clone()));
        let (user, group) = (user("CNB_USER_ID")?, user("CNB_GROUP_ID")?);
        let mut images = images.into_iter().chain([stack.run_image]).filter(|run| !run.image.is_empty());
        let run_image = images.next().ok_or_else(|| BuilderError::NoRunImage(builder.clone()))?;
        let buildpacks = label(BUILDPACKS).map(versions).unwrap_or_default();
        Ok(Self { user, group, platform_api, run_image, buildpacks, name: builder })
    }

    /// `order.toml` of the buildpacks that a project.toml names; `None` for the builder's own.
    ///
    /// # Errors
    ///
    /// [`BuilderError`] for a buildpack that the builder does not have.
    pub fn order(&self, options: &CnbOptions) -> Result<Option<String>, BuilderError> {
        if options.descriptor.group.is_empty() {
            return Ok(None);
        }
        let mut order = "[[order]]\n".to_owned();
        for GroupEntry { id, version } in &options.descriptor.group {
            let known = self.buildpacks.get(id).ok_or_else(|| BuilderError::NoBuildpack {
                builder: self.name.clone(),
                id: id.clone(),
                known: list(self.buildpacks.keys()),
            })?;
            let version = match (version, &known[..]) {
                (Some(version), _) if known.contains(version) => version,
                (None, [only]) => only,
                (Some(version), _) => {
                    let id = format!("{id}@{version}");
                    return Err(BuilderError::NoBuildpack {
                        builder: self.name.clone(),
                        id,
                        known: list(known),
                    });
                }
                (None, _) => {
                    let (builder, id) = (self.name.clone(), id.clone());
                    return Err(BuilderError::SeveralVersions { builder, id, known: list(known) });
                }
            };
            let _ = write!(order, "[[order.group]]\nid = {}\nversion = {}\n", text(id), text(version));
        }
        Ok(Some(order))
    }
}

impl ImageParts {
    /// A number above 0 of the image's environment.
    fn number(&self, name: &str) -> Option<u32> {
        let value = self.env.iter().find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))?;
        value.parse().ok().filter(|number| *number > 0)
    }
}

/// `analyzed.toml`: the facts of the run image that detection needs.
pub fn analyzed(reference: &str, run: &RunImage, image: &ImageParts) -> String {
    let ImageParts { architecture, os, env: _, labels } = image;
    let mut toml = format!(
        "[run-image]\nreference = {}\nimage = {}\n[run-image.target]\nos = {}\narch = {}\n",
        text(reference),
        text(&run.image),
        text(os),
        text(architecture)
    );
    if let (Some(name), Some(version)) = (labels.get(DISTRO_NAME), labels.get(DISTRO_VERSION)) {
        let _ =
            write!(toml, "[run-image.target.distro]\nname = {}\nversion = {}\n", text(name), text(version));
    }
    toml
}

/// A text in TOML, which takes JSON's escapes.
fn text(text: &str) -> String {
    Value::from(text.replace('\u{7f}', "")).to_string()
}

fn has_extensions(label: Option<&str>) -> bool {
    let order = label.and_then(|text| serde_json::from_str::<Value>(text).ok());
    order.is_some_and(|order| order.as_array().is_some_and(|groups| !groups.is_empty()))
}

/// Buildpacks of a builder's label, `{id: {version: ...}}`.
fn versions(label: &str) -> BTreeMap<String, Vec<String>> {
    let all: BTreeMap<String, BTreeMap<String, Value>> = serde_json::from_str(label).unwrap_or_default();
    all.into_iter().map(|(id, versions)| (id, versions.into_keys().collect())).collect()
}

fn list<T: AsRef<str>>(names: impl IntoIterator<Item = T>) -> String {
    let names: Vec<_> = names.into_iter().map(|name| name.as_ref().to_owned()).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

#[cfg(test)]
mod tests;
