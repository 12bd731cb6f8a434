//! Pulling: an image that is not here is fetched from its registry.
//!
//! A pulled image gets a name of the platform's and loses the one it came by. So the next `deis pull` of
//! the same tag asks the registry again, an app without credentials cannot use what another app pulled
//! with them, and nothing is left that nobody would remove.

use std::time::Duration;

use bollard::auth::DockerCredentials;
use bollard::errors::Error;
use bollard::models::ImageInspect;
use bollard::query_parameters::CreateImageOptionsBuilder;
use domain::Digest;
use domain::image_reference::ImageReference;
use futures_util::StreamExt as _;

use super::super::jobs::{Place, engine_error, message, named_images, remove_image, tag};
use super::{digest_of, inspect};
use crate::{EngineError, ImageError, RegistryCredentials};

/// Until Docker has begun: names are looked up, the registry has answered.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(45);
/// Between two signs of progress.
const PROGRESS_TIMEOUT: Duration = Duration::from_secs(60);
const PULL_TIMEOUT: Duration = Duration::from_secs(20 * 60);
/// No app has this name: those begin with a letter.
const PULLED: &str = "0pulled";

/// The platform's name for an image that was pulled and not kept for an app yet.
pub fn name(place: &Place<'_>, digest: &Digest) -> String {
    format!("{}/{PULLED}:{}", place.namespace(), digest.hex())
}

/// Pulls the image.
pub async fn pull(
    place: &Place<'_>,
    reference: &ImageReference,
    credentials: Option<&RegistryCredentials>,
) -> Result<ImageInspect, ImageError> {
    let fetched = tokio::time::timeout(PULL_TIMEOUT, fetch(place, reference, credentials)).await;
    match fetched.unwrap_or(Err(Error::RequestTimeoutError)) {
        Ok(()) => {}
        Err(error) => return Err(failure(reference, credentials.is_some(), error)),
    }
    let source = reference.pinned_name();
    let not_found = || ImageError::NotFound { reference: reference.to_string() };
    let found = inspect(place.docker, &source).await?.ok_or_else(not_found)?;
    let name = name(place, &digest_of(reference, &found)?);
    let what = "name the pulled image";
    tag(place.docker, &source, &name).await.map_err(|error| engine_error(what, error))?;
    remove_image(place.docker, &source).await.map_err(|error| engine_error(what, error))?;
    Ok(found)
}

async fn fetch(
    place: &Place<'_>,
    reference: &ImageReference,
    credentials: Option<&RegistryCredentials>,
) -> Result<(), Error> {
    let version = reference.digest.as_ref().map(Digest::to_string).or(reference.tag.clone());
    let options = CreateImageOptionsBuilder::default()
        .from_image(&reference.repository())
        .tag(&version.unwrap_or_default())
        .build();
    let docker = place.docker.clone().with_timeout(ANSWER_TIMEOUT);
    let mut progress = docker.create_image(Some(options), None, credentials.map(|it| login(it, reference)));
    loop {
        let next = tokio::time::timeout(PROGRESS_TIMEOUT, progress.next()).await;
        match next.map_err(|_| Error::RequestTimeoutError)? {
            Some(state) => drop(state?),
            None => return Ok(()),
        }
    }
}

fn login(credentials: &RegistryCredentials, reference: &ImageReference) -> DockerCredentials {
    let RegistryCredentials { username, password, hostname } = credentials;
    DockerCredentials {
        username: Some(username.clone()),
        password: Some(password.clone()),
        serveraddress: Some(hostname.clone().unwrap_or_else(|| reference.host.clone())),
        ..DockerCredentials::default()
    }
}

/// Sorts what Docker said; registries answer alike for what is missing and what is forbidden, so
/// without credentials "may require login" counts as missing.
fn failure(reference: &ImageReference, has_credentials: bool, error: Error) -> ImageError {
    let (said, text) = match &error {
        Error::RequestTimeoutError => (true, "it did not answer in time".to_owned()),
        Error::DockerResponseServerError { .. } | Error::DockerStreamError { .. } => (true, message(&error)),
        _ => (false, String::new()),
    };
    if !said {
        return engine_error(&format!("pull image {reference}"), error).into();
    }
    let lower = text.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    let is_missing = says(&["not found", "manifest unknown", "does not exist", "no such image"]);
    if says(&["denied", "unauthorized", "no basic auth", "forbidden"]) && (has_credentials || !is_missing) {
        return ImageError::Denied { reference: reference.to_string() };
    }
    if is_missing {
        return ImageError::NotFound { reference: reference.to_string() };
    }
    let reason = format!(
        "image {reference} not found on this machine, and pulling it from {} failed: {text}; where no \
         registry can be reached, bring the image with `docker load`",
        reference.host
    );
    ImageError::Engine(EngineError::Refused { what: "pull".to_owned(), reason })
}

/// Takes away the name that a pulled image had until an app kept it.
pub async fn forget(place: &Place<'_>, digest: &Digest) {
    if let Err(error) = remove_image(place.docker, &name(place, digest)).await {
        tracing::warn!(%digest, error = message(&error), "cannot remove the name of a pulled image");
    }
}

/// Takes such names away that an earlier process left.
pub async fn remove_strays(place: &Place<'_>) -> Result<(), Error> {
    let repository = format!("{}/{PULLED}", place.namespace());
    for (name, _) in named_images(place.docker, &repository).await? {
        remove_image(place.docker, &name).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(text: &str, has_credentials: bool) -> String {
        let reference = ImageReference::parse("deis/nothing").expect("a good reference");
        let error = Error::DockerStreamError { error: text.to_owned() };
        failure(&reference, has_credentials, error).to_string()
    }

    #[test]
    fn missing_forbidden_and_unreachable_images_are_told_apart() {
        let ambiguous = "pull access denied for deis/nothing, repository does not exist or may require \
            'docker login': denied: requested access to the resource is denied";
        let missing = "image deis/nothing:latest not found";
        let denied = "Permission Denied attempting to pull image deis/nothing:latest";

        assert_eq!(sorted(ambiguous, false), missing);
        assert_eq!(sorted(ambiguous, true), denied);
        assert_eq!(sorted("manifest unknown: manifest unknown", false), missing);
        assert_eq!(sorted("Get https://x/v2/: unauthorized: incorrect username or password", true), denied);
        let unreachable = sorted("Get https://x/v2/: dial tcp: lookup x: no such host", false);
        assert!(unreachable.contains("image deis/nothing:latest not found on this machine"), "{unreachable}");
        assert!(unreachable.contains("no such host"), "{unreachable}");
    }
}
