//! Storage of a request's body until it is complete: in memory, and beyond its share of that in an unnamed file,
//! which is deleted with it.

use std::io::{self, SeekFrom};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use tokio::fs::File;
use tokio::io::{AsyncRead as _, AsyncSeekExt as _, AsyncWriteExt as _, ReadBuf};

use crate::limits::buffering::{BufferShare, Buffering};

/// First room of a body in memory; it doubles.
const ROOM_FIRST_BYTES: u64 = 16 << 10;
/// Disk is taken in steps, so that the count is not asked for each piece.
const DISK_STEP_BYTES: u64 = 1 << 20;
/// Most bytes that are read from a file or written to it at once.
const PIECE_BYTES: usize = 128 << 10;

/// Received part of a body, first written and then read.
pub(crate) struct Spool {
    memory: BytesMut,
    room: u64,
    file: Option<SpillFile>,
    share: BufferShare,
}

struct SpillFile {
    file: File,
    bytes: u64,
    /// Taken of the disk.
    room: u64,
}

impl Spool {
    pub(crate) fn new(share: BufferShare) -> Self {
        Self { memory: BytesMut::new(), room: 0, file: None, share }
    }

    /// Keeps a piece; `false` where there is no room for it, and all before is kept.
    pub(crate) async fn push(&mut self, buffering: &Buffering, piece: &[u8]) -> bool {
        if self.file.is_none() {
            if self.has_room(piece.len() as u64) {
                self.memory.extend_from_slice(piece);
                return true;
            }
            if !self.spill(buffering).await {
                return false;
            }
        }
        let Some(spilled) = &mut self.file else { return false };
        spilled.write(&mut self.share, piece).await
    }

    /// Reserves memory for so many bytes more; false if there is none.
    fn has_room(&mut self, bytes: u64) -> bool {
        let length = self.memory.len() as u64 + bytes;
        if length <= self.room {
            return true;
        }
        let wanted = length.max(self.room * 2).max(ROOM_FIRST_BYTES);
        for wanted in [wanted, length] {
            if self.share.take_memory(wanted - self.room) {
                self.room = wanted;
                let free = usize::try_from(wanted).unwrap_or(usize::MAX) - self.memory.len();
                self.memory.reserve(free);
                return true;
            }
        }
        false
    }

    /// Moves the content from memory to a file.
    async fn spill(&mut self, buffering: &Buffering) -> bool {
        let Some(dir) = buffering.settings.dir.clone() else { return false };
        if !self.share.take_file() {
            return false;
        }
        // It has no name from the beginning, or none as soon as it is made, and nobody else may read it.
        let made = tokio::task::spawn_blocking(move || tempfile::tempfile_in(dir)).await;
        let file = match made.map_err(io::Error::other).flatten() {
            Ok(file) => file,
            Err(error) => {
                tracing::warn!(%error, "cannot keep the body of a request on disk; it streams");
                return false;
            }
        };
        let mut file = File::from_std(file);
        file.set_max_buf_size(PIECE_BYTES);
        let mut spilled = SpillFile { file, bytes: 0, room: 0 };
        if !spilled.write(&mut self.share, &self.memory).await {
            return false;
        }
        self.file = Some(spilled);
        (self.memory, self.room) = (BytesMut::new(), 0);
        self.share.give_back_memory();
        true
    }

    /// Ends writing; reading begins at the start.
    pub(crate) async fn finish(&mut self) -> io::Result<()> {
        let Some(spilled) = &mut self.file else { return Ok(()) };
        spilled.file.flush().await?;
        spilled.file.seek(SeekFrom::Start(0)).await.map(drop)
    }

    /// The next piece; `None` behind the last.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        if !self.memory.is_empty() {
            let piece = self.memory.split_to(self.memory.len().min(PIECE_BYTES));
            return Poll::Ready(Some(Ok(piece.freeze())));
        }
        let Some(spilled) = self.file.as_mut().filter(|spilled| spilled.bytes > 0) else {
            return Poll::Ready(None);
        };
        let read = ready!(spilled.poll_read(cx));
        if read.is_ok() && spilled.bytes == 0 {
            self.file = None;
        }
        Poll::Ready(Some(read))
    }
}

impl SpillFile {
    /// `false` where the disk has no more room; what was written before is still whole.
    async fn write(&mut self, share: &mut BufferShare, piece: &[u8]) -> bool {
        let length = self.bytes + piece.len() as u64;
        if length > self.room {
            let wanted = length.next_multiple_of(DISK_STEP_BYTES);
            let taken = [wanted, length].into_iter().find(|wanted| share.take_disk(wanted - self.room));
            let Some(taken) = taken else { return false };
            self.room = taken;
        }
        let written = async {
            self.file.write_all(piece).await?;
            // Otherwise the next call would report an error of the disk, when the piece is gone.
            self.file.flush().await
        };
        match written.await {
            Ok(()) => {
                self.bytes = length;
                true
            }
            Err(error) => {
                tracing::warn!(%error, "cannot keep the body of a request on disk; it streams");
                false
            }
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        let wanted = usize::try_from(self.bytes).unwrap_or(usize::MAX).min(PIECE_BYTES);
        let mut piece = vec![0; wanted];
        let mut buffer = ReadBuf::new(&mut piece);
        ready!(Pin::new(&mut self.file).poll_read(cx, &mut buffer))?;
        let count = buffer.filled().len();
        if count == 0 {
            return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
        }
        piece.truncate(count);
        self.bytes -= count as u64;
        Poll::Ready(Ok(piece.into()))
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::Arc;

    use super::*;
    use crate::limits::buffering::BufferingSettings;

    fn buffering(dir: Option<&std::path::Path>, disk_max: u64) -> Arc<Buffering> {
        let settings = BufferingSettings {
            dir: dir.map(Into::into),
            body_memory_max: 100,
            disk_max,
            source_divisor: 1,
            ..BufferingSettings::default()
        };
        Arc::new(Buffering::new(settings))
    }

    async fn all(mut spool: Spool) -> Vec<u8> {
        spool.finish().await.expect("it is there");
        let mut all = Vec::new();
        while let Some(piece) = poll_fn(|cx| spool.poll_next(cx)).await {
            all.extend(piece.expect("it can be read"));
        }
        all
    }

    #[tokio::test]
    async fn a_body_beyond_its_memory_goes_to_a_file_without_a_name_and_comes_back_whole() {
        let dir = tempfile::tempdir().expect("a folder");
        let buffering = buffering(Some(dir.path()), 1 << 30);
        let mut spool = Spool::new(buffering.share(None));
        let pieces: Vec<Vec<u8>> = (0..50_u8).map(|number| vec![number; 7_919]).collect();
        for piece in &pieces {
            assert!(spool.push(&buffering, piece).await);
        }

        assert!(spool.memory.is_empty() && spool.file.is_some());
        assert_eq!(std::fs::read_dir(dir.path()).expect("a folder").count(), 0);
        assert_eq!(all(spool).await, pieces.concat());
    }

    #[tokio::test]
    async fn where_there_is_no_room_nothing_that_was_kept_is_lost() {
        let dir = tempfile::tempdir().expect("a folder");
        for (dir, disk_max, kept) in [(None, 0, 100), (Some(dir.path()), 150, 150)] {
            let buffering = buffering(dir, disk_max);
            let mut spool = Spool::new(buffering.share(None));
            let mut pushed = 0;
            while spool.push(&buffering, &[7; 10]).await {
                pushed += 10;
            }

            assert_eq!(pushed, kept);
            assert_eq!(all(spool).await, vec![7; kept]);
        }
    }

    #[tokio::test]
    async fn without_its_folder_a_body_stays_in_memory() {
        let buffering = buffering(Some(std::path::Path::new("/nonexistent")), 1_000);
        let mut spool = Spool::new(buffering.share(None));

        assert!(spool.push(&buffering, &[1; 100]).await && !spool.push(&buffering, &[2; 100]).await);
        assert_eq!(all(spool).await, [1; 100]);
    }
}
