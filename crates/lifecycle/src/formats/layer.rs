//! `<layer>.toml`, `store.toml` and `build.toml`, and names of layers and of their SBOM files.

use serde::{Deserialize, Serialize};

/// `<layer>.toml`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct LayerFile {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub types: Option<LayerTypes>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<toml::Value>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerTypes {
    #[serde(default)]
    pub launch: bool,
    #[serde(default)]
    pub build: bool,
    #[serde(default)]
    pub cache: bool,
}

impl LayerFile {
    pub fn types(&self) -> LayerTypes {
        self.types.unwrap_or_default()
    }
}

impl LayerTypes {
    pub fn is_ignored(self) -> bool {
        self == Self::default()
    }
}

/// `store.toml`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct StoreFile {
    #[serde(default)]
    pub metadata: toml::Table,
}

/// `build.toml`
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct BuildFile {
    #[serde(default)]
    pub unmet: Vec<Unmet>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Unmet {
    pub name: String,
}

/// Name of the layer that a file of a buildpack's layers folder describes.
pub fn layer_of_file(name: &str) -> Option<&str> {
    let layer = name.strip_suffix(".toml")?;
    (!matches!(layer, "launch" | "build" | "store" | "")).then_some(layer)
}

/// Extensions of SBOM files with their media types.
pub const SBOM_EXTENSIONS: [(&str, &str); 3] = [
    ("cdx.json", "application/vnd.cyclonedx+json"),
    ("spdx.json", "application/spdx+json"),
    ("syft.json", "application/vnd.syft+json"),
];

/// Splits `<layer>.sbom.<ext>` into the layer and the extension.
pub fn sbom_of_file(name: &str) -> Option<(&str, &'static str)> {
    let found = |(extension, _): &(&'static str, _)| {
        let layer = name.strip_suffix(extension)?.strip_suffix(".sbom.")?;
        (!layer.is_empty()).then_some((layer, *extension))
    };
    SBOM_EXTENSIONS.iter().find_map(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_tell_their_layer() {
        assert_eq!(layer_of_file("node.v1.toml"), Some("node.v1"));
        assert_eq!(layer_of_file("launch.toml"), None);
        assert_eq!(sbom_of_file("node.sbom.spdx.json"), Some(("node", "spdx.json")));
        assert_eq!(sbom_of_file("node.sbom.xml"), None);
        assert_eq!(sbom_of_file(".sbom.cdx.json"), None);
    }
}
