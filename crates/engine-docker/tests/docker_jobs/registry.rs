//! A registry on loopback that holds one image: as much of the OCI distribution spec as a pull needs.
//!
//! Docker speaks plain HTTP to loopback.

use std::collections::HashMap;
use std::sync::Arc;

use domain::Digest;
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

const MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";

/// The registry; it ends with the test's runtime.
pub struct Registry {
    /// `127.0.0.1:<port>`
    pub host: String,
    /// Digest of the image's manifest.
    pub digest: Digest,
}

/// Content and type by the last two words of the path, such as `blobs/sha256:...`.
type Content = HashMap<String, (Vec<u8>, &'static str)>;

impl Registry {
    /// Serves an image at `tiny:v1`, to everyone.
    pub async fn start() -> Self {
        Self::serving(false).await
    }

    /// Serves it to those with a login.
    pub async fn start_private() -> Self {
        Self::serving(true).await
    }

    async fn serving(is_private: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let host = listener.local_addr().expect("it is bound").to_string();
        let (content, digest) = image();
        let content = Arc::new(content);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let content = content.clone();
                tokio::spawn(async move { serve(stream, &content, is_private).await });
            }
        });
        Self { host, digest }
    }
}

fn image() -> (Content, Digest) {
    let mut layer = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(2);
    header.set_mode(0o644);
    // Different in each run, so that tests that run at the same time share no image.
    let name = format!("hello-{:08x}", rand::random::<u32>());
    layer.append_data(&mut header, name, &b"hi"[..]).expect("memory takes it");
    let layer = layer.into_inner().expect("memory takes it");
    let config = json!({
        "architecture": "amd64", "os": "linux",
        "config": { "ExposedPorts": { "8080/tcp": {} }, "User": "1001", "Cmd": ["/hello"] },
        "rootfs": { "type": "layers", "diff_ids": [Digest::of(&layer)] },
    });
    let config = config.to_string().into_bytes();
    let blob = |kind: &str, bytes: &[u8]| json!({ "mediaType": kind, "digest": Digest::of(bytes), "size": bytes.len() });
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": blob("application/vnd.docker.container.image.v1+json", &config),
        "layers": [blob("application/vnd.docker.image.rootfs.diff.tar.gzip", &layer)],
    });
    let manifest = manifest.to_string().into_bytes();
    let digest = Digest::of(&manifest);
    let content = HashMap::from([
        ("manifests/v1".to_owned(), (manifest.clone(), MANIFEST)),
        (format!("manifests/{digest}"), (manifest, MANIFEST)),
        (format!("blobs/{}", Digest::of(&config)), (config, "application/octet-stream")),
        (format!("blobs/{}", Digest::of(&layer)), (layer, "application/octet-stream")),
    ]);
    (content, digest)
}

/// Answers requests of one connection until it is closed.
async fn serve(stream: TcpStream, content: &Content, is_private: bool) {
    let mut stream = BufReader::new(stream);
    while let Some((method, path, has_login)) = request(&mut stream).await {
        let words: Vec<&str> = path.rsplitn(3, '/').collect();
        let is_ours = words.get(2).is_some_and(|rest| *rest == "/v2/tiny");
        let key = words.get(1).filter(|_| is_ours).map(|folder| format!("{folder}/{}", words[0]));
        let (status, kind, body) = if is_private && !has_login {
            ("401 Unauthorized", "application/json", &br#"{"errors":[{"code":"UNAUTHORIZED"}]}"#[..])
        } else if path == "/v2/" {
            ("200 OK", "application/json", &b"{}"[..])
        } else if let Some((body, kind)) = key.and_then(|key| content.get(&key)) {
            ("200 OK", *kind, &body[..])
        } else {
            (
                "404 Not Found",
                "application/json",
                &br#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#[..],
            )
        };
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\
             Docker-Content-Digest: {}\r\nWww-Authenticate: Basic realm=\"test\"\r\n\r\n",
            body.len(),
            Digest::of(body)
        );
        let body = if method == "HEAD" { &[][..] } else { body };
        if stream.write_all(&[head.as_bytes(), body].concat()).await.is_err() {
            return;
        }
    }
}

/// Method, path and whether it carries a login; `None` when the connection is closed.
async fn request(stream: &mut BufReader<TcpStream>) -> Option<(String, String, bool)> {
    let mut first = String::new();
    stream.read_line(&mut first).await.ok().filter(|length| *length > 0)?;
    let mut has_login = false;
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok()?;
        if line.trim().is_empty() {
            break;
        }
        has_login |= line.to_ascii_lowercase().starts_with("authorization:");
    }
    let mut words = first.split_whitespace().map(str::to_owned);
    Some((words.next()?, words.next()?, has_login))
}
