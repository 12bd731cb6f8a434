//! Log lines of an app, written by its processes and by the platform.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::names::{AppName, ProcessType};

/// Longest text of a line in bytes. A longer line of a process is cut into parts.
pub const LINE_BYTES_MAX: usize = 256 << 10;
/// Longest mark of a part, counted within that length.
const MARK_BYTES_MAX: usize = 64;

/// The component that logs requests.
const ROUTER: &str = "router";

/// One line and where it came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    pub time: Timestamp,
    pub app: AppName,
    #[serde(rename = "source")]
    pub origin: LogOrigin,
    /// Without the line break.
    pub text: String,
}

/// Origin of a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogOrigin {
    /// A process of the app; `pod` is the last part of the pod's name.
    Process { process: ProcessType, release: u64, pod: String },
    /// A part of the platform (`controller`, `builder`, `router`) and a level (`INFO`, `WARN`, `ERROR`; empty where
    /// the line says it itself, as access lines do).
    Platform { component: String, level: String },
}

/// A pod of a cluster, by whose log file an agent tells whose lines are in it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PodName {
    pub namespace: String,
    pub name: String,
}

/// The process that a pod runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodOrigin {
    pub app: AppName,
    pub process: ProcessType,
    pub release: u64,
}

/// A line of a process that is still coming, piece by piece, as a container runtime gives it.
///
/// It holds no more than [`LINE_BYTES_MAX`] and a piece: a longer line comes in parts, cut between characters, each
/// with its number in front, so that they can be put together again.
#[derive(Debug, Default)]
pub struct PartialLine {
    text: String,
    /// The begin of a character whose rest is to come.
    cut_character: Vec<u8>,
    /// Parts that have been given already.
    parts: u32,
}

impl PartialLine {
    /// Adds a piece; a part that is full goes to `take`.
    pub fn add(&mut self, piece: &[u8], mut take: impl FnMut(String)) {
        let joined = [self.cut_character.as_slice(), piece].concat();
        self.cut_character.clear();
        let mut rest = joined.as_slice();
        while let Err(error) = std::str::from_utf8(rest) {
            let (good, bad) = rest.split_at(error.valid_up_to());
            self.text.push_str(&String::from_utf8_lossy(good));
            let Some(length) = error.error_len() else {
                self.cut_character = bad.to_vec();
                rest = &[];
                break;
            };
            self.text.push(char::REPLACEMENT_CHARACTER);
            rest = &bad[length..];
        }
        self.text.push_str(&String::from_utf8_lossy(rest));
        while self.text.len() > LINE_BYTES_MAX {
            let rest = self.text.split_off(self.text.floor_char_boundary(LINE_BYTES_MAX - MARK_BYTES_MAX));
            let part = std::mem::replace(&mut self.text, rest);
            self.parts += 1;
            take(format!("[part {} of a long line] {part}", self.parts));
        }
    }

    /// Ends the line and gives it, or its last part; the next one may begin.
    pub fn end(&mut self) -> String {
        let Self { mut text, cut_character, parts } = std::mem::take(self);
        if !cut_character.is_empty() {
            text.push(char::REPLACEMENT_CHARACTER);
        }
        // The line end of Windows.
        if text.ends_with('\r') {
            text.pop();
        }
        if parts > 0 { format!("[part {}, the last] {text}", parts + 1) } else { text }
    }

    /// Returns true if no part of a line has arrived.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty() && self.cut_character.is_empty() && self.parts == 0
    }
}

impl LogOrigin {
    /// A line of a request or of a release that left, said by a router.
    pub fn router(level: &str) -> Self {
        Self::Platform { component: ROUTER.to_owned(), level: level.to_owned() }
    }

    /// Returns true for lines of routers.
    pub fn is_router(&self) -> bool {
        matches!(self, Self::Platform { component, .. } if component == ROUTER)
    }
}

impl LogLine {
    /// The line as users see it (docs/spec/components.md 7.2):
    /// `2026-01-02T03:04:05+00:00 foo[web.v2.2ggow]: hello`.
    pub fn render(&self) -> String {
        let Self { time, app, origin, text } = self;
        let time = time.strftime("%Y-%m-%dT%H:%M:%S+00:00");
        match origin {
            LogOrigin::Process { process, release, pod } => {
                format!("{time} {app}[{process}.v{release}.{pod}]: {text}")
            }
            LogOrigin::Platform { component, level } if level.is_empty() => {
                format!("{time} deis[{component}]: {text}")
            }
            LogOrigin::Platform { component, level } => format!("{time} deis[{component}]: {level} {text}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines that pieces of this length make of bytes.
    fn lines(bytes: &[u8], piece_bytes: usize) -> Vec<String> {
        let (mut line, mut lines) = (PartialLine::default(), Vec::new());
        for piece in bytes.chunks(piece_bytes) {
            line.add(piece, |part| lines.push(part));
            assert!(line.text.len() <= LINE_BYTES_MAX);
        }
        lines.push(line.end());
        assert!(line.is_empty());
        lines
    }

    #[test]
    fn a_line_up_to_the_bound_stays_whole_however_it_comes() {
        let json = format!("{{\"message\":\"{}\"}}", "ü".repeat((LINE_BYTES_MAX - 14) / 2));
        assert_eq!(json.len(), LINE_BYTES_MAX);
        for piece_bytes in [1, 16 << 10, (16 << 10) + 1, LINE_BYTES_MAX] {
            assert_eq!(lines(json.as_bytes(), piece_bytes), [json.as_str()], "{piece_bytes}");
        }
    }

    #[test]
    fn a_longer_line_comes_in_parts_that_are_cut_between_characters_and_belong_together() {
        for letter in ["x", "ü", "日", "🦀"] {
            let text = format!("a{}", letter.repeat(600_000 / letter.len()));

            let parts = lines(text.as_bytes(), 16 << 10);

            let shown: Vec<_> = parts.iter().map(|part| &part[..part.find(']').expect("a mark")]).collect();
            assert_eq!(shown, ["[part 1 of a long line", "[part 2 of a long line", "[part 3, the last"]);
            assert!(parts.iter().all(|part| part.len() <= LINE_BYTES_MAX));
            let whole: String = parts.iter().filter_map(|part| Some(part.split_once("] ")?.1)).collect();
            assert!(whole == text, "{letter}");
        }
    }

    #[test]
    fn what_is_no_text_is_replaced_and_bounded_like_text() {
        assert_eq!(lines(b"a\xffb\xe2\x82", 1), ["a\u{fffd}b\u{fffd}"]);
        assert_eq!(lines(b"a\xe2\x82\xacb\r", 1), ["a\u{20ac}b"]);
        assert!(lines(&vec![0xff; LINE_BYTES_MAX], 16 << 10).iter().all(|part| part.len() <= LINE_BYTES_MAX));
    }

    #[test]
    fn a_line_that_says_its_level_itself_has_no_other() {
        let line = |origin| LogLine {
            time: Timestamp::UNIX_EPOCH,
            app: AppName::parse("blog").expect("a good name"),
            origin,
            text: "at=info".to_owned(),
        };

        assert_eq!(line(LogOrigin::router("")).render(), "1970-01-01T00:00:00+00:00 deis[router]: at=info");
        let plain = line(LogOrigin::router("INFO")).render();
        assert_eq!(plain, "1970-01-01T00:00:00+00:00 deis[router]: INFO at=info");
    }
}
