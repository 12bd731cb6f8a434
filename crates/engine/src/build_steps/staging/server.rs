//! The part of the OCI distribution spec that BuildKit uses, over HTTP/1.1.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use domain::Digest;
use futures_util::TryStreamExt as _;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Empty, Full, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::Staging;
use oci::{DOCUMENT_BYTES_MAX, Manifest};

/// BuildKit opens a few for each blob that it fetches or pushes.
const CONNECTIONS_MAX: usize = 64;
const CONTENT_DIGEST: &str = "docker-content-digest";

type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// Serves until the process ends.
pub async fn serve(listener: TcpListener, staging: Arc<Staging>) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else { continue };
        let staging = Arc::clone(&staging);
        tokio::spawn(async move {
            let service = service_fn(|request| answer(&staging, request));
            let mut server = hyper::server::conn::http1::Builder::new();
            // A client that is gone is none of its concern.
            let _ = server.timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service).await;
            drop(permit);
        });
    }
}

async fn answer(staging: &Staging, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    Ok(routed(staging, request).await.unwrap_or_else(|status| {
        let mut response = Response::new(empty());
        *response.status_mut() = status;
        response
    }))
}

async fn routed(staging: &Staging, request: Request<Incoming>) -> Result<Response<Body>, StatusCode> {
    let path = request.uri().path().strip_prefix("/v2/").ok_or(StatusCode::NOT_FOUND)?.to_owned();
    let parts: Vec<&str> = path.split('/').collect();
    let is_head = request.method() == Method::HEAD;
    match (request.method(), parts.as_slice()) {
        (&Method::GET, [""]) => Ok(Response::new(empty())),
        (&Method::GET | &Method::HEAD, [name, "manifests", reference]) => {
            let manifest = staging.find_manifest(name, reference).ok_or(StatusCode::NOT_FOUND)?;
            Ok(of_manifest(&manifest, is_head))
        }
        (&Method::HEAD, [_, "blobs", digest]) => {
            let digest = Digest::parse(digest).map_err(|_| StatusCode::BAD_REQUEST)?;
            let size_bytes = staging.size_of(&digest).ok_or(StatusCode::NOT_FOUND)?;
            Ok(described(empty(), size_bytes, &digest))
        }
        (&Method::GET, [_, "blobs", digest]) => {
            let digest = Digest::parse(digest).map_err(|_| StatusCode::BAD_REQUEST)?;
            kept_blob(staging, &digest).await
        }
        (&Method::POST, [name, "blobs", "uploads", ""]) => {
            let location = format!("/v2/{name}/blobs/uploads/{}", staging.next_upload());
            Ok(with_status(StatusCode::ACCEPTED, [(header::LOCATION, location)]))
        }
        (&Method::PUT, [_, "blobs", "uploads", upload]) => {
            let upload: u64 = upload.parse().map_err(|_| StatusCode::NOT_FOUND)?;
            take_blob(staging, upload, request).await
        }
        (&Method::PUT, [name, "manifests", _]) => take_manifest(staging, name, request).await,
        _ => Err(StatusCode::NOT_FOUND),
    }
}

fn of_manifest(manifest: &Manifest, is_head: bool) -> Response<Body> {
    let body = if is_head { empty() } else { full(manifest.bytes.clone()) };
    let mut response = described(body, manifest.bytes.len() as u64, &manifest.digest);
    if let Ok(kind) = HeaderValue::from_str(&manifest.media_type) {
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
    }
    response
}

async fn kept_blob(staging: &Staging, digest: &Digest) -> Result<Response<Body>, StatusCode> {
    let (repository, blob) = staging.find_kept(digest).ok_or(StatusCode::NOT_FOUND)?;
    let content = repository.blob_stream(blob).await.map_err(|_| StatusCode::BAD_GATEWAY)?;
    let body = StreamBody::new(content.map_ok(Frame::data)).boxed_unsync();
    Ok(described(body, blob.size_bytes, digest))
}

async fn take_blob(
    staging: &Staging,
    upload: u64,
    request: Request<Incoming>,
) -> Result<Response<Body>, StatusCode> {
    let query = request.uri().query().unwrap_or_default().replace("%3A", ":");
    let digest = query.split('&').find_map(|pair| pair.strip_prefix("digest="));
    let digest = digest.and_then(|digest| Digest::parse(digest).ok()).ok_or(StatusCode::BAD_REQUEST)?;
    let folder = staging.blobs_folder();
    let unfinished = folder.join(format!("unfinished-{upload}"));
    let size_bytes = write(request.into_body(), &unfinished).await.map_err(|error| no_room(&error))?;
    tokio::fs::rename(&unfinished, folder.join(digest.hex())).await.map_err(|error| no_room(&error))?;
    let created = with_status(StatusCode::CREATED, [(header::LOCATION, format!("/v2/blobs/{digest}"))]);
    staging.add_blob(digest, size_bytes);
    Ok(created)
}

fn no_room(error: &std::io::Error) -> StatusCode {
    println!(" !     a layer cannot be kept for the upload: {error}");
    StatusCode::INSUFFICIENT_STORAGE
}

async fn write(mut body: Incoming, path: &std::path::Path) -> std::io::Result<u64> {
    let mut file = tokio::fs::File::create(path).await?;
    let mut size_bytes = 0;
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.map_err(std::io::Error::other)?.into_data() {
            size_bytes += data.len() as u64;
            file.write_all(&data).await?;
        }
    }
    file.flush().await?;
    Ok(size_bytes)
}

async fn take_manifest(
    staging: &Staging,
    name: &str,
    request: Request<Incoming>,
) -> Result<Response<Body>, StatusCode> {
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.unwrap_or_default().to_owned();
    let body = Limited::new(request.into_body(), DOCUMENT_BYTES_MAX).collect().await;
    let bytes = body.map_err(|_| StatusCode::PAYLOAD_TOO_LARGE)?.to_bytes();
    let manifest = Manifest::parse(bytes, &kind).map_err(|_| StatusCode::BAD_REQUEST)?;
    let location = format!("/v2/{name}/manifests/{}", manifest.digest);
    let mut created = with_status(StatusCode::CREATED, [(header::LOCATION, location)]);
    insert_digest(&mut created, &manifest.digest);
    staging.add_manifest(name, manifest);
    Ok(created)
}

fn described(body: Body, size_bytes: u64, digest: &Digest) -> Response<Body> {
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_LENGTH, size_bytes.into());
    insert_digest(&mut response, digest);
    response
}

fn insert_digest(response: &mut Response<Body>, digest: &Digest) {
    let value = HeaderValue::from_str(digest.as_str()).expect("a digest has only letters and digits");
    response.headers_mut().insert(CONTENT_DIGEST, value);
}

fn with_status(status: StatusCode, headers: [(header::HeaderName, String); 1]) -> Response<Body> {
    let mut response = Response::new(empty());
    *response.status_mut() = status;
    for (name, value) in headers {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

fn empty() -> Body {
    Empty::new().map_err(|never: Infallible| match never {}).boxed_unsync()
}

fn full(bytes: Bytes) -> Body {
    Full::new(bytes).map_err(|never: Infallible| match never {}).boxed_unsync()
}
