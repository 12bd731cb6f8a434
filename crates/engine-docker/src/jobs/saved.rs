//! From Docker's archive of an image (`docker save`) to an OCI layout, in passing.
//!
//! The archive names its layers at its end only, so each file travels under a number and gets its name, its
//! digest, by a hard link at last.

use std::collections::{HashMap, HashSet};
use std::io;

use bytes::{Bytes, BytesMut};
use domain::Digest;
use oci::{Descriptor, media_type};
use serde::Deserialize;
use serde_json::json;
use sha2::Digest as _;
use tar::{EntryType, Header};
use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::archive::{Entries, Sink};

/// Most entries of an archive: two or three a layer.
pub const ENTRIES_MAX: usize = 2_000;
/// Configs and manifests are smaller.
pub const DOCUMENT_BYTES_MAX: u64 = 4 << 20;
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
const BLOCK_BYTES: usize = 512;
const CHUNK_BYTES: usize = 256 << 10;

/// One entry of the archive's `manifest.json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct SavedManifest {
    config: String,
    /// From the lowest.
    pub layers: Vec<String>,
}

/// A file that was sent under a number.
#[derive(Debug, Clone)]
struct SentFile {
    number: usize,
    digest: Digest,
    size_bytes: u64,
    is_gzip: bool,
}

/// Content of an archive.
#[derive(Default)]
struct ArchiveContent {
    files: HashMap<String, SentFile>,
    /// Paths of layers that the image has twice.
    links: HashMap<String, String>,
    documents: HashMap<String, Vec<u8>>,
}

/// The documents of a layout's image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Documents {
    pub manifest: Digest,
    pub config: Digest,
}

/// Sends the first image of the archive as a layout in `folder`.
pub async fn send_layout(input: impl AsyncRead + Unpin, sink: &Sink, folder: &str) -> io::Result<Documents> {
    let content = receive(input, sink, folder).await?;
    let saved: Vec<SavedManifest> = serde_json::from_slice(content.document("manifest.json")?)
        .map_err(|error| malformed(&format!("manifest.json: {error}")))?;
    let SavedManifest { config, layers } =
        saved.into_iter().next().ok_or_else(|| malformed("manifest.json is empty"))?;
    let config = content.document(&config)?;
    let mut described = Vec::new();
    // A layer may be there more than once; its blob is not.
    let mut linked = HashSet::new();
    for path in &layers {
        let sent = content.file(path)?;
        let suffix = if sent.is_gzip { "+gzip" } else { "" };
        let layer_type = format!("{}{suffix}", media_type::LAYER);
        described.push(Descriptor::new(&layer_type, sent.digest.clone(), sent.size_bytes));
        if linked.insert(sent.digest.as_str()) {
            send_link(sink, &blob(folder, &sent.digest), &numbered(folder, sent.number)).await?;
        }
    }
    let config_digest = Digest::of(config);
    let manifest = json!({
        "schemaVersion": 2, "mediaType": media_type::MANIFEST,
        "config": Descriptor::new(media_type::CONFIG, config_digest.clone(), config.len() as u64),
        "layers": described,
    });
    let manifest = manifest.to_string();
    let digest = Digest::of(manifest.as_bytes());
    let described = Descriptor::new(media_type::MANIFEST, digest.clone(), manifest.len() as u64);
    let index = json!({ "schemaVersion": 2, "manifests": [described] });
    send_file(sink, &blob(folder, &config_digest), config).await?;
    send_file(sink, &blob(folder, &digest), manifest.as_bytes()).await?;
    send_file(sink, &format!("{folder}/oci-layout"), br#"{"imageLayoutVersion":"1.0.0"}"#).await?;
    send_file(sink, &format!("{folder}/index.json"), index.to_string().as_bytes()).await?;
    Ok(Documents { manifest: digest, config: config_digest })
}

/// Sends all files under their numbers.
async fn receive(input: impl AsyncRead + Unpin, sink: &Sink, folder: &str) -> io::Result<ArchiveContent> {
    let mut entries = Entries::new(input);
    let mut content = ArchiveContent::default();
    let mut number = 0;
    while let Some(header) = entries.next().await? {
        number += 1;
        if number > ENTRIES_MAX {
            return Err(malformed("it has too many files"));
        }
        let path = path_of(&header.path_bytes());
        match header.entry_type() {
            EntryType::Regular | EntryType::Continuous => {}
            EntryType::Symlink => {
                let target = header.link_name_bytes().unwrap_or_default();
                content.links.insert(path.clone(), beside(&path, &String::from_utf8_lossy(&target)));
                continue;
            }
            _ => {
                while entries.chunk().await?.is_some() {}
                continue;
            }
        }
        let size_bytes = header.entry_size()?;
        let is_document = size_bytes <= DOCUMENT_BYTES_MAX && !path.ends_with("layer.tar");
        sink.send(Bytes::from(file_header(&numbered(folder, number), size_bytes)?)).await?;
        let mut hash = sha2::Sha256::new();
        let mut document = Vec::new();
        let mut left_bytes = size_bytes;
        let mut magic = Vec::new();
        while let Some(chunk) = entries.chunk().await? {
            let part = &chunk[..chunk.len().min(usize::try_from(left_bytes).unwrap_or(usize::MAX))];
            left_bytes -= part.len() as u64;
            hash.update(part);
            if magic.is_empty() {
                magic.extend_from_slice(&part[..part.len().min(GZIP_MAGIC.len())]);
            }
            if is_document {
                document.extend_from_slice(part);
            }
            sink.send(chunk).await?;
        }
        let digest = Digest::parse(&format!("sha256:{}", hex::encode(hash.finalize())))
            .expect("a SHA-256 in hex has 64 digits");
        if is_document {
            content.documents.insert(path.clone(), document);
        }
        content.files.insert(path, SentFile { number, digest, size_bytes, is_gzip: magic == GZIP_MAGIC });
    }
    entries.drain().await?;
    Ok(content)
}

impl ArchiveContent {
    fn document(&self, path: &str) -> io::Result<&[u8]> {
        let found = self.documents.get(path).map(Vec::as_slice);
        found.ok_or_else(|| malformed(&format!("it has no {path}")))
    }

    fn file(&self, path: &str) -> io::Result<&SentFile> {
        let path = self.links.get(path).map_or(path, String::as_str);
        self.files.get(path).ok_or_else(|| malformed(&format!("it has no {path}")))
    }
}

pub fn malformed(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("Docker's archive of the image: {reason}"))
}

pub fn path_of(bytes: &[u8]) -> String {
    let path = String::from_utf8_lossy(bytes);
    path.strip_prefix("./").unwrap_or(&path).to_owned()
}

/// The path that a link at `path` leads to.
pub fn beside(path: &str, target: &str) -> String {
    let mut parts: Vec<&str> = path.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            ".." => drop(parts.pop()),
            "." | "" => {}
            part => parts.push(part),
        }
    }
    parts.join("/")
}

fn numbered(folder: &str, number: usize) -> String {
    format!("{folder}/files/{number}")
}

fn blob(folder: &str, digest: &Digest) -> String {
    format!("{folder}/blobs/sha256/{}", digest.hex())
}

/// Sends a small file that all may read.
pub async fn send_file(sink: &Sink, path: &str, content: &[u8]) -> io::Result<()> {
    let mut bytes = file_header(path, content.len() as u64)?;
    bytes.extend_from_slice(content);
    bytes.resize(bytes.len().next_multiple_of(BLOCK_BYTES), 0);
    sink.send(Bytes::from(bytes)).await
}

/// Sends the one file of an archive of Docker's under another name, if it has this size.
pub async fn send_blob(
    sink: &Sink,
    path: &str,
    size_bytes: u64,
    archive: impl AsyncRead + Unpin,
) -> io::Result<()> {
    let mut entries = Entries::new(archive);
    let header = entries.next().await?.ok_or_else(|| malformed(&format!("it has no {path}")))?;
    if !header.entry_type().is_file() || header.entry_size()? != size_bytes {
        return Err(malformed(&format!("{path} has another size than its manifest says")));
    }
    sink.send(Bytes::from(file_header(path, size_bytes)?)).await?;
    while let Some(chunk) = entries.chunk().await? {
        sink.send(chunk).await?;
    }
    entries.drain().await
}

/// Sends the whole of a file of this size under another name.
pub async fn send_content(
    sink: &Sink,
    path: &str,
    size_bytes: u64,
    mut content: impl AsyncRead + Unpin,
) -> io::Result<()> {
    sink.send(Bytes::from(file_header(path, size_bytes)?)).await?;
    let mut left_bytes = size_bytes;
    while left_bytes > 0 {
        let wanted = left_bytes.min(CHUNK_BYTES as u64) as usize;
        let mut chunk = BytesMut::zeroed(wanted);
        content.read_exact(&mut chunk).await?;
        left_bytes -= wanted as u64;
        sink.send(chunk.freeze()).await?;
    }
    let padding = (BLOCK_BYTES - (size_bytes % BLOCK_BYTES as u64) as usize) % BLOCK_BYTES;
    sink.send(Bytes::from(vec![0; padding])).await
}

async fn send_link(sink: &Sink, path: &str, target: &str) -> io::Result<()> {
    let mut header = header(path, 0)?;
    header.set_entry_type(EntryType::Link);
    header.set_link_name(target)?;
    header.set_cksum();
    sink.send(Bytes::copy_from_slice(header.as_bytes())).await
}

fn file_header(path: &str, size_bytes: u64) -> io::Result<Vec<u8>> {
    let mut header = header(path, size_bytes)?;
    header.set_cksum();
    Ok(header.as_bytes().to_vec())
}

fn header(path: &str, size_bytes: u64) -> io::Result<Header> {
    let mut header = Header::new_ustar();
    header.set_path(path)?;
    header.set_size(size_bytes);
    header.set_mode(0o644);
    Ok(header)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::archive::SmallArchive;

    /// An image of two layers, of which the second is the first again, as Docker 20.10 writes it.
    fn saved() -> Vec<u8> {
        let mut archive = tar::Builder::new(Vec::new());
        let mut add = |path: &str, content: &[u8]| {
            let mut header = Header::new_ustar();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            archive.append_data(&mut header, path, content).expect("memory takes it");
        };
        add("a/layer.tar", b"layer");
        add("config.json", br#"{"config":{}}"#);
        let manifest = br#"[{"Config":"config.json","Layers":["a/layer.tar","b/layer.tar"]}]"#;
        add("manifest.json", manifest);
        let mut link = Header::new_ustar();
        link.set_entry_type(EntryType::Symlink);
        link.set_size(0);
        archive.append_link(&mut link, "b/layer.tar", "../a/layer.tar").expect("memory takes it");
        archive.into_inner().expect("memory takes it")
    }

    #[tokio::test]
    async fn a_saved_image_becomes_a_layout_with_a_blob_for_each_layer() {
        let archive = saved();
        let (sink, body) = Sink::new();
        let send = async move {
            let documents = send_layout(&archive[..], &sink, "x").await.expect("it is an image");
            drop(sink);
            documents.manifest
        };
        let (digest, sent) = tokio::join!(send, collected(body));

        let folder = tempfile::tempdir().expect("a temporary folder");
        tar::Archive::new(&sent[..]).unpack(folder.path()).expect("a good archive");

        let read = |digest: &Digest| std::fs::read(folder.path().join(blob("x", digest))).expect("a blob");
        assert_eq!(read(&Digest::of(b"layer")), b"layer");
        let manifest: serde_json::Value = serde_json::from_slice(&read(&digest)).expect("JSON");
        assert_eq!(manifest["layers"].as_array().map(Vec::len), Some(2));
        assert_eq!(manifest["layers"][1]["digest"], Digest::of(b"layer").as_str());
        assert!(folder.path().join("x/index.json").is_file());
    }

    #[tokio::test]
    async fn an_archive_without_an_image_is_told() {
        let mut archive = SmallArchive::new();
        archive.add("readme", b"x", 0o644, (0, 0)).expect("memory takes it");
        let archive = archive.finish().expect("memory takes it");
        let (sink, body) = Sink::new();
        let send =
            async move { send_layout(&archive[..], &sink, "x").await.map_err(|error| error.to_string()) };

        let (sent, _) = tokio::join!(send, collected(body));

        assert!(sent.expect_err("it holds no image").contains("manifest.json"));
    }

    async fn collected(mut body: impl futures_util::Stream<Item = io::Result<Bytes>> + Unpin) -> Vec<u8> {
        use futures_util::StreamExt as _;
        let mut all = Vec::new();
        while let Some(chunk) = body.next().await {
            all.extend_from_slice(&chunk.expect("nothing was broken off"));
        }
        all
    }
}
