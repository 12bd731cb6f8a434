//! The lines of one app on disk: two files, each line a JSON value and a line break.
//!
//! Lines are appended to the newer segment. When it is full it becomes the older one, and the older one is dropped: so
//! there are always enough lines, and never more than twice as many. A line that a crash cut off is removed when the
//! file is opened; a write that failed half-way is undone at once. So every line up to the size that is known is
//! complete, and a cursor can read up to there while more lines are appended.

use std::collections::VecDeque;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Seek as _, SeekFrom, Take, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use domain::AppName;
use domain::logs::{LINE_BYTES_MAX, LogLine};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Longest stored line that is read; the store writes shorter ones. JSON may write a byte of a text as six.
const STORED_LINE_BYTES_MAX: u64 = LINE_BYTES_MAX as u64 * 6 + (16 << 10);
/// Bytes that are read of a file at once.
const READ_BYTES: usize = 64 << 10;
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

impl NumberedLine {
    /// The line as users see it.
    pub(crate) fn render(&self) -> String {
        // A line break inside would make one line look like two.
        self.line.render().replace(['\n', '\r'], " ")
    }
}

/// The last line that was written.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct LogEnd {
    pub time: Option<Timestamp>,
    pub number: u64,
}

/// Bounds of one segment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SegmentBounds {
    pub lines_max: usize,
    pub bytes_max: u64,
}

/// The two files of an app.
pub(crate) struct Segments {
    older: PathBuf,
    newer: PathBuf,
    bounds: SegmentBounds,
    /// The newer one, which is appended to; `None` until its first line.
    file: Option<File>,
    lines: usize,
    size_bytes: u64,
    /// Number of the newer segment since the log was opened; the older one has the number before.
    newest: u64,
}

/// A position in the log of an app, from which lines are read in order. The default is the begin of what is kept.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cursor {
    segment: u64,
    offset_bytes: u64,
}

/// Reads lines in order, up to the end that the log had when the reader was made.
pub(crate) struct LogReader {
    files: VecDeque<(u64, BufReader<Take<File>>)>,
    cursor: Cursor,
    bytes: Vec<u8>,
    /// Lines that can be asked for.
    pub lines_max: usize,
}

impl Segments {
    /// Opens the files, where there are any, and cuts off what no line break ends. Returns the last line, too.
    pub(crate) fn open(
        folder: &Path,
        app: &AppName,
        bounds: SegmentBounds,
    ) -> std::io::Result<(Self, LogEnd)> {
        let [older, newer] = paths(folder, app);
        let mut segments = Self { older, newer, bounds, file: None, lines: 0, size_bytes: 0, newest: 1 };
        let bytes = read_if_there(&segments.newer)?;
        let whole = whole_lines(&bytes);
        if !bytes.is_empty() {
            segments.lines = whole.iter().filter(|byte| **byte == b'\n').count();
            segments.size_bytes = whole.len() as u64;
            segments.append_file()?.set_len(whole.len() as u64)?;
        }
        let end = if whole.is_empty() { end(&read_if_there(&segments.older)?) } else { end(whole) };
        Ok((segments, end))
    }

    /// Appends lines up to the bounds of one segment, and returns their number. Where it fails nothing was added.
    pub(crate) fn append<'a>(
        &mut self,
        lines: impl Iterator<Item = &'a NumberedLine>,
    ) -> std::io::Result<usize> {
        let SegmentBounds { lines_max, bytes_max } = self.bounds;
        if self.lines >= lines_max || self.size_bytes >= bytes_max {
            fs::rename(&self.newer, &self.older)?;
            (self.file, self.lines, self.size_bytes, self.newest) = (None, 0, 0, self.newest + 1);
        }
        let (mut bytes, mut count) = (Vec::new(), 0);
        for line in lines.take(lines_max.saturating_sub(self.lines)) {
            serde_json::to_writer(&mut bytes, line)?;
            bytes.push(b'\n');
            count += 1;
            if self.size_bytes + bytes.len() as u64 >= bytes_max {
                break;
            }
        }
        let size_bytes = self.size_bytes;
        let file = self.append_file()?;
        if let Err(error) = file.write_all(&bytes) {
            file.set_len(size_bytes)?;
            return Err(error);
        }
        self.size_bytes += bytes.len() as u64;
        self.lines += count;
        Ok(count)
    }

    /// A reader of the lines after `from`. Those that were dropped meanwhile are left out: their numbers are missing.
    pub(crate) fn read(&self, from: Cursor) -> std::io::Result<LogReader> {
        let mut files = VecDeque::new();
        let kept = [(self.newest - 1, &self.older, u64::MAX), (self.newest, &self.newer, self.size_bytes)];
        for (segment, path, size_bytes) in kept.into_iter().filter(|(segment, ..)| *segment >= from.segment) {
            let Some(mut file) = open_if_there(path)? else { continue };
            let offset_bytes = if segment == from.segment { from.offset_bytes } else { 0 };
            file.seek(SeekFrom::Start(offset_bytes))?;
            files.push_back((
                segment,
                BufReader::with_capacity(READ_BYTES, file.take(size_bytes.saturating_sub(offset_bytes))),
            ));
        }
        Ok(LogReader { files, cursor: from, bytes: Vec::new(), lines_max: self.bounds.lines_max })
    }

    /// Removes the files of an app. Removing what does not exist succeeds.
    pub(crate) fn remove(folder: &Path, app: &AppName) -> std::io::Result<()> {
        for path in paths(folder, app) {
            match fs::remove_file(path) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    fn append_file(&mut self) -> std::io::Result<&mut File> {
        match &mut self.file {
            Some(file) => Ok(file),
            none => {
                let mut options = OpenOptions::new();
                let file = options.append(true).create(true).mode(0o600).open(&self.newer)?;
                Ok(none.insert(file))
            }
        }
    }
}

impl LogReader {
    /// The next line that can be read; `None` at the end.
    pub(crate) fn next(&mut self) -> std::io::Result<Option<NumberedLine>> {
        while let Some((segment, file)) = self.files.front_mut() {
            self.bytes.clear();
            let read_bytes = file.take(STORED_LINE_BYTES_MAX).read_until(b'\n', &mut self.bytes)?;
            if read_bytes == 0 {
                self.files.pop_front();
                continue;
            }
            if self.cursor.segment != *segment {
                self.cursor = Cursor { segment: *segment, offset_bytes: 0 };
            }
            self.cursor.offset_bytes += read_bytes as u64;
            if let Ok(line) = serde_json::from_slice(&self.bytes) {
                return Ok(Some(line));
            }
        }
        Ok(None)
    }

    /// The position after the last line that was read.
    pub(crate) fn cursor(&self) -> Cursor {
        self.cursor
    }
}

/// Makes a folder that only we may enter.
pub(crate) fn make_private_folder(folder: &Path) -> std::io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// The older segment and the newer one.
fn paths(folder: &Path, app: &AppName) -> [PathBuf; 2] {
    ["old", "log"].map(|kind| folder.join(format!("{app}.{kind}")))
}

fn open_if_there(path: &Path) -> std::io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn read_if_there(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(mut file) = open_if_there(path)? {
        file.read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

fn whole_lines(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
    &bytes[..end]
}

fn end(bytes: &[u8]) -> LogEnd {
    let last = whole_lines(bytes).rsplit(|byte| *byte == b'\n').take(LATEST_LINES);
    let last = last.filter_map(|line| serde_json::from_slice::<NumberedLine>(line).ok());
    last.fold(LogEnd::default(), |LogEnd { time, number }, last| LogEnd {
        time: time.max(Some(last.line.time)),
        number: number.max(last.number),
    })
}

#[cfg(test)]
mod tests {
    use domain::ProcessType;
    use domain::logs::LogOrigin;

    use super::*;

    const BOUNDS: SegmentBounds = SegmentBounds { lines_max: 3, bytes_max: 1 << 20 };

    fn app() -> AppName {
        AppName::parse("blog").expect("a good name")
    }

    fn append(segments: &mut Segments, numbers: std::ops::RangeInclusive<u64>) {
        for number in numbers {
            let origin =
                LogOrigin::Process { process: ProcessType::web(), release: 2, pod: "2ggow".to_owned() };
            let line = LogLine { time: Timestamp::UNIX_EPOCH, app: app(), origin, text: "hello".to_owned() };
            let line = NumberedLine { number, line };
            assert_eq!(segments.append([&line].into_iter()).expect("the disk has room"), 1);
        }
    }

    /// Numbers of the lines after the cursor, which then stands behind them.
    fn read(segments: &Segments, cursor: &mut Cursor) -> Vec<u64> {
        let mut reader = segments.read(*cursor).expect("files of ours");
        let mut numbers = Vec::new();
        while let Some(line) = reader.next().expect("files of ours") {
            numbers.push(line.number);
        }
        *cursor = reader.cursor();
        numbers
    }

    #[test]
    fn a_cursor_reads_each_line_once_across_segments_and_skips_those_that_were_dropped() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (mut segments, _) = Segments::open(folder.path(), &app(), BOUNDS).expect("a new folder");
        let mut cursor = Cursor::default();
        assert!(read(&segments, &mut cursor).is_empty());

        for (appended, expected) in
            [(1..=2, 1..=2), (3..=3, 3..=3), (4..=5, 4..=5), (6..=7, 6..=7), (8..=15, 10..=15)]
        {
            append(&mut segments, appended);
            assert_eq!(read(&segments, &mut cursor), expected.collect::<Vec<_>>());
            assert!(read(&segments, &mut cursor).is_empty());
        }
        let (reopened, end) = Segments::open(folder.path(), &app(), BOUNDS).expect("files of ours");
        assert_eq!((read(&reopened, &mut Cursor::default()), end.number), ((10..=15).collect(), 15));
    }

    #[test]
    fn a_reader_ends_where_the_log_ended_when_it_was_made() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (mut segments, _) = Segments::open(folder.path(), &app(), BOUNDS).expect("a new folder");
        append(&mut segments, 1..=1);

        let mut reader = segments.read(Cursor::default()).expect("files of ours");
        append(&mut segments, 2..=2);

        assert_eq!(reader.next().expect("files of ours").map(|line| line.number), Some(1));
        assert!(reader.next().expect("files of ours").is_none());
        assert_eq!(read(&segments, &mut reader.cursor()), [2]);
    }
}
