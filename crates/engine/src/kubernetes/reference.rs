//! From an image to the reference that nodes pull: the only place where the registry's host is added.

use domain::image_reference::ImageReference;
use domain::{AppName, Image};

use super::RegistrySettings;

/// What the pods of `app` run; the error says why there is none.
pub fn reference(registry: &RegistrySettings, app: &AppName, image: &Image) -> Result<String, String> {
    let host = &registry.node_host;
    match image {
        Image::Built { app: owner, digest } => Ok(format!("{host}/{owner}@{digest}")),
        Image::External { digest, .. } if registry.keeps_copies => Ok(format!("{host}/{app}@{digest}")),
        Image::External { reference, digest } => {
            let parsed = ImageReference::parse(reference);
            let parsed =
                parsed.map_err(|error| format!("image reference `{reference}` is not valid: {error}"))?;
            Ok(format!("{}/{}@{digest}", parsed.host, path(&parsed)))
        }
    }
}

/// Docker Hub's own images lie in a folder that users do not write.
fn path(parsed: &ImageReference) -> String {
    let is_official = parsed.host == "docker.io" && !parsed.path.contains('/');
    if is_official { format!("library/{}", parsed.path) } else { parsed.path.clone() }
}
