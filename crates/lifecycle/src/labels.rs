//! Labels of app images, as JSON.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::api::ApiVersion;
use crate::formats::process::Process;

pub const LIFECYCLE_METADATA: &str = "io.buildpacks.lifecycle.metadata";
pub const BUILD_METADATA: &str = "io.buildpacks.build.metadata";
pub const PROJECT_METADATA: &str = "io.buildpacks.project.metadata";
pub const REBASABLE: &str = "io.buildpacks.rebasable";

/// Uncompressed digest of a layer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerDigest {
    pub sha: String,
}

/// Value of [`LIFECYCLE_METADATA`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct LifecycleMetadata {
    #[serde(default)]
    pub app: Vec<LayerDigest>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sbom: Option<LayerDigest>,
    #[serde(default)]
    pub config: LayerDigest,
    #[serde(default, rename = "exec-env", skip_serializing_if = "Option::is_none")]
    pub exec_env: Option<String>,
    #[serde(default)]
    pub launcher: LayerDigest,
    #[serde(default, rename = "process-types", skip_serializing_if = "Option::is_none")]
    pub process_types: Option<LayerDigest>,
    #[serde(default)]
    pub buildpacks: Vec<BuildpackLayers>,
    #[serde(default, rename = "runImage")]
    pub run_image: RunImageMetadata,
}

/// Layers that one buildpack made.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct BuildpackLayers {
    pub key: String,
    pub version: String,
    #[serde(default)]
    pub layers: BTreeMap<String, LayerMetadata>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<Store>,
}

/// A layer of a buildpack: `<layer>.toml` and the layer's digest.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct LayerMetadata {
    #[serde(default)]
    pub sha: String,
    #[serde(default)]
    pub data: serde_json::Value,
    #[serde(default)]
    pub build: bool,
    #[serde(default)]
    pub launch: bool,
    #[serde(default)]
    pub cache: bool,
}

/// `store.toml` of a buildpack.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Store {
    #[serde(default)]
    pub metadata: serde_json::Value,
}

/// The run image below an app image: rebasing needs it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunImageMetadata {
    #[serde(default)]
    pub image: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mirrors: Vec<String>,
    #[serde(default, rename = "topLayer")]
    pub top_layer: String,
    #[serde(default)]
    pub reference: String,
}

/// Value of [`BUILD_METADATA`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct BuildMetadata {
    #[serde(default)]
    pub processes: Vec<LabelProcess>,
    #[serde(default)]
    pub buildpacks: Vec<LabelBuildpack>,
    #[serde(default)]
    pub launcher: LauncherMetadata,
}

/// A process type as the label has it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelProcess {
    #[serde(rename = "type")]
    pub process_type: String,
    #[serde(default)]
    pub command: Vec<String>,
    #[serde(default)]
    pub args: Vec<String>,
    #[serde(default)]
    pub direct: bool,
    #[serde(default, rename = "working-dir", skip_serializing_if = "Option::is_none")]
    pub working_dir: Option<String>,
    #[serde(default, rename = "buildpackID", skip_serializing_if = "Option::is_none")]
    pub buildpack_id: Option<String>,
    #[serde(default, rename = "exec-env", skip_serializing_if = "Vec::is_empty")]
    pub exec_env: Vec<String>,
}

impl From<Process> for LabelProcess {
    fn from(process: Process) -> Self {
        let Process { process_type, command, args, direct, default: _, working_dir, buildpack_id, exec_env } =
            process;
        Self { process_type, command, args, direct, working_dir, buildpack_id, exec_env }
    }
}

/// A buildpack of the detected group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelBuildpack {
    pub id: String,
    pub version: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub homepage: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api: Option<ApiVersion>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LauncherMetadata {
    #[serde(default)]
    pub version: String,
}
