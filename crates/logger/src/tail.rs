//! The last lines of an app's log.

use std::collections::VecDeque;

use domain::AppName;

use crate::segments::{Cursor, LogReader, NumberedLine};
use crate::store::{SharedStore, lock};

/// The app's last `count` lines as users see them, one a line; empty where none is kept.
pub(crate) fn text(store: &SharedStore, app: &AppName, count: usize) -> std::io::Result<String> {
    // Unlocked before the files are read.
    let reading = lock(store).read(app)?;
    let Some(mut reader) = reading else { return Ok(String::new()) };
    let mut text = String::new();
    for (_, line) in last(&mut reader, count)? {
        text.push_str(&line.render());
        text.push('\n');
    }
    Ok(text)
}

/// The last `count` lines of what the reader has, oldest first, each with the position before it.
pub(crate) fn last(
    reader: &mut LogReader,
    count: usize,
) -> std::io::Result<VecDeque<(Cursor, NumberedLine)>> {
    let mut last = VecDeque::new();
    loop {
        let before = reader.cursor();
        let Some(line) = reader.next()? else { return Ok(last) };
        last.push_back((before, line));
        if last.len() > count.min(reader.lines_max) {
            last.pop_front();
        }
    }
}
