//! Parses a container runtime's log messages into lines: each message begins with its time; a long line has
//! several messages.
//!
//! Remembers the position in each of the two streams of a container, so that reading can be resumed without a lost
//! or repeated line.

use domain::logs::PartialLine;
use jiff::Timestamp;

/// Bytes after which Docker cuts a line into pieces.
const DOCKER_PIECE_BYTES: usize = 16 << 10;

type TimedLines = Vec<(Timestamp, String)>;

/// Reading position in one container's log.
pub struct ContainerLogReader {
    streams: [OutputStream; 2],
    lines: TimedLines,
}

/// stdout or stderr.
struct OutputStream {
    /// Time of the last message, and how many there were of just that time.
    time: Timestamp,
    count: u64,
    /// Time from which reading was resumed, and the number of messages of just that time that are known already.
    known_time: Timestamp,
    known_count: u64,
    /// A line whose end has not come yet, and its time.
    line: PartialLine,
    line_time: Timestamp,
}

impl ContainerLogReader {
    /// Reads messages after `time`.
    pub fn from(time: Timestamp) -> Self {
        let stream = || OutputStream {
            time,
            count: u64::MAX,
            known_time: time,
            known_count: u64::MAX,
            line: PartialLine::default(),
            line_time: time,
        };
        Self { streams: [stream(), stream()], lines: Vec::new() }
    }

    /// The time from which messages are to be requested.
    pub fn since(&self) -> Timestamp {
        self.streams[0].known_time.min(self.streams[1].known_time)
    }

    /// Takes one message of a stream; a malformed one is left out.
    pub fn take(&mut self, stream: usize, message: &[u8]) {
        self.add(stream, message, OutputStream::add);
    }

    /// Takes one message of a stream of Docker's. Before version 23 its driver `local` ends no line that came in pieces.
    pub fn take_of_docker(&mut self, stream: usize, message: &[u8]) {
        self.add(stream, message, OutputStream::add_of_docker);
    }

    fn add(
        &mut self,
        stream: usize,
        message: &[u8],
        add: impl FnOnce(&mut OutputStream, Timestamp, &[u8], &mut TimedLines),
    ) {
        let Some((time, text)) = split(message) else { return };
        let stream = &mut self.streams[stream];
        if stream.is_known(time) {
            return;
        }
        stream.count = if time == stream.time { stream.count.saturating_add(1) } else { 1 };
        stream.time = time;
        add(stream, time, text, &mut self.lines);
    }

    /// The whole lines since the last call.
    pub fn lines(&mut self) -> std::vec::Drain<'_, (Timestamp, String)> {
        self.lines.drain(..)
    }

    /// From here on messages come again from [`ContainerLogReader::since`].
    pub fn resume(&mut self) {
        for stream in &mut self.streams {
            (stream.known_time, stream.known_count) = (stream.time, stream.count);
        }
    }
}

impl OutputStream {
    fn is_known(&mut self, time: Timestamp) -> bool {
        if time == self.known_time && self.known_count > 0 {
            self.known_count -= 1;
            return true;
        }
        time < self.known_time
    }

    /// Pieces of a line are full but for the last, and of one time.
    fn add_of_docker(&mut self, time: Timestamp, text: &[u8], lines: &mut TimedLines) {
        if !self.line.is_empty() && time != self.line_time {
            lines.push((self.line_time, self.line.end()));
        }
        self.add(time, text, lines);
        if text.len() < DOCKER_PIECE_BYTES && !text.ends_with(b"\n") {
            lines.push((self.line_time, self.line.end()));
        }
    }

    fn add(&mut self, time: Timestamp, text: &[u8], lines: &mut TimedLines) {
        if self.line.is_empty() {
            self.line_time = time;
        }
        let whole = text.strip_suffix(b"\n");
        self.line.add(whole.unwrap_or(text), |part| lines.push((self.line_time, part)));
        if whole.is_some() {
            lines.push((self.line_time, self.line.end()));
        }
    }
}

fn split(message: &[u8]) -> Option<(Timestamp, &[u8])> {
    let space = message.iter().position(|byte| *byte == b' ')?;
    let time = std::str::from_utf8(&message[..space]).ok()?.parse().ok()?;
    Some((time, &message[space + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: &str = "2026-01-02T03:04:05.00000000";

    fn reader() -> ContainerLogReader {
        ContainerLogReader::from(format!("{TIME}0Z").parse().expect("a time"))
    }

    fn message(nanosecond: u8, text: &str) -> Vec<u8> {
        format!("{TIME}{nanosecond}Z {text}").into_bytes()
    }

    fn texts(reader: &mut ContainerLogReader) -> Vec<String> {
        reader.lines().map(|(_, text)| text).collect()
    }

    #[test]
    fn a_reader_that_is_taken_up_again_neither_loses_nor_doubles_a_line() {
        let mut reader = reader();
        let messages =
            [message(0, "old\n"), message(1, "a\n"), message(2, "b\n"), message(2, "c\n"), message(3, "d\n")];

        messages[..3].iter().for_each(|message| reader.take(0, message));
        reader.resume();
        messages.iter().for_each(|message| reader.take(0, message));

        assert_eq!(texts(&mut reader), ["a", "b", "c", "d"]);
    }

    #[test]
    fn the_streams_are_told_apart_and_a_line_in_parts_is_put_together() {
        let mut reader = reader();

        reader.take(0, &message(1, "first "));
        reader.take(1, &message(2, "error\r\n"));
        reader.take(0, &message(3, "half\n"));

        assert_eq!(texts(&mut reader), ["error", "first half"]);
    }

    #[test]
    fn a_line_in_pieces_that_docker_does_not_end_is_ended_by_a_short_piece_or_another_time() {
        let mut reader = reader();
        let full = "x".repeat(DOCKER_PIECE_BYTES);

        for (nanosecond, text) in [
            (1, &*full),
            (1, &full),
            (1, "rest"),
            (2, "next\n"),
            (3, &full),
            (4, "last\n"),
            (5, &full),
            (5, "\n"),
        ] {
            reader.take_of_docker(0, &message(nanosecond, text));
        }

        let [long, next, whole, last, ended] = &texts(&mut reader)[..] else { panic!("five lines") };
        assert!(*long == format!("{full}{full}rest") && *whole == full && *ended == full);
        assert_eq!((next.as_str(), last.as_str()), ("next", "last"));
    }

    #[test]
    fn a_long_line_is_whole_up_to_the_bound_and_beyond_it_comes_in_parts_of_one_time() {
        let mut reader = reader();
        // As runtimes give it: 16 KiB a message, whatever character that cuts.
        let text = format!("a{}", "ü".repeat(150_000));
        for (number, chunk) in text.as_bytes().chunks(16 << 10).enumerate() {
            let head = format!("2026-01-02T03:04:05.000001{number:03}Z ");
            reader.take(0, &[head.as_bytes(), chunk].concat());
        }
        reader.take(0, b"2026-01-02T03:04:05.000002000Z \n");

        let parts: Vec<_> = reader.lines().collect();

        assert_eq!(parts.len(), 2);
        assert!(parts.iter().all(|(time, _)| *time == parts[0].0));
        let whole: String = parts.iter().filter_map(|(_, part)| Some(part.split_once("] ")?.1)).collect();
        assert!(whole == text);
    }
}
