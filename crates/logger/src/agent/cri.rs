//! From lines of the container runtime's files to lines of the app.
//!
//! `2026-01-02T03:04:05.000000006Z stdout F hello`: time, stream, `P` where the line goes on in the next
//! one of the stream, else `F`, and the text (Kubernetes' CRI logging format).

use jiff::Timestamp;

/// Longer lines are cut into several, as on Docker.
const LINE_BYTES_MAX: usize = 16 << 10;

/// Puts the parts of lines together, for stdout and stderr apart.
#[derive(Default)]
pub(super) struct Assembler {
    streams: [Option<Begun>; 2],
}

/// A line whose end has not come yet.
struct Begun {
    time: Timestamp,
    text: Vec<u8>,
    /// Where in the file it began.
    position: u64,
}

impl Assembler {
    /// Takes one line of the file, which begins at `position`, and gives what is whole with it to `whole`. A
    /// malformed one is left out.
    pub(super) fn take(&mut self, position: u64, line: &[u8], mut whole: impl FnMut(Timestamp, String)) {
        let Some((time, stream, is_whole, text)) = split(line) else { return };
        let slot = &mut self.streams[stream];
        let begun = slot.get_or_insert_with(|| Begun { time, text: Vec::new(), position });
        begun.text.extend_from_slice(text);
        while begun.text.len() > LINE_BYTES_MAX {
            let rest = begun.text.split_off(LINE_BYTES_MAX);
            whole(begun.time, in_words(&std::mem::replace(&mut begun.text, rest)));
            begun.position = position;
        }
        if is_whole && let Some(Begun { time, text, position: _ }) = slot.take() {
            whole(time, in_words(&text));
        }
    }

    /// Where reading would have to begin again for the lines that have begun; `None` where there are none.
    pub(super) fn begun_at(&self) -> Option<u64> {
        self.streams.iter().flatten().map(|begun| begun.position).min()
    }

    /// What has begun goes on in another file.
    pub(super) fn continue_elsewhere(&mut self) {
        self.streams.iter_mut().flatten().for_each(|begun| begun.position = 0);
    }
}

fn in_words(text: &[u8]) -> String {
    String::from_utf8_lossy(text).into_owned()
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
    fn a_line_without_end_is_cut_into_several() {
        let part = format!("stdout P {}", "x".repeat(10_000));

        let lines = texts(&[&part, &part, &part, "stdout F end"]);

        assert_eq!(lines.iter().map(String::len).collect::<Vec<_>>(), [16_384, 13_619]);
    }

    #[test]
    fn what_is_not_of_this_form_is_left_out() {
        assert_eq!(texts(&["stdin F x", "stdout X x", "stdout", "stdout F good"]), ["good"]);
        Assembler::default().take(0, b"no time at all", |_, text| panic!("{text} is no line"));
    }
}
