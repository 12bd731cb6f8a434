//! A slug on the newest images of its stack, without a build: Docker gets its layer once more, on other layers.

use domain::image_reference::kept_name;
use domain::slug_image::{Slug, SlugImage};
use domain::stacks::StackName;
use domain::{AppName, Image};

use super::DockerHost;
use super::failure::{self, job_error};
use super::stack::{self, LayerContents};
use engine::JobError;

/// The image of the slug on the newest images of the stack; the same image where it stands on them.
pub async fn rebase(
    place: &DockerHost<'_>,
    app: &AppName,
    image: &Image,
    stack: &StackName,
) -> Result<Image, JobError> {
    let refused = |reason: String| JobError::Refused { reason };
    let name = kept_name(&place.namespace(), app, image);
    let found = place.docker.inspect_image(&name).await.map_err(|error| match failure::status(&error) {
        Some(404) => refused("the image of the current release is gone; push once".to_owned()),
        _ => job_error("look for the app's image", error),
    })?;
    let labels = found.config.and_then(|config| config.labels).unwrap_or_default();
    let layers = found.root_fs.and_then(|files| files.layers).unwrap_or_default();
    let slug = Slug::find(|name| labels.get(name).map(String::as_str), &layers)
        .map_err(|error| refused(error.to_string()))?;
    let newest = stack::run_image(place, stack, &slug.toolchains).await?;
    // Docker's classic store calls an image by its config, in which no size of a layer stands.
    let config_digest = slug.clone().sized(0).image(&newest).config_digest;
    if found.id.as_deref() == Some(config_digest.as_str()) {
        return Ok(image.clone());
    }

    let mut contents = LayerContents::default();
    contents.read(place, &name, &[slug.layer.as_str()]).await?;
    let size_bytes = contents.layer(&name, slug.layer.as_str())?.size_bytes;
    let rebased = slug.sized(size_bytes).image(&newest);
    let SlugImage { digest, layers, .. } = &rebased;
    let made = Image::Built { app: app.clone(), digest: digest.clone() };
    if made != *image {
        let name = kept_name(&place.namespace(), app, &made);
        stack::load(place, &rebased, layers.len() - 1, &contents, &name).await?;
    }
    Ok(made)
}
