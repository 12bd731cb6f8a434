//! The kept lines of all apps.
//!
//! An app has two segments: lines go to the newer one; when it is full it becomes the older one, and
//! the older one is dropped. So there are always enough lines, and never more than twice as many.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use domain::AppName;
use domain::logs::LogLine;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::broadcast;

use crate::segment::{self, Numbered, Segment};
use crate::{LoggerError, LoggerSettings};

/// Longest text of a line that is kept; the rest is cut.
pub(crate) const LINE_BYTES_MAX: usize = 16 << 10;
/// Lines that a follower may be behind before it loses some.
const FOLLOWED_LINES_MIN: usize = 64;
const FOLLOWED_LINES_MAX: usize = 4096;
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
    /// Whether followers are sent away, as the logger ends.
    is_ending: bool,
}

struct AppLines {
    newer: Segment,
    /// Not written yet. Only the last ones can ever be asked for, so a chatty app pushes out its own.
    pending: VecDeque<Numbered>,
    pending_bytes: usize,
    /// Number of the last line that was taken.
    last_number: u64,
    /// Gets each line once it is written, while somebody follows; a follower who falls behind by more than is
    /// kept loses lines.
    followers: Option<broadcast::Sender<Told>>,
    last_time: Option<Timestamp>,
    /// Whether writing failed last time; said once.
    is_failing: bool,
}

/// A line as followers get it.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    pub number: u64,
    pub text: Arc<str>,
}

/// Files from which lines can be read after the store is unlocked, older first.
pub(crate) struct Reading {
    files: Vec<fs::File>,
    count: usize,
    /// Lines up to this number are left out.
    after: u64,
}

/// What a follower begins with: what is kept, the last number that was written, and all later lines.
pub(crate) struct Following {
    pub reading: Reading,
    pub last_number: u64,
    pub lines: broadcast::Receiver<Told>,
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
            is_ending: false,
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
        Ok(Some(Reading { files, count: count.min(self.lines_max), after: 0 }))
    }

    /// The app's log from here on: its last `count` lines and all later ones, or all that is kept after the
    /// line of this number. `None` where nobody can follow any more.
    pub(crate) fn follow(
        &mut self,
        app: &AppName,
        count: usize,
        after: Option<u64>,
    ) -> std::io::Result<Option<Following>> {
        if self.is_ending {
            return Ok(None);
        }
        if !self.apps.contains_key(app) {
            self.load(app)?;
        }
        let count = if after.is_some() { self.lines_max } else { count };
        let Some(reading) = self.read(app, count)? else { return Ok(None) };
        let behind_max = self.lines_max.clamp(FOLLOWED_LINES_MIN, FOLLOWED_LINES_MAX);
        let Some(kept) = self.apps.get_mut(app) else { return Ok(None) };
        // A number that is yet to come is one of an earlier app of this name.
        let after = after.filter(|after| *after <= kept.last_number).unwrap_or(0);
        let last_number = kept.pending.front().map_or(kept.last_number, |waiting| waiting.number - 1);
        Ok(Some(Following {
            reading: Reading { after, ..reading },
            last_number,
            lines: kept.followers.get_or_insert_with(|| broadcast::Sender::new(behind_max)).subscribe(),
        }))
    }

    /// Sends followers away and lets none in.
    pub(crate) fn end_following(&mut self) {
        self.is_ending = true;
        for lines in self.apps.values_mut() {
            lines.followers = None;
        }
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
        let end = if newer.lines > 0 { newer.end } else { segment::end_of(&self.path(app, "old"))? };
        let lines = AppLines {
            newer,
            pending: VecDeque::new(),
            pending_bytes: 0,
            last_number: end.number,
            followers: None,
            last_time: end.time,
            is_failing: false,
        };
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
        self.last_number += 1;
        self.pending_bytes += size_bytes(&line);
        self.pending.push_back(Numbered { number: self.last_number, line });
        if self.pending.len() > lines_max
            && let Some(dropped) = self.pending.pop_front()
        {
            self.pending_bytes -= size_bytes(&dropped.line);
        }
    }

    /// Writes the pending lines, in as many segments as they need.
    fn write(&mut self, old: &std::path::Path, lines_max: usize, bytes_max: u64) -> std::io::Result<()> {
        self.followers.take_if(|followers| followers.receiver_count() == 0);
        while !self.pending.is_empty() {
            if self.newer.lines >= lines_max || self.newer.size_bytes >= bytes_max {
                self.newer.rotate(old)?;
            }
            let room = lines_max.saturating_sub(self.newer.lines);
            let taken = self.newer.append(self.pending.iter().take(room), bytes_max)?;
            for line in self.pending.drain(..taken) {
                self.pending_bytes -= size_bytes(&line.line);
                // Told once it is on disk, so that no number ever means two lines.
                if let Some(followers) = &self.followers {
                    _ = followers.send(Told::from(line));
                }
            }
        }
        Ok(())
    }
}

impl Reading {
    /// The lines as users see them, one a line.
    pub(crate) fn render(self) -> std::io::Result<String> {
        let mut text = String::new();
        for line in self.lines()? {
            text.push_str(&line.text);
            text.push('\n');
        }
        Ok(text)
    }

    /// The lines, oldest first.
    pub(crate) fn lines(self) -> std::io::Result<Vec<Told>> {
        let Self { files, count, after } = self;
        let mut last = VecDeque::new();
        for file in files {
            segment::each_line(file, |line| {
                if line.number <= after && after > 0 || count == 0 {
                    return;
                }
                if last.len() == count {
                    last.pop_front();
                }
                last.push_back(line);
            })?;
        }
        Ok(last.into_iter().map(Told::from).collect())
    }
}

impl From<Numbered> for Told {
    fn from(Numbered { number, line }: Numbered) -> Self {
        // A line break inside would make one line look like two.
        Self { number, text: line.render().replace(['\n', '\r'], " ").into() }
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
