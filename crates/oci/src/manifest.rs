//! Manifests and configs of images, as read from registries: OCI image spec 1.1 and Docker's schema 2.

use std::collections::BTreeMap;

use bytes::Bytes;
use domain::Digest;
use serde::{Deserialize, Serialize};

/// Media types of documents and layers that the platform writes.
pub mod media_type {
    pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
    pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
    pub const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
    pub const LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
    /// Of `{}`, the config of what is no image.
    pub const EMPTY: &str = "application/vnd.oci.empty.v1+json";
}

const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";

/// Platforms of an index that are named where ours is not among them.
const PLATFORMS_SHOWN_MAX: usize = 10;

/// A manifest or an index of manifests.
#[derive(Debug, Clone)]
pub struct Manifest {
    pub media_type: String,
    pub digest: Digest,
    /// As it came: its digest is over these.
    pub bytes: Bytes,
    pub content: Content,
}

/// Content of a manifest.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Content {
    #[serde(default)]
    media_type: Option<String>,
    #[serde(default)]
    pub config: Option<Descriptor>,
    #[serde(default, deserialize_with = "null_as_none")]
    pub layers: Vec<Descriptor>,
    #[serde(default)]
    pub manifests: Vec<Descriptor>,
}

/// Reads a list that Go programs write as `null` where it is empty.
pub fn null_as_none<'de, T: Deserialize<'de>, D: serde::Deserializer<'de>>(
    value: D,
) -> Result<Vec<T>, D::Error> {
    Ok(Option::deserialize(value)?.unwrap_or_default())
}

/// A blob or a manifest that another document names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    pub media_type: String,
    pub digest: Digest,
    #[serde(rename = "size")]
    pub size_bytes: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    pub architecture: String,
    pub os: String,
}

impl Descriptor {
    pub fn new(media_type: &str, digest: Digest, size_bytes: u64) -> Self {
        let media_type = media_type.to_owned();
        Self { media_type, digest, size_bytes, platform: None, annotations: BTreeMap::new() }
    }
}

impl Manifest {
    /// Reads what a registry sent with this content type.
    pub fn parse(bytes: Bytes, content_type: &str) -> Result<Self, String> {
        let content: Content = serde_json::from_slice(&bytes)
            .map_err(|_| "its manifest is of no kind that is known".to_owned())?;
        let named = content.media_type.clone();
        let media_type =
            named.unwrap_or_else(|| content_type.split(';').next().unwrap_or("").trim().to_owned());
        if ![media_type::INDEX, DOCKER_LIST, media_type::MANIFEST, DOCKER_MANIFEST]
            .contains(&media_type.as_str())
        {
            return Err("its manifest is of a kind that is not known; push it anew".to_owned());
        }
        Ok(Self { media_type, digest: Digest::of(&bytes), bytes, content })
    }

    /// Of an index: the image for this platform.
    pub fn for_platform(&self, architecture: &str) -> Result<&Descriptor, String> {
        let is_it = |descriptor: &&Descriptor| {
            descriptor.platform.as_ref().is_some_and(|it| it.os == "linux" && it.architecture == architecture)
        };
        self.content.manifests.iter().find(is_it).ok_or_else(|| {
            let offered: Vec<_> =
                self.content.manifests.iter().filter_map(|it| it.platform.as_ref()).collect();
            let is_word =
                |text: &str| text.len() <= 16 && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
            let is_plain = |it: &&&Platform| is_word(&it.os) && is_word(&it.architecture);
            let offered = offered.iter().filter(is_plain).take(PLATFORMS_SHOWN_MAX);
            let offered: Vec<_> = offered.map(|it| format!("{}/{}", it.os, it.architecture)).collect();
            format!("it has no variant for linux/{architecture}, only {}", offered.join(", "))
        })
    }

    /// Of an index of one image, as tools write it around an image: that one, else the one for this platform.
    pub fn only_or_for_platform(&self, architecture: &str) -> Result<&Descriptor, String> {
        match self.content.manifests.as_slice() {
            [only] => Ok(only),
            _ => self.for_platform(architecture),
        }
    }

    /// The `index.json` of an archive that has this image alone, under its full name: stores of containerd's kind know no
    /// other.
    pub fn archive_index(&self, name: &str) -> Vec<u8> {
        let index = serde_json::json!({
            "schemaVersion": 2, "mediaType": media_type::INDEX,
            "manifests": [{
                "mediaType": self.media_type, "digest": self.digest, "size": self.bytes.len(),
                "annotations": { "io.containerd.image.name": name },
            }],
        });
        index.to_string().into_bytes()
    }

    /// The config and the layers, which a registry must have before the manifest.
    pub fn blobs(&self) -> impl Iterator<Item = &Descriptor> {
        self.content.config.iter().chain(&self.content.layers)
    }
}

pub fn is_index(manifest: &Manifest) -> bool {
    matches!(manifest.media_type.as_str(), media_type::INDEX | DOCKER_LIST)
}

/// Returns true for the media type of a layer that is compressed with gzip.
pub fn gzip_layer_type(media_type: &str) -> bool {
    media_type.ends_with("+gzip") || media_type.ends_with(".tar.gzip")
}

/// This machine's architecture, as OCI names it.
pub fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// Used parts of an image's config.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct ImageConfig {
    #[serde(default)]
    config: Option<RunConfig>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct RunConfig {
    user: Option<String>,
    exposed_ports: Option<BTreeMap<String, serde_json::Value>>,
}

impl ImageConfig {
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(bytes).map_err(|_| "its config is not an image's".to_owned())
    }

    /// Exposed TCP ports, ascending.
    pub fn ports(&self) -> Vec<u16> {
        let ports = self.config.iter().flat_map(|config| config.exposed_ports.iter().flatten());
        let mut ports: Vec<u16> =
            ports.filter_map(|(port, _)| port.strip_suffix("/tcp").unwrap_or(port).parse().ok()).collect();
        ports.sort_unstable();
        ports
    }

    pub fn user(&self) -> String {
        self.config.as_ref().and_then(|config| config.user.clone()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn manifest(value: &serde_json::Value) -> Result<Manifest, String> {
        Manifest::parse(Bytes::from(value.to_string()), "application/json")
    }

    #[test]
    fn an_index_gives_the_image_of_a_platform_or_says_which_it_has() {
        let entry = |os: &str, architecture: &str| {
            json!({ "mediaType": media_type::MANIFEST, "digest": Digest::of(architecture.as_bytes()), "size": 1,
                "platform": { "os": os, "architecture": architecture } })
        };
        let entries = [entry("windows", "arm64"), entry("linux", "amd64"), entry("unknown", "unknown")];
        let index =
            manifest(&json!({ "mediaType": media_type::INDEX, "manifests": entries })).expect("an index");

        assert!(is_index(&index));
        assert_eq!(index.for_platform("amd64").expect("it is there").digest, Digest::of(b"amd64"));
        let missing = index.for_platform("arm64").expect_err("that one is for Windows");
        assert!(missing.contains("linux/arm64") && missing.contains("linux/amd64"), "{missing}");
    }

    #[test]
    fn manifests_of_unknown_kinds_are_refused() {
        let old = manifest(&json!({ "schemaVersion": 1, "fsLayers": [] })).expect_err("schema 1");
        assert!(old.contains("not known"), "{old}");
        assert!(Manifest::parse(Bytes::from_static(b"<html>"), media_type::MANIFEST).is_err());
    }

    #[test]
    fn ports_and_user_are_read_and_may_be_missing() {
        let config = json!({ "config": { "User": "1001", "ExposedPorts": { "9090/tcp": {}, "53/udp": {}, "80": {} } } });
        let config = ImageConfig::parse(config.to_string().as_bytes()).expect("a config");
        assert_eq!((config.ports(), config.user()), (vec![80, 9090], "1001".to_owned()));

        let bare = ImageConfig::parse(br#"{"config":{"ExposedPorts":null}}"#).expect("a config");
        assert_eq!((bare.ports(), bare.user()), (vec![], String::new()));
    }
}
