//! From lines of the container runtime's files to lines of the app.
//!
//! `2026-01-02T03:04:05.000000006Z stdout F hello`: time, stream, `P` where the line goes on in the next
//! one of the stream, else `F`, and the text (Kubernetes' CRI logging format).

use domain::logs::PartialLine;
use jiff::Timestamp;

/// Puts the parts of lines together, for stdout and stderr apart.
#[derive(Default)]
pub(super) struct Assembler {
    streams: [Option<PartialEntry>; 2],
}

/// A line whose end has not come yet.
struct PartialEntry {
    time: Timestamp,
    line: PartialLine,
    /// Its first byte in the file.
    position: u64,
}

impl Assembler {
    /// Reads one line of the file, which begins at `position`, and passes complete lines of the app to `whole`. A
    /// malformed one is ignored.
    pub(super) fn take(&mut self, position: u64, line: &[u8], mut whole: impl FnMut(Timestamp, String)) {
        let Some((time, stream, is_whole, text)) = split(line) else { return };
        let slot = &mut self.streams[stream];
        let begun = slot.get_or_insert_with(|| PartialEntry { time, line: PartialLine::default(), position });
        begun.line.add(text, |part| {
            whole(begun.time, part);
            begun.position = position;
        });
        if is_whole && let Some(PartialEntry { time, mut line, position: _ }) = slot.take() {
            whole(time, line.end());
        }
    }

    /// Position from which unfinished lines would have to be read again; `None` if there are none.
    pub(super) fn begun_at(&self) -> Option<u64> {
        self.streams.iter().flatten().map(|begun| begun.position).min()
    }

    /// Unfinished lines continue in another file.
    pub(super) fn continue_elsewhere(&mut self) {
        self.streams.iter_mut().flatten().for_each(|begun| begun.position = 0);
    }
}

fn split(line: &[u8]) -> Option<(Timestamp, usize, bool, &[u8])> {
    let mut words = line.splitn(4, |byte| *byte == b' ');
    let time = std::str::from_utf8(words.next()?).ok()?.parse().ok()?;
    let stream = match words.next()? {
        b"stdout" => 0,
        b"stderr" => 1,
        _ => return None,
    };
    // Tags are joined by colons; the first says whether the line is whole.
    let is_whole = match words.next()?.split(|byte| *byte == b':').next()? {
        b"F" => true,
        b"P" => false,
        _ => return None,
    };
    Some((time, stream, is_whole, words.next().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(lines: &[&str]) -> Vec<String> {
        let (mut assembler, mut texts) = (Assembler::default(), Vec::new());
        for (position, line) in lines.iter().enumerate() {
            let line = format!("2026-01-02T03:04:05.000000006Z {line}");
            assembler.take(position as u64, line.as_bytes(), |_, text| texts.push(text));
        }
        texts
    }

    #[test]
    fn parts_of_a_line_are_joined_for_each_stream_apart() {
        assert_eq!(
            texts(&["stdout P one ", "stderr F other", "stdout P two ", "stdout F three", "stdout F "]),
            ["other", "one two three", ""]
        );
    }

    #[test]
    fn reading_begins_again_where_the_oldest_unfinished_line_began() {
        let mut assembler = Assembler::default();
        let mut take = |position, line: &str| {
            assembler.take(position, format!("2026-01-02T03:04:05Z {line}").as_bytes(), |_, _| ());
            assembler.begun_at()
        };

        take(10, "stderr P a");
        assert_eq!(take(20, "stdout P b"), Some(10));
        assert_eq!(take(30, "stderr F c"), Some(20));
        assert_eq!(take(40, "stdout F d"), None);
    }

    #[test]
    fn a_long_line_is_whole_up_to_the_bound_and_beyond_it_comes_in_marked_parts() {
        let part = format!("stdout P {}", "x".repeat(16_000));

        let whole = texts(&[[part.as_str()].repeat(16), vec!["stdout F end"]].concat());
        let parts = texts(&[[part.as_str()].repeat(20), vec!["stdout F end"]].concat());

        assert_eq!(whole.iter().map(String::len).collect::<Vec<_>>(), [256_003]);
        let [first, last] = &parts[..] else { panic!("{} parts", parts.len()) };
        assert!(first.starts_with("[part 1 of a long line] xxx"));
        assert!(last.starts_with("[part 2, the last] xxx") && last.ends_with("xend"));
    }

    #[test]
    fn what_is_not_of_this_form_is_left_out() {
        assert_eq!(texts(&["stdin F x", "stdout X x", "stdout", "stdout F good"]), ["good"]);
        Assembler::default().take(0, b"no time at all", |_, text| panic!("{text} is no line"));
    }
}
