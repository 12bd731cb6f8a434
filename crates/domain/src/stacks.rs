//! Stacks: the pairs of images that buildpack builds run in and that their apps stand on, and the toolchains that
//! each has for languages.
//!
//! The platform's own stacks are named here; an operator adds others by a file. An image of a toolchain is the stack's
//! own with more layers on top. Images of others have neither `slug` nor packs: engines add these layers.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::slug_image::LayerPart;

/// Longest name of a stack.
pub const STACK_NAME_LENGTH_MAX: usize = 32;
/// Most stacks of a platform, and most toolchains of a stack.
const ENTRIES_MAX: usize = 64;
/// Longest name of an image, with room for a registry and a digest.
const IMAGE_LENGTH_MAX: usize = 512;
/// Stack of new apps unless the operator chooses another.
const DEFAULT: &str = "trixie";
/// Stands in the setting of the platform's own images for the name of the stack.
const PLACEHOLDER: &str = "{stack}";
/// Names of the platform's own images as `cargo xtask stack` makes them.
const DEFAULT_IMAGES: &str = "deis/stack:{stack}";
/// The platform's own stacks: releases of Debian.
const OWN: [&str; 2] = ["bookworm", "trixie"];
/// Toolchains of each of them, and the uses for which they add anything.
const TOOLCHAINS: [(&str, Uses); 5] = [
    ("java", Uses { run: true, build: true }),
    ("php", Uses { run: true, build: true }),
    // The images of the stack itself have it.
    ("python", Uses { run: false, build: false }),
    ("ruby", Uses { run: true, build: true }),
    ("rust", Uses { run: false, build: true }),
];

#[derive(Clone, Copy)]
struct Uses {
    run: bool,
    build: bool,
}

/// Name of a stack: letters, digits, `.`, `-` and `_`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StackName(String);

/// A text that names no stack.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no name of a stack: use at most {STACK_NAME_LENGTH_MAX} lower-case letters, digits, `.`, `-` and `_`, \
     beginning with a letter or digit"
)]
pub struct StackNameError(String);

impl StackName {
    /// # Errors
    ///
    /// [`StackNameError`] for a text that cannot be a part of an image's tag.
    pub fn parse(text: &str) -> Result<Self, StackNameError> {
        let is_good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let rest = |byte: u8| is_good(byte) || matches!(byte, b'.' | b'-' | b'_');
        let fits = text.len() <= STACK_NAME_LENGTH_MAX && text.bytes().all(rest);
        if fits && text.bytes().next().is_some_and(is_good) {
            return Ok(Self(text.to_owned()));
        }
        Err(StackNameError(text.chars().take(2 * STACK_NAME_LENGTH_MAX).collect()))
    }

    /// The stack of apps from before there was a choice.
    pub fn bookworm() -> Self {
        Self(OWN[0].to_owned())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StackName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl TryFrom<String> for StackName {
    type Error = StackNameError;

    fn try_from(text: String) -> Result<Self, StackNameError> {
        Self::parse(&text)
    }
}

impl From<StackName> for String {
    fn from(name: StackName) -> Self {
        name.0
    }
}

/// Images of a stack or of a toolchain.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stack {
    /// Image on which apps run.
    pub run: String,
    /// Image in which they are built.
    pub build: String,
    /// Value of `STACK` in builds and in apps; without it that of the images.
    #[serde(default)]
    pub variable: Option<String>,
    #[serde(default)]
    pub toolchains: BTreeMap<String, Toolchain>,
}

/// Images of a toolchain: the stack's with more layers; none for a use where the stack has all.
#[derive(Debug, Default, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Toolchain {
    #[serde(default)]
    pub run: Option<String>,
    #[serde(default)]
    pub build: Option<String>,
}

/// All stacks of a platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stacks {
    stacks: BTreeMap<StackName, Stack>,
    default: StackName,
    /// The platform's own default stack.
    own: Stack,
}

impl Default for Stacks {
    fn default() -> Self {
        Self::of(DEFAULT_IMAGES)
    }
}

/// File of an operator, which adds stacks or replaces the platform's own.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StacksFile {
    #[serde(default)]
    default: Option<StackName>,
    #[serde(default)]
    stacks: BTreeMap<StackName, Stack>,
}

/// Stacks that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StacksError {
    #[error(
        "{0}; expected JSON such as {{\"stacks\": {{\"heroku-24\": {{\"run\": \"heroku/heroku:24\", \"build\": \"heroku/heroku:24-build\"}}}}}}"
    )]
    Malformed(String),
    #[error("more than {ENTRIES_MAX} {0}")]
    TooMany(&'static str),
    #[error("stack {stack}: `{image}` is no name of an image")]
    BadImage { stack: StackName, image: String },
    #[error(
        "stack {stack}: `{variable}` cannot be the value of STACK: use printable characters without blanks"
    )]
    BadVariable { stack: StackName, variable: String },
    #[error(
        "expected a name of images with {PLACEHOLDER} where the stack is named, such as deis/stack:{PLACEHOLDER}"
    )]
    NoPlaceholder,
    #[error(transparent)]
    Unknown(#[from] UnknownStack),
}

/// A stack that the platform does not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no stack `{name}`; there are {known}")]
pub struct UnknownStack {
    name: StackName,
    known: String,
}

/// A toolchain that a stack does not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the stack {stack} has no toolchain `{toolchain}`, it has {known}; choose another stack with `deis stacks:set`, or \
     another buildpack with BUILDPACK_URL"
)]
pub struct UnknownToolchain {
    stack: StackName,
    toolchain: String,
    known: String,
}

/// Use of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageUse {
    Build,
    Run,
}

/// Images of which that of a build, or of an app, is made: the first one, and what the others have above the stack's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageParts {
    pub stack: StackName,
    /// Image of the stack itself.
    pub base: String,
    /// Images of toolchains.
    pub toolchains: Vec<String>,
    /// Value of `STACK`, where it is not that of the base.
    pub variable: Option<String>,
}

impl Stacks {
    /// The platform's own, whose images are named by `pattern`.
    ///
    /// # Errors
    ///
    /// [`StacksError::NoPlaceholder`] if all stacks would have the same image.
    pub fn own(pattern: &str) -> Result<Self, StacksError> {
        if pattern.contains(PLACEHOLDER) { Ok(Self::of(pattern)) } else { Err(StacksError::NoPlaceholder) }
    }

    fn of(pattern: &str) -> Self {
        let stack = |name: &str| {
            let prefix = pattern.replace(PLACEHOLDER, name);
            let toolchain = |(toolchain, Uses { run, build }): (&str, Uses)| {
                let run = run.then(|| format!("{prefix}-{toolchain}"));
                let build = build.then(|| format!("{prefix}-{toolchain}-build"));
                (toolchain.to_owned(), Toolchain { run, build })
            };
            let toolchains = TOOLCHAINS.map(toolchain).into();
            let build = format!("{prefix}-build");
            (StackName(name.to_owned()), Stack { run: prefix, build, variable: None, toolchains })
        };
        let (default, own) = stack(DEFAULT);
        Self { stacks: OWN.map(stack).into(), default, own }
    }

    /// Adds those of an operator's file, which is JSON.
    ///
    /// # Errors
    ///
    /// Any [`StacksError`] but [`StacksError::NoPlaceholder`].
    pub fn with_file(mut self, json: &[u8]) -> Result<Self, StacksError> {
        let malformed = |error: serde_json::Error| StacksError::Malformed(error.to_string());
        // A list would be taken for the fields in their order.
        let object: serde_json::Map<_, _> = serde_json::from_slice(json).map_err(malformed)?;
        let file = serde_json::Value::Object(object);
        let StacksFile { default, stacks } = serde_json::from_value(file).map_err(malformed)?;
        stacks.iter().try_for_each(|(name, stack)| check(name, stack))?;
        self.stacks.extend(stacks);
        if self.stacks.len() > ENTRIES_MAX {
            return Err(StacksError::TooMany("stacks"));
        }
        if let Some(default) = default {
            self.get(&default)?;
            self.default = default;
        }
        Ok(self)
    }

    /// Stack of new apps.
    pub fn default_name(&self) -> &StackName {
        &self.default
    }

    pub fn names(&self) -> impl Iterator<Item = &StackName> {
        self.stacks.keys()
    }

    /// All stacks, by their names.
    pub fn iter(&self) -> impl Iterator<Item = (&StackName, &Stack)> {
        self.stacks.iter()
    }

    /// # Errors
    ///
    /// [`UnknownStack`] names those that exist.
    pub fn get(&self, name: &StackName) -> Result<&Stack, UnknownStack> {
        let unknown =
            || UnknownStack { name: name.clone(), known: join(self.names().map(StackName::as_str)) };
        self.stacks.get(name).ok_or_else(unknown)
    }

    /// Run image of the default stack.
    pub fn default_run_image(&self) -> &str {
        &self.stacks.get(&self.default).unwrap_or(&self.own).run
    }

    /// Images of the platform with the parts that an image of others lacks: `slug`, and for builds the packs.
    pub fn platform_parts(&self, used_for: ImageUse) -> Vec<(&str, LayerPart)> {
        let platform = (self.own.run.as_str(), LayerPart::Platform);
        match used_for {
            ImageUse::Run => vec![platform],
            ImageUse::Build => vec![platform, (self.own.build.as_str(), LayerPart::Packs)],
        }
    }
}

impl Stack {
    /// Images for a build with these toolchains, and for the app that it makes.
    ///
    /// # Errors
    ///
    /// [`UnknownToolchain`] names those that the stack has.
    pub fn parts(
        &self,
        name: &StackName,
        wanted: &BTreeSet<String>,
    ) -> Result<(ImageParts, ImageParts), UnknownToolchain> {
        let (mut build, mut run) = (Vec::new(), Vec::new());
        for toolchain in wanted {
            let found = self.toolchains.get(toolchain).ok_or_else(|| UnknownToolchain {
                stack: name.clone(),
                toolchain: toolchain.clone(),
                known: join(self.toolchains.keys().map(String::as_str)),
            })?;
            build.extend(found.build.clone());
            run.extend(found.run.clone());
        }
        let parts = |base: &str, toolchains| ImageParts {
            stack: name.clone(),
            base: base.to_owned(),
            toolchains,
            variable: self.variable.clone(),
        };
        Ok((parts(&self.build, build), parts(&self.run, run)))
    }
}

/// Reason to refuse the image of a toolchain that does not stand on its stack's image.
pub fn other_base(base: &str) -> String {
    format!(
        "it stands on another image than {base}; have the platform's operator make both anew, those of the platform's own \
         stacks by `cargo xtask stack --toolchain all`"
    )
}

fn join<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<_> = names.collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

fn check(name: &StackName, stack: &Stack) -> Result<(), StacksError> {
    let Stack { run, build, variable, toolchains } = stack;
    if toolchains.len() > ENTRIES_MAX {
        return Err(StacksError::TooMany("toolchains of a stack"));
    }
    let of_toolchains = toolchains.values().flat_map(|Toolchain { run, build }| run.iter().chain(build));
    for image in [run, build].into_iter().chain(of_toolchains) {
        let is_image = crate::image_reference::ImageReference::parse(image).is_ok();
        if image.len() > IMAGE_LENGTH_MAX || !is_image {
            return Err(StacksError::BadImage { stack: name.clone(), image: image.clone() });
        }
    }
    match variable {
        Some(variable) if variable.is_empty() || !variable.bytes().all(|byte| byte.is_ascii_graphic()) => {
            Err(StacksError::BadVariable { stack: name.clone(), variable: variable.clone() })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
