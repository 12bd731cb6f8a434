//! A response that streams, line by line.

use std::io::{BufRead as _, BufReader, Read as _};

use ureq::{Body, BodyReader};

use super::{ClientError, transport};

/// Longest line that is read: one of a log, of which JSON may write a byte as six.
const LINE_BYTES_MAX: u64 = 2 << 20;

/// Lines of an answer as they come; reading waits for the next one.
pub struct LineStream {
    request: String,
    reader: BufReader<BodyReader<'static>>,
    is_broken: bool,
}

impl LineStream {
    pub(super) fn new(request: String, body: Body) -> Self {
        let body = body.into_with_config().limit(u64::MAX).reader();
        Self { request, reader: BufReader::new(body), is_broken: false }
    }

    fn read(&mut self) -> std::io::Result<Option<String>> {
        let mut bytes = Vec::new();
        self.reader.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut bytes)?;
        // A line without a line break was cut off on the way.
        let line = bytes.strip_suffix(b"\n").map(|line| String::from_utf8_lossy(line).into_owned());
        Ok(line)
    }
}

impl Iterator for LineStream {
    type Item = Result<String, ClientError>;

    /// The next line; the first error is the last item.
    fn next(&mut self) -> Option<Self::Item> {
        if self.is_broken {
            return None;
        }
        self.read().transpose().map(|read| {
            self.is_broken = read.is_err();
            read.map_err(|error| transport(&self.request, error.into()))
        })
    }
}
