//! Tar archives on their way to and from Docker, block by block, never whole in memory.
//!
//! Docker takes and gives files as archives. Here their headers are looked at and changed in passing:
//! raw headers are kept, so long names and other extensions travel unharmed.

use std::io;

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt as _};
use tar::Header;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

const BLOCK_BYTES: usize = 512;
const CHUNK_BYTES: usize = 256 * 1024;
/// Chunks between the one who reads and the one who sends.
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

    /// Reads what follows the end of the archive, so that its writer can end in peace.
    pub async fn drain(mut self) -> io::Result<()> {
        tokio::io::copy(&mut self.input, &mut tokio::io::sink()).await.map(drop)
    }
}

/// The sending end of a request body. Dropping it ends the body; [`Sink::abort`] breaks it off, so that
/// Docker does not take a part for the whole.
pub struct Sink(mpsc::Sender<io::Result<Bytes>>);

impl Sink {
    /// The sink and the stream that becomes the body.
    pub fn new() -> (Self, ReceiverStream<io::Result<Bytes>>) {
        let (sender, receiver) = mpsc::channel(CHUNKS_IN_FLIGHT_MAX);
        (Self(sender), ReceiverStream::new(receiver))
    }

    /// Fails with `BrokenPipe` when Docker reads no more; its answer says why.
    pub async fn send(&self, bytes: Bytes) -> io::Result<()> {
        self.0.send(Ok(bytes)).await.map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    pub async fn abort(self) {
        let error = io::Error::other("the archive was broken off");
        // Docker may have gone already; then there is nobody left to tell.
        let _ = self.0.send(Err(error)).await;
    }
}

/// Sends all of `source` with every entry owned by this user and group.
pub async fn send_owned_by(
    source: impl AsyncRead + Unpin,
    sink: &Sink,
    (uid, gid): (u64, u64),
) -> io::Result<()> {
    let mut entries = Entries::new(source);
    while let Some(mut header) = entries.next().await? {
        header.set_uid(uid);
        header.set_gid(gid);
        header.set_cksum();
        sink.send(Bytes::copy_from_slice(header.as_bytes())).await?;
        while let Some(chunk) = entries.chunk().await? {
            sink.send(chunk).await?;
        }
    }
    sink.send(Bytes::from_static(&[0; 2 * BLOCK_BYTES])).await?;
    entries.drain().await
}

/// What was found under a path of an archive.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    File(Vec<u8>),
    /// A folder, link or device, or a file larger than the bound.
    Other,
}

/// Sends all entries of `source` and gives back what lies at `path`; the last entry of that path counts,
/// as it does for who unpacks the archive. The end of the archive is left to [`send_end`].
pub async fn send_finding(
    source: impl AsyncRead + Unpin,
    sink: &Sink,
    path: &str,
    size_bytes_max: u64,
) -> io::Result<Option<Found>> {
    let mut entries = Entries::new(source);
    let mut found = None;
    while let Some(header) = entries.next().await? {
        sink.send(Bytes::copy_from_slice(header.as_bytes())).await?;
        let size_bytes = header.entry_size()?;
        let is_it = is_path(&header, path);
        let is_kept = is_it && header.entry_type().is_file() && size_bytes <= size_bytes_max;
        let mut content = Vec::new();
        while let Some(chunk) = entries.chunk().await? {
            if is_kept {
                content.extend_from_slice(&chunk);
            }
            sink.send(chunk).await?;
        }
        content.truncate(usize::try_from(size_bytes).unwrap_or(usize::MAX));
        if is_it {
            found = Some(if is_kept { Found::File(content) } else { Found::Other });
        }
    }
    entries.drain().await?;
    Ok(found)
}

/// Ends an archive that was sent entry by entry.
pub async fn send_end(sink: &Sink) -> io::Result<()> {
    sink.send(Bytes::from_static(&[0; 2 * BLOCK_BYTES])).await
}

fn is_path(header: &Header, path: &str) -> bool {
    let bytes = header.path_bytes();
    bytes.strip_prefix(b"./").unwrap_or(&bytes) == path.as_bytes()
}

/// Makes a small archive in memory.
pub struct SmallArchive(tar::Builder<Vec<u8>>);

impl SmallArchive {
    pub fn new() -> Self {
        Self(tar::Builder::new(Vec::new()))
    }

    pub fn add(&mut self, path: &str, content: &[u8], mode: u32, (uid, gid): (u64, u64)) -> io::Result<()> {
        let mut header = Header::new_gnu();
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

    #[tokio::test]
    async fn the_last_file_of_a_path_is_found_and_everything_is_sent() {
        let source = archive(&[("Dockerfile", b"one"), ("x/Dockerfile", b"no"), ("./Dockerfile", b"two")]);
        let (sink, receiver) = sink();

        let found = send_finding(&source[..], &sink, "Dockerfile", 10).await.expect("all is sent");
        send_end(&sink).await.expect("the end is sent");
        drop(sink);

        assert_eq!(found, Some(Found::File(b"two".to_vec())));
        assert_eq!(received(receiver).await, source);
    }

    #[tokio::test]
    async fn a_file_above_the_bound_is_not_held_in_memory() {
        let source = archive(&[("Dockerfile", &[b'x'; 11])]);
        let (sink, _receiver) = sink();

        let found = send_finding(&source[..], &sink, "Dockerfile", 10).await.expect("all is sent");

        assert_eq!(found, Some(Found::Other));
    }
}
