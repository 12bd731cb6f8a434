//! project.toml: the part of it that Cloud Native Buildpacks read (Project Descriptor 0.1 and 0.2), in either form.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Name of the file.
pub const FILE: &str = "project.toml";
/// Most entries of each of its lists.
const ENTRIES_MAX: usize = 1_000;
/// Schemas that are known, besides those without a version.
const SCHEMAS: [&str; 2] = ["0.1", "0.2"];

/// Options of a build with Cloud Native Buildpacks that the source has.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectDescriptor {
    /// Image of the builder.
    pub builder: Option<String>,
    /// Patterns, as of a .gitignore, of the only files that are built, or of those that are not.
    pub include: Vec<String>,
    pub exclude: Vec<String>,
    /// Variables of the build; the app's config has precedence.
    pub env: BTreeMap<String, String>,
    /// Buildpacks of the builder, in their order, instead of the builder's own choice.
    pub group: Vec<GroupEntry>,
}

/// A buildpack of the builder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupEntry {
    pub id: String,
    /// `None` for the builder's only one.
    pub version: Option<String>,
}

/// A file that cannot be used. The text is shown to the pusher.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DescriptorError {
    #[error("project.toml is not valid: {0}")]
    Malformed(String),
    #[error("project.toml: schema-version is `{0}`; write it in 0.2")]
    Schema(String),
    #[error("project.toml has both include and exclude; keep one of them")]
    Both,
    #[error(
        "project.toml: the buildpack `{0}` is named by a URI, and only buildpacks of the builder can be used; name one by its \
         id, or choose a builder that has it"
    )]
    Uri(String),
    #[error("project.toml: a buildpack of the group has no id; add it")]
    NoId,
    #[error("project.toml: the variable `{0}` can be none: use letters, digits and `_`")]
    Name(String),
    #[error("project.toml has more than {ENTRIES_MAX} {0}; use fewer")]
    TooMany(&'static str),
}

#[derive(Deserialize)]
struct File {
    #[serde(rename = "_")]
    project: Option<Project>,
    /// Schema 0.1.
    build: Option<Section>,
    io: Option<Io>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Project {
    schema_version: Option<String>,
}

#[derive(Deserialize)]
struct Io {
    buildpacks: Option<Section>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Section {
    builder: Option<String>,
    include: Vec<String>,
    exclude: Vec<String>,
    /// Of schema 0.2.
    group: Vec<Buildpack>,
    /// Of schema 0.1.
    buildpacks: Vec<Buildpack>,
    build: BuildSection,
    env: Env,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct BuildSection {
    env: Vec<Variable>,
}

/// A list in schema 0.1, `env.build` in schema 0.2.
#[derive(Deserialize)]
#[serde(untagged)]
enum Env {
    List(Vec<Variable>),
    OfBuild {
        #[serde(default)]
        build: Vec<Variable>,
    },
}

impl Default for Env {
    fn default() -> Self {
        Self::List(Vec::new())
    }
}

#[derive(Deserialize)]
struct Variable {
    name: String,
    value: String,
}

#[derive(Deserialize)]
struct Buildpack {
    id: Option<String>,
    version: Option<String>,
    uri: Option<String>,
    script: Option<serde::de::IgnoredAny>,
}

/// Reads the file; `None` if it says nothing about buildpacks.
///
/// # Errors
///
/// [`DescriptorError`] names the entry.
pub fn parse(text: &str) -> Result<Option<ProjectDescriptor>, DescriptorError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let File { project, build, io } =
        toml::from_str(text).map_err(|error| DescriptorError::Malformed(error.to_string()))?;
    let schema = project.and_then(|project| project.schema_version);
    if let Some(schema) = schema.filter(|schema| !SCHEMAS.contains(&schema.as_str())) {
        return Err(DescriptorError::Schema(schema));
    }
    let section = io.and_then(|io| io.buildpacks).or(build);
    section.map(descriptor).transpose()
}

fn descriptor(section: Section) -> Result<ProjectDescriptor, DescriptorError> {
    let Section { builder, include, exclude, group, buildpacks, build, env } = section;
    if !include.is_empty() && !exclude.is_empty() {
        return Err(DescriptorError::Both);
    }
    let variables = match env {
        Env::List(list) | Env::OfBuild { build: list } => build.env.into_iter().chain(list),
    };
    let env = variables.map(variable).collect::<Result<BTreeMap<_, _>, _>>()?;
    let group = group.into_iter().chain(buildpacks).map(entry).collect::<Result<Vec<_>, _>>()?;
    let lists =
        [("patterns", include.len() + exclude.len()), ("variables", env.len()), ("buildpacks", group.len())];
    match lists.into_iter().find(|(_, count)| *count > ENTRIES_MAX) {
        Some((what, _)) => Err(DescriptorError::TooMany(what)),
        None => Ok(ProjectDescriptor { builder, include, exclude, env, group }),
    }
}

fn variable(Variable { name, value }: Variable) -> Result<(String, String), DescriptorError> {
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if name.is_empty() || !name.bytes().all(is_good) {
        return Err(DescriptorError::Name(name.escape_default().to_string()));
    }
    Ok((name, value))
}

fn entry(buildpack: Buildpack) -> Result<GroupEntry, DescriptorError> {
    let Buildpack { id, version, uri, script } = buildpack;
    if let Some(uri) = uri {
        return Err(DescriptorError::Uri(uri));
    }
    match id {
        Some(id) if script.is_none() => Ok(GroupEntry { id, version }),
        Some(id) => Err(DescriptorError::Uri(id)),
        None => Err(DescriptorError::NoId),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEW: &str = r#"
        [_]
        schema-version = "0.2"
        [io.buildpacks]
        builder = "builders/base:1"
        exclude = ["/tests", "*.md"]
        [[io.buildpacks.build.env]]
        name = "BP_MODE"
        value = "fast"
        [[io.buildpacks.group]]
        id = "example/app"
        version = "1.2"
    "#;
    const OLD: &str = r#"
        [project]
        id = "blog"
        [build]
        builder = "builders/base:1"
        exclude = ["/tests", "*.md"]
        [[build.buildpacks]]
        id = "example/app"
        version = "1.2"
        [[build.env]]
        name = "BP_MODE"
        value = "fast"
    "#;

    #[test]
    fn both_forms_say_the_same() {
        let descriptor = parse(NEW).expect("good").expect("there is one");

        assert_eq!(descriptor.builder.as_deref(), Some("builders/base:1"));
        assert_eq!(descriptor.env["BP_MODE"], "fast");
        assert_eq!(
            descriptor.group,
            [GroupEntry { id: "example/app".to_owned(), version: Some("1.2".to_owned()) }]
        );
        assert_eq!(parse(OLD), Ok(Some(descriptor)));
    }

    #[test]
    fn a_file_of_other_tools_says_nothing_about_buildpacks() {
        assert_eq!(parse("name = \"A\"\n[deps]\nB = \"1\"\n"), Ok(None));
    }

    #[test]
    fn entries_that_cannot_be_used_are_named() {
        for (text, expected) in [
            ("[_]\nschema-version = \"9\"", "schema-version is `9`"),
            ("[build]\ninclude = [\"a\"]\nexclude = [\"b\"]", "both include and exclude"),
            ("[[io.buildpacks.group]]\nuri = \"https://example.com/b.cnb\"", "https://example.com/b.cnb"),
            ("[[io.buildpacks.group]]\nversion = \"1\"", "has no id"),
            ("[[build.env]]\nname = \"../x\"\nvalue = \"\"", "`../x`"),
            ("[build", "is not valid"),
        ] {
            let told = parse(text).expect_err(text).to_string();
            assert!(told.contains(expected), "{told}");
        }
    }
}
