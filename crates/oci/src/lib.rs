//! A client of OCI registries: as much of the distribution specification 1.1 as images, caches and copies
//! of source need. Blobs are streamed; no image is ever whole in memory or in a file.
//!
//! Ours and not a library, since a mount needs a token for two repositories and `remove` needs deletion.

mod archive;
mod artifact;
mod auth;
mod blobs;
mod connector;
mod copy;
mod manifest;
mod transport;

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use domain::Digest;
use http::{Method, StatusCode, header};
use tokio::sync::Mutex;

pub use archive::{ArchiveError, LayoutPush, open_beneath, push_archive, push_image};
pub use artifact::{FileArtifact, digest_of_file};
pub use blobs::BlobStream;
pub use copy::{IMAGE_BYTES_MAX, copy_blob, copy_blobs, copy_image, image_bytes};
pub use manifest::{
    Descriptor, ImageConfig, Manifest, architecture, gzip_layer_type, is_index, media_type, null_as_none,
};
pub use transport::Transport;

use auth::Authorization;
use transport::{Body, RegistryResponse, empty, full};

/// Largest manifest and largest config.
pub const DOCUMENT_BYTES_MAX: usize = 4 << 20;
const ACCEPTED: &str = "application/vnd.oci.image.manifest.v1+json, \
    application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.v2+json, \
    application/vnd.docker.distribution.manifest.list.v2+json";

/// A failed request to a registry.
#[derive(Debug, thiserror::Error)]
pub enum OciError {
    #[error("{what} not found")]
    NotFound { what: String },
    #[error("{what}: access denied")]
    Denied { what: String },
    /// Trying again later may help.
    #[error("registry {host} does not answer: {source}")]
    Unreachable { host: String, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("{what}: registry answered {status}{message}")]
    Refused { what: String, status: u16, message: String },
    /// An address that is not connected to for users.
    #[error("registry {0}")]
    Closed(#[from] outbound::OutboundError),
    #[error("{what}: {reason}")]
    Malformed { what: String, reason: String },
    /// The data to send could not be read.
    #[error("{what}: {source}")]
    Source { what: String, source: std::io::Error },
}

/// User name and password.
#[derive(Clone)]
pub struct Login {
    pub username: String,
    pub password: String,
}

/// Shows the name only.
impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Login({})", self.username)
    }
}

/// Access to a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    Pull,
    Push,
    Delete,
}

/// One repository of one registry, as one account reaches it. Clones share its token.
#[derive(Clone)]
pub struct Repository {
    transport: Transport,
    /// Scheme, host and port.
    base: String,
    name: String,
    login: Option<Login>,
    scopes: Vec<String>,
    authorization: Arc<Mutex<Option<Authorization>>>,
}

impl Repository {
    /// `base` is scheme, host and port, such as `https://registry-1.docker.io`.
    pub fn new(transport: &Transport, base: &str, name: &str, login: Option<Login>, access: Access) -> Self {
        let actions = match access {
            Access::Pull => "pull",
            Access::Push => "pull,push",
            Access::Delete => "pull,delete",
        };
        Self {
            transport: transport.clone(),
            base: base.trim_end_matches('/').to_owned(),
            name: name.to_owned(),
            login,
            scopes: vec![format!("repository:{name}:{actions}")],
            authorization: Arc::default(),
        }
    }

    /// The same, able to mount blobs of other repositories of the registry.
    pub fn mounting_from(mut self, others: &[&str]) -> Self {
        self.scopes.extend(others.iter().map(|name| format!("repository:{name}:pull")));
        self
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns true if blobs of the other can be mounted here.
    pub fn is_beside(&self, other: &Self) -> bool {
        self.base == other.base
    }

    /// The manifest under a tag or a digest; checked against the digest where one is given.
    pub async fn manifest(&self, tag_or_digest: &str) -> Result<Manifest, OciError> {
        let what = self.shown(tag_or_digest);
        let path = format!("manifests/{tag_or_digest}");
        let answer = self.request(Method::GET, &path, &[(header::ACCEPT, ACCEPTED)], empty, &what).await?;
        let content_type = answer.header(header::CONTENT_TYPE.as_str()).unwrap_or_default().to_owned();
        let bytes = answer.bytes(DOCUMENT_BYTES_MAX, &what).await?;
        let manifest = Manifest::parse(bytes, &content_type)
            .map_err(|reason| OciError::Malformed { what: what.clone(), reason })?;
        match Digest::parse(tag_or_digest) {
            Ok(digest) if digest != manifest.digest => {
                Err(OciError::Malformed { what, reason: "its content has another digest".to_owned() })
            }
            _ => Ok(manifest),
        }
    }

    /// The same; `None` where there is none.
    pub async fn find_manifest(&self, tag_or_digest: &str) -> Result<Option<Manifest>, OciError> {
        optional(self.manifest(tag_or_digest).await)
    }

    /// Returns true if there is a manifest under a tag or a digest.
    pub async fn has_manifest(&self, tag_or_digest: &str) -> Result<bool, OciError> {
        let what = self.shown(tag_or_digest);
        let path = format!("manifests/{tag_or_digest}");
        let answer = self.request(Method::HEAD, &path, &[(header::ACCEPT, ACCEPTED)], empty, &what).await;
        Ok(optional(answer)?.is_some())
    }

    /// Puts a manifest under a tag or its digest; its blobs must be there.
    pub async fn put_manifest(
        &self,
        tag_or_digest: &str,
        media_type: &str,
        bytes: Bytes,
    ) -> Result<(), OciError> {
        let what = self.shown(tag_or_digest);
        let path = format!("manifests/{tag_or_digest}");
        let body = || full(bytes.clone());
        self.request(Method::PUT, &path, &[(header::CONTENT_TYPE, media_type)], body, &what).await.map(drop)
    }

    /// Removes the manifest of a tag or a digest; a missing one is no error, nor a registry that never removes.
    pub async fn remove_manifest(&self, tag_or_digest: &str) -> Result<(), OciError> {
        let what = self.shown(tag_or_digest);
        let path = format!("manifests/{tag_or_digest}");
        match self.request(Method::DELETE, &path, &[], empty, &what).await {
            Ok(_) | Err(OciError::NotFound { .. }) => Ok(()),
            Err(OciError::Refused { status: 405, .. }) => {
                tracing::debug!(what, "the registry does not remove manifests");
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Removes the manifest that a tag names, by its digest; a missing one is no error.
    pub async fn remove_tagged(&self, tag: &str) -> Result<(), OciError> {
        match self.find_manifest(tag).await? {
            Some(manifest) => self.remove_manifest(manifest.digest.as_str()).await,
            None => Ok(()),
        }
    }

    /// Tags of the repository, as many as the registry lists at once; none where it does not exist.
    pub async fn tags(&self) -> Result<Vec<String>, OciError> {
        #[derive(serde::Deserialize)]
        struct Tags {
            tags: Option<Vec<String>>,
        }
        let what = format!("tags of {}", self.name);
        let answer = optional(self.request(Method::GET, "tags/list", &[], empty, &what).await)?;
        let Some(answer) = answer else { return Ok(Vec::new()) };
        let bytes = answer.bytes(DOCUMENT_BYTES_MAX, &what).await?;
        let tags: Tags = serde_json::from_slice(&bytes)
            .map_err(|error| OciError::Malformed { what, reason: error.to_string() })?;
        Ok(tags.tags.unwrap_or_default())
    }

    fn shown(&self, tag_or_digest: &str) -> String {
        let joint = if tag_or_digest.contains(':') { '@' } else { ':' };
        format!("image {}{joint}{tag_or_digest}", self.name)
    }

    /// Sends a request below the repository, with a token if the registry asks for one.
    async fn request(
        &self,
        method: Method,
        path: &str,
        headers: &[(header::HeaderName, &str)],
        body: impl Fn() -> Body,
        what: &str,
    ) -> Result<RegistryResponse, OciError> {
        let url = format!("{}/v2/{}/{path}", self.base, self.name);
        let answer = self.send_once(&method, &url, headers, body()).await?;
        if answer.status() != StatusCode::UNAUTHORIZED {
            return answer.succeeded(what).await;
        }
        let challenge = answer.header(header::WWW_AUTHENTICATE.as_str()).unwrap_or_default().to_owned();
        let authorization =
            auth::answer(&self.transport, &self.base, &challenge, self.login.as_ref(), &self.scopes, what)
                .await?;
        *self.authorization.lock().await = Some(authorization);
        self.send_once(&method, &url, headers, body()).await?.succeeded(what).await
    }

    async fn send_once(
        &self,
        method: &Method,
        url: &str,
        headers: &[(header::HeaderName, &str)],
        body: Body,
    ) -> Result<RegistryResponse, OciError> {
        let authorization = self.authorization.lock().await.as_ref().map(Authorization::header);
        self.transport.send(method, url, headers, authorization.as_deref(), body).await
    }
}

/// Turns "not found" into `None`.
fn optional<T>(answer: Result<T, OciError>) -> Result<Option<T>, OciError> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(OciError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
