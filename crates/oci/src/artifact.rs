//! Artifacts of one file: the file is their layer, and their config is empty.

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;
use domain::Digest;
use futures_util::StreamExt as _;
use serde_json::json;
use sha2::Digest as _;
use tokio::io::AsyncReadExt as _;
use tokio_util::io::ReaderStream;

use super::{Descriptor, OciError, Repository, media_type};

const CHUNK_BYTES: usize = 256 << 10;

/// Description of an artifact.
pub struct FileArtifact {
    /// Such as `application/vnd.deis.git-bundle.v1`.
    pub artifact_type: &'static str,
    /// Media type of the file.
    pub file_type: &'static str,
    /// Annotations of the layer.
    pub annotations: BTreeMap<String, String>,
}

impl FileArtifact {
    /// Sends the file unless it is there, and returns the manifest, which is to be put afterwards.
    pub async fn push_file(self, to: &Repository, path: &Path) -> Result<Bytes, OciError> {
        let unreadable = |source| OciError::Source { what: format!("read {}", path.display()), source };
        let opened = || std::fs::File::open(path).map_err(unreadable);
        let size_bytes = opened()?.metadata().map_err(unreadable)?.len();
        let digest = digest_of_file(opened()?, size_bytes).await.map_err(unreadable)?;
        if !to.has_blob(&digest).await? {
            let content = ReaderStream::with_capacity(tokio::fs::File::from_std(opened()?), CHUNK_BYTES);
            to.push_blob(&digest, size_bytes, content.boxed()).await?;
        }
        let config = to.push_bytes(Bytes::from_static(b"{}")).await?;
        let file = Descriptor::new(self.file_type, digest, size_bytes);
        let manifest = json!({
            "schemaVersion": 2, "mediaType": media_type::MANIFEST, "artifactType": self.artifact_type,
            "config": Descriptor::new(media_type::EMPTY, config, 2),
            "layers": [Descriptor { annotations: self.annotations, ..file }],
        });
        Ok(Bytes::from(manifest.to_string()))
    }
}

/// The digest of what a file has from where it is read, up to a bound.
pub async fn digest_of_file(file: std::fs::File, bytes_max: u64) -> std::io::Result<Digest> {
    let content = tokio::fs::File::from_std(file).take(bytes_max);
    let mut content = ReaderStream::with_capacity(content, CHUNK_BYTES);
    let mut hash = sha2::Sha256::new();
    while let Some(chunk) = content.next().await {
        hash.update(chunk?);
    }
    let hex = hex::encode(hash.finalize());
    Ok(Digest::parse(&format!("sha256:{hex}")).expect("a SHA-256 in hex has 64 digits"))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::{Arc, Mutex};

    use http::{Method, Request, Response, StatusCode, header};
    use http_body_util::{BodyExt as _, Empty};
    use hyper::body::Incoming;
    use hyper::service::service_fn;
    use hyper_util::rt::TokioIo;
    use tokio::net::TcpListener;

    use super::*;
    use crate::{Access, Transport};

    /// Bodies that were sent, in order.
    type Uploads = Arc<Mutex<Vec<Bytes>>>;

    /// A registry that has nothing and takes every upload; returns its URL.
    async fn registry(uploads: Uploads) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("it listens"));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let uploads = Arc::clone(&uploads);
                let service = service_fn(move |request| answer(Arc::clone(&uploads), request));
                let server = hyper::server::conn::http1::Builder::new();
                tokio::spawn(server.serve_connection(TokioIo::new(stream), service));
            }
        });
        url
    }

    async fn answer(
        uploads: Uploads,
        request: Request<Incoming>,
    ) -> Result<Response<Empty<Bytes>>, Infallible> {
        let status = match *request.method() {
            Method::HEAD => StatusCode::NOT_FOUND,
            Method::PUT => StatusCode::CREATED,
            _ => StatusCode::ACCEPTED,
        };
        let is_upload = request.method() == Method::PATCH;
        let body = request.into_body().collect().await.expect("a whole body").to_bytes();
        if is_upload {
            uploads.lock().expect("no test panicked").push(body);
        }
        let response = Response::builder().status(status).header(header::LOCATION, "/upload");
        Ok(response.body(Empty::new()).expect("a response"))
    }

    #[tokio::test]
    async fn a_file_is_sent_and_named_by_the_manifest() {
        let uploads = Uploads::default();
        let url = registry(Arc::clone(&uploads)).await;
        let to = Repository::new(&Transport::new(), &url, "blog", None, Access::Push);
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), "content").expect("it is ours");

        let annotations = BTreeMap::from([("of".to_owned(), "blog".to_owned())]);
        let artifact = FileArtifact { artifact_type: "a/artifact", file_type: "a/file", annotations };
        let manifest = artifact.push_file(&to, file.path()).await.expect("it is sent");

        assert_eq!(*uploads.lock().expect("no test panicked"), ["content", "{}"]);
        let manifest: serde_json::Value = serde_json::from_slice(&manifest).expect("JSON");
        let expected = json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "artifactType": "a/artifact",
            "config": {
                "mediaType": "application/vnd.oci.empty.v1+json", "digest": Digest::of(b"{}"), "size": 2,
            },
            "layers": [{
                "mediaType": "a/file", "digest": Digest::of(b"content"), "size": 7, "annotations": { "of": "blog" },
            }],
        });
        assert_eq!(manifest, expected);
    }
}
