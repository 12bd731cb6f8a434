//! An app's log as it grows, for the controller: one JSON value a line.
//!
//! `{"id": 17, "line": "…"}` is a line and its number, `{"dropped": 3}` means that lines are missing here, `{"id":
//! 17}` is the position while no line comes. A request with `after=17` resumes there. A follower reads on from its
//! cursor whenever lines were written. So a slow one holds no more than a piece in memory, and delays nobody; it misses
//! the lines that were dropped from disk before it came to them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use domain::AppName;
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::timeout;

use crate::segments::Cursor;
use crate::store::{SharedStore, lock};
use crate::tail;

/// Followers at the same time, of all apps together.
const FOLLOWERS_MAX: usize = 1_000;
/// Between two signs of life where there are no lines.
const SIGN_OF_LIFE_EVERY: Duration = Duration::from_secs(15);
/// Bytes of lines that are sent in one piece.
const PIECE_BYTES_MAX: usize = 64 << 10;

/// The store, and the limit of followers.
#[derive(Clone)]
pub(crate) struct FollowState {
    store: SharedStore,
    permits: Arc<Semaphore>,
    /// Sends followers away, as the logger ends.
    shutdown: watch::Receiver<bool>,
}

/// One reader, and its position.
pub(crate) struct Follower {
    state: FollowState,
    app: AppName,
    cursor: Cursor,
    /// Number of the last line on disk; closed when the app was removed.
    written: watch::Receiver<u64>,
    /// Number of the last line that it was sent.
    last_sent: u64,
    /// Has sent nothing yet.
    is_new: bool,
    _permit: OwnedSemaphorePermit,
}

impl FollowState {
    pub(crate) fn new(store: SharedStore, shutdown: watch::Receiver<bool>) -> Self {
        Self { store, permits: Arc::new(Semaphore::new(FOLLOWERS_MAX)), shutdown }
    }

    /// A follower from the app's last `count` lines on, or from all that is kept after the line of this number. `None`
    /// where no more followers are let in.
    pub(crate) fn follow(
        self,
        app: AppName,
        count: usize,
        after: Option<u64>,
    ) -> std::io::Result<Option<Follower>> {
        let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() else {
            tracing::warn!(%app, FOLLOWERS_MAX, "too many follow logs, one more is refused");
            return Ok(None);
        };
        if *self.shutdown.borrow() {
            return Ok(None);
        }
        // Unlocked before the files are read.
        let (mut reader, written) = lock(&self.store).follow(&app)?;
        let last_written = *written.borrow();
        let count = if after.is_some() { usize::MAX } else { count };
        let mut last = tail::last(&mut reader, count)?;
        // A number that is yet to come is one of an earlier app of this name.
        let after = after.filter(|after| *after <= last_written);
        last.retain(|(_, line)| after.is_none_or(|after| line.number > after || after == 0));
        let (cursor, first) = match last.front() {
            Some((before, line)) => (*before, line.number.saturating_sub(1)),
            None => (reader.cursor(), last_written),
        };
        // A reader that resumes after a line learns how many lines are missing; one that asks for the last lines does
        // not.
        let last_sent = after.unwrap_or(first);
        Ok(Some(Follower { state: self, app, cursor, written, last_sent, is_new: true, _permit: permit }))
    }
}

impl Follower {
    /// The next piece; `None` at the end of the log.
    pub(crate) async fn next(mut self) -> Option<(Bytes, Self)> {
        loop {
            let reading = tokio::task::spawn_blocking(move || (self.read(), self));
            let (piece, follower) = reading.await.ok()?;
            self = follower;
            match piece {
                Ok(piece) if piece.is_empty() && !self.is_new => {}
                Ok(piece) if piece.is_empty() => return Some(self.sign_of_life()),
                Ok(piece) => {
                    self.is_new = false;
                    return Some((piece.into(), self));
                }
                Err(error) => {
                    tracing::error!(app = %self.app, %error, "cannot read the kept lines of an app");
                    return None;
                }
            }
            let written = tokio::select! {
                written = timeout(SIGN_OF_LIFE_EVERY, self.written.changed()) => written,
                _ = self.state.shutdown.wait_for(|stop| *stop) => return None,
            };
            match written {
                Ok(written) => written.ok()?,
                Err(_) => return Some(self.sign_of_life()),
            }
        }
    }

    /// Reads on, up to the bound of one piece.
    fn read(&mut self) -> std::io::Result<Vec<u8>> {
        let mut piece = Vec::new();
        let reading = {
            let store = lock(&self.state.store);
            // What is under this name after a removal is another log.
            if self.written.has_changed().is_err() {
                return Ok(piece);
            }
            self.written.mark_unchanged();
            store.read_on(&self.app, self.cursor)?
        };
        let Some(mut reader) = reading else { return Ok(piece) };
        while piece.len() < PIECE_BYTES_MAX
            && let Some(line) = reader.next()?
        {
            let missing = line.number.saturating_sub(self.last_sent + 1);
            if missing > 0 {
                add(&mut piece, &json!({ "dropped": missing }));
            }
            self.last_sent = self.last_sent.max(line.number);
            add(&mut piece, &json!({ "id": line.number, "line": line.render() }));
        }
        self.cursor = reader.cursor();
        Ok(piece)
    }

    /// Current position of the log, from which the reader can resume.
    fn sign_of_life(mut self) -> (Bytes, Self) {
        self.is_new = false;
        let mut piece = Vec::new();
        add(&mut piece, &json!({ "id": self.last_sent }));
        (piece.into(), self)
    }
}

fn add(piece: &mut Vec<u8>, value: &serde_json::Value) {
    piece.extend_from_slice(value.to_string().as_bytes());
    piece.push(b'\n');
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use domain::ProcessType;
    use domain::logs::{LINE_BYTES_MAX, LogLine, LogOrigin};
    use jiff::Timestamp;
    use serde_json::Value;

    use super::*;
    use crate::settings::LoggerSettings;
    use crate::store::LineStore;

    #[test]
    fn followers_who_are_slow_hold_no_more_than_a_piece() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = LineStore::open(&LoggerSettings::new(folder.path())).expect("a new folder");
        let store = Arc::new(Mutex::new(store));
        let app = AppName::parse("blog").expect("a good name");
        let origin = LogOrigin::Process { process: ProcessType::web(), release: 2, pod: "2ggow".to_owned() };
        let text = "x".repeat(LINE_BYTES_MAX);
        let long = LogLine { time: Timestamp::UNIX_EPOCH, app: app.clone(), origin, text };
        let state = FollowState::new(Arc::clone(&store), watch::channel(false).1);
        let slow = state.follow(app, 0, None).expect("files of ours");
        let mut slow = slow.expect("the first follower");

        for _ in 1..=100 {
            lock(&store).write(vec![long.clone()]).expect("the disk has room");
        }

        let (mut dropped, mut numbers) = (0, Vec::new());
        loop {
            let piece = slow.read().expect("files of ours");
            assert!(piece.len() < PIECE_BYTES_MAX + LINE_BYTES_MAX + 1024, "{}", piece.len());
            let values = piece.split(|byte| *byte == b'\n').filter(|value| !value.is_empty());
            let values: Vec<Value> =
                values.map(|value| serde_json::from_slice(value).expect("JSON")).collect();
            if values.is_empty() {
                break;
            }
            dropped += values.iter().filter_map(|value| value["dropped"].as_u64()).sum::<u64>();
            numbers.extend(values.iter().filter_map(|value| value["id"].as_u64()));
        }
        assert_eq!(numbers, (dropped + 1..=100).collect::<Vec<_>>());
        assert!(numbers.len() >= 16, "{numbers:?}");
    }
}
