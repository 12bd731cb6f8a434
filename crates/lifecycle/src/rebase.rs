//! Rebase: the layers of an app on a new run image, by pure code on configs and manifests.

use serde_json::{Value, json};

use crate::export::image::{CREATED, Documents, NewLayer, check, documents, object, object_in, set_history};
use crate::facts::ImageFacts;
use crate::failure::{LifecycleError, OrFailure, Result};
use crate::formats::analyzed::Target;
use crate::labels::{LIFECYCLE_METADATA, LifecycleMetadata, REBASABLE};

/// Puts the app's layers on another run image. `is_forced` allows one that is not named in the app's metadata, or is
/// for another target.
pub fn rebase(app: &ImageFacts, run_image: &ImageFacts, is_forced: bool) -> Result<Documents> {
    check(app)?;
    check(run_image)?;
    let mut metadata = metadata_of(app)?;
    if !is_forced {
        check_allowed(app, run_image, &metadata)?;
    }
    let layers = app_layers(app, &metadata.run_image.top_layer)?;
    set_run_image(&mut metadata, run_image, is_forced);
    let config = config(app, run_image, &metadata, &layers)?;
    documents(&config, run_image, &layers)
}

fn metadata_of(app: &ImageFacts) -> Result<LifecycleMetadata> {
    app.lifecycle_metadata().ok_or_else(|| refused(app, "it has no label of a lifecycle that can be read"))
}

fn check_allowed(app: &ImageFacts, run_image: &ImageFacts, metadata: &LifecycleMetadata) -> Result<()> {
    if app.label(REBASABLE) == Some("false") {
        return Err(refused(app, "it says that it cannot be rebased"));
    }
    let known = [&metadata.run_image.image].into_iter().chain(&metadata.run_image.mirrors);
    if !known.into_iter().any(|name| *name == run_image.image || run_image.mirrors.contains(name)) {
        let known = &metadata.run_image.image;
        return Err(refused(app, &format!("its run image is {known}, not {}", run_image.image)));
    }
    let (old, new) = (Target::of(app), Target::of(run_image));
    match old == new {
        true => Ok(()),
        false => Err(refused(app, &format!("it is for {}, the run image for {}", text(&old), text(&new)))),
    }
}

fn text(target: &Target) -> String {
    let distro = target.distro.clone().unwrap_or_default();
    format!("{}/{} {} {}", target.os, target.arch, distro.name, distro.version)
}

/// Layers above the old run image's top layer.
fn app_layers(app: &ImageFacts, top_layer: &str) -> Result<Vec<NewLayer>> {
    let diff_ids = app.diff_ids();
    let top = diff_ids.iter().rposition(|it| *it == top_layer);
    let top = top.ok_or_else(|| refused(app, "the top layer of its run image is not among its layers"))?;
    let history: Vec<_> = app.config["history"].as_array().cloned().unwrap_or_default();
    let is_layer = |entry: &&Value| entry["empty_layer"].as_bool() != Some(true);
    let created_by: Vec<_> =
        history.iter().filter(is_layer).map(|entry| entry["created_by"].as_str()).collect();
    let layer = |place: usize| NewLayer {
        descriptor: app.layers[place].clone(),
        diff_id: diff_ids[place].to_owned(),
        created_by: created_by.get(place).copied().flatten().unwrap_or("layer of the app").to_owned(),
    };
    Ok((top + 1..diff_ids.len()).map(layer).collect())
}

fn set_run_image(metadata: &mut LifecycleMetadata, run_image: &ImageFacts, is_forced: bool) {
    let old = &mut metadata.run_image;
    let is_known = old.image == run_image.image || old.mirrors.contains(&run_image.image);
    if is_forced && !is_known {
        old.image.clone_from(&run_image.image);
        old.mirrors.clear();
    }
    old.top_layer = run_image.diff_ids().last().copied().unwrap_or_default().to_owned();
    old.reference.clone_from(&run_image.reference);
}

/// Labels of the run image that follow it.
fn is_of_base(label: &str) -> bool {
    label.starts_with("io.buildpacks.base.") || label.starts_with("io.buildpacks.stack.")
}

fn config(
    app: &ImageFacts,
    run_image: &ImageFacts,
    metadata: &LifecycleMetadata,
    layers: &[NewLayer],
) -> Result<Value> {
    let mut config = app.config.clone();
    config["created"] = CREATED.into();
    for field in ["os", "architecture", "variant"] {
        match run_image.config.get(field) {
            Some(value) => config[field] = value.clone(),
            None => drop(config.as_object_mut().and_then(|config| config.remove(field))),
        }
    }
    let above = layers.iter().map(|layer| layer.diff_id.as_str());
    let diff_ids: Vec<_> = run_image.diff_ids().into_iter().chain(above).collect();
    config["rootfs"] = json!({"type": "layers", "diff_ids": diff_ids});
    config["history"] = run_image.config["history"].clone();
    set_history(&mut config, layers);
    let label = serde_json::to_string(metadata).or_fail("a label cannot be written")?;
    let inner = object(&mut config, "config");
    let labels = object_in(inner, "Labels");
    labels.retain(|name, _| !is_of_base(name));
    let of_base = run_image.config["config"]["Labels"].as_object().into_iter().flatten();
    labels.extend(
        of_base.filter(|(name, _)| is_of_base(name)).map(|(name, value)| (name.clone(), value.clone())),
    );
    labels.insert(LIFECYCLE_METADATA.to_owned(), label.into());
    Ok(config)
}

fn refused(app: &ImageFacts, why: &str) -> LifecycleError {
    LifecycleError::generic(format!("image {} cannot be rebased: {why}", app.reference))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::image::LAYER;
    use crate::facts::Descriptor;

    fn facts(layers: &[&str], labels: &Value, env: &str) -> ImageFacts {
        let digest = |name: &&str| format!("sha256:{name}");
        let descriptor =
            |name: &&str| Descriptor { media_type: LAYER.to_owned(), digest: digest(name), size: 1 };
        let history: Vec<_> = layers.iter().map(|name| json!({"created_by": name})).collect();
        ImageFacts {
            image: "run".to_owned(),
            mirrors: Vec::new(),
            reference: "run@sha256:new".to_owned(),
            config: json!({
                "os": "linux", "architecture": "amd64", "history": history,
                "config": {"Env": [env], "Labels": labels},
                "rootfs": {"type": "layers", "diff_ids": layers.iter().map(digest).collect::<Vec<_>>()},
            }),
            layers: layers.iter().map(descriptor).collect(),
        }
    }

    fn app() -> ImageFacts {
        let label = r#"{"runImage": {"image": "run", "topLayer": "sha256:b", "reference": "old"}, "app": [{"sha": "sha256:d"}]}"#;
        facts(
            &["a", "b", "c", "d"],
            &json!({LIFECYCLE_METADATA: label, "io.buildpacks.base.id": "old", "mine": "1"}),
            "A=app",
        )
    }

    fn rebased(app: &ImageFacts, run_image: &ImageFacts, is_forced: bool) -> Result<(Value, Value)> {
        let Documents { config, manifest, .. } = rebase(app, run_image, is_forced)?;
        let json = |bytes: &[u8]| serde_json::from_slice(bytes).expect("JSON");
        Ok((json(&config), json(&manifest)))
    }

    #[test]
    fn layers_above_the_old_top_layer_stand_on_the_new_run_image() {
        let new = facts(&["x", "y", "z"], &json!({"io.buildpacks.base.id": "new", "other": "2"}), "A=run");

        let (config, manifest) = rebased(&app(), &new, false).expect("rebased");

        let diff_ids = ["sha256:x", "sha256:y", "sha256:z", "sha256:c", "sha256:d"];
        assert_eq!(config["rootfs"]["diff_ids"], json!(diff_ids));
        let digests: Vec<_> =
            manifest["layers"].as_array().expect("layers").iter().map(|it| &it["digest"]).collect();
        assert_eq!(json!(digests), json!(diff_ids));
        assert_eq!(config["history"][4]["created_by"], "d");
        assert_eq!(config["config"]["Env"], json!(["A=app"]));
        let labels = &config["config"]["Labels"];
        assert_eq!(
            (&labels["io.buildpacks.base.id"], &labels["mine"], &labels["other"]),
            (&json!("new"), &json!("1"), &Value::Null)
        );
        let label: Value =
            serde_json::from_str(labels[LIFECYCLE_METADATA].as_str().expect("text")).expect("JSON");
        assert_eq!(
            label["runImage"],
            json!({"image": "run", "topLayer": "sha256:z", "reference": "run@sha256:new"})
        );
        assert_eq!(label["app"], json!([{"sha": "sha256:d"}]));
    }

    #[test]
    fn another_run_image_or_target_must_be_forced() {
        let mut other = facts(&["x"], &json!({}), "");
        other.image = "other".to_owned();
        assert!(rebased(&app(), &other, false).expect_err("refused").message.contains("other"));
        let mut arm = facts(&["x"], &json!({}), "");
        arm.config["architecture"] = json!("arm64");
        assert!(rebased(&app(), &arm, false).expect_err("refused").message.contains("arm64"));

        let config = rebased(&app(), &other, true).expect("forced").0;

        let label = config["config"]["Labels"][LIFECYCLE_METADATA].as_str().expect("text").to_owned();
        assert!(label.contains(r#""image":"other""#), "{label}");
    }

    #[test]
    fn images_that_cannot_be_rebased_are_refused_with_the_reason() {
        let new = facts(&["x"], &json!({}), "");
        let mut app = app();
        app.config["config"]["Labels"][REBASABLE] = json!("false");
        assert!(rebased(&app, &new, false).expect_err("refused").message.contains("says"));
        app.config["config"]["Labels"] =
            json!({LIFECYCLE_METADATA: r#"{"runImage": {"image": "run", "topLayer": "sha256:q"}}"#});
        assert!(rebased(&app, &new, false).expect_err("refused").message.contains("top layer"));
        app.config["config"]["Labels"] = json!({});
        assert!(rebased(&app, &new, false).expect_err("refused").message.contains("label"));
    }
}
