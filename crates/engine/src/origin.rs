//! Origin of users' images: registries that they name, on every engine.

use domain::image_reference::ImageReference;
use outbound::OutboundPolicy;

use crate::{ImageError, RegistryCredentials};
use oci::{
    Access, DOCUMENT_BYTES_MAX, ImageConfig, Login, Manifest, OciError, Repository, Transport, architecture,
    is_index,
};

/// Registries of others.
#[derive(Debug, Clone)]
pub struct Origins {
    transport: Transport,
}

impl Origins {
    /// Hosts that `policy` lists may be reached at any address.
    pub fn new(policy: OutboundPolicy) -> Self {
        Self { transport: Transport::guarded(policy) }
    }

    /// The repository that a reference names, accessed with these credentials.
    pub fn repository(
        &self,
        reference: &ImageReference,
        credentials: Option<&RegistryCredentials>,
        plain_hosts: &[String],
    ) -> Repository {
        let login = credentials
            .filter(|it| is_for(it, &reference.host))
            .map(|it| Login { username: it.username.clone(), password: it.password.clone() });
        let is_official = reference.host == "docker.io" && !reference.path.contains('/');
        let path = if is_official { format!("library/{}", reference.path) } else { reference.path.clone() };
        let base = base_of(&reference.host, plain_hosts);
        Repository::new(&self.transport, &base, &path, login, Access::Pull)
    }
}

/// Scheme, host and port of a registry. Loopback addresses are asked without TLS, as Docker does.
pub fn base_of(host: &str, plain_hosts: &[String]) -> String {
    let is_loopback = ["localhost", "127.0.0.1"].contains(&host.split(':').next().unwrap_or(host));
    match host {
        "docker.io" => "https://registry-1.docker.io".to_owned(),
        host if is_loopback || plain_hosts.iter().any(|it| it == host) => format!("http://{host}"),
        host => format!("https://{host}"),
    }
}

/// The manifest of an image; of an index, that of this platform.
pub async fn image_manifest(repository: &Repository, version: &str) -> Result<Manifest, OciError> {
    let manifest = repository.manifest(version).await?;
    if !is_index(&manifest) {
        return Ok(manifest);
    }
    let chosen = manifest
        .for_platform(architecture())
        .map_err(|reason| OciError::Malformed { what: format!("image {}", repository.name()), reason })?;
    repository.manifest(chosen.digest.as_str()).await
}

/// Runtime config of the image.
pub async fn image_config(repository: &Repository, manifest: &Manifest) -> Result<ImageConfig, OciError> {
    let malformed =
        |reason: String| OciError::Malformed { what: format!("image {}", repository.name()), reason };
    let config = manifest
        .content
        .config
        .as_ref()
        .ok_or_else(|| malformed("its manifest names no config".to_owned()))?;
    let bytes = repository.blob(&config.digest, DOCUMENT_BYTES_MAX).await?;
    ImageConfig::parse(&bytes).map_err(malformed)
}

/// Credentials go to the registry that they were given for and to no other.
fn is_for(credentials: &RegistryCredentials, host: &str) -> bool {
    let Some(named) = credentials.hostname.as_deref().filter(|named| !named.is_empty()) else { return true };
    let named = named.split("//").last().unwrap_or(named).split('/').next().unwrap_or(named);
    let hub = ["docker.io", "index.docker.io", "registry-1.docker.io", "hub.docker.com"];
    named == host || (host == "docker.io" && hub.contains(&named))
}

/// Error for a registry that has not answered in time; a retry may help.
pub fn too_long(host: &str) -> OciError {
    OciError::Unreachable { host: host.to_owned(), source: "it took too long".into() }
}

/// Classifies a registry's error. Registries answer alike for missing and forbidden images, so without credentials
/// Docker Hub's "denied" means missing.
pub fn image_error(
    reference: &ImageReference,
    has_credentials: bool,
    error: OciError,
    other: impl FnOnce(OciError) -> ImageError,
) -> ImageError {
    let named = || reference.to_string();
    match error {
        OciError::NotFound { .. } => ImageError::NotFound { reference: named() },
        OciError::Denied { .. } if reference.host == "docker.io" && !has_credentials => {
            ImageError::NotFound { reference: named() }
        }
        OciError::Denied { .. } => ImageError::Denied { reference: named() },
        error => other(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_go_to_the_registry_that_they_name() {
        let to = |hostname: Option<&str>, host: &str| {
            let hostname = hostname.map(str::to_owned);
            let (username, password) = (String::new(), String::new());
            is_for(&RegistryCredentials { username, password, hostname }, host)
        };
        assert!(to(None, "ghcr.io") && to(Some(""), "ghcr.io") && to(Some("ghcr.io"), "ghcr.io"));
        assert!(to(Some("https://index.docker.io/v1/"), "docker.io"));
        assert!(!to(Some("ghcr.io"), "quay.io") && !to(Some("docker.io"), "ghcr.io"));
    }

    #[test]
    fn on_docker_hub_what_a_stranger_may_not_see_is_missing() {
        let error = |reference: &str, has_credentials: bool| {
            let reference = ImageReference::parse(reference).expect("a reference");
            let denied = OciError::Denied { what: String::new() };
            let other = |_| panic!("it is sorted");
            image_error(&reference, has_credentials, denied, other).to_string()
        };
        assert_eq!(error("deis/nothing", false), "image deis/nothing:latest not found");
        let denied = "Permission Denied attempting to pull image ";
        assert_eq!(error("deis/nothing", true), format!("{denied}deis/nothing:latest"));
        assert_eq!(error("ghcr.io/a/b:c", false), format!("{denied}ghcr.io/a/b:c"));
    }
}
