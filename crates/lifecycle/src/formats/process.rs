//! Process types that buildpacks define.

use serde::{Deserialize, Deserializer, Serialize};

/// A process type. In `launch.toml` of Buildpack API 0.8 and below the command is a text.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    #[serde(rename = "type")]
    pub process_type: String,
    #[serde(deserialize_with = "text_or_list")]
    pub command: Vec<String>,
    #[serde(default)]
    pub args: Vec<String>,
    #[serde(default)]
    pub direct: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    pub default: bool,
    #[serde(default, rename = "working-dir", skip_serializing_if = "Option::is_none")]
    pub working_dir: Option<String>,
    #[serde(
        default,
        rename = "buildpack-id",
        alias = "buildpackID",
        skip_serializing_if = "Option::is_none"
    )]
    pub buildpack_id: Option<String>,
    #[serde(default, rename = "exec-env", skip_serializing_if = "Vec::is_empty")]
    pub exec_env: Vec<String>,
}

impl Process {
    /// A process without environments fits all of them.
    pub fn fits(&self, exec_env: &str) -> bool {
        fits_exec_env(&self.exec_env, exec_env)
    }
}

/// A list of execution environments includes this one, or is empty.
pub fn fits_exec_env(list: &[String], exec_env: &str) -> bool {
    list.is_empty() || list.iter().any(|it| it == exec_env || it == "*")
}

fn is_false(value: &bool) -> bool {
    !value
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Command {
    Text(String),
    List(Vec<String>),
}

fn text_or_list<'a, D: Deserializer<'a>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    Ok(match Command::deserialize(deserializer)? {
        Command::Text(text) => vec![text],
        Command::List(list) => list,
    })
}
