//! `launch.toml` of a buildpack, and `<layers>/config/metadata.toml`, which sums them up.

use serde::{Deserialize, Serialize};

use crate::api::ApiVersion;
use crate::formats::process::Process;

/// `launch.toml`
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct LaunchFile {
    #[serde(default)]
    pub labels: Vec<Label>,
    #[serde(default)]
    pub processes: Vec<Process>,
    #[serde(default)]
    pub slices: Vec<Slice>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Label {
    pub key: String,
    pub value: String,
}

/// Files of the app that are a layer of their own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slice {
    #[serde(default)]
    pub paths: Vec<String>,
}

/// `<layers>/config/metadata.toml`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Metadata {
    #[serde(default, rename = "buildpack-default-process-type", skip_serializing_if = "String::is_empty")]
    pub default_process_type: String,
    #[serde(default)]
    pub buildpacks: Vec<MetadataBuildpack>,
    #[serde(default)]
    pub labels: Vec<Label>,
    #[serde(default)]
    pub processes: Vec<Process>,
    #[serde(default)]
    pub slices: Vec<Slice>,
}

/// A buildpack that took part in the build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetadataBuildpack {
    pub id: String,
    pub version: String,
    pub api: ApiVersion,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub homepage: Option<String>,
}

impl Metadata {
    /// Adds what a later buildpack said: its process types and labels replace those of the same name.
    ///
    /// # Errors
    ///
    /// A message for a `launch.toml` that breaks the specification.
    pub fn add(&mut self, buildpack: MetadataBuildpack, launch: LaunchFile) -> Result<(), String> {
        let LaunchFile { labels, processes, slices } = launch;
        check_process_types(&processes)?;
        for mut process in processes {
            process.buildpack_id = Some(buildpack.id.clone());
            process.direct = process.direct || buildpack.api >= ApiVersion(0, 9);
            self.set(process);
        }
        for label in labels {
            self.labels.retain(|it| it.key != label.key);
            self.labels.push(label);
        }
        self.slices.extend(slices);
        self.buildpacks.push(buildpack);
        Ok(())
    }

    fn set(&mut self, mut process: Process) {
        let is_default = std::mem::take(&mut process.default);
        if is_default {
            self.default_process_type.clone_from(&process.process_type);
        } else if self.default_process_type == process.process_type {
            self.default_process_type.clear();
        }
        self.processes.retain(|it| it.process_type != process.process_type);
        self.processes.push(process);
    }

    pub fn process(&self, process_type: &str) -> Option<&Process> {
        self.processes.iter().find(|process| process.process_type == process_type)
    }

    /// API of the buildpack that defined this process.
    pub fn api_of(&self, process: &Process) -> Option<ApiVersion> {
        let id = process.buildpack_id.as_ref()?;
        self.buildpacks.iter().find(|buildpack| buildpack.id == *id).map(|buildpack| buildpack.api)
    }
}

/// Process types become names of files in the app image.
pub fn check_process_types(processes: &[Process]) -> Result<(), String> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    for (place, Process { process_type, command, .. }) in processes.iter().enumerate() {
        if matches!(process_type.as_str(), "" | "." | "..")
            || process_type.len() > 100
            || !process_type.bytes().all(is_allowed)
        {
            return Err(format!("`{process_type}` is not a process type: letters, digits, `.`, `_` and `-`"));
        }
        if command.first().is_none_or(String::is_empty) {
            return Err(format!("process type `{process_type}` has no command"));
        }
        if processes[..place].iter().any(|it| it.process_type == *process_type) {
            return Err(format!("process type `{process_type}` is defined twice"));
        }
    }
    match processes.iter().filter(|process| process.default).count() {
        0 | 1 => Ok(()),
        _ => Err("more than one process type is the default".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buildpack(id: &str, api: ApiVersion) -> MetadataBuildpack {
        MetadataBuildpack { id: id.to_owned(), version: "1.0.0".to_owned(), api, homepage: None }
    }

    fn launch(text: &str) -> LaunchFile {
        toml::from_str(text).expect("a launch.toml")
    }

    #[test]
    fn later_buildpacks_replace_process_types_and_may_take_the_default_away() {
        let mut metadata = Metadata::default();
        let first = launch("[[processes]]\ntype = \"web\"\ncommand = \"run a\"\ndefault = true");
        let second = launch("[[processes]]\ntype = \"web\"\ncommand = [\"b\", \"c\"]");

        metadata.add(buildpack("a", ApiVersion(0, 8)), first).expect("first");
        let web = metadata.process("web").expect("web").clone();
        let default = metadata.default_process_type.clone();
        metadata.add(buildpack("b", ApiVersion(0, 9)), second).expect("second");

        assert_eq!((web.command, web.direct, default.as_str()), (vec!["run a".to_owned()], false, "web"));
        let web = metadata.process("web").expect("web");
        assert_eq!((web.command.len(), web.direct, web.buildpack_id.as_deref()), (2, true, Some("b")));
        assert_eq!(metadata.default_process_type, "");
    }

    #[test]
    fn wrong_process_types_are_refused_by_name() {
        for (text, named) in [
            ("[[processes]]\ntype = \"../a\"\ncommand = [\"b\"]", "`../a`"),
            ("[[processes]]\ntype = \"a\"\ncommand = []", "`a`"),
            ("processes = [{type = \"a\", command = [\"b\"]}, {type = \"a\", command = [\"b\"]}]", "twice"),
            (
                "processes = [{type = \"a\", command = [\"b\"], default = true}, {type = \"c\", command = [\"b\"], default = true}]",
                "default",
            ),
        ] {
            let error = Metadata::default().add(buildpack("a", ApiVersion(0, 9)), launch(text));

            assert!(error.expect_err("refused").contains(named), "{text}");
        }
    }

    #[test]
    fn the_last_label_of_a_name_counts() {
        let mut metadata = Metadata::default();
        let label = |value: &str| launch(&format!("labels = [{{key = \"a\", value = \"{value}\"}}]"));

        metadata.add(buildpack("a", ApiVersion(0, 9)), label("1")).expect("first");
        metadata.add(buildpack("b", ApiVersion(0, 9)), label("2")).expect("second");

        assert_eq!(metadata.labels, [Label { key: "a".to_owned(), value: "2".to_owned() }]);
    }
}
