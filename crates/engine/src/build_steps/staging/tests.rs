use bytes::Bytes;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;

const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

struct Staged {
    staging: Arc<Staging>,
    address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Staged {
    async fn with_known(known: &[(&Digest, u64)]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let known = known.iter().map(|(digest, size_bytes)| ((*digest).clone(), *size_bytes)).collect();
        let staging = Staging::new(folder.path(), None, known).expect("folders are made");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("it listens");
        tokio::spawn(server::serve(listener, Arc::clone(&staging)));
        Self { staging, address, _folder: folder }
    }

    /// Response of one request, with its headers.
    async fn ask(&self, begin: &str, kind: &str, body: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address).await.expect("it listens");
        let head = format!(
            "{begin} HTTP/1.1\r\nhost: staging\r\nconnection: close\r\ncontent-type: {kind}\r\n\
             content-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(&[head.as_bytes(), body].concat()).await.expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("it answers");
        answer
    }
}

fn manifest_of(layer: &Digest, size: usize) -> String {
    let layer =
        json!({ "mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": layer, "size": size });
    json!({ "schemaVersion": 2, "mediaType": OCI_MANIFEST, "layers": [layer] }).to_string()
}

#[tokio::test]
async fn blobs_that_the_registry_has_need_not_be_pushed() {
    let (base, other) = (Digest::of(b"base"), Digest::of(b"other"));
    let staged = Staged::with_known(&[(&base, 4)]).await;

    let known = staged.ask(&format!("HEAD /v2/image/blobs/{base}"), "", b"").await;
    let unknown = staged.ask(&format!("HEAD /v2/image/blobs/{other}"), "", b"").await;

    assert!(known.starts_with("HTTP/1.1 200") && known.contains("content-length: 4"), "{known}");
    assert!(unknown.starts_with("HTTP/1.1 404"), "{unknown}");
}

#[tokio::test]
async fn what_is_pushed_is_staged_until_the_upload() {
    let staged = Staged::with_known(&[]).await;
    let layer = Digest::of(b"layer");
    let manifest = manifest_of(&layer, 5);

    let begun = staged.ask("POST /v2/image/blobs/uploads/", "", b"").await;
    let location = begun.lines().find_map(|line| line.strip_prefix("location: ")).expect("a location");
    let escaped = layer.as_str().replace(':', "%3A");
    let put = staged.ask(&format!("PUT {location}?digest={escaped}"), "", b"layer").await;
    let named = staged.ask("PUT /v2/image/manifests/built", OCI_MANIFEST, manifest.as_bytes()).await;

    assert!(put.starts_with("HTTP/1.1 201") && named.starts_with("HTTP/1.1 201"), "{put}{named}");
    assert!(staged.staging.has(IMAGE) && !staged.staging.has(CACHE));
    let file = staged.staging.blobs_folder().join(layer.hex());
    assert_eq!(std::fs::read(file).expect("it is staged"), b"layer");
    let head = staged.ask(&format!("HEAD /v2/cache/blobs/{layer}"), "", b"").await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
}

#[tokio::test]
async fn of_an_index_the_manifest_for_this_platform_is_uploaded() {
    let staged = Staged::with_known(&[]).await;
    let ours = manifest_of(&Digest::of(b"ours"), 4);
    let parsed = Manifest::parse(Bytes::from(ours.clone()), OCI_MANIFEST).expect("a manifest");
    let platform = json!({ "architecture": architecture(), "os": "linux" });
    let index = json!({ "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [{ "mediaType": OCI_MANIFEST, "digest": parsed.digest, "size": ours.len(), "platform": platform }] });

    staged.ask(&format!("PUT /v2/image/manifests/{}", parsed.digest), OCI_MANIFEST, ours.as_bytes()).await;
    staged.ask("PUT /v2/image/manifests/built", "", index.to_string().as_bytes()).await;

    let found = staged.staging.manifest_of_image(IMAGE).map(|manifest| manifest.digest);
    assert_eq!(found, Some(parsed.digest));
}

#[tokio::test]
async fn what_is_not_understood_is_refused() {
    let staged = Staged::with_known(&[]).await;
    for (request, status) in [
        ("GET /", "404"),
        ("GET /v2/cache/manifests/layers", "404"),
        ("GET /v2/image/blobs/../../etc/passwd", "404"),
        ("HEAD /v2/image/blobs/sha256:..", "400"),
        ("PUT /v2/image/blobs/uploads/..?digest=sha256:x", "404"),
        ("PUT /v2/image/blobs/uploads/1?digest=..", "400"),
        ("PUT /v2/image/manifests/built", "400"),
        ("DELETE /v2/image/manifests/built", "404"),
    ] {
        let answer = staged.ask(request, "", b"{}").await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{request}: {answer}");
    }
}
