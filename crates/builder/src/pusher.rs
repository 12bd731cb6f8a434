//! What the pusher sees, and the copy of it that goes to the app's log (components.md 1.9).

use std::sync::Arc;
use std::time::Duration;

use domain::AppName;
use domain::logs::{LogLine, LogSource};
use engine::Logs;
use jiff::Timestamp;
use tokio::io::AsyncWriteExt as _;
use tokio::net::unix::OwnedWriteHalf;

use crate::hook::Answer;

/// Moves the cursor over git's `remote: `, so that the line looks like our own.
const COLUMN_ONE: &str = "\x1b[1G";
/// Longest line that is passed on; the rest of it is cut.
pub(crate) const LINE_BYTES_MAX: usize = 16 << 10;
/// Lines of one build that go to the app's log; a chatty build must not push out what the app said.
const LOGGED_LINES_MAX: usize = 400;
/// Longest wait for a pusher who reads nothing; the build goes on without them.
const WRITE_MAX: Duration = Duration::from_secs(30);

/// One end of a push.
pub(crate) struct Pusher {
    /// `None` once the hook is gone.
    hook: Option<OwnedWriteHalf>,
    logs: Arc<dyn Logs>,
    app: AppName,
    logged_lines: usize,
}

impl Pusher {
    pub(crate) fn new(hook: OwnedWriteHalf, logs: Arc<dyn Logs>, app: AppName) -> Self {
        Self { hook: Some(hook), logs, app, logged_lines: 0 }
    }

    /// A line of ours, for the pusher alone.
    pub(crate) async fn say(&mut self, text: &str) {
        self.send(&Answer::Say(format!("{COLUMN_ONE}{text}"))).await;
    }

    /// A line of the build, for both.
    pub(crate) async fn build_output(&mut self, text: &str) {
        self.logged_lines += 1;
        match self.logged_lines {
            ..LOGGED_LINES_MAX => self.log("INFO", text),
            LOGGED_LINES_MAX => self.log("INFO", "the rest of this build's output went to the pusher only"),
            _ => {}
        }
        self.say(text).await;
    }

    /// Why the push is refused: keeps git's `remote: `.
    pub(crate) async fn fail(&mut self, text: &str) {
        self.log("ERROR", text);
        for line in text.lines() {
            self.send(&Answer::Say(format!("error: {line}"))).await;
        }
    }

    pub(crate) fn log(&self, level: &str, text: &str) {
        write_log(&*self.logs, &self.app, level, text);
    }

    /// Ends the hook, and with it the push.
    pub(crate) async fn end(mut self, accepted: bool) {
        self.send(&Answer::End { accepted }).await;
    }

    async fn send(&mut self, answer: &Answer) {
        let Some(hook) = &mut self.hook else { return };
        let mut line = serde_json::to_vec(answer).expect("an answer is text and truth values");
        line.push(b'\n');
        let written = tokio::time::timeout(WRITE_MAX, hook.write_all(&line)).await;
        if !matches!(written, Ok(Ok(()))) {
            self.hook = None;
        }
    }
}

/// Adds a line of the builder to the app's log.
pub(crate) fn write_log(logs: &dyn Logs, app: &AppName, level: &str, text: &str) {
    let source = LogSource::Platform { component: "builder".to_owned(), level: level.to_owned() };
    for line in text.lines() {
        let line = LogLine {
            time: Timestamp::now(),
            app: app.clone(),
            source: source.clone(),
            text: line.to_owned(),
        };
        logs.write(line);
    }
}

/// Cuts the stream of a build's output into lines.
#[derive(Default)]
pub(crate) struct Lines {
    unfinished: Vec<u8>,
}

impl Lines {
    /// The lines that end within `bytes`.
    pub(crate) fn add(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        for byte in bytes {
            match byte {
                b'\n' => lines.push(self.take()),
                _ if self.unfinished.len() < LINE_BYTES_MAX => self.unfinished.push(*byte),
                _ => {}
            }
        }
        lines
    }

    /// The last line, where no line break ended it.
    pub(crate) fn rest(&mut self) -> Option<String> {
        (!self.unfinished.is_empty()).then(|| self.take())
    }

    /// Of a progress bar only the last state is kept.
    fn take(&mut self) -> String {
        let line = String::from_utf8_lossy(&self.unfinished).into_owned();
        self.unfinished.clear();
        let line = line.trim_end_matches('\r');
        line.rsplit('\r').next().unwrap_or(line).to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_cut_into_lines_wherever_the_pieces_end() {
        let mut lines = Lines::default();

        assert_eq!(lines.add(b"one\r\ntw"), ["one"]);
        assert_eq!(lines.add(b"o\n 10%\r 90%\r100%\n\nlast"), ["two", "100%", ""]);
        assert_eq!(lines.rest().as_deref(), Some("last"));
        assert_eq!(lines.rest(), None);
    }

    #[test]
    fn a_line_without_end_is_cut() {
        let mut lines = Lines::default();

        assert!(lines.add(&vec![b'x'; 10 * LINE_BYTES_MAX]).is_empty());
        assert_eq!(lines.add(b"\n")[0].len(), LINE_BYTES_MAX);
    }
}
