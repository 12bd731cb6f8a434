//! Lines in memory: written lines are the lines that readers get.

use std::collections::BTreeMap;
use std::pin::Pin;

use domain::AppName;
use domain::logs::LogLine;
use futures_util::Stream;
use jiff::Timestamp;

use super::FakeEngine;
use crate::{Logs, lines};

impl Logs for FakeEngine {
    fn follow(&self, since: BTreeMap<AppName, Timestamp>) -> Pin<Box<dyn Stream<Item = LogLine> + Send>> {
        lines::stream(self.inner.lines.read(&since), ())
    }

    fn write(&self, line: LogLine) {
        self.inner.lines.write(line);
    }
}
