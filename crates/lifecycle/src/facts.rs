//! Facts of an image that the platform hands to phases without access to registries.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::labels::{LIFECYCLE_METADATA, LifecycleMetadata};

/// Blob of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Descriptor {
    #[serde(rename = "mediaType")]
    pub media_type: String,
    pub digest: String,
    pub size: u64,
}

/// An image as its registry or Docker describes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ImageFacts {
    /// Name without digest, as `run.toml` has it; for a run image.
    #[serde(default)]
    pub image: String,
    #[serde(default)]
    pub mirrors: Vec<String>,
    /// Names exactly this image: `name@sha256:...` or the digest of its config.
    #[serde(default)]
    pub reference: String,
    /// OCI image config, whole.
    pub config: Value,
    /// Layers of its manifest, from the lowest up: as many as the config has `diff_ids`.
    pub layers: Vec<Descriptor>,
}

impl ImageFacts {
    /// Digests of the uncompressed layers, from the lowest up.
    pub fn diff_ids(&self) -> Vec<&str> {
        self.config["rootfs"]["diff_ids"].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
    }

    pub fn label(&self, name: &str) -> Option<&str> {
        self.config["config"]["Labels"][name].as_str()
    }

    /// Metadata that the exporter of this image left, if it was made by a lifecycle.
    pub fn lifecycle_metadata(&self) -> Option<LifecycleMetadata> {
        serde_json::from_str(self.label(LIFECYCLE_METADATA)?).ok()
    }

    /// The layer whose uncompressed digest is this one.
    pub fn layer(&self, diff_id: &str) -> Option<&Descriptor> {
        let place = self.diff_ids().iter().position(|it| *it == diff_id)?;
        self.layers.get(place)
    }
}
