//! Slug images: the stack image plus one layer, described by pure code.
//!
//! A buildpack build makes one layer; what else an image needs, its config and its manifest, is computed
//! here from the stack's. Nothing in them depends on time or place, so the same source gives the same
//! digest on every engine. Follows the OCI image spec 1.1; the archive is in `slug_archive`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::image::Digest;
use crate::names::ProcessType;

/// Label of the stack's config: its layers with their sizes, as JSON. `docker inspect` shows the digests but not
/// the sizes, and a manifest needs both.
pub const STACK_LAYERS_LABEL: &str = "io.deis.stack.layers";
/// Label of a slug image: its process types, as a JSON object.
pub const PROCESS_TYPES_LABEL: &str = "io.deis.process-types";
/// The slug's own user and group, also of build containers.
pub const SLUG_USER: &str = "2000:2000";
/// Id of that user and of its group.
pub const SLUG_USER_ID: u32 = 2000;
/// Port of a buildpack app unless its config sets one (docs/spec/api.md 5.4).
pub const SLUG_PORT: u16 = 5000;

/// Media type of an image manifest (OCI image spec, media types).
pub const MANIFEST_MEDIA_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG_MEDIA_TYPE: &str = "application/vnd.oci.image.config.v1+json";
const LAYER_MEDIA_TYPE: &str = "application/vnd.oci.image.layer.v1.tar";
/// The time is no part of a slug's identity.
const CREATED: &str = "1970-01-01T00:00:00Z";

/// One uncompressed layer: for such a layer the digest of the blob is also the `diff_id`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    pub digest: Digest,
    #[serde(rename = "size")]
    pub size_bytes: u64,
}

/// Parts of the stack image that a slug image inherits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stack {
    pub architecture: String,
    pub os: String,
    /// `NAME=value`, in the stack's order.
    pub env: Vec<String>,
    pub layers: Vec<Layer>,
}

/// An image that cannot be a stack.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StackError {
    #[error("the stack image's config is not an OCI image config: {0}")]
    Malformed(String),
    #[error("the stack image has no label {STACK_LAYERS_LABEL}; make it with `cargo xtask stack`")]
    NoLayersLabel,
    #[error(
        "label {STACK_LAYERS_LABEL} of the stack image does not match its layers; make it again with \
         `cargo xtask stack`"
    )]
    OtherLayers,
}

impl Stack {
    /// Reads a stack from its OCI config.
    ///
    /// # Errors
    ///
    /// [`StackError::Malformed`], or those of [`Stack::from_parts`].
    pub fn from_config(config_json: &[u8]) -> Result<Self, StackError> {
        let config: ImageConfig =
            serde_json::from_slice(config_json).map_err(|error| StackError::Malformed(error.to_string()))?;
        let ImageConfig { architecture, os, config, rootfs, .. } = config;
        let label = config.labels.get(STACK_LAYERS_LABEL).map(String::as_str);
        Self::from_parts(architecture, os, config.env, label, &rootfs.diff_ids)
    }

    /// Reads a stack from what an engine says about a stored image; `layers_label` is the value of
    /// [`STACK_LAYERS_LABEL`] and `diff_ids` the layers that the image really has.
    ///
    /// # Errors
    ///
    /// [`StackError::NoLayersLabel`] for an image that is not a stack, [`StackError::OtherLayers`] for a label
    /// that does not describe these layers.
    pub fn from_parts(
        architecture: String,
        os: String,
        env: Vec<String>,
        layers_label: Option<&str>,
        diff_ids: &[String],
    ) -> Result<Self, StackError> {
        let label = layers_label.ok_or(StackError::NoLayersLabel)?;
        let layers: Vec<Layer> = serde_json::from_str(label).map_err(|_| StackError::OtherLayers)?;
        if !layers.iter().map(|layer| layer.digest.as_str()).eq(diff_ids.iter().map(String::as_str)) {
            return Err(StackError::OtherLayers);
        }
        Ok(Self { architecture, os, env, layers })
    }
}

/// Config and manifest of a slug image, ready to be sent to an engine or a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlugImage {
    pub config: Vec<u8>,
    pub config_digest: Digest,
    pub manifest: Vec<u8>,
    /// The image's digest.
    pub digest: Digest,
    /// Layers from the lowest up; the last one is the slug.
    pub layers: Vec<Layer>,
}

/// Describes the image of `slug` on top of `stack`.
pub fn slug_image(stack: &Stack, slug: Layer, process_types: &BTreeMap<ProcessType, String>) -> SlugImage {
    let mut layers = stack.layers.clone();
    layers.push(slug);
    let config = to_json(&config(stack, &layers, process_types));
    let config_digest = Digest::of(&config);
    let manifest = to_json(&manifest(&config, &config_digest, &layers));
    let digest = Digest::of(&manifest);
    SlugImage { config, config_digest, manifest, digest, layers }
}

fn config(stack: &Stack, layers: &[Layer], process_types: &BTreeMap<ProcessType, String>) -> ImageConfig {
    let types: BTreeMap<&str, &String> =
        process_types.iter().map(|(process, command)| (process.as_str(), command)).collect();
    let types = serde_json::to_string(&types).expect("a map of texts is JSON");
    let history = |position: usize| History {
        created: CREATED.to_owned(),
        created_by: if position + 1 == layers.len() { "slug build" } else { "stack" }.to_owned(),
    };
    ImageConfig {
        created: CREATED.to_owned(),
        architecture: stack.architecture.clone(),
        os: stack.os.clone(),
        config: RunConfig {
            user: SLUG_USER.to_owned(),
            exposed_ports: BTreeMap::from([(format!("{SLUG_PORT}/tcp"), Empty {})]),
            env: stack.env.clone(),
            entrypoint: vec!["/usr/bin/slug".to_owned(), "run".to_owned()],
            cmd: vec!["web".to_owned()],
            working_dir: "/app".to_owned(),
            labels: BTreeMap::from([(PROCESS_TYPES_LABEL.to_owned(), types)]),
        },
        rootfs: RootFs {
            kind: "layers".to_owned(),
            diff_ids: layers.iter().map(|layer| layer.digest.to_string()).collect(),
        },
        history: (0..layers.len()).map(history).collect(),
    }
}

fn manifest(config: &[u8], config_digest: &Digest, layers: &[Layer]) -> Manifest {
    Manifest {
        schema_version: 2,
        media_type: MANIFEST_MEDIA_TYPE.to_owned(),
        config: Descriptor {
            media_type: CONFIG_MEDIA_TYPE.to_owned(),
            digest: config_digest.clone(),
            size: config.len() as u64,
        },
        layers: layers
            .iter()
            .map(|layer| Descriptor {
                media_type: LAYER_MEDIA_TYPE.to_owned(),
                digest: layer.digest.clone(),
                size: layer.size_bytes,
            })
            .collect(),
    }
}

fn to_json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("these structs hold nothing but texts, numbers and maps of texts")
}

/// OCI image config. Field order is part of the digest: append only.
#[derive(Debug, Serialize, Deserialize)]
struct ImageConfig {
    #[serde(default)]
    created: String,
    architecture: String,
    os: String,
    config: RunConfig,
    rootfs: RootFs,
    #[serde(default)]
    history: Vec<History>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[derive(Default)]
struct RunConfig {
    user: String,
    exposed_ports: BTreeMap<String, Empty>,
    env: Vec<String>,
    entrypoint: Vec<String>,
    cmd: Vec<String>,
    working_dir: String,
    labels: BTreeMap<String, String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Empty {}

#[derive(Debug, Serialize, Deserialize)]
struct RootFs {
    #[serde(rename = "type")]
    kind: String,
    diff_ids: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct History {
    #[serde(default)]
    created: String,
    #[serde(default)]
    created_by: String,
}

/// OCI image manifest. Field order is part of the digest: append only.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    schema_version: u32,
    media_type: String,
    config: Descriptor,
    layers: Vec<Descriptor>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    media_type: String,
    digest: Digest,
    size: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stack() -> Stack {
        Stack {
            architecture: "amd64".to_owned(),
            os: "linux".to_owned(),
            env: vec!["PATH=/usr/bin:/bin".to_owned(), "STACK=bookworm".to_owned()],
            layers: vec![
                Layer { digest: Digest::of(b"base"), size_bytes: 4096 },
                Layer { digest: Digest::of(b"packs"), size_bytes: 2048 },
            ],
        }
    }

    fn slug() -> Layer {
        Layer { digest: Digest::of(b"slug"), size_bytes: 1024 }
    }

    fn web(command: &str) -> BTreeMap<ProcessType, String> {
        BTreeMap::from([(ProcessType::web(), command.to_owned())])
    }

    #[test]
    fn the_same_source_gives_the_same_digest_and_other_source_another() {
        let image = slug_image(&stack(), slug(), &web("./serve"));

        assert_eq!(slug_image(&stack(), slug(), &web("./serve")), image);
        assert_ne!(slug_image(&stack(), slug(), &web("./other")).digest, image.digest);
        let other = Layer { digest: Digest::of(b"other"), ..slug() };
        assert_ne!(slug_image(&stack(), other, &web("./serve")).digest, image.digest);
    }

    /// A change here changes the digest of every slug image: the next push of each app makes a new one.
    #[test]
    fn config_and_manifest_are_as_the_oci_spec_wants_them() {
        let image = slug_image(&stack(), slug(), &web("./serve"));

        let config: serde_json::Value = serde_json::from_slice(&image.config).expect("config is JSON");
        insta::assert_json_snapshot!("slug_config", config);
        let manifest: serde_json::Value = serde_json::from_slice(&image.manifest).expect("manifest is JSON");
        insta::assert_json_snapshot!("slug_manifest", manifest);
        assert_eq!(image.config_digest, Digest::of(&image.config));
        assert_eq!(image.digest, Digest::of(&image.manifest));
    }

    #[test]
    fn a_stack_is_read_from_its_config_and_its_layers_must_match_the_label() {
        let layers = serde_json::to_string(&stack().layers).expect("layers are JSON");
        let config = |label: &str, diff_ids: &[&str]| {
            let labels = serde_json::json!({ label: layers });
            let config = serde_json::json!({
                "architecture": "amd64", "os": "linux",
                "config": { "Env": stack().env, "Labels": labels },
                "rootfs": { "type": "layers", "diff_ids": diff_ids },
            });
            serde_json::to_vec(&config).expect("a value is JSON")
        };
        let ids: Vec<_> = stack().layers.iter().map(|layer| layer.digest.to_string()).collect();
        let ids: Vec<_> = ids.iter().map(String::as_str).collect();

        assert_eq!(Stack::from_config(&config(STACK_LAYERS_LABEL, &ids)), Ok(stack()));
        assert_eq!(Stack::from_config(&config("other", &ids)), Err(StackError::NoLayersLabel));
        assert_eq!(Stack::from_config(&config(STACK_LAYERS_LABEL, &ids[..1])), Err(StackError::OtherLayers));
        assert!(matches!(Stack::from_config(b"{"), Err(StackError::Malformed(_))));
    }
}
