//! An app's log as it grows, for the controller: one JSON value a line.
//!
//! `{"id": 17, "line": "…"}` is a line and its number, `{"dropped": 3}` says that lines are missing here,
//! `{"id": 17}` says where the log stands while nothing comes. Who asks again with `after=17` gets what
//! came since. Followers are told from a bounded buffer: a slow one loses lines and holds nobody up.

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

use crate::collect::{Shared, lock};
use crate::http::{failed, number, wanted_count};
use crate::store::{Following, Told};

/// Followers at the same time, of all apps together.
const FOLLOWERS_MAX: usize = 1_000;
/// Between two signs of life where there are no lines.
const SIGN_OF_LIFE_EVERY: Duration = Duration::from_secs(15);
/// Bytes of lines that are sent in one piece.
const PIECE_BYTES_MAX: usize = 64 << 10;

/// The store and room for those who follow it.
#[derive(Clone)]
pub(crate) struct Source {
    store: Shared,
    room: Arc<Semaphore>,
}

impl Source {
    pub(crate) fn new(store: Shared) -> Self {
        Self { store, room: Arc::new(Semaphore::new(FOLLOWERS_MAX)) }
    }
}

/// Answers at once and goes on until the reader hangs up, the app is removed or the logger ends.
pub(crate) async fn follow(
    State(source): State<Source>,
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
    store: &Shared,
    app: &AppName,
    count: usize,
    after: Option<u64>,
    place: OwnedSemaphorePermit,
) -> std::io::Result<Option<Follower>> {
    let following = lock(store).follow(app, count, after)?;
    // Unlocked before the files are read.
    let Some(Following { reading, last_number, lines }) = following else { return Ok(None) };
    let kept = reading.lines()?;
    // Who asks for what came after a line wants to know what is missing; who asks for the last lines does not.
    let first = kept.first().map_or(last_number, |line| line.number.saturating_sub(1));
    let told = after.filter(|after| *after <= last_number).unwrap_or(first);
    Ok(Some(Follower { kept: kept.into(), lines, told, is_new: true, _place: place }))
}

/// One reader, and where it is.
struct Follower {
    /// What was kept when it came, and what it took from the buffer but could not be sent yet.
    kept: VecDeque<Told>,
    lines: broadcast::Receiver<Told>,
    /// Number of the last line that it was told.
    told: u64,
    /// Whether it has been told nothing yet.
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
                Ok(Ok(line)) => self.kept.push_back(line),
                // Its numbers show what is missing.
                Ok(Err(RecvError::Lagged(_))) => {}
                Ok(Err(RecvError::Closed)) => return None,
                Err(_) => return Some((Ok(self.sign_of_life()), self)),
            }
        }
    }

    /// Moves lines from the buffer, so that they go in one piece.
    fn take_what_is_there(&mut self) {
        let mut size_bytes: usize = self.kept.iter().map(|line| line.text.len()).sum();
        while size_bytes < PIECE_BYTES_MAX
            && let Ok(line) = self.lines.try_recv()
        {
            size_bytes += line.text.len();
            self.kept.push_back(line);
        }
    }

    /// Lines that were not told yet, up to the bound of one piece.
    fn piece(&mut self) -> Bytes {
        let mut piece = Vec::new();
        while piece.len() < PIECE_BYTES_MAX
            && let Some(Told { number, text }) = self.kept.pop_front()
        {
            // Was read from disk already; lines from before there were numbers have none.
            if number <= self.told && number > 0 {
                continue;
            }
            let missing = number.saturating_sub(self.told + 1);
            if missing > 0 {
                add(&mut piece, &json!({ "dropped": missing }));
            }
            self.told = self.told.max(number);
            add(&mut piece, &json!({ "id": number, "line": &*text }));
        }
        if piece.is_empty() && self.is_new {
            return self.sign_of_life();
        }
        self.is_new = false;
        piece.into()
    }

    /// Says where the log stands, so that the reader can begin there again.
    fn sign_of_life(&mut self) -> Bytes {
        self.is_new = false;
        let mut piece = Vec::new();
        add(&mut piece, &json!({ "id": self.told }));
        piece.into()
    }
}

fn add(piece: &mut Vec<u8>, value: &serde_json::Value) {
    piece.extend_from_slice(value.to_string().as_bytes());
    piece.push(b'\n');
}
