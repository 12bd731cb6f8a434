//! The kept lines of all apps.
//!
//! An app has two segments: lines go to the newer one; when it is full it becomes the older one, and
//! the older one is dropped. So there are always enough lines, and never more than twice as many.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::path::PathBuf;

use domain::AppName;
use domain::logs::LogLine;
use jiff::{SignedDuration, Timestamp};

use crate::segment::{self, Segment};
use crate::{LoggerError, LoggerSettings};

/// Longest text of a line that is kept; the rest is cut.
pub(crate) const LINE_BYTES_MAX: usize = 16 << 10;
/// How long lines from before an app's removal are kept out.
const FORGOTTEN_FOR: SignedDuration = SignedDuration::from_hours(1);

/// Everything that is kept, on disk and on its way there.
pub(crate) struct Store {
    folder: PathBuf,
    lines_max: usize,
    segment_bytes_max: u64,
    apps: BTreeMap<AppName, AppLines>,
    /// Apps that were removed, and when: their late lines must not bring a file back.
    forgotten: BTreeMap<AppName, Timestamp>,
    pending_bytes: usize,
}

struct AppLines {
    newer: Segment,
    /// Not written yet. Only the last ones can ever be asked for, so a chatty app pushes out its own.
    pending: VecDeque<LogLine>,
    pending_bytes: usize,
    last_time: Option<Timestamp>,
    /// Whether writing failed last time; said once.
    is_failing: bool,
}

/// Files from which lines can be read after the store is unlocked, older first.
pub(crate) struct Reading {
    files: Vec<fs::File>,
    count: usize,
}

impl Store {
    /// Opens what an earlier run left, cut off wherever it was.
    pub(crate) fn open(settings: &LoggerSettings) -> Result<Self, LoggerError> {
        let folder = settings.data_dir.clone();
        let mut store = Self {
            lines_max: settings.lines_per_app_max.max(1),
            segment_bytes_max: (settings.bytes_per_app_max / 2).max(LINE_BYTES_MAX as u64 * 2),
            apps: BTreeMap::new(),
            forgotten: BTreeMap::new(),
            pending_bytes: 0,
            folder: folder.clone(),
        };
        let cannot = |source| LoggerError::Prepare { path: folder.clone(), source };
        segment::make_private_folder(&folder).map_err(cannot)?;
        for entry in fs::read_dir(&folder).map_err(cannot)? {
            let name = entry.map_err(cannot)?.file_name();
            let app = name.to_str().and_then(|name| name.split('.').next()).map(AppName::parse);
            if let Some(Ok(app)) = app {
                store.load(&app).map_err(cannot)?;
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
        if !self.apps.contains_key(&line.app)
            && let Err(error) = self.load(&line.app.clone())
        {
            tracing::warn!(app = %line.app, %error, "cannot open the kept lines of an app");
            return self.pending_bytes;
        }
        if let Some(lines) = self.apps.get_mut(&line.app) {
            let before_bytes = lines.pending_bytes;
            lines.add(line, self.lines_max);
            self.pending_bytes = self.pending_bytes + lines.pending_bytes - before_bytes;
        }
        self.pending_bytes
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
            self.flush_app(&app);
        }
    }

    /// The app's last `count` lines; `None` where nothing is kept.
    pub(crate) fn read(&mut self, app: &AppName, count: usize) -> std::io::Result<Option<Reading>> {
        self.flush_app(app);
        if !self.apps.contains_key(app) {
            return Ok(None);
        }
        let mut files = Vec::new();
        for path in [self.path(app, "old"), self.path(app, "log")] {
            files.extend(segment::open_to_read(&path)?);
        }
        Ok(Some(Reading { files, count: count.min(self.lines_max) }))
    }

    /// Drops all lines of an app.
    pub(crate) fn forget(&mut self, app: &AppName) -> std::io::Result<()> {
        if let Some(lines) = self.apps.remove(app) {
            self.pending_bytes -= lines.pending_bytes;
        }
        self.forgotten.insert(app.clone(), Timestamp::now());
        segment::remove(&self.path(app, "old"))?;
        segment::remove(&self.path(app, "log"))
    }

    fn load(&mut self, app: &AppName) -> std::io::Result<()> {
        let newer = Segment::open(self.path(app, "log"))?;
        let last_time = match newer.last_time {
            Some(time) => Some(time),
            None => segment::last_time_of(&self.path(app, "old"))?,
        };
        let lines =
            AppLines { newer, pending: VecDeque::new(), pending_bytes: 0, last_time, is_failing: false };
        self.apps.entry(app.clone()).or_insert(lines);
        Ok(())
    }

    fn flush_app(&mut self, app: &AppName) {
        let old = self.path(app, "old");
        let Some(lines) = self.apps.get_mut(app) else { return };
        let before_bytes = lines.pending_bytes;
        let written = lines.write(&old, self.lines_max, self.segment_bytes_max);
        self.pending_bytes = self.pending_bytes + lines.pending_bytes - before_bytes;
        match written {
            Ok(()) => lines.is_failing = false,
            Err(_) if lines.is_failing => {}
            Err(error) => {
                lines.is_failing = true;
                tracing::warn!(%app, %error, "cannot write the lines of an app; is the disk full?");
            }
        }
    }

    fn path(&self, app: &AppName, kind: &str) -> PathBuf {
        self.folder.join(format!("{app}.{kind}"))
    }
}

impl AppLines {
    fn add(&mut self, line: LogLine, lines_max: usize) {
        self.last_time = self.last_time.max(Some(line.time));
        self.pending_bytes += size_bytes(&line);
        self.pending.push_back(line);
        if self.pending.len() > lines_max
            && let Some(dropped) = self.pending.pop_front()
        {
            self.pending_bytes -= size_bytes(&dropped);
        }
    }

    /// Writes the pending lines, in as many segments as they need.
    fn write(&mut self, old: &std::path::Path, lines_max: usize, bytes_max: u64) -> std::io::Result<()> {
        while !self.pending.is_empty() {
            if self.newer.lines >= lines_max || self.newer.size_bytes >= bytes_max {
                self.newer.rotate(old)?;
            }
            let room = lines_max.saturating_sub(self.newer.lines);
            let taken = self.newer.append(self.pending.iter().take(room), bytes_max)?;
            for line in self.pending.drain(..taken) {
                self.pending_bytes -= size_bytes(&line);
            }
        }
        Ok(())
    }
}

impl Reading {
    /// The lines as users see them, one a line.
    pub(crate) fn render(self) -> std::io::Result<String> {
        let mut last = VecDeque::with_capacity(self.count);
        for file in self.files {
            segment::each_line(file, |line| {
                if last.len() == self.count {
                    last.pop_front();
                }
                if self.count > 0 {
                    last.push_back(line);
                }
            })?;
        }
        let mut text = String::new();
        for line in last {
            // A line break inside would make one line look like two.
            text.push_str(&line.render().replace(['\n', '\r'], " "));
            text.push('\n');
        }
        Ok(text)
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
