//! Lines of the operator's log: one event is one line, without characters that control a terminal. Many contain
//! names that users choose (apps, hosts, images, files).

use std::io::{self, Write};

use api::visible::{Color, visible_line};

/// Writes each event as a line to the inner writer.
pub struct LineWriter<W> {
    to: W,
    color: Color,
}

impl<W: Write> LineWriter<W> {
    /// `has_colors`: whether the events are formatted with colours, which then stay.
    pub fn new(to: W, has_colors: bool) -> Self {
        Self { to, color: if has_colors { Color::Kept } else { Color::Dropped } }
    }
}

impl<W: Write> Write for LineWriter<W> {
    /// The formatter writes a whole event at once.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let line = visible_line(text.strip_suffix('\n').unwrap_or(&text), self.color);
        self.to.write_all(format!("{line}\n").as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line_whatever_a_user_put_into_it() {
        let mut log = Vec::new();
        let event = "INFO app=blog \u{1b}[2Jhost=\u{202e}moc\n2026 ERROR forged\n";

        LineWriter::new(&mut log, false).write_all(event.as_bytes()).expect("memory takes it");

        let line = String::from_utf8(log).expect("text");
        assert_eq!(line, "INFO app=blog \\x1b[2Jhost=\\u{202e}moc\\n2026 ERROR forged\n");
    }
}
