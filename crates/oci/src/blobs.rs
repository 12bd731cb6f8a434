//! Blobs: looked for, fetched, sent and mounted, always as streams, always checked.

use std::path::Path;
use std::pin::Pin;

use bytes::Bytes;
use domain::Digest;
use futures_util::{Stream, StreamExt as _, TryStreamExt as _};
use http::{Method, header};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use sha2::Digest as _;
use tokio::io::AsyncWriteExt as _;
use tokio_util::io::StreamReader;

use super::auth::{Authorization, escaped};
use super::transport::{self, Body, empty};
use super::{Descriptor, OciError, Repository, optional};

/// Streaming content of a blob.
pub type BlobStream = Pin<Box<dyn Stream<Item = std::io::Result<Bytes>> + Send>>;

impl Repository {
    pub async fn has_blob(&self, digest: &Digest) -> Result<bool, OciError> {
        let what = self.shown_blob(digest);
        let answer = self.request(Method::HEAD, &format!("blobs/{digest}"), &[], empty, &what).await;
        Ok(optional(answer)?.is_some())
    }

    /// A small blob, whole and checked.
    pub async fn blob(&self, digest: &Digest, bytes_max: usize) -> Result<Bytes, OciError> {
        let what = self.shown_blob(digest);
        let bytes = self.get_blob(digest).await?.bytes(bytes_max, &what).await?;
        if Digest::of(&bytes) == *digest {
            return Ok(bytes);
        }
        Err(OciError::Malformed { what, reason: "its content has another digest".to_owned() })
    }

    /// A blob as it comes; the stream fails at its end if size or digest are not the descriptor's.
    pub async fn blob_stream(&self, blob: &Descriptor) -> Result<BlobStream, OciError> {
        let (body, host) = self.get_blob(&blob.digest).await?.into_body();
        let (digest, size_bytes) = (blob.digest.clone(), blob.size_bytes);
        let state = (body, host, sha2::Sha256::new(), 0_u64);
        let stream = futures_util::stream::try_unfold(state, move |(mut body, host, mut hash, mut seen)| {
            let digest = digest.clone();
            async move {
                let part = transport::next_part(&mut body, &host).await.map_err(std::io::Error::other)?;
                let Some(part) = part else {
                    let is_it = seen == size_bytes && hex::encode(hash.finalize()) == digest.hex();
                    let wrong = || std::io::Error::other(format!("blob {digest} came damaged from {host}"));
                    return if is_it { Ok(None) } else { Err(wrong()) };
                };
                seen += part.len() as u64;
                if seen > size_bytes {
                    return Err(std::io::Error::other(format!("blob {digest} is longer than it should be")));
                }
                hash.update(&part);
                Ok(Some((part, (body, host, hash, seen))))
            }
        });
        Ok(stream.boxed())
    }

    /// Writes a blob to a file; one that is damaged leaves an error and a part of itself.
    pub async fn fetch_blob(&self, blob: &Descriptor, to: &Path) -> Result<(), OciError> {
        let unwritable = |source| OciError::Source { what: format!("write {}", to.display()), source };
        let content = self.blob_stream(blob).await?;
        let mut content = StreamReader::new(content.map_err(std::io::Error::other));
        let mut file = tokio::fs::File::create(to).await.map_err(unwritable)?;
        tokio::io::copy(&mut content, &mut file).await.map_err(unwritable)?;
        file.flush().await.map_err(unwritable)
    }

    /// Sends a blob that the repository does not have; the registry checks its digest.
    pub async fn push_blob(
        &self,
        digest: &Digest,
        size_bytes: u64,
        content: BlobStream,
    ) -> Result<(), OciError> {
        let what = self.shown_blob(digest);
        let begun = self.request(Method::POST, "blobs/uploads/", &[], empty, &what).await?;
        self.upload(&begun.location()?, digest, size_bytes, content, &what).await
    }

    /// Sends a small blob if the repository does not have it.
    pub async fn push_bytes(&self, bytes: Bytes) -> Result<Digest, OciError> {
        let digest = Digest::of(&bytes);
        if !self.has_blob(&digest).await? {
            let size_bytes = bytes.len() as u64;
            let content = futures_util::stream::iter([Ok(bytes)]).boxed();
            self.push_blob(&digest, size_bytes, content).await?;
        }
        Ok(digest)
    }

    /// Takes over a blob of another repository of the same registry; `false` where the registry does not.
    pub async fn mount_blob(&self, digest: &Digest, from: &str) -> Result<bool, OciError> {
        let what = self.shown_blob(digest);
        let path = format!("blobs/uploads/?mount={digest}&from={}", escaped(from));
        let answer = self.request(Method::POST, &path, &[], empty, &what).await?;
        if answer.status() == http::StatusCode::CREATED {
            return Ok(true);
        }
        // It has begun an upload instead, which nobody will finish.
        if let Ok(location) = answer.location() {
            let _ = self.send_once(&Method::DELETE, &location, &[], empty()).await;
        }
        Ok(false)
    }

    async fn upload(
        &self,
        location: &str,
        digest: &Digest,
        size_bytes: u64,
        content: BlobStream,
        what: &str,
    ) -> Result<(), OciError> {
        let broken = std::sync::Arc::new(std::sync::Mutex::new(None));
        let body = body_of(content, broken.clone());
        let length = size_bytes.to_string();
        let headers =
            [(header::CONTENT_TYPE, "application/octet-stream"), (header::CONTENT_LENGTH, length.as_str())];
        let sent = self.send_once(&Method::PATCH, location, &headers, body).await;
        // The reason on our side says more than the registry's complaint about missing bytes.
        let source = broken.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        if let Some(source) = source {
            return Err(OciError::Source { what: what.to_owned(), source });
        }
        let location = sent?.succeeded(what).await?.location()?;
        let joint = if location.contains('?') { '&' } else { '?' };
        let url = format!("{location}{joint}digest={digest}");
        let headers = [(header::CONTENT_LENGTH, "0")];
        self.send_once(&Method::PUT, &url, &headers, empty()).await?.succeeded(what).await.map(drop)
    }

    async fn get_blob(&self, digest: &Digest) -> Result<transport::RegistryResponse, OciError> {
        let what = self.shown_blob(digest);
        let answer = self.request(Method::GET, &format!("blobs/{digest}"), &[], empty, &what).await?;
        let authorization = self.authorization.lock().await.as_ref().map(Authorization::header);
        self.transport.follow(answer, authorization.as_deref()).await?.succeeded(&what).await
    }

    fn shown_blob(&self, digest: &Digest) -> String {
        format!("layer {}@{digest}", self.name)
    }
}

type Broken = std::sync::Arc<std::sync::Mutex<Option<std::io::Error>>>;

/// The stream as a request's body, which also remembers why it broke off.
fn body_of(content: BlobStream, broken: Broken) -> Body {
    let frames = content.map_ok(Frame::data).map_err(move |error| {
        let text = error.to_string();
        *broken.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(error);
        transport::Error::from(text)
    });
    BodyExt::boxed_unsync(StreamBody::new(frames))
}
