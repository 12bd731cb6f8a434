//! One connection on the fast path of HTTP/1: ordinary requests are read and answered without hyper.
//!
//! Its rules are those of `phases`, which both paths share; only the parsing and writing of heads and bodies
//! exists twice. Unusual requests take the slow path, from their first byte on, together with the rest of their
//! connection (docs/decisions/0014-a-fast-path-for-ordinary-requests.md).

use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::Instant;

use super::connection;
use crate::http1::REQUEST_BYTES_MAX;
use crate::http1::buffered_stream::{self, BufferedStream, DeadlineTimer, after};
use crate::http1::request::{self, ParseResult};
use crate::http1::rewind_stream::RewindStream;
use crate::limits::connections::ConnectionHandle;
use crate::phases::caller::ClientConnection;
use crate::phases::fast_path::{self, RequestOutcome};
use crate::state::WorkerState;

/// Response to a client whose head did not come in time, and the longest time to send it.
const LATE_ANSWER: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
const LATE_ANSWER_MAX: Duration = Duration::from_secs(1);

/// Serves ordinary requests. Gives the connection back at the first one that is not, with all of its bytes;
/// `None` when it has ended.
pub(crate) async fn serve<S>(
    stream: S,
    client: ClientConnection,
    shared: &Rc<WorkerState>,
    open: &ConnectionHandle,
    shutdown: &watch::Receiver<bool>,
) -> Option<RewindStream<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut until = after(shared.settings.head_timeout);
    let mut timer = DeadlineTimer::new(until);
    let mut visitor = BufferedStream::new(stream, &shared.buffers);
    let mut told = shutdown.clone();
    let mut stop = pin!(connection::lame_duck_over(&mut told));
    let mut is_stopping = false;
    // Since when a head comes that is not whole.
    let mut begun = None;
    loop {
        match request::read(visitor.unread(), &shared.buffers) {
            ParseResult::Odd => return Some(RewindStream::new(visitor)),
            ParseResult::Ordinary(request) => {
                open.is_served();
                begun = None;
                // Most of a connection's memory; on the heap, so that a connection that waits does not hold it.
                let served = fast_path::serve(shared, client, &mut visitor, &mut timer, request, shutdown);
                match Box::pin(served).await {
                    RequestOutcome::KeepAlive => {
                        let now = Instant::now();
                        open.is_idle(now);
                        until = now + shared.settings.head_timeout.min(buffered_stream::WAIT_MAX);
                    }
                    RequestOutcome::SlowPath => return Some(RewindStream::new(visitor)),
                    RequestOutcome::Close => {
                        let until = after(shared.settings.head_timeout);
                        visitor.shut(&mut timer, until).await;
                        return None;
                    }
                    RequestOutcome::Abort => return None,
                }
            }
            ParseResult::Partial if visitor.unread().len() >= REQUEST_BYTES_MAX => {
                return Some(RewindStream::new(visitor));
            }
            ParseResult::Partial => {
                let until = until.min(head_until(&mut visitor, &mut begun, shared, open).unwrap_or(until));
                let came =
                    wait_for_request(&mut visitor, &mut timer, until, stop.as_mut(), is_stopping).await;
                match came {
                    WaitOutcome::Request => {}
                    WaitOutcome::Timeout if !visitor.unread().is_empty() => {
                        let until = after(LATE_ANSWER_MAX);
                        let _ = visitor.write(&mut timer, until, LATE_ANSWER, &[]).await;
                        visitor.shut(&mut timer, until).await;
                        return None;
                    }
                    // A head that has begun to come is still answered.
                    WaitOutcome::Shutdown if !visitor.unread().is_empty() => is_stopping = true,
                    WaitOutcome::Shutdown | WaitOutcome::EndOfInput if visitor.unread().is_empty() => {
                        visitor.shut(&mut timer, until).await;
                        return None;
                    }
                    // It ends within a head: hyper knows what to say.
                    WaitOutcome::Shutdown | WaitOutcome::EndOfInput => {
                        return Some(RewindStream::new(visitor));
                    }
                    WaitOutcome::Timeout | WaitOutcome::Failed => return None,
                }
            }
        }
    }
}

/// Result of waiting for a request.
enum WaitOutcome {
    Request,
    /// The router stops.
    Shutdown,
    /// The client has closed its half.
    EndOfInput,
    /// The time was up.
    Timeout,
    /// The connection failed.
    Failed,
}

/// When the head that has begun to come must have come; `None` where none has.
fn head_until<S>(
    visitor: &mut BufferedStream<S>,
    begun: &mut Option<Instant>,
    shared: &WorkerState,
    open: &ConnectionHandle,
) -> Option<Instant>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let bytes = visitor.unread().len() as u64;
    if bytes == 0 {
        return None;
    }
    visitor.compact();
    let begun = *begun.get_or_insert_with(|| {
        let now = Instant::now();
        open.asks(now);
        now
    });
    begun.checked_add(shared.settings.head_rate.time_for(bytes))
}

async fn wait_for_request<S>(
    visitor: &mut BufferedStream<S>,
    timer: &mut DeadlineTimer,
    until: Instant,
    mut stop: Pin<&mut impl Future<Output = ()>>,
    is_stopping: bool,
) -> WaitOutcome
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let came = timer.within(until, |cx| {
        if let Poll::Ready(read) = visitor.poll_fill(cx, REQUEST_BYTES_MAX) {
            return Poll::Ready(match read {
                Ok(0) => WaitOutcome::EndOfInput,
                Ok(_) => WaitOutcome::Request,
                Err(_) => WaitOutcome::Failed,
            });
        }
        if !is_stopping && stop.as_mut().poll(cx).is_ready() {
            return Poll::Ready(WaitOutcome::Shutdown);
        }
        Poll::Pending
    });
    came.await.unwrap_or(WaitOutcome::Timeout)
}
