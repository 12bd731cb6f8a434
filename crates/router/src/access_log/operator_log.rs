//! Access lines of a worker for the operator's log, written in batches.
//!
//! They look like all other lines of the log, but bypass `tracing`: one of its lines costs a third of the request.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io::Write;
use std::time::SystemTime;

use jiff::Timestamp;

/// Written out at the latest when so much has come together; otherwise with the next look at the clock.
const BATCH_BYTES: usize = 16 << 10;

pub(crate) struct AccessLines {
    waiting: RefCell<Vec<u8>>,
    /// The second that `stamp` shows, without its fraction.
    second: Cell<u64>,
    stamp: RefCell<String>,
    log: RefCell<Box<dyn Write>>,
}

impl AccessLines {
    pub(crate) fn new(log: impl Write + 'static) -> Self {
        Self {
            waiting: RefCell::default(),
            second: Cell::new(u64::MAX),
            stamp: RefCell::default(),
            log: RefCell::new(Box::new(log)),
        }
    }

    /// Returns true if access lines are enabled.
    pub(crate) fn are_wanted() -> bool {
        tracing::enabled!(target: "access", tracing::Level::DEBUG)
    }

    /// Adds a line with the current time.
    pub(crate) fn add(&self, line: fmt::Arguments<'_>) {
        self.add_at(SystemTime::now(), line);
    }

    fn add_at(&self, now: SystemTime, line: fmt::Arguments<'_>) {
        let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        if self.second.replace(since.as_secs()) != since.as_secs() {
            let second = i64::try_from(since.as_secs()).ok().and_then(|it| Timestamp::from_second(it).ok());
            let text = second.map(|second| second.to_string()).unwrap_or_default();
            text.trim_end_matches('Z').clone_into(&mut self.stamp.borrow_mut());
        }
        let mut waiting = self.waiting.borrow_mut();
        let (stamp, micros) = (self.stamp.borrow(), since.subsec_micros());
        writeln!(waiting, "{stamp}.{micros:06}Z DEBUG access: {line}").expect("memory takes everything");
        if waiting.len() >= BATCH_BYTES {
            drop(waiting);
            self.flush();
        }
    }

    /// Writes out what waits.
    pub(crate) fn flush(&self) {
        let mut waiting = self.waiting.borrow_mut();
        if !waiting.is_empty() {
            // Without the log there is nobody to report the error to.
            let _ = self.log.borrow_mut().write_all(&waiting);
            waiting.clear();
        }
    }
}

impl Drop for AccessLines {
    fn drop(&mut self) {
        self.flush();
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;
    use std::time::Duration;

    use super::*;

    /// A log that records each write.
    #[derive(Clone, Default)]
    struct Log(Rc<RefCell<Vec<String>>>);

    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.borrow_mut().push(String::from_utf8_lossy(bytes).into_owned());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_are_written_together_and_none_is_lost_at_the_end() {
        let log = Log::default();
        let lines = AccessLines::new(log.clone());
        let at = |micros| SystemTime::UNIX_EPOCH + Duration::from_micros(micros);

        lines.add_at(at(1_700_000_000_000_042), format_args!("one"));
        lines.add_at(at(1_700_000_001_500_000), format_args!("two"));
        assert!(log.0.borrow().is_empty());
        drop(lines);

        let written = log.0.borrow();
        assert_eq!(
            *written,
            [
                "2023-11-14T22:13:20.000042Z DEBUG access: one\n2023-11-14T22:13:21.500000Z DEBUG access: two\n"
            ]
        );
    }

    #[test]
    fn a_full_batch_does_not_wait() {
        let log = Log::default();
        let lines = AccessLines::new(log.clone());

        lines.add(format_args!("{}", "a".repeat(BATCH_BYTES)));

        assert_eq!(log.0.borrow().len(), 1);
    }
}
