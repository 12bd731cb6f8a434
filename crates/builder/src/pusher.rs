//! Output for the pusher, and its copy for the app's log (docs/spec/components.md 1.9).

use std::sync::Arc;
use std::time::Duration;

use api::visible::{Color, visible_line};
use domain::AppName;
use domain::logs::{LogLine, LogOrigin};
use engine::LogSink;
use jiff::Timestamp;
use tokio::io::AsyncWriteExt as _;
use tokio::net::unix::OwnedWriteHalf;

use crate::hook::HookReply;

/// Moves the cursor over git's `remote: `, so that the line looks like our own.
const COLUMN_ONE: &str = "\x1b[1G";
/// Longest line that is passed on; the rest of it is cut.
pub(crate) const LINE_BYTES_MAX: usize = 16 << 10;
/// Lines of one build that go to the app's log; a chatty build must not push out what the app said.
const LOGGED_LINES_MAX: usize = 400;
/// Longest wait for a pusher that reads nothing; the build continues without it.
const WRITE_MAX: Duration = Duration::from_secs(30);

/// One end of a push.
pub(crate) struct Pusher {
    /// `None` once the hook is gone.
    hook: Option<OwnedWriteHalf>,
    log_sink: Arc<dyn LogSink>,
    app: AppName,
    logged_lines: usize,
}

impl Pusher {
    pub(crate) fn new(hook: OwnedWriteHalf, log_sink: Arc<dyn LogSink>, app: AppName) -> Self {
        Self { hook: Some(hook), log_sink, app, logged_lines: 0 }
    }

    /// A line for the pusher alone. What a build or a file of the user's put into it is shown, not obeyed: others push
    /// to the same app.
    pub(crate) async fn say(&mut self, text: &str) {
        let text = visible_line(text, Color::Dropped);
        self.send(&HookReply::Say(format!("{COLUMN_ONE}{text}"))).await;
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

    /// Reason of a refusal: keeps git's `remote: `.
    pub(crate) async fn fail(&mut self, text: &str) {
        self.log("ERROR", text);
        for line in text.lines() {
            let line = visible_line(line, Color::Dropped);
            self.send(&HookReply::Say(format!("error: {line}"))).await;
        }
    }

    pub(crate) fn log(&self, level: &str, text: &str) {
        write_log(&*self.log_sink, &self.app, level, text);
    }

    /// Ends the hook, and with it the push.
    pub(crate) async fn end(mut self, accepted: bool) {
        self.send(&HookReply::End { accepted }).await;
    }

    async fn send(&mut self, answer: &HookReply) {
        let Some(hook) = &mut self.hook else { return };
        let mut line = serde_json::to_vec(answer).expect("an answer is text and booleans");
        line.push(b'\n');
        let written = tokio::time::timeout(WRITE_MAX, hook.write_all(&line)).await;
        if !matches!(written, Ok(Ok(()))) {
            self.hook = None;
        }
    }
}

/// Adds a line of the builder to the app's log.
pub(crate) fn write_log(log_sink: &dyn LogSink, app: &AppName, level: &str, text: &str) {
    let origin = LogOrigin::Platform { component: "builder".to_owned(), level: level.to_owned() };
    for line in text.lines() {
        let line = LogLine {
            time: Timestamp::now(),
            app: app.clone(),
            origin: origin.clone(),
            text: line.to_owned(),
        };
        log_sink.write(line);
    }
}

/// Cuts the stream of a build's output into lines.
#[derive(Default)]
pub(crate) struct LineSplitter {
    unfinished: Vec<u8>,
}

impl LineSplitter {
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
        let mut lines = LineSplitter::default();

        assert_eq!(lines.add(b"one\r\ntw"), ["one"]);
        assert_eq!(lines.add(b"o\n 10%\r 90%\r100%\n\nlast"), ["two", "100%", ""]);
        assert_eq!(lines.rest().as_deref(), Some("last"));
        assert_eq!(lines.rest(), None);
    }

    #[tokio::test]
    async fn a_build_does_not_control_the_terminal_of_who_pushes() {
        use tokio::io::AsyncReadExt as _;

        let (hook, mut client) = tokio::net::UnixStream::pair().expect("a pair of sockets");
        let app = AppName::parse("blog").expect("a good name");
        let mut pusher =
            Pusher::new(hook.into_split().1, Arc::new(engine::log_queue::LogQueue::default()), app);

        pusher.build_output("\u{1b}[32mok\u{1b}[0m \u{1b}[2J\u{9b}H\u{202e}").await;
        pusher.fail("no \u{1b}]0;title\u{7}").await;
        drop(pusher);

        let mut told = String::new();
        client.read_to_string(&mut told).await.expect("text");
        let shown = told.replace("\\\\", "\\");
        assert!(shown.contains("[1Gok \\x1b[2J\\u{9b}H\\u{202e}"), "{told}");
        assert!(shown.contains("error: no \\x1b]0;title\\x07"), "{told}");
    }

    #[test]
    fn a_line_without_end_is_cut() {
        let mut lines = LineSplitter::default();

        assert!(lines.add(&vec![b'x'; 10 * LINE_BYTES_MAX]).is_empty());
        assert_eq!(lines.add(b"\n")[0].len(), LINE_BYTES_MAX);
    }
}
