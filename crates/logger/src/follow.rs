//! An app's log as it grows, for the controller: one JSON value a line.
//!
//! `{"id": 17, "line": "…"}` is a line and its number, `{"dropped": 3}` means that lines are missing here, `{"id":
//! 17}` is the position while no line comes. A request with `after=17` resumes there. Followers read from a
//! bounded buffer: a slow one loses lines and delays nobody.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use domain::AppName;
use futures_util::stream;
use serde_json::json;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast};

use crate::collect::{SharedStore, lock};
use crate::http::{failed, number, wanted_count};
use crate::store::{FollowStart, LineNotice, LoggedLine};

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
    room: Arc<Semaphore>,
}

impl FollowState {
    pub(crate) fn new(store: SharedStore) -> Self {
        Self { store, room: Arc::new(Semaphore::new(FOLLOWERS_MAX)) }
    }
}

/// Responds at once and streams until the reader hangs up, the app is removed or the logger ends.
pub(crate) async fn follow(
    State(source): State<FollowState>,
    Path(app): Path<String>,
    Query(parameters): Query<Vec<(String, String)>>,
) -> Response {
    let Ok(app) = AppName::parse(&app) else { return StatusCode::NOT_FOUND.into_response() };
    let Ok(place) = source.room.try_acquire_owned() else {
        tracing::warn!(%app, FOLLOWERS_MAX, "too many follow logs, one more is refused");
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    let (count, after) = (wanted_count(&parameters), number(&parameters, "after"));
    let begun = tokio::task::spawn_blocking(move || begin(&source.store, &app, count, after, place));
    match begun.await.unwrap_or_else(|error| Err(std::io::Error::other(error))) {
        Ok(Some(follower)) => {
            let body = Body::from_stream(stream::unfold(follower, Follower::next));
            ([(CONTENT_TYPE, "application/x-ndjson")], body).into_response()
        }
        Ok(None) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        Err(error) => failed(&error),
    }
}

fn begin(
    store: &SharedStore,
    app: &AppName,
    count: usize,
    after: Option<u64>,
    place: OwnedSemaphorePermit,
) -> std::io::Result<Option<Follower>> {
    let following = lock(store).follow(app, count, after)?;
    // Unlocked before the files are read.
    let Some(FollowStart { reader, last_number, lines }) = following else { return Ok(None) };
    let kept = reader.lines()?;
    // A reader that resumes after a line learns how many lines are missing; one that asks for the last lines does
    // not.
    let first = kept.first().map_or(last_number, |line| line.number.saturating_sub(1));
    let last_sent = after.filter(|after| *after <= last_number).unwrap_or(first);
    Ok(Some(Follower { unsent: kept.into(), lines, last_sent, is_new: true, _place: place }))
}

/// One reader, and where it is.
struct Follower {
    /// Lines that were kept when the follower came, and lines taken from the buffer that could not be sent yet.
    unsent: VecDeque<LoggedLine>,
    lines: broadcast::Receiver<LineNotice>,
    /// Number of the last line that it was sent.
    last_sent: u64,
    /// Has sent nothing yet.
    is_new: bool,
    _place: OwnedSemaphorePermit,
}

impl Follower {
    /// The next piece; `None` at the end of the log.
    async fn next(mut self) -> Option<(Result<Bytes, Infallible>, Self)> {
        loop {
            self.take_what_is_there();
            let piece = self.piece();
            if !piece.is_empty() {
                return Some((Ok(piece), self));
            }
            match tokio::time::timeout(SIGN_OF_LIFE_EVERY, self.lines.recv()).await {
                // One whose text is gone is seen to be missing by the number of the next.
                Ok(Ok(line)) => self.unsent.extend(line.into_line()),
                // The line numbers show the gap.
                Ok(Err(RecvError::Lagged(_))) => {}
                Ok(Err(RecvError::Closed)) => return None,
                Err(_) => return Some((Ok(self.sign_of_life()), self)),
            }
        }
    }

    /// Moves lines from the buffer, so that they go in one piece.
    fn take_what_is_there(&mut self) {
        let mut size_bytes: usize = self.unsent.iter().map(|line| line.text.len()).sum();
        while size_bytes < PIECE_BYTES_MAX
            && let Ok(line) = self.lines.try_recv()
        {
            let Some(line) = line.into_line() else { continue };
            size_bytes += line.text.len();
            self.unsent.push_back(line);
        }
    }

    /// Lines that were not sent yet, up to the bound of one piece.
    fn piece(&mut self) -> Bytes {
        let mut piece = Vec::new();
        while piece.len() < PIECE_BYTES_MAX
            && let Some(LoggedLine { number, text }) = self.unsent.pop_front()
        {
            // Was read from disk already; lines from before there were numbers have none.
            if number <= self.last_sent && number > 0 {
                continue;
            }
            let missing = number.saturating_sub(self.last_sent + 1);
            if missing > 0 {
                add(&mut piece, &json!({ "dropped": missing }));
            }
            self.last_sent = self.last_sent.max(number);
            add(&mut piece, &json!({ "id": number, "line": &**text }));
        }
        if piece.is_empty() && self.is_new {
            return self.sign_of_life();
        }
        self.is_new = false;
        piece.into()
    }

    /// Current position of the log, from which the reader can resume.
    fn sign_of_life(&mut self) -> Bytes {
        self.is_new = false;
        let mut piece = Vec::new();
        add(&mut piece, &json!({ "id": self.last_sent }));
        piece.into()
    }
}

fn add(piece: &mut Vec<u8>, value: &serde_json::Value) {
    piece.extend_from_slice(value.to_string().as_bytes());
    piece.push(b'\n');
}
