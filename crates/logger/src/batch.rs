//! A batch of lines as it is sent over HTTP: a JSON value and a line break each.

use domain::logs::LogLine;

/// Largest batch of lines that is taken over HTTP.
pub const BATCH_BYTES_MAX: usize = 4 << 20;

/// Lines within the bound of one request.
#[derive(Default)]
pub(crate) struct LineBatch {
    bytes: Vec<u8>,
    pub(crate) lines: usize,
}

impl LineBatch {
    /// Adds a line; `false` where there is no room for it.
    pub(crate) fn add(&mut self, line: &LogLine) -> bool {
        let before_bytes = self.bytes.len();
        serde_json::to_writer(&mut self.bytes, line).expect("a line has no map with odd keys");
        self.bytes.push(b'\n');
        if self.bytes.len() > BATCH_BYTES_MAX && self.lines > 0 {
            self.bytes.truncate(before_bytes);
            return false;
        }
        self.lines += 1;
        true
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lines == 0
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.lines = 0;
    }
}

/// The lines of a batch. One that is unreadable is left out, since sending it again would not help.
pub(crate) fn parse(batch: &[u8]) -> Vec<LogLine> {
    let values = batch.split(|byte| *byte == b'\n').filter(|value| !value.is_empty());
    let read: Vec<_> = values.map(serde_json::from_slice::<LogLine>).collect();
    let unreadable = read.iter().filter(|line| line.is_err()).count();
    if unreadable > 0 {
        tracing::warn!(unreadable, "lines of a batch are not in the form of this logger and were left out");
    }
    read.into_iter().flatten().collect()
}
