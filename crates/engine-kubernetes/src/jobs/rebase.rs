//! A slug on the newest images of its stack, without a build: no layer moves, the registry gets a config and a manifest.

use domain::registry_access::app_repository;
use domain::slug_image::Slug;
use domain::stacks::StackName;
use domain::{AppName, Image};

use super::KubernetesJobs;
use super::failure::refused;
use crate::images::engine_error;
use engine::JobError;
use engine::slug_push::{StackReadError, put_image, read_stack, take_over};
use oci::{Access, DOCUMENT_BYTES_MAX, OciError};

/// The image of the slug on the newest images of the stack; the same image where it stands on them.
pub async fn rebase(
    jobs: &KubernetesJobs,
    app: &AppName,
    image: &Image,
    stack: &StackName,
) -> Result<Image, JobError> {
    let failed = |error: OciError| JobError::Engine(engine_error("rebase the app's image", error));
    let repository = |name: &str, access| jobs.settings.registry.repository(&jobs.transport, name, access);
    let kept = repository(&app_repository(app), Access::Pull);
    let manifest = kept.find_manifest(image.digest().as_str()).await.map_err(failed)?;
    let manifest =
        manifest.ok_or_else(|| refused("the image of the current release is gone; push once".to_owned()))?;
    let config = manifest.content.config.as_ref();
    let (Some(config), Some(layer)) = (config, manifest.content.layers.last()) else {
        return Err(refused("the image of the current release has no layer; push once".to_owned()));
    };
    let config = kept.blob(&config.digest, DOCUMENT_BYTES_MAX).await.map_err(failed)?;
    let slug = Slug::from_config(&config).map_err(|error| refused(error.to_string()))?;
    if slug.layer != layer.digest {
        return Err(refused(
            "the layers of the current release's image are compressed; push once".to_owned(),
        ));
    }
    let slug = slug.sized(layer.size_bytes);

    let newest = jobs.run_image(stack, &slug.toolchains).await?;
    let from = repository(&newest.repository, Access::Pull);
    let newest = read_stack(&from, &newest.version).await.map_err(|error| match error {
        StackReadError::NoStack(_) => refused(error.to_string()),
        StackReadError::Registry(error) => failed(error),
    })?;
    let rebased = slug.image(&newest);
    let made = Image::Built { app: app.clone(), digest: rebased.digest.clone() };
    if made != *image {
        let to = repository(&app_repository(app), Access::Push).mounting_from(&[from.name()]);
        take_over(&newest, &from, &to).await.map_err(failed)?;
        put_image(rebased, &to).await.map_err(failed)?;
    }
    Ok(made)
}
