//! Tar archives to and from Docker, block by block, never whole in memory.
//!
//! Docker takes and returns files as archives. Here their headers are read and changed in the stream: raw headers
//! are kept, so long names and other extensions stay intact.

use std::io;

use bytes::{Bytes, BytesMut};
use domain::Digest;
use futures_util::{Stream, StreamExt as _};
use sha2::Digest as _;
use tar::{EntryType, Header};
use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::outward_links::{ExtendedHeaders, OutwardLinks};

const BLOCK_BYTES: usize = 512;
const CHUNK_BYTES: usize = 256 * 1024;
/// Chunks between reader and sender.
const CHUNKS_IN_FLIGHT_MAX: usize = 4;

/// Reads an archive entry by entry.
pub struct Entries<R> {
    input: R,
    /// Bytes of the current entry's content, padding included, that were not read yet.
    left_bytes: u64,
}

impl<R: AsyncRead + Unpin> Entries<R> {
    pub fn new(input: R) -> Self {
        Self { input, left_bytes: 0 }
    }

    /// The next raw header; `None` at the end. The content before it must have been read.
    pub async fn next(&mut self) -> io::Result<Option<Header>> {
        let mut block = [0; BLOCK_BYTES];
        let begun = self.input.read(&mut block).await?;
        if begun == 0 {
            return Ok(None);
        }
        self.input.read_exact(&mut block[begun..]).await?;
        if block.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let header = Header::from_byte_slice(&block).clone();
        self.left_bytes = header.entry_size()?.next_multiple_of(BLOCK_BYTES as u64);
        Ok(Some(header))
    }

    /// The next piece of content and padding; `None` when the entry is done.
    pub async fn chunk(&mut self) -> io::Result<Option<Bytes>> {
        let wanted = self.left_bytes.min(CHUNK_BYTES as u64) as usize;
        if wanted == 0 {
            return Ok(None);
        }
        let mut chunk = BytesMut::zeroed(wanted);
        self.input.read_exact(&mut chunk).await?;
        self.left_bytes -= wanted as u64;
        Ok(Some(chunk.freeze()))
    }

    /// Reads the content of an entry of this size to its end, into `file` if one is given, and returns its digest.
    pub async fn hashed(&mut self, size_bytes: u64, mut file: Option<&mut File>) -> io::Result<Digest> {
        let mut left_bytes = size_bytes;
        let mut hash = sha2::Sha256::new();
        while let Some(mut chunk) = self.chunk().await? {
            chunk.truncate(usize::try_from(left_bytes).unwrap_or(usize::MAX));
            left_bytes -= chunk.len() as u64;
            hash.update(&chunk);
            if let Some(file) = &mut file {
                file.write_all(&chunk).await?;
            }
        }
        if let Some(file) = file {
            file.flush().await?;
        }
        Ok(Digest::parse(&format!("sha256:{}", hex::encode(hash.finalize())))
            .expect("a SHA-256 in hex has 64 digits"))
    }

    /// Reads what follows the end of the archive, so that its writer can end in peace.
    pub async fn drain(mut self) -> io::Result<()> {
        tokio::io::copy(&mut self.input, &mut tokio::io::sink()).await.map(drop)
    }
}

/// The sending end of a request body. Dropping it ends the body.
pub struct Sink(mpsc::Sender<io::Result<Bytes>>);

impl Sink {
    /// The sink and the stream that becomes the body.
    pub fn new() -> (Self, ReceiverStream<io::Result<Bytes>>) {
        let (sender, receiver) = mpsc::channel(CHUNKS_IN_FLIGHT_MAX);
        (Self(sender), ReceiverStream::new(receiver))
    }

    /// A body, and the future that writes it. A body that is not whole is broken off, so that Docker does not take a part
    /// for the whole.
    pub fn body<T, E>(
        write: impl AsyncFnOnce(&Self) -> Result<T, E>,
    ) -> (impl Future<Output = Result<T, E>>, ReceiverStream<io::Result<Bytes>>) {
        let (sink, body) = Self::new();
        let writing = async move {
            let written = write(&sink).await;
            if written.is_err() {
                sink.abort().await;
            }
            written
        };
        (writing, body)
    }

    /// Fails with `BrokenPipe` when Docker stops reading; its response has the reason.
    pub async fn send(&self, bytes: Bytes) -> io::Result<()> {
        self.0.send(Ok(bytes)).await.map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    async fn abort(self) {
        let error = io::Error::other("the archive was broken off");
        // If Docker has stopped reading, nobody needs the error.
        let _ = self.0.send(Err(error)).await;
    }
}

/// Sends all of `source` with every entry owned by this user and group, but for links that lead out of it: these are the
/// answer.
pub async fn send_owned_by(
    source: impl AsyncRead + Unpin,
    sink: &Sink,
    (uid, gid): (u64, u64),
) -> io::Result<OutwardLinks> {
    let mut entries = Entries::new(source);
    let (mut links, mut extended) = (OutwardLinks::default(), ExtendedHeaders::default());
    while let Some(mut header) = entries.next().await? {
        if extended.hold(&header, &mut entries).await? {
            continue;
        }
        let extended = std::mem::take(&mut extended);
        if links.take(&header, &extended)? {
            continue;
        }
        extended.send(sink).await?;
        header.set_uid(uid);
        header.set_gid(gid);
        header.set_cksum();
        sink.send(Bytes::copy_from_slice(header.as_bytes())).await?;
        while let Some(chunk) = entries.chunk().await? {
            sink.send(chunk).await?;
        }
    }
    sink.send(Bytes::from_static(&[0; 2 * BLOCK_BYTES])).await?;
    entries.drain().await?;
    Ok(links)
}

/// Ends an archive that was sent entry by entry.
pub async fn send_end(sink: &Sink) -> io::Result<()> {
    sink.send(Bytes::from_static(&[0; 2 * BLOCK_BYTES])).await
}

/// Makes a small archive in memory.
pub struct SmallArchive(tar::Builder<Vec<u8>>);

impl SmallArchive {
    pub fn new() -> Self {
        Self(tar::Builder::new(Vec::new()))
    }

    pub fn add(&mut self, path: &str, content: &[u8], mode: u32, owner: (u64, u64)) -> io::Result<()> {
        self.add_entry(EntryType::Regular, path, content, mode, owner)
    }

    pub fn add_folder(&mut self, path: &str, mode: u32, owner: (u64, u64)) -> io::Result<()> {
        self.add_entry(EntryType::Directory, path, &[], mode, owner)
    }

    fn add_entry(
        &mut self,
        kind: EntryType,
        path: &str,
        content: &[u8],
        mode: u32,
        (uid, gid): (u64, u64),
    ) -> io::Result<()> {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(content.len() as u64);
        header.set_mode(mode);
        header.set_uid(uid);
        header.set_gid(gid);
        self.0.append_data(&mut header, path, content)
    }

    pub fn finish(self) -> io::Result<Bytes> {
        self.0.into_inner().map(Bytes::from)
    }
}

/// Reads an archive of bytes as Docker sends it.
pub fn reader<E>(stream: impl Stream<Item = Result<Bytes, E>> + Unpin) -> impl AsyncRead + Unpin
where
    E: std::error::Error + Send + Sync + 'static,
{
    tokio_util::io::StreamReader::new(stream.map(|chunk| chunk.map_err(io::Error::other)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(files: &[(&str, &[u8])]) -> Bytes {
        let mut archive = SmallArchive::new();
        for (path, content) in files {
            archive.add(path, content, 0o644, (0, 0)).expect("memory takes it");
        }
        archive.finish().expect("memory takes it")
    }

    fn sink() -> (Sink, mpsc::Receiver<io::Result<Bytes>>) {
        let (sender, receiver) = mpsc::channel(1024);
        (Sink(sender), receiver)
    }

    async fn received(mut receiver: mpsc::Receiver<io::Result<Bytes>>) -> Vec<u8> {
        let mut all = Vec::new();
        while let Some(chunk) = receiver.recv().await {
            all.extend_from_slice(&chunk.expect("nothing was broken off"));
        }
        all
    }

    #[tokio::test]
    async fn entries_change_owner_and_keep_long_names_and_content() {
        let long = "a/".repeat(80) + "file";
        let source = archive(&[(&long, b"long"), ("b", &[7; 1000])]);
        let (sink, receiver) = sink();

        send_owned_by(&source[..], &sink, (2000, 2001)).await.expect("all is sent");
        drop(sink);

        let sent = received(receiver).await;
        let mut sent = tar::Archive::new(&sent[..]);
        let seen: Vec<_> = sent
            .entries()
            .expect("an archive")
            .map(|entry| {
                let entry = entry.expect("a good header");
                let path = entry.path().expect("a path").to_string_lossy().into_owned();
                let header = entry.header();
                (path, header.uid().expect("a uid"), header.gid().expect("a gid"), entry.size())
            })
            .collect();
        assert_eq!(seen, [(long, 2000, 2001, 4), ("b".to_owned(), 2000, 2001, 1000)]);
    }

    /// Path and target of each link.
    fn links_in(archive: &[u8]) -> Vec<(String, String)> {
        let text = |path: Option<std::borrow::Cow<'_, std::path::Path>>| {
            path.expect("a path").to_string_lossy().into_owned()
        };
        let mut archive = tar::Archive::new(archive);
        let entries = archive.entries().expect("an archive").map(|entry| entry.expect("a good header"));
        let links = entries.filter(|entry| entry.header().entry_type().is_symlink());
        links.map(|link| (text(link.path().ok()), text(link.link_name().expect("a target")))).collect()
    }

    #[tokio::test]
    async fn links_that_lead_out_are_set_aside_and_others_stay_whatever_their_length() {
        let long = "d/".repeat(80) + "link";
        let (out, within) = ("../".repeat(90) + "shared", "x/".repeat(90) + "file");
        let all = [
            ("log", "../../log"),
            (long.as_str(), out.as_str()),
            ("near", within.as_str()),
            ("abs", "/etc/x"),
        ];
        let mut source = tar::Builder::new(Vec::new());
        for (path, target) in all {
            let mut header = Header::new_gnu();
            header.set_entry_type(tar::EntryType::Symlink);
            header.set_size(0);
            source.append_link(&mut header, path, target).expect("memory takes it");
        }
        let source = source.into_inner().expect("memory takes it");
        let (sink, receiver) = sink();

        let aside = send_owned_by(&source[..], &sink, (1, 1)).await.expect("all is sent");
        drop(sink);

        let pair = |(path, target): (&str, &str)| (path.to_owned(), target.to_owned());
        assert_eq!(links_in(&received(receiver).await), [all[2], all[3]].map(pair));
        let aside = aside.archive("/workspace/source", (1, 1)).expect("an archive");
        let below = |path: &str| format!("workspace/source/{path}");
        assert_eq!(links_in(&aside), [(below("log"), "../../log".to_owned()), (below(&long), out.clone())]);
    }
}
