//! Config and manifest of an app image, made by pure code from those of the run image.

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::facts::{Descriptor, ImageFacts};
use crate::failure::{LifecycleError, OrFailure, Result};

pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
/// The time that lifecycles give all images.
pub const CREATED: &str = "1980-01-01T00:00:01Z";

/// A layer on top of the run image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewLayer {
    pub descriptor: Descriptor,
    /// Uncompressed digest.
    pub diff_id: String,
    /// For people.
    pub created_by: String,
}

/// What an app image adds to its run image.
pub struct AppConfig {
    pub entrypoint: String,
    pub working_dir: String,
    pub env: Vec<(String, String)>,
    pub labels: Vec<(String, String)>,
    pub layers: Vec<NewLayer>,
}

/// Refuses facts that contradict each other.
pub fn check(image: &ImageFacts) -> Result<()> {
    let (layers, diff_ids) = (image.layers.len(), image.diff_ids().len());
    match image.config.is_object() && layers == diff_ids && layers > 0 {
        true => Ok(()),
        false => Err(LifecycleError::generic(format!(
            "facts of image {}: {layers} layers, {diff_ids} diff IDs in its config",
            image.reference
        ))),
    }
}

/// Config of the app image: the run image's, changed.
pub fn config(run_image: &ImageFacts, app: &AppConfig) -> Value {
    let mut config = run_image.config.clone();
    config["created"] = CREATED.into();
    config["rootfs"] = rootfs(&run_image.diff_ids(), &app.layers);
    set_history(&mut config, &app.layers);
    let inner = object(&mut config, "config");
    inner.insert("Entrypoint".to_owned(), json!([app.entrypoint]));
    inner.remove("Cmd");
    inner.insert("WorkingDir".to_owned(), app.working_dir.clone().into());
    let env = env(inner.get("Env"), &app.env);
    inner.insert("Env".to_owned(), env.into());
    let labels = object_in(inner, "Labels");
    for (name, value) in &app.labels {
        labels.insert(name.clone(), value.clone().into());
    }
    config
}

fn rootfs(below: &[&str], layers: &[NewLayer]) -> Value {
    let above = layers.iter().map(|layer| layer.diff_id.as_str());
    json!({"type": "layers", "diff_ids": below.iter().copied().chain(above).collect::<Vec<_>>()})
}

/// One entry for each new layer, or no history at all where that of the run image does not fit its layers.
pub fn set_history(config: &mut Value, layers: &[NewLayer]) {
    let all = config["rootfs"]["diff_ids"].as_array().map_or(0, Vec::len);
    let below = all - layers.len();
    let is_layer = |entry: &&Value| entry["empty_layer"].as_bool() != Some(true);
    let fits = |history: &Vec<Value>| history.iter().filter(is_layer).count() == below;
    match config["history"].as_array().cloned().filter(fits) {
        Some(mut history) => {
            let entry = |layer: &NewLayer| json!({"created": CREATED, "created_by": layer.created_by});
            history.extend(layers.iter().map(entry));
            config["history"] = history.into();
        }
        None => {
            if let Some(config) = config.as_object_mut() {
                config.remove("history");
            }
        }
    }
}

/// `NAME=value` of the run image, with these set; `PATH` is put in front of the old one.
fn env(old: Option<&Value>, new: &[(String, String)]) -> Vec<String> {
    let old: Vec<&str> =
        old.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    let value_of = |name: &str| old.iter().find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    let is_kept = |pair: &&&str| !new.iter().any(|(name, _)| pair.split('=').next() == Some(name));
    let mut env: Vec<_> = old.iter().filter(is_kept).map(|pair| (*pair).to_owned()).collect();
    for (name, value) in new {
        env.push(match (name.as_str(), value_of("PATH")) {
            ("PATH", Some(path)) if !path.is_empty() => format!("PATH={value}:{path}"),
            _ => format!("{name}={value}"),
        });
    }
    env
}

/// The object of this name, made where it is absent or null.
pub fn object<'a>(value: &'a mut Value, name: &str) -> &'a mut Map<String, Value> {
    if !value.is_object() {
        *value = json!({});
    }
    object_in(value.as_object_mut().expect("it was made one"), name)
}

pub fn object_in<'a>(map: &'a mut Map<String, Value>, name: &str) -> &'a mut Map<String, Value> {
    let value = map.entry(name).or_insert_with(|| json!({}));
    if !value.is_object() {
        *value = json!({});
    }
    value.as_object_mut().expect("it was made one")
}

/// Config and manifest of an image, ready to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Documents {
    pub config: Vec<u8>,
    pub config_digest: String,
    pub manifest: Vec<u8>,
    /// The image's digest.
    pub digest: String,
}

/// Writes config and manifest of an image whose layers are those of the run image and these.
pub fn documents(config: &Value, run_image: &ImageFacts, layers: &[NewLayer]) -> Result<Documents> {
    let config = serde_json::to_vec(config).or_fail("the config cannot be written")?;
    let config_digest = digest(&config);
    let descriptor = Descriptor {
        media_type: CONFIG.to_owned(),
        digest: config_digest.clone(),
        size: config.len() as u64,
    };
    let below = run_image.layers.iter().cloned().map(of_oci);
    let layers: Vec<_> = below.chain(layers.iter().map(|layer| layer.descriptor.clone())).collect();
    let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": descriptor, "layers": layers});
    let manifest = serde_json::to_vec(&manifest).or_fail("the manifest cannot be written")?;
    let digest = digest(&manifest);
    Ok(Documents { config, config_digest, manifest, digest })
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

/// Docker's media types name the same bytes as OCI's; a manifest has those of one family.
fn of_oci(mut layer: Descriptor) -> Descriptor {
    layer.media_type = match layer.media_type.as_str() {
        "application/vnd.docker.image.rootfs.diff.tar.gzip" => format!("{LAYER}+gzip"),
        "application/vnd.docker.image.rootfs.diff.tar.zstd" => format!("{LAYER}+zstd"),
        "application/vnd.docker.image.rootfs.diff.tar" => LAYER.to_owned(),
        _ => layer.media_type,
    };
    layer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn descriptor(digit: &str, media_type: &str) -> Descriptor {
        Descriptor { media_type: media_type.to_owned(), digest: format!("sha256:{digit}"), size: 1 }
    }

    fn run_image() -> ImageFacts {
        ImageFacts {
            image: "run".to_owned(),
            mirrors: Vec::new(),
            reference: "run@sha256:9".to_owned(),
            config: json!({
                "architecture": "amd64", "os": "linux", "history": [{"created_by": "base"}],
                "config": {"User": "1000", "Cmd": ["bash"], "Env": ["PATH=/bin", "A=b"], "Labels": null},
                "rootfs": {"type": "layers", "diff_ids": ["sha256:0"]},
            }),
            layers: vec![descriptor("z", "application/vnd.docker.image.rootfs.diff.tar.gzip")],
        }
    }

    fn app() -> AppConfig {
        let layer = NewLayer {
            descriptor: descriptor("1", LAYER),
            diff_id: "sha256:1".to_owned(),
            created_by: "layer".to_owned(),
        };
        AppConfig {
            entrypoint: "/cnb/process/web".to_owned(),
            working_dir: "/workspace".to_owned(),
            env: vec![
                ("CNB_APP_DIR".to_owned(), "/workspace".to_owned()),
                ("PATH".to_owned(), "/cnb/process".to_owned()),
            ],
            labels: vec![("a".to_owned(), "b".to_owned())],
            layers: vec![layer],
        }
    }

    #[test]
    fn the_run_images_config_is_kept_but_for_what_apps_set() {
        let config = config(&run_image(), &app());

        let expected = json!({
            "architecture": "amd64", "os": "linux", "created": CREATED,
            "history": [{"created_by": "base"}, {"created": CREATED, "created_by": "layer"}],
            "config": {
                "User": "1000", "Entrypoint": ["/cnb/process/web"], "WorkingDir": "/workspace",
                "Env": ["A=b", "CNB_APP_DIR=/workspace", "PATH=/cnb/process:/bin"], "Labels": {"a": "b"},
            },
            "rootfs": {"type": "layers", "diff_ids": ["sha256:0", "sha256:1"]},
        });
        assert_eq!(config, expected);
    }

    #[test]
    fn a_history_that_does_not_fit_its_layers_is_left_out() {
        let mut image = run_image();
        image.config["history"] = json!([]);

        assert_eq!(config(&image, &app()).get("history"), None);
    }

    #[test]
    fn the_manifest_has_media_types_of_oci_alone() {
        let documents = documents(&json!({}), &run_image(), &app().layers).expect("documents");

        let manifest: Value = serde_json::from_slice(&documents.manifest).expect("JSON");
        assert_eq!(manifest["config"]["digest"], documents.config_digest);
        assert_eq!(manifest["layers"][0]["mediaType"], format!("{LAYER}+gzip"));
        assert_eq!(manifest["layers"][1]["digest"], "sha256:1");
    }

    #[test]
    fn facts_that_contradict_each_other_are_refused() {
        let mut image = run_image();
        image.layers.clear();

        assert!(check(&image).is_err());
        assert!(check(&run_image()).is_ok());
    }
}
