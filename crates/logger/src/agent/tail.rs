//! Reading on in the log of one container, across its rotations.
//!
//! The kubelet moves a full file to `<n>.log.<time>` and has the runtime begin a new one under the old
//! name; older ones it compresses or removes. A file that is open is read to its end whatever its name is.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use domain::logs::PodOrigin;
use domain::logs::{LINE_BYTES_MAX, LogLine, LogOrigin};

use super::cri::Assembler;
use super::files;
use super::positions::{FileState, Position};

/// Bytes that are read of one file in one turn.
const TURN_BYTES: usize = 64 << 10;
/// Longest line in a file: a runtime may be set up to leave lines whole.
const FILE_LINE_BYTES_MAX: usize = LINE_BYTES_MAX + 1024;
/// Bytes sent of a file without a known position: its last lines.
const FIRST_BYTES_MAX: u64 = 1 << 20;

/// The log of one container.
pub(super) struct Tail {
    link: PathBuf,
    order: (PathBuf, u64),
    origin: PodOrigin,
    /// The last part of the pod's name.
    pod: String,
    file: File,
    inode: u64,
    /// Position of `rest` in the file.
    offset: u64,
    /// Bytes after the last line break.
    rest: Vec<u8>,
    assembler: Assembler,
    /// Rotated files that come after this one, and before that of the link.
    next: VecDeque<PathBuf>,
    is_at_end: bool,
}

impl Tail {
    /// Takes a file up where it was left; `None` where it is gone already.
    pub(super) fn open(link: PathBuf, origin: PodOrigin, pod: &str, known: FileState) -> Option<Self> {
        let (path, offset, next) = match known {
            FileState::Read(position) => resume(&link, position),
            FileState::New => (link.clone(), 0, VecDeque::new()),
            FileState::Nothing => (link.clone(), last_bytes(&link), VecDeque::new()),
        };
        let mut file = File::open(path).ok()?;
        let inode = file.metadata().ok()?.ino();
        file.seek(SeekFrom::Start(offset)).ok()?;
        let pod = pod.rsplit('-').next().unwrap_or_default().to_owned();
        Some(Self {
            order: files::order(&link),
            link,
            origin,
            pod,
            file,
            inode,
            offset,
            rest: Vec::new(),
            assembler: Assembler::default(),
            next,
            is_at_end: false,
        })
    }

    /// Position from which reading continues after a restart.
    pub(super) fn position(&self) -> Position {
        Position { inode: self.inode, offset: self.assembler.begun_at().unwrap_or(self.offset) }
    }

    /// Place in the order of reading.
    pub(super) fn order(&self) -> &(PathBuf, u64) {
        &self.order
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.is_at_end
    }

    /// Reads one batch and returns true if there was anything.
    pub(super) fn read(&mut self, mut take: impl FnMut(LogLine)) -> bool {
        let mut bytes = [0; TURN_BYTES];
        let count = match self.file.read(&mut bytes) {
            Ok(count) => count,
            Err(error) => {
                tracing::debug!(file = %self.link.display(), %error, "cannot read a log");
                0
            }
        };
        self.is_at_end = count == 0;
        if count == 0 {
            return self.go_on();
        }
        self.rest.extend_from_slice(&bytes[..count]);
        let lines = std::mem::take(&mut self.rest);
        let mut begin = 0;
        while let Some(length) = lines[begin..].iter().position(|byte| *byte == b'\n') {
            self.take_line(&lines[begin..begin + length], &mut take);
            begin += length + 1;
            self.offset += length as u64 + 1;
        }
        // Longer than any line of the runtime: not a log.
        if lines.len() - begin > FILE_LINE_BYTES_MAX {
            self.offset += (lines.len() - begin) as u64;
        } else {
            self.rest = lines[begin..].to_vec();
        }
        true
    }

    fn take_line(&mut self, line: &[u8], take: &mut impl FnMut(LogLine)) {
        let (PodOrigin { app, process, release }, pod) = (&self.origin, &self.pod);
        self.assembler.take(self.offset, line, |time, text| {
            let (process, release, pod) = (process.clone(), *release, pod.clone());
            take(LogLine {
                time,
                app: app.clone(),
                origin: LogOrigin::Process { process, release, pod },
                text,
            });
        });
    }

    /// At the end of the file: goes to the one that follows it, if there is one already.
    fn go_on(&mut self) -> bool {
        let next = match self.next.front() {
            Some(next) => next.clone(),
            None if self.was_rotated() => self.link.clone(),
            None => return false,
        };
        // Its last lines may have come between the last read and the rotation.
        let is_read =
            self.file.metadata().is_ok_and(|metadata| self.offset + self.rest.len() as u64 >= metadata.len());
        if !is_read {
            return true;
        }
        self.next.pop_front();
        let Ok(file) = File::open(&next) else { return false };
        let Ok(metadata) = file.metadata() else { return false };
        (self.file, self.inode, self.offset) = (file, metadata.ino(), 0);
        self.rest.clear();
        self.assembler.continue_elsewhere();
        self.is_at_end = false;
        true
    }

    /// Returns true if the link points to another file now, or this file was truncated.
    fn was_rotated(&self) -> bool {
        let Ok(metadata) = std::fs::metadata(&self.link) else { return false };
        metadata.ino() != self.inode || metadata.len() < self.offset
    }
}

/// Finds where to continue after a restart: in the link's file, or in a file that was rotated away meanwhile and
/// its successors.
fn resume(link: &Path, position: Position) -> (PathBuf, u64, VecDeque<PathBuf>) {
    let Position { inode, offset } = position;
    let current = std::fs::metadata(link);
    if current.is_ok_and(|metadata| metadata.ino() == inode && metadata.len() >= offset) {
        return (link.to_owned(), offset, VecDeque::new());
    }
    let mut rotated = rotated(link);
    while let Some(path) = rotated.pop_front() {
        if std::fs::metadata(&path).is_ok_and(|metadata| metadata.ino() == inode) {
            rotated.push_back(link.to_owned());
            return (path, offset, rotated);
        }
    }
    (link.to_owned(), 0, VecDeque::new())
}

/// Files that were rotated away and can be read, oldest first: their names end in a time.
fn rotated(link: &Path) -> VecDeque<PathBuf> {
    let find = || -> Option<Vec<PathBuf>> {
        let file = std::fs::canonicalize(link).ok()?;
        let prefix = format!("{}.", file.file_name()?.to_str()?);
        let entries = std::fs::read_dir(file.parent()?).ok()?;
        let is_ours = |path: &PathBuf| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            name.starts_with(&prefix) && !name.ends_with(".gz") && !name.ends_with(".tmp")
        };
        let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).filter(is_ours).collect();
        paths.sort();
        Some(paths)
    };
    find().unwrap_or_default().into()
}

/// Position of the file's last lines: a line that is cut there is ignored.
fn last_bytes(link: &Path) -> u64 {
    std::fs::metadata(link).map_or(0, |metadata| metadata.len().saturating_sub(FIRST_BYTES_MAX))
}
