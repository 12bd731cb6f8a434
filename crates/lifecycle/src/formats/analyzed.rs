//! `analyzed.toml`: what is known of the run image and of the app's last image.

use serde::{Deserialize, Serialize};

use crate::facts::ImageFacts;
use crate::formats::json;
use crate::labels::LIFECYCLE_METADATA;

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Analyzed {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<Reference>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<toml::Value>,
    #[serde(default, rename = "run-image", skip_serializing_if = "Option::is_none")]
    pub run_image: Option<RunImage>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Reference {
    #[serde(default)]
    pub reference: String,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RunImage {
    #[serde(default)]
    pub image: String,
    #[serde(default)]
    pub reference: String,
    #[serde(default)]
    pub extend: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
}

/// Operating system and architecture on which an app runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    #[serde(default)]
    pub os: String,
    #[serde(default)]
    pub arch: String,
    #[serde(default, alias = "arch-variant", skip_serializing_if = "String::is_empty")]
    pub variant: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distro: Option<Distro>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Distro {
    #[serde(default)]
    pub name: String,
    #[serde(default)]
    pub version: String,
}

impl Target {
    /// Reads the target from an image's config.
    pub fn of(image: &ImageFacts) -> Self {
        let text = |field: &str| image.config[field].as_str().unwrap_or_default().to_owned();
        let label = |name: &str| image.label(name).unwrap_or_default().to_owned();
        let distro = Distro {
            name: label("io.buildpacks.base.distro.name"),
            version: label("io.buildpacks.base.distro.version"),
        };
        let distro = (!distro.name.is_empty()).then_some(distro);
        Self { os: text("os"), arch: text("architecture"), variant: text("variant"), distro }
    }
}

/// Makes `analyzed.toml` from the images' facts.
pub fn analyzed(run_image: &ImageFacts, previous: Option<&ImageFacts>) -> Analyzed {
    let metadata = previous.and_then(|image| serde_json::from_str(image.label(LIFECYCLE_METADATA)?).ok());
    Analyzed {
        image: previous.map(|image| Reference { reference: image.reference.clone() }),
        metadata: metadata.as_ref().and_then(json::to_toml),
        run_image: Some(RunImage {
            image: run_image.image.clone(),
            reference: run_image.reference.clone(),
            extend: false,
            target: Some(Target::of(run_image)),
        }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_run_images_target_and_the_last_images_metadata_are_written() {
        let run_image = ImageFacts {
            image: "run".to_owned(),
            mirrors: Vec::new(),
            reference: "run@sha256:1".to_owned(),
            config: json!({"os": "linux", "architecture": "amd64", "config": {"Labels": {
                "io.buildpacks.base.distro.name": "debian", "io.buildpacks.base.distro.version": "13"}}}),
            layers: Vec::new(),
        };
        let label = r#"{"config": {"sha": "sha256:2"}, "stack": null}"#;
        let config = json!({"config": {"Labels": {"io.buildpacks.lifecycle.metadata": label}}});
        let previous = ImageFacts { config, ..run_image.clone() };

        let text = toml::to_string(&analyzed(&run_image, Some(&previous))).expect("TOML");

        let read: Analyzed = toml::from_str(&text).expect("it is read again");
        assert_eq!(read, analyzed(&run_image, Some(&previous)));
        assert!(text.contains("sha = \"sha256:2\"") && text.contains("name = \"debian\""), "{text}");
    }
}
