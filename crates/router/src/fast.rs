//! The short way of HTTP/1: ordinary requests are read, passed on and answered here, byte by byte, without hyper.
//!
//! Its rules are those of `phases`, which both ways share; what is written a second time is only how heads and bodies
//! lie on the wire. Whatever is not ordinary goes the long way, from its first byte on, together with the rest of its
//! connection (docs/decisions/0014-a-short-way-for-ordinary-requests.md).

pub(crate) mod buffer;
mod chunks;
pub(crate) mod line;
pub(crate) mod relay;
pub(crate) mod request;
pub(crate) mod response;
mod rewound;
mod source;
pub(crate) mod write;

use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::Instant;

use self::line::{Line, Patience, after};
use self::request::Read;
pub(crate) use self::rewound::Rewound;
use crate::connection::{self, Visit};
use crate::phases::short::{self, Ended};
use crate::worker::Shared;

/// Longest head with its body; longer ones go the long way.
const REQUEST_BYTES_MAX: usize = 32 << 10;

/// Serves ordinary requests. Gives the connection back at the first one that is not, with all of its bytes;
/// `None` when it has ended.
pub(crate) async fn serve<S>(
    stream: S,
    visit: Visit,
    shared: &Rc<Shared>,
    shutdown: &watch::Receiver<bool>,
) -> Option<Rewound<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut until = after(shared.settings.head_timeout);
    let mut patience = Patience::new(until);
    let mut visitor = Line::new(stream, &shared.buffers);
    let mut told = shutdown.clone();
    let mut stop = pin!(connection::lame_duck_over(&mut told));
    let mut is_stopping = false;
    loop {
        match request::read(visitor.unread(), &shared.buffers) {
            Read::Odd => return Some(Rewound::new(visitor)),
            Read::Ordinary(request) => {
                match short::serve(shared, visit, &mut visitor, &mut patience, request, shutdown).await {
                    Ended::Well => until = after(shared.settings.head_timeout),
                    Ended::ForLongWay => return Some(Rewound::new(visitor)),
                    Ended::Last => {
                        let until = after(shared.settings.head_timeout);
                        visitor.shut(&mut patience, until).await;
                        return None;
                    }
                    Ended::Cut => return None,
                }
            }
            Read::Partial if visitor.unread().len() >= REQUEST_BYTES_MAX => {
                return Some(Rewound::new(visitor));
            }
            Read::Partial => match more(&mut visitor, &mut patience, until, stop.as_mut(), is_stopping).await
            {
                More::Came => {}
                // A head that has begun to come is still answered.
                More::Stop if !visitor.unread().is_empty() => is_stopping = true,
                More::Stop | More::Ended if visitor.unread().is_empty() => {
                    visitor.shut(&mut patience, until).await;
                    return None;
                }
                // It ends within a head: hyper knows what to say.
                More::Stop | More::Ended => return Some(Rewound::new(visitor)),
                More::Broken => return None,
            },
        }
    }
}

/// What came of waiting for a request.
enum More {
    Came,
    /// The router stops.
    Stop,
    /// The visitor has said all.
    Ended,
    /// The connection failed, or the time was up.
    Broken,
}

async fn more<S>(
    visitor: &mut Line<S>,
    patience: &mut Patience,
    until: Instant,
    mut stop: Pin<&mut impl Future<Output = ()>>,
    is_stopping: bool,
) -> More
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let came = patience.within(until, |cx| {
        if let Poll::Ready(read) = visitor.poll_fill(cx, REQUEST_BYTES_MAX) {
            return Poll::Ready(match read {
                Ok(0) => More::Ended,
                Ok(_) => More::Came,
                Err(_) => More::Broken,
            });
        }
        if !is_stopping && stop.as_mut().poll(cx).is_ready() {
            return Poll::Ready(More::Stop);
        }
        Poll::Pending
    });
    came.await.unwrap_or(More::Broken)
}
