//! Slug images: the stack image plus one layer, described by pure code.
//!
//! A buildpack build makes one layer; what else an image needs, its config and its manifest, is computed
//! here from the stack's. Nothing in them depends on time or place, so the same source gives the same
//! digest on every engine; on newer images of its stack it is another image, made without a build. Follows the OCI image spec 1.1; the archive is in `slug_archive`.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Deserializer, Serialize};

use crate::image::Digest;
use crate::names::ProcessType;

/// Label of the stack's config: its layers with their sizes, as JSON. `docker inspect` shows the digests but not
/// the sizes, and a manifest needs both.
pub const STACK_LAYERS_LABEL: &str = "io.deis.stack.layers";
/// Label of a slug image: its process types, as a JSON object.
pub const PROCESS_TYPES_LABEL: &str = "io.deis.process-types";
/// Label of a slug image that stands on toolchains: their names, separated by commas.
pub const TOOLCHAINS_LABEL: &str = "io.deis.toolchains";
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
const SLUG_PROGRAM: &str = "/usr/bin/slug";
const SLUG_FOLDER: &str = "/app";
/// The time is no part of a slug's identity.
const CREATED: &str = "1970-01-01T00:00:00Z";

/// One uncompressed layer: for such a layer the digest of the blob is also the `diff_id`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    pub digest: Digest,
    #[serde(rename = "size")]
    pub size_bytes: u64,
}

/// Part of a stack's image that other images are put together with; the label names it beside the layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LayerPart {
    /// `slug` and its folders.
    Platform,
    /// The packs, which only builds need.
    Packs,
    Toolchain,
}

/// A layer as the label describes it.
#[derive(Debug, Serialize, Deserialize)]
struct LabelLayer {
    #[serde(flatten)]
    layer: Layer,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    part: Option<LayerPart>,
}

/// Layers of a stack's image, by its label, that are this part.
///
/// # Errors
///
/// [`StackError::OtherLayers`] for a text that is no such label.
pub fn part_layers(layers_label: &str, part: LayerPart) -> Result<Vec<Layer>, StackError> {
    let layers: Vec<LabelLayer> = serde_json::from_str(layers_label).map_err(|_| StackError::OtherLayers)?;
    Ok(layers.into_iter().filter(|it| it.part == Some(part)).map(|it| it.layer).collect())
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
        StackConfig::parse(config_json)?.stack()
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

    /// The stack with these layers on top, each once.
    #[must_use]
    pub fn with_layers(mut self, layers: impl IntoIterator<Item = Layer>) -> Self {
        for layer in layers {
            if !self.layers.contains(&layer) {
                self.layers.push(layer);
            }
        }
        self
    }

    /// The environment that slugs expect, of an image that was not made for them.
    #[must_use]
    pub fn with_slug_environment(mut self) -> Self {
        self.set("HOME", SLUG_FOLDER);
        if !self.env.iter().any(|pair| pair.starts_with("LANG=")) {
            self.set("LANG", "C.UTF-8");
        }
        self
    }

    /// The stack with this value of `STACK`.
    #[must_use]
    pub fn with_variable(mut self, value: Option<&str>) -> Self {
        if let Some(value) = value {
            self.set("STACK", value);
        }
        self
    }

    fn set(&mut self, name: &str, value: &str) {
        self.env.retain(|pair| pair.split('=').next() != Some(name));
        self.env.push(format!("{name}={value}"));
    }

    /// Describes the image of the stack itself, for one that was put together of others.
    pub fn image(&self) -> SlugImage {
        let label = serde_json::to_string(&self.layers).expect("layers are JSON");
        let history = History { created: CREATED.to_owned(), created_by: "stack".to_owned() };
        let empty = Slug { layer: (), process_types: BTreeMap::new(), toolchains: BTreeSet::new() };
        let mut config = config(self, &self.layers, &empty);
        config.history = vec![history; self.layers.len()];
        config.config.cmd = Vec::new();
        config.config.entrypoint = vec![SLUG_PROGRAM.to_owned()];
        config.config.labels = BTreeMap::from([(STACK_LAYERS_LABEL.to_owned(), label)]);
        described(&config, self.layers.clone())
    }
}

/// Parts of an image's OCI config that a stack is read from; an image of others has no label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StackConfig {
    pub architecture: String,
    pub os: String,
    pub env: Vec<String>,
    /// Value of [`STACK_LAYERS_LABEL`].
    pub layers_label: Option<String>,
    /// Digests of the uncompressed layers, from the lowest up.
    pub diff_ids: Vec<String>,
}

impl StackConfig {
    /// # Errors
    ///
    /// [`StackError::Malformed`]
    pub fn parse(config_json: &[u8]) -> Result<Self, StackError> {
        let ImageConfig { architecture, os, config, rootfs, .. } =
            serde_json::from_slice(config_json).map_err(|error| StackError::Malformed(error.to_string()))?;
        let RunConfig { env, mut labels, .. } = config;
        let layers_label = labels.remove(STACK_LAYERS_LABEL);
        Ok(Self { architecture, os, env, layers_label, diff_ids: rootfs.diff_ids })
    }

    /// # Errors
    ///
    /// Those of [`Stack::from_parts`].
    pub fn stack(&self) -> Result<Stack, StackError> {
        let Self { architecture, os, env, layers_label, diff_ids } = self.clone();
        Stack::from_parts(architecture, os, env, layers_label.as_deref(), &diff_ids)
    }

    /// Digests of the layers above those of `base`, or, on another version of the same base, of those that are a
    /// toolchain by the label; `None` if the image stands on another one.
    pub fn layers_above(&self, base: &Self) -> Option<Vec<String>> {
        if let Some(above) = self.diff_ids.strip_prefix(&base.diff_ids[..]) {
            return Some(above.to_vec());
        }
        let label = self.layers_label.as_ref()?;
        self.stack().ok().filter(|_| self.diff_ids.first() == base.diff_ids.first())?;
        let layers = part_layers(label, LayerPart::Toolchain).ok()?;
        Some(layers.into_iter().map(|layer| layer.digest.to_string()).collect())
    }

    /// An image that was made as one of a stack; what others made of it has a label that does not describe it.
    pub fn is_stack(&self) -> bool {
        self.stack().is_ok()
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

/// Content of a slug image besides its stack: the layer of a build, and what that build found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slug<L> {
    pub layer: L,
    pub process_types: BTreeMap<ProcessType, String>,
    /// Toolchains of the stack that it stands on.
    pub toolchains: BTreeSet<String>,
}

/// An image that is no slug image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("its image was not made by a buildpack of this platform; push once")]
pub struct NotASlug;

impl Slug<Layer> {
    /// Describes the image of the slug on top of `stack`.
    pub fn image(&self, stack: &Stack) -> SlugImage {
        let mut layers = stack.layers.clone();
        layers.push(self.layer.clone());
        described(&config(stack, &layers, self), layers)
    }
}

impl Slug<Digest> {
    /// Finds the slug in a slug image, by its labels and the digests of its uncompressed layers from the lowest up.
    ///
    /// # Errors
    ///
    /// [`NotASlug`]
    pub fn find<'a>(label: impl Fn(&str) -> Option<&'a str>, diff_ids: &[String]) -> Result<Self, NotASlug> {
        let process_types = label(PROCESS_TYPES_LABEL).ok_or(NotASlug)?;
        let process_types = serde_json::from_str(process_types).map_err(|_| NotASlug)?;
        let layer = diff_ids.last().ok_or(NotASlug)?;
        let layer = Digest::parse(layer).map_err(|_| NotASlug)?;
        let toolchains = label(TOOLCHAINS_LABEL).unwrap_or_default().split(',');
        let toolchains = toolchains.filter(|name| !name.is_empty()).map(str::to_owned).collect();
        Ok(Self { layer, process_types, toolchains })
    }

    /// Finds the slug in a slug image, by its OCI config.
    ///
    /// # Errors
    ///
    /// [`NotASlug`]
    pub fn from_config(config_json: &[u8]) -> Result<Self, NotASlug> {
        let config: ImageConfig = serde_json::from_slice(config_json).map_err(|_| NotASlug)?;
        let labels = config.config.labels;
        Self::find(|name| labels.get(name).map(String::as_str), &config.rootfs.diff_ids)
    }

    /// The slug with the size of its layer in bytes.
    pub fn sized(self, size_bytes: u64) -> Slug<Layer> {
        let Self { layer: digest, process_types, toolchains } = self;
        Slug { layer: Layer { digest, size_bytes }, process_types, toolchains }
    }
}

fn described(config: &ImageConfig, layers: Vec<Layer>) -> SlugImage {
    let config = to_json(config);
    let config_digest = Digest::of(&config);
    let manifest = to_json(&manifest(&config, &config_digest, &layers));
    let digest = Digest::of(&manifest);
    SlugImage { config, config_digest, manifest, digest, layers }
}

fn config<L>(stack: &Stack, layers: &[Layer], slug: &Slug<L>) -> ImageConfig {
    let types: BTreeMap<&str, &String> =
        slug.process_types.iter().map(|(process, command)| (process.as_str(), command)).collect();
    let types = serde_json::to_string(&types).expect("a map of texts is JSON");
    let mut labels = BTreeMap::from([(PROCESS_TYPES_LABEL.to_owned(), types)]);
    if !slug.toolchains.is_empty() {
        let names: Vec<_> = slug.toolchains.iter().map(String::as_str).collect();
        labels.insert(TOOLCHAINS_LABEL.to_owned(), names.join(","));
    }
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
            entrypoint: vec![SLUG_PROGRAM.to_owned(), "run".to_owned()],
            cmd: vec!["web".to_owned()],
            working_dir: SLUG_FOLDER.to_owned(),
            labels,
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
    #[serde(deserialize_with = "null_as_none")]
    exposed_ports: BTreeMap<String, Empty>,
    #[serde(deserialize_with = "null_as_none")]
    env: Vec<String>,
    #[serde(deserialize_with = "null_as_none")]
    entrypoint: Vec<String>,
    #[serde(deserialize_with = "null_as_none")]
    cmd: Vec<String>,
    working_dir: String,
    #[serde(deserialize_with = "null_as_none")]
    labels: BTreeMap<String, String>,
}

/// Other programs write `null` for an empty list.
fn null_as_none<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(input: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(input)?.unwrap_or_default())
}

#[derive(Debug, Serialize, Deserialize)]
struct Empty {}

#[derive(Debug, Serialize, Deserialize)]
struct RootFs {
    #[serde(rename = "type")]
    kind: String,
    diff_ids: Vec<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
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

    fn slug(content: &[u8], command: &str) -> Slug<Layer> {
        let layer = Layer { digest: Digest::of(content), size_bytes: 1024 };
        let process_types = BTreeMap::from([(ProcessType::web(), command.to_owned())]);
        Slug { layer, process_types, toolchains: BTreeSet::new() }
    }

    #[test]
    fn the_same_source_gives_the_same_digest_and_other_source_another() {
        let image = slug(b"slug", "./serve").image(&stack());

        assert_eq!(slug(b"slug", "./serve").image(&stack()), image);
        assert_ne!(slug(b"slug", "./other").image(&stack()).digest, image.digest);
        assert_ne!(slug(b"other", "./serve").image(&stack()).digest, image.digest);
    }

    #[test]
    fn a_slug_is_found_in_its_image_and_stands_on_newer_images_of_its_stack() {
        let toolchains = BTreeSet::from(["java", "ruby"].map(str::to_owned));
        let slug = Slug { toolchains, ..slug(b"slug", "./serve") };
        let image = slug.image(&stack());
        let newer = Layer { digest: Digest::of(b"security"), size_bytes: 9 };
        let newer = Stack { layers: vec![newer], ..stack() };

        let found = Slug::from_config(&image.config).expect("a slug").sized(1024);

        assert_eq!(found, slug);
        assert_eq!(found.image(&stack()), image, "on the same stack it is the same image");
        let rebased = found.image(&newer);
        assert_eq!(rebased.layers, [newer.layers[0].clone(), slug.layer]);
        assert_eq!(Slug::from_config(&stack().image().config), Err(NotASlug));
        assert_eq!(Slug::from_config(b"{"), Err(NotASlug));
    }

    /// A change here changes the digest of every slug image: the next push of each app makes a new one.
    #[test]
    fn config_and_manifest_are_as_the_oci_spec_wants_them() {
        let image = slug(b"slug", "./serve").image(&stack());

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
    #[test]
    fn an_image_that_was_put_together_is_a_stack_with_the_layers_of_all() {
        let java = Layer { digest: Digest::of(b"java"), size_bytes: 512 };

        let whole = stack()
            .with_layers([java.clone(), java.clone()])
            .with_slug_environment()
            .with_variable(Some("heroku-24"));

        assert_eq!(whole.layers.last(), Some(&java));
        assert_eq!(whole.layers.len(), 3, "a layer is there once");
        assert_eq!(whole.env[1..], ["HOME=/app", "LANG=C.UTF-8", "STACK=heroku-24"]);
        assert_eq!(Stack::from_config(&whole.image().config), Ok(whole));
    }

    #[test]
    fn the_label_says_which_layers_others_are_put_together_with() {
        let layer = |text: &[u8]| serde_json::json!({ "digest": Digest::of(text), "size": 9 });
        let mut ruby = layer(b"ruby");
        ruby["part"] = "toolchain".into();
        let label = serde_json::json!([layer(b"base"), ruby]).to_string();

        let found = part_layers(&label, LayerPart::Toolchain);

        assert_eq!(found, Ok(vec![Layer { digest: Digest::of(b"ruby"), size_bytes: 9 }]));
        assert_eq!(part_layers(&label, LayerPart::Packs), Ok(Vec::new()));
        assert_eq!(part_layers("{", LayerPart::Packs), Err(StackError::OtherLayers));
    }
}
