//! The kept lines of all apps.
//!
//! An app has two segments: lines go to the newer one; when it is full it becomes the older one, and
//! the older one is dropped. So there are always enough lines, and never more than twice as many.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Weak};

use domain::AppName;
use domain::logs::{LINE_BYTES_MAX, LogLine};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::broadcast;

use crate::segment::{self, NumberedLine, Segment};
use crate::{LoggerError, LoggerSettings};

/// Smallest segment, in bytes.
const SEGMENT_BYTES_MIN: u64 = 32 << 10;
/// Lines that a follower may be behind before it loses some, and the bytes of their texts.
const FOLLOWED_LINES_MIN: usize = 64;
const FOLLOWED_LINES_MAX: usize = 4096;
const FOLLOWED_BYTES_MAX: usize = 4 << 20;
/// Time for which lines from before an app's removal are rejected.
const FORGOTTEN_FOR: SignedDuration = SignedDuration::from_hours(1);

/// All stored lines, on disk and not yet written.
pub(crate) struct LineStore {
    folder: PathBuf,
    lines_max: usize,
    bytes_max: usize,
    segment_bytes_max: u64,
    apps: BTreeMap<AppName, AppLines>,
    /// Apps that were removed, and when: their late lines must not bring a file back.
    forgotten: BTreeMap<AppName, Timestamp>,
    pending_bytes: usize,
    /// Sends followers away, as the logger ends.
    is_ending: bool,
}

struct AppLines {
    newer: Segment,
    /// Not written yet. Only the last ones can ever be asked for, so a chatty app pushes out its own.
    pending: VecDeque<NumberedLine>,
    pending_bytes: usize,
    /// Number of the last line that was taken.
    last_number: u64,
    /// Channel for each written line, while there are followers; a follower that falls behind by more than the
    /// buffer loses lines.
    followers: Option<Followers>,
    last_time: Option<Timestamp>,
    /// The last write failed; this is logged once.
    is_failing: bool,
}

/// A line as followers get it.
#[derive(Debug, Clone)]
pub(crate) struct LoggedLine {
    pub number: u64,
    pub text: Arc<Box<str>>,
}

/// Notice of a written line. A follower that was too slow no longer gets its text.
#[derive(Debug, Clone)]
pub(crate) struct LineNotice {
    number: u64,
    text: Weak<Box<str>>,
}

impl LineNotice {
    pub(crate) fn into_line(self) -> Option<LoggedLine> {
        Some(LoggedLine { number: self.number, text: self.text.upgrade()? })
    }
}

/// Followers of an app, and the last texts for them: slow followers hold no more than these.
struct Followers {
    sender: broadcast::Sender<LineNotice>,
    texts: VecDeque<Arc<Box<str>>>,
    bytes: usize,
}

impl Followers {
    fn new(lines_max: usize) -> Self {
        Self { sender: broadcast::Sender::new(lines_max), texts: VecDeque::new(), bytes: 0 }
    }

    fn send(&mut self, LoggedLine { number, text }: LoggedLine) {
        self.bytes += text.len();
        let notice = LineNotice { number, text: Arc::downgrade(&text) };
        self.texts.push_back(text);
        while (self.bytes > FOLLOWED_BYTES_MAX || self.texts.len() > FOLLOWED_LINES_MAX)
            && let Some(oldest) = self.texts.pop_front()
        {
            self.bytes -= oldest.len();
        }
        // Nobody may be left.
        _ = self.sender.send(notice);
    }
}

/// Reads lines from files, which can be done after the store is unlocked, older first.
pub(crate) struct LineReader {
    files: Vec<fs::File>,
    count: usize,
    /// Lines up to this number are left out.
    after: u64,
}

/// Start of a follower: the kept lines, the last number that was written, and all later lines.
pub(crate) struct FollowStart {
    pub reader: LineReader,
    pub last_number: u64,
    pub lines: broadcast::Receiver<LineNotice>,
}

impl LineStore {
    /// Opens what an earlier run left, cut off wherever it was.
    pub(crate) fn open(settings: &LoggerSettings) -> Result<Self, LoggerError> {
        let folder = settings.data_dir.clone();
        let mut store = Self {
            lines_max: settings.lines_per_app_max.max(1),
            bytes_max: usize::try_from(settings.bytes_per_app_max).unwrap_or(usize::MAX).max(LINE_BYTES_MAX),
            segment_bytes_max: (settings.bytes_per_app_max / 2).max(SEGMENT_BYTES_MIN),
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
            lines.add(line, self.lines_max, self.bytes_max);
            self.pending_bytes = self.pending_bytes + lines.pending_bytes - before_bytes;
        }
        self.pending_bytes
    }

    /// Writes lines. If those of an app cannot be written, as on a full disk, none of the app's remaining lines of
    /// this call is kept: the sender still has them and sends them again.
    pub(crate) fn write(&mut self, lines: Vec<LogLine>) -> std::io::Result<()> {
        let mut ends = BTreeMap::new();
        for line in lines {
            let app = line.app.clone();
            if !self.apps.contains_key(&app) {
                self.load(&app)?;
            }
            let end = self.apps.get(&app).map_or(0, |lines| lines.last_number);
            ends.entry(app).or_insert(end);
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

    /// The app's last `count` lines; `None` where nothing is kept.
    pub(crate) fn read(&mut self, app: &AppName, count: usize) -> std::io::Result<Option<LineReader>> {
        // Lines that cannot be written are not read either.
        _ = self.flush_app(app);
        if !self.apps.contains_key(app) {
            return Ok(None);
        }
        let mut files = Vec::new();
        for path in [self.path(app, "old"), self.path(app, "log")] {
            files.extend(segment::open_to_read(&path)?);
        }
        Ok(Some(LineReader { files, count: count.min(self.lines_max), after: 0 }))
    }

    /// The app's log from here on: its last `count` lines and all later ones, or all that is kept after the
    /// line of this number. `None` where nobody can follow any more.
    pub(crate) fn follow(
        &mut self,
        app: &AppName,
        count: usize,
        after: Option<u64>,
    ) -> std::io::Result<Option<FollowStart>> {
        if self.is_ending {
            return Ok(None);
        }
        if !self.apps.contains_key(app) {
            self.load(app)?;
        }
        let count = if after.is_some() { self.lines_max } else { count };
        let Some(reader) = self.read(app, count)? else { return Ok(None) };
        let behind_max = self.lines_max.clamp(FOLLOWED_LINES_MIN, FOLLOWED_LINES_MAX);
        let Some(kept) = self.apps.get_mut(app) else { return Ok(None) };
        // A number that is yet to come is one of an earlier app of this name.
        let after = after.filter(|after| *after <= kept.last_number).unwrap_or(0);
        let last_number = kept.pending.front().map_or(kept.last_number, |waiting| waiting.number - 1);
        Ok(Some(FollowStart {
            reader: LineReader { after, ..reader },
            last_number,
            lines: kept.followers.get_or_insert_with(|| Followers::new(behind_max)).sender.subscribe(),
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

    fn flush_app(&mut self, app: &AppName) -> std::io::Result<()> {
        let old = self.path(app, "old");
        let Some(lines) = self.apps.get_mut(app) else { return Ok(()) };
        let before_bytes = lines.pending_bytes;
        let written = lines.write(&old, self.lines_max, self.segment_bytes_max);
        self.pending_bytes = self.pending_bytes + lines.pending_bytes - before_bytes;
        if let Err(error) = &written
            && !lines.is_failing
        {
            tracing::warn!(%app, %error, "cannot write the lines of an app; is the disk full?");
        }
        lines.is_failing = written.is_err();
        written
    }

    fn path(&self, app: &AppName, kind: &str) -> PathBuf {
        self.folder.join(format!("{app}.{kind}"))
    }
}

impl AppLines {
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
    fn write(&mut self, old: &std::path::Path, lines_max: usize, bytes_max: u64) -> std::io::Result<()> {
        self.followers.take_if(|followers| followers.sender.receiver_count() == 0);
        while !self.pending.is_empty() {
            if self.newer.lines >= lines_max || self.newer.size_bytes >= bytes_max {
                self.newer.rotate(old)?;
            }
            let room = lines_max.saturating_sub(self.newer.lines);
            let taken = self.newer.append(self.pending.iter().take(room), bytes_max)?;
            for line in self.pending.drain(..taken) {
                self.pending_bytes -= size_bytes(&line.line);
                // Sent once the line is on disk, so that no number ever means two lines.
                if let Some(followers) = &mut self.followers {
                    followers.send(LoggedLine::from(line));
                }
            }
        }
        Ok(())
    }
}

impl LineReader {
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
    pub(crate) fn lines(self) -> std::io::Result<Vec<LoggedLine>> {
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
        Ok(last.into_iter().map(LoggedLine::from).collect())
    }
}

impl From<NumberedLine> for LoggedLine {
    fn from(NumberedLine { number, line }: NumberedLine) -> Self {
        // A line break inside would make one line look like two.
        let text = line.render().replace(['\n', '\r'], " ").into_boxed_str();
        Self { number, text: Arc::new(text) }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn followers_who_are_slow_hold_no_more_than_the_last_texts() {
        let mut followers = Followers::new(FOLLOWED_LINES_MAX);
        let mut slow = followers.sender.subscribe();
        let long: Box<str> = "x".repeat(LINE_BYTES_MAX).into();

        for number in 1..=100 {
            followers.send(LoggedLine { number, text: Arc::new(long.clone()) });
            assert!(followers.bytes <= FOLLOWED_BYTES_MAX);
        }

        let mut numbers = Vec::new();
        while let Ok(notice) = slow.try_recv() {
            numbers.extend(notice.into_line().map(|line| line.number));
        }
        assert_eq!(numbers, (85..=100).collect::<Vec<_>>());
    }
}
