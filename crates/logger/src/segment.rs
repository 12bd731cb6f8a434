//! One file of lines, each a JSON value and a line break, only ever appended to.
//!
//! A line that a crash cut off is removed when the file is opened; a write that failed half-way is undone at once.
//! So every line in a file is complete.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use domain::logs::{LINE_BYTES_MAX, LogLine};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Longest stored line that is read; the store writes shorter ones. JSON may write a byte of a text as six.
const STORED_LINE_BYTES_MAX: u64 = LINE_BYTES_MAX as u64 * 6 + (16 << 10);
/// Lines at the end that are looked at for the latest time: processes do not write in strict order.
const LATEST_LINES: usize = 100;

/// A line and its number in the app's log: numbers rise by one, so that a gap shows missing lines.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct NumberedLine {
    /// 0 where the file was written before lines had numbers.
    #[serde(default)]
    pub number: u64,
    #[serde(flatten)]
    pub line: LogLine,
}

/// End of a file of lines.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct SegmentEnd {
    pub time: Option<Timestamp>,
    pub number: u64,
}

/// The file that is appended to.
pub(crate) struct Segment {
    path: PathBuf,
    /// `None` until the first line.
    file: Option<File>,
    pub lines: usize,
    pub size_bytes: u64,
    /// Its end when it was opened.
    pub end: SegmentEnd,
}

impl Segment {
    /// Opens the file, where there is one, and cuts off what no line break ends.
    pub(crate) fn open(path: PathBuf) -> std::io::Result<Self> {
        let mut segment = Self { path, file: None, lines: 0, size_bytes: 0, end: SegmentEnd::default() };
        let bytes = match fs::read(&segment.path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(segment),
            Err(error) => return Err(error),
        };
        let whole = whole_lines(&bytes);
        segment.lines = whole.iter().filter(|byte| **byte == b'\n').count();
        segment.size_bytes = whole.len() as u64;
        segment.end = end(whole);
        let file = append_to(&segment.path)?;
        file.set_len(segment.size_bytes)?;
        segment.file = Some(file);
        Ok(segment)
    }

    /// Appends lines until one has passed `bytes_max`, and says how many. Where it fails nothing was added.
    pub(crate) fn append<'a>(
        &mut self,
        lines: impl Iterator<Item = &'a NumberedLine>,
        bytes_max: u64,
    ) -> std::io::Result<usize> {
        let (mut bytes, mut count) = (Vec::new(), 0);
        for line in lines {
            serde_json::to_writer(&mut bytes, line)?;
            bytes.push(b'\n');
            count += 1;
            if self.size_bytes + bytes.len() as u64 >= bytes_max {
                break;
            }
        }
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(append_to(&self.path)?),
        };
        if let Err(error) = file.write_all(&bytes) {
            file.set_len(self.size_bytes)?;
            return Err(error);
        }
        self.size_bytes += bytes.len() as u64;
        self.lines += count;
        Ok(count)
    }

    /// Becomes the older segment and begins anew.
    pub(crate) fn rotate(&mut self, old: &Path) -> std::io::Result<()> {
        fs::rename(&self.path, old)?;
        (self.file, self.lines, self.size_bytes) = (None, 0, 0);
        Ok(())
    }
}

/// End of a file that is only read.
pub(crate) fn end_of(path: &Path) -> std::io::Result<SegmentEnd> {
    match fs::read(path) {
        Ok(bytes) => Ok(end(whole_lines(&bytes))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(SegmentEnd::default()),
        Err(error) => Err(error),
    }
}

/// Calls `take` with each line that can be read, oldest first.
pub(crate) fn each_line(file: File, mut take: impl FnMut(NumberedLine)) -> std::io::Result<()> {
    let mut reader = BufReader::with_capacity(64 << 10, file);
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        if reader.by_ref().take(STORED_LINE_BYTES_MAX).read_until(b'\n', &mut bytes)? == 0 {
            return Ok(());
        }
        if let Ok(line) = serde_json::from_slice(&bytes) {
            take(line);
        }
    }
}

/// `None` where there is no such file.
pub(crate) fn open_to_read(path: &Path) -> std::io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Removing a file that does not exist succeeds.
pub(crate) fn remove(path: &Path) -> std::io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Makes a folder that only we may enter.
pub(crate) fn make_private_folder(folder: &Path) -> std::io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

fn append_to(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

fn whole_lines(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
    &bytes[..end]
}

fn end(lines: &[u8]) -> SegmentEnd {
    let last = lines.rsplit(|byte| *byte == b'\n').take(LATEST_LINES);
    let last = last.filter_map(|line| serde_json::from_slice::<NumberedLine>(line).ok());
    last.fold(SegmentEnd::default(), |SegmentEnd { time, number }, last| SegmentEnd {
        time: time.max(Some(last.line.time)),
        number: number.max(last.number),
    })
}
