//! The lines of all apps: those that wait to be written, and the segments of the others.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::AppName;
use domain::logs::{LINE_BYTES_MAX, LogLine};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;

use crate::segments::{self, Cursor, LogReader, NumberedLine, SegmentBounds, Segments};
use crate::settings::{LoggerError, LoggerSettings};

/// Smallest segment, in bytes.
const SEGMENT_BYTES_MIN: u64 = 32 << 10;
/// Time for which lines from before an app's removal are rejected.
const FORGOTTEN_FOR: SignedDuration = SignedDuration::from_hours(1);

/// A store that all parts of the logger share; held for short file work only.
pub(crate) type SharedStore = Arc<Mutex<LineStore>>;

pub(crate) fn lock(store: &Mutex<LineStore>) -> MutexGuard<'_, LineStore> {
    store.lock().unwrap_or_else(PoisonError::into_inner)
}

/// All stored lines, on disk and not yet written.
pub(crate) struct LineStore {
    folder: PathBuf,
    bounds: SegmentBounds,
    pending_bytes_max: usize,
    apps: BTreeMap<AppName, AppLog>,
    /// Apps that were removed, and when: their late lines must not bring a file back.
    forgotten: BTreeMap<AppName, Timestamp>,
    pending_bytes: usize,
}

struct AppLog {
    segments: Segments,
    /// Not written yet. Only the last ones can ever be asked for, so a chatty app pushes out its own.
    pending: VecDeque<NumberedLine>,
    pending_bytes: usize,
    /// Number of the last line that was taken.
    last_number: u64,
    /// Number of the last line on disk, so that no number that was read ever means two lines.
    written: watch::Sender<u64>,
    last_time: Option<Timestamp>,
    /// The last write failed; this is logged once.
    is_failing: bool,
}

impl LineStore {
    /// Opens what an earlier run left, cut off wherever it was.
    pub(crate) fn open(settings: &LoggerSettings) -> Result<Self, LoggerError> {
        let folder = settings.data_dir.clone();
        let mut store = Self {
            folder: folder.clone(),
            bounds: SegmentBounds {
                lines_max: settings.lines_per_app_max.max(1),
                bytes_max: (settings.bytes_per_app_max / 2).max(SEGMENT_BYTES_MIN),
            },
            pending_bytes_max: usize::try_from(settings.bytes_per_app_max)
                .unwrap_or(usize::MAX)
                .max(LINE_BYTES_MAX),
            apps: BTreeMap::new(),
            forgotten: BTreeMap::new(),
            pending_bytes: 0,
        };
        let cannot = |source| LoggerError::Prepare { path: folder.clone(), source };
        segments::make_private_folder(&folder).map_err(cannot)?;
        for entry in fs::read_dir(&folder).map_err(cannot)? {
            let name = entry.map_err(cannot)?.file_name();
            let app = name.to_str().and_then(|name| name.split('.').next()).map(AppName::parse);
            if let Some(Ok(app)) = app {
                store.app(&app).map_err(cannot)?;
            }
        }
        Ok(store)
    }

    /// The time of the last line of each app.
    pub(crate) fn last_times(&self) -> BTreeMap<AppName, Timestamp> {
        let times = self.apps.iter().filter_map(|(app, lines)| Some((app.clone(), lines.last_time?)));
        times.collect()
    }

    /// Takes a line; it is written at the next flush. Returns the bytes that wait.
    pub(crate) fn add(&mut self, mut line: LogLine) -> usize {
        if self.forgotten.get(&line.app).is_some_and(|gone| line.time <= *gone) {
            return self.pending_bytes;
        }
        cut(&mut line.text);
        let (lines_max, bytes_max) = (self.bounds.lines_max, self.pending_bytes_max);
        match self.app(&line.app) {
            Ok(lines) => {
                let before_bytes = lines.pending_bytes;
                lines.add(line, lines_max, bytes_max);
                let after_bytes = lines.pending_bytes;
                self.pending_bytes = self.pending_bytes + after_bytes - before_bytes;
            }
            Err(error) => {
                tracing::warn!(app = %line.app, %error, "cannot open the kept lines of an app");
            }
        }
        self.pending_bytes
    }

    /// Writes lines. If those of an app cannot be written, as on a full disk, none of the app's remaining lines of
    /// this call is kept: the sender still has them and sends them again.
    pub(crate) fn write(&mut self, lines: Vec<LogLine>) -> std::io::Result<()> {
        let mut ends = BTreeMap::new();
        for line in lines {
            let end = self.app(&line.app)?.last_number;
            ends.entry(line.app.clone()).or_insert(end);
            self.add(line);
        }
        let mut written = Ok(());
        for (app, end) in ends {
            if let Err(error) = self.flush_app(&app) {
                self.take_back(&app, end);
                written = Err(error);
            }
        }
        written
    }

    /// Drops the lines of an app after this number that wait to be written.
    fn take_back(&mut self, app: &AppName, end: u64) {
        let Some(lines) = self.apps.get_mut(app) else { return };
        while let Some(last) = lines.pending.pop_back_if(|last| last.number > end) {
            lines.last_number = last.number - 1;
            lines.pending_bytes -= size_bytes(&last.line);
            self.pending_bytes -= size_bytes(&last.line);
        }
    }

    /// Writes what waits. What cannot be written waits on, within its bound.
    pub(crate) fn flush(&mut self) {
        let now = Timestamp::now();
        self.forgotten.retain(|_, gone| now.duration_since(*gone) < FORGOTTEN_FOR);
        let names: Vec<_> = self
            .apps
            .iter()
            .filter(|(_, lines)| !lines.pending.is_empty())
            .map(|(app, _)| app.clone())
            .collect();
        for app in names {
            // It is logged, and tried again at the next flush.
            _ = self.flush_app(&app);
        }
    }

    /// All that is kept of an app; `None` where nothing is.
    pub(crate) fn read(&mut self, app: &AppName) -> std::io::Result<Option<LogReader>> {
        // Lines that cannot be written are not read either.
        _ = self.flush_app(app);
        self.read_on(app, Cursor::default())
    }

    /// All that is written of an app after `from`; `None` where nothing is kept.
    pub(crate) fn read_on(&self, app: &AppName, from: Cursor) -> std::io::Result<Option<LogReader>> {
        self.apps.get(app).map(|lines| lines.segments.read(from)).transpose()
    }

    /// All that is kept of an app, and the number of the last line on disk, which changes when more can be read and is
    /// closed when the app is removed.
    pub(crate) fn follow(&mut self, app: &AppName) -> std::io::Result<(LogReader, watch::Receiver<u64>)> {
        _ = self.flush_app(app);
        let lines = self.app(app)?;
        Ok((lines.segments.read(Cursor::default())?, lines.written.subscribe()))
    }

    /// Drops all lines of an app.
    pub(crate) fn forget(&mut self, app: &AppName) -> std::io::Result<()> {
        if let Some(lines) = self.apps.remove(app) {
            self.pending_bytes -= lines.pending_bytes;
        }
        self.forgotten.insert(app.clone(), Timestamp::now());
        Segments::remove(&self.folder, app)
    }

    /// The app's log, opened where it is not.
    fn app(&mut self, app: &AppName) -> std::io::Result<&mut AppLog> {
        match self.apps.entry(app.clone()) {
            Entry::Occupied(known) => Ok(known.into_mut()),
            Entry::Vacant(new) => {
                let (segments, end) = Segments::open(&self.folder, app, self.bounds)?;
                Ok(new.insert(AppLog {
                    segments,
                    pending: VecDeque::new(),
                    pending_bytes: 0,
                    last_number: end.number,
                    written: watch::Sender::new(end.number),
                    last_time: end.time,
                    is_failing: false,
                }))
            }
        }
    }

    fn flush_app(&mut self, app: &AppName) -> std::io::Result<()> {
        let Some(lines) = self.apps.get_mut(app) else { return Ok(()) };
        let before_bytes = lines.pending_bytes;
        let written = lines.write();
        self.pending_bytes = self.pending_bytes + lines.pending_bytes - before_bytes;
        if let Err(error) = &written
            && !lines.is_failing
        {
            tracing::warn!(%app, %error, "cannot write the lines of an app; is the disk full?");
        }
        lines.is_failing = written.is_err();
        written
    }
}

impl AppLog {
    fn add(&mut self, line: LogLine, lines_max: usize, bytes_max: usize) {
        self.last_time = self.last_time.max(Some(line.time));
        self.last_number += 1;
        self.pending_bytes += size_bytes(&line);
        self.pending.push_back(NumberedLine { number: self.last_number, line });
        while (self.pending.len() > lines_max || (self.pending.len() > 1 && self.pending_bytes > bytes_max))
            && let Some(dropped) = self.pending.pop_front()
        {
            self.pending_bytes -= size_bytes(&dropped.line);
        }
    }

    /// Writes the pending lines, in as many segments as they need.
    fn write(&mut self) -> std::io::Result<()> {
        while !self.pending.is_empty() {
            let count = self.segments.append(self.pending.iter())?;
            for NumberedLine { number, line } in self.pending.drain(..count) {
                self.pending_bytes -= size_bytes(&line);
                self.written.send_replace(number);
            }
        }
        Ok(())
    }
}

fn size_bytes(line: &LogLine) -> usize {
    line.text.len() + size_of::<LogLine>()
}

fn cut(text: &mut String) {
    if text.len() > LINE_BYTES_MAX {
        text.truncate(text.floor_char_boundary(LINE_BYTES_MAX));
        text.push_str(" (cut)");
    }
}
