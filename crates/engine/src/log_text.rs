//! From a container runtime's log messages to lines: each message begins with its time; a long line comes in several.
//!
//! Remembers where each of the two streams of a container was, so that reading can be taken up again
//! without a line lost or doubled.

use jiff::Timestamp;

/// Longer lines are cut into several.
const LINE_BYTES_MAX: usize = 16 << 10;

/// What was read of one container.
pub struct Reader {
    streams: [Stream; 2],
    lines: Vec<(Timestamp, String)>,
}

/// stdout or stderr.
struct Stream {
    /// Time of the last message, and how many there were of just that time.
    time: Timestamp,
    count: u64,
    /// Where reading was taken up again, and how many messages of just that time are known already.
    known_time: Timestamp,
    known_count: u64,
    /// A line whose end has not come yet, and its time.
    rest: Vec<u8>,
    rest_time: Timestamp,
}

impl Reader {
    /// Reads what is younger than `time`.
    pub fn from(time: Timestamp) -> Self {
        let stream = || Stream {
            time,
            count: u64::MAX,
            known_time: time,
            known_count: u64::MAX,
            rest: Vec::new(),
            rest_time: time,
        };
        Self { streams: [stream(), stream()], lines: Vec::new() }
    }

    /// The time from which the runtime is to tell what it has.
    pub fn since(&self) -> Timestamp {
        self.streams[0].known_time.min(self.streams[1].known_time)
    }

    /// Takes one message of a stream; a malformed one is left out.
    pub fn take(&mut self, stream: usize, message: &[u8]) {
        let Some((time, text)) = split(message) else { return };
        let stream = &mut self.streams[stream];
        if stream.is_known(time) {
            return;
        }
        stream.count = if time == stream.time { stream.count.saturating_add(1) } else { 1 };
        stream.time = time;
        stream.add(time, text, &mut self.lines);
    }

    /// The whole lines since the last call.
    pub fn lines(&mut self) -> std::vec::Drain<'_, (Timestamp, String)> {
        self.lines.drain(..)
    }

    /// From here on messages come again from [`Reader::since`].
    pub fn resume(&mut self) {
        for stream in &mut self.streams {
            (stream.known_time, stream.known_count) = (stream.time, stream.count);
        }
    }
}

impl Stream {
    fn is_known(&mut self, time: Timestamp) -> bool {
        if time == self.known_time && self.known_count > 0 {
            self.known_count -= 1;
            return true;
        }
        time < self.known_time
    }

    fn add(&mut self, time: Timestamp, text: &[u8], lines: &mut Vec<(Timestamp, String)>) {
        if self.rest.is_empty() {
            self.rest_time = time;
        }
        let (text, is_whole) = match text.strip_suffix(b"\n") {
            Some(text) => (text, true),
            None => (text, false),
        };
        self.rest.extend_from_slice(text.strip_suffix(b"\r").unwrap_or(text));
        while self.rest.len() > LINE_BYTES_MAX {
            let piece: Vec<_> = self.rest.drain(..LINE_BYTES_MAX).collect();
            lines.push((self.rest_time, String::from_utf8_lossy(&piece).into_owned()));
        }
        if is_whole {
            lines.push((self.rest_time, String::from_utf8_lossy(&self.rest).into_owned()));
            self.rest.clear();
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

    fn reader() -> Reader {
        Reader::from(format!("{TIME}0Z").parse().expect("a time"))
    }

    fn message(nanosecond: u8, text: &str) -> Vec<u8> {
        format!("{TIME}{nanosecond}Z {text}").into_bytes()
    }

    fn texts(reader: &mut Reader) -> Vec<String> {
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
    fn a_line_without_end_comes_in_bounded_pieces() {
        let mut reader = reader();
        let part = "x".repeat(10 << 10);

        (1..5).for_each(|nanosecond| reader.take(0, &message(nanosecond, &part)));

        let pieces: Vec<_> = texts(&mut reader).iter().map(String::len).collect();
        assert_eq!(pieces, [LINE_BYTES_MAX, LINE_BYTES_MAX]);
    }
}
